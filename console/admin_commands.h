/* What the server's machine may ask: the table of commands. See admin.h. */
#ifndef CONSOLE_ADMIN_COMMANDS_H
#define CONSOLE_ADMIN_COMMANDS_H

#include "console/admin.h"

bool admin_needs_repo(const char *request);
/* Runs one request on an open console. Without a running console `console` holds database and, where needed,
 * repository only. */
bool admin_run(struct console *console, const char *request, admin_output *output, void *context,
               struct error *err);

#endif

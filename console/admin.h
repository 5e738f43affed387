/* Commands of the server's machine on a data folder: through the socket of the console that runs on it, or,
 * when none runs, done here and now under the instance lock. Only who owns the data folder may: the socket is
 * 0600 and asks the kernel for the peer's uid.
 *
 * A request is one JSON object on one line, `do` says what:
 *   {"do":"token create","user":"admin","name":"ci","role":"release","expires_in_s":0}   role and
 * expires_in_s may be missing (the operator's own; for ever) → {"name":"ci","token":"locum_…"}
 *   {"do":"repo verify"}                       → {"good":true,"text":"…"} for each check; fails UNTRUSTED
 * when one did
 *   {"do":"repo reindex"}                      → {"good":true,"text":"…"}
 *   {"do":"operator password","user":"admin","password":"…"}   → {"good":true,"text":"…"}, for who is locked
 * out
 *   {"do":"status"}                            → {"running":bool,"people_url","device_url","started_at"} */
#ifndef CONSOLE_ADMIN_H
#define CONSOLE_ADMIN_H

#include "base/error.h"
#include "console/console.h"

#include <stdbool.h>

/* One line of output, a JSON object without its line end. */
typedef void admin_output(void *context, const char *json_line);

/* Runs `request` on the folder `data_dir` and gives each line to `output`. False with the command's own error
 * (its kind decides the exit code). CONFLICT when the console that holds the lock does not answer; MISSING
 * when the folder is no data folder. */
bool admin_call(const char *data_dir, const char *request, admin_output *output, void *context,
                struct error *err);

/* The console's side: listens on DATA/admin.sock with a thread of its own. */
struct admin;
struct admin *admin_start(struct console *console, struct error *err);
void admin_stop(struct admin *admin); /* NULL is fine */

#endif

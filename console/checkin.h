/* A check-in, from the body that came to the answer: from memory alone unless the device's order must be
 * thought over. */
#ifndef CONSOLE_CHECKIN_H
#define CONSOLE_CHECKIN_H

#include "base/text.h"
#include "console/console.h"

/* Writes the answer of PROTOCOL.md "Check-in". */
bool device_checkin(struct console *console, int64_t device_id, const char *body, size_t size,
                    struct text *answer, struct error *err);

#endif

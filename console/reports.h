/* Reports of devices: durable before they are answered, each taken once. */
#ifndef CONSOLE_REPORTS_H
#define CONSOLE_REPORTS_H

#include "base/json.h"
#include "console/console.h"

/* Takes an array of at most REPORTS_MOST reports and writes {"accepted":[…]}. A report that says nothing we
 * understand is accepted and noted, so that it does not stand in the way of those behind it; INPUT only when
 * there is no id to accept. */
bool reports_take(struct console *console, int64_t device_id, const struct json *reports, struct text *answer,
                  struct error *err);
/* Scheduler step: forgets ids of reports that came more than 30 days ago. */
bool reports_forget(struct console *console, struct error *err);

#endif

/* Where campaigns meet the console: audit, time lines, live events, orders. diagnostics/ knows nothing of
 * these. */
#ifndef CONSOLE_CAMPAIGNS_H
#define CONSOLE_CAMPAIGNS_H

#include "console/console.h"

/* Opens diagnostics with the console's hooks. Needs database, repository, events and fleet. */
struct diagnostics *campaigns_open(struct console *console, struct error *err);
/* Scheduler step, every second: what time alone brings, and runs that their device gave up without ever
 * beginning. */
bool campaigns_step(struct console *console, struct error *err);
/* Scheduler step, every five seconds: devices that get a place next are asked to come often. */
bool campaigns_warm_step(struct console *console, struct error *err);
/* Scheduler step, twice a minute: captures whose product keeps them no longer are deleted, a slice at a time.
 */
bool captures_step(struct console *console, struct error *err);

#endif

/* The scheduler: one thread that does again and again what modules ask for, one step at a time. */
#ifndef CONSOLE_SCHEDULER_H
#define CONSOLE_SCHEDULER_H

#include "console/console.h"

#include <stdbool.h>

struct scheduler;
typedef bool scheduler_step(struct console *console, struct error *err);
/* A step that would take longer than a few milliseconds does a part, sets console->step_has_more, and is
 * called again after so long, whatever its period is. Others have their turn in between. */
#define SCHEDULER_SOON_MS 40
struct scheduler_row {
    const char *name;     /* in the log */
    int64_t period_ms;    /* between the end of a step and its next start */
    scheduler_step *step; /* a failure is logged and the step tried again after its period */
};

/* All steps of the console: steps.c. Ends with a row whose step is NULL. */
extern const struct scheduler_row steps[];

/* Starts the thread. `table` ends with a row whose step is NULL and stays the caller's. */
struct scheduler *scheduler_start(struct console *console, const struct scheduler_row *table,
                                  struct error *err);
/* Waits for the running step and ends the thread. NULL is fine. */
void scheduler_stop(struct scheduler *scheduler);
/* Seconds since the thread last began a round: large when a step hangs. */
int64_t scheduler_age_s(struct scheduler *scheduler);

#endif

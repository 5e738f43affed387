/* A run: one occurrence of a campaign, with an assignment for each device. */
#ifndef DIAGNOSTICS_RUN_H
#define DIAGNOSTICS_RUN_H

#include "base/json.h"
#include "diagnostics/diagnostics.h"
#include "diagnostics/lifecycle.h"

enum run_state {
    RUN_SCHEDULED,
    RUN_RUNNING,
    RUN_PAUSED,
    RUN_FINISHING,
    RUN_COMPLETED,
    RUN_ABORTED,
    RUN_EXPIRED
};
extern const struct lifecycle run_lifecycle;

#define RUN_WINDOW_S 86400 /* a device that was away may begin so long after the run's start */

/* Adds a run with its assignments, all queued. */
bool run_add(struct act *act, int64_t campaign, int64_t number, int64_t starts_at, const int64_t *device_ids,
             size_t device_count, struct error *err);
/* Writes a state (the only writer); nothing when it is that already. */
bool run_set(struct act *act, int64_t campaign, int64_t number, enum run_state to, struct error *err);
/* Brings a run to where its assignments and the time are: gives free places, begins, finishes, ends. Called
 * after each change of an assignment and by the step. */
bool run_advance(struct act *act, int64_t campaign, int64_t number, int64_t now, struct error *err);
/* Ends a run for an operator: cancels what has not begun, asks back what runs. */
bool run_abort(struct act *act, int64_t campaign, int64_t number, struct error *err);

/* API.md "run". MISSING. */
bool run_write(struct db_conn *conn, int64_t campaign, int64_t number, bool assignments,
               struct json_writer *writer, struct error *err);
/* Runs that are not over, without assignments, newest first: values inside an open array. */
bool run_write_open(struct db_conn *conn, struct json_writer *writer, int64_t limit, struct error *err);
/* Member `counts`: {"<state>":N} over one run, or over all runs of a campaign (number 0). */
bool run_counts_write(struct db_conn *conn, int64_t campaign, int64_t number, struct json_writer *writer,
                      struct error *err);

#endif

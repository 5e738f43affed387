/* A run: one occurrence of a campaign, with an assignment for each device. */
#ifndef DIAGNOSTICS_RUN_H
#define DIAGNOSTICS_RUN_H

#include "base/json.h"
#include "diagnostics/diagnostics.h"
#include "diagnostics/lifecycle.h"
#include "diagnostics/schedule.h"

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

#define RUN_WINDOW_S SCHEDULE_LATE_S /* a device that was away may begin so long after the run's start */
#define RUN_SLICE 150                /* devices that one transaction moves */

/* Adds a run for an occurrence with an assignment for each of these devices, all queued. */
bool run_add(struct act *act, int64_t campaign, int64_t number, const struct occurrence *occurrence,
             const int64_t *device_ids, size_t device_count, struct error *err);
/* Adds a run for the devices of the campaign's first: they come slice by slice with run_fill. */
bool run_add_again(struct act *act, int64_t campaign, int64_t number, const struct occurrence *occurrence,
                   struct error *err);
/* Adds the next slice of its devices. */
bool run_fill(struct act *act, int64_t campaign, int64_t number, struct error *err);
/* Its queued devices wait for a person, however long that takes: no time ends them. */
bool run_untime(struct act *act, int64_t campaign, int64_t number, struct error *err);
/* Thinks over anew when its queued devices may begin: it was approved later than it was asked for. */
bool run_retime(struct act *act, int64_t campaign, int64_t number, const struct occurrence *occurrence,
                struct error *err);
/* Writes a state with its reason, which may be NULL (the only writer); nothing when it is that already. */
struct reason;
bool run_set(struct act *act, int64_t campaign, int64_t number, enum run_state to,
             const struct reason *reason, struct error *err);
/* Brings a run to where its assignments and the time are: gives free places (at most RUN_SLICE), begins,
 * holds, finishes, ends. Called after each change of an assignment and by the step. `*more` (may be NULL):
 * there is something left to do at once. */
bool run_advance(struct act *act, int64_t campaign, int64_t number, int64_t now, struct error *err);
bool run_advance_more(struct act *act, int64_t campaign, int64_t number, int64_t now, bool *more,
                      struct error *err);
/* A device of it began for the first time. */
bool run_begun(struct act *act, int64_t campaign, int64_t number, struct error *err);

/* Devices in the queues of runs with `parallel` that get a place within about so many seconds when all goes
 * well: at most `most`, in the arena. */
bool runs_soon(struct db_conn *conn, struct arena *arena, int64_t within_s, size_t most, int64_t **device_ids,
               size_t *count, struct error *err);

/* --- run_act.c: what people do to a run
 * -------------------------------------------------------------------------------- */
/* Ends it: cancels what has not begun, asks back what runs; the first RUN_SLICE at once, the step goes on. */
bool run_abort(struct act *act, int64_t campaign, int64_t number, struct error *err);
bool run_abort_more(struct act *act, int64_t campaign, int64_t number, bool *more, struct error *err);
/* No device begins any more until it is resumed; what has begun goes on. What is over or finishing stays so.
 */
bool run_pause(struct act *act, int64_t campaign, int64_t number, const struct reason *reason,
               struct error *err);
/* Failures up to now hold it no more. */
bool run_resume(struct act *act, int64_t campaign, int64_t number, int64_t now, struct error *err);
/* These devices leave the image now, or do not begin. MISSING when one is not in the run. */
bool run_return(struct act *act, int64_t campaign, int64_t number, const int64_t *device_ids, size_t count,
                const struct reason *reason, struct error *err);
/* These devices (NULL: all that are not on their way back) may run so long in all. CONFLICT when it is not
 * longer, or none of them can still be told. */
bool run_extend(struct act *act, int64_t campaign, int64_t number, const int64_t *device_ids, size_t count,
                int64_t duration_s, struct error *err);

/* --- run_write.c
 * -----------------------------------------------------------------------------------------------------------
 */
/* API.md "run", with at most ASSIGNMENTS_WRITTEN_MOST assignments. MISSING. */
bool run_write(struct db_conn *conn, int64_t campaign, int64_t number, bool assignments,
               struct json_writer *writer, struct error *err);
/* Runs that are not over, without assignments, newest first: values inside an open array. */
bool run_write_open(struct db_conn *conn, struct json_writer *writer, int64_t limit, struct error *err);
/* Member `counts`: {"<state>":N} over one run, or over all runs of a campaign (number 0), as kept. */
bool run_counts_write(struct db_conn *conn, int64_t campaign, int64_t number, struct json_writer *writer,
                      struct error *err);

#endif

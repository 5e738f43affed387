/* An assignment: one device in one run, from queued to its end, whatever happens in between. */
#ifndef DIAGNOSTICS_ASSIGNMENT_H
#define DIAGNOSTICS_ASSIGNMENT_H

#include "base/json.h"
#include "base/signature.h"
#include "diagnostics/diagnostics.h"
#include "diagnostics/lifecycle.h"
#include "repo/metadata.h"

#define ORDER_RUNS_MOST 16 /* of an order, as FORMAT.md has it */

enum assignment_state {
    ASSIGNMENT_QUEUED,  /* waits for its run's time, for a free place, for the device's other campaign */
    ASSIGNMENT_WAITING, /* in the device's order, which the device has not fetched yet */
    ASSIGNMENT_OFFERED, /* the device was given the order */
    ASSIGNMENT_SCHEDULED_ON_DEVICE, /* the device was given the order ahead of its time */
    ASSIGNMENT_DOWNLOADING,
    ASSIGNMENT_VERIFYING,
    ASSIGNMENT_RUNNING, /* the image runs */
    ASSIGNMENT_REVERTING,
    ASSIGNMENT_UPLOADING,  /* the app is back */
    ASSIGNMENT_CANCELLING, /* the order without it waits for the device's answer */
    ASSIGNMENT_DONE,
    ASSIGNMENT_SKIPPED,
    ASSIGNMENT_FAILED,
    ASSIGNMENT_CANCELLED,
    ASSIGNMENT_STATES
};
extern const struct lifecycle assignment_lifecycle;

struct assignment {
    char id[RUN_ID_TEXT];
    int64_t campaign, run, device_id;
    enum assignment_state state;
    const char *alarm, *reason_code;                        /* or NULL; in the arena that it was read with */
    int64_t since, until, start_after, started_at, ends_at; /* Unix seconds, 0: not known */
    int64_t start_before, grace_s, duration_s;              /* its own, else of run and campaign */
    int64_t device_deadline_s;                              /* of the campaign */
    bool windowed;                                          /* it has a window to miss, or comes again */
    int64_t told_at; /* Unix seconds of the next step by the device's clock; 0: now */
};

/* Why an assignment is where it is. */
struct reason {
    const char *code; /* timed_out, cancelled, clock, … */
    const char *text; /* a sentence */
};
/* Writes a state with its deadline and reason (the only writer of states). `reason` may be NULL. The caller
 * calls run_advance once it has set all. */
bool assignment_set(struct act *act, struct assignment *assignment, enum assignment_state to,
                    const struct reason *reason, struct error *err);
/* Gives a queued one its place: waiting, to begin from `start` to `before`. */
bool assignment_place(struct act *act, struct assignment *assignment, int64_t start, int64_t before,
                      struct error *err);
/* It may run so long in all. The order carries it; what runs goes on until then. */
bool assignment_extend(struct act *act, struct assignment *assignment, int64_t duration_s, struct error *err);
/* Writes or clears the alarm ("overdue", "lost", "revert_failed", NULL) with the next deadline. */
bool assignment_alarm(struct act *act, struct assignment *assignment, const char *alarm, int64_t until,
                      struct error *err);
/* MISSING when there is none. */
bool assignment_find(struct db_conn *conn, struct arena *arena, const char *id, struct assignment *assignment,
                     struct error *err);

/* Taken in by a device's report of type "assignment". What cannot follow is ignored: reports may be late or
 * repeated. INPUT when it is malformed. `changed` false: nothing was written. */
bool assignment_report(struct act *act, int64_t device_id, const struct public_key *key,
                       const struct json *report, struct error *err);
/* The device fetched an order with everything that waits for it. */
bool assignment_offered(struct diagnostics *diagnostics, int64_t device_id, struct error *err);
/* Bytes of its capture arrived: it is not silent. */
bool assignment_touch(struct act *act, const char *id, struct error *err);
/* Cancels one: at once when the device does not know of it, else it is asked to. */
bool assignment_cancel(struct act *act, struct assignment *assignment, const struct reason *reason,
                       struct error *err);
/* The assignment of a device in a run. MISSING when it is not in it. */
bool assignment_of_device(struct db_conn *conn, struct arena *arena, int64_t campaign, int64_t run,
                          int64_t device_id, struct assignment *assignment, struct error *err);
/* The device holds an order without these runs and is on no image: cancelling assignments that never began
 * are over. */
bool assignment_forgotten(struct diagnostics *diagnostics, int64_t device_id, struct error *err);
/* Devices whose cancelling assignment never began and has been so for 15 seconds. */
bool assignment_unanswered(struct db_conn *conn, struct arena *arena, int64_t now, int64_t **device_ids,
                           size_t *count, struct error *err);
/* Deadlines that passed: silence becomes an alarm or failed(timed_out). */
bool assignment_step(struct diagnostics *diagnostics, int64_t now, struct error *err);

/* What the console must know about a device's work. */
struct device_work {
    int64_t due_from;         /* Unix seconds when work begins or began; 0: none */
    bool waits;               /* something in the order was not given to the device yet */
    bool alarm;               /* its newest begun assignment has an alarm */
    char run_id[RUN_ID_TEXT]; /* the assignment that is on the device; "": none */
    int64_t run_number;
};
/* The runs of a device's order, at most 16, and its work. Lives in the arena. */
bool assignment_orders(struct db_conn *conn, struct arena *arena, int64_t device_id, struct order_run **runs,
                       size_t *count, struct device_work *work, struct error *err);
/* API.md "assignment"s of a run as values inside an open array: at most `limit` of those with a device id
 * above `after`, in this `state` (NULL: any), by name. *last: `after` of the next page, 0 when there is none.
 */
#define ASSIGNMENTS_WRITTEN_MOST 1000
struct assignment_choice {
    int64_t campaign, run, after, limit;
    const char *state;
};
bool assignment_write_some(struct db_conn *conn, const struct assignment_choice *choice,
                           struct json_writer *writer, int64_t *last, struct error *err);
/* API.md: one assignment with its "steps", as one value. MISSING. */
bool assignment_write_one(struct db_conn *conn, int64_t campaign, int64_t run, int64_t device_id,
                          struct json_writer *writer, struct error *err);

/* --- assignment_count.c
 * -------------------------------------------------------------------------------------------- */
/* So many more (or fewer) are in a state. Called by the functions that write states and rows alone. */
bool assignment_counted(struct act *act, int64_t campaign, int64_t run, enum assignment_state state,
                        int64_t change, struct error *err);
/* How many are in each state, of one run, or of all runs of a campaign (0). */
bool assignment_counts(struct db_conn *conn, int64_t campaign, int64_t run, int64_t counts[ASSIGNMENT_STATES],
                       struct error *err);
/* --- assignment_step.c
 * --------------------------------------------------------------------------------------------- */
/* Notes that a step was taken, at `at` by the device's clock (Unix seconds; 0: now). */
bool assignment_step_add(struct act *act, const struct assignment *assignment, int64_t at, const char *text,
                         struct error *err);
/* The member "steps". */
bool assignment_write_steps(struct db_conn *conn, const char *id, struct json_writer *writer,
                            struct error *err);

#endif

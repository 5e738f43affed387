/* An assignment: one device in one run, from queued to its end, whatever happens in between. */
#ifndef DIAGNOSTICS_ASSIGNMENT_H
#define DIAGNOSTICS_ASSIGNMENT_H

#include "base/json.h"
#include "base/signature.h"
#include "diagnostics/diagnostics.h"
#include "diagnostics/lifecycle.h"
#include "repo/metadata.h"

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
    int64_t start_before, grace_s, duration_s;              /* of run and campaign */
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
/* Gives a queued one its place: waiting, to begin at `start`. */
bool assignment_place(struct act *act, struct assignment *assignment, int64_t start, struct error *err);
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
/* Cancels one: at once when the device has not begun, else it is asked to. */
bool assignment_cancel(struct act *act, struct assignment *assignment, struct error *err);
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
/* API.md "assignment"s of a run, by device name, as values inside an open array. */
bool assignment_write_all(struct db_conn *conn, int64_t campaign, int64_t run, struct json_writer *writer,
                          struct error *err);

#endif

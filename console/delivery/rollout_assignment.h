/* An assignment in a rollout: one device on its way to a version, from pending to an end. */
#ifndef CONSOLE_DELIVERY_ROLLOUT_ASSIGNMENT_H
#define CONSOLE_DELIVERY_ROLLOUT_ASSIGNMENT_H

#include "console/delivery/rollout_parts.h"
#include "console/fleet.h"

enum rollout_assignment_state {
    RA_PENDING,
    RA_OFFERED,
    RA_DOWNLOADING,
    RA_DOWNLOADED,
    RA_UPDATING,
    RA_CONFIRMING,
    RA_APPLIED,
    RA_ALREADY_CURRENT,
    RA_SKIPPED,
    RA_FAILED,
    RA_SUPERSEDED,
    RA_ROLLING_BACK,
    RA_ROLLED_BACK,
    RA_STATES
};
extern const struct lifecycle rollout_assignment_lifecycle;

struct rollout_assignment {
    int64_t rollout, device_id, stage;
    enum rollout_assignment_state state;
    int64_t since, until, deadline; /* Unix seconds, 0: none */
    int64_t attempts;
    int64_t result;                            /* LwM2M 0-11, -1: not said */
    const char *reason_code, *reason_text;     /* or NULL */
    const char *from_version, *before_version; /* or NULL */
    int64_t before_rollout, before_at;
};

/* Why an assignment or a rollout is where it is. */
struct rollout_reason {
    const char *code; /* timed_out, rejected, pinned, max_failures, … */
    const char *text; /* a sentence */
};

/* How many assignments are in each state, kept in rollout_count. */
struct rollout_counts {
    int64_t of[RA_STATES];
};
/* Of one stage, or of all up to `stage` when `up_to`. */
bool rollout_counts_read(struct db_conn *conn, int64_t rollout, int64_t stage, bool up_to,
                         struct rollout_counts *counts, struct error *err);
int64_t rollout_counts_moving(const struct rollout_counts *counts); /* offered … updating */
int64_t rollout_counts_all(const struct rollout_counts *counts);
const char *rollout_assignment_state_name(enum rollout_assignment_state state);

/* Adds members of a stage, all pending. */
bool rollout_assignment_add(struct rollout_act *act, int64_t rollout, int64_t stage, int64_t device_id,
                            struct error *err);
bool rollout_counts_add(struct rollout_act *act, int64_t rollout, int64_t stage,
                        enum rollout_assignment_state state, int64_t devices, struct error *err);
/* Writes a state with its deadline, result and reason (the only writer), moves the counters. `until` 0: none.
 * `reason` may be NULL. */
bool rollout_assignment_set(struct rollout_act *act, struct rollout_assignment *assignment,
                            enum rollout_assignment_state to, int64_t until,
                            const struct rollout_reason *reason, struct error *err);
/* Moves the time of the next look and the deadline as it stands in `assignment`, nothing else. */
bool rollout_assignment_wait(struct rollout_act *act, struct rollout_assignment *assignment, int64_t until,
                             struct error *err);

/* A list in the act's arena. */
struct rollout_assignments {
    struct rollout_assignment *items;
    size_t count;
};
/* Of one device: those whose rollout is not over, or that are on their way back. */
bool rollout_assignments_of_device(struct rollout_act *act, int64_t device_id,
                                   struct rollout_assignments *list, struct error *err);
/* Of a rollout in one state, stages up to `stage`, whose `until` is before `now` or none, at most `limit`;
 * without those whose way back failed. */
bool rollout_assignments_in(struct rollout_act *act, int64_t rollout, enum rollout_assignment_state state,
                            int64_t stage, int64_t now, int64_t limit, struct rollout_assignments *list,
                            struct error *err);
/* Whose `until` has passed, pending ones excepted. */
bool rollout_assignments_late(struct rollout_act *act, int64_t now, int64_t limit,
                              struct rollout_assignments *list, struct error *err);
/* That failed and whose device still wants what the rollout decided. */
bool rollout_assignments_failed(struct rollout_act *act, const struct rollout *rollout, int64_t limit,
                                struct rollout_assignments *list, struct error *err);
/* One. MISSING. */
bool rollout_assignment_find(struct rollout_act *act, int64_t rollout, int64_t device_id,
                             struct rollout_assignment *assignment, struct error *err);

/* --- its turn: rollout_turn.c
 * -------------------------------------------------------------------------------------- */
/* What is to become of a device whose turn has come. */
struct rollout_verdict {
    enum rollout_assignment_state to; /* offered, already_current, skipped or superseded */
    const char *code;        /* of a skip: pinned, development, hardware, requires, retired, release, … */
    char text[200];          /* a sentence */
    char from[VERSION_SIZE]; /* that it runs now; "": none */
    bool offline;
};
bool rollout_judge(struct console *console, struct db_conn *conn, const struct rollout *rollout,
                   const struct json *hardware, const struct json *requires, int64_t device_id,
                   struct rollout_verdict *verdict, struct error *err);
/* Judges it and writes what follows: the target and offered, or an end. */
bool rollout_assignment_turn(struct rollout_act *act, const struct rollout *rollout,
                             struct rollout_assignment *assignment, int64_t now, struct error *err);
/* Gives the device back what it wanted before: rolling_back until it runs that. */
bool rollout_assignment_back(struct rollout_act *act, const struct rollout *rollout,
                             struct rollout_assignment *assignment, int64_t now, struct error *err);
/* The same for one that leaves the rollout: ends as `to` with the reason. */
bool rollout_assignment_leave(struct rollout_act *act, const struct rollout *rollout,
                              struct rollout_assignment *assignment, enum rollout_assignment_state to,
                              const struct rollout_reason *reason, struct error *err);

/* Devices that failed want again what they wanted before, so that none takes the version up later; their
 * assignments stay failed. Until `until_ms` of clock_boot_ms, *left: some are left. */
bool rollout_assignments_give_back(struct rollout_act *act, const struct rollout *rollout, int64_t until_ms,
                                   bool *left, struct error *err);
/* When the device's window opens: `now` when it is open or there is none. */
int64_t rollout_assignment_opens(struct rollout_act *act, const struct rollout *rollout,
                                 const struct rollout_assignment *assignment, int64_t now);

/* A person has one that failed asked again, as if for the first time. */
bool rollout_assignment_again(struct rollout_act *act, const struct rollout *rollout,
                              struct rollout_assignment *assignment, struct error *err);

/* --- what the device says: rollout_look.c
 * --------------------------------------------------------------------------- */
/* Looks at what the device last said and moves the assignment. `late`: its `until` has passed. */
bool rollout_assignment_look(struct rollout_act *act, const struct rollout *rollout,
                             struct rollout_assignment *assignment, bool late, int64_t now,
                             struct error *err);

#endif

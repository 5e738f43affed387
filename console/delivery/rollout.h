/* Rollouts: a staged move of devices to a version of one asset, which stops by itself when it goes wrong.
 *
 * LIFECYCLE.md draws the states. Every change of a state is made inside an act, which is one transaction of
 * the database; acts follow one another. Nothing here may be called with a database connection in hand,
 * unless it takes one. */
#ifndef CONSOLE_DELIVERY_ROLLOUT_H
#define CONSOLE_DELIVERY_ROLLOUT_H

#include "base/arena.h"
#include "base/db.h"
#include "base/error.h"
#include "base/json.h"
#include "console/console.h"
#include "diagnostics/lifecycle.h"

#include <stdbool.h>
#include <stdint.h>

enum rollout_state {
    ROLLOUT_DRAFT,
    ROLLOUT_AWAITING_APPROVAL,
    ROLLOUT_SCHEDULED,
    ROLLOUT_RUNNING,
    ROLLOUT_SOAKING,
    ROLLOUT_PAUSED, /* by a person */
    ROLLOUT_HELD,   /* by a gate */
    ROLLOUT_COMPLETED,
    ROLLOUT_ABORTING,
    ROLLOUT_ABORTED,
    ROLLOUT_ROLLING_BACK,
    ROLLOUT_ROLLED_BACK
};
extern const struct lifecycle rollout_lifecycle;

#define ROLLOUT_DEVICES_MOST 100000
#define ROLLOUT_STAGES_MOST 20

/* What a person asks for. */
struct rollout_plan {
    const char *product, *asset, *version;
    const char *group, *filter; /* that chose the devices; both NULL: named one by one */
    int64_t *device_ids;        /* chosen by the caller, each once, any order */
    size_t device_count;
    const char *const *shares; /* of the stages: "10%" or "5", rising */
    size_t share_count;
    const char *max_failures; /* "5%" or "3"; NULL: no gate */
    const char *window;       /* NULL: any time */
    int64_t soak_s, device_deadline_s;
    int64_t stage_deadline_s, min_successes, parallel, rate; /* 0: none */
    int64_t retries;
    int64_t at, ends_at; /* Unix seconds; 0: now, open */
    bool approval, auto_roll_back, late_joiners;
    bool draft;                  /* a person starts it */
    const char *reason, *ticket; /* or NULL */
    const char *operator_name;
};
/* INPUT, MISSING or CONFLICT with a sentence when the plan cannot be: no device, unknown version, stages that
 * do not rise, or a device that another rollout of the same asset has (naming that rollout). */
bool rollout_create(struct console *console, const struct rollout_plan *plan, int64_t *id, struct error *err);
/* API.md "plan": the same thinking, and nothing is written. */
bool rollout_dry_run(struct console *console, const struct rollout_plan *plan, struct json_writer *writer,
                     struct error *err);

/* --- what people do
 * ----------------------------------------------------------------------------------------------- */
enum rollout_verb {
    ROLLOUT_START,
    ROLLOUT_PAUSE,
    ROLLOUT_RESUME, /* of a held one: accepts the failures so far */
    ROLLOUT_ADVANCE,
    ROLLOUT_ABORT,
    ROLLOUT_ROLL_BACK,
    ROLLOUT_RETRY /* those that failed are asked again */
};
/* CONFLICT when the state does not allow it, or `expect` (a state's name; NULL: any) is another. */
bool rollout_do(struct console *console, int64_t id, enum rollout_verb verb, const char *reason,
                const char *expect, const char *operator_name, struct error *err);
/* Takes devices out: who has not finished gets back what it wanted before. MISSING names one that is not a
 * member. */
bool rollout_exclude(struct console *console, int64_t id, const int64_t *device_ids, size_t count,
                     const char *operator_name, struct error *err);

/* --- the rest of the console
 * -------------------------------------------------------------------------------------- */
struct rollouts;
/* After the fleet is open: who is watched, into its memory. */
struct rollouts *rollouts_open(struct console *console, struct error *err);
void rollouts_close(struct rollouts *rollouts); /* NULL is fine */
/* Scheduler step, every 100 ms: what devices said, deadlines, times, the next devices. */
bool rollouts_step(struct console *console, struct error *err);
/* Does a rollout that is not over need this version: as its own, or to go back to? True as well when that
 * cannot be told. */
bool rollout_wants(struct db_conn *conn, const char *product, const char *asset, const char *version);

/* API.md "rollout" as one value. MISSING. */
bool rollout_write(struct db_conn *conn, int64_t id, struct json_writer *writer, struct error *err);
/* Newest first, ids below `before` (0: all), at most `limit`. *last: where the next page begins, 0: none. */
bool rollout_list(struct db_conn *conn, int64_t before, int64_t limit, struct json_writer *writer,
                  int64_t *last, int64_t *total, struct error *err);
/* Those that are not over (drafts excepted): values inside an open array. */
bool rollout_write_open(struct db_conn *conn, struct json_writer *writer, int64_t limit, struct error *err);
/* Assignments by device id above `after`: values inside an open array. `state` NULL, `stage` 0: all. */
struct rollout_choice {
    const char *state;
    int64_t stage, after, limit;
};
bool rollout_write_devices(struct db_conn *conn, int64_t id, const struct rollout_choice *choice,
                           struct json_writer *writer, int64_t *last, struct error *err);
/* Failures, grouped by reason and result, with a sample of devices and their last words. */
bool rollout_write_failures(struct db_conn *conn, int64_t id, struct json_writer *writer, struct error *err);
bool rollout_write_timeline(struct db_conn *conn, int64_t id, struct json_writer *writer, struct error *err);

#endif

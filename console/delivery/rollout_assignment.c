#include "console/delivery/rollout_assignment.h"

#include "base/clock.h"
#include "base/text.h"
#include "console/devices.h"

#include <string.h>

/* What may follow while the device is asked: steps may be left out, never gone back; a failure may be tried
 * again. */
#define ASKED_ENDS                                                                                           \
    (STATE(RA_PENDING) | STATE(RA_FAILED) | STATE(RA_SUPERSEDED) | STATE(RA_SKIPPED) | STATE(RA_ROLLING_BACK))
#define PROVEN (STATE(RA_CONFIRMING) | STATE(RA_APPLIED))

static const struct lifecycle_state states[] = {
    [RA_PENDING] = {"pending",
                    STATE(RA_OFFERED) | STATE(RA_ALREADY_CURRENT) | STATE(RA_SKIPPED) | STATE(RA_SUPERSEDED),
                    false},
    [RA_OFFERED] = {"offered",
                    STATE(RA_DOWNLOADING) | STATE(RA_DOWNLOADED) | STATE(RA_UPDATING) | PROVEN | ASKED_ENDS,
                    false},
    [RA_DOWNLOADING] = {"downloading", STATE(RA_DOWNLOADED) | STATE(RA_UPDATING) | PROVEN | ASKED_ENDS,
                        false},
    [RA_DOWNLOADED] = {"downloaded", STATE(RA_UPDATING) | PROVEN | ASKED_ENDS, false},
    [RA_UPDATING] = {"updating", PROVEN | ASKED_ENDS, false},
    [RA_CONFIRMING] = {"confirming", STATE(RA_APPLIED) | ASKED_ENDS, false},
    /* Watched while its rollout is open. */
    [RA_APPLIED] = {"applied",
                    STATE(RA_FAILED) | STATE(RA_SUPERSEDED) | STATE(RA_SKIPPED) | STATE(RA_ROLLING_BACK),
                    true},
    [RA_ALREADY_CURRENT] = {"already_current", 0, true},
    [RA_SKIPPED] = {"skipped", 0, true},
    /* A late proof amends what silence made us believe; a person may have it tried again. */
    [RA_FAILED] = {"failed",
                   STATE(RA_PENDING) | STATE(RA_CONFIRMING) | STATE(RA_SKIPPED) | STATE(RA_SUPERSEDED) |
                       STATE(RA_ROLLING_BACK),
                   true},
    [RA_SUPERSEDED] = {"superseded", 0, true},
    [RA_ROLLING_BACK] = {"rolling_back", STATE(RA_ROLLED_BACK) | STATE(RA_FAILED) | STATE(RA_SUPERSEDED),
                         false},
    [RA_ROLLED_BACK] = {"rolled_back", 0, true},
};
const struct lifecycle rollout_assignment_lifecycle = {"the assignment", states, RA_STATES};

const char *rollout_assignment_state_name(enum rollout_assignment_state state)
{
    return states[state].name;
}

/* --- counting
 * ----------------------------------------------------------------------------------------------------- */

bool rollout_counts_read(struct db_conn *conn, int64_t rollout, int64_t stage, bool up_to,
                         struct rollout_counts *counts, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT state, devices FROM rollout_count WHERE rollout_id = :rollout"
                       " AND (stage = :stage OR (:up_to = 1 AND stage < :stage))");

    *counts = (struct rollout_counts){0};
    db_bind_integer(query, ":rollout", rollout);
    db_bind_integer(query, ":stage", stage);
    db_bind_integer(query, ":up_to", up_to);
    while (db_step(query)) {
        int state;

        if (lifecycle_find(&rollout_assignment_lifecycle, db_text(query, 0), &state))
            counts->of[state] += db_integer(query, 1);
    }
    return db_end(query, err);
}

int64_t rollout_counts_moving(const struct rollout_counts *counts)
{
    return counts->of[RA_OFFERED] + counts->of[RA_DOWNLOADING] + counts->of[RA_DOWNLOADED] +
           counts->of[RA_UPDATING];
}

int64_t rollout_counts_all(const struct rollout_counts *counts)
{
    int64_t all = 0;

    for (int i = 0; i < RA_STATES; i++)
        all += counts->of[i];
    return all;
}

bool rollout_counts_add(struct rollout_act *act, int64_t rollout, int64_t stage,
                        enum rollout_assignment_state state, int64_t devices, struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "INSERT INTO rollout_count (rollout_id, stage, state, devices)"
                   " VALUES (:rollout, :stage, :state, :devices) ON CONFLICT (rollout_id, stage, state)"
                   " DO UPDATE SET devices = rollout_count.devices + excluded.devices");

    db_bind_integer(query, ":rollout", rollout);
    db_bind_integer(query, ":stage", stage);
    db_bind_text(query, ":state", states[state].name);
    db_bind_integer(query, ":devices", devices);
    rollout_act_counted(act, rollout);
    return db_run(query, NULL, err);
}

/* --- writing
 * ------------------------------------------------------------------------------------------------------ */

bool rollout_assignment_add(struct rollout_act *act, int64_t rollout, int64_t stage, int64_t device_id,
                            struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "INSERT INTO rollout_assignment (rollout_id, device_id, stage, state, since, attempts)"
                   " VALUES (:rollout, :device, :stage, 'pending', :now, 0)");

    db_bind_integer(query, ":rollout", rollout);
    db_bind_integer(query, ":device", device_id);
    db_bind_integer(query, ":stage", stage);
    db_bind_integer(query, ":now", clock_now());
    return db_run(query, NULL, err);
}

/* Ends that a person looks for in the device's own time line. */
static bool line_add(struct rollout_act *act, const struct rollout_assignment *assignment, struct error *err)
{
    enum rollout_assignment_state state = assignment->state;

    if (state != RA_APPLIED && state != RA_FAILED && state != RA_ROLLED_BACK)
        return true;
    return device_event_add(act->conn, assignment->device_id, "rollout",
                            arena_printf(&act->arena, "rollout %lld: %s%s%s", (long long)assignment->rollout,
                                         states[state].name, assignment->reason_text ? ", " : "",
                                         assignment->reason_text ? assignment->reason_text : ""),
                            err);
}

static bool row_write(struct rollout_act *act, const struct rollout_assignment *assignment,
                      enum rollout_assignment_state from, struct error *err)
{
    int64_t changes = 0;
    struct db_query *query = db_query(
        act->conn, "UPDATE rollout_assignment SET state = :to, since = :now, until = nullif(:until, 0),"
                   " deadline = nullif(:deadline, 0), attempts = :attempts, result = nullif(:result, -1),"
                   " reason_code = :code, reason_text = :text, from_version = :from_version,"
                   " before_version = :before, before_rollout = nullif(:before_rollout, 0),"
                   " before_at = nullif(:before_at, 0)"
                   " WHERE rollout_id = :rollout AND device_id = :device AND state = :from");

    db_bind_text(query, ":to", states[assignment->state].name);
    db_bind_text(query, ":from", states[from].name);
    db_bind_integer(query, ":now", assignment->since);
    db_bind_integer(query, ":until", assignment->until);
    db_bind_integer(query, ":deadline", assignment->deadline);
    db_bind_integer(query, ":attempts", assignment->attempts);
    db_bind_integer(query, ":result", assignment->result);
    db_bind_text(query, ":code", assignment->reason_code);
    db_bind_text(query, ":text", assignment->reason_text);
    db_bind_text(query, ":from_version", assignment->from_version);
    db_bind_text(query, ":before", assignment->before_version);
    db_bind_integer(query, ":before_rollout", assignment->before_rollout);
    db_bind_integer(query, ":before_at", assignment->before_at);
    db_bind_integer(query, ":rollout", assignment->rollout);
    db_bind_integer(query, ":device", assignment->device_id);
    if (!db_run(query, &changes, err))
        return false;
    return changes || error_set(err, ERROR_CONFLICT, "the assignment is no longer %s", states[from].name);
}

bool rollout_assignment_set(struct rollout_act *act, struct rollout_assignment *assignment,
                            enum rollout_assignment_state to, int64_t until,
                            const struct rollout_reason *reason, struct error *err)
{
    enum rollout_assignment_state from = assignment->state;

    if (!lifecycle_check(&rollout_assignment_lifecycle, from, to, err))
        return false;
    assignment->state = to;
    assignment->since = clock_now();
    assignment->until = until;
    assignment->reason_code = reason ? arena_strdup(&act->arena, reason->code) : NULL;
    assignment->reason_text = reason && reason->text ? arena_strdup(&act->arena, reason->text) : NULL;
    rollout_act_device(act, assignment->device_id);
    return row_write(act, assignment, from, err) &&
           rollout_counts_add(act, assignment->rollout, assignment->stage, from, -1, err) &&
           rollout_counts_add(act, assignment->rollout, assignment->stage, to, 1, err) &&
           line_add(act, assignment, err);
}

bool rollout_assignment_wait(struct rollout_act *act, struct rollout_assignment *assignment, int64_t until,
                             struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "UPDATE rollout_assignment SET until = nullif(:until, 0),"
                            " deadline = nullif(:deadline, 0)"
                            " WHERE rollout_id = :rollout AND device_id = :device AND state = :state");

    db_bind_integer(query, ":until", until);
    db_bind_integer(query, ":deadline", assignment->deadline);
    db_bind_integer(query, ":rollout", assignment->rollout);
    db_bind_integer(query, ":device", assignment->device_id);
    db_bind_text(query, ":state", states[assignment->state].name);
    assignment->until = until;
    return db_run(query, NULL, err);
}

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */

#define COLUMNS                                                                                              \
    "a.rollout_id, a.device_id, a.stage, a.state, a.since, a.until, a.deadline, a.attempts,"                 \
    " coalesce(a.result, -1), a.reason_code, a.reason_text, a.from_version, a.before_version,"               \
    " a.before_rollout, a.before_at FROM rollout_assignment a"

static void row_read(struct db_query *query, struct arena *arena, struct rollout_assignment *assignment)
{
    int state = RA_FAILED;

    lifecycle_find(&rollout_assignment_lifecycle, db_text(query, 3), &state);
    *assignment = (struct rollout_assignment){.rollout = db_integer(query, 0),
                                              .device_id = db_integer(query, 1),
                                              .stage = db_integer(query, 2),
                                              .state = (enum rollout_assignment_state)state,
                                              .since = db_integer(query, 4),
                                              .until = db_integer(query, 5),
                                              .deadline = db_integer(query, 6),
                                              .attempts = db_integer(query, 7),
                                              .result = db_integer(query, 8),
                                              .reason_code = db_text_copy(query, 9, arena),
                                              .reason_text = db_text_copy(query, 10, arena),
                                              .from_version = db_text_copy(query, 11, arena),
                                              .before_version = db_text_copy(query, 12, arena),
                                              .before_rollout = db_integer(query, 13),
                                              .before_at = db_integer(query, 14)};
}

static bool rows_read(struct rollout_act *act, struct db_query *query, struct rollout_assignments *list,
                      struct error *err)
{
    size_t room = 0;

    *list = (struct rollout_assignments){0};
    while (db_step(query)) {
        if (list->count == room) {
            struct rollout_assignment *grown = arena_array(&act->arena, room * 2 + 16, sizeof *grown);

            if (list->count)
                memcpy(grown, list->items, list->count * sizeof *grown);
            list->items = grown;
            room = room * 2 + 16;
        }
        row_read(query, &act->arena, &list->items[list->count++]);
    }
    return db_end(query, err);
}

bool rollout_assignments_of_device(struct rollout_act *act, int64_t device_id,
                                   struct rollout_assignments *list, struct error *err)
{
    struct db_query *query =
        db_query(act->conn,
                 "SELECT " COLUMNS " JOIN rollout r ON r.id = a.rollout_id WHERE a.device_id = :device"
                 " AND a.state NOT IN ('pending', 'already_current', 'skipped', 'superseded', 'rolled_back')"
                 " AND r.state NOT IN ('completed', 'aborted', 'rolled_back')");

    db_bind_integer(query, ":device", device_id);
    return rows_read(act, query, list, err);
}

bool rollout_assignments_in(struct rollout_act *act, int64_t rollout, enum rollout_assignment_state state,
                            int64_t stage, int64_t now, int64_t limit, struct rollout_assignments *list,
                            struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "SELECT " COLUMNS " WHERE a.rollout_id = :rollout AND a.state = :state"
                            " AND a.stage <= :stage AND (a.until IS NULL OR a.until <= :now)"
                            " AND coalesce(a.reason_code, '') <> 'roll_back_timed_out'"
                            " ORDER BY a.stage, a.device_id LIMIT :limit");

    db_bind_integer(query, ":rollout", rollout);
    db_bind_text(query, ":state", states[state].name);
    db_bind_integer(query, ":stage", stage);
    db_bind_integer(query, ":now", now);
    db_bind_integer(query, ":limit", limit);
    return rows_read(act, query, list, err);
}

bool rollout_assignments_late(struct rollout_act *act, int64_t now, int64_t limit,
                              struct rollout_assignments *list, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "SELECT " COLUMNS " WHERE a.until IS NOT NULL AND a.until <= :now"
                            " AND a.state <> 'pending' ORDER BY a.until LIMIT :limit");

    db_bind_integer(query, ":now", now);
    db_bind_integer(query, ":limit", limit);
    return rows_read(act, query, list, err);
}

bool rollout_assignments_failed(struct rollout_act *act, const struct rollout *rollout, int64_t limit,
                                struct rollout_assignments *list, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "SELECT " COLUMNS " JOIN device_target t ON t.device_id = a.device_id"
                            " AND t.asset = :asset AND t.rollout_id = a.rollout_id"
                            " WHERE a.rollout_id = :rollout AND a.state = 'failed'"
                            " AND coalesce(a.before_rollout, 0) <> a.rollout_id LIMIT :limit");

    db_bind_text(query, ":asset", rollout->asset);
    db_bind_integer(query, ":rollout", rollout->id);
    db_bind_integer(query, ":limit", limit);
    return rows_read(act, query, list, err);
}

bool rollout_assignment_find(struct rollout_act *act, int64_t rollout, int64_t device_id,
                             struct rollout_assignment *assignment, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "SELECT " COLUMNS " WHERE a.rollout_id = :rollout AND a.device_id = :device");

    db_bind_integer(query, ":rollout", rollout);
    db_bind_integer(query, ":device", device_id);
    bool found = db_step(query);
    if (found)
        row_read(query, &act->arena, assignment);
    if (!db_end(query, err))
        return false;
    return found || error_set(err, ERROR_MISSING, "the device is not in rollout %lld", (long long)rollout);
}

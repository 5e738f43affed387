/* What people do with a rollout. */
#include "console/delivery/rollout_assignment.h"

#include "base/clock.h"
#include "base/text.h"
#include "console/audit.h"

#include <stdlib.h>
#include <string.h>

#define DO_MS 100 /* that a request spends on the devices that follow; the step goes on */
#define RETRY_MOST ROLLOUT_DEVICES_MOST

struct doing {
    const char *reason;
    int64_t now;
};
typedef bool verb(struct rollout_act *act, struct rollout *rollout, const struct doing *doing,
                  struct error *err);

static bool refuse(const struct rollout *rollout, const char *what, struct error *err)
{
    return error_set(err, ERROR_CONFLICT, "rollout %lld is %s: it cannot %s", (long long)rollout->id,
                     rollout_lifecycle.states[rollout->state].name, what);
}

/* The members' ids, rising. */
static bool members_read(struct rollout_act *act, int64_t id, int64_t **ids, size_t *count, struct error *err)
{
    struct rollout rollout;
    struct db_query *query;

    if (!rollout_find(act->conn, &act->arena, id, &rollout, err))
        return false;
    *ids = arena_array(&act->arena, (size_t)rollout.devices, sizeof **ids);
    *count = 0;
    query = db_query(act->conn, "SELECT device_id FROM rollout_assignment WHERE rollout_id = :id"
                                " ORDER BY device_id");
    db_bind_integer(query, ":id", id);
    while (db_step(query) && *count < (size_t)rollout.devices)
        (*ids)[(*count)++] = db_integer(query, 0);
    return db_end(query, err);
}

static bool start(struct rollout_act *act, struct rollout *rollout, const struct doing *doing,
                  struct error *err)
{
    int64_t *ids;
    size_t count;

    if (rollout->state != ROLLOUT_DRAFT && rollout->state != ROLLOUT_SCHEDULED)
        return refuse(rollout, "be started", err);
    if (!members_read(act, rollout->id, &ids, &count, err) ||
        !rollout_conflict_check(act->conn, rollout, ids, count, err))
        return false;
    if (rollout->state == ROLLOUT_SCHEDULED)
        rollout->at = 0; /* now, whatever was planned */
    return rollout_begin(act, rollout, doing->now, err);
}

static bool pause_do(struct rollout_act *act, struct rollout *rollout, const struct doing *doing,
                     struct error *err)
{
    return rollout_set(act, rollout, ROLLOUT_PAUSED, 0, doing->reason ? "paused" : NULL, doing->reason, err);
}

static bool resume(struct rollout_act *act, struct rollout *rollout, const struct doing *doing,
                   struct error *err)
{
    if (rollout->state == ROLLOUT_PAUSED && !rollout->stage)
        return rollout_begin(act, rollout, doing->now, err);
    if (rollout->state == ROLLOUT_HELD && !rollout_stage_accept(act, rollout, err))
        return false;
    if (rollout->state != ROLLOUT_PAUSED && rollout->state != ROLLOUT_HELD)
        return refuse(rollout, "be resumed", err);
    return rollout_set(act, rollout, ROLLOUT_RUNNING, 0, NULL, NULL, err);
}

static bool advance(struct rollout_act *act, struct rollout *rollout, const struct doing *doing,
                    struct error *err)
{
    enum rollout_state from = rollout->state;

    if (from != ROLLOUT_RUNNING && from != ROLLOUT_SOAKING && from != ROLLOUT_HELD &&
        from != ROLLOUT_AWAITING_APPROVAL)
        return refuse(rollout, "go on to its next stage", err);
    if (rollout->stage >= rollout->stages && from != ROLLOUT_HELD)
        return error_set(err, ERROR_CONFLICT, "rollout %lld is in its last stage", (long long)rollout->id);
    if (!rollout_stage_accept(act, rollout, err) ||
        (from != ROLLOUT_RUNNING && !rollout_set(act, rollout, ROLLOUT_RUNNING, 0, NULL, NULL, err)))
        return false;
    return rollout->stage >= rollout->stages ||
           rollout_stage_begin(act, rollout, rollout->stage + 1, doing->now, err);
}

/* Who ended it, and what for: the gate that held it until then is not forgotten. */
static const char *ended_text(struct rollout_act *act, const struct rollout *rollout,
                              const struct doing *doing)
{
    const char *text = doing->reason ? doing->reason : arena_printf(&act->arena, "by %s", act->operator_name);

    if (rollout->state != ROLLOUT_HELD || !rollout->reason_text)
        return text;
    return arena_printf(&act->arena, "%s; it was held: %s", text, rollout->reason_text);
}

static bool abort_do(struct rollout_act *act, struct rollout *rollout, const struct doing *doing,
                     struct error *err)
{
    enum rollout_state to = rollout->stage ? ROLLOUT_ABORTING : ROLLOUT_ABORTED;

    return rollout_set(act, rollout, to, 0, "aborted", ended_text(act, rollout, doing), err);
}

static bool roll_back(struct rollout_act *act, struct rollout *rollout, const struct doing *doing,
                      struct error *err)
{
    return rollout_set(act, rollout, ROLLOUT_ROLLING_BACK, 0, "rolled_back", ended_text(act, rollout, doing),
                       err);
}

static bool retry(struct rollout_act *act, struct rollout *rollout, const struct doing *doing,
                  struct error *err)
{
    struct rollout_assignments list;

    if (!rollout->stage || rollout_is_over(rollout) || rollout->state == ROLLOUT_ABORTING ||
        rollout->state == ROLLOUT_ROLLING_BACK)
        return refuse(rollout,
                      rollout_is_over(rollout) ? "ask those that failed again; a new rollout for them can"
                                               : "ask those that failed again",
                      err);
    if (!rollout_assignments_in(act, rollout->id, RA_FAILED, rollout->stages, INT64_MAX, RETRY_MOST, &list,
                                err))
        return false;
    if (!list.count)
        return error_set(err, ERROR_CONFLICT, "nobody failed in rollout %lld", (long long)rollout->id);
    for (size_t i = 0; i < list.count; i++)
        if (!rollout_assignment_again(act, rollout, &list.items[i], err))
            return false;
    if (!rollout_stage_accept(act, rollout, err) ||
        !rollout_note(act, rollout->id, "retry",
                      arena_printf(&act->arena, "%zu that failed are asked again%s%s", list.count,
                                   doing->reason ? ": " : "", doing->reason ? doing->reason : ""),
                      err))
        return false;
    return rollout->state == ROLLOUT_RUNNING || rollout->state == ROLLOUT_PAUSED ||
           rollout_set(act, rollout, ROLLOUT_RUNNING, 0, NULL, NULL, err);
}

static verb *const verbs[] = {
    [ROLLOUT_START] = start,     [ROLLOUT_PAUSE] = pause_do, [ROLLOUT_RESUME] = resume,
    [ROLLOUT_ADVANCE] = advance, [ROLLOUT_ABORT] = abort_do, [ROLLOUT_ROLL_BACK] = roll_back,
    [ROLLOUT_RETRY] = retry,
};

bool rollout_do(struct console *console, int64_t id, enum rollout_verb which, const char *reason,
                const char *expect, const char *operator_name, struct error *err)
{
    const struct doing doing = {.reason = reason, .now = clock_now()};
    struct rollout_act act;
    struct rollout rollout;

    if (!rollout_act_begin(&act, console, operator_name, err))
        return false;
    bool good = rollout_find(act.conn, &act.arena, id, &rollout, err);
    if (good && expect && strcmp(expect, rollout_lifecycle.states[rollout.state].name) != 0)
        good = error_set(err, ERROR_CONFLICT, "rollout %lld is %s, not %.40s as you saw it", (long long)id,
                         rollout_lifecycle.states[rollout.state].name, expect);
    good =
        good && verbs[which](&act, &rollout, &doing, err) && rollout_advance(&act, id, doing.now, DO_MS, err);
    return rollout_act_end(&act, good, err);
}

/* --- excluding
 * ---------------------------------------------------------------------------------------------------- */

static bool exclude_one(struct rollout_act *act, const struct rollout *rollout, int64_t device_id,
                        int64_t *excluded, struct error *err)
{
    const struct rollout_reason reason = {"excluded",
                                          arena_printf(&act->arena, "taken out by %s", act->operator_name)};
    struct rollout_assignment assignment;

    if (!rollout_assignment_find(act, rollout->id, device_id, &assignment, err))
        return false;
    if (assignment.state == RA_APPLIED ||
        !lifecycle_allows(&rollout_assignment_lifecycle, (int)assignment.state, RA_SKIPPED))
        return true; /* it has finished */
    ++*excluded;
    return rollout_assignment_leave(act, rollout, &assignment, RA_SKIPPED, &reason, err);
}

bool rollout_exclude(struct console *console, int64_t id, const int64_t *device_ids, size_t count,
                     const char *operator_name, struct error *err)
{
    struct rollout_act act;
    struct rollout rollout;
    int64_t excluded = 0;

    if (!rollout_act_begin(&act, console, operator_name, err))
        return false;
    bool good = rollout_find(act.conn, &act.arena, id, &rollout, err);
    if (good && rollout_is_over(&rollout))
        good = refuse(&rollout, "lose devices", err);
    for (size_t i = 0; good && i < count; i++)
        good = exclude_one(&act, &rollout, device_ids[i], &excluded, err);
    const char *line = arena_printf(&act.arena, "%lld devices taken out", (long long)excluded);
    good = good && rollout_note(&act, id, "exclude", line, err) &&
           audit_add(act.conn, operator_name, "exclude",
                     arena_printf(&act.arena, "rollout %lld", (long long)id), line, err) &&
           rollout_advance(&act, id, clock_now(), DO_MS, err);
    return rollout_act_end(&act, good, err);
}

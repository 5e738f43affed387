#include "console/delivery/rollout.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/text.h"
#include "console/audit.h"
#include "console/delivery/rollout_assignment.h"
#include "console/delivery/rollout_parts.h"
#include "console/events.h"
#include "console/hooks.h"
#include "console/fleet.h"

#include <stdlib.h>
#include <string.h>

#define BEGUN_MAY                                                                                            \
    (STATE(ROLLOUT_PAUSED) | STATE(ROLLOUT_HELD) | STATE(ROLLOUT_ABORTING) | STATE(ROLLOUT_ABORTED) |        \
     STATE(ROLLOUT_ROLLING_BACK))

static const struct lifecycle_state states[] = {
    [ROLLOUT_DRAFT] = {"draft", STATE(ROLLOUT_SCHEDULED) | STATE(ROLLOUT_RUNNING) | STATE(ROLLOUT_ABORTED),
                       false},
    [ROLLOUT_AWAITING_APPROVAL] = {"awaiting_approval", STATE(ROLLOUT_RUNNING) | BEGUN_MAY, false},
    [ROLLOUT_SCHEDULED] = {"scheduled",
                           STATE(ROLLOUT_RUNNING) | STATE(ROLLOUT_PAUSED) | STATE(ROLLOUT_ABORTED), false},
    [ROLLOUT_RUNNING] = {"running",
                         STATE(ROLLOUT_SOAKING) | STATE(ROLLOUT_AWAITING_APPROVAL) |
                             STATE(ROLLOUT_COMPLETED) | BEGUN_MAY,
                         false},
    [ROLLOUT_SOAKING] = {"soaking",
                         STATE(ROLLOUT_RUNNING) | STATE(ROLLOUT_AWAITING_APPROVAL) |
                             STATE(ROLLOUT_COMPLETED) | BEGUN_MAY,
                         false},
    [ROLLOUT_PAUSED] = {"paused",
                        STATE(ROLLOUT_RUNNING) | STATE(ROLLOUT_SCHEDULED) | STATE(ROLLOUT_ABORTING) |
                            STATE(ROLLOUT_ABORTED) | STATE(ROLLOUT_ROLLING_BACK),
                        false},
    [ROLLOUT_HELD] = {"held",
                      STATE(ROLLOUT_RUNNING) | STATE(ROLLOUT_PAUSED) | STATE(ROLLOUT_ABORTING) |
                          STATE(ROLLOUT_ABORTED) | STATE(ROLLOUT_ROLLING_BACK),
                      false},
    /* A person may still take back what was done. */
    [ROLLOUT_COMPLETED] = {"completed", STATE(ROLLOUT_ROLLING_BACK), true},
    [ROLLOUT_ABORTING] = {"aborting", STATE(ROLLOUT_ABORTED) | STATE(ROLLOUT_ROLLING_BACK), false},
    [ROLLOUT_ABORTED] = {"aborted", STATE(ROLLOUT_ROLLING_BACK), true},
    [ROLLOUT_ROLLING_BACK] = {"rolling_back", STATE(ROLLOUT_ROLLED_BACK), false},
    [ROLLOUT_ROLLED_BACK] = {"rolled_back", 0, true},
};
const struct lifecycle rollout_lifecycle = {"the rollout", states, sizeof states / sizeof *states};

bool rollout_is_over(const struct rollout *rollout)
{
    return states[rollout->state].is_end;
}

/* --- acts
 * ----------------------------------------------------------------------------------------------------- */

bool rollout_act_begin(struct rollout_act *act, struct console *console, const char *operator_name,
                       struct error *err)
{
    *act = (struct rollout_act){.console = console, .operator_name = operator_name};
    act->last = &act->first;
    pthread_mutex_lock(&console->rollouts->acts);
    act->conn = db_write(console->db, err);
    if (act->conn)
        return true;
    pthread_mutex_unlock(&console->rollouts->acts);
    return false;
}

static void number_add(struct arena *arena, int64_t **numbers, size_t *count, size_t *room, int64_t number)
{
    if (*count == *room) {
        size_t grown = *room * 2 + 16;
        int64_t *more = arena_array(arena, grown, sizeof *more);

        if (*count)
            memcpy(more, *numbers, *count * sizeof *more);
        *numbers = more;
        *room = grown;
    }
    (*numbers)[(*count)++] = number;
}

void rollout_act_device(struct rollout_act *act, int64_t device_id)
{
    number_add(&act->arena, &act->devices, &act->device_count, &act->device_room, device_id);
}

void rollout_act_wish(struct rollout_act *act, int64_t device_id)
{
    number_add(&act->arena, &act->wishes, &act->wish_count, &act->wish_room, device_id);
}

void rollout_act_counted(struct rollout_act *act, int64_t rollout)
{
    for (size_t i = 0; i < act->counted_count; i++)
        if (act->counted[i] == rollout)
            return;
    number_add(&act->arena, &act->counted, &act->counted_count, &act->counted_room, rollout);
}

/* How closely a device is to be watched: 2 while it moves, 1 while it may fall back, 0. */
static bool level_read(struct db_conn *conn, int64_t device_id, int *level, struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT max(CASE WHEN a.state IN ('offered', 'downloading', 'downloaded', 'updating',"
              " 'confirming', 'rolling_back') THEN 2 WHEN a.state IN ('applied', 'failed') AND r.state NOT IN"
              " ('completed', 'aborted', 'rolled_back') THEN 1 ELSE 0 END)"
              " FROM rollout_assignment a JOIN rollout r ON r.id = a.rollout_id WHERE a.device_id = :device");

    db_bind_integer(query, ":device", device_id);
    *level = db_step(query) ? (int)db_integer(query, 0) : 0;
    return db_end(query, err);
}

static bool levels_read(struct rollout_act *act, int **levels, struct error *err)
{
    *levels = arena_array(&act->arena, act->device_count, sizeof **levels);
    for (size_t i = 0; i < act->device_count; i++)
        if (!level_read(act->conn, act->devices[i], &(*levels)[i], err))
            return false;
    return true;
}

/* Memory follows the database: their orders are thought over. */
static void devices_apply(struct rollout_act *act, const int *levels)
{
    struct fleet *fleet = act->console->fleet;

    fleet_lock(fleet);
    for (size_t i = 0; i < act->device_count; i++) {
        struct device *device = fleet_by_id(fleet, act->devices[i]);

        if (device)
            fleet_rollout_level(fleet, device, levels[i]);
    }
    for (size_t i = 0; i < act->wish_count; i++) {
        struct device *device = fleet_by_id(fleet, act->wishes[i]);

        if (device)
            device_wish_changed(device);
    }
    fleet_unlock(fleet);
}

static void untold_add(struct rollouts *rollouts, int64_t id)
{
    for (size_t i = 0; i < rollouts->untold_count; i++)
        if (rollouts->untold[i] == id)
            return;
    if (rollouts->untold_count == rollouts->untold_room) {
        size_t room = rollouts->untold_room * 2 + 8;
        int64_t *grown = reallocarray(rollouts->untold, room, sizeof *grown);

        if (!grown)
            abort();
        rollouts->untold = grown;
        rollouts->untold_room = room;
    }
    rollouts->untold[rollouts->untold_count++] = id;
}

static void act_tell(struct rollout_act *act)
{
    for (const struct rollout_told *told = act->first; told; told = told->next) {
        log_event(LOG_INFO, "rollout", "id=%lld state=%s", (long long)told->id, told->state);
        events_send(act->console->events, "rollout", "{\"id\":%lld,\"state\":\"%s\"}", (long long)told->id,
                    told->state);
    }
    if (act->first)
        hooks_wake(act->console->hooks);
    for (size_t i = 0; i < act->counted_count; i++)
        untold_add(act->console->rollouts, act->counted[i]);
}

bool rollout_act_end(struct rollout_act *act, bool good, struct error *err)
{
    int *levels = NULL;

    good = good && levels_read(act, &levels, err);
    if (good)
        good = db_commit(act->conn, err);
    else
        db_done(act->conn);
    if (good) {
        devices_apply(act, levels);
        act_tell(act);
    }
    pthread_mutex_unlock(&act->console->rollouts->acts);
    arena_end(&act->arena);
    return good;
}

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */

static void row_read(struct db_query *query, struct arena *arena, struct rollout *rollout)
{
    int state = ROLLOUT_ABORTED;

    lifecycle_find(&rollout_lifecycle, db_text(query, 7), &state);
    *rollout = (struct rollout){.id = db_integer(query, 0),
                                .product = db_text_copy(query, 1, arena),
                                .asset = db_text_copy(query, 2, arena),
                                .version = db_text_copy(query, 3, arena),
                                .manifest = db_text_copy(query, 4, arena),
                                .hardware = db_text_copy(query, 5, arena),
                                .requires = db_text_copy(query, 6, arena),
                                .state = (enum rollout_state)state,
                                .since = db_integer(query, 8),
                                .until = db_integer(query, 9),
                                .reason_code = db_text_copy(query, 10, arena),
                                .reason_text = db_text_copy(query, 11, arena),
                                .group = db_text_copy(query, 12, arena),
                                .filter = db_text_copy(query, 13, arena),
                                .seed = db_text_copy(query, 14, arena),
                                .stage = db_integer(query, 15),
                                .stages = db_integer(query, 16),
                                .devices = db_integer(query, 17),
                                .soak_s = db_integer(query, 18),
                                .device_deadline_s = db_integer(query, 19),
                                .stage_deadline_s = db_integer(query, 20),
                                .max_failures = db_text_copy(query, 21, arena),
                                .min_successes = db_integer(query, 22),
                                .approval = db_integer(query, 23) != 0,
                                .at = db_integer(query, 24),
                                .window = db_text_copy(query, 25, arena),
                                .parallel = db_integer(query, 26),
                                .rate = db_integer(query, 27),
                                .retries = db_integer(query, 28),
                                .ends_at = db_integer(query, 29),
                                .auto_roll_back = db_integer(query, 30) != 0,
                                .late_joiners = db_integer(query, 31) != 0,
                                .begins = db_integer(query, 32) != 0,
                                .reason = db_text_copy(query, 33, arena),
                                .ticket = db_text_copy(query, 34, arena),
                                .created_at = db_integer(query, 35),
                                .created_by = db_text_copy(query, 36, arena)};
}

bool rollout_find(struct db_conn *conn, struct arena *arena, int64_t id, struct rollout *rollout,
                  struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT id, product, asset, version, manifest, hardware, requires, state, since, until, reason_code,"
        " reason_text, group_name, filter, seed, stage, stages, devices, soak_s, device_deadline_s,"
        " stage_deadline_s, max_failures, min_successes, approval, at, window, parallel, rate, retries,"
        " ends_at, auto_roll_back, late_joiners, begins, reason, ticket, created_at, created_by"
        " FROM rollout WHERE id = :id");

    db_bind_integer(query, ":id", id);
    bool found = db_step(query);
    if (found)
        row_read(query, arena, rollout);
    if (!db_end(query, err))
        return false;
    return found || error_set(err, ERROR_MISSING, "there is no rollout %lld", (long long)id);
}

bool rollout_open_ids(struct db_conn *conn, struct arena *arena, int64_t **ids, size_t *count,
                      struct error *err)
{
    size_t room = 0;
    struct db_query *query =
        db_query(conn, "SELECT id FROM rollout WHERE state IN ('draft', 'awaiting_approval', 'scheduled',"
                       " 'running', 'soaking', 'paused', 'held', 'aborting', 'rolling_back') ORDER BY id");

    *ids = NULL;
    *count = 0;
    while (db_step(query))
        number_add(arena, ids, count, &room, db_integer(query, 0));
    return db_end(query, err);
}

bool rollout_wants(struct db_conn *conn, const char *product, const char *asset, const char *version)
{
    struct error err = {0};
    struct db_query *query = db_query(
        conn, "SELECT 1 FROM rollout WHERE product = :product AND asset = :asset AND version = :version"
              " AND state NOT IN ('completed', 'aborted', 'rolled_back')"
              /* what it would go back to */
              " UNION ALL SELECT 1 FROM rollout_assignment a JOIN rollout r ON r.id = a.rollout_id"
              " WHERE a.before_version = :version AND r.product = :product AND r.asset = :asset"
              " AND r.state <> 'rolled_back' LIMIT 1");

    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset);
    db_bind_text(query, ":version", version);
    bool wants = db_step(query);
    return !db_end(query, &err) || wants;
}

/* --- writing
 * ------------------------------------------------------------------------------------------------------ */

bool rollout_note(struct rollout_act *act, int64_t id, const char *what, const char *text, struct error *err)
{
    struct db_query *query = db_query(act->conn, "INSERT INTO rollout_event (rollout_id, at, what, text, by)"
                                                 " VALUES (:id, :at, :what, :text, :by)");

    db_bind_integer(query, ":id", id);
    db_bind_integer(query, ":at", clock_now());
    db_bind_text(query, ":what", what);
    db_bind_text(query, ":text", text);
    db_bind_text(query, ":by", act->operator_name);
    return db_run(query, NULL, err);
}

/* A state reached, as the audit's verb and as a line of the timeline. */
static const struct {
    const char *verb, *line;
} words[] = {
    [ROLLOUT_DRAFT] = {"create", "made as a draft"},
    [ROLLOUT_AWAITING_APPROVAL] = {"await", "waits for a person's approval"},
    [ROLLOUT_SCHEDULED] = {"schedule", "waits for its time"},
    [ROLLOUT_RUNNING] = {"start", "runs"},
    [ROLLOUT_SOAKING] = {"soak", "soaks"},
    [ROLLOUT_PAUSED] = {"pause", "paused"},
    [ROLLOUT_HELD] = {"hold", "held"},
    [ROLLOUT_COMPLETED] = {"complete", "completed"},
    [ROLLOUT_ABORTING] = {"abort", "aborting: who is on the way goes on"},
    [ROLLOUT_ABORTED] = {"abort", "aborted"},
    [ROLLOUT_ROLLING_BACK] = {"roll_back", "rolling back"},
    [ROLLOUT_ROLLED_BACK] = {"roll_back", "rolled back"},
};

/* Hooks are told where a rollout stops. */
static bool hook_news(struct rollout_act *act, const struct rollout *rollout, const char *reason,
                      struct error *err)
{
    enum rollout_state to = rollout->state;
    const struct hook_news news = {
        .event = "rollout", .rollout = rollout->id, .state = states[to].name, .reason = reason};

    return (to != ROLLOUT_HELD && to != ROLLOUT_COMPLETED && to != ROLLOUT_ABORTED &&
            to != ROLLOUT_ROLLED_BACK) ||
           hook_tell(act->console, act->conn, &news, err);
}

/* Soaking and running again come and go with devices: a line in the timeline, no row of the audit. */
static bool state_note(struct rollout_act *act, const struct rollout *rollout, enum rollout_state from,
                       struct error *err)
{
    struct arena *arena = &act->arena;
    enum rollout_state to = rollout->state;
    const char *text = rollout->reason_text;
    const char *line = text ? arena_printf(arena, "%s: %s", words[to].line, text) : words[to].line;
    bool small = to == ROLLOUT_SOAKING || (to == ROLLOUT_RUNNING && from == ROLLOUT_SOAKING);

    if (!rollout_note(act, rollout->id, states[to].name, line, err))
        return false;
    if (!hook_news(act, rollout, text, err))
        return false;
    return small || audit_add(act->conn, act->operator_name, words[to].verb,
                              arena_printf(arena, "rollout %lld", (long long)rollout->id),
                              text ? text : rollout->reason, err);
}

static void told_add(struct rollout_act *act, const struct rollout *rollout)
{
    struct rollout_told *told = arena_alloc(&act->arena, sizeof *told);

    *told = (struct rollout_told){.id = rollout->id, .state = states[rollout->state].name};
    *act->last = told;
    act->last = &told->next;
}

bool rollout_set(struct rollout_act *act, struct rollout *rollout, enum rollout_state to, int64_t until,
                 const char *code, const char *text, struct error *err)
{
    enum rollout_state from = rollout->state;
    int64_t changes = 0, now = clock_now();

    if (!lifecycle_check(&rollout_lifecycle, from, to, err))
        return false;
    struct db_query *query =
        db_query(act->conn, "UPDATE rollout SET state = :to, since = :now, until = nullif(:until, 0),"
                            " reason_code = :code, reason_text = :text WHERE id = :id AND state = :from");
    db_bind_text(query, ":to", states[to].name);
    db_bind_text(query, ":from", states[from].name);
    db_bind_integer(query, ":now", now);
    db_bind_integer(query, ":until", until);
    db_bind_text(query, ":code", code);
    db_bind_text(query, ":text", text);
    db_bind_integer(query, ":id", rollout->id);
    if (!db_run(query, &changes, err))
        return false;
    if (!changes)
        return error_set(err, ERROR_CONFLICT, "the rollout is no longer %s", states[from].name);
    rollout->state = to;
    rollout->since = now;
    rollout->until = until;
    rollout->reason_code = code;
    rollout->reason_text = text ? arena_strdup(&act->arena, text) : NULL;
    told_add(act, rollout);
    return state_note(act, rollout, from, err);
}

bool rollout_set_stage(struct rollout_act *act, struct rollout *rollout, int64_t stage, struct error *err)
{
    struct db_query *query = db_query(act->conn, "UPDATE rollout SET stage = :stage WHERE id = :id");

    db_bind_integer(query, ":stage", stage);
    db_bind_integer(query, ":id", rollout->id);
    rollout->stage = stage;
    return db_run(query, NULL, err);
}

bool rollout_set_devices(struct rollout_act *act, struct rollout *rollout, int64_t devices, struct error *err)
{
    struct db_query *query = db_query(act->conn, "UPDATE rollout SET devices = :devices WHERE id = :id");

    db_bind_integer(query, ":devices", devices);
    db_bind_integer(query, ":id", rollout->id);
    rollout->devices = devices;
    return db_run(query, NULL, err);
}

static void settings_bind(struct db_query *query, const struct rollout *rollout)
{
    db_bind_integer(query, ":soak", rollout->soak_s);
    db_bind_integer(query, ":device_deadline", rollout->device_deadline_s);
    db_bind_integer(query, ":stage_deadline", rollout->stage_deadline_s);
    db_bind_text(query, ":failures", rollout->max_failures);
    db_bind_integer(query, ":successes", rollout->min_successes);
    db_bind_integer(query, ":approval", rollout->approval);
    db_bind_integer(query, ":at", rollout->at);
    db_bind_text(query, ":window", rollout->window);
    db_bind_integer(query, ":parallel", rollout->parallel);
    db_bind_integer(query, ":rate", rollout->rate);
    db_bind_integer(query, ":retries", rollout->retries);
    db_bind_integer(query, ":ends", rollout->ends_at);
    db_bind_integer(query, ":auto", rollout->auto_roll_back);
    db_bind_integer(query, ":late", rollout->late_joiners);
    db_bind_integer(query, ":begins", rollout->begins);
}

bool rollout_insert(struct rollout_act *act, struct rollout *rollout, struct error *err)
{
    struct db_query *query = db_query(
        act->conn,
        "INSERT INTO rollout (product, asset, version, manifest, hardware, requires, state, since, "
        "group_name,"
        " filter, seed, stage, stages, devices, soak_s, device_deadline_s, stage_deadline_s, max_failures,"
        " min_successes, approval, at, window, parallel, rate, retries, ends_at, auto_roll_back,"
        " late_joiners, begins, reason, ticket, created_at, created_by) VALUES (:product, :asset, :version,"
        " :manifest, :hardware, :requires, 'draft', :now, :group, :filter, :seed, 0, :stages, :devices,"
        " :soak, :device_deadline, nullif(:stage_deadline, 0), :failures, nullif(:successes, 0), :approval,"
        " nullif(:at, 0), :window, nullif(:parallel, 0), nullif(:rate, 0), :retries, nullif(:ends, 0), :auto,"
        " :late, :begins, :reason, :ticket, :now, :by)");

    rollout->state = ROLLOUT_DRAFT;
    rollout->created_at = rollout->since = clock_now();
    db_bind_text(query, ":product", rollout->product);
    db_bind_text(query, ":asset", rollout->asset);
    db_bind_text(query, ":version", rollout->version);
    db_bind_text(query, ":manifest", rollout->manifest);
    db_bind_text(query, ":hardware", rollout->hardware);
    db_bind_text(query, ":requires", rollout->requires);
    db_bind_integer(query, ":now", rollout->created_at);
    db_bind_text(query, ":group", rollout->group);
    db_bind_text(query, ":filter", rollout->filter);
    db_bind_text(query, ":seed", rollout->seed);
    db_bind_integer(query, ":stages", rollout->stages);
    db_bind_integer(query, ":devices", rollout->devices);
    settings_bind(query, rollout);
    db_bind_text(query, ":reason", rollout->reason);
    db_bind_text(query, ":ticket", rollout->ticket);
    db_bind_text(query, ":by", rollout->created_by);
    if (!db_run(query, NULL, err))
        return false;
    rollout->id = db_last_id(act->conn);
    told_add(act, rollout);
    return state_note(act, rollout, ROLLOUT_DRAFT, err);
}

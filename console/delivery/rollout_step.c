/* What time and devices bring: the step, and what the fleet's memory knows about rollouts. */
#include "console/delivery/rollout_assignment.h"

#include "base/clock.h"
#include "base/log.h"
#include "console/delivery/group.h"
#include "console/events.h"
#include "console/filter.h"

#include <stdlib.h>
#include <string.h>

#define NEWS_MOST 1000 /* devices looked at in a step */
#define LATE_MOST 500
#define LOOK_MS 15         /* of a step, for what devices said */
#define LATE_MS 5          /* of a step, for deadlines */
#define TURN_MS 10         /* of a step, for the next devices */
#define CUT_OFF_S 300      /* a draft whose version was being listed when the console died */
#define WARM_S 60          /* as long as an idle device may stay away */
#define WARM_AGAIN_MS 5000 /* a stage that begins makes others the next */
#define WARM_MOST 2000     /* devices of the next step that come often */
#define JOIN_MS 5000       /* and a second more for each thousand devices of the fleet */

/* --- opening
 * ------------------------------------------------------------------------------------------------------- */

/* Everybody who is watched is looked at again: what was said before the end may not have been taken in. */
static bool levels_load(struct console *console, struct error *err)
{
    DB_DONE(conn) = db_read(console->db, err);

    if (!conn)
        return false;
    struct db_query *query = db_query(
        conn, "SELECT a.device_id, max(CASE WHEN a.state IN ('applied', 'failed') THEN 1 ELSE 2 END)"
              " FROM rollout_assignment a JOIN rollout r ON r.id = a.rollout_id"
              " WHERE r.state NOT IN ('completed', 'aborted', 'rolled_back')"
              " AND a.state NOT IN ('pending', 'already_current', 'skipped', 'superseded', 'rolled_back')"
              " GROUP BY a.device_id");
    fleet_lock(console->fleet);
    while (db_step(query)) {
        struct device *device = fleet_by_id(console->fleet, db_integer(query, 0));

        if (!device)
            continue;
        fleet_rollout_level(console->fleet, device, (int)db_integer(query, 1));
        fleet_rollout_note(console->fleet, device);
    }
    fleet_unlock(console->fleet);
    return db_end(query, err);
}

struct rollouts *rollouts_open(struct console *console, struct error *err)
{
    struct rollouts *rollouts = calloc(1, sizeof *rollouts);

    if (!rollouts)
        abort();
    pthread_mutex_init(&rollouts->acts, NULL);
    if (levels_load(console, err))
        return rollouts;
    rollouts_close(rollouts);
    return NULL;
}

void rollouts_close(struct rollouts *rollouts)
{
    if (!rollouts)
        return;
    pthread_mutex_destroy(&rollouts->acts);
    free(rollouts->untold);
    free(rollouts);
}

/* --- looking
 * ------------------------------------------------------------------------------------------------------- */

/* Rollouts that this step read: a device's assignments are mostly of a few. */
struct looking {
    struct rollout_act act;
    struct rollout *read[64];
    size_t count;
    int64_t now, until_ms;
};

static struct rollout *rollout_of(struct looking *looking, int64_t id, struct error *err)
{
    for (size_t i = 0; i < looking->count; i++)
        if (looking->read[i]->id == id)
            return looking->read[i];
    struct rollout *rollout = arena_alloc(&looking->act.arena, sizeof *rollout);
    if (!rollout_find(looking->act.conn, &looking->act.arena, id, rollout, err))
        return NULL;
    if (looking->count < sizeof looking->read / sizeof *looking->read)
        looking->read[looking->count++] = rollout;
    return rollout;
}

static bool look_list(struct looking *looking, struct rollout_assignments *list, bool late, struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        if (late && clock_boot_ms() >= looking->until_ms)
            return true; /* they are late in the next step as well */
        const struct rollout *rollout = rollout_of(looking, list->items[i].rollout, err);

        if (!rollout ||
            !rollout_assignment_look(&looking->act, rollout, &list->items[i], late, looking->now, err))
            return false;
    }
    return true;
}

/* Nobody watches it any more. */
static void unwatch(struct fleet *fleet, int64_t device_id)
{
    fleet_lock(fleet);
    struct device *device = fleet_by_id(fleet, device_id);
    if (device)
        fleet_rollout_level(fleet, device, 0);
    fleet_unlock(fleet);
}

static void put_back(struct fleet *fleet, const int64_t *ids, size_t count)
{
    fleet_lock(fleet);
    for (size_t i = 0; i < count; i++)
        fleet_rollout_note(fleet, fleet_by_id(fleet, ids[i]));
    fleet_unlock(fleet);
}

static bool look_news(struct looking *looking, const int64_t *ids, size_t count, struct error *err)
{
    struct fleet *fleet = looking->act.console->fleet;

    for (size_t i = 0; i < count; i++) {
        struct rollout_assignments list;

        if (clock_boot_ms() >= looking->until_ms) {
            put_back(fleet, ids + i, count - i);
            return true;
        }
        if (!rollout_assignments_of_device(&looking->act, ids[i], &list, err))
            return false;
        if (!list.count)
            unwatch(fleet, ids[i]);
        if (!look_list(looking, &list, false, err))
            return false;
    }
    return true;
}

static bool look_late(struct looking *looking, struct error *err)
{
    struct rollout_assignments list;

    looking->until_ms = clock_boot_ms() + LATE_MS;
    return rollout_assignments_late(&looking->act, looking->now, LATE_MOST, &list, err) &&
           look_list(looking, &list, true, err);
}

/* --- going on
 * ------------------------------------------------------------------------------------------------------ */

/* A draft that was to begin, and whose console died before its version was listed. */
static bool cut_off_end(struct rollout_act *act, int64_t id, int64_t now, struct error *err)
{
    struct rollout rollout;

    if (!rollout_find(act->conn, &act->arena, id, &rollout, err))
        return false;
    if (rollout.state != ROLLOUT_DRAFT || !rollout.begins || rollout.since > now - CUT_OFF_S)
        return true;
    return rollout_set(act, &rollout, ROLLOUT_ABORTED, 0, "cut_off",
                       "it was cut off while its version was being listed", err);
}

static bool advance_all(struct looking *looking, struct error *err)
{
    struct rollout_act *act = &looking->act;
    int64_t *ids, until_ms = clock_boot_ms() + TURN_MS;
    size_t count;

    if (!rollout_open_ids(act->conn, &act->arena, &ids, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        int64_t left = until_ms - clock_boot_ms();

        if (!cut_off_end(act, ids[i], looking->now, err) ||
            !rollout_advance(act, ids[i], looking->now, left > 1 ? left : 1, err))
            return false;
    }
    return true;
}

static bool any_open(struct console *console, bool *any, struct error *err)
{
    DB_DONE(conn) = db_read(console->db, err);

    if (!conn)
        return false;
    struct db_query *query =
        db_query(conn, "SELECT 1 FROM rollout WHERE state IN ('draft', 'awaiting_approval', 'scheduled',"
                       " 'running', 'soaking', 'paused', 'held', 'aborting', 'rolling_back') LIMIT 1");
    *any = db_step(query);
    return db_end(query, err);
}

static bool step_do(struct console *console, const int64_t *ids, size_t count, struct error *err)
{
    struct looking looking = {.now = clock_now(), .until_ms = clock_boot_ms() + LOOK_MS};

    if (!rollout_act_begin(&looking.act, console, NULL, err))
        return false;
    return rollout_act_end(
        &looking.act,
        look_news(&looking, ids, count, err) && look_late(&looking, err) && advance_all(&looking, err), err);
}

/* --- telling, warming
 * -------------------------------------------------------------------------------------------- */

static void tell(struct console *console)
{
    struct rollouts *rollouts = console->rollouts;

    if (clock_boot_ms() - rollouts->told_ms < ROLLOUT_TOLD_MS)
        return;
    rollouts->told_ms = clock_boot_ms();
    pthread_mutex_lock(&rollouts->acts);
    for (size_t i = 0; i < rollouts->untold_count; i++)
        events_send(console->events, "rollout", "{\"id\":%lld,\"counts\":true}",
                    (long long)rollouts->untold[i]);
    rollouts->untold_count = 0;
    pthread_mutex_unlock(&rollouts->acts);
}

/* Who is asked next comes often already: those of this stage, then of the next; where stages follow each
 * other sooner than an idle device comes, of the one after it as well. */
static bool warm(struct console *console, struct error *err)
{
    if (clock_boot_ms() - console->rollouts->warmed_ms < WARM_AGAIN_MS && console->rollouts->warmed_ms)
        return true;
    console->rollouts->warmed_ms = clock_boot_ms();
    DB_DONE(conn) = db_read(console->db, err);
    if (!conn)
        return false;
    struct db_query *query =
        db_query(conn, "SELECT a.device_id FROM rollout r JOIN rollout_assignment a ON a.rollout_id = r.id"
                       " AND a.state = 'pending' AND a.stage <= r.stage + 1 + (r.soak_s < :idle)"
                       " WHERE r.state IN ('running', 'soaking', 'awaiting_approval') LIMIT :most");
    int64_t until = clock_now() + WARM_S;
    db_bind_integer(query, ":idle", WARM_S);
    db_bind_integer(query, ":most", WARM_MOST);
    fleet_lock(console->fleet);
    while (db_step(query)) {
        struct device *device = fleet_by_id(console->fleet, db_integer(query, 0));

        if (device)
            device->warm_until = until;
    }
    fleet_unlock(console->fleet);
    return db_end(query, err);
}

/* --- late joiners
 * -------------------------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static bool matching(struct rollout_act *act, const struct rollout *rollout, int64_t **ids, size_t *count,
                     struct error *err)
{
    struct fleet *fleet = act->console->fleet;
    size_t kept = 0;

    if (rollout->group) {
        struct group group;

        if (!group_find(act->conn, &act->arena, rollout->group, &group, err) ||
            !group_members(act->conn, &act->arena, group.id, ids, count, err))
            return false;
    } else {
        const struct filter *filter = filter_compile(&act->arena, rollout->filter, err);

        if (!filter)
            return false;
        *ids = filter_choose(filter, fleet, &act->arena, false, count);
    }
    fleet_lock(fleet);
    for (size_t i = 0; i < *count; i++) {
        const struct device *device = fleet_by_id(fleet, (*ids)[i]);

        if (device && !strcmp(device->product, rollout->product) && device->admission == ADMISSION_ACCEPTED)
            (*ids)[kept++] = device->id;
    }
    fleet_unlock(fleet);
    *count = kept;
    qsort(*ids, kept, sizeof **ids, by_number);
    return true;
}

/* Those of `ids` that are no members yet, in place. */
static bool newcomers(struct rollout_act *act, const struct rollout *rollout, int64_t *ids, size_t *count,
                      struct error *err)
{
    size_t at = 0, kept = 0;
    struct db_query *query = db_query(
        act->conn, "SELECT device_id FROM rollout_assignment WHERE rollout_id = :rollout ORDER BY device_id");

    db_bind_integer(query, ":rollout", rollout->id);
    while (db_step(query)) {
        int64_t member = db_integer(query, 0);

        while (at < *count && ids[at] < member)
            ids[kept++] = ids[at++];
        at += at < *count && ids[at] == member;
    }
    while (at < *count)
        ids[kept++] = ids[at++];
    *count = kept;
    return db_end(query, err);
}

static bool join_one(struct rollout_act *act, struct rollout *rollout, int64_t device_id, int64_t *joined,
                     struct error *err)
{
    struct error taken = {0};

    if (!rollout_conflict_check(act->conn, rollout, &device_id, 1, &taken)) {
        if (taken.kind == ERROR_CONFLICT)
            return true; /* another rollout of the asset has it */
        *err = taken;
        return false;
    }
    ++*joined;
    return rollout_assignment_add(act, rollout->id, rollout->stages, device_id, err) &&
           rollout_counts_add(act, rollout->id, rollout->stages, RA_PENDING, 1, err) &&
           rollout_stage_grow(act, rollout->id, rollout->stages, err);
}

static bool join(struct rollout_act *act, int64_t id, struct error *err)
{
    struct rollout rollout;
    int64_t *ids, joined = 0;
    size_t count;

    if (!rollout_find(act->conn, &act->arena, id, &rollout, err))
        return false;
    if (!rollout.late_joiners || rollout.state == ROLLOUT_ABORTING || rollout.state == ROLLOUT_ROLLING_BACK)
        return true;
    if (!matching(act, &rollout, &ids, &count, err) || !newcomers(act, &rollout, ids, &count, err))
        return false;
    for (size_t i = 0; i < count && rollout.devices + joined < ROLLOUT_DEVICES_MOST; i++)
        if (!join_one(act, &rollout, ids[i], &joined, err))
            return false;
    return !joined || (rollout_set_devices(act, &rollout, rollout.devices + joined, err) &&
                       rollout_note(act, id, "joined",
                                    arena_printf(&act->arena, "%lld device%s joined late", (long long)joined,
                                                 joined == 1 ? "" : "s"),
                                    err));
}

static bool join_all(struct console *console, struct error *err)
{
    struct rollouts *rollouts = console->rollouts;
    struct rollout_act act;
    int64_t *ids;
    size_t count;

    if (rollouts->joined_ms && clock_boot_ms() < rollouts->joined_ms)
        return true;
    fleet_lock(console->fleet);
    fleet_all(console->fleet, &count);
    fleet_unlock(console->fleet);
    rollouts->joined_ms = clock_boot_ms() + JOIN_MS + (int64_t)count;
    if (!rollout_act_begin(&act, console, NULL, err))
        return false;
    bool good = rollout_open_ids(act.conn, &act.arena, &ids, &count, err);
    for (size_t i = 0; good && i < count; i++)
        good = join(&act, ids[i], err);
    return rollout_act_end(&act, good, err);
}

bool rollouts_step(struct console *console, struct error *err)
{
    int64_t ids[NEWS_MOST];
    bool any;
    size_t count = fleet_rollout_take(console->fleet, ids, NEWS_MOST);

    if (!any_open(console, &any, err))
        return false;
    if (any && !step_do(console, ids, count, err)) {
        put_back(console->fleet, ids, count);
        return false;
    }
    tell(console);
    return !any || (warm(console, err) && join_all(console, err));
}

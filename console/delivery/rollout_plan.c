/* Making a rollout: who is in which stage, what stands against it. */
#include "console/delivery/rollout_assignment.h"
#include "console/delivery/rollout_making.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_S (366 * 86400) /* `at` may be so far away */

/* --- members
 * ------------------------------------------------------------------------------------------------------- */

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int order = memcmp(x->rank, y->rank, sizeof x->rank);

    return order ? order : (x->device_id > y->device_id) - (x->device_id < y->device_id);
}

static int by_device(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    return (x->device_id > y->device_id) - (x->device_id < y->device_id);
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static struct ranked *rank_all(struct arena *arena, const char *seed, const int64_t *ids, size_t count)
{
    struct ranked *ranked = arena_array(arena, count, sizeof *ranked);

    for (size_t i = 0; i < count; i++) {
        char text[64];
        int size = snprintf(text, sizeof text, "%s %lld", seed, (long long)ids[i]);

        ranked[i].device_id = ids[i];
        sha256_bytes(text, (size_t)size, ranked[i].rank);
    }
    qsort(ranked, count, sizeof *ranked, by_rank);
    return ranked;
}

static void stages_cut(struct making *making)
{
    size_t stage = 0;

    making->count = (size_t)making->upto[making->plan->share_count - 1];
    for (size_t i = 0; i < making->count; i++) {
        while ((int64_t)i >= making->upto[stage])
            stage++;
        making->members[i].stage = (int64_t)stage + 1;
    }
}

/* --- checking
 * ------------------------------------------------------------------------------------------------------ */

static bool times_check(const struct rollout_plan *plan, int64_t now, struct error *err)
{
    if (plan->at && plan->at < now - 60)
        return error_set(err, ERROR_INPUT, "\"at\" lies in the past");
    if (plan->at > now + AHEAD_S || plan->ends_at > now + 2 * AHEAD_S)
        return error_set(err, ERROR_INPUT, "\"at\" lies more than a year ahead, or \"ends_at\" two");
    if (plan->ends_at && plan->ends_at <= (plan->at ? plan->at : now))
        return error_set(err, ERROR_INPUT, "\"ends_at\" lies before the start");
    if (plan->window && !window_read(plan->window, NULL, NULL))
        return error_set(err, ERROR_INPUT, "\"window\" is two times of day such as 02:00-05:00");
    return true;
}

static bool plan_check(const struct rollout_plan *plan, int64_t now, struct error *err)
{
    int64_t hundredths, number;

    if (!name_check("product", plan->product, err) || !name_check("asset", plan->asset, err) ||
        !version_check(plan->version, err))
        return false;
    if (!plan->device_count)
        return error_set(err, ERROR_INPUT, "no device of %s matches: a rollout needs at least one",
                         plan->product);
    if (plan->device_count > ROLLOUT_DEVICES_MOST)
        return error_set(err, ERROR_LIMIT, "a rollout has at most %d devices", ROLLOUT_DEVICES_MOST);
    if (plan->max_failures && !share_read(plan->max_failures, &hundredths, &number, err))
        return error_add(err, "max_failures");
    return times_check(plan, now, err);
}

static void settings_take(struct rollout *rollout, const struct rollout_plan *plan)
{
    *rollout = (struct rollout){.product = plan->product,
                                .asset = plan->asset,
                                .version = plan->version,
                                .group = plan->group,
                                .filter = plan->filter,
                                .stages = (int64_t)plan->share_count,
                                .max_failures = plan->max_failures,
                                .window = plan->window,
                                .soak_s = plan->soak_s,
                                .device_deadline_s = plan->device_deadline_s,
                                .stage_deadline_s = plan->stage_deadline_s,
                                .min_successes = plan->min_successes,
                                .parallel = plan->parallel,
                                .rate = plan->rate,
                                .retries = plan->retries,
                                .at = plan->at,
                                .ends_at = plan->ends_at,
                                .approval = plan->approval,
                                .auto_roll_back = plan->auto_roll_back,
                                .late_joiners = plan->late_joiners && (plan->group || plan->filter),
                                .begins = !plan->draft,
                                .reason = plan->reason,
                                .ticket = plan->ticket,
                                .created_by = plan->operator_name};
}

static const char *json_text(struct arena *arena, const struct manifest *manifest, bool hardware)
{
    TEXT(out);
    struct json_writer writer;

    json_write_init(&writer, &out);
    if (hardware) {
        json_write_array(&writer, NULL);
        for (const char **one = manifest->hardware; one && *one; one++)
            json_write_string(&writer, NULL, *one);
        json_write_end(&writer, ']');
    } else if (manifest->requires) {
        json_write_value(&writer, NULL, manifest->requires);
    } else {
        text_puts(&out, "{}");
    }
    return arena_strdup(arena, text_string(&out));
}

static bool version_look(struct making *making, struct db_conn *conn, struct error *err)
{
    const struct rollout_plan *plan = making->plan;
    char *manifest = arena_alloc(making->arena, SHA256_HEX);

    if (!repo_manifest(making->console->repo, conn, making->arena, plan->product, plan->asset, plan->version,
                       &making->manifest, manifest, err))
        return false;
    if (making->manifest.kind == KIND_DIAGNOSTIC)
        return error_set(err, ERROR_INPUT, "%s/%s is a diagnostic image: it is sent by a campaign",
                         plan->product, plan->asset);
    struct db_query *query = db_query(
        conn, "SELECT v.listed, w.reason FROM versions v LEFT JOIN withdrawn w ON w.product = v.product"
              " AND w.asset = v.asset AND w.version = v.version WHERE v.product = :product"
              " AND v.asset = :asset AND v.version = :version");
    bool withdrawn = false;
    db_bind_text(query, ":product", plan->product);
    db_bind_text(query, ":asset", plan->asset);
    db_bind_text(query, ":version", plan->version);
    if (db_step(query)) {
        making->listed = db_integer(query, 0) != 0;
        withdrawn = !db_is_null(query, 1);
    }
    if (!db_end(query, err))
        return false;
    if (withdrawn)
        return error_set(err, ERROR_CONFLICT, "%s/%s %s is withdrawn: it is offered to nobody", plan->product,
                         plan->asset, plan->version);
    making->rollout.manifest = manifest;
    making->rollout.hardware = json_text(making->arena, &making->manifest, true);
    making->rollout.requires = json_text(making->arena, &making->manifest, false);
    return true;
}

bool rollout_making_read(struct making *making, struct db_conn *conn, struct error *err)
{
    const struct rollout_plan *plan = making->plan;
    uint8_t chance[16];
    char *seed = arena_alloc(making->arena, 2 * sizeof chance + 1);

    making->now = clock_now();
    if (!plan_check(plan, making->now, err))
        return false;
    settings_take(&making->rollout, plan);
    random_bytes(chance, sizeof chance);
    hex_encode(seed, chance, sizeof chance);
    making->rollout.seed = seed;
    if (!version_look(making, conn, err) ||
        !rollout_shares_cut(plan->shares, plan->share_count, (int64_t)plan->device_count, making->upto, err))
        return false;
    making->members = rank_all(making->arena, seed, plan->device_ids, plan->device_count);
    stages_cut(making);
    making->rollout.devices = (int64_t)making->count;
    return true;
}

/* --- conflicts
 * ---------------------------------------------------------------------------------------------------- */

/* Rollouts of the same asset that are not over, drafts excepted. */
bool rollout_others_read(struct db_conn *conn, struct arena *arena, const struct rollout *rollout,
                         int64_t **others, size_t *count, struct error *err)
{
    enum { OTHERS_MOST = 1000 };
    struct db_query *query =
        db_query(conn, "SELECT id FROM rollout WHERE product = :product AND asset = :asset AND id <> :self"
                       " AND state IN ('awaiting_approval', 'scheduled', 'running', 'soaking', 'paused',"
                       " 'held', 'aborting', 'rolling_back') ORDER BY id LIMIT 1000");

    *others = arena_array(arena, OTHERS_MOST, sizeof **others);
    *count = 0;
    db_bind_text(query, ":product", rollout->product);
    db_bind_text(query, ":asset", rollout->asset);
    db_bind_integer(query, ":self", rollout->id);
    while (db_step(query) && *count < OTHERS_MOST)
        (*others)[(*count)++] = db_integer(query, 0);
    return db_end(query, err);
}

bool rollout_shared_find(struct db_conn *conn, int64_t other, const int64_t *ids, size_t count,
                         rollout_shared_each *each, void *context, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT device_id FROM rollout_assignment WHERE rollout_id = :other"
                       " AND state NOT IN ('skipped', 'superseded', 'rolled_back') ORDER BY device_id");

    db_bind_integer(query, ":other", other);
    while (db_step(query)) {
        int64_t id = db_integer(query, 0);

        if (bsearch(&id, ids, count, sizeof *ids, by_number))
            each(context, other, id);
    }
    return db_end(query, err);
}

struct shared {
    int64_t other, device_id, count;
};

static void shared_count(void *context, int64_t other, int64_t device_id)
{
    struct shared *shared = context;

    shared->other = other;
    shared->device_id = device_id;
    shared->count++;
}

static bool device_name(struct db_conn *conn, int64_t id, char name[NAME_SIZE], struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT name FROM device WHERE id = :id");

    name[0] = '\0';
    db_bind_integer(query, ":id", id);
    if (db_step(query))
        snprintf(name, NAME_SIZE, "%s", db_text(query, 0));
    return db_end(query, err);
}

bool rollout_conflict_check(struct db_conn *conn, const struct rollout *rollout, const int64_t *device_ids,
                            size_t count, struct error *err)
{
    ARENA(arena);
    int64_t *others;
    size_t other_count;
    char name[NAME_SIZE];

    if (!rollout_others_read(conn, &arena, rollout, &others, &other_count, err))
        return false;
    for (size_t i = 0; i < other_count; i++) {
        struct shared shared = {0};

        if (!rollout_shared_find(conn, others[i], device_ids, count, shared_count, &shared, err))
            return false;
        if (!shared.count)
            continue;
        return device_name(conn, shared.device_id, name, err) &&
               error_set(err, ERROR_CONFLICT,
                         "rollout %lld of %s/%s is not over and has %lld of these devices (%s%s): end it, or"
                         " choose others",
                         (long long)shared.other, rollout->product, rollout->asset, (long long)shared.count,
                         name, shared.count > 1 ? ", …" : "");
    }
    return true;
}

int64_t *rollout_members_sorted(struct arena *arena, const struct ranked *members, size_t count)
{
    int64_t *ids = arena_array(arena, count, sizeof *ids);

    for (size_t i = 0; i < count; i++)
        ids[i] = members[i].device_id;
    qsort(ids, count, sizeof *ids, by_number);
    return ids;
}

/* --- creating
 * ----------------------------------------------------------------------------------------------------- */

static bool stages_add(struct rollout_act *act, struct making *making, struct error *err)
{
    int64_t before = 0;

    for (size_t i = 0; i < making->plan->share_count; i++) {
        int64_t devices = making->upto[i] - before, number = (int64_t)i + 1;

        before = making->upto[i];
        if (!rollout_stage_add(act, making->rollout.id, number, making->plan->shares[i], devices, err) ||
            (devices && !rollout_counts_add(act, making->rollout.id, number, RA_PENDING, devices, err)))
            return false;
    }
    return true;
}

/* Sorted by device: the table's own order takes them fastest. */
static bool members_add(struct rollout_act *act, struct making *making, struct error *err)
{
    qsort(making->members, making->count, sizeof *making->members, by_device);
    for (size_t i = 0; i < making->count; i++)
        if (!rollout_assignment_add(act, making->rollout.id, making->members[i].stage,
                                    making->members[i].device_id, err))
            return false;
    return true;
}

static bool write_draft(struct rollout_act *act, struct making *making, struct error *err)
{
    int64_t *ids = rollout_members_sorted(&act->arena, making->members, making->count);

    return rollout_conflict_check(act->conn, &making->rollout, ids, making->count, err) &&
           rollout_insert(act, &making->rollout, err) && stages_add(act, making, err) &&
           members_add(act, making, err);
}

static bool begin(struct rollout_act *act, struct making *making, struct error *err)
{
    return making->plan->draft || (rollout_begin(act, &making->rollout, making->now, err) &&
                                   rollout_advance(act, making->rollout.id, making->now, 100, err));
}

/* Another rollout may have begun while the version was being listed. */
static bool is_alone(struct rollout_act *act, struct making *making, struct error *err)
{
    int64_t *ids = rollout_members_sorted(&act->arena, making->members, making->count);

    return rollout_conflict_check(act->conn, &making->rollout, ids, making->count, err);
}

/* An older version is in the signed metadata only while somebody wants it: the draft does, so that it is
 * listed before a device looks for it. */
static bool create_in_two(struct making *making, struct error *err)
{
    struct console *console = making->console;
    const struct rollout *rollout = &making->rollout;
    struct rollout_act act;

    if (!rollout_act_begin(&act, console, making->plan->operator_name, err) ||
        !rollout_act_end(&act, write_draft(&act, making, err), err))
        return false;
    if (!repo_resign(console->repo, rollout->product, making->plan->operator_name,
                     arena_printf(making->arena, "%s/%s: rollout %lld of %s", rollout->product,
                                  rollout->asset, (long long)rollout->id, rollout->version),
                     err))
        return false;
    return making->plan->draft ||
           (rollout_act_begin(&act, console, making->plan->operator_name, err) &&
            rollout_act_end(&act, is_alone(&act, making, err) && begin(&act, making, err), err));
}

bool rollout_create(struct console *console, const struct rollout_plan *plan, int64_t *id, struct error *err)
{
    ARENA(arena);
    struct making making = {.console = console, .plan = plan, .arena = &arena};
    struct rollout_act act;
    struct db_conn *conn = db_read(console->db, err);

    if (!conn)
        return false;
    bool good = rollout_making_read(&making, conn, err);
    db_done(conn);
    if (good && making.listed)
        good = rollout_act_begin(&act, console, plan->operator_name, err) &&
               rollout_act_end(&act, write_draft(&act, &making, err) && begin(&act, &making, err), err);
    else if (good)
        good = create_in_two(&making, err);
    *id = making.rollout.id;
    return good;
}

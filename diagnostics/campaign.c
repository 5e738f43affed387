#include "diagnostics/campaign.h"

#include "base/clock.h"
#include "base/text.h"
#include "diagnostics/image.h"
#include "diagnostics/run.h"

#include <string.h>

static const struct lifecycle_state states[] = {
    [CAMPAIGN_DRAFT] = {"draft", STATE(CAMPAIGN_SCHEDULED) | STATE(CAMPAIGN_ACTIVE) | STATE(CAMPAIGN_ENDED),
                        false},
    [CAMPAIGN_SCHEDULED] = {"scheduled",
                            STATE(CAMPAIGN_ACTIVE) | STATE(CAMPAIGN_PAUSED) | STATE(CAMPAIGN_ENDED), false},
    [CAMPAIGN_ACTIVE] = {"active", STATE(CAMPAIGN_PAUSED) | STATE(CAMPAIGN_ENDED), false},
    [CAMPAIGN_PAUSED] = {"paused", STATE(CAMPAIGN_SCHEDULED) | STATE(CAMPAIGN_ACTIVE) | STATE(CAMPAIGN_ENDED),
                         false},
    [CAMPAIGN_ENDED] = {"ended", 0, true},
};
const struct lifecycle campaign_lifecycle = {"the campaign", states, sizeof states / sizeof *states};

static bool campaign_state(struct db_conn *conn, int64_t id, enum campaign_state *state, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT state FROM campaign WHERE id = :id");
    int found = -1;

    db_bind_integer(query, ":id", id);
    if (db_step(query))
        lifecycle_find(&campaign_lifecycle, db_text(query, 0), &found);
    if (!db_end(query, err))
        return false;
    *state = (enum campaign_state)found;
    return found >= 0 || error_set(err, ERROR_MISSING, "there is no campaign %lld", (long long)id);
}

bool campaign_set(struct act *act, int64_t id, enum campaign_state to, struct error *err)
{
    enum campaign_state from;

    if (!campaign_state(act->conn, id, &from, err))
        return false;
    if (from == to)
        return true;
    if (!lifecycle_check(&campaign_lifecycle, from, to, err))
        return false;
    struct db_query *query =
        db_query(act->conn, "UPDATE campaign SET state = :to, since = :now WHERE id = :id AND state = :from");
    db_bind_text(query, ":to", states[to].name);
    db_bind_text(query, ":from", states[from].name);
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":id", id);
    const struct change change = {
        .noun = CHANGE_CAMPAIGN, .campaign = id, .from = states[from].name, .to = states[to].name};
    return db_run(query, NULL, err) && act_changed(act, &change, err);
}

bool campaign_begun(struct act *act, int64_t id, struct error *err)
{
    enum campaign_state state;

    if (!campaign_state(act->conn, id, &state, err))
        return false;
    return state != CAMPAIGN_SCHEDULED || campaign_set(act, id, CAMPAIGN_ACTIVE, err);
}

/* --- creating
 * ----------------------------------------------------------------------------------------------------- */

static const char *json_array_text(struct arena *arena, const char *const *strings)
{
    TEXT(out);
    struct json_writer writer;

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    for (; strings && *strings; strings++)
        json_write_string(&writer, NULL, *strings);
    json_write_end(&writer, ']');
    return arena_strdup(arena, text_string(&out));
}

static bool params_text(struct arena *arena, const struct json *params, const char **text, struct error *err)
{
    TEXT(out);

    if (params && !json_canonical(params, &out, err))
        return error_add(err, "params");
    *text = params ? arena_strdup(arena, text_string(&out)) : "{}";
    return true;
}

static bool plan_check(const struct campaign_plan *plan, const struct image *image, int64_t now,
                       struct error *err)
{
    if (!plan->device_count)
        return error_set(err, ERROR_INPUT, "no device matches: a campaign needs at least one");
    if (plan->device_count > CAMPAIGN_DEVICES_MOST)
        return error_set(err, ERROR_LIMIT, "a campaign has at most %d devices", CAMPAIGN_DEVICES_MOST);
    if (plan->parallel < 0)
        return error_set(err, ERROR_INPUT, "\"parallel\" is at least 1");
    if (plan->at && plan->at < now - 60)
        return error_set(err, ERROR_INPUT, "\"at\" lies in the past");
    if (plan->at > now + CAMPAIGN_AHEAD_S)
        return error_set(err, ERROR_INPUT, "\"at\" lies more than a year ahead");
    return image_allows(image, plan->duration_s, plan->params, err);
}

static bool campaign_insert(struct act *act, const struct campaign_plan *plan, const struct image *image,
                            int64_t now, int64_t *id, struct error *err)
{
    const struct image_limits *limits = &image->manifest.limits;
    const char *params = NULL;

    if (!params_text(&act->arena, plan->params, &params, err))
        return false;
    struct db_query *query = db_query(act->conn, "INSERT INTO campaign (product, image, version, state, "
                                                 "since, mode, duration_s, grace_s, max_output, collect,"
                                                 " params, at, parallel, filter, ticket, reason, created_at, "
                                                 "created_by) VALUES (:product, :image, :version,"
                                                 " :state, :now, :mode, :duration, :grace, :output, "
                                                 ":collect, :params, nullif(:at, 0), nullif(:parallel, 0),"
                                                 " :filter, :ticket, :reason, :now, :by)");
    db_bind_text(query, ":product", plan->product);
    db_bind_text(query, ":image", plan->image);
    db_bind_text(query, ":version", image->manifest.version);
    db_bind_text(query, ":state", states[CAMPAIGN_DRAFT].name);
    db_bind_integer(query, ":now", now);
    db_bind_text(query, ":mode", limits->mode);
    db_bind_integer(query, ":duration", plan->duration_s);
    db_bind_integer(query, ":grace", limits->grace_s);
    db_bind_integer(query, ":output", limits->max_output);
    db_bind_text(query, ":collect", json_array_text(&act->arena, limits->collect));
    db_bind_text(query, ":params", params);
    db_bind_integer(query, ":at", plan->at);
    db_bind_integer(query, ":parallel", plan->parallel);
    db_bind_text(query, ":filter", plan->filter);
    db_bind_text(query, ":ticket", plan->ticket);
    db_bind_text(query, ":reason", plan->reason);
    db_bind_text(query, ":by", plan->operator_name);
    if (!db_run(query, NULL, err))
        return false;
    *id = db_last_id(act->conn);
    const struct change change = {
        .noun = CHANGE_CAMPAIGN, .campaign = *id, .to = states[CAMPAIGN_DRAFT].name, .reason = plan->reason};
    return act_changed(act, &change, err);
}

static bool find_image(struct diagnostics *diagnostics, struct arena *arena, const struct campaign_plan *plan,
                       struct image *image, struct error *err)
{
    DB_DONE(conn) = db_read(diagnostics->db, err);

    return conn &&
           image_find(diagnostics->repo, conn, arena, plan->product, plan->image, plan->version, image, err);
}

/* The first run, with what is due now. */
static bool campaign_begin(struct act *act, int64_t id, const struct campaign_plan *plan, int64_t now,
                           struct error *err)
{
    bool later = plan->at > now;

    return campaign_set(act, id, later ? CAMPAIGN_SCHEDULED : CAMPAIGN_ACTIVE, err) &&
           run_add(act, id, 1, later ? plan->at : now, plan->device_ids, plan->device_count, err) &&
           run_advance(act, id, 1, now, err);
}

/* An older image is in the signed metadata only while somebody wants it: the draft does, so that it is listed
 * before a device looks for it. */
static bool list_image(struct diagnostics *diagnostics, const struct campaign_plan *plan,
                       const struct image *image, int64_t id, struct error *err)
{
    ARENA(arena);

    return repo_resign(diagnostics->repo, plan->product, plan->operator_name,
                       arena_printf(&arena, "%s/%s: campaign %lld with %s", plan->product, plan->image,
                                    (long long)id, image->manifest.version),
                       err);
}

static bool create_in_two(struct diagnostics *diagnostics, const struct campaign_plan *plan,
                          const struct image *image, int64_t now, int64_t *id, struct error *err)
{
    struct act act;

    if (!act_begin(&act, diagnostics, plan->operator_name, err) ||
        !act_end(&act, campaign_insert(&act, plan, image, now, id, err), err))
        return false;
    return list_image(diagnostics, plan, image, *id, err) &&
           act_begin(&act, diagnostics, plan->operator_name, err) &&
           act_end(&act, campaign_begin(&act, *id, plan, now, err), err);
}

bool campaign_create(struct diagnostics *diagnostics, const struct campaign_plan *plan, int64_t *id,
                     struct error *err)
{
    ARENA(arena);
    struct image image;
    struct act act;
    int64_t now = clock_now();

    if (!find_image(diagnostics, &arena, plan, &image, err) || !plan_check(plan, &image, now, err))
        return false;
    if (!image.listed)
        return create_in_two(diagnostics, plan, &image, now, id, err);
    if (!act_begin(&act, diagnostics, plan->operator_name, err))
        return false;
    return act_end(
        &act, campaign_insert(&act, plan, &image, now, id, err) && campaign_begin(&act, *id, plan, now, err),
        err);
}

bool campaign_step(struct diagnostics *diagnostics, int64_t now, struct error *err)
{
    int64_t id = 0;
    struct act act;
    {
        DB_DONE(conn) = db_read(diagnostics->db, err);
        if (!conn)
            return false;
        struct db_query *query =
            db_query(conn, "SELECT id FROM campaign WHERE state = 'draft' AND since < :before LIMIT 1");
        db_bind_integer(query, ":before", now - CAMPAIGN_DRAFT_S);
        if (db_step(query))
            id = db_integer(query, 0);
        if (!db_end(query, err))
            return false;
    }
    if (!id)
        return true;
    return act_begin(&act, diagnostics, NULL, err) &&
           act_end(&act, campaign_set(&act, id, CAMPAIGN_ENDED, err), err);
}

bool campaign_end(struct diagnostics *diagnostics, int64_t id, const char *operator_name, struct error *err)
{
    struct act act;
    enum campaign_state state;

    if (!act_begin(&act, diagnostics, operator_name, err))
        return false;
    bool good = campaign_state(act.conn, id, &state, err);
    if (good && state != CAMPAIGN_ENDED)
        good = campaign_set(&act, id, CAMPAIGN_ENDED, err) && run_abort(&act, id, 1, err);
    return act_end(&act, good, err);
}

/* --- telling
 * ------------------------------------------------------------------------------------------------------ */

#define CAMPAIGN_COLUMNS                                                                                     \
    "c.id, c.product, c.image, c.version, c.state, c.duration_s, c.at, c.parallel, c.filter, c.created_at,"  \
    " c.created_by, c.ticket, c.reason,"                                                                     \
    " (SELECT count(DISTINCT device_id) FROM assignment WHERE campaign_id = c.id),"                          \
    " (SELECT count(*) FROM run WHERE campaign_id = c.id)"

static void write_or_null(struct json_writer *writer, const char *key, struct db_query *query, int column)
{
    if (db_is_null(query, column))
        json_write_null(writer, key);
    else
        json_write_integer(writer, key, db_integer(query, column));
}

/* Leaves the object open. */
static void row_write(struct db_query *query, struct json_writer *writer)
{
    json_write_object(writer, NULL);
    json_write_integer(writer, "id", db_integer(query, 0));
    json_write_object(writer, "image");
    json_write_string(writer, "product", db_text(query, 1));
    json_write_string(writer, "asset", db_text(query, 2));
    json_write_string(writer, "version", db_text(query, 3));
    json_write_end(writer, '}');
    json_write_string(writer, "state", db_text(query, 4));
    json_write_integer(writer, "duration_s", db_integer(query, 5));
    json_write_time(writer, "at", db_integer(query, 6));
    write_or_null(writer, "parallel", query, 7);
    json_write_string(writer, "filter", db_text(query, 8));
    json_write_integer(writer, "devices", db_integer(query, 13));
    json_write_time(writer, "created_at", db_integer(query, 9));
    json_write_string(writer, "created_by", db_text(query, 10));
    json_write_string(writer, "ticket", db_text(query, 11));
    json_write_string(writer, "reason", db_text(query, 12));
}

static bool runs_write(struct db_conn *conn, int64_t id, struct json_writer *writer, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT number, state FROM run WHERE campaign_id = :id ORDER BY number");

    json_write_array(writer, "runs");
    db_bind_integer(query, ":id", id);
    while (db_step(query)) {
        json_write_object(writer, NULL);
        json_write_integer(writer, "number", db_integer(query, 0));
        json_write_string(writer, "state", db_text(query, 1));
        if (!run_counts_write(conn, id, db_integer(query, 0), writer, err)) {
            struct error ignored = {0};

            db_end(query, &ignored);
            return false;
        }
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
    return db_end(query, err);
}

bool campaign_write(struct db_conn *conn, int64_t id, bool runs, struct json_writer *writer,
                    struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT " CAMPAIGN_COLUMNS " FROM campaign c WHERE c.id = :id");
    bool found;
    int64_t run_count = 0;

    db_bind_integer(query, ":id", id);
    found = db_step(query);
    if (found) {
        row_write(query, writer);
        run_count = db_integer(query, 14);
    }
    if (!db_end(query, err))
        return false;
    if (!found)
        return error_set(err, ERROR_MISSING, "there is no campaign %lld", (long long)id);
    if (!run_counts_write(conn, id, 0, writer, err) || (runs && !runs_write(conn, id, writer, err)))
        return false;
    if (!runs)
        json_write_integer(writer, "runs", run_count);
    json_write_end(writer, '}');
    return true;
}

bool campaign_list(struct db_conn *conn, int64_t before, int64_t limit, struct json_writer *writer,
                   int64_t *last, int64_t *total, struct error *err)
{
    int64_t ids[1000];
    size_t count = 0;
    struct db_query *query =
        db_query(conn, "SELECT id, (SELECT count(*) FROM campaign) FROM campaign"
                       " WHERE :before = 0 OR id < :before ORDER BY id DESC LIMIT :limit");

    db_bind_integer(query, ":before", before);
    limit = limit < 1000 ? limit : 1000;
    db_bind_integer(query, ":limit", limit + 1); /* one more tells whether there is a next page */
    *total = *last = 0;
    while (db_step(query)) {
        *total = db_integer(query, 1);
        if ((int64_t)count < limit)
            ids[count++] = db_integer(query, 0);
        else
            *last = ids[count - 1];
    }
    if (!db_end(query, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!campaign_write(conn, ids[i], false, writer, err))
            return false;
    return true;
}

bool campaign_wants(struct db_conn *conn, const char *product, const char *image, const char *version)
{
    struct error err = {0};
    struct db_query *query =
        db_query(conn, "SELECT 1 FROM campaign WHERE product = :product AND image = :image"
                       " AND version = :version AND state <> 'ended' LIMIT 1");
    db_bind_text(query, ":product", product);
    db_bind_text(query, ":image", image);
    db_bind_text(query, ":version", version);
    bool wants = db_step(query);
    return !db_end(query, &err) || wants;
}

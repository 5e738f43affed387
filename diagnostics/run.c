#include "diagnostics/run.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/text.h"
#include "diagnostics/assignment.h"
#include "diagnostics/campaign.h"

#include <string.h>

static const struct lifecycle_state states[] = {
    [RUN_SCHEDULED] = {"scheduled",
                       STATE(RUN_RUNNING) | STATE(RUN_PAUSED) | STATE(RUN_FINISHING) | STATE(RUN_COMPLETED) |
                           STATE(RUN_ABORTED) | STATE(RUN_EXPIRED),
                       false},
    [RUN_RUNNING] = {"running",
                     STATE(RUN_PAUSED) | STATE(RUN_FINISHING) | STATE(RUN_COMPLETED) | STATE(RUN_ABORTED) |
                         STATE(RUN_EXPIRED),
                     false},
    [RUN_PAUSED] = {"paused",
                    STATE(RUN_RUNNING) | STATE(RUN_FINISHING) | STATE(RUN_COMPLETED) | STATE(RUN_ABORTED) |
                        STATE(RUN_EXPIRED),
                    false},
    [RUN_FINISHING] = {"finishing", STATE(RUN_COMPLETED) | STATE(RUN_ABORTED), false},
    [RUN_COMPLETED] = {"completed", 0, true},
    [RUN_ABORTED] = {"aborted", 0, true},
    [RUN_EXPIRED] = {"expired", 0, true},
};
const struct lifecycle run_lifecycle = {"the run", states, sizeof states / sizeof *states};

/* What a run is at. */
struct standing {
    enum run_state state;
    int64_t starts_at, start_before;
    bool ended;                            /* an operator ended it */
    int64_t parallel, duration_s, grace_s; /* parallel 0: all */
    int64_t queued, ahead, on, after,
        over; /* assignments: queued; given but not on the image; on it; reverting or uploading; at an end */
    int64_t begun; /* that ever ran */
};

static bool standing_row(struct db_conn *conn, int64_t campaign, int64_t number, struct standing *at,
                         struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT r.state, r.starts_at, r.start_before, r.ended_by IS NOT NULL, coalesce(c.parallel, 0),"
              " c.duration_s, c.grace_s FROM run r JOIN campaign c ON c.id = r.campaign_id"
              " WHERE r.campaign_id = :campaign AND r.number = :number");
    int state = -1;

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    if (db_step(query)) {
        lifecycle_find(&run_lifecycle, db_text(query, 0), &state);
        at->starts_at = db_integer(query, 1);
        at->start_before = db_integer(query, 2);
        at->ended = db_integer(query, 3) != 0;
        at->parallel = db_integer(query, 4);
        at->duration_s = db_integer(query, 5);
        at->grace_s = db_integer(query, 6);
    }
    at->state = (enum run_state)state;
    if (!db_end(query, err))
        return false;
    return state >= 0 || error_set(err, ERROR_MISSING, "campaign %lld has no run %lld", (long long)campaign,
                                   (long long)number);
}

static void standing_count(struct standing *at, enum assignment_state state, int64_t count)
{
    switch (state) {
    case ASSIGNMENT_QUEUED:
        at->queued += count;
        break;
    case ASSIGNMENT_WAITING:
    case ASSIGNMENT_OFFERED:
    case ASSIGNMENT_SCHEDULED_ON_DEVICE:
    case ASSIGNMENT_DOWNLOADING:
    case ASSIGNMENT_VERIFYING:
        at->ahead += count;
        break;
    case ASSIGNMENT_RUNNING:
    case ASSIGNMENT_CANCELLING:
        at->on += count;
        break;
    case ASSIGNMENT_REVERTING:
    case ASSIGNMENT_UPLOADING:
        at->after += count;
        break;
    default:
        at->over += count;
    }
}

static bool standing_read(struct db_conn *conn, int64_t campaign, int64_t number, struct standing *at,
                          struct error *err)
{
    *at = (struct standing){0};
    if (!standing_row(conn, campaign, number, at, err))
        return false;
    struct db_query *query =
        db_query(conn, "SELECT state, count(*), count(started_at) FROM assignment"
                       " WHERE campaign_id = :campaign AND run_number = :number GROUP BY state");
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    while (db_step(query)) {
        int state;

        at->begun += db_integer(query, 2);
        if (lifecycle_find(&assignment_lifecycle, db_text(query, 0), &state))
            standing_count(at, (enum assignment_state)state, db_integer(query, 1));
    }
    return db_end(query, err);
}

bool run_set(struct act *act, int64_t campaign, int64_t number, enum run_state to, struct error *err)
{
    struct standing at = {0};

    if (!standing_row(act->conn, campaign, number, &at, err))
        return false;
    if (at.state == to)
        return true;
    if (!lifecycle_check(&run_lifecycle, at.state, to, err))
        return false;
    struct db_query *query =
        db_query(act->conn, "UPDATE run SET state = :to, since = :now WHERE campaign_id = :campaign"
                            " AND number = :number AND state = :from");
    db_bind_text(query, ":to", states[to].name);
    db_bind_text(query, ":from", states[at.state].name);
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    const struct change change = {.noun = CHANGE_RUN,
                                  .campaign = campaign,
                                  .run = number,
                                  .from = states[at.state].name,
                                  .to = states[to].name};
    return db_run(query, NULL, err) && act_changed(act, &change, err);
}

/* --- adding
 * ------------------------------------------------------------------------------------------------------- */

static bool assignment_insert(struct act *act, int64_t campaign, int64_t number, int64_t device_id,
                              int64_t now, int64_t until, struct error *err)
{
    uint8_t chance[16];
    char id[RUN_ID_TEXT];
    struct db_query *query = db_query(
        act->conn, "INSERT INTO assignment (id, campaign_id, run_number, device_id, state, since, until)"
                   " VALUES (:id, :campaign, :number, :device, 'queued', :now, :until)");

    random_bytes(chance, sizeof chance);
    hex_encode(id, chance, sizeof chance);
    db_bind_text(query, ":id", id);
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    db_bind_integer(query, ":device", device_id);
    db_bind_integer(query, ":now", now);
    db_bind_integer(query, ":until", until);
    return db_run(query, NULL, err);
}

bool run_add(struct act *act, int64_t campaign, int64_t number, int64_t starts_at, const int64_t *device_ids,
             size_t device_count, struct error *err)
{
    int64_t now = clock_now();
    struct db_query *query =
        db_query(act->conn, "INSERT INTO run (campaign_id, number, state, since, starts_at, start_before)"
                            " VALUES (:campaign, :number, 'scheduled', :now, :starts, :before)");

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    db_bind_integer(query, ":now", now);
    db_bind_integer(query, ":starts", starts_at);
    db_bind_integer(query, ":before", starts_at + RUN_WINDOW_S);
    if (!db_run(query, NULL, err))
        return false;
    for (size_t i = 0; i < device_count; i++)
        if (!assignment_insert(act, campaign, number, device_ids[i], now, starts_at + RUN_WINDOW_S, err))
            return false;
    const struct change change = {
        .noun = CHANGE_RUN, .campaign = campaign, .run = number, .to = states[RUN_SCHEDULED].name};
    return act_changed(act, &change, err);
}

struct ids {
    const char **texts; /* in the act's arena */
    size_t count, room;
};

static void ids_add(struct act *act, struct ids *ids, const char *text)
{
    if (ids->count == ids->room) {
        const char **grown = arena_array(&act->arena, ids->room * 2 + 16, sizeof *grown);

        if (ids->room)
            memcpy(grown, ids->texts, ids->room * sizeof *grown);
        ids->room = ids->room * 2 + 16;
        ids->texts = grown;
    }
    ids->texts[ids->count++] = arena_strdup(&act->arena, text);
}

/* --- advancing
 * ---------------------------------------------------------------------------------------------------- */

/* Queued assignments whose device is in no other campaign at that time, at most `limit`, as a list of ids in
 * the arena. */
static bool queued_find(struct act *act, int64_t campaign, int64_t number, const struct standing *at,
                        int64_t start, int64_t limit, struct ids *ids, struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "SELECT a.id FROM assignment a WHERE a.campaign_id = :campaign AND a.run_number = :number"
                   " AND a.state = 'queued' AND NOT EXISTS (SELECT 1 FROM assignment o JOIN campaign oc ON "
                   "oc.id = o.campaign_id"
                   " WHERE o.device_id = a.device_id AND o.id <> a.id AND (o.state IN ('running', "
                   "'reverting', 'cancelling') OR"
                   " (o.state IN ('waiting', 'offered', 'scheduled_on_device', 'downloading', 'verifying')"
                   " AND o.start_after < :end AND o.start_after + oc.duration_s + oc.grace_s + 60 > :start)))"
                   " ORDER BY a.device_id LIMIT :limit");

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    db_bind_integer(query, ":start", start);
    db_bind_integer(query, ":end", start + at->duration_s + at->grace_s + 60);
    db_bind_integer(query, ":limit", limit);
    while (db_step(query))
        ids_add(act, ids, db_text(query, 0));
    return db_end(query, err);
}

/* Gives free places: a queued assignment goes into its device's order. */
static bool places_give(struct act *act, int64_t campaign, int64_t number, const struct standing *at,
                        int64_t now, struct error *err)
{
    int64_t taken = at->ahead + at->on, limit = at->parallel ? at->parallel - taken : at->queued;
    int64_t start = at->starts_at > now ? at->starts_at : now;
    struct ids ids = {0};

    if (limit <= 0 || !at->queued || at->ended || at->state == RUN_PAUSED || at->start_before <= now)
        return true;
    if (!queued_find(act, campaign, number, at, start, limit, &ids, err))
        return false;
    for (size_t i = 0; i < ids.count; i++) {
        struct assignment assignment;

        if (!assignment_find(act->conn, &act->arena, ids.texts[i], &assignment, err) ||
            !assignment_place(act, &assignment, start, err))
            return false;
    }
    return true;
}

/* Where a run stands by what its assignments are. */
static enum run_state state_by(const struct standing *at, int64_t now)
{
    if (!at->queued && !at->ahead && !at->on && !at->after)
        return at->ended ? RUN_ABORTED : at->begun || now < at->start_before ? RUN_COMPLETED : RUN_EXPIRED;
    if (!at->queued && !at->ahead && !at->on)
        return RUN_FINISHING;
    if (at->state == RUN_SCHEDULED && at->starts_at <= now)
        return RUN_RUNNING;
    return at->state;
}

bool run_advance(struct act *act, int64_t campaign, int64_t number, int64_t now, struct error *err)
{
    struct standing at;

    if (!standing_read(act->conn, campaign, number, &at, err))
        return false;
    if (states[at.state].is_end) /* a late report amends an assignment, not its run */
        return true;
    enum run_state to = state_by(&at, now);
    if (to == RUN_RUNNING && !campaign_begun(act, campaign, err))
        return false;
    if (to != at.state && lifecycle_allows(&run_lifecycle, at.state, to) &&
        !run_set(act, campaign, number, to, err))
        return false;
    if (states[to].is_end)
        return campaign_set(act, campaign, CAMPAIGN_ENDED, err);
    at.state = to;
    return places_give(act, campaign, number, &at, now, err);
}

/* --- ending
 * ------------------------------------------------------------------------------------------------------- */

static bool open_find(struct act *act, int64_t campaign, int64_t number, struct ids *ids, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "SELECT id FROM assignment WHERE campaign_id = :campaign"
                            " AND run_number = :number AND state NOT IN ('done', 'skipped',"
                            " 'failed', 'cancelled', 'reverting', 'uploading', 'cancelling')");

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    while (db_step(query))
        ids_add(act, ids, db_text(query, 0));
    return db_end(query, err);
}

bool run_abort(struct act *act, int64_t campaign, int64_t number, struct error *err)
{
    struct ids ids = {0};
    struct db_query *query =
        db_query(act->conn, "UPDATE run SET ended_by = :by WHERE campaign_id = :campaign AND number = :number"
                            " AND ended_by IS NULL AND state NOT IN ('completed', 'aborted', 'expired')");

    db_bind_text(query, ":by", act->operator_name ? act->operator_name : "system");
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    if (!db_run(query, NULL, err) || !open_find(act, campaign, number, &ids, err))
        return false;
    for (size_t i = 0; i < ids.count; i++) {
        struct assignment assignment;

        if (!assignment_find(act->conn, &act->arena, ids.texts[i], &assignment, err) ||
            !assignment_cancel(act, &assignment, err))
            return false;
    }
    return run_advance(act, campaign, number, clock_now(), err);
}

/* --- telling
 * ------------------------------------------------------------------------------------------------------ */

bool run_counts_write(struct db_conn *conn, int64_t campaign, int64_t number, struct json_writer *writer,
                      struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT state, count(*) FROM assignment WHERE campaign_id = :campaign"
                       " AND (:number = 0 OR run_number = :number) GROUP BY state ORDER BY state");

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    json_write_object(writer, "counts");
    while (db_step(query))
        json_write_integer(writer, db_text(query, 0), db_integer(query, 1));
    json_write_end(writer, '}');
    return db_end(query, err);
}

bool run_write(struct db_conn *conn, int64_t campaign, int64_t number, bool assignments,
               struct json_writer *writer, struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT r.state, r.since, c.duration_s, c.product, c.image, c.version, r.starts_at FROM run r"
        " JOIN campaign c ON c.id = r.campaign_id WHERE r.campaign_id = :campaign AND r.number = :number");
    bool found;

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    found = db_step(query);
    if (found) {
        json_write_object(writer, NULL);
        json_write_integer(writer, "campaign", campaign);
        json_write_integer(writer, "number", number);
        json_write_string(writer, "state", db_text(query, 0));
        json_write_time(writer, "since", db_integer(query, 1));
        json_write_time(writer, "starts_at", db_integer(query, 6));
        json_write_integer(writer, "duration_s", db_integer(query, 2));
        json_write_object(writer, "image");
        json_write_string(writer, "product", db_text(query, 3));
        json_write_string(writer, "asset", db_text(query, 4));
        json_write_string(writer, "version", db_text(query, 5));
        json_write_end(writer, '}');
    }
    if (!db_end(query, err))
        return false;
    if (!found)
        return error_set(err, ERROR_MISSING, "campaign %lld has no run %lld", (long long)campaign,
                         (long long)number);
    if (!run_counts_write(conn, campaign, number, writer, err))
        return false;
    if (assignments) {
        json_write_array(writer, "assignments");
        if (!assignment_write_all(conn, campaign, number, writer, err))
            return false;
        json_write_end(writer, ']');
    }
    json_write_end(writer, '}');
    return true;
}

#define OPEN_MOST 100

bool run_write_open(struct db_conn *conn, struct json_writer *writer, int64_t limit, struct error *err)
{
    struct {
        int64_t campaign, number;
    } open[OPEN_MOST];
    size_t count = 0;
    struct db_query *query =
        db_query(conn, "SELECT campaign_id, number FROM run WHERE state IN ('scheduled', 'running', 'paused',"
                       " 'finishing') ORDER BY campaign_id DESC LIMIT :limit");

    db_bind_integer(query, ":limit", limit < OPEN_MOST ? limit : OPEN_MOST);
    while (db_step(query) && count < OPEN_MOST) {
        open[count].campaign = db_integer(query, 0);
        open[count++].number = db_integer(query, 1);
    }
    if (!db_end(query, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!run_write(conn, open[i].campaign, open[i].number, false, writer, err))
            return false;
    return true;
}

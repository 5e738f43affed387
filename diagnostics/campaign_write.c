/* Campaigns as API.md has them. */
#include "diagnostics/campaign_parts.h"

#include "base/clock.h"

#include <string.h>

static void write_or_null(struct json_writer *writer, const char *key, struct db_query *query, int column)
{
    if (db_is_null(query, column))
        json_write_null(writer, key);
    else
        json_write_integer(writer, key, db_integer(query, column));
}

#define CAMPAIGN_COLUMNS                                                                                     \
    "c.id, c.product, c.image, c.version, c.state, c.duration_s, c.at, c.parallel, c.filter, c.created_at,"  \
    " c.created_by, c.ticket, c.reason, c.devices, (SELECT count(*) FROM run WHERE campaign_id = c.id),"     \
    " c.mode, c.window, c.repeat, c.until, c.occurrences, c.blackout, c.max_failures, c.collect, c.redact,"  \
    " c.max_output, c.approval, c.approved_by, c.approved_at, c.state_reason_code, c.state_reason, c.since," \
    " (SELECT min(t) FROM (SELECT c.next_at AS t UNION ALL SELECT r.starts_at FROM run r"                    \
    " WHERE r.campaign_id = c.id AND r.state = 'scheduled')), c.at_local, c.params, c.device_deadline_s"

static void raw_write(struct json_writer *writer, const char *key, const char *json)
{
    json_write_raw(writer, key, json, strlen(json));
}

static void approval_write(struct db_query *query, struct json_writer *writer)
{
    if (db_integer(query, 25) < 2) {
        json_write_null(writer, "approval");
        return;
    }
    json_write_object(writer, "approval");
    json_write_integer(writer, "needed", db_integer(query, 25));
    json_write_string(writer, "by", db_text(query, 26));
    json_write_time(writer, "at", db_integer(query, 27));
    json_write_end(writer, '}');
}

static void state_write(struct db_query *query, struct json_writer *writer)
{
    json_write_string(writer, "state", db_text(query, 4));
    json_write_time(writer, "since", db_integer(query, 30));
    if (db_is_null(query, 29)) {
        json_write_null(writer, "state_reason");
        return;
    }
    json_write_object(writer, "state_reason");
    json_write_string(writer, "code", db_text(query, 28));
    json_write_string(writer, "text", db_text(query, 29));
    json_write_end(writer, '}');
}

static void schedule_write(struct db_query *query, struct json_writer *writer)
{
    json_write_time(writer, "at", db_integer(query, 6));
    json_write_string(writer, "at_local", db_text(query, 32));
    json_write_string(writer, "window", db_text(query, 16));
    json_write_string(writer, "repeat", db_text(query, 17));
    json_write_string(writer, "until", db_text(query, 18));
    write_or_null(writer, "count", query, 19);
    raw_write(writer, "blackout", db_text(query, 20));
    json_write_time(writer, "next_at", db_integer(query, 31));
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
    state_write(query, writer);
    json_write_string(writer, "mode", db_text(query, 15));
    json_write_integer(writer, "duration_s", db_integer(query, 5));
    schedule_write(query, writer);
    write_or_null(writer, "parallel", query, 7);
    json_write_string(writer, "max_failures", db_text(query, 21));
    json_write_integer(writer, "device_deadline_s", db_integer(query, 34));
    raw_write(writer, "collect", db_text(query, 22));
    raw_write(writer, "redact", db_text(query, 23));
    raw_write(writer, "params", db_text(query, 33));
    json_write_integer(writer, "max_output", db_integer(query, 24));
    json_write_string(writer, "filter", db_text(query, 8));
    json_write_integer(writer, "devices", db_integer(query, 13));
    json_write_time(writer, "created_at", db_integer(query, 9));
    json_write_string(writer, "created_by", db_text(query, 10));
    approval_write(query, writer);
    json_write_string(writer, "ticket", db_text(query, 11));
    json_write_string(writer, "reason", db_text(query, 12));
}

static bool runs_write(struct db_conn *conn, int64_t id, struct json_writer *writer, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT number, state, since, starts_at FROM run WHERE campaign_id = :id"
                       " ORDER BY number DESC LIMIT 1000");

    json_write_array(writer, "runs");
    db_bind_integer(query, ":id", id);
    while (db_step(query)) {
        json_write_object(writer, NULL);
        json_write_integer(writer, "number", db_integer(query, 0));
        json_write_string(writer, "state", db_text(query, 1));
        json_write_time(writer, "since", db_integer(query, 2));
        json_write_time(writer, "starts_at", db_integer(query, 3));
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

/* How many are still to come, of those that are shown. */
static bool left_read(struct db_conn *conn, int64_t id, int64_t now, int64_t *left, struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT c.state, coalesce(c.occurrences, 0), c.repeat IS NOT NULL, (SELECT count(*) FROM run r"
              " WHERE r.campaign_id = c.id AND r.start_before <= :now), (SELECT count(*) FROM run r"
              " WHERE r.campaign_id = c.id AND r.state = 'scheduled' AND r.starts_at > :now)"
              " FROM campaign c WHERE c.id = :id");

    *left = 0;
    db_bind_integer(query, ":id", id);
    db_bind_integer(query, ":now", now);
    if (db_step(query) && strcmp(db_text(query, 0), "ended")) {
        bool draft = !strcmp(db_text(query, 0), "draft"), repeats = db_integer(query, 2) != 0;
        int64_t most = db_integer(query, 1);

        *left = !repeats ? draft || db_integer(query, 4) > 0 : most ? most - db_integer(query, 3) : INT64_MAX;
    }
    return db_end(query, err);
}

static bool occurrences_write(struct db_conn *conn, int64_t id, struct json_writer *writer, struct error *err)
{
    ARENA(arena);
    ZONES(zones);
    struct schedule schedule;
    int64_t left, now = clock_now();

    zones_begin(&zones, &arena);
    if (!left_read(conn, id, now, &left, err) || !campaign_schedule(conn, &arena, id, &schedule, err) ||
        !zones_load(&zones, conn, id, err))
        return false;
    zones_write_occurrences(&zones, &schedule, now, left, writer);
    return true;
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
    if (!run_counts_write(conn, id, 0, writer, err) ||
        (runs && (!occurrences_write(conn, id, writer, err) || !runs_write(conn, id, writer, err))))
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

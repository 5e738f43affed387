/* The overview: what needs a person, what runs, how full it is. */
#include "console/handlers.h"

#include "base/clock.h"
#include "base/file.h"
#include "console/audit.h"
#include "console/delivery/rollout.h"
#include "console/fleet.h"
#include "diagnostics/capture.h"
#include "diagnostics/run.h"

#define NEXT_MOST 20
#define DAY_S 86400
#define NEEDS_MOST 50
#define RUNNING_MOST 20
#define AUDIT_ROWS 5
#define STORAGE_TIGHT (2 * CAPTURE_SPACE_LEFT) /* free bytes below which a person should know */

static void counts_write(struct json_writer *writer, const struct fleet_counts *counts)
{
    json_write_object(writer, "devices");
    json_write_integer(writer, "total", counts->total);
    json_write_integer(writer, "online", counts->online);
    json_write_integer(writer, "late", counts->late);
    json_write_integer(writer, "offline", counts->offline);
    json_write_integer(writer, "never_seen", counts->never_seen);
    json_write_integer(writer, "pending", counts->pending);
    json_write_end(writer, '}');
    json_write_integer(writer, "on_image", counts->on_image);
    json_write_integer(writer, "overdue", counts->overdue);
}

/* --- what needs a person
 * ------------------------------------------------------------------------------------------ */

static void need_write(struct json_writer *writer, const char *kind, const char *text, const char *link,
                       int64_t since)
{
    json_write_object(writer, NULL);
    json_write_string(writer, "kind", kind);
    json_write_string(writer, "text", text);
    json_write_string(writer, "link", link);
    json_write_time(writer, "since", since);
    json_write_end(writer, '}');
}

static void device_need(struct request *request, struct json_writer *writer, const struct device *device,
                        int *left)
{
    const char *link = arena_printf(request->arena, "/devices/%s", device->name);

    if (device->admission == ADMISSION_PENDING && (*left)-- > 0)
        need_write(writer, "pending", arena_printf(request->arena, "%s waits to be accepted", device->name),
                   link, device->enrolled_at);
    if (device->safe && device->admission == ADMISSION_ACCEPTED && (*left)-- > 0)
        need_write(writer, "safe_mode",
                   arena_printf(request->arena, "%s runs without its app: %s", device->name, device->safe),
                   link, device->last_seen);
    if (device->clone_suspected && device->admission == ADMISSION_ACCEPTED && (*left)-- > 0)
        need_write(
            writer, "clone_suspected",
            arena_printf(request->arena, "%s may exist twice: its session counter went back", device->name),
            link, device->last_seen);
}

static bool alarms_write(struct request *request, struct db_conn *conn, struct json_writer *writer, int *left,
                         struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT d.name, a.alarm, a.campaign_id, a.run_number, a.since FROM assignment a"
        " JOIN device d ON d.id = a.device_id WHERE a.alarm IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "
        "assignment b"
        " WHERE b.device_id = a.device_id AND b.started_at > a.started_at) ORDER BY a.since LIMIT :most");

    db_bind_integer(query, ":most", NEEDS_MOST);
    while (db_step(query) && (*left)-- > 0) {
        const char *name = db_text(query, 0), *alarm = db_text(query, 1);
        const char *text =
            string_is(alarm, "revert_failed")
                ? arena_printf(request->arena, "%s did not return as it was from its diagnostic image", name)
                : arena_printf(request->arena, "%s has not returned from its diagnostic image", name);

        need_write(writer, alarm, text,
                   arena_printf(request->arena, "/campaigns/%lld/runs/%lld", (long long)db_integer(query, 2),
                                (long long)db_integer(query, 3)),
                   db_integer(query, 4));
    }
    return db_end(query, err);
}

/* Campaigns that wait for a second person, or that too many failures or a withdrawn image hold. */
static bool campaigns_write(struct request *request, struct db_conn *conn, struct json_writer *writer,
                            int *left, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT id, state, image, state_reason, since, created_by FROM campaign"
                       " WHERE (state = 'draft' AND approval = 2) OR (state = 'paused' AND state_reason_code "
                       "IN ('max_failures', 'withdrawn'))"
                       " ORDER BY since LIMIT :most");

    db_bind_integer(query, ":most", NEEDS_MOST);
    while (db_step(query) && (*left)-- > 0) {
        long long id = db_integer(query, 0);
        bool waits = string_is(db_text(query, 1), "draft");
        const char *text =
            waits
                ? arena_printf(request->arena, "campaign %lld (%s) of %s waits for another person's approval",
                               id, db_text(query, 2), db_text(query, 5))
                : arena_printf(request->arena, "campaign %lld (%s) is held: %s", id, db_text(query, 2),
                               db_text(query, 3));

        need_write(writer, waits ? "approval" : "held_campaign", text,
                   arena_printf(request->arena, "/campaigns/%lld", id), db_integer(query, 4));
    }
    return db_end(query, err);
}

/* Rollouts that a gate holds, or that wait for a person to let the next stage begin. */
static bool rollouts_write(struct request *request, struct db_conn *conn, struct json_writer *writer,
                           int *left, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT id, state, asset, version, reason_text, since FROM rollout"
                       " WHERE state IN ('held', 'awaiting_approval') ORDER BY since LIMIT :most");

    db_bind_integer(query, ":most", NEEDS_MOST);
    while (db_step(query) && (*left)-- > 0) {
        long long id = db_integer(query, 0);
        bool held = string_is(db_text(query, 1), "held");
        const char *why = db_text(query, 4);

        need_write(writer, held ? "held_rollout" : "approval",
                   arena_printf(request->arena, "rollout %lld (%s %s)%s: %s", id, db_text(query, 2),
                                db_text(query, 3), held ? " is held" : "", why ? why : ""),
                   arena_printf(request->arena, "/rollouts/%lld", id), db_integer(query, 5));
    }
    return db_end(query, err);
}

/* Runs of the last day whose devices came back and then fell silent with what they had collected. */
static bool uploads_write(struct request *request, struct db_conn *conn, struct json_writer *writer,
                          int *left, struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT a.campaign_id, a.run_number, c.image || ' ' || c.version, count(*), max(a.since)"
              " FROM assignment a JOIN campaign c ON c.id = a.campaign_id WHERE a.state = 'failed'"
              " AND a.reason_code = 'timed_out' AND a.reverted_at IS NOT NULL AND a.since > :since"
              " GROUP BY 1, 2 ORDER BY 5 LIMIT :most");

    db_bind_integer(query, ":since", clock_now() - DAY_S);
    db_bind_integer(query, ":most", NEEDS_MOST);
    while (db_step(query) && (*left)-- > 0) {
        long long id = db_integer(query, 0), number = db_integer(query, 1), count = db_integer(query, 3);

        need_write(writer, "failed_capture",
                   arena_printf(request->arena,
                                "%lld %s did not send all that %s of campaign %lld, run %lld, collected",
                                count, count == 1 ? "device" : "devices", db_text(query, 2), id, number),
                   arena_printf(request->arena, "/campaigns/%lld/runs/%lld?tab=matrix", id, number),
                   db_integer(query, 4));
    }
    return db_end(query, err);
}

/* Before it is full: from then on captures and uploads are refused. */
static bool space_write(struct request *request, struct db_conn *conn, struct json_writer *writer, int *left,
                        struct error *err)
{
    int64_t free = file_space(request->console->data_dirfd), quota = request->console->diagnostics->quota;
    int64_t captures;

    if (!capture_bytes(conn, &captures, err))
        return false;
    if (free < STORAGE_TIGHT && (*left)-- > 0)
        need_write(writer, "storage",
                   arena_printf(request->arena,
                                "the server's disk has %lld MiB left: below %lld no capture is taken",
                                (long long)(free >> 20), (long long)(CAPTURE_SPACE_LEFT >> 20)),
                   "/captures", 0);
    if (captures > quota - quota / 10 && (*left)-- > 0)
        need_write(writer, "storage",
                   arena_printf(request->arena, "captures take %lld of the %lld MiB that they may",
                                (long long)(captures >> 20), (long long)(quota >> 20)),
                   "/captures", 0);
    return true;
}

static bool needs_write(struct request *request, struct db_conn *conn, struct json_writer *writer,
                        struct error *err)
{
    struct fleet *fleet = request->console->fleet;
    int left = NEEDS_MOST;
    size_t count;

    json_write_array(writer, "needs_person");
    if (!alarms_write(request, conn, writer, &left, err) ||
        !campaigns_write(request, conn, writer, &left, err) ||
        !rollouts_write(request, conn, writer, &left, err) ||
        !uploads_write(request, conn, writer, &left, err) || !space_write(request, conn, writer, &left, err))
        return false;
    fleet_lock(fleet);
    struct device *const *devices = fleet_all(fleet, &count);
    for (size_t i = 0; i < count && left > 0; i++)
        device_need(request, writer, devices[i], &left);
    fleet_unlock(fleet);
    json_write_end(writer, ']');
    return true;
}

/* --- the rest
 * ----------------------------------------------------------------------------------------------------- */

static bool audit_write(struct request *request, struct db_conn *conn, struct json_writer *writer,
                        struct error *err)
{
    struct audit_row *rows;
    size_t count;

    if (!audit_rows(conn, request->arena, 0, AUDIT_ROWS, &rows, &count, err))
        return false;
    json_write_array(writer, "last_audit");
    for (size_t i = 0; i < count; i++) {
        json_write_object(writer, NULL);
        json_write_integer(writer, "id", rows[i].id);
        json_write_time(writer, "at", rows[i].at);
        json_write_string(writer, "operator", rows[i].operator_name);
        json_write_string(writer, "action", rows[i].action);
        json_write_string(writer, "object", rows[i].object);
        json_write_string(writer, "detail", rows[i].detail);
        json_write_string(writer, "hash", rows[i].hash);
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
    return true;
}

/* What begins within a day by itself: runs of campaigns and rollouts that wait for their time. */
static bool next_write(struct request *request, struct db_conn *conn, struct json_writer *writer,
                       struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT r.starts_at, 'campaign', c.id, c.image || ' ' || c.version, r.number FROM run r"
              " JOIN campaign c ON c.id = r.campaign_id WHERE r.state = 'scheduled' AND r.starts_at > :now"
              " AND r.starts_at < :end"
              " UNION ALL SELECT at, 'rollout', id, asset || ' ' || version, 0 FROM rollout"
              " WHERE state = 'scheduled' AND at > :now AND at < :end ORDER BY 1 LIMIT :most");

    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":end", clock_now() + DAY_S);
    db_bind_integer(query, ":most", NEXT_MOST);
    json_write_array(writer, "next");
    while (db_step(query)) {
        const char *noun = db_text(query, 1);
        long long id = db_integer(query, 2), number = db_integer(query, 4);

        json_write_object(writer, NULL);
        json_write_time(writer, "at", db_integer(query, 0));
        json_write_string(writer, "what",
                          arena_printf(request->arena, "%s %lld: %s", noun, id, db_text(query, 3)));
        json_write_string(writer, "link",
                          number ? arena_printf(request->arena, "/campaigns/%lld/runs/%lld", id, number)
                                 : arena_printf(request->arena, "/rollouts/%lld", id));
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
    return db_end(query, err);
}

/* Bytes as versions list them: a file that two versions share counts twice. */
static bool storage_write(struct request *request, struct db_conn *conn, struct json_writer *writer,
                          struct error *err)
{
    int64_t captures, objects = 0;
    struct db_query *query = db_query(conn, "SELECT coalesce(sum(length), 0) FROM versions");

    if (db_step(query))
        objects = db_integer(query, 0);
    if (!db_end(query, err) || !capture_bytes(conn, &captures, err))
        return false;
    json_write_object(writer, "storage");
    json_write_integer(writer, "objects", objects);
    json_write_integer(writer, "captures", captures);
    json_write_integer(writer, "free", file_space(request->console->data_dirfd));
    json_write_end(writer, '}');
    return true;
}

static bool steps_write(struct db_conn *conn, const struct fleet_counts *counts, struct json_writer *writer,
                        struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT EXISTS (SELECT 1 FROM assets), EXISTS (SELECT 1 FROM release WHERE version IS NOT NULL),"
        " EXISTS (SELECT 1 FROM campaign)");
    bool asset = false, release = false, campaign = false;

    if (db_step(query)) {
        asset = db_integer(query, 0) != 0;
        release = db_integer(query, 1) != 0;
        campaign = db_integer(query, 2) != 0;
    }
    if (!db_end(query, err))
        return false;
    json_write_object(writer, "first_steps");
    json_write_boolean(writer, "asset", asset);
    json_write_boolean(writer, "device", counts->total > 0);
    json_write_boolean(writer, "release", release);
    json_write_boolean(writer, "campaign", campaign);
    json_write_end(writer, '}');
    return true;
}

static bool summary_write(struct request *request, struct text *out, struct error *err)
{
    struct json_writer writer;
    struct fleet_counts counts;
    DB_DONE(conn) = db_read(request->console->db, err);

    if (!conn)
        return false;
    fleet_counts(request->console->fleet, &counts);
    json_write_init(&writer, out);
    json_write_object(&writer, NULL);
    counts_write(&writer, &counts);
    if (!needs_write(request, conn, &writer, err))
        return false;
    json_write_array(&writer, "running");
    if (!run_write_open(conn, &writer, RUNNING_MOST, err))
        return false;
    json_write_end(&writer, ']');
    json_write_array(&writer, "rollouts");
    if (!rollout_write_open(conn, &writer, RUNNING_MOST, err))
        return false;
    json_write_end(&writer, ']');
    if (!next_write(request, conn, &writer, err) || !audit_write(request, conn, &writer, err) ||
        !storage_write(request, conn, &writer, err))
        return false;
    json_write_boolean(&writer, "starter_mode", repo_is_starter(request->console->repo));
    if (!steps_write(conn, &counts, &writer, err))
        return false;
    json_write_end(&writer, '}');
    return true;
}

void summary_show(struct request *request)
{
    TEXT(out);
    struct error err = {0};

    if (summary_write(request, &out, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

/* Assignments as others need them: runs of an order, a device's work, API.md. */
#include "diagnostics/assignment.h"

#include "base/clock.h"
#include "base/text.h"

#include <string.h>

#define CLOCK_SLACK_S 300 /* a device's clock may be so far behind ours: what is due now begins now */

/* --- orders
 * ------------------------------------------------------------------------------------------------------- */

static const char **strings_read(struct arena *arena, const char *text)
{
    struct error err = {0};
    const struct json *list = json_read(arena, text, strlen(text), &json_limits_small, &err);
    const char **strings = arena_array(arena, (list ? list->size : 0) + 1, sizeof *strings);
    size_t count = 0;

    for (const struct json *one = list ? list->first : NULL; one; one = one->next)
        strings[count++] = one->string;
    return strings;
}

#define HOLD_S (INT64_C(366) * 86400)

/* Paused: the device keeps the order and cannot begin. Whoever resumes sends it anew. */
static void run_hold(struct order_run *run)
{
    run->start_after = run->start_before += HOLD_S;
    run->not_after += HOLD_S;
}

static void run_read(struct db_query *query, struct arena *arena, struct order_run *run)
{
    const char *params = db_text_copy(query, 11, arena);
    struct error err = {0};
    int64_t start = db_integer(query, 5), duration = db_integer(query, 8), before = db_integer(query, 6);

    *run = (struct order_run){.campaign = db_integer(query, 1),
                              .run = db_integer(query, 2),
                              .mode = db_text_copy(query, 7, arena),
                              .duration_s = duration,
                              .start_after = start - CLOCK_SLACK_S,
                              .start_before = before,
                              .not_after = before + duration + db_integer(query, 12) + 3600,
                              .max_output = db_integer(query, 9),
                              .collect = strings_read(arena, db_text(query, 10)),
                              .params = json_read(arena, params, strlen(params), &json_limits_small, &err)};
    /* A time that a person chose is kept to the second. */
    if (db_integer(query, 13))
        run->start_after = start;
    run->redact = strings_read(arena, db_text(query, 14));
    if (db_integer(query, 15))
        run_hold(run);
    memcpy(run->id, db_text(query, 0), RUN_ID_TEXT);
    strcpy(run->image, db_text(query, 3));
    strcpy(run->version, db_text(query, 4));
}

static bool runs_read(struct db_conn *conn, struct arena *arena, int64_t device_id, struct order_run *runs,
                      size_t *count, struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT a.id, a.campaign_id, a.run_number, c.image, c.version, a.start_after,"
        " coalesce(a.start_before, r.start_before), c.mode, coalesce(a.duration_s, c.duration_s), "
        "c.max_output,"
        " c.collect, c.params, c.grace_s, c.at IS NOT NULL OR c.window IS NOT NULL OR c.repeat IS NOT NULL,"
        " c.redact, r.state = 'paused' AND a.state = 'scheduled_on_device'"
        " FROM assignment a JOIN campaign c ON c.id = a.campaign_id"
        " JOIN run r ON r.campaign_id = a.campaign_id AND r.number = a.run_number"
        " WHERE a.device_id = :device AND a.state IN ('waiting', 'offered', 'scheduled_on_device', "
        "'downloading',"
        " 'verifying', 'running', 'reverting', 'uploading') AND (a.state <> 'waiting' OR r.state <> 'paused')"
        " ORDER BY a.start_after, a.id LIMIT :most");

    db_bind_integer(query, ":device", device_id);
    db_bind_integer(query, ":most", ORDER_RUNS_MOST);
    *count = 0;
    while (db_step(query) && *count < ORDER_RUNS_MOST)
        run_read(query, arena, &runs[(*count)++]);
    return db_end(query, err);
}

/* Everything of the device that is not over, and the alarm of what it began last. */
static bool work_read(struct db_conn *conn, int64_t device_id, struct device_work *work, struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT a.id, a.run_number, a.state, a.start_after FROM assignment a JOIN run r"
        " ON r.campaign_id = a.campaign_id AND r.number = a.run_number WHERE a.device_id = :device AND "
        "a.state IN"
        " ('waiting', 'offered', 'scheduled_on_device', 'downloading', 'verifying', 'running', 'reverting',"
        " 'uploading', 'cancelling') AND (r.state <> 'paused' OR a.state NOT IN ('waiting', "
        "'scheduled_on_device'))"
        " ORDER BY a.start_after DESC");

    *work = (struct device_work){0};
    db_bind_integer(query, ":device", device_id);
    while (db_step(query)) {
        const char *state = db_text(query, 2);

        work->due_from = db_integer(query, 3) > 1 ? db_integer(query, 3) : 1;
        work->waits |= string_is(state, "waiting");
        if (!string_is(state, "running") && !string_is(state, "reverting") && !string_is(state, "cancelling"))
            continue;
        memcpy(work->run_id, db_text(query, 0), RUN_ID_TEXT);
        work->run_number = db_integer(query, 1);
    }
    if (!db_end(query, err))
        return false;
    query = db_query(conn, "SELECT alarm IS NOT NULL FROM assignment WHERE device_id = :device"
                           " AND started_at IS NOT NULL ORDER BY started_at DESC LIMIT 1");
    db_bind_integer(query, ":device", device_id);
    if (db_step(query))
        work->alarm = db_integer(query, 0) != 0;
    return db_end(query, err);
}

bool assignment_orders(struct db_conn *conn, struct arena *arena, int64_t device_id, struct order_run **runs,
                       size_t *count, struct device_work *work, struct error *err)
{
    struct order_run most[ORDER_RUNS_MOST];

    if (!runs_read(conn, arena, device_id, most, count, err) || !work_read(conn, device_id, work, err))
        return false;
    *runs = arena_array(arena, *count, sizeof **runs);
    if (*count)
        memcpy(*runs, most, *count * sizeof *most);
    return true;
}

/* --- API.md
 * ------------------------------------------------------------------------------------------------------- */

static void reason_write(struct db_query *query, struct json_writer *writer)
{
    if (db_is_null(query, 4)) {
        json_write_null(writer, "reason");
        return;
    }
    json_write_object(writer, "reason");
    json_write_string(writer, "code", db_text(query, 4));
    json_write_string(writer, "text", db_text(query, 5));
    json_write_end(writer, '}');
}

static void reverted_write(struct db_query *query, struct json_writer *writer)
{
    const char *proof = db_text(query, 9);

    if (!proof) {
        json_write_null(writer, "reverted");
        return;
    }
    json_write_object(writer, "reverted");
    json_write_time(writer, "at", db_integer(query, 8));
    json_write_raw(writer, "proof", proof, strlen(proof));
    json_write_boolean(writer, "verified", db_integer(query, 10) != 0);
    json_write_end(writer, '}');
}

static void capture_member_write(struct db_query *query, struct json_writer *writer)
{
    if (db_is_null(query, 11)) {
        json_write_null(writer, "capture");
        return;
    }
    json_write_object(writer, "capture");
    json_write_integer(writer, "id", db_integer(query, 11));
    json_write_string(writer, "state", db_text(query, 12));
    json_write_string(writer, "reason", db_text(query, 13));
    json_write_integer(writer, "length", db_integer(query, 14));
    json_write_end(writer, '}');
}

/* Leaves the object open. */
static void row_write(struct db_query *query, struct json_writer *writer)
{
    json_write_object(writer, NULL);
    json_write_string(writer, "device", db_text(query, 0));
    json_write_string(writer, "state", db_text(query, 1));
    json_write_time(writer, "since", db_integer(query, 2));
    json_write_time(writer, "until", db_integer(query, 3));
    reason_write(query, writer);
    json_write_string(writer, "alarm", db_text(query, 15));
    json_write_time(writer, "start_after", db_integer(query, 16));
    json_write_time(writer, "start_before", db_integer(query, 17));
    json_write_integer(writer, "duration_s", db_integer(query, 18));
    json_write_time(writer, "started_at", db_integer(query, 6));
    json_write_time(writer, "ends_at", db_integer(query, 7));
    reverted_write(query, writer);
    capture_member_write(query, writer);
}

#define WRITTEN_COLUMNS                                                                                      \
    "d.name, a.state, a.since, a.until, a.reason_code, a.reason_text, a.started_at, a.ends_at,"              \
    " a.reverted_at, a.proof, a.proof_verified, k.id, k.state, k.reason, k.length, a.alarm, a.start_after,"  \
    " coalesce(a.start_before, r.start_before), coalesce(a.duration_s, c.duration_s), a.device_id, a.id"
#define WRITTEN_JOINS                                                                                        \
    " JOIN device d ON d.id = a.device_id LEFT JOIN capture k ON k.assignment_id = a.id"                     \
    " JOIN campaign c ON c.id = a.campaign_id JOIN run r ON r.campaign_id = a.campaign_id"                   \
    " AND r.number = a.run_number"

/* One more row than asked for is looked for: it tells that there is a next page. */
static bool page_end(struct db_conn *conn, const struct assignment_choice *choice, int64_t *last,
                     struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT device_id FROM assignment WHERE campaign_id = :campaign AND run_number = :run"
        " AND device_id > :after AND (:state IS NULL OR state = :state) ORDER BY device_id LIMIT :limit");
    int64_t count = 0, at = 0;

    *last = 0;
    db_bind_integer(query, ":campaign", choice->campaign);
    db_bind_integer(query, ":run", choice->run);
    db_bind_integer(query, ":after", choice->after);
    db_bind_text(query, ":state", choice->state);
    db_bind_integer(query, ":limit", choice->limit + 1);
    while (db_step(query))
        if (++count <= choice->limit)
            at = db_integer(query, 0);
        else
            *last = at;
    return db_end(query, err);
}

bool assignment_write_some(struct db_conn *conn, const struct assignment_choice *choice,
                           struct json_writer *writer, int64_t *last, struct error *err)
{
    if (!page_end(conn, choice, last, err))
        return false;
    struct db_query *query = db_query(
        conn, "SELECT " WRITTEN_COLUMNS " FROM (SELECT * FROM assignment WHERE campaign_id = :campaign"
              " AND run_number = :run AND device_id > :after AND (:state IS NULL OR state = :state)"
              " ORDER BY device_id LIMIT :limit) a" WRITTEN_JOINS " ORDER BY d.name");
    db_bind_integer(query, ":campaign", choice->campaign);
    db_bind_integer(query, ":run", choice->run);
    db_bind_integer(query, ":after", choice->after);
    db_bind_text(query, ":state", choice->state);
    db_bind_integer(query, ":limit", choice->limit);
    while (db_step(query)) {
        row_write(query, writer);
        json_write_end(writer, '}');
    }
    return db_end(query, err);
}

bool assignment_write_one(struct db_conn *conn, int64_t campaign, int64_t run, int64_t device_id,
                          struct json_writer *writer, struct error *err)
{
    char id[RUN_ID_TEXT] = "";
    struct db_query *query =
        db_query(conn, "SELECT " WRITTEN_COLUMNS " FROM assignment a" WRITTEN_JOINS
                       " WHERE a.campaign_id = :campaign AND a.run_number = :run AND a.device_id = :device");

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":run", run);
    db_bind_integer(query, ":device", device_id);
    if (db_step(query)) {
        row_write(query, writer);
        memcpy(id, db_text(query, 20), RUN_ID_TEXT);
    }
    if (!db_end(query, err))
        return false;
    if (!*id)
        return error_set(err, ERROR_MISSING, "the device is not in campaign %lld, run %lld",
                         (long long)campaign, (long long)run);
    if (!assignment_write_steps(conn, id, writer, err))
        return false;
    json_write_end(writer, '}');
    return true;
}

/* Rollouts as API.md shows them. */
#include "console/delivery/rollout_assignment.h"

#include "base/clock.h"
#include "base/text.h"

#include <string.h>

static void integer_or_null(struct json_writer *writer, const char *key, int64_t value)
{
    if (value)
        json_write_integer(writer, key, value);
    else
        json_write_null(writer, key);
}

static void reason_write(struct json_writer *writer, const char *code, const char *text)
{
    if (!code) {
        json_write_null(writer, "reason");
        return;
    }
    json_write_object(writer, "reason");
    json_write_string(writer, "code", code);
    json_write_string(writer, "text", text);
    json_write_end(writer, '}');
}

static void by_write(const struct rollout *rollout, struct json_writer *writer)
{
    json_write_object(writer, "by");
    if (rollout->group)
        json_write_string(writer, "group", rollout->group);
    else if (rollout->filter)
        json_write_string(writer, "filter", rollout->filter);
    else
        json_write_integer(writer, "devices", rollout->devices);
    json_write_end(writer, '}');
}

/* Only states that somebody is in. */
static void counts_write(const struct rollout_counts *counts, struct json_writer *writer)
{
    json_write_object(writer, "counts");
    for (int i = 0; i < RA_STATES; i++)
        if (counts->of[i])
            json_write_integer(writer, rollout_assignment_state_name((enum rollout_assignment_state)i),
                               counts->of[i]);
    json_write_end(writer, '}');
}

/* A stage has no state of its own in the database: it follows from its times and its rollout's state. */
static const char *stage_state(const struct rollout *rollout, const struct rollout_stage *stage,
                               const struct rollout_counts *counts)
{
    if (!stage->started_at)
        return "waiting";
    if (stage->done_at || rollout_is_over(rollout) || stage->number < rollout->stage)
        return "done";
    if (rollout->state == ROLLOUT_HELD)
        return "held";
    return rollout_counts_moving(counts) || counts->of[RA_PENDING] || !counts->of[RA_CONFIRMING] ? "running"
                                                                                                 : "soaking";
}

static bool stages_write(struct db_conn *conn, struct arena *arena, const struct rollout *rollout,
                         struct json_writer *writer, struct error *err)
{
    json_write_array(writer, "stages");
    for (int64_t number = 1; number <= rollout->stages; number++) {
        struct rollout_stage stage;
        struct rollout_counts counts;

        if (!rollout_stage_find(conn, arena, rollout->id, number, &stage, err) ||
            !rollout_counts_read(conn, rollout->id, number, false, &counts, err))
            return false;
        json_write_object(writer, NULL);
        json_write_integer(writer, "number", number);
        json_write_string(writer, "share", stage.share);
        json_write_integer(writer, "devices", stage.devices);
        json_write_string(writer, "state", stage_state(rollout, &stage, &counts));
        json_write_time(writer, "started_at", stage.started_at);
        json_write_time(writer, "until", stage.until);
        json_write_time(writer, "done_at", stage.done_at);
        json_write_integer(writer, "accepted", stage.accepted);
        counts_write(&counts, writer);
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
    return true;
}

static void settings_write(const struct rollout *rollout, struct json_writer *writer)
{
    json_write_integer(writer, "soak_s", rollout->soak_s);
    json_write_integer(writer, "device_deadline_s", rollout->device_deadline_s);
    integer_or_null(writer, "stage_deadline_s", rollout->stage_deadline_s);
    json_write_string(writer, "max_failures", rollout->max_failures);
    integer_or_null(writer, "min_successes", rollout->min_successes);
    json_write_boolean(writer, "approval", rollout->approval);
    json_write_time(writer, "at", rollout->at);
    json_write_string(writer, "window", rollout->window);
    integer_or_null(writer, "parallel", rollout->parallel);
    integer_or_null(writer, "rate", rollout->rate);
    json_write_integer(writer, "retries", rollout->retries);
    json_write_time(writer, "ends_at", rollout->ends_at);
    json_write_boolean(writer, "auto_roll_back", rollout->auto_roll_back);
    json_write_boolean(writer, "late_joiners", rollout->late_joiners);
    json_write_string(writer, "why", rollout->reason);
    json_write_string(writer, "ticket", rollout->ticket);
    json_write_time(writer, "created_at", rollout->created_at);
    json_write_string(writer, "created_by", rollout->created_by);
}

bool rollout_write(struct db_conn *conn, int64_t id, struct json_writer *writer, struct error *err)
{
    ARENA(arena);
    struct rollout rollout;
    struct rollout_counts counts;

    if (!rollout_find(conn, &arena, id, &rollout, err) ||
        !rollout_counts_read(conn, id, rollout.stages, true, &counts, err))
        return false;
    json_write_object(writer, NULL);
    json_write_integer(writer, "id", id);
    json_write_string(writer, "product", rollout.product);
    json_write_string(writer, "asset", rollout.asset);
    json_write_string(writer, "version", rollout.version);
    json_write_string(writer, "state", rollout_lifecycle.states[rollout.state].name);
    json_write_time(writer, "since", rollout.since);
    json_write_time(writer, "until", rollout.until);
    reason_write(writer, rollout.reason_code, rollout.reason_text);
    by_write(&rollout, writer);
    json_write_integer(writer, "devices", rollout.devices);
    counts_write(&counts, writer);
    json_write_integer(writer, "stage", rollout.stage);
    if (!stages_write(conn, &arena, &rollout, writer, err))
        return false;
    settings_write(&rollout, writer);
    json_write_end(writer, '}');
    return true;
}

#define LIST_MOST 1000

bool rollout_list(struct db_conn *conn, int64_t before, int64_t limit, struct json_writer *writer,
                  int64_t *last, int64_t *total, struct error *err)
{
    int64_t ids[LIST_MOST];
    size_t count = 0;
    struct db_query *query =
        db_query(conn, "SELECT id, (SELECT count(*) FROM rollout) FROM rollout"
                       " WHERE :before = 0 OR id < :before ORDER BY id DESC LIMIT :limit");

    limit = limit < LIST_MOST ? limit : LIST_MOST;
    db_bind_integer(query, ":before", before);
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
        if (!rollout_write(conn, ids[i], writer, err))
            return false;
    return true;
}

bool rollout_write_open(struct db_conn *conn, struct json_writer *writer, int64_t limit, struct error *err)
{
    ARENA(arena);
    int64_t *ids;
    size_t count;

    if (!rollout_open_ids(conn, &arena, &ids, &count, err))
        return false;
    for (size_t i = count; i > 0 && limit > 0; i--) {
        struct rollout rollout;

        if (!rollout_find(conn, &arena, ids[i - 1], &rollout, err))
            return false;
        if (rollout.state == ROLLOUT_DRAFT)
            continue;
        if (!rollout_write(conn, ids[i - 1], writer, err))
            return false;
        limit--;
    }
    return true;
}

bool rollout_write_devices(struct db_conn *conn, int64_t id, const struct rollout_choice *choice,
                           struct json_writer *writer, int64_t *last, struct error *err)
{
    int64_t written = 0, device = 0;
    struct db_query *query = db_query(
        conn, "SELECT d.name, a.stage, a.state, a.since, a.until, a.from_version, a.result, a.reason_code,"
              " a.reason_text, a.attempts, a.device_id FROM rollout_assignment a JOIN device d ON d.id = "
              "a.device_id"
              " WHERE a.rollout_id = :id AND a.device_id > :after AND (:state IS NULL OR a.state = :state)"
              " AND (:stage = 0 OR a.stage = :stage) ORDER BY a.device_id LIMIT :limit");

    db_bind_integer(query, ":id", id);
    db_bind_integer(query, ":after", choice->after);
    db_bind_text(query, ":state", choice->state);
    db_bind_integer(query, ":stage", choice->stage);
    db_bind_integer(query, ":limit", choice->limit + 1);
    *last = 0;
    while (db_step(query)) {
        if (written++ == choice->limit) {
            *last = device;
            continue;
        }
        device = db_integer(query, 10);
        json_write_object(writer, NULL);
        json_write_string(writer, "device", db_text(query, 0));
        json_write_integer(writer, "stage", db_integer(query, 1));
        json_write_string(writer, "state", db_text(query, 2));
        json_write_time(writer, "since", db_integer(query, 3));
        json_write_time(writer, "until", db_integer(query, 4));
        json_write_string(writer, "from", db_text(query, 5));
        if (db_is_null(query, 6))
            json_write_null(writer, "result");
        else
            json_write_integer(writer, "result", db_integer(query, 6));
        reason_write(writer, db_text(query, 7), db_text(query, 8));
        json_write_integer(writer, "attempts", db_integer(query, 9));
        json_write_end(writer, '}');
    }
    return db_end(query, err);
}

/* --- failures
 * ----------------------------------------------------------------------------------------------------- */

#define GROUPS_MOST 50
#define SAMPLES 5

struct failures {
    const char *code, *text;
    int64_t result, devices;
};

static bool failures_read(struct db_conn *conn, struct arena *arena, int64_t id, struct failures *groups,
                          size_t *count, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT reason_code, reason_text, coalesce(result, -1), count(*)"
                       " FROM rollout_assignment WHERE rollout_id = :id AND state = 'failed'"
                       " GROUP BY reason_code, reason_text, coalesce(result, -1) ORDER BY count(*) DESC"
                       " LIMIT :most");

    *count = 0;
    db_bind_integer(query, ":id", id);
    db_bind_integer(query, ":most", GROUPS_MOST);
    while (db_step(query) && *count < GROUPS_MOST)
        groups[(*count)++] = (struct failures){.code = db_text_copy(query, 0, arena),
                                               .text = db_text_copy(query, 1, arena),
                                               .result = db_integer(query, 2),
                                               .devices = db_integer(query, 3)};
    return db_end(query, err);
}

static bool samples_write(struct db_conn *conn, int64_t id, const struct failures *group, int64_t *first,
                          struct json_writer *writer, struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT d.name, d.id FROM rollout_assignment a JOIN device d ON d.id = a.device_id"
              " WHERE a.rollout_id = :id AND a.state = 'failed' AND a.reason_code = :code"
              " AND coalesce(a.reason_text, '') = :text AND coalesce(a.result, -1) = :result LIMIT :most");

    *first = 0;
    db_bind_integer(query, ":id", id);
    db_bind_text(query, ":code", group->code);
    db_bind_text(query, ":text", group->text ? group->text : "");
    db_bind_integer(query, ":result", group->result);
    db_bind_integer(query, ":most", SAMPLES);
    json_write_array(writer, "samples");
    while (db_step(query)) {
        *first = *first ? *first : db_integer(query, 1);
        json_write_string(writer, NULL, db_text(query, 0));
    }
    json_write_end(writer, ']');
    return db_end(query, err);
}

/* What the console holds of the first one's last words: the newest lines of its time line about taking
 * versions and its app. */
static bool log_write(struct db_conn *conn, int64_t device_id, struct json_writer *writer, struct error *err)
{
    TEXT(log);
    struct db_query *query =
        db_query(conn, "SELECT at, text FROM device_event WHERE device_id = :device"
                       " AND what IN ('swap', 'app', 'rollout') ORDER BY id DESC LIMIT 10");

    db_bind_integer(query, ":device", device_id);
    while (db_step(query)) {
        char at[TIME_TEXT];

        text_printf(&log, "%s  %s\n", time_text(db_integer(query, 0), at), db_text(query, 1));
    }
    json_write_string(writer, "log", log.size ? text_string(&log) : NULL);
    return db_end(query, err);
}

bool rollout_write_failures(struct db_conn *conn, int64_t id, struct json_writer *writer, struct error *err)
{
    ARENA(arena);
    struct failures groups[GROUPS_MOST];
    size_t count;

    if (!failures_read(conn, &arena, id, groups, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        int64_t first;

        json_write_object(writer, NULL);
        json_write_string(writer, "code", groups[i].code);
        json_write_string(writer, "text", groups[i].text);
        if (groups[i].result < 0)
            json_write_null(writer, "result");
        else
            json_write_integer(writer, "result", groups[i].result);
        json_write_integer(writer, "devices", groups[i].devices);
        if (!samples_write(conn, id, &groups[i], &first, writer, err) || !log_write(conn, first, writer, err))
            return false;
        json_write_end(writer, '}');
    }
    return true;
}

bool rollout_write_timeline(struct db_conn *conn, int64_t id, struct json_writer *writer, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT at, what, text, by FROM rollout_event WHERE rollout_id = :id"
                       " ORDER BY id DESC LIMIT 500");

    db_bind_integer(query, ":id", id);
    while (db_step(query)) {
        json_write_object(writer, NULL);
        json_write_time(writer, "at", db_integer(query, 0));
        json_write_string(writer, "what", db_text(query, 1));
        json_write_string(writer, "text", db_text(query, 2));
        json_write_string(writer, "by", db_text(query, 3));
        json_write_end(writer, '}');
    }
    return db_end(query, err);
}

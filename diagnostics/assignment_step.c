/* The steps that one device took in a run, with the times at which they were taken. */
#include "diagnostics/assignment.h"

#include "base/clock.h"

#include <string.h>

bool assignment_step_add(struct act *act, const struct assignment *assignment, int64_t at, const char *text,
                         struct error *err)
{
    /* A device that was away tells its steps together: what it says about their times is the better. */
    int64_t now_ms = clock_now() * 1000 + clock_now_ms() % 1000;
    struct db_query *query =
        db_query(act->conn, "INSERT INTO assignment_step (assignment_id, n, state, at_ms, text) SELECT :id,"
                            " coalesce(max(n), 0) + 1, :state, max(:at, coalesce(max(at_ms), 0)), :text"
                            " FROM assignment_step WHERE assignment_id = :id");

    db_bind_text(query, ":id", assignment->id);
    db_bind_text(query, ":state", assignment_lifecycle.states[assignment->state].name);
    db_bind_integer(query, ":at", at && at * 1000 < now_ms - 2000 ? at * 1000 : now_ms);
    db_bind_text(query, ":text", text);
    return db_run(query, NULL, err);
}

/* What a step was about, in bytes: the image while it is fetched, the capture while it arrives. */
static bool bytes_read(struct db_conn *conn, const char *id, int64_t *image, int64_t *capture,
                       struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT (SELECT v.length FROM versions v WHERE v.product = c.product AND v.asset = c.image"
              " AND v.version = c.version), (SELECT k.length FROM capture k WHERE k.assignment_id = a.id)"
              " FROM assignment a JOIN campaign c ON c.id = a.campaign_id WHERE a.id = :id");

    *image = *capture = 0;
    db_bind_text(query, ":id", id);
    if (db_step(query)) {
        *image = db_integer(query, 0);
        *capture = db_integer(query, 1);
    }
    return db_end(query, err);
}

/* All that is known of a step but how long it took: the one after it says that. */
static void step_begin(struct db_query *query, int64_t image, int64_t capture, struct json_writer *writer)
{
    const char *state = db_text(query, 0);

    json_write_object(writer, NULL);
    json_write_string(writer, "state", state);
    json_write_time(writer, "at", db_integer(query, 1) / 1000);
    json_write_string(writer, "text", db_text(query, 2));
    if (image && !strcmp(state, "downloading"))
        json_write_integer(writer, "bytes", image);
    if (capture && !strcmp(state, "uploading"))
        json_write_integer(writer, "bytes", capture);
}

bool assignment_write_steps(struct db_conn *conn, const char *id, struct json_writer *writer,
                            struct error *err)
{
    int64_t image, capture, before = 0;
    bool open = false;

    if (!bytes_read(conn, id, &image, &capture, err))
        return false;
    struct db_query *query =
        db_query(conn, "SELECT state, at_ms, text FROM assignment_step WHERE assignment_id = :id ORDER BY n");
    json_write_array(writer, "steps");
    db_bind_text(query, ":id", id);
    while (db_step(query)) {
        if (open) {
            json_write_integer(writer, "duration_ms", db_integer(query, 1) - before);
            json_write_end(writer, '}');
        }
        before = db_integer(query, 1);
        open = true;
        step_begin(query, image, capture, writer);
    }
    if (open) {
        json_write_null(writer, "duration_ms");
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
    return db_end(query, err);
}

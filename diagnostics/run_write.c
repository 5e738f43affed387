/* Runs as API.md has them. */
#include "diagnostics/run_parts.h"

#include <stdio.h>

bool run_counts_write(struct db_conn *conn, int64_t campaign, int64_t number, struct json_writer *writer,
                      struct error *err)
{
    int64_t counts[ASSIGNMENT_STATES];

    if (!assignment_counts(conn, campaign, number, counts, err))
        return false;
    json_write_object(writer, "counts");
    for (int state = 0; state < ASSIGNMENT_STATES; state++)
        if (counts[state])
            json_write_integer(writer, assignment_lifecycle.states[state].name, counts[state]);
    json_write_end(writer, '}');
    return true;
}

static void day_write(struct db_query *query, struct json_writer *writer)
{
    int year, month, day;
    char text[16];

    if (db_is_null(query, 10)) {
        json_write_null(writer, "day");
        return;
    }
    date_of_day(db_integer(query, 10), &year, &month, &day);
    snprintf(text, sizeof text, "%04d-%02d-%02d", year % 10000, month % 100, day % 100);
    json_write_string(writer, "day", text);
}

static void reason_write(struct db_query *query, struct json_writer *writer)
{
    if (db_is_null(query, 8)) {
        json_write_null(writer, "reason");
        return;
    }
    json_write_object(writer, "reason");
    json_write_string(writer, "code", db_text(query, 8));
    json_write_string(writer, "text", db_text(query, 9));
    json_write_end(writer, '}');
}

bool run_write(struct db_conn *conn, int64_t campaign, int64_t number, bool assignments,
               struct json_writer *writer, struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT r.state, r.since, c.duration_s, c.product, c.image, c.version, r.starts_at, r.start_before,"
        " r.reason_code, r.reason_text, r.day, r.ended_by FROM run r"
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
        json_write_time(writer, "start_before", db_integer(query, 7));
        day_write(query, writer);
        reason_write(query, writer);
        json_write_string(writer, "ended_by", db_text(query, 11));
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
        const struct assignment_choice choice = {
            .campaign = campaign, .run = number, .limit = ASSIGNMENTS_WRITTEN_MOST};
        int64_t last;

        json_write_array(writer, "assignments");
        if (!assignment_write_some(conn, &choice, writer, &last, err))
            return false;
        json_write_end(writer, ']');
        json_write_boolean(writer, "more", last != 0);
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

#include "console/handlers.h"

#include "base/clock.h"
#include "base/json.h"
#include "console/audit.h"
#include "console/console.h"
#include "console/events.h"
#include "console/people.h"

#include <stdio.h>
#include <string.h>

#define HEARTBEAT_MS 15000
#define LOOK_MS 1000 /* how often a stream looks whether its peer is there and its person still allowed */

static void put_row(struct json_writer *json, const struct audit_row *row)
{
    json_write_object(json, NULL);
    json_write_integer(json, "id", row->id);
    json_write_time(json, "at", row->at);
    json_write_string(json, "operator", row->operator_name);
    json_write_string(json, "action", row->action);
    json_write_string(json, "object", row->object);
    json_write_string(json, "detail", row->detail);
    json_write_string(json, "hash", row->hash);
    json_write_end(json, '}');
}

static bool total(struct db_conn *conn, int64_t *many, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT count(*) FROM audit");

    *many = db_step(query) ? db_integer(query, 0) : 0;
    return db_end(query, err);
}

static void answer_rows(struct request *request, int64_t before, size_t most)
{
    struct audit_row *rows = NULL;
    size_t count = 0;
    int64_t many = 0;
    struct error err;
    struct json_writer json;
    TEXT(out);

    DB_DONE(conn) = db_read(request->console->db, &err);
    if (!conn || !audit_rows(conn, request->arena, before, most, &rows, &count, &err) ||
        !total(conn, &many, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_init(&json, &out);
    json_write_array(&json, NULL);
    for (size_t i = 0; i < count; i++)
        put_row(&json, &rows[i]);
    json_write_end(&json, ']');
    answer_header(request, "X-Total", arena_printf(request->arena, "%lld", (long long)many));
    if (count == most && rows[count - 1].id > 1)
        answer_header(request, "X-Next", arena_printf(request->arena, "%lld", (long long)rows[count - 1].id));
    answer_json(request, 200, &out);
}

void audit_list(struct request *request)
{
    static const char *const allowed[] = {"limit", "after", NULL};
    const char *limit = request_query(request, "limit"), *after = request_query(request, "after");
    int64_t most = 200, before = 0;
    struct error err;

    if (!request_query_only(request, allowed, &err)) {
        answer_error(request, &err);
        return;
    }
    if ((limit && !int64_parse(limit, 1, 1000, &most)) ||
        (after && !int64_parse(after, 1, INT64_MAX, &before))) {
        error_set(&err, ERROR_INPUT, "\"limit\" is 1 to 1000, \"after\" an id of the audit");
        answer_error(request, &err);
        return;
    }
    answer_rows(request, before, (size_t)most);
}

/* Whoever was signed out or lost the role sees no more, at the latest with the next heartbeat. */
static bool still_allowed(struct request *request)
{
    const char *header = request_header(request, "Authorization");
    const char *cookie = request_header(request, "Cookie");
    const char *found = cookie ? strstr(cookie, "locum_session=") : NULL;
    struct person person;
    struct error err;
    ARENA(arena);
    char *session = found ? arena_copy(&arena, found + 14, strcspn(found + 14, ";")) : NULL;

    return people_identify(request->console, &arena, header && strlen(header) > 7 ? header + 7 : NULL,
                           session, &person, &err) &&
           person.role >= ROLE_VIEWER;
}

static bool stream_begin(struct request *request, int64_t at, bool reset)
{
    char id[48];
    TEXT(out);

    events_id(request->console->events, at, id, sizeof(id));
    text_printf(&out, "retry: 1000\nid: %s\n\n", id);
    if (reset)
        text_puts(&out, "event: reset\ndata: {}\n\n");
    return answer_stream_send(request, out.bytes, out.size);
}

static void stream_run(struct request *request, int64_t at)
{
    struct console *console = request->console;
    int64_t sent_ms = clock_boot_ms(), changes = people_changes(console->people);
    TEXT(out);

    while (answer_stream_alive(request) && !events_stopped(console->events)) {
        text_clear(&out);
        if (!events_next(console->events, &at, LOOK_MS, &out) && clock_boot_ms() - sent_ms >= HEARTBEAT_MS) {
            text_puts(&out, ": still here\n\n");
            changes = -1; /* looks at the right again as well: a session may have run out */
        }
        if (changes != people_changes(console->people)) {
            changes = people_changes(console->people);
            if (!still_allowed(request))
                return;
        }
        if (out.size > 0) {
            if (!answer_stream_send(request, out.bytes, out.size))
                return;
            sent_ms = clock_boot_ms();
        }
    }
}

void events_stream(struct request *request)
{
    bool reset;

    if (!answer_stream(request, "text/event-stream"))
        return;
    int64_t at = events_begin(request->console->events, request_header(request, "Last-Event-ID"), &reset);
    if (stream_begin(request, at, reset))
        stream_run(request, at);
    events_end(request->console->events);
}

/* Groups of devices. */
#include "console/handlers.h"

#include "base/json.h"
#include "console/console.h"
#include "console/delivery/group.h"

#include <string.h>

static const struct json_limits group_limits = {.bytes = 4 << 20, .values = 110000, .depth = 4};

void groups_list(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    if (!conn || !group_write_all(request->console, conn, &writer, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_end(&writer, ']');
    answer_json(request, 200, &out);
}

static void group_answer(struct request *request, int status, const char *name)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    if (!conn || !group_write(request->console, conn, name, true, &writer, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_end(&writer, '}');
    answer_json(request, status, &out);
}

void groups_show(struct request *request)
{
    group_answer(request, 200, request->params[0]);
}

/* `members`: what the body may have. */
static bool wish_read(struct request *request, const char *const *members, const struct json **body,
                      struct group_wish *wish, struct error *err)
{
    const struct json *json = request_json(request, &group_limits, err);

    *wish = (struct group_wish){.expect_count = -1};
    *body = json;
    if (!json || !json_only(json, members, err) ||
        (json_get(json, "filter") && !json_need_string(json, "filter", &wish->filter, err)) ||
        (json_get(json, "devices") && !json_need_array(json, "devices", &wish->devices, err)) ||
        (json_get(json, "expect_count") &&
         !json_need_integer(json, "expect_count", 0, INT32_MAX, &wish->expect_count, err)))
        return false;
    return true;
}

void groups_create(struct request *request)
{
    static const char *const members[] = {"name", "filter", "devices", "expect_count", NULL};
    const struct json *body;
    struct group_wish wish;
    const char *name;
    struct error err = {0};

    if (wish_read(request, members, &body, &wish, &err) && json_need_string(body, "name", &name, &err) &&
        group_create(request->console, name, &wish, request->operator_name, &err))
        group_answer(request, 201, name);
    else
        answer_error(request, &err);
}

void groups_change(struct request *request)
{
    static const char *const members[] = {"filter", "devices", "expect_count", NULL};
    const struct json *body;
    struct group_wish wish;
    struct error err = {0};

    if (wish_read(request, members, &body, &wish, &err) &&
        group_change(request->console, request->params[0], &wish, request->operator_name, &err))
        groups_show(request);
    else
        answer_error(request, &err);
}

void groups_delete(struct request *request)
{
    static const char *const allowed[] = {"force", NULL};
    const char *force = request_query(request, "force");
    struct error err = {0};

    if (!request_query_only(request, allowed, &err) ||
        (force && strcmp(force, "true") && *force &&
         !error_set(&err, ERROR_INPUT, "\"force\" is true or left out")) ||
        !group_delete(request->console, request->params[0], force != NULL, request->operator_name, &err))
        answer_error(request, &err);
    else
        answer_empty(request, 204);
}

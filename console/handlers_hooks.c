/* Web hooks: an administrator's. */
#include "console/handlers.h"

#include "base/text.h"
#include "console/console.h"
#include "console/hooks.h"

#define LOG_DEFAULT 200
#define LOG_MOST 1000

void hooks_list(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    if (conn && hooks_write(conn, &writer, &err)) {
        json_write_end(&writer, ']');
        answer_json(request, 200, &out);
    } else {
        answer_error(request, &err);
    }
}

static bool plan_read(struct request *request, struct hook_plan *plan, struct error *err)
{
    static const char *const allowed[] = {"name", "url", "events", "secret", NULL};
    const struct json *body = request_json(request, &json_limits_small, err);

    *plan = (struct hook_plan){0};
    if (!body || !json_only(body, allowed, err) || !json_need_string(body, "name", &plan->name, err) ||
        !json_need_string(body, "url", &plan->url, err))
        return false;
    if (json_get(body, "secret") && !json_need_string(body, "secret", &plan->secret, err))
        return false;
    return !json_get(body, "events") || json_need_array(body, "events", &plan->events, err);
}

void hooks_create(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct hook_plan plan;
    struct error err = {0};
    char secret[HOOK_SECRET_SIZE];

    if (!plan_read(request, &plan, &err) ||
        !hook_create(request->console, &plan, request->operator_name, secret, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "name", plan.name);
    json_write_string(&writer, "url", plan.url);
    json_write_string(&writer, "secret", secret);
    json_write_end(&writer, '}');
    answer_json(request, 201, &out);
}

void hooks_delete(struct request *request)
{
    struct error err = {0};

    if (hook_delete(request->console, request->params[0], request->operator_name, &err))
        answer_empty(request, 204);
    else
        answer_error(request, &err);
}

void hooks_log(struct request *request)
{
    static const char *const allowed[] = {"limit", "after", NULL};
    const char *limited = request_query(request, "limit"), *after = request_query(request, "after");
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    int64_t limit = LOG_DEFAULT, before = 0, last = 0;
    bool good = request_query_only(request, allowed, &err);
    DB_DONE(conn) = db_read(request->console->db, &err);

    if (good && ((limited && !int64_parse(limited, 1, LOG_MOST, &limit)) ||
                 (after && !int64_parse(after, 1, INT64_MAX, &before))))
        good = error_set(&err, ERROR_INPUT, "\"limit\" is 1 to %d, \"after\" the number that X-Next gave",
                         LOG_MOST);
    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    if (!good || !conn || !hook_write_log(conn, request->params[0], before, limit, &writer, &last, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_end(&writer, ']');
    if (last)
        answer_header(request, "X-Next", arena_printf(request->arena, "%lld", (long long)last));
    answer_json(request, 200, &out);
}

/* Devices held at a version, development devices, and why a device runs what it runs. */
#include "console/handlers.h"

#include "base/json.h"
#include "console/delivery/pin.h"
#include "console/delivery/wish_device.h"

#include <string.h>

static bool read_when(const struct json *body, bool *on_reset, struct error *err)
{
    const char *when;

    if (!json_need_string(body, "when", &when, err))
        return false;
    *on_reset = !strcmp(when, "reset");
    return *on_reset || !strcmp(when, "now") || error_set(err, ERROR_INPUT, "\"when\" is now or reset");
}

void devices_pin(struct request *request)
{
    static const char *const members[] = {"product", "asset", "version", "when", "reason", NULL};
    struct pin_request asked = {.device = request->params[0], .operator_name = request->operator_name};
    const char *hint = NULL;
    struct error err = {0};
    const struct json *body = request_json(request, NULL, &err);

    if (body && json_only(body, members, &err) &&
        (!json_get(body, "product") || json_need_string(body, "product", &asked.product, &err)) &&
        json_need_string(body, "asset", &asked.asset, &err) &&
        json_need_string(body, "version", &asked.version, &err) && read_when(body, &asked.on_reset, &err) &&
        (!json_get(body, "reason") || json_get(body, "reason")->type == JSON_NULL ||
         json_need_string(body, "reason", &asked.reason, &err)) &&
        pin_set(request->console, &asked, &hint, &err)) {
        devices_show(request);
        return;
    }
    if (hint)
        answer_status_error(request, 409, &err, hint);
    else
        answer_error(request, &err);
}

void devices_unpin(struct request *request)
{
    struct error err = {0};

    if (pin_end(request->console, request->params[0], request->params[1], request->operator_name, &err))
        devices_show(request);
    else
        answer_error(request, &err);
}

void devices_develop(struct request *request)
{
    static const char *const members[] = {"development", NULL};
    struct error err = {0};
    const struct json *body = request_json(request, NULL, &err);
    const struct json *development = json_get(body, "development");

    if (body && json_only(body, members, &err) && (!development || development->type != JSON_BOOL))
        error_set(&err, ERROR_INPUT, "\"development\" is true or false");
    if (!err.kind &&
        pin_develop(request->console, request->params[0], development->boolean, request->operator_name, &err))
        devices_show(request);
    else
        answer_error(request, &err);
}

void devices_why(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct wish_device device;
    struct error err = {0};
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    if (!conn ||
        !wish_device_find(request->arena, request->console->fleet, request->params[0], &device, &err) ||
        !wish_write_why(conn, &device, &writer, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_end(&writer, ']');
    answer_json(request, 200, &out);
}

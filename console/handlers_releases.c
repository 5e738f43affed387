/* What devices should run, and what nobody should: releases and withdrawn versions. */
#include "console/handlers.h"

#include "base/json.h"
#include "console/console.h"
#include "console/delivery/release.h"
#include "console/delivery/withdraw.h"
#include "console/fleet.h"

#include <string.h>

#define LIST_DEFAULT 200
#define LIST_MOST 1000

static bool request_read_release(struct request *request, struct release_request *asked, struct error *err)
{
    static const char *const members[] = {"version", "group", "force", "reason", NULL};
    const struct json *json = request_json(request, NULL, err), *group, *force;

    *asked = (struct release_request){
        .product = request->params[0], .asset = request->params[1], .operator_name = request->operator_name};
    if (!json || !json_only(json, members, err) || !json_need_string(json, "version", &asked->version, err))
        return false;
    group = json_get(json, "group");
    if (group && group->type != JSON_NULL && !json_need_string(json, "group", &asked->group, err))
        return false;
    if (json_get(json, "reason") && !json_need_string(json, "reason", &asked->reason, err))
        return false;
    force = json_get(json, "force");
    if (force && force->type != JSON_BOOL)
        return error_set(err, ERROR_INPUT, "\"force\" must be true or false");
    asked->force = force && force->boolean;
    return true;
}

void assets_release(struct request *request)
{
    struct release_request asked;
    struct released released = {0};
    struct json_writer writer;
    struct error err = {0};
    TEXT(out);

    if (!request_read_release(request, &asked, &err) ||
        !release_make(request->console, &asked, &released, &err)) {
        if (released.unproven)
            answer_status_error(request, 409, &err,
                                arena_printf(request->arena,
                                             "pin it to a test device first: locum device pin NAME %s/%s %s;"
                                             " or force it with a reason",
                                             asked.product, asked.asset, asked.version));
        else
            answer_error(request, &err);
        return;
    }
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "product", asked.product);
    json_write_string(&writer, "asset", asked.asset);
    json_write_string(&writer, "version", asked.version);
    json_write_string(&writer, "group", asked.group);
    json_write_integer(&writer, "devices", released.devices);
    json_write_end(&writer, '}');
    answer_json(request, 200, &out);
}

void assets_release_end(struct request *request)
{
    static const char *const allowed[] = {"group", NULL};
    const char *group = request_query(request, "group");
    struct error err = {0};

    if (!request_query_only(request, allowed, &err) ||
        (!group && !error_set(&err, ERROR_INPUT,
                              "\"group\" is needed: a product's release is replaced, never ended")) ||
        !release_end(request->console, request->params[0], request->params[1], group, request->operator_name,
                     &err))
        answer_error(request, &err);
    else
        answer_empty(request, 204);
}

void versions_withdraw(struct request *request)
{
    static const char *const members[] = {"reason", NULL};
    const char *reason;
    struct error err = {0};
    const struct json *json = request_json(request, NULL, &err);

    if (!json || !json_only(json, members, &err) || !json_need_string(json, "reason", &reason, &err) ||
        !version_withdraw(request->console, request->params[0], request->params[1], request->params[2],
                          reason, request->operator_name, &err))
        answer_error(request, &err);
    else
        versions_show(request);
}

/* --- who runs a version
 * ---------------------------------------------------------------------------------------------- */

/* Names after `after`, at most `most`; the last one's name into `next` when there are more. Gives how many
 * there are in all. */
static int64_t put_devices(struct request *request, const char *after, int64_t most,
                           struct json_writer *writer, const char **next)
{
    struct fleet *fleet = request->console->fleet;
    const char *product = request->params[0], *last = NULL;
    int64_t total = 0, put = 0;
    size_t count;

    fleet_lock(fleet);
    struct device *const *devices = fleet_all(fleet, &count);
    for (size_t i = 0; i < count; i++) {
        const struct device *device = devices[i];

        if (device->admission == ADMISSION_REJECTED || device->admission == ADMISSION_RETIRED ||
            strcmp(device->product, product) || !device_runs(device, request->params[1], request->params[2]))
            continue;
        total++;
        if (after && strcmp(device->name, after) <= 0)
            continue;
        if (put == most) {
            *next = last;
            continue;
        }
        json_write_string(writer, NULL, device->name);
        last = device->name; /* devices are never freed */
        put++;
    }
    fleet_unlock(fleet);
    return total;
}

static bool version_known(struct request *request, struct error *err)
{
    struct manifest manifest;
    char sha256[SHA256_HEX];
    DB_DONE(conn) = db_read(request->console->db, err);

    return conn && repo_manifest(request->console->repo, conn, request->arena, request->params[0],
                                 request->params[1], request->params[2], &manifest, sha256, err);
}

void versions_devices(struct request *request)
{
    static const char *const allowed[] = {"limit", "after", NULL};
    const char *limit = request_query(request, "limit"), *next = NULL;
    int64_t most = LIST_DEFAULT;
    struct json_writer writer;
    struct error err = {0};
    TEXT(out);

    if (!request_query_only(request, allowed, &err) ||
        (limit && !int64_parse(limit, 1, LIST_MOST, &most) &&
         !error_set(&err, ERROR_INPUT, "\"limit\" is a number from 1 to %d", LIST_MOST)) ||
        !name_check("product", request->params[0], &err) || !name_check("asset", request->params[1], &err) ||
        !version_check(request->params[2], &err) || !version_known(request, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    int64_t total = put_devices(request, request_query(request, "after"), most, &writer, &next);
    json_write_end(&writer, ']');
    answer_header(request, "X-Total", arena_printf(request->arena, "%lld", (long long)total));
    if (next)
        answer_header(request, "X-Next", next);
    answer_json(request, 200, &out);
}

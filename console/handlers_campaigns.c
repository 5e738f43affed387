/* Diagnostic images, campaigns and runs. */
#include "console/handlers.h"

#include "base/clock.h"
#include "console/console.h"
#include "console/filter.h"
#include "diagnostics/campaign.h"
#include "diagnostics/image.h"
#include "diagnostics/run.h"

#include <stdlib.h>
#include <string.h>

#define LIST_DEFAULT 200
#define LIST_MOST 1000
#define WORDS_MOST 500 /* bytes of ticket and reason */

static const struct json_limits create_limits = {.bytes = 4 << 20, .values = 110000, .depth = 8};

/* --- images
 * ------------------------------------------------------------------------------------------------------- */

static bool image_write(struct request *request, struct db_conn *conn, const struct asset_row *row,
                        struct json_writer *writer, struct error *err)
{
    struct image_returns returns;
    struct image image;

    if (!image_find(request->console->repo, conn, request->arena, row->product, row->name, NULL, &image,
                    err) ||
        !image_returns(conn, row->product, row->name, &returns, err))
        return false;
    json_write_object(writer, NULL);
    json_write_string(writer, "product", row->product);
    json_write_string(writer, "name", row->name);
    json_write_string(writer, "kind", kind_name(row->kind));
    json_write_string(writer, "newest", row->newest);
    json_write_integer(writer, "versions", row->versions);
    json_write_time(writer, "published_at", row->published_at);
    json_write_value(writer, "limits", image.manifest.limits.json);
    json_write_object(writer, "returns");
    json_write_integer(writer, "begun", returns.begun);
    json_write_integer(writer, "returned", returns.returned);
    json_write_integer(writer, "running", returns.running);
    json_write_end(writer, '}');
    json_write_end(writer, '}');
    return true;
}

static bool images_write(struct request *request, struct text *out, struct error *err)
{
    struct json_writer writer;
    struct asset_row *rows;
    size_t count;
    DB_DONE(conn) = db_read(request->console->db, err);

    if (!conn || !repo_assets(conn, request->arena, NULL, &rows, &count, err))
        return false;
    json_write_init(&writer, out);
    json_write_array(&writer, NULL);
    for (size_t i = 0; i < count; i++)
        if (rows[i].kind == KIND_DIAGNOSTIC && !image_write(request, conn, &rows[i], &writer, err))
            return false;
    json_write_end(&writer, ']');
    return true;
}

void images_list(struct request *request)
{
    TEXT(out);
    struct error err = {0};

    if (images_write(request, &out, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

/* --- creating
 * ----------------------------------------------------------------------------------------------------- */

static bool names_to_ids(struct request *request, const struct json *names, struct campaign_plan *plan,
                         struct error *err)
{
    struct fleet *fleet = request->console->fleet;
    int64_t *ids = arena_array(request->arena, names->size, sizeof *ids);
    size_t count = 0;

    for (const struct json *name = names->first; name; name = name->next) {
        fleet_lock(fleet);
        const struct device *device = name->type == JSON_STRING ? fleet_by_name(fleet, name->string) : NULL;
        int64_t id = device ? device->id : 0;
        bool gone =
            device && (device->admission == ADMISSION_REJECTED || device->admission == ADMISSION_RETIRED);
        fleet_unlock(fleet);
        if (!id)
            return error_set(err, name->type == JSON_STRING ? ERROR_MISSING : ERROR_INPUT,
                             "there is no device %.64s", name->string ? name->string : "of that kind");
        if (gone)
            return error_set(err, ERROR_INPUT, "device %.64s was rejected or retired", name->string);
        ids[count++] = id;
    }
    plan->device_ids = ids;
    plan->device_count = count;
    return true;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void ids_unique(struct arena *arena, struct campaign_plan *plan)
{
    int64_t *ids = arena_array(arena, plan->device_count, sizeof *ids);
    size_t kept = 0;

    if (plan->device_count)
        memcpy(ids, plan->device_ids, plan->device_count * sizeof *ids);
    qsort(ids, plan->device_count, sizeof *ids, by_number);
    for (size_t i = 0; i < plan->device_count; i++)
        if (!kept || ids[kept - 1] != ids[i])
            ids[kept++] = ids[i];
    plan->device_ids = ids;
    plan->device_count = kept;
}

/* Of the image's product alone: an image of another product would only be refused by the device. */
static bool product_check(struct request *request, struct campaign_plan *plan, bool by_filter,
                          struct error *err)
{
    struct fleet *fleet = request->console->fleet;
    int64_t *ids = arena_array(request->arena, plan->device_count, sizeof *ids);
    size_t kept = 0;
    char other[NAME_SIZE] = "";

    fleet_lock(fleet);
    for (size_t i = 0; i < plan->device_count; i++) {
        const struct device *device = fleet_by_id(fleet, plan->device_ids[i]);

        if (!strcmp(device->product, plan->product))
            ids[kept++] = device->id;
        else
            strcpy(other, device->name);
    }
    fleet_unlock(fleet);
    if (other[0] && !by_filter)
        return error_set(err, ERROR_INPUT, "device %s is not of product %s", other, plan->product);
    plan->device_ids = ids;
    plan->device_count = kept;
    return true;
}

static bool devices_choose(struct request *request, const struct json *body, struct campaign_plan *plan,
                           struct error *err)
{
    const struct json *names = json_get(body, "devices"), *filter_member = json_get(body, "filter");
    bool by_filter = filter_member && filter_member->type != JSON_NULL;

    if (names && names->type == JSON_NULL)
        names = NULL;
    if ((names != NULL) == by_filter)
        return error_set(err, ERROR_INPUT, "either \"devices\" or \"filter\" chooses the devices");
    if (by_filter) {
        if (filter_member->type != JSON_STRING)
            return error_set(err, ERROR_INPUT, "\"filter\" must be a string");
        plan->filter = filter_member->string;
        const struct filter *filter = filter_compile(request->arena, plan->filter, err);
        if (!filter)
            return false;
        plan->device_ids =
            filter_choose(filter, request->console->fleet, request->arena, false, &plan->device_count);
    } else if (!json_need_array(body, "devices", &names, err) || !names_to_ids(request, names, plan, err)) {
        return false;
    }
    ids_unique(request->arena, plan);
    return product_check(request, plan, by_filter, err);
}

static bool count_check(const struct json *body, const struct campaign_plan *plan, struct error *err)
{
    const struct json *expected = json_get(body, "expect_count");
    int64_t count;

    if (!expected || expected->type == JSON_NULL)
        return true;
    if (!json_need_integer(body, "expect_count", 0, INT32_MAX, &count, err))
        return false;
    return (size_t)count == plan->device_count ||
           error_set(err, ERROR_CONFLICT, "%zu devices match, not the expected %lld", plan->device_count,
                     (long long)count);
}

static bool image_read(struct request *request, const struct json *body, struct campaign_plan *plan,
                       struct error *err)
{
    char *product = arena_alloc(request->arena, NAME_SIZE), *asset = arena_alloc(request->arena, NAME_SIZE);
    char *version = arena_alloc(request->arena, VERSION_SIZE);
    const char *image;

    if (!json_need_string(body, "image", &image, err))
        return false;
    if (!strchr(image, '@'))
        version = NULL; /* the newest */
    if (!asset_name_split(image, product, asset, version, err))
        return error_add(err, "\"image\"");
    plan->product = product;
    plan->image = asset;
    plan->version = version;
    return true;
}

static bool maybe_integer(const struct json *body, const char *key, int64_t min, int64_t *value,
                          struct error *err)
{
    const struct json *member = json_get(body, key);

    return !member || member->type == JSON_NULL || json_need_integer(body, key, min, INT32_MAX, value, err);
}

static bool maybe_words(const struct json *body, const char *key, const char **words, struct error *err)
{
    const struct json *member = json_get(body, key);

    if (!member || member->type == JSON_NULL)
        return true;
    if (member->type != JSON_STRING || member->size > WORDS_MOST)
        return error_set(err, ERROR_INPUT, "\"%s\" must be a string of at most %d bytes", key, WORDS_MOST);
    *words = member->string;
    return true;
}

static bool when_read(const struct json *body, struct campaign_plan *plan, struct error *err)
{
    const struct json *at = json_get(body, "at");

    if (!at || at->type == JSON_NULL)
        return true;
    return (at->type == JSON_STRING && time_parse(at->string, &plan->at)) ||
           error_set(err, ERROR_INPUT, "\"at\" must be a time such as 2026-11-21T14:30:00Z");
}

static bool plan_read(struct request *request, const struct json *body, struct campaign_plan *plan,
                      struct error *err)
{
    static const char *const allowed[] = {"image",  "devices", "filter", "duration_s",   "at", "parallel",
                                          "params", "ticket",  "reason", "expect_count", NULL};
    const struct json *params = json_get(body, "params");

    *plan = (struct campaign_plan){.operator_name = request->operator_name};
    if (!json_only(body, allowed, err) || !image_read(request, body, plan, err) ||
        !json_need_integer(body, "duration_s", 1, INT32_MAX, &plan->duration_s, err) ||
        !maybe_integer(body, "parallel", 1, &plan->parallel, err) || !when_read(body, plan, err) ||
        !maybe_words(body, "ticket", &plan->ticket, err) || !maybe_words(body, "reason", &plan->reason, err))
        return false;
    if (params && params->type != JSON_NULL && !json_need_object(body, "params", &plan->params, err))
        return false;
    return devices_choose(request, body, plan, err) && count_check(body, plan, err);
}

void campaigns_create(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct campaign_plan plan;
    struct error err = {0};
    int64_t id;
    const struct json *body = request_json(request, &create_limits, &err);

    if (!body || !plan_read(request, body, &plan, &err) ||
        !campaign_create(request->console->diagnostics, &plan, &id, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_integer(&writer, "id", id);
    json_write_integer(&writer, "run", 1);
    json_write_string(&writer, "url",
                      arena_printf(request->arena, "%s/campaigns/%lld/runs/1", request->console->people_url,
                                   (long long)id));
    json_write_end(&writer, '}');
    answer_json(request, 201, &out);
}

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */

static bool read_number(const char *text, const char *what, int64_t *number, struct error *err)
{
    return int64_parse(text, 1, INT64_MAX, number) ||
           error_set(err, ERROR_MISSING, "there is no %s \"%.40s\"", what, text);
}

static bool list_write(struct request *request, int64_t before, int64_t limit, struct text *out,
                       int64_t *last, int64_t *total, struct error *err)
{
    struct json_writer writer;
    DB_DONE(conn) = db_read(request->console->db, err);

    if (!conn)
        return false;
    json_write_init(&writer, out);
    json_write_array(&writer, NULL);
    if (!campaign_list(conn, before, limit, &writer, last, total, err))
        return false;
    json_write_end(&writer, ']');
    return true;
}

void campaigns_list(struct request *request)
{
    static const char *const allowed[] = {"limit", "after", NULL};
    TEXT(out);
    struct error err = {0};
    const char *limit_text = request_query(request, "limit"), *after = request_query(request, "after");
    int64_t limit = LIST_DEFAULT, before = 0, last, total;

    if ((limit_text && !int64_parse(limit_text, 1, LIST_MOST, &limit)) ||
        (after && !int64_parse(after, 1, INT64_MAX, &before)))
        error_set(&err, ERROR_INPUT, "\"limit\" is 1 to %d, \"after\" a campaign's number", LIST_MOST);
    if (err.kind || !request_query_only(request, allowed, &err) ||
        !list_write(request, before, limit, &out, &last, &total, &err)) {
        answer_error(request, &err);
        return;
    }
    if (last)
        answer_header(request, "X-Next", arena_printf(request->arena, "%lld", (long long)last));
    answer_header(request, "X-Total", arena_printf(request->arena, "%lld", (long long)total));
    answer_json(request, 200, &out);
}

static void campaign_answer(struct request *request, int64_t id)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    if (conn && campaign_write(conn, id, true, &writer, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

void campaigns_show(struct request *request)
{
    struct error err = {0};
    int64_t id;

    if (read_number(request->params[0], "campaign", &id, &err))
        campaign_answer(request, id);
    else
        answer_error(request, &err);
}

void campaigns_end(struct request *request)
{
    struct error err = {0};
    int64_t id;

    if (read_number(request->params[0], "campaign", &id, &err) &&
        campaign_end(request->console->diagnostics, id, request->operator_name, &err))
        campaign_answer(request, id);
    else
        answer_error(request, &err);
}

void runs_show(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    int64_t campaign, number;
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    if (conn && read_number(request->params[0], "campaign", &campaign, &err) &&
        read_number(request->params[1], "run", &number, &err) &&
        run_write(conn, campaign, number, true, &writer, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

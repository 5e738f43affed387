/* Diagnostic images, campaigns and runs. */
#include "console/handlers_campaigns.h"

#include "base/clock.h"
#include "console/console.h"
#include "console/fleet.h"
#include "console/filter.h"
#include "diagnostics/campaign.h"
#include "diagnostics/image.h"
#include "diagnostics/run.h"

#include <stdlib.h>
#include <string.h>

#define LIST_DEFAULT 200
#define LIST_MOST 1000
#define WORDS_MOST 500 /* bytes of ticket and reason */
#define TIME_MOST 40   /* bytes of a time, a window, a mode */
#define STRINGS_MOST 64

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

bool devices_named(struct request *request, const struct json *names, const int64_t **device_ids,
                   size_t *count, struct error *err)
{
    struct fleet *fleet = request->console->fleet;
    int64_t *ids = arena_array(request->arena, names->size, sizeof *ids);

    *count = 0;
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
        ids[(*count)++] = id;
    }
    *device_ids = ids;
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
    } else if (!json_need_array(body, "devices", &names, err) ||
               !devices_named(request, names, &plan->device_ids, &plan->device_count, err)) {
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

/* A member that is a string of at most `most` bytes, or absent. */
static bool maybe_string(const struct json *body, const char *key, size_t most, const char **text,
                         struct error *err)
{
    const struct json *member = json_get(body, key);

    if (!member || member->type == JSON_NULL)
        return true;
    if (member->type != JSON_STRING || member->size > most)
        return error_set(err, ERROR_INPUT, "\"%s\" must be a string of at most %zu bytes", key, most);
    *text = member->string;
    return true;
}

/* A member that is an array of strings, or absent; NULL-terminated. */
static bool maybe_strings(struct request *request, const struct json *body, const char *key,
                          const char ***strings, struct error *err)
{
    const struct json *member = json_get(body, key);
    size_t count = 0;

    if (!member || member->type == JSON_NULL)
        return true;
    if (!json_need_array(body, key, &member, err))
        return false;
    if (member->size > STRINGS_MOST)
        return error_set(err, ERROR_LIMIT, "\"%s\" has at most %d entries", key, STRINGS_MOST);
    *strings = arena_array(request->arena, member->size + 1, sizeof **strings);
    for (const struct json *one = member->first; one; one = one->next) {
        if (one->type != JSON_STRING)
            return error_set(err, ERROR_INPUT, "\"%s\" must be an array of strings", key);
        (*strings)[count++] = one->string;
    }
    return true;
}

static bool when_read(const struct json *body, struct campaign_plan *plan, struct error *err)
{
    const struct json *blackout = json_get(body, "blackout");

    plan->words.blackout = blackout && blackout->type != JSON_NULL ? blackout : NULL;
    return maybe_string(body, "at", TIME_MOST, &plan->words.at, err) &&
           maybe_string(body, "window", TIME_MOST, &plan->words.window, err) &&
           maybe_string(body, "repeat", WORDS_MOST, &plan->words.repeat, err) &&
           maybe_string(body, "until", TIME_MOST, &plan->words.until, err) &&
           maybe_integer(body, "count", 1, &plan->occurrences, err);
}

/* What the campaign makes of the image's limits. */
static bool narrow_read(struct request *request, const struct json *body, struct campaign_plan *plan,
                        struct error *err)
{
    const struct json *params = json_get(body, "params");

    return maybe_string(body, "mode", TIME_MOST, &plan->mode, err) &&
           maybe_string(body, "max_failures", TIME_MOST, &plan->max_failures, err) &&
           maybe_strings(request, body, "collect", &plan->collect, err) &&
           maybe_strings(request, body, "redact", &plan->redact, err) &&
           maybe_integer(body, "max_output", 1, &plan->max_output, err) &&
           (!params || params->type == JSON_NULL || json_need_object(body, "params", &plan->params, err));
}

static bool plan_read(struct request *request, const struct json *body, struct campaign_plan *plan,
                      struct error *err)
{
    static const char *const allowed[] = {
        "image",        "devices",    "filter",  "duration_s",        "at",      "parallel",
        "params",       "ticket",     "reason",  "expect_count",      "mode",    "window",
        "repeat",       "until",      "count",   "blackout",          "collect", "redact",
        "max_failures", "max_output", "dry_run", "device_deadline_s", NULL};

    *plan = (struct campaign_plan){.operator_name = request->operator_name};
    return json_only(body, allowed, err) && image_read(request, body, plan, err) &&
           json_need_integer(body, "duration_s", 1, INT32_MAX, &plan->duration_s, err) &&
           maybe_integer(body, "parallel", 1, &plan->parallel, err) &&
           maybe_integer(body, "device_deadline_s", 1, &plan->device_deadline_s, err) &&
           when_read(body, plan, err) && maybe_words(body, "ticket", &plan->ticket, err) &&
           maybe_words(body, "reason", &plan->reason, err) && narrow_read(request, body, plan, err) &&
           devices_choose(request, body, plan, err) && count_check(body, plan, err);
}

/* --- dry run
 * ------------------------------------------------------------------------------------------------------ */

#define SAMPLES_MOST 5

/* Why a device would not run an image, by what is known of it. */
enum unable { ABLE, NOT_ACCEPTED, CLONE_SUSPECTED, NO_DIAGNOSTICS, UNABLE_KINDS };
static const char *const unable_texts[UNABLE_KINDS] = {
    [NOT_ACCEPTED] = "not accepted yet: it gets no orders",
    [CLONE_SUSPECTED] = "a clone is suspected: it gets no orders until a person decides",
    [NO_DIAGNOSTICS] = "its agent says that it cannot run diagnostic images",
};

static enum unable device_unable(const struct device *device)
{
    static const char member[] = "\"diagnostics\":\"";
    const char *said = device->facts ? strstr(device->facts, member) : NULL;

    if (device->admission != ADMISSION_ACCEPTED)
        return NOT_ACCEPTED;
    if (device->clone_suspected)
        return CLONE_SUSPECTED;
    return said && strncmp(said + sizeof member - 1, "yes\"", 4) ? NO_DIAGNOSTICS : ABLE;
}

struct seen {
    int64_t offline;
    struct {
        int64_t devices;
        char samples[SAMPLES_MOST][NAME_SIZE];
    } unable[UNABLE_KINDS];
};

static void devices_look(struct request *request, const struct campaign_plan *plan, struct seen *seen)
{
    struct fleet *fleet = request->console->fleet;

    fleet_lock(fleet);
    for (size_t i = 0; i < plan->device_count; i++) {
        const struct device *device = fleet_by_id(fleet, plan->device_ids[i]);
        enum connectivity connectivity = device_connectivity(fleet, device, clock_now());
        enum unable why = device_unable(device);

        seen->offline += connectivity == OFFLINE || connectivity == NEVER_SEEN;
        if (seen->unable[why].devices++ < SAMPLES_MOST)
            strcpy(seen->unable[why].samples[seen->unable[why].devices - 1], device->name);
    }
    fleet_unlock(fleet);
}

static void unable_write(const struct seen *seen, struct json_writer *writer)
{
    json_write_array(writer, "unable");
    for (int why = ABLE + 1; why < UNABLE_KINDS; why++) {
        if (!seen->unable[why].devices)
            continue;
        json_write_object(writer, NULL);
        json_write_string(writer, "why", unable_texts[why]);
        json_write_integer(writer, "devices", seen->unable[why].devices);
        json_write_array(writer, "samples");
        for (int i = 0; i < SAMPLES_MOST && i < seen->unable[why].devices; i++)
            json_write_string(writer, NULL, seen->unable[why].samples[i]);
        json_write_end(writer, ']');
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
}

static void plan_answer(struct request *request, const struct campaign_plan *plan)
{
    TEXT(out);
    struct json_writer writer;
    struct seen seen = {0};
    struct error err = {0};

    devices_look(request, plan, &seen);
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_integer(&writer, "matches", (int64_t)plan->device_count);
    json_write_integer(&writer, "offline", seen.offline);
    unable_write(&seen, &writer);
    if (!campaign_preview(request->console->diagnostics, plan, &writer, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_end(&writer, '}');
    answer_json(request, 200, &out);
}

void campaigns_create(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct campaign_plan plan;
    struct error err = {0};
    int64_t id;
    const struct json *body = request_json(request, &create_limits, &err);

    bool good = body && plan_read(request, body, &plan, &err);
    if (good && json_boolean(body, "dry_run", false)) {
        plan_answer(request, &plan);
        return;
    }
    if (!good || !campaign_create(request->console->diagnostics, &plan, &id, &err)) {
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

bool number_read(const char *text, const char *what, int64_t *number, struct error *err)
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

void campaign_answer(struct request *request, int64_t id)
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

    if (number_read(request->params[0], "campaign", &id, &err))
        campaign_answer(request, id);
    else
        answer_error(request, &err);
}

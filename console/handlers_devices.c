/* Devices, claim codes and previews for people. */
#include "console/handlers.h"

#include "base/clock.h"
#include "console/claims.h"
#include "console/delivery/group.h"
#include "console/delivery/group.h"
#include "console/delivery/pin.h"
#include "console/delivery/release.h"
#include "console/delivery/wish_device.h"
#include "console/devices.h"
#include "console/filter.h"

#include <string.h>

#define LIST_DEFAULT 200
#define LIST_MOST 1000
#define SAMPLES 10

/* `limit` of a list. */
static bool read_limit(struct request *request, int64_t *limit, struct error *err)
{
    const char *text = request_query(request, "limit");

    *limit = LIST_DEFAULT;
    return !text || int64_parse(text, 1, LIST_MOST, limit) ||
           error_set(err, ERROR_INPUT, "\"limit\" is a number from 1 to %d", LIST_MOST);
}

static const struct filter *read_filter(struct request *request, struct error *err)
{
    const char *text = request_query(request, "filter");

    return filter_compile(request->arena, text ? text : "", err);
}

/* --- claims
 * ------------------------------------------------------------------------------------------------------- */

static bool claim_read(struct request *request, struct claim *claim, struct error *err)
{
    static const char *const allowed[] = {"product", "review", "hardware", NULL};
    const char *product, *hardware;
    const struct json *body = request_json(request, NULL, err);

    *claim = (struct claim){0};
    if (!body || !json_only(body, allowed, err) || !json_need_string(body, "product", &product, err) ||
        !name_check("product", product, err))
        return false;
    strcpy(claim->product, product);
    claim->review = json_boolean(body, "review", false);
    hardware = json_string(body, "hardware");
    if (hardware && !name_check("hardware revision", hardware, err))
        return false;
    strcpy(claim->hardware, hardware ? hardware : "");
    return true;
}

static bool root_fingerprint(struct request *request, char hex[SHA256_HEX], struct error *err)
{
    char *bytes;
    size_t size;

    if (!repo_metadata(request->console->repo, request->arena, "root.json", &bytes, &size, err))
        return false;
    sha256_hex(bytes, size, hex);
    return true;
}

void claims_create(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct claim claim;
    struct error err = {0};
    char secret[CLAIM_SECRET_CHARS + 1], root[SHA256_HEX];
    const struct console *console = request->console;

    if (!claim_read(request, &claim, &err) || !root_fingerprint(request, root, &err) ||
        !claim_create(request->console, &claim, request->operator_name, secret, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "code",
                      arena_printf(request->arena, "%s.%s.%s", secret, console->ca_fingerprint, root));
    json_write_string(&writer, "server", console->device_url);
    json_write_string(&writer, "ca", console->ca_pem);
    json_write_string(&writer, "product", claim.product);
    json_write_time(&writer, "expires_at", claim.expires_at);
    json_write_end(&writer, '}');
    answer_json(request, 201, &out);
}

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */

/* The page after `after`, by name, and how many match in all. */
static const char *list_write(struct fleet *fleet, const struct filter *filter, struct arena *arena,
                              const char *after, int64_t limit, struct json_writer *writer, int64_t *total)
{
    int64_t now = clock_now(), written = 0;
    const char *last = NULL;
    bool more = false, ahead = filter_asks_asset(filter);
    size_t count;

    fleet_lock(fleet);
    struct device *const *devices = fleet_all(fleet, &count);
    for (size_t i = 0; i < count; i++) {
        if (ahead)
            filter_look_ahead(devices, count, i);
        if (!filter_matches(filter, fleet, devices[i], now))
            continue;
        (*total)++;
        if (after && strcmp(devices[i]->name, after) <= 0)
            continue;
        more = written == limit;
        if (more)
            continue;
        device_write(writer, fleet, devices[i], now);
        last = devices[i]->name;
        written++;
    }
    if (last)
        last = arena_strdup(arena, last);
    fleet_unlock(fleet);
    return more ? last : NULL;
}

void devices_list(struct request *request)
{
    static const char *const allowed[] = {"filter", "limit", "after", NULL};
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    int64_t limit, total = 0;
    const struct filter *filter = NULL;

    if (!request_query_only(request, allowed, &err) || !read_limit(request, &limit, &err) ||
        !(filter = read_filter(request, &err))) {
        answer_error(request, &err);
        return;
    }
    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    const char *next = list_write(request->console->fleet, filter, request->arena,
                                  request_query(request, "after"), limit, &writer, &total);
    json_write_end(&writer, ']');
    if (next)
        answer_header(request, "X-Next", next);
    answer_header(request, "X-Total", arena_printf(request->arena, "%lld", (long long)total));
    answer_json(request, 200, &out);
}

static bool groups_write(struct db_conn *conn, struct arena *arena, int64_t device_id,
                         struct json_writer *writer, struct error *err)
{
    const char **names;
    size_t count;

    if (!group_names_of(conn, arena, device_id, &names, &count, err))
        return false;
    json_write_array(writer, "groups");
    for (size_t i = 0; i < count; i++)
        json_write_string(writer, NULL, names[i]);
    json_write_end(writer, ']');
    return true;
}

/* What it should be: from the database, by what is in memory. */
static bool wanted_write(struct request *request, const struct wish_device *device,
                         struct json_writer *writer, struct error *err)
{
    struct set_entry *set;
    size_t count;
    DB_DONE(conn) = db_read(request->console->db, err);

    if (!conn || !wish_make(conn, request->arena, device, &set, &count, err))
        return false;
    json_write_object(writer, "wanted");
    for (size_t i = 0; i < count; i++)
        json_write_string(writer, set[i].asset, set[i].version);
    json_write_end(writer, '}');
    return release_write_unfit(conn, device->product, device->hardware, writer, err) &&
           pins_write(conn, device->id, writer, err) &&
           groups_write(conn, request->arena, device->id, writer, err);
}

/* The zone that the device says it is in. */
static void timezone_write(struct arena *arena, const char *facts, struct json_writer *writer)
{
    struct error ignored = {0};
    const struct json *json =
        facts ? json_read(arena, facts, strlen(facts), &json_limits_small, &ignored) : NULL;

    json_write_string(writer, "timezone", json_string(json, "timezone"));
}

/* Device and detail. */
static bool show_write(struct request *request, struct json_writer *writer, struct error *err)
{
    struct fleet *fleet = request->console->fleet;
    struct wish_device copy;

    fleet_lock(fleet);
    struct device *device = fleet_by_name(fleet, request->params[0]);
    if (device) {
        fleet_look(fleet, device);
        wish_device_copy(request->arena, fleet, device, &copy);
        device_write_open(writer, fleet, device, clock_now());
        json_write_string(writer, "key_id", device->key.id);
        json_write_integer(writer, "order_seq", device->order_seq);
        json_write_integer(writer, "generation", device->generation);
        timezone_write(request->arena, device->facts, writer);
    }
    fleet_unlock(fleet);
    if (!device)
        return error_set(err, ERROR_MISSING, "there is no device %.64s", request->params[0]);
    if (!wanted_write(request, &copy, writer, err))
        return false;
    json_write_end(writer, '}');
    return true;
}

void devices_show(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};

    json_write_init(&writer, &out);
    if (show_write(request, &writer, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

void devices_timeline(struct request *request)
{
    static const char *const allowed[] = {"limit", NULL};
    TEXT(out);
    struct error err = {0};
    int64_t limit;

    if (request_query_only(request, allowed, &err) && read_limit(request, &limit, &err) &&
        device_timeline(request->console, request->params[0], limit, &out, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

/* What the group in the query would gain and lose. */
static bool preview_difference(struct request *request, const int64_t *ids, size_t count,
                               struct json_writer *writer, struct error *err)
{
    const char *group = request_query(request, "group");
    DB_DONE(conn) = group ? db_read(request->console->db, err) : NULL;

    return !group || (conn && group_write_difference(request->console, conn, group, ids, count, writer, err));
}

void devices_preview(struct request *request)
{
    static const char *const allowed[] = {"filter", "group", NULL};
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    const struct filter *filter = NULL;
    struct fleet *fleet = request->console->fleet;
    size_t count;

    if (!request_query_only(request, allowed, &err) || !(filter = read_filter(request, &err))) {
        answer_error(request, &err);
        return;
    }
    int64_t *ids = filter_choose(filter, fleet, request->arena, false, &count);
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_integer(&writer, "count", (int64_t)count);
    json_write_array(&writer, "samples");
    fleet_lock(fleet);
    for (size_t i = 0; i < count && i < SAMPLES; i++)
        json_write_string(&writer, NULL, fleet_by_id(fleet, ids[i])->name);
    fleet_unlock(fleet);
    json_write_end(&writer, ']');
    if (!preview_difference(request, ids, count, &writer, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_end(&writer, '}');
    answer_json(request, 200, &out);
}

/* --- deciding
 * ----------------------------------------------------------------------------------------------------- */

static void admit(struct request *request, enum admission admission)
{
    struct error err = {0};

    if (device_admit(request->console, request->params[0], admission, request->operator_name, &err))
        devices_show(request);
    else
        answer_error(request, &err);
}

void devices_accept(struct request *request)
{
    admit(request, ADMISSION_ACCEPTED);
}

void devices_reject(struct request *request)
{
    admit(request, ADMISSION_REJECTED);
}

void devices_retire(struct request *request)
{
    admit(request, ADMISSION_RETIRED);
}

void devices_tag(struct request *request)
{
    static const char *const allowed[] = {"tags", NULL};
    const struct json *tags = NULL;
    struct error err = {0};
    const struct json *body = request_json(request, NULL, &err);

    if (body && json_only(body, allowed, &err) && json_need_array(body, "tags", &tags, &err) &&
        device_set_tags(request->console, request->params[0], tags, request->operator_name, &err))
        devices_show(request);
    else
        answer_error(request, &err);
}

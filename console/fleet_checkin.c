/* What a device says about itself: read, bounded, compared with what it said before. */
#include "console/fleet_parts.h"

#include "agent/protocol.h"
#include "base/clock.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define ASSETS_MOST 256
#define SENTENCE_MOST 500
#define FACT_MOST 300

static const char *const asset_states[] = {"idle", "downloading", "downloaded", "updating", NULL};
static const char *const app_states[] = {"running", "stopped", "starting", "failed", "none", NULL};
static const char *const image_states[] = {"downloading", "verifying", "running",
                                           "reverting",   "uploading", NULL};

/* The table's own string that equals `value`; NULL when there is none. */
static const char *one_of(const char *const *names, const char *value)
{
    for (; *names; names++)
        if (string_is(*names, value))
            return *names;
    return NULL;
}

static bool need_one_of(const struct json *object, const char *key, const char *const *names,
                        const char **value, struct error *err)
{
    const char *given;

    if (!json_need_string(object, key, &given, err))
        return false;
    *value = one_of(names, given);
    return *value || error_set(err, ERROR_INPUT, "\"%s\" cannot be \"%.40s\"", key, given);
}

/* A member that may be absent or null. */
static bool maybe_string(const struct json *object, const char *key, size_t most, const char **value,
                         struct error *err)
{
    const struct json *member = json_get(object, key);

    *value = NULL;
    if (!member || member->type == JSON_NULL)
        return true;
    if (member->type != JSON_STRING || member->size > most)
        return error_set(err, ERROR_INPUT, "\"%s\" must be a string of at most %zu bytes", key, most);
    *value = member->string;
    return true;
}

static bool maybe_time(const struct json *object, const char *key, int64_t *at, struct error *err)
{
    const char *text;

    *at = 0;
    if (!maybe_string(object, key, 40, &text, err))
        return false;
    if (text && !time_parse(text, at))
        return error_set(err, ERROR_INPUT, "\"%s\" must be a time as RFC 3339 has it", key);
    return true;
}

static bool asset_read(const struct json *json, struct running_asset *running, struct error *err)
{
    static const char *const allowed[] = {"version", "sha256", "state", "result", "wanted", "reason", NULL};
    const char *version, *sha256, *wanted, *reason;
    int64_t result;

    if (!name_check("asset", json->key, err) || !json_only(json, allowed, err) ||
        !maybe_string(json, "version", VERSION_SIZE - 1, &version, err) ||
        !maybe_string(json, "sha256", SHA256_HEX - 1, &sha256, err) ||
        !need_one_of(json, "state", asset_states, &running->state, err) ||
        !json_need_integer(json, "result", 0, RESULT_DEFERRED, &result, err) ||
        !maybe_string(json, "wanted", VERSION_SIZE - 1, &wanted, err) ||
        !maybe_string(json, "reason", SENTENCE_MOST, &reason, err))
        return error_add(err, "assets.%.64s", json->key);
    if ((version && !version_check(version, err)) || (wanted && !version_check(wanted, err)))
        return error_add(err, "assets.%.64s", json->key);
    running->asset = (char *)json->key;
    running->version = (char *)(version ? version : "");
    running->sha256 = (char *)(sha256 && sha256_is_hex(sha256) ? sha256 : "");
    running->wanted = (char *)wanted;
    running->reason = (char *)reason;
    running->result = (int)result;
    return true;
}

static int by_asset(const void *a, const void *b)
{
    return strcmp(((const struct running_asset *)a)->asset, ((const struct running_asset *)b)->asset);
}

static bool assets_read(struct arena *arena, const struct json *assets, struct checkin *checkin,
                        struct error *err)
{
    if (assets->size > ASSETS_MOST)
        return error_set(err, ERROR_LIMIT, "\"assets\" has more than %d members", ASSETS_MOST);
    checkin->assets = arena_array(arena, assets->size, sizeof *checkin->assets);
    for (const struct json *asset = assets->first; asset; asset = asset->next)
        if (!asset_read(asset, &checkin->assets[checkin->asset_count++], err))
            return false;
    qsort(checkin->assets, checkin->asset_count, sizeof *checkin->assets, by_asset);
    return true;
}

static bool app_read(const struct json *app, struct checkin *checkin, struct error *err)
{
    static const char *const allowed[] = {"state", "pid", "since", NULL};

    if (!json_only(app, allowed, err) || !need_one_of(app, "state", app_states, &checkin->app_state, err) ||
        !maybe_time(app, "since", &checkin->app_since, err))
        return error_add(err, "app");
    const struct json *pid = json_get(app, "pid");
    if (pid && pid->type != JSON_NULL && !json_need_integer(app, "pid", 0, INT32_MAX, &checkin->app_pid, err))
        return error_add(err, "app");
    return true;
}

static bool image_read(const struct json *json, struct device_image *image, struct error *err)
{
    static const char *const allowed[] = {"run",   "campaign",   "image",   "version",
                                          "state", "started_at", "ends_at", NULL};
    const char *run_id, *name, *version;
    uint8_t id[16];

    if (!json || json->type == JSON_NULL)
        return true;
    if (!json_only(json, allowed, err) || !json_need_string(json, "run", &run_id, err) ||
        !json_need_integer(json, "campaign", 0, INT64_MAX, &image->campaign, err) ||
        !json_need_string(json, "image", &name, err) || !json_need_string(json, "version", &version, err) ||
        !need_one_of(json, "state", image_states, &image->state, err) ||
        !maybe_time(json, "started_at", &image->started_at, err) ||
        !maybe_time(json, "ends_at", &image->ends_at, err))
        return error_add(err, "image");
    if (!hex_decode(id, sizeof id, run_id))
        return error_set(err, ERROR_INPUT, "image: \"run\" must be 32 hex digits");
    if (!name_check("image", name, err) || !version_check(version, err))
        return false;
    /* Before the image runs and once the app is back the device is not on it. */
    if (!string_is(image->state, "running") && !string_is(image->state, "reverting")) {
        *image = (struct device_image){0};
        return true;
    }
    memcpy(image->run_id, run_id, RUN_ID_SIZE);
    strcpy(image->image, name);
    strcpy(image->version, version);
    return true;
}

bool facts_read(struct arena *arena, const struct json *facts, char **json, struct error *err)
{
    TEXT(out);
    struct json_writer writer;

    if (facts->type != JSON_OBJECT || facts->size > FACTS_MOST)
        return error_set(err, ERROR_INPUT, "\"facts\" must be an object of at most %d strings", FACTS_MOST);
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    for (const struct json *fact = facts->first; fact; fact = fact->next) {
        if (fact->type != JSON_STRING || fact->size > FACT_MOST || !*fact->key || strlen(fact->key) > 64)
            return error_set(err, ERROR_INPUT, "facts: \"%.64s\" must be a string of at most %d bytes",
                             fact->key, FACT_MOST);
        json_write_string(&writer, fact->key, fact->string);
    }
    json_write_end(&writer, '}');
    *json = arena_strdup(arena, text_string(&out));
    return true;
}

static bool boot_id_is_valid(const char *boot_id)
{
    size_t size = strlen(boot_id);

    return size >= 1 && size < BOOT_ID_SIZE && strspn(boot_id, "0123456789abcdefABCDEF-") == size;
}

bool checkin_read(struct arena *arena, const struct json *body, struct checkin *checkin, struct error *err)
{
    static const char *const allowed[] = {"boot_id", "generation", "set",   "order_seq", "metadata", "assets",
                                          "app",     "image",      "facts", "waiting",   "safe",     NULL};
    const struct json *assets, *app, *facts = json_get(body, "facts");

    *checkin = (struct checkin){.app_state = ""};
    if (body->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "a check-in is a JSON object");
    if (!json_only(body, allowed, err) || !json_need_string(body, "boot_id", &checkin->boot_id, err) ||
        !json_need_integer(body, "generation", 0, INT64_MAX, &checkin->generation, err) ||
        !json_need_string(body, "set", &checkin->set, err) ||
        !json_need_integer(body, "order_seq", 0, INT64_MAX, &checkin->order_seq, err) ||
        !json_need_object(body, "assets", &assets, err) ||
        !maybe_string(body, "waiting", SENTENCE_MOST, &checkin->waiting, err) ||
        !maybe_string(body, "safe", SENTENCE_MOST, &checkin->safe, err))
        return false;
    if (!boot_id_is_valid(checkin->boot_id))
        return error_set(err, ERROR_INPUT, "\"boot_id\" must be 1 to 64 hex digits and dashes");
    if (*checkin->set && !sha256_is_hex(checkin->set))
        return error_set(err, ERROR_INPUT, "\"set\" must be a SHA-256 in hex");
    app = json_get(body, "app");
    if (app && app->type != JSON_NULL && !app_read(app, checkin, err))
        return false;
    if (facts && facts->type != JSON_NULL && !facts_read(arena, facts, &checkin->facts, err))
        return false;
    return assets_read(arena, assets, checkin, err) &&
           image_read(json_get(body, "image"), &checkin->image, err);
}

/* --- taking over
 * -------------------------------------------------------------------------------------------------- */

static bool running_apply(struct running_asset *into, const struct running_asset *from)
{
    bool changed = own_string(&into->asset, from->asset);

    changed |= own_string(&into->version, from->version);
    changed |= own_string(&into->sha256, from->sha256);
    changed |= own_string(&into->wanted, from->wanted);
    changed |= own_string(&into->reason, from->reason);
    changed |= into->state != from->state || into->result != from->result;
    into->state = from->state;
    into->result = from->result;
    return changed;
}

static bool assets_apply(struct device *device, const struct checkin *checkin)
{
    static const struct running_asset none = {0};
    bool changed = device->running_count != checkin->asset_count;

    for (size_t i = checkin->asset_count; i < device->running_count; i++)
        running_apply(&device->running[i], &none);
    if (changed) {
        struct running_asset *grown =
            reallocarray(device->running, checkin->asset_count + 1, sizeof *device->running);
        if (!grown)
            abort();
        device->running = grown;
        if (checkin->asset_count > device->running_count)
            memset(grown + device->running_count, 0,
                   (checkin->asset_count - device->running_count) * sizeof *grown);
        device->running_count = checkin->asset_count;
    }
    for (size_t i = 0; i < checkin->asset_count; i++)
        changed |= running_apply(&device->running[i], &checkin->assets[i]);
    return changed;
}

static bool image_apply(struct device_image *image, const struct device_image *said)
{
    bool same = !strcmp(image->run_id, said->run_id) && image->state == said->state &&
                image->ends_at == said->ends_at && image->started_at == said->started_at;
    int64_t run = strcmp(image->run_id, said->run_id) ? 0 : image->run;

    if (same)
        return false;
    *image = *said;
    image->run = run; /* the device does not say it: orders.c fills it in */
    return true;
}

bool checkin_apply(struct device *device, const struct checkin *checkin)
{
    bool changed = assets_apply(device, checkin);

    changed |= image_apply(&device->image, &checkin->image);
    changed |= own_string(&device->waiting, checkin->waiting);
    changed |= own_string(&device->safe, checkin->safe);
    if (checkin->facts)
        changed |= own_string(&device->facts, checkin->facts);
    changed |= strcmp(device->app_state, checkin->app_state) || device->app_pid != checkin->app_pid ||
               device->app_since != checkin->app_since;
    strcpy(device->app_state, checkin->app_state);
    device->app_pid = checkin->app_pid;
    device->app_since = checkin->app_since;
    changed |= device->generation != checkin->generation || device->order_seen != checkin->order_seq ||
               strcmp(device->boot_id, checkin->boot_id) || strcmp(device->set, checkin->set);
    device->generation = checkin->generation;
    device->order_seen = checkin->order_seq;
    strcpy(device->boot_id, checkin->boot_id);
    strcpy(device->set, checkin->set);
    device->report_dirty |= changed;
    return changed;
}

/* --- writing
 * ------------------------------------------------------------------------------------------------------ */

static void assets_write(const struct device *device, struct json_writer *writer)
{
    json_write_object(writer, "assets");
    for (size_t i = 0; i < device->running_count; i++) {
        const struct running_asset *running = &device->running[i];

        json_write_object(writer, running->asset);
        json_write_string(writer, "version", *running->version ? running->version : NULL);
        json_write_string(writer, "sha256", running->sha256);
        json_write_string(writer, "state", running->state);
        json_write_integer(writer, "result", running->result);
        json_write_string(writer, "wanted", running->wanted);
        json_write_string(writer, "reason", running->reason);
        json_write_end(writer, '}');
    }
    json_write_end(writer, '}');
}

static void image_write(const struct device_image *image, struct json_writer *writer)
{
    if (!image->run_id[0])
        return;
    json_write_object(writer, "image");
    json_write_string(writer, "run", image->run_id);
    json_write_integer(writer, "campaign", image->campaign);
    json_write_string(writer, "image", image->image);
    json_write_string(writer, "version", image->version);
    json_write_string(writer, "state", image->state);
    json_write_time(writer, "started_at", image->started_at);
    json_write_time(writer, "ends_at", image->ends_at);
    json_write_end(writer, '}');
}

void checkin_write(const struct device *device, struct text *out)
{
    struct json_writer writer;

    json_write_init(&writer, out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "boot_id", device->boot_id);
    json_write_integer(&writer, "generation", device->generation);
    json_write_string(&writer, "set", device->set);
    json_write_integer(&writer, "order_seq", device->order_seen);
    assets_write(device, &writer);
    if (device->app_state[0]) {
        json_write_object(&writer, "app");
        json_write_string(&writer, "state", device->app_state);
        json_write_integer(&writer, "pid", device->app_pid);
        json_write_time(&writer, "since", device->app_since);
        json_write_end(&writer, '}');
    }
    image_write(&device->image, &writer);
    json_write_string(&writer, "waiting", device->waiting);
    json_write_string(&writer, "safe", device->safe);
    json_write_end(&writer, '}');
}

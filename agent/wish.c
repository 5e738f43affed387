#include "agent/wish.h"

#include "agent/state.h"
#include "base/file.h"
#include "base/json.h"

#include <string.h>

#define WISH_LIMIT (2 << 20)

/* --- from an order ---------------------------------------------------------------------------------------
 */

static void version_look_up(struct arena *arena, const struct metadata_client *client, bool diagnostic,
                            const char *product, const char *asset, const char *version,
                            struct wish_version *into, const struct json **limits)
{
    struct metadata_target target;
    struct error err = {0};

    strcpy(into->entry.asset, asset);
    strcpy(into->entry.version, version);
    if (!metadata_target(client, diagnostic, product, asset, version, &target, &err)) {
        into->refused = arena_strdup(arena, err.text);
        return;
    }
    strcpy(into->entry.manifest, target.sha256);
    into->length = target.length;
    into->counter = target.counter;
    into->kind = target.kind;
    if (!diagnostic)
        return;
    *limits = json_get(target.custom, "limits");
    if (!*limits || (*limits)->type != JSON_OBJECT)
        into->refused = "the image's signed metadata carry no limits";
}

void wish_from_order(struct arena *arena, const struct order *order, const struct metadata_client *client,
                     struct wish *wish)
{
    *wish = (struct wish){.seq = order->seq,
                          .issued = order->issued,
                          .set_count = order->set_count,
                          .run_count = order->run_count};
    wish->set = arena_array(arena, order->set_count, sizeof(*wish->set));
    for (size_t i = 0; i < order->set_count; i++) {
        version_look_up(arena, client, false, order->product, order->set[i].asset, order->set[i].version,
                        &wish->set[i], NULL);
        wish->set[i].entry.apply = order->set[i].apply;
    }
    wish->runs = arena_array(arena, order->run_count, sizeof(*wish->runs));
    for (size_t i = 0; i < order->run_count; i++) {
        wish->runs[i].order = order->runs[i];
        version_look_up(arena, client, true, order->product, order->runs[i].image, order->runs[i].version,
                        &wish->runs[i].image, &wish->runs[i].limits);
    }
}

void wish_accept(struct wish *wish, const struct wish *before, int64_t start)
{
    for (size_t i = 0; i < wish->set_count; i++) {
        struct wish_version *version = &wish->set[i];
        const struct wish_version *old = before ? wish_find(before, version->entry.asset) : NULL;

        if (!version->entry.apply.on_start)
            continue;
        bool same = old && old->entry.apply.on_start && old->accepted_start &&
                    strcmp(old->entry.version, version->entry.version) == 0 &&
                    strcmp(old->entry.manifest, version->entry.manifest) == 0;
        version->accepted_start = same ? old->accepted_start : start;
    }
}

const struct wish_version *wish_find(const struct wish *wish, const char *asset)
{
    for (size_t i = 0; wish && i < wish->set_count; i++)
        if (strcmp(wish->set[i].entry.asset, asset) == 0)
            return &wish->set[i];
    return NULL;
}

const struct wish_run *wish_run_find(const struct wish *wish, const char *id)
{
    for (size_t i = 0; wish && i < wish->run_count; i++)
        if (strcmp(wish->runs[i].order.id, id) == 0)
            return &wish->runs[i];
    return NULL;
}

/* --- writing ---------------------------------------------------------------------------------------------
 */

static void apply_write(struct json_writer *writer, const struct apply *apply)
{
    if (apply->after)
        json_write_integer(writer, "apply_after", apply->after);
    if (*apply->window)
        json_write_string(writer, "window", apply->window);
    if (apply->on_start)
        json_write_boolean(writer, "on_start", true);
    if (apply->rate)
        json_write_integer(writer, "rate", apply->rate);
}

static void version_write(struct json_writer *writer, const char *key, const struct wish_version *version)
{
    json_write_object(writer, key);
    json_write_string(writer, "asset", version->entry.asset);
    json_write_string(writer, "version", version->entry.version);
    json_write_string(writer, "manifest", version->entry.manifest);
    json_write_integer(writer, "length", version->length);
    json_write_integer(writer, "counter", version->counter);
    json_write_string(writer, "kind", kind_name(version->kind));
    json_write_string(writer, "refused", version->refused);
    apply_write(writer, &version->entry.apply);
    if (version->accepted_start)
        json_write_integer(writer, "accepted_start", version->accepted_start);
    json_write_end(writer, '}');
}

static void run_write(struct json_writer *writer, const struct wish_run *run)
{
    const struct order_run *order = &run->order;

    json_write_object(writer, NULL);
    json_write_string(writer, "id", order->id);
    json_write_integer(writer, "campaign", order->campaign);
    json_write_integer(writer, "run", order->run);
    json_write_string(writer, "mode", order->mode);
    json_write_integer(writer, "duration_s", order->duration_s);
    json_write_integer(writer, "start_after", order->start_after);
    json_write_integer(writer, "start_before", order->start_before);
    json_write_integer(writer, "not_after", order->not_after);
    json_write_integer(writer, "max_output", order->max_output);
    json_write_array(writer, "collect");
    for (const char **scope = order->collect; scope && *scope; scope++)
        json_write_string(writer, NULL, *scope);
    json_write_end(writer, ']');
    if (order->redact) {
        json_write_array(writer, "redact");
        for (const char **pattern = order->redact; *pattern; pattern++)
            json_write_string(writer, NULL, *pattern);
        json_write_end(writer, ']');
    }
    if (order->params)
        json_write_value(writer, "params", order->params);
    version_write(writer, "image", &run->image);
    if (run->limits)
        json_write_value(writer, "limits", run->limits);
    json_write_end(writer, '}');
}

bool wish_save(int state_fd, const struct wish *wish, struct error *err)
{
    struct json_writer writer;
    TEXT(out);

    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_integer(&writer, "seq", wish->seq);
    json_write_integer(&writer, "issued", wish->issued);
    json_write_array(&writer, "set");
    for (size_t i = 0; i < wish->set_count; i++)
        version_write(&writer, NULL, &wish->set[i]);
    json_write_end(&writer, ']');
    json_write_array(&writer, "runs");
    for (size_t i = 0; i < wish->run_count; i++)
        run_write(&writer, &wish->runs[i]);
    json_write_end(&writer, ']');
    json_write_end(&writer, '}');
    if (out.failed || out.size > WISH_LIMIT)
        return error_set(err, ERROR_LIMIT, "the wish is too large");
    return file_write(state_fd, STATE_WISH, out.bytes, out.size, 0600, err);
}

/* --- reading: our own file, but a disk may give back anything ----------------------------------------------
 */

static bool apply_read(const struct json *json, struct wish_version *version, struct error *err)
{
    struct apply *apply = &version->entry.apply;
    const char *window = json_string(json, "window");

    apply->after = json_integer(json, "apply_after", 0);
    apply->on_start = json_boolean(json, "on_start", false);
    apply->rate = json_integer(json, "rate", 0);
    version->accepted_start = json_integer(json, "accepted_start", 0);
    if (apply->after < 0 || apply->rate < 0 || version->accepted_start < 0 ||
        (window && !window_read(window, NULL, NULL)))
        return error_set(err, ERROR_INPUT, "the times of a version in it are malformed");
    if (window)
        strcpy(apply->window, window);
    return true;
}

static bool version_read(const struct json *json, struct wish_version *version, struct error *err)
{
    const char *asset, *number, *manifest, *kind;

    if (!json_need_string(json, "asset", &asset, err) || !name_check("asset", asset, err) ||
        !json_need_string(json, "version", &number, err) || !version_check(number, err) ||
        !json_need_string(json, "manifest", &manifest, err) || !json_need_string(json, "kind", &kind, err) ||
        !json_need_integer(json, "length", 0, INT64_MAX, &version->length, err) ||
        !json_need_integer(json, "counter", 0, INT64_MAX, &version->counter, err))
        return false;
    version->refused = json_string(json, "refused");
    if (!kind_from_name(kind, &version->kind) || (!version->refused && !sha256_is_hex(manifest)))
        return error_set(err, ERROR_INPUT, "a version in it is malformed");
    strcpy(version->entry.asset, asset);
    strcpy(version->entry.version, number);
    if (!version->refused)
        strcpy(version->entry.manifest, manifest);
    return apply_read(json, version, err);
}

static const char **strings_read(struct arena *arena, const struct json *array)
{
    const char **strings = arena_array(arena, array->size + 1, sizeof(*strings));
    size_t count = 0;

    for (const struct json *one = array->first; one; one = one->next)
        if (one->type == JSON_STRING)
            strings[count++] = one->string;
    return strings;
}

static bool run_read(struct arena *arena, const struct json *json, struct wish_run *run, struct error *err)
{
    struct order_run *order = &run->order;
    const struct json *collect, *image, *redact;
    const char *id;
    uint8_t bytes[16];

    if (!json_need_string(json, "id", &id, err) || !json_need_string(json, "mode", &order->mode, err) ||
        !json_need_integer(json, "campaign", 0, INT64_MAX, &order->campaign, err) ||
        !json_need_integer(json, "run", 0, INT64_MAX, &order->run, err) ||
        !json_need_integer(json, "duration_s", 0, INT64_MAX, &order->duration_s, err) ||
        !json_need_integer(json, "start_after", 0, INT64_MAX, &order->start_after, err) ||
        !json_need_integer(json, "start_before", 0, INT64_MAX, &order->start_before, err) ||
        !json_need_integer(json, "not_after", 0, INT64_MAX, &order->not_after, err) ||
        !json_need_integer(json, "max_output", 0, INT64_MAX, &order->max_output, err) ||
        !json_need_array(json, "collect", &collect, err) || !json_need_object(json, "image", &image, err) ||
        !version_read(image, &run->image, err))
        return false;
    if (!hex_decode(bytes, sizeof(bytes), id))
        return error_set(err, ERROR_INPUT, "a run's id is malformed");
    strcpy(order->id, id);
    strcpy(order->image, run->image.entry.asset);
    strcpy(order->version, run->image.entry.version);
    order->collect = strings_read(arena, collect);
    if (json_get(json, "redact")) {
        if (!json_need_array(json, "redact", &redact, err))
            return false;
        order->redact = strings_read(arena, redact);
    }
    order->params = json_get(json, "params");
    run->limits = json_get(json, "limits");
    return true;
}

static bool wish_parse(struct arena *arena, const struct json *json, struct wish *wish, struct error *err)
{
    const struct json *set, *runs;

    if (!json_need_integer(json, "seq", 0, INT64_MAX, &wish->seq, err) ||
        !json_need_integer(json, "issued", 0, INT64_MAX, &wish->issued, err) ||
        !json_need_array(json, "set", &set, err) || !json_need_array(json, "runs", &runs, err))
        return false;
    wish->set = arena_array(arena, set->size, sizeof(*wish->set));
    for (const struct json *one = set->first; one; one = one->next)
        if (!version_read(one, &wish->set[wish->set_count++], err))
            return false;
    wish->runs = arena_array(arena, runs->size, sizeof(*wish->runs));
    for (const struct json *one = runs->first; one; one = one->next)
        if (!run_read(arena, one, &wish->runs[wish->run_count++], err))
            return false;
    return true;
}

bool wish_load(struct arena *arena, int state_fd, struct wish *wish, struct error *err)
{
    char *bytes;
    size_t size;

    *wish = (struct wish){0};
    if (!file_read(arena, state_fd, STATE_WISH, WISH_LIMIT, &bytes, &size, err))
        return false;
    const struct json *json = json_read(arena, bytes, size, &json_limits_large, err);
    return (json && wish_parse(arena, json, wish, err)) || error_add(err, "the wish that was kept");
}

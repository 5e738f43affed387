/* Orders: the one signed document of our own. */
#include "repo/metadata.h"
#include "repo/document.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SET_LIMIT 256
#define RUNS_LIMIT 16
#define SCOPES_LIMIT 64
#define DURATION_LIMIT (7 * 86400)
#define CLOCK_SET_AFTER INT64_C(1767225600) /* 2026-01-01: an earlier clock was never set */
#define SEQ_AHEAD (INT64_C(3650) * 86400)   /* ample: a clock may have stood still while the device was off */

static bool copy_text(const struct json *object, const char *key, char *out, size_t room, struct error *err)
{
    const char *value;
    if (!json_need_string(object, key, &value, err))
        return false;
    if (strlen(value) >= room)
        return error_set(err, ERROR_INPUT, "\"%s\" is longer than %zu bytes", key, room - 1);
    memcpy(out, value, strlen(value) + 1);
    return true;
}

static bool time_read(const struct json *object, const char *key, int64_t *time, struct error *err)
{
    const char *text;
    if (!json_need_string(object, key, &text, err))
        return false;
    return document_time(text, time) || error_set(err, ERROR_INPUT, "\"%s\" is no time", key);
}

bool window_read(const char *text, int *from, int *to)
{
    int at[4], size = 0;

    if (!text || strlen(text) != 11 ||
        sscanf(text, "%2d:%2d-%2d:%2d%n", &at[0], &at[1], &at[2], &at[3], &size) != 4 || size != 11 ||
        strspn(text, "0123456789:-") != 11)
        return false;
    for (int i = 0; i < 4; i++)
        if (at[i] < 0 || at[i] > (i % 2 ? 59 : 23))
            return false;
    if (from)
        *from = at[0] * 60 + at[1];
    if (to)
        *to = at[2] * 60 + at[3];
    return at[0] * 60 + at[1] != at[2] * 60 + at[3];
}

/* Members that an entry may have besides its names. */
static bool apply_read(const struct json *item, struct apply *apply, struct error *err)
{
    if (json_get(item, "apply_after") &&
        !json_need_integer(item, "apply_after", 1, INT64_MAX, &apply->after, err))
        return false;
    apply->on_start = json_boolean(item, "on_start", false);
    if (json_get(item, "rate") && !json_need_integer(item, "rate", 1, INT64_MAX, &apply->rate, err))
        return false;
    if (json_get(item, "window") && (!copy_text(item, "window", apply->window, WINDOW_SIZE, err) ||
                                     !window_read(apply->window, NULL, NULL)))
        return error_set(err, ERROR_INPUT, "\"window\" must be like 02:00-05:00");
    return true;
}

static bool set_read(struct arena *arena, const struct json *array, struct order *order, struct error *err)
{
    static const char *const members[] = {"apply_after", "asset",  "on_start", "rate",
                                          "version",     "window", NULL};
    if (array->size > SET_LIMIT)
        return error_set(err, ERROR_LIMIT, "a set has at most %d assets", SET_LIMIT);
    order->set = arena_array(arena, array->size, sizeof *order->set);
    for (const struct json *item = array->first; item; item = item->next) {
        struct set_entry *entry = &order->set[order->set_count];
        if (item->type != JSON_OBJECT)
            return error_set(err, ERROR_INPUT, "an entry of \"set\" must be an object");
        if (!json_only(item, members, err) || !copy_text(item, "asset", entry->asset, NAME_SIZE, err) ||
            !name_check("asset", entry->asset, err) ||
            !copy_text(item, "version", entry->version, VERSION_SIZE, err) ||
            !version_check(entry->version, err) || !apply_read(item, &entry->apply, err))
            return false;
        if (order->set_count > 0 && strcmp(entry[-1].asset, entry->asset) >= 0)
            return error_set(err, ERROR_INPUT, "the asset \"%s\" stands twice or out of order", entry->asset);
        order->set_count++;
    }
    return true;
}

static bool id_is_valid(const char *id)
{
    return strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32;
}

static bool mode_is_valid(const char *mode)
{
    return string_is(mode, "replace") || string_is(mode, "beside") || string_is(mode, "override");
}

static bool scopes_read(struct arena *arena, const struct json *array, struct order_run *run,
                        struct error *err)
{
    size_t count = 0;
    if (array->size > SCOPES_LIMIT)
        return error_set(err, ERROR_LIMIT, "a run collects at most %d scopes", SCOPES_LIMIT);
    run->collect = arena_array(arena, array->size + 1, sizeof *run->collect);
    for (const struct json *item = array->first; item; item = item->next) {
        if (item->type != JSON_STRING)
            return error_set(err, ERROR_INPUT, "\"collect\" must be an array of strings");
        run->collect[count++] = item->string;
    }
    return true;
}

static bool redact_read(struct arena *arena, const struct json *json, struct order_run *run,
                        struct error *err)
{
    const struct json *patterns;
    size_t count = 0;

    if (!json_get(json, "redact"))
        return true;
    if (!json_need_array(json, "redact", &patterns, err))
        return false;
    if (patterns->size > REDACT_MOST)
        return error_set(err, ERROR_LIMIT, "a run redacts at most %d patterns", REDACT_MOST);
    run->redact = arena_array(arena, patterns->size + 1, sizeof *run->redact);
    for (const struct json *item = patterns->first; item; item = item->next) {
        if (item->type != JSON_STRING || !item->size || item->size > REDACT_PATTERN_MOST)
            return error_set(err, ERROR_INPUT, "\"redact\" must be patterns of at most %d bytes",
                             REDACT_PATTERN_MOST);
        run->redact[count++] = item->string;
    }
    return true;
}

static bool run_times_check(const struct order_run *run, struct error *err)
{
    return (run->start_after <= run->start_before && run->start_before <= run->not_after) ||
           error_set(err, ERROR_INPUT, "the times of the run %s are out of order", run->id);
}

static bool run_read(struct arena *arena, const struct json *json, struct order_run *run, struct error *err)
{
    static const char *const members[] = {"campaign",    "collect",      "duration_s", "id",     "image",
                                          "max_output",  "mode",         "not_after",  "params", "run",
                                          "start_after", "start_before", "version",    "redact", NULL};
    const struct json *collect;
    if (json->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "an entry of \"runs\" must be an object");
    if (!json_only(json, members, err) || !copy_text(json, "id", run->id, sizeof run->id, err) ||
        !json_need_integer(json, "campaign", 1, INT64_MAX, &run->campaign, err) ||
        !json_need_integer(json, "run", 1, INT64_MAX, &run->run, err) ||
        !copy_text(json, "image", run->image, NAME_SIZE, err) || !name_check("image", run->image, err) ||
        !copy_text(json, "version", run->version, VERSION_SIZE, err) || !version_check(run->version, err) ||
        !json_need_string(json, "mode", &run->mode, err) ||
        !json_need_integer(json, "duration_s", 1, DURATION_LIMIT, &run->duration_s, err) ||
        !json_need_integer(json, "start_after", 0, INT64_MAX, &run->start_after, err) ||
        !json_need_integer(json, "start_before", 0, INT64_MAX, &run->start_before, err) ||
        !json_need_integer(json, "not_after", 0, INT64_MAX, &run->not_after, err) ||
        !json_need_integer(json, "max_output", 1, INT64_MAX, &run->max_output, err) ||
        !json_need_object(json, "params", &run->params, err) ||
        !json_need_array(json, "collect", &collect, err) || !scopes_read(arena, collect, run, err) ||
        !redact_read(arena, json, run, err) || !run_times_check(run, err))
        return false;
    if (!id_is_valid(run->id) || !mode_is_valid(run->mode))
        return error_set(err, ERROR_INPUT, "a run needs an id of 32 hex digits and a mode that exists");
    return true;
}

static bool runs_read(struct arena *arena, const struct json *array, struct order *order, struct error *err)
{
    if (array->size > RUNS_LIMIT)
        return error_set(err, ERROR_LIMIT, "an order has at most %d runs", RUNS_LIMIT);
    order->runs = arena_array(arena, array->size, sizeof *order->runs);
    for (const struct json *item = array->first; item; item = item->next) {
        struct order_run *run = &order->runs[order->run_count];
        if (!run_read(arena, item, run, err))
            return false;
        for (size_t i = 0; i < order->run_count; i++)
            if (string_is(order->runs[i].id, run->id))
                return error_set(err, ERROR_INPUT, "the run %s stands twice", run->id);
        order->run_count++;
    }
    return true;
}

static bool order_parse(struct arena *arena, const struct json *json, struct order *order, struct error *err)
{
    static const char *const members[] = {"_type", "device", "expires", "issued", "product",
                                          "runs",  "seq",    "set",     "spec",   NULL};
    const struct json *set, *runs;
    const char *type;
    int64_t spec;
    if (!json_only(json, members, err) || !json_need_string(json, "_type", &type, err) ||
        !json_need_integer(json, "spec", 1, 1, &spec, err) ||
        !copy_text(json, "device", order->device, sizeof order->device, err) ||
        !copy_text(json, "product", order->product, NAME_SIZE, err) ||
        !name_check("product", order->product, err) ||
        !json_need_integer(json, "seq", 1, INT64_MAX, &order->seq, err) ||
        !time_read(json, "issued", &order->issued, err) ||
        !time_read(json, "expires", &order->expires, err) || !json_need_array(json, "set", &set, err) ||
        !set_read(arena, set, order, err) || !json_need_array(json, "runs", &runs, err) ||
        !runs_read(arena, runs, order, err))
        return false;
    if (!string_is(type, "order") || !sha256_is_hex(order->device) || order->issued > order->expires)
        return error_set(err, ERROR_INPUT, "its type, device or times are malformed");
    return true;
}

static bool order_verify(const struct metadata_client *client, const struct json *signed_part,
                         const struct json *signatures, struct error *err)
{
    const struct document *targets = metadata_client_targets(client);
    const struct json *director = targets ? document_delegation(targets, "director") : NULL;
    if (!director)
        return error_set(err, ERROR_UNTRUSTED, "order: the verified metadata name no director");
    return document_verify("order", signed_part, signatures,
                           json_get(json_get(targets->signed_part, "delegations"), "keys"), director, err);
}

static bool order_is_for_us(const struct order *order, const char *device, const char *product,
                            int64_t last_seq, int64_t now, struct error *err)
{
    if (!string_is(order->device, device))
        return error_set(err, ERROR_UNTRUSTED, "order: it is for another device");
    if (!string_is(order->product, product))
        return error_set(err, ERROR_UNTRUSTED, "order: it is for the product \"%s\"", order->product);
    if (order->seq <= last_seq)
        return error_set(err, ERROR_UNTRUSTED, "order: its number %lld is not above %lld, seen before",
                         (long long)order->seq, (long long)last_seq);
    /* Numbers follow Unix seconds. One far ahead would make the device deaf for every later order, also after
     * the key that signed it was taken back. */
    if (now >= CLOCK_SET_AFTER && order->seq > now + SEQ_AHEAD)
        return error_set(err, ERROR_UNTRUSTED, "order: its number %lld is years ahead of the time",
                         (long long)order->seq);
    if (order->expires <= now)
        return error_set(err, ERROR_UNTRUSTED, "order: it has expired");
    return true;
}

bool order_read(struct arena *arena, const struct metadata_client *client, const void *bytes, size_t size,
                const char *device, const char *product, int64_t last_seq, int64_t now, struct order *order,
                struct error *err)
{
    static const char *const members[] = {"signatures", "signed", NULL};
    const struct json *signed_part, *signatures;
    *order = (struct order){0};
    if (size > ORDER_LIMIT)
        return error_set(err, ERROR_LIMIT, "order: it is larger than %d bytes", ORDER_LIMIT);
    const struct json *envelope = json_read(arena, bytes, size, &json_limits_large, err);
    if (!envelope)
        return error_add(err, "order");
    if (envelope->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "order: it is no object");
    if (!json_only(envelope, members, err) || !json_need_object(envelope, "signed", &signed_part, err) ||
        !json_need_array(envelope, "signatures", &signatures, err))
        return error_add(err, "order");
    if (!order_verify(client, signed_part, signatures, err))
        return false;
    if (!order_parse(arena, signed_part, order, err))
        return error_add(err, "order");
    return order_is_for_us(order, device, product, last_seq, now, err);
}

static bool is_subset(const char **part, const char **whole)
{
    for (; part && *part; part++) {
        const char **one = whole;
        while (*one && !string_is(*one, *part))
            one++;
        if (!*one)
            return false;
    }
    return true;
}

bool order_run_check(const struct order_run *run, const struct image_limits *limits, struct error *err)
{
    if (!string_is(run->mode, limits->mode))
        return error_set(err, ERROR_UNTRUSTED, "the image is signed for the mode %s, the order says %s",
                         limits->mode, run->mode);
    if (run->duration_s > limits->max_runtime_s)
        return error_set(err, ERROR_UNTRUSTED,
                         "the image is signed for at most %lld s, the order says %lld s",
                         (long long)limits->max_runtime_s, (long long)run->duration_s);
    if (run->max_output > limits->max_output)
        return error_set(err, ERROR_UNTRUSTED, "the image is signed for at most %lld bytes of output",
                         (long long)limits->max_output);
    if (!is_subset(run->collect, limits->collect))
        return error_set(err, ERROR_UNTRUSTED, "the order collects more than the image is signed for");
    return image_params_check(limits, run->params, err);
}

static void run_write(struct json_writer *writer, const struct order_run *run)
{
    json_write_object(writer, NULL);
    json_write_string(writer, "id", run->id);
    json_write_integer(writer, "campaign", run->campaign);
    json_write_integer(writer, "run", run->run);
    json_write_string(writer, "image", run->image);
    json_write_string(writer, "version", run->version);
    json_write_string(writer, "mode", run->mode);
    json_write_integer(writer, "duration_s", run->duration_s);
    json_write_integer(writer, "start_after", run->start_after);
    json_write_integer(writer, "start_before", run->start_before);
    json_write_integer(writer, "not_after", run->not_after);
    json_write_integer(writer, "max_output", run->max_output);
    json_write_array(writer, "collect");
    for (const char **scope = run->collect; scope && *scope; scope++)
        json_write_string(writer, NULL, *scope);
    json_write_end(writer, ']');
    if (run->redact && *run->redact) {
        json_write_array(writer, "redact");
        for (const char **pattern = run->redact; *pattern; pattern++)
            json_write_string(writer, NULL, *pattern);
        json_write_end(writer, ']');
    }
    if (run->params)
        json_write_value(writer, "params", run->params);
    else
        json_write_raw(writer, "params", "{}", 2);
    json_write_end(writer, '}');
}

static int entry_compare(const void *a, const void *b)
{
    return strcmp(((const struct set_entry *)a)->asset, ((const struct set_entry *)b)->asset);
}

static void apply_write(struct json_writer *writer, const struct apply *apply)
{
    if (apply->after)
        json_write_integer(writer, "apply_after", apply->after);
    if (apply->window[0])
        json_write_string(writer, "window", apply->window);
    if (apply->on_start)
        json_write_boolean(writer, "on_start", true);
    if (apply->rate)
        json_write_integer(writer, "rate", apply->rate);
}

static void set_write(struct arena *arena, struct json_writer *writer, const struct order *order)
{
    struct set_entry *sorted = arena_array(arena, order->set_count, sizeof *sorted);
    for (size_t i = 0; i < order->set_count; i++)
        sorted[i] = order->set[i];
    if (order->set_count > 0)
        qsort(sorted, order->set_count, sizeof *sorted, entry_compare);
    json_write_array(writer, "set");
    for (size_t i = 0; i < order->set_count; i++) {
        json_write_object(writer, NULL);
        json_write_string(writer, "asset", sorted[i].asset);
        json_write_string(writer, "version", sorted[i].version);
        apply_write(writer, &sorted[i].apply);
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
}

bool order_write(const struct order *order, const struct private_key *director, struct text *out,
                 struct error *err)
{
    ARENA(arena);
    TEXT(plain);
    struct json_writer writer;
    struct order again = {0};
    size_t before = out->size;
    json_write_init(&writer, &plain);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "_type", "order");
    json_write_integer(&writer, "spec", 1);
    json_write_string(&writer, "device", order->device);
    json_write_string(&writer, "product", order->product);
    json_write_integer(&writer, "seq", order->seq);
    json_write_time(&writer, "issued", order->issued);
    json_write_time(&writer, "expires", order->expires);
    set_write(&arena, &writer, order);
    json_write_array(&writer, "runs");
    for (size_t i = 0; i < order->run_count; i++)
        run_write(&writer, &order->runs[i]);
    json_write_end(&writer, ']');
    json_write_end(&writer, '}');
    /* What a device would refuse is not signed. */
    const struct json *json = json_read(&arena, text_string(&plain), plain.size, &json_limits_large, err);
    if (!json || !order_parse(&arena, json, &again, err) || !metadata_sign(json, &director, 1, out, err))
        return error_add(err, "order");
    if (out->size - before > ORDER_LIMIT)
        return error_set(err, ERROR_LIMIT, "order: it would be larger than %d bytes", ORDER_LIMIT);
    return true;
}

#include "agent/floors.h"

#include "agent/state.h"
#include "base/file.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLOORS_LIMIT (1 << 20)

static struct floor_counter *counter_find(const struct floors *floors, const char *asset)
{
    for (size_t i = 0; i < floors->counter_count; i++)
        if (strcmp(floors->counters[i].asset, asset) == 0)
            return &floors->counters[i];
    return NULL;
}

int64_t floors_counter(const struct floors *floors, const char *asset)
{
    const struct floor_counter *counter = counter_find(floors, asset);

    return counter ? counter->counter : 0;
}

void floors_raise(struct floors *floors, const char *asset, int64_t to)
{
    struct floor_counter *counter = counter_find(floors, asset);

    if (to <= 0)
        return;
    if (!counter) {
        floors->counters =
            reallocarray(floors->counters, floors->counter_count + 1, sizeof(*floors->counters));
        if (!floors->counters)
            abort();
        counter = &floors->counters[floors->counter_count++];
        snprintf(counter->asset, sizeof(counter->asset), "%s", asset);
        counter->counter = 0;
    }
    if (to > counter->counter)
        counter->counter = to;
}

const char *floors_bad(const struct floors *floors, const char *digest)
{
    for (size_t i = 0; i < floors->bad_count; i++)
        if (strcmp(floors->bad[i].digest, digest) == 0)
            return floors->bad[i].reason;
    return NULL;
}

void floors_mark_bad(struct floors *floors, const char *digest, const char *reason)
{
    if (floors_bad(floors, digest))
        return;
    if (floors->bad_count == FLOORS_BAD_MOST)
        memmove(floors->bad, floors->bad + 1, sizeof(*floors->bad) * --floors->bad_count);
    struct floor_bad *bad = &floors->bad[floors->bad_count++];
    snprintf(bad->digest, sizeof(bad->digest), "%s", digest);
    snprintf(bad->reason, sizeof(bad->reason), "%s", reason);
}

void floors_judged_by(struct floors *floors, const char *judge)
{
    if (strcmp(floors->judge, judge) != 0) {
        floors->bad_count = 0;
        floors->safe[0] = '\0';
    }
    snprintf(floors->judge, sizeof(floors->judge), "%s", judge);
}

bool floors_save(const struct floors *floors, int state_fd, struct error *err)
{
    struct json_writer writer;
    TEXT(out);

    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_integer(&writer, "clock", floors->clock);
    json_write_integer(&writer, "generation", floors->generation);
    json_write_integer(&writer, "factory", floors->factory);
    json_write_string(&writer, "safe", floors->safe);
    json_write_string(&writer, "well", floors->well);
    json_write_object(&writer, "counters");
    for (size_t i = 0; i < floors->counter_count; i++)
        json_write_integer(&writer, floors->counters[i].asset, floors->counters[i].counter);
    json_write_end(&writer, '}');
    json_write_array(&writer, "bad");
    for (size_t i = 0; i < floors->bad_count; i++) {
        json_write_object(&writer, NULL);
        json_write_string(&writer, "digest", floors->bad[i].digest);
        json_write_string(&writer, "reason", floors->bad[i].reason);
        json_write_end(&writer, '}');
    }
    json_write_end(&writer, ']');
    json_write_string(&writer, "judge", floors->judge);
    json_write_end(&writer, '}');
    return file_write(state_fd, STATE_FLOORS, out.bytes, out.size, 0600, err);
}

static bool floors_parse(struct floors *floors, const struct json *json, struct error *err)
{
    const struct json *counters, *bad;

    if (!json_need_integer(json, "clock", 0, INT64_MAX, &floors->clock, err) ||
        !json_need_integer(json, "generation", 0, INT64_MAX, &floors->generation, err) ||
        !json_need_object(json, "counters", &counters, err) || !json_need_array(json, "bad", &bad, err))
        return false;
    for (const struct json *one = counters->first; one; one = one->next) {
        if (!name_check("asset", one->key, err) || !one->is_integer)
            return error_set(err, ERROR_INPUT, "a counter is malformed");
        floors_raise(floors, one->key, one->integer);
    }
    for (const struct json *one = bad->first; one; one = one->next) {
        const char *digest, *reason;
        if (!json_need_string(one, "digest", &digest, err) || !json_need_string(one, "reason", &reason, err))
            return false;
        floors_mark_bad(floors, digest, reason);
    }
    const char *judge = json_string(json, "judge"), *safe = json_string(json, "safe"),
               *well = json_string(json, "well");
    snprintf(floors->well, sizeof(floors->well), "%s", well ? well : "");
    floors->factory = json_integer(json, "factory", 0);
    snprintf(floors->safe, sizeof(floors->safe), "%s", safe ? safe : "");
    snprintf(floors->judge, sizeof(floors->judge), "%s", judge ? judge : "");
    return true;
}

bool floors_load(struct floors *floors, int state_fd, struct error *err)
{
    ARENA(arena);
    struct error missing = {0};
    char *bytes;
    size_t size;

    *floors = (struct floors){0};
    if (!file_read(&arena, state_fd, STATE_FLOORS, FLOORS_LIMIT, &bytes, &size, &missing)) {
        if (missing.kind == ERROR_MISSING)
            return true;
        *err = missing;
        return false;
    }
    const struct json *json = json_read(&arena, bytes, size, &json_limits_large, err);
    return (json && floors_parse(floors, json, err)) || error_add(err, STATE_FLOORS);
}

void floors_end(struct floors *floors)
{
    free(floors->counters);
    *floors = (struct floors){0};
}

#include "agent/place.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME (SHA256_HEX + 8)
#define LIMIT 1024
#define DUE_IN (256 << 10)
#define DUE_OUT (32 << 20)

static const char *const kinds[] = {
    [PLACE_NONE] = "none", [PLACE_DELTA] = "delta", [PLACE_PACKED] = "packed", [PLACE_PLAIN] = "plain"};

static void place_name(char name[NAME], const char *sha256)
{
    snprintf(name, NAME, "%s.place", sha256);
}

static bool place_from_json(const struct json *json, struct place *place, struct error *err)
{
    const char *kind, *old, *etag;

    if (!json_need_string(json, "kind", &kind, err) || !json_need_string(json, "old", &old, err) ||
        !json_need_string(json, "etag", &etag, err) ||
        !json_need_integer(json, "in", 0, INT64_MAX - 1, &place->in, err) ||
        !json_need_integer(json, "out", 0, INT64_MAX - 1, &place->out, err))
        return false;
    for (enum place_kind one = PLACE_DELTA; one <= PLACE_PLAIN; one++)
        if (string_is(kinds[one], kind))
            place->kind = one;
    snprintf(place->old, sizeof place->old, "%s", old);
    snprintf(place->etag, sizeof place->etag, "%s", etag);
    return place->kind != PLACE_DELTA || sha256_is_hex(place->old);
}

void place_read(int objects, const char *sha256, struct place *place)
{
    ARENA(arena);
    struct error ignored = {0};
    char name[NAME], *bytes;
    size_t size;

    *place = (struct place){0};
    place_name(name, sha256);
    if (!file_read(&arena, objects, name, LIMIT, &bytes, &size, &ignored))
        return;
    const struct json *json = json_read(&arena, bytes, size, &json_limits_small, &ignored);
    if (!json || !place_from_json(json, place, &ignored))
        *place = (struct place){0};
}

bool place_note(int objects, const char *sha256, int part, const struct place *place, struct error *err)
{
    struct json_writer writer;
    char name[NAME];
    TEXT(out);

    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "kind", kinds[place->kind]);
    json_write_string(&writer, "old", place->old);
    json_write_string(&writer, "etag", place->etag);
    json_write_integer(&writer, "in", place->in);
    json_write_integer(&writer, "out", place->out);
    json_write_end(&writer, '}');
    place_name(name, sha256);
    return fd_sync(part, err) && file_write(objects, name, out.bytes, out.size, 0600, err);
}

void place_drop(int objects, const char *sha256)
{
    char name[NAME];

    place_name(name, sha256);
    unlinkat(objects, name, 0);
}

bool place_is_due(const struct place *noted, int64_t in, int64_t out)
{
    return out > noted->out && (in - noted->in >= DUE_IN || out - noted->out >= DUE_OUT);
}

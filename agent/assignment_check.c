#include "agent/assignment.h"

#include "agent/fetch.h"
#include "agent/state.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

#define DIAGNOSTIC_LIMIT (64 << 10)

static bool same_json(const struct json *a, const struct json *b)
{
    struct error ignored = {0};
    TEXT(one);
    TEXT(other);

    return a && b && json_canonical(a, &one, &ignored) && json_canonical(b, &other, &ignored) &&
           one.size == other.size && memcmp(one.bytes, other.bytes, one.size) == 0;
}

/* diagnostic.json as it lies in the image's folder, with the defaults filled in. */
static bool file_limits(const struct assignments *assignments, const struct wish_run *run,
                        struct arena *arena, struct image_limits *limits, struct error *err)
{
    char *path = arena_printf(arena, STATE_VERSIONS "/%s/%s/diagnostic.json", run->image.entry.asset,
                              run->image.entry.version);
    char *bytes;
    size_t size;

    return (file_read(arena, assignments->state_fd, path, DIAGNOSTIC_LIMIT, &bytes, &size, err) &&
            image_limits_read(arena, bytes, size, limits, err)) ||
           error_add(err, "diagnostic.json");
}

bool assignment_check(const struct assignments *assignments, const struct wish_run *run, struct arena *arena,
                      struct image_limits *limits, struct error *err)
{
    struct manifest manifest;

    if (!manifest_kept(arena, assignments->state_fd, run->image.entry.manifest, &manifest, err))
        return false;
    if (!manifest.has_limits || manifest.kind != KIND_DIAGNOSTIC)
        return error_set(err, ERROR_UNTRUSTED, "%s is no diagnostic image", run->image.entry.asset);
    if (!same_json(manifest.limits.json, run->limits))
        return error_set(err, ERROR_UNTRUSTED,
                         "the limits in the manifest are not those of the signed metadata");
    if (!file_limits(assignments, run, arena, limits, err))
        return false;
    if (!same_json(limits->json, run->limits))
        return error_set(err, ERROR_UNTRUSTED,
                         "the limits in diagnostic.json are not those of the signed metadata");
    return order_run_check(&run->order, limits, err);
}

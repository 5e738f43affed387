#include "agent/proof.h"

#include "agent/state.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "repo/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MOST 20000 /* of a manifest */
#define ASSETS_MOST 256  /* of an order */
#define MANIFEST_LIMIT (4 << 20)

/* The files of one folder as they are found. */
struct found {
    struct arena *arena;
    struct manifest_file *files;
    size_t count;
};

static bool add_file(void *context, const char *path, int fd, int64_t size, mode_t mode, struct error *err)
{
    struct found *found = context;
    (void)size;
    if (found->count == FILES_MOST)
        return error_set(err, ERROR_LIMIT, "more than %d files", FILES_MOST);
    struct manifest_file *file = &found->files[found->count++];
    file->path = arena_strdup(found->arena, path);
    file->mode = mode & 0111 ? 0755 : 0644;
    return sha256_file(fd, file->sha256, &file->length, err);
}

/* The path in `current` is ours, but read like a foreign one: "sets/<n>" and nothing else. */
static bool current_set(int state_fd, char set[64], struct error *err)
{
    char target[64];
    ssize_t n = readlinkat(state_fd, STATE_CURRENT, target, sizeof target - 1);
    if (n < 0 && errno == ENOENT) {
        snprintf(set, 64, "%s/0", STATE_SETS);
        return true;
    }
    if (n < 0)
        return error_errno(err, STATE_CURRENT);
    target[n] = '\0';
    const char *number = target + strlen(STATE_SETS "/");
    if (!string_starts(target, STATE_SETS "/") || strspn(number, "0123456789") != strlen(number) ||
        number[0] == '\0')
        return error_set(err, ERROR_UNTRUSTED, "current leads to \"%s\", which is no set", target);
    snprintf(set, 64, "%s", target);
    return true;
}

/* The folder of one asset: the only link on the way is the set's own, and it has to lead into versions/. */
static int open_version(int state_fd, const char *set, const char *asset, struct error *err)
{
    char link[160], target[PATH_MAX];
    snprintf(link, sizeof link, "%s/%s", set, asset);
    ssize_t n = readlinkat(state_fd, link, target, sizeof target - 1);
    if (n < 0) {
        error_errno(err, "%s", link);
        return -1;
    }
    target[n] = '\0';
    if (n > 0 && target[n - 1] == '/')
        target[n - 1] = '\0';
    if (!string_starts(target, "../../" STATE_VERSIONS "/")) {
        error_set(err, ERROR_UNTRUSTED, "%s leads to \"%s\"", link, target);
        return -1;
    }
    return folder_open_beneath(state_fd, target + strlen("../../"), err);
}

/* The digest that the asset's manifest would have if its files were what lies there now. */
static bool manifest_now(int state_fd, const char *set, struct set_entry *entry, struct error *err)
{
    ARENA(arena);
    TEXT(now);
    struct manifest manifest;
    char name[96], *bytes;
    size_t size;
    snprintf(name, sizeof name, "%s/%s", STATE_MANIFESTS, entry->manifest);
    if (!file_read(&arena, state_fd, name, MANIFEST_LIMIT, &bytes, &size, err) ||
        !manifest_read(&arena, bytes, size, &manifest, err))
        return error_add(err, "manifest of %s", entry->asset);
    FD(folder) = open_version(state_fd, set, entry->asset, err);
    if (folder < 0)
        return false;
    struct found found = {.arena = &arena, .files = arena_array(&arena, FILES_MOST, sizeof *found.files)};
    if (!folder_walk(folder, add_file, &found, err))
        return error_add(err, "files of %s", entry->asset);
    manifest.files = found.files;
    manifest.file_count = found.count;
    if (!manifest_write(&arena, &manifest, &now, err))
        return error_add(err, "files of %s", entry->asset);
    sha256_hex(now.bytes, now.size, entry->manifest);
    return true;
}

static bool read_entry(const struct json *asset, struct set_entry *entry, struct error *err)
{
    const char *name, *version, *manifest;
    if (!json_need_string(asset, "asset", &name, err) || !json_need_string(asset, "version", &version, err) ||
        !json_need_string(asset, "manifest", &manifest, err))
        return false;
    if (!name_is_valid(name) || strlen(version) >= VERSION_SIZE || !sha256_is_hex(manifest))
        return error_set(err, ERROR_UNTRUSTED, "the set's file names the asset \"%.64s\"", name);
    snprintf(entry->asset, sizeof entry->asset, "%s", name);
    snprintf(entry->version, sizeof entry->version, "%s", version);
    snprintf(entry->manifest, sizeof entry->manifest, "%s", manifest);
    return true;
}

static bool read_set(struct arena *arena, int state_fd, const char *set, const struct json **assets,
                     struct error *err)
{
    char name[80], *bytes;
    size_t size;
    *assets = NULL;
    snprintf(name, sizeof name, "%s.json", set);
    if (!file_read(arena, state_fd, name, MANIFEST_LIMIT, &bytes, &size, err)) {
        if (err->kind != ERROR_MISSING || strcmp(set, STATE_SETS "/0") != 0)
            return false;
        err->kind = ERROR_NONE; /* the empty set that is there before the first */
        return true;
    }
    const struct json *file = json_read(arena, bytes, size, &json_limits_large, err);
    return file != NULL && json_need_array(file, "assets", assets, err);
}

bool proof_set_digest(int state_fd, char hex[SHA256_HEX], struct error *err)
{
    ARENA(arena);
    char set[64];
    const struct json *assets;
    if (!current_set(state_fd, set, err) || !read_set(&arena, state_fd, set, &assets, err))
        return false;
    size_t count = assets != NULL ? assets->size : 0, n = 0;
    if (count > ASSETS_MOST)
        return error_set(err, ERROR_LIMIT, "the set has more than %d assets", ASSETS_MOST);
    struct set_entry *entries = arena_array(&arena, count + 1, sizeof *entries);
    for (const struct json *asset = assets != NULL ? assets->first : NULL; asset != NULL;
         asset = asset->next, n++)
        if (!read_entry(asset, &entries[n], err) || !manifest_now(state_fd, set, &entries[n], err))
            return false;
    set_digest(entries, count, hex);
    return true;
}

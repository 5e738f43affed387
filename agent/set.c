#include "agent/set.h"

#include "agent/state.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SET_LIMIT (256 << 10)
#define NEXT_LINK ".current-new"

bool set_prepare(int state_fd, struct error *err)
{
    static const struct {
        const char *name;
        mode_t mode;
    } folders[] = {{STATE_METADATA, 0700}, {STATE_OBJECTS, 0700}, {STATE_MANIFESTS, 0700},
                   {STATE_VERSIONS, 0755}, {STATE_SETS, 0755},    {STATE_SETS "/0", 0755},
                   {STATE_RUNS, 0700}};
    struct stat stat;

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        if (!folder_make(state_fd, folders[i].name, folders[i].mode, err))
            return false;
    if (fstatat(state_fd, STATE_CURRENT, &stat, AT_SYMLINK_NOFOLLOW) == 0)
        return S_ISLNK(stat.st_mode) || error_set(err, ERROR_CONFLICT, "\"%s\" is no link", STATE_CURRENT);
    return set_flip(state_fd, 0, err);
}

int64_t set_current(int state_fd, struct error *err)
{
    char target[SET_PATH_SIZE];
    int64_t generation;
    ssize_t size = readlinkat(state_fd, STATE_CURRENT, target, sizeof(target) - 1);

    if (size < 0) {
        error_errno(err, "reading the link \"%s\"", STATE_CURRENT);
        return -1;
    }
    target[size] = '\0';
    if (!string_starts(target, STATE_SETS "/") ||
        !int64_parse(target + strlen(STATE_SETS "/"), 0, INT64_MAX - 1, &generation)) {
        error_set(err, ERROR_SYSTEM, "the link \"%s\" leads to \"%s\", which is no set", STATE_CURRENT,
                  target);
        return -1;
    }
    return generation;
}

static void set_path(char path[SET_PATH_SIZE], int64_t generation, const char *end)
{
    snprintf(path, SET_PATH_SIZE, STATE_SETS "/%lld%s", (long long)generation, end);
}

void set_seal(struct arena *arena, struct set *set)
{
    struct set_entry *entries = arena_array(arena, set->count, sizeof(*entries));
    struct member *sorted = arena_array(arena, set->count, sizeof(*sorted));

    for (size_t i = 0; i < set->count; i++)
        entries[i] = set->members[i].entry;
    set_digest(entries, set->count, set->digest);
    for (size_t i = 0; i < set->count; i++)
        sorted[i] = *set_find(set, entries[i].asset);
    set->members = sorted;
}

const struct member *set_find(const struct set *set, const char *asset)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->members[i].entry.asset, asset) == 0)
            return &set->members[i];
    return NULL;
}

static bool member_read(const struct json *json, struct member *member, struct error *err)
{
    const char *asset, *version, *manifest;

    if (!json_need_string(json, "asset", &asset, err) || !name_check("asset", asset, err) ||
        !json_need_string(json, "version", &version, err) || !version_check(version, err) ||
        !json_need_string(json, "manifest", &manifest, err))
        return false;
    if (!sha256_is_hex(manifest))
        return error_set(err, ERROR_INPUT, "a manifest's hash is malformed");
    strcpy(member->entry.asset, asset);
    strcpy(member->entry.version, version);
    strcpy(member->entry.manifest, manifest);
    member->counter = json_integer(json, "counter", 0);
    member->restart = json_boolean(json, "restart", false);
    return true;
}

bool set_load(struct arena *arena, int state_fd, int64_t generation, struct set *set, struct error *err)
{
    char path[SET_PATH_SIZE], *bytes;
    const struct json *assets;
    size_t size;

    *set = (struct set){.generation = generation};
    if (generation == 0) {
        set_seal(arena, set);
        return true;
    }
    set_path(path, generation, ".json");
    if (!file_read(arena, state_fd, path, SET_LIMIT, &bytes, &size, err))
        return false;
    const struct json *json = json_read(arena, bytes, size, &json_limits_large, err);
    if (!json || !json_need_array(json, "assets", &assets, err))
        return error_add(err, "%s", path);
    set->members = arena_array(arena, assets->size, sizeof(*set->members));
    for (const struct json *one = assets->first; one; one = one->next)
        if (!member_read(one, &set->members[set->count++], err))
            return error_add(err, "%s", path);
    set_seal(arena, set);
    return true;
}

/* --- building a set ---------------------------------------------------------------------------------------
 */

static bool set_write(int state_fd, const struct set *set, struct error *err)
{
    char path[SET_PATH_SIZE];
    struct json_writer writer;
    TEXT(out);

    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_integer(&writer, "generation", set->generation);
    json_write_string(&writer, "digest", set->digest);
    json_write_array(&writer, "assets");
    for (size_t i = 0; i < set->count; i++) {
        const struct member *member = &set->members[i];
        json_write_object(&writer, NULL);
        json_write_string(&writer, "asset", member->entry.asset);
        json_write_string(&writer, "version", member->entry.version);
        json_write_string(&writer, "manifest", member->entry.manifest);
        json_write_integer(&writer, "counter", member->counter);
        json_write_boolean(&writer, "restart", member->restart);
        json_write_end(&writer, '}');
    }
    json_write_end(&writer, ']');
    json_write_end(&writer, '}');
    set_path(path, set->generation, ".json");
    return file_write(state_fd, path, out.bytes, out.size, 0600, err);
}

static bool set_link(int folder, const struct member *member, struct error *err)
{
    char target[2 * NAME_SIZE + VERSION_SIZE];

    snprintf(target, sizeof(target), "../../" STATE_VERSIONS "/%s/%s", member->entry.asset,
             member->entry.version);
    return symlinkat(target, folder, member->entry.asset) == 0 ||
           error_errno(err, "linking the asset \"%s\"", member->entry.asset);
}

bool set_build(int state_fd, const struct set *set, struct error *err)
{
    char path[SET_PATH_SIZE];

    set_path(path, set->generation, "");
    if (!tree_remove(state_fd, path, err) || !folder_make(state_fd, path, 0755, err))
        return false;
    FD(folder) = folder_open_beneath(state_fd, path, err);
    if (folder < 0)
        return false;
    for (size_t i = 0; i < set->count; i++)
        if (!set_link(folder, &set->members[i], err))
            return false;
    return folder_sync(folder, err) && set_write(state_fd, set, err);
}

bool set_flip(int state_fd, int64_t generation, struct error *err)
{
    char target[SET_PATH_SIZE];

    set_path(target, generation, "");
    if (unlinkat(state_fd, NEXT_LINK, 0) < 0 && errno != ENOENT)
        return error_errno(err, "removing \"%s\"", NEXT_LINK);
    if (symlinkat(target, state_fd, NEXT_LINK) < 0)
        return error_errno(err, "linking \"%s\"", NEXT_LINK);
    return file_rename(state_fd, NEXT_LINK, state_fd, STATE_CURRENT, err) && folder_sync(state_fd, err);
}

bool set_remove(int state_fd, int64_t generation, struct error *err)
{
    char path[SET_PATH_SIZE], file[SET_PATH_SIZE];

    set_path(path, generation, "");
    set_path(file, generation, ".json");
    return tree_remove(state_fd, file, err) && tree_remove(state_fd, path, err);
}

/* --- versions ---------------------------------------------------------------------------------------------
 */

#define VERSION_PATH_SIZE (NAME_SIZE + VERSION_SIZE + 32)

static void record_path(char path[VERSION_PATH_SIZE], const char *asset, const char *version)
{
    snprintf(path, VERSION_PATH_SIZE, STATE_MANIFESTS "/%s@%s", asset, version);
}

static void version_path(char path[VERSION_PATH_SIZE], const char *asset, const char *version)
{
    snprintf(path, VERSION_PATH_SIZE, STATE_VERSIONS "/%s/%s", asset, version);
}

bool version_manifest(int state_fd, const char *asset, const char *version, char sha256[SHA256_HEX])
{
    ARENA(arena);
    struct error ignored = {0};
    struct stat stat;
    char path[VERSION_PATH_SIZE], *bytes;
    size_t size;

    version_path(path, asset, version);
    if (fstatat(state_fd, path, &stat, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(stat.st_mode))
        return false;
    record_path(path, asset, version);
    if (!file_read(&arena, state_fd, path, SHA256_HEX, &bytes, &size, &ignored) || !sha256_is_hex(bytes))
        return false;
    memcpy(sha256, bytes, SHA256_HEX);
    return true;
}

bool version_is_installed(int state_fd, const struct set_entry *entry)
{
    char sha256[SHA256_HEX];

    return version_manifest(state_fd, entry->asset, entry->version, sha256) &&
           strcmp(sha256, entry->manifest) == 0;
}

/* Walks along the manifest's files, which are sorted, and syncs each folder once its files are all linked. */
struct build {
    int objects, root; /* objects/, the new folder */
    int folder;        /* of the file before; -1: none */
    char folder_path[4096];
};

/* The folder of `path` is open in build->folder afterwards; `name` is the last part. */
static bool build_enter(struct build *build, const char *path, const char **name, struct error *err)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;

    *name = slash ? slash + 1 : path;
    if (build->folder >= 0 && strlen(build->folder_path) == size &&
        memcmp(build->folder_path, path, size) == 0)
        return true;
    if (build->folder >= 0 && !folder_sync(build->folder, err))
        return false;
    fd_close(&build->folder);
    snprintf(build->folder_path, sizeof(build->folder_path), "%.*s", (int)size, path);
    if (size > 0 && !folder_make(build->root, build->folder_path, 0755, err))
        return false;
    build->folder = folder_open_beneath(build->root, size ? build->folder_path : ".", err);
    return build->folder >= 0;
}

static bool build_files(struct build *build, const struct manifest *manifest, struct error *err)
{
    for (size_t i = 0; i < manifest->file_count; i++) {
        const struct manifest_file *file = &manifest->files[i];
        char object[SHA256_HEX + 2];
        const char *name;

        snprintf(object, sizeof(object), "%s%s", file->sha256, file->mode == 0755 ? ".x" : "");
        if (!build_enter(build, file->path, &name, err) ||
            !file_link(build->objects, object, build->folder, name, err))
            return false;
    }
    return build->folder < 0 || folder_sync(build->folder, err);
}

static bool build_all(int state_fd, const char *path, const struct manifest *manifest, struct error *err)
{
    if (!tree_remove(state_fd, path, err) || !folder_make(state_fd, path, 0755, err))
        return false;
    FD(objects) = folder_open_beneath(state_fd, STATE_OBJECTS, err);
    FD(root) = objects < 0 ? -1 : folder_open_beneath(state_fd, path, err);
    struct build build = {.objects = objects, .root = root, .folder = -1};
    if (root < 0)
        return false;
    bool good = build_files(&build, manifest, err);
    fd_close(&build.folder);
    return good && folder_sync(root, err);
}

bool version_build(int state_fd, const struct manifest *manifest, const char *manifest_sha256,
                   struct error *err)
{
    char path[VERSION_PATH_SIZE], fresh[VERSION_PATH_SIZE], record[VERSION_PATH_SIZE];

    version_path(path, manifest->asset, manifest->version);
    version_path(fresh, manifest->asset, ".new"); /* no version begins with a point */
    record_path(record, manifest->asset, manifest->version);
    if (!tree_remove(state_fd, record, err) || !tree_remove(state_fd, path, err) ||
        !build_all(state_fd, fresh, manifest, err) || !file_rename(state_fd, fresh, state_fd, path, err))
        return error_add(err, "installing %s %s", manifest->asset, manifest->version);
    snprintf(fresh, sizeof(fresh), STATE_VERSIONS "/%s", manifest->asset);
    FD(folder) = folder_open_beneath(state_fd, fresh, err);
    return folder >= 0 && folder_sync(folder, err) &&
           file_write(state_fd, record, manifest_sha256, SHA256_HEX - 1, 0600, err);
}

void version_touch(int state_fd, const char *asset, const char *version)
{
    char path[VERSION_PATH_SIZE];

    version_path(path, asset, version);
    utimensat(state_fd, path, NULL, AT_SYMLINK_NOFOLLOW);
}

bool version_remove(int state_fd, const char *asset, const char *version, struct error *err)
{
    char path[VERSION_PATH_SIZE], record[VERSION_PATH_SIZE];

    version_path(path, asset, version);
    record_path(record, asset, version);
    return tree_remove(state_fd, record, err) && tree_remove(state_fd, path, err);
}

#include "agent/gc.h"

#include "agent/fetch.h"
#include "agent/set_check.h"
#include "agent/state.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void dir_close(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}
#define DIRECTORY(name) __attribute__((cleanup(dir_close))) DIR *name

static DIR *dir_open(int state_fd, const char *path)
{
    struct error ignored = {0};
    int fd = folder_open_beneath(state_fd, path, &ignored);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir)
        fd_close(&fd);
    return dir;
}

static struct dirent *next(DIR *dir)
{
    struct dirent *entry;

    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return entry;
    return NULL;
}

static void warn(const char *what, struct error *err)
{
    if (err->kind != ERROR_NONE)
        log_event(LOG_WARNING, "gc", "what=%s why=\"%s\"", what, err->text);
    *err = (struct error){0};
}

/* --- sets
 * -------------------------------------------------------------------------------------------------------- */

static bool generation_of(const char *name, int64_t *generation)
{
    char number[24];

    snprintf(number, sizeof(number), "%.*s", (int)strcspn(name, "."), name);
    return int64_parse(number, 1, INT64_MAX - 1, generation);
}

static int newest_generation_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? 1 : x > y ? -1 : 0;
}

size_t sets_kept(struct arena *arena, int state_fd, int64_t **generations)
{
    DIRECTORY(dir) = dir_open(state_fd, STATE_SETS);
    size_t room = 16, count = 0;
    int64_t *list = arena_array(arena, room, sizeof(*list)), generation;

    for (struct dirent *entry; dir && (entry = next(dir));) {
        if (!strchr(entry->d_name, '.') || !generation_of(entry->d_name, &generation))
            continue;
        if (count == room) {
            int64_t *grown = arena_array(arena, 2 * room, sizeof(*list));
            memcpy(grown, list, room * sizeof(*list));
            list = grown;
            room *= 2;
        }
        list[count++] = generation;
    }
    qsort(list, count, sizeof(*list), newest_generation_first);
    *generations = list;
    return count;
}

/* The sets that stay: the current one; the one before it, which the app may still have open; the newest
 * different ones that could be fallen back to; the factory's. */
struct kept_sets {
    struct set *list;
    size_t count;
    int64_t different;
};

static bool is_kept(const struct kept_sets *kept, const char *digest)
{
    for (size_t i = 0; i < kept->count; i++)
        if (strcmp(kept->list[i].digest, digest) == 0)
            return true;
    return false;
}

static bool is_worth_keeping(const struct gc *gc, const struct kept_sets *kept, const struct set *set)
{
    char why[CHECK_WHY];

    if (set->generation == gc->current)
        return true;
    if (set->generation > gc->current || floors_bad(gc->floors, set->digest) ||
        !set_is_allowed(gc->floors, set, why))
        return false;
    return set->generation == gc->floors->factory || kept->count == 1 ||
           (set->count > 0 && kept->different < gc->versions_keep && !is_kept(kept, set->digest));
}

/* False when the current set cannot be read: without knowing what is in use nothing may go. */
static bool kept_find(const struct gc *gc, struct arena *arena, struct kept_sets *kept)
{
    int64_t *generations;
    size_t count = sets_kept(arena, gc->state_fd, &generations);
    bool has_current = gc->current == 0;

    *kept = (struct kept_sets){.list = arena_array(arena, count + 1, sizeof(*kept->list))};
    kept->count = has_current;
    for (size_t i = 0; i < count; i++) {
        struct set set;
        struct error err = {0};
        bool loaded = set_load(arena, gc->state_fd, generations[i], &set, &err);
        warn("set", &err);
        if (!loaded || !is_worth_keeping(gc, kept, &set))
            continue;
        kept->different += !is_kept(kept, set.digest);
        kept->list[kept->count++] = set;
        has_current |= set.generation == gc->current;
    }
    return has_current;
}

static void gc_sets(const struct gc *gc, const struct kept_sets *kept)
{
    DIRECTORY(dir) = dir_open(gc->state_fd, STATE_SETS);
    struct error err = {0};

    for (struct dirent *entry; dir && (entry = next(dir));) {
        int64_t generation;
        bool stays = !generation_of(entry->d_name, &generation);
        for (size_t i = 0; i < kept->count && !stays; i++)
            stays = kept->list[i].generation == generation;
        if (!stays)
            set_remove(gc->state_fd, generation, &err);
        warn("set", &err);
    }
}

/* --- versions
 * ---------------------------------------------------------------------------------------------------- */

struct old {
    char version[VERSION_SIZE];
    struct timespec used;
};

static int newest_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct old *)a)->used, *y = &((const struct old *)b)->used;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? 1 : -1;
    return x->tv_nsec < y->tv_nsec ? 1 : x->tv_nsec > y->tv_nsec ? -1 : 0;
}

static bool is_member(const struct kept_sets *kept, const char *asset, const char *version)
{
    for (size_t i = 0; i < kept->count; i++) {
        const struct member *member = set_find(&kept->list[i], asset);
        if (member && strcmp(member->entry.version, version) == 0)
            return true;
    }
    return false;
}

static bool is_wished(const struct wish *wish, const char *asset, const char *version)
{
    for (size_t i = 0; wish && i < wish->set_count; i++)
        if (strcmp(wish->set[i].entry.asset, asset) == 0 && strcmp(wish->set[i].entry.version, version) == 0)
            return true;
    for (size_t i = 0; wish && i < wish->run_count; i++)
        if (strcmp(wish->runs[i].order.image, asset) == 0 &&
            strcmp(wish->runs[i].order.version, version) == 0)
            return true;
    return false;
}

static void gc_asset(const struct gc *gc, const struct kept_sets *kept, const char *asset,
                     struct arena *arena)
{
    char path[sizeof(STATE_VERSIONS) + 256];
    snprintf(path, sizeof(path), STATE_VERSIONS "/%s", asset);
    DIRECTORY(dir) = dir_open(gc->state_fd, path);
    size_t room = 16, count = 0;
    struct old *versions = arena_array(arena, room, sizeof(*versions));
    struct error err = {0};

    for (struct dirent *entry; dir && (entry = next(dir));) {
        struct stat stat;
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= VERSION_SIZE ||
            fstatat(dirfd(dir), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) < 0) {
            tree_remove(dirfd(dir), entry->d_name, &err); /* an unfinished one */
            warn("version", &err);
            continue;
        }
        if (count == room) {
            struct old *grown = arena_array(arena, 2 * room, sizeof(*versions));
            memcpy(grown, versions, room * sizeof(*versions));
            versions = grown;
            room *= 2;
        }
        strcpy(versions[count].version, entry->d_name);
        versions[count++].used = stat.st_mtim;
    }
    qsort(versions, count, sizeof(*versions), newest_first);
    for (size_t i = (size_t)gc->versions_keep; i < count; i++) {
        const char *version = versions[i].version;
        if (is_member(kept, asset, version) || is_wished(gc->wish, asset, version))
            continue;
        if (version_remove(gc->state_fd, asset, version, &err))
            log_event(LOG_INFO, "version_removed", "asset=%s version=%s", asset, version);
        warn("version", &err);
    }
}

static void gc_versions(const struct gc *gc, const struct kept_sets *kept, struct arena *arena)
{
    DIRECTORY(dir) = dir_open(gc->state_fd, STATE_VERSIONS);

    for (struct dirent *entry; dir && (entry = next(dir));)
        if (name_is_valid(entry->d_name))
            gc_asset(gc, kept, entry->d_name, arena);
}

/* --- manifests and objects
 * ------------------------------------------------------------------------------------------ */

/* SHA-256 values that stay, sorted. */
struct hashes {
    struct arena *arena;
    char (*list)[SHA256_HEX];
    size_t count, room;
};

static void hashes_add(struct hashes *hashes, const char *sha256)
{
    if (hashes->count == hashes->room) {
        size_t room = hashes->room ? 2 * hashes->room : 64;
        char(*grown)[SHA256_HEX] = arena_array(hashes->arena, room, SHA256_HEX);
        if (hashes->count)
            memcpy(grown, hashes->list, hashes->count * SHA256_HEX);
        hashes->list = grown;
        hashes->room = room;
    }
    memcpy(hashes->list[hashes->count++], sha256, SHA256_HEX);
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(a, b, SHA256_HEX);
}

static void hashes_sort(struct hashes *hashes)
{
    if (hashes->count)
        qsort(hashes->list, hashes->count, SHA256_HEX, by_hash);
}

static bool hashes_have(const struct hashes *hashes, const char *name)
{
    char key[SHA256_HEX];

    snprintf(key, sizeof(key), "%.64s", name);
    return hashes->count && bsearch(key, hashes->list, hashes->count, SHA256_HEX, by_hash);
}

/* A wished version's manifest stays, and the objects that were fetched for it while it is not whole. */
static void wish_version_hashes(const struct gc *gc, const struct wish_version *version,
                                struct hashes *manifests, struct hashes *objects)
{
    ARENA(arena);
    struct manifest manifest;
    struct error ignored = {0};

    if (version->refused)
        return;
    hashes_add(manifests, version->entry.manifest);
    if (version_is_installed(gc->state_fd, &version->entry) ||
        !manifest_kept(&arena, gc->state_fd, version->entry.manifest, &manifest, &ignored))
        return;
    for (size_t i = 0; i < manifest.file_count; i++)
        hashes_add(objects, manifest.files[i].sha256);
}

/* The records <asset>@<version> say which manifests are in use; records without a folder go. */
static void record_hashes(const struct gc *gc, DIR *dir, struct hashes *manifests)
{
    for (struct dirent *entry; (entry = next(dir));) {
        char asset[NAME_SIZE], sha256[SHA256_HEX];
        const char *at = strchr(entry->d_name, '@');
        if (!at || (size_t)(at - entry->d_name) >= sizeof(asset))
            continue;
        snprintf(asset, sizeof(asset), "%.*s", (int)(at - entry->d_name), entry->d_name);
        if (version_manifest(gc->state_fd, asset, at + 1, sha256))
            hashes_add(manifests, sha256);
        else
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    rewinddir(dir);
}

static void gc_manifests(const struct gc *gc, struct hashes *manifests)
{
    DIRECTORY(dir) = dir_open(gc->state_fd, STATE_MANIFESTS);

    if (!dir)
        return;
    record_hashes(gc, dir, manifests);
    hashes_sort(manifests);
    for (struct dirent *entry; (entry = next(dir));)
        if (!strchr(entry->d_name, '@') && !hashes_have(manifests, entry->d_name))
            unlinkat(dirfd(dir), entry->d_name, 0);
}

/* An object with one name only is in no version. */
static void gc_objects(const struct gc *gc, struct hashes *objects)
{
    DIRECTORY(dir) = dir_open(gc->state_fd, STATE_OBJECTS);
    struct stat stat;
    int64_t bytes = 0;

    hashes_sort(objects);
    for (struct dirent *entry; dir && (entry = next(dir));)
        if (fstatat(dirfd(dir), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && stat.st_nlink == 1 &&
            !hashes_have(objects, entry->d_name) && unlinkat(dirfd(dir), entry->d_name, 0) == 0)
            bytes += stat.st_size;
    if (bytes)
        log_event(LOG_INFO, "objects_removed", "bytes=%lld", (long long)bytes);
}

void gc_run(const struct gc *gc)
{
    ARENA(arena);
    struct hashes manifests = {.arena = &arena}, objects = {.arena = &arena};

    struct kept_sets kept;

    if (!kept_find(gc, &arena, &kept))
        return;
    gc_sets(gc, &kept);
    gc_versions(gc, &kept, &arena);
    for (size_t i = 0; gc->wish && i < gc->wish->set_count; i++)
        wish_version_hashes(gc, &gc->wish->set[i], &manifests, &objects);
    for (size_t i = 0; gc->wish && i < gc->wish->run_count; i++)
        wish_version_hashes(gc, &gc->wish->runs[i].image, &manifests, &objects);
    gc_manifests(gc, &manifests);
    gc_objects(gc, &objects);
}

void gc_leftovers(int state_fd)
{
    static const char *const folders[] = {".",           STATE_IDENTITY, STATE_METADATA, STATE_MANIFESTS,
                                          STATE_OBJECTS, STATE_SETS,     STATE_OUTBOX,   STATE_RUNS};

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        DIRECTORY(dir) = dir_open(state_fd, folders[i]);
        for (struct dirent *entry; dir && (entry = next(dir));)
            if (string_starts(entry->d_name, ".tmp-"))
                unlinkat(dirfd(dir), entry->d_name, 0);
    }
}

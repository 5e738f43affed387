#include "agent/candidates.h"

#include "agent/fetch.h"
#include "agent/set.h"
#include "agent/state.h"
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST 16384 /* files that are remembered: 1 MiB */
#define LIKE_SIZE 2
#define NAME_ROOM (SHA256_HEX + 2)

struct candidate {
    uint8_t sha256[SHA256_SIZE];
    uint64_t path, asset; /* hashes: a mistake costs a delta */
    int64_t length, used; /* used: its version, as versions.keep counts it; nanoseconds */
};

void candidates_end(struct candidates *candidates)
{
    arena_end(&candidates->arena);
    *candidates = (struct candidates){0};
}

/* FNV-1a. */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = 14695981039346656037u;

    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 1099511628211u;
    return hash;
}

static int64_t used_at(int state_fd, const char *asset, const char *version)
{
    char path[NAME_SIZE + VERSION_SIZE + 32];
    struct stat stat;

    snprintf(path, sizeof path, STATE_VERSIONS "/%s/%s", asset, version);
    if (fstatat(state_fd, path, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return (int64_t)stat.st_mtim.tv_sec * 1000000000 + stat.st_mtim.tv_nsec;
}

static void version_look(struct candidates *candidates, int state_fd, const char *asset, const char *version)
{
    ARENA(arena);
    struct manifest manifest;
    struct error ignored = {0};
    char sha256[SHA256_HEX];

    if (!version_manifest(state_fd, asset, version, sha256) ||
        !manifest_kept(&arena, state_fd, sha256, &manifest, &ignored))
        return;
    int64_t used = used_at(state_fd, asset, version);
    for (size_t i = 0; i < manifest.file_count && candidates->count < MOST; i++) {
        const struct manifest_file *file = &manifest.files[i];
        struct candidate *one = &candidates->list[candidates->count];

        if (file->length < DELTA_LEAST || !hex_decode(one->sha256, SHA256_SIZE, file->sha256))
            continue;
        one->path = hash_of(file->path);
        one->asset = hash_of(asset);
        one->length = file->length;
        one->used = used;
        candidates->count++;
    }
}

/* The records <asset>@<version> say what is installed. */
static void look(struct candidates *candidates, int state_fd)
{
    struct error ignored = {0};
    struct dirent *entry;

    candidates->looked = true;
    candidates->list = arena_array(&candidates->arena, MOST, sizeof *candidates->list);
    int fd = folder_open_beneath(state_fd, STATE_MANIFESTS, &ignored);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        fd_close(&fd);
    while (dir && (entry = readdir(dir))) {
        const char *at = strchr(entry->d_name, '@');
        char asset[NAME_SIZE];

        if (!at || (size_t)(at - entry->d_name) >= sizeof asset)
            continue;
        snprintf(asset, sizeof asset, "%.*s", (int)(at - entry->d_name), entry->d_name);
        version_look(candidates, state_fd, asset, at + 1);
    }
    if (dir)
        closedir(dir);
}

int candidate_open(int objects, const char *sha256, struct error *err)
{
    char name[NAME_ROOM];
    struct error first = {0};

    int fd = file_open_beneath(objects, sha256, O_RDONLY, 0, &first);
    if (fd >= 0)
        return fd;
    snprintf(name, sizeof name, "%s.x", sha256);
    return file_open_beneath(objects, name, O_RDONLY, 0, err);
}

/* --- the best
 * ----------------------------------------------------------------------------------------------------- */

/* 0: the likeliest; -1: none at all. */
static int rank_of(const struct candidate *one, uint64_t path, uint64_t asset, int64_t length)
{
    if (one->path == path)
        return one->asset == asset ? 0 : 1;
    return one->asset == asset && one->length <= length * LIKE_SIZE && length <= one->length * LIKE_SIZE ? 2
                                                                                                         : -1;
}

struct ranked {
    const struct candidate *one;
    int rank;
};

static bool is_better(const struct ranked *a, const struct ranked *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->one->used > b->one->used;
}

/* Keeps the best, sorted, each object once. */
static void best_put(struct ranked *best, size_t *count, const struct ranked *ranked)
{
    size_t at = *count;

    for (size_t i = 0; i < *count; i++)
        if (memcmp(best[i].one->sha256, ranked->one->sha256, SHA256_SIZE) == 0) {
            if (!is_better(ranked, &best[i]))
                return;
            memmove(&best[i], &best[i + 1], (--*count - i) * sizeof *best);
            break;
        }
    for (at = *count; at > 0 && is_better(ranked, &best[at - 1]); at--)
        ;
    if (at == DELTA_CANDIDATES)
        return;
    if (*count < DELTA_CANDIDATES)
        ++*count;
    memmove(&best[at + 1], &best[at], (*count - 1 - at) * sizeof *best);
    best[at] = *ranked;
}

size_t candidates_find(struct candidates *candidates, int state_fd, const char *asset,
                       const struct manifest_file *file, char olds[DELTA_CANDIDATES][SHA256_HEX])
{
    uint64_t path = hash_of(file->path), of = hash_of(asset);
    struct ranked best[DELTA_CANDIDATES];
    struct error ignored = {0};
    size_t count = 0, there = 0;

    if (!candidates->looked)
        look(candidates, state_fd);
    for (size_t i = 0; i < candidates->count; i++) {
        struct ranked ranked = {&candidates->list[i], rank_of(&candidates->list[i], path, of, file->length)};

        if (ranked.rank >= 0)
            best_put(best, &count, &ranked);
    }
    FD(objects) = folder_open_beneath(state_fd, STATE_OBJECTS, &ignored);
    for (size_t i = 0; objects >= 0 && i < count; i++) {
        hex_encode(olds[there], best[i].one->sha256, SHA256_SIZE);
        FD(fd) = candidate_open(objects, olds[there], &ignored);
        there += fd >= 0;
    }
    return there;
}

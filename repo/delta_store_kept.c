/* What the store of deltas keeps: names, the index in memory, the quota. */
#include "repo/delta_store_parts.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096 /* a file takes at least so much of the quota, an empty one too */
#define NOTE_S 600 /* a use is written to the file's time no more often */

static const char *const efforts[] = {[DELTA_QUICK] = "quick", [DELTA_THOROUGH] = "thorough"};

/* --- names
 * -------------------------------------------------------------------------------------------------------- */

void kept_name(const struct kept *kept, char name[KEPT_NAME])
{
    const char *last = *kept->etag ? kept->etag : "none";

    if (kept->kind == KEPT_PAIR)
        snprintf(name, KEPT_NAME, "%s.%s.%s.%s", kept->old, kept->new, efforts[kept->effort], last);
    else if (kept->kind == KEPT_WHOLE)
        snprintf(name, KEPT_NAME, "%s.%s", kept->new, last);
    else
        snprintf(name, KEPT_NAME, "%s", kept->new);
}

static bool take_hash(const char *part, char hash[SHA256_HEX])
{
    if (!part || !sha256_is_hex(part))
        return false;
    memcpy(hash, part, SHA256_HEX);
    return true;
}

static bool take_last(const char *part, char etag[SHA256_HEX])
{
    *etag = '\0';
    return string_is(part, "none") || take_hash(part, etag);
}

static bool take_effort(const char *part, enum delta_effort *effort)
{
    *effort = string_is(part, efforts[DELTA_THOROUGH]) ? DELTA_THOROUGH : DELTA_QUICK;
    return string_is(part, efforts[*effort]);
}

bool kept_read(enum kept_kind kind, const char *name, struct kept *kept)
{
    char copy[KEPT_NAME], *rest = NULL;

    *kept = (struct kept){.kind = kind};
    if (snprintf(copy, sizeof copy, "%s", name) >= (int)sizeof copy)
        return false;
    char *first = strtok_r(copy, ".", &rest);
    if (kind == KEPT_PAIR) {
        if (!take_hash(first, kept->old) || !take_hash(strtok_r(NULL, ".", &rest), kept->new) ||
            !take_effort(strtok_r(NULL, ".", &rest), &kept->effort))
            return false;
    } else if (!take_hash(first, kept->new)) {
        return false;
    }
    return (kind == KEPT_CHUNKS || take_last(strtok_r(NULL, ".", &rest), kept->etag)) && !*rest;
}

/* --- the index
 * ---------------------------------------------------------------------------------------------------- */

static struct kept **bucket_of(struct delta_store *store, enum kept_kind kind, const char *old,
                               const char *new)
{
    uint32_t hash = 2166136261u ^ (uint32_t)kind; /* FNV-1a; the hashes are even already */

    for (int i = 0; i < 8; i++) {
        hash = (hash ^ (uint8_t) new[i]) * 16777619u;
        hash = (hash ^ (uint8_t)(*old ? old[i] : 0)) * 16777619u;
    }
    return &store->buckets[hash % KEPT_BUCKETS];
}

struct kept *kept_find(struct delta_store *store, enum kept_kind kind, const char *old, const char *new)
{
    struct kept *kept = *bucket_of(store, kind, old, new);

    while (kept && (kept->kind != kind || strcmp(kept->new, new) != 0 || strcmp(kept->old, old) != 0))
        kept = kept->next;
    return kept;
}

static void unlink_use(struct delta_store *store, struct kept *kept)
{
    *(kept->older ? &kept->older->newer : &store->oldest) = kept->newer;
    *(kept->newer ? &kept->newer->older : &store->newest) = kept->older;
    kept->older = kept->newer = NULL;
}

static void link_newest(struct delta_store *store, struct kept *kept)
{
    kept->older = store->newest;
    *(store->newest ? &store->newest->newer : &store->oldest) = kept;
    store->newest = kept;
}

static int64_t room_of(const struct kept *kept)
{
    return (kept->length / BLOCK + 1) * BLOCK;
}

void kept_use(struct delta_store *store, struct kept *kept)
{
    char name[KEPT_NAME];
    int64_t now = clock_now();

    unlink_use(store, kept);
    link_newest(store, kept);
    if (now < kept->noted_at + NOTE_S && now >= kept->noted_at)
        return;
    kept->noted_at = now;
    kept_name(kept, name);
    utimensat(store->folders[kept->kind], name, NULL, AT_SYMLINK_NOFOLLOW);
}

static void index_take_out(struct delta_store *store, struct kept *kept)
{
    struct kept **at = bucket_of(store, kept->kind, kept->old, kept->new);

    while (*at != kept)
        at = &(*at)->next;
    *at = kept->next;
    unlink_use(store, kept);
    store->bytes -= room_of(kept);
    store->counts[kept->kind]--;
    free(kept);
}

void kept_drop(struct delta_store *store, struct kept *kept)
{
    char name[KEPT_NAME];

    kept_name(kept, name);
    unlinkat(store->folders[kept->kind], name, 0);
    index_take_out(store, kept);
}

static struct kept *index_add(struct delta_store *store, const struct kept *kept)
{
    struct kept *mine = malloc(sizeof *mine);
    struct kept **bucket = bucket_of(store, kept->kind, kept->old, kept->new);

    if (!mine)
        abort();
    *mine = *kept;
    mine->next = *bucket;
    mine->older = mine->newer = NULL;
    *bucket = mine;
    link_newest(store, mine);
    store->bytes += room_of(mine);
    store->counts[mine->kind]++;
    return mine;
}

static void keep_to_quota(struct delta_store *store)
{
    while (store->oldest && store->bytes > store->quota)
        kept_drop(store, store->oldest);
}

void kept_put(struct delta_store *store, const struct kept *kept)
{
    struct kept *before = kept_find(store, kept->kind, kept->old, kept->new), fresh = *kept;
    char name[KEPT_NAME], name_before[KEPT_NAME];

    fresh.noted_at = clock_now();
    if (before) {
        fresh.asked = before->asked;
        kept_name(&fresh, name);
        kept_name(before, name_before);
        if (strcmp(name, name_before) == 0)
            index_take_out(store, before);
        else
            kept_drop(store, before);
    }
    index_add(store, &fresh);
    keep_to_quota(store);
}

void kept_free_all(struct delta_store *store)
{
    while (store->oldest)
        index_take_out(store, store->oldest);
}

/* --- the start
 * ---------------------------------------------------------------------------------------------------- */

struct found {
    struct kept kept;
    struct timespec used;
};
struct finds {
    struct found *list;
    size_t count, room;
};

static void finds_add(struct finds *finds, const struct found *found)
{
    if (finds->count == finds->room) {
        finds->room = finds->room ? 2 * finds->room : 256;
        finds->list = realloc(finds->list, finds->room * sizeof *finds->list);
        if (!finds->list)
            abort();
    }
    finds->list[finds->count++] = *found;
}

static bool objects_are_there(struct repo *repo, const struct kept *kept)
{
    struct error ignored = {0};
    int64_t length;

    return object_length(repo, kept->new, &length, &ignored) &&
           (!*kept->old || object_length(repo, kept->old, &length, &ignored));
}

/* A name that is not ours, half made or of objects that went, goes. */
static bool folder_load(struct delta_store *store, enum kept_kind kind, struct finds *finds,
                        struct error *err)
{
    int copy = openat(store->folders[kind], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *entry;

    if (!folder) {
        fd_close(&copy);
        return error_errno(err, "reading the folder of deltas");
    }
    while ((entry = readdir(folder))) {
        struct found found;
        struct stat stat;

        if (string_is(entry->d_name, ".") || string_is(entry->d_name, ".."))
            continue;
        if (!kept_read(kind, entry->d_name, &found.kept) ||
            fstatat(copy, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(stat.st_mode) ||
            (stat.st_size == 0) != (kind != KEPT_CHUNKS && !*found.kept.etag) ||
            !objects_are_there(store->repo, &found.kept)) {
            unlinkat(copy, entry->d_name, 0);
            continue;
        }
        found.kept.length = stat.st_size;
        found.kept.noted_at = stat.st_mtim.tv_sec;
        found.used = stat.st_mtim;
        finds_add(finds, &found);
    }
    closedir(folder);
    return true;
}

static int oldest_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct found *)a)->used, *y = &((const struct found *)b)->used;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* Of two deltas of one pair, which a kill between two steps leaves, the better made one stays. */
static void found_keep(struct delta_store *store, const struct kept *kept)
{
    struct kept *before = kept_find(store, kept->kind, kept->old, kept->new);
    char name[KEPT_NAME];

    if (before && before->effort > kept->effort) {
        kept_name(kept, name);
        unlinkat(store->folders[kept->kind], name, 0);
        return;
    }
    if (before)
        kept_drop(store, before);
    index_add(store, kept);
}

bool kept_load(struct delta_store *store, struct error *err)
{
    struct finds finds = {0};
    bool good = true;

    for (enum kept_kind kind = 0; kind < KEPT_KINDS && good; kind++)
        good = folder_load(store, kind, &finds, err);
    if (good && finds.count)
        qsort(finds.list, finds.count, sizeof *finds.list, oldest_first);
    for (size_t i = 0; i < finds.count && good; i++)
        found_keep(store, &finds.list[i].kept);
    free(finds.list);
    keep_to_quota(store);
    return good;
}

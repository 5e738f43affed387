#include "repo/delta_store_parts.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FOLDER "deltas"
#define SPACE_KEPT_MOST ((int64_t)256 << 20)
#define COUNT_MOST 1000000

static const char *const folders[] = {
    [KEPT_PAIR] = FOLDER "/pairs", [KEPT_WHOLE] = FOLDER "/whole", [KEPT_CHUNKS] = FOLDER "/chunks"};

static bool folders_open(struct delta_store *store, int data_dirfd, struct error *err)
{
    for (enum kept_kind kind = 0; kind < KEPT_KINDS; kind++) {
        if (!folder_make(data_dirfd, folders[kind], 0700, err))
            return false;
        store->folders[kind] = folder_open_beneath(data_dirfd, folders[kind], err);
        if (store->folders[kind] < 0)
            return false;
    }
    return true;
}

struct delta_store *delta_store_open(struct repo *repo, int data_dirfd, int64_t quota, struct error *err)
{
    struct delta_store *store = calloc(1, sizeof *store);

    if (!store)
        abort();
    store->repo = repo;
    store->quota = quota;
    for (enum kept_kind kind = 0; kind < KEPT_KINDS; kind++)
        store->folders[kind] = -1;
    pthread_mutex_init(&store->making, NULL);
    pthread_mutex_init(&store->chunks, NULL);
    pthread_mutex_init(&store->lock, NULL);
    if (!folders_open(store, data_dirfd, err) || !kept_load(store, err)) {
        delta_store_close(store);
        error_add(err, "the store of deltas");
        return NULL;
    }
    if (quota > 0)
        repo->deltas = store;
    return store;
}

void delta_store_close(struct delta_store *store)
{
    if (!store)
        return;
    store->repo->deltas = NULL;
    kept_free_all(store);
    for (enum kept_kind kind = 0; kind < KEPT_KINDS; kind++)
        fd_close(&store->folders[kind]);
    pthread_mutex_destroy(&store->making);
    pthread_mutex_destroy(&store->chunks);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

/* --- what is there
 * ------------------------------------------------------------------------------------------------ */

static struct kept *find(struct delta_store *store, const char *old, const char *new)
{
    return kept_find(store, old ? KEPT_PAIR : KEPT_WHOLE, old ? old : "", new);
}

static void known_fill(struct delta_known *known, const struct kept *kept)
{
    *known = (struct delta_known){0};
    if (!kept)
        return;
    known->tried = true;
    known->length = kept->length;
    known->effort = kept->effort;
    known->asked = kept->asked;
    strcpy(known->etag, kept->etag);
}

void delta_store_look(struct delta_store *store, const char *old, const char *new, struct delta_known *known)
{
    pthread_mutex_lock(&store->lock);
    known_fill(known, find(store, old, new));
    pthread_mutex_unlock(&store->lock);
}

static void count(struct delta_store *store, struct kept *kept)
{
    if (kept->asked < COUNT_MOST)
        kept->asked++;
    kept_use(store, kept);
}

void delta_store_count(struct delta_store *store, const char *old, const char *new)
{
    pthread_mutex_lock(&store->lock);
    struct kept *kept = find(store, old, new);
    if (kept)
        count(store, kept);
    pthread_mutex_unlock(&store->lock);
}

static int open_kept(struct delta_store *store, struct kept *kept, struct error *err)
{
    char name[KEPT_NAME];

    kept_name(kept, name);
    int fd = file_open_beneath(store->folders[kept->kind], name, O_RDONLY | O_NONBLOCK, 0, err);
    if (fd < 0 && err->kind == ERROR_MISSING)
        kept_drop(store, kept); /* somebody tidied up */
    return fd;
}

int delta_store_get(struct delta_store *store, const char *old, const char *new, struct delta_known *known,
                    struct error *err)
{
    int fd = -1;

    pthread_mutex_lock(&store->lock);
    struct kept *kept = find(store, old, new);
    known_fill(known, kept);
    if (!kept || !kept->length) {
        error_set(err, ERROR_MISSING, "there is no such delta");
    } else {
        kept_use(store, kept);
        fd = open_kept(store, kept, err);
    }
    pthread_mutex_unlock(&store->lock);
    return fd;
}

void delta_store_figures(struct delta_store *store, struct delta_figures *figures)
{
    pthread_mutex_lock(&store->lock);
    *figures = (struct delta_figures){.made = store->made,
                                      .packed = store->packed,
                                      .pairs = store->counts[KEPT_PAIR],
                                      .whole = store->counts[KEPT_WHOLE],
                                      .bytes = store->bytes};
    pthread_mutex_unlock(&store->lock);
}

/* --- files of ours, written
 * --------------------------------------------------------------------------------------- */

/* What deltas leave free: a tenth of the disk, but at most so much. */
static int64_t space_kept(int dirfd)
{
    struct statvfs disk;

    if (fstatvfs(dirfd, &disk) != 0)
        return SPACE_KEPT_MOST;
    int64_t tenth = (int64_t)(disk.f_blocks / 10) * (int64_t)disk.f_frsize;
    return tenth < SPACE_KEPT_MOST ? tenth : SPACE_KEPT_MOST;
}

bool store_space(struct delta_store *store, int64_t bytes, struct error *err)
{
    int dirfd = store->folders[KEPT_PAIR];

    return bytes <= file_space(dirfd) - space_kept(dirfd) ||
           error_set(err, ERROR_LIMIT, "the server's disk has no space for deltas of %lld more bytes",
                     (long long)bytes);
}

int store_file_new(struct delta_store *store, enum kept_kind kind, struct error *err)
{
    unlinkat(store->folders[kind], DELTA_MAKING, 0);
    return file_open_beneath(store->folders[kind], DELTA_MAKING, O_RDWR | O_CREAT | O_EXCL, 0600, err);
}

bool store_file_keep(struct delta_store *store, int fd, struct kept *kept, bool worth, struct error *err)
{
    char name[KEPT_NAME];
    int folder = store->folders[kept->kind];

    kept->length = 0;
    if (!worth && ftruncate(fd, 0) < 0)
        return error_errno(err, "keeping a delta");
    if (worth && kept->kind != KEPT_CHUNKS && !sha256_file(fd, kept->etag, &kept->length, err))
        return false;
    if (kept->kind == KEPT_CHUNKS)
        kept->length = lseek(fd, 0, SEEK_END);
    kept_name(kept, name);
    if (kept->kind != KEPT_CHUNKS && !fd_sync(fd, err))
        return false;
    pthread_mutex_lock(&store->lock);
    bool good = file_rename(folder, DELTA_MAKING, folder, name, err);
    if (good)
        kept_put(store, kept);
    pthread_mutex_unlock(&store->lock);
    return good;
}

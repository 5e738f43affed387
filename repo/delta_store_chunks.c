/* Tables of chunks in the store of deltas, and how alike two objects are by them. */
#include "repo/delta_store_parts.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE (256u << 10)

static struct delta_chunks *chunks_kept(struct delta_store *store, const char *sha256, int64_t length)
{
    struct error ignored = {0};
    char name[KEPT_NAME];
    FD(fd) = -1;

    pthread_mutex_lock(&store->lock);
    struct kept *kept = kept_find(store, KEPT_CHUNKS, "", sha256);
    if (kept) {
        kept_use(store, kept);
        kept_name(kept, name);
        fd = file_open_beneath(store->folders[KEPT_CHUNKS], name, O_RDONLY | O_NONBLOCK, 0, &ignored);
    }
    pthread_mutex_unlock(&store->lock);
    return fd < 0 ? NULL : delta_chunks_read(fd, length, &ignored);
}

/* Under `chunks`. A table that cannot be kept is made again when it is needed. */
static void chunks_write(struct delta_store *store, const char *sha256, const struct delta_chunks *chunks)
{
    struct kept kept = {.kind = KEPT_CHUNKS};
    struct error err = {0};
    size_t count;

    delta_chunks_all(chunks, &count);
    if (!store_space(store, (int64_t)count * (int64_t)sizeof(struct delta_chunk), &err))
        return;
    FD(fd) = store_file_new(store, KEPT_CHUNKS, &err);
    strcpy(kept.new, sha256);
    if (fd >= 0 && !(delta_chunks_write(chunks, fd, &err) && store_file_keep(store, fd, &kept, true, &err)))
        unlinkat(store->folders[KEPT_CHUNKS], DELTA_MAKING, 0);
}

void delta_store_keep_chunks(struct delta_store *store, const char *sha256, const struct delta_chunks *chunks)
{
    if (delta_chunks_length(chunks) < DELTA_STORE_LEAST)
        return;
    pthread_mutex_lock(&store->chunks);
    chunks_write(store, sha256, chunks);
    pthread_mutex_unlock(&store->chunks);
}

static bool feed_file(struct delta_chunks *chunks, int fd, int64_t length, const atomic_bool *cancel,
                      struct error *err)
{
    char *bytes = malloc(PIECE);
    ssize_t got = 0;
    int64_t at = 0;

    if (!bytes)
        abort();
    while (at < length && !(cancel && atomic_load(cancel)) &&
           ((got = pread(fd, bytes, PIECE, at)) > 0 || (got < 0 && errno == EINTR)))
        if (got > 0) {
            delta_chunks_feed(chunks, bytes, (size_t)got);
            at += got;
        }
    free(bytes);
    if (got < 0)
        return error_errno(err, "reading an object");
    return at == length || error_set(err, ERROR_SYSTEM, "an object was not read to its end");
}

struct delta_chunks *store_chunks(struct delta_store *store, const char *sha256, const atomic_bool *cancel,
                                  struct error *err)
{
    int64_t length;
    FD(fd) = object_open(store->repo, sha256, &length, err);

    if (fd < 0)
        return NULL;
    struct delta_chunks *chunks = chunks_kept(store, sha256, length);
    if (chunks)
        return chunks;
    chunks = delta_chunks_new();
    if (!feed_file(chunks, fd, length, cancel, err)) {
        delta_chunks_free(chunks);
        return NULL;
    }
    delta_chunks_end(chunks);
    delta_store_keep_chunks(store, sha256, chunks);
    return chunks;
}

/* --- likeness
 * ----------------------------------------------------------------------------------------------------- */

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const struct delta_chunk *)a)->hash, y = ((const struct delta_chunk *)b)->hash;

    return x < y ? -1 : x > y;
}

static int64_t shared_bytes(const struct delta_chunks *old, const struct delta_chunks *new)
{
    size_t old_count, new_count;
    const struct delta_chunk *olds = delta_chunks_all(old, &old_count),
                             *news = delta_chunks_all(new, &new_count);
    struct delta_chunk *sorted = malloc(old_count * sizeof *sorted + 1);
    int64_t bytes = 0;

    if (!sorted)
        abort();
    if (old_count) {
        memcpy(sorted, olds, old_count * sizeof *sorted);
        qsort(sorted, old_count, sizeof *sorted, by_hash);
    }
    for (size_t i = 0; i < new_count && old_count; i++)
        if (bsearch(&news[i], sorted, old_count, sizeof *sorted, by_hash))
            bytes += news[i].length;
    free(sorted);
    return bytes;
}

int64_t delta_store_alike(struct delta_store *store, const char *old, const char *new,
                          const atomic_bool *cancel)
{
    struct error ignored = {0};
    struct delta_chunks *olds = store_chunks(store, old, cancel, &ignored);
    struct delta_chunks *news = olds ? store_chunks(store, new, cancel, &ignored) : NULL;
    int64_t bytes = news ? shared_bytes(olds, news) : -1;

    delta_chunks_free(olds);
    delta_chunks_free(news);
    return bytes;
}

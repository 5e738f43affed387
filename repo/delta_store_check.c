/* Looking at a delta or a packed object that somebody doubts. */
#include "repo/delta_store_parts.h"

#include "base/file.h"
#include "base/text.h"
#include "repo/packed.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE (256u << 10)

/* What is looked at. */
struct doubt {
    struct delta_store *store;
    const char *old, *new; /* old NULL: packed */
    int64_t length;        /* of the new object */
    struct delta_known known;
};

typedef bool eats(void *context, const void *bytes, size_t size, struct error *err);

static bool feed_all(int fd, eats *eat, void *context, struct error *err)
{
    char *bytes = malloc(PIECE);
    bool good = true;
    ssize_t got = 0;

    if (!bytes)
        abort();
    for (int64_t at = 0; good && (got = pread(fd, bytes, PIECE, at)) > 0; at += got)
        good = eat(context, bytes, (size_t)got, err);
    if (good && got < 0)
        good = error_errno(err, "reading a delta");
    free(bytes);
    return good;
}

static bool eat_delta(void *context, const void *bytes, size_t size, struct error *err)
{
    return delta_apply_feed(context, bytes, size, err);
}

/* What the delta makes of the old object, in a file that goes with its descriptor. */
static bool try_delta(struct doubt *doubt, int fd, char sha256[SHA256_HEX], struct error *err)
{
    struct delta_store *store = doubt->store;
    FD(old_fd) = object_open(store->repo, doubt->old, NULL, err);

    if (old_fd < 0 || !store_space(store, doubt->length, err))
        return false;
    FD(new_fd) = store_file_new(store, KEPT_PAIR, err);
    if (new_fd < 0)
        return false;
    unlinkat(store->folders[KEPT_PAIR], DELTA_MAKING, 0);
    struct delta_apply *apply = delta_apply_open(old_fd, new_fd, doubt->length, NULL, err);
    bool good = apply && feed_all(fd, eat_delta, apply, err) && delta_apply_end(apply, sha256, err);
    delta_apply_free(apply);
    return good;
}

static bool eat_packed(void *context, const void *bytes, size_t size, struct error *err)
{
    return unpack_feed(context, bytes, size, err);
}

static bool hash_unpacked(void *context, const void *bytes, size_t size, struct error *err)
{
    (void)err;
    sha256_add(context, bytes, size);
    return true;
}

static bool try_packed(struct doubt *doubt, int fd, char sha256[SHA256_HEX], struct error *err)
{
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;

    sha256_init(&hash);
    struct unpack *unpack = unpack_open(doubt->length, hash_unpacked, &hash);
    bool good = feed_all(fd, eat_packed, unpack, err) && unpack_end(unpack, err);
    unpack_free(unpack);
    sha256_end(&hash, digest);
    hex_encode(sha256, digest, sizeof digest);
    return good;
}

/* UNTRUSTED: it is bad; other kinds: nothing is known. */
static bool look_at(struct doubt *doubt, struct error *err)
{
    char sha256[SHA256_HEX];
    int64_t size;
    FD(fd) = delta_store_get(doubt->store, doubt->old, doubt->new, &doubt->known, err);

    if (fd < 0 || !sha256_file(fd, sha256, &size, err) ||
        !object_length(doubt->store->repo, doubt->new, &doubt->length, err))
        return false;
    if (!string_is(sha256, doubt->known.etag))
        return error_set(err, ERROR_UNTRUSTED, "the kept bytes were damaged");
    doubt->known.etag[0] = '\0'; /* from here on it is how it was made */
    if (!(doubt->old ? try_delta : try_packed)(doubt, fd, sha256, err))
        return false;
    return string_is(sha256, doubt->new) || error_set(err, ERROR_UNTRUSTED, "it makes other bytes");
}

static void kept_of(const struct doubt *doubt, struct kept *kept)
{
    *kept = (struct kept){.kind = doubt->old ? KEPT_PAIR : KEPT_WHOLE, .effort = DELTA_THOROUGH};
    strcpy(kept->new, doubt->new);
    if (doubt->old)
        strcpy(kept->old, doubt->old);
}

/* Its place is taken by an empty file, so that nobody makes the same again. */
static bool never_again(struct doubt *doubt, struct error *err)
{
    struct kept kept;

    kept_of(doubt, &kept);
    FD(fd) = store_file_new(doubt->store, kept.kind, err);
    return fd >= 0 && store_file_keep(doubt->store, fd, &kept, false, err);
}

static void forget(struct doubt *doubt)
{
    struct kept like, *kept;

    kept_of(doubt, &like);
    pthread_mutex_lock(&doubt->store->lock);
    if ((kept = kept_find(doubt->store, like.kind, like.old, like.new)))
        kept_drop(doubt->store, kept);
    pthread_mutex_unlock(&doubt->store->lock);
}

bool delta_store_check(struct delta_store *store, const char *old, const char *new, bool *good,
                       struct error *err)
{
    struct doubt doubt = {.store = store, .old = old, .new = new};
    struct error found = {0};
    bool done = true;

    pthread_mutex_lock(&store->making);
    *good = look_at(&doubt, &found);
    if (*good || found.kind != ERROR_UNTRUSTED) {
        done = *good;
        *err = found;
    } else if (*doubt.known.etag) {
        forget(&doubt);
    } else {
        done = never_again(&doubt, err);
    }
    pthread_mutex_unlock(&store->making);
    return done;
}

/* Making what the store of deltas keeps: deltas and packed objects. */
#include "repo/delta_store_parts.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "repo/packed_make.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* Of what would travel else: saving less than this part of it is not worth keeping a delta. */
#define WORTH_OF 256

/* A pair while it is made. */
struct making {
    struct delta_store *store;
    struct kept kept;
    const atomic_bool *cancel;
    int old_fd, new_fd;
    int64_t old_length, new_length;
    int64_t quick; /* length of the quick delta that is there; 0: none */
};

/* Is there nothing left to do? Fills what is there. */
static bool is_made(struct making *making)
{
    struct delta_store *store = making->store;
    const struct kept *want = &making->kept;

    pthread_mutex_lock(&store->lock);
    struct kept *there = kept_find(store, want->kind, want->old, want->new);
    bool made = there && (want->kind != KEPT_PAIR || !there->length || there->effort >= want->effort);
    making->quick = there && !made ? there->length : 0;
    pthread_mutex_unlock(&store->lock);
    return made;
}

static int64_t worth(const struct making *making)
{
    struct delta_known packed;
    int64_t whole = making->new_length;

    if (making->quick)
        return making->quick - 1;
    delta_store_look(making->store, NULL, making->kept.new, &packed);
    if (packed.length)
        whole = packed.length;
    return whole - whole / WORTH_OF - 1;
}

/* The thorough way found nothing better: the quick delta stays, as the best there is. */
static bool keep_quick(struct making *making, struct error *err)
{
    struct delta_store *store = making->store;
    char before[KEPT_NAME], after[KEPT_NAME];
    bool good = true;

    pthread_mutex_lock(&store->lock);
    struct kept *there = kept_find(store, KEPT_PAIR, making->kept.old, making->kept.new);
    if (there) {
        kept_name(there, before);
        there->effort = DELTA_THOROUGH;
        kept_name(there, after);
        good = file_rename(store->folders[KEPT_PAIR], before, store->folders[KEPT_PAIR], after, err);
        if (!good)
            there->effort = DELTA_QUICK;
    }
    pthread_mutex_unlock(&store->lock);
    return good;
}

static bool make_into(struct making *making, int out_fd, struct delta_made *made, struct error *err)
{
    struct delta_store *store = making->store;
    struct delta_chunks *old = store_chunks(store, making->kept.old, making->cancel, err);
    struct delta_chunks *new = old ? store_chunks(store, making->kept.new, making->cancel, err) : NULL;
    const struct delta_make make = {.old_fd = making->old_fd,
                                    .new_fd = making->new_fd,
                                    .out_fd = out_fd,
                                    .old_sha256 = making->kept.old,
                                    .new_sha256 = making->kept.new,
                                    .effort = making->kept.effort,
                                    .old_chunks = old,
                                    .new_chunks = new,
                                    .cancel = making->cancel,
                                    .worth = worth(making)};

    bool good = new &&delta_make(&make, made, err);
    delta_chunks_free(old);
    delta_chunks_free(new);
    if (good && making->cancel && atomic_load(making->cancel))
        good = error_set(err, ERROR_SYSTEM, "making a delta was stopped");
    return good;
}

static void made_log(const struct making *making, const struct delta_made *made)
{
    log_event(LOG_INFO, "delta_made",
              "old=%.12s new=%.12s effort=%s length=%" PRId64 " whole=%" PRId64 " cpu_ms=%d%s",
              making->kept.old, making->kept.new,
              making->kept.effort == DELTA_THOROUGH ? "thorough" : "quick", made->length, making->new_length,
              (int)(made->cpu_s * 1000), made->why_not ? " worth=no" : "");
}

static bool pair_make(struct making *making, struct error *err)
{
    struct delta_store *store = making->store;
    struct delta_made made;

    if (!store_space(store, worth(making), err))
        return false;
    FD(fd) = store_file_new(store, KEPT_PAIR, err);
    if (fd < 0 || !make_into(making, fd, &made, err))
        return false;
    made_log(making, &made);
    pthread_mutex_lock(&store->lock);
    store->made++;
    pthread_mutex_unlock(&store->lock);
    if (made.why_not && making->quick)
        return keep_quick(making, err);
    return store_file_keep(store, fd, &making->kept, !made.why_not, err);
}

static bool pair_open_and_make(struct making *making, struct error *err)
{
    FD(old_fd) = object_open(making->store->repo, making->kept.old, &making->old_length, err);
    FD(new_fd) =
        old_fd < 0 ? -1 : object_open(making->store->repo, making->kept.new, &making->new_length, err);

    if (new_fd < 0)
        return false;
    making->old_fd = old_fd;
    making->new_fd = new_fd;
    bool good = pair_make(making, err);
    unlinkat(making->store->folders[KEPT_PAIR], DELTA_MAKING, 0);
    return good;
}

bool delta_store_make(struct delta_store *store, const char *old, const char *new, enum delta_effort effort,
                      const atomic_bool *cancel, struct error *err)
{
    struct making making = {.store = store, .kept = {.kind = KEPT_PAIR, .effort = effort}, .cancel = cancel};

    if (!sha256_is_hex(old) || !sha256_is_hex(new) || string_is(old, new))
        return error_set(err, ERROR_INPUT, "a delta leads from one object to another");
    strcpy(making.kept.old, old);
    strcpy(making.kept.new, new);
    pthread_mutex_lock(&store->making);
    bool good = is_made(&making) || pair_open_and_make(&making, err);
    pthread_mutex_unlock(&store->making);
    return good;
}

/* --- whole objects
 * ------------------------------------------------------------------------------------------------ */

static bool whole_pack(struct making *making, struct error *err)
{
    struct delta_store *store = making->store;
    FD(fd) = object_open(store->repo, making->kept.new, &making->new_length, err);
    int64_t length;

    if (fd < 0 || !store_space(store, making->new_length - making->new_length / 10, err))
        return false;
    FD(out_fd) = store_file_new(store, KEPT_WHOLE, err);
    if (out_fd < 0 || !packed_make(fd, making->new_length, out_fd, making->cancel, &length, err))
        return false;
    log_event(LOG_INFO, "object_packed", "object=%.12s length=%" PRId64 " whole=%" PRId64, making->kept.new,
              length, making->new_length);
    pthread_mutex_lock(&store->lock);
    store->packed++;
    pthread_mutex_unlock(&store->lock);
    return store_file_keep(store, out_fd, &making->kept, length > 0, err);
}

bool delta_store_pack(struct delta_store *store, const char *sha256, const atomic_bool *cancel,
                      struct error *err)
{
    struct making making = {.store = store, .kept = {.kind = KEPT_WHOLE}, .cancel = cancel};
    bool good = true;

    if (!sha256_is_hex(sha256))
        return error_set(err, ERROR_INPUT, "an object is named by its sha256");
    strcpy(making.kept.new, sha256);
    pthread_mutex_lock(&store->making);
    if (!is_made(&making)) {
        good = whole_pack(&making, err);
        unlinkat(store->folders[KEPT_WHOLE], DELTA_MAKING, 0);
    }
    pthread_mutex_unlock(&store->making);
    return good;
}

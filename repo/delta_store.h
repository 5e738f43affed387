/* Where derived bytes lie below --data: deltas from one object to another, packed objects, tables of chunks.
 *
 *   deltas/pairs/<old>.<new>.<quick|thorough>.<sha256 of the delta>
 *   deltas/whole/<sha256>.<sha256 of the packed bytes>
 *   deltas/chunks/<sha256>
 *
 * "none" in place of the last hash: it was tried and is not worth it. Everything here can be lost and is made
 * anew when somebody asks. All of it together keeps to a quota: what was used longest ago goes first. A name
 * is the index: the start reads names and times only. Any thread; one maker at a time. */
#ifndef REPO_DELTA_STORE_H
#define REPO_DELTA_STORE_H

#include "base/digest.h"
#include "repo/delta_make.h"
#include "repo/repo.h"

#include <stdatomic.h>

struct delta_store;

/* Opens (makes) the folder, drops what a killed maker left, what belongs to no object of `repo` any more and
 * what is beyond the quota (bytes; 0: nothing is made or kept). The repository hands it the chunks of what it
 * receives from now on; close it before the repository. */
struct delta_store *delta_store_open(struct repo *repo, int data_dirfd, int64_t quota, struct error *err);
void delta_store_close(struct delta_store *store);

/* Smaller objects travel whole: a delta would save less than it costs to ask for one. */
#define DELTA_STORE_LEAST (16 << 10)

/* What is known of a pair, or of an object when `old` is NULL. */
struct delta_known {
    bool tried;     /* false: nothing is known yet */
    int64_t length; /* of the delta, or packed; 0: not worth it */
    enum delta_effort effort;
    int64_t asked; /* how often since the start it was opened or counted */
    char etag[SHA256_HEX];
};
void delta_store_look(struct delta_store *store, const char *old, const char *new, struct delta_known *known);
/* Counts that somebody wants it, which also keeps it from going soon. */
void delta_store_count(struct delta_store *store, const char *old, const char *new);
/* Opens it for reading and marks it as used; -1 with MISSING. It may go meanwhile, the descriptor stays good.
 */
int delta_store_get(struct delta_store *store, const char *old, const char *new, struct delta_known *known,
                    struct error *err);

/* Makes it, unless it is there with that effort or better, and keeps it durably: a thorough delta takes the
 * place of a quick one at once, for those who begin then. Not worth it is no failure. LIMIT when the disk has
 * no space, MISSING when an object is not there, SYSTEM when `*cancel` became true. */
bool delta_store_make(struct delta_store *store, const char *old, const char *new, enum delta_effort effort,
                      const atomic_bool *cancel, struct error *err);
/* The same of a whole object, packed. */
bool delta_store_pack(struct delta_store *store, const char *sha256, const atomic_bool *cancel,
                      struct error *err);
/* Bytes of `new` that `old` seems to have as well, by their chunks (made where they are not kept); -1 when
 * that cannot be said. */
int64_t delta_store_alike(struct delta_store *store, const char *old, const char *new,
                          const atomic_bool *cancel);

/* Somebody says that what he got is wrong: looks at the delta's bytes and what they make of the old object. A
 * bad one goes, and one that was made wrong is not made again. `*good` is what was found. */
bool delta_store_check(struct delta_store *store, const char *old, const char *new, bool *good,
                       struct error *err);

/* The chunks of an object that was received, all of them. Failures are no matter: they are made when needed.
 */
void delta_store_keep_chunks(struct delta_store *store, const char *sha256,
                             const struct delta_chunks *chunks);

struct delta_figures {
    int64_t made, packed; /* since the start, worth it or not */
    int64_t pairs, whole; /* kept now */
    int64_t bytes;        /* of all files */
};
void delta_store_figures(struct delta_store *store, struct delta_figures *figures);

#endif

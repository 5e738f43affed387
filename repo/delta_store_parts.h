/* What the files of the store of deltas share: what is kept, by name and by last use. */
#ifndef REPO_DELTA_STORE_PARTS_H
#define REPO_DELTA_STORE_PARTS_H

#include "repo/delta_store.h"
#include "repo/store.h"

#include <pthread.h>

enum kept_kind { KEPT_PAIR, KEPT_WHOLE, KEPT_CHUNKS, KEPT_KINDS };
#define KEPT_NAME 224 /* a name in its folder: two hashes, a word, a hash */

/* A file of ours. */
struct kept {
    struct kept *next;          /* in its bucket */
    struct kept *older, *newer; /* by last use */
    enum kept_kind kind;
    enum delta_effort effort;              /* KEPT_PAIR */
    char old[SHA256_HEX], new[SHA256_HEX]; /* old: "" but of a pair */
    char etag[SHA256_HEX];                 /* "": none, not worth it */
    int64_t length, asked;
    int64_t noted_at; /* when its file was told of its use, Unix seconds */
};

#define KEPT_BUCKETS 4096
struct delta_store {
    struct repo *repo;
    int fd, folders[KEPT_KINDS];
    int64_t quota;
    pthread_mutex_t making; /* one maker; taken before `chunks` */
    pthread_mutex_t chunks; /* one writer of a table; taken before `lock` */
    pthread_mutex_t lock;   /* all below; held for memory and names of files only */
    struct kept *buckets[KEPT_BUCKETS];
    struct kept *oldest, *newest;
    int64_t bytes, counts[KEPT_KINDS];
    int64_t made, packed;
};

void kept_name(const struct kept *kept, char name[KEPT_NAME]);
/* False: no name of ours. Fills all but length. */
bool kept_read(enum kept_kind kind, const char *name, struct kept *kept);
/* Under the lock. */
struct kept *kept_find(struct delta_store *store, enum kept_kind kind, const char *old, const char *new);
void kept_use(struct delta_store *store, struct kept *kept);
/* Copies it in as the newest; what it takes the place of goes with its file, and so does what is then beyond
 * the quota. */
void kept_put(struct delta_store *store, const struct kept *kept);
void kept_drop(struct delta_store *store, struct kept *kept);
void kept_free_all(struct delta_store *store);
/* --- delta_store.c: files on their way into the store */
#define DELTA_MAKING ".making" /* one at a time in each folder; a start drops it */
bool store_space(struct delta_store *store, int64_t bytes, struct error *err);
int store_file_new(struct delta_store *store, enum kept_kind kind, struct error *err);
/* Gives what was made its name and takes it into the index; `worth` false: an empty file that says so. A name
 * promises its bytes, also after a power loss; a table of chunks is looked through when it is read. */
bool store_file_keep(struct delta_store *store, int fd, struct kept *kept, bool worth, struct error *err);
/* The chunks of an object, made (and kept) when they are not there. NULL on failure. */
struct delta_chunks *store_chunks(struct delta_store *store, const char *sha256, const atomic_bool *cancel,
                                  struct error *err);

/* Reads the folders at the start. */
bool kept_load(struct delta_store *store, struct error *err);

#endif

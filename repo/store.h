/* What the store's modules share. Private to repo/: others include repo/repo.h. */
#ifndef REPO_STORE_H
#define REPO_STORE_H

#include "repo/document.h"
#include "repo/git.h"
#include "repo/marker.h"
#include "repo/metadata.h"
#include "repo/repo.h"

#include <pthread.h>
#include <stdatomic.h>

#define NOTES_LIMIT 16384
#define TITLE_LIMIT 200
#define MANIFEST_BYTES_LIMIT (4u << 20)
#define PLAIN_LIMIT (64u << 10)
#define LISTED_NEWEST 10
#define OBJECT_LIMIT ((int64_t)1 << 40)

struct role_file;
struct delta_store;
struct repo {
    struct db *db; /* borrowed */
    int data_fd, objects_fd, uploads_fd, metadata_fd, keys_fd;
    char *git_path;
    struct gitrepo *git;     /* under `writing` */
    atomic_bool checks_stop; /* verify.c: looked at between objects */
    pthread_mutex_t writing; /* one writer at a time: git, the signed files, the index */
    repo_wanted *wanted;     /* under `writing` */
    void *wanted_context;
    repo_withheld *withheld; /* under `writing` */
    void *withheld_context;
    repo_signatures *signatures; /* under `writing` */
    void *signatures_context;
    struct role_file *roles; /* fresh.c: the signed files of main; under `writing` */
    size_t role_count;
    struct private_key snapshot_key, timestamp_key, director_key;
    struct delta_store *deltas; /* repo/delta_store.h; set while nobody else is here; NULL: none are kept */
};

/* Runs a job on a thread of its own with a stack that libgit2 can live in; with `alone`, as the one writer.
 */
typedef bool repo_job(struct repo *repo, void *context, struct error *err);
bool repo_do(struct repo *repo, bool alone, repo_job *job, void *context, struct error *err);

/* --- objects.c
 * ----------------------------------------------------------------------------------------------------- */
/* "ab/cd/<sha256>" */
#define OBJECT_PATH 80
void object_path(const char *sha256, char path[OBJECT_PATH]);
/* The length of an object; MISSING. */
bool object_length(struct repo *repo, const char *sha256, int64_t *length, struct error *err);
bool object_read(struct repo *repo, struct arena *arena, const char *sha256, size_t limit, char **bytes,
                 size_t *size, struct error *err);
/* Drops parts of uploads that nobody has gone on with for a week. */
void uploads_clean(struct repo *repo);

/* --- layout.c: a version's folder in git
 * ----------------------------------------------------------------------------- */
/* Is a file kept in git as it is, or as a Git-LFS pointer? */
bool layout_is_plain(const char *path, const void *bytes, size_t size);
void layout_pointer(struct text *out, const char *sha256, int64_t length);
/* Reads what layout_pointer wrote; false when it is no pointer. */
bool layout_pointer_read(const void *bytes, size_t size, char sha256[SHA256_HEX], int64_t *length);
/* The line of .gitattributes that takes a plain file out of lfs again. */
void layout_plain_line(struct text *out, const char *path);
#define LAYOUT_FIRST_LINE "files/** filter=lfs diff=lfs merge=lfs -text\n"

/* --- publish.c
 * ----------------------------------------------------------------------------------------------------- */
/* Looks through a version's files; MISSING when one is not there. */
bool markers_read(struct repo *repo, const struct manifest *manifest, struct marker_check *check,
                  struct error *err);

/* --- keys.c
 * -------------------------------------------------------------------------------------------------------- */
/* Loads a key, making and keeping it when it is not there and `make`. MISSING otherwise. */
bool key_load(struct repo *repo, const char *name, bool make, struct private_key *key, struct error *err);
bool key_is_here(struct repo *repo, const char *name);

/* --- sign.c: signed documents as bytes in the arena
 * ------------------------------------------------------------------ */
struct signed_file {
    char name[DELEGATION_NAME_SIZE + 8]; /* "targets.json", "assets-<product>.json", … */
    char *bytes;
    size_t size;
};
bool sign_root(struct repo *repo, struct arena *arena, int64_t now, struct signed_file *file,
               struct error *err);
/* `before`: the signed part of the targets now (NULL: none); `product` (NULL: none) is delegated to with its
 * keys where it is not yet, and its role for diagnostic images needs `signatures` (1 or 2) from now on. */
bool sign_targets(struct repo *repo, struct arena *arena, const struct json *before, const char *product,
                  int signatures, int64_t now, struct signed_file *file, struct error *err);
/* One target of a delegated file: an entry that stands already, or made from a manifest. */
struct target {
    const char *path;
    const struct json *entry; /* NULL: from the manifest */
    const struct manifest *manifest;
    char sha256[SHA256_HEX];
    size_t length;
};
/* The delegated file of a product, with `signatures` keys: the author's, and the approver's second. */
struct delegated {
    bool diagnostic;
    const char *product;
    int signatures; /* 1, for diagnostic images also 2 */
    int64_t version;
    const struct target *targets;
    size_t count;
};
bool sign_delegated(struct repo *repo, struct arena *arena, const struct delegated *delegated, int64_t now,
                    struct signed_file *file, struct error *err);

/* --- listing.c: what a delegated file lists
 * -------------------------------------------------------------------------- */
/* The signed part of metadata/<name> at a commit; MISSING. Not verified: git is ours. */
bool signed_part_read(struct repo *repo, struct arena *arena, const char *commit, const char *name,
                      const struct json **part, struct error *err);
/* How many signatures the targets (their signed part) ask for a product's diagnostic images; 1 also when
 * nobody delegated to it. */
int listing_signatures(const struct json *targets, const char *product);
/* A version that is being published. */
struct listing_added {
    const struct manifest *manifest;
    char sha256[SHA256_HEX];
    size_t length;
};
struct listing {
    const char *product;
    bool diagnostic;
    int signatures; /* with two, nothing is listed that is not already, but what was approved */
    bool needed;    /* only what is wanted stays: the second signature begins */
    const struct listing_added *added;             /* the newest version, or NULL */
    const char *approved_asset, *approved_version; /* listed in any case, or NULL */
    bool force;                                    /* sign also when the list stays as it is */
};
/* Builds and signs the delegated file of a product anew. `*changed` is false, and nothing signed, when the
 * list stays as it is and `force` is not set. CONFLICT when what was approved cannot be listed. */
bool listing_sign(struct repo *repo, struct arena *arena, const char *commit, const struct listing *listing,
                  int64_t now, struct signed_file *file, bool *changed, struct error *err);

/* --- fresh.c: copies of signed files, snapshot and timestamp in metadata/
 * --------------------------------------------- */
/* Makes metadata/ say what `commit` says; signs snapshot and timestamp when they do not match or are due at
 * `now`. */
bool fresh_publish(struct repo *repo, const char *commit, int64_t now, struct error *err);
/* A product one of whose delegated files expires before that time (Unix seconds); NULL: none. */
const char *fresh_expiring(struct repo *repo, struct arena *arena, int64_t before);

/* --- index.c: the tables of 002-repo.sql
 * ------------------------------------------------------------------------------ */
/* The commit that the index stands at; "" when it is empty. */
bool index_head(struct repo *repo, char commit[GIT_ID], struct error *err);
/* Brings tags and index to `commit`. `anew`: empties the tables first. */
bool index_follow(struct repo *repo, const char *commit, bool anew, struct error *err);

/* Signs the delegated files of a product anew before they expire. */
bool repo_renew(struct repo *repo, const char *product, struct error *err);
/* Publication's end, and start-up's repair: tags, index, metadata/ follow main. */
bool repo_catch_up(struct repo *repo, struct error *err);

#endif

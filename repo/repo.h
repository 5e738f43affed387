/* The asset repository of a console: objects, git, signed metadata, and the index of it in SQLite.
 *
 * Threads: everything here may be called from any thread. Publishing and releasing are serialised inside on
 * one writer thread of our own with a large stack (libgit2 needs 77 KB); they wait for the database's writer,
 * so never call one between db_write and db_commit. Git is the truth; the tables of 002-repo.sql are an index
 * that repo_reindex remakes. */
#ifndef REPO_REPO_H
#define REPO_REPO_H

#include "base/arena.h"
#include "base/db.h"
#include "base/error.h"
#include "repo/manifest.h"

#include <stdint.h>

struct repo;

/* Opens (makes at the first start: git repository, keys in starter mode, root 1, targets 1, empty snapshot
 * and timestamp) the repository below the data folder. Cleans stale git locks, finishes a publication whose
 * commit point was reached (tags, snapshot, timestamp, index, audit come from git), drops the rest. The
 * caller holds the instance lock. `db` is borrowed and must outlive it. */
struct repo *repo_open(int data_dirfd, const char *data_path, struct db *db, struct error *err);
void repo_close(struct repo *repo);

/* --- objects
 * ------------------------------------------------------------------------------------------------------ */
/* An object being received: hashed while it comes, kept as uploads/<sha256>.part so that a cut upload goes on
 * where it stopped. */
struct object_upload;
/* Bytes held already for this hash: the whole length and `*complete` true when the object is there. */
int64_t object_held(struct repo *repo, const char *sha256, bool *complete);
/* Goes on at `offset`, which must equal what is held (else CONFLICT naming it); one at a time per hash (else
 * CONFLICT). `total` is the whole length. */
struct object_upload *object_upload_open(struct repo *repo, const char *sha256, int64_t offset, int64_t total,
                                         struct error *err);
bool object_upload_add(struct object_upload *upload, const void *bytes, size_t size, struct error *err);
/* Keeps the part durably. When all is there: verifies the hash (UNTRUSTED and the part removed when it is
 * another), makes it an object.
 * `*complete` says which. Frees the upload. */
bool object_upload_end(struct object_upload *upload, bool *complete, struct error *err);
void object_upload_abort(struct object_upload *upload); /* keeps what came; frees; NULL is fine */
/* Opens an object for reading; -1 with MISSING. */
int object_open(struct repo *repo, const char *sha256, int64_t *size, struct error *err);
/* Small bytes at once (manifests, small files). Durable. Fills the hash. */
bool object_put(struct repo *repo, const void *bytes, size_t size, char sha256[SHA256_HEX],
                struct error *err);

/* --- publishing
 * --------------------------------------------------------------------------------------------------- */
struct publication {
    struct manifest manifest; /* has_limits may be false: limits are read from the file diagnostic.json for
                                 kind diagnostic */
    bool kind_open;           /* true: the kind of the asset, data at first, whatever manifest.kind says */
    bool counter_given;    /* false: the counter of the same version, else of the newest before, 0 at first */
    bool activation_given; /* false: the kind's default */
    bool marker_required;  /* kinds that carry markers: refuse a version none of whose files has one */
    const char *title, *notes; /* may be NULL; at most 200 and 16,384 bytes */
    const char *author;        /* the operator's name */
};
struct published {
    char manifest_sha256[SHA256_HEX];
    char commit[41];
    bool already; /* the same bytes were published under this version before: nothing was done */
};
/* One atomic act: all objects must be held; git objects; one fsynced update of main = the commit point; tag;
 * metadata. Other bytes under the same version: CONFLICT. A kind that differs from the asset's: CONFLICT. A
 * missing object: MISSING naming the first path. */
bool repo_publish(struct repo *repo, struct publication *publication, struct published *published,
                  struct error *err);

/* Which versions must stay listed in the signed metadata besides the last ten of each asset; called while
 * they are rebuilt (writer thread). */
typedef bool repo_wanted(void *context, const char *product, const char *asset, const char *version);
void repo_set_wanted(struct repo *repo, repo_wanted *wanted, void *context);
/* Which versions are never listed, wanted or not: withdrawn ones. As above. */
typedef bool repo_withheld(void *context, const char *product, const char *asset, const char *version);
void repo_set_withheld(struct repo *repo, repo_withheld *withheld, void *context);
/* How many people sign for the diagnostic images of a product: 1, or 2, an author and an approver. Asked
 * when a product gets its first version, as above; NULL: 1. */
typedef int repo_signatures(void *context, const char *product);
void repo_set_signatures(struct repo *repo, repo_signatures *signatures, void *context);
/* The same from now on for a product that has versions: targets and the list are signed anew, in one commit.
 * With 2 the list keeps what is wanted and takes in only what repo_approve names; with 1 it is open as
 * before. Nothing when it is so already. MISSING when nothing of the product was published. */
bool repo_sign_by(struct repo *repo, const char *product, int signatures, const char *author,
                  const char *reason, struct error *err);
/* How many it is now, by the index of the signed targets. */
bool repo_signed_by(struct db_conn *conn, const char *product, int *signatures, struct error *err);
/* The approver's act: lists a version of a diagnostic image, signed with all keys of its role. Nothing when
 * it is listed already. CONFLICT when it was withdrawn or is not there. */
bool repo_approve(struct repo *repo, const char *product, const char *image, const char *version,
                  const char *author, const char *reason, struct error *err);
/* Lists/unlists by `wanted` and `withheld` again and signs what changed (a release of an older version, say).
 * `reason` and `author` are the commit's. A reason that begins "release <asset> <version>", the same with "to
 * group <name>" after it, or "withdraw <asset> <version>" (also <product>/<asset>) is always committed and
 * stands in that asset's history as release, group_release, withdraw; any other only when the list changed,
 * and stands in that of all assets of the product. */
bool repo_resign(struct repo *repo, const char *product, const char *author, const char *reason,
                 struct error *err);
/* Re-signs snapshot and timestamp when they are due; from the scheduler's thread. */
bool repo_keep_fresh(struct repo *repo, struct error *err);

/* --- serving
 * ------------------------------------------------------------------------------------------------------ */
/* Metadata by the name of FORMAT.md ("timestamp.json", "3.root.json", …), newest root as "root.json".
 * MISSING. */
bool repo_metadata(struct repo *repo, struct arena *arena, const char *name, char **bytes, size_t *size,
                   struct error *err);
/* Signs an order with the director's key. */
struct order;
bool repo_order_sign(struct repo *repo, const struct order *order, struct text *out, struct error *err);
bool repo_is_starter(struct repo *repo); /* all keys lie here */

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */
struct asset_row {
    char product[NAME_SIZE], name[NAME_SIZE];
    enum asset_kind kind;
    char newest[VERSION_SIZE]; /* by publication */
    int64_t versions, published_at;
};
/* All assets of a product (NULL: all), by product and name. */
bool repo_assets(struct db_conn *conn, struct arena *arena, const char *product, struct asset_row **rows,
                 size_t *count, struct error *err);
struct version_row {
    char version[VERSION_SIZE], manifest[SHA256_HEX], commit[41];
    enum activation activation;
    int64_t counter, published_at, files, total;
    const char *author, *title, *notes, **hardware;
    const char *requires; /* JSON object */
    const char *marker;   /* "marked", "unmarked"; NULL: kinds without markers, or not known */
    bool listed;          /* in the signed metadata: devices may install it */
};
/* Versions of an asset, newest publication first. MISSING when there is no such asset. */
bool repo_versions(struct db_conn *conn, struct arena *arena, const char *product, const char *asset,
                   struct version_row **rows, size_t *count, struct error *err);
/* One version's manifest, from the object store. */
bool repo_manifest(struct repo *repo, struct db_conn *conn, struct arena *arena, const char *product,
                   const char *asset, const char *version, struct manifest *manifest, char sha256[SHA256_HEX],
                   struct error *err);
struct history_row {
    char commit[41];
    const char *author, *message; /* message: first line and notes */
    int64_t at;
    const char *what;    /* "publish" | "release" | "group_release" | "withdraw" | "list": what devices may
                            install was signed anew */
    const char *version; /* NULL for "list" */
};
/* History of one asset from git through the index, newest first. */
bool repo_history(struct db_conn *conn, struct arena *arena, const char *product, const char *asset,
                  struct history_row **rows, size_t *count, struct error *err);
/* Difference of two versions into `out` as JSON (console/API.md "difference"). Text files line by line
 * (Myers) up to 1 MiB a file; binary files as facts: lengths, hashes, first differing byte, number of
 * differing bytes when the lengths are equal. */
bool repo_difference(struct repo *repo, struct db_conn *conn, const char *product, const char *asset,
                     const char *a, const char *b, struct text *out, struct error *err);

/* --- care
 * ---------------------------------------------------------------------------------------------------------
 */
typedef void repo_report(void *context, bool good, const char *line);
/* git fsck, every pointer has its object with the right hash, every manifest matches its commit, the metadata
 * chain verifies. Reports each check; false when any failed. */
bool repo_verify(struct repo *repo, repo_report *report, void *context, struct error *err);
/* A check in flight ends soon with SYSTEM, and so does each that begins from now on: the console is stopping.
 */
void repo_stop_checks(struct repo *repo);
/* Remakes the index tables from git. */
bool repo_reindex(struct repo *repo, struct error *err);

#endif

/* TUF 1.0.31 metadata and orders: reading, checking, signing. Formats that travel: no storage here.
 * The update workflow follows "5. Detailed client workflow" of the TUF specification; the device drives it
 * with `metadata_client`. */
#ifndef REPO_METADATA_H
#define REPO_METADATA_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "base/signature.h"
#include "repo/manifest.h"

#define ROOT_LIMIT (64 << 10)
#define TIMESTAMP_LIMIT (4 << 10)
#define SNAPSHOT_LIMIT (256 << 10)
#define TARGETS_LIMIT (1 << 20)
#define DELEGATED_LIMIT (4 << 20)
#define ORDER_LIMIT (64 << 10)
#define ROOT_STEPS 32
#define REDACT_MOST 16          /* patterns of a run */
#define REDACT_PATTERN_MOST 200 /* bytes of one */
#define DELEGATION_NAME_SIZE (NAME_SIZE + 16)

/* Signs: canonical `signed` object → envelope with one signature per key. */
bool metadata_sign(const struct json *signed_part, const struct private_key *const *keys, size_t key_count,
                   struct text *envelope, struct error *err);

/* Where a client keeps and fetches what it trusts. All functions set `err`; `missing` answers are
 * ERROR_MISSING. */
struct metadata_io {
    /* Bytes of a trusted file kept from before ("root.json", "timestamp.json", "snapshot.json",
     * "targets.json", "<role>.json"). */
    bool (*load)(void *context, struct arena *arena, const char *name, size_t limit, char **bytes,
                 size_t *size, struct error *err);
    /* Keeps a verified file durably. Size 0 (timestamp.json and snapshot.json after their keys were rotated):
     * forgets it; a file of size 0 loads as none. */
    bool (*store)(void *context, const char *name, const void *bytes, size_t size, struct error *err);
    /* Fetches "<n>.root.json", "timestamp.json", "<n>.snapshot.json", …; never more than `limit` bytes. */
    bool (*fetch)(void *context, struct arena *arena, const char *name, size_t limit, char **bytes,
                  size_t *size, struct error *err);
    void *context;
};

struct metadata_target {
    char path[256];          /* "assets/<product>/<asset>/<version>" */
    char sha256[SHA256_HEX]; /* of the manifest */
    int64_t length;
    enum asset_kind kind;
    int64_t counter;
    const char **hardware;
    const struct json *custom;
};

/* A client's view after a refresh. Lives in the caller's arena. */
struct metadata_client;
/* Loads the trusted root (there must be one) and, when present and valid, the other kept files. */
struct metadata_client *metadata_open(struct arena *arena, const struct metadata_io *io, struct error *err);
/* The whole workflow: root chain, timestamp, snapshot, targets, then the delegated roles `assets-<product>`
 * and `diagnostics-<product>` where they are delegated; `now` is Unix seconds for expiry. Nothing is stored
 * before it verified. An expired, forked, older or wrongly signed file is UNTRUSTED with its name and why. */
bool metadata_refresh(struct metadata_client *client, const char *product, int64_t now, struct error *err);
/* Looks `assets/<product>/<asset>/<version>` (or `diagnostics/…` when `diagnostic`) up in verified metadata.
 * MISSING when it is not listed. */
bool metadata_target(const struct metadata_client *client, bool diagnostic, const char *product,
                     const char *asset, const char *version, struct metadata_target *target,
                     struct error *err);
/* Versions seen, for the check-in; 0 when none. Names as "root", "timestamp", "snapshot", "targets". */
int64_t metadata_version(const struct metadata_client *client, const char *role);

struct order_run {
    char id[33];
    int64_t campaign, run;
    char image[NAME_SIZE], version[VERSION_SIZE];
    const char *mode;
    int64_t duration_s, start_after, start_before, not_after, max_output; /* seconds, Unix seconds, bytes */
    const char **collect;                                                 /* NULL-terminated */
    const struct json *params;                                            /* object */
    const char **redact; /* NULL-terminated POSIX extended patterns, or NULL: none */
};
struct order {
    char device[SHA256_HEX]; /* key id */
    char product[NAME_SIZE];
    int64_t seq, issued, expires; /* Unix seconds */
    struct set_entry *set;        /* manifest hashes are empty: they come from the metadata */
    size_t set_count;
    struct order_run *runs;
    size_t run_count;
};
/* Reads and verifies an order with the director's key from verified targets metadata: signature, device,
 * product, seq > last_seq, expires > now, all grammar and ranges. UNTRUSTED or INPUT with a sentence. */
bool order_read(struct arena *arena, const struct metadata_client *client, const void *bytes, size_t size,
                const char *device, const char *product, int64_t last_seq, int64_t now, struct order *order,
                struct error *err);
/* Does a run keep within what the image's signed limits allow: mode, time, output, scopes, parameters?
 * UNTRUSTED with the first that does not. */
bool order_run_check(const struct order_run *run, const struct image_limits *limits, struct error *err);
/* Writes the signed order. */
bool order_write(const struct order *order, const struct private_key *director, struct text *out,
                 struct error *err);

#endif

/* The manifest of one version of an asset: which files, how they are taken in use, for whom. See FORMAT.md.
 */
#ifndef REPO_MANIFEST_H
#define REPO_MANIFEST_H

#include "base/arena.h"
#include "base/digest.h"
#include "base/json.h"
#include "repo/name.h"

#include <stdint.h>

enum asset_kind {
    KIND_APP,
    KIND_MODULE,
    KIND_MODEL,
    KIND_DATA,
    KIND_CONFIG,
    KIND_BOOTLOADER,
    KIND_MCU,
    KIND_DIAGNOSTIC,
    KIND_COUNT
};
const char *kind_name(enum asset_kind kind);
bool kind_from_name(const char *name, enum asset_kind *kind);

enum activation { ACTIVATION_NOTIFY, ACTIVATION_RESTART };
const char *activation_name(enum activation activation);
bool activation_from_name(const char *name, enum activation *activation);
enum activation
kind_activation(enum asset_kind kind); /* the default: restart for app and module, else notify */

struct manifest_file {
    const char *path;
    int64_t length;
    int mode; /* 0644 or 0755 */
    char sha256[SHA256_HEX];
};

/* The enforced limits of a diagnostic image, defaults filled in. */
struct image_limits {
    char **entry; /* argv, NULL-terminated; entry[0] is a path inside the image ("./run"); override: empty */
    const char *mode;                                                 /* "replace" | "beside" | "override" */
    int64_t max_runtime_s, grace_s, max_output, max_memory, max_pids; /* seconds, bytes, processes */
    const char **collect;      /* NULL-terminated: "proc", "app", "app-logs", "file:/…" */
    const char **capabilities; /* NULL-terminated: "net_raw", "syslog", "dac_read_search" */
    bool network_host;
    const struct json *outputs; /* array as declared, or NULL */
    const struct json *params;  /* object of declarations, or NULL */
    const struct json *json;    /* the whole normalised object */
};

struct manifest {
    char product[NAME_SIZE], asset[NAME_SIZE], version[VERSION_SIZE];
    enum asset_kind kind;
    enum activation activation;
    int64_t counter;
    const char **hardware; /* NULL-terminated, empty: all */
    const struct json
        *requires; /* object: asset → range of versions (repo/range.h); NULL when writing: none */
    const struct manifest_file *files;
    size_t file_count;
    int64_t total; /* bytes of all files */
    bool has_limits;
    struct image_limits limits; /* kind diagnostic only */
};

/* Reads canonical bytes; every rule of FORMAT.md is checked. The manifest lives in the arena. */
bool manifest_read(struct arena *arena, const void *bytes, size_t size, struct manifest *manifest,
                   struct error *err);
/* Writes canonical bytes of a manifest whose files may stand in any order (sorted into the arena); checks it
 * by reading it back. */
bool manifest_write(struct arena *arena, const struct manifest *manifest, struct text *out,
                    struct error *err);
/* Reads a `diagnostic.json` (strict JSON, unknown members refused), fills defaults, checks ranges. */
bool image_limits_read(struct arena *arena, const void *bytes, size_t size, struct image_limits *limits,
                       struct error *err);
/* Do a campaign's parameters keep to what the image declares under "params" (type, range)? `params` NULL is
 * fine. */
bool image_params_check(const struct image_limits *limits, const struct json *params, struct error *err);
/* True when the manifest may be installed on this hardware revision. */
bool manifest_fits_hardware(const struct manifest *manifest, const char *hardware);

/* When and how a device takes a version up, as its order says; all zero: at once. It is fetched ahead. */
#define WINDOW_SIZE 12
struct apply {
    int64_t after;            /* Unix seconds: not before */
    char window[WINDOW_SIZE]; /* "02:00-05:00" in the device's own local time, may span midnight; "": any time
                               */
    bool on_start;            /* when the agent starts the next time */
    int64_t rate;             /* bytes a second at most while fetching; 0: no limit */
};
struct set_entry {
    char asset[NAME_SIZE], version[VERSION_SIZE];
    char manifest[SHA256_HEX]; /* of manifest.json */
    struct apply apply;        /* not part of the set's digest */
};
/* "HH:MM-HH:MM", two different times: minutes of the day. `from` or `to` may be NULL. */
bool window_read(const char *text, int *from, int *to);
/* FORMAT.md "Set digest"; sorts `entries` in place. */
void set_digest(struct set_entry *entries, size_t count, char hex[SHA256_HEX]);

#endif

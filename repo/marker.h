/* The words of agent/include/locum_marker.h found again in what was built: product, asset, version. See
 * FORMAT.md "Markers". */
#ifndef REPO_MARKER_H
#define REPO_MARKER_H

#include "repo/manifest.h"

#define MARKER_BYTES (INT64_C(64) << 20) /* of a version's files that are read in search of one */

struct marker {
    char product[NAME_SIZE], asset[NAME_SIZE], version[VERSION_SIZE];
};

/* Do versions of this kind carry markers: app, module, bootloader, mcu? */
bool kind_has_marker(enum asset_kind kind);

/* Calls `each` for every marker of a file: of an ELF file those in its notes, of any other those among its
 * bytes. At most `*bytes` are read, which go down by that. Bytes that only look like a marker or a note are
 * passed over; false only when reading fails. */
typedef void marker_each(void *context, const struct marker *marker);
bool marker_find(int fd, int64_t *bytes, marker_each *each, void *context, struct error *err);

/* The version's files, one by one. */
struct marker_check {
    const struct manifest *manifest;
    int64_t left; /* bytes that may still be read */
    bool marked;  /* one says exactly what the manifest says */
    bool has_other;
    struct marker other; /* the first that says something else: of this asset, rather than of any */
};
void marker_check_init(struct marker_check *check, const struct manifest *manifest);
bool marker_check_file(struct marker_check *check, int fd, struct error *err);
/* INPUT when a binary says that it is another version of this asset, or only that it is another asset, with
 * both values; or when none says anything and `required`. */
bool marker_check_end(const struct marker_check *check, bool required, struct error *err);

#endif

/* Sets and versions on the disk: which versions a generation consists of, folders of hard links, the link
 * `current`.
 *
 *   versions/<asset>/<version>/…   hard links of objects
 *   sets/<n>/<asset>               -> ../../versions/<asset>/<version>
 *   sets/<n>.json {"generation","digest","assets":[{"asset","version","manifest","counter","restart"}]}
 *   current                        -> sets/<n>, replaced by one rename
 *
 * A version counts as installed once manifests/<asset>@<version> names its manifest, which is written last.
 */
#ifndef AGENT_SET_H
#define AGENT_SET_H

#include "base/arena.h"
#include "base/error.h"
#include "repo/manifest.h"

#include <stdbool.h>
#include <stdint.h>

#define SET_PATH_SIZE 64 /* "sets/<n>.json" */

struct member {
    struct set_entry entry;
    int64_t counter;
    bool restart; /* its activation */
};
struct set {
    int64_t generation; /* 0: the empty set of the factory */
    char digest[SHA256_HEX];
    struct member *members; /* sorted by asset */
    size_t count;
};

/* Makes the folders, sets/0 and `current` when they are missing. */
bool set_prepare(int state_fd, struct error *err);
/* The generation that `current` leads to; -1 and `err`. */
int64_t set_current(int state_fd, struct error *err);
bool set_load(struct arena *arena, int state_fd, int64_t generation, struct set *set, struct error *err);
/* Sorts the members and fills the digest. */
void set_seal(struct arena *arena, struct set *set);
const struct member *set_find(const struct set *set, const char *asset);

/* Makes sets/<generation> and its file, durable; what an earlier attempt left is replaced. */
bool set_build(int state_fd, const struct set *set, struct error *err);
/* `current` leads to the generation when this returns; durable. */
bool set_flip(int state_fd, int64_t generation, struct error *err);
/* Removes sets/<generation>. */
bool set_remove(int state_fd, int64_t generation, struct error *err);

/* True when the version is whole and of this manifest. */
bool version_is_installed(int state_fd, const struct set_entry *entry);
/* The SHA-256 of the manifest that is installed under this name and number; false when there is none. */
bool version_manifest(int state_fd, const char *asset, const char *version, char sha256[SHA256_HEX]);
/* Builds the folder from objects that are all there, durable. */
bool version_build(int state_fd, const struct manifest *manifest, const char *manifest_sha256,
                   struct error *err);
/* Marks the version as used now, for versions.keep. */
void version_touch(int state_fd, const char *asset, const char *version);
bool version_remove(int state_fd, const char *asset, const char *version, struct error *err);

#endif

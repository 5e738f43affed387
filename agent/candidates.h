/* Files that the device has, as what a delta could be applied to. Looked through once for a version that is
 * fetched, and only when a file of it is lacking. */
#ifndef AGENT_CANDIDATES_H
#define AGENT_CANDIDATES_H

#include "agent/protocol.h"
#include "base/arena.h"
#include "repo/manifest.h"

struct candidate;
struct candidates {
    struct arena arena;
    bool looked;
    struct candidate *list;
    size_t count;
};
/* All zero to begin with; ends with this. */
void candidates_end(struct candidates *candidates);

/* The likeliest first: the file's path in versions of its asset, the last used first; in other assets; files
 * of the asset at most twice as long or short. Objects that are there. Returns how many. */
size_t candidates_find(struct candidates *candidates, int state_fd, const char *asset,
                       const struct manifest_file *file, char olds[DELTA_CANDIDATES][SHA256_HEX]);
/* Opens the object under either of its names; -1 with MISSING. */
int candidate_open(int objects, const char *sha256, struct error *err);

#endif

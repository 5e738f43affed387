/* What this device is to be: an order that was verified, with what the signed metadata say about each version
 * it names.
 *
 * Made from an order once; kept in wish.json, so that after a restart it counts without the console and
 * without looking at freshness again. */
#ifndef AGENT_WISH_H
#define AGENT_WISH_H

#include "base/arena.h"
#include "base/error.h"
#include "repo/metadata.h"

/* One version that the order names. `refused` is NULL, or why it cannot be had: then only asset and version
 * are set. */
struct wish_version {
    struct set_entry entry; /* asset, version, SHA-256 of the manifest */
    int64_t length;         /* of the manifest */
    int64_t counter;
    enum asset_kind kind;
    const char *refused;
    int64_t accepted_start; /* entry.apply.on_start: the agent's start that accepted it first; else 0 */
};
struct wish_run {
    struct order_run order;
    struct wish_version image;
    const struct json *limits; /* of the signed target; NULL when refused */
};
struct wish {
    int64_t seq, issued; /* Unix seconds */
    struct wish_version *set;
    size_t set_count;
    struct wish_run *runs;
    size_t run_count;
};

/* Looks every version of a verified order up in verified metadata. Everything lives in `arena`. */
void wish_from_order(struct arena *arena, const struct order *order, const struct metadata_client *client,
                     struct wish *wish);
/* MISSING when there is none yet. */
bool wish_load(struct arena *arena, int state_fd, struct wish *wish, struct error *err);
bool wish_save(int state_fd, const struct wish *wish, struct error *err);
/* Versions that wait for a start of the agent wait for one after `start`; what `before` (NULL: none) already
 * waits for keeps its own: an order that only says it again does not put it off. */
void wish_accept(struct wish *wish, const struct wish *before, int64_t start);
/* What the wish says about this asset; NULL: nothing. */
const struct wish_version *wish_find(const struct wish *wish, const char *asset);
/* The run of this id; NULL when there is none. */
const struct wish_run *wish_run_find(const struct wish *wish, const char *id);

#endif

/* The wish for one device: which version of each asset it should run, and why that one.
 *
 * Written once, here and in LIFECYCLE.md: a pin wins; else a development device keeps what it had; else a
 * rollout's decision, unless a release of the same asset is newer; else the newest release of the groups that
 * the device is in; else the product's release. Then whole sets are made that fit (`requires`, hardware,
 * withdrawn versions). */
#ifndef CONSOLE_DELIVERY_WISH_H
#define CONSOLE_DELIVERY_WISH_H

#include "base/arena.h"
#include "base/db.h"
#include "base/error.h"
#include "base/json.h"
#include "repo/manifest.h"

#include <stdint.h>

/* What is asked for: lives as long as the caller's arena. */
struct wish_device {
    int64_t id;
    const char *product, *hardware; /* hardware "": none */
    bool development;
    const struct set_entry *running; /* what it runs now, by its own words; sorted by asset */
    size_t running_count;
    const char *const *refusals; /* for "why" only, as long as `running`: a wanted version of that asset
                                    failed, and why; NULL: none. May be NULL altogether */
    const char *waiting;         /* for "why" only: why it takes nothing at all just now; NULL: nothing */
};
/* The set of a device, sorted by asset, at most 256, with how each entry is to be taken up. Manifest hashes
 * stay empty. In the arena. */
bool wish_make(struct db_conn *conn, struct arena *arena, const struct wish_device *device,
               struct set_entry **set, size_t *count, struct error *err);
/* The same for many devices: what they have in common is read and thought over once. The batch lives in the
 * arena and sees the database as it was when `conn` began to read. */
struct wish_batch;
struct wish_batch *wish_batch(struct db_conn *conn, struct arena *arena);
bool wish_make_next(struct wish_batch *batch, const struct wish_device *device, struct set_entry **set,
                    size_t *count, struct error *err);
/* API.md "why": the same thinking, written down as values inside an open array. */
bool wish_write_why(struct db_conn *conn, const struct wish_device *device, struct json_writer *writer,
                    struct error *err);

#endif

/* Releases: the version of each asset that the devices of a product should run. */
#ifndef CONSOLE_DELIVERY_RELEASE_H
#define CONSOLE_DELIVERY_RELEASE_H

#include "base/arena.h"
#include "base/db.h"
#include "base/error.h"
#include "base/json.h"
#include "repo/manifest.h"

#include <stdint.h>

struct console;

/* Sets the wanted version for all devices of the product: they run it from their next check-in on. The
 * version stays listed in the signed metadata. Audited, told to browsers. The same release again changes
 * nothing. `devices`: how many it is for. MISSING when there is no such version, INPUT for a diagnostic
 * image, which is never released. Call it without a database connection in hand. */
bool release_set(struct console *console, const char *product, const char *asset, const char *version,
                 const char *operator_name, int64_t *devices, struct error *err);
/* At start-up, before the fleet opens: a release that was cut off between announcement and end counts when
 * git has its commit, else it never was. */
bool release_recover(struct db_conn *conn, struct error *err);
/* The released version, in the arena; NULL when there is none (or on failure: `err` is set then). */
const char *release_version(struct db_conn *conn, struct arena *arena, const char *product, const char *asset,
                            struct error *err);
/* The set of a device of this product and hardware ("": none): every released version that fits it, sorted by
 * asset. Manifest hashes stay empty. */
bool release_list(struct db_conn *conn, struct arena *arena, const char *product, const char *hardware,
                  struct set_entry **set, size_t *count, struct error *err);
/* Writes the member "unfit": {"<asset>": {"version", "hardware": [revisions]}} of the releases that do not
 * fit this hardware, so that a page can say why the device does not get them. */
bool release_write_unfit(struct db_conn *conn, const char *product, const char *hardware,
                         struct json_writer *writer, struct error *err);
/* repo_wanted: released, about to be, or needed by a campaign that is not over. `context` is the console. */
bool release_wanted(void *context, const char *product, const char *asset, const char *version);

#endif

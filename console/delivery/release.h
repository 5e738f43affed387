/* Releases: the version of each asset that the devices of a product, or of a group, should run. */
#ifndef CONSOLE_DELIVERY_RELEASE_H
#define CONSOLE_DELIVERY_RELEASE_H

#include "base/arena.h"
#include "base/db.h"
#include "base/error.h"
#include "base/json.h"
#include "repo/manifest.h"

#include <stdint.h>

struct console;

struct release_request {
    const char *product, *asset, *version;
    const char *group; /* NULL: all devices of the product */
    const char *operator_name;
    const char *reason; /* one line; NULL: none given */
    bool force;         /* also when the version is not proven on as many devices as the product asks for */
};
struct released {
    int64_t devices; /* that it is for */
    bool unproven;   /* refused for that reason alone: a person may pin it to a test device first, or force */
};
/* Sets the wanted version for all devices of the product, or those of the product that are in the group: they
 * run it from their next check-in on. The version stays listed in the signed metadata. Audited, told to
 * browsers. The same release again changes nothing. MISSING when there is no such version or group; INPUT for
 * a diagnostic image, which is never released, for a group whose filter does not last, for force without a
 * reason; CONFLICT for a version that was withdrawn or is not proven. Call it without a database connection
 * in hand. */
bool release_make(struct console *console, const struct release_request *request, struct released *released,
                  struct error *err);
/* The same for a whole product, without force. */
bool release_set(struct console *console, const char *product, const char *asset, const char *version,
                 const char *operator_name, int64_t *devices, struct error *err);
/* Ends a group's release: the product's holds again for its devices. Audited. MISSING when none stands there.
 */
bool release_end(struct console *console, const char *product, const char *asset, const char *group,
                 const char *operator_name, struct error *err);
/* At start-up, before the fleet opens: a release that was cut off between announcement and end counts when
 * git has its commit, else it never was. */
bool release_recover(struct db_conn *conn, struct error *err);
/* The released version, in the arena; NULL when there is none (or on failure: `err` is set then). */
const char *release_version(struct db_conn *conn, struct arena *arena, const char *product, const char *asset,
                            struct error *err);
/* The member "releases": the product's (group null), then the groups' by name. */
bool releases_write(struct db_conn *conn, const char *product, const char *asset, struct json_writer *writer,
                    struct error *err);
/* Writes the member "unfit": {"<asset>": {"version", "hardware": [revisions]}} of the releases that do not
 * fit this hardware, so that a page can say why the device does not get them. */
bool release_write_unfit(struct db_conn *conn, const char *product, const char *hardware,
                         struct json_writer *writer, struct error *err);
/* repo_wanted: released to a product or group, pinned, kept, decided by a rollout, or about to be; or needed
 * by a campaign that is not over. Withdrawn versions are withheld all the same (withdraw.h). `context` is the
 * console. */
bool release_wanted(void *context, const char *product, const char *asset, const char *version);

#endif

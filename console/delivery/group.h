/* Groups of devices: fixed (named one by one) or by a filter, which is followed as devices change.
 *
 * Who is in a group stands in device_group_member and, for filters and pages, in the fleet's memory. A device
 * may be in many groups, of any product. One lock (`grouping`, in the fleet, taken before the database's
 * writer) serialises all changes. Devices that were rejected or retired are in no group. */
#ifndef CONSOLE_DELIVERY_GROUP_H
#define CONSOLE_DELIVERY_GROUP_H

#include "base/arena.h"
#include "base/db.h"
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct console;
struct fleet;

#define GROUPS_MOST 1000         /* in a console */
#define GROUP_DEVICES_MOST 50000 /* that can be named one by one */

/* --- reading, for releases, rollouts, campaigns
 * ------------------------------------------------------------------------------- */
struct group {
    int64_t id;
    char *filter; /* in the arena; NULL: a fixed group */
};
/* MISSING names it. */
bool group_find(struct db_conn *conn, struct arena *arena, const char *name, struct group *group,
                struct error *err);
/* The row ids of its members that are pending or accepted, rising, in the arena. */
bool group_members(struct db_conn *conn, struct arena *arena, int64_t group_id, int64_t **ids, size_t *count,
                   struct error *err);
/* The names of the groups that a device is in, sorted, in the arena. */
bool group_names_of(struct db_conn *conn, struct arena *arena, int64_t device_id, const char ***names,
                    size_t *count, struct error *err);
/* Refuses (INPUT, a sentence) a group whose filter names what does not last by itself: connectivity, seen,
 * image, an asset's version. A release or a rollout on such a group would come and go with the weather. */
bool group_lasts(const char *name, const struct group *group, struct error *err);

/* --- what people do
 * ----------------------------------------------------------------------------------------------- */
/* What a group is to be: a filter, or devices. */
struct group_wish {
    const char *filter;         /* NULL: fixed */
    const struct json *devices; /* array of names; NULL: by filter */
    int64_t expect_count;       /* members that the caller saw; another number is a CONFLICT; -1: any */
};
bool group_create(struct console *console, const char *name, const struct group_wish *wish,
                  const char *operator_name, struct error *err);
bool group_change(struct console *console, const char *name, const struct group_wish *wish,
                  const char *operator_name, struct error *err);
/* CONFLICT while a release stands on it or a rollout runs for it, unless `force`: then its releases end. */
bool group_delete(struct console *console, const char *name, bool force, const char *operator_name,
                  struct error *err);
/* API.md "group", closed by the caller; with `members` up to 1,000 names. */
bool group_write(struct console *console, struct db_conn *conn, const char *name, bool members,
                 struct json_writer *writer, struct error *err);
/* All of them by name, as elements of an open array. */
bool group_write_all(struct console *console, struct db_conn *conn, struct json_writer *writer,
                     struct error *err);
/* What saving would change: "added" and "removed", each with count and samples, of a group that has `ids`
 * afterwards. */
bool group_write_difference(struct console *console, struct db_conn *conn, const char *name,
                            const int64_t *ids, size_t count, struct json_writer *writer, struct error *err);

/* The wish of its members of this product may have changed. Returns how many devices that is; takes the
 * fleet's lock. */
int64_t group_wish_changed(struct fleet *fleet, int64_t group_id, const char *product);

/* --- following
 * ------------------------------------------------------------------------------------------------------ */
/* Scheduler step, every second: looks at some devices after those of the step before, in slices under the
 * fleet's lock, about 12 ms in all, and writes who joined or left groups by filter: 500 at most, the others
 * in the step that then follows soon. Devices whose group has a release get their wish thought over. */
bool group_step(struct console *console, struct error *err);
/* Groups and members into the fleet's memory, before anyone else has it; and away again. */
bool group_load(struct fleet *fleet, struct db_conn *conn, struct error *err);
void group_unload(struct fleet *fleet);

#endif

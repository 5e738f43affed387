/* What the files of groups share. */
#ifndef CONSOLE_DELIVERY_GROUP_PARTS_H
#define CONSOLE_DELIVERY_GROUP_PARTS_H

#include "console/delivery/group.h"
#include "console/fleet_parts.h"

/* Someone who joins or leaves a group. */
struct membership {
    int64_t device_id;
    bool joins;
};

/* All below need `grouping`, and take the fleet's lock themselves. */
/* The group as it is in memory; NULL. Also fine with the fleet's lock alone. */
struct fleet_group *fleet_group_find(const struct fleet *fleet, const char *name);
void fleet_group_add(struct fleet *fleet, int64_t id, const char *name, const char *filter);
/* Replaces the filter; NULL: fixed from now on. */
void fleet_group_filter(struct fleet *fleet, struct fleet_group *group, const char *filter);
/* Takes it from its members and frees it; with `stale` their wishes are thought over. */
void fleet_group_remove(struct fleet *fleet, struct fleet_group *group, bool stale);
/* Memory follows the database: who joined and left. With `stale` their wishes are thought over. */
void fleet_group_apply(struct fleet *fleet, struct fleet_group *group, const struct membership *changes,
                       size_t count, bool stale);

/* The same in the database, inside the caller's transaction. */
bool membership_write(struct db_conn *conn, int64_t group_id, const struct membership *changes, size_t count,
                      struct error *err);
/* Does a release stand on the group? */
bool group_has_release(struct db_conn *conn, int64_t group_id, bool *has, struct error *err);

#endif

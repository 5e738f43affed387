#include "console/delivery/group_parts.h"

#include "base/clock.h"
#include "base/text.h"
#include "console/audit.h"
#include "console/console.h"
#include "console/events.h"
#include "console/filter.h"

#include <stdlib.h>
#include <string.h>

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */

bool group_find(struct db_conn *conn, struct arena *arena, const char *name, struct group *group,
                struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT id, filter FROM device_group WHERE name = :name");
    bool found = false;

    db_bind_text(query, ":name", name);
    if ((found = db_step(query)))
        *group = (struct group){.id = db_integer(query, 0), .filter = db_text_copy(query, 1, arena)};
    return db_end(query, err) && (found || error_set(err, ERROR_MISSING, "there is no group %.64s", name));
}

/* Room grows with what comes. */
static void id_put(struct arena *arena, int64_t **ids, size_t *count, size_t *room, int64_t id)
{
    if (*count == *room) {
        int64_t *grown = arena_array(arena, *room = *room ? 2 * *room : 64, sizeof *grown);

        if (*count)
            memcpy(grown, *ids, *count * sizeof *grown);
        *ids = grown;
    }
    (*ids)[(*count)++] = id;
}

bool group_members(struct db_conn *conn, struct arena *arena, int64_t group_id, int64_t **ids, size_t *count,
                   struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT m.device_id FROM device_group_member m JOIN device d ON d.id = m.device_id"
                       " WHERE m.group_id = :group AND d.admission IN ('pending', 'accepted')"
                       " ORDER BY m.device_id");
    size_t room = 0;

    db_bind_integer(query, ":group", group_id);
    *ids = arena_array(arena, 1, sizeof **ids);
    *count = 0;
    while (db_step(query))
        id_put(arena, ids, count, &room, db_integer(query, 0));
    return db_end(query, err);
}

bool group_names_of(struct db_conn *conn, struct arena *arena, int64_t device_id, const char ***names,
                    size_t *count, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT g.name FROM device_group_member m JOIN device_group g ON g.id = m.group_id"
                       " WHERE m.device_id = :device ORDER BY g.name");

    db_bind_integer(query, ":device", device_id);
    *names = arena_array(arena, GROUPS_MOST, sizeof **names);
    *count = 0;
    while (*count < GROUPS_MOST && db_step(query))
        (*names)[(*count)++] = db_text_copy(query, 0, arena);
    return db_end(query, err);
}

bool group_lasts(const char *name, const struct group *group, struct error *err)
{
    ARENA(arena);
    const struct filter *filter = group->filter ? filter_compile(&arena, group->filter, err) : NULL;

    if (!group->filter)
        return true;
    if (!filter)
        return error_add(err, "the group %s", name);
    const char *field = filter_passing(filter);
    return !field || error_set(err, ERROR_INPUT,
                               "the group %s goes by \"%.64s\", which comes and goes by itself: devices would"
                               " swap back and forth. Take a group by name, product, hardware or tag",
                               name, field);
}

/* --- who is to be in it
 * ---------------------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

struct members {
    int64_t *ids; /* rising */
    size_t count;
};

static bool members_named(struct fleet *fleet, struct arena *arena, const struct json *names,
                          struct members *members, struct error *err)
{
    if (names->size > GROUP_DEVICES_MOST)
        return error_set(err, ERROR_LIMIT, "a group has at most %d devices named one by one: take a filter",
                         GROUP_DEVICES_MOST);
    members->ids = arena_array(arena, names->size + 1, sizeof *members->ids);
    fleet_lock(fleet);
    for (const struct json *name = names->first; name; name = name->next) {
        const struct device *device = name->type == JSON_STRING ? fleet_by_name(fleet, name->string) : NULL;

        if (!device) {
            fleet_unlock(fleet);
            return name->type != JSON_STRING
                       ? error_set(err, ERROR_INPUT, "a device is named by a string")
                       : error_set(err, ERROR_MISSING, "there is no device %.64s", name->string);
        }
        members->ids[members->count++] = device->id;
    }
    fleet_unlock(fleet);
    return true;
}

static bool members_matching(struct fleet *fleet, struct arena *arena, const char *text,
                             struct members *members, struct error *err)
{
    const struct filter *filter = filter_compile(arena, text, err);

    if (!filter)
        return false;
    if (filter_asks_group(filter))
        return error_set(err, ERROR_INPUT, "a group's filter cannot ask for groups");
    members->ids = filter_choose(filter, fleet, arena, false, &members->count);
    return true;
}

static bool members_choose(struct fleet *fleet, struct arena *arena, const struct group_wish *wish,
                           struct members *members, struct error *err)
{
    *members = (struct members){0};
    if (!wish->filter == !wish->devices)
        return error_set(err, ERROR_INPUT, "a group takes either \"filter\" or \"devices\"");
    if (wish->filter ? !members_matching(fleet, arena, wish->filter, members, err)
                     : !members_named(fleet, arena, wish->devices, members, err))
        return false;
    qsort(members->ids, members->count, sizeof *members->ids, by_id);
    size_t kept = 0;
    for (size_t i = 0; i < members->count; i++)
        if (!kept || members->ids[kept - 1] != members->ids[i])
            members->ids[kept++] = members->ids[i];
    members->count = kept;
    return wish->expect_count < 0 || wish->expect_count == (int64_t)kept ||
           error_set(err, ERROR_CONFLICT, "the group would have %zu devices now, not %lld", kept,
                     (long long)wish->expect_count);
}

/* Who joins and who leaves, from what stands in the database. */
static bool members_compare(struct db_conn *conn, struct arena *arena, int64_t group_id,
                            const struct members *after, struct membership **changes, size_t *count,
                            struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT device_id FROM device_group_member WHERE group_id = :group ORDER BY device_id");
    struct members before = {0};
    size_t room = 0;

    db_bind_integer(query, ":group", group_id);
    while (db_step(query))
        id_put(arena, &before.ids, &before.count, &room, db_integer(query, 0));
    if (!db_end(query, err))
        return false;
    *changes = arena_array(arena, before.count + after->count, sizeof **changes);
    *count = 0;
    for (size_t b = 0, a = 0; b < before.count || a < after->count;) {
        if (a == after->count || (b < before.count && before.ids[b] < after->ids[a]))
            (*changes)[(*count)++] = (struct membership){before.ids[b++], false};
        else if (b == before.count || after->ids[a] < before.ids[b])
            (*changes)[(*count)++] = (struct membership){after->ids[a++], true};
        else
            a++, b++;
    }
    return true;
}

/* --- making, changing, deleting
 * ------------------------------------------------------------------------------------- */

/* One change of a group, from the request to memory. */
struct act {
    const char *name, *operator_name;
    const struct group_wish *wish;
    struct arena *arena;
    struct members members;
    struct group group;
    struct membership *changes;
    size_t count;
    bool has_release, force;
};

static bool act_audit(struct db_conn *conn, const struct act *act, const char *action, struct error *err)
{
    const char *object = arena_printf(act->arena, "group %s", act->name);
    const char *detail = act->wish->filter
                             ? arena_printf(act->arena, "%zu devices by filter: %s", act->members.count,
                                            *act->wish->filter ? act->wish->filter : "(all)")
                             : arena_printf(act->arena, "%zu devices", act->members.count);

    return audit_add(conn, act->operator_name, action, object, detail, err);
}

static bool room_check(struct db_conn *conn, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT count(*) FROM device_group");
    int64_t count = 0;

    if (db_step(query))
        count = db_integer(query, 0);
    return db_end(query, err) &&
           (count < GROUPS_MOST || error_set(err, ERROR_LIMIT, "there are %d groups already", GROUPS_MOST));
}

static bool create_store(struct db_conn *conn, struct act *act, struct error *err)
{
    struct error ignored;

    if (group_find(conn, act->arena, act->name, &act->group, &ignored))
        return error_set(err, ERROR_CONFLICT, "there is a group %s already", act->name);
    if (!room_check(conn, err))
        return false;
    struct db_query *query = db_query(conn, "INSERT INTO device_group (name, filter, created_by, created_at)"
                                            " VALUES (:name, :filter, :by, :at)");
    db_bind_text(query, ":name", act->name);
    db_bind_text(query, ":filter", act->wish->filter);
    db_bind_text(query, ":by", act->operator_name);
    db_bind_integer(query, ":at", clock_now());
    if (!db_run(query, NULL, err))
        return false;
    act->group.id = db_last_id(conn);
    return members_compare(conn, act->arena, act->group.id, &act->members, &act->changes, &act->count, err) &&
           membership_write(conn, act->group.id, act->changes, act->count, err) &&
           act_audit(conn, act, "create", err);
}

static bool change_store(struct db_conn *conn, struct act *act, struct error *err)
{
    const struct group after = {.filter = (char *)act->wish->filter};

    if (!group_find(conn, act->arena, act->name, &act->group, err) ||
        !group_has_release(conn, act->group.id, &act->has_release, err) ||
        (act->has_release && !group_lasts(act->name, &after, err)))
        return false;
    struct db_query *query = db_query(conn, "UPDATE device_group SET filter = :filter WHERE id = :id");
    db_bind_text(query, ":filter", act->wish->filter);
    db_bind_integer(query, ":id", act->group.id);
    return db_run(query, NULL, err) &&
           members_compare(conn, act->arena, act->group.id, &act->members, &act->changes, &act->count, err) &&
           membership_write(conn, act->group.id, act->changes, act->count, err) &&
           act_audit(conn, act, "change", err);
}

static bool rollouts_check(struct db_conn *conn, const struct act *act, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT id FROM rollout WHERE group_name = :name"
                       " AND state NOT IN ('completed', 'aborted', 'rolled_back') ORDER BY id LIMIT 1");
    int64_t id = 0;

    db_bind_text(query, ":name", act->name);
    if (db_step(query))
        id = db_integer(query, 0);
    return db_end(query, err) &&
           (!id ||
            error_set(err, ERROR_CONFLICT, "rollout %lld goes to the group %s: abort it first, or force",
                      (long long)id, act->name));
}

static bool delete_store(struct db_conn *conn, struct act *act, struct error *err)
{
    if (!group_find(conn, act->arena, act->name, &act->group, err) ||
        !group_has_release(conn, act->group.id, &act->has_release, err))
        return false;
    if (!act->force && act->has_release)
        return error_set(
            err, ERROR_CONFLICT,
            "a release stands on the group %s: end it first, or force and it ends with the group", act->name);
    if (!act->force && !rollouts_check(conn, act, err))
        return false;
    struct db_query *query =
        db_query(conn, "DELETE FROM device_group WHERE id = :id"); /* and what cascades */
    db_bind_integer(query, ":id", act->group.id);
    return db_run(query, NULL, err) &&
           audit_add(conn, act->operator_name, "delete", arena_printf(act->arena, "group %s", act->name),
                     act->has_release ? "its releases ended" : NULL, err);
}

typedef bool act_store(struct db_conn *conn, struct act *act, struct error *err);

static bool act_commit(struct console *console, act_store *store, struct act *act, struct error *err)
{
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    if (!store(conn, act, err)) {
        db_done(conn);
        return false;
    }
    return db_commit(conn, err);
}

/* Memory follows the database. */
static void act_apply(struct fleet *fleet, const struct act *act, act_store *store)
{
    struct fleet_group *group = fleet_group_find(fleet, act->name);

    if (store == delete_store) {
        fleet_group_remove(fleet, group, act->has_release);
        return;
    }
    if (store == create_store) {
        fleet_group_add(fleet, act->group.id, act->name, act->wish->filter);
        group = fleet_group_find(fleet, act->name);
    } else
        fleet_group_filter(fleet, group, act->wish->filter);
    fleet_group_apply(fleet, group, act->changes, act->count, act->has_release);
}

static bool act_do(struct console *console, act_store *store, struct act *act, struct error *err)
{
    struct fleet *fleet = console->fleet;
    ARENA(arena);

    act->arena = &arena;
    if (!name_check("group", act->name, err))
        return false;
    if (!strcmp(act->name, "none"))
        return error_set(err, ERROR_INPUT, "\"none\" is what the filter calls devices without a group");
    pthread_mutex_lock(&fleet->grouping);
    bool good = (!act->wish || members_choose(fleet, &arena, act->wish, &act->members, err)) &&
                act_commit(console, store, act, err);
    if (good)
        act_apply(fleet, act, store);
    pthread_mutex_unlock(&fleet->grouping);
    if (good)
        events_send(console->events, "group", "{\"name\":\"%s\"}", act->name);
    return good;
}

bool group_create(struct console *console, const char *name, const struct group_wish *wish,
                  const char *operator_name, struct error *err)
{
    struct act act = {.name = name, .wish = wish, .operator_name = operator_name};

    return act_do(console, create_store, &act, err);
}

bool group_change(struct console *console, const char *name, const struct group_wish *wish,
                  const char *operator_name, struct error *err)
{
    struct act act = {.name = name, .wish = wish, .operator_name = operator_name};

    return act_do(console, change_store, &act, err);
}

bool group_delete(struct console *console, const char *name, bool force, const char *operator_name,
                  struct error *err)
{
    struct act act = {.name = name, .force = force, .operator_name = operator_name};

    return act_do(console, delete_store, &act, err);
}

/* Who is in which group, in memory; and groups by filter, which follow their devices. */
#include "console/delivery/group_parts.h"

#include "base/clock.h"
#include "console/console.h"
#include "console/events.h"
#include "console/filter.h"

#include <stdlib.h>
#include <string.h>

#define STEP_MS 12        /* that a step looks at devices */
#define STEP_CHANGES 500  /* that a step writes at most */
#define SLICE_LOOKS 20000 /* filters asked while the lock is held: about 2 ms */
#define APPLY_SLICE 2000  /* devices changed while the lock is held */

/* --- groups in memory
 * ------------------------------------------------------------------------------------------------ */

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static size_t place_of(const struct fleet *fleet, const char *name)
{
    size_t low = 0, high = fleet->group_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(fleet->groups[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct fleet_group *fleet_group_find(const struct fleet *fleet, const char *name)
{
    size_t place = place_of(fleet, name);

    return place < fleet->group_count && !strcmp(fleet->groups[place]->name, name) ? fleet->groups[place]
                                                                                   : NULL;
}

void fleet_group_filter(struct fleet *fleet, struct fleet_group *group, const char *filter)
{
    struct arena arena = {0};
    struct error ignored = {0};
    /* It was compiled before it was stored; a filter that a later grammar refuses matches nobody new. */
    const struct filter *compiled = filter ? filter_compile(&arena, filter, &ignored) : NULL;

    fleet_lock(fleet);
    struct arena before = group->arena;
    group->arena = arena;
    group->filter = compiled;
    fleet_unlock(fleet);
    arena_end(&before);
}

void fleet_group_add(struct fleet *fleet, int64_t id, const char *name, const char *filter)
{
    struct fleet_group *group = must(calloc(1, sizeof *group));

    group->id = id;
    strcpy(group->name, name);
    fleet_group_filter(fleet, group, filter);
    fleet_lock(fleet);
    size_t place = place_of(fleet, name);
    fleet->groups = must(reallocarray(fleet->groups, fleet->group_count + 1, sizeof(struct fleet_group *)));
    memmove(fleet->groups + place + 1, fleet->groups + place,
            (fleet->group_count - place) * sizeof(struct fleet_group *));
    fleet->groups[place] = group;
    fleet->group_count++;
    fleet_unlock(fleet);
}

static void group_free(struct fleet_group *group)
{
    arena_end(&group->arena);
    free(group);
}

static bool is_in_field(const struct device *device)
{
    return device->admission == ADMISSION_PENDING || device->admission == ADMISSION_ACCEPTED;
}

static size_t member_place(const struct device *device, const struct fleet_group *group)
{
    size_t place = 0;

    while (place < device->group_count && device->groups[place] != group)
        place++;
    return place;
}

static void device_join(struct device *device, struct fleet_group *group)
{
    if (member_place(device, group) < device->group_count)
        return;
    device->groups =
        must(reallocarray(device->groups, device->group_count + 1, sizeof(struct fleet_group *)));
    device->groups[device->group_count++] = group;
    group->devices += is_in_field(device);
}

static bool device_leave(struct device *device, struct fleet_group *group)
{
    size_t place = member_place(device, group);

    if (place == device->group_count)
        return false;
    device->groups[place] = device->groups[--device->group_count];
    group->devices -= is_in_field(device);
    return true;
}

void fleet_group_remove(struct fleet *fleet, struct fleet_group *group, bool stale)
{
    fleet_lock(fleet);
    size_t place = place_of(fleet, group->name);
    memmove(fleet->groups + place, fleet->groups + place + 1,
            (--fleet->group_count - place) * sizeof(struct fleet_group *));
    for (size_t i = 0; i < fleet->count; i++)
        if (device_leave(fleet->by_name[i], group) && stale)
            device_wish_changed(fleet->by_name[i]);
    fleet_unlock(fleet);
    group_free(group);
}

void fleet_group_apply(struct fleet *fleet, struct fleet_group *group, const struct membership *changes,
                       size_t count, bool stale)
{
    for (size_t at = 0; at < count;) {
        fleet_lock(fleet);
        for (size_t end = at + APPLY_SLICE; at < count && at < end; at++) {
            struct device *device = fleet_by_id(fleet, changes[at].device_id);

            if (changes[at].joins)
                device_join(device, group);
            else
                device_leave(device, group);
            if (stale)
                device_wish_changed(device);
        }
        fleet_unlock(fleet);
    }
}

int64_t group_wish_changed(struct fleet *fleet, int64_t group_id, const char *product)
{
    int64_t changed = 0;

    fleet_lock(fleet);
    for (size_t i = 0; i < fleet->count; i++) {
        struct device *device = fleet->by_name[i];

        if (!is_in_field(device) || strcmp(device->product, product))
            continue;
        for (size_t g = 0; g < device->group_count; g++)
            if (device->groups[g]->id == group_id) {
                device_wish_changed(device);
                changed++;
            }
    }
    fleet_unlock(fleet);
    return changed;
}

/* --- loading
 * ------------------------------------------------------------------------------------------------------ */

static bool load_groups(struct fleet *fleet, struct db_conn *conn, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT id, name, filter FROM device_group ORDER BY name");

    while (db_step(query))
        fleet_group_add(fleet, db_integer(query, 0), db_text(query, 1), db_text(query, 2));
    return db_end(query, err);
}

static bool load_members(struct fleet *fleet, struct fleet_group *group, struct db_conn *conn,
                         struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT device_id FROM device_group_member WHERE group_id = :group");

    db_bind_integer(query, ":group", group->id);
    while (db_step(query)) {
        struct device *device = fleet_by_id(fleet, db_integer(query, 0));
        if (device)
            device_join(device, group);
    }
    return db_end(query, err);
}

bool group_load(struct fleet *fleet, struct db_conn *conn, struct error *err)
{
    if (!load_groups(fleet, conn, err))
        return false;
    for (size_t i = 0; i < fleet->group_count; i++)
        if (!load_members(fleet, fleet->groups[i], conn, err))
            return false;
    return true;
}

void group_unload(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->group_count; i++)
        group_free(fleet->groups[i]);
    free(fleet->groups);
    fleet->groups = NULL;
    fleet->group_count = 0;
}

/* --- in the database
 * ------------------------------------------------------------------------------------------------- */

static bool membership_row(struct db_conn *conn, int64_t group_id, const struct membership *change,
                           struct error *err)
{
    struct db_query *query = change->joins
                                 ? db_query(conn, "INSERT INTO device_group_member (group_id, device_id)"
                                                  " VALUES (:group, :device) ON CONFLICT DO NOTHING")
                                 : db_query(conn, "DELETE FROM device_group_member"
                                                  " WHERE group_id = :group AND device_id = :device");

    db_bind_integer(query, ":group", group_id);
    db_bind_integer(query, ":device", change->device_id);
    return db_run(query, NULL, err);
}

bool membership_write(struct db_conn *conn, int64_t group_id, const struct membership *changes, size_t count,
                      struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!membership_row(conn, group_id, &changes[i], err))
            return false;
    return true;
}

bool group_has_release(struct db_conn *conn, int64_t group_id, bool *has, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT EXISTS (SELECT 1 FROM group_release WHERE group_id = :group)");

    db_bind_integer(query, ":group", group_id);
    *has = db_step(query) && db_integer(query, 0);
    return db_end(query, err);
}

/* --- following
 * ------------------------------------------------------------------------------------------------------ */

/* What a step found, by group. */
struct found {
    struct fleet_group *group;
    struct membership *changes;
    size_t count;
    bool has_release;
};
struct looking {
    struct found *found; /* groups by filter */
    size_t groups, changes;
};

static void look_list(struct fleet *fleet, struct arena *arena, struct looking *looking)
{
    looking->found = arena_array(arena, fleet->group_count + 1, sizeof *looking->found);
    for (size_t i = 0; i < fleet->group_count; i++)
        if (fleet->groups[i]->filter)
            looking->found[looking->groups++].group = fleet->groups[i];
}

static void look_at(struct fleet *fleet, struct arena *arena, struct looking *looking,
                    const struct device *device, int64_t now)
{
    for (size_t i = 0; i < looking->groups && looking->changes < STEP_CHANGES; i++) {
        struct found *found = &looking->found[i];
        bool is = member_place(device, found->group) < device->group_count;
        bool should = is_in_field(device) && filter_matches(found->group->filter, fleet, device, now);

        if (is == should)
            continue;
        if (!found->changes)
            found->changes = arena_array(arena, STEP_CHANGES, sizeof *found->changes);
        found->changes[found->count++] = (struct membership){device->id, should};
        looking->changes++;
    }
}

/* One slice under the lock. False when the last device was looked at. */
static bool look_slice(struct fleet *fleet, struct arena *arena, struct looking *looking, int64_t now)
{
    size_t devices = SLICE_LOOKS / looking->groups + 1;

    fleet_lock(fleet);
    for (; devices && (uint64_t)fleet->group_at < fleet->id_room; devices--) {
        const struct device *device = fleet_by_id(fleet, fleet->group_at + 1);

        if (device)
            look_at(fleet, arena, looking, device, now);
        if (looking->changes >= STEP_CHANGES)
            break; /* this device again the next time: it may not be done */
        fleet->group_at++;
    }
    bool more = (uint64_t)fleet->group_at < fleet->id_room;
    fleet_unlock(fleet);
    return more;
}

static void look(struct fleet *fleet, struct arena *arena, struct looking *looking)
{
    int64_t now = clock_now(), end = clock_boot_ms() + STEP_MS;

    while (look_slice(fleet, arena, looking, now))
        if (looking->changes >= STEP_CHANGES || clock_boot_ms() >= end)
            return;
    fleet->group_at = 0;
}

static bool found_write(struct db_conn *conn, struct looking *looking, struct error *err)
{
    for (size_t i = 0; i < looking->groups; i++) {
        struct found *found = &looking->found[i];

        if (found->count && (!membership_write(conn, found->group->id, found->changes, found->count, err) ||
                             !group_has_release(conn, found->group->id, &found->has_release, err)))
            return false;
    }
    return true;
}

static bool follow(struct console *console, struct error *err)
{
    struct fleet *fleet = console->fleet;
    struct looking looking = {0};
    ARENA(arena);

    look_list(fleet, &arena, &looking);
    if (!looking.groups)
        return true;
    look(fleet, &arena, &looking);
    if (!looking.changes)
        return true;
    struct db_conn *conn = db_write(console->db, err);
    if (!conn)
        return false;
    if (!found_write(conn, &looking, err)) {
        db_done(conn);
        return false;
    }
    if (!db_commit(conn, err))
        return false;
    console->step_has_more = looking.changes >= STEP_CHANGES;
    for (size_t i = 0; i < looking.groups; i++) {
        const struct found *found = &looking.found[i];

        if (!found->count)
            continue;
        fleet_group_apply(fleet, found->group, found->changes, found->count, found->has_release);
        events_send(console->events, "group", "{\"name\":\"%s\"}", found->group->name);
    }
    return true;
}

bool group_step(struct console *console, struct error *err)
{
    pthread_mutex_lock(&console->fleet->grouping);
    bool good = follow(console, err);
    pthread_mutex_unlock(&console->fleet->grouping);
    return good || error_add(err, "groups by filter");
}

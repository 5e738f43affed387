/* Groups as JSON: the shapes of API.md. */
#include "console/delivery/group_parts.h"

#include "base/text.h"
#include "console/console.h"

#include <stdlib.h>
#include <string.h>

#define MEMBERS_MOST 1000
#define SAMPLES 10

static bool is_counted(const struct device *device)
{
    return device->admission == ADMISSION_PENDING || device->admission == ADMISSION_ACCEPTED;
}

static bool is_member(const struct device *device, int64_t group_id)
{
    for (size_t i = 0; i < device->group_count; i++)
        if (device->groups[i]->id == group_id)
            return is_counted(device);
    return false;
}

struct row {
    int64_t id, created_at, devices;
    const char *name, *filter, *created_by;
};

static bool releases_write(struct db_conn *conn, int64_t group_id, struct json_writer *writer,
                           struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT product, asset, version FROM group_release WHERE group_id = :group"
                       " AND version IS NOT NULL ORDER BY product, asset");

    db_bind_integer(query, ":group", group_id);
    json_write_array(writer, "releases");
    while (db_step(query)) {
        json_write_object(writer, NULL);
        json_write_string(writer, "product", db_text(query, 0));
        json_write_string(writer, "asset", db_text(query, 1));
        json_write_string(writer, "version", db_text(query, 2));
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
    return db_end(query, err);
}

static bool row_write(struct db_conn *conn, const struct row *row, struct json_writer *writer,
                      struct error *err)
{
    json_write_object(writer, NULL);
    json_write_string(writer, "name", row->name);
    json_write_string(writer, "filter", row->filter);
    json_write_integer(writer, "devices", row->devices);
    if (!releases_write(conn, row->id, writer, err))
        return false;
    json_write_time(writer, "created_at", row->created_at);
    json_write_string(writer, "created_by", row->created_by);
    return true;
}

/* `name` NULL: all. At most GROUPS_MOST. */
static bool rows_read(struct db_conn *conn, struct arena *arena, const char *name, struct row **rows,
                      size_t *count, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT id, name, filter, created_by, created_at FROM device_group"
                       " WHERE :name IS NULL OR name = :name ORDER BY name");

    db_bind_text(query, ":name", name);
    *rows = arena_array(arena, name ? 1 : GROUPS_MOST, sizeof **rows);
    *count = 0;
    while (*count < (name ? 1 : GROUPS_MOST) && db_step(query))
        (*rows)[(*count)++] = (struct row){.id = db_integer(query, 0),
                                           .name = db_text_copy(query, 1, arena),
                                           .filter = db_text_copy(query, 2, arena),
                                           .created_by = db_text_copy(query, 3, arena),
                                           .created_at = db_integer(query, 4)};
    return db_end(query, err);
}

static void rows_count(struct fleet *fleet, struct row *rows, size_t count)
{
    fleet_lock(fleet);
    for (size_t i = 0; i < count; i++) {
        const struct fleet_group *group = fleet_group_find(fleet, rows[i].name);

        rows[i].devices = group ? group->devices : 0;
    }
    fleet_unlock(fleet);
}

bool group_write_all(struct console *console, struct db_conn *conn, struct json_writer *writer,
                     struct error *err)
{
    ARENA(arena);
    struct row *rows;
    size_t count;

    if (!rows_read(conn, &arena, NULL, &rows, &count, err))
        return false;
    rows_count(console->fleet, rows, count);
    for (size_t i = 0; i < count; i++) {
        if (!row_write(conn, &rows[i], writer, err))
            return false;
        json_write_end(writer, '}');
    }
    return true;
}

static void members_write(struct fleet *fleet, int64_t group_id, struct json_writer *writer)
{
    int left = MEMBERS_MOST;

    json_write_array(writer, "members");
    fleet_lock(fleet);
    for (size_t i = 0; i < fleet->count && left; i++)
        if (is_member(fleet->by_name[i], group_id)) {
            json_write_string(writer, NULL, fleet->by_name[i]->name);
            left--;
        }
    fleet_unlock(fleet);
    json_write_end(writer, ']');
}

bool group_write(struct console *console, struct db_conn *conn, const char *name, bool members,
                 struct json_writer *writer, struct error *err)
{
    ARENA(arena);
    struct row *row;
    size_t count;

    if (!rows_read(conn, &arena, name, &row, &count, err))
        return false;
    if (!count)
        return error_set(err, ERROR_MISSING, "there is no group %.64s", name);
    rows_count(console->fleet, row, 1);
    if (!row_write(conn, row, writer, err))
        return false;
    if (members)
        members_write(console->fleet, row->id, writer);
    return true;
}

/* --- before saving
 * ------------------------------------------------------------------------------------------------ */

static int by_id(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static bool has_id(const int64_t *ids, size_t count, int64_t id)
{
    return count && bsearch(&id, ids, count, sizeof *ids, by_id);
}

/* What is in `ids` and not in `others`: count, and the first names. Both rise. */
static void beyond_write(struct fleet *fleet, const char *key, const int64_t *ids, size_t count,
                         const int64_t *others, size_t other_count, struct json_writer *writer)
{
    int64_t beyond = 0;

    json_write_object(writer, key);
    json_write_array(writer, "samples");
    fleet_lock(fleet);
    for (size_t i = 0; i < count; i++)
        if (!has_id(others, other_count, ids[i]) && beyond++ < SAMPLES)
            json_write_string(writer, NULL, fleet_by_id(fleet, ids[i])->name);
    fleet_unlock(fleet);
    json_write_end(writer, ']');
    json_write_integer(writer, "count", beyond);
    json_write_end(writer, '}');
}

bool group_write_difference(struct console *console, struct db_conn *conn, const char *name,
                            const int64_t *ids, size_t count, struct json_writer *writer, struct error *err)
{
    ARENA(arena);
    struct group group;
    int64_t *before, *after = arena_array(&arena, count + 1, sizeof *after);
    size_t before_count;

    if (!group_find(conn, &arena, name, &group, err) ||
        !group_members(conn, &arena, group.id, &before, &before_count, err))
        return false;
    memcpy(after, ids, count * sizeof *after);
    qsort(after, count, sizeof *after, by_id);
    beyond_write(console->fleet, "added", after, count, before, before_count, writer);
    beyond_write(console->fleet, "removed", before, before_count, after, count, writer);
    return true;
}

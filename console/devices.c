#include "console/devices.h"

#include "base/clock.h"
#include "base/text.h"
#include "console/audit.h"
#include "console/events.h"
#include "console/fleet_parts.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_KEPT 1000 /* of each device */

bool device_insert(struct db_conn *conn, struct device *device, struct error *err)
{
    char key[2 * PUBLIC_KEY_SIZE + 1];
    struct db_query *query = db_query(
        conn, "INSERT INTO device (name, product, hardware, key_id, public_key, admission, enrolled_at)"
              " VALUES (:name, :product, :hardware, :key_id, :key, :admission, :at)");

    hex_encode(key, device->key.bytes, PUBLIC_KEY_SIZE);
    db_bind_text(query, ":name", device->name);
    db_bind_text(query, ":product", device->product);
    db_bind_text(query, ":hardware", device->hardware[0] ? device->hardware : NULL);
    db_bind_text(query, ":key_id", device->key.id);
    db_bind_text(query, ":key", key);
    db_bind_text(query, ":admission", admission_name(device->admission));
    db_bind_integer(query, ":at", device->enrolled_at);
    if (!db_run(query, NULL, err))
        return false;
    device->id = db_last_id(conn);
    return true;
}

void device_tell(struct console *console, const char *name)
{
    events_send(console->events, "device", "{\"name\":\"%s\"}", name);
}

/* --- what happened
 * ------------------------------------------------------------------------------------------------ */

bool device_event_add(struct db_conn *conn, int64_t device_id, const char *what, const char *text,
                      struct error *err)
{
    struct db_query *query = db_query(
        conn, "INSERT INTO device_event (device_id, at, what, text) VALUES (:device, :at, :what, :text)");

    db_bind_integer(query, ":device", device_id);
    db_bind_integer(query, ":at", clock_now());
    db_bind_text(query, ":what", what);
    db_bind_text(query, ":text", text);
    if (!db_run(query, NULL, err))
        return false;
    query = db_query(
        conn, "DELETE FROM device_event WHERE device_id = :device AND id <= (SELECT id FROM device_event"
              " WHERE device_id = :device ORDER BY id DESC LIMIT 1 OFFSET :kept)");
    db_bind_integer(query, ":device", device_id);
    db_bind_integer(query, ":kept", EVENTS_KEPT);
    return db_run(query, NULL, err);
}

bool device_timeline(struct console *console, const char *name, int64_t limit, struct text *out,
                     struct error *err)
{
    struct json_writer writer;
    int64_t id = fleet_id_of(console->fleet, name, err);
    DB_DONE(conn) = id ? db_read(console->db, err) : NULL;

    if (!conn)
        return false;
    struct db_query *query =
        db_query(conn, "SELECT at, what, text FROM device_event WHERE device_id = :device"
                       " ORDER BY id DESC LIMIT :limit");
    db_bind_integer(query, ":device", id);
    db_bind_integer(query, ":limit", limit);
    json_write_init(&writer, out);
    json_write_array(&writer, NULL);
    while (db_step(query)) {
        json_write_object(&writer, NULL);
        json_write_time(&writer, "at", db_integer(query, 0));
        json_write_string(&writer, "what", db_text(query, 1));
        json_write_string(&writer, "text", db_text(query, 2));
        json_write_end(&writer, '}');
    }
    json_write_end(&writer, ']');
    return db_end(query, err);
}

/* --- admission
 * ---------------------------------------------------------------------------------------------------- */

static const char *const admission_verbs[] = {"review", "accept", "reject", "retire"};

static bool admission_store(struct db_conn *conn, int64_t id, const char *name, enum admission admission,
                            const char *operator_name, struct error *err)
{
    ARENA(arena);
    struct db_query *query =
        db_query(conn, "UPDATE device SET admission = :admission,"
                       " clone_suspected = CASE WHEN :admission = 'accepted' THEN 0 ELSE clone_suspected END"
                       " WHERE id = :id");

    db_bind_text(query, ":admission", admission_name(admission));
    db_bind_integer(query, ":id", id);
    return db_run(query, NULL, err) &&
           audit_add(conn, operator_name, admission_verbs[admission], name, NULL, err) &&
           device_event_add(conn, id, admission_name(admission),
                            arena_printf(&arena, "%s by %s", admission_name(admission), operator_name), err);
}

static bool is_in_field(enum admission admission)
{
    return admission == ADMISSION_PENDING || admission == ADMISSION_ACCEPTED;
}

/* Memory follows the database. */
static void admission_apply(struct fleet *fleet, int64_t id, enum admission admission)
{
    fleet_lock(fleet);
    struct device *device = fleet_by_id(fleet, id);
    fleet->active += is_in_field(admission) - is_in_field(device->admission);
    for (size_t i = 0; i < device->group_count; i++)
        device->groups[i]->devices += is_in_field(admission) - is_in_field(device->admission);
    device->admission = admission;
    if (admission == ADMISSION_ACCEPTED)
        device->clone_suspected = false;
    if (!is_in_field(admission))
        device->token_expires_at = 0;
    device_wish_changed(device);
    fleet_unlock(fleet);
}

bool device_admit(struct console *console, const char *name, enum admission admission,
                  const char *operator_name, struct error *err)
{
    fleet_lock(console->fleet);
    const struct device *device = fleet_by_name(console->fleet, name);
    int64_t id = device ? device->id : 0;
    bool retired = device && device->admission == ADMISSION_RETIRED;
    fleet_unlock(console->fleet);
    if (!id)
        return error_set(err, ERROR_MISSING, "there is no device %.64s", name);
    if (retired && admission != ADMISSION_RETIRED)
        return error_set(err, ERROR_CONFLICT, "device %s is retired: enrol it again under another name",
                         name);
    struct db_conn *conn = db_write(console->db, err);
    if (!conn)
        return false;
    if (!admission_store(conn, id, name, admission, operator_name, err)) {
        db_done(conn);
        return false;
    }
    if (!db_commit(conn, err))
        return false;
    admission_apply(console->fleet, id, admission);
    device_tell(console, name);
    return true;
}

bool device_note_clone(struct console *console, int64_t device_id, struct error *err)
{
    struct db_conn *conn = db_write(console->db, err);
    if (!conn)
        return false;
    struct db_query *query = db_query(conn, "UPDATE device SET clone_suspected = 1 WHERE id = :id");
    db_bind_integer(query, ":id", device_id);
    if (!db_run(query, NULL, err) ||
        !device_event_add(conn, device_id, "clone_suspected",
                          "the session counter went back: two devices may hold the same key", err)) {
        db_done(conn);
        return false;
    }
    return db_commit(conn, err);
}

/* --- tags
 * ---------------------------------------------------------------------------------------------------------
 */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, without doubles, in the arena. */
static bool tags_read(struct arena *arena, const struct json *json, const char ***tags, size_t *count,
                      struct error *err)
{
    if (json->size > TAGS_MOST)
        return error_set(err, ERROR_LIMIT, "a device has at most %d tags", TAGS_MOST);
    *tags = arena_array(arena, json->size + 1, sizeof **tags);
    *count = 0;
    for (const struct json *tag = json->first; tag; tag = tag->next) {
        if (tag->type != JSON_STRING)
            return error_set(err, ERROR_INPUT, "a tag is a string");
        if (!name_check("tag", tag->string, err))
            return false;
        (*tags)[(*count)++] = tag->string;
    }
    qsort(*tags, *count, sizeof **tags, by_text);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (!kept || strcmp((*tags)[kept - 1], (*tags)[i]))
            (*tags)[kept++] = (*tags)[i];
    *count = kept;
    return true;
}

static bool tags_store(struct db_conn *conn, int64_t id, const char *const *tags, size_t count,
                       struct error *err)
{
    struct db_query *query = db_query(conn, "DELETE FROM device_tag WHERE device_id = :device");

    db_bind_integer(query, ":device", id);
    if (!db_run(query, NULL, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        query = db_query(conn, "INSERT INTO device_tag (device_id, tag) VALUES (:device, :tag)");
        db_bind_integer(query, ":device", id);
        db_bind_text(query, ":tag", tags[i]);
        if (!db_run(query, NULL, err))
            return false;
    }
    return true;
}

static void tags_apply(struct fleet *fleet, int64_t id, const char *const *tags, size_t count)
{
    char **owned = calloc(count + 1, sizeof *owned);

    if (!owned)
        abort();
    for (size_t i = 0; i < count; i++)
        own_string(&owned[i], tags[i]);
    fleet_lock(fleet);
    struct device *device = fleet_by_id(fleet, id);
    char **before = device->tags;
    device->tags = owned;
    fleet_unlock(fleet);
    for (char **tag = before; tag && *tag; tag++)
        free(*tag);
    free(before);
}

bool device_set_tags(struct console *console, const char *name, const struct json *json,
                     const char *operator_name, struct error *err)
{
    ARENA(arena);
    const char **tags = NULL;
    size_t count = 0;
    int64_t id = fleet_id_of(console->fleet, name, err);

    if (!id || !tags_read(&arena, json, &tags, &count, err))
        return false;
    const char *detail = "";
    for (size_t i = 0; i < count; i++)
        detail = arena_printf(&arena, "%s%s%s", detail, i ? " " : "", tags[i]);
    struct db_conn *conn = db_write(console->db, err);
    if (!conn)
        return false;
    if (!tags_store(conn, id, tags, count, err) ||
        !audit_add(conn, operator_name, "tag", name, detail, err)) {
        db_done(conn);
        return false;
    }
    if (!db_commit(conn, err))
        return false;
    tags_apply(console->fleet, id, tags, count);
    device_tell(console, name);
    return true;
}

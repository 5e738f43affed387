/* What of the fleet survives a restart: loaded once, written sorted every few seconds. */
#include "console/fleet_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "console/delivery/group.h"

#include <stdlib.h>
#include <string.h>

#define FLUSH_MOST 1000 /* devices written in one transaction */

/* --- loading
 * ------------------------------------------------------------------------------------------------------ */

static void copy_column(char *into, size_t room, const char *text)
{
    if (text && strlen(text) < room)
        strcpy(into, text);
}

static void load_said(struct device *device, const char *said, const char *facts)
{
    ARENA(arena);
    struct checkin checkin;
    struct error err = {0};
    const struct json *body = said ? json_read(&arena, said, strlen(said), &json_limits_small, &err) : NULL;

    if (body && checkin_read(&arena, body, &checkin, &err))
        checkin_apply(device, &checkin);
    else if (said) /* it only delays what people see until the next check-in */
        log_event(LOG_WARNING, "device_report_unreadable", "device=%s why=\"%s\"", device->name, err.text);
    own_string(&device->facts, facts);
    device->report_dirty = false;
}

static bool load_device(struct db_query *query, struct device *device, struct error *err)
{
    *device = (struct device){.id = db_integer(query, 0),
                              .enrolled_at = db_integer(query, 6),
                              .clone_suspected = db_integer(query, 7) != 0,
                              .last_seen = db_integer(query, 8),
                              .session_counter = db_integer(query, 9),
                              .order_seq = db_integer(query, 10),
                              .order_expires_at = db_integer(query, 11),
                              .development = db_integer(query, 16) != 0,
                              .wish_stale = true};
    copy_column(device->name, sizeof device->name, db_text(query, 1));
    copy_column(device->product, sizeof device->product, db_text(query, 2));
    copy_column(device->hardware, sizeof device->hardware, db_text(query, 3));
    copy_column(device->order_wish, sizeof device->order_wish, db_text(query, 12));
    if (!public_key_from_hex(&device->key, db_text(query, 4)) ||
        !admission_from_name(db_text(query, 5), &device->admission))
        return error_set(err, ERROR_SYSTEM, "the row of device %s is damaged", device->name);
    own_string(&device->order, db_text(query, 13));
    load_said(device, db_text(query, 14), db_text(query, 15));
    return true;
}

static bool load_devices(struct fleet *fleet, struct db_conn *conn, struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT d.id, d.name, d.product, d.hardware, d.public_key, d.admission, d.enrolled_at,"
        " d.clone_suspected, coalesce(s.last_seen, 0), coalesce(s.session_counter, 0), coalesce(o.seq, 0),"
        " coalesce(o.expires_at, 0), o.wish, o.document, r.said, r.facts, d.development"
        " FROM device d LEFT JOIN device_seen s ON s.device_id = d.id"
        " LEFT JOIN device_order o ON o.device_id = d.id"
        " LEFT JOIN device_report r ON r.device_id = d.id ORDER BY d.name");
    struct device device;
    bool good = true;

    while (good && db_step(query)) {
        good = load_device(query, &device, err);
        if (good)
            fleet_add(fleet, &device);
        if (device.last_seen > fleet->last_activity)
            fleet->last_activity = device.last_seen;
    }
    return db_end(query, err) && good;
}

static void add_tag(struct device *device, const char *tag, size_t *count)
{
    char **tags = reallocarray(device->tags, *count + 2, sizeof *tags);

    if (!tags)
        abort();
    tags[*count] = NULL;
    own_string(&tags[*count], tag);
    tags[++*count] = NULL;
    device->tags = tags;
}

static bool load_tags(struct fleet *fleet, struct db_conn *conn, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT device_id, tag FROM device_tag ORDER BY device_id, tag");
    int64_t before = 0;
    size_t count = 0;

    while (db_step(query)) {
        struct device *device = fleet_by_id(fleet, db_integer(query, 0));

        if (db_integer(query, 0) != before)
            count = 0;
        before = db_integer(query, 0);
        if (device)
            add_tag(device, db_text(query, 1), &count);
    }
    return db_end(query, err);
}

struct fleet *fleet_open(struct console *console, struct error *err)
{
    struct fleet *fleet = calloc(1, sizeof *fleet);

    if (!fleet)
        abort();
    fleet->console = console;
    fleet->started_at = clock_now();
    random_bytes(fleet->nonce_secret, sizeof fleet->nonce_secret);
    pthread_mutex_init(&fleet->lock, NULL);
    pthread_mutex_init(&fleet->orders, NULL);
    pthread_mutex_init(&fleet->grouping, NULL);
    DB_DONE(conn) = db_read(console->db, err);
    if (conn && load_devices(fleet, conn, err) && load_tags(fleet, conn, err) && group_load(fleet, conn, err))
        return fleet;
    fleet_close(fleet);
    return NULL;
}

/* --- writing
 * ------------------------------------------------------------------------------------------------------ */

/* A copy of what is to be written, so that the lock is not held while the database works. */
struct flushed {
    int64_t id, last_seen, session_counter;
    bool report;
    char *said, *facts;
};

static void take_one(struct arena *arena, struct device *device, struct flushed *flushed)
{
    *flushed = (struct flushed){.id = device->id,
                                .last_seen = device->last_seen,
                                .session_counter = device->session_counter,
                                .report = device->report_dirty};
    if (device->report_dirty) {
        TEXT(said);
        checkin_write(device, &said);
        flushed->said = arena_strdup(arena, text_string(&said));
        flushed->facts = device->facts ? arena_strdup(arena, device->facts) : NULL;
    }
    device->seen_dirty = device->report_dirty = false;
}

/* Some of what is dirty behind row `*at`, in the order of rows; *at: how far it looked, 0: to the end. */
static struct flushed *take_dirty(struct fleet *fleet, struct arena *arena, int64_t *at, size_t *count)
{
    struct flushed *flushed = arena_array(arena, FLUSH_MOST, sizeof *flushed);

    *count = 0;
    fleet_lock(fleet);
    for (; (uint64_t)*at < fleet->id_room && *count < FLUSH_MOST; ++*at) {
        struct device *device = fleet->by_id[*at];

        if (device && (device->seen_dirty || device->report_dirty))
            take_one(arena, device, &flushed[(*count)++]);
    }
    if ((uint64_t)*at >= fleet->id_room)
        *at = 0;
    fleet_unlock(fleet);
    return flushed;
}

static bool write_seen(struct db_conn *conn, const struct flushed *flushed, struct error *err)
{
    struct db_query *query = db_query(
        conn, "INSERT INTO device_seen (device_id, last_seen, session_counter) VALUES (:id, :seen, :counter)"
              " ON CONFLICT (device_id) DO UPDATE SET last_seen = excluded.last_seen,"
              " session_counter = excluded.session_counter");

    db_bind_integer(query, ":id", flushed->id);
    db_bind_integer(query, ":seen", flushed->last_seen);
    db_bind_integer(query, ":counter", flushed->session_counter);
    return db_run(query, NULL, err);
}

static bool write_report(struct db_conn *conn, const struct flushed *flushed, struct error *err)
{
    struct db_query *query =
        db_query(conn, "INSERT INTO device_report (device_id, said, facts) VALUES (:id, :said, :facts)"
                       " ON CONFLICT (device_id) DO UPDATE SET said = excluded.said, facts = excluded.facts");

    db_bind_integer(query, ":id", flushed->id);
    db_bind_text(query, ":said", flushed->said);
    db_bind_text(query, ":facts", flushed->facts);
    return db_run(query, NULL, err);
}

static bool write_all(struct console *console, const struct flushed *flushed, size_t count, struct error *err)
{
    DB_DONE(conn) = db_write(console->db, err);

    if (!conn)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!write_seen(conn, &flushed[i], err) ||
            (flushed[i].report && !write_report(conn, &flushed[i], err)))
            return false;
    struct db_conn *whole = conn;
    conn = NULL; /* db_commit gives it back either way */
    return db_commit(whole, err);
}

/* Not written: to be written with the next flush. */
static void put_back(struct fleet *fleet, const struct flushed *flushed, size_t count)
{
    fleet_lock(fleet);
    for (size_t i = 0; i < count; i++) {
        struct device *device = fleet_by_id(fleet, flushed[i].id);

        device->seen_dirty = true;
        device->report_dirty |= flushed[i].report;
    }
    fleet_unlock(fleet);
}

/* One slice. */
static bool flush_some(struct console *console, int64_t *at, struct error *err)
{
    ARENA(arena);
    size_t count;
    struct flushed *flushed = take_dirty(console->fleet, &arena, at, &count);

    if (!count || write_all(console, flushed, count, err))
        return true;
    put_back(console->fleet, flushed, count);
    *at = 0;
    return error_add(err, "what devices said was not written down");
}

bool fleet_flush(struct console *console, struct error *err)
{
    int64_t at = 0;

    do
        if (!flush_some(console, &at, err))
            return false;
    while (at);
    return true;
}

bool fleet_flush_step(struct console *console, struct error *err)
{
    bool good = flush_some(console, &console->fleet->flush_at, err);

    console->step_has_more = console->fleet->flush_at != 0;
    return good;
}

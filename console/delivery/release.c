#include "console/delivery/release.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "console/audit.h"
#include "console/events.h"
#include "console/fleet.h"
#include "diagnostics/campaign.h"

#include <pthread.h>
#include <string.h>

#define ASSETS_MOST 256 /* in a set, as FORMAT.md has it */

/* The release that is being made: its version must be listed before the first order names it. One at a time. */
static struct {
    pthread_mutex_t one, lock;
    const char *product, *asset, *version; /* under lock */
} pending = {.one = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER};

static void pending_set(const char *product, const char *asset, const char *version)
{
    pthread_mutex_lock(&pending.lock);
    pending.product = product;
    pending.asset = asset;
    pending.version = version;
    pthread_mutex_unlock(&pending.lock);
}

static bool is_pending(const char *product, const char *asset, const char *version)
{
    pthread_mutex_lock(&pending.lock);
    bool is = string_is(pending.product, product) && string_is(pending.asset, asset) &&
              string_is(pending.version, version);
    pthread_mutex_unlock(&pending.lock);
    return is;
}

const char *release_version(struct db_conn *conn, struct arena *arena, const char *product, const char *asset,
                            struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT version FROM release WHERE product = :product AND asset = :asset");
    const char *version = NULL;

    err->kind = ERROR_NONE; /* NULL has two meanings: the caller looks at the kind */
    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset);
    if (db_step(query))
        version = db_text_copy(query, 0, arena);
    return db_end(query, err) ? version : NULL;
}

bool release_wanted(void *context, const char *product, const char *asset, const char *version)
{
    ARENA(arena);
    struct console *console = context;
    struct error err = {0};

    if (is_pending(product, asset, version))
        return true;
    DB_DONE(conn) = db_read(console->db, &err);
    if (!conn)
        return true; /* rather one too many than one that a device cannot find */
    const char *released = release_version(conn, &arena, product, asset, &err);
    return err.kind || string_is(released, version) || campaign_wants(conn, product, asset, version);
}

/* --- the set of a device ------------------------------------------------------------------------------------------ */

static bool fits(const char *hardware_json, const char *hardware)
{
    ARENA(arena);
    struct error err = {0};
    const struct json *list =
        json_read(&arena, hardware_json, strlen(hardware_json), &json_limits_small, &err);

    if (!list || !list->size)
        return true;
    for (const struct json *one = list->first; one; one = one->next)
        if (string_is(one->string, hardware))
            return true;
    return false;
}

bool release_list(struct db_conn *conn, struct arena *arena, const char *product, const char *hardware,
                  struct set_entry **set, size_t *count, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT asset, version, hardware FROM release WHERE product = :product ORDER BY asset");

    db_bind_text(query, ":product", product);
    *set = arena_array(arena, ASSETS_MOST, sizeof **set);
    *count = 0;
    while (db_step(query) && *count < ASSETS_MOST) {
        struct set_entry *entry = &(*set)[*count];
        const char *version = db_text(query, 1);

        if (!fits(db_text(query, 2), hardware) || strlen(version) >= sizeof entry->version)
            continue;
        strcpy(entry->asset, db_text(query, 0));
        strcpy(entry->version, version);
        (*count)++;
    }
    return db_end(query, err);
}

/* --- releasing ---------------------------------------------------------------------------------------------------- */

struct release {
    const char *product, *asset, *version, *operator_name;
    const char *hardware; /* JSON array */
    const char *before;   /* version released until now, or NULL */
};

static const char *hardware_json(struct arena *arena, const char *const *hardware)
{
    TEXT(out);
    struct json_writer writer;

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    for (; hardware && *hardware; hardware++)
        json_write_string(&writer, NULL, *hardware);
    json_write_end(&writer, ']');
    return arena_strdup(arena, text_string(&out));
}

static bool count_check(struct db_conn *conn, const struct release *release, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT count(*) FROM release WHERE product = :product AND asset <> :asset");
    int64_t count = 0;

    db_bind_text(query, ":product", release->product);
    db_bind_text(query, ":asset", release->asset);
    if (db_step(query))
        count = db_integer(query, 0);
    if (!db_end(query, err))
        return false;
    return count < ASSETS_MOST ||
           error_set(err, ERROR_LIMIT, "a device runs at most %d assets together", ASSETS_MOST);
}

static bool release_look(struct console *console, struct arena *arena, struct release *release, struct error *err)
{
    struct manifest manifest;
    char sha256[SHA256_HEX];
    DB_DONE(conn) = db_read(console->db, err);

    if (!conn || !repo_manifest(console->repo, conn, arena, release->product, release->asset, release->version,
                                &manifest, sha256, err))
        return false;
    if (manifest.kind == KIND_DIAGNOSTIC)
        return error_set(err, ERROR_INPUT, "%s/%s is a diagnostic image: it is sent by a campaign, never released",
                         release->product, release->asset);
    release->hardware = hardware_json(arena, manifest.hardware);
    release->before = release_version(conn, arena, release->product, release->asset, err);
    return !err->kind && count_check(conn, release, err);
}

static bool release_write(struct db_conn *conn, struct arena *arena, const struct release *release, struct error *err)
{
    struct db_query *query = db_query(
        conn, "INSERT INTO release (product, asset, version, hardware, released_by, released_at)"
              " VALUES (:product, :asset, :version, :hardware, :by, :at) ON CONFLICT (product, asset) DO UPDATE SET"
              " version = excluded.version, hardware = excluded.hardware, released_by = excluded.released_by,"
              " released_at = excluded.released_at");

    db_bind_text(query, ":product", release->product);
    db_bind_text(query, ":asset", release->asset);
    db_bind_text(query, ":version", release->version);
    db_bind_text(query, ":hardware", release->hardware);
    db_bind_text(query, ":by", release->operator_name);
    db_bind_integer(query, ":at", clock_now());
    return db_run(query, NULL, err) &&
           audit_add(conn, release->operator_name, "release",
                     arena_printf(arena, "%s/%s@%s", release->product, release->asset, release->version),
                     release->before ? arena_printf(arena, "before: %s", release->before) : NULL, err);
}

static bool release_store(struct console *console, struct arena *arena, const struct release *release,
                          struct error *err)
{
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    if (!release_write(conn, arena, release, err)) {
        db_done(conn);
        return false;
    }
    return db_commit(conn, err);
}

/* Listed first, then wanted: a device never hears of a version that it cannot find. */
static bool release_do(struct console *console, struct arena *arena, struct release *release, struct error *err)
{
    if (!release_look(console, arena, release, err))
        return false;
    if (string_is(release->before, release->version))
        return true;
    const char *reason = arena_printf(arena, "%s/%s: release %s", release->product, release->asset, release->version);
    if (!repo_resign(console->repo, release->product, release->operator_name, reason, err) ||
        !release_store(console, arena, release, err))
        return false;
    fleet_product_wish_changed(console->fleet, release->product);
    events_send(console->events, "asset", "{\"product\":\"%s\",\"asset\":\"%s\"}", release->product, release->asset);
    log_event(LOG_INFO, "released", "asset=%s/%s version=%s", release->product, release->asset, release->version);
    return true;
}

bool release_set(struct console *console, const char *product, const char *asset, const char *version,
                 const char *operator_name, int64_t *devices, struct error *err)
{
    ARENA(arena);
    struct release release = {
        .product = product, .asset = asset, .version = version, .operator_name = operator_name};

    if (!name_check("product", product, err) || !name_check("asset", asset, err) || !version_check(version, err))
        return false;
    pthread_mutex_lock(&pending.one);
    pending_set(product, asset, version);
    bool done = release_do(console, &arena, &release, err);
    pending_set(NULL, NULL, NULL);
    pthread_mutex_unlock(&pending.one);
    if (done)
        *devices = fleet_of_product(console->fleet, product);
    return done;
}

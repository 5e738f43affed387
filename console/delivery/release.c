#include "console/delivery/release.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "console/audit.h"
#include "console/console.h"
#include "console/events.h"
#include "console/fleet.h"
#include "diagnostics/campaign.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define ASSETS_MOST 256 /* in a set, as FORMAT.md has it */

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
    struct console *console = context;
    struct error err = {0};
    DB_DONE(conn) = db_read(console->db, &err);

    if (!conn)
        return true; /* rather one too many than one that a device cannot find */
    struct db_query *query =
        db_query(conn, "SELECT 1 FROM release WHERE product = :product AND asset = :asset"
                       " AND (version = :version OR next_version = :version)"
                       /* or released before, and no release for all revisions came since */
                       " UNION ALL SELECT 1 FROM history h WHERE h.product = :product AND h.asset = :asset"
                       " AND h.version = :version AND h.what = 'release' AND NOT EXISTS"
                       " (SELECT 1 FROM history n JOIN versions v ON v.product = n.product"
                       " AND v.asset = n.asset AND v.version = n.version WHERE n.product = h.product"
                       " AND n.asset = h.asset AND n.what = 'release' AND n.number > h.number"
                       " AND v.hardware = '[]')");
    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset);
    db_bind_text(query, ":version", version);
    bool wanted = db_step(query);
    return !db_end(query, &err) || wanted || campaign_wants(conn, product, asset, version);
}

/* --- the set of a device
 * ------------------------------------------------------------------------------------------ */

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

/* The newest release before that fits: a release for some revisions leaves the others with what they had. */
static bool fitting_before(struct db_conn *conn, const char *product, const char *hardware,
                           struct set_entry *entry, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT h.version, v.hardware FROM history h JOIN versions v ON v.product = h.product"
                       " AND v.asset = h.asset AND v.version = h.version WHERE h.product = :product"
                       " AND h.asset = :asset AND h.what = 'release' ORDER BY h.number DESC");

    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", entry->asset);
    entry->version[0] = '\0';
    while (!entry->version[0] && db_step(query)) {
        const char *version = db_text(query, 0);
        if (version && strlen(version) < sizeof entry->version && fits(db_text(query, 1), hardware))
            strcpy(entry->version, version);
    }
    return db_end(query, err);
}

bool release_list(struct db_conn *conn, struct arena *arena, const char *product, const char *hardware,
                  struct set_entry **set, size_t *count, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT asset, version, hardware FROM release WHERE product = :product"
                       " AND version IS NOT NULL ORDER BY asset");

    db_bind_text(query, ":product", product);
    *set = arena_array(arena, ASSETS_MOST, sizeof **set);
    *count = 0;
    bool good = true;
    while (good && *count < ASSETS_MOST && db_step(query)) {
        struct set_entry *entry = &(*set)[*count];

        snprintf(entry->asset, sizeof entry->asset, "%s", db_text(query, 0));
        snprintf(entry->version, sizeof entry->version, "%s", db_text(query, 1));
        if (!fits(db_text(query, 2), hardware))
            good = fitting_before(conn, product, hardware, entry, err);
        *count += good && entry->version[0];
    }
    struct error ignored;
    return db_end(query, good ? err : &ignored) && good;
}

bool release_write_unfit(struct db_conn *conn, const char *product, const char *hardware,
                         struct json_writer *writer, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT asset, version, hardware FROM release WHERE product = :product"
                       " AND version IS NOT NULL ORDER BY asset");

    db_bind_text(query, ":product", product);
    json_write_object(writer, "unfit");
    while (db_step(query)) {
        const char *revisions = db_text(query, 2);
        if (fits(revisions, hardware))
            continue;
        json_write_object(writer, db_text(query, 0));
        json_write_string(writer, "version", db_text(query, 1));
        json_write_raw(writer, "hardware", revisions, strlen(revisions));
        json_write_end(writer, '}');
    }
    json_write_end(writer, '}');
    return db_end(query, err);
}

/* --- releasing
 * ---------------------------------------------------------------------------------------------------- */

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

static bool release_look(struct console *console, struct arena *arena, struct release *release,
                         struct error *err)
{
    struct manifest manifest;
    char sha256[SHA256_HEX];
    DB_DONE(conn) = db_read(console->db, err);

    if (!conn || !repo_manifest(console->repo, conn, arena, release->product, release->asset,
                                release->version, &manifest, sha256, err))
        return false;
    if (manifest.kind == KIND_DIAGNOSTIC)
        return error_set(err, ERROR_INPUT,
                         "%s/%s is a diagnostic image: it is sent by a campaign, never released",
                         release->product, release->asset);
    release->hardware = hardware_json(arena, manifest.hardware);
    release->before = release_version(conn, arena, release->product, release->asset, err);
    return !err->kind && count_check(conn, release, err);
}

/* Before: the version is to be listed. */
static bool release_announce(struct db_conn *conn, const struct release *release, struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "INSERT INTO release (product, asset, next_version, hardware) VALUES (:product, :asset, :version,"
        " '[]') ON CONFLICT (product, asset) DO UPDATE SET next_version = excluded.next_version");

    db_bind_text(query, ":product", release->product);
    db_bind_text(query, ":asset", release->asset);
    db_bind_text(query, ":version", release->version);
    return db_run(query, NULL, err);
}

/* After: it is what devices should run. */
static bool release_settle(struct db_conn *conn, const struct release *release, struct error *err)
{
    size_t audited = 0;
    int64_t changes = 0;
    struct db_query *query =
        db_query(conn, "UPDATE release SET version = next_version, next_version = NULL, hardware = :hardware,"
                       " released_by = :by, released_at = :at"
                       " WHERE product = :product AND asset = :asset AND next_version = :version");

    db_bind_text(query, ":product", release->product);
    db_bind_text(query, ":asset", release->asset);
    db_bind_text(query, ":version", release->version);
    db_bind_text(query, ":hardware", release->hardware);
    db_bind_text(query, ":by", release->operator_name);
    db_bind_integer(query, ":at", clock_now());
    if (!db_run(query, &changes, err))
        return false;
    if (!changes)
        return error_set(err, ERROR_CONFLICT, "another release of %s/%s came in between", release->product,
                         release->asset);
    return audit_history(conn, release->product, release->asset, &audited, err);
}

typedef bool release_step(struct db_conn *conn, const struct release *release, struct error *err);

static bool release_write(struct console *console, release_step *step, const struct release *release,
                          struct error *err)
{
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    if (!step(conn, release, err)) {
        db_done(conn);
        return false;
    }
    return db_commit(conn, err);
}

/* Listed first, then wanted: a device never hears of a version that it cannot find. */
static bool release_do(struct console *console, struct arena *arena, struct release *release,
                       struct error *err)
{
    if (!release_look(console, arena, release, err))
        return false;
    if (string_is(release->before, release->version))
        return true;
    const char *reason = arena_printf(arena, "release %s %s", release->asset, release->version);
    if (!release_write(console, release_announce, release, err) ||
        !repo_resign(console->repo, release->product, release->operator_name, reason, err) ||
        !release_write(console, release_settle, release, err))
        return false;
    fleet_product_wish_changed(console->fleet, release->product);
    events_send(console->events, "asset", "{\"product\":\"%s\",\"asset\":\"%s\"}", release->product,
                release->asset);
    log_event(LOG_INFO, "released", "asset=%s/%s version=%s", release->product, release->asset,
              release->version);
    return true;
}

bool release_set(struct console *console, const char *product, const char *asset, const char *version,
                 const char *operator_name, int64_t *devices, struct error *err)
{
    ARENA(arena);
    struct release release = {
        .product = product, .asset = asset, .version = version, .operator_name = operator_name};

    if (!name_check("product", product, err) || !name_check("asset", asset, err) ||
        !version_check(version, err))
        return false;
    /* Git's order of two releases at once must be the order in which they count. */
    pthread_mutex_lock(&console->releasing);
    bool good = release_do(console, &arena, &release, err);
    pthread_mutex_unlock(&console->releasing);
    if (!good)
        return false;
    *devices = fleet_of_product(console->fleet, product);
    return true;
}

/* --- after a crash
 * ------------------------------------------------------------------------------------------------ */

/* The newest release of each asset that git knows, with what it fits. */
#define NEWEST                                                                                               \
    " FROM history h JOIN versions v ON v.product = h.product AND v.asset = h.asset AND v.version = "        \
    "h.version"                                                                                              \
    " WHERE h.product = release.product AND h.asset = release.asset AND h.what = 'release'"                  \
    " ORDER BY h.number DESC LIMIT 1)"

bool release_recover(struct db_conn *conn, struct error *err)
{
    int64_t settled = 0, dropped = 0;
    struct db_query *query = db_query(
        conn, "UPDATE release SET version = next_version, next_version = NULL,"
              " hardware = (SELECT v.hardware" NEWEST ", released_by = (SELECT h.author" NEWEST
              ", released_at = (SELECT h.at" NEWEST " WHERE next_version = (SELECT h.version" NEWEST);

    if (!db_run(query, &settled, err) ||
        !db_run(db_query(conn, "DELETE FROM release WHERE version IS NULL"), &dropped, err) ||
        !db_run(db_query(conn, "UPDATE release SET next_version = NULL WHERE next_version IS NOT NULL"), NULL,
                err))
        return error_add(err, "finishing releases that were cut off");
    if (settled || dropped)
        log_event(LOG_WARNING, "releases_recovered", "settled=%lld dropped=%lld", (long long)settled,
                  (long long)dropped);
    return true;
}

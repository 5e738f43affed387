#include "console/delivery/release.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "console/audit.h"
#include "console/console.h"
#include "console/delivery/group.h"
#include "console/delivery/product.h"
#include "console/delivery/reason.h"
#include "console/delivery/withdraw.h"
#include "console/events.h"
#include "console/fleet.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define ASSETS_MOST 256 /* in a set, as FORMAT.md has it */

/* A release on its way. */
struct release {
    const struct release_request *asked;
    struct arena *arena;
    int64_t group_id;     /* 0: all of the product */
    const char *hardware; /* JSON array */
    const char *before;   /* version released until now, or NULL */
    const char *why;      /* the commit's second paragraph; NULL: none */
};

/* --- may it be?
 * ------------------------------------------------------------------------------------------------- */

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

static bool count_check(struct db_conn *conn, const struct release_request *asked, struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT count(*) FROM (SELECT asset FROM release WHERE product = :product AND asset <> :asset"
              " UNION SELECT asset FROM group_release WHERE product = :product AND asset <> :asset)");
    int64_t count = 0;

    db_bind_text(query, ":product", asked->product);
    db_bind_text(query, ":asset", asked->asset);
    if (db_step(query))
        count = db_integer(query, 0);
    if (!db_end(query, err))
        return false;
    return count < ASSETS_MOST ||
           error_set(err, ERROR_LIMIT, "a device runs at most %d assets together", ASSETS_MOST);
}

static bool group_look(struct db_conn *conn, struct release *release, struct error *err)
{
    const struct release_request *asked = release->asked;
    struct group group;

    if (!name_check("group", asked->group, err) ||
        !group_find(conn, release->arena, asked->group, &group, err) ||
        !group_lasts(asked->group, &group, err))
        return false;
    release->group_id = group.id;
    struct db_query *query = db_query(conn, "SELECT version FROM group_release WHERE group_id = :group"
                                            " AND product = :product AND asset = :asset");
    db_bind_integer(query, ":group", group.id);
    db_bind_text(query, ":product", asked->product);
    db_bind_text(query, ":asset", asked->asset);
    if (db_step(query))
        release->before = db_text_copy(query, 0, release->arena);
    return db_end(query, err);
}

static bool version_look(struct console *console, struct db_conn *conn, struct release *release,
                         struct error *err)
{
    const struct release_request *asked = release->asked;
    struct manifest manifest;
    char sha256[SHA256_HEX];

    if (!repo_manifest(console->repo, conn, release->arena, asked->product, asked->asset, asked->version,
                       &manifest, sha256, err))
        return false;
    if (manifest.kind == KIND_DIAGNOSTIC)
        return error_set(err, ERROR_INPUT,
                         "%s/%s is a diagnostic image: it is sent by a campaign, never released",
                         asked->product, asked->asset);
    release->hardware = hardware_json(release->arena, manifest.hardware);
    return withdrawn_check(conn, asked->product, asked->asset, asked->version, err);
}

/* The product may ask that a version runs somewhere first. */
static bool proven_check(struct console *console, struct db_conn *conn, struct release *release,
                         struct released *released, struct error *err)
{
    const struct release_request *asked = release->asked;
    int64_t needed;

    if (!product_setting_integer(conn, asked->product, PRODUCT_PROVEN_ON, &needed, err))
        return false;
    int64_t proven = needed ? fleet_proven(console->fleet, asked->product, asked->asset, asked->version) : 0;
    if (proven >= needed)
        return true;
    if (asked->force) {
        release->why = arena_printf(release->arena, "forced, proven on %lld of %lld devices: %s",
                                    (long long)proven, (long long)needed, asked->reason);
        return true;
    }
    released->unproven = true;
    return error_set(err, ERROR_CONFLICT,
                     "%s/%s %s is proven on %lld device%s, and the product asks for %lld before a release",
                     asked->product, asked->asset, asked->version, (long long)proven, proven == 1 ? "" : "s",
                     (long long)needed);
}

static bool release_look(struct console *console, struct release *release, struct released *released,
                         struct error *err)
{
    const struct release_request *asked = release->asked;
    DB_DONE(conn) = db_read(console->db, err);

    if (!conn || !version_look(console, conn, release, err))
        return false;
    if (asked->group) {
        if (!group_look(conn, release, err))
            return false;
    } else {
        release->before = release_version(conn, release->arena, asked->product, asked->asset, err);
        if (err->kind)
            return false;
    }
    release->why = asked->reason;
    return string_is(release->before, asked->version) ||
           (count_check(conn, asked, err) && proven_check(console, conn, release, released, err));
}

/* --- announced, listed, settled
 * ------------------------------------------------------------------------------------ */

static void release_bind(struct db_query *query, const struct release *release)
{
    if (release->group_id)
        db_bind_integer(query, ":group", release->group_id);
    db_bind_text(query, ":product", release->asked->product);
    db_bind_text(query, ":asset", release->asked->asset);
    db_bind_text(query, ":version", release->asked->version);
}

/* Before: the version is to be listed. */
static bool release_announce(struct db_conn *conn, const struct release *release, struct error *err)
{
    struct db_query *query =
        release->group_id
            ? db_query(conn,
                       "INSERT INTO group_release (group_id, product, asset, next_version, hardware)"
                       " VALUES (:group, :product, :asset, :version, '[]') ON CONFLICT (group_id, product,"
                       " asset) DO UPDATE SET next_version = excluded.next_version")
            : db_query(conn, "INSERT INTO release (product, asset, next_version, hardware)"
                             " VALUES (:product, :asset, :version, '[]') ON CONFLICT (product, asset)"
                             " DO UPDATE SET next_version = excluded.next_version");

    release_bind(query, release);
    return db_run(query, NULL, err);
}

/* After: it is what devices should run. */
static bool release_settle(struct db_conn *conn, const struct release *release, struct error *err)
{
    const struct release_request *asked = release->asked;
    size_t audited = 0;
    int64_t changes = 0;
    struct db_query *query =
        release->group_id
            ? db_query(conn,
                       "UPDATE group_release SET version = next_version, next_version = NULL,"
                       " hardware = :hardware, released_by = :by, released_at = :at WHERE group_id = :group"
                       " AND product = :product AND asset = :asset AND next_version = :version")
            : db_query(conn, "UPDATE release SET version = next_version, next_version = NULL,"
                             " hardware = :hardware, released_by = :by, released_at = :at"
                             " WHERE product = :product AND asset = :asset AND next_version = :version");

    release_bind(query, release);
    db_bind_text(query, ":hardware", release->hardware);
    db_bind_text(query, ":by", asked->operator_name);
    db_bind_integer(query, ":at", clock_now());
    if (!db_run(query, &changes, err))
        return false;
    if (!changes)
        return error_set(err, ERROR_CONFLICT, "the release of %s/%s ended while it was made", asked->product,
                         asked->asset);
    return audit_history(conn, asked->product, asked->asset, &audited, err);
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

/* As repo/index.c reads it, and release_recover below. */
static const char *commit_words(const struct release *release)
{
    const struct release_request *asked = release->asked;

    return arena_printf(release->arena, "release %s %s%s%s%s%s", asked->asset, asked->version,
                        asked->group ? " to group " : "", asked->group ? asked->group : "",
                        release->why ? "\n\n" : "", release->why ? release->why : "");
}

static void release_tell(struct console *console, const char *product, const char *asset, const char *group)
{
    events_send(console->events, "asset", "{\"product\":\"%s\",\"asset\":\"%s\"}", product, asset);
    if (group)
        events_send(console->events, "group", "{\"name\":\"%s\"}", group);
}

/* Listed first, then wanted: a device never hears of a version that it cannot find. */
static bool release_do(struct console *console, struct release *release, struct released *released,
                       struct error *err)
{
    const struct release_request *asked = release->asked;

    if (!release_look(console, release, released, err))
        return false;
    bool same = string_is(release->before, asked->version);
    if (!same &&
        (!release_write(console, release_announce, release, err) ||
         !repo_resign(console->repo, asked->product, asked->operator_name, commit_words(release), err) ||
         !release_write(console, release_settle, release, err)))
        return false;
    released->devices = release->group_id
                            ? group_wish_changed(console->fleet, release->group_id, asked->product)
                            : fleet_of_product(console->fleet, asked->product);
    if (same)
        return true;
    if (!release->group_id)
        fleet_product_wish_changed(console->fleet, asked->product);
    release_tell(console, asked->product, asked->asset, asked->group);
    log_event(LOG_INFO, "released", "asset=%s/%s version=%s group=%s", asked->product, asked->asset,
              asked->version, asked->group ? asked->group : "-");
    return true;
}

bool release_make(struct console *console, const struct release_request *asked, struct released *released,
                  struct error *err)
{
    ARENA(arena);
    struct release release = {.asked = asked, .arena = &arena};

    *released = (struct released){0};
    if (!name_check("product", asked->product, err) || !name_check("asset", asked->asset, err) ||
        !version_check(asked->version, err))
        return false;
    if ((asked->force || asked->reason) && !reason_check(asked->reason, err))
        return false;
    /* Git's order of two releases at once must be the order in which they count. */
    pthread_mutex_lock(&console->releasing);
    bool good = release_do(console, &release, released, err);
    pthread_mutex_unlock(&console->releasing);
    return good;
}

bool release_set(struct console *console, const char *product, const char *asset, const char *version,
                 const char *operator_name, int64_t *devices, struct error *err)
{
    const struct release_request asked = {
        .product = product, .asset = asset, .version = version, .operator_name = operator_name};
    struct released released;

    if (!release_make(console, &asked, &released, err))
        return false;
    *devices = released.devices;
    return true;
}

/* --- ending a group's
 * --------------------------------------------------------------------------------------------- */

static bool end_store(struct db_conn *conn, const struct release *release, struct error *err)
{
    const struct release_request *asked = release->asked;
    int64_t changes = 0;
    struct db_query *query = db_query(conn, "DELETE FROM group_release WHERE group_id = :group"
                                            " AND product = :product AND asset = :asset");

    db_bind_integer(query, ":group", release->group_id);
    db_bind_text(query, ":product", asked->product);
    db_bind_text(query, ":asset", asked->asset);
    if (!db_run(query, &changes, err))
        return false;
    if (!changes)
        return error_set(err, ERROR_MISSING, "no release of %s/%s stands on the group %s", asked->product,
                         asked->asset, asked->group);
    return audit_add(conn, asked->operator_name, "end_release",
                     arena_printf(release->arena, "%s/%s", asked->product, asked->asset),
                     arena_printf(release->arena, "group %s, was %s", asked->group,
                                  release->before ? release->before : "on its way"),
                     err);
}

static bool end_do(struct console *console, struct release *release, struct error *err)
{
    struct db_conn *conn = db_read(console->db, err);
    struct error unfit = {0};

    /* A filter that does not last is no hindrance to an end. */
    bool found = conn && (group_look(conn, release, &unfit) || release->group_id);
    db_done(conn);
    if (!found && unfit.kind)
        *err = unfit;
    return found && release_write(console, end_store, release, err);
}

bool release_end(struct console *console, const char *product, const char *asset, const char *group,
                 const char *operator_name, struct error *err)
{
    ARENA(arena);
    const struct release_request asked = {
        .product = product, .asset = asset, .group = group, .operator_name = operator_name};
    struct release release = {.asked = &asked, .arena = &arena};

    if (!name_check("product", product, err) || !name_check("asset", asset, err))
        return false;
    pthread_mutex_lock(&console->releasing);
    bool good = end_do(console, &release, err);
    pthread_mutex_unlock(&console->releasing);
    if (!good)
        return false;
    group_wish_changed(console->fleet, release.group_id, product);
    release_tell(console, product, asset, group);
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
/* The same of one group: by the first line of the commit's message. */
#define NEWEST_OF_GROUP                                                                                      \
    " FROM history h JOIN versions v ON v.product = h.product AND v.asset = h.asset AND v.version = "        \
    "h.version JOIN device_group g ON g.id = group_release.group_id"                                         \
    " WHERE h.product = group_release.product AND h.asset = group_release.asset"                             \
    " AND h.what = 'group_release' AND substr(h.message, 1, instr(h.message || char(10), char(10)) - 1)"     \
    " = 'release ' || h.asset || ' ' || h.version || ' to group ' || g.name"                                 \
    " ORDER BY h.number DESC LIMIT 1)"

static bool groups_recover(struct db_conn *conn, int64_t *settled, int64_t *dropped, struct error *err)
{
    return db_run(db_query(conn, "UPDATE group_release SET version = next_version, next_version = NULL,"
                                 " hardware = (SELECT v.hardware" NEWEST_OF_GROUP
                                 ", released_by = (SELECT h.author" NEWEST_OF_GROUP
                                 ", released_at = (SELECT h.at" NEWEST_OF_GROUP
                                 " WHERE next_version = (SELECT h.version" NEWEST_OF_GROUP),
                  settled, err) &&
           db_run(db_query(conn, "DELETE FROM group_release WHERE version IS NULL"), dropped, err) &&
           db_run(db_query(conn, "UPDATE group_release SET next_version = NULL"
                                 " WHERE next_version IS NOT NULL"),
                  NULL, err);
}

bool release_recover(struct db_conn *conn, struct error *err)
{
    int64_t settled = 0, dropped = 0, of_groups = 0, dropped_of_groups = 0;
    struct db_query *query = db_query(
        conn, "UPDATE release SET version = next_version, next_version = NULL,"
              " hardware = (SELECT v.hardware" NEWEST ", released_by = (SELECT h.author" NEWEST
              ", released_at = (SELECT h.at" NEWEST " WHERE next_version = (SELECT h.version" NEWEST);

    if (!db_run(query, &settled, err) ||
        !db_run(db_query(conn, "DELETE FROM release WHERE version IS NULL"), &dropped, err) ||
        !db_run(db_query(conn, "UPDATE release SET next_version = NULL WHERE next_version IS NOT NULL"), NULL,
                err) ||
        !groups_recover(conn, &of_groups, &dropped_of_groups, err))
        return error_add(err, "finishing releases that were cut off");
    settled += of_groups;
    dropped += dropped_of_groups;
    if (settled || dropped)
        log_event(LOG_WARNING, "releases_recovered", "settled=%lld dropped=%lld", (long long)settled,
                  (long long)dropped);
    return true;
}

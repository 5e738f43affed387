/* Releases as others see them: what stands, for whom, and what must stay listed. */
#include "console/delivery/release.h"

#include "base/json.h"
#include "base/text.h"
#include "console/console.h"
#include "console/delivery/rollout.h"
#include "diagnostics/campaign.h"

#include <string.h>

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

bool releases_write(struct db_conn *conn, const char *product, const char *asset, struct json_writer *writer,
                    struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT NULL AS name, version, released_by, released_at FROM release"
              " WHERE product = :product AND asset = :asset AND version IS NOT NULL"
              " UNION ALL SELECT g.name, r.version, r.released_by, r.released_at FROM group_release r"
              " JOIN device_group g ON g.id = r.group_id"
              " WHERE r.product = :product AND r.asset = :asset AND r.version IS NOT NULL"
              " ORDER BY name");

    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset);
    json_write_array(writer, "releases");
    while (db_step(query)) {
        json_write_object(writer, NULL);
        json_write_string(writer, "group", db_text(query, 0));
        json_write_string(writer, "version", db_text(query, 1));
        json_write_string(writer, "by", db_text(query, 2));
        json_write_time(writer, "at", db_integer(query, 3));
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
    return db_end(query, err);
}

/* --- what must stay listed
 * ---------------------------------------------------------------------------------------- */

/* Everything that an order may name, and what is about to be: rows are written before the metadata are
 * signed. */
static struct db_query *wanted_query(struct db_conn *conn)
{
    return db_query(
        conn, "SELECT 1 FROM release WHERE product = :product AND asset = :asset"
              " AND (version = :version OR next_version = :version)"
              " UNION ALL SELECT 1 FROM group_release WHERE product = :product AND asset = :asset"
              " AND (version = :version OR next_version = :version)"
              " UNION ALL SELECT 1 FROM pin p JOIN device d ON d.id = p.device_id"
              " WHERE p.asset = :asset AND (p.version = :version OR p.next_version = :version)"
              " AND d.product = :product"
              " UNION ALL SELECT 1 FROM device_kept k JOIN device d ON d.id = k.device_id"
              " WHERE k.asset = :asset AND k.version = :version AND d.product = :product"
              " UNION ALL SELECT 1 FROM device_target t JOIN device d ON d.id = t.device_id"
              " WHERE t.asset = :asset AND t.version = :version AND d.product = :product"
              /* or released before, and no release for all revisions that still holds came since */
              " UNION ALL SELECT 1 FROM history h WHERE h.product = :product AND h.asset = :asset"
              " AND h.version = :version AND h.what = 'release' AND NOT EXISTS"
              " (SELECT 1 FROM history n JOIN versions v ON v.product = n.product"
              " AND v.asset = n.asset AND v.version = n.version WHERE n.product = h.product"
              " AND n.asset = h.asset AND n.what = 'release' AND n.number > h.number"
              " AND v.hardware = '[]' AND NOT EXISTS (SELECT 1 FROM withdrawn w WHERE w.product = n.product"
              " AND w.asset = n.asset AND w.version = n.version))");
}

bool release_wanted(void *context, const char *product, const char *asset, const char *version)
{
    struct console *console = context;
    struct error err = {0};
    DB_DONE(conn) = db_read(console->db, &err);

    if (!conn)
        return true; /* rather one too many than one that a device cannot find */
    struct db_query *query = wanted_query(conn);
    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset);
    db_bind_text(query, ":version", version);
    bool wanted = db_step(query);
    return !db_end(query, &err) || wanted || campaign_wants(conn, product, asset, version) ||
           rollout_wants(conn, product, asset, version);
}

/* --- for other hardware
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

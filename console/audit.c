#include "console/audit.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "repo/repo.h"

#include <stdio.h>
#include <string.h>

static bool last_hash(struct db_conn *conn, char hash[SHA256_HEX], struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT hash FROM audit ORDER BY id DESC LIMIT 1");

    memset(hash, 0, SHA256_HEX);
    if (db_step(query) && db_text(query, 0))
        snprintf(hash, SHA256_HEX, "%s", db_text(query, 0));
    return db_end(query, err);
}

/* The canonical form of a row: its members sorted, no white space. */
static bool row_hash(const char *before, const struct audit_row *row, char hash[SHA256_HEX],
                     struct error *err)
{
    ARENA(arena);
    struct json_writer json;
    TEXT(plain);
    TEXT(canonical);

    json_write_init(&json, &plain);
    json_write_object(&json, NULL);
    json_write_string(&json, "action", row->action);
    json_write_integer(&json, "at", row->at);
    json_write_string(&json, "before", before);
    json_write_string(&json, "detail", row->detail);
    json_write_string(&json, "object", row->object);
    json_write_string(&json, "operator", row->operator_name);
    json_write_end(&json, '}');
    const struct json *value = json_read(&arena, text_string(&plain), plain.size, &json_limits_large, err);
    if (!value || !json_canonical(value, &canonical, err))
        return false;
    sha256_hex(canonical.bytes, canonical.size, hash);
    return true;
}

static bool row_add(struct db_conn *conn, const struct audit_row *row, struct error *err)
{
    char before[SHA256_HEX], hash[SHA256_HEX];

    if (!last_hash(conn, before, err) || !row_hash(before, row, hash, err))
        return error_add(err, "The audit cannot be written");
    struct db_query *query = db_query(conn, "INSERT INTO audit (at, operator, action, object, detail, hash) "
                                            "VALUES (:at, :operator, :action, :object, :detail, :hash)");
    db_bind_integer(query, ":at", row->at);
    db_bind_text(query, ":operator", row->operator_name);
    db_bind_text(query, ":action", row->action);
    db_bind_text(query, ":object", row->object);
    db_bind_text(query, ":detail", row->detail);
    db_bind_text(query, ":hash", hash);
    return db_run(query, NULL, err) ? true : error_add(err, "The audit cannot be written");
}

bool audit_add(struct db_conn *conn, const char *operator_name, const char *action, const char *object,
               const char *detail, struct error *err)
{
    const struct audit_row row = {.at = clock_now(),
                                  .operator_name = operator_name,
                                  .action = action,
                                  .object = object,
                                  .detail = detail};

    return row_add(conn, &row, err);
}

/* --- what git's history says
 * ---------------------------------------------------------------------------------------- */

/* What came after the newest deed that the audit has, oldest first. A row is found by its object and by its
 * commit: one version may be released again and again. */
static struct db_query *deeds_query(struct db_conn *conn, const char *product, const char *asset)
{
    struct db_query *query = db_query(
        conn, "SELECT h.at, h.author, h.what, h.product || '/' || h.asset || '@' || h.version,"
              " 'commit ' || substr(h.commit_id, 1, 12), v.title,"
              " (SELECT b.version FROM history b WHERE b.product = h.product AND b.asset = h.asset"
              " AND b.what = 'release' AND b.number < h.number ORDER BY b.number DESC LIMIT 1), h.message"
              " FROM history h LEFT JOIN versions v ON v.number = h.number"
              " WHERE h.product = :product AND h.asset = :asset AND h.version IS NOT NULL AND h.number >"
              " COALESCE((SELECT n.number FROM history n WHERE n.product = :product AND n.asset = :asset"
              " AND EXISTS (SELECT 1 FROM audit a"
              " WHERE a.object = n.product || '/' || n.asset || '@' || n.version"
              " AND substr(a.detail, 1, 19) = 'commit ' || substr(n.commit_id, 1, 12))"
              " ORDER BY n.number DESC LIMIT 1), 0) ORDER BY h.number");

    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset);
    return query;
}

static struct audit_row deed_row(struct db_query *query, struct arena *arena)
{
    struct audit_row row = {.at = db_integer(query, 0),
                            .operator_name = db_text_copy(query, 1, arena),
                            .action = db_text_copy(query, 2, arena),
                            .object = db_text_copy(query, 3, arena),
                            .detail = db_text_copy(query, 4, arena)};
    const char *title = db_text(query, 5), *released = db_text(query, 6), *message = db_text(query, 7);
    const char *group = strstr(message, " to group "), *why = strstr(message, "\n\n");

    if (title)
        row.detail = arena_printf(arena, "%s: %s", row.detail, title);
    else if (released && string_is(row.action, "release"))
        row.detail = arena_printf(arena, "%s, before: %s", row.detail, released);
    else if (group && string_is(row.action, "group_release"))
        row.detail = arena_printf(arena, "%s, %.*s", row.detail, (int)strcspn(group + 1, "\n"), group + 1);
    if (why && !string_is(row.action, "publish"))
        row.detail = arena_printf(arena, "%s; %.*s", row.detail, (int)strcspn(why + 2, "\n"), why + 2);
    return row;
}

bool audit_history(struct db_conn *conn, const char *product, const char *asset, size_t *added,
                   struct error *err)
{
    ARENA(arena);
    struct db_query *query = deeds_query(conn, product, asset);
    struct audit_row *rows = NULL;
    size_t count = 0, room = 0;

    while (db_step(query)) {
        if (count == room) {
            struct audit_row *grown = arena_array(&arena, room = room ? 2 * room : 8, sizeof(*grown));

            if (count)
                memcpy(grown, rows, count * sizeof(*grown));
            rows = grown;
        }
        rows[count++] = deed_row(query, &arena);
    }
    if (!db_end(query, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!row_add(conn, &rows[i], err))
            return false;
    }
    *added += count;
    return true;
}

bool audit_history_all(struct db_conn *conn, size_t *added, struct error *err)
{
    ARENA(arena);
    struct asset_row *assets;
    size_t count;

    *added = 0;
    if (!repo_assets(conn, &arena, NULL, &assets, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!audit_history(conn, assets[i].product, assets[i].name, added, err))
            return false;
    }
    return true;
}

static struct audit_row row_of(struct db_query *query, struct arena *arena)
{
    return (struct audit_row){.id = db_integer(query, 0),
                              .at = db_integer(query, 1),
                              .operator_name = db_text_copy(query, 2, arena),
                              .action = db_text_copy(query, 3, arena),
                              .object = db_text_copy(query, 4, arena),
                              .detail = db_text_copy(query, 5, arena),
                              .hash = db_text_copy(query, 6, arena)};
}

bool audit_rows(struct db_conn *conn, struct arena *arena, int64_t before, size_t most,
                struct audit_row **rows, size_t *count, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT id, at, operator, action, object, detail, hash FROM audit "
                       "WHERE id < :before ORDER BY id DESC LIMIT :most");

    db_bind_integer(query, ":before", before > 0 ? before : INT64_MAX);
    db_bind_integer(query, ":most", (int64_t)most);
    *rows = arena_array(arena, most ? most : 1, sizeof(**rows));
    for (*count = 0; *count < most && db_step(query); ++*count)
        (*rows)[*count] = row_of(query, arena);
    return db_end(query, err);
}

bool audit_verify(struct db_conn *conn, int64_t *rows, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT id, at, operator, action, object, detail, hash FROM audit ORDER BY id");
    char before[SHA256_HEX] = "", hash[SHA256_HEX];
    bool good = true;

    for (*rows = 0; good && db_step(query); ++*rows) {
        ARENA(arena);
        struct audit_row row = row_of(query, &arena);

        good = row_hash(before, &row, hash, err);
        if (good && strcmp(hash, row.hash) != 0)
            good = error_set(err, ERROR_UNTRUSTED, "Row %lld of the audit was changed afterwards",
                             (long long)row.id);
        memcpy(before, hash, sizeof(before));
    }
    struct error late;
    if (!db_end(query, &late) && good) {
        *err = late;
        return false;
    }
    return good;
}

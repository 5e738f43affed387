#include "console/audit.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"

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

bool audit_add(struct db_conn *conn, const char *operator_name, const char *action, const char *object,
               const char *detail, struct error *err)
{
    struct audit_row row = {.at = clock_now(),
                            .operator_name = operator_name,
                            .action = action,
                            .object = object,
                            .detail = detail};
    char before[SHA256_HEX], hash[SHA256_HEX];

    if (!last_hash(conn, before, err) || !row_hash(before, &row, hash, err))
        return error_add(err, "The audit cannot be written");
    struct db_query *query = db_query(conn, "INSERT INTO audit (at, operator, action, object, detail, hash) "
                                            "VALUES (:at, :operator, :action, :object, :detail, :hash)");
    db_bind_integer(query, ":at", row.at);
    db_bind_text(query, ":operator", operator_name);
    db_bind_text(query, ":action", action);
    db_bind_text(query, ":object", object);
    db_bind_text(query, ":detail", detail);
    db_bind_text(query, ":hash", hash);
    return db_run(query, NULL, err) ? true : error_add(err, "The audit cannot be written");
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

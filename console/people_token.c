#include "console/people_parts.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "console/audit.h"

#include <string.h>

#define TOKENS_MOST 100 /* of one operator */

static bool owner(struct db_conn *conn, const char *name, int64_t *id, enum role *role, int64_t *tokens,
                  struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT id, role, (SELECT count(*) FROM tokens t WHERE t.operator_id = operators.id) "
                       "FROM operators WHERE name = :name");

    db_bind_text(query, ":name", name);
    bool found = db_step(query) && role_from_name(db_text(query, 1), role);
    if (found) {
        *id = db_integer(query, 0);
        *tokens = db_integer(query, 2);
    }
    if (!db_end(query, err))
        return false;
    return found ? true : error_set(err, ERROR_MISSING, "There is no operator \"%s\"", name);
}

static bool add_row(struct db_conn *conn, int64_t operator_id, const char *name, const char *token,
                    enum role role, int64_t lasts_s, struct error *err)
{
    struct db_query *query =
        db_query(conn, "INSERT INTO tokens (operator_id, name, token, role, created_at, expires_at) "
                       "VALUES (:operator, :name, :token, :role, :now, :expires)");
    char hash[SHA256_HEX];

    secret_hash(token, hash);
    db_bind_integer(query, ":operator", operator_id);
    db_bind_text(query, ":name", name);
    db_bind_text(query, ":token", hash);
    db_bind_text(query, ":role", role_name(role));
    db_bind_integer(query, ":now", clock_now());
    if (lasts_s)
        db_bind_integer(query, ":expires", clock_now() + lasts_s);
    else
        db_bind_null(query, ":expires");
    if (db_run(query, NULL, err))
        return true;
    if (err->kind == ERROR_CONFLICT)
        error_set(err, ERROR_CONFLICT, "There is a token \"%s\" already", name);
    return false;
}

bool token_add(struct console *console, const char *operator_name, const char *name, const enum role *role,
               int64_t lasts_s, char token[SECRET_SIZE], struct error *err)
{
    int64_t id = 0, tokens = 0;
    enum role own = ROLE_NONE;

    if (!name_check("token", name, err))
        return false;
    secret_make("locum_", token);
    DB_DONE(conn) = db_write(console->db, err);
    if (!conn || !owner(conn, operator_name, &id, &own, &tokens, err))
        return false;
    if (tokens >= TOKENS_MOST)
        return error_set(err, ERROR_LIMIT, "An operator has at most %d tokens", TOKENS_MOST);
    if (role && *role > own)
        return error_set(err, ERROR_DENIED, "A token has at most its operator's role, here \"%s\"",
                         role_name(own));
    if (!add_row(conn, id, name, token, role ? *role : own, lasts_s, err) ||
        !audit_add(conn, operator_name, "create token", name, role_name(role ? *role : own), err))
        return false;
    return commit(&conn, err);
}

bool token_remove(struct console *console, const char *operator_name, const char *name, struct error *err)
{
    int64_t removed;

    DB_DONE(conn) = db_write(console->db, err);
    if (!conn)
        return false;
    struct db_query *query =
        db_query(conn, "DELETE FROM tokens WHERE name = :name AND "
                       "operator_id = (SELECT id FROM operators WHERE name = :operator)");
    db_bind_text(query, ":name", name);
    db_bind_text(query, ":operator", operator_name);
    if (!db_run(query, &removed, err))
        return false;
    if (removed == 0)
        return error_set(err, ERROR_MISSING, "There is no token \"%s\"", name);
    if (!audit_add(conn, operator_name, "remove token", name, NULL, err))
        return false;
    bool good = commit(&conn, err);
    console->people->changes++;
    return good;
}

bool tokens_write(struct console *console, const char *operator_name, struct text *out, struct error *err)
{
    struct json_writer json;

    DB_DONE(conn) = db_read(console->db, err);
    if (!conn)
        return false;
    struct db_query *query =
        db_query(conn, "SELECT t.name, t.role, t.created_at, t.expires_at FROM tokens t JOIN operators o "
                       "ON o.id = t.operator_id WHERE o.name = :operator ORDER BY t.name");
    db_bind_text(query, ":operator", operator_name);
    json_write_init(&json, out);
    json_write_array(&json, NULL);
    while (db_step(query)) {
        json_write_object(&json, NULL);
        json_write_string(&json, "name", db_text(query, 0));
        json_write_string(&json, "role", db_text(query, 1));
        json_write_time(&json, "created_at", db_integer(query, 2));
        json_write_time(&json, "expires_at", db_integer(query, 3));
        json_write_end(&json, '}');
    }
    json_write_end(&json, ']');
    return db_end(query, err);
}

#include "console/people_parts.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "console/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum role role;
    const char *name;
} roles[] = {
    {ROLE_VIEWER, "viewer"}, {ROLE_SUPPORT, "support"}, {ROLE_RELEASE, "release"}, {ROLE_ADMIN, "admin"}};

const char *role_name(enum role role)
{
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (roles[i].role == role)
            return roles[i].name;
    }
    return "none";
}

bool role_from_name(const char *name, enum role *role)
{
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (string_is(roles[i].name, name)) {
            *role = roles[i].role;
            return true;
        }
    }
    return false;
}

struct people *people_new(void)
{
    struct people *people = calloc(1, sizeof(*people));
    char nobody[SECRET_SIZE];

    if (!people)
        abort();
    pthread_mutex_init(&people->lock, NULL);
    pthread_cond_init(&people->check_ends, NULL);
    secret_make("", nobody);
    password_hash(nobody, people->nobody);
    return people;
}

void people_free(struct people *people)
{
    if (!people)
        return;
    pthread_mutex_destroy(&people->lock);
    pthread_cond_destroy(&people->check_ends);
    free(people);
}

int64_t people_changes(struct people *people)
{
    return people->changes;
}

void secret_make(const char *prefix, char secret[SECRET_SIZE])
{
    uint8_t bytes[24];
    char text[40];

    random_bytes(bytes, sizeof(bytes));
    base64url_encode(text, bytes, sizeof(bytes));
    snprintf(secret, SECRET_SIZE, "%s%s", prefix, text);
}

void secret_hash(const char *secret, char hash[SHA256_HEX])
{
    sha256_hex(secret, strlen(secret), hash);
}

bool commit(struct db_conn **conn, struct error *err)
{
    struct db_conn *done = *conn;

    *conn = NULL;
    return db_commit(done, err);
}

static bool count(struct db_conn *conn, const char *role, int64_t *many, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT count(*) FROM operators WHERE :role IS NULL OR role = :role");

    db_bind_text(query, ":role", role);
    *many = db_step(query) ? db_integer(query, 0) : 0;
    return db_end(query, err);
}

bool people_any(struct console *console, bool *any, struct error *err)
{
    DB_DONE(conn) = db_read(console->db, err);
    int64_t many;

    if (!conn || !count(conn, NULL, &many, err))
        return false;
    *any = many > 0;
    return true;
}

void people_setup_token(struct people *people, char *token)
{
    secret_make("", token);
    pthread_mutex_lock(&people->lock);
    secret_hash(token, people->setup);
    pthread_mutex_unlock(&people->lock);
}

static bool add_row(struct db_conn *conn, const char *name, const char *hash, enum role role,
                    struct error *err)
{
    struct db_query *query = db_query(conn, "INSERT INTO operators (name, password, role, created_at) "
                                            "VALUES (:name, :password, :role, :now)");

    db_bind_text(query, ":name", name);
    db_bind_text(query, ":password", hash);
    db_bind_text(query, ":role", role_name(role));
    db_bind_integer(query, ":now", clock_now());
    if (db_run(query, NULL, err))
        return true;
    if (err->kind == ERROR_CONFLICT)
        error_set(err, ERROR_CONFLICT, "There is an operator \"%s\" already", name);
    return false;
}

static bool operator_check(const char *name, const char *password, struct error *err)
{
    return name_check("operator", name, err) && password_good(password, err);
}

bool people_first(struct console *console, const char *name, const char *password, struct error *err)
{
    char hash[PASSWORD_HASH_SIZE];
    int64_t many;

    if (!operator_check(name, password, err))
        return false;
    password_hash(password, hash);
    DB_DONE(conn) = db_write(console->db, err);
    if (!conn || !count(conn, NULL, &many, err))
        return false;
    if (many > 0)
        return error_set(err, ERROR_CONFLICT, "There is an operator already: sign in");
    if (!add_row(conn, name, hash, ROLE_ADMIN, err) ||
        !audit_add(conn, name, "create", name, "first operator", err))
        return false;
    return commit(&conn, err);
}

bool people_setup(struct console *console, const char *token, const char *name, const char *password,
                  struct error *err)
{
    struct people *people = console->people;
    char hash[SHA256_HEX];

    secret_hash(token, hash);
    pthread_mutex_lock(&people->lock);
    bool good = people->setup[0] && secret_equal(hash, people->setup, SHA256_HEX - 1);
    pthread_mutex_unlock(&people->lock);
    if (!good)
        return error_set(err, ERROR_DENIED,
                         "This set-up link is not valid: the newest one is in the output of locum serve");
    if (!people_first(console, name, password, err))
        return false;
    pthread_mutex_lock(&people->lock);
    people->setup[0] = '\0';
    pthread_mutex_unlock(&people->lock);
    return true;
}

bool operator_add(struct console *console, const char *name, const char *password, enum role role,
                  const char *by, struct error *err)
{
    char hash[PASSWORD_HASH_SIZE];

    if (!operator_check(name, password, err))
        return false;
    password_hash(password, hash);
    DB_DONE(conn) = db_write(console->db, err);
    if (!conn || !add_row(conn, name, hash, role, err) ||
        !audit_add(conn, by, "create", name, role_name(role), err))
        return false;
    return commit(&conn, err);
}

static bool role_of(struct db_conn *conn, const char *name, enum role *role, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT role FROM operators WHERE name = :name");

    db_bind_text(query, ":name", name);
    bool found = db_step(query) && role_from_name(db_text(query, 0), role);
    if (!db_end(query, err))
        return false;
    return found ? true : error_set(err, ERROR_MISSING, "There is no operator \"%s\"", name);
}

/* Without an administrator nobody could ever make one again. */
static bool not_last(struct db_conn *conn, const char *name, struct error *err)
{
    enum role role;
    int64_t many;

    if (!role_of(conn, name, &role, err) || !count(conn, "admin", &many, err))
        return false;
    if (role == ROLE_ADMIN && many < 2)
        return error_set(err, ERROR_CONFLICT, "%s is the last administrator", name);
    return true;
}

static bool sessions_end(struct db_conn *conn, const char *name, const char *keep, struct error *err)
{
    struct db_query *query = db_query(
        conn, "DELETE FROM sessions WHERE operator_id = (SELECT id FROM operators WHERE name = :name) "
              "AND token <> :keep");

    db_bind_text(query, ":name", name);
    db_bind_text(query, ":keep", keep ? keep : "");
    return db_run(query, NULL, err);
}

static bool set_password(struct db_conn *conn, const char *name, const char *hash, struct error *err)
{
    struct db_query *query = db_query(conn, "UPDATE operators SET password = :password WHERE name = :name");

    db_bind_text(query, ":password", hash);
    db_bind_text(query, ":name", name);
    return db_run(query, NULL, err);
}

static bool set_role(struct db_conn *conn, const char *name, enum role role, struct error *err)
{
    struct db_query *query = db_query(conn, "UPDATE operators SET role = :role WHERE name = :name");

    db_bind_text(query, ":role", role_name(role));
    db_bind_text(query, ":name", name);
    return db_run(query, NULL, err);
}

bool operator_change(struct console *console, const char *name, const char *password, const enum role *role,
                     const char *by, struct error *err)
{
    char hash[PASSWORD_HASH_SIZE];
    enum role before;

    if (password && !password_good(password, err))
        return false;
    if (password)
        password_hash(password, hash);
    DB_DONE(conn) = db_write(console->db, err);
    if (!conn || !role_of(conn, name, &before, err))
        return false;
    if (role && ((*role < before && !not_last(conn, name, err)) || !set_role(conn, name, *role, err) ||
                 !audit_add(conn, by, "change role", name, role_name(*role), err)))
        return false;
    if (password && (!set_password(conn, name, hash, err) || !sessions_end(conn, name, NULL, err) ||
                     !audit_add(conn, by, "change password", name, NULL, err)))
        return false;
    console->people->changes++;
    return commit(&conn, err);
}

bool operator_remove(struct console *console, const char *name, const char *by, struct error *err)
{
    DB_DONE(conn) = db_write(console->db, err);
    if (!conn || !not_last(conn, name, err))
        return false;
    struct db_query *query = db_query(conn, "DELETE FROM operators WHERE name = :name");
    db_bind_text(query, ":name", name);
    if (!db_run(query, NULL, err) || !audit_add(conn, by, "remove", name, NULL, err))
        return false;
    bool good = commit(&conn, err);
    console->people->changes++;
    return good;
}

static bool own_password(struct console *console, struct arena *arena, const char *name, char **hash,
                         struct error *err)
{
    DB_DONE(conn) = db_read(console->db, err);
    if (!conn)
        return false;
    struct db_query *query = db_query(conn, "SELECT password FROM operators WHERE name = :name");
    db_bind_text(query, ":name", name);
    *hash = db_step(query) ? db_text_copy(query, 0, arena) : NULL;
    return db_end(query, err);
}

bool operator_password(struct console *console, const struct person *person, const char *before,
                       const char *after, const char *address, const char *session, struct error *err)
{
    ARENA(arena);
    char fresh[PASSWORD_HASH_SIZE], keep[SHA256_HEX] = "";
    char *hash;
    int64_t wait_s;

    if (!password_good(after, err) || !sign_in_try(console->people, person->name, address, &wait_s, err) ||
        !own_password(console, &arena, person->name, &hash, err))
        return false;
    bool good = password_check(console->people, before, hash);
    sign_in_done(console->people, person->name, address, good);
    if (!good)
        return error_set(err, ERROR_INPUT, "The old password is another");
    password_hash(after, fresh);
    if (session)
        secret_hash(session, keep);
    DB_DONE(conn) = db_write(console->db, err);
    if (!conn || !set_password(conn, person->name, fresh, err) ||
        !sessions_end(conn, person->name, keep, err) ||
        !audit_add(conn, person->name, "change password", person->name, NULL, err))
        return false;
    console->people->changes++;
    return commit(&conn, err);
}

bool operators_write(struct console *console, struct text *out, struct error *err)
{
    struct json_writer json;

    DB_DONE(conn) = db_read(console->db, err);
    if (!conn)
        return false;
    struct db_query *query =
        db_query(conn, "SELECT name, role, created_at, last_seen FROM operators ORDER BY name");
    json_write_init(&json, out);
    json_write_array(&json, NULL);
    while (db_step(query)) {
        json_write_object(&json, NULL);
        json_write_string(&json, "name", db_text(query, 0));
        json_write_string(&json, "role", db_text(query, 1));
        json_write_time(&json, "created_at", db_integer(query, 2));
        json_write_time(&json, "last_seen", db_integer(query, 3));
        json_write_end(&json, '}');
    }
    json_write_end(&json, ']');
    return db_end(query, err);
}

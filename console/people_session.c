#include "console/people_parts.h"

#include "base/clock.h"
#include "base/digest.h"
#include "console/audit.h"

#include <string.h>

#define FAILURES_MOST 5
#define CLOSED_S (15 * 60)
#define SEEN_EVERY_S 300

/* --- passwords
 * ---------------------------------------------------------------------------------------------------- */
bool password_good(const char *password, struct error *err)
{
    size_t size = strlen(password);

    if (size < 8 || size > 256)
        return error_set(err, ERROR_INPUT, "A password has 8 to 256 characters");
    return true;
}

bool password_check(struct people *people, const char *password, const char *hash)
{
    pthread_mutex_lock(&people->lock);
    while (people->checks >= CHECKS_AT_ONCE)
        pthread_cond_wait(&people->check_ends, &people->lock);
    people->checks++;
    pthread_mutex_unlock(&people->lock);
    bool good = password_matches(password, hash ? hash : people->nobody) && hash;
    pthread_mutex_lock(&people->lock);
    people->checks--;
    pthread_cond_signal(&people->check_ends);
    pthread_mutex_unlock(&people->lock);
    return good;
}

static void attempt_key(const char *name, const char *address, char key[SHA256_HEX])
{
    ARENA(arena);
    char *both = arena_printf(&arena, "%s\n%s", address, name);

    sha256_hex(both, strlen(both), key);
}

/* The row of this key; else, when `make`, a free or the oldest one. Under the lock. */
static struct attempt *attempt_find(struct people *people, const char *key, bool make, int64_t now)
{
    struct attempt *oldest = &people->attempts[0];

    for (int i = 0; i < ATTEMPTS_KEPT; i++) {
        struct attempt *attempt = &people->attempts[i];

        if (attempt->since && attempt->since + CLOSED_S <= now)
            *attempt = (struct attempt){0};
        if (attempt->since && strcmp(attempt->key, key) == 0)
            return attempt;
        if (attempt->since < oldest->since)
            oldest = attempt;
    }
    if (!make)
        return NULL;
    *oldest = (struct attempt){.since = now};
    memcpy(oldest->key, key, SHA256_HEX);
    return oldest;
}

/* Counts the try as a failure until it is done, so that many at once do not pass together. */
bool sign_in_try(struct people *people, const char *name, const char *address, int64_t *wait_s,
                 struct error *err)
{
    char key[SHA256_HEX];
    int64_t now = clock_now();

    attempt_key(name, address, key);
    pthread_mutex_lock(&people->lock);
    struct attempt *attempt = attempt_find(people, key, true, now);
    bool open = attempt->failures < FAILURES_MOST;
    *wait_s = attempt->since + CLOSED_S - now;
    if (open)
        attempt->failures++;
    pthread_mutex_unlock(&people->lock);
    if (open)
        return true;
    return error_set(err, ERROR_LIMIT, "Too many failed sign-ins: wait %lld minutes",
                     (long long)(*wait_s + 59) / 60);
}

void sign_in_done(struct people *people, const char *name, const char *address, bool good)
{
    char key[SHA256_HEX];

    if (!good)
        return;
    attempt_key(name, address, key);
    pthread_mutex_lock(&people->lock);
    struct attempt *attempt = attempt_find(people, key, false, clock_now());
    if (attempt)
        *attempt = (struct attempt){0};
    pthread_mutex_unlock(&people->lock);
}

/* --- sessions
 * ----------------------------------------------------------------------------------------------------- */
static bool find_operator(struct console *console, struct arena *arena, const char *name,
                          struct person *person, char **hash, struct error *err)
{
    DB_DONE(conn) = db_read(console->db, err);
    if (!conn)
        return false;
    struct db_query *query =
        db_query(conn, "SELECT id, name, role, password FROM operators WHERE name = :name");
    db_bind_text(query, ":name", name);
    *hash = NULL;
    if (db_step(query)) {
        person->id = db_integer(query, 0);
        person->name = db_text_copy(query, 1, arena);
        if (!role_from_name(db_text(query, 2), &person->role))
            person->role = ROLE_NONE;
        *hash = db_text_copy(query, 3, arena);
    }
    return db_end(query, err);
}

bool session_add(struct console *console, int64_t operator_id, const char *address, char secret[SECRET_SIZE],
                 struct error *err)
{
    char hash[SHA256_HEX];

    secret_make("", secret);
    secret_hash(secret, hash);
    DB_DONE(conn) = db_write(console->db, err);
    if (!conn)
        return false;
    struct db_query *query = db_query(
        conn, "INSERT INTO sessions (token, operator_id, address, created_at, last_seen, expires_at) "
              "VALUES (:token, :operator, :address, :now, :now, :expires)");
    db_bind_text(query, ":token", hash);
    db_bind_integer(query, ":operator", operator_id);
    db_bind_text(query, ":address", address);
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":expires", clock_now() + SESSION_MOST_S);
    if (!db_run(query, NULL, err))
        return false;
    query = db_query(conn, "UPDATE operators SET last_seen = :now WHERE id = :id");
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":id", operator_id);
    if (!db_run(query, NULL, err))
        return false;
    return commit(&conn, err);
}

bool session_open(struct console *console, struct arena *arena, const char *name, const char *password,
                  const char *address, struct person *person, char secret[SECRET_SIZE], int64_t *wait_s,
                  struct error *err)
{
    char *hash;

    *wait_s = 0;
    if (!sign_in_try(console->people, name, address, wait_s, err) ||
        !find_operator(console, arena, name, person, &hash, err))
        return false;
    *wait_s = 0;
    bool good = password_check(console->people, password, hash);
    sign_in_done(console->people, name, address, good);
    if (!good)
        return error_set(err, ERROR_DENIED, "Name or password is wrong");
    return session_add(console, person->id, address, secret, err);
}

bool session_close(struct console *console, const char *secret, struct error *err)
{
    char hash[SHA256_HEX];

    secret_hash(secret, hash);
    DB_DONE(conn) = db_write(console->db, err);
    if (!conn)
        return false;
    struct db_query *query = db_query(conn, "DELETE FROM sessions WHERE token = :token");
    db_bind_text(query, ":token", hash);
    if (!db_run(query, NULL, err))
        return false;
    console->people->changes++;
    return commit(&conn, err);
}

/* A person who works is seen every five minutes; that this write may fail hurts nobody. */
static void session_touch(struct console *console, const char *hash, int64_t operator_id)
{
    struct error err;

    DB_DONE(conn) = db_write(console->db, &err);
    if (!conn)
        return;
    struct db_query *query = db_query(conn, "UPDATE sessions SET last_seen = :now WHERE token = :token");
    db_bind_integer(query, ":now", clock_now());
    db_bind_text(query, ":token", hash);
    if (!db_run(query, NULL, &err))
        return;
    query = db_query(conn, "UPDATE operators SET last_seen = :now WHERE id = :id");
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":id", operator_id);
    if (!db_run(query, NULL, &err))
        return;
    commit(&conn, &err);
}

static bool by_session(struct console *console, struct arena *arena, const char *secret,
                       struct person *person, struct error *err)
{
    char hash[SHA256_HEX];
    int64_t now = clock_now(), seen = 0;
    bool found = false;

    secret_hash(secret, hash);
    struct db_conn *conn = db_read(console->db, err);
    if (!conn)
        return false;
    struct db_query *query =
        db_query(conn, "SELECT o.id, o.name, o.role, s.last_seen FROM sessions s "
                       "JOIN operators o ON o.id = s.operator_id "
                       "WHERE s.token = :token AND s.expires_at > :now AND s.last_seen > :idle");
    db_bind_text(query, ":token", hash);
    db_bind_integer(query, ":now", now);
    db_bind_integer(query, ":idle", now - SESSION_IDLE_S);
    if (db_step(query)) {
        person->id = db_integer(query, 0);
        person->name = db_text_copy(query, 1, arena);
        seen = db_integer(query, 3);
        found = role_from_name(db_text(query, 2), &person->role);
    }
    bool good = db_end(query, err);
    db_done(conn);
    if (good && found && seen + SEEN_EVERY_S <= now)
        session_touch(console, hash, person->id);
    if (good && !found)
        return error_set(err, ERROR_DENIED, "The session has ended");
    return good;
}

static bool by_token(struct console *console, struct arena *arena, const char *token, struct person *person,
                     struct error *err)
{
    char hash[SHA256_HEX];
    enum role own, least = ROLE_NONE;
    bool found = false;

    secret_hash(token, hash);
    DB_DONE(conn) = db_read(console->db, err);
    if (!conn)
        return false;
    struct db_query *query =
        db_query(conn, "SELECT o.id, o.name, o.role, t.role, t.expires_at FROM tokens t "
                       "JOIN operators o ON o.id = t.operator_id "
                       "WHERE t.token = :token AND (t.expires_at IS NULL OR t.expires_at > :now)");
    db_bind_text(query, ":token", hash);
    db_bind_integer(query, ":now", clock_now());
    if (db_step(query)) {
        person->id = db_integer(query, 0);
        person->name = db_text_copy(query, 1, arena);
        found = role_from_name(db_text(query, 2), &own) && role_from_name(db_text(query, 3), &least);
        person->role = found && own < least ? own : least;
        person->expires_at = db_integer(query, 4);
    }
    if (!db_end(query, err))
        return false;
    return found ? true : error_set(err, ERROR_DENIED, "The API token is not valid");
}

bool people_identify(struct console *console, struct arena *arena, const char *token, const char *session,
                     struct person *person, struct error *err)
{
    if (token)
        return by_token(console, arena, token, person, err);
    if (session && *session)
        return by_session(console, arena, session, person, err);
    return error_set(err, ERROR_DENIED, "Nobody is signed in");
}

void people_sweep(struct console *console)
{
    struct error err;

    DB_DONE(conn) = db_write(console->db, &err);
    if (!conn)
        return;
    struct db_query *query =
        db_query(conn, "DELETE FROM sessions WHERE expires_at <= :now OR last_seen <= :idle");
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":idle", clock_now() - SESSION_IDLE_S);
    if (!db_run(query, NULL, &err))
        return;
    query = db_query(conn, "DELETE FROM tokens WHERE expires_at <= :now");
    db_bind_integer(query, ":now", clock_now());
    if (!db_run(query, NULL, &err))
        return;
    commit(&conn, &err);
}

#include "base/db.h"

#include "base/clock.h"
#include "base/text.h"

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_MS 5000
#define WAL_KEPT (64 << 20)    /* bytes the WAL file keeps after it was moved */
#define WAL_FRAMES_LARGE 16384 /* pages in the WAL from which on a checkpoint tries to start it anew */
#define IDLE_READERS 16

/* A statement prepared once, found by the address of its text. */
struct statement {
    const char *sql;
    sqlite3_stmt *stmt;
    bool busy;
};

struct db_conn {
    struct db *db;
    sqlite3 *sqlite;
    bool is_writer;
    bool is_own;                  /* our own set-up and transactions: the authorizer lets them through */
    struct statement *statements; /* open addressing, room is a power of two */
    size_t count, room;
    int open_queries;
    struct db_conn *next; /* idle readers */
};

struct db_query {
    struct db_conn *conn;
    sqlite3_stmt *stmt; /* NULL when it could not be prepared */
    struct statement *cached;
    struct error failed;
};

struct db {
    char *path;
    pthread_mutex_t writing; /* held from db_write to its end, and while a checkpoint runs */
    struct db_conn *writer;
    pthread_mutex_t pool;
    struct db_conn *idle;
    int idle_count;
};

static _Noreturn void out_of_memory(void)
{
    fprintf(stderr, "level=error event=out_of_memory in=db\n");
    abort();
}

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (!memory)
        out_of_memory();
    return memory;
}

static enum error_kind sqlite_kind(int code)
{
    switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return ERROR_CONFLICT;
    case SQLITE_CONSTRAINT_CHECK:
    case SQLITE_CONSTRAINT_NOTNULL:
    case SQLITE_CONSTRAINT_DATATYPE:
        return ERROR_INPUT;
    default:
        return (code & 0xff) == SQLITE_FULL || (code & 0xff) == SQLITE_TOOBIG ? ERROR_LIMIT : ERROR_SYSTEM;
    }
}

static bool sqlite_failed(struct db_conn *conn, const char *doing, struct error *err)
{
    return error_set(err, sqlite_kind(sqlite3_extended_errcode(conn->sqlite)), "database: %s (%.120s)",
                     sqlite3_errmsg(conn->sqlite), doing);
}

/* What no handler may do, whatever SQL it has: other files, settings, transactions past db_write and
 * db_commit. */
static int authorize(void *context, int action, const char *a, const char *b, const char *c, const char *d)
{
    const struct db_conn *conn = context;

    (void)a, (void)b, (void)c, (void)d;
    if (conn->is_own)
        return SQLITE_OK;
    switch (action) {
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
    case SQLITE_PRAGMA:
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
        return SQLITE_DENY;
    default:
        return SQLITE_OK;
    }
}

static struct statement *statement_slot(struct statement *statements, size_t room, const char *sql)
{
    size_t at = ((uintptr_t)sql >> 3) * UINT64_C(0x9e3779b97f4a7c15) >> 20 & (room - 1);

    while (statements[at].sql && statements[at].sql != sql)
        at = (at + 1) & (room - 1);
    return &statements[at];
}

/* Grows only between queries, because running ones point into the table. */
static void statements_grow(struct db_conn *conn)
{
    size_t room = conn->room ? 2 * conn->room : 64;
    struct statement *grown;

    if (conn->open_queries > 0 || 2 * conn->count < conn->room)
        return;
    grown = zeroed(room, sizeof(*grown));
    for (size_t i = 0; i < conn->room; i++)
        if (conn->statements[i].sql)
            *statement_slot(grown, room, conn->statements[i].sql) = conn->statements[i];
    free(conn->statements);
    conn->statements = grown;
    conn->room = room;
}

static bool prepare(struct db_conn *conn, const char *sql, unsigned flags, sqlite3_stmt **stmt,
                    struct error *err)
{
    const char *rest = NULL;

    if (sqlite3_prepare_v3(conn->sqlite, sql, -1, flags, stmt, &rest) != SQLITE_OK)
        return sqlite_failed(conn, sql, err);
    if (!*stmt || rest[strspn(rest, " \t\n;")]) {
        sqlite3_finalize(*stmt);
        *stmt = NULL;
        return error_set(err, ERROR_SYSTEM, "database: not exactly one statement: %s", sql);
    }
    return true;
}

/* Running inside itself, or with the table full, the statement is prepared for this once. */
static void query_prepare(struct db_query *query, const char *sql)
{
    struct db_conn *conn = query->conn;

    statements_grow(conn);
    struct statement *slot = statement_slot(conn->statements, conn->room, sql);
    if (slot->sql && !slot->busy) {
        query->stmt = slot->stmt;
        query->cached = slot;
    } else if (slot->sql || conn->count + 1 >= conn->room) {
        prepare(conn, sql, 0, &query->stmt, &query->failed);
    } else if (prepare(conn, sql, SQLITE_PREPARE_PERSISTENT, &query->stmt, &query->failed)) {
        *slot = (struct statement){.sql = sql, .stmt = query->stmt};
        conn->count++;
        query->cached = slot;
    }
    if (query->cached)
        query->cached->busy = true;
}

struct db_query *db_query(struct db_conn *conn, const char *sql)
{
    struct db_query *query = zeroed(1, sizeof(*query));

    query->conn = conn;
    query_prepare(query, sql);
    conn->open_queries++;
    return query;
}

/* The parameter's place, 0 when there is none or the query has failed already. */
static int place(struct db_query *query, const char *name)
{
    if (query->failed.kind)
        return 0;
    int found = sqlite3_bind_parameter_index(query->stmt, name);
    if (found == 0)
        error_set(&query->failed, ERROR_SYSTEM, "database: no parameter %s in %s", name,
                  sqlite3_sql(query->stmt));
    return found;
}

static void bound(struct db_query *query, int code)
{
    if (code != SQLITE_OK)
        sqlite_failed(query->conn, "binding", &query->failed);
}

void db_bind_text(struct db_query *query, const char *name, const char *value)
{
    int at = place(query, name);

    if (at)
        bound(query, sqlite3_bind_text(query->stmt, at, value, -1, SQLITE_TRANSIENT));
}

void db_bind_integer(struct db_query *query, const char *name, int64_t value)
{
    int at = place(query, name);

    if (at)
        bound(query, sqlite3_bind_int64(query->stmt, at, value));
}

void db_bind_null(struct db_query *query, const char *name)
{
    int at = place(query, name);

    if (at)
        bound(query, sqlite3_bind_null(query->stmt, at));
}

bool db_step(struct db_query *query)
{
    if (query->failed.kind)
        return false;
    int code = sqlite3_step(query->stmt);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        sqlite_failed(query->conn, sqlite3_sql(query->stmt), &query->failed);
    return false;
}

bool db_end(struct db_query *query, struct error *err)
{
    bool good = query->failed.kind == ERROR_NONE;

    if (!good)
        *err = query->failed;
    if (query->cached) {
        sqlite3_reset(query->stmt);
        sqlite3_clear_bindings(query->stmt);
        query->cached->busy = false;
    } else {
        sqlite3_finalize(query->stmt);
    }
    query->conn->open_queries--;
    free(query);
    return good;
}

bool db_run(struct db_query *query, int64_t *changes, struct error *err)
{
    sqlite3 *sqlite = query->conn->sqlite;
    int64_t before = sqlite3_total_changes64(sqlite);

    while (db_step(query))
        ;
    /* sqlite3_changes keeps the count of the statement before when this one changes nothing by its kind. */
    if (changes)
        *changes = sqlite3_total_changes64(sqlite) == before ? 0 : sqlite3_changes64(sqlite);
    return db_end(query, err);
}

int64_t db_integer(struct db_query *query, int column)
{
    return sqlite3_column_int64(query->stmt, column);
}

const char *db_text(struct db_query *query, int column)
{
    return (const char *)sqlite3_column_text(query->stmt, column);
}

char *db_text_copy(struct db_query *query, int column, struct arena *arena)
{
    const char *text = db_text(query, column);

    return text ? arena_strdup(arena, text) : NULL;
}

bool db_is_null(struct db_query *query, int column)
{
    return sqlite3_column_type(query->stmt, column) == SQLITE_NULL;
}

int64_t db_last_id(struct db_conn *conn)
{
    return sqlite3_last_insert_rowid(conn->sqlite);
}

/* Arrays, not literals: the linker gives equal literals one address, and then a handler's "COMMIT" would find
 * ours in the cache, past the authorizer. */
static const char sql_begin_reading[] = "BEGIN DEFERRED";
static const char sql_take_snapshot[] = "SELECT 1 FROM sqlite_schema LIMIT 1";
static const char sql_begin_writing[] = "BEGIN IMMEDIATE";
static const char sql_commit[] = "COMMIT";
static const char sql_rollback[] = "ROLLBACK";
static const char sql_note_migrations[] = "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY,"
                                          " name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT";
static const char sql_loose_tables[] =
    "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0"
    " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";

/* One of our own statements. */
static bool run_own(struct db_conn *conn, const char *sql, struct error *err)
{
    conn->is_own = true;
    bool good = db_run(db_query(conn, sql), NULL, err);
    conn->is_own = false;
    return good;
}

static void conn_close(struct db_conn *conn)
{
    if (!conn)
        return;
    for (size_t i = 0; i < conn->room; i++)
        sqlite3_finalize(conn->statements[i].stmt);
    free(conn->statements);
    int code = sqlite3_close(conn->sqlite);
    assert(code == SQLITE_OK);
    (void)code;
    free(conn);
}

static bool conn_set_up(struct db_conn *conn, struct error *err)
{
    static const char *const always =
        "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;"
        "PRAGMA cache_size = -2048;";
    /* Only db_checkpoint moves the WAL: within commits it cost 100 ms, and two connections at it can corrupt
     * (traps.md). */
    static const char *const writing = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA "
                                       "wal_autocheckpoint = 0; PRAGMA cache_size = -16384;";
    char limit[64];

    sqlite3_extended_result_codes(conn->sqlite, 1);
    sqlite3_busy_timeout(conn->sqlite, BUSY_MS);
    sqlite3_db_config(conn->sqlite, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(conn->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(conn->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, conn->is_writer ? 0 : 1, NULL);
    snprintf(limit, sizeof(limit), "PRAGMA journal_size_limit = %d;", WAL_KEPT);
    if (sqlite3_exec(conn->sqlite, always, NULL, NULL, NULL) != SQLITE_OK ||
        (conn->is_writer && (sqlite3_exec(conn->sqlite, writing, NULL, NULL, NULL) != SQLITE_OK ||
                             sqlite3_exec(conn->sqlite, limit, NULL, NULL, NULL) != SQLITE_OK)))
        return sqlite_failed(conn, "setting up", err);
    sqlite3_set_authorizer(conn->sqlite, authorize, conn);
    return true;
}

static struct db_conn *conn_open(struct db *db, bool is_writer, struct error *err)
{
    struct db_conn *conn = zeroed(1, sizeof(*conn));
    int flags = is_writer ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;

    conn->db = db;
    conn->is_writer = is_writer;
    int code =
        sqlite3_open_v2(db->path, &conn->sqlite, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (!conn->sqlite)
        out_of_memory();
    if (code != SQLITE_OK) {
        error_set(err, ERROR_SYSTEM, "opening the database \"%s\": %s", db->path,
                  sqlite3_errmsg(conn->sqlite));
        conn_close(conn);
        return NULL;
    }
    if (!conn_set_up(conn, err)) {
        conn_close(conn);
        return NULL;
    }
    return conn;
}

static struct db_conn *reader_take(struct db *db)
{
    pthread_mutex_lock(&db->pool);
    struct db_conn *conn = db->idle;

    if (conn) {
        db->idle = conn->next;
        db->idle_count--;
        conn->next = NULL;
    }
    pthread_mutex_unlock(&db->pool);
    return conn;
}

static void reader_give_back(struct db_conn *conn)
{
    struct db *db = conn->db;

    pthread_mutex_lock(&db->pool);
    bool kept = db->idle_count < IDLE_READERS && sqlite3_get_autocommit(conn->sqlite);
    if (kept) {
        conn->next = db->idle;
        db->idle = conn;
        db->idle_count++;
    }
    pthread_mutex_unlock(&db->pool);
    if (!kept)
        conn_close(conn);
}

struct db_conn *db_read(struct db *db, struct error *err)
{
    struct db_conn *conn = reader_take(db);

    if (!conn)
        conn = conn_open(db, false, err);
    if (!conn)
        return NULL;
    /* BEGIN alone takes no snapshot; the first read does, so it is done here. */
    if (!run_own(conn, sql_begin_reading, err) || !run_own(conn, sql_take_snapshot, err)) {
        db_done(conn);
        return NULL;
    }
    return conn;
}

struct db_conn *db_write(struct db *db, struct error *err)
{
    if (pthread_mutex_lock(&db->writing) != 0) {
        error_set(err, ERROR_SYSTEM, "database: this thread is writing already");
        return NULL;
    }
    if (!run_own(db->writer, sql_begin_writing, err)) {
        pthread_mutex_unlock(&db->writing);
        return NULL;
    }
    return db->writer;
}

void db_done(struct db_conn *conn)
{
    struct error ignored = {0};

    if (!conn)
        return;
    assert(conn->open_queries == 0);
    /* Some failures (disk full, I/O) have rolled back already. */
    if (!sqlite3_get_autocommit(conn->sqlite))
        run_own(conn, sql_rollback, &ignored);
    if (conn->is_writer)
        pthread_mutex_unlock(&conn->db->writing);
    else
        reader_give_back(conn);
}

bool db_commit(struct db_conn *conn, struct error *err)
{
    assert(conn->open_queries == 0);
    bool good = !sqlite3_get_autocommit(conn->sqlite)
                    ? run_own(conn, sql_commit, err)
                    : error_set(err, ERROR_SYSTEM, "database: rolled back before the commit");
    db_done(conn);
    return good;
}

void db_done_ptr(struct db_conn **conn)
{
    db_done(*conn);
}

void db_checkpoint(struct db *db)
{
    int frames = 0, moved = 0;

    if (pthread_mutex_lock(&db->writing) != 0)
        return;
    sqlite3 *sqlite = db->writer->sqlite;
    sqlite3_wal_checkpoint_v2(sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
    if (frames >= WAL_FRAMES_LARGE && moved == frames) {
        /* Does not wait for readers: the next call tries again. */
        sqlite3_busy_timeout(sqlite, 0);
        sqlite3_wal_checkpoint_v2(sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        sqlite3_busy_timeout(sqlite, BUSY_MS);
    }
    pthread_mutex_unlock(&db->writing);
}

static bool migration_version(struct db_conn *conn, int *number, struct error *err)
{
    if (!run_own(conn, sql_note_migrations, err))
        return false;
    struct db_query *query = db_query(conn, "SELECT coalesce(max(number), 0) FROM migration");
    *number = db_step(query) ? (int)db_integer(query, 0) : 0;
    return db_end(query, err);
}

/* A migration holds many statements. PRAGMA and transactions of its own are refused like everybody's. */
static bool migration_statements(struct db_conn *conn, const char *sql, struct error *err)
{
    while (*sql) {
        sqlite3_stmt *stmt = NULL;
        int code = sqlite3_prepare_v2(conn->sqlite, sql, -1, &stmt, &sql);

        if (code == SQLITE_OK && stmt)
            while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
                ;
        sqlite3_finalize(stmt);
        if (code != SQLITE_OK && code != SQLITE_DONE)
            return sqlite_failed(conn, "migrating", err);
    }
    return true;
}

static bool migration_apply(struct db *db, const struct db_migration *migration, struct error *err)
{
    DB_DONE(conn) = db_write(db, err);

    if (!conn)
        return false;
    if (!migration_statements(conn, migration->sql, err))
        return error_add(err, "%s", migration->name);
    struct db_query *query = db_query(conn, "INSERT INTO migration VALUES (:number, :name, :applied_at)");
    db_bind_integer(query, ":number", migration->number);
    db_bind_text(query, ":name", migration->name);
    db_bind_integer(query, ":applied_at", clock_now());
    if (!db_run(query, NULL, err))
        return false;
    struct db_conn *ended = conn;
    conn = NULL;
    return db_commit(ended, err);
}

/* Tables must be STRICT, or a text could stand where a number is read. */
static bool tables_are_strict(struct db_conn *conn, struct error *err)
{
    conn->is_own = true;
    struct db_query *query = db_query(conn, sql_loose_tables);
    bool found = db_step(query);
    if (found)
        error_set(err, ERROR_SYSTEM, "database: the table %s is not STRICT", db_text(query, 0));
    conn->is_own = false;
    return db_end(query, err) && !found;
}

static bool migrate(struct db *db, const struct db_migration *migrations, struct error *err)
{
    int present, last = 0;

    if (!migration_version(db->writer, &present, err))
        return false;
    for (const struct db_migration *migration = migrations; migration->sql; migration++) {
        assert(migration->number == last + 1);
        last = migration->number;
    }
    if (present > last)
        return error_set(err, ERROR_CONFLICT, "the database is at version %d, newer than this program's %d",
                         present, last);
    for (; present < last; present++)
        if (!migration_apply(db, &migrations[present], err))
            return false;
    return tables_are_strict(db->writer, err);
}

struct db *db_open(const char *path, const struct db_migration *migrations, struct error *err)
{
    struct db *db = zeroed(1, sizeof(*db));
    pthread_mutexattr_t checked;

    db->path = strdup(path);
    if (!db->path)
        out_of_memory();
    pthread_mutexattr_init(&checked);
    pthread_mutexattr_settype(&checked, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&db->writing, &checked);
    pthread_mutexattr_destroy(&checked);
    pthread_mutex_init(&db->pool, NULL);
    db->writer = conn_open(db, true, err);
    if (!db->writer || !migrate(db, migrations, err)) {
        db_close(db);
        return NULL;
    }
    return db;
}

void db_close(struct db *db)
{
    struct db_conn *conn;

    if (!db)
        return;
    while ((conn = reader_take(db)))
        conn_close(conn);
    conn_close(db->writer);
    pthread_mutex_destroy(&db->writing);
    pthread_mutex_destroy(&db->pool);
    free(db->path);
    free(db);
}

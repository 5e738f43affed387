#include "base/db.h"

#include "base/text.h"
#include "test/base/scratch.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct db_migration migrations[] = {
    {1, "001.sql",
     "CREATE TABLE device (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER CHECK (size >= "
     "0)) STRICT;\n"
     "-- a comment; with a semicolon\n"
     "CREATE TABLE tag (device INTEGER NOT NULL REFERENCES device (id), tag TEXT NOT NULL, weight INTEGER, "
     "note TEXT) STRICT;"},
    {2, "002.sql", "CREATE INDEX tag_by_device ON tag (device);\n"},
    {0, NULL, NULL},
};

struct store {
    struct scratch scratch;
    char path[100];
    struct db *db;
};

static void store_end(struct store *store)
{
    db_close(store->db);
    scratch_remove(&store->scratch);
}

static void store_open(struct store *store)
{
    struct error err = {0};

    scratch_make(&store->scratch);
    snprintf(store->path, sizeof(store->path), "%s/test.db", store->scratch.path);
    store->db = db_open(store->path, migrations, &err);
    assert_ok(store->db, err);
}
#define STORE(name)                                                                                          \
    __attribute__((cleanup(store_end))) struct store name;                                                   \
    store_open(&name)

static bool insert(struct db_conn *conn, const char *name, int64_t size, struct error *err)
{
    struct db_query *query = db_query(conn, "INSERT INTO device (name, size) VALUES (:name, :size)");

    db_bind_text(query, ":name", name);
    db_bind_integer(query, ":size", size);
    return db_run(query, NULL, err);
}

static int64_t count_in(struct db_conn *conn)
{
    struct error err = {0};
    struct db_query *query = db_query(conn, "SELECT count(*) FROM device");
    int64_t count = db_step(query) ? db_integer(query, 0) : -1;

    assert_ok(db_end(query, &err), err);
    return count;
}

static int64_t count_devices(struct db *db)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(db, &err);

    assert_ok(conn, err);
    return count_in(conn);
}

static void commit_one(struct db *db, const char *name)
{
    struct error err = {0};
    struct db_conn *conn = db_write(db, &err);

    assert_ok(conn, err);
    assert_ok(insert(conn, name, 1, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

static void every_type_goes_in_and_comes_out(void **state)
{
    STORE(store);
    ARENA(arena);
    struct error err = {0};
    struct db_conn *conn = db_write(store.db, &err);
    int64_t changes;

    (void)state;
    assert_ok(insert(conn, "a", INT64_MAX, &err), err);
    struct db_query *query = db_query(conn, "INSERT INTO tag VALUES (:device, :tag, :weight, :note)");
    db_bind_integer(query, ":device", db_last_id(conn));
    db_bind_text(query, ":tag", "é");
    db_bind_integer(query, ":weight", INT64_MIN);
    db_bind_text(query, ":note", NULL);
    assert_ok(db_run(query, &changes, &err), err);
    assert_int_equal(changes, 1);
    query = db_query(conn, "INSERT INTO tag VALUES (:device, :tag, :weight, :note)");
    db_bind_integer(query, ":device", 1);
    db_bind_text(query, ":tag", "");
    db_bind_null(query, ":weight");
    db_bind_text(query, ":note", "");
    assert_ok(db_run(query, NULL, &err), err);
    assert_ok(db_commit(conn, &err), err);

    DB_DONE(reader) = db_read(store.db, &err);
    query = db_query(
        reader,
        "SELECT tag, weight, note, size, name FROM tag JOIN device ON device.id = device ORDER BY tag DESC");
    assert_true(db_step(query));
    assert_string_equal(db_text(query, 0), "é");
    assert_true(db_integer(query, 1) == INT64_MIN);
    assert_true(db_is_null(query, 2));
    assert_null(db_text(query, 2));
    assert_true(db_integer(query, 3) == INT64_MAX);
    char *name = db_text_copy(query, 4, &arena);
    assert_true(db_step(query));
    assert_string_equal(db_text(query, 0), "");
    assert_true(db_is_null(query, 1));
    assert_null(db_text_copy(query, 1, &arena));
    assert_false(db_is_null(query, 2));
    assert_string_equal(db_text(query, 2), "");
    assert_false(db_step(query));
    assert_ok(db_end(query, &err), err);
    assert_string_equal(name, "a");
}

static void what_is_not_committed_is_gone(void **state)
{
    STORE(store);
    struct error err = {0};
    struct db_conn *conn = db_write(store.db, &err);

    (void)state;
    assert_ok(insert(conn, "a", 1, &err), err);
    assert_int_equal(count_in(conn), 1);
    db_done(conn);
    assert_int_equal(count_devices(store.db), 0);
    commit_one(store.db, "a");
    assert_int_equal(count_devices(store.db), 1);
    db_done(NULL);
}

static void a_reader_sees_one_snapshot_from_its_start(void **state)
{
    STORE(store);
    struct error err = {0};
    DB_DONE(reader) = db_read(store.db, &err);

    (void)state;
    commit_one(store.db, "a");
    db_checkpoint(store.db);
    commit_one(store.db, "b");
    assert_int_equal(count_in(reader), 0);
    assert_int_equal(count_devices(store.db), 2);
}

static void violations_have_their_kind(void **state)
{
    STORE(store);
    struct error err = {0};
    DB_DONE(conn) = db_write(store.db, &err);

    (void)state;
    assert_ok(insert(conn, "a", 1, &err), err);
    assert_refused(insert(conn, "a", 1, &err), err, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, "device.name"));
    assert_refused(insert(conn, "b", -1, &err), err, ERROR_INPUT);
    assert_refused(insert(conn, NULL, 1, &err), err, ERROR_INPUT);
    struct db_query *query = db_query(conn, "INSERT INTO tag (device, tag) VALUES (77, 'x')");
    assert_refused(db_run(query, NULL, &err), err, ERROR_CONFLICT);
    query = db_query(conn, "INSERT INTO device (name, size) VALUES ('c', 'many')");
    assert_refused(db_run(query, NULL, &err), err, ERROR_INPUT);
    assert_int_equal(count_in(conn), 1);
}

static void mistakes_are_remembered_until_the_end(void **state)
{
    STORE(store);
    struct error err = {0};
    DB_DONE(conn) = db_write(store.db, &err);
    struct db_query *query = db_query(conn, "SELEC 1");

    (void)state;
    db_bind_integer(query, ":x", 1);
    assert_false(db_step(query));
    assert_refused(db_end(query, &err), err, ERROR_SYSTEM);
    query = db_query(conn, "SELECT :a");
    db_bind_integer(query, ":b", 1);
    db_bind_integer(query, ":a", 1);
    assert_refused(db_run(query, NULL, &err), err, ERROR_SYSTEM);
    assert_non_null(strstr(err.text, ":b"));
    query = db_query(conn, "DELETE FROM device; DROP TABLE device");
    assert_refused(db_run(query, NULL, &err), err, ERROR_SYSTEM);
    query = db_query(conn, "");
    assert_refused(db_run(query, NULL, &err), err, ERROR_SYSTEM);
}

static void handlers_cannot_attach_set_or_end_transactions(void **state)
{
    static const char *const forbidden[] = {"ATTACH ':memory:' AS other",
                                            "DETACH main",
                                            "PRAGMA foreign_keys = OFF",
                                            "PRAGMA journal_mode",
                                            "COMMIT",
                                            "ROLLBACK",
                                            "BEGIN",
                                            "SAVEPOINT x",
                                            "VACUUM INTO 'x'"};
    STORE(store);
    struct error err = {0};

    (void)state;
    for (int writing = 0; writing < 2; writing++) {
        DB_DONE(conn) = writing ? db_write(store.db, &err) : db_read(store.db, &err);

        for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
            assert_refused(db_run(db_query(conn, forbidden[i]), NULL, &err), err, ERROR_SYSTEM);
    }
}

static void a_reader_cannot_write(void **state)
{
    STORE(store);
    struct error err = {0};
    DB_DONE(conn) = db_read(store.db, &err);

    (void)state;
    assert_refused(insert(conn, "a", 1, &err), err, ERROR_SYSTEM);
}

static void one_thread_cannot_write_twice_at_once(void **state)
{
    STORE(store);
    struct error err = {0};
    DB_DONE(conn) = db_write(store.db, &err);

    (void)state;
    assert_refused(db_write(store.db, &err), err, ERROR_SYSTEM);
    db_checkpoint(store.db); /* does nothing, and does not hang */
}

static void a_statement_may_run_inside_itself(void **state)
{
    static const char *const sql = "SELECT name FROM device ORDER BY name";
    STORE(store);
    struct error err = {0};

    (void)state;
    commit_one(store.db, "a");
    commit_one(store.db, "b");
    DB_DONE(conn) = db_read(store.db, &err);
    struct db_query *outer = db_query(conn, sql);
    assert_true(db_step(outer));
    struct db_query *inner = db_query(conn, sql);
    assert_true(db_step(inner));
    assert_true(db_step(inner));
    assert_string_equal(db_text(inner, 0), "b");
    assert_ok(db_end(inner, &err), err);
    assert_string_equal(db_text(outer, 0), "a");
    assert_true(db_step(outer));
    assert_ok(db_end(outer, &err), err);
}

static void parameters_do_not_stay_from_the_use_before(void **state)
{
    static const char *const sql = "SELECT :a, :b";
    STORE(store);
    struct error err = {0};
    DB_DONE(conn) = db_read(store.db, &err);
    struct db_query *query = db_query(conn, sql);

    (void)state;
    db_bind_text(query, ":a", "secret");
    assert_true(db_step(query));
    assert_ok(db_end(query, &err), err);
    query = db_query(conn, sql);
    assert_true(db_step(query));
    assert_true(db_is_null(query, 0));
    assert_ok(db_end(query, &err), err);
}

static void many_statements_stay_prepared(void **state)
{
    static char texts[500][16];
    STORE(store);
    struct error err = {0};

    (void)state;
    for (int i = 0; i < 500; i++)
        snprintf(texts[i], sizeof(texts[i]), "SELECT %d", i);
    for (int round = 0; round < 2; round++) {
        DB_DONE(conn) = db_read(store.db, &err);

        for (int i = 0; i < 500; i++) {
            struct db_query *query = db_query(conn, texts[i]);

            assert_true(db_step(query));
            assert_int_equal(db_integer(query, 0), i);
            assert_ok(db_end(query, &err), err);
        }
    }
}

static void changes_are_those_of_this_statement(void **state)
{
    STORE(store);
    struct error err = {0};
    DB_DONE(conn) = db_write(store.db, &err);
    int64_t changes = -1;

    (void)state;
    assert_ok(insert(conn, "a", 1, &err), err);
    assert_ok(insert(conn, "b", 1, &err), err);
    assert_ok(db_run(db_query(conn, "UPDATE device SET size = 2"), &changes, &err), err);
    assert_int_equal(changes, 2);
    assert_ok(db_run(db_query(conn, "UPDATE device SET size = 2 WHERE name = 'none'"), &changes, &err), err);
    assert_int_equal(changes, 0);
    assert_ok(db_run(db_query(conn, "SELECT name FROM device"), &changes, &err), err);
    assert_int_equal(changes, 0);
}

static void migrations_run_once_and_a_newer_database_is_refused(void **state)
{
    STORE(store);
    static const struct db_migration more[] = {
        {1, "001.sql", "SELECT 1"},
        {2, "002.sql", "SELECT 1"},
        {3, "003.sql", "CREATE TABLE more (a INTEGER) STRICT; INSERT INTO more VALUES (1);"},
        {0, NULL, NULL}};
    struct error err = {0};

    (void)state;
    commit_one(store.db, "a");
    for (int i = 0; i < 2; i++) {
        db_close(store.db);
        store.db = db_open(store.path, more, &err);
        assert_ok(store.db, err);
        assert_int_equal(count_devices(store.db), 1);
    }
    DB_DONE(conn) = db_read(store.db, &err);
    struct db_query *query =
        db_query(conn, "SELECT count(*), max(number), (SELECT count(*) FROM more) FROM migration");
    assert_true(db_step(query));
    assert_int_equal(db_integer(query, 0), 3);
    assert_int_equal(db_integer(query, 1), 3);
    assert_int_equal(db_integer(query, 2), 1);
    assert_ok(db_end(query, &err), err);
    db_done(conn);
    conn = NULL;
    db_close(store.db);
    store.db = NULL;
    assert_refused(db_open(store.path, migrations, &err), err, ERROR_CONFLICT);
}

static void a_migration_that_fails_changes_nothing(void **state)
{
    static const struct db_migration broken[] = {
        {1, "001.sql", "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES ('text');"}, {0, NULL, NULL}};
    static const struct db_migration cheating[] = {
        {1, "001.sql", "COMMIT; CREATE TABLE a (x INTEGER) STRICT;"}, {0, NULL, NULL}};
    static const struct db_migration good[] = {{1, "001.sql", "CREATE TABLE a (x INTEGER) STRICT;"},
                                               {0, NULL, NULL}};
    SCRATCH(scratch);
    struct error err = {0};
    char path[100];

    (void)state;
    snprintf(path, sizeof(path), "%s/test.db", scratch.path);
    assert_null(db_open(path, broken, &err));
    assert_non_null(strstr(err.text, "001.sql"));
    assert_null(db_open(path, cheating, &err));
    struct db *db = db_open(path, good, &err);
    assert_ok(db, err);
    db_close(db);
}

static void a_table_that_is_not_strict_is_refused(void **state)
{
    static const struct db_migration loose[] = {{1, "001.sql", "CREATE TABLE loose (x INTEGER)"},
                                                {0, NULL, NULL}};
    SCRATCH(scratch);
    struct error err = {0};
    char path[100];

    (void)state;
    snprintf(path, sizeof(path), "%s/test.db", scratch.path);
    assert_null(db_open(path, loose, &err));
    assert_non_null(strstr(err.text, "the table loose is not STRICT"));
}

static void a_file_that_is_no_database_is_refused(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};
    char path[100];

    (void)state;
    snprintf(path, sizeof(path), "%s/test.db", scratch.path);
    assert_ok(file_write(scratch.fd, "test.db",
                         "this is no database at all, but long enough to look like one", 60, 0600, &err),
              err);
    assert_refused(db_open(path, migrations, &err), err, ERROR_SYSTEM);
    assert_refused(db_open("/nowhere/test.db", migrations, &err), err, ERROR_SYSTEM);
}

static int64_t file_size(const char *path, const char *suffix)
{
    char name[120];
    struct stat stat_buffer;

    snprintf(name, sizeof(name), "%s%s", path, suffix);
    return stat(name, &stat_buffer) == 0 ? stat_buffer.st_size : -1;
}

static void insert_many(struct db *db, int first, int count)
{
    struct error err = {0};
    struct db_conn *conn = db_write(db, &err);

    for (int i = first; i < first + count; i++) {
        char name[300];

        snprintf(name, sizeof(name), "%0250d", i);
        assert_ok(insert(conn, name, i, &err), err);
    }
    assert_ok(db_commit(conn, &err), err);
}

static void only_a_checkpoint_moves_the_wal(void **state)
{
    STORE(store);

    (void)state;
    int64_t before = file_size(store.path, "");
    insert_many(store.db, 0, 20000);
    assert_true(file_size(store.path, "-wal") > (8 << 20));
    assert_int_equal(file_size(store.path, ""), before);
    db_checkpoint(store.db);
    assert_true(file_size(store.path, "") > (8 << 20));
    assert_int_equal(count_devices(store.db), 20000);
}

static void a_wal_that_grew_large_is_cut(void **state)
{
    STORE(store);

    (void)state;
    insert_many(store.db, 0, 130000);
    assert_true(file_size(store.path, "-wal") > (64 << 20));
    db_checkpoint(store.db);
    assert_int_equal(file_size(store.path, "-wal"), 0);
    assert_int_equal(count_devices(store.db), 130000);
}

static void what_was_committed_is_there_after_the_process_died(void **state)
{
    STORE(store);
    struct error err = {0};
    char copy[120];

    (void)state;
    commit_one(store.db, "a");
    struct db_conn *conn = db_write(store.db, &err);
    assert_ok(insert(conn, "b", 1, &err), err);
    /* The files as a crash would leave them now. */
    for (int i = 0; i < 2; i++) {
        static const char *const suffix[] = {"", "-wal"};
        ARENA(arena);
        char *bytes, from[20];
        size_t size;

        snprintf(from, sizeof(from), "test.db%s", suffix[i]);
        snprintf(copy, sizeof(copy), "copy.db%s", suffix[i]);
        assert_ok(file_read(&arena, store.scratch.fd, from, 1 << 20, &bytes, &size, &err), err);
        assert_ok(file_write(store.scratch.fd, copy, bytes, size, 0600, &err), err);
    }
    db_done(conn);
    snprintf(copy, sizeof(copy), "%s/copy.db", store.scratch.path);
    struct db *again = db_open(copy, migrations, &err);
    assert_ok(again, err);
    assert_int_equal(count_devices(again), 1);
    db_close(again);
}

struct worker {
    struct db *db;
    int number;
    bool writes;
    const char *failed;
};

#define ROUNDS 60

static void *work(void *context)
{
    struct worker *worker = context;
    struct error err = {0};

    for (int round = 0; round < ROUNDS && !worker->failed; round++) {
        struct db_conn *conn = worker->writes ? db_write(worker->db, &err) : db_read(worker->db, &err);
        char name[2][32];

        if (!conn) {
            worker->failed = "no connection";
            break;
        }
        for (int i = 0; i < 2 && worker->writes; i++) {
            snprintf(name[i], sizeof(name[i]), "%d-%d-%d", worker->number, round, i);
            if (!insert(conn, name[i], round, &err))
                worker->failed = "insert";
        }
        /* Pairs are written together: an odd number is half a transaction. */
        if (!worker->writes && count_in(conn) % 2 != 0)
            worker->failed = "half a transaction was seen";
        if (worker->writes && round % 10 == 9)
            db_done(conn);
        else if (!db_commit(conn, &err))
            worker->failed = "commit";
        if (worker->number == 0)
            db_checkpoint(worker->db);
    }
    return NULL;
}

static void threads_write_read_and_checkpoint_at_the_same_time(void **state)
{
    STORE(store);
    struct worker workers[6];
    pthread_t threads[6];

    (void)state;
    for (int i = 0; i < 6; i++) {
        workers[i] = (struct worker){.db = store.db, .number = i, .writes = i % 2 == 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        if (workers[i].failed)
            fail_msg("thread %d: %s", i, workers[i].failed);
    }
    assert_int_equal(count_devices(store.db), 3 * 2 * (ROUNDS - ROUNDS / 10));
}

static void the_writer_is_set_as_the_traps_ask(void **state)
{
    STORE(store);
    sqlite3 *other;
    sqlite3_stmt *stmt;

    (void)state;
    commit_one(store.db, "a");
    assert_int_equal(sqlite3_open(store.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(other, "PRAGMA journal_mode", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "wal");
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_prepare_v2(other, "PRAGMA integrity_check", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
    sqlite3_finalize(stmt);
    sqlite3_close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_goes_in_and_comes_out),
        cmocka_unit_test(what_is_not_committed_is_gone),
        cmocka_unit_test(a_reader_sees_one_snapshot_from_its_start),
        cmocka_unit_test(violations_have_their_kind),
        cmocka_unit_test(mistakes_are_remembered_until_the_end),
        cmocka_unit_test(handlers_cannot_attach_set_or_end_transactions),
        cmocka_unit_test(a_reader_cannot_write),
        cmocka_unit_test(one_thread_cannot_write_twice_at_once),
        cmocka_unit_test(a_statement_may_run_inside_itself),
        cmocka_unit_test(parameters_do_not_stay_from_the_use_before),
        cmocka_unit_test(many_statements_stay_prepared),
        cmocka_unit_test(changes_are_those_of_this_statement),
        cmocka_unit_test(migrations_run_once_and_a_newer_database_is_refused),
        cmocka_unit_test(a_migration_that_fails_changes_nothing),
        cmocka_unit_test(a_table_that_is_not_strict_is_refused),
        cmocka_unit_test(a_file_that_is_no_database_is_refused),
        cmocka_unit_test(only_a_checkpoint_moves_the_wal),
        cmocka_unit_test(a_wal_that_grew_large_is_cut),
        cmocka_unit_test(what_was_committed_is_there_after_the_process_died),
        cmocka_unit_test(threads_write_read_and_checkpoint_at_the_same_time),
        cmocka_unit_test(the_writer_is_set_as_the_traps_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

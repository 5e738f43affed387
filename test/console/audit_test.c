/* The audit: rows chained by a hash, so that a change afterwards shows. */
#include "test/base/scratch.h"

#include "console/audit.h"
#include "console/schema.h"

#include <stdio.h>
#include <string.h>

static struct db *open_in(const struct scratch *scratch)
{
    struct error err;
    char path[96];

    snprintf(path, sizeof(path), "%s/console.db", scratch->path);
    struct db *db = db_open(path, schema_migrations, &err);
    assert_ok(db, err);
    return db;
}

static void add(struct db *db, const char *action, const char *detail)
{
    struct error err;
    struct db_conn *conn = db_write(db, &err);

    assert_ok(conn, err);
    assert_ok(audit_add(conn, "admin", action, "demo/detector@1.0.0", detail, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

static void change(struct db *db, const char *sql)
{
    struct error err;
    struct db_conn *conn = db_write(db, &err);

    assert_ok(conn, err);
    assert_ok(db_run(db_query(conn, sql), NULL, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

static bool verify(struct db *db, int64_t *rows, struct error *err)
{
    DB_DONE(conn) = db_read(db, err);

    return conn && audit_verify(conn, rows, err);
}

static void a_row_that_was_changed_or_removed_shows(void **state)
{
    struct error err;
    int64_t rows;

    (void)state;
    SCRATCH(scratch);
    struct db *db = open_in(&scratch);
    add(db, "publish", NULL);
    add(db, "release", "was 0.9.0, \"quoted\" \xc3\xa4");
    add(db, "accept", "");
    assert_ok(verify(db, &rows, &err), err);
    assert_int_equal(rows, 3);
    change(db, "UPDATE audit SET operator = 'mallory' WHERE id = 2");
    assert_refused(verify(db, &rows, &err), err, ERROR_UNTRUSTED);
    assert_non_null(strstr(err.text, "Row 2"));
    change(db, "UPDATE audit SET operator = 'admin' WHERE id = 2");
    assert_ok(verify(db, &rows, &err), err);
    change(db, "DELETE FROM audit WHERE id = 1");
    assert_refused(verify(db, &rows, &err), err, ERROR_UNTRUSTED);
    db_close(db);
}

static void rows_come_newest_first_in_pages(void **state)
{
    struct audit_row *rows;
    size_t count;
    struct error err;

    (void)state;
    SCRATCH(scratch);
    ARENA(arena);
    struct db *db = open_in(&scratch);
    for (int i = 0; i < 5; i++)
        add(db, "publish", NULL);
    struct db_conn *conn = db_read(db, &err);
    assert_ok(audit_rows(conn, &arena, 0, 3, &rows, &count, &err), err);
    assert_int_equal(count, 3);
    assert_int_equal(rows[0].id, 5);
    assert_ok(audit_rows(conn, &arena, rows[2].id, 3, &rows, &count, &err), err);
    assert_int_equal(count, 2);
    assert_int_equal(rows[1].id, 1);
    db_done(conn);
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_that_was_changed_or_removed_shows),
        cmocka_unit_test(rows_come_newest_first_in_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

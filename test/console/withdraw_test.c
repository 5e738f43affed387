/* Withdrawn versions: offered to nobody, in git's history, and whole after a crash. */
#include "test/console/small.h"

#include "base/json.h"
#include "base/text.h"
#include "console/audit.h"
#include "console/delivery/release.h"
#include "console/delivery/withdraw.h"

#include <string.h>

static bool withdraw(struct small *small, const char *version, const char *reason, struct error *err)
{
    return version_withdraw(&small->console, "demo", "model", version, reason, "ada", err);
}

static bool release(struct small *small, const char *version, struct error *err)
{
    int64_t devices;

    return release_set(&small->console, "demo", "model", version, "ada", &devices, err);
}

static bool is_listed(struct small *small, const char *version)
{
    struct error err = {0};
    struct version_row *rows;
    size_t count;
    ARENA(arena);
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(repo_versions(conn, &arena, "demo", "model", &rows, &count, &err), err);
    for (size_t i = 0; i < count; i++)
        if (string_is(rows[i].version, version))
            return rows[i].listed;
    fail_msg("there is no version %s", version);
    return false;
}

static bool is_withdrawn(struct small *small, const char *version)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(small->console.db, &err);
    bool is = version_is_withdrawn(conn, "demo", "model", version, &err);

    assert_int_equal(err.kind, ERROR_NONE);
    return is;
}

/* "<version> <message>" of the asset's newest history row of a kind; how many there are of it. */
static int history(struct small *small, struct arena *arena, const char *what, const char **newest)
{
    struct error err = {0};
    struct history_row *rows;
    size_t count;
    int found = 0;
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(repo_history(conn, arena, "demo", "model", &rows, &count, &err), err);
    for (size_t i = count; i-- > 0;)
        if (string_is(rows[i].what, what)) {
            *newest = arena_printf(arena, "%s %s", rows[i].version, rows[i].message);
            found++;
        }
    return found;
}

static void publish_two(struct small *small)
{
    small_publish(small, "model", "1.0.0", NULL);
    small_publish(small, "model", "1.1.0", NULL);
}

static void a_withdrawn_version_leaves_the_signed_metadata_for_good(void **state)
{
    struct small *small = *state;
    struct audit_row *rows;
    struct error err = {0};
    const char *newest = "";
    size_t count;
    ARENA(arena);

    publish_two(small);
    assert_true(is_listed(small, "1.1.0"));
    assert_ok(withdraw(small, "1.1.0", "it sees ghosts", &err), err);
    assert_false(is_listed(small, "1.1.0"));
    assert_true(is_listed(small, "1.0.0"));
    assert_int_equal(history(small, &arena, "withdraw", &newest), 1);
    assert_non_null(strstr(newest, "1.1.0 withdraw model 1.1.0\n\nit sees ghosts"));
    small_publish(small, "model", "1.2.0", NULL);
    assert_false(is_listed(small, "1.1.0"));
    assert_ok(withdraw(small, "1.1.0", "again", &err), err);
    assert_int_equal(history(small, &arena, "withdraw", &newest), 1);
    DB_DONE(conn) = db_read(small->console.db, &err);
    assert_ok(audit_rows(conn, &arena, 0, 100, &rows, &count, &err), err);
    size_t audited = 0;
    for (size_t i = 0; i < count; i++)
        if (string_is(rows[i].action, "withdraw")) {
            assert_string_equal(rows[i].object, "demo/model@1.1.0");
            assert_string_equal(rows[i].operator_name, "ada");
            assert_non_null(strstr(rows[i].detail, "; it sees ghosts"));
            audited++;
        }
    assert_int_equal(audited, 1);
}

static void what_is_released_is_withdrawn_as_well_and_the_one_before_is_listed(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    ARENA(arena);

    small_publish(small, "model", "1.0.0", NULL);
    assert_ok(release(small, "1.0.0", &err), err);
    for (int i = 1; i <= 11; i++)
        small_publish(small, "model", arena_printf(&arena, "1.%d.0", i), NULL);
    assert_ok(release(small, "1.11.0", &err), err);
    small_publish(small, "model", "2.0.0", NULL);
    assert_false(is_listed(small, "1.0.0"));
    assert_ok(withdraw(small, "1.11.0", "no", &err), err);
    assert_false(is_listed(small, "1.11.0"));
    assert_true(is_listed(small, "1.0.0")); /* devices fall back to it */
    assert_refused(release(small, "1.11.0", &err), err, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, "withdrawn by ada: no"));
}

static void what_cannot_be_withdrawn_is_refused(void **state)
{
    struct small *small = *state;
    struct error err;

    publish_two(small);
    assert_refused(withdraw(small, "9.0.0", "why", &err), err, ERROR_MISSING);
    assert_refused(withdraw(small, "one", "why", &err), err, ERROR_INPUT);
    assert_refused(withdraw(small, "1.0.0", "", &err), err, ERROR_INPUT);
    assert_refused(withdraw(small, "1.0.0", "a\x1b[31m", &err), err, ERROR_INPUT);
    assert_refused(version_withdraw(&small->console, "demo", "other", "1.0.0", "why", "ada", &err), err,
                   ERROR_MISSING);
    assert_false(is_withdrawn(small, "1.0.0"));
    assert_true(is_listed(small, "1.0.0"));
}

static void run(struct small *small, const char *statement)
{
    struct error err = {0};
    struct db_conn *conn = db_write(small->console.db, &err);

    assert_ok(conn, err);
    assert_ok(db_run(db_query(conn, statement), NULL, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

static void a_withdrawal_cut_off_before_its_commit_is_finished_at_the_start(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    const char *newest = "";
    ARENA(arena);

    publish_two(small);
    run(small, "INSERT INTO withdrawn VALUES ('demo', 'model', '1.1.0', 'it sees ghosts', 'bob', 1)");
    assert_true(is_listed(small, "1.1.0"));
    assert_ok(withdraw_recover(&small->console, &err), err);
    assert_false(is_listed(small, "1.1.0"));
    assert_ok(withdraw_recover(&small->console, &err), err);
    assert_int_equal(history(small, &arena, "withdraw", &newest), 1);
    assert_non_null(strstr(newest, "it sees ghosts"));
}

static void a_database_without_the_row_learns_it_from_git(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    struct json_writer writer;
    TEXT(out);

    publish_two(small);
    assert_ok(withdraw(small, "1.0.0", "it sees ghosts", &err), err);
    run(small, "DELETE FROM withdrawn");
    assert_false(is_withdrawn(small, "1.0.0"));
    assert_ok(withdraw_recover(&small->console, &err), err);
    assert_true(is_withdrawn(small, "1.0.0"));
    DB_DONE(conn) = db_read(small->console.db, &err);
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    assert_ok(withdrawn_write(conn, "demo", "model", "1.0.0", &writer, &err), err);
    assert_non_null(strstr(text_string(&out), "{\"reason\":\"it sees ghosts\",\"by\":\"ada\",\"at\":\"2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)
        SMALL_TEST(a_withdrawn_version_leaves_the_signed_metadata_for_good),
        SMALL_TEST(what_is_released_is_withdrawn_as_well_and_the_one_before_is_listed),
        SMALL_TEST(what_cannot_be_withdrawn_is_refused),
        SMALL_TEST(a_withdrawal_cut_off_before_its_commit_is_finished_at_the_start),
        SMALL_TEST(a_database_without_the_row_learns_it_from_git),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

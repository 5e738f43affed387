/* The setting `approval` and the signed targets: one follows the other, also after a crash between them. */
#include "test/console/small.h"

#include "base/json.h"
#include "console/delivery/approval.h"
#include "console/delivery/product.h"
#include "repo/repo.h"

#include <stdio.h>
#include <string.h>

static bool set(struct small *small, const char *value, struct error *err)
{
    ARENA(arena);
    const char *text = arena_printf(&arena, "{\"approval\":\"%s\"}", value);
    const struct json *json = json_read(&arena, text, strlen(text), &json_limits_small, err);

    assert_non_null(json);
    return product_set(&small->console, "demo", json, "ada", true, err);
}

static void check(struct small *small, int signatures, int needed)
{
    struct error err = {0};
    int number = 0;
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(conn, err);
    assert_ok(repo_signed_by(conn, "demo", &number, &err), err);
    assert_int_equal(number, signatures);
    assert_ok(approval_needed(conn, "demo", &number, &err), err);
    assert_int_equal(number, needed);
}

/* The setting is stored, and the console dies before anything is signed. */
static void store(struct small *small, const char *sql)
{
    struct error err = {0};
    struct db_conn *conn = db_write(small->console.db, &err);

    assert_ok(conn, err);
    assert_ok(db_run(db_query(conn, sql), NULL, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

static void step(struct small *small)
{
    struct error err = {0};

    assert_ok(approval_step(&small->console, &err), err);
}

static void who_signs_is_signed_when_it_is_set(void **state)
{
    struct small *small = *state;
    struct error err = {0};

    small_publish(small, "model", "1.0.0", NULL);
    check(small, 1, 1);
    assert_ok(set(small, "two", &err), err);
    check(small, 2, 2);
    assert_ok(set(small, "one", &err), err);
    check(small, 1, 1);
}

static void a_product_that_begins_after_the_setting_begins_with_it(void **state)
{
    struct small *small = *state;
    struct error err = {0};

    assert_ok(set(small, "two", &err), err);
    check(small, 1, 2);
    step(small);
    check(small, 1, 2);
    small_publish(small, "model", "1.0.0", NULL);
    check(small, 2, 2);
}

static void a_crash_between_setting_and_signing_is_finished_and_asks_for_two_meanwhile(void **state)
{
    struct small *small = *state;
    struct error err = {0};

    small_publish(small, "model", "1.0.0", NULL);
    store(small, "INSERT INTO product_setting (product, key, value, changed_by, changed_at)"
                 " VALUES ('demo', 'approval', 'two', 'ada', 1)");
    check(small, 1, 2);
    step(small);
    check(small, 2, 2);
    store(small, "UPDATE product_setting SET value = 'one'");
    check(small, 2, 2);
    step(small);
    check(small, 1, 1);
    assert_ok(set(small, "one", &err), err);
}

static void a_lost_database_does_not_lower_what_git_says(void **state)
{
    struct small *small = *state;
    struct error err = {0};

    small_publish(small, "model", "1.0.0", NULL);
    assert_ok(set(small, "two", &err), err);
    store(small, "DELETE FROM product_setting");
    assert_ok(repo_reindex(small->console.repo, &err), err);
    step(small);
    check(small, 2, 2);
    assert_ok(set(small, "one", &err), err);
    check(small, 1, 1);
}

static void without_the_offline_keys_it_is_said_and_tried_again(void **state)
{
    struct small *small = *state;
    char key[128], away[128];
    struct error err = {0};

    small_publish(small, "model", "1.0.0", NULL);
    snprintf(key, sizeof key, "%s/keys/targets-2", small->scratch.path);
    snprintf(away, sizeof away, "%s/targets-2", small->scratch.path);
    assert_int_equal(rename(key, away), 0);
    assert_refused(set(small, "two", &err), err, ERROR_MISSING);
    assert_non_null(strstr(err.text, "that is tried again"));
    check(small, 1, 2);
    assert_int_equal(rename(away, key), 0);
    step(small);
    check(small, 2, 2);
}

int main(void)
{
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)
    const struct CMUnitTest tests[] = {
        SMALL_TEST(who_signs_is_signed_when_it_is_set),
        SMALL_TEST(a_product_that_begins_after_the_setting_begins_with_it),
        SMALL_TEST(a_crash_between_setting_and_signing_is_finished_and_asks_for_two_meanwhile),
        SMALL_TEST(a_lost_database_does_not_lower_what_git_says),
        SMALL_TEST(without_the_offline_keys_it_is_said_and_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A product's settings: known keys, their grammar, who may change them. */
#include "test/console/small.h"

#include "base/json.h"
#include "base/text.h"
#include "console/audit.h"
#include "console/delivery/product.h"

#include <string.h>

static bool set(struct small *small, const char *settings, bool is_admin, struct error *err)
{
    ARENA(arena);
    const struct json *json = json_read(&arena, settings, strlen(settings), &json_limits_small, err);

    assert_non_null(json);
    return product_set(&small->console, "demo", json, "ada", is_admin, err);
}

static int64_t number(struct small *small, const char *key)
{
    struct error err = {0};
    int64_t value = -1;
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(product_setting_integer(conn, "demo", key, &value, &err), err);
    return value;
}

static const char *word(struct small *small, struct arena *arena, const char *key)
{
    struct error err = {0};
    char value[PRODUCT_VALUE_SIZE];
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(product_setting_text(conn, "demo", key, value, &err), err);
    return arena_strdup(arena, value);
}

static size_t audited(struct small *small, struct arena *arena, struct audit_row **rows)
{
    struct error err = {0};
    size_t count;
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(audit_rows(conn, arena, 0, 100, rows, &count, &err), err);
    return count;
}

static void what_nobody_set_has_its_default(void **state)
{
    struct small *small = *state;
    ARENA(arena);
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_int_equal(number(small, PRODUCT_PROVEN_ON), 0);
    assert_int_equal(number(small, PRODUCT_KEEP_DAYS), 0);
    assert_string_equal(word(small, &arena, PRODUCT_MARKERS), "optional");
    assert_string_equal(word(small, &arena, PRODUCT_APPROVAL), "one");
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    assert_ok(product_settings_write(conn, "demo", &writer, &err), err);
    json_write_end(&writer, '}');
    assert_string_equal(text_string(&out),
                        "{\"settings\":{\"release.proven_on\":0,\"markers\":\"optional\","
                        "\"approval\":\"one\",\"capture.keep_days\":0,"
                        "\"capture.device_quota\":1073741824,\"capture.campaign_quota\":0}}");
}

static void a_setting_is_kept_and_audited_once(void **state)
{
    struct small *small = *state;
    struct audit_row *rows;
    struct error err = {0};
    ARENA(arena);

    assert_ok(set(small, "{\"release.proven_on\":2,\"markers\":\"required\"}", false, &err), err);
    assert_int_equal(number(small, PRODUCT_PROVEN_ON), 2);
    assert_string_equal(word(small, &arena, PRODUCT_MARKERS), "required");
    assert_int_equal(audited(small, &arena, &rows), 2);
    assert_string_equal(rows[1].object, "demo");
    assert_string_equal(rows[1].detail, "release.proven_on: 2, before: 0");
    assert_ok(set(small, "{\"release.proven_on\":\"2\"}", false, &err), err);
    assert_int_equal(audited(small, &arena, &rows), 2);
}

static void a_wrong_value_changes_nothing_at_all(void **state)
{
    static const char *const wrong[] = {
        "{\"markers\":\"required\",\"release.proven_on\":1001}",
        "{\"markers\":\"required\",\"release.proven_on\":-1}",
        "{\"markers\":\"required\",\"release.proven_on\":1.5}",
        "{\"markers\":\"required\",\"release.proven_on\":\"one\"}",
        "{\"markers\":\"required\",\"capture.keep_days\":3651}",
        "{\"markers\":\"required\",\"approval\":\"three\"}",
        "{\"markers\":\"required\",\"approval\":2}",
        "{\"markers\":\"required\",\"colour\":\"red\"}",
        "{\"markers\":\"required\",\"markers.x\":null}",
        "{}",
    };
    struct small *small = *state;
    struct audit_row *rows;
    struct error err;
    ARENA(arena);

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused(set(small, wrong[i], true, &err), err, ERROR_INPUT);
    assert_string_equal(word(small, &arena, PRODUCT_MARKERS), "optional");
    assert_int_equal(audited(small, &arena, &rows), 0);
}

static void approval_is_an_administrators(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    ARENA(arena);

    assert_refused(set(small, "{\"approval\":\"two\"}", false, &err), err, ERROR_DENIED);
    assert_string_equal(word(small, &arena, PRODUCT_APPROVAL), "one");
    assert_ok(set(small, "{\"approval\":\"two\"}", true, &err), err);
    assert_string_equal(word(small, &arena, PRODUCT_APPROVAL), "two");
}

static void a_product_is_there_once_it_has_anything(void **state)
{
    struct small *small = *state;
    struct error err = {0};

    DB_DONE(before) = db_read(small->console.db, &err);
    assert_refused(product_check(before, "demo", &err), err, ERROR_MISSING);
    err = (struct error){0};
    assert_ok(set(small, "{\"release.proven_on\":1}", false, &err), err);
    DB_DONE(after) = db_read(small->console.db, &err);
    assert_ok(product_check(after, "demo", &err), err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)
        SMALL_TEST(what_nobody_set_has_its_default),         SMALL_TEST(a_setting_is_kept_and_audited_once),
        SMALL_TEST(a_wrong_value_changes_nothing_at_all),    SMALL_TEST(approval_is_an_administrators),
        SMALL_TEST(a_product_is_there_once_it_has_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

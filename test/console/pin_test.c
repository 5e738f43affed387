/* Pins and development devices: what is refused, what a crash leaves, what people see. */
#include "test/console/small.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "console/delivery/pin.h"
#include "console/delivery/wish_device.h"
#include "console/delivery/withdraw.h"
#include "console/devices.h"
#include "console/orders.h"

#include <string.h>

static bool try_pin(struct small *small, const char *device, const char *version, bool on_reset,
                    const char **hint, struct error *err)
{
    const struct pin_request asked = {.device = device,
                                      .asset = "model",
                                      .version = version,
                                      .on_reset = on_reset,
                                      .operator_name = "ada",
                                      .reason = "a test"};
    *err = (struct error){0};
    return pin_set(&small->console, &asked, hint, err);
}

static void seen(struct small *small, struct device *device, const char *version, const char *more)
{
    ARENA(arena);
    TEXT(answer);
    struct error err = {0};

    assert_ok(small_checkin(
                  small, device,
                  arena_printf(&arena,
                               "{\"boot_id\":\"a\",\"generation\":1,\"set\":\"\",\"order_seq\":0,"
                               "\"metadata\":{},\"assets\":{\"model\":{\"version\":\"%s\",\"sha256\":\"\","
                               "\"state\":\"idle\",\"result\":1}}%s}",
                               version, more),
                  &answer, &err),
              err);
}

static int64_t rows(struct small *small, const char *which)
{
    struct error err = {0};
    int64_t count = 0;
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(conn, err);
    struct db_query *query =
        !strcmp(which, "audit")
            ? db_query(conn, "SELECT count(*) FROM audit WHERE action IN ('pin', 'unpin')")
        : !strcmp(which, "pin") ? db_query(conn, "SELECT count(*) FROM pin")
        : !strcmp(which, "kept")
            ? db_query(conn, "SELECT count(*) FROM device_kept")
            : db_query(conn, "SELECT count(*) FROM device_event WHERE what IN ('pin', 'unpin')");
    if (db_step(query))
        count = db_integer(query, 0);
    assert_ok(db_end(query, &err), err);
    return count;
}

static bool is_listed(struct small *small, const char *version)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(conn, err);
    struct db_query *query =
        db_query(conn, "SELECT listed FROM versions WHERE asset = 'model' AND version = :version");
    db_bind_text(query, ":version", version);
    bool listed = db_step(query) && db_integer(query, 0);
    assert_ok(db_end(query, &err), err);
    return listed;
}

static void now_is_for_a_device_that_is_online(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    const char *hint;
    struct error err;

    small_publish(small, "model", "1.0.0", NULL);
    assert_refused(try_pin(small, "cam-1", "1.0.0", false, &hint, &err), err, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, "not online"));
    assert_non_null(strstr(hint, "--on-reset"));
    assert_int_equal(rows(small, "pin"), 0);
    seen(small, device, "1.0.0", "");
    assert_ok(try_pin(small, "cam-1", "1.0.0", false, &hint, &err), err);
    small_wait(small, 3600);
    assert_refused(try_pin(small, "cam-1", "1.0.0", false, &hint, &err), err, ERROR_CONFLICT);
    assert_ok(try_pin(small, "cam-1", "1.0.0", true, &hint, &err), err);
    assert_int_equal(rows(small, "pin"), 1);
    assert_int_equal(rows(small, "audit"), 2);
    assert_int_equal(rows(small, "events"), 2);
}

static void what_a_device_cannot_have_is_not_pinned(void **state)
{
    struct small *small = *state;
    struct device *waiting = small_device(small, "cam-2", "", NULL);
    const char *hint;
    struct error err;

    small_device(small, "cam-1", "rev-a", NULL);
    small_publish(small, "model", "1.0.0", "rev-b");
    small_publish(small, "model", "1.1.0", NULL);
    assert_refused(try_pin(small, "cam-1", "1.0.0", true, &hint, &err), err, ERROR_CONFLICT);
    assert_refused(try_pin(small, "cam-1", "9.0.0", true, &hint, &err), err, ERROR_MISSING);
    assert_refused(try_pin(small, "cam-1", "one", true, &hint, &err), err, ERROR_INPUT);
    assert_refused(try_pin(small, "nobody", "1.1.0", true, &hint, &err), err, ERROR_MISSING);
    waiting->admission = ADMISSION_PENDING;
    assert_refused(try_pin(small, "cam-2", "1.1.0", true, &hint, &err), err, ERROR_CONFLICT);
    err = (struct error){0};
    assert_ok(version_withdraw(&small->console, "demo", "model", "1.1.0", "bad", "ada", &err), err);
    assert_refused(try_pin(small, "cam-1", "1.1.0", true, &hint, &err), err, ERROR_CONFLICT);
    assert_refused(pin_end(&small->console, "cam-1", "model", "ada", &err), err, ERROR_MISSING);
    assert_int_equal(rows(small, "pin"), 0);
    assert_int_equal(rows(small, "audit"), 0);
}

static void a_pinned_version_is_listed_however_old_it_is(void **state)
{
    struct small *small = *state;
    const char *hint;
    struct error err = {0};
    ARENA(arena);

    small_device(small, "cam-1", "", NULL);
    for (int i = 0; i < 13; i++)
        small_publish(small, "model", arena_printf(&arena, "1.%d.0", i), NULL);
    assert_false(is_listed(small, "1.0.0"));
    assert_ok(try_pin(small, "cam-1", "1.0.0", true, &hint, &err), err);
    assert_true(is_listed(small, "1.0.0"));
    small_publish(small, "model", "1.13.0", NULL);
    assert_true(is_listed(small, "1.0.0"));
    assert_ok(pin_end(&small->console, "cam-1", "model", "ada", &err), err);
    small_publish(small, "model", "1.14.0", NULL);
    assert_false(is_listed(small, "1.0.0"));
}

static void what_a_crash_cut_off_never_was_and_what_stood_stands(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    const char *hint;
    struct error err = {0};

    small_publish(small, "model", "1.0.0", NULL);
    small_publish(small, "model", "1.1.0", NULL);
    assert_ok(try_pin(small, "cam-1", "1.0.0", true, &hint, &err), err);
    struct db_conn *conn = db_write(small->console.db, &err);
    assert_ok(conn, err);
    assert_ok(db_run(db_query(conn, "UPDATE pin SET next_version = '1.1.0'"), NULL, &err), err);
    assert_ok(db_run(db_query(conn, "INSERT INTO pin (device_id, asset, version, on_reset, active, pinned_by,"
                                    " pinned_at) VALUES (1, 'words', '1.0.0', 0, 0, 'ada', 1)"),
                     NULL, &err),
              err);
    assert_ok(
        db_run(db_query(conn, "INSERT INTO device_kept (device_id, asset, version) VALUES (1, 'a', '1.0.0')"),
               NULL, &err),
        err);
    assert_ok(pin_recover(conn, &err), err);
    assert_ok(db_commit(conn, &err), err);
    assert_int_equal(rows(small, "pin"), 1);
    assert_int_equal(rows(small, "kept"), 0);
    assert_ok(orders_make(&small->console, &device->id, 1, &err), err);
    assert_non_null(strstr(device->order, "\"1.0.0\""));
    assert_null(strstr(device->order, "\"1.1.0\""));
}

static void a_development_device_is_one_after_a_restart(void **state)
{
    struct small *small = *state;
    struct error err = {0};

    small_device(small, "cam-1", "", NULL);
    assert_ok(pin_develop(&small->console, "cam-1", true, "ada", &err), err);
    assert_true(fleet_by_name(small->console.fleet, "cam-1")->development);
    small_again(small);
    assert_true(fleet_by_name(small->console.fleet, "cam-1")->development);
    assert_ok(pin_develop(&small->console, "cam-1", false, "ada", &err), err);
    small_again(small);
    assert_false(fleet_by_name(small->console.fleet, "cam-1")->development);
}

static void safe_mode_is_taken_over_kept_and_ended(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    TEXT(out);
    struct json_writer writer;

    seen(small, device, "1.0.0", ",\"safe\":\"the app does not start\"");
    small_again(small);
    device = fleet_by_name(small->console.fleet, "cam-1");
    assert_string_equal(device->safe, "the app does not start");
    json_write_init(&writer, &out);
    fleet_lock(small->console.fleet);
    device_write(&writer, small->console.fleet, device, clock_now());
    fleet_unlock(small->console.fleet);
    assert_non_null(strstr(text_string(&out), "\"safe_mode\":\"the app does not start\""));
    seen(small, device, "1.0.0", ",\"waiting\":null");
    assert_null(device->safe);
}

static void why_says_what_the_device_itself_says(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    struct wish_device wish;
    struct error err = {0};
    ARENA(arena);

    assert_ok(wish_device_find(&arena, small->console.fleet, "cam-1", &wish, &err), err);
    assert_string_equal(wish.waiting, "the device was never seen");
    seen(small, device, "1.0.0", ",\"waiting\":\"no room\"");
    assert_ok(wish_device_find(&arena, small->console.fleet, "cam-1", &wish, &err), err);
    assert_string_equal(wish_device_runs(&wish, "model"), "1.0.0");
    assert_null(wish_device_runs(&wish, "words"));
    assert_string_equal(wish.waiting, "no room");
    small_wait(small, 86400);
    assert_ok(wish_device_find(&arena, small->console.fleet, "cam-1", &wish, &err), err);
    assert_non_null(strstr(wish.waiting, "offline"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)
        SMALL_TEST(now_is_for_a_device_that_is_online),
        SMALL_TEST(what_a_device_cannot_have_is_not_pinned),
        SMALL_TEST(a_pinned_version_is_listed_however_old_it_is),
        SMALL_TEST(what_a_crash_cut_off_never_was_and_what_stood_stands),
        SMALL_TEST(a_development_device_is_one_after_a_restart),
        SMALL_TEST(safe_mode_is_taken_over_kept_and_ended),
        SMALL_TEST(why_says_what_the_device_itself_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

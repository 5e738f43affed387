/* Orders: made when the wish changes, durable, rising, renewed in time. */
#include "test/console/small.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "console/delivery/release.h"
#include "console/devices.h"
#include "console/orders.h"

#include <string.h>

static void make(struct small *small, struct device *device)
{
    struct error err = {0};

    assert_ok(orders_make(&small->console, &device->id, 1, &err), err);
}

static void release(struct small *small, const char *asset, const char *version)
{
    struct error err = {0};
    int64_t devices;

    assert_ok(release_set(&small->console, "demo", asset, version, "ada", &devices, &err), err);
}

/* "asset@version …" of the device's order. */
static const char *set_of(struct arena *arena, const struct device *device)
{
    struct error err = {0};
    const struct json *order =
        json_read(arena, device->order, strlen(device->order), &json_limits_small, &err);
    const char *set = "";

    assert_ok(order, err);
    const struct json *entries = json_get(json_get(order, "signed"), "set");
    for (const struct json *entry = entries->first; entry; entry = entry->next)
        set = arena_printf(arena, "%s%s%s@%s", set, *set ? " " : "", json_string(entry, "asset"),
                           json_string(entry, "version"));
    return set;
}

static void the_seq_rises_with_the_wish_alone(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    ARENA(arena);

    make(small, device);
    int64_t first = device->order_seq;
    assert_true(first >= clock_now() - 5);
    device_wish_changed(device);
    make(small, device);
    assert_int_equal(device->order_seq, first);
    small_publish(small, "model", "1.0.0", NULL);
    small_publish(small, "model", "1.1.0", NULL);
    release(small, "model", "1.0.0");
    make(small, device);
    assert_string_equal(set_of(&arena, device), "model@1.0.0");
    assert_true(device->order_seq > first);
    int64_t second = device->order_seq;
    release(small, "model", "1.0.0");
    make(small, device);
    assert_int_equal(device->order_seq, second);
    release(small, "model", "1.1.0");
    make(small, device);
    assert_true(device->order_seq > second);
    assert_string_equal(set_of(&arena, device), "model@1.1.0");
}

static void an_order_is_durable_and_the_same_after_a_restart(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    ARENA(arena);

    make(small, device);
    int64_t seq = device->order_seq;
    const char *document = arena_strdup(&arena, device->order);
    small_again(small);
    device = fleet_by_name(small->console.fleet, "cam-1");
    make(small, device);
    assert_int_equal(device->order_seq, seq);
    assert_string_equal(device->order, document);
}

static void an_order_is_renewed_before_it_ends(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);

    make(small, device);
    int64_t seq = device->order_seq;
    assert_int_equal(device->order_expires_at, clock_now() + ORDER_S);
    small_wait(small, ORDER_S - ORDER_RENEW_S - 10);
    assert_false(order_is_stale(device, clock_now()));
    small_wait(small, 20);
    assert_true(order_is_stale(device, clock_now()));
    make(small, device);
    assert_true(device->order_seq > seq && device->order_expires_at > clock_now() + ORDER_S - 5);
}

static void a_clock_that_goes_back_does_not_lower_the_seq(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);

    make(small, device);
    int64_t seq = device->order_seq;
    small_wait(small, -86400);
    small_publish(small, "model", "1.0.0", NULL);
    release(small, "model", "1.0.0");
    make(small, device);
    assert_int_equal(device->order_seq, seq + 1);
}

static void a_device_that_holds_a_newer_order_gets_a_newer_one_yet(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    struct error err = {0};
    ARENA(arena);
    TEXT(answer);

    make(small, device);
    int64_t ahead = device->order_seq + 1000;
    assert_ok(
        small_checkin(small, device,
                      arena_printf(&arena,
                                   "{\"boot_id\":\"a\",\"generation\":0,\"set\":\"\",\"order_seq\":%lld,"
                                   "\"metadata\":{},\"assets\":{}}",
                                   (long long)ahead),
                      &answer, &err),
        err);
    assert_int_equal(device->order_seq, ahead + 1);
    assert_non_null(strstr(text_string(&answer), "\"order\":{"));
}

static void a_version_that_does_not_fit_the_hardware_is_not_in_the_set(void **state)
{
    struct small *small = *state;
    struct device *a = small_device(small, "cam-1", "rev-a", NULL),
                  *b = small_device(small, "cam-2", "rev-b", NULL);
    ARENA(arena);

    small_publish(small, "model", "1.0.0", "rev-a");
    small_publish(small, "words", "1.0.0", NULL);
    release(small, "model", "1.0.0");
    release(small, "words", "1.0.0");
    struct error err = {0};
    assert_ok(orders_step(&small->console, &err), err);
    assert_string_equal(set_of(&arena, a), "model@1.0.0 words@1.0.0");
    assert_string_equal(set_of(&arena, b), "words@1.0.0");
}

static void who_is_not_accepted_or_may_exist_twice_gets_none(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    struct error err = {0};

    device->admission = ADMISSION_PENDING;
    make(small, device);
    assert_null(device->order);
    device->admission = ADMISSION_ACCEPTED;
    device->clone_suspected = true;
    make(small, device);
    assert_null(device->order);
    assert_ok(device_admit(&small->console, "cam-1", ADMISSION_ACCEPTED, "ada", &err), err);
    make(small, device);
    assert_non_null(device->order);
}

static void what_cannot_be_released_is_refused(void **state)
{
    struct small *small = *state;
    struct error err;
    int64_t devices;

    small_publish(small, "model", "1.0.0", NULL);
    assert_refused(release_set(&small->console, "demo", "model", "9.0.0", "ada", &devices, &err), err,
                   ERROR_MISSING);
    assert_refused(release_set(&small->console, "demo", "../x", "1.0.0", "ada", &devices, &err), err,
                   ERROR_INPUT);
    assert_refused(release_set(&small->console, "demo", "model", "one", "ada", &devices, &err), err,
                   ERROR_INPUT);
}

static size_t ordered(struct fleet *fleet)
{
    size_t count, with = 0;

    fleet_lock(fleet);
    struct device *const *all = fleet_all(fleet, &count);
    for (size_t i = 0; i < count; i++)
        with += all[i]->order != NULL && !all[i]->wish_stale && !all[i]->wish_taken;
    fleet_unlock(fleet);
    return with;
}

static void a_step_makes_some_orders_and_says_that_there_are_more_until_all_are_made(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    size_t before = 0;
    int steps = 0;

    small_many(small, 1200);
    do {
        small->console.step_has_more = false;
        assert_ok(orders_step(&small->console, &err), err);
        size_t with = ordered(small->console.fleet);
        assert_true(with > before);
        before = with;
        steps++;
    } while (small->console.step_has_more);
    assert_int_equal(before, 1200);
    assert_true(steps > 2);
    /* The same in the database. */
    small_again(small);
    DB_DONE(conn) = db_read(small->console.db, &err);
    struct db_query *query = db_query(conn, "SELECT count(*) FROM device_order");
    assert_true(db_step(query));
    assert_int_equal(db_integer(query, 0), 1200);
    assert_ok(db_end(query, &err), err);
}

static void who_stands_behind_many_that_change_again_and_again_gets_a_turn(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    size_t count;

    small_many(small, 1200);
    struct device *const *all = fleet_all(small->console.fleet, &count);
    struct device *last = all[count - 1];
    for (int i = 0; i < 1200 && !last->order; i++) {
        assert_ok(orders_step(&small->console, &err), err);
        for (size_t n = 0; n < 600; n++)
            device_wish_changed(all[n]);
    }
    assert_non_null(last->order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)
        SMALL_TEST(the_seq_rises_with_the_wish_alone),
        SMALL_TEST(an_order_is_durable_and_the_same_after_a_restart),
        SMALL_TEST(an_order_is_renewed_before_it_ends),
        SMALL_TEST(a_clock_that_goes_back_does_not_lower_the_seq),
        SMALL_TEST(a_device_that_holds_a_newer_order_gets_a_newer_one_yet),
        SMALL_TEST(a_version_that_does_not_fit_the_hardware_is_not_in_the_set),
        SMALL_TEST(who_is_not_accepted_or_may_exist_twice_gets_none),
        SMALL_TEST(what_cannot_be_released_is_refused),
        SMALL_TEST(a_step_makes_some_orders_and_says_that_there_are_more_until_all_are_made),
        SMALL_TEST(who_stands_behind_many_that_change_again_and_again_gets_a_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

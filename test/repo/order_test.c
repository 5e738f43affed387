/* Orders: what is signed, what a device refuses. */
#include "test/repo/world.h"

#include <stdio.h>
#include <string.h>

static struct order an_order(void)
{
    static struct set_entry set[] = {{"labels", "2.0.0", "", {0}}, {"detector", "1.0.0", "", {0}}};
    static const char *collect[] = {"proc", NULL};
    static struct order_run run = {.id = "0123456789abcdef0123456789abcdef",
                                   .campaign = 7,
                                   .run = 1,
                                   .image = "raw-counters",
                                   .version = "1.0.0",
                                   .mode = "replace",
                                   .duration_s = 30,
                                   .start_after = NOW,
                                   .start_before = NOW + 60,
                                   .not_after = NOW + 600,
                                   .max_output = 1000,
                                   .collect = collect};
    struct order order = {.device = DEVICE,
                          .product = "demo",
                          .seq = 10,
                          .issued = NOW,
                          .expires = NOW + DAY,
                          .set = set,
                          .set_count = 2,
                          .runs = &run,
                          .run_count = 1};
    return order;
}

static bool order_passes(struct world *world, const struct order *order, int key, int64_t last_seq,
                         int64_t now, struct order *read)
{
    struct metadata_client *client = world_accepts(world);
    TEXT(out);
    if (!order_write(order, &world->keys[key], &out, &world->err))
        fail_msg("%s", world->err.text);
    return order_read(&world->arena, client, out.bytes, out.size, DEVICE, "demo", last_seq, now, read,
                      &world->err);
}

static void an_order_comes_back_as_it_was_written(void **state)
{
    struct order order = an_order(), read;
    assert_true(order_passes(*state, &order, DIRECTOR, 9, NOW, &read));
    assert_int_equal(read.set_count, 2);
    assert_string_equal(read.set[0].asset, "detector");
    assert_string_equal(read.runs[0].id, "0123456789abcdef0123456789abcdef");
    assert_string_equal(read.runs[0].collect[0], "proc");
    assert_int_equal(read.runs[0].not_after, NOW + 600);
    assert_int_equal(read.expires, NOW + DAY);
}

static void replayed_expired_and_foreign_orders_are_refused(void **state)
{
    struct world *world = *state;
    struct order order = an_order(), read;
    assert_false(order_passes(world, &order, DIRECTOR, 10, NOW, &read));
    assert_int_equal(world->err.kind, ERROR_UNTRUSTED);
    assert_false(order_passes(world, &order, DIRECTOR, 9, NOW + DAY, &read));
    assert_non_null(strstr(world->err.text, "expired"));
    assert_false(order_passes(world, &order, ASSETS, 9, NOW, &read));
    assert_non_null(strstr(world->err.text, "0 of the 1 signatures"));
    memset(order.device, 'e', 64);
    assert_false(order_passes(world, &order, DIRECTOR, 9, NOW, &read));
    assert_non_null(strstr(world->err.text, "another device"));
    order = an_order();
    snprintf(order.product, NAME_SIZE, "other");
    assert_false(order_passes(world, &order, DIRECTOR, 9, NOW, &read));
    assert_non_null(strstr(world->err.text, "product"));
}

static void an_order_with_a_changed_byte_is_refused(void **state)
{
    struct world *world = *state;
    struct order order = an_order(), read;
    struct metadata_client *client = world_accepts(world);
    TEXT(out);
    assert_true(order_write(&order, &world->keys[DIRECTOR], &out, &world->err));
    for (size_t i = 0; i < out.size; i++) {
        out.bytes[i] ^= 1;
        world->err = (struct error){0};
        if (order_read(&world->arena, client, out.bytes, out.size, DEVICE, "demo", 9, NOW, &read,
                       &world->err))
            fail_msg("byte %zu", i);
        out.bytes[i] ^= 1;
    }
}

static void an_order_that_a_device_would_refuse_is_not_signed(void **state)
{
    struct world *world = *state;
    struct set_entry twice[] = {{"a", "1.0.0", "", {0}}, {"a", "1.0.0", "", {0}}};
    struct order order = an_order();
    TEXT(out);
    order.set = twice;
    assert_false(order_write(&order, &world->keys[DIRECTOR], &out, &world->err));
    order = an_order();
    struct order_run run = order.runs[0];
    order.runs = &run;
    snprintf(run.image, NAME_SIZE, "../x");
    assert_false(order_write(&order, &world->keys[DIRECTOR], &out, &world->err));
    run = an_order().runs[0];
    run.start_before = run.not_after + 1;
    assert_false(order_write(&order, &world->keys[DIRECTOR], &out, &world->err));
}

static void a_run_may_only_narrow_what_the_image_was_signed_for(void **state)
{
    static const char text[] =
        "{\"entry\":[\"./run\"],\"max_runtime_s\":60,\"max_output\":4096,\"collect\":[\"proc\"],"
        "\"params\":{\"rate\":{\"type\":\"integer\",\"min\":1,\"max\":50}}}";
    struct world *world = *state;
    struct image_limits limits;
    const char *more[] = {"proc", "app-logs", NULL};
    assert_true(image_limits_read(&world->arena, text, sizeof text - 1, &limits, &world->err));
    struct order_run good = an_order().runs[0], run = good;
    assert_true(order_run_check(&run, &limits, &world->err));
    run.duration_s = 61;
    assert_false(order_run_check(&run, &limits, &world->err));
    run = good, run.collect = more;
    assert_false(order_run_check(&run, &limits, &world->err));
    run = good, run.mode = "beside";
    assert_false(order_run_check(&run, &limits, &world->err));
    run = good, run.max_output = 4097;
    assert_false(order_run_check(&run, &limits, &world->err));
    run = good, run.params = json_read(&world->arena, "{\"rate\":51}", 11, &json_limits_small, &world->err);
    assert_false(order_run_check(&run, &limits, &world->err));
    run.params = json_read(&world->arena, "{\"rate\":50}", 11, &json_limits_small, &world->err);
    assert_true(order_run_check(&run, &limits, &world->err));
    run.params = json_read(&world->arena, "{\"other\":1}", 11, &json_limits_small, &world->err);
    assert_false(order_run_check(&run, &limits, &world->err));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_order_comes_back_as_it_was_written),
        TEST(replayed_expired_and_foreign_orders_are_refused),
        TEST(an_order_with_a_changed_byte_is_refused),
        TEST(an_order_that_a_device_would_refuse_is_not_signed),
        TEST(a_run_may_only_narrow_what_the_image_was_signed_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

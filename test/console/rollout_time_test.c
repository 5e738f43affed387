/* Rollouts in time: silence, soaks, deadlines, back-offs, windows, and a console that was gone for a while.
 */
#include "test/console/rolling.h"

#include "base/clock.h"
#include "base/text.h"
#include "console/delivery/rollout_assignment.h"
#include "console/fleet_parts.h"

static void silence_is_a_failure_and_a_late_proof_amends_it(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];

    (void)state;
    int64_t id = rolling_create(&plan);
    assert_int_equal(rolling_moving(found), 1);
    small_wait(rolling.small, 300);
    rolling_step();
    rolling_check(id, "running");
    small_wait(rolling.small, 301);
    rolling_step();
    rolling_check(id, "held");
    assert_int_equal(rolling_number("reason", id, "timed_out"), 1);
    rolling_say(found[0], "1.1.0", "idle", 1);
    rolling_step();
    assert_int_equal(rolling_number("state", id, "confirming"), 1);
    assert_int_equal(rolling_number("state", id, "failed"), 0);
    rolling_act(id, ROLLOUT_RESUME);
    rolling_soak(61);
    assert_int_equal(rolling_number("state", id, "applied"), 1);
    assert_int_equal(rolling_moving(found), 5);
}

static void a_device_that_falls_back_in_its_soak_has_failed(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];

    (void)state;
    plan.max_failures = NULL;
    int64_t id = rolling_create(&plan);
    rolling_moving(found);
    struct device *first = found[0];
    rolling_prove_all();
    rolling_say(first, "1.0.0", "idle", 8);
    rolling_step();
    assert_int_equal(rolling_number("reason", id, "fell_back"), 1);
    assert_int_equal(rolling_number("stage", id, ""), 2); /* no gate */
    rolling_moving(found);
    struct device *second = found[0] == first ? found[1] : found[0];
    rolling_say(second, "1.1.0", "idle", 1);
    rolling_step();
    rolling_say_app(second, "1.1.0", "idle", 1, "", "failed");
    rolling_step();
    assert_int_equal(rolling_number("reason", id, "app_stopped"), 1);
    rolling_check_counts(id);
}

static void an_applied_device_is_watched_until_the_rollout_is_over(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];

    (void)state;
    int64_t id = rolling_create(&plan);
    rolling_moving(found);
    struct device *first = found[0];
    rolling_prove_all();
    rolling_soak(61);
    assert_int_equal(rolling_number("state", id, "applied"), 1);
    rolling_say(first, "1.0.0", "idle", 8);
    rolling_step();
    rolling_check(id, "held");
    assert_int_equal(rolling_number("reason", id, "fell_back"), 1);
    const char *held = json_string(json_get(rolling_shown(&arena, id), "reason"), "text");
    rolling_act(id, ROLLOUT_ROLL_BACK); /* and why it was held is not forgotten */
    const char *text = json_string(json_get(rolling_shown(&arena, id), "reason"), "text");
    assert_string_equal(text, arena_printf(&arena, "because; it was held: %s", held));
}

static void a_soak_is_not_passed_in_silence(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);

    (void)state;
    int64_t id = rolling_create(&plan);
    rolling_prove_all();
    small_wait(rolling.small, 61);
    rolling_step();
    assert_int_equal(rolling_number("state", id, "applied"), 0);
    small_wait(rolling.small, 60);
    rolling_step();
    assert_int_equal(rolling_number("reason", id, "timed_out"), 1);
    rolling_check(id, "held");
}

static void a_device_may_restart_in_its_soak(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);

    (void)state;
    plan.soak_s = 10;
    int64_t id = rolling_create(&plan);
    rolling_prove_all();
    small_wait(rolling.small, 45);
    assert_int_equal(device_connectivity(rolling.small->console.fleet, rolling.devices[0], clock_now()),
                     OFFLINE);
    rolling_step();
    assert_int_equal(rolling_number("state", id, "failed"), 0);
    rolling_soak(3);
    assert_int_equal(rolling_number("state", id, "applied"), 1);
    rolling_check(id, "running"); /* its next stage */
}

static void a_console_that_stood_still_blames_no_device_in_its_soak(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);

    (void)state;
    plan.soak_s = 10;
    int64_t id = rolling_create(&plan);
    rolling_prove_all();
    rolling.small->console.fleet->watch_ms -= 120000;
    small_wait(rolling.small, 120);
    rolling_step();
    assert_int_equal(rolling_number("state", id, "failed"), 0);
    rolling_soak(3);
    assert_int_equal(rolling_number("state", id, "applied"), 1);
    rolling_check(id, "running"); /* its next stage */
}

static void a_console_that_is_back_listens_before_it_judges(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];

    (void)state;
    plan.soak_s = 10;
    int64_t id = rolling_create(&plan);
    int count = rolling_moving(found);
    rolling_prove_all();
    small_wait(rolling.small,
               90); /* what the moving one said since then was not written down, another's was */
    for (int i = 0; i < ROLLING_DEVICES; i++)
        if (rolling.devices[i] != found[0])
            rolling_say(rolling.devices[i], rolling_ordered(&arena, rolling.devices[i]), "idle", 1);
    assert_int_equal(count, 1);
    rolling_restart();
    small_wait(rolling.small, 60);
    rolling_step();
    assert_int_equal(rolling_number("state", id, "failed"), 0);
    small_wait(rolling.small, 31);
    rolling_step();
    assert_int_equal(rolling_number("reason", id, "timed_out"), 1);
    rolling_check(id, "held");
}

static void a_deadline_that_passed_while_the_console_was_gone_is_not_the_devices(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);

    (void)state;
    int64_t id = rolling_create(&plan);
    small_wait(rolling.small, plan.device_deadline_s + 10);
    rolling_restart();
    rolling_step();
    assert_int_equal(rolling_number("state", id, "failed"), 0);
    rolling_prove_all(); /* it had been at work all the time */
    assert_int_equal(rolling_number("state", id, "failed"), 0);
    assert_int_equal(rolling_number("state", id, "confirming") + rolling_number("state", id, "applied"), 1);
}

/* Devices that come often because their turn is near. */
static int often(void)
{
    int count = 0;

    for (int i = 0; i < ROLLING_DEVICES; i++)
        count += rolling.devices[i]->warm_until > clock_now();
    return count;
}

static void who_is_next_comes_often_and_after_short_stages_who_comes_then(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);

    (void)state;
    int64_t id = rolling_create(&plan);
    assert_int_equal(often(), 4); /* of the second stage */
    rolling_act(id, ROLLOUT_ABORT);
    rolling_restart(); /* nobody is waited for, and it looks at once */
    plan.soak_s = 59;
    rolling_create(&plan);
    assert_int_equal(often(), 9);
}

static void a_failed_device_is_asked_again_after_its_back_off(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];
    int64_t id;

    (void)state;
    plan.retries = 1;
    id = rolling_create(&plan);
    assert_int_equal(rolling_moving(found), 1);
    struct device *first = found[0];
    rolling_say_app(first, "1.0.0", "idle", 8, ",\"wanted\":\"1.1.0\",\"reason\":\"no\"", "running");
    rolling_step();
    assert_int_equal(rolling_number("state", id, "pending"), 10);
    assert_int_equal(rolling_moving(found), 0); /* its target is back while it waits */
    rolling_say(first, "1.0.0", "idle", 1);
    small_wait(rolling.small, 20);
    rolling_step();
    assert_int_equal(rolling_moving(found), 0);
    small_wait(rolling.small, 41);
    rolling_step();
    assert_int_equal(rolling_moving(found), 1);
    assert_ptr_equal(found[0], first);
    rolling_say_app(first, "1.0.0", "idle", 8, ",\"wanted\":\"1.1.0\",\"reason\":\"no\"", "running");
    rolling_step();
    assert_int_equal(rolling_number("state", id, "failed"), 1);
    rolling_check(id, "held");
}

static void what_the_device_tries_again_itself_is_no_failure(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];
    int64_t id = rolling_create(&plan);

    (void)state;
    rolling_moving(found);
    rolling_say_app(found[0], "1.0.0", "idle", 4,
                    ",\"wanted\":\"1.1.0\",\"reason\":\"the connection was lost\"", "running");
    rolling_step();
    rolling_check(id, "running");
    small_wait(rolling.small, 601);
    rolling_step();
    assert_int_equal(rolling_number("reason", id, "timed_out"), 1);
}

static void gates_of_success_and_time(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];
    struct error err = {0};

    (void)state;
    plan.max_failures = NULL;
    plan.min_successes = 1;
    plan.device_deadline_s = 300;
    int64_t id = rolling_create(&plan);
    small_wait(rolling.small, 301);
    rolling_step();
    rolling_check(id, "held");
    assert_string_equal(json_string(json_get(rolling_shown(&arena, id), "reason"), "code"), "min_successes");
    assert_refused(rollout_do(&rolling.small->console, id, ROLLOUT_ADVANCE, NULL, "running", "ada", &err),
                   err, ERROR_CONFLICT);
    rolling_act(id, ROLLOUT_ADVANCE);
    assert_int_equal(rolling_number("stage", id, ""), 2);
    rolling_act(id, ROLLOUT_ROLL_BACK);
    rolling_all_take();
    rolling_check(id, "rolled_back");
    plan.min_successes = 0;
    plan.stage_deadline_s = 100;
    id = rolling_create(&plan);
    small_wait(rolling.small, 101);
    rolling_step();
    rolling_check(id, "held");
    assert_string_equal(json_string(json_get(rolling_shown(&arena, id), "reason"), "code"), "stage_deadline");
    assert_int_equal(rolling_moving(found), 1);
}

static void it_starts_at_its_time_and_ends_at_its_end(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];

    (void)state;
    plan.at = clock_now() + 1000;
    plan.ends_at = clock_now() + 1500;
    int64_t id = rolling_create(&plan);
    rolling_check(id, "scheduled");
    assert_int_equal(rolling_moving(found), 0);
    small_wait(rolling.small, 1001);
    rolling_step();
    rolling_check(id, "running");
    assert_int_equal(rolling_moving(found), 1);
    rolling_prove_all();
    rolling_soak(61);
    assert_int_equal(rolling_moving(found), 5);
    small_wait(rolling.small, 450);
    rolling_step();
    rolling_step();
    rolling_check(id, "aborted");
    assert_int_equal(rolling_number("reason", id, "aborted"), 9);
    assert_int_equal(rolling_number("state", id, "applied"), 1);
}

static void a_window_moves_the_deadline(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    int64_t now = clock_now(), day = now - now % 86400;

    (void)state;
    assert_int_equal(rollout_window_opens("02:00-05:00", "{\"timezone\":\"UTC\"}", day + 3 * 3600),
                     day + 3 * 3600);
    assert_int_equal(rollout_window_opens("02:00-05:00", NULL, day + 3600), day + 2 * 3600);
    assert_int_equal(rollout_window_opens("02:00-05:00", NULL, day + 6 * 3600), day + 26 * 3600);
    assert_int_equal(rollout_window_opens("22:00-02:00", NULL, day + 3600), day + 3600);
    assert_int_equal(rollout_window_opens("02:00-05:00", "{\"timezone\":\"Asia/Tokyo\"}", day + 6 * 3600),
                     day + 17 * 3600);
    small_wait(rolling.small, day + 86400 + 12 * 3600 - now);
    plan.window = "18:00-19:00";
    int64_t id = rolling_create(&plan);
    small_wait(rolling.small, 6 * 3600 + 300);
    rolling_step();
    rolling_check(id, "running");
    small_wait(rolling.small, 310);
    rolling_step();
    rolling_check(id, "held");
}

static void a_window_that_closed_too_early_gives_way_to_the_next(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, 1);
    struct device *found[ROLLING_DEVICES];
    int64_t now = clock_now(), day = now - now % 86400;

    (void)state;
    small_wait(rolling.small, day + 86400 + 19 * 3600 - 60 - now);
    plan.window = "18:00-19:00";
    plan.shares = (const char *const[]){"100%"};
    plan.share_count = 1;
    int64_t id = rolling_create(&plan);
    small_wait(rolling.small, 540);
    assert_int_equal(rolling_moving(found), 1);
    rolling_say(found[0], "1.0.0", "downloaded", 1);
    rolling_step();
    small_wait(rolling.small, 70);
    rolling_say(found[0], "1.0.0", "downloaded", 1);
    rolling_step();
    assert_int_equal(rolling_number("state", id, "failed"), 0); /* it waits for tomorrow's */
    small_wait(rolling.small, 23 * 3600 - 300);
    rolling_say(found[0], "1.0.0", "downloaded", 1);
    rolling_step();
    assert_int_equal(rolling_number("state", id, "downloaded"), 1);
    small_wait(rolling.small, 900); /* not for another one */
    rolling_step();
    assert_int_equal(rolling_number("state", id, "failed"), 1);
}

static void who_waits_for_its_window_does_not_begin_after_an_abort(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, 2);
    struct device *found[ROLLING_DEVICES];
    int64_t now = clock_now(), day = now - now % 86400;

    (void)state;
    small_wait(rolling.small, day + 86400 + 12 * 3600 - now);
    plan.window = "18:00-19:00";
    plan.shares = (const char *const[]){"100%"};
    plan.share_count = 1;
    int64_t id = rolling_create(&plan);
    assert_int_equal(rolling_moving(found), 2);
    rolling_say(found[0], "1.0.0", "downloaded", 1);
    rolling_step();
    rolling_act(id, ROLLOUT_ABORT);
    rolling_check(id, "aborted");
    assert_int_equal(rolling_number("state", id, "skipped"), 2);
    assert_int_equal(rolling_moving(found), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROLLOUT_TEST(name) cmocka_unit_test_setup_teardown(name, rolling_setup, small_teardown)
        ROLLOUT_TEST(silence_is_a_failure_and_a_late_proof_amends_it),
        ROLLOUT_TEST(a_device_that_falls_back_in_its_soak_has_failed),
        ROLLOUT_TEST(an_applied_device_is_watched_until_the_rollout_is_over),
        ROLLOUT_TEST(a_soak_is_not_passed_in_silence),
        ROLLOUT_TEST(a_device_may_restart_in_its_soak),
        ROLLOUT_TEST(a_console_that_is_back_listens_before_it_judges),
        ROLLOUT_TEST(a_deadline_that_passed_while_the_console_was_gone_is_not_the_devices),
        ROLLOUT_TEST(a_console_that_stood_still_blames_no_device_in_its_soak),
        ROLLOUT_TEST(who_is_next_comes_often_and_after_short_stages_who_comes_then),
        ROLLOUT_TEST(a_failed_device_is_asked_again_after_its_back_off),
        ROLLOUT_TEST(what_the_device_tries_again_itself_is_no_failure),
        ROLLOUT_TEST(gates_of_success_and_time),
        ROLLOUT_TEST(it_starts_at_its_time_and_ends_at_its_end),
        ROLLOUT_TEST(a_window_moves_the_deadline),
        ROLLOUT_TEST(a_window_that_closed_too_early_gives_way_to_the_next),
        ROLLOUT_TEST(who_waits_for_its_window_does_not_begin_after_an_abort),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

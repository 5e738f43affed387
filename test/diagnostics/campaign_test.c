/* Campaigns in time: places, deadlines, silence, late reports, ends. The wall clock is moved, nothing sleeps.
 */
#include "test/diagnostics/field.h"

#include "base/clock.h"

#include <string.h>

#define assert_state(campaign, device, wanted)                                                               \
    assert_string_equal(field_state(field, campaign, device), wanted)
#define assert_run(campaign, wanted) assert_string_equal(field_run(field, campaign), wanted)

static void a_campaign_now_is_in_the_orders_at_once_and_ends_with_its_last_device(void **state)
{
    struct field *field = *state;
    char one[RUN_ID_TEXT], two[RUN_ID_TEXT];
    int64_t id = field_campaign(field, 2, 0, 0);

    assert_run(id, "running, active");
    assert_int_equal(field_orders(field, 0, one), 1);
    assert_int_equal(field_orders(field, 1, two), 1);
    assert_int_equal(field_orders(field, 2, NULL), 0);
    assert_state(id, 0, "waiting");
    field_offer(field, 0);
    assert_state(id, 0, "offered");
    field_say(field, 0, one, "running");
    field_say(field, 0, one, "uploading");
    assert_run(id, "running, active");
    field_say(field, 0, one, "done");
    assert_int_equal(field_orders(field, 0, NULL), 0);
    field_say(field, 1, two, "uploading");
    assert_run(id, "finishing, active");
    field_say(field, 1, two, "done");
    assert_run(id, "completed, ended");
    assert_true(field->written > 0 && field->written == field->told);
}

static void a_campaign_at_a_time_is_sent_ahead_and_begins_then(void **state)
{
    struct field *field = *state;
    int64_t id = field_campaign(field, 1, clock_now() + 600, 0);

    assert_run(id, "scheduled, scheduled");
    assert_int_equal(field_orders(field, 0, NULL), 1);
    field_offer(field, 0);
    assert_state(id, 0, "scheduled_on_device");
    field_wait(field, 590);
    assert_run(id, "scheduled, scheduled");
    field_wait(field, 11);
    assert_run(id, "running, active");
}

static void silence_after_the_order_fails_when_the_campaign_says_so(void **state)
{
    struct field *field = *state;
    struct error err = {0};
    struct campaign_plan plan = {.product = "demo",
                                 .image = "look",
                                 .device_ids = field->devices,
                                 .device_count = 2,
                                 .duration_s = 30,
                                 .device_deadline_s = 20,
                                 .operator_name = "ada"};
    int64_t id = 0;
    char run_id[RUN_ID_TEXT];

    assert_ok(campaign_create(field->diagnostics, &plan, &id, &err), err);
    field_offer(field, 0);
    field_orders(field, 1, run_id);
    field_offer(field, 1);
    field_say(field, 1, run_id, "verifying");
    field_wait(field, 18);
    assert_state(id, 0, "offered");
    field_wait(field, 3);
    assert_state(id, 0, "failed(timed_out)");
    assert_state(id, 1, "failed(timed_out)");
    plan.device_deadline_s = -1;
    assert_false(campaign_create(field->diagnostics, &plan, &id, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
}

static void a_device_that_never_comes_is_failed_when_the_window_closes(void **state)
{
    struct field *field = *state;
    int64_t id = field_campaign(field, 1, 0, 0);

    field_wait(field, RUN_WINDOW_S - 5);
    assert_state(id, 0, "waiting");
    field_wait(field, 10);
    assert_state(id, 0, "failed(timed_out)");
    assert_run(id, "expired, ended");
    assert_int_equal(field_orders(field, 0, NULL), 0);
}

static void silence_on_the_image_is_overdue_then_lost_and_a_late_report_amends_it(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    int64_t id = field_campaign(field, 1, 0, 0);

    field_orders(field, 0, run_id);
    field_offer(field, 0);
    field_say(field, 0, run_id, "running");
    field_wait(field, 30 + 2 + 29);
    assert_state(id, 0, "running");
    field_wait(field, 3);
    assert_state(id, 0, "running/overdue");
    field_wait(field, 601);
    assert_state(id, 0, "failed(timed_out)/lost");
    assert_run(id, "completed, ended");
    assert_ok(field_report(field, 0, &err, "{\"run\":\"%s\",\"state\":\"uploading\",\"proof\":%s}", run_id,
                           field_proof(field, 0, run_id, true, 0)),
              err);
    assert_state(id, 0, "uploading");
    field_say(field, 0, run_id, "done");
    assert_state(id, 0, "done");
    assert_run(id, "completed, ended");
}

static void what_the_device_failed_itself_stays_failed(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    int64_t id = field_campaign(field, 1, 0, 0);

    field_orders(field, 0, run_id);
    field_offer(field, 0);
    assert_ok(field_report(
                  field, 0, &err,
                  "{\"run\":\"%s\",\"state\":\"failed\",\"reason\":{\"code\":\"integrity\",\"text\":\"x\"}}",
                  run_id),
              err);
    field_say(field, 0, run_id, "running");
    assert_state(id, 0, "failed(integrity)");
}

static void a_step_back_and_a_state_of_ours_are_not_taken_from_a_device(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    int64_t id = field_campaign(field, 1, 0, 0);

    field_orders(field, 0, run_id);
    field_offer(field, 0);
    field_say(field, 0, run_id, "running");
    field_say(field, 0, run_id, "downloading");
    assert_state(id, 0, "running");
    assert_refused(field_report(field, 0, &err, "{\"run\":\"%s\",\"state\":\"queued\"}", run_id), err,
                   ERROR_INPUT);
    assert_refused(field_report(field, 0, &err, "{\"run\":\"../x\",\"state\":\"done\"}"), err, ERROR_INPUT);
    assert_refused(field_report(field, 1, &err, "{\"run\":\"%s\",\"state\":\"done\"}", run_id), err,
                   ERROR_INPUT);
    assert_state(id, 0, "running");
}

static void a_proof_that_is_unequal_unsigned_or_of_another_run_raises_the_loudest_alarm(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    static const char other[] = "00000000000000000000000000000000";
    struct error err = {0};

    for (int what = 0; what < 5; what++) {
        int64_t id = field_campaign(field, 1, 0, 0);

        field_orders(field, 0, run_id);
        field_offer(field, 0);
        field_say(field, 0, run_id, "running");
        const char *proof = what == 0   ? field_proof(field, 0, run_id, false, 0)
                            : what == 1 ? field_proof(field, 0, run_id, true, 1)
                            : what == 2 ? field_proof(field, 0, other, true, 0)
                            : what == 3 ? field_proof(field, 1, run_id, true, 0)
                                        : field_proof(field, 0, run_id, true, 0);
        assert_ok(field_report(field, 0, &err, "{\"run\":\"%s\",\"state\":\"uploading\",\"proof\":%s}",
                               run_id, proof),
                  err);
        assert_state(id, 0, what < 4 ? "uploading/revert_failed" : "uploading");
        field_say(field, 0, run_id, "done");
    }
}

static void only_as_many_as_parallel_says_have_a_place(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    int64_t id = field_campaign(field, 3, 0, 2);

    assert_state(id, 0, "waiting");
    assert_state(id, 1, "waiting");
    assert_state(id, 2, "queued");
    field_orders(field, 0, run_id);
    field_offer(field, 0);
    field_say(field, 0, run_id, "running");
    assert_state(id, 2, "queued");
    field_say(field, 0, run_id, "reverting");
    assert_state(id, 2, "waiting");
}

static void a_device_is_in_one_campaign_at_a_time(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    int64_t first = field_campaign(field, 1, 0, 0), second = field_campaign(field, 1, 0, 0);

    assert_state(first, 0, "waiting");
    assert_state(second, 0, "queued");
    field_orders(field, 0, run_id);
    field_offer(field, 0);
    field_say(field, 0, run_id, "running");
    field_wait(field, 5);
    assert_state(second, 0, "queued");
    field_say(field, 0, run_id, "done");
    field_wait(field, 1);
    assert_state(second, 0, "waiting");
}

static void ending_cancels_what_has_not_begun_and_asks_back_what_has(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    int64_t id = field_campaign(field, 3, 0, 2);

    field_orders(field, 0, run_id);
    field_offer(field, 0);
    field_say(field, 0, run_id, "running");
    assert_ok(campaign_end(field->diagnostics, id, "ada", &err), err);
    assert_state(id, 0, "cancelling(ended)");
    assert_state(id, 1, "cancelled(ended)");
    assert_state(id, 2, "cancelled(ended)");
    assert_int_equal(field_orders(field, 0, NULL), 0);
    field_say(field, 0, run_id, "reverting");
    field_say(field, 0, run_id, "cancelled");
    assert_run(id, "aborted, ended");
    assert_ok(campaign_end(field->diagnostics, id, "ada", &err), err);
}

static void an_offer_that_never_began_is_over_once_the_device_holds_an_order_without_it(void **state)
{
    struct field *field = *state;
    struct error err = {0};
    int64_t id = field_campaign(field, 1, 0, 0);

    field_offer(field, 0);
    assert_ok(campaign_end(field->diagnostics, id, "ada", &err), err);
    assert_ok(assignment_forgotten(field->diagnostics, field->devices[0], &err), err);
    assert_state(id, 0, "cancelling(ended)");
    field_wait(field, 20);
    assert_ok(assignment_forgotten(field->diagnostics, field->devices[0], &err), err);
    assert_state(id, 0, "cancelled(ended)");
    assert_run(id, "aborted, ended");
}

static void a_plan_over_the_signed_limits_is_refused(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = {.product = "demo",
                                 .image = "look",
                                 .device_ids = field->devices,
                                 .device_count = 1,
                                 .duration_s = 61,
                                 .operator_name = "ada"};
    struct error err = {0};
    int64_t id;

    assert_refused(campaign_create(field->diagnostics, &plan, &id, &err), err, ERROR_INPUT);
    assert_non_null(strstr(err.text, "60"));
    plan.duration_s = 60;
    plan.device_count = 0;
    assert_refused(campaign_create(field->diagnostics, &plan, &id, &err), err, ERROR_INPUT);
    plan.device_count = 1;
    plan.at = clock_now() - 3600;
    assert_refused(campaign_create(field->diagnostics, &plan, &id, &err), err, ERROR_INPUT);
    plan.at = 0;
    plan.image = "nothing";
    assert_refused(campaign_create(field->diagnostics, &plan, &id, &err), err, ERROR_MISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define FIELD_TEST(name) cmocka_unit_test_setup_teardown(name, field_setup, field_teardown)
        FIELD_TEST(a_campaign_now_is_in_the_orders_at_once_and_ends_with_its_last_device),
        FIELD_TEST(a_campaign_at_a_time_is_sent_ahead_and_begins_then),
        FIELD_TEST(silence_after_the_order_fails_when_the_campaign_says_so),
        FIELD_TEST(a_device_that_never_comes_is_failed_when_the_window_closes),
        FIELD_TEST(silence_on_the_image_is_overdue_then_lost_and_a_late_report_amends_it),
        FIELD_TEST(what_the_device_failed_itself_stays_failed),
        FIELD_TEST(a_step_back_and_a_state_of_ours_are_not_taken_from_a_device),
        FIELD_TEST(a_proof_that_is_unequal_unsigned_or_of_another_run_raises_the_loudest_alarm),
        FIELD_TEST(only_as_many_as_parallel_says_have_a_place),
        FIELD_TEST(a_device_is_in_one_campaign_at_a_time),
        FIELD_TEST(ending_cancels_what_has_not_begun_and_asks_back_what_has),
        FIELD_TEST(an_offer_that_never_began_is_over_once_the_device_holds_an_order_without_it),
        FIELD_TEST(a_plan_over_the_signed_limits_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

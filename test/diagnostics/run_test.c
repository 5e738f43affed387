/* Runs in time: windows, repeats, pauses, gates, extensions, and counters that equal their rows
 * whatever happens. The wall clock is moved, nothing sleeps. */
#include "test/diagnostics/field.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define assert_state(campaign, device, wanted)                                                               \
    assert_string_equal(field_state(field, campaign, device), wanted)
#define assert_run(campaign, wanted) assert_string_equal(field_run(field, campaign), wanted)

static int64_t utc(const char *text)
{
    int64_t at = 0;

    assert_true(time_parse(text, &at));
    return at;
}

/* That the first device is on the image until then. */
static void say_until(struct field *field, const char *run_id, int64_t until)
{
    struct error err = {0};
    char text[TIME_TEXT];

    time_text(until, text);
    assert_ok(field_report(field, 0, &err, "{\"run\":\"%s\",\"state\":\"running\",\"ends_at\":\"%s\"}",
                           run_id, text),
              err);
}

static int64_t ends_at(struct field *field, const char *run_id)
{
    struct error err = {0};
    struct assignment assignment;
    DB_DONE(conn) = db_read(field->db, &err);

    assert_ok(assignment_find(conn, &field->arena, run_id, &assignment, &err), err);
    return assignment.ends_at;
}

static void step(struct field *field)
{
    field_wait(field, 0);
}

/* --- windows
 * ------------------------------------------------------------------------------------------------------ */

static void each_device_is_ordered_for_the_window_of_its_own_clock(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = field_plan(field, 3);

    field->zones[0] = "Europe/Berlin";
    field->zones[1] = "Asia/Kolkata";
    field_at(field, utc("2027-01-10T12:00:00Z"));
    plan.words.window = "02:00-05:00";
    field_create(field, &plan);
    assert_int_equal(field_ordered(field, 0).start_after, utc("2027-01-11T01:00:00Z"));
    assert_int_equal(field_ordered(field, 0).start_before, utc("2027-01-11T04:00:00Z"));
    assert_int_equal(field_ordered(field, 1).start_after, utc("2027-01-10T20:30:00Z"));
    assert_int_equal(field_ordered(field, 2).start_after, utc("2027-01-11T02:00:00Z"));
}

static void who_did_not_come_within_the_window_is_skipped_and_never_runs_late(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = field_plan(field, 2);

    field_at(field, utc("2027-01-10T12:00:00Z"));
    plan.words.window = "13:00-14:00";
    plan.parallel = 1;
    int64_t id = field_create(field, &plan);
    assert_state(id, 0, "waiting");
    field_wait(field, 7200 + 5);
    assert_state(id, 0, "skipped(missed_window)");
    assert_state(id, 1, "skipped(missed_window)");
    assert_int_equal(field_orders(field, 0, NULL), 0);
    assert_run(id, "expired, ended");
}

/* --- repeats
 * ------------------------------------------------------------------------------------------------------ */

static void a_repeating_campaign_has_its_next_runs_in_the_orders_ahead_of_time(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = field_plan(field, 1);
    char run_id[RUN_ID_TEXT];

    field->zones[0] = "Europe/Berlin";
    field_at(field, utc("2027-03-26T12:00:00Z"));
    plan.words.window = "02:00-05:00";
    plan.words.repeat = "daily";
    plan.occurrences = 3;
    int64_t id = field_create(field, &plan);
    step(field);
    assert_int_equal(field_orders(field, 0, run_id), CAMPAIGN_AHEAD_RUNS);
    field_offer(field, 0);
    assert_run(id, "scheduled, scheduled");
    field_at(field, utc("2027-03-27T01:00:10Z"));
    step(field);
    assert_run(id, "running, active");
    field_say(field, 0, run_id, "running");
    field_say(field, 0, run_id, "done");
    assert_run(id, "completed, active");
    step(field);
    /* The change of the clocks lies between the second and the third. */
    assert_int_equal(field_ordered(field, 0).start_after, utc("2027-03-28T01:00:00Z"));
    assert_int_equal(
        field_ask(field, "SELECT starts_at FROM run WHERE campaign_id = :campaign AND number = 3", id),
        utc("2027-03-29T00:00:00Z"));
    assert_int_equal(field_ask(field, "SELECT next_at IS NULL FROM campaign WHERE id = :campaign", id), 1);
    field_at(field, utc("2027-03-30T12:00:00Z"));
    for (int i = 0; i < 4; i++)
        step(field);
    assert_string_equal(field_run(field, id), "completed, ended");
}

static void occurrences_that_went_by_while_nobody_watched_are_not_made_up_for(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = field_plan(field, 1);

    field_at(field, utc("2027-01-10T12:00:00Z"));
    plan.words.window = "02:00-05:00";
    plan.words.repeat = "daily";
    int64_t id = field_create(field, &plan);
    field_at(field, utc("2027-02-10T12:00:00Z"));
    for (int i = 0; i < 5; i++)
        step(field);
    assert_int_equal(field_ask(field, "SELECT max(number) FROM run WHERE campaign_id = :campaign", id), 3);
    assert_int_equal(
        field_ask(field, "SELECT starts_at FROM run WHERE campaign_id = :campaign AND number = 2", id),
        utc("2027-02-11T02:00:00Z"));
    assert_state(id, 0, "skipped(missed_window)");
}

static void ending_a_repeating_campaign_takes_back_what_devices_hold(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = field_plan(field, 1);
    struct error err = {0};

    plan.words.window = "02:00-05:00";
    plan.words.repeat = "daily";
    int64_t id = field_create(field, &plan);
    step(field);
    field_offer(field, 0);
    assert_ok(campaign_end(field->diagnostics, id, "ada", &err), err);
    assert_int_equal(field_orders(field, 0, NULL), 0);
    step(field);
    assert_int_equal(field_ask(field,
                               "SELECT count(*) FROM run_count WHERE campaign_id = :campaign AND count > 0"
                               " AND state <> 'cancelling'",
                               id),
                     0);
}

/* --- pause, gate
 * -------------------------------------------------------------------------------------------------- */

static void paused_nobody_begins_and_resumed_they_do(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    int64_t id = field_campaign(field, 3, clock_now() + 600, 2);
    int64_t start = field_ordered(field, 0).start_after;

    field_offer(field, 0);
    assert_state(id, 0, "scheduled_on_device");
    assert_ok(campaign_pause(field->diagnostics, id, "ada", "the line is down", &err), err);
    assert_run(id, "paused, paused");
    assert_true(field->wished > 0);
    assert_true(field_ordered(field, 0).start_after > start + 86400 * 30);
    assert_int_equal(field_orders(field, 1, NULL), 0);
    field_offer(field, 1);
    assert_state(id, 1, "waiting");
    field_wait(field, 700);
    assert_run(id, "paused, paused");
    assert_ok(campaign_resume(field->diagnostics, id, "ada", NULL, &err), err);
    assert_run(id, "running, active");
    assert_int_equal(field_ordered(field, 0).start_after, start);
    assert_int_equal(field_orders(field, 1, run_id), 1);
    field_say(field, 1, run_id, "running");
    assert_ok(campaign_pause(field->diagnostics, id, "ada", NULL, &err), err);
    assert_int_equal(field_orders(field, 1, NULL), 1); /* what runs goes on */
    assert_refused(campaign_resume(field->diagnostics, id + 1, "ada", NULL, &err), err, ERROR_MISSING);
}

static void break_off(struct field *field, int device)
{
    char run_id[RUN_ID_TEXT];
    struct error err = {0};

    assert_int_equal(field_orders(field, device, run_id), 1);
    assert_ok(field_report(
                  field, device, &err,
                  "{\"run\":\"%s\",\"state\":\"failed\",\"reason\":{\"code\":\"integrity\",\"text\":\"x\"}}",
                  run_id),
              err);
}

static size_t soon(struct field *field, int64_t within_s, size_t most)
{
    int64_t *ids;
    size_t count;
    struct error err = {0};
    DB_DONE(conn) = db_read(field->db, &err);

    assert_ok(conn && runs_soon(conn, &field->arena, within_s, most, &ids, &count, &err), err);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ids[i], field->devices[3 - count + i]);
    return count;
}

static void who_gets_a_place_soon_is_known_in_the_order_of_the_queue(void **state)
{
    struct field *field = *state;
    struct error err = {0};

    assert_int_equal(soon(field, 60, 10), 0);
    int64_t id = field_campaign(field, 3, 0, 1);
    assert_state(id, 0, "waiting");
    assert_state(id, 1, "queued");
    assert_int_equal(soon(field, 60, 10), 2);
    assert_int_equal(soon(field, 60, 0), 0);
    assert_ok(campaign_pause(field->diagnostics, id, "ada", NULL, &err), err);
    assert_int_equal(soon(field, 60, 10), 0);
    assert_ok(campaign_resume(field->diagnostics, id, "ada", NULL, &err), err);
    assert_ok(assignment_offered(field->diagnostics, field->devices[0], &err), err);
    break_off(field, 0);
    assert_state(id, 1, "waiting");
    assert_int_equal(soon(field, 60, 10), 1);
    assert_ok(campaign_end(field->diagnostics, id, "ada", &err), err);
    assert_int_equal(soon(field, 60, 10), 0);
}

static void too_many_failures_hold_the_run_with_the_figures_and_resuming_forgives_them(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = field_plan(field, 3);
    struct error err = {0};
    TEXT(out);
    struct json_writer writer;

    plan.max_failures = "40%";
    plan.parallel = 1;
    int64_t id = field_create(field, &plan);
    break_off(field, 0);
    assert_run(id, "running, active");
    break_off(field, 1);
    assert_run(id, "paused, paused");
    step(field);
    assert_state(id, 2, "queued");
    DB_DONE(conn) = db_read(field->db, &err);
    json_write_init(&writer, &out);
    assert_ok(run_write(conn, id, 1, false, &writer, &err), err);
    assert_non_null(strstr(text_string(&out), "2 of 3 devices failed, at most 40% may"));
    db_done(conn);
    conn = NULL;
    assert_ok(campaign_resume(field->diagnostics, id, "ada", NULL, &err), err);
    assert_run(id, "running, active");
    assert_state(id, 2, "waiting");
}

static void a_failure_limit_may_be_a_number(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = field_plan(field, 3);

    plan.max_failures = "1";
    int64_t id = field_create(field, &plan);
    break_off(field, 0);
    assert_run(id, "running, active");
    break_off(field, 1);
    assert_run(id, "paused, paused");
}

/* --- single devices
 * ------------------------------------------------------------------------------------------------ */

static void one_device_is_asked_back_and_the_others_stay(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    int64_t id = field_campaign(field, 2, 0, 0);

    for (int device = 0; device < 2; device++) {
        field_orders(field, device, run_id);
        field_offer(field, device);
        field_say(field, device, run_id, "running");
    }
    assert_ok(campaign_return(field->diagnostics, id, 1, &field->devices[0], 1, "ada", NULL, &err), err);
    assert_state(id, 0, "cancelling(returned)");
    assert_state(id, 1, "running");
    assert_refused(campaign_return(field->diagnostics, id, 1, &field->devices[2], 1, "ada", NULL, &err), err,
                   ERROR_MISSING);
    assert_ok(campaign_return(field->diagnostics, id, 1, NULL, 0, "ada", NULL, &err), err);
    assert_state(id, 1, "cancelling(ended)");
    assert_refused(campaign_return(field->diagnostics, id, 9, NULL, 0, "ada", NULL, &err), err,
                   ERROR_MISSING);
}

static void a_run_is_extended_within_the_signed_limit_and_silence_counts_from_there(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    int64_t id = field_campaign(field, 2, 0, 0);

    field_orders(field, 0, run_id);
    field_offer(field, 0);
    field_say(field, 0, run_id, "running");
    assert_ok(campaign_extend(field->diagnostics, id, 1, &field->devices[0], 1, 60, "ada", &err), err);
    assert_int_equal(field_ordered(field, 0).duration_s, 60);
    assert_int_equal(field_ordered(field, 1).duration_s, 30);
    field_wait(field, 60 + 2 + 25);
    assert_state(id, 0, "running");
    field_wait(field, 10);
    assert_state(id, 0, "running/overdue");
    assert_refused(campaign_extend(field->diagnostics, id, 1, NULL, 0, 61, "ada", &err), err, ERROR_INPUT);
    assert_refused(campaign_extend(field->diagnostics, id, 1, &field->devices[0], 1, 40, "ada", &err), err,
                   ERROR_CONFLICT);
}

static void the_new_end_that_a_device_tells_is_taken_while_it_runs_and_within_its_order(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    int64_t id = field_campaign(field, 1, 0, 0), now = clock_now();

    field_orders(field, 0, run_id);
    field_offer(field, 0);
    say_until(field, run_id, now + 30);
    assert_int_equal(ends_at(field, run_id), now + 30);
    say_until(field, run_id, now + 50);
    assert_int_equal(ends_at(field, run_id), now + 50);
    say_until(field, run_id, now + 100000);
    assert_in_range(ends_at(field, run_id), now + 30, now + 32); /* a device does not put off its own end */
    field_say(field, 0, run_id, "reverting");
    say_until(field, run_id, now + 50);
    assert_state(id, 0, "reverting");
    assert_in_range(ends_at(field, run_id), now + 30, now + 32);
}

/* --- images that were withdrawn, orders that are full
 * ---------------------------------------------------------------------------------------------------- */

static void a_campaign_that_repeats_is_held_when_its_image_is_withdrawn(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = field_plan(field, 1);

    field_at(field, utc("2027-01-10T12:00:00Z"));
    plan.words = (struct schedule_words){.repeat = "daily", .window = "02:00-05:00"};
    int64_t id = field_create(field, &plan);
    field->withdrawn = true;
    step(field);
    step(field);
    assert_run(id, "paused, paused");
    assert_int_equal(field_ask(field,
                               "SELECT count(*) FROM campaign WHERE id = :campaign AND state_reason_code ="
                               " 'withdrawn'",
                               id),
                     1);
}

static void an_order_has_sixteen_runs_and_who_comes_after_them_waits(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = field_plan(field, 1);
    char run_id[RUN_ID_TEXT];
    int64_t ids[17], start = clock_now() + 30 * 86400;
    struct error err = {0};

    for (int i = 0; i < 17; i++) { /* the one that was made first begins last */
        plan.at = start - i * 3600;
        ids[i] = field_create(field, &plan);
    }
    field_offer(field, 0);
    assert_int_equal(field_orders(field, 0, run_id), 16);
    assert_state(ids[0], 0, "scheduled_on_device");
    assert_state(ids[15], 0, "scheduled_on_device");
    assert_state(ids[16], 0, "queued");
    field_say(field, 0, run_id, "cancelled");
    assert_state(ids[15], 0, "cancelled");
    step(field);
    assert_state(ids[16], 0, "waiting");
    assert_ok(campaign_end(field->diagnostics, ids[16], "ada", &err), err);
}

static void a_plan_that_its_image_is_not_signed_for_is_refused(void **state)
{
    static const char *const much[] = {"proc", NULL}, *const broken[] = {"(", NULL};
    static const char *const explodes[] = {
        "((((((((((((((((((((((((((((((a)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+"
        ")+)+)+)+)+)+)+)+)+)+)+)+",
        NULL};
    struct field *field = *state;
    struct campaign_plan plans[6];
    struct error err = {0};
    int64_t id;

    for (int i = 0; i < 6; i++)
        plans[i] = field_plan(field, 1);
    plans[0].mode = "beside";
    plans[1].collect = (const char **)much;
    plans[2].redact = (const char **)broken;
    plans[3].max_output = MAX_OUTPUT + 1;
    plans[4].max_failures = "5%%";
    plans[5].redact = (const char **)explodes;
    for (int i = 0; i < 6; i++)
        assert_refused(campaign_create(field->diagnostics, &plans[i], &id, &err), err, ERROR_INPUT);
}

/* --- counters
 * ------------------------------------------------------------------------------------------------------- */

static void counters_equal_their_rows_after_a_kill_in_every_state(void **state)
{
    static const char *const said[] = {"downloading", "verifying", "running",
                                       "reverting",   "uploading", "done"};
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    int64_t id = field_campaign(field, 3, 0, 2);

    field_reopen(field);
    field_count(field);
    field_orders(field, 0, run_id);
    field_offer(field, 0);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        struct act act;
        struct error err = {0};

        /* An act that is cut off before its commit leaves nothing. */
        assert_ok(act_begin(&act, field->diagnostics, NULL, &err), err);
        struct assignment assignment;
        assert_ok(assignment_find(act.conn, &act.arena, run_id, &assignment, &err), err);
        assert_ok(assignment_set(&act, &assignment, ASSIGNMENT_FAILED, NULL, &err), err);
        assert_false(act_end(&act, false, &err));
        field_reopen(field);
        field_count(field);
        field_say(field, 0, run_id, said[i]);
        /* No proof came: whoever says that all is done owes one. */
        assert_string_equal(field_state(field, id, 0),
                            strcmp(said[i], "done") ? said[i] : "done/revert_failed");
        field_reopen(field);
        field_count(field);
    }
    assert_state(id, 2, "waiting");
    assert_int_equal(field_ask(field, "SELECT begun FROM run WHERE campaign_id = :campaign", id), 1);
}

#define MANY 2500

static int64_t *add_many(struct field *field, size_t count)
{
    struct error err = {0};
    int64_t *ids = arena_array(&field->arena, count, sizeof *ids);
    struct db_conn *conn = db_write(field->db, &err);

    assert_ok(conn, err);
    for (size_t i = 0; i < count; i++) {
        struct db_query *query =
            db_query(conn, "INSERT INTO device (name, product, key_id, public_key, admission, enrolled_at)"
                           " VALUES (:name, 'demo', :name, '00', 'accepted', 1)");
        db_bind_text(query, ":name", arena_printf(&field->arena, "many-%zu", i));
        assert_ok(db_run(query, NULL, &err), err);
        ids[i] = db_last_id(conn);
    }
    assert_ok(db_commit(conn, &err), err);
    return ids;
}

static int64_t steps_until(struct field *field, const char *sql, int64_t campaign)
{
    for (int64_t steps = 0; steps < 1000; steps++) {
        if (field_ask(field, sql, campaign) == 0)
            return steps;
        step(field);
        field_count(field);
    }
    fail_msg("never: %s", sql);
    return -1;
}

static void a_large_campaign_is_placed_made_again_and_ended_slice_by_slice(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = field_plan(field, 0);
    struct error err = {0};

    /* Outside the window: inside it the first run would begin, and a third be made ahead. */
    field_at(field, utc("2027-01-10T12:00:00Z"));
    plan.device_ids = add_many(field, MANY);
    plan.device_count = MANY;
    plan.words.window = "02:00-05:00";
    plan.words.repeat = "daily";
    int64_t id = field_create(field, &plan);
    assert_int_equal(field_ask(field,
                               "SELECT count FROM run_count WHERE campaign_id = :campaign AND run_number = 1"
                               " AND state = 'waiting'",
                               id),
                     RUN_SLICE);
    field_reopen(field);
    steps_until(field,
                "SELECT coalesce(sum(count), 0) FROM run_count WHERE campaign_id = :campaign"
                " AND state = 'queued'",
                id);
    steps_until(field,
                "SELECT 5000 - coalesce(sum(count), 0) FROM run_count WHERE campaign_id = :campaign"
                " AND state = 'waiting'",
                id);
    assert_ok(campaign_end(field->diagnostics, id, "ada", &err), err);
    field_reopen(field);
    steps_until(field,
                "SELECT coalesce(sum(count), 0) FROM run_count WHERE campaign_id = :campaign"
                " AND state = 'waiting'",
                id);
    assert_run(id, "aborted, ended");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define FIELD_TEST(name) cmocka_unit_test_setup_teardown(name, field_setup, field_teardown)
        FIELD_TEST(each_device_is_ordered_for_the_window_of_its_own_clock),
        FIELD_TEST(who_did_not_come_within_the_window_is_skipped_and_never_runs_late),
        FIELD_TEST(a_repeating_campaign_has_its_next_runs_in_the_orders_ahead_of_time),
        FIELD_TEST(occurrences_that_went_by_while_nobody_watched_are_not_made_up_for),
        FIELD_TEST(ending_a_repeating_campaign_takes_back_what_devices_hold),
        FIELD_TEST(paused_nobody_begins_and_resumed_they_do),
        FIELD_TEST(who_gets_a_place_soon_is_known_in_the_order_of_the_queue),
        FIELD_TEST(too_many_failures_hold_the_run_with_the_figures_and_resuming_forgives_them),
        FIELD_TEST(a_failure_limit_may_be_a_number),
        FIELD_TEST(one_device_is_asked_back_and_the_others_stay),
        FIELD_TEST(a_run_is_extended_within_the_signed_limit_and_silence_counts_from_there),
        FIELD_TEST(the_new_end_that_a_device_tells_is_taken_while_it_runs_and_within_its_order),
        FIELD_TEST(a_plan_that_its_image_is_not_signed_for_is_refused),
        FIELD_TEST(a_campaign_that_repeats_is_held_when_its_image_is_withdrawn),
        FIELD_TEST(an_order_has_sixteen_runs_and_who_comes_after_them_waits),
        FIELD_TEST(counters_equal_their_rows_after_a_kill_in_every_state),
        FIELD_TEST(a_large_campaign_is_placed_made_again_and_ended_slice_by_slice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Rollouts with the fleet in memory: every state, every gate, a restart at each, counters, who is chosen;
 * what a person, a pin, a release or another rollout does to one. Time is rollout_time_test.c. */
#include "test/console/rolling.h"

#include "base/text.h"
#include "console/delivery/release.h"
#include "console/delivery/rollout_assignment.h"
#include "console/delivery/withdraw.h"
#include "console/devices.h"

#include <stdio.h>
#include <string.h>

static void a_rollout_goes_through_its_stages_and_soaks(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];

    (void)state;
    int64_t id = rolling_create(&plan);
    assert_int_equal(rolling_moving(found), 1);
    rolling_check(id, "running");
    static const char *const steps[] = {"downloading", "downloaded", "updating"};
    for (size_t i = 0; i < 3; i++) {
        rolling_say(found[0], "1.0.0", steps[i], 1);
        rolling_step();
        assert_int_equal(rolling_number("state", id, steps[i]), 1);
    }
    rolling_say(found[0], "1.1.0", "idle", 1);
    rolling_step();
    rolling_check(id, "soaking");
    assert_int_equal(rolling_number("state", id, "confirming"), 1);
    assert_int_equal(rolling_moving(found), 1);
    rolling_soak(61);
    assert_int_equal(rolling_number("state", id, "applied"), 1);
    assert_int_equal(rolling_moving(found), 5);
    rolling_check(id, "running");
    rolling_prove_all();
    rolling_soak(61);
    assert_int_equal(rolling_moving(found), 10);
    rolling_prove_all();
    rolling_soak(30);
    rolling_check(id, "soaking");
    rolling_soak(31);
    rolling_check(id, "completed");
    assert_int_equal(rolling_number("state", id, "applied"), 10);
    assert_int_equal(rolling_number("target", id, "1.1.0"), 10);
}

static void a_restart_at_every_state_changes_nothing(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];

    (void)state;
    plan.draft = plan.approval = true;
    int64_t id = rolling_create(&plan);
    rolling_restart();
    rolling_step();
    rolling_check(id, "draft");
    assert_int_equal(rolling_moving(found), 0);
    rolling_act(id, ROLLOUT_START);
    rolling_restart();
    rolling_step();
    rolling_check(id, "running");
    assert_int_equal(rolling_moving(found), 1);
    rolling_say(found[0], "1.0.0", "downloading", 1);
    rolling_restart(); /* said and flushed, but not looked at: everybody who is watched is looked at again */
    rolling_step();
    assert_int_equal(rolling_number("state", id, "downloading"), 1);
    rolling_prove_all();
    rolling_restart();
    rolling_step();
    rolling_check(id, "soaking");
    rolling_soak(61);
    rolling_check(id, "awaiting_approval");
    rolling_restart();
    rolling_step();
    rolling_check(id, "awaiting_approval");
    assert_int_equal(rolling_moving(found), 1);
    rolling_act(id, ROLLOUT_ADVANCE);
    assert_int_equal(rolling_moving(found), 5);
    rolling_act(id, ROLLOUT_PAUSE);
    rolling_restart();
    rolling_step();
    rolling_check(id, "paused");
    rolling_act(id, ROLLOUT_RESUME);
    rolling_check(id, "running");
    rolling_act(id, ROLLOUT_ROLL_BACK);
    rolling_restart();
    rolling_step();
    rolling_check(id, "rolling_back");
    assert_int_equal(rolling_moving(found), 0);
    rolling_restart();
    rolling_all_take();
    rolling_check(id, "rolled_back");
    assert_int_equal(rolling_number("target", id, "1.1.0"), 0);
}

static void pausing_and_restarts_never_pick_others(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *first[ROLLING_DEVICES], *then[ROLLING_DEVICES];

    (void)state;
    plan.parallel = 2;
    plan.shares = (const char *const[]){"50%", "100%"};
    plan.share_count = 2;
    int64_t id = rolling_create(&plan);
    assert_int_equal(rolling_moving(first), 2);
    int64_t ids[2] = {first[0]->id, first[1]->id};
    rolling_act(id, ROLLOUT_PAUSE);
    rolling_restart();
    rolling_step();
    assert_int_equal(rolling_moving(then), 2);
    assert_true(then[0]->id == ids[0] && then[1]->id == ids[1]);
    rolling_prove_all();
    assert_int_equal(rolling_moving(then), 2); /* paused: nobody new, though there is room */
    rolling_act(id, ROLLOUT_RESUME);
    assert_int_equal(rolling_moving(then), 4);
    assert_int_equal(rolling_number("state", id, "offered"), 2);
}

static void failures_hold_the_rollout_and_say_the_figures(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];

    (void)state;
    int64_t id = rolling_create(&plan);
    rolling_prove_all();
    rolling_soak(61);
    assert_int_equal(rolling_moving(found), 5);
    int bad = found[0]->rollout_level == 2 ? 0 : 1;
    rolling_say_app(found[bad], "1.0.0", "idle", 8,
                    ",\"wanted\":\"1.1.0\",\"reason\":\"the app rejected it\"", "running");
    rolling_step();
    rolling_check(id, "held");
    assert_int_equal(rolling_number("reason", id, "update_failed"), 1);
    const char *text = json_string(json_get(rolling_shown(&arena, id), "reason"), "text");
    assert_string_equal(text, "1 of 4 devices of stage 2 failed; at most 10% may");
    rolling_act(id, ROLLOUT_RESUME); /* accepts it */
    rolling_check(id, "running");
    for (int i = 0; i < 5; i++)
        if (i != bad)
            rolling_say(found[i], "1.1.0", "idle", 1);
    rolling_step();
    small_wait(rolling.small, 61);
    for (int i = 0; i < 5; i++)
        if (i != bad)
            rolling_say_app(found[i], "1.1.0", "idle", 1, "", "running");
    rolling_step();
    assert_int_equal(rolling_moving(found), 10);
    assert_int_equal(rolling_number("stage", id, ""), 3);
}

static void a_gate_may_roll_back_and_everybody_is_as_before(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];

    (void)state;
    plan.auto_roll_back = true;
    plan.max_failures = "0";
    int64_t id = rolling_create(&plan);
    rolling_prove_all();
    rolling_soak(61);
    assert_int_equal(rolling_moving(found), 5);
    for (int i = 0; i < 5; i++)
        if (found[i]->rollout_level == 2 && i < 4)
            rolling_say(found[i], "1.1.0", "idle", 1);
    rolling_step();
    rolling_say_app(found[4]->rollout_level == 2 ? found[4] : found[3], "1.0.0", "idle", 8,
                    ",\"wanted\":\"1.1.0\",\"reason\":\"no\"", "running");
    rolling_step();
    rolling_check(id, "rolling_back");
    assert_int_equal(rolling_moving(found), 0);
    assert_int_equal(rolling_number("target", id, "1.1.0"), 0);
    assert_int_equal(rolling_number("state", id, "skipped"), 5);
    rolling_all_take();
    rolling_check(id, "rolled_back");
    assert_int_equal(rolling_number("state", id, "rolled_back"), 5);
}

static void execute(const char *what, int64_t device_id)
{
    struct error err = {0};
    struct db_conn *conn = db_write(rolling.small->console.db, &err);
    struct db_query *query =
        string_is(what, "pin")
            ? db_query(conn, "INSERT INTO pin (device_id, asset, version, on_reset, active, pinned_by,"
                             " pinned_at) VALUES (:id, 'model', '1.0.0', 0, 1, 'ada', 1)")
            : db_query(conn, "UPDATE device SET development = 1 WHERE id = :id");

    db_bind_integer(query, ":id", device_id);
    assert_ok(db_run(query, NULL, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

static void who_cannot_take_it_is_skipped_with_the_reason(void **state)
{
    ARENA(arena);
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);

    (void)state;
    small_publish(rolling.small, "model", "2.0.0", "rev-b");
    execute("pin", rolling.devices[0]->id);
    execute("development", rolling.devices[1]->id);
    rolling_say(rolling.devices[2], "1.1.0", "idle", 1);
    plan.shares = (const char *const[]){"100%"};
    plan.share_count = 1;
    json_write_init(&writer, &out);
    assert_ok(rollout_dry_run(&rolling.small->console, &plan, &writer, &err), err);
    const struct json *dry = json_read(&arena, text_string(&out), out.size, &json_limits_small, &err);
    assert_int_equal(json_integer(dry, "matches", 0), 10);
    assert_int_equal(json_integer(dry, "already", 0), 1);
    assert_int_equal(json_integer(dry, "pinned", 0), 1);
    assert_int_equal(json_integer(dry, "development", 0), 1);
    assert_int_equal(json_integer(dry, "moves", 0), 7);
    assert_int_equal(json_integer(dry, "bytes", 0), 7 * 5);
    int64_t id = rolling_create(&plan);
    assert_int_equal(rolling_number("reason", id, "pinned"), 1);
    assert_int_equal(rolling_number("reason", id, "development"), 1);
    assert_int_equal(rolling_number("state", id, "already_current"), 1);
    assert_int_equal(rolling_number("state", id, "offered"), 7);
    rolling_act(id, ROLLOUT_ABORT);
    rolling_check(id, "aborted");
    plan.version = "2.0.0";
    id = rolling_create(&plan);
    assert_int_equal(rolling_number("reason", id, "hardware"), 8);
    rolling_check(id, "completed");
}

static void two_rollouts_of_an_asset_do_not_share_a_device(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, 5), other = rolling_plan(&arena, ROLLING_DEVICES);
    struct error err = {0};
    int64_t id = rolling_create(&plan), none;

    (void)state;
    assert_refused(rollout_create(&rolling.small->console, &other, &none, &err), err, ERROR_CONFLICT);
    char name[32];
    snprintf(name, sizeof name, "rollout %lld of demo/model", (long long)id);
    assert_non_null(strstr(err.text, name));
    small_publish(rolling.small, "words", "1.0.0", NULL);
    other.asset = "words";
    other.version = "1.0.0";
    rolling_create(&other); /* another asset goes beside it */
    rolling_act(id, ROLLOUT_ABORT);
    other.asset = "model";
    other.version = "1.1.0";
    rolling_create(&other);
}

static void a_person_aborts_excludes_and_asks_again(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];
    struct error err = {0};

    (void)state;
    plan.shares = (const char *const[]){"5", "100%"};
    plan.share_count = 2;
    plan.max_failures = "1";
    int64_t id = rolling_create(&plan);
    assert_int_equal(rolling_moving(found), 5);
    struct device *out = found[0];
    assert_ok(rollout_exclude(&rolling.small->console, id, &out->id, 1, "ada", &err), err);
    rolling_step();
    assert_int_equal(rolling_moving(found), 4);
    assert_int_equal(rolling_number("reason", id, "excluded"), 1);
    for (int i = 0; i < 2; i++)
        rolling_say_app(found[i], "1.0.0", "idle", 8, ",\"wanted\":\"1.1.0\",\"reason\":\"no\"", "running");
    rolling_step();
    rolling_check(id, "held");
    rolling_act(id, ROLLOUT_RETRY);
    rolling_check(id, "running");
    /* Not before both hold the order in between, with which they forget the failure. */
    small_wait(rolling.small, 2);
    rolling_step();
    assert_int_equal(rolling_number("reason", id, "again"), 2);
    assert_int_equal(rolling_number("state", id, "pending"), 7);
    rolling_say(found[0], "1.0.0", "idle", 1);
    small_wait(rolling.small, 2);
    rolling_step();
    assert_int_equal(rolling_number("state", id, "offered"), 3);
    rolling_say(found[1], "1.0.0", "idle", 1);
    small_wait(rolling.small, 2);
    rolling_step();
    assert_int_equal(rolling_number("state", id, "offered"), 4);
    rolling_say(found[2], "1.0.0", "downloading", 1);
    rolling_step();
    rolling_act(id, ROLLOUT_ABORT);
    rolling_check(id, "aborting"); /* one is on its way */
    rolling_say(found[2], "1.1.0", "idle", 1);
    rolling_step();
    rolling_check(id, "aborting");
    small_wait(rolling.small, 61);
    rolling_say_app(found[2], "1.1.0", "idle", 1, "", "running");
    rolling_step();
    rolling_check(id, "aborted");
    assert_int_equal(rolling_number("state", id, "applied"), 1);
    assert_refused(rollout_do(&rolling.small->console, id, ROLLOUT_RESUME, NULL, NULL, "ada", &err), err,
                   ERROR_CONFLICT);
    rolling_act(id, ROLLOUT_ROLL_BACK); /* also what an aborted one did */
    rolling_all_take();
    rolling_check(id, "rolled_back");
}

static void a_later_pin_or_release_supersedes(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct error err = {0};
    int64_t count;

    (void)state;
    small_publish(rolling.small, "model", "1.2.0", NULL);
    plan.shares = (const char *const[]){"100%"};
    plan.share_count = 1;
    int64_t id = rolling_create(&plan);
    assert_int_equal(rolling_number("state", id, "offered"), 10);
    small_wait(rolling.small, 2);
    assert_ok(release_set(&rolling.small->console, "demo", "model", "1.2.0", "ada", &count, &err), err);
    rolling_all_take();
    rolling_step();
    assert_int_equal(rolling_number("state", id, "superseded"), 10);
    rolling_check(id, "completed");
}

static void a_release_made_meanwhile_holds_for_those_whose_turn_comes_later(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct error err = {0};
    int64_t count;

    (void)state;
    small_publish(rolling.small, "model", "1.2.0", NULL);
    int64_t id = rolling_create(&plan);
    rolling_prove_all();
    rolling_soak(61);
    assert_int_equal(rolling_number("state", id, "applied"), 1);
    assert_int_equal(rolling_number("state", id, "offered"), 4);
    small_wait(rolling.small, 2);
    assert_ok(release_set(&rolling.small->console, "demo", "model", "1.2.0", "ada", &count, &err), err);
    rolling_all_take();
    rolling_step();
    assert_int_equal(rolling_number("reason", id, "release"), 10);
    rolling_check(id, "completed");
    assert_string_equal(rolling_ordered(&arena, rolling.devices[0]), "1.2.0");
}

static void a_withdrawn_version_ends_its_rollout(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];
    struct error err = {0};

    (void)state;
    plan.shares = (const char *const[]){"3", "100%"};
    plan.share_count = 2;
    plan.draft = true;
    int64_t draft = rolling_create(&plan);
    plan.draft = false;
    int64_t id = rolling_create(&plan);
    assert_int_equal(rolling_moving(found), 3);
    rolling_say(found[0], "1.1.0", "idle", 1);
    rolling_say(found[1], "1.0.0", "downloading", 1);
    rolling_step();
    assert_ok(
        version_withdraw(&rolling.small->console, "demo", "model", "1.1.0", "it sees ghosts", "ada", &err),
        err);
    rolling_step();
    rolling_check(id, "aborting");
    rolling_check(draft, "aborted");
    const struct json *reason = json_get(rolling_shown(&arena, id), "reason");
    assert_string_equal(json_string(reason, "code"), "withdrawn");
    assert_string_equal(json_string(reason, "text"), "demo/model 1.1.0 was withdrawn by ada: it sees ghosts");
    assert_int_equal(rolling_number("reason", id, "aborted"),
                     8); /* the seven of stage 2, and who had not begun */
    rolling_say(found[1], "1.0.0", "idle", 1);
    rolling_step();
    assert_int_equal(rolling_number("reason", id, "withdrawn"), 1);
    assert_int_equal(rolling_number("state", id, "confirming"), 1); /* who runs it keeps it */
    small_wait(rolling.small, 61);
    rolling_say(found[0], "1.1.0", "idle", 1);
    rolling_step();
    rolling_check(id, "aborted");
    assert_int_equal(rolling_number("state", id, "applied"), 1);
}

static void nobody_who_failed_takes_it_after_an_abort(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];

    (void)state;
    plan.shares = (const char *const[]){"4", "100%"};
    plan.share_count = 2;
    plan.max_failures = "0";
    int64_t id = rolling_create(&plan);
    assert_int_equal(rolling_moving(found), 4);
    rolling_say(found[0], "1.1.0", "idle", 1);
    rolling_say_app(found[1], "1.0.0", "idle", 8, ",\"wanted\":\"1.1.0\",\"reason\":\"no\"", "running");
    rolling_step();
    rolling_check(id, "held");
    small_wait(rolling.small, 601); /* two are silent */
    rolling_say(found[0], "1.1.0", "idle", 1);
    rolling_step();
    assert_int_equal(rolling_number("state", id, "failed"), 3);
    rolling_act(id, ROLLOUT_ABORT);
    rolling_check(id, "aborted");
    assert_int_equal(rolling_number("state", id, "failed"), 3); /* that they failed stays written */
    assert_int_equal(rolling_number("target", id, "1.1.0"), 1);
    assert_int_equal(rolling_moving(found), 1);
    rolling_act(id, ROLLOUT_ROLL_BACK);
    rolling_all_take();
    rolling_check(id, "rolled_back");
    assert_int_equal(rolling_number("reason", id, "given_back"), 3);
}

static void a_retired_device_is_no_failure(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct device *found[ROLLING_DEVICES];
    struct error err = {0};

    (void)state;
    int64_t id = rolling_create(&plan);
    assert_int_equal(rolling_moving(found), 1);
    assert_ok(device_admit(&rolling.small->console, found[0]->name, ADMISSION_RETIRED, "ada", &err), err);
    small_wait(rolling.small, 601);
    rolling_step();
    assert_int_equal(rolling_number("state", id, "failed"), 0);
    assert_int_equal(rolling_number("reason", id, "retired"), 1);
}

static void late_joiners_come_into_the_last_stage(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);

    (void)state;
    plan.filter = "product:demo";
    plan.late_joiners = true;
    int64_t id = rolling_create(&plan);
    small_device(rolling.small, "late-1", "", NULL);
    rolling.small->console.rollouts->joined_ms = 0;
    rolling_step();
    assert_int_equal(json_integer(rolling_shown(&arena, id), "devices", 0), 11);
    rolling_check_counts(id);
    assert_int_equal(rolling_number("state", id, "pending"), 10);
}

static void shares_rise_and_the_last_takes_the_rest(void **state)
{
    struct error err = {0};
    int64_t upto[4];

    (void)state;
    assert_ok(rollout_shares_cut((const char *const[]){"1%", "10%", "50%", "100%"}, 4, 4, upto, &err), err);
    assert_true(upto[0] == 1 && upto[1] == 1 && upto[2] == 2 && upto[3] == 4);
    assert_ok(rollout_shares_cut((const char *const[]){"5", "0.5%", "100%"}, 3, 2000, upto, &err), err);
    assert_true(upto[0] == 5 && upto[1] == 10 && upto[2] == 2000);
    assert_refused(rollout_shares_cut((const char *const[]){"10%", "10%"}, 2, 100, upto, &err), err,
                   ERROR_INPUT);
    assert_refused(rollout_shares_cut((const char *const[]){"101%"}, 1, 100, upto, &err), err, ERROR_INPUT);
    assert_refused(rollout_shares_cut((const char *const[]){"0"}, 1, 100, upto, &err), err, ERROR_INPUT);
    assert_refused(rollout_shares_cut((const char *const[]){"half"}, 1, 100, upto, &err), err, ERROR_INPUT);
}

static void an_older_version_is_listed_before_an_order_names_it(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = rolling_plan(&arena, ROLLING_DEVICES);
    struct error err = {0};
    int64_t count;

    (void)state;
    for (int i = 0; i < 12; i++) {
        char version[16];

        snprintf(version, sizeof version, "3.%d.0", i);
        small_publish(rolling.small, "model", version, NULL);
    }
    assert_ok(release_set(&rolling.small->console, "demo", "model", "3.11.0", "ada", &count, &err), err);
    rolling_all_take();
    DB_DONE(conn) = db_read(rolling.small->console.db, &err);
    struct db_query *query = db_query(conn, "SELECT listed FROM versions WHERE version = '1.1.0'");
    assert_true(db_step(query));
    assert_int_equal(db_integer(query, 0), 0);
    assert_ok(db_end(query, &err), err);
    db_done(conn);
    small_wait(rolling.small, 2);
    rolling_create(&plan);
    conn = db_read(rolling.small->console.db, &err);
    query = db_query(conn, "SELECT listed FROM versions WHERE version = '1.1.0'");
    assert_true(db_step(query));
    assert_int_equal(db_integer(query, 0), 1);
    assert_ok(db_end(query, &err), err);
    struct device *found[ROLLING_DEVICES];
    assert_int_equal(rolling_moving(found), 1);
}

static void the_states_are_those_that_the_document_draws(void **state)
{
    static const char *const names[] = {
        "draft", "awaiting_approval", "scheduled", "running", "soaking",      "paused",
        "held",  "completed",         "aborting",  "aborted", "rolling_back", "rolled_back"};

    (void)state;
    assert_int_equal(rollout_lifecycle.count, sizeof names / sizeof *names);
    for (int i = 0; i < rollout_lifecycle.count; i++)
        assert_string_equal(rollout_lifecycle.states[i].name, names[i]);
    assert_false(lifecycle_allows(&rollout_lifecycle, ROLLOUT_ROLLED_BACK, ROLLOUT_RUNNING));
    assert_false(lifecycle_allows(&rollout_lifecycle, ROLLOUT_DRAFT, ROLLOUT_ROLLING_BACK));
    assert_true(lifecycle_allows(&rollout_lifecycle, ROLLOUT_COMPLETED, ROLLOUT_ROLLING_BACK));
    assert_false(lifecycle_allows(&rollout_assignment_lifecycle, RA_UPDATING, RA_DOWNLOADING));
    assert_false(lifecycle_allows(&rollout_assignment_lifecycle, RA_SKIPPED, RA_OFFERED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROLLOUT_TEST(name) cmocka_unit_test_setup_teardown(name, rolling_setup, small_teardown)
        ROLLOUT_TEST(a_rollout_goes_through_its_stages_and_soaks),
        ROLLOUT_TEST(a_restart_at_every_state_changes_nothing),
        ROLLOUT_TEST(pausing_and_restarts_never_pick_others),
        ROLLOUT_TEST(failures_hold_the_rollout_and_say_the_figures),
        ROLLOUT_TEST(a_gate_may_roll_back_and_everybody_is_as_before),
        ROLLOUT_TEST(who_cannot_take_it_is_skipped_with_the_reason),
        ROLLOUT_TEST(two_rollouts_of_an_asset_do_not_share_a_device),
        ROLLOUT_TEST(a_person_aborts_excludes_and_asks_again),
        ROLLOUT_TEST(a_later_pin_or_release_supersedes),
        ROLLOUT_TEST(a_release_made_meanwhile_holds_for_those_whose_turn_comes_later),
        ROLLOUT_TEST(a_withdrawn_version_ends_its_rollout),
        ROLLOUT_TEST(nobody_who_failed_takes_it_after_an_abort),
        ROLLOUT_TEST(a_retired_device_is_no_failure),
        ROLLOUT_TEST(late_joiners_come_into_the_last_stage),
        ROLLOUT_TEST(shares_rise_and_the_last_takes_the_rest),
        ROLLOUT_TEST(an_older_version_is_listed_before_an_order_names_it),
        ROLLOUT_TEST(the_states_are_those_that_the_document_draws),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

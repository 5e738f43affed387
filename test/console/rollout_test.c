/* Rollouts with the fleet in memory: every state, every gate, a restart at each, counters, who is chosen. */
#include "test/console/small.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "console/delivery/release.h"
#include "console/delivery/rollout_assignment.h"
#include "console/delivery/withdraw.h"
#include "console/devices.h"
#include "console/fleet_parts.h"
#include "console/orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES 10
static struct small *small;
static struct device *devices[DEVICES];

/* --- the world
 * --------------------------------------------------------------------------------------------------- */

static void manifest_of(const char *version, char sha256[SHA256_HEX])
{
    ARENA(arena);
    struct manifest manifest;
    struct error err = {0};
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(
        repo_manifest(small->console.repo, conn, &arena, "demo", "model", version, &manifest, sha256, &err),
        err);
}

/* A device's check-in: it holds its newest order, runs `version`, and says more in `rest`. */
static void say_app(struct device *device, const char *version, const char *state, int result,
                    const char *rest, const char *app)
{
    ARENA(arena);
    TEXT(answer);
    struct error err = {0};
    char sha256[SHA256_HEX], set[SHA256_HEX];

    manifest_of(version, sha256);
    sha256_hex(version, strlen(version), set);
    const char *body = arena_printf(
        &arena,
        "{\"boot_id\":\"a\",\"generation\":1,\"set\":\"%s\",\"order_seq\":%lld,\"metadata\":{},"
        "\"assets\":{\"model\":{\"version\":\"%s\",\"sha256\":\"%s\",\"state\":\"%s\",\"result\":%d%s}},"
        "\"app\":{\"state\":\"%s\",\"pid\":7,\"since\":null}}",
        set, (long long)device->order_seq, version, sha256, state, result, rest, app);
    assert_ok(small_checkin(small, device, body, &answer, &err), err);
}

static void say(struct device *device, const char *version, const char *state, int result)
{
    say_app(device, version, state, result, "", "running");
}

/* A step is bounded by time: on a slow machine it leaves some of its work for the next. */
static void step(void)
{
    struct error err = {0};

    assert_ok(orders_step(&small->console, &err), err);
    for (int i = 0; i < DEVICES; i++)
        assert_ok(rollouts_step(&small->console, &err), err);
    assert_ok(orders_step(&small->console, &err), err);
}

/* "model" as the device's order names it. */
static const char *ordered(struct arena *arena, const struct device *device)
{
    struct error err = {0};
    const struct json *order =
        device->order ? json_read(arena, device->order, strlen(device->order), &json_limits_small, &err)
                      : NULL;
    const struct json *set = json_get(json_get(order, "signed"), "set");

    for (const struct json *one = set ? set->first : NULL; one; one = one->next)
        if (string_is(json_string(one, "asset"), "model"))
            return json_string(one, "version");
    return "none";
}

/* Every device takes what its order names. */
static void all_take(void)
{
    ARENA(arena);

    step();
    for (int i = 0; i < DEVICES; i++)
        say(devices[i], ordered(&arena, devices[i]), "idle", 1);
    step();
}

static int setup(void **state)
{
    struct error err = {0};
    int64_t count;

    small_setup(state);
    small = *state;
    small_publish(small, "model", "1.0.0", NULL);
    small_publish(small, "model", "1.1.0", NULL);
    assert_ok(release_set(&small->console, "demo", "model", "1.0.0", "ada", &count, &err), err);
    for (int i = 0; i < DEVICES; i++) {
        char name[32];

        snprintf(name, sizeof name, "cam-%d", i + 1);
        devices[i] = small_device(small, name, "", NULL);
    }
    all_take();
    return 0;
}

/* As after kill -9: what was committed is there, memory is not. */
static void restart(void)
{
    struct error err = {0};

    small_again(small);
    for (int i = 0; i < DEVICES; i++) {
        char name[32];

        snprintf(name, sizeof name, "cam-%d", i + 1);
        devices[i] = fleet_by_name(small->console.fleet, name);
    }
    rollouts_close(small->console.rollouts);
    small->console.rollouts = rollouts_open(&small->console, &err);
    assert_ok(small->console.rollouts, err);
}

/* --- plans
 * ------------------------------------------------------------------------------------------------------- */

static const char *const quarters[] = {"10%", "50%", "100%"};

static struct rollout_plan plan_of(struct arena *arena, int count)
{
    struct rollout_plan plan = {.product = "demo",
                                .asset = "model",
                                .version = "1.1.0",
                                .shares = quarters,
                                .share_count = 3,
                                .soak_s = 60,
                                .device_deadline_s = 600,
                                .max_failures = "10%",
                                .operator_name = "ada"};

    plan.device_ids = arena_array(arena, (size_t)count, sizeof *plan.device_ids);
    plan.device_count = (size_t)count;
    for (int i = 0; i < count; i++)
        plan.device_ids[i] = devices[i]->id;
    return plan;
}

static int64_t create(const struct rollout_plan *plan)
{
    struct error err = {0};
    int64_t id;

    assert_ok(rollout_create(&small->console, plan, &id, &err), err);
    step();
    return id;
}

static void act(int64_t id, enum rollout_verb verb)
{
    struct error err = {0};

    assert_ok(rollout_do(&small->console, id, verb, "because", NULL, "ada", &err), err);
    step();
}

/* --- looking
 * ------------------------------------------------------------------------------------------------------- */

static int64_t number(const char *sql_for, int64_t id, const char *word)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(small->console.db, &err);
    struct db_query *query =
        string_is(sql_for, "state")
            ? db_query(conn,
                       "SELECT count(*) FROM rollout_assignment WHERE rollout_id = :id AND state = :word")
        : string_is(sql_for, "kept")
            ? db_query(conn, "SELECT coalesce(sum(devices), 0) FROM rollout_count WHERE rollout_id = :id"
                             " AND state = :word")
        : string_is(sql_for, "reason")
            ? db_query(
                  conn,
                  "SELECT count(*) FROM rollout_assignment WHERE rollout_id = :id AND reason_code = :word")
        : string_is(sql_for, "stage")
            ? db_query(conn, "SELECT stage FROM rollout WHERE id = :id AND :word IS NOT NULL")
            : db_query(conn, "SELECT count(*) FROM device_target WHERE rollout_id = :id AND version = :word");
    db_bind_integer(query, ":id", id);
    db_bind_text(query, ":word", word);
    int64_t value = db_step(query) ? db_integer(query, 0) : -1;
    assert_ok(db_end(query, &err), err);
    return value;
}

/* The figures that are kept equal the rows. */
static void check_counts(int64_t id)
{
    for (int i = 0; i < RA_STATES; i++) {
        const char *name = rollout_assignment_state_name((enum rollout_assignment_state)i);

        assert_int_equal(number("state", id, name), number("kept", id, name));
    }
}

static const struct json *shown(struct arena *arena, int64_t id)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    DB_DONE(conn) = db_read(small->console.db, &err);

    json_write_init(&writer, &out);
    assert_ok(rollout_write(conn, id, &writer, &err), err);
    const struct json *json = json_read(arena, text_string(&out), out.size, &json_limits_small, &err);
    assert_ok(json, err);
    return json;
}

static void check_state(int64_t id, const char *state)
{
    ARENA(arena);
    const struct json *rollout = shown(&arena, id);

    if (!string_is(json_string(rollout, "state"), state))
        fail_msg("rollout %lld is %s, not %s: %s", (long long)id, json_string(rollout, "state"), state,
                 json_string(json_get(rollout, "reason"), "text"));
    check_counts(id);
}

/* Whose order names 1.1.0 now. */
static int moving(struct device **found)
{
    int count = 0;

    for (int i = 0; i < DEVICES; i++) {
        ARENA(arena);

        if (string_is(ordered(&arena, devices[i]), "1.1.0"))
            found[count++] = devices[i];
    }
    return count;
}

static void prove_all(void)
{
    struct device *found[DEVICES];

    for (int i = 0, count = moving(found); i < count; i++)
        say(found[i], "1.1.0", "idle", 1);
    step();
}

/* Time goes by, and every device is heard from. */
static void soak(int64_t seconds)
{
    ARENA(arena);

    small_wait(small, seconds);
    for (int i = 0; i < DEVICES; i++)
        say(devices[i], ordered(&arena, devices[i]), "idle", 1);
    step();
}

/* --- tests
 * ------------------------------------------------------------------------------------------------------- */

static void a_rollout_goes_through_its_stages_and_soaks(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];

    (void)state;
    int64_t id = create(&plan);
    assert_int_equal(moving(found), 1);
    check_state(id, "running");
    static const char *const steps[] = {"downloading", "downloaded", "updating"};
    for (size_t i = 0; i < 3; i++) {
        say(found[0], "1.0.0", steps[i], 1);
        step();
        assert_int_equal(number("state", id, steps[i]), 1);
    }
    say(found[0], "1.1.0", "idle", 1);
    step();
    check_state(id, "soaking");
    assert_int_equal(number("state", id, "confirming"), 1);
    assert_int_equal(moving(found), 1);
    soak(61);
    assert_int_equal(number("state", id, "applied"), 1);
    assert_int_equal(moving(found), 5);
    check_state(id, "running");
    prove_all();
    soak(61);
    assert_int_equal(moving(found), 10);
    prove_all();
    soak(30);
    check_state(id, "soaking");
    soak(31);
    check_state(id, "completed");
    assert_int_equal(number("state", id, "applied"), 10);
    assert_int_equal(number("target", id, "1.1.0"), 10);
}

static void a_restart_at_every_state_changes_nothing(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];

    (void)state;
    plan.draft = plan.approval = true;
    int64_t id = create(&plan);
    restart();
    step();
    check_state(id, "draft");
    assert_int_equal(moving(found), 0);
    act(id, ROLLOUT_START);
    restart();
    step();
    check_state(id, "running");
    assert_int_equal(moving(found), 1);
    say(found[0], "1.0.0", "downloading", 1);
    restart(); /* said and flushed, but not looked at: everybody who is watched is looked at again */
    step();
    assert_int_equal(number("state", id, "downloading"), 1);
    prove_all();
    restart();
    step();
    check_state(id, "soaking");
    soak(61);
    check_state(id, "awaiting_approval");
    restart();
    step();
    check_state(id, "awaiting_approval");
    assert_int_equal(moving(found), 1);
    act(id, ROLLOUT_ADVANCE);
    assert_int_equal(moving(found), 5);
    act(id, ROLLOUT_PAUSE);
    restart();
    step();
    check_state(id, "paused");
    act(id, ROLLOUT_RESUME);
    check_state(id, "running");
    act(id, ROLLOUT_ROLL_BACK);
    restart();
    step();
    check_state(id, "rolling_back");
    assert_int_equal(moving(found), 0);
    restart();
    all_take();
    check_state(id, "rolled_back");
    assert_int_equal(number("target", id, "1.1.0"), 0);
}

static void pausing_and_restarts_never_pick_others(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *first[DEVICES], *then[DEVICES];

    (void)state;
    plan.parallel = 2;
    plan.shares = (const char *const[]){"50%", "100%"};
    plan.share_count = 2;
    int64_t id = create(&plan);
    assert_int_equal(moving(first), 2);
    int64_t ids[2] = {first[0]->id, first[1]->id};
    act(id, ROLLOUT_PAUSE);
    restart();
    step();
    assert_int_equal(moving(then), 2);
    assert_true(then[0]->id == ids[0] && then[1]->id == ids[1]);
    prove_all();
    assert_int_equal(moving(then), 2); /* paused: nobody new, though there is room */
    act(id, ROLLOUT_RESUME);
    assert_int_equal(moving(then), 4);
    assert_int_equal(number("state", id, "offered"), 2);
}

static void failures_hold_the_rollout_and_say_the_figures(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];

    (void)state;
    int64_t id = create(&plan);
    prove_all();
    soak(61);
    assert_int_equal(moving(found), 5);
    int bad = found[0]->rollout_level == 2 ? 0 : 1;
    say_app(found[bad], "1.0.0", "idle", 8, ",\"wanted\":\"1.1.0\",\"reason\":\"the app rejected it\"",
            "running");
    step();
    check_state(id, "held");
    assert_int_equal(number("reason", id, "update_failed"), 1);
    const char *text = json_string(json_get(shown(&arena, id), "reason"), "text");
    assert_string_equal(text, "1 of 4 devices of stage 2 failed; at most 10% may");
    act(id, ROLLOUT_RESUME); /* accepts it */
    check_state(id, "running");
    for (int i = 0; i < 5; i++)
        if (i != bad)
            say(found[i], "1.1.0", "idle", 1);
    step();
    small_wait(small, 61);
    for (int i = 0; i < 5; i++)
        if (i != bad)
            say_app(found[i], "1.1.0", "idle", 1, "", "running");
    step();
    assert_int_equal(moving(found), 10);
    assert_int_equal(number("stage", id, ""), 3);
}

static void a_gate_may_roll_back_and_everybody_is_as_before(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];

    (void)state;
    plan.auto_roll_back = true;
    plan.max_failures = "0";
    int64_t id = create(&plan);
    prove_all();
    soak(61);
    assert_int_equal(moving(found), 5);
    for (int i = 0; i < 5; i++)
        if (found[i]->rollout_level == 2 && i < 4)
            say(found[i], "1.1.0", "idle", 1);
    step();
    say_app(found[4]->rollout_level == 2 ? found[4] : found[3], "1.0.0", "idle", 8,
            ",\"wanted\":\"1.1.0\",\"reason\":\"no\"", "running");
    step();
    check_state(id, "rolling_back");
    assert_int_equal(moving(found), 0);
    assert_int_equal(number("target", id, "1.1.0"), 0);
    assert_int_equal(number("state", id, "skipped"), 5);
    all_take();
    check_state(id, "rolled_back");
    assert_int_equal(number("state", id, "rolled_back"), 5);
}

static void silence_is_a_failure_and_a_late_proof_amends_it(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];

    (void)state;
    int64_t id = create(&plan);
    assert_int_equal(moving(found), 1);
    small_wait(small, 300);
    step();
    check_state(id, "running");
    small_wait(small, 301);
    step();
    check_state(id, "held");
    assert_int_equal(number("reason", id, "timed_out"), 1);
    say(found[0], "1.1.0", "idle", 1);
    step();
    assert_int_equal(number("state", id, "confirming"), 1);
    assert_int_equal(number("state", id, "failed"), 0);
    act(id, ROLLOUT_RESUME);
    soak(61);
    assert_int_equal(number("state", id, "applied"), 1);
    assert_int_equal(moving(found), 5);
}

static void a_device_that_falls_back_in_its_soak_has_failed(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];

    (void)state;
    plan.max_failures = NULL;
    int64_t id = create(&plan);
    moving(found);
    struct device *first = found[0];
    prove_all();
    say(first, "1.0.0", "idle", 8);
    step();
    assert_int_equal(number("reason", id, "fell_back"), 1);
    assert_int_equal(number("stage", id, ""), 2); /* no gate */
    moving(found);
    struct device *second = found[0] == first ? found[1] : found[0];
    say(second, "1.1.0", "idle", 1);
    step();
    say_app(second, "1.1.0", "idle", 1, "", "failed");
    step();
    assert_int_equal(number("reason", id, "app_stopped"), 1);
    check_counts(id);
}

static void an_applied_device_is_watched_until_the_rollout_is_over(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];

    (void)state;
    int64_t id = create(&plan);
    moving(found);
    struct device *first = found[0];
    prove_all();
    soak(61);
    assert_int_equal(number("state", id, "applied"), 1);
    say(first, "1.0.0", "idle", 8);
    step();
    check_state(id, "held");
    assert_int_equal(number("reason", id, "fell_back"), 1);
    const char *held = json_string(json_get(shown(&arena, id), "reason"), "text");
    act(id, ROLLOUT_ROLL_BACK); /* and why it was held is not forgotten */
    const char *text = json_string(json_get(shown(&arena, id), "reason"), "text");
    assert_string_equal(text, arena_printf(&arena, "because; it was held: %s", held));
}

static void a_soak_is_not_passed_in_silence(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);

    (void)state;
    int64_t id = create(&plan);
    prove_all();
    small_wait(small, 61);
    step();
    assert_int_equal(number("state", id, "applied"), 0);
    small_wait(small, 60);
    step();
    assert_int_equal(number("reason", id, "timed_out"), 1);
    check_state(id, "held");
}

static void a_device_may_restart_in_its_soak(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);

    (void)state;
    plan.soak_s = 10;
    int64_t id = create(&plan);
    prove_all();
    small_wait(small, 45);
    assert_int_equal(device_connectivity(small->console.fleet, devices[0], clock_now()), OFFLINE);
    step();
    assert_int_equal(number("state", id, "failed"), 0);
    soak(3);
    assert_int_equal(number("state", id, "applied"), 1);
    check_state(id, "running"); /* its next stage */
}

static void a_console_that_stood_still_blames_no_device_in_its_soak(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);

    (void)state;
    plan.soak_s = 10;
    int64_t id = create(&plan);
    prove_all();
    small->console.fleet->watch_ms -= 120000;
    small_wait(small, 120);
    step();
    assert_int_equal(number("state", id, "failed"), 0);
    soak(3);
    assert_int_equal(number("state", id, "applied"), 1);
    check_state(id, "running"); /* its next stage */
}

static void a_console_that_is_back_listens_before_it_judges(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];

    (void)state;
    plan.soak_s = 10;
    int64_t id = create(&plan);
    int count = moving(found);
    prove_all();
    small_wait(small, 90); /* what the moving one said since then was not written down, another's was */
    for (int i = 0; i < DEVICES; i++)
        if (devices[i] != found[0])
            say(devices[i], ordered(&arena, devices[i]), "idle", 1);
    assert_int_equal(count, 1);
    restart();
    small_wait(small, 60);
    step();
    assert_int_equal(number("state", id, "failed"), 0);
    small_wait(small, 31);
    step();
    assert_int_equal(number("reason", id, "timed_out"), 1);
    check_state(id, "held");
}

static void a_deadline_that_passed_while_the_console_was_gone_is_not_the_devices(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);

    (void)state;
    int64_t id = create(&plan);
    small_wait(small, plan.device_deadline_s + 10);
    restart();
    step();
    assert_int_equal(number("state", id, "failed"), 0);
    prove_all(); /* it had been at work all the time */
    assert_int_equal(number("state", id, "failed"), 0);
    assert_int_equal(number("state", id, "confirming") + number("state", id, "applied"), 1);
}

/* Devices that come often because their turn is near. */
static int often(void)
{
    int count = 0;

    for (int i = 0; i < DEVICES; i++)
        count += devices[i]->warm_until > clock_now();
    return count;
}

static void who_is_next_comes_often_and_after_short_stages_who_comes_then(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);

    (void)state;
    int64_t id = create(&plan);
    assert_int_equal(often(), 4); /* of the second stage */
    act(id, ROLLOUT_ABORT);
    restart(); /* nobody is waited for, and it looks at once */
    plan.soak_s = 59;
    create(&plan);
    assert_int_equal(often(), 9);
}

static void execute(const char *what, int64_t device_id)
{
    struct error err = {0};
    struct db_conn *conn = db_write(small->console.db, &err);
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
    struct rollout_plan plan = plan_of(&arena, DEVICES);

    (void)state;
    small_publish(small, "model", "2.0.0", "rev-b");
    execute("pin", devices[0]->id);
    execute("development", devices[1]->id);
    say(devices[2], "1.1.0", "idle", 1);
    plan.shares = (const char *const[]){"100%"};
    plan.share_count = 1;
    json_write_init(&writer, &out);
    assert_ok(rollout_dry_run(&small->console, &plan, &writer, &err), err);
    const struct json *dry = json_read(&arena, text_string(&out), out.size, &json_limits_small, &err);
    assert_int_equal(json_integer(dry, "matches", 0), 10);
    assert_int_equal(json_integer(dry, "already", 0), 1);
    assert_int_equal(json_integer(dry, "pinned", 0), 1);
    assert_int_equal(json_integer(dry, "development", 0), 1);
    assert_int_equal(json_integer(dry, "moves", 0), 7);
    assert_int_equal(json_integer(dry, "bytes", 0), 7 * 5);
    int64_t id = create(&plan);
    assert_int_equal(number("reason", id, "pinned"), 1);
    assert_int_equal(number("reason", id, "development"), 1);
    assert_int_equal(number("state", id, "already_current"), 1);
    assert_int_equal(number("state", id, "offered"), 7);
    act(id, ROLLOUT_ABORT);
    check_state(id, "aborted");
    plan.version = "2.0.0";
    id = create(&plan);
    assert_int_equal(number("reason", id, "hardware"), 8);
    check_state(id, "completed");
}

static void two_rollouts_of_an_asset_do_not_share_a_device(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, 5), other = plan_of(&arena, DEVICES);
    struct error err = {0};
    int64_t id = create(&plan), none;

    (void)state;
    assert_refused(rollout_create(&small->console, &other, &none, &err), err, ERROR_CONFLICT);
    char name[32];
    snprintf(name, sizeof name, "rollout %lld of demo/model", (long long)id);
    assert_non_null(strstr(err.text, name));
    small_publish(small, "words", "1.0.0", NULL);
    other.asset = "words";
    other.version = "1.0.0";
    create(&other); /* another asset goes beside it */
    act(id, ROLLOUT_ABORT);
    other.asset = "model";
    other.version = "1.1.0";
    create(&other);
}

static void a_person_aborts_excludes_and_asks_again(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];
    struct error err = {0};

    (void)state;
    plan.shares = (const char *const[]){"5", "100%"};
    plan.share_count = 2;
    plan.max_failures = "1";
    int64_t id = create(&plan);
    assert_int_equal(moving(found), 5);
    struct device *out = found[0];
    assert_ok(rollout_exclude(&small->console, id, &out->id, 1, "ada", &err), err);
    step();
    assert_int_equal(moving(found), 4);
    assert_int_equal(number("reason", id, "excluded"), 1);
    for (int i = 0; i < 2; i++)
        say_app(found[i], "1.0.0", "idle", 8, ",\"wanted\":\"1.1.0\",\"reason\":\"no\"", "running");
    step();
    check_state(id, "held");
    act(id, ROLLOUT_RETRY);
    check_state(id, "running");
    /* Not before both hold the order in between, with which they forget the failure. */
    small_wait(small, 2);
    step();
    assert_int_equal(number("reason", id, "again"), 2);
    assert_int_equal(number("state", id, "pending"), 7);
    say(found[0], "1.0.0", "idle", 1);
    small_wait(small, 2);
    step();
    assert_int_equal(number("state", id, "offered"), 3);
    say(found[1], "1.0.0", "idle", 1);
    small_wait(small, 2);
    step();
    assert_int_equal(number("state", id, "offered"), 4);
    say(found[2], "1.0.0", "downloading", 1);
    step();
    act(id, ROLLOUT_ABORT);
    check_state(id, "aborting"); /* one is on its way */
    say(found[2], "1.1.0", "idle", 1);
    step();
    check_state(id, "aborting");
    small_wait(small, 61);
    say_app(found[2], "1.1.0", "idle", 1, "", "running");
    step();
    check_state(id, "aborted");
    assert_int_equal(number("state", id, "applied"), 1);
    assert_refused(rollout_do(&small->console, id, ROLLOUT_RESUME, NULL, NULL, "ada", &err), err,
                   ERROR_CONFLICT);
    act(id, ROLLOUT_ROLL_BACK); /* also what an aborted one did */
    all_take();
    check_state(id, "rolled_back");
}

static void a_failed_device_is_asked_again_after_its_back_off(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];
    int64_t id;

    (void)state;
    plan.retries = 1;
    id = create(&plan);
    assert_int_equal(moving(found), 1);
    struct device *first = found[0];
    say_app(first, "1.0.0", "idle", 8, ",\"wanted\":\"1.1.0\",\"reason\":\"no\"", "running");
    step();
    assert_int_equal(number("state", id, "pending"), 10);
    assert_int_equal(moving(found), 0); /* its target is back while it waits */
    say(first, "1.0.0", "idle", 1);
    small_wait(small, 20);
    step();
    assert_int_equal(moving(found), 0);
    small_wait(small, 41);
    step();
    assert_int_equal(moving(found), 1);
    assert_ptr_equal(found[0], first);
    say_app(first, "1.0.0", "idle", 8, ",\"wanted\":\"1.1.0\",\"reason\":\"no\"", "running");
    step();
    assert_int_equal(number("state", id, "failed"), 1);
    check_state(id, "held");
}

static void what_the_device_tries_again_itself_is_no_failure(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];
    int64_t id = create(&plan);

    (void)state;
    moving(found);
    say_app(found[0], "1.0.0", "idle", 4, ",\"wanted\":\"1.1.0\",\"reason\":\"the connection was lost\"",
            "running");
    step();
    check_state(id, "running");
    small_wait(small, 601);
    step();
    assert_int_equal(number("reason", id, "timed_out"), 1);
}

static void a_later_pin_or_release_supersedes(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct error err = {0};
    int64_t count;

    (void)state;
    small_publish(small, "model", "1.2.0", NULL);
    plan.shares = (const char *const[]){"100%"};
    plan.share_count = 1;
    int64_t id = create(&plan);
    assert_int_equal(number("state", id, "offered"), 10);
    small_wait(small, 2);
    assert_ok(release_set(&small->console, "demo", "model", "1.2.0", "ada", &count, &err), err);
    all_take();
    step();
    assert_int_equal(number("state", id, "superseded"), 10);
    check_state(id, "completed");
}

static void a_release_made_meanwhile_holds_for_those_whose_turn_comes_later(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct error err = {0};
    int64_t count;

    (void)state;
    small_publish(small, "model", "1.2.0", NULL);
    int64_t id = create(&plan);
    prove_all();
    soak(61);
    assert_int_equal(number("state", id, "applied"), 1);
    assert_int_equal(number("state", id, "offered"), 4);
    small_wait(small, 2);
    assert_ok(release_set(&small->console, "demo", "model", "1.2.0", "ada", &count, &err), err);
    all_take();
    step();
    assert_int_equal(number("reason", id, "release"), 10);
    check_state(id, "completed");
    assert_string_equal(ordered(&arena, devices[0]), "1.2.0");
}

static void a_withdrawn_version_ends_its_rollout(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];
    struct error err = {0};

    (void)state;
    plan.shares = (const char *const[]){"3", "100%"};
    plan.share_count = 2;
    plan.draft = true;
    int64_t draft = create(&plan);
    plan.draft = false;
    int64_t id = create(&plan);
    assert_int_equal(moving(found), 3);
    say(found[0], "1.1.0", "idle", 1);
    say(found[1], "1.0.0", "downloading", 1);
    step();
    assert_ok(version_withdraw(&small->console, "demo", "model", "1.1.0", "it sees ghosts", "ada", &err),
              err);
    step();
    check_state(id, "aborting");
    check_state(draft, "aborted");
    const struct json *reason = json_get(shown(&arena, id), "reason");
    assert_string_equal(json_string(reason, "code"), "withdrawn");
    assert_string_equal(json_string(reason, "text"), "demo/model 1.1.0 was withdrawn by ada: it sees ghosts");
    assert_int_equal(number("reason", id, "aborted"), 8); /* the seven of stage 2, and who had not begun */
    say(found[1], "1.0.0", "idle", 1);
    step();
    assert_int_equal(number("reason", id, "withdrawn"), 1);
    assert_int_equal(number("state", id, "confirming"), 1); /* who runs it keeps it */
    small_wait(small, 61);
    say(found[0], "1.1.0", "idle", 1);
    step();
    check_state(id, "aborted");
    assert_int_equal(number("state", id, "applied"), 1);
}

static void nobody_who_failed_takes_it_after_an_abort(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];

    (void)state;
    plan.shares = (const char *const[]){"4", "100%"};
    plan.share_count = 2;
    plan.max_failures = "0";
    int64_t id = create(&plan);
    assert_int_equal(moving(found), 4);
    say(found[0], "1.1.0", "idle", 1);
    say_app(found[1], "1.0.0", "idle", 8, ",\"wanted\":\"1.1.0\",\"reason\":\"no\"", "running");
    step();
    check_state(id, "held");
    small_wait(small, 601); /* two are silent */
    say(found[0], "1.1.0", "idle", 1);
    step();
    assert_int_equal(number("state", id, "failed"), 3);
    act(id, ROLLOUT_ABORT);
    check_state(id, "aborted");
    assert_int_equal(number("state", id, "failed"), 3); /* that they failed stays written */
    assert_int_equal(number("target", id, "1.1.0"), 1);
    assert_int_equal(moving(found), 1);
    act(id, ROLLOUT_ROLL_BACK);
    all_take();
    check_state(id, "rolled_back");
    assert_int_equal(number("reason", id, "given_back"), 3);
}

static void a_retired_device_is_no_failure(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];
    struct error err = {0};

    (void)state;
    int64_t id = create(&plan);
    assert_int_equal(moving(found), 1);
    assert_ok(device_admit(&small->console, found[0]->name, ADMISSION_RETIRED, "ada", &err), err);
    small_wait(small, 601);
    step();
    assert_int_equal(number("state", id, "failed"), 0);
    assert_int_equal(number("reason", id, "retired"), 1);
}

static void gates_of_success_and_time(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];
    struct error err = {0};

    (void)state;
    plan.max_failures = NULL;
    plan.min_successes = 1;
    plan.device_deadline_s = 300;
    int64_t id = create(&plan);
    small_wait(small, 301);
    step();
    check_state(id, "held");
    assert_string_equal(json_string(json_get(shown(&arena, id), "reason"), "code"), "min_successes");
    assert_refused(rollout_do(&small->console, id, ROLLOUT_ADVANCE, NULL, "running", "ada", &err), err,
                   ERROR_CONFLICT);
    act(id, ROLLOUT_ADVANCE);
    assert_int_equal(number("stage", id, ""), 2);
    act(id, ROLLOUT_ROLL_BACK);
    all_take();
    check_state(id, "rolled_back");
    plan.min_successes = 0;
    plan.stage_deadline_s = 100;
    id = create(&plan);
    small_wait(small, 101);
    step();
    check_state(id, "held");
    assert_string_equal(json_string(json_get(shown(&arena, id), "reason"), "code"), "stage_deadline");
    assert_int_equal(moving(found), 1);
}

static void it_starts_at_its_time_and_ends_at_its_end(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct device *found[DEVICES];

    (void)state;
    plan.at = clock_now() + 1000;
    plan.ends_at = clock_now() + 1500;
    int64_t id = create(&plan);
    check_state(id, "scheduled");
    assert_int_equal(moving(found), 0);
    small_wait(small, 1001);
    step();
    check_state(id, "running");
    assert_int_equal(moving(found), 1);
    prove_all();
    soak(61);
    assert_int_equal(moving(found), 5);
    small_wait(small, 450);
    step();
    step();
    check_state(id, "aborted");
    assert_int_equal(number("reason", id, "aborted"), 9);
    assert_int_equal(number("state", id, "applied"), 1);
}

static void a_window_moves_the_deadline(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    int64_t now = clock_now(), day = now - now % 86400;

    (void)state;
    assert_int_equal(rollout_window_opens("02:00-05:00", "{\"timezone\":\"UTC\"}", day + 3 * 3600),
                     day + 3 * 3600);
    assert_int_equal(rollout_window_opens("02:00-05:00", NULL, day + 3600), day + 2 * 3600);
    assert_int_equal(rollout_window_opens("02:00-05:00", NULL, day + 6 * 3600), day + 26 * 3600);
    assert_int_equal(rollout_window_opens("22:00-02:00", NULL, day + 3600), day + 3600);
    assert_int_equal(rollout_window_opens("02:00-05:00", "{\"timezone\":\"Asia/Tokyo\"}", day + 6 * 3600),
                     day + 17 * 3600);
    small_wait(small, day + 86400 + 12 * 3600 - now);
    plan.window = "18:00-19:00";
    int64_t id = create(&plan);
    small_wait(small, 6 * 3600 + 300);
    step();
    check_state(id, "running");
    small_wait(small, 310);
    step();
    check_state(id, "held");
}

static void a_window_that_closed_too_early_gives_way_to_the_next(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, 1);
    struct device *found[DEVICES];
    int64_t now = clock_now(), day = now - now % 86400;

    (void)state;
    small_wait(small, day + 86400 + 19 * 3600 - 60 - now);
    plan.window = "18:00-19:00";
    plan.shares = (const char *const[]){"100%"};
    plan.share_count = 1;
    int64_t id = create(&plan);
    small_wait(small, 540);
    assert_int_equal(moving(found), 1);
    say(found[0], "1.0.0", "downloaded", 1);
    step();
    small_wait(small, 70);
    say(found[0], "1.0.0", "downloaded", 1);
    step();
    assert_int_equal(number("state", id, "failed"), 0); /* it waits for tomorrow's */
    small_wait(small, 23 * 3600 - 300);
    say(found[0], "1.0.0", "downloaded", 1);
    step();
    assert_int_equal(number("state", id, "downloaded"), 1);
    small_wait(small, 900); /* not for another one */
    step();
    assert_int_equal(number("state", id, "failed"), 1);
}

static void who_waits_for_its_window_does_not_begin_after_an_abort(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, 2);
    struct device *found[DEVICES];
    int64_t now = clock_now(), day = now - now % 86400;

    (void)state;
    small_wait(small, day + 86400 + 12 * 3600 - now);
    plan.window = "18:00-19:00";
    plan.shares = (const char *const[]){"100%"};
    plan.share_count = 1;
    int64_t id = create(&plan);
    assert_int_equal(moving(found), 2);
    say(found[0], "1.0.0", "downloaded", 1);
    step();
    act(id, ROLLOUT_ABORT);
    check_state(id, "aborted");
    assert_int_equal(number("state", id, "skipped"), 2);
    assert_int_equal(moving(found), 0);
}

static void late_joiners_come_into_the_last_stage(void **state)
{
    ARENA(arena);
    struct rollout_plan plan = plan_of(&arena, DEVICES);

    (void)state;
    plan.filter = "product:demo";
    plan.late_joiners = true;
    int64_t id = create(&plan);
    small_device(small, "late-1", "", NULL);
    small->console.rollouts->joined_ms = 0;
    step();
    assert_int_equal(json_integer(shown(&arena, id), "devices", 0), 11);
    check_counts(id);
    assert_int_equal(number("state", id, "pending"), 10);
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
    struct rollout_plan plan = plan_of(&arena, DEVICES);
    struct error err = {0};
    int64_t count;

    (void)state;
    for (int i = 0; i < 12; i++) {
        char version[16];

        snprintf(version, sizeof version, "3.%d.0", i);
        small_publish(small, "model", version, NULL);
    }
    assert_ok(release_set(&small->console, "demo", "model", "3.11.0", "ada", &count, &err), err);
    all_take();
    DB_DONE(conn) = db_read(small->console.db, &err);
    struct db_query *query = db_query(conn, "SELECT listed FROM versions WHERE version = '1.1.0'");
    assert_true(db_step(query));
    assert_int_equal(db_integer(query, 0), 0);
    assert_ok(db_end(query, &err), err);
    db_done(conn);
    small_wait(small, 2);
    create(&plan);
    conn = db_read(small->console.db, &err);
    query = db_query(conn, "SELECT listed FROM versions WHERE version = '1.1.0'");
    assert_true(db_step(query));
    assert_int_equal(db_integer(query, 0), 1);
    assert_ok(db_end(query, &err), err);
    struct device *found[DEVICES];
    assert_int_equal(moving(found), 1);
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
#define ROLLOUT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, small_teardown)
        ROLLOUT_TEST(a_rollout_goes_through_its_stages_and_soaks),
        ROLLOUT_TEST(a_restart_at_every_state_changes_nothing),
        ROLLOUT_TEST(pausing_and_restarts_never_pick_others),
        ROLLOUT_TEST(failures_hold_the_rollout_and_say_the_figures),
        ROLLOUT_TEST(a_gate_may_roll_back_and_everybody_is_as_before),
        ROLLOUT_TEST(silence_is_a_failure_and_a_late_proof_amends_it),
        ROLLOUT_TEST(a_device_that_falls_back_in_its_soak_has_failed),
        ROLLOUT_TEST(an_applied_device_is_watched_until_the_rollout_is_over),
        ROLLOUT_TEST(a_soak_is_not_passed_in_silence),
        ROLLOUT_TEST(a_device_may_restart_in_its_soak),
        ROLLOUT_TEST(a_console_that_is_back_listens_before_it_judges),
        ROLLOUT_TEST(a_deadline_that_passed_while_the_console_was_gone_is_not_the_devices),
        ROLLOUT_TEST(a_console_that_stood_still_blames_no_device_in_its_soak),
        ROLLOUT_TEST(who_is_next_comes_often_and_after_short_stages_who_comes_then),
        ROLLOUT_TEST(who_cannot_take_it_is_skipped_with_the_reason),
        ROLLOUT_TEST(two_rollouts_of_an_asset_do_not_share_a_device),
        ROLLOUT_TEST(a_person_aborts_excludes_and_asks_again),
        ROLLOUT_TEST(a_failed_device_is_asked_again_after_its_back_off),
        ROLLOUT_TEST(what_the_device_tries_again_itself_is_no_failure),
        ROLLOUT_TEST(a_later_pin_or_release_supersedes),
        ROLLOUT_TEST(a_release_made_meanwhile_holds_for_those_whose_turn_comes_later),
        ROLLOUT_TEST(a_withdrawn_version_ends_its_rollout),
        ROLLOUT_TEST(nobody_who_failed_takes_it_after_an_abort),
        ROLLOUT_TEST(a_retired_device_is_no_failure),
        ROLLOUT_TEST(gates_of_success_and_time),
        ROLLOUT_TEST(it_starts_at_its_time_and_ends_at_its_end),
        ROLLOUT_TEST(a_window_moves_the_deadline),
        ROLLOUT_TEST(a_window_that_closed_too_early_gives_way_to_the_next),
        ROLLOUT_TEST(who_waits_for_its_window_does_not_begin_after_an_abort),
        ROLLOUT_TEST(late_joiners_come_into_the_last_stage),
        ROLLOUT_TEST(shares_rise_and_the_last_takes_the_rest),
        ROLLOUT_TEST(an_older_version_is_listed_before_an_order_names_it),
        ROLLOUT_TEST(the_states_are_those_that_the_document_draws),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

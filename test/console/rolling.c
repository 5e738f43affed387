#include "test/console/rolling.h"

#include "base/json.h"
#include "base/text.h"
#include "console/delivery/release.h"
#include "console/delivery/rollout_assignment.h"
#include "console/orders.h"

#include <stdio.h>
#include <string.h>

struct rolling rolling;

static void manifest_of(const char *version, char sha256[SHA256_HEX])
{
    ARENA(arena);
    struct manifest manifest;
    struct error err = {0};
    DB_DONE(conn) = db_read(rolling.small->console.db, &err);

    assert_ok(repo_manifest(rolling.small->console.repo, conn, &arena, "demo", "model", version, &manifest,
                            sha256, &err),
              err);
}

/* A device's check-in: it holds its newest order, runs `version`, and says more in `rest`. */
void rolling_say_app(struct device *device, const char *version, const char *state, int result,
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
    assert_ok(small_checkin(rolling.small, device, body, &answer, &err), err);
}

void rolling_say(struct device *device, const char *version, const char *state, int result)
{
    rolling_say_app(device, version, state, result, "", "running");
}

/* A step is bounded by time: on a slow machine it leaves some of its work for the next. */
void rolling_step(void)
{
    struct error err = {0};

    assert_ok(orders_step(&rolling.small->console, &err), err);
    for (int i = 0; i < ROLLING_DEVICES; i++)
        assert_ok(rollouts_step(&rolling.small->console, &err), err);
    assert_ok(orders_step(&rolling.small->console, &err), err);
}

/* "model" as the device's order names it. */
const char *rolling_ordered(struct arena *arena, const struct device *device)
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
void rolling_all_take(void)
{
    ARENA(arena);

    rolling_step();
    for (int i = 0; i < ROLLING_DEVICES; i++)
        rolling_say(rolling.devices[i], rolling_ordered(&arena, rolling.devices[i]), "idle", 1);
    rolling_step();
}

int rolling_setup(void **state)
{
    struct error err = {0};
    int64_t count;

    small_setup(state);
    rolling.small = *state;
    small_publish(rolling.small, "model", "1.0.0", NULL);
    small_publish(rolling.small, "model", "1.1.0", NULL);
    assert_ok(release_set(&rolling.small->console, "demo", "model", "1.0.0", "ada", &count, &err), err);
    for (int i = 0; i < ROLLING_DEVICES; i++) {
        char name[32];

        snprintf(name, sizeof name, "cam-%d", i + 1);
        rolling.devices[i] = small_device(rolling.small, name, "", NULL);
    }
    rolling_all_take();
    return 0;
}

/* As after kill -9: what was committed is there, memory is not. */
void rolling_restart(void)
{
    struct error err = {0};

    small_again(rolling.small);
    for (int i = 0; i < ROLLING_DEVICES; i++) {
        char name[32];

        snprintf(name, sizeof name, "cam-%d", i + 1);
        rolling.devices[i] = fleet_by_name(rolling.small->console.fleet, name);
    }
    rollouts_close(rolling.small->console.rollouts);
    rolling.small->console.rollouts = rollouts_open(&rolling.small->console, &err);
    assert_ok(rolling.small->console.rollouts, err);
}

/* --- plans
 * ------------------------------------------------------------------------------------------------------- */

static const char *const quarters[] = {"10%", "50%", "100%"};

struct rollout_plan rolling_plan(struct arena *arena, int count)
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
        plan.device_ids[i] = rolling.devices[i]->id;
    return plan;
}

int64_t rolling_create(const struct rollout_plan *plan)
{
    struct error err = {0};
    int64_t id;

    assert_ok(rollout_create(&rolling.small->console, plan, &id, &err), err);
    rolling_step();
    return id;
}

void rolling_act(int64_t id, enum rollout_verb verb)
{
    struct error err = {0};

    assert_ok(rollout_do(&rolling.small->console, id, verb, "because", NULL, "ada", &err), err);
    rolling_step();
}

/* --- looking
 * ------------------------------------------------------------------------------------------------------- */

int64_t rolling_number(const char *sql_for, int64_t id, const char *word)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(rolling.small->console.db, &err);
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
void rolling_check_counts(int64_t id)
{
    for (int i = 0; i < RA_STATES; i++) {
        const char *name = rollout_assignment_state_name((enum rollout_assignment_state)i);

        assert_int_equal(rolling_number("state", id, name), rolling_number("kept", id, name));
    }
}

const struct json *rolling_shown(struct arena *arena, int64_t id)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    DB_DONE(conn) = db_read(rolling.small->console.db, &err);

    json_write_init(&writer, &out);
    assert_ok(rollout_write(conn, id, &writer, &err), err);
    const struct json *json = json_read(arena, text_string(&out), out.size, &json_limits_small, &err);
    assert_ok(json, err);
    return json;
}

void rolling_check(int64_t id, const char *state)
{
    ARENA(arena);
    const struct json *rollout = rolling_shown(&arena, id);

    if (!string_is(json_string(rollout, "state"), state))
        fail_msg("rollout %lld is %s, not %s: %s", (long long)id, json_string(rollout, "state"), state,
                 json_string(json_get(rollout, "reason"), "text"));
    rolling_check_counts(id);
}

/* Whose order names 1.1.0 now. */
int rolling_moving(struct device **found)
{
    int count = 0;

    for (int i = 0; i < ROLLING_DEVICES; i++) {
        ARENA(arena);

        if (string_is(rolling_ordered(&arena, rolling.devices[i]), "1.1.0"))
            found[count++] = rolling.devices[i];
    }
    return count;
}

void rolling_prove_all(void)
{
    struct device *found[ROLLING_DEVICES];

    for (int i = 0, count = rolling_moving(found); i < count; i++)
        rolling_say(found[i], "1.1.0", "idle", 1);
    rolling_step();
}

/* Time goes by, and every device is heard from. */
void rolling_soak(int64_t seconds)
{
    ARENA(arena);

    small_wait(rolling.small, seconds);
    for (int i = 0; i < ROLLING_DEVICES; i++)
        rolling_say(rolling.devices[i], rolling_ordered(&arena, rolling.devices[i]), "idle", 1);
    rolling_step();
}

/* Devices in memory: sessions, connectivity, intervals, what survives. */
#include "test/console/small.h"

#include "agent/protocol.h"
#include "base/clock.h"
#include "base/text.h"
#include "console/fleet_parts.h"

#include <stdio.h>
#include <string.h>

static const char quiet[] =
    "{\"boot_id\":\"a\",\"generation\":3,\"set\":\"\",\"order_seq\":0,\"metadata\":{},"
    "\"assets\":{\"model\":{\"version\":\"1.0.0\",\"sha256\":null,\"state\":\"idle\",\"result\":1}},"
    "\"facts\":{\"agent\":\"1\"}}";

static bool open_with(struct small *small, const struct private_key *key, const char *nonce, int64_t counter,
                      struct session_opened *opened, struct error *err)
{
    char said[300], hex[2 * SIGNATURE_SIZE + 1];
    uint8_t signature[SIGNATURE_SIZE];
    int size = snprintf(said, sizeof said, SESSION_SIGNED_PREFIX "%s\n%s\n%lld\n", key->public.id, nonce,
                        (long long)counter);

    private_key_sign(key, said, (size_t)size, signature);
    hex_encode(hex, signature, sizeof signature);
    return fleet_session_open(small->console.fleet, key->public.id, nonce, counter, hex, opened, err);
}

static bool check(struct small *small, const char *token, struct error *err)
{
    ARENA(arena);
    int64_t id;
    const char *name;

    return fleet_session_check(&small->console, token, &id, &name, &arena, err);
}

static void a_session_lives_for_its_time_and_no_other_token_fits(void **state)
{
    struct small *small = *state;
    struct private_key key;
    struct session_opened opened, next;
    char nonce[SHA256_HEX];
    struct error err;

    small_device(small, "cam-1", "", &key);
    fleet_nonce(small->console.fleet, key.public.id, nonce);
    assert_ok(open_with(small, &key, nonce, 1, &opened, &err), err);
    assert_ok(check(small, opened.token, &err), err);
    assert_refused(check(small, NULL, &err), err, ERROR_DENIED);
    assert_refused(check(small, "", &err), err, ERROR_DENIED);
    assert_refused(check(small, "1.", &err), err, ERROR_DENIED);
    assert_refused(check(small, "99999999999999999999999.0", &err), err, ERROR_DENIED);
    opened.token[strlen(opened.token) - 1] ^= 1;
    assert_refused(check(small, opened.token, &err), err, ERROR_DENIED);
    opened.token[strlen(opened.token) - 1] ^= 1;
    small_wait(small, 3601);
    assert_refused(check(small, opened.token, &err), err, ERROR_DENIED);
    fleet_nonce(small->console.fleet, key.public.id, nonce);
    assert_ok(open_with(small, &key, nonce, 2, &next, &err), err);
    assert_refused(check(small, opened.token, &err), err, ERROR_DENIED);
    assert_ok(check(small, next.token, &err), err);
}

static void a_nonce_is_ours_fresh_and_for_one_key(void **state)
{
    struct small *small = *state;
    struct private_key key, other;
    struct session_opened opened;
    char nonce[SHA256_HEX];
    struct error err;

    small_device(small, "cam-1", "", &key);
    small_device(small, "cam-2", "", &other);
    fleet_nonce(small->console.fleet, other.public.id, nonce);
    assert_refused(open_with(small, &key, nonce, 1, &opened, &err), err, ERROR_DENIED);
    fleet_nonce(small->console.fleet, key.public.id, nonce);
    small_wait(small, 61);
    assert_refused(open_with(small, &key, nonce, 1, &opened, &err), err, ERROR_DENIED);
    memset(nonce, '0', 64);
    assert_refused(open_with(small, &key, nonce, 1, &opened, &err), err, ERROR_DENIED);
    assert_refused(open_with(small, &key, "short", 1, &opened, &err), err, ERROR_INPUT);
}

static void a_counter_that_goes_back_means_a_clone_but_not_a_repeated_request(void **state)
{
    struct small *small = *state;
    struct private_key key;
    struct session_opened opened;
    char nonce[SHA256_HEX];
    struct error err;
    struct device *device = small_device(small, "cam-1", "", &key);

    fleet_nonce(small->console.fleet, key.public.id, nonce);
    assert_ok(open_with(small, &key, nonce, 7, &opened, &err), err);
    assert_ok(open_with(small, &key, nonce, 7, &opened, &err), err);
    assert_false(opened.clone_found || device->clone_suspected);
    fleet_nonce(small->console.fleet, key.public.id, nonce);
    assert_ok(open_with(small, &key, nonce, 7, &opened, &err), err);
    assert_true(opened.clone_found && device->clone_suspected);
    assert_ok(check(small, opened.token, &err), err);
    assert_ok(open_with(small, &key, nonce, 6, &opened, &err), err);
    assert_false(opened.clone_found); /* told once */
}

static void connectivity_follows_missed_check_ins(void **state)
{
    struct small *small = *state;
    struct fleet *fleet = small->console.fleet;
    struct device *device = small_device(small, "cam-1", "", NULL);
    struct error err = {0};
    TEXT(answer);
    static const struct {
        int64_t after;
        enum connectivity is;
    } steps[] = {{0, ONLINE}, {15, ONLINE}, {16, LATE}, {35, LATE}, {36, OFFLINE}};

    assert_int_equal(device_connectivity(fleet, device, clock_now()), NEVER_SEEN);
    assert_ok(small_checkin(small, device, quiet, &answer, &err), err);
    assert_int_equal(device->poll_s, 5);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        assert_int_equal(device_connectivity(fleet, device, device->last_seen + steps[i].after), steps[i].is);
}

static void the_consoles_own_absence_is_not_the_devices_silence(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    struct error err = {0};
    TEXT(answer);

    assert_ok(small_checkin(small, device, quiet, &answer, &err), err);
    assert_ok(fleet_flush(&small->console, &err), err);
    small_wait(small, 3600);
    small_again(small);
    device = fleet_by_name(small->console.fleet, "cam-1");
    assert_int_equal(device_connectivity(small->console.fleet, device, clock_now()), ONLINE);
    assert_int_equal(device_connectivity(small->console.fleet, device, clock_now() + 60), OFFLINE);
}

static void any_request_ends_a_silence(void **state)
{
    struct small *small = *state;
    struct private_key key;
    struct device *device = small_device(small, "cam-1", "", &key);
    struct session_opened opened;
    char nonce[SHA256_HEX];
    struct error err = {0};
    TEXT(answer);

    fleet_nonce(small->console.fleet, key.public.id, nonce);
    assert_ok(open_with(small, &key, nonce, 1, &opened, &err), err);
    assert_ok(small_checkin(small, device, quiet, &answer, &err), err);
    small_wait(small, 100);
    assert_int_equal(device_connectivity(small->console.fleet, device, clock_now()), OFFLINE);
    assert_ok(check(small, opened.token, &err), err);
    assert_int_equal(device_connectivity(small->console.fleet, device, clock_now()), ONLINE);
    small_wait(small, 100);
    assert_int_equal(device_connectivity(small->console.fleet, device, clock_now()), OFFLINE);
    err = (struct error){0};
    assert_false(check(small, "1.nonsense", &err)); /* not one of somebody else */
    assert_int_equal(device_connectivity(small->console.fleet, device, clock_now()), OFFLINE);
}

/* As if machine or process had stood still for so long. */
static void stand_still(struct small *small, int64_t seconds)
{
    struct fleet *fleet = small->console.fleet;

    fleet_keep_watch(fleet);
    fleet->watch_ms -= seconds * 1000;
    small_wait(small, seconds);
    fleet_keep_watch(fleet);
}

static void a_console_that_stood_still_has_not_missed_its_devices(void **state)
{
    struct small *small = *state;
    struct fleet *fleet = small->console.fleet;
    struct device *device = small_device(small, "cam-1", "", NULL);
    struct device *other = small_device(small, "cam-2", "", NULL);
    struct error err = {0};
    TEXT(answer);

    assert_ok(small_checkin(small, device, quiet, &answer, &err), err);
    small_wait(small, 12);
    fleet_keep_watch(fleet);
    stand_still(small, 3600);
    assert_in_range(device_silence(fleet, device, clock_now()), 12, 14);
    assert_in_range(device_silence(fleet, other, clock_now()), 12, 14); /* since it enrolled */
    assert_int_equal(device_connectivity(fleet, device, clock_now()), ONLINE);
    small_wait(small, 60); /* who stays silent while the console listens is silent */
    fleet_keep_watch(fleet);
    assert_in_range(device_silence(fleet, device, clock_now()), 72, 76);
    assert_int_equal(device_connectivity(fleet, device, clock_now()), OFFLINE);
    stand_still(small, 600); /* and is not heard by our standing still again */
    assert_in_range(device_silence(fleet, device, clock_now()), 72, 76);
    assert_ok(small_checkin(small, device, quiet, &answer, &err), err);
    assert_in_range(device_silence(fleet, device, clock_now()), 0, 2);
}

static void what_a_device_said_is_there_after_a_restart(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    struct error err = {0};
    TEXT(answer);

    assert_ok(small_checkin(small, device, quiet, &answer, &err), err);
    int64_t seen = device->last_seen;
    small_again(small);
    device = fleet_by_name(small->console.fleet, "cam-1");
    assert_int_equal(device->last_seen, seen);
    assert_int_equal(device->generation, 3);
    assert_int_equal(device->running_count, 1);
    assert_string_equal(device->running[0].version, "1.0.0");
    assert_string_equal(device->facts, "{\"agent\":\"1\"}");
}

static void a_check_in_that_says_nothing_new_writes_nothing_but_its_time(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    struct error err = {0};
    TEXT(answer);

    assert_ok(small_checkin(small, device, quiet, &answer, &err), err);
    assert_true(device->report_dirty);
    assert_ok(fleet_flush(&small->console, &err), err);
    assert_false(device->report_dirty || device->seen_dirty);
    assert_ok(small_checkin(small, device, quiet, &answer, &err), err);
    assert_true(device->seen_dirty && !device->report_dirty);
}

static void the_interval_grows_with_the_fleet_and_shrinks_with_work(void **state)
{
    struct small *small = *state;
    struct fleet *fleet = small->console.fleet;
    struct device *device = small_device(small, "cam-1", "", NULL);

    assert_int_equal(fleet_idle_interval(0), 5);
    assert_int_equal(fleet_idle_interval(500), 10);
    assert_int_equal(fleet_idle_interval(100000), 60);
    assert_int_equal(fleet_poll_interval(fleet, device, 0), 5);
    assert_int_equal(fleet_poll_interval(fleet, device, 1), 2);
    fleet->active = 501;
    assert_int_equal(fleet_poll_interval(fleet, device, 1), 10);
    device->work_from = clock_now() + 3600;
    assert_int_equal(fleet_poll_interval(fleet, device, 0), 10);
    device->work_from = clock_now() - 1;
    assert_int_equal(fleet_poll_interval(fleet, device, 0), 1);
}

static void who_is_looked_at_comes_often_in_a_large_fleet_but_not_all_of_it(void **state)
{
    struct small *small = *state;
    struct fleet *fleet = small->console.fleet;
    size_t count, often = 0;

    small_many(small, 100);
    fleet->active = 100000;
    struct device *const *all = fleet_all(fleet, &count);
    assert_int_equal(fleet_poll_interval(fleet, all[0], 1), 60);
    for (size_t i = 0; i < count; i++) {
        fleet_look(fleet, all[i]);
        fleet_look(fleet, all[i]);
        assert_int_equal(fleet_poll_interval(fleet, all[i], 0), 2);
    }
    for (size_t i = 0; i < count; i++)
        often += fleet_poll_interval(fleet, all[i], 0) == 2;
    assert_int_equal(often, 64);
    small_wait(small, 301);
    assert_int_equal(fleet_poll_interval(fleet, all[count - 1], 0), 60);
    fleet_look(fleet, all[count - 1]);
    assert_int_equal(fleet_poll_interval(fleet, all[count - 1], 0), 2);
}

static void devices_are_found_by_name_id_and_key_however_they_came(void **state)
{
    struct small *small = *state;
    struct fleet *fleet = small->console.fleet;
    char name[32];
    size_t count;

    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "d%03d", i * 73 % 200);
        small_device(small, name, "", NULL);
    }
    struct device *const *all = fleet_all(fleet, &count);
    assert_int_equal(count, 200);
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "d%03zu", i);
        assert_string_equal(all[i]->name, name);
        assert_ptr_equal(fleet_by_name(fleet, name), all[i]);
        assert_ptr_equal(fleet_by_id(fleet, all[i]->id), all[i]);
        assert_ptr_equal(fleet_by_key(fleet, all[i]->key.id), all[i]);
    }
    assert_null(fleet_by_name(fleet, "d200"));
    assert_null(fleet_by_id(fleet, 0));
    assert_null(fleet_by_id(fleet, -1));
    assert_null(fleet_by_id(fleet, INT64_MAX));
    assert_null(fleet_by_key(fleet, ""));
}

static int64_t seen_rows(struct small *small)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(small->console.db, &err);
    struct db_query *query = db_query(conn, "SELECT count(*) FROM device_seen WHERE last_seen = 77");

    assert_true(db_step(query));
    int64_t rows = db_integer(query, 0);
    assert_ok(db_end(query, &err), err);
    return rows;
}

static void many_devices_are_written_in_slices_and_at_the_end_at_once(void **state)
{
    struct small *small = *state;
    struct fleet *fleet = small->console.fleet;
    struct error err = {0};
    size_t count;

    small_many(small, 2500);
    struct device *const *all = fleet_all(fleet, &count);
    for (size_t i = 0; i < count; i++) {
        all[i]->last_seen = 77;
        all[i]->seen_dirty = true;
    }
    assert_ok(fleet_flush_step(&small->console, &err), err);
    assert_true(small->console.step_has_more);
    assert_int_equal(seen_rows(small), 1000);
    assert_ok(fleet_flush_step(&small->console, &err), err);
    assert_int_equal(seen_rows(small), 2000);
    all[0]->seen_dirty = true; /* of a device that was passed: the next time */
    assert_ok(fleet_flush_step(&small->console, &err), err);
    assert_false(small->console.step_has_more);
    assert_int_equal(seen_rows(small), 2500);
    assert_true(all[0]->seen_dirty);
    for (size_t i = 0; i < count; i++) {
        all[i]->last_seen = 78;
        all[i]->seen_dirty = true;
    }
    assert_ok(fleet_flush(&small->console, &err), err);
    assert_int_equal(seen_rows(small), 0);
    assert_false(all[0]->seen_dirty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)
        SMALL_TEST(a_session_lives_for_its_time_and_no_other_token_fits),
        SMALL_TEST(a_nonce_is_ours_fresh_and_for_one_key),
        SMALL_TEST(a_counter_that_goes_back_means_a_clone_but_not_a_repeated_request),
        SMALL_TEST(connectivity_follows_missed_check_ins),
        SMALL_TEST(the_consoles_own_absence_is_not_the_devices_silence),
        SMALL_TEST(any_request_ends_a_silence),
        SMALL_TEST(a_console_that_stood_still_has_not_missed_its_devices),
        SMALL_TEST(what_a_device_said_is_there_after_a_restart),
        SMALL_TEST(a_check_in_that_says_nothing_new_writes_nothing_but_its_time),
        SMALL_TEST(the_interval_grows_with_the_fleet_and_shrinks_with_work),
        SMALL_TEST(who_is_looked_at_comes_often_in_a_large_fleet_but_not_all_of_it),
        SMALL_TEST(devices_are_found_by_name_id_and_key_however_they_came),
        SMALL_TEST(many_devices_are_written_in_slices_and_at_the_end_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

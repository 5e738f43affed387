/* Groups: who is in them, by name and by filter, as devices change. */
#include "test/console/small.h"

#include "base/json.h"
#include "base/text.h"
#include "console/delivery/group.h"
#include "console/delivery/group_parts.h"
#include "console/delivery/release.h"
#include "console/devices.h"
#include "console/filter.h"

#include <stdio.h>
#include <string.h>

static bool make(struct small *small, const char *name, const char *filter, const char *devices,
                 struct error *err)
{
    ARENA(arena);
    struct group_wish wish = {.filter = filter, .expect_count = -1};

    if (devices)
        wish.devices = json_read(&arena, devices, strlen(devices), &json_limits_small, err);
    return group_create(&small->console, name, &wish, "ada", err);
}

/* The names that the database has, and that the filter's field `group` finds in memory: they must agree. */
static const char *members(struct small *small, struct arena *arena, const char *name)
{
    struct error err = {0};
    struct group group;
    int64_t *ids, *found;
    size_t count, found_count;
    const char *names = "";
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(group_find(conn, arena, name, &group, &err), err);
    assert_ok(group_members(conn, arena, group.id, &ids, &count, &err), err);
    const struct filter *filter = filter_compile(arena, arena_printf(arena, "group:%s", name), &err);
    assert_ok(filter, err);
    found = filter_choose(filter, small->console.fleet, arena, false, &found_count);
    assert_int_equal(found_count, count);
    fleet_lock(small->console.fleet);
    for (size_t i = 0; i < count; i++) {
        bool both = false;
        for (size_t k = 0; k < found_count; k++)
            both |= found[k] == ids[i];
        assert_true(both);
        names = arena_printf(arena, "%s%s%s", names, i ? " " : "",
                             fleet_by_id(small->console.fleet, ids[i])->name);
    }
    fleet_unlock(small->console.fleet);
    return names;
}

static void tag(struct small *small, const char *name, const char *tags)
{
    struct error err = {0};
    ARENA(arena);

    assert_ok(device_set_tags(&small->console, name,
                              json_read(&arena, tags, strlen(tags), &json_limits_small, &err), "ada", &err),
              err);
}

static void step(struct small *small)
{
    struct error err = {0};

    assert_ok(group_step(&small->console, &err), err);
}

static void three(struct small *small)
{
    small_device(small, "cam-1", "rev-a", NULL);
    small_device(small, "cam-2", "rev-b", NULL);
    small_device(small, "cam-3", "", NULL);
}

static void a_fixed_group_has_who_was_named_also_after_a_restart(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    ARENA(arena);

    three(small);
    assert_ok(make(small, "lab", NULL, "[\"cam-3\",\"cam-1\",\"cam-1\"]", &err), err);
    assert_string_equal(members(small, &arena, "lab"), "cam-1 cam-3");
    step(small);
    small_again(small);
    step(small);
    assert_string_equal(members(small, &arena, "lab"), "cam-1 cam-3");
}

static void a_group_by_filter_follows_its_devices(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    ARENA(arena);

    three(small);
    assert_ok(make(small, "field", "tag:field -hardware:rev-b", NULL, &err), err);
    assert_string_equal(members(small, &arena, "field"), "");
    tag(small, "cam-1", "[\"field\"]");
    tag(small, "cam-2", "[\"field\"]");
    step(small);
    assert_string_equal(members(small, &arena, "field"), "cam-1");
    small_again(small);
    tag(small, "cam-3", "[\"field\",\"x\"]");
    tag(small, "cam-1", "[]");
    step(small);
    assert_string_equal(members(small, &arena, "field"), "cam-3");
    small_device(small, "cam-4", "", NULL);
    tag(small, "cam-4", "[\"field\"]");
    step(small);
    assert_string_equal(members(small, &arena, "field"), "cam-3 cam-4");
    assert_ok(device_admit(&small->console, "cam-3", ADMISSION_REJECTED, "ada", &err), err);
    step(small);
    assert_string_equal(members(small, &arena, "field"), "cam-4");
    assert_int_equal(fleet_by_name(small->console.fleet, "cam-3")->group_count, 0);
}

/* "devices" of the group as pages see it. */
static int64_t counted(struct small *small, const char *name)
{
    struct error err = {0};
    struct json_writer writer;
    ARENA(arena);
    TEXT(out);
    DB_DONE(conn) = db_read(small->console.db, &err);

    json_write_init(&writer, &out);
    assert_ok(group_write(&small->console, conn, name, true, &writer, &err), err);
    json_write_end(&writer, '}');
    const struct json *group = json_read(&arena, text_string(&out), out.size, &json_limits_small, &err);
    assert_ok(group, err);
    assert_int_equal(json_get(group, "members")->size, json_integer(group, "devices", -1));
    return json_integer(group, "devices", -1);
}

static void the_count_of_a_group_is_kept_whoever_comes_and_goes(void **state)
{
    struct small *small = *state;
    struct error err = {0};

    three(small);
    assert_ok(make(small, "lab", NULL, "[\"cam-1\",\"cam-2\"]", &err), err);
    assert_ok(make(small, "field", "tag:field", NULL, &err), err);
    assert_int_equal(counted(small, "lab"), 2);
    assert_ok(device_admit(&small->console, "cam-1", ADMISSION_REJECTED, "ada", &err), err);
    assert_int_equal(counted(small, "lab"), 1);
    small_again(small);
    assert_int_equal(counted(small, "lab"), 1);
    assert_ok(device_admit(&small->console, "cam-1", ADMISSION_ACCEPTED, "ada", &err), err);
    assert_int_equal(counted(small, "lab"), 2);
    tag(small, "cam-2", "[\"field\"]");
    step(small);
    assert_int_equal(counted(small, "field"), 1);
    assert_ok(device_admit(&small->console, "cam-2", ADMISSION_RETIRED, "ada", &err), err);
    assert_int_equal(counted(small, "field"), 0);
    step(small);
    assert_int_equal(counted(small, "field"), 0);
    assert_int_equal(counted(small, "lab"), 1);
}

static void a_device_is_in_many_groups_and_none_is_a_word_of_its_own(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    const char **names;
    size_t count;
    ARENA(arena);

    three(small);
    assert_ok(make(small, "b", NULL, "[\"cam-1\"]", &err), err);
    assert_ok(make(small, "a", "name:cam-1 or name:cam-2", NULL, &err), err);
    DB_DONE(conn) = db_read(small->console.db, &err);
    int64_t id = fleet_by_name(small->console.fleet, "cam-1")->id;
    assert_ok(group_names_of(conn, &arena, id, &names, &count, &err), err);
    assert_int_equal(count, 2);
    assert_string_equal(names[0], "a");
    assert_string_equal(names[1], "b");
    int64_t *ids = filter_choose(filter_compile(&arena, "group:none", &err), small->console.fleet, &arena,
                                 false, &count);
    assert_int_equal(count, 1);
    assert_string_equal(fleet_by_id(small->console.fleet, ids[0])->name, "cam-3");
    assert_refused(make(small, "none", "tag:x", NULL, &err), err, ERROR_INPUT);
}

static void what_makes_no_group_is_refused_and_leaves_none(void **state)
{
    struct small *small = *state;
    struct group group;
    struct error err;
    ARENA(arena);

    three(small);
    assert_refused(make(small, "lab", "group:other", NULL, &err), err, ERROR_INPUT);
    assert_refused(make(small, "lab", "-(tag:a or group:b)", NULL, &err), err, ERROR_INPUT);
    assert_refused(make(small, "lab", "tag:", NULL, &err), err, ERROR_INPUT);
    assert_refused(make(small, "lab", NULL, "[\"cam-1\",\"cam-9\"]", &err), err, ERROR_MISSING);
    assert_refused(make(small, "lab", NULL, "[1]", &err), err, ERROR_INPUT);
    assert_refused(make(small, "lab", "tag:a", "[\"cam-1\"]", &err), err, ERROR_INPUT);
    assert_refused(make(small, "lab", NULL, NULL, &err), err, ERROR_INPUT);
    assert_refused(make(small, "La b", "tag:a", NULL, &err), err, ERROR_INPUT);
    struct group_wish wish = {.filter = "", .expect_count = 2};
    assert_refused(group_create(&small->console, "lab", &wish, "ada", &err), err, ERROR_CONFLICT);
    DB_DONE(conn) = db_read(small->console.db, &err);
    assert_refused(group_find(conn, &arena, "lab", &group, &err), err, ERROR_MISSING);
    err = (struct error){0};
    wish.expect_count = 3;
    assert_ok(group_create(&small->console, "lab", &wish, "ada", &err), err);
    assert_refused(group_create(&small->console, "lab", &wish, "ada", &err), err, ERROR_CONFLICT);
}

static void a_change_says_before_what_it_would_do(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    struct json_writer writer;
    ARENA(arena);
    TEXT(out);

    three(small);
    assert_ok(make(small, "lab", NULL, "[\"cam-1\",\"cam-2\"]", &err), err);
    int64_t ids[] = {fleet_by_name(small->console.fleet, "cam-3")->id,
                     fleet_by_name(small->console.fleet, "cam-2")->id};
    struct db_conn *conn = db_read(small->console.db, &err);
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    assert_ok(group_write_difference(&small->console, conn, "lab", ids, 2, &writer, &err), err);
    json_write_end(&writer, '}');
    db_done(conn);
    assert_string_equal(text_string(&out), "{\"added\":{\"samples\":[\"cam-3\"],\"count\":1},"
                                           "\"removed\":{\"samples\":[\"cam-1\"],\"count\":1}}");
    struct group_wish wish = {.filter = "-hardware:rev-a", .expect_count = 2};
    assert_ok(group_change(&small->console, "lab", &wish, "ada", &err), err);
    assert_string_equal(members(small, &arena, "lab"), "cam-2 cam-3");
    wish = (struct group_wish){.devices = json_read(&arena, "[]", 2, &json_limits_small, &err),
                               .expect_count = -1};
    assert_ok(group_change(&small->console, "lab", &wish, "ada", &err), err);
    assert_string_equal(members(small, &arena, "lab"), "");
}

/* Thought over by hand, so that a mark that comes later is seen. */
static void settle(struct small *small)
{
    size_t count;

    fleet_lock(small->console.fleet);
    struct device *const *devices = fleet_all(small->console.fleet, &count);
    for (size_t i = 0; i < count; i++)
        devices[i]->wish_stale = false;
    fleet_unlock(small->console.fleet);
}

static void who_joins_a_group_with_a_release_is_thought_over(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    struct released released;

    three(small);
    small_publish(small, "model", "1.0.0", NULL);
    assert_ok(make(small, "field", "tag:field", NULL, &err), err);
    assert_ok(make(small, "quiet", "tag:quiet", NULL, &err), err);
    struct release_request asked = {"demo", "model", "1.0.0", .group = "field", .operator_name = "ada"};
    assert_ok(release_make(&small->console, &asked, &released, &err), err);
    assert_int_equal(released.devices, 0);
    settle(small);
    tag(small, "cam-1", "[\"field\"]");
    tag(small, "cam-2", "[\"quiet\"]");
    step(small);
    assert_true(fleet_by_name(small->console.fleet, "cam-1")->wish_stale);
    assert_false(fleet_by_name(small->console.fleet, "cam-2")->wish_stale);
    assert_false(fleet_by_name(small->console.fleet, "cam-3")->wish_stale);
    settle(small);
    tag(small, "cam-1", "[]");
    step(small);
    assert_true(fleet_by_name(small->console.fleet, "cam-1")->wish_stale);
}

static void a_group_under_a_release_is_deleted_by_force_alone(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    struct released released;
    struct group group;
    ARENA(arena);

    three(small);
    small_publish(small, "model", "1.0.0", NULL);
    assert_ok(make(small, "lab", NULL, "[\"cam-1\"]", &err), err);
    struct release_request asked = {"demo", "model", "1.0.0", .group = "lab", .operator_name = "ada"};
    assert_ok(release_make(&small->console, &asked, &released, &err), err);
    assert_int_equal(released.devices, 1);
    struct group_wish weather = {.filter = "connectivity:online", .expect_count = -1};
    assert_refused(group_change(&small->console, "lab", &weather, "ada", &err), err, ERROR_INPUT);
    assert_refused(group_delete(&small->console, "lab", false, "ada", &err), err, ERROR_CONFLICT);
    settle(small);
    err = (struct error){0};
    assert_ok(group_delete(&small->console, "lab", true, "ada", &err), err);
    assert_true(fleet_by_name(small->console.fleet, "cam-1")->wish_stale);
    assert_false(fleet_by_name(small->console.fleet, "cam-2")->wish_stale);
    assert_int_equal(fleet_by_name(small->console.fleet, "cam-1")->group_count, 0);
    DB_DONE(conn) = db_read(small->console.db, &err);
    assert_refused(group_find(conn, &arena, "lab", &group, &err), err, ERROR_MISSING);
    assert_false(release_wanted(&small->console, "demo", "model", "1.0.0"));
}

static void many_who_match_at_once_join_step_by_step_without_a_rest_in_between(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    int steps = 0;

    assert_ok(make(small, "all", "product:demo", NULL, &err), err);
    small_many(small, 1100);
    do {
        small->console.step_has_more = false;
        step(small);
        steps++;
    } while (small->console.step_has_more);
    assert_int_equal(steps, 3);
    assert_int_equal(fleet_group_find(small->console.fleet, "all")->devices, 1100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)
        SMALL_TEST(a_fixed_group_has_who_was_named_also_after_a_restart),
        SMALL_TEST(a_group_by_filter_follows_its_devices),
        SMALL_TEST(the_count_of_a_group_is_kept_whoever_comes_and_goes),
        SMALL_TEST(a_device_is_in_many_groups_and_none_is_a_word_of_its_own),
        SMALL_TEST(what_makes_no_group_is_refused_and_leaves_none),
        SMALL_TEST(a_change_says_before_what_it_would_do),
        SMALL_TEST(who_joins_a_group_with_a_release_is_thought_over),
        SMALL_TEST(a_group_under_a_release_is_deleted_by_force_alone),
        SMALL_TEST(many_who_match_at_once_join_step_by_step_without_a_rest_in_between),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What is kept between two starts: the verified wish, the floors; and what a check-in says and understands.
 */
#include "agent/wish.h"

#include "agent/checkin.h"
#include "agent/floors.h"
#include "agent/state.h"
#include "base/file.h"
#include "test/agent/disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void a_wish_comes_back_as_it_was_kept(void **state)
{
    (void)state;
    DISK(disk);
    struct error err = {0};
    static const char *collect[] = {"proc", NULL};
    const struct json *limits = json_read(&disk.arena, "{\"max_runtime_s\":5}", 19, &json_limits_small, &err);
    struct wish_version set[] = {
        {.entry = {"detector", "1.0.0", ""}, .length = 12, .counter = 3, .kind = KIND_MODEL},
        {.entry = {"labels", "2.0.0", ""}, .refused = "not listed"}};
    struct wish_run run = {.order = {.id = "0123456789abcdef0123456789abcdef",
                                     .campaign = 7,
                                     .run = 2,
                                     .image = "raw",
                                     .version = "1.0.0",
                                     .mode = "replace",
                                     .duration_s = 30,
                                     .start_after = 1,
                                     .start_before = 2,
                                     .not_after = 3,
                                     .max_output = 4096,
                                     .collect = collect},
                           .image = {.entry = {"raw", "1.0.0", ""}, .kind = KIND_DIAGNOSTIC, .length = 9},
                           .limits = limits};
    struct wish wish = {.seq = 9, .issued = 8, .set = set, .set_count = 2, .runs = &run, .run_count = 1},
                back;

    memset(set[0].entry.manifest, 'a', SHA256_HEX - 1);
    memset(run.image.entry.manifest, 'b', SHA256_HEX - 1);
    assert_ok(wish_save(disk.fd, &wish, &err), err);
    assert_ok(wish_load(&disk.arena, disk.fd, &back, &err), err);
    assert_int_equal(back.seq, 9);
    assert_int_equal(back.set_count, 2);
    assert_string_equal(back.set[0].entry.manifest, set[0].entry.manifest);
    assert_int_equal(back.set[0].counter, 3);
    assert_string_equal(back.set[1].refused, "not listed");
    const struct wish_run *found = wish_run_find(&back, run.order.id);
    assert_non_null(found);
    assert_string_equal(found->order.image, "raw");
    assert_string_equal(found->order.collect[0], "proc");
    assert_int_equal(json_integer(found->limits, "max_runtime_s", 0), 5);
    assert_null(wish_run_find(&back, "ffffffffffffffffffffffffffffffff"));
}

static void when_and_how_a_version_is_taken_up_comes_back(void **state)
{
    (void)state;
    DISK(disk);
    struct error err = {0};
    static const char *redact[] = {"pass(word)?=[^ ]+", NULL};
    struct wish_version set[] = {
        {.entry = {"a", "1.0.0", "", {.after = 7, .window = "22:00-04:30", .rate = 1000}},
         .refused = "not listed"},
        {.entry = {"b", "1.0.0", "", {.on_start = true}}, .refused = "not listed", .accepted_start = 12}};
    struct wish_run run = {
        .order = {.id = "0123456789abcdef0123456789abcdef", .mode = "replace", .redact = redact},
        .image = {.entry = {"raw", "1.0.0", ""}, .kind = KIND_DIAGNOSTIC, .refused = "no"}};
    struct wish wish = {.set = set, .set_count = 2, .runs = &run, .run_count = 1}, back;

    assert_ok(wish_save(disk.fd, &wish, &err), err);
    assert_ok(wish_load(&disk.arena, disk.fd, &back, &err), err);
    assert_int_equal(back.set[0].entry.apply.after, 7);
    assert_int_equal(back.set[0].entry.apply.rate, 1000);
    assert_string_equal(back.set[0].entry.apply.window, "22:00-04:30");
    assert_false(back.set[0].entry.apply.on_start);
    assert_true(back.set[1].entry.apply.on_start);
    assert_int_equal(back.set[1].accepted_start, 12);
    assert_string_equal(back.runs[0].order.redact[0], redact[0]);
    assert_null(back.runs[0].order.redact[1]);
}

static void what_waits_for_a_start_is_not_put_off_by_being_said_again(void **state)
{
    (void)state;
    struct wish_version first = {.entry = {"a", "1.0.0", "x", {.on_start = true}}};
    struct wish before = {.set = &first, .set_count = 1};
    struct wish_version again = first, other = {.entry = {"a", "1.1.0", "y", {.on_start = true}}};
    struct wish same = {.set = &again, .set_count = 1}, newer = {.set = &other, .set_count = 1};

    wish_accept(&before, NULL, 5);
    assert_int_equal(first.accepted_start, 5);
    wish_accept(&same, &before, 6);
    assert_int_equal(again.accepted_start, 5);
    wish_accept(&newer, &before, 6);
    assert_int_equal(other.accepted_start, 6);
}

static void a_damaged_wish_is_said_and_not_half_believed(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "{", "{\"seq\":1}",
                                        "{\"seq\":1,\"issued\":1,\"set\":[{\"asset\":\"../x\"}],\"runs\":[]}",
                                        "{\"seq\":1,\"issued\":1,\"set\":[{\"asset\":\"x\",\"version\":\"1.0."
                                        "0\",\"manifest\":\"zz\",\"length\":1,"
                                        "\"counter\":0,\"kind\":\"model\",\"refused\":null}],\"runs\":[]}"};
    DISK(disk);

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct error err = {0};
        struct wish wish;
        assert_ok(file_write(disk.fd, STATE_WISH, wrong[i], strlen(wrong[i]), 0600, &err), err);
        assert_false(wish_load(&disk.arena, disk.fd, &wish, &err));
        assert_int_not_equal(err.kind, ERROR_MISSING);
    }
}

static void floors_only_rise_and_come_back(void **state)
{
    (void)state;
    DISK(disk);
    struct floors floors, back;
    struct error err = {0};

    assert_ok(floors_load(&floors, disk.fd, &err), err);
    assert_int_equal(floors_counter(&floors, "detector"), 0);
    floors_raise(&floors, "detector", 5);
    floors_raise(&floors, "detector", 3);
    floors_raise(&floors, "labels", 1);
    floors.clock = 1795230000;
    floors.generation = 4;
    floors.factory = 2;
    strcpy(floors.safe, "no set runs");
    strcpy(floors.well, "d3");
    floors_mark_bad(&floors, "d1", "the app said no");
    assert_ok(floors_save(&floors, disk.fd, &err), err);
    assert_ok(floors_load(&back, disk.fd, &err), err);
    assert_int_equal(floors_counter(&back, "detector"), 5);
    assert_int_equal(back.clock, 1795230000);
    assert_int_equal(back.generation, 4);
    assert_int_equal(back.factory, 2);
    assert_string_equal(back.safe, "no set runs");
    assert_string_equal(back.well, "d3");
    assert_string_equal(floors_bad(&back, "d1"), "the app said no");
    assert_null(floors_bad(&back, "d2"));
    floors_end(&floors);
    floors_end(&back);
}

static void a_set_that_failed_gets_another_try_with_another_app(void **state)
{
    (void)state;
    DISK(disk);
    struct floors floors = {0}, back;
    struct error err = {0};

    floors_judged_by(&floors, "one");
    floors_mark_bad(&floors, "d1", "the app ended (exit code 1)");
    assert_ok(floors_save(&floors, disk.fd, &err), err);
    assert_ok(floors_load(&back, disk.fd, &err), err);
    floors_judged_by(&back, "one");
    assert_non_null(floors_bad(&back, "d1"));
    floors_judged_by(&back, "other");
    assert_null(floors_bad(&back, "d1"));
    floors_end(&floors);
    floors_end(&back);
}

static void bad_sets_are_remembered_up_to_a_bound_the_newest_last(void **state)
{
    (void)state;
    struct floors floors = {0};
    char digest[SHA256_HEX];

    for (int i = 0; i < FLOORS_BAD_MOST + 5; i++) {
        snprintf(digest, sizeof(digest), "d%d", i);
        floors_mark_bad(&floors, digest, "why");
        floors_mark_bad(&floors, digest, "again");
    }
    assert_int_equal(floors.bad_count, FLOORS_BAD_MOST);
    assert_null(floors_bad(&floors, "d4"));
    assert_string_equal(floors_bad(&floors, "d5"), "why");
    assert_non_null(floors_bad(&floors, digest));
}

static void damaged_floors_are_an_error_and_not_zero(void **state)
{
    (void)state;
    DISK(disk);
    struct floors floors;
    struct error err = {0};

    assert_ok(file_write(disk.fd, STATE_FLOORS, "{\"clock\":1}", 11, 0600, &err), err);
    assert_false(floors_load(&floors, disk.fd, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
}

static void a_check_in_says_what_control_published(void **state)
{
    (void)state;
    ARENA(arena);
    TEXT(body);
    struct error err = {0};
    struct checkin_said said = {.view = "{\"generation\":4,\"set\":\"\",\"assets\":{},\"waiting\":\"a\"}",
                                .order_seq = 11,
                                .timestamp = 5,
                                .limits = "",
                                .diagnostics = "",
                                .waiting = "b"};

    checkin_write(&arena, &said, &body);
    const struct json *json = json_read(&arena, body.bytes, body.size, &json_limits_small, &err);
    assert_non_null(json); /* also: no member twice */
    assert_int_equal(json_integer(json, "generation", 0), 4);
    assert_int_equal(json_integer(json, "order_seq", 0), 11);
    assert_int_equal(json_integer(json_get(json, "metadata"), "timestamp", 0), 5);
    assert_string_equal(json_string(json, "waiting"), "b");
    assert_null(json_get(json, "facts"));
    said.with_facts = true;
    text_clear(&body);
    checkin_write(&arena, &said, &body);
    json = json_read(&arena, body.bytes, body.size, &json_limits_small, &err);
    assert_non_null(json_string(json_get(json, "facts"), "kernel"));
}

static void an_answer_is_bounded_and_unknown_members_pass(void **state)
{
    (void)state;
    ARENA(arena);
    struct checkin_heard heard;
    struct error err = {0};
    const char *answer = "{\"time\":\"2026-11-21T00:00:00Z\",\"poll_s\":-5,\"order\":7,\"admission\":\"an-"
                         "endless-word-that-does-"
                         "not-fit\",\"clone_suspected\":true,\"news\":{\"a\":[1]}}";

    assert_ok(checkin_read(&arena, answer, strlen(answer), &heard, &err), err);
    assert_int_equal(heard.poll_s, 60);
    assert_null(heard.order);
    assert_true(heard.clone_suspected);
    assert_true(strlen(heard.admission) < sizeof(heard.admission));
    assert_false(checkin_read(&arena, "[]", 2, &heard, &err));
    err = (struct error){0};
    assert_false(checkin_read(&arena, "<html>", 6, &heard, &err));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wish_comes_back_as_it_was_kept),
        cmocka_unit_test(when_and_how_a_version_is_taken_up_comes_back),
        cmocka_unit_test(what_waits_for_a_start_is_not_put_off_by_being_said_again),
        cmocka_unit_test(a_damaged_wish_is_said_and_not_half_believed),
        cmocka_unit_test(floors_only_rise_and_come_back),
        cmocka_unit_test(a_set_that_failed_gets_another_try_with_another_app),
        cmocka_unit_test(bad_sets_are_remembered_up_to_a_bound_the_newest_last),
        cmocka_unit_test(damaged_floors_are_an_error_and_not_zero),
        cmocka_unit_test(a_check_in_says_what_control_published),
        cmocka_unit_test(an_answer_is_bounded_and_unknown_members_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

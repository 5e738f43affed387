/* Captures: quota, resuming, hashes, and how they settle. */
#include "test/diagnostics/field.h"

#include "base/digest.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A run on the image, ready to upload. */
static void begin(struct field *field, char run_id[RUN_ID_TEXT])
{
    struct error err = {0};

    field_campaign(field, 1, 0, 0);
    assert_int_equal(field_orders(field, 0, run_id), 1);
    assert_ok(assignment_offered(field->diagnostics, field->devices[0], &err), err);
    assert_ok(field_report(field, 0, &err, "{\"run\":\"%s\",\"state\":\"running\"}", run_id), err);
    assert_ok(field_report(field, 0, &err, "{\"run\":\"%s\",\"state\":\"uploading\"}", run_id), err);
}

static bool list(struct field *field, int device, const char *run_id, const char *bytes, size_t length,
                 struct text *out, struct error *err)
{
    char sha256[SHA256_HEX];

    sha256_hex(bytes, strlen(bytes), sha256);
    const char *text = arena_printf(&field->arena,
                                    "{\"files\":[{\"path\":\"a/b.log\",\"length\":%zu,\"sha256\":\"%s\","
                                    "\"type\":\"log\"}],\"complete\":true}",
                                    length, sha256);
    const struct json *json = json_read(&field->arena, text, strlen(text), &json_limits_small, err);
    text_clear(out);
    return capture_begin(field->diagnostics, field->devices[device], run_id, json, out, err);
}

static bool send(struct field *field, const char *run_id, int64_t offset, const char *bytes, int64_t *held,
                 bool *complete, struct error *err)
{
    struct capture_piece *piece =
        capture_piece_open(field->diagnostics, field->devices[0], run_id, 0, offset, held, err);

    if (!piece)
        return false;
    if (!capture_piece_add(piece, bytes, strlen(bytes), err)) {
        capture_piece_abort(piece);
        return false;
    }
    return capture_piece_end(piece, held, complete, err);
}

/* "state reason" of the only capture. */
static const char *settled(struct field *field)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    const struct capture_choice any = {.limit = 10};
    int64_t last, total;
    DB_DONE(conn) = db_read(field->db, &err);

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    assert_ok(capture_list(field->diagnostics, conn, &any, &writer, &last, &total, &err), err);
    json_write_end(&writer, ']');
    const struct json *captures = json_read(&field->arena, out.bytes, out.size, &json_limits_small, &err);
    if (!total)
        return "nothing";
    const char *reason = json_string(captures->first, "reason");
    return arena_printf(&field->arena, "%s%s%s", json_string(captures->first, "state"), reason ? " " : "",
                        reason ? reason : "");
}

static void done(struct field *field, const char *run_id, const char *more)
{
    struct error err = {0};

    assert_ok(field_report(field, 0, &err, "{\"run\":\"%s\",\"state\":\"done\"%s}", run_id, more), err);
}

static void a_file_goes_on_where_it_stopped(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    TEXT(out);
    int64_t held;
    bool complete;

    begin(field, run_id);
    assert_ok(list(field, 0, run_id, "hello world", 11, &out, &err), err);
    assert_string_equal(text_string(&out), "{\"files\":[{\"n\":0,\"held\":0,\"complete\":false}]}");
    assert_ok(send(field, run_id, 0, "hello", &held, &complete, &err), err);
    assert_true(held == 5 && !complete);
    assert_refused(send(field, run_id, 0, "hello", &held, &complete, &err), err, ERROR_CONFLICT);
    assert_int_equal(held, 5);
    assert_ok(list(field, 0, run_id, "hello world", 11, &out, &err), err);
    assert_string_equal(text_string(&out), "{\"files\":[{\"n\":0,\"held\":5,\"complete\":false}]}");
    assert_ok(send(field, run_id, 5, " world", &held, &complete, &err), err);
    assert_true(held == 11 && complete);
    assert_refused(send(field, run_id, 11, "!", &held, &complete, &err), err, ERROR_CONFLICT);
    done(field, run_id, ",\"capture\":\"complete\"");
    assert_string_equal(settled(field), "complete");
}

static void a_wrong_hash_begins_the_file_again_and_too_many_bytes_are_refused(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    TEXT(out);
    int64_t held;
    bool complete;

    begin(field, run_id);
    assert_ok(list(field, 0, run_id, "hello", 5, &out, &err), err);
    assert_ok(send(field, run_id, 0, "hellO", &held, &complete, &err), err);
    assert_true(held == 0 && !complete);
    assert_refused(send(field, run_id, 0, "hello world", &held, &complete, &err), err, ERROR_INPUT);
    done(field, run_id, ",\"capture\":\"complete\"");
    assert_non_null(strstr(settled(field), "none 0 of 1 files arrived"));
}

static void a_whole_file_that_a_crash_left_without_verdict_is_judged_with_the_next_list(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    TEXT(out);

    begin(field, run_id);
    assert_ok(list(field, 0, run_id, "hello", 5, &out, &err), err);
    assert_ok(file_write(field->diagnostics->captures_dirfd, "1/0", "hello", 5, 0600, &err), err);
    assert_ok(list(field, 0, run_id, "hello", 5, &out, &err), err);
    assert_string_equal(text_string(&out), "{\"files\":[{\"n\":0,\"held\":5,\"complete\":true}]}");
    done(field, run_id, "");
    assert_string_equal(settled(field), "complete");
}

static void two_pieces_of_one_file_at_once_are_refused(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    TEXT(out);
    int64_t held;

    begin(field, run_id);
    assert_ok(list(field, 0, run_id, "hello", 5, &out, &err), err);
    struct capture_piece *one =
        capture_piece_open(field->diagnostics, field->devices[0], run_id, 0, 0, &held, &err);
    assert_ok(one, err);
    assert_refused(capture_piece_open(field->diagnostics, field->devices[0], run_id, 0, 0, &held, &err), err,
                   ERROR_CONFLICT);
    assert_int_equal(held, -1);
    capture_piece_abort(one);
}

static void the_quota_and_the_images_output_are_limits(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    TEXT(out);

    begin(field, run_id);
    assert_refused(list(field, 0, run_id, "x", MAX_OUTPUT + 1, &out, &err), err, ERROR_LIMIT);
    field->diagnostics->quota = 100;
    assert_refused(list(field, 0, run_id, "x", 101, &out, &err), err, ERROR_LIMIT);
    assert_non_null(strstr(err.text, "quota"));
    assert_ok(list(field, 0, run_id, "x", 100, &out, &err), err);
}

static void another_list_or_another_device_is_refused(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    TEXT(out);
    int64_t held;

    begin(field, run_id);
    assert_refused(list(field, 1, run_id, "hello", 5, &out, &err), err, ERROR_MISSING);
    assert_ok(list(field, 0, run_id, "hello", 5, &out, &err), err);
    assert_refused(list(field, 0, run_id, "hello world", 11, &out, &err), err, ERROR_CONFLICT);
    assert_refused(capture_piece_open(field->diagnostics, field->devices[1], run_id, 0, 0, &held, &err), err,
                   ERROR_MISSING);
    assert_refused(capture_piece_open(field->diagnostics, field->devices[0], run_id, 1, 0, &held, &err), err,
                   ERROR_MISSING);
}

static void a_list_that_breaks_the_rules_is_refused(void **state)
{
    static const char *const lists[] = {
        "[]",
        "{}",
        "{\"files\":[1]}",
        "{\"files\":[{\"path\":\"../x\",\"length\":1,\"sha256\":\""
        "%s"
        "\",\"type\":\"log\"}]}",
        "{\"files\":[{\"path\":\"x\",\"length\":-1,\"sha256\":\"%s\",\"type\":\"log\"}]}",
        "{\"files\":[{\"path\":\"x\",\"length\":1,\"sha256\":\"short\",\"type\":\"log\"}]}",
        "{\"files\":[{\"path\":\"x\",\"length\":1,\"sha256\":\"%s\",\"type\":\"page\"}]}",
        "{\"files\":[{\"path\":\"x\",\"length\":1,\"sha256\":\"%s\",\"type\":\"log\",\"more\":1}]}",
        "{\"files\":[{\"path\":\"x\",\"length\":1,\"sha256\":\"%1$s\",\"type\":\"log\"},"
        "{\"path\":\"x\",\"length\":1,\"sha256\":\"%1$s\",\"type\":\"log\"}]}",
    };
    struct field *field = *state;
    char run_id[RUN_ID_TEXT], sha256[SHA256_HEX], text[1024];
    struct error err = {0};
    TEXT(out);

    begin(field, run_id);
    sha256_hex("x", 1, sha256);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, lists[i], sha256);
#pragma GCC diagnostic pop
        const struct json *json = json_read(&field->arena, text, strlen(text), &json_limits_small, &err);
        assert_ok(json, err);
        assert_refused(capture_begin(field->diagnostics, field->devices[0], run_id, json, &out, &err), err,
                       ERROR_INPUT);
    }
    assert_string_equal(settled(field), "nothing");
}

static void a_run_that_brings_nothing_says_why(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];

    begin(field, run_id);
    done(field, run_id, ",\"capture\":\"none\",\"capture_reason\":\"power_lost\"");
    assert_string_equal(settled(field), "none power_lost");
}

static void an_upload_that_falls_silent_is_failed_and_what_came_is_partial(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    TEXT(out);
    int64_t held;
    bool complete;

    begin(field, run_id);
    assert_ok(list(field, 0, run_id, "hello", 5, &out, &err), err);
    assert_ok(send(field, run_id, 0, "hello", &held, &complete, &err), err);
    field_wait(field, 3500);
    assert_string_equal(settled(field), "uploading");
    field_wait(field, 200);
    assert_non_null(strstr(settled(field), "partial"));
    assert_string_equal(field_state(field, 1, 0), "failed(timed_out)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define FIELD_TEST(name) cmocka_unit_test_setup_teardown(name, field_setup, field_teardown)
        FIELD_TEST(a_file_goes_on_where_it_stopped),
        FIELD_TEST(a_wrong_hash_begins_the_file_again_and_too_many_bytes_are_refused),
        FIELD_TEST(a_whole_file_that_a_crash_left_without_verdict_is_judged_with_the_next_list),
        FIELD_TEST(two_pieces_of_one_file_at_once_are_refused),
        FIELD_TEST(the_quota_and_the_images_output_are_limits),
        FIELD_TEST(another_list_or_another_device_is_refused),
        FIELD_TEST(a_list_that_breaks_the_rules_is_refused),
        FIELD_TEST(a_run_that_brings_nothing_says_why),
        FIELD_TEST(an_upload_that_falls_silent_is_failed_and_what_came_is_partial),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

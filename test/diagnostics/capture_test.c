/* Captures: quota, resuming, hashes, and how they settle. */
#include "test/diagnostics/field.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
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

/* Refused? A list of two empty files with these paths. */
static bool two_are_refused(struct field *field, const char *run_id, const char *one, const char *two)
{
    struct error err = {0};
    char sha256[SHA256_HEX];
    TEXT(out);

    sha256_hex("", 0, sha256);
    const char *text =
        arena_printf(&field->arena,
                     "{\"files\":[{\"path\":\"%s\",\"length\":0,\"sha256\":\"%s\",\"type\":"
                     "\"log\"},{\"path\":\"%s\",\"length\":0,\"sha256\":\"%s\",\"type\":\"log\"}"
                     "],\"complete\":true}",
                     one, sha256, two, sha256);
    const struct json *json = json_read(&field->arena, text, strlen(text), &json_limits_small, &err);

    assert_ok(json, err);
    return !capture_begin(field->diagnostics, field->devices[0], run_id, json, &out, &err) &&
           err.kind == ERROR_INPUT;
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

static void files_that_cannot_lie_in_one_folder_are_refused(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];

    begin(field, run_id);
    assert_true(two_are_refused(field, run_id, "a", "a"));
    assert_true(two_are_refused(field, run_id, "a", "a/b"));
    assert_true(two_are_refused(field, run_id, "a/b/c/d", "a/b"));
    assert_false(two_are_refused(field, run_id, "a/b", "a/bc"));
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

/* A capture of "hello" that arrived; its id is 1. */
static void collected(struct field *field, char run_id[RUN_ID_TEXT])
{
    struct error err = {0};
    TEXT(out);
    int64_t held;
    bool complete;

    begin(field, run_id);
    assert_ok(list(field, 0, run_id, "hello", 5, &out, &err), err);
    assert_ok(send(field, run_id, 0, "hello", &held, &complete, &err), err);
    done(field, run_id, ",\"capture\":\"complete\"");
    assert_string_equal(settled(field), "complete");
}

static bool there(struct field *field, const char *path)
{
    return faccessat(field->diagnostics->captures_dirfd, path, F_OK, 0) == 0;
}

static int64_t taken(struct field *field)
{
    struct error err = {0};
    int64_t bytes;
    DB_DONE(conn) = db_read(field->db, &err);

    assert_ok(capture_bytes(conn, &bytes, &err), err);
    return bytes;
}

/* GET /captures/1 as text. */
static const char *shown(struct field *field)
{
    struct json_writer writer;
    struct error err = {0};
    TEXT(out);
    DB_DONE(conn) = db_read(field->db, &err);

    json_write_init(&writer, &out);
    assert_ok(capture_write(field->diagnostics, conn, 1, true, &writer, &err), err);
    return arena_strdup(&field->arena, text_string(&out));
}

static const char *matrix(struct field *field)
{
    const struct assignment_choice choice = {.campaign = 1, .run = 1, .limit = 100};
    struct json_writer writer;
    struct error err = {0};
    int64_t last;
    TEXT(out);
    DB_DONE(conn) = db_read(field->db, &err);

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    assert_ok(capture_matrix(field->diagnostics, conn, &choice, &writer, &last, &err), err);
    json_write_end(&writer, ']');
    assert_int_equal(last, 0);
    return arena_strdup(&field->arena, text_string(&out));
}

static void what_was_left_out_and_blotted_out_is_kept(void **state)
{
    static const char format[] =
        "{\"files\":[{\"path\":\"a.log\",\"length\":5,\"sha256\":\"%s\",\"type\":\"log\",\"redacted\":3}],"
        "\"omitted\":[{\"path\":\"../\\\\odd\",\"why\":\"no such name\"},{\"path\":\"a.log\",\"why\":\"cut "
        "after 5 "
        "bytes: max_output\"},{}],\"complete\":false}";
    struct field *field = *state;
    char run_id[RUN_ID_TEXT], sha256[SHA256_HEX];
    struct error err = {0};
    TEXT(out);

    begin(field, run_id);
    sha256_hex("hello", 5, sha256);
    const char *text = arena_printf(&field->arena, format, sha256);
    const struct json *json = json_read(&field->arena, text, strlen(text), &json_limits_small, &err);
    assert_ok(capture_begin(field->diagnostics, field->devices[0], run_id, json, &out, &err), err);
    assert_non_null(strstr(shown(field), "\"omitted\":[{\"path\":\"../\\\\odd\",\"why\":\"no such name\"},"));
    assert_non_null(strstr(shown(field), "{\"path\":\"?\",\"why\":\"no reason given\"}],\"redacted\":3,"));
    assert_non_null(strstr(shown(field), "\"complete\":false,\"redacted\":3}]"));
    assert_non_null(strstr(matrix(field), "{\"what\":\"a.log\",\"why\":\"still on its way\"}"));
    assert_non_null(strstr(matrix(field), "{\"what\":\"../\\\\odd\",\"why\":\"no such name\"}"));
}

static void the_matrix_says_why_a_device_brought_nothing(void **state)
{
    struct field *field = *state;
    struct error err = {0};
    char run_id[RUN_ID_TEXT];

    field_campaign(field, 2, 0, 0);
    assert_non_null(strstr(matrix(field),
                           "{\"device\":\"d1\",\"state\":\"waiting\",\"capture\":null,\"collected\":[],"
                           "\"missing\":[{\"what\":\"capture\",\"why\":\"nothing came yet: the device is "
                           "waiting\"}]}"));
    assert_int_equal(field_orders(field, 0, run_id), 1);
    assert_ok(assignment_offered(field->diagnostics, field->devices[0], &err), err);
    assert_ok(
        field_report(field, 0, &err,
                     "{\"run\":\"%s\",\"state\":\"skipped\",\"reason\":{\"code\":\"clock\",\"text\":\"its "
                     "clock is wrong\"}}",
                     run_id),
        err);
    assert_non_null(strstr(matrix(field), "\"why\":\"skipped: its clock is wrong\""));
}

static void quotas_of_a_device_and_of_a_campaign_are_kept_and_given_back(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT], other[RUN_ID_TEXT];
    struct error err = {0};
    TEXT(out);

    field->limits = (struct capture_limits){.device_quota = 9};
    collected(field, run_id);
    assert_int_equal(taken(field), 5);
    field_campaign(field, 1, 0, 0);
    assert_int_equal(field_orders(field, 0, other), 1);
    assert_refused(list(field, 0, other, "hello", 5, &out, &err), err, ERROR_LIMIT);
    assert_non_null(
        strstr(err.text, "the quota of this device's captures, 9 bytes, is used up: 5 are taken"));
    field->limits = (struct capture_limits){.campaign_quota = 4};
    assert_refused(list(field, 0, other, "hello", 5, &out, &err), err, ERROR_LIMIT);
    assert_non_null(strstr(err.text, "this campaign's captures"));
    field->limits = (struct capture_limits){.device_quota = 9};
    assert_ok(capture_delete(field->diagnostics, 1, "ada", "room", &err), err);
    assert_int_equal(taken(field), 0);
    assert_ok(list(field, 0, other, "hello", 5, &out, &err), err);
    assert_int_equal(taken(field), 5);
}

static void what_is_deleted_is_gone_and_cannot_come_again(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct json_writer writer;
    struct error err = {0};
    TEXT(out);

    collected(field, run_id);
    assert_true(there(field, "1/0"));
    assert_ok(capture_hold(field->diagnostics, 1, true, "ada", "case 12", &err), err);
    assert_non_null(strstr(shown(field), "\"hold\":{\"by\":\"ada\",\"at\":\""));
    assert_refused(capture_delete(field->diagnostics, 1, "bob", "room", &err), err, ERROR_CONFLICT);
    assert_true(there(field, "1/0"));
    assert_ok(capture_hold(field->diagnostics, 1, false, "ada", "closed", &err), err);
    assert_non_null(strstr(shown(field), "\"hold\":null"));
    assert_ok(capture_delete(field->diagnostics, 1, "bob", "room", &err), err);
    assert_false(there(field, "1"));
    assert_string_equal(settled(field), "nothing");
    assert_refused(capture_delete(field->diagnostics, 1, "bob", "room", &err), err, ERROR_MISSING);
    assert_refused(list(field, 0, run_id, "hello", 5, &out, &err), err, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, "was deleted"));
    assert_non_null(strstr(matrix(field), "\"why\":\"deleted: room\""));
    DB_DONE(conn) = db_read(field->db, &err);
    json_write_init(&writer, &out);
    assert_refused(capture_write(field->diagnostics, conn, 1, true, &writer, &err), err, ERROR_MISSING);
}

static void what_is_still_received_is_not_deleted(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    TEXT(out);

    begin(field, run_id);
    assert_ok(list(field, 0, run_id, "hello", 5, &out, &err), err);
    assert_refused(capture_delete(field->diagnostics, 1, "bob", "room", &err), err, ERROR_CONFLICT);
}

static void a_product_keeps_captures_for_its_days_and_held_ones_longer(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT], time[TIME_TEXT];
    struct error err = {0};
    int64_t now = clock_now();

    field_at(field, now);
    collected(field, run_id);
    assert_non_null(strstr(shown(field), "\"expires_at\":null"));
    field_at(field, now + 9 * 86400);
    assert_ok(capture_expire(field->diagnostics, clock_now(), &err), err);
    field->limits.keep_s = 10 * 86400;
    assert_ok(capture_expire(field->diagnostics, clock_now(), &err), err);
    assert_true(there(field, "1/0"));
    const struct json *json =
        json_read(&field->arena, shown(field), strlen(shown(field)), &json_limits_small, &err);
    int64_t created;
    assert_true(time_parse(json_string(json, "created_at"), &created));
    assert_string_equal(json_string(json, "expires_at"), time_text(created + 10 * 86400, time));
    assert_ok(capture_hold(field->diagnostics, 1, true, "ada", "case 12", &err), err);
    assert_non_null(strstr(shown(field), "\"expires_at\":null"));
    field_at(field, now + 11 * 86400);
    assert_ok(capture_expire(field->diagnostics, clock_now(), &err), err);
    assert_true(there(field, "1/0"));
    assert_ok(capture_hold(field->diagnostics, 1, false, "ada", "closed", &err), err);
    assert_ok(capture_expire(field->diagnostics, clock_now(), &err), err);
    assert_false(there(field, "1"));
    assert_non_null(strstr(matrix(field), "deleted: kept for 10 days, as the product says"));
}

static void folders_that_a_crash_left_are_swept_at_the_next_start(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    size_t removed;

    collected(field, run_id);
    assert_ok(folder_make(field->diagnostics->captures_dirfd, "77", 0700, &err), err);
    assert_ok(file_write(field->diagnostics->captures_dirfd, "77/0", "left", 4, 0600, &err), err);
    assert_ok(capture_delete(field->diagnostics, 1, "bob", "room", &err), err);
    /* As if it had died between the row and its files. */
    assert_ok(folder_make(field->diagnostics->captures_dirfd, "1", 0700, &err), err);
    field_reopen(field);
    assert_false(there(field, "77"));
    assert_false(there(field, "1"));
    assert_ok(capture_sweep(field->diagnostics, &removed, &err), err);
    assert_int_equal(removed, 0);
}

static void a_start_leaves_what_a_capture_owns(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];

    collected(field, run_id);
    field_reopen(field);
    assert_true(there(field, "1/0"));
}

static bool tar_take(void *context, const void *bytes, size_t size)
{
    text_add(context, bytes, size);
    return true;
}

static bool tar_break(void *context, const void *bytes, size_t size)
{
    (void)bytes, (void)size;
    return --*(int *)context > 0;
}

static void a_runs_tar_has_the_size_that_was_promised(void **state)
{
    struct field *field = *state;
    char run_id[RUN_ID_TEXT];
    struct error err = {0};
    int64_t size;
    int writes = 2;
    TEXT(out);

    assert_refused(capture_tar_open(field->diagnostics, 1, 1, &size, &err), err, ERROR_MISSING);
    collected(field, run_id);
    struct capture_tar *tar = capture_tar_open(field->diagnostics, 1, 1, &size, &err);
    assert_ok(tar, err);
    assert_ok(capture_tar_send(tar, tar_take, &out, &err), err);
    assert_int_equal(size, 4 * 512);
    assert_int_equal(out.size, size);
    assert_string_equal(out.bytes, "d1/a/b.log");
    assert_memory_equal(out.bytes + 257, "ustar\00000", 8);
    assert_memory_equal(out.bytes + 512, "hello\0", 6);
    assert_refused(capture_tar_send(tar, tar_break, &writes, &err), err, ERROR_SYSTEM);
    assert_ok(capture_delete(field->diagnostics, 1, "bob", "room", &err), err);
    assert_refused(capture_tar_send(tar, tar_take, &out, &err), err, ERROR_CONFLICT);
    capture_tar_close(tar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define FIELD_TEST(name) cmocka_unit_test_setup_teardown(name, field_setup, field_teardown)
        FIELD_TEST(a_file_goes_on_where_it_stopped),
        FIELD_TEST(files_that_cannot_lie_in_one_folder_are_refused),
        FIELD_TEST(a_wrong_hash_begins_the_file_again_and_too_many_bytes_are_refused),
        FIELD_TEST(a_whole_file_that_a_crash_left_without_verdict_is_judged_with_the_next_list),
        FIELD_TEST(two_pieces_of_one_file_at_once_are_refused),
        FIELD_TEST(the_quota_and_the_images_output_are_limits),
        FIELD_TEST(another_list_or_another_device_is_refused),
        FIELD_TEST(a_list_that_breaks_the_rules_is_refused),
        FIELD_TEST(a_run_that_brings_nothing_says_why),
        FIELD_TEST(an_upload_that_falls_silent_is_failed_and_what_came_is_partial),
        FIELD_TEST(what_was_left_out_and_blotted_out_is_kept),
        FIELD_TEST(the_matrix_says_why_a_device_brought_nothing),
        FIELD_TEST(quotas_of_a_device_and_of_a_campaign_are_kept_and_given_back),
        FIELD_TEST(what_is_deleted_is_gone_and_cannot_come_again),
        FIELD_TEST(what_is_still_received_is_not_deleted),
        FIELD_TEST(a_product_keeps_captures_for_its_days_and_held_ones_longer),
        FIELD_TEST(folders_that_a_crash_left_are_swept_at_the_next_start),
        FIELD_TEST(a_start_leaves_what_a_capture_owns),
        FIELD_TEST(a_runs_tar_has_the_size_that_was_promised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

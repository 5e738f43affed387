#include "base/json.h"

#include "test/base/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The fuzz target itself, so that its findings run here. */
#include "test/fuzz/json_fuzz.c"

static const struct json *read_text(struct arena *arena, const char *text, struct error *err)
{
    *err = (struct error){0};
    return json_read(arena, text, strlen(text), &json_limits_small, err);
}

static void a_tree_holds_what_was_written(void **state)
{
    ARENA(arena);
    struct error err;
    const struct json *json = read_text(&arena,
                                        " {\"a\":[1,-2.5,true,false,null],\"b\":{\"c\":\"x\"},\"\":"
                                        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u20AC\\ud83d\\ude00\"} ",
                                        &err);

    (void)state;
    assert_ok(json, err);
    assert_int_equal(json->type, JSON_OBJECT);
    assert_int_equal(json->size, 3);
    const struct json *item = json_get(json, "a")->first;
    assert_true(item->is_integer && item->integer == 1 && item->number == 1.0);
    item = item->next;
    assert_true(!item->is_integer && item->number == -2.5);
    assert_string_equal(item->string, "-2.5");
    item = item->next;
    assert_true(item->type == JSON_BOOL && item->boolean);
    item = item->next;
    assert_true(item->type == JSON_BOOL && !item->boolean);
    item = item->next;
    assert_int_equal(item->type, JSON_NULL);
    assert_null(item->next);
    assert_string_equal(json_string(json_get(json, "b"), "c"), "x");
    assert_string_equal(json_string(json, ""), "\"\\/\b\f\n\r\t€😀");
}

static void one_value_alone_is_json(void **state)
{
    ARENA(arena);
    struct error err;

    (void)state;
    assert_int_equal(read_text(&arena, "42", &err)->integer, 42);
    assert_int_equal(read_text(&arena, " 42 ", &err)->integer, 42);
    assert_true(read_text(&arena, "true", &err)->boolean);
    assert_int_equal(read_text(&arena, "null\n", &err)->type, JSON_NULL);
    assert_string_equal(read_text(&arena, "\"a\"", &err)->string, "a");
    assert_int_equal(read_text(&arena, "[]", &err)->size, 0);
    assert_int_equal(read_text(&arena, "{}", &err)->type, JSON_OBJECT);
}

/* Each of the first ten goes through jsmn's strict mode. */
static void what_is_not_strict_json_is_refused(void **state)
{
    static const char *const bad[] = {"{\"a\":}",
                                      "[1,,2]",
                                      "{\"a\":tru}",
                                      "{\"a\",\"b\"}",
                                      "[\"\x01\"]",
                                      "[\"\xff\"]",
                                      "{\"a\":1,\"a\":2}",
                                      "[1 2]",
                                      "{\"a\" 1}",
                                      "[\"\n\"]",
                                      "",
                                      " ",
                                      "[",
                                      "]",
                                      "[1",
                                      "[1,]",
                                      "[,1]",
                                      "{\"a\":1,}",
                                      "{,}",
                                      "{\"a\"}",
                                      "{a:1}",
                                      "{1:1}",
                                      "{\"a\":1}}",
                                      "[1]x",
                                      "1 2",
                                      "[1}",
                                      "{\"a\":1]",
                                      "'a'",
                                      "[01]",
                                      "[-]",
                                      "[+1]",
                                      "[1.]",
                                      "[.5]",
                                      "[1e]",
                                      "[1e+]",
                                      "[0x1]",
                                      "[NaN]",
                                      "[Infinity]",
                                      "[1e999]",
                                      "[tru]",
                                      "[truex]",
                                      "nul",
                                      "True",
                                      "[\"\\x\"]",
                                      "[\"\\u12\"]",
                                      "[\"\\u12g4\"]",
                                      "[\"\\u0000\"]",
                                      "[\"\\ud800\"]",
                                      "[\"\\udc00\"]",
                                      "[\"\\ud800\\u0041\"]",
                                      "[\"\\ud800x\"]",
                                      "[\"\\ude00\\ud83d\"]",
                                      "[\"\xc0\x80\"]",
                                      "[\"\xed\xa0\x80\"]",
                                      "[\"\xe2\x82\"]",
                                      "[\"a]",
                                      "\"\\",
                                      "\"\\\"",
                                      "\xef\xbb\xbf[1]",
                                      "[1]\f",
                                      "[/**/1]",
                                      "{\"a\":1,\"\\u0061\":2}",
                                      "{[\"a\"]:1}"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ARENA(arena);
        struct error err;

        if (read_text(&arena, bad[i], &err))
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(err.kind, ERROR_INPUT);
        assert_int_equal(strncmp(err.text, "JSON: ", 6), 0);
    }
}

static void a_nul_byte_is_refused_wherever_it_stands(void **state)
{
    ARENA(arena);
    struct error err = {0};

    (void)state;
    assert_refused(json_read(&arena, "[1]\0", 4, &json_limits_small, &err), err, ERROR_INPUT);
    assert_refused(json_read(&arena, "[\"a\0b\"]", 7, &json_limits_small, &err), err, ERROR_INPUT);
    assert_refused(json_read(&arena, "\0[1]", 4, &json_limits_small, &err), err, ERROR_INPUT);
    assert_refused(json_read(&arena, NULL, 0, &json_limits_small, &err), err, ERROR_INPUT);
}

static void an_error_tells_the_byte(void **state)
{
    ARENA(arena);
    struct error err;

    (void)state;
    assert_null(read_text(&arena, "{\"a\":[1,x]}", &err));
    assert_string_equal(err.text, "JSON: no value at byte 8");
}

static void limits_hold_before_anything_is_built(void **state)
{
    static const struct json_limits limits = {.bytes = 20, .values = 4, .depth = 2};
    ARENA(arena);
    struct error err = {0};

    (void)state;
    assert_ok(json_read(&arena, "[[1,2]]", 7, &limits, &err), err);
    assert_ok(json_read(&arena, "{\"a\":{\"b\":1}}", 13, &(struct json_limits){20, 5, 2}, &err), err);
    assert_refused(json_read(&arena, "{\"a\":{\"b\":1}}", 13, &limits, &err), err, ERROR_LIMIT);
    assert_refused(json_read(&arena, "[1,2,3,4]", 9, &limits, &err), err, ERROR_LIMIT);
    assert_refused(json_read(&arena, "[[[]]]", 6, &limits, &err), err, ERROR_LIMIT);
    assert_refused(json_read(&arena, "[                     ]", 23, &limits, &err), err, ERROR_LIMIT);
}

static void no_limit_allows_more_than_32_levels(void **state)
{
    static const struct json_limits greedy = {.bytes = 4u << 20, .values = 4u << 20, .depth = 1 << 30};
    size_t size = 2u << 20;
    char *deep = malloc(size);
    ARENA(arena);
    struct error err = {0};

    (void)state;
    memset(deep, '[', size);
    assert_refused(json_read(&arena, deep, size, &greedy, &err), err, ERROR_LIMIT);
    memset(deep + 32, ']', 32);
    assert_ok(json_read(&arena, deep, 64, &greedy, &err), err);
    free(deep);
}

static void a_large_object_is_read_in_time(void **state)
{
    ARENA(arena);
    TEXT(text);
    struct json_writer writer;
    struct error err = {0};

    (void)state;
    json_write_init(&writer, &text);
    json_write_object(&writer, NULL);
    for (int i = 0; i < 190000; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i * 7919 % 190000);
        json_write_integer(&writer, key, i);
    }
    json_write_end(&writer, '}');
    const struct json *json = json_read(&arena, text.bytes, text.size, &json_limits_large, &err);
    assert_ok(json, err);
    assert_int_equal(json->size, 190000);
}

static void integers_are_exact_to_64_bits(void **state)
{
    ARENA(arena);
    struct error err;
    const struct json *json = read_text(
        &arena, "[9223372036854775807,-9223372036854775808,9223372036854775808,1.0,1e2,-0,9007199254740993]",
        &err);

    (void)state;
    assert_ok(json, err);
    const struct json *item = json->first;
    assert_true(item->is_integer && item->integer == INT64_MAX);
    item = item->next;
    assert_true(item->is_integer && item->integer == INT64_MIN);
    item = item->next;
    assert_true(!item->is_integer && item->number == 9223372036854775808.0);
    item = item->next;
    assert_false(item->is_integer);
    item = item->next;
    assert_true(!item->is_integer && item->number == 100.0);
    item = item->next;
    assert_true(item->is_integer && item->integer == 0);
    item = item->next;
    assert_true(item->is_integer && item->integer == 9007199254740993);
}

static void members_are_asked_for_by_name_and_type(void **state)
{
    ARENA(arena);
    struct error err;
    const struct json *json =
        read_text(&arena, "{\"s\":\"x\",\"i\":7,\"f\":1.5,\"b\":true,\"a\":[],\"o\":{}}", &err);
    const struct json *child;
    const char *string;
    int64_t integer = 0;

    (void)state;
    assert_string_equal(json_string(json, "s"), "x");
    assert_null(json_string(json, "i"));
    assert_null(json_string(NULL, "s"));
    assert_null(json_get(json_get(json, "a"), "s"));
    assert_int_equal(json_integer(json, "i", 3), 7);
    assert_int_equal(json_integer(json, "f", 3), 3);
    assert_true(json_boolean(json, "b", false));
    assert_true(json_boolean(json, "none", true));
    assert_ok(json_need_string(json, "s", &string, &err), err);
    assert_ok(json_need_integer(json, "i", 7, 7, &integer, &err), err);
    assert_ok(json_need_array(json, "a", &child, &err), err);
    assert_ok(json_need_object(json, "o", &child, &err), err);
    assert_refused(json_need_string(json, "version", &string, &err), err, ERROR_INPUT);
    assert_string_equal(err.text, "\"version\" is missing");
    assert_refused(json_need_string(json, "i", &string, &err), err, ERROR_INPUT);
    assert_string_equal(err.text, "\"i\" must be a string");
    assert_refused(json_need_integer(json, "f", 0, 9, &integer, &err), err, ERROR_INPUT);
    assert_refused(json_need_integer(json, "i", 8, 9, &integer, &err), err, ERROR_INPUT);
    assert_string_equal(err.text, "\"i\" must be from 8 to 9");
    assert_refused(json_need_array(json, "o", &child, &err), err, ERROR_INPUT);
    assert_refused(json_need_object(json, "a", &child, &err), err, ERROR_INPUT);
}

static void an_unknown_member_is_named(void **state)
{
    static const char *const allowed[] = {"a", "b", NULL};
    ARENA(arena);
    struct error err;

    (void)state;
    assert_ok(json_only(read_text(&arena, "{\"b\":1,\"a\":2}", &err), allowed, &err), err);
    assert_refused(json_only(read_text(&arena, "{\"a\":1,\"bb\":2}", &err), allowed, &err), err, ERROR_INPUT);
    assert_string_equal(err.text, "\"bb\" is not known here");
    assert_refused(json_only(NULL, allowed, &err), err, ERROR_INPUT);
}

static void the_writer_puts_commas_and_escapes(void **state)
{
    TEXT(text);
    struct json_writer writer;

    (void)state;
    json_write_init(&writer, &text);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "s", "a\"b\\c\n\x01/€");
    json_write_string(&writer, "none", NULL);
    json_write_array(&writer, "list");
    json_write_integer(&writer, NULL, INT64_MIN);
    json_write_boolean(&writer, NULL, true);
    json_write_object(&writer, NULL);
    json_write_end(&writer, '}');
    json_write_end(&writer, ']');
    json_write_time(&writer, "at", 1795232856);
    json_write_time(&writer, "never", 0);
    json_write_raw(&writer, "raw", "[1]", 3);
    json_write_end(&writer, '}');
    assert_false(text.failed);
    assert_string_equal(
        text_string(&text),
        "{\"s\":\"a\\\"b\\\\c\\n\\u0001/€\",\"none\":null,\"list\":[-9223372036854775808,true,{}],"
        "\"at\":"
        "\"2026-11-21T03:47:36Z\",\"never\":null,\"raw\":[1]}");
}

static void bad_utf8_is_written_as_the_replacement_character(void **state)
{
    TEXT(text);
    struct json_writer writer;

    (void)state;
    json_write_init(&writer, &text);
    json_write_bytes(&writer, NULL, "é\xff\"z\xe2\x82", 7);
    assert_string_equal(text_string(&text), "\"é\xef\xbf\xbd\\\"z\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void one_bracket_too_many_is_remembered(void **state)
{
    TEXT(text);
    struct json_writer writer;

    (void)state;
    json_write_init(&writer, &text);
    json_write_array(&writer, NULL);
    json_write_end(&writer, ']');
    assert_false(text.failed);
    json_write_end(&writer, ']');
    assert_true(text.failed);
}

static void canonical_json_is_sorted_and_escapes_two_characters(void **state)
{
    ARENA(arena);
    TEXT(text);
    struct error err;
    const struct json *json = read_text(&arena,
                                        "{ \"b\" : [ 1 , { \"y\":null, \"x\":true } ], \"a\" : "
                                        "\"\\u00e9\\\"\\\\\\/\", \"B\":-0, \"aa\":\"\\n\" }",
                                        &err);

    (void)state;
    assert_ok(json, err);
    assert_ok(json_canonical(json, &text, &err), err);
    assert_string_equal(text_string(&text),
                        "{\"B\":0,\"a\":\"é\\\"\\\\/\",\"aa\":\"\n\",\"b\":[1,{\"x\":true,\"y\":null}]}");
}

static void canonical_json_has_no_fractions_and_a_limit(void **state)
{
    ARENA(arena);
    TEXT(text);
    struct text small;
    struct error err;

    (void)state;
    assert_refused(json_canonical(read_text(&arena, "[1.5]", &err), &text, &err), err, ERROR_INPUT);
    text_init(&small, 5);
    assert_refused(json_canonical(read_text(&arena, "[1,2,3]", &err), &small, &err), err, ERROR_LIMIT);
    text_end(&small);
}

static void only_the_canonical_bytes_are_read_as_canonical(void **state)
{
    static const char *const bad[] = {"{\"a\":1} ",    "{ \"a\":1}", "{\"b\":1,\"a\":1}",
                                      "[\"\\u0041\"]", "[\"\\/\"]",  "[-0]",
                                      "[1.0]",         "[1e2]",      "[\"\\n\"]"};
    ARENA(arena);
    struct error err = {0};
    const struct json *json = json_read_canonical(&arena, "{\"a\":[1,\"x\"]}", 13, &json_limits_small, &err);

    (void)state;
    assert_ok(json, err);
    assert_string_equal(json_get(json, "a")->first->next->string, "x");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(json_read_canonical(&arena, bad[i], strlen(bad[i]), &json_limits_small, &err), err,
                       ERROR_UNTRUSTED);
}

static int findings;

static bool run_finding(void *context, const char *path, int fd, int64_t size, mode_t mode, struct error *err)
{
    ARENA(arena);
    char *bytes = arena_alloc(&arena, (size_t)size + 1);

    (void)context, (void)path, (void)mode, (void)err;
    assert_int_equal(read(fd, bytes, (size_t)size), size);
    LLVMFuzzerTestOneInput((const uint8_t *)bytes, (size_t)size);
    findings++;
    return true;
}

static void the_findings_of_the_fuzzer_stay_fixed(void **state)
{
    struct error err = {0};
    FD(folder) = folder_open("test/fuzz/json", &err);

    (void)state;
    assert_ok(folder >= 0, err);
    assert_ok(folder_walk(folder, run_finding, NULL, &err), err);
    assert_true(findings >= 40);
}

/* A short run of the fuzzer's own kind: one byte of each seed changed, dropped or doubled. */
static bool mutate_finding(void *context, const char *path, int fd, int64_t size, mode_t mode,
                           struct error *err)
{
    static const char bytes_to_try[] = "{}[]\",:\\u0e.-+ tn\x80\x01";
    ARENA(arena);
    uint8_t *bytes = arena_alloc(&arena, (size_t)size + 1);

    (void)context, (void)path, (void)mode, (void)err;
    assert_int_equal(read(fd, bytes, (size_t)size), size);
    for (int64_t at = 0; at < size; at++) {
        uint8_t before = bytes[at];

        for (size_t i = 0; i < sizeof(bytes_to_try) - 1; i++) {
            bytes[at] = (uint8_t)bytes_to_try[i];
            LLVMFuzzerTestOneInput(bytes, (size_t)size);
        }
        bytes[at] = before;
        LLVMFuzzerTestOneInput(bytes, (size_t)at);
        LLVMFuzzerTestOneInput(bytes + at, (size_t)(size - at));
    }
    return true;
}

static void changed_bytes_never_make_us_take_more_than_sqlite(void **state)
{
    struct error err = {0};
    FD(folder) = folder_open("test/fuzz/json", &err);

    (void)state;
    assert_ok(folder >= 0, err);
    assert_ok(folder_walk(folder, mutate_finding, NULL, &err), err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_holds_what_was_written),
        cmocka_unit_test(one_value_alone_is_json),
        cmocka_unit_test(what_is_not_strict_json_is_refused),
        cmocka_unit_test(a_nul_byte_is_refused_wherever_it_stands),
        cmocka_unit_test(an_error_tells_the_byte),
        cmocka_unit_test(limits_hold_before_anything_is_built),
        cmocka_unit_test(no_limit_allows_more_than_32_levels),
        cmocka_unit_test(a_large_object_is_read_in_time),
        cmocka_unit_test(integers_are_exact_to_64_bits),
        cmocka_unit_test(members_are_asked_for_by_name_and_type),
        cmocka_unit_test(an_unknown_member_is_named),
        cmocka_unit_test(the_writer_puts_commas_and_escapes),
        cmocka_unit_test(bad_utf8_is_written_as_the_replacement_character),
        cmocka_unit_test(one_bracket_too_many_is_remembered),
        cmocka_unit_test(canonical_json_is_sorted_and_escapes_two_characters),
        cmocka_unit_test(canonical_json_has_no_fractions_and_a_limit),
        cmocka_unit_test(only_the_canonical_bytes_are_read_as_canonical),
        cmocka_unit_test(the_findings_of_the_fuzzer_stay_fixed),
        cmocka_unit_test(changed_bytes_never_make_us_take_more_than_sqlite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/text.h"

#include "test/base/scratch.h"

#include <stdio.h>
#include <string.h>

static void text_grows_and_stays_terminated(void **state)
{
    TEXT(text);

    (void)state;
    assert_string_equal(text_string(&text), "");
    for (int i = 0; i < 1000; i++)
        text_printf(&text, "%d,", i);
    text_putc(&text, 'x');
    text_add(&text, "yz", 2);
    assert_int_equal(text.size, 10 * 2 + 90 * 3 + 900 * 4 + 3);
    assert_int_equal(strlen(text_string(&text)), text.size);
    assert_memory_equal(text_string(&text), "0,1,2,3", 7);
    text_clear(&text);
    assert_string_equal(text_string(&text), "");
}

static void room_that_was_taken_in_advance_is_an_empty_string(void **state)
{
    (void)state;
    for (size_t size = 1; size < 4000; size *= 2) {
        struct text used, text;

        text_init(&used, 0);
        text_reserve(&used, size);
        for (size_t i = 0; i < size; i++)
            text_putc(&used, 'x');
        text_end(&used); /* so that the memory is no fresh one */
        text_init(&text, 0);
        text_reserve(&text, size);
        assert_string_equal(text_string(&text), "");
        text_end(&text);
    }
}

static void going_over_the_limit_is_remembered_and_drops_the_rest(void **state)
{
    struct text text;

    (void)state;
    text_init(&text, 5);
    text_puts(&text, "abcde");
    assert_false(text.failed);
    text_putc(&text, 'f');
    assert_true(text.failed);
    text_clear(&text);
    text_puts(&text, "abc");
    text_printf(&text, "%s", "too long");
    text_puts(&text, "d");
    assert_true(text.failed);
    assert_string_equal(text_string(&text), "abc");
    text_end(&text);
}

static void hex_goes_there_and_back_and_is_strict(void **state)
{
    uint8_t bytes[4];
    char hex[9];

    (void)state;
    hex_encode(hex, "\x00\x9f\xff\x10", 4);
    assert_string_equal(hex, "009fff10");
    assert_true(hex_decode(bytes, 4, hex));
    assert_memory_equal(bytes, "\x00\x9f\xff\x10", 4);
    assert_false(hex_decode(bytes, 4, "009FFF10"));
    assert_false(hex_decode(bytes, 4, "009fff1"));
    assert_false(hex_decode(bytes, 4, "009fff100"));
    assert_false(hex_decode(bytes, 4, "009fff1g"));
    assert_false(hex_decode(bytes, 4, ""));
}

static void base64url_matches_rfc_4648(void **state)
{
    static const char *const rows[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
    char out[32], back[32];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        base64url_encode(out, rows[i][0], strlen(rows[i][0]));
        assert_string_equal(out, rows[i][1]);
        assert_int_equal(base64url_decode(back, sizeof(back), out), strlen(rows[i][0]));
        assert_memory_equal(back, rows[i][0], strlen(rows[i][0]));
    }
    base64url_encode(out, "\xfb\xff\xfe", 3);
    assert_string_equal(out, "-__-");
}

static void base64url_refuses_all_but_one_spelling(void **state)
{
    char back[32];

    (void)state;
    assert_int_equal(base64url_decode(back, sizeof(back), "Zg=="), -1);
    assert_int_equal(base64url_decode(back, sizeof(back), "Zh"), -1);
    assert_int_equal(base64url_decode(back, sizeof(back), "Zm9"), -1);
    assert_int_equal(base64url_decode(back, sizeof(back), "Z"), -1);
    assert_int_equal(base64url_decode(back, sizeof(back), "Zm 9"), -1);
    assert_int_equal(base64url_decode(back, sizeof(back), "+/+/"), -1);
    assert_int_equal(base64url_decode(back, 2, "Zm9v"), -1);
}

static void utf8_is_as_rfc_3629_says(void **state)
{
    static const char *const good[] = {"",
                                       "abc",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "a\xc2",
                                      "\xe2\x82",
                                      "\xf0\x90\x80",
                                      "\xc2z",
                                      "\xe2\x82z"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(utf8_is_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(utf8_is_valid(bad[i], strlen(bad[i])));
}

static void strings_compare_and_null_equals_nothing(void **state)
{
    (void)state;
    assert_true(string_is("a", "a"));
    assert_false(string_is("a", "b"));
    assert_false(string_is(NULL, NULL));
    assert_true(string_starts("abc", "ab"));
    assert_false(string_starts("ab", "abc"));
    assert_false(string_starts(NULL, "a"));
}

static void integers_are_read_strictly(void **state)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "01",
                                      "-0",
                                      "1x",
                                      "0x1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999"};
    int64_t value = 42;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(int64_parse(bad[i], INT64_MIN, INT64_MAX, &value));
    assert_false(int64_parse(NULL, INT64_MIN, INT64_MAX, &value));
    assert_false(int64_parse("11", 0, 10, &value));
    assert_int_equal(value, 42);
    assert_true(int64_parse("0", 0, 10, &value));
    assert_int_equal(value, 0);
    assert_true(int64_parse("9223372036854775807", INT64_MIN, INT64_MAX, &value));
    assert_true(value == INT64_MAX);
    assert_true(int64_parse("-9223372036854775808", INT64_MIN, INT64_MAX, &value));
    assert_true(value == INT64_MIN);
}

static void numbers_and_formatted_text_are_whole_wherever_the_room_ends(void **state)
{
    static const int64_t numbers[] = {0, 7, -1, 10, INT64_MAX, INT64_MIN};
    char expected[200];
    (void)state;
    for (int before = 0; before < 140; before++) {
        TEXT(out);
        for (int i = 0; i < before; i++)
            text_putc(&out, 'x');
        size_t at = out.size;
        text_printf(&out, "%s-%d", "forty characters, which end somewhere..", 12345);
        assert_string_equal(text_string(&out) + at, "forty characters, which end somewhere..-12345");
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
            at = out.size;
            text_integer(&out, numbers[i]);
            snprintf(expected, sizeof(expected), "%lld", (long long)numbers[i]);
            assert_string_equal(text_string(&out) + at, expected);
        }
        assert_int_equal(out.size, strlen(text_string(&out)));
    }
    struct text small;
    text_init(&small, 10);
    text_puts(&small, "1234567");
    text_printf(&small, "%d", 1234);
    assert_true(small.failed);
    assert_string_equal(text_string(&small), "1234567");
    text_end(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_formatted_text_are_whole_wherever_the_room_ends),
        cmocka_unit_test(text_grows_and_stays_terminated),
        cmocka_unit_test(room_that_was_taken_in_advance_is_an_empty_string),
        cmocka_unit_test(going_over_the_limit_is_remembered_and_drops_the_rest),
        cmocka_unit_test(hex_goes_there_and_back_and_is_strict),
        cmocka_unit_test(base64url_matches_rfc_4648),
        cmocka_unit_test(base64url_refuses_all_but_one_spelling),
        cmocka_unit_test(utf8_is_as_rfc_3629_says),
        cmocka_unit_test(strings_compare_and_null_equals_nothing),
        cmocka_unit_test(integers_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

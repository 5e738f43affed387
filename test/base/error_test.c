#include "base/error.h"

#include "base/text.h"
#include "test/base/scratch.h"

#include <errno.h>
#include <string.h>

static void setting_an_error_returns_false(void **state)
{
    struct error err = {0};

    (void)state;
    assert_false(error_set(&err, ERROR_INPUT, "the name \"%s\" is bad", "x"));
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_string_equal(err.text, "the name \"x\" is bad");
}

static void context_goes_in_front_and_the_kind_stays(void **state)
{
    struct error err = {0};

    (void)state;
    error_set(&err, ERROR_UNTRUSTED, "wrong hash");
    assert_false(error_add(&err, "object %d", 7));
    assert_int_equal(err.kind, ERROR_UNTRUSTED);
    assert_string_equal(err.text, "object 7: wrong hash");
}

static void each_errno_has_its_kind(void **state)
{
    static const struct {
        int number;
        enum error_kind kind;
    } rows[] = {{ENOENT, ERROR_MISSING}, {EEXIST, ERROR_CONFLICT}, {ENOSPC, ERROR_LIMIT},
                {EDQUOT, ERROR_LIMIT},   {EFBIG, ERROR_LIMIT},     {ELOOP, ERROR_INPUT},
                {EXDEV, ERROR_INPUT},    {EIO, ERROR_SYSTEM}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error err = {0};

        errno = rows[i].number;
        assert_false(error_errno(&err, "file"));
        assert_int_equal(err.kind, rows[i].kind);
        assert_non_null(strstr(err.text, strerror(rows[i].number)));
    }
}

static void a_long_text_is_cut_between_characters(void **state)
{
    struct error err = {0};
    char text[1000];

    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'x', shift);
        text[shift] = '\0';
        while (strlen(text) < 900)
            strcat(text, shift % 2 ? "€" : "😀");
        error_set(&err, ERROR_INPUT, "%s", text);
        assert_true(strlen(err.text) > sizeof(err.text) - 6);
        assert_true(utf8_is_valid(err.text, strlen(err.text)));
        assert_memory_equal(err.text, text, strlen(err.text));
    }
}

static void a_text_that_just_fits_is_not_cut(void **state)
{
    struct error err = {0};
    char text[sizeof(err.text)];

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text + sizeof(text) - 4, "€", 4);
    error_set(&err, ERROR_INPUT, "%s", text);
    assert_string_equal(err.text, text);
}

static void every_kind_has_its_name(void **state)
{
    (void)state;
    assert_string_equal(error_kind_name(ERROR_INPUT), "input");
    assert_string_equal(error_kind_name(ERROR_UNTRUSTED), "untrusted");
    assert_string_equal(error_kind_name(ERROR_SYSTEM), "system");
    assert_string_equal(error_kind_name((enum error_kind)99), "system");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_an_error_returns_false),
        cmocka_unit_test(context_goes_in_front_and_the_kind_stays),
        cmocka_unit_test(each_errno_has_its_kind),
        cmocka_unit_test(a_long_text_is_cut_between_characters),
        cmocka_unit_test(a_text_that_just_fits_is_not_cut),
        cmocka_unit_test(every_kind_has_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

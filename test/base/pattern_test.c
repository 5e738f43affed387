#include "base/pattern.h"

#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void patterns_that_people_write_are_fine(void **state)
{
    static const char *const good[] = {"token=[A-Za-z0-9]+",
                                       "[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}",
                                       "([0-9]{1,3}\\.){3}[0-9]{1,3}",
                                       "([0-9a-f]{2}:){5}[0-9a-f]{2}",
                                       "(key|secret|password)[ =:]+[^ ]+",
                                       "[]{(+*]+",
                                       "[[:digit:]]{4}(-[[:digit:]]{4}){3}",
                                       "x{256}",
                                       "\\+\\{9"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct error err = {0};
        regex_t regex;

        if (!pattern_check(good[i], &err))
            fail_msg("%s", err.text);
        assert_int_equal(regcomp(&regex, good[i], REG_EXTENDED), 0);
        regfree(&regex);
    }
}

/* Each of these takes the C library's compiler a thousand megabytes, minutes, or its stack. */
static void patterns_that_explode_when_they_are_written_out_are_refused(void **state)
{
    static const char *const bad[] = {"a++++++++++++++++++++++++++++++++",
                                      "((((((((((((((((((((a)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+",
                                      "((a{255}){255}){255}",
                                      "((a{,255}){,255}){,255}",
                                      "a{99}{99}{99}",
                                      "((a*){9}){9}",
                                      "(b)*{2,5}{,9}{3,}*",
                                      "[^]]{400}",
                                      "[[:alpha:]]{400}",
                                      "[[.].]]{400}",
                                      "(a)\\1"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error err = {0};

        assert_false(pattern_check(bad[i], &err));
        assert_int_equal(err.kind, ERROR_INPUT);
    }
}

static void groups_too_deep_and_words_cut_short_end_the_reading(void **state)
{
    static const char *const cut[] = {"",  "\\", "[",  "[^",  "[[:",  "[[:a", "(",
                                      ")", "{",  "a{", "a{9", "a{9,", "[]",   "[^]"};
    char deep[200];
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++)
        assert_true(pattern_check(cut[i], &err));
    memset(deep, '(', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    assert_false(pattern_check(deep, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_that_people_write_are_fine),
        cmocka_unit_test(patterns_that_explode_when_they_are_written_out_are_refused),
        cmocka_unit_test(groups_too_deep_and_words_cut_short_end_the_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

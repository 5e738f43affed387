#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repo/range.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void in(const char *range, const char *version)
{
    if (!range_holds(range, version))
        fail_msg("%s should be in \"%s\"", version, range);
}

static void out(const char *range, const char *version)
{
    struct error err = {0};
    if (!range_check(range, &err))
        fail_msg("\"%s\" is refused: %s", range, err.text);
    if (range_holds(range, version))
        fail_msg("%s should not be in \"%s\"", version, range);
}

static void refused(const char *range)
{
    struct error err = {0};
    if (range_check(range, &err))
        fail_msg("\"%s\" is accepted", range);
    assert_true(err.kind == ERROR_INPUT || err.kind == ERROR_LIMIT);
    assert_true(strlen(err.text) > 0);
    assert_false(range_holds(range, "1.0.0"));
}

static void comparators_compare_by_precedence(void **state)
{
    (void)state;
    in("1.2.3", "1.2.3"), in("=1.2.3", "1.2.3"), out("1.2.3", "1.2.4");
    in(">1.2.3", "1.2.4"), out(">1.2.3", "1.2.3"), in(">=1.2.3", "1.2.3");
    in("<1.2.3", "1.2.2"), out("<1.2.3", "1.2.3"), in("<=1.2.3", "1.2.3"), out("<=1.2.3", "1.2.4");
    in("<1.10.0", "1.9.0");
    in(">= 1.2.3", "1.3.0");
}

static void a_space_is_and_and_two_bars_are_or(void **state)
{
    (void)state;
    in(">=1.2.0 <2.0.0", "1.9.9"), out(">=1.2.0 <2.0.0", "2.0.0"), out(">=1.2.0 <2.0.0", "1.1.9");
    in("1.0.0 || >=2.0.0 <3.0.0", "1.0.0"), in("1.0.0||>=2.0.0  <3.0.0", "2.5.0");
    out("1.0.0 || >=2.0.0 <3.0.0", "1.5.0");
}

static void a_caret_keeps_the_leftmost_part_that_is_not_zero(void **state)
{
    (void)state;
    in("^1.2.3", "1.2.3"), in("^1.2.3", "1.99.0"), out("^1.2.3", "2.0.0"), out("^1.2.3", "1.2.2");
    in("^0.2.3", "0.2.9"), out("^0.2.3", "0.3.0");
    in("^0.0.3", "0.0.3"), out("^0.0.3", "0.0.4");
    in("^1", "1.9.0"), out("^1.x", "2.0.0"), in("^0", "0.9.0"), out("^0", "1.0.0");
    in("^0.0", "0.0.9"), out("^0.0", "0.1.0"), in("^0.1", "0.1.5"), out("^0.1", "0.2.0");
    in("^0.0.0", "0.0.0"), out("^0.0.0", "0.0.1");
    in("^*", "7.0.0");
}

static void a_tilde_keeps_the_minor_version(void **state)
{
    (void)state;
    in("~1.2.3", "1.2.9"), out("~1.2.3", "1.3.0"), out("~1.2.3", "1.2.2");
    in("~1.2", "1.2.0"), out("~1.2", "1.3.0"), in("~1", "1.9.9"), out("~1", "2.0.0");
}

static void parts_that_are_left_out_are_any(void **state)
{
    (void)state;
    in("*", "0.0.0"), in("x", "9.9.9"), in("1", "1.2.3"), out("1", "2.0.0"), in("1.X", "1.2.3");
    in("1.2.*", "1.2.9"), out("1.2.x", "1.3.0"), in("1.*.*", "1.9.0");
    in(">1", "2.0.0"), out(">1", "1.9.9"), in(">1.2", "1.3.0"), out(">1.2", "1.2.9");
    in(">=1.2", "1.2.0"), in("<1.2", "1.1.9"), out("<1.2", "1.2.0"), in("<=1.2", "1.2.9"),
        out("<=1.2", "1.3.0");
    in("<=1", "1.9.9"), out("<=1", "2.0.0");
    out(">*", "1.0.0"), out("<*", "0.0.0"), in(">=*", "0.0.0");
}

static void a_hyphen_holds_both_ends(void **state)
{
    (void)state;
    in("1.2.3 - 2.3.4", "1.2.3"), in("1.2.3 - 2.3.4", "2.3.4"), out("1.2.3 - 2.3.4", "2.3.5");
    in("1.2 - 2.3", "2.3.9"), out("1.2 - 2.3", "2.4.0"), in("1.2.3 - 2", "2.9.9"), out("1.2.3 - 2", "3.0.0");
    in("1.0.0 - 1.5.0 || 3", "3.1.0");
}

static void prereleases_go_only_to_those_who_asked(void **state)
{
    (void)state;
    out("*", "1.0.0-rc.1"), out(">=1.0.0", "1.1.0-rc.1"), out("^1.0.0", "1.1.0-rc.1");
    out(">=1.0.0 <2.0.0", "2.0.0-rc.1"), out("^1.0.0", "2.0.0-0");
    in(">1.2.3-alpha.3", "1.2.3-alpha.7"), in(">1.2.3-alpha.3", "3.4.5"),
        out(">1.2.3-alpha.3", "3.4.5-alpha.9");
    in("^1.2.3-beta.2", "1.2.3-beta.4"), out("^1.2.3-beta.2", "1.2.4-beta.4"), in("^1.2.3-beta.2", "1.9.0");
    in("~1.2.3-beta.2", "1.2.3-rc.1"), in("1.0.0-rc.1", "1.0.0-rc.1"), out("1.0.0-rc.1", "1.0.0");
    in("<=2.0.0-rc.3 >=2.0.0-rc.1", "2.0.0-rc.2");
    /* asked in another alternative only */
    out(">=3.0.0 || 1.0.0-rc.1", "3.1.0-rc.1");
    /* 1.2.30 is not 1.2.3 */
    out(">1.2.3-alpha.3", "1.2.30-alpha.4");
}

static void build_metadata_counts_for_nothing(void **state)
{
    (void)state;
    in("1.2.3", "1.2.3+build.7"), in("1.2.3+other", "1.2.3+build.7"), in("<=1.2.3", "1.2.3+z"),
        out(">1.2.3", "1.2.3+z");
    in("1.2.3-rc.1+a", "1.2.3-rc.1+b");
}

static void what_is_no_range_is_refused_with_a_sentence(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "||",
                                      "1.0.0 ||",
                                      "|| 1.0.0",
                                      "1.0.0 | 2.0.0",
                                      "1.0.0 |||2.0.0",
                                      "v1.0.0",
                                      "1.0.0.0",
                                      "1..0",
                                      "01.0.0",
                                      "1.0.0-",
                                      "1.0.0-01",
                                      "1.0.0+",
                                      "1.0-rc.1",
                                      "1.x-rc",
                                      "x.1.0",
                                      "1.x.3",
                                      "> ",
                                      ">",
                                      "=>1.0.0",
                                      "<>1.0.0",
                                      "~>1.0.0",
                                      "!1.0.0",
                                      "^",
                                      "^^1",
                                      "1.0.0,2.0.0",
                                      "1.0.0 - ",
                                      "- 1.0.0",
                                      "1.0.0 - >2.0.0",
                                      "1.0.0\t2.0.0",
                                      "1.0.0\n",
                                      "latest",
                                      "1.0.0\xc3\xa4",
                                      "\xff\xfe",
                                      "-1.0.0",
                                      "1.-1.0",
                                      "1.0.0 and 2.0.0",
                                      "1000000000000000.0.0",
                                      "9999999999999999999",
                                      "1.0.0-..",
                                      ".1",
                                      "1.",
                                      "1.0.",
                                      "*.",
                                      "%s%n",
                                      NULL};
    (void)state;
    for (size_t i = 0; bad[i]; i++)
        refused(bad[i]);
    refused(NULL);
}

static void sizes_are_bounded(void **state)
{
    char text[600], version[100];
    struct error err = {0};
    (void)state;
    memset(text, ' ', sizeof text);
    memcpy(text, "1.0.0", 5);
    text[256] = 0;
    assert_true(range_check(text, &err)); /* 256 bytes */
    text[256] = ' ';
    text[257] = 0;
    refused(text);
    text[0] = 0;
    for (int i = 0; i < 32; i++)
        strcat(text, ">0.0.1 ");
    assert_true(range_check(text, &err));
    strcat(text, "<9");
    refused(text);
    memset(version, 'a', sizeof version);
    memcpy(version, "1.0.0-", 6);
    version[64] = 0;
    assert_true(range_check(version, &err));
    in(version, version);
    version[64] = 'a';
    version[65] = 0;
    refused(version);
    in("<=999999999999999.x", "999999999999999.999999999999999.999999999999999");
    /* versions of any length are compared, not cut */
    out("<2", "123456789012345678901234567890.0.0");
    assert_false(range_holds("*", "no version"));
    assert_false(range_holds("*", NULL));
}

/* Whatever the bytes: an answer, nothing read beyond them (the sanitizers look), and both questions agree. */
static void any_bytes_get_an_answer(void **state)
{
    static const char letters[] = "0123456789.xX*<>=^~|- +arc\xff";
    (void)state;
    srand(7);
    for (int round = 0; round < 200000; round++) {
        size_t size = (size_t)(rand() % 24);
        char *text = malloc(size + 1); /* its own block, so that a byte too far is seen */
        struct error err = {0};
        assert_non_null(text);
        for (size_t i = 0; i < size; i++)
            text[i] = letters[(size_t)rand() % (sizeof letters - 1)];
        text[size] = 0;
        bool good = range_check(text, &err);
        assert_true(good || err.text[0]);
        if (range_holds(text, "1.2.3"))
            assert_true(good);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparators_compare_by_precedence),
        cmocka_unit_test(a_space_is_and_and_two_bars_are_or),
        cmocka_unit_test(a_caret_keeps_the_leftmost_part_that_is_not_zero),
        cmocka_unit_test(a_tilde_keeps_the_minor_version),
        cmocka_unit_test(parts_that_are_left_out_are_any),
        cmocka_unit_test(a_hyphen_holds_both_ends),
        cmocka_unit_test(prereleases_go_only_to_those_who_asked),
        cmocka_unit_test(build_metadata_counts_for_nothing),
        cmocka_unit_test(what_is_no_range_is_refused_with_a_sentence),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(any_bytes_get_an_answer),
    };
    return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}

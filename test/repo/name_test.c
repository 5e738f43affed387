#include "repo/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static void names_keep_to_the_grammar(void **state)
{
    static const char *const good[] = {"a", "0", "cam-1", "a.b_c-d", "x64", "lock"};
    static const char *const bad[] = {"",   "A",      "-a",  ".a",  "_a",       "a..b",
                                      "a.", "a.lock", "a/b", "a b", "\xc3\xa4", "a\n"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(name_is_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(name_is_valid(bad[i]));
    assert_false(name_is_valid(NULL));
    char name[NAME_SIZE + 1] = {0};
    memset(name, 'a', NAME_SIZE - 1);
    assert_true(name_is_valid(name));
    name[NAME_SIZE - 1] = 'a';
    assert_false(name_is_valid(name));
}

static void metadata_is_no_product(void **state)
{
    struct error err = {0};
    (void)state;
    assert_false(name_check("product", "metadata", &err));
    assert_true(name_check("asset", "metadata", &err));
}

static void file_paths_keep_to_the_grammar(void **state)
{
    static const char *const good[] = {"a",     "a/b.bin",     " a",  "...", "a/..b", "git",
                                       "x.git", "caf\xc3\xa9", "*?[", "#a",  "!a",    "\"q\""};
    static const char *const bad[] = {"",     "/",      "/a",    "a/",       "a//b",        ".",
                                      "..",   "a/../b", ".git",  "a/.GIT/x", ".gitmodules", "git~1",
                                      "a\\b", "a\x01",  "a\x7f", "\xff",     "\xc2\x9f",    "\xed\xa0\x80"};
    char long_part[300], deep[200] = "";
    struct error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!asset_path_check(good[i], strlen(good[i]), &err))
            fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(asset_path_check(bad[i], strlen(bad[i]), &err));
    assert_false(asset_path_check("a\0b", 3, &err));
    memset(long_part, 'a', sizeof long_part);
    assert_true(asset_path_check(long_part, 255, &err));
    assert_false(asset_path_check(long_part, 256, &err));
    for (int i = 0; i < 31; i++)
        strcat(deep, "d/");
    strcat(deep, "f");
    assert_true(asset_path_check(deep, strlen(deep), &err));
    strcat(deep, "/g");
    assert_false(asset_path_check(deep, strlen(deep), &err));
}

static void names_are_split_at_slash_and_at(void **state)
{
    char product[NAME_SIZE], asset[NAME_SIZE], version[VERSION_SIZE];
    struct error err = {0};
    (void)state;
    assert_true(asset_name_split("demo/cam@1.0.0-rc.1+b", product, asset, version, &err));
    assert_string_equal(product, "demo");
    assert_string_equal(asset, "cam");
    assert_string_equal(version, "1.0.0-rc.1+b");
    assert_true(asset_name_split("demo/cam", product, asset, NULL, &err));
    static const char *const bad[] = {"demo", "demo/", "/cam", "demo/cam/x", "de@mo/cam", "metadata/x", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(asset_name_split(bad[i], product, asset, NULL, &err));
    assert_false(asset_name_split("demo/cam@1.0.0", product, asset, NULL, &err));
    assert_false(asset_name_split("demo/cam", product, asset, version, &err));
}

static void versions_keep_to_semver(void **state)
{
    static const char *const good[] = {"0.0.0",     "1.2.3",   "1.0.0-alpha.1", "1.0.0-0a",
                                       "1.0.0+001", "1.0.0--", "1.0.0-a+b.c",   "99999999999999999999.0.0"};
    static const char *const bad[] = {"",       "1",         "1.2",          "1.2.3.4",    "01.2.3",
                                      "1.2.3-", "1.2.3-01",  "1.2.3+",       "1.2.3-a..b", "v1.2.3",
                                      "1.2.3 ", "1.2.3-a_b", "1.2.3-x.lock", "1.-1.0",     "1.2.x"};
    struct error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!version_check(good[i], &err))
            fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (version_check(bad[i], &err))
            fail_msg("\"%s\" passed", bad[i]);
}

static void versions_are_ordered_by_precedence(void **state)
{
    /* semver.org, item 11, and then by build. */
    static const char *const order[] = {
        "0.9.9",      "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta",
        "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
        "1.0.0",      "1.0.0+a",      "1.0.0+b",       "1.0.1",
        "1.2.0",      "1.10.0",       "2.0.0",         "18446744073709551616.0.0"};
    (void)state;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
            int real = version_compare(order[i], order[k]);
            if ((real < 0) != (i < k) || (real > 0) != (i > k))
                fail_msg("%s and %s compare as %d", order[i], order[k], real);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_keep_to_the_grammar),
        cmocka_unit_test(metadata_is_no_product),
        cmocka_unit_test(file_paths_keep_to_the_grammar),
        cmocka_unit_test(names_are_split_at_slash_and_at),
        cmocka_unit_test(versions_keep_to_semver),
        cmocka_unit_test(versions_are_ordered_by_precedence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

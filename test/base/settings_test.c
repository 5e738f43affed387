#include "base/settings.h"

#include "test/base/scratch.h"

#include <string.h>

struct example {
    const char *name;
    int64_t count;
    bool loud;
    char **command;
};
static const struct setting table[] = {
    {"app.name", SETTING_TEXT, "none", 0, 0, offsetof(struct example, name), "its name"},
    {"app.count", SETTING_INTEGER, "3", 1, 10, offsetof(struct example, count), "how many"},
    {"app.loud", SETTING_BOOLEAN, NULL, 0, 0, offsetof(struct example, loud), "whether"},
    {"app.command", SETTING_ARGV, NULL, 0, 0, offsetof(struct example, command), "what to start"},
    {NULL, SETTING_TEXT, NULL, 0, 0, 0, NULL},
};

static void defaults_fill_every_member(void **state)
{
    ARENA(arena);
    struct error err = {0};
    struct example example;

    (void)state;
    memset(&example, 0xff, sizeof(example));
    assert_ok(settings_defaults(&arena, table, &example, &err), err);
    assert_string_equal(example.name, "none");
    assert_int_equal(example.count, 3);
    assert_false(example.loud);
    assert_null(example.command);
}

static void a_file_replaces_what_it_names(void **state)
{
    ARENA(arena);
    struct error err = {0};
    struct example example;

    (void)state;
    assert_ok(settings_defaults(&arena, table, &example, &err), err);
    assert_ok(settings_read(&arena, table,
                            "# a comment\n\n  app.name=a = b # not a comment \r\napp.loud = yes\n"
                            "app.command = /bin/app \"one two\" x\"y z\" \"\"",
                            &example, &err),
              err);
    assert_string_equal(example.name, "a = b # not a comment");
    assert_int_equal(example.count, 3);
    assert_true(example.loud);
    assert_string_equal(example.command[0], "/bin/app");
    assert_string_equal(example.command[1], "one two");
    assert_string_equal(example.command[2], "xy z");
    assert_string_equal(example.command[3], "");
    assert_null(example.command[4]);
}

static void a_bad_line_is_named_with_its_number(void **state)
{
    static const char *const rows[][2] = {
        {"\napp.nmae = x", "line 2: there is no setting \"app.nmae\""},
        {"app.name = a\napp.name = b", "line 2: app.name stands there twice"},
        {"app.count = 11", "line 1: app.count must be an integer from 1 to 10"},
        {"app.count = 1x", "line 1: app.count must be an integer from 1 to 10"},
        {"app.count =", "line 1: app.count must be an integer from 1 to 10"},
        {"app.loud = true", "line 1: app.loud must be yes or no"},
        {"app.command = a \"b", "line 1: app.command: a double quote is not closed"},
        {"just words", "line 1: \"just words\" is not name = value"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ARENA(arena);
        struct error err = {0};
        struct example example = {0};

        assert_refused(settings_read(&arena, table, rows[i][0], &example, &err), err, ERROR_INPUT);
        assert_string_equal(err.text, rows[i][1]);
    }
}

static void words_split_without_a_shell(void **state)
{
    ARENA(arena);
    struct error err = {0};
    char **argv = argv_split(&arena, " \t a  b\tc\\ $d `e` 'f g' ", &err);
    static const char *const wanted[] = {"a", "b", "c\\", "$d", "`e`", "'f", "g'"};

    (void)state;
    for (size_t i = 0; i < 7; i++)
        assert_string_equal(argv[i], wanted[i]);
    assert_null(argv[7]);
    assert_null(argv_split(&arena, "", &err)[0]);
    assert_null(argv_split(&arena, "\"", &err));
    assert_int_equal(err.kind, ERROR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_every_member),
        cmocka_unit_test(a_file_replaces_what_it_names),
        cmocka_unit_test(a_bad_line_is_named_with_its_number),
        cmocka_unit_test(words_split_without_a_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What devices and people wrote reaches a terminal as text, never as orders to it. */
#include "console/cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void words_from_outside_give_a_terminal_no_orders(void **state)
{
    struct cli cli = {0};

    (void)state;
    assert_string_equal(cli_safe(&cli, "a\x1b[2Jb\x7f"), "a?[2Jb?");
    assert_string_equal(cli_safe(&cli, "a\xc2\x9b"
                                       "2Jb"),
                        "a??2Jb");
    assert_string_equal(cli_safe(&cli, "l\xc3\xa4uft\tbei 30 \xc2\xb0"
                                       "C\n"),
                        "l\xc3\xa4uft bei 30 \xc2\xb0"
                        "C ");
    assert_string_equal(cli_safe(&cli, "\xc2"), "\xc2");
    arena_end(&cli.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_from_outside_give_a_terminal_no_orders)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

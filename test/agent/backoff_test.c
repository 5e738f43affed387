#include "agent/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static int64_t longest_of(struct backoff start, int tries)
{
    int64_t longest = 0;

    for (int i = 0; i < tries; i++) {
        struct backoff backoff = start;
        int64_t wait = backoff_next(&backoff);
        assert_true(wait >= 50);
        longest = wait > longest ? wait : longest;
    }
    return longest;
}

static void the_wait_doubles_with_each_failure_up_to_the_limit(void **state)
{
    (void)state;
    for (int failures = 0; failures < 20; failures++) {
        struct backoff backoff = {.failures = failures, .limit_ms = 60000};
        int64_t most = failures < 6 ? 1000LL << failures : 60000;
        int64_t longest = longest_of(backoff, 2000);
        assert_true(longest <= most);
        assert_true(longest > most * 9 / 10); /* all of the room is used */
    }
}

static void a_limit_below_a_second_is_a_second(void **state)
{
    (void)state;
    int64_t longest = longest_of((struct backoff){.failures = 10, .limit_ms = 10}, 2000);
    assert_true(longest <= 1000 && longest > 900);
}

static void success_begins_anew(void **state)
{
    (void)state;
    struct backoff backoff = {.limit_ms = 60000};

    for (int i = 0; i < 8; i++)
        backoff_next(&backoff);
    backoff_reset(&backoff);
    assert_true(longest_of(backoff, 500) <= 1000);
}

static void jitter_stays_within_its_part_and_uses_it(void **state)
{
    (void)state;
    int64_t least = INT64_MAX, most = 0;

    for (int i = 0; i < 5000; i++) {
        int64_t wait = jitter(10000, 10);
        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
    }
    assert_true(least >= 9000 && least < 9100);
    assert_true(most <= 11000 && most > 10900);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wait_doubles_with_each_failure_up_to_the_limit),
        cmocka_unit_test(a_limit_below_a_second_is_a_second),
        cmocka_unit_test(success_begins_anew),
        cmocka_unit_test(jitter_stays_within_its_part_and_uses_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

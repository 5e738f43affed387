/* The scheduler's thread: periods, and steps that have more to do. */
#include "test/base/scratch.h"

#include "base/clock.h"
#include "console/scheduler.h"

#include <stdatomic.h>
#include <time.h>

#define PATIENCE_MS 20000

static _Atomic int parts, rests;

/* Has more to do until it was called five times. */
static bool in_parts(struct console *console, struct error *err)
{
    (void)err;
    console->step_has_more = ++parts < 5;
    return true;
}

static bool seldom(struct console *console, struct error *err)
{
    (void)console, (void)err;
    rests++;
    return true;
}

static void a_step_that_has_more_is_called_again_before_its_period_is_over(void **state)
{
    static const struct scheduler_row table[] = {
        {"in_parts", 3600000, in_parts}, {"seldom", 3600000, seldom}, {0}};
    static struct console console;
    const struct timespec pause = {.tv_nsec = 5000000};
    int64_t until = clock_boot_ms() + PATIENCE_MS;
    struct error err = {0};

    (void)state;
    struct scheduler *scheduler = scheduler_start(&console, table, &err);
    assert_ok(scheduler, err);
    while (parts < 5 && clock_boot_ms() < until)
        nanosleep(&pause, NULL);
    scheduler_stop(scheduler);
    assert_int_equal(parts, 5);
    assert_int_equal(rests, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_that_has_more_is_called_again_before_its_period_is_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

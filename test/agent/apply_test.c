/* When a version is due, in zones with and without daylight saving. */
#include "agent/apply.h"
#include "agent/facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static int64_t at(const char *text)
{
    int64_t time;

    assert_true(time_parse(text, &time));
    return time;
}

static bool is_open(const char *zone, const char *window, const char *when)
{
    struct apply apply = {0};
    struct apply_now now = {.time = at(when), .time_known = true};

    strcpy(apply.window, window);
    setenv("TZ", zone, 1);
    return apply_is_due(&apply, 0, &now, NULL, 0);
}

/* Central Europe as a rule, so that no zone files are needed. */
#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"

static void a_window_is_of_the_devices_own_time_on_both_sides_of_daylight_saving(void **state)
{
    (void)state;
    assert_true(is_open(BERLIN, "02:00-05:00", "2026-01-15T01:00:00Z"));
    assert_false(is_open(BERLIN, "02:00-05:00", "2026-01-15T00:59:59Z"));
    assert_false(is_open(BERLIN, "02:00-05:00", "2026-01-15T04:00:00Z"));
    assert_true(is_open(BERLIN, "02:00-05:00", "2026-07-15T00:00:00Z"));
    assert_true(is_open(BERLIN, "02:00-05:00", "2026-07-15T02:59:59Z"));
    assert_false(is_open(BERLIN, "02:00-05:00", "2026-07-15T03:00:00Z"));
    assert_true(is_open("UTC0", "02:00-05:00", "2026-07-15T03:00:00Z"));
    /* 2026-03-29 has no 02:00 to 03:00: the window begins with what is there of it */
    assert_false(is_open(BERLIN, "02:00-05:00", "2026-03-29T00:59:59Z"));
    assert_true(is_open(BERLIN, "02:00-05:00", "2026-03-29T01:00:00Z"));
    assert_false(is_open(BERLIN, "02:15-02:45", "2026-03-29T01:30:00Z"));
    /* 2026-10-25 has that hour twice */
    assert_true(is_open(BERLIN, "02:15-02:45", "2026-10-25T00:30:00Z"));
    assert_true(is_open(BERLIN, "02:15-02:45", "2026-10-25T01:30:00Z"));
}

static void a_window_may_span_midnight(void **state)
{
    (void)state;
    assert_true(is_open("UTC0", "22:00-04:00", "2026-01-15T22:00:00Z"));
    assert_true(is_open("UTC0", "22:00-04:00", "2026-01-15T03:59:59Z"));
    assert_false(is_open("UTC0", "22:00-04:00", "2026-01-15T04:00:00Z"));
    assert_false(is_open("UTC0", "22:00-04:00", "2026-01-15T21:59:59Z"));
}

static void a_time_counts_only_with_a_clock_that_is_trusted(void **state)
{
    (void)state;
    struct apply apply = {.after = 1000};
    struct apply_now now = {.time = 999, .time_known = true};
    char why[100];

    assert_false(apply_is_due(&apply, 0, &now, why, sizeof(why)));
    assert_string_equal(why, "waits until 1970-01-01T00:16:40Z");
    now.time = 1000;
    assert_true(apply_is_due(&apply, 0, &now, why, sizeof(why)));
    now.time_known = false;
    assert_false(apply_is_due(&apply, 0, &now, why, sizeof(why)));
    assert_true(apply_is_due(&(struct apply){0}, 0, &now, why, sizeof(why)));
}

static void on_start_means_another_start_than_the_one_that_accepted_it(void **state)
{
    (void)state;
    struct apply apply = {.on_start = true};
    struct apply_now now = {.start = 4};

    assert_false(apply_is_due(&apply, 4, &now, NULL, 0));
    now.start = 5;
    assert_true(apply_is_due(&apply, 4, &now, NULL, 0));
}

static void the_zone_is_a_name_or_utc_never_a_rule(void **state)
{
    (void)state;
    char zone[ZONE_SIZE];

    setenv("TZ", "Europe/Berlin", 1);
    assert_string_equal(zone_name(zone), "Europe/Berlin");
    setenv("TZ", ":America/Argentina/Buenos_Aires", 1);
    assert_string_equal(zone_name(zone), "America/Argentina/Buenos_Aires");
    for (const char **rule = (const char *[]){BERLIN, "<+06>-6", "../../etc/passwd", "", NULL}; *rule;
         rule++) {
        setenv("TZ", *rule, 1);
        assert_string_not_equal(zone_name(zone), *rule);
        assert_null(strpbrk(zone, "<>,. "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_is_of_the_devices_own_time_on_both_sides_of_daylight_saving),
        cmocka_unit_test(a_window_may_span_midnight),
        cmocka_unit_test(a_time_counts_only_with_a_clock_that_is_trusted),
        cmocka_unit_test(on_start_means_another_start_than_the_one_that_accepted_it),
        cmocka_unit_test(the_zone_is_a_name_or_utc_never_a_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

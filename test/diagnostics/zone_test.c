/* Time zones with daylight saving: what clocks show, gaps, overlaps, hostile names. The moments are written
 * as UTC, from tzdata by another reader (Python's zoneinfo). */
#include "test/base/scratch.h"

#include "base/clock.h"
#include "diagnostics/zone.h"

#include <pthread.h>

static int64_t utc(const char *text)
{
    int64_t at = 0;

    assert_true(time_parse(text, &at));
    return at;
}

struct moment {
    const char *zone;
    int year, month, day, minutes;
    const char *utc;
};
static const struct moment moments[] = {
    {"Europe/Berlin", 2026, 3, 28, 120, "2026-03-28T01:00:00Z"},
    {"Europe/Berlin", 2026, 3, 30, 120, "2026-03-30T00:00:00Z"},
    {"Europe/Berlin", 2026, 10, 26, 150, "2026-10-26T01:30:00Z"},
    {"America/New_York", 2026, 3, 9, 150, "2026-03-09T06:30:00Z"},
    {"Asia/Kolkata", 2026, 3, 29, 120, "2026-03-28T20:30:00Z"},
    {"Australia/Lord_Howe", 2026, 10, 4, 165, "2026-10-03T15:45:00Z"},
    {"Australia/Lord_Howe", 2026, 7, 1, 120, "2026-06-30T15:30:00Z"},
    {"UTC", 2026, 3, 29, 120, "2026-03-29T02:00:00Z"},
    /* beyond the last change that tzdata writes out */
    {"Europe/Berlin", 2045, 7, 1, 720, "2045-07-01T10:00:00Z"},
    {"America/New_York", 2045, 1, 1, 720, "2045-01-01T17:00:00Z"},
};

static void local_times_and_moments_are_each_others_inverse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        const struct moment *one = &moments[i];
        bool known = false;
        struct zone *zone = zone_open(one->zone, &known);
        int64_t day = day_of_date(one->year, one->month, one->day);

        assert_true(known);
        assert_int_equal(zone_moment(zone, day, one->minutes * 60), utc(one->utc));
        struct zone_time shown = zone_local(zone, utc(one->utc));
        assert_int_equal(shown.day, day);
        assert_int_equal(shown.seconds, one->minutes * 60);
        zone_close(zone);
    }
}

static const struct moment gaps[] = {
    {"Europe/Berlin", 2026, 3, 29, 120, "2026-03-29T01:00:00Z"},
    {"Europe/Berlin", 2026, 3, 29, 179, "2026-03-29T01:00:00Z"},
    {"America/New_York", 2026, 3, 8, 150, "2026-03-08T07:00:00Z"},
    {"Australia/Lord_Howe", 2026, 10, 4, 135, "2026-10-03T15:30:00Z"},
};

static void a_time_that_is_left_out_is_the_first_moment_after(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof gaps / sizeof *gaps; i++) {
        struct zone *zone = zone_open(gaps[i].zone, NULL);
        int64_t day = day_of_date(gaps[i].year, gaps[i].month, gaps[i].day);

        assert_int_equal(zone_moment(zone, day, gaps[i].minutes * 60), utc(gaps[i].utc));
        zone_close(zone);
    }
}

static const struct moment overlaps[] = {
    {"Europe/Berlin", 2026, 10, 25, 150, "2026-10-25T00:30:00Z"},
    {"America/New_York", 2026, 11, 1, 90, "2026-11-01T05:30:00Z"},
    {"Australia/Lord_Howe", 2026, 4, 5, 105, "2026-04-04T14:45:00Z"},
};

static void a_time_that_comes_twice_is_the_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof overlaps / sizeof *overlaps; i++) {
        struct zone *zone = zone_open(overlaps[i].zone, NULL);
        int64_t day = day_of_date(overlaps[i].year, overlaps[i].month, overlaps[i].day);

        assert_int_equal(zone_moment(zone, day, overlaps[i].minutes * 60), utc(overlaps[i].utc));
        zone_close(zone);
    }
}

static void a_name_that_is_unknown_or_a_path_is_utc_and_said_so(void **state)
{
    static const char *const names[] = {"",
                                        "Europe/Atlantis",
                                        "../../etc/passwd",
                                        "/etc/localtime",
                                        "Europe/../UTC",
                                        "Europe//Berlin",
                                        "Europe/",
                                        "+05:30",
                                        "Berlin\n",
                                        NULL};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bool known = true;
        struct zone *zone = zone_open(names[i], &known);

        assert_false(known);
        assert_int_equal(zone_offset(zone, 1782833400), 0);
        zone_close(zone);
    }
}

static void a_moment_is_written_as_its_zone_shows_it(void **state)
{
    struct zone *berlin = zone_open("Europe/Berlin", NULL), *york = zone_open("America/New_York", NULL);
    char text[ZONE_TEXT];

    (void)state;
    assert_string_equal(zone_text(berlin, utc("2026-03-29T01:00:00Z"), text), "2026-03-29T03:00+02:00");
    assert_string_equal(zone_text(york, utc("2026-01-01T02:05:00Z"), text), "2025-12-31T21:05-05:00");
    zone_close(berlin);
    zone_close(york);
}

static void dates_are_those_of_the_calendar(void **state)
{
    int64_t day;
    int year, month, date;

    (void)state;
    assert_int_equal(day_of_date(1970, 1, 1), 0);
    assert_int_equal(day_weekday(0), 3);
    assert_true(date_parse("2028-02-29", &day));
    date_of_day(day, &year, &month, &date);
    assert_true(year == 2028 && month == 2 && date == 29);
    assert_int_equal(day_weekday(day), 1);
    assert_false(date_parse("2026-02-29", &day) || date_parse("2026-13-01", &day) ||
                 date_parse("2026-1-01", &day) || date_parse("26-01-01", &day) ||
                 date_parse("2026-01-0-", &day) || date_parse(NULL, &day));
}

static void *open_many(void *context)
{
    (void)context;
    for (int i = 0; i < 200; i++) {
        struct zone *zone = zone_open(i % 2 ? "Europe/Berlin" : "Asia/Kolkata", NULL);
        assert_int_equal(zone_offset(zone, 1767225600), i % 2 ? 3600 : 19800);
        zone_close(zone);
    }
    return NULL;
}

static void zones_are_opened_by_many_threads_at_once(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_times_and_moments_are_each_others_inverse),
        cmocka_unit_test(a_time_that_is_left_out_is_the_first_moment_after),
        cmocka_unit_test(a_time_that_comes_twice_is_the_first),
        cmocka_unit_test(a_name_that_is_unknown_or_a_path_is_utc_and_said_so),
        cmocka_unit_test(a_moment_is_written_as_its_zone_shows_it),
        cmocka_unit_test(dates_are_those_of_the_calendar),
        cmocka_unit_test(zones_are_opened_by_many_threads_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* When runs are: windows, rules, ends, blackouts, and both changes of daylight saving, by a table of zones.
 */
#include "test/base/scratch.h"

#include "base/clock.h"
#include "diagnostics/schedule.h"

#include <stdio.h>
#include <string.h>

static int64_t utc(const char *text)
{
    int64_t at = 0;

    assert_true(time_parse(text, &at));
    return at;
}

static struct schedule plan(struct arena *arena, const char *at, const char *window, const char *repeat,
                            const char *until, const char *blackout)
{
    struct schedule schedule;
    struct error err = {0};
    const struct json *dates =
        blackout ? json_read(arena, blackout, strlen(blackout), &json_limits_small, &err) : NULL;
    const struct schedule_words words = {at, window, repeat, until, dates};

    assert_ok(schedule_read(arena, &words, &schedule, &err), err);
    return schedule;
}

/* The next starts in a zone after a moment, as "03-28 01:00 03-29 01:00 …" in UTC. */
static const char *starts(struct arena *arena, const struct schedule *schedule, const char *name,
                          const char *now, size_t most)
{
    struct span spans[8];
    struct zone *zone = zone_open(name, NULL);
    size_t count = schedule_next(schedule, zone, utc(now), spans, most);
    const char *all = "";
    char text[TIME_TEXT];

    for (size_t i = 0; i < count; i++) {
        time_text(spans[i].start, text);
        all = arena_printf(arena, "%s%s%.5s %.5s", all, i ? " " : "", text + 5, text + 11);
        assert_true(spans[i].before > spans[i].start);
    }
    zone_close(zone);
    return all;
}

static void a_daily_window_keeps_its_local_time_across_both_changes(void **state)
{
    static const struct {
        const char *zone, *now, *starts;
    } rows[] = {
        {"Europe/Berlin", "2026-03-27T12:00:00Z", "03-28 01:00 03-29 01:00 03-30 00:00"},
        {"Europe/Berlin", "2026-10-23T12:00:00Z", "10-24 00:00 10-25 00:00 10-26 01:00"},
        {"America/New_York", "2026-03-07T00:00:00Z", "03-07 07:00 03-08 07:00 03-09 06:00"},
        {"America/New_York", "2026-10-31T00:00:00Z", "10-31 06:00 11-01 07:00 11-02 07:00"},
        {"Asia/Kolkata", "2026-03-27T12:00:00Z", "03-27 20:30 03-28 20:30 03-29 20:30"},
        {"Australia/Lord_Howe", "2026-10-02T00:00:00Z", "10-02 15:30 10-03 15:30 10-04 15:00"},
        {"Australia/Lord_Howe", "2026-04-03T00:00:00Z", "04-03 15:00 04-04 15:30 04-05 15:30"},
        {"UTC", "2026-03-27T12:00:00Z", "03-28 02:00 03-29 02:00 03-30 02:00"},
    };
    ARENA(arena);
    struct schedule schedule = plan(&arena, NULL, "02:00-05:00", "daily", NULL, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(starts(&arena, &schedule, rows[i].zone, rows[i].now, 3), rows[i].starts);
}

static void a_window_that_is_left_out_keeps_its_length_after_the_gap(void **state)
{
    ARENA(arena);
    struct schedule schedule = plan(&arena, NULL, "02:00-03:00", "daily", NULL, NULL);
    struct zone *zone = zone_open("Europe/Berlin", NULL);
    struct span span = schedule_span(&schedule, zone, day_of_date(2026, 3, 29));

    (void)state;
    assert_int_equal(span.start, utc("2026-03-29T01:00:00Z"));
    assert_int_equal(span.before, utc("2026-03-29T02:00:00Z"));
    zone_close(zone);
}

static void a_window_over_midnight_ends_the_next_day(void **state)
{
    ARENA(arena);
    struct schedule schedule = plan(&arena, NULL, "23:00-01:00", "weekly:mon", NULL, NULL);
    struct zone *zone = zone_open("Europe/Berlin", NULL);
    struct span span = schedule_span(&schedule, zone, day_of_date(2026, 11, 23));

    (void)state;
    assert_int_equal(span.start, utc("2026-11-23T22:00:00Z"));
    assert_int_equal(span.before, utc("2026-11-24T00:00:00Z"));
    /* Tuesday, half past midnight: Monday's window is still open. */
    assert_string_equal(starts(&arena, &schedule, "Europe/Berlin", "2026-11-23T23:30:00Z", 2),
                        "11-23 22:00 11-30 22:00");
    zone_close(zone);
}

static void rules_name_weekdays_and_days_of_the_month_with_ends_and_blackouts(void **state)
{
    ARENA(arena);
    struct schedule weekly = plan(&arena, NULL, "02:00-05:00", "weekly:mon,thu", NULL, "[\"2026-11-26\"]");
    struct schedule monthly = plan(&arena, NULL, "02:00-05:00", "monthly:31,last", "2027-03-30", NULL);
    struct schedule until = plan(&arena, NULL, "02:00-05:00", "daily", "2026-11-23T02:00:00Z", NULL);

    (void)state;
    assert_string_equal(starts(&arena, &weekly, "UTC", "2026-11-21T00:00:00Z", 4),
                        "11-23 02:00 11-30 02:00 12-03 02:00 12-07 02:00");
    assert_string_equal(starts(&arena, &monthly, "UTC", "2026-11-21T00:00:00Z", 8),
                        "11-30 02:00 12-31 02:00 01-31 02:00 02-28 02:00");
    assert_string_equal(starts(&arena, &until, "UTC", "2026-11-21T00:00:00Z", 8),
                        "11-21 02:00 11-22 02:00 11-23 02:00");
}

static void without_a_window_the_time_of_day_is_the_devices_own(void **state)
{
    ARENA(arena);
    struct schedule schedule = plan(&arena, "2026-03-28T09:30", NULL, "daily", NULL, NULL);

    (void)state;
    assert_string_equal(starts(&arena, &schedule, "Europe/Berlin", "2026-03-01T00:00:00Z", 2),
                        "03-28 08:30 03-29 07:30");
    assert_string_equal(starts(&arena, &schedule, "Asia/Kolkata", "2026-03-01T00:00:00Z", 2),
                        "03-28 04:00 03-29 04:00");
}

static void once_in_a_window_is_the_first_moment_inside_it(void **state)
{
    ARENA(arena);
    struct schedule schedule = plan(&arena, NULL, "02:00-05:00", NULL, NULL, NULL);
    struct schedule later = plan(&arena, "2026-11-25T06:00:00Z", "02:00-05:00", NULL, NULL, NULL);
    struct zone *zone = zone_open("Europe/Berlin", NULL);

    (void)state;
    struct span inside = schedule_once(&schedule, zone, utc("2026-11-21T02:10:00Z"));
    assert_int_equal(inside.start, utc("2026-11-21T02:10:00Z"));
    assert_int_equal(inside.before, utc("2026-11-21T04:00:00Z"));
    struct span after = schedule_once(&schedule, zone, utc("2026-11-21T04:00:00Z"));
    assert_int_equal(after.start, utc("2026-11-22T01:00:00Z"));
    assert_int_equal(schedule_once(&later, zone, utc("2026-11-21T00:00:00Z")).start,
                     utc("2026-11-26T01:00:00Z"));
    zone_close(zone);
}

static void an_occurrence_is_one_date_for_all_zones_and_none_of_them_has_missed_it(void **state)
{
    ARENA(arena);
    struct schedule schedule = plan(&arena, NULL, "02:00-05:00", "daily", NULL, NULL);
    struct zone *zones[] = {zone_open("Asia/Kolkata", NULL), zone_open("America/New_York", NULL)};
    struct occurrence found;

    (void)state;
    /* In Kolkata the window of the 21st is over, in New York it is still to come. */
    assert_true(schedule_occurrence(&schedule, zones, 2, 0, utc("2026-11-21T00:00:00Z"), &found));
    assert_int_equal(found.day, day_of_date(2026, 11, 22));
    assert_int_equal(found.start, utc("2026-11-21T20:30:00Z"));
    assert_int_equal(found.before, utc("2026-11-22T10:00:00Z"));
    zone_close(zones[0]);
    zone_close(zones[1]);
}

static void words_that_say_no_schedule_are_refused_with_their_member(void **state)
{
    static const struct {
        struct schedule_words words;
        const char *says;
    } rows[] = {
        {{.repeat = "hourly", .window = "02:00-05:00"}, "repeat"},
        {{.repeat = "weekly:", .window = "02:00-05:00"}, "repeat"},
        {{.repeat = "weekly:mon,,tue", .window = "02:00-05:00"}, "repeat"},
        {{.repeat = "monthly:0", .window = "02:00-05:00"}, "repeat"},
        {{.repeat = "monthly:32", .window = "02:00-05:00"}, "repeat"},
        {{.repeat = "daily"}, "window"},
        {{.window = "2:00-5:00"}, "window"},
        {{.window = "02:00-02:00"}, "window"},
        {{.window = "02:00-24:00"}, "window"},
        {{.at = "tomorrow"}, "at"},
        {{.at = "2026-11-21T25:00", .repeat = "daily"}, "at"},
        {{.at = "2026-02-30T10:00", .repeat = "daily"}, "at"},
        {{.until = "2026-11-31", .repeat = "daily", .window = "02:00-05:00"}, "until"},
        {{.until = "2026-11-30", .window = "02:00-05:00"}, "until"},
    };
    ARENA(arena);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct schedule schedule;
        struct error err = {0};

        assert_refused(schedule_read(&arena, &rows[i].words, &schedule, &err), err, ERROR_INPUT);
        assert_non_null(strstr(err.text, rows[i].says));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_daily_window_keeps_its_local_time_across_both_changes),
        cmocka_unit_test(a_window_that_is_left_out_keeps_its_length_after_the_gap),
        cmocka_unit_test(a_window_over_midnight_ends_the_next_day),
        cmocka_unit_test(rules_name_weekdays_and_days_of_the_month_with_ends_and_blackouts),
        cmocka_unit_test(without_a_window_the_time_of_day_is_the_devices_own),
        cmocka_unit_test(once_in_a_window_is_the_first_moment_inside_it),
        cmocka_unit_test(an_occurrence_is_one_date_for_all_zones_and_none_of_them_has_missed_it),
        cmocka_unit_test(words_that_say_no_schedule_are_refused_with_their_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

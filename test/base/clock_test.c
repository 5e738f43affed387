#include "base/clock.h"

#include "test/base/scratch.h"

#include <time.h>

static void the_wall_clock_can_be_moved_and_boot_time_cannot(void **state)
{
    int64_t boot = clock_boot_ms();

    (void)state;
    assert_in_range(clock_now(), time(NULL), time(NULL) + 1);
    clock_shift(86400);
    assert_in_range(clock_now(), time(NULL) + 86400, time(NULL) + 86401);
    assert_in_range(clock_now_ms() / 1000, time(NULL) + 86400, time(NULL) + 86401);
    assert_in_range(clock_boot_ms(), boot, boot + 60000);
    clock_shift(0);
    assert_in_range(clock_now(), time(NULL), time(NULL) + 1);
}

static void times_are_written_in_rfc_3339(void **state)
{
    char out[TIME_TEXT];

    (void)state;
    assert_string_equal(time_text(0, out), "1970-01-01T00:00:00Z");
    assert_string_equal(time_text(1795232856, out), "2026-11-21T03:47:36Z");
    assert_string_equal(time_text(INT64_MAX, out), "9999-12-31T23:59:59Z");
    assert_string_equal(time_text(INT64_MIN, out), "0000-01-01T00:00:00Z");
}

static void times_are_read_with_their_zone(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } rows[] = {{"1970-01-01T00:00:00Z", 0},
                {"2026-11-21T03:47:36Z", 1795232856},
                {"2026-11-21T03:47:36.987654321Z", 1795232856},
                {"2026-11-21T05:17:36+01:30", 1795232856},
                {"2026-11-20T22:47:36-05:00", 1795232856},
                {"2024-02-29T00:00:00Z", 1709164800},
                {"1969-12-31T23:59:59Z", -1}};
    int64_t seconds;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(time_parse(rows[i].text, &seconds));
        assert_true(seconds == rows[i].seconds);
    }
}

static void malformed_times_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "2026-11-21",
                                      "2026-11-21T03:47:36",
                                      "2026-11-21T03:47Z",
                                      "2026-13-21T03:47:36Z",
                                      "2026-02-29T03:47:36Z",
                                      "2026-04-31T03:47:36Z",
                                      "2026-11-21T24:00:00Z",
                                      "2026-11-21T03:60:36Z",
                                      "2026-11-21T03:47:36.Z",
                                      "2026-11-21T03:47:36+0130",
                                      "2026-11-21T03:47:36+24:00",
                                      "2026-11-21T03:47:36Zx",
                                      "+026-11-21T03:47:36Z",
                                      "26-11-21T03:47:36Z",
                                      "2026-11-21T 3:47:36Z"};
    int64_t seconds;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(time_parse(bad[i], &seconds));
    assert_false(time_parse(NULL, &seconds));
}

static void durations_have_units(void **state)
{
    static const char *const bad[] = {"",    "s",  "-1",  "-1s",       "1.5h",
                                      "1 h", "1w", "1hs", "99999999d", "9223372036854775807d"};
    int64_t seconds;

    (void)state;
    assert_true(duration_parse("90", &seconds) && seconds == 90);
    assert_true(duration_parse("90s", &seconds) && seconds == 90);
    assert_true(duration_parse("15m", &seconds) && seconds == 900);
    assert_true(duration_parse("2h", &seconds) && seconds == 7200);
    assert_true(duration_parse("1d", &seconds) && seconds == 86400);
    assert_true(duration_parse("0", &seconds) && seconds == 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(duration_parse(bad[i], &seconds));
    assert_false(duration_parse(NULL, &seconds));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wall_clock_can_be_moved_and_boot_time_cannot),
        cmocka_unit_test(times_are_written_in_rfc_3339),
        cmocka_unit_test(times_are_read_with_their_zone),
        cmocka_unit_test(malformed_times_are_refused),
        cmocka_unit_test(durations_have_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

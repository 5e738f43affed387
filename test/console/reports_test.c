/* What a device's reports of swaps become in its timeline, whatever they say. */
#include "console/reports.h"

#include "console/devices.h"
#include "test/console/small.h"

#include <string.h>

/* The line that a report with these members makes. */
static const char *line_of(struct small *small, struct arena *arena, const char *id, const char *members)
{
    struct device *device = fleet_by_name(small->console.fleet, "cam-1");
    struct error err = {0};
    TEXT(answer);
    TEXT(lines);

    if (!device)
        device = small_device(small, "cam-1", NULL, NULL);
    char *text = arena_printf(arena, "[{\"id\":\"%s\",\"type\":\"swap\",%s}]", id, members);
    const struct json *reports = json_read(arena, text, strlen(text), &json_limits_small, &err);
    assert_ok(reports, err);
    assert_ok(reports_take(&small->console, device->id, reports, &answer, &err), err);
    assert_non_null(strstr(answer.bytes, id));
    assert_ok(device_timeline(&small->console, "cam-1", 1, &lines, &err), err);
    const struct json *newest =
        json_read(arena, arena_copy(arena, lines.bytes, lines.size), lines.size, &json_limits_small, &err);
    assert_ok(newest, err);
    return json_string(newest->first, "text");
}

static void a_swap_says_what_it_took_and_instead_of_what(void **state)
{
    ARENA(arena);
    struct small *small = *state;

    assert_string_equal(line_of(small, &arena, "00000000000000000000000000000001",
                                "\"generation\":2,\"result\":1,\"changed\":[\"model\"],\"duration_ms\":28,"
                                "\"bytes\":100,\"whole\":5000,\"reason\":null"),
                        "took model in 28 ms (generation 2, 100 bytes fetched instead of 5000)");
    /* Nothing was saved; an agent of before does not say. */
    assert_string_equal(line_of(small, &arena, "00000000000000000000000000000002",
                                "\"generation\":3,\"result\":8,\"changed\":[\"a\",\"b\"],\"duration_ms\":1,"
                                "\"bytes\":5400,\"whole\":5000,\"reason\":\"it did not come up\""),
                        "refused a, b in 1 ms (generation 3, 5400 bytes fetched): it did not come up");
    assert_string_equal(line_of(small, &arena, "00000000000000000000000000000003",
                                "\"generation\":4,\"result\":1,\"changed\":[],\"duration_ms\":1,\"bytes\":7"),
                        "took a set in 1 ms (generation 4, 7 bytes fetched)");
}

static void what_makes_no_sense_is_noted_and_saves_nothing(void **state)
{
    ARENA(arena);
    struct small *small = *state;

    assert_string_equal(line_of(small, &arena, "00000000000000000000000000000001",
                                "\"result\":1,\"bytes\":-9223372036854775808,\"whole\":-1"),
                        "took a set in 0 ms (generation 0, -9223372036854775808 bytes fetched)");
    assert_string_equal(line_of(small, &arena, "00000000000000000000000000000002",
                                "\"result\":1,\"bytes\":1e300,\"whole\":\"%n\",\"changed\":[\"%s\",7]"),
                        "took %s, 7 in 0 ms (generation 0, 0 bytes fetched)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_swap_says_what_it_took_and_instead_of_what, small_setup,
                                        small_teardown),
        cmocka_unit_test_setup_teardown(what_makes_no_sense_is_noted_and_saves_nothing, small_setup,
                                        small_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

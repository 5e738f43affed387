/* A check of the whole repository ends soon when the console stops. */
#include "test/repo/fixture.h"

#include <string.h>

struct watched {
    struct repo *repo;
    const char *at; /* the line at which the console stops; NULL: before all */
    int lines, after;
    bool stopped;
};

static void take_line(void *context, bool good, const char *line)
{
    struct watched *watched = context;
    assert_true(good);
    watched->lines++;
    watched->after += watched->stopped;
    if (strncmp(line, watched->at, strlen(watched->at)) == 0) {
        watched->stopped = true;
        repo_stop_checks(watched->repo);
    }
}

static void a_check_stops_between_objects(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct published published;
    struct watched watched = {.repo = fixture->repo, .at = "index:"};
    must(publish_text(fixture, "detector", "1.0.0", "one", &published, &err));
    assert_false(repo_verify(fixture->repo, take_line, &watched, &err));
    assert_true(watched.stopped);
    assert_int_equal(watched.after, 0); /* neither versions nor signed files were looked at */
    assert_int_equal(err.kind, ERROR_SYSTEM);
    assert_non_null(strstr(err.text, "stopped"));
}

static void a_check_that_begins_while_the_console_stops_ends_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct published published;
    struct watched watched = {.repo = fixture->repo, .at = "none"};
    must(publish_text(fixture, "detector", "1.0.0", "one", &published, &err));
    repo_stop_checks(fixture->repo);
    assert_false(repo_verify(fixture->repo, take_line, &watched, &err));
    assert_int_equal(watched.lines, 0);
    assert_non_null(strstr(err.text, "stopped"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_check_stops_between_objects, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_check_that_begins_while_the_console_stops_ends_at_once,
                                        fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

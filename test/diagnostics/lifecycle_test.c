/* The tables of states: every pair, allowed or refused, against a list of its own. */
#include "test/base/scratch.h"

#include "diagnostics/assignment.h"
#include "diagnostics/campaign.h"
#include "diagnostics/run.h"

#include <stdio.h>
#include <string.h>

struct expected {
    const char *from, *followers; /* names between spaces */
};

static bool listed(const char *followers, const char *name)
{
    char word[64];

    snprintf(word, sizeof word, " %s ", name);
    return strstr(followers, word) != NULL;
}

static void check_table(const struct lifecycle *lifecycle, const struct expected *expected, int count)
{
    struct error err;

    assert_int_equal(lifecycle->count, count);
    for (int from = 0; from < count; from++) {
        assert_string_equal(lifecycle->states[from].name, expected[from].from);
        for (int to = 0; to < count; to++) {
            bool may = listed(expected[from].followers, lifecycle->states[to].name);

            if (lifecycle_allows(lifecycle, from, to) != may)
                fail_msg("%s -> %s should %sbe allowed", expected[from].from, lifecycle->states[to].name,
                         may ? "" : "not ");
            err = (struct error){0};
            assert_int_equal(lifecycle_check(lifecycle, from, to, &err), may);
            assert_true(may || (err.kind == ERROR_CONFLICT && strstr(err.text, expected[from].from)));
        }
    }
}

static void an_assignment_takes_every_listed_step_and_no_other(void **state)
{
#define ENDS " done skipped failed cancelled "
    static const struct expected expected[] = {
        {"queued", " waiting skipped failed cancelled "},
        {"waiting", " offered scheduled_on_device downloading verifying running reverting uploading" ENDS},
        {"offered", " cancelling downloading verifying running reverting uploading" ENDS},
        {"scheduled_on_device", " cancelling downloading verifying running reverting uploading" ENDS},
        {"downloading", " verifying running reverting uploading cancelling" ENDS},
        {"verifying", " running reverting uploading cancelling" ENDS},
        {"running", " reverting uploading cancelling" ENDS},
        {"reverting", " uploading" ENDS},
        {"uploading", ENDS},
        {"cancelling", " reverting uploading" ENDS},
        {"done", ""},
        {"skipped", ""},
        {"failed", " running reverting uploading" ENDS},
        {"cancelled", ""},
    };

    (void)state;
    check_table(&assignment_lifecycle, expected, sizeof expected / sizeof *expected);
}

static void a_run_takes_every_listed_step_and_no_other(void **state)
{
    static const struct expected expected[] = {
        {"scheduled", " running paused finishing completed aborted expired "},
        {"running", " paused finishing completed aborted expired "},
        {"paused", " scheduled running finishing completed aborted expired "},
        {"finishing", " completed aborted "},
        {"completed", ""},
        {"aborted", ""},
        {"expired", ""},
    };

    (void)state;
    check_table(&run_lifecycle, expected, sizeof expected / sizeof *expected);
}

static void a_campaign_takes_every_listed_step_and_no_other(void **state)
{
    static const struct expected expected[] = {
        {"draft", " scheduled active ended "},
        {"scheduled", " active paused ended "},
        {"active", " paused ended "},
        {"paused", " scheduled active ended "},
        {"ended", ""},
    };

    (void)state;
    check_table(&campaign_lifecycle, expected, sizeof expected / sizeof *expected);
}

static void a_state_is_found_by_its_name_alone(void **state)
{
    int found = -1;

    (void)state;
    assert_true(lifecycle_find(&run_lifecycle, "finishing", &found));
    assert_int_equal(found, RUN_FINISHING);
    assert_false(lifecycle_find(&run_lifecycle, "Finishing", &found));
    assert_false(lifecycle_find(&run_lifecycle, NULL, &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_assignment_takes_every_listed_step_and_no_other),
        cmocka_unit_test(a_run_takes_every_listed_step_and_no_other),
        cmocka_unit_test(a_campaign_takes_every_listed_step_and_no_other),
        cmocka_unit_test(a_state_is_found_by_its_name_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

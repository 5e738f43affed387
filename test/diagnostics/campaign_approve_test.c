/* The second person's act: who may, what it signs, and what a crash in the middle of it leaves. */
#include "test/diagnostics/field.h"

#include "base/clock.h"
#include "diagnostics/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_state(campaign, device, wanted)                                                               \
    assert_string_equal(field_state(field, campaign, device), wanted)
#define assert_run(campaign, wanted) assert_string_equal(field_run(field, campaign), wanted)

/* As release_wanted has it for diagnostic images. */
static bool is_wanted(void *context, const char *product, const char *asset, const char *version)
{
    struct field *field = context;
    struct error err = {0};
    DB_DONE(conn) = db_read(field->db, &err);

    return campaign_wants(conn, product, asset, version);
}

/* Two people sign from now on, as the console has it. */
static void two_people(struct field *field)
{
    struct error err = {0};

    field->approvals = 2;
    repo_set_wanted(field->repo, is_wanted, field);
    assert_ok(repo_sign_by(field->repo, "demo", 2, "root", "two people", &err), err);
}

static bool is_listed(struct field *field)
{
    ARENA(arena);
    struct error err = {0};
    struct image image;
    DB_DONE(conn) = db_read(field->db, &err);

    assert_ok(image_find(field->repo, conn, &arena, "demo", "look", "1.0.0", &image, &err), err);
    return image.listed;
}

static void complain(void *context, bool good, const char *line)
{
    (void)context;
    if (!good)
        fail_msg("%s", line);
}

/* Notes an approval as the act does before it signs, and no more: the console dies there. */
static void cut_off(struct field *field, int64_t id)
{
    struct error err = {0};
    struct db_conn *conn = db_write(field->db, &err);

    assert_ok(conn, err);
    struct db_query *query =
        db_query(conn, "UPDATE campaign SET approved_by = 'bob', approved_at = :now WHERE id = :id");
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":id", id);
    assert_ok(db_run(query, NULL, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

static void devices_find_an_image_only_once_another_person_approved_it(void **state)
{
    struct field *field = *state;
    struct error err = {0};

    two_people(field);
    assert_false(is_listed(field));
    int64_t id = field_campaign(field, 1, 0, 0);
    field_wait(field, 10);
    assert_false(is_listed(field));
    assert_run(id, "scheduled, draft");
    assert_int_equal(field_orders(field, 0, NULL), 0);
    assert_refused(campaign_approve(field->diagnostics, id, "ada", &err), err, ERROR_DENIED);
    assert_false(is_listed(field));
    assert_ok(campaign_approve(field->diagnostics, id, "bob", &err), err);
    assert_true(is_listed(field));
    assert_run(id, "running, active");
    assert_int_equal(field_orders(field, 0, NULL), 1);
    assert_ok(repo_verify(field->repo, complain, NULL, &err), err);
}

static void who_published_a_version_is_not_the_second_to_sign_for_it(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = {.product = "demo",
                                 .image = "look",
                                 .device_ids = field->devices,
                                 .device_count = 1,
                                 .duration_s = 30,
                                 .operator_name = "bob"};
    struct error err = {0};
    int64_t first, second;

    two_people(field);
    assert_ok(campaign_create(field->diagnostics, &plan, &first, &err), err);
    assert_refused(campaign_approve(field->diagnostics, first, "ada", &err), err, ERROR_DENIED);
    assert_non_null(strstr(err.text, "ada published look 1.0.0"));
    assert_ok(campaign_approve(field->diagnostics, first, "eva", &err), err);
    /* Signed for by two it is an image like any other: who published it may agree to the next campaign. */
    plan.device_ids = &field->devices[1];
    assert_ok(campaign_create(field->diagnostics, &plan, &second, &err), err);
    assert_ok(campaign_approve(field->diagnostics, second, "ada", &err), err);
    assert_run(second, "running, active");
}

static void what_waits_for_approval_cannot_be_made_longer(void **state)
{
    struct field *field = *state;
    struct error err = {0};

    two_people(field);
    int64_t id = field_campaign(field, 1, 0, 0);
    assert_refused(campaign_extend(field->diagnostics, id, 1, NULL, 0, 60, "ada", &err), err, ERROR_CONFLICT);
    assert_refused(campaign_extend(field->diagnostics, id, 1, field->devices, 1, 60, "ada", &err), err,
                   ERROR_CONFLICT);
    assert_ok(campaign_approve(field->diagnostics, id, "bob", &err), err);
    assert_ok(campaign_extend(field->diagnostics, id, 1, NULL, 0, 60, "ada", &err), err);
}

static void an_approval_that_a_crash_cut_off_is_finished_by_the_step(void **state)
{
    struct field *field = *state;
    struct error err = {0};

    two_people(field);
    int64_t id = field_campaign(field, 1, 0, 0);
    cut_off(field, id);
    field_reopen(field);
    field_wait(field, 0);
    assert_run(id, "scheduled, draft"); /* the act may be under way */
    field_wait(field, 10);
    assert_true(is_listed(field));
    assert_run(id, "running, active");
    assert_refused(campaign_approve(field->diagnostics, id, "eva", &err), err, ERROR_CONFLICT);
}

static void what_cannot_be_signed_waits_for_approval_again(void **state)
{
    struct field *field = *state;
    char key[128], away[128];
    struct error err = {0};

    two_people(field);
    int64_t id = field_campaign(field, 1, 0, 0);
    snprintf(key, sizeof key, "%s/keys/approver-demo", field->scratch.path);
    snprintf(away, sizeof away, "%s/approver-demo", field->scratch.path);
    assert_int_equal(rename(key, away), 0);
    assert_refused(campaign_approve(field->diagnostics, id, "bob", &err), err, ERROR_MISSING);
    assert_run(id, "scheduled, draft");
    field_wait(field, 10);
    assert_run(id, "scheduled, draft");
    assert_false(is_listed(field));
    assert_int_equal(rename(away, key), 0);
    assert_ok(campaign_approve(field->diagnostics, id, "bob", &err), err);
    assert_run(id, "running, active");
}

static void a_campaign_that_runs_keeps_its_image_listed_when_two_begin_to_sign(void **state)
{
    struct field *field = *state;
    struct error err = {0};

    int64_t id = field_campaign(field, 1, 0, 0);
    assert_run(id, "running, active");
    two_people(field);
    assert_true(is_listed(field));
    assert_ok(campaign_end(field->diagnostics, id, "ada", &err), err);
    /* One that waits for approval needs nothing yet. */
    assert_ok(repo_sign_by(field->repo, "demo", 1, "root", "one person", &err), err);
    field_campaign(field, 1, 0, 0);
    assert_ok(repo_sign_by(field->repo, "demo", 2, "root", "two people", &err), err);
    assert_false(is_listed(field));
}

static void a_second_person_approves_and_nobody_approves_their_own(void **state)
{
    struct field *field = *state;
    struct error err = {0};

    field->approvals = 2;
    int64_t id = field_campaign(field, 2, clock_now() + 60, 0);
    assert_run(id, "scheduled, draft");
    field_wait(field, 2 * 86400);
    field_wait(field, 0);
    assert_state(id, 0, "queued");
    assert_run(id, "scheduled, draft");
    assert_int_equal(field_orders(field, 0, NULL), 0);
    assert_refused(campaign_approve(field->diagnostics, id, "ada", &err), err, ERROR_DENIED);
    assert_ok(campaign_approve(field->diagnostics, id, "bob", &err), err);
    assert_run(id, "running, active");
    assert_state(id, 0, "waiting");
    assert_true(field_ordered(field, 0).start_before > clock_now() + 3600 * 23);
    assert_refused(campaign_approve(field->diagnostics, id, "bob", &err), err, ERROR_CONFLICT);
    assert_refused(campaign_approve(field->diagnostics, id + 1, "bob", &err), err, ERROR_MISSING);
}

static void who_waits_for_approval_gets_no_more_time_and_goes_on_waiting(void **state)
{
    struct field *field = *state;
    struct error err = {0};

    field->approvals = 2;
    int64_t id = field_campaign(field, 1, 0, 0);
    assert_refused(campaign_extend(field->diagnostics, id, 1, NULL, 0, 45, "ada", &err), err, ERROR_CONFLICT);
    field_wait(field, 3600);
    assert_state(id, 0, "queued");
}

static void a_withdrawn_image_is_in_no_new_campaign(void **state)
{
    struct field *field = *state;
    struct campaign_plan plan = field_plan(field, 1);
    struct error err = {0};
    int64_t id;

    field->approvals = 2;
    int64_t draft = field_create(field, &plan);
    field->withdrawn = true;
    assert_refused(campaign_create(field->diagnostics, &plan, &id, &err), err, ERROR_CONFLICT);
    assert_refused(campaign_approve(field->diagnostics, draft, "bob", &err), err, ERROR_CONFLICT);
    assert_run(draft, "scheduled, draft");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, field_setup, field_teardown)
    const struct CMUnitTest tests[] = {
        TEST(devices_find_an_image_only_once_another_person_approved_it),
        TEST(who_published_a_version_is_not_the_second_to_sign_for_it),
        TEST(what_waits_for_approval_cannot_be_made_longer),
        TEST(an_approval_that_a_crash_cut_off_is_finished_by_the_step),
        TEST(what_cannot_be_signed_waits_for_approval_again),
        TEST(a_campaign_that_runs_keeps_its_image_listed_when_two_begin_to_sign),
        TEST(a_second_person_approves_and_nobody_approves_their_own),
        TEST(who_waits_for_approval_gets_no_more_time_and_goes_on_waiting),
        TEST(a_withdrawn_image_is_in_no_new_campaign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

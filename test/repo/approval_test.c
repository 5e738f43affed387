/* Two people sign for diagnostic images: what is listed then, and by whom it is signed. */
#include "test/repo/fixture.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *wanted_version, *withheld_version;
static int people;

static bool is_wanted(void *context, const char *product, const char *asset, const char *version)
{
    (void)context, (void)product;
    return strcmp(asset, "look") == 0 && string_is(wanted_version, version);
}

static bool is_withheld(void *context, const char *product, const char *asset, const char *version)
{
    (void)context, (void)product;
    return strcmp(asset, "look") == 0 && string_is(withheld_version, version);
}

static int people_of(void *context, const char *product)
{
    (void)context;
    assert_string_equal(product, "demo");
    return people;
}

static int setup(void **state)
{
    fixture_setup(state);
    struct fixture *fixture = *state;
    wanted_version = withheld_version = NULL;
    people = 1;
    repo_set_wanted(fixture->repo, is_wanted, NULL);
    repo_set_withheld(fixture->repo, is_withheld, NULL);
    repo_set_signatures(fixture->repo, people_of, NULL);
    return 0;
}

static int teardown(void **state)
{
    clock_shift(0);
    return fixture_teardown(state);
}

static void publish_image(struct fixture *fixture, const char *version)
{
    static const char description[] = "{\"entry\":[\"./run\"],\"max_runtime_s\":60,\"collect\":[]}";
    struct content files[] = {{"diagnostic.json", description, sizeof description - 1, 0},
                              {"run", version, strlen(version), 0755}};
    struct published published;
    struct error err = {0};
    must(publish_files(fixture, "look", version, files, 2, &published, &err));
}

/* The newest file of that role as it is served. */
static const struct json *served(struct fixture *fixture, struct arena *arena, const char *role)
{
    char name[96], *bytes;
    size_t size;
    struct error err = {0};
    const struct json *envelope;
    must(repo_metadata(fixture->repo, arena, "timestamp.json", &bytes, &size, &err));
    must(envelope = json_read(arena, bytes, size, &json_limits_large, &err));
    const struct json *meta = json_get(json_get(json_get(envelope, "signed"), "meta"), "snapshot.json");
    snprintf(name, sizeof name, "%lld.snapshot.json", (long long)json_integer(meta, "version", 0));
    must(repo_metadata(fixture->repo, arena, name, &bytes, &size, &err));
    must(envelope = json_read(arena, bytes, size, &json_limits_large, &err));
    snprintf(name, sizeof name, "%s.json", role);
    meta = json_get(json_get(json_get(envelope, "signed"), "meta"), name);
    snprintf(name, sizeof name, "%lld.%s.json", (long long)json_integer(meta, "version", 0), role);
    must(repo_metadata(fixture->repo, arena, name, &bytes, &size, &err));
    must(envelope = json_read(arena, bytes, size, &json_limits_large, &err));
    return envelope;
}

/* The versions of the image that are listed, in the file that is served and in the index, and the file's
 * signatures. */
static void check(struct fixture *fixture, const char *versions, size_t signatures)
{
    ARENA(arena);
    TEXT(listed);
    TEXT(indexed);
    struct error err = {0};
    struct version_row *rows;
    size_t count;
    const struct json *envelope = served(fixture, &arena, "diagnostics-demo");
    const struct json *targets = json_get(json_get(envelope, "signed"), "targets");
    DB_DONE(conn) = db_read(fixture->db, &err);
    must(repo_versions(conn, &arena, "demo", "look", &rows, &count, &err));
    for (size_t i = count; i-- > 0;) {
        if (json_get(targets, arena_printf(&arena, "diagnostics/demo/look/%s", rows[i].version)))
            text_printf(&listed, "%s ", rows[i].version);
        if (rows[i].listed)
            text_printf(&indexed, "%s ", rows[i].version);
    }
    assert_string_equal(text_string(&listed), versions);
    assert_string_equal(text_string(&indexed), versions);
    assert_int_equal(json_get(envelope, "signatures")->size, signatures);
}

static void complain(void *context, bool good, const char *line)
{
    if (!good)
        fail_msg("%s", line);
    *(bool *)context |= strstr(line, "signed by author and approver") != NULL;
}

/* All of it verifies as a device would. */
static void sound(struct fixture *fixture, bool two)
{
    struct error err = {0};
    bool said = false;
    must(repo_verify(fixture->repo, complain, &said, &err));
    assert_int_equal(said, two);
}

static void two_people(struct fixture *fixture)
{
    struct error err = {0};
    must(repo_sign_by(fixture->repo, "demo", 2, "ada", "approval: two", &err));
}

static void approve(struct fixture *fixture, const char *version)
{
    struct error err = {0};
    must(repo_approve(fixture->repo, "demo", "look", version, "bob", "demo/look: approved", &err));
}

static int64_t list_version(struct fixture *fixture)
{
    ARENA(arena);
    return json_integer(json_get(served(fixture, &arena, "diagnostics-demo"), "signed"), "version", 0);
}

static void when_two_begin_to_sign_the_list_keeps_what_a_campaign_needs(void **state)
{
    struct fixture *fixture = *state;
    publish_image(fixture, "1.0.0");
    publish_image(fixture, "1.1.0");
    check(fixture, "1.0.0 1.1.0 ", 1);
    wanted_version = "1.0.0";
    two_people(fixture);
    check(fixture, "1.0.0 ", 2);
    sound(fixture, true);
}

static void a_new_version_waits_for_the_approver_and_the_served_list_stays(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    publish_image(fixture, "1.0.0");
    two_people(fixture);
    check(fixture, "", 2);
    int64_t before = list_version(fixture);
    publish_image(fixture, "2.0.0");
    must(repo_resign(fixture->repo, "demo", "ada", "demo/look: campaign 1 with 2.0.0", &err));
    wanted_version = "2.0.0";
    must(repo_resign(fixture->repo, "demo", "ada", "release look 2.0.0", &err));
    check(fixture, "", 2);
    assert_int_equal(list_version(fixture), before);
    approve(fixture, "2.0.0");
    check(fixture, "2.0.0 ", 2);
    assert_int_equal(list_version(fixture), before + 1);
    /* Again is nothing new; and the other one waits still. */
    approve(fixture, "2.0.0");
    assert_int_equal(list_version(fixture), before + 1);
    approve(fixture, "1.0.0");
    check(fixture, "1.0.0 2.0.0 ", 2);
    sound(fixture, true);
}

static void what_is_withdrawn_leaves_the_list_and_cannot_be_approved(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    publish_image(fixture, "1.0.0");
    two_people(fixture);
    approve(fixture, "1.0.0");
    withheld_version = "1.0.0";
    must(repo_resign(fixture->repo, "demo", "ada", "withdraw look 1.0.0", &err));
    check(fixture, "", 2);
    assert_false(repo_approve(fixture->repo, "demo", "look", "1.0.0", "bob", "demo/look: approved", &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_false(repo_approve(fixture->repo, "demo", "look", "9.0.0", "bob", "demo/look: approved", &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
    check(fixture, "", 2);
}

static void renewed_signatures_are_those_of_both_for_the_same_list(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    publish_image(fixture, "1.0.0");
    two_people(fixture);
    approve(fixture, "1.0.0");
    publish_image(fixture, "2.0.0");
    int64_t before = list_version(fixture);
    clock_shift(330 * 86400LL);
    must(repo_keep_fresh(fixture->repo, &err));
    assert_int_equal(list_version(fixture), before + 1);
    check(fixture, "1.0.0 ", 2);
    sound(fixture, true);
}

static void one_signature_is_enough_again_when_targets_say_so(void **state)
{
    ARENA(arena);
    struct fixture *fixture = *state;
    struct error err = {0};
    publish_image(fixture, "1.0.0");
    const struct json *before = json_get(served(fixture, &arena, "targets"), "signed");
    two_people(fixture);
    const struct json *two = json_get(served(fixture, &arena, "targets"), "signed");
    publish_image(fixture, "1.1.0");
    must(repo_sign_by(fixture->repo, "demo", 1, "ada", "approval: one", &err));
    const struct json *after = json_get(served(fixture, &arena, "targets"), "signed");
    check(fixture, "1.0.0 1.1.0 ", 1);
    sound(fixture, false);
    /* The approver's key is named only while it counts, and no other role has changed. */
    assert_int_equal(json_get(json_get(two, "delegations"), "keys")->size,
                     json_get(json_get(before, "delegations"), "keys")->size + 1);
    assert_int_equal(json_get(json_get(after, "delegations"), "keys")->size,
                     json_get(json_get(before, "delegations"), "keys")->size);
    assert_int_equal(json_get(json_get(after, "delegations"), "roles")->size, 3);
    assert_int_equal(json_integer(after, "version", 0), json_integer(before, "version", 0) + 2);
    /* What is so already is not signed again. */
    must(repo_sign_by(fixture->repo, "demo", 1, "ada", "approval: one", &err));
    assert_int_equal(json_integer(json_get(served(fixture, &arena, "targets"), "signed"), "version", 0),
                     json_integer(after, "version", 0));
}

static void a_product_that_begins_with_two_signs_an_empty_list(void **state)
{
    struct fixture *fixture = *state;
    people = 2;
    publish_image(fixture, "1.0.0");
    check(fixture, "", 2);
    approve(fixture, "1.0.0");
    check(fixture, "1.0.0 ", 2);
    sound(fixture, true);
}

static void the_index_of_who_signs_is_remade_from_git(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    int signatures;
    publish_image(fixture, "1.0.0");
    two_people(fixture);
    approve(fixture, "1.0.0");
    fixture_close(fixture);
    assert_int_equal(shell("rm %s/console.db*", fixture->path), 0);
    fixture_open(fixture);
    check(fixture, "1.0.0 ", 2);
    struct db_conn *conn = db_write(fixture->db, &err);
    must(db_run(db_query(conn, "DELETE FROM image_signers"), NULL, &err));
    must(db_commit(conn, &err));
    must(repo_reindex(fixture->repo, &err));
    conn = db_read(fixture->db, &err);
    must(repo_signed_by(conn, "demo", &signatures, &err));
    db_done(conn);
    assert_int_equal(signatures, 2);
    sound(fixture, true);
}

static void without_the_approvers_key_nothing_is_approved_and_what_stands_is_served(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    publish_image(fixture, "1.0.0");
    publish_image(fixture, "2.0.0");
    two_people(fixture);
    approve(fixture, "1.0.0");
    assert_int_equal(shell("rm %s/keys/approver-demo", fixture->path), 0);
    assert_false(repo_approve(fixture->repo, "demo", "look", "2.0.0", "bob", "demo/look: approved", &err));
    assert_int_equal(err.kind, ERROR_MISSING);
    assert_int_not_equal(shell("test -e %s/keys/approver-demo", fixture->path), 0);
    check(fixture, "1.0.0 ", 2);
    sound(fixture, true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(when_two_begin_to_sign_the_list_keeps_what_a_campaign_needs),
        TEST(a_new_version_waits_for_the_approver_and_the_served_list_stays),
        TEST(what_is_withdrawn_leaves_the_list_and_cannot_be_approved),
        TEST(renewed_signatures_are_those_of_both_for_the_same_list),
        TEST(one_signature_is_enough_again_when_targets_say_so),
        TEST(a_product_that_begins_with_two_signs_an_empty_list),
        TEST(the_index_of_who_signs_is_remade_from_git),
        TEST(without_the_approvers_key_nothing_is_approved_and_what_stands_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

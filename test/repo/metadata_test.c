/* The client workflow against a repository in memory that tells every lie we could think of. */
#include "test/repo/world.h"

#include <stdlib.h>
#include <string.h>

static void a_good_repository_is_accepted_and_a_target_found(void **state)
{
    struct world *world = *state;
    struct metadata_target target;
    struct metadata_client *client = world_accepts(world);
    assert_true(metadata_target(client, false, "demo", "detector", "1.0.0", &target, &world->err));
    assert_int_equal(target.length, 10);
    assert_int_equal(target.counter, 3);
    assert_int_equal(target.kind, KIND_MODEL);
    assert_string_equal(target.hardware[0], "r1");
    assert_false(metadata_target(client, false, "demo", "detector", "2.0.0", &target, &world->err));
    assert_int_equal(world->err.kind, ERROR_MISSING);
    assert_int_equal(metadata_version(client, "assets-demo"), 1);
}

static void what_has_not_changed_is_not_fetched_again(void **state)
{
    struct world *world = *state;
    world_accepts(world);
    assert_int_equal(world->server.fetched, 4);
    world_accepts(world);
    assert_int_equal(world->server.fetched, 4);
    world_make_news(world);
    world_accepts(world);
    assert_int_equal(world->server.fetched, 6);
}

static void kept_files_answer_without_the_server(void **state)
{
    struct world *world = *state;
    struct metadata_target target;
    world_accepts(world);
    struct metadata_client *client = world_client(world);
    assert_int_equal(metadata_version(client, "timestamp"), 1);
    assert_true(metadata_target(client, false, "demo", "detector", "1.0.0", &target, &world->err));
}

static void a_flipped_bit_anywhere_is_refused(void **state)
{
    static const struct {
        const char *name, *from, *to;
    } cases[] = {{"timestamp.json", "\"version\":1}", "\"version\":2}"},
                 {"1.snapshot.json", "\"_type\":\"snapshot\"", "\"_type\":\"snapshos\""},
                 {"1.targets.json", "director/none", "director/nonf"},
                 {"1.assets-demo.json", "\"counter\":3", "\"counter\":2"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world_flip(*state, cases[i].name, cases[i].from, cases[i].to);
        world_refuses(*state, "");
        world_flip(*state, cases[i].name, cases[i].to, cases[i].from);
    }
    world_accepts(*state);
}

static void signatures_by_a_stranger_are_refused(void **state)
{
    struct world *world = *state;
    world_make_assets(world, "model", STRANGER);
    world_make_lists(world);
    world_refuses(world, "0 of the 1 signatures");
    world_make_assets(world, "model", DIAGNOSTICS); /* a key of the repository, but not of this role */
    world->snapshot_version++, world->timestamp_version++;
    world_make_lists(world);
    world_refuses(world, "0 of the 1 signatures");
}

static void one_key_that_signs_twice_does_not_reach_a_threshold_of_two(void **state)
{
    struct world *world = *state;
    world_make_targets_with(world, "assets/demo/*/*", (const int[]){TARGETS_A, TARGETS_A}, 2);
    world_make_lists(world);
    world_refuses(world, "1 of the 2 signatures");
    world_make_targets_with(world, "assets/demo/*/*", (const int[]){TARGETS_A}, 1);
    world->snapshot_version++, world->timestamp_version++;
    world_make_lists(world);
    world_refuses(world, "1 of the 2 signatures");
}

static void diagnostics_that_two_sign_need_the_keys_of_both(void **state)
{
    static const struct {
        int signers[2];
        size_t count;
        const char *refused;
    } cases[] = {{{DIAGNOSTICS}, 1, "1 of the 2 signatures"},
                 {{APPROVER}, 1, "1 of the 2 signatures"},
                 {{DIAGNOSTICS, DIAGNOSTICS}, 2, "1 of the 2 signatures"},
                 {{APPROVER, APPROVER}, 2, "1 of the 2 signatures"},
                 {{DIAGNOSTICS, ASSETS}, 2, "1 of the 2 signatures"},
                 {{DIAGNOSTICS, STRANGER}, 2, "1 of the 2 signatures"},
                 {{APPROVER, DIAGNOSTICS}, 2, NULL}};
    struct world *world = *state;
    world->two_sign = true;
    world_make_targets(world);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world_make_diagnostics_with(world, cases[i].signers, cases[i].count);
        world->snapshot_version++, world->timestamp_version++;
        world_make_lists(world);
        if (cases[i].refused)
            world_refuses(world, cases[i].refused);
        else
            world_accepts(world);
    }
}

static void a_list_kept_with_one_signature_is_not_enough_once_two_sign(void **state)
{
    struct world *world = *state;
    world_accepts(world);
    world->two_sign = true;
    world->targets_version++, world->snapshot_version++, world->timestamp_version++;
    world_make_targets(world);
    world_make_lists(world);
    world_refuses(world, "1 of the 2 signatures");
}

static void each_expired_file_is_refused(void **state)
{
    struct world *world = *state;
    world_refuses_at(world, NOW + 30 * DAY, "root.json: it expired");
    /* The others one by one, root being good for longer. */
    world->expires = NOW + 100 * DAY;
    world->root_version = 2;
    world_make_root(world);
    world_refuses_at(world, NOW + 30 * DAY, "timestamp.json: it expired");
    world->timestamp_version++;
    world_make_timestamp(world);
    world_refuses_at(world, NOW + 30 * DAY, "snapshot.json: it expired");
    world->snapshot_version++, world->timestamp_version++;
    world_make_lists(world);
    world_refuses_at(world, NOW + 30 * DAY, "targets.json: it expired");
    world->targets_version++, world->snapshot_version++, world->timestamp_version++;
    world_make_targets(world);
    world_make_lists(world);
    world_refuses_at(world, NOW + 30 * DAY, "assets-demo.json: it expired");
}

static void an_older_timestamp_is_refused(void **state)
{
    struct world *world = *state;
    world->timestamp_version = 5;
    world_make_timestamp(world);
    world_accepts(world);
    world->timestamp_version = 4;
    world_make_timestamp(world);
    world_refuses(world, "older");
}

static void two_timestamps_of_one_version_are_refused(void **state)
{
    struct world *world = *state;
    world_accepts(world);
    world->snapshot_version = 2;
    world_make_lists(world);
    world_refuses(world, "two of the same version");
}

static void an_older_snapshot_under_a_new_timestamp_is_refused(void **state)
{
    struct world *world = *state;
    world_make_news(world);
    world_accepts(world);
    world->snapshot_version = 1;
    world->timestamp_version++;
    world_make_timestamp(world);
    world_refuses(world, "snapshot is older");
}

static void an_older_delegated_file_under_a_new_snapshot_is_refused(void **state)
{
    struct world *world = *state;
    world_make_news(world);
    world_accepts(world);
    world->assets_version = 1;
    world->snapshot_version++, world->timestamp_version++;
    world_make_lists(world);
    world_refuses(world, "assets-demo.json is older");
}

static void files_of_different_snapshots_cannot_be_mixed(void **state)
{
    struct world *world = *state;
    char *bytes;
    size_t size;
    world_make_news(world);
    world_accepts(world);
    world_make_news(world);
    /* The server gives the assets of version 2 under the name of version 3. */
    assert_true(shelf_get(&world->server, &world->arena, "2.assets-demo.json", &bytes, &size, &world->err));
    shelf_put(&world->server, "3.assets-demo.json", bytes, size);
    world_refuses(world, "not the one that is listed");
}

static void a_root_chain_is_followed_and_a_gap_is_not(void **state)
{
    struct world *world = *state;
    for (world->root_version = 2; world->root_version <= 40; world->root_version++)
        world_make_root(world);
    struct metadata_client *client = world_accepts(world);
    assert_int_equal(metadata_version(client, "root"), 33); /* 32 steps at a time */
    assert_int_equal(metadata_version(world_accepts(world), "root"), 40);
    char *bytes;
    size_t size;
    assert_true(shelf_get(&world->server, &world->arena, "5.root.json", &bytes, &size, &world->err));
    shelf_put(&world->server, "41.root.json", bytes, size);
    world_refuses(world, "does not follow");
}

static void a_root_that_the_old_keys_did_not_sign_is_refused_and_not_kept(void **state)
{
    struct world *world = *state;
    char *bytes;
    size_t size;
    struct private_key saved[3];
    world_accepts(world);
    memcpy(saved, world->keys, sizeof saved);
    for (int i = ROOT_A; i <= ROOT_C; i++)
        private_key_make(&world->keys[i]);
    world->root_version = 2;
    world_make_root(world);
    world_refuses(world, "2.root.json: 0 of the 2");
    assert_true(shelf_get(&world->kept, &world->arena, "root.json", &bytes, &size, &world->err));
    assert_non_null(strstr(bytes, saved[0].public.id));
}

static void rotated_keys_recover_from_a_fast_forward(void **state)
{
    struct world *world = *state;
    world->timestamp_version = world->snapshot_version = 1000000;
    world_make_lists(world);
    world_accepts(world);
    /* The attacker who had the keys is out; versions go on from where they were. */
    world->timestamp_key = STRANGER;
    world->snapshot_key = OTHER;
    world->root_version = 2;
    world->timestamp_version = world->snapshot_version = 3;
    world_make_root(world);
    world_make_lists(world);
    assert_int_equal(metadata_version(world_accepts(world), "timestamp"), 3);
}

static void a_delegation_for_other_paths_is_refused(void **state)
{
    static const char *const patterns[] = {"assets/*/*/*", "*", "assets/demo2/*/*", "diagnostics/demo/*/*"};
    struct world *world = *state;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        world_make_targets_with(world, patterns[i], (const int[]){TARGETS_A, TARGETS_B}, 2);
        world->snapshot_version++, world->timestamp_version++;
        world_make_lists(world);
        world_refuses(world, "is not for");
    }
}

static void a_diagnostic_among_the_assets_is_refused(void **state)
{
    struct world *world = *state;
    struct metadata_target target;
    world_make_assets(world, "diagnostic", ASSETS);
    world_make_lists(world);
    struct metadata_client *client = world_accepts(world);
    assert_false(metadata_target(client, false, "demo", "detector", "1.0.0", &target, &world->err));
    assert_int_equal(world->err.kind, ERROR_UNTRUSTED);
}

static void a_file_over_its_cap_is_refused_before_it_is_read(void **state)
{
    struct world *world = *state;
    char *big = calloc(1, TIMESTAMP_LIMIT + 2);
    memset(big, ' ', TIMESTAMP_LIMIT + 1);
    shelf_put(&world->server, "timestamp.json", big, TIMESTAMP_LIMIT + 1);
    free(big);
    struct metadata_client *client = world_client(world);
    assert_false(metadata_refresh(client, "demo", NOW, &world->err));
    assert_int_equal(world->err.kind, ERROR_LIMIT);
}

static void kept_files_that_were_tampered_with_are_as_good_as_none(void **state)
{
    struct world *world = *state;
    world_accepts(world);
    shelf_put(&world->kept, "timestamp.json", "{}", 2);
    shelf_put(&world->kept, "snapshot.json", "", 0);
    shelf_put(&world->kept, "targets.json", "[", 1);
    world_accepts(world);
    shelf_put(&world->kept, "root.json", "{}", 2);
    assert_null(metadata_open(&world->arena, &world->io, &world->err));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_good_repository_is_accepted_and_a_target_found),
        TEST(what_has_not_changed_is_not_fetched_again),
        TEST(kept_files_answer_without_the_server),
        TEST(a_flipped_bit_anywhere_is_refused),
        TEST(signatures_by_a_stranger_are_refused),
        TEST(one_key_that_signs_twice_does_not_reach_a_threshold_of_two),
        TEST(diagnostics_that_two_sign_need_the_keys_of_both),
        TEST(a_list_kept_with_one_signature_is_not_enough_once_two_sign),
        TEST(each_expired_file_is_refused),
        TEST(an_older_timestamp_is_refused),
        TEST(two_timestamps_of_one_version_are_refused),
        TEST(an_older_snapshot_under_a_new_timestamp_is_refused),
        TEST(an_older_delegated_file_under_a_new_snapshot_is_refused),
        TEST(files_of_different_snapshots_cannot_be_mixed),
        TEST(a_root_chain_is_followed_and_a_gap_is_not),
        TEST(a_root_that_the_old_keys_did_not_sign_is_refused_and_not_kept),
        TEST(rotated_keys_recover_from_a_fast_forward),
        TEST(a_delegation_for_other_paths_is_refused),
        TEST(a_diagnostic_among_the_assets_is_refused),
        TEST(a_file_over_its_cap_is_refused_before_it_is_read),
        TEST(kept_files_that_were_tampered_with_are_as_good_as_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

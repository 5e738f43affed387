/* The client workflow against a repository in memory that tells every lie we could think of. */
#include "repo/metadata.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1795230000
#define DAY 86400
#define FILES 128
#define DEVICE "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"

struct shelf {
    struct {
        char name[64];
        char *bytes;
        size_t size;
    } files[FILES];
    int count;
    int fetched; /* "<n>.targets.json" and the like, not roots and timestamps */
};

/* Keys by number, the same in every test. */
enum {
    ROOT_A,
    ROOT_B,
    ROOT_C,
    TARGETS_A,
    TARGETS_B,
    SNAPSHOT,
    TIMESTAMP,
    ASSETS,
    DIAGNOSTICS,
    DIRECTOR,
    STRANGER,
    OTHER,
    APPROVER,
    KEYS
};

struct world {
    struct private_key keys[KEYS];
    struct shelf server, kept;
    struct metadata_io io;
    /* What the next documents say. */
    int root_version, timestamp_version, snapshot_version, targets_version, assets_version;
    int timestamp_key, snapshot_key;
    int64_t expires;
    bool two_sign; /* the role of diagnostic images needs the approver's key as well */
    const char *product;
    struct arena arena;
    struct error err;
};

static void shelf_put(struct shelf *shelf, const char *name, const char *bytes, size_t size)
{
    int i = 0;
    while (i < shelf->count && strcmp(shelf->files[i].name, name) != 0)
        i++;
    assert_true(i < FILES);
    shelf->count += i == shelf->count;
    snprintf(shelf->files[i].name, sizeof shelf->files[i].name, "%s", name);
    free(shelf->files[i].bytes);
    shelf->files[i].bytes = malloc(size + 1);
    memcpy(shelf->files[i].bytes, bytes, size);
    shelf->files[i].bytes[size] = 0;
    shelf->files[i].size = size;
}

static bool shelf_get(struct shelf *shelf, struct arena *arena, const char *name, char **bytes, size_t *size,
                      struct error *err)
{
    for (int i = 0; i < shelf->count; i++)
        if (strcmp(shelf->files[i].name, name) == 0) {
            *bytes = arena_copy(arena, shelf->files[i].bytes, shelf->files[i].size);
            *size = shelf->files[i].size;
            return true;
        }
    return error_set(err, ERROR_MISSING, "no %s", name);
}

static bool load(void *context, struct arena *arena, const char *name, size_t limit, char **bytes,
                 size_t *size, struct error *err)
{
    (void)limit;
    return shelf_get(&((struct world *)context)->kept, arena, name, bytes, size, err);
}

static bool store(void *context, const char *name, const void *bytes, size_t size, struct error *err)
{
    (void)err;
    shelf_put(&((struct world *)context)->kept, name, bytes, size);
    return true;
}

static bool fetch(void *context, struct arena *arena, const char *name, size_t limit, char **bytes,
                  size_t *size, struct error *err)
{
    struct world *world = context;
    if (!shelf_get(&world->server, arena, name, bytes, size, err))
        return false;
    world->server.fetched += !strstr(name, "root") && !strstr(name, "timestamp");
    return *size <= limit || error_set(err, ERROR_LIMIT, "too large");
}

/* --- making documents
 * --------------------------------------------------------------------------------------------- */

static void key_text(struct text *out, const struct private_key *key, bool first)
{
    char hex[65];
    hex_encode(hex, key->public.bytes, 32);
    text_printf(out,
                "%s\"%s\":{\"keytype\":\"ed25519\",\"keyval\":{\"public\":\"%s\"},\"scheme\":\"ed25519\"}",
                first ? "" : ",", key->public.id, hex);
}

static void keys_text(struct world *world, struct text *out, const int *keys, int count)
{
    text_puts(out, "\"keys\":{");
    for (int i = 0; i < count; i++)
        key_text(out, &world->keys[keys[i]], i == 0);
    text_puts(out, "}");
}

static void head_text(struct world *world, struct text *out, const char *type, int version)
{
    char time[TIME_TEXT];
    text_printf(out, "{\"_type\":\"%s\",\"spec_version\":\"1.0.31\",\"version\":%d,\"expires\":\"%s\",", type,
                version, time_text(world->expires, time));
}

static void publish(struct world *world, const char *name, const struct text *plain, const int *keys,
                    size_t count)
{
    const struct private_key *pointers[8];
    TEXT(envelope);
    const struct json *json =
        json_read(&world->arena, text_string(plain), plain->size, &json_limits_large, &world->err);
    for (size_t i = 0; i < count; i++)
        pointers[i] = &world->keys[keys[i]];
    if (!json || !metadata_sign(json, pointers, count, &envelope, &world->err))
        fail_msg("%s", world->err.text);
    shelf_put(&world->server, name, envelope.bytes, envelope.size);
}

static void make_root_with(struct world *world, const int *signers, size_t count)
{
    char name[32];
    TEXT(out);
    const int keys[] = {
        ROOT_A, ROOT_B, ROOT_C, TARGETS_A, TARGETS_B, world->snapshot_key, world->timestamp_key};
    head_text(world, &out, "root", world->root_version);
    text_puts(&out, "\"consistent_snapshot\":true,");
    keys_text(world, &out, keys, 7);
    text_printf(&out,
                ",\"roles\":{\"root\":{\"keyids\":[\"%s\",\"%s\",\"%s\"],\"threshold\":2},"
                "\"targets\":{\"keyids\":[\"%s\",\"%s\"],\"threshold\":2},\"snapshot\":{\"keyids\":[\"%s\"],"
                "\"threshold\":1},"
                "\"timestamp\":{\"keyids\":[\"%s\"],\"threshold\":1}}}",
                world->keys[ROOT_A].public.id, world->keys[ROOT_B].public.id, world->keys[ROOT_C].public.id,
                world->keys[TARGETS_A].public.id, world->keys[TARGETS_B].public.id,
                world->keys[world->snapshot_key].public.id, world->keys[world->timestamp_key].public.id);
    snprintf(name, sizeof name, "%d.root.json", world->root_version);
    publish(world, name, &out, signers, count);
}

static void make_root(struct world *world)
{
    make_root_with(world, (const int[]){ROOT_A, ROOT_B}, 2);
}

static void role_text(struct world *world, struct text *out, const char *name, const char *pattern, int key)
{
    text_printf(
        out, "{\"name\":\"%s\",\"paths\":[\"%s\"],\"terminating\":true,\"keyids\":[\"%s\"],\"threshold\":1}",
        name, pattern, world->keys[key].public.id);
}

static void make_targets_with(struct world *world, const char *assets_pattern, const int *signers,
                              size_t count)
{
    char name[40];
    TEXT(out);
    head_text(world, &out, "targets", world->targets_version);
    text_puts(&out, "\"targets\":{},\"delegations\":{");
    keys_text(world, &out, (const int[]){ASSETS, DIAGNOSTICS, DIRECTOR, APPROVER}, 4);
    text_puts(&out, ",\"roles\":[");
    role_text(world, &out, "director", "director/none", DIRECTOR);
    text_puts(&out, ",");
    role_text(world, &out, "assets-demo", assets_pattern, ASSETS);
    text_puts(&out, ",");
    if (world->two_sign)
        text_printf(&out,
                    "{\"name\":\"diagnostics-demo\",\"paths\":[\"diagnostics/demo/*/*\"],"
                    "\"terminating\":true,\"keyids\":[\"%s\",\"%s\"],\"threshold\":2}",
                    world->keys[DIAGNOSTICS].public.id, world->keys[APPROVER].public.id);
    else
        role_text(world, &out, "diagnostics-demo", "diagnostics/demo/*/*", DIAGNOSTICS);
    text_puts(&out, "]}}");
    snprintf(name, sizeof name, "%d.targets.json", world->targets_version);
    publish(world, name, &out, signers, count);
}

static void make_assets(struct world *world, const char *kind, int signer)
{
    char name[40];
    TEXT(out);
    head_text(world, &out, "targets", world->assets_version);
    text_printf(
        &out,
        "\"targets\":{\"assets/demo/detector/1.0.0\":{\"length\":10,\"hashes\":{\"sha256\":\"%064d\"},"
        "\"custom\":{\"counter\":3,\"hardware\":[\"r1\"],\"kind\":\"%s\",\"requires\":{}}}}}",
        7, kind);
    snprintf(name, sizeof name, "%d.assets-demo.json", world->assets_version);
    publish(world, name, &out, (const int[]){signer}, 1);
}

static void make_diagnostics_with(struct world *world, const int *signers, size_t count)
{
    TEXT(out);
    head_text(world, &out, "targets", 1);
    text_puts(&out, "\"targets\":{}}");
    publish(world, "1.diagnostics-demo.json", &out, signers, count);
}

static void make_diagnostics(struct world *world)
{
    make_diagnostics_with(world, (const int[]){DIAGNOSTICS}, 1);
}

static void meta_text(struct world *world, struct text *out, const char *listed, const char *file,
                      int version, bool first)
{
    char *bytes, sha256[SHA256_HEX];
    size_t size;
    if (!shelf_get(&world->server, &world->arena, file, &bytes, &size, &world->err))
        fail_msg("%s", world->err.text);
    sha256_hex(bytes, size, sha256);
    text_printf(out, "%s\"%s\":{\"hashes\":{\"sha256\":\"%s\"},\"length\":%zu,\"version\":%d}",
                first ? "" : ",", listed, sha256, size, version);
}

static void make_snapshot(struct world *world)
{
    char name[40];
    TEXT(out);
    head_text(world, &out, "snapshot", world->snapshot_version);
    text_puts(&out, "\"meta\":{");
    snprintf(name, sizeof name, "%d.targets.json", world->targets_version);
    meta_text(world, &out, "targets.json", name, world->targets_version, true);
    snprintf(name, sizeof name, "%d.assets-demo.json", world->assets_version);
    meta_text(world, &out, "assets-demo.json", name, world->assets_version, false);
    meta_text(world, &out, "diagnostics-demo.json", "1.diagnostics-demo.json", 1, false);
    text_puts(&out, "}}");
    snprintf(name, sizeof name, "%d.snapshot.json", world->snapshot_version);
    publish(world, name, &out, &world->snapshot_key, 1);
}

static void make_timestamp(struct world *world)
{
    char name[40];
    TEXT(out);
    head_text(world, &out, "timestamp", world->timestamp_version);
    text_puts(&out, "\"meta\":{");
    snprintf(name, sizeof name, "%d.snapshot.json", world->snapshot_version);
    meta_text(world, &out, "snapshot.json", name, world->snapshot_version, true);
    text_puts(&out, "}}");
    publish(world, "timestamp.json", &out, &world->timestamp_key, 1);
}

static void make_targets(struct world *world)
{
    make_targets_with(world, "assets/demo/*/*", (const int[]){TARGETS_A, TARGETS_B}, 2);
}

static void make_lists(struct world *world)
{
    make_snapshot(world);
    make_timestamp(world);
}

/* The next version of everything below root, as a publication does. */
static void make_news(struct world *world)
{
    world->assets_version++;
    world->snapshot_version++;
    world->timestamp_version++;
    make_assets(world, "model", ASSETS);
    make_lists(world);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    for (int i = 0; i < KEYS; i++)
        private_key_make(&world->keys[i]);
    world->io = (struct metadata_io){load, store, fetch, world};
    world->expires = NOW + 30 * DAY;
    world->product = "demo";
    world->root_version = world->timestamp_version = world->snapshot_version = world->targets_version =
        world->assets_version = 1;
    world->timestamp_key = TIMESTAMP;
    world->snapshot_key = SNAPSHOT;
    make_root(world);
    make_targets(world);
    make_assets(world, "model", ASSETS);
    make_diagnostics(world);
    make_lists(world);
    char *bytes;
    size_t size;
    assert_true(shelf_get(&world->server, &world->arena, "1.root.json", &bytes, &size, &world->err));
    shelf_put(&world->kept, "root.json", bytes, size);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < world->server.count; i++)
        free(world->server.files[i].bytes);
    for (int i = 0; i < world->kept.count; i++)
        free(world->kept.files[i].bytes);
    arena_end(&world->arena);
    free(world);
    return 0;
}

/* --- asking
 * -------------------------------------------------------------------------------------------------------- */

static struct metadata_client *client_open(struct world *world)
{
    world->err = (struct error){0};
    struct metadata_client *client = metadata_open(&world->arena, &world->io, &world->err);
    if (!client)
        fail_msg("%s", world->err.text);
    return client;
}

static struct metadata_client *accepted_at(struct world *world, int64_t now)
{
    struct metadata_client *client = client_open(world);
    if (!metadata_refresh(client, world->product, now, &world->err))
        fail_msg("%s", world->err.text);
    return client;
}

static struct metadata_client *accepted(struct world *world)
{
    return accepted_at(world, NOW);
}

static void refused_at(struct world *world, int64_t now, const char *word)
{
    struct metadata_client *client = client_open(world);
    assert_false(metadata_refresh(client, world->product, now, &world->err));
    assert_int_equal(world->err.kind, ERROR_UNTRUSTED);
    if (!strstr(world->err.text, word))
        fail_msg("\"%s\" does not say \"%s\"", world->err.text, word);
}

static void refused(struct world *world, const char *word)
{
    refused_at(world, NOW, word);
}

static void flip(struct world *world, const char *name, const char *from, const char *to)
{
    char *bytes;
    size_t size;
    assert_int_equal(strlen(from), strlen(to));
    assert_true(shelf_get(&world->server, &world->arena, name, &bytes, &size, &world->err));
    char *at = strstr(bytes, from);
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    shelf_put(&world->server, name, bytes, size);
}

static void a_good_repository_is_accepted_and_a_target_found(void **state)
{
    struct world *world = *state;
    struct metadata_target target;
    struct metadata_client *client = accepted(world);
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
    accepted(world);
    assert_int_equal(world->server.fetched, 4);
    accepted(world);
    assert_int_equal(world->server.fetched, 4);
    make_news(world);
    accepted(world);
    assert_int_equal(world->server.fetched, 6);
}

static void kept_files_answer_without_the_server(void **state)
{
    struct world *world = *state;
    struct metadata_target target;
    accepted(world);
    struct metadata_client *client = client_open(world);
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
        flip(*state, cases[i].name, cases[i].from, cases[i].to);
        refused(*state, "");
        flip(*state, cases[i].name, cases[i].to, cases[i].from);
    }
    accepted(*state);
}

static void signatures_by_a_stranger_are_refused(void **state)
{
    struct world *world = *state;
    make_assets(world, "model", STRANGER);
    make_lists(world);
    refused(world, "0 of the 1 signatures");
    make_assets(world, "model", DIAGNOSTICS); /* a key of the repository, but not of this role */
    world->snapshot_version++, world->timestamp_version++;
    make_lists(world);
    refused(world, "0 of the 1 signatures");
}

static void one_key_that_signs_twice_does_not_reach_a_threshold_of_two(void **state)
{
    struct world *world = *state;
    make_targets_with(world, "assets/demo/*/*", (const int[]){TARGETS_A, TARGETS_A}, 2);
    make_lists(world);
    refused(world, "1 of the 2 signatures");
    make_targets_with(world, "assets/demo/*/*", (const int[]){TARGETS_A}, 1);
    world->snapshot_version++, world->timestamp_version++;
    make_lists(world);
    refused(world, "1 of the 2 signatures");
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
    make_targets(world);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_diagnostics_with(world, cases[i].signers, cases[i].count);
        world->snapshot_version++, world->timestamp_version++;
        make_lists(world);
        if (cases[i].refused)
            refused(world, cases[i].refused);
        else
            accepted(world);
    }
}

static void a_list_kept_with_one_signature_is_not_enough_once_two_sign(void **state)
{
    struct world *world = *state;
    accepted(world);
    world->two_sign = true;
    world->targets_version++, world->snapshot_version++, world->timestamp_version++;
    make_targets(world);
    make_lists(world);
    refused(world, "1 of the 2 signatures");
}

static void each_expired_file_is_refused(void **state)
{
    struct world *world = *state;
    refused_at(world, NOW + 30 * DAY, "root.json: it expired");
    /* The others one by one, root being good for longer. */
    world->expires = NOW + 100 * DAY;
    world->root_version = 2;
    make_root(world);
    refused_at(world, NOW + 30 * DAY, "timestamp.json: it expired");
    world->timestamp_version++;
    make_timestamp(world);
    refused_at(world, NOW + 30 * DAY, "snapshot.json: it expired");
    world->snapshot_version++, world->timestamp_version++;
    make_lists(world);
    refused_at(world, NOW + 30 * DAY, "targets.json: it expired");
    world->targets_version++, world->snapshot_version++, world->timestamp_version++;
    make_targets(world);
    make_lists(world);
    refused_at(world, NOW + 30 * DAY, "assets-demo.json: it expired");
}

static void an_older_timestamp_is_refused(void **state)
{
    struct world *world = *state;
    world->timestamp_version = 5;
    make_timestamp(world);
    accepted(world);
    world->timestamp_version = 4;
    make_timestamp(world);
    refused(world, "older");
}

static void two_timestamps_of_one_version_are_refused(void **state)
{
    struct world *world = *state;
    accepted(world);
    world->snapshot_version = 2;
    make_lists(world);
    refused(world, "two of the same version");
}

static void an_older_snapshot_under_a_new_timestamp_is_refused(void **state)
{
    struct world *world = *state;
    make_news(world);
    accepted(world);
    world->snapshot_version = 1;
    world->timestamp_version++;
    make_timestamp(world);
    refused(world, "snapshot is older");
}

static void an_older_delegated_file_under_a_new_snapshot_is_refused(void **state)
{
    struct world *world = *state;
    make_news(world);
    accepted(world);
    world->assets_version = 1;
    world->snapshot_version++, world->timestamp_version++;
    make_lists(world);
    refused(world, "assets-demo.json is older");
}

static void files_of_different_snapshots_cannot_be_mixed(void **state)
{
    struct world *world = *state;
    char *bytes;
    size_t size;
    make_news(world);
    accepted(world);
    make_news(world);
    /* The server gives the assets of version 2 under the name of version 3. */
    assert_true(shelf_get(&world->server, &world->arena, "2.assets-demo.json", &bytes, &size, &world->err));
    shelf_put(&world->server, "3.assets-demo.json", bytes, size);
    refused(world, "not the one that is listed");
}

static void a_root_chain_is_followed_and_a_gap_is_not(void **state)
{
    struct world *world = *state;
    for (world->root_version = 2; world->root_version <= 40; world->root_version++)
        make_root(world);
    struct metadata_client *client = accepted(world);
    assert_int_equal(metadata_version(client, "root"), 33); /* 32 steps at a time */
    assert_int_equal(metadata_version(accepted(world), "root"), 40);
    char *bytes;
    size_t size;
    assert_true(shelf_get(&world->server, &world->arena, "5.root.json", &bytes, &size, &world->err));
    shelf_put(&world->server, "41.root.json", bytes, size);
    refused(world, "does not follow");
}

static void a_root_that_the_old_keys_did_not_sign_is_refused_and_not_kept(void **state)
{
    struct world *world = *state;
    char *bytes;
    size_t size;
    struct private_key saved[3];
    accepted(world);
    memcpy(saved, world->keys, sizeof saved);
    for (int i = ROOT_A; i <= ROOT_C; i++)
        private_key_make(&world->keys[i]);
    world->root_version = 2;
    make_root(world);
    refused(world, "2.root.json: 0 of the 2");
    assert_true(shelf_get(&world->kept, &world->arena, "root.json", &bytes, &size, &world->err));
    assert_non_null(strstr(bytes, saved[0].public.id));
}

static void rotated_keys_recover_from_a_fast_forward(void **state)
{
    struct world *world = *state;
    world->timestamp_version = world->snapshot_version = 1000000;
    make_lists(world);
    accepted(world);
    /* The attacker who had the keys is out; versions go on from where they were. */
    world->timestamp_key = STRANGER;
    world->snapshot_key = OTHER;
    world->root_version = 2;
    world->timestamp_version = world->snapshot_version = 3;
    make_root(world);
    make_lists(world);
    assert_int_equal(metadata_version(accepted(world), "timestamp"), 3);
}

static void a_delegation_for_other_paths_is_refused(void **state)
{
    static const char *const patterns[] = {"assets/*/*/*", "*", "assets/demo2/*/*", "diagnostics/demo/*/*"};
    struct world *world = *state;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        make_targets_with(world, patterns[i], (const int[]){TARGETS_A, TARGETS_B}, 2);
        world->snapshot_version++, world->timestamp_version++;
        make_lists(world);
        refused(world, "is not for");
    }
}

static void a_diagnostic_among_the_assets_is_refused(void **state)
{
    struct world *world = *state;
    struct metadata_target target;
    make_assets(world, "diagnostic", ASSETS);
    make_lists(world);
    struct metadata_client *client = accepted(world);
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
    struct metadata_client *client = client_open(world);
    assert_false(metadata_refresh(client, "demo", NOW, &world->err));
    assert_int_equal(world->err.kind, ERROR_LIMIT);
}

static void kept_files_that_were_tampered_with_are_as_good_as_none(void **state)
{
    struct world *world = *state;
    accepted(world);
    shelf_put(&world->kept, "timestamp.json", "{}", 2);
    shelf_put(&world->kept, "snapshot.json", "", 0);
    shelf_put(&world->kept, "targets.json", "[", 1);
    accepted(world);
    shelf_put(&world->kept, "root.json", "{}", 2);
    assert_null(metadata_open(&world->arena, &world->io, &world->err));
}

/* --- orders
 * -------------------------------------------------------------------------------------------------------- */

static struct order an_order(void)
{
    static struct set_entry set[] = {{"labels", "2.0.0", "", {0}}, {"detector", "1.0.0", "", {0}}};
    static const char *collect[] = {"proc", NULL};
    static struct order_run run = {.id = "0123456789abcdef0123456789abcdef",
                                   .campaign = 7,
                                   .run = 1,
                                   .image = "raw-counters",
                                   .version = "1.0.0",
                                   .mode = "replace",
                                   .duration_s = 30,
                                   .start_after = NOW,
                                   .start_before = NOW + 60,
                                   .not_after = NOW + 600,
                                   .max_output = 1000,
                                   .collect = collect};
    struct order order = {.device = DEVICE,
                          .product = "demo",
                          .seq = 10,
                          .issued = NOW,
                          .expires = NOW + DAY,
                          .set = set,
                          .set_count = 2,
                          .runs = &run,
                          .run_count = 1};
    return order;
}

static bool order_passes(struct world *world, const struct order *order, int key, int64_t last_seq,
                         int64_t now, struct order *read)
{
    struct metadata_client *client = accepted(world);
    TEXT(out);
    if (!order_write(order, &world->keys[key], &out, &world->err))
        fail_msg("%s", world->err.text);
    return order_read(&world->arena, client, out.bytes, out.size, DEVICE, "demo", last_seq, now, read,
                      &world->err);
}

static void an_order_comes_back_as_it_was_written(void **state)
{
    struct order order = an_order(), read;
    assert_true(order_passes(*state, &order, DIRECTOR, 9, NOW, &read));
    assert_int_equal(read.set_count, 2);
    assert_string_equal(read.set[0].asset, "detector");
    assert_string_equal(read.runs[0].id, "0123456789abcdef0123456789abcdef");
    assert_string_equal(read.runs[0].collect[0], "proc");
    assert_int_equal(read.runs[0].not_after, NOW + 600);
    assert_int_equal(read.expires, NOW + DAY);
}

static void replayed_expired_and_foreign_orders_are_refused(void **state)
{
    struct world *world = *state;
    struct order order = an_order(), read;
    assert_false(order_passes(world, &order, DIRECTOR, 10, NOW, &read));
    assert_int_equal(world->err.kind, ERROR_UNTRUSTED);
    assert_false(order_passes(world, &order, DIRECTOR, 9, NOW + DAY, &read));
    assert_non_null(strstr(world->err.text, "expired"));
    assert_false(order_passes(world, &order, ASSETS, 9, NOW, &read));
    assert_non_null(strstr(world->err.text, "0 of the 1 signatures"));
    memset(order.device, 'e', 64);
    assert_false(order_passes(world, &order, DIRECTOR, 9, NOW, &read));
    assert_non_null(strstr(world->err.text, "another device"));
    order = an_order();
    snprintf(order.product, NAME_SIZE, "other");
    assert_false(order_passes(world, &order, DIRECTOR, 9, NOW, &read));
    assert_non_null(strstr(world->err.text, "product"));
}

static void an_order_with_a_changed_byte_is_refused(void **state)
{
    struct world *world = *state;
    struct order order = an_order(), read;
    struct metadata_client *client = accepted(world);
    TEXT(out);
    assert_true(order_write(&order, &world->keys[DIRECTOR], &out, &world->err));
    for (size_t i = 0; i < out.size; i++) {
        out.bytes[i] ^= 1;
        world->err = (struct error){0};
        if (order_read(&world->arena, client, out.bytes, out.size, DEVICE, "demo", 9, NOW, &read,
                       &world->err))
            fail_msg("byte %zu", i);
        out.bytes[i] ^= 1;
    }
}

static void an_order_that_a_device_would_refuse_is_not_signed(void **state)
{
    struct world *world = *state;
    struct set_entry twice[] = {{"a", "1.0.0", "", {0}}, {"a", "1.0.0", "", {0}}};
    struct order order = an_order();
    TEXT(out);
    order.set = twice;
    assert_false(order_write(&order, &world->keys[DIRECTOR], &out, &world->err));
    order = an_order();
    struct order_run run = order.runs[0];
    order.runs = &run;
    snprintf(run.image, NAME_SIZE, "../x");
    assert_false(order_write(&order, &world->keys[DIRECTOR], &out, &world->err));
    run = an_order().runs[0];
    run.start_before = run.not_after + 1;
    assert_false(order_write(&order, &world->keys[DIRECTOR], &out, &world->err));
}

static void a_run_may_only_narrow_what_the_image_was_signed_for(void **state)
{
    static const char text[] =
        "{\"entry\":[\"./run\"],\"max_runtime_s\":60,\"max_output\":4096,\"collect\":[\"proc\"],"
        "\"params\":{\"rate\":{\"type\":\"integer\",\"min\":1,\"max\":50}}}";
    struct world *world = *state;
    struct image_limits limits;
    const char *more[] = {"proc", "app-logs", NULL};
    assert_true(image_limits_read(&world->arena, text, sizeof text - 1, &limits, &world->err));
    struct order_run good = an_order().runs[0], run = good;
    assert_true(order_run_check(&run, &limits, &world->err));
    run.duration_s = 61;
    assert_false(order_run_check(&run, &limits, &world->err));
    run = good, run.collect = more;
    assert_false(order_run_check(&run, &limits, &world->err));
    run = good, run.mode = "beside";
    assert_false(order_run_check(&run, &limits, &world->err));
    run = good, run.max_output = 4097;
    assert_false(order_run_check(&run, &limits, &world->err));
    run = good, run.params = json_read(&world->arena, "{\"rate\":51}", 11, &json_limits_small, &world->err);
    assert_false(order_run_check(&run, &limits, &world->err));
    run.params = json_read(&world->arena, "{\"rate\":50}", 11, &json_limits_small, &world->err);
    assert_true(order_run_check(&run, &limits, &world->err));
    run.params = json_read(&world->arena, "{\"other\":1}", 11, &json_limits_small, &world->err);
    assert_false(order_run_check(&run, &limits, &world->err));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
        TEST(an_order_comes_back_as_it_was_written),
        TEST(replayed_expired_and_foreign_orders_are_refused),
        TEST(an_order_with_a_changed_byte_is_refused),
        TEST(an_order_that_a_device_would_refuse_is_not_signed),
        TEST(a_run_may_only_narrow_what_the_image_was_signed_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

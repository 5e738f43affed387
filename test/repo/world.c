#include "test/repo/world.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void shelf_put(struct shelf *shelf, const char *name, const char *bytes, size_t size)
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

bool shelf_get(struct shelf *shelf, struct arena *arena, const char *name, char **bytes, size_t *size,
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

void world_make_root(struct world *world)
{
    make_root_with(world, (const int[]){ROOT_A, ROOT_B}, 2);
}

static void role_text(struct world *world, struct text *out, const char *name, const char *pattern, int key)
{
    text_printf(
        out, "{\"name\":\"%s\",\"paths\":[\"%s\"],\"terminating\":true,\"keyids\":[\"%s\"],\"threshold\":1}",
        name, pattern, world->keys[key].public.id);
}

void world_make_targets_with(struct world *world, const char *assets_pattern, const int *signers,
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

void world_make_assets(struct world *world, const char *kind, int signer)
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

void world_make_diagnostics_with(struct world *world, const int *signers, size_t count)
{
    TEXT(out);
    head_text(world, &out, "targets", 1);
    text_puts(&out, "\"targets\":{}}");
    publish(world, "1.diagnostics-demo.json", &out, signers, count);
}

static void make_diagnostics(struct world *world)
{
    world_make_diagnostics_with(world, (const int[]){DIAGNOSTICS}, 1);
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

void world_make_timestamp(struct world *world)
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

void world_make_targets(struct world *world)
{
    world_make_targets_with(world, "assets/demo/*/*", (const int[]){TARGETS_A, TARGETS_B}, 2);
}

void world_make_lists(struct world *world)
{
    make_snapshot(world);
    world_make_timestamp(world);
}

void world_make_news(struct world *world)
{
    world->assets_version++;
    world->snapshot_version++;
    world->timestamp_version++;
    world_make_assets(world, "model", ASSETS);
    world_make_lists(world);
}

int world_setup(void **state)
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
    world_make_root(world);
    world_make_targets(world);
    world_make_assets(world, "model", ASSETS);
    make_diagnostics(world);
    world_make_lists(world);
    char *bytes;
    size_t size;
    assert_true(shelf_get(&world->server, &world->arena, "1.root.json", &bytes, &size, &world->err));
    shelf_put(&world->kept, "root.json", bytes, size);
    *state = world;
    return 0;
}

int world_teardown(void **state)
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

struct metadata_client *world_client(struct world *world)
{
    world->err = (struct error){0};
    struct metadata_client *client = metadata_open(&world->arena, &world->io, &world->err);
    if (!client)
        fail_msg("%s", world->err.text);
    return client;
}

static struct metadata_client *accepted_at(struct world *world, int64_t now)
{
    struct metadata_client *client = world_client(world);
    if (!metadata_refresh(client, world->product, now, &world->err))
        fail_msg("%s", world->err.text);
    return client;
}

struct metadata_client *world_accepts(struct world *world)
{
    return accepted_at(world, NOW);
}

void world_refuses_at(struct world *world, int64_t now, const char *word)
{
    struct metadata_client *client = world_client(world);
    assert_false(metadata_refresh(client, world->product, now, &world->err));
    assert_int_equal(world->err.kind, ERROR_UNTRUSTED);
    if (!strstr(world->err.text, word))
        fail_msg("\"%s\" does not say \"%s\"", world->err.text, word);
}

void world_refuses(struct world *world, const char *word)
{
    world_refuses_at(world, NOW, word);
}

void world_flip(struct world *world, const char *name, const char *from, const char *to)
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

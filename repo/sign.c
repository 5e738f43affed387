/* The signed files that the console makes: root, targets and the delegated ones. Snapshot and timestamp are
 * in fresh.c. */
#include "repo/store.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#define YEAR_S (365LL * 86400)
#define ROLES_PER_KEYSET 3
#define SIGNERS_MOST 2 /* of a delegated file */

static const char *const role_kinds[] = {"assets", "diagnostics"}; /* by "is it for diagnostic images" */

static void head_write(struct json_writer *writer, const char *type, int64_t version, int64_t expires)
{
    json_write_object(writer, NULL);
    json_write_string(writer, "_type", type);
    json_write_string(writer, "spec_version", "1.0.31");
    json_write_integer(writer, "version", version);
    json_write_time(writer, "expires", expires);
}

static void key_write(struct json_writer *writer, const struct private_key *key)
{
    char hex[2 * PUBLIC_KEY_SIZE + 1];
    hex_encode(hex, key->public.bytes, PUBLIC_KEY_SIZE);
    json_write_object(writer, key->public.id);
    json_write_string(writer, "keytype", "ed25519");
    json_write_object(writer, "keyval");
    json_write_string(writer, "public", hex);
    json_write_end(writer, '}');
    json_write_string(writer, "scheme", "ed25519");
    json_write_end(writer, '}');
}

static void keyids_write(struct json_writer *writer, const struct private_key *keys, size_t count,
                         int threshold)
{
    json_write_array(writer, "keyids");
    for (size_t i = 0; i < count; i++)
        json_write_string(writer, NULL, keys[i].public.id);
    json_write_end(writer, ']');
    json_write_integer(writer, "threshold", threshold);
}

/* Signs the JSON in `plain` and puts the envelope into the arena under `name`. */
static bool finish(struct arena *arena, const struct text *plain, const struct private_key *keys,
                   size_t key_count, const char *name, size_t limit, struct signed_file *file,
                   struct error *err)
{
    const struct private_key *pointers[ROLES_PER_KEYSET];
    TEXT(envelope);
    const struct json *json = json_read(arena, text_string(plain), plain->size, &json_limits_large, err);
    for (size_t i = 0; i < key_count; i++)
        pointers[i] = &keys[i];
    if (!json || !metadata_sign(json, pointers, key_count, &envelope, err))
        return error_add(err, "%s", name);
    if (envelope.size > limit)
        return error_set(err, ERROR_LIMIT, "%s would be larger than %zu bytes", name, limit);
    snprintf(file->name, sizeof file->name, "%s", name);
    file->bytes = arena_copy(arena, envelope.bytes, envelope.size);
    file->size = envelope.size;
    return true;
}

static bool keys_load(struct repo *repo, const char *role, size_t count, bool make, struct private_key *keys,
                      struct error *err)
{
    char name[32];
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s-%zu", role, i + 1);
        if (!key_load(repo, name, make, &keys[i], err))
            return false;
    }
    return true;
}

static void root_role_write(struct json_writer *writer, const char *role, const struct private_key *keys,
                            size_t count, int threshold)
{
    json_write_object(writer, role);
    keyids_write(writer, keys, count, threshold);
    json_write_end(writer, '}');
}

bool sign_root(struct repo *repo, struct arena *arena, int64_t now, struct signed_file *file,
               struct error *err)
{
    struct private_key root[3], targets[2];
    TEXT(plain);
    struct json_writer writer;
    if (!keys_load(repo, "root", 3, true, root, err) || !keys_load(repo, "targets", 2, true, targets, err))
        return false;
    json_write_init(&writer, &plain);
    head_write(&writer, "root", 1, now + 10 * YEAR_S);
    json_write_boolean(&writer, "consistent_snapshot", true);
    json_write_object(&writer, "keys");
    for (size_t i = 0; i < 3; i++)
        key_write(&writer, &root[i]);
    for (size_t i = 0; i < 2; i++)
        key_write(&writer, &targets[i]);
    key_write(&writer, &repo->snapshot_key);
    key_write(&writer, &repo->timestamp_key);
    json_write_end(&writer, '}');
    json_write_object(&writer, "roles");
    root_role_write(&writer, "root", root, 3, 2);
    root_role_write(&writer, "targets", targets, 2, 2);
    root_role_write(&writer, "snapshot", &repo->snapshot_key, 1, 1);
    root_role_write(&writer, "timestamp", &repo->timestamp_key, 1, 1);
    json_write_end(&writer, '}');
    json_write_end(&writer, '}');
    return finish(arena, &plain, root, 3, "1.root.json", ROOT_LIMIT, file, err);
}

/* A delegation that is new or changed, with its keys: all of them have to sign. */
struct delegation {
    char name[DELEGATION_NAME_SIZE], pattern[NAME_SIZE + 32];
    struct private_key keys[SIGNERS_MOST];
    size_t key_count;
    const struct json *before; /* what it replaces, or NULL */
};

static void delegation_write(struct json_writer *writer, const struct delegation *delegation)
{
    json_write_object(writer, NULL);
    json_write_string(writer, "name", delegation->name);
    json_write_array(writer, "paths");
    json_write_string(writer, NULL, delegation->pattern);
    json_write_end(writer, ']');
    json_write_boolean(writer, "terminating", true);
    keyids_write(writer, delegation->keys, delegation->key_count, (int)delegation->key_count);
    json_write_end(writer, '}');
}

/* The keys of a product's role: its author's, and with `count` 2 its approver's; which of them may be made.
 * The approver's has a prefix of its own: "diagnostics-x-approver" would be the author's of "x-approver". */
static bool signers_load(struct repo *repo, bool diagnostic, const char *product, size_t count,
                         bool make_author, bool make_approver, struct private_key keys[SIGNERS_MOST],
                         struct error *err)
{
    char name[DELEGATION_NAME_SIZE];
    snprintf(name, sizeof name, "%s-%s", role_kinds[diagnostic], product);
    if (!key_load(repo, name, make_author, &keys[0], err))
        return false;
    snprintf(name, sizeof name, "approver-%s", product);
    return count < 2 || key_load(repo, name, make_approver, &keys[1], err);
}

/* What changes for a product: the roles that it lacks, and the one whose number of signatures changes. */
static bool delegations_prepare(struct repo *repo, const struct json *before, const char *product,
                                int signatures, struct delegation *added, size_t *count, struct error *err)
{
    const struct document document = {.signed_part = before};
    if (!product) {
        added[0] = (struct delegation){
            .name = "director", .pattern = "director/none", .keys = {repo->director_key}, .key_count = 1};
        *count = 1;
        return true;
    }
    *count = 0;
    for (int diagnostic = 0; diagnostic < 2; diagnostic++) {
        struct delegation *one = &added[*count];
        *one = (struct delegation){.key_count = diagnostic ? (size_t)signatures : 1};
        snprintf(one->name, sizeof one->name, "%s-%s", role_kinds[diagnostic], product);
        snprintf(one->pattern, sizeof one->pattern, "%s/%s/*/*", role_kinds[diagnostic], product);
        one->before = document_delegation(&document, one->name);
        if (one->before && !diagnostic)
            continue;
        if (!signers_load(repo, diagnostic, product, one->key_count, !one->before, true, one->keys, err))
            return false;
        ++*count;
    }
    return true;
}

static bool is_replaced(const struct delegation *added, size_t count, const struct json *role)
{
    for (size_t i = 0; i < count; i++)
        if (added[i].before == role)
            return true;
    return false;
}

/* Does one of the roles that are replaced name the key? Each role has keys of its own. */
static bool is_replaced_key(const struct delegation *added, size_t count, const char *id)
{
    for (size_t i = 0; i < count; i++) {
        const struct json *ids = json_get(added[i].before, "keyids");
        for (const struct json *one = ids ? ids->first : NULL; one; one = one->next)
            if (string_is(one->string, id))
                return true;
    }
    return false;
}

static void delegations_write(struct json_writer *writer, const struct json *before,
                              const struct delegation *added, size_t count)
{
    const struct json *keys = json_get(before, "keys"), *roles = json_get(before, "roles");
    json_write_object(writer, "delegations");
    json_write_object(writer, "keys");
    for (const struct json *one = keys ? keys->first : NULL; one; one = one->next)
        if (!is_replaced_key(added, count, one->key))
            json_write_value(writer, one->key, one);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < added[i].key_count; k++)
            key_write(writer, &added[i].keys[k]);
    json_write_end(writer, '}');
    json_write_array(writer, "roles");
    for (const struct json *one = roles ? roles->first : NULL; one; one = one->next)
        if (!is_replaced(added, count, one))
            json_write_value(writer, NULL, one);
    for (size_t i = 0; i < count; i++)
        delegation_write(writer, &added[i]);
    json_write_end(writer, ']');
    json_write_end(writer, '}');
}

bool sign_targets(struct repo *repo, struct arena *arena, const struct json *before, const char *product,
                  int signatures, int64_t now, struct signed_file *file, struct error *err)
{
    struct private_key keys[2];
    struct delegation added[2];
    size_t count;
    const struct json *delegations = json_get(before, "delegations");
    TEXT(plain);
    struct json_writer writer;
    if (!keys_load(repo, "targets", 2, false, keys, err))
        return error_add(err, "who signs for a product is signed with the targets keys");
    if (!delegations_prepare(repo, before, product, signatures, added, &count, err))
        return false;
    json_write_init(&writer, &plain);
    head_write(&writer, "targets", json_integer(before, "version", 0) + 1, now + 10 * YEAR_S);
    json_write_object(&writer, "targets");
    json_write_end(&writer, '}');
    delegations_write(&writer, delegations, added, count);
    json_write_end(&writer, '}');
    return finish(arena, &plain, keys, 2, "targets.json", TARGETS_LIMIT, file, err);
}

static void custom_write(struct json_writer *writer, const struct manifest *manifest)
{
    json_write_object(writer, "custom");
    json_write_integer(writer, "counter", manifest->counter);
    json_write_array(writer, "hardware");
    for (const char **one = manifest->hardware; one && *one; one++)
        json_write_string(writer, NULL, *one);
    json_write_end(writer, ']');
    json_write_string(writer, "kind", kind_name(manifest->kind));
    json_write_value(writer, "requires", manifest->requires);
    if (manifest->has_limits)
        json_write_value(writer, "limits", manifest->limits.json);
    json_write_end(writer, '}');
}

static void target_write(struct json_writer *writer, const struct target *target)
{
    if (target->entry) {
        json_write_value(writer, target->path, target->entry);
        return;
    }
    json_write_object(writer, target->path);
    json_write_integer(writer, "length", (int64_t)target->length);
    json_write_object(writer, "hashes");
    json_write_string(writer, "sha256", target->sha256);
    json_write_end(writer, '}');
    custom_write(writer, target->manifest);
    json_write_end(writer, '}');
}

bool sign_delegated(struct repo *repo, struct arena *arena, const struct delegated *delegated, int64_t now,
                    struct signed_file *file, struct error *err)
{
    struct private_key keys[SIGNERS_MOST];
    size_t signers = (size_t)delegated->signatures;
    char name[DELEGATION_NAME_SIZE + 8];
    TEXT(plain);
    struct json_writer writer;
    if (!signers_load(repo, delegated->diagnostic, delegated->product, signers, false, false, keys, err))
        return error_add(err, "what devices may install has to be signed");
    json_write_init(&writer, &plain);
    head_write(&writer, "targets", delegated->version, now + YEAR_S);
    json_write_object(&writer, "targets");
    for (size_t i = 0; i < delegated->count; i++)
        target_write(&writer, &delegated->targets[i]);
    json_write_end(&writer, '}');
    json_write_end(&writer, '}');
    snprintf(name, sizeof name, "%s-%s.json", role_kinds[delegated->diagnostic], delegated->product);
    return finish(arena, &plain, keys, signers, name, DELEGATED_LIMIT, file, err);
}

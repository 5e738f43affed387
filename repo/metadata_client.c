/* The client workflow of the TUF specification, section 5, step by step. */
#include "repo/metadata.h"
#include "repo/document.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define DELEGATED_ROLES 2
#define PATH_PATTERN_SIZE (NAME_SIZE + 32)

static const char *const delegated_prefix[DELEGATED_ROLES] = {"assets", "diagnostics"};

struct delegated {
    char role[DELEGATION_NAME_SIZE];
    struct document document;
    bool has;
};

struct metadata_client {
    struct arena *arena;
    const struct metadata_io *io;
    struct document root, timestamp, snapshot, targets;
    bool has_timestamp, has_snapshot, has_targets;
    struct delegated delegated[DELEGATED_ROLES]; /* of the product of the last refresh */
};

/* What a document that lists others says of one of them. */
struct listed {
    int64_t version;
    int64_t length;     /* -1: not said */
    const char *sha256; /* NULL: not said */
};

static bool untrusted(struct error *err, const char *name, const char *what)
{
    return error_set(err, ERROR_UNTRUSTED, "%s: %s", name, what);
}

/* --- roles and keys
 * ------------------------------------------------------------------------------------------------ */

static const struct json *root_role(const struct document *root, const char *role)
{
    return json_get(json_get(root->signed_part, "roles"), role);
}

static bool verify_by_root(const struct document *root, const char *role, const char *name,
                           const struct document *document, struct error *err)
{
    return document_verify(name, document->signed_part, document->signatures,
                           json_get(root->signed_part, "keys"), root_role(root, role), err);
}

static bool verify_by_targets(const struct document *targets, const char *role, const char *name,
                              const struct document *document, struct error *err)
{
    const struct json *delegation = document_delegation(targets, role);
    if (!delegation)
        return untrusted(err, name, "nobody delegated to it");
    return document_verify(name, document->signed_part, document->signatures,
                           json_get(json_get(targets->signed_part, "delegations"), "keys"), delegation, err);
}

static bool root_read(struct arena *arena, const char *name, const void *bytes, size_t size,
                      struct document *root, struct error *err)
{
    static const char *const roles[] = {"root", "targets", "snapshot", "timestamp"};
    if (!document_read(arena, name, "root", bytes, size, root, err) ||
        !document_keys_check(name, json_get(root->signed_part, "keys"), err))
        return false;
    if (!json_boolean(root->signed_part, "consistent_snapshot", false))
        return untrusted(err, name, "it does not promise consistent snapshots");
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (!document_role_check(name, json_get(root->signed_part, "keys"), root_role(root, roles[i]), err))
            return false;
    return verify_by_root(root, "root", name, root, err);
}

/* --- lists
 * ---------------------------------------------------------------------------------------------------------
 */

static bool listed_read(const struct document *list, const char *list_name, const char *name,
                        struct listed *listed, struct error *err)
{
    const struct json *entry = json_get(json_get(list->signed_part, "meta"), name);
    const struct json *length = json_get(entry, "length"), *hashes = json_get(entry, "hashes");
    if (!entry || !json_has_integer(entry, "version", &listed->version) || listed->version < 1)
        return error_set(err, ERROR_UNTRUSTED, "%s does not list %s with a version", list_name, name);
    listed->length = -1;
    listed->sha256 = NULL;
    if (length && (!json_has_integer(entry, "length", &listed->length) || listed->length < 1))
        return error_set(err, ERROR_UNTRUSTED, "%s lists %s with a malformed length", list_name, name);
    if (hashes) {
        listed->sha256 = json_string(hashes, "sha256");
        if (!listed->sha256 || !sha256_is_hex(listed->sha256))
            return error_set(err, ERROR_UNTRUSTED, "%s lists %s without a sha256", list_name, name);
    }
    return true;
}

static bool matches_list(const struct document *document, const struct listed *listed)
{
    return document->version == listed->version &&
           (listed->length < 0 || (uint64_t)listed->length == document->size) &&
           (!listed->sha256 || string_is(listed->sha256, document->sha256));
}

static bool list_check(const char *name, const struct document *document, const struct listed *listed,
                       struct error *err)
{
    if (listed->length >= 0 && (uint64_t)listed->length != document->size)
        return untrusted(err, name, "its length is not the one that is listed");
    if (listed->sha256 && !string_is(listed->sha256, document->sha256))
        return untrusted(err, name, "its hash is not the one that is listed");
    if (document->version != listed->version)
        return untrusted(err, name, "its version is not the one that is listed");
    return true;
}

static bool expiry_check(const char *name, const struct document *document, int64_t now, struct error *err)
{
    if (document->expires > now)
        return true;
    return error_set(err, ERROR_UNTRUSTED, "%s: it expired at %s", name,
                     json_string(document->signed_part, "expires"));
}

static bool same_signed_part(const struct document *a, const struct document *b)
{
    TEXT(one);
    TEXT(other);
    struct error ignored = {0};
    return json_canonical(a->signed_part, &one, &ignored) &&
           json_canonical(b->signed_part, &other, &ignored) && one.size == other.size &&
           memcmp(one.bytes, other.bytes, one.size) == 0;
}

/* --- fetching and keeping
 * ------------------------------------------------------------------------------------------- */

static bool fetch(struct metadata_client *client, const char *name, size_t limit, char **bytes, size_t *size,
                  struct error *err)
{
    if (!client->io->fetch(client->io->context, client->arena, name, limit, bytes, size, err))
        return error_add(err, "%s", name);
    if (*size > limit)
        return error_set(err, ERROR_LIMIT, "%s: it is larger than %zu bytes", name, limit);
    return true;
}

static bool keep(struct metadata_client *client, const char *name, const void *bytes, size_t size,
                 struct error *err)
{
    return client->io->store(client->io->context, name, bytes, size, err) || error_add(err, "%s", name);
}

static void forget(struct metadata_client *client, const char *name, bool *has)
{
    struct error ignored = {0};
    *has = false;
    client->io->store(client->io->context, name, "", 0, &ignored);
}

/* A kept file, when it is there and still reads; what does not is as good as not there. */
static bool kept_read(struct metadata_client *client, const char *name, const char *type, size_t limit,
                      struct document *document)
{
    char *bytes;
    size_t size;
    struct error ignored = {0};
    return client->io->load(client->io->context, client->arena, name, limit, &bytes, &size, &ignored) &&
           size > 0 && document_read(client->arena, name, type, bytes, size, document, &ignored);
}

static void kept_delegated(struct metadata_client *client, int index, const char *role)
{
    struct delegated *one = &client->delegated[index];
    struct error ignored = {0};
    char name[DELEGATION_NAME_SIZE + 8];
    snprintf(name, sizeof name, "%s.json", role);
    snprintf(one->role, sizeof one->role, "%s", role);
    one->has = client->has_targets && kept_read(client, name, "targets", DELEGATED_LIMIT, &one->document) &&
               verify_by_targets(&client->targets, role, name, &one->document, &ignored);
}

static bool role_product(const char *role, int index, char product[NAME_SIZE])
{
    size_t prefix = strlen(delegated_prefix[index]);
    if (!role || strncmp(role, delegated_prefix[index], prefix) != 0 || role[prefix] != '-' ||
        !name_is_valid(role + prefix + 1))
        return false;
    snprintf(product, NAME_SIZE, "%s", role + prefix + 1);
    return true;
}

/* The kept delegated files: a device keeps those of its one product. */
static void kept_delegated_all(struct metadata_client *client)
{
    const struct json *roles = json_get(json_get(client->targets.signed_part, "delegations"), "roles");
    char product[NAME_SIZE];
    for (const struct json *one = roles ? roles->first : NULL; one; one = one->next)
        for (int i = 0; i < DELEGATED_ROLES; i++)
            if (!client->delegated[i].has && role_product(json_string(one, "name"), i, product))
                kept_delegated(client, i, json_string(one, "name"));
}

static bool targets_check(const struct document *targets, struct error *err);

struct metadata_client *metadata_open(struct arena *arena, const struct metadata_io *io, struct error *err)
{
    struct metadata_client *client = arena_alloc(arena, sizeof *client);
    struct error ignored = {0};
    char *bytes;
    size_t size;
    client->arena = arena;
    client->io = io;
    if (!io->load(io->context, arena, "root.json", ROOT_LIMIT, &bytes, &size, err) ||
        !root_read(arena, "root.json", bytes, size, &client->root, err)) {
        error_add(err, "the trusted root");
        return NULL;
    }
    client->has_timestamp =
        kept_read(client, "timestamp.json", "timestamp", TIMESTAMP_LIMIT, &client->timestamp) &&
        verify_by_root(&client->root, "timestamp", "timestamp.json", &client->timestamp, &ignored);
    client->has_snapshot =
        kept_read(client, "snapshot.json", "snapshot", SNAPSHOT_LIMIT, &client->snapshot) &&
        verify_by_root(&client->root, "snapshot", "snapshot.json", &client->snapshot, &ignored);
    client->has_targets =
        kept_read(client, "targets.json", "targets", TARGETS_LIMIT, &client->targets) &&
        verify_by_root(&client->root, "targets", "targets.json", &client->targets, &ignored) &&
        targets_check(&client->targets, &ignored);
    if (client->has_targets)
        kept_delegated_all(client);
    return client;
}

/* --- 5.3 root
 * -------------------------------------------------------------------------------------------------------- */

static bool has_id(const struct json *ids, const char *id)
{
    for (const struct json *one = ids ? ids->first : NULL; one; one = one->next)
        if (string_is(one->string, id))
            return true;
    return false;
}

static bool keys_rotated(const struct document *before, const struct document *after, const char *role)
{
    const struct json *a = json_get(root_role(before, role), "keyids"),
                      *b = json_get(root_role(after, role), "keyids");
    for (const struct json *id = a->first; id; id = id->next)
        if (!has_id(b, id->string))
            return true;
    for (const struct json *id = b->first; id; id = id->next)
        if (!has_id(a, id->string))
            return true;
    return false;
}

/* 5.3.4 to 5.3.8 for one step: signed by the old keys and by the new, and exactly the next version. */
static bool root_step(struct metadata_client *client, const char *name, const char *bytes, size_t size,
                      struct error *err)
{
    struct document next;
    if (!root_read(client->arena, name, bytes, size, &next, err) ||
        !verify_by_root(&client->root, "root", name, &next, err))
        return false;
    if (next.version != client->root.version + 1)
        return untrusted(err, name, "its version does not follow the trusted one");
    /* 5.3.11, before the new root is kept, so that a crash between cannot bring a fast-forwarded file back.
     */
    if (keys_rotated(&client->root, &next, "timestamp") || keys_rotated(&client->root, &next, "snapshot")) {
        forget(client, "timestamp.json", &client->has_timestamp);
        forget(client, "snapshot.json", &client->has_snapshot);
    }
    if (!keep(client, "root.json", bytes, size, err))
        return false;
    client->root = next;
    return true;
}

static bool refresh_root(struct metadata_client *client, int64_t now, struct error *err)
{
    for (int step = 0; step < ROOT_STEPS && client->root.version < INT64_MAX; step++) {
        char name[40], *bytes;
        size_t size;
        struct error failed = {0};
        snprintf(name, sizeof name, "%lld.root.json", (long long)client->root.version + 1);
        if (!fetch(client, name, ROOT_LIMIT, &bytes, &size, &failed)) {
            if (failed.kind == ERROR_MISSING)
                break;
            *err = failed;
            return false;
        }
        if (!root_step(client, name, bytes, size, err))
            return false;
    }
    return expiry_check("root.json", &client->root, now, err); /* 5.3.10 */
}

/* --- 5.4 timestamp
 * --------------------------------------------------------------------------------------------------- */

static bool timestamp_check(struct metadata_client *client, const struct document *fresh, struct error *err)
{
    const char *name = "timestamp.json";
    struct listed before, after;
    if (!listed_read(fresh, name, "snapshot.json", &after, err))
        return false;
    if (!client->has_timestamp)
        return true;
    if (fresh->version < client->timestamp.version)
        return untrusted(err, name, "it is older than the one seen before");
    if (fresh->version == client->timestamp.version && !same_signed_part(fresh, &client->timestamp))
        return untrusted(err, name, "there are two of the same version");
    if (!listed_read(&client->timestamp, name, "snapshot.json", &before, err))
        return false;
    if (after.version < before.version)
        return untrusted(err, name, "its snapshot is older than the one seen before");
    return true;
}

static bool refresh_timestamp(struct metadata_client *client, int64_t now, struct error *err)
{
    const char *name = "timestamp.json";
    struct document fresh;
    char *bytes;
    size_t size;
    if (!fetch(client, name, TIMESTAMP_LIMIT, &bytes, &size, err) ||
        !document_read(client->arena, name, "timestamp", bytes, size, &fresh, err) ||
        !verify_by_root(&client->root, "timestamp", name, &fresh, err) ||
        !timestamp_check(client, &fresh, err) || !expiry_check(name, &fresh, now, err))
        return false;
    bool news = !client->has_timestamp || fresh.version > client->timestamp.version;
    if (news && !keep(client, name, bytes, size, err))
        return false;
    client->timestamp = fresh;
    client->has_timestamp = true;
    return true;
}

/* --- 5.5 snapshot
 * ---------------------------------------------------------------------------------------------------- */

/* 5.5.5: no file that the trusted snapshot lists may be missing or older in the new one. */
static bool snapshot_check(const struct document *before, const struct document *fresh, struct error *err)
{
    const struct json *meta = json_get(before->signed_part, "meta");
    for (const struct json *entry = meta ? meta->first : NULL; entry; entry = entry->next) {
        struct listed old, new;
        if (!listed_read(before, "snapshot.json", entry->key, &old, err) ||
            !listed_read(fresh, "snapshot.json", entry->key, &new, err))
            return false;
        if (new.version < old.version)
            return error_set(err, ERROR_UNTRUSTED,
                             "snapshot.json: its %.100s is older than the one seen before", entry->key);
    }
    return true;
}

static size_t least(size_t limit, int64_t length)
{
    return length >= 0 && (uint64_t)length < limit ? (size_t)length : limit;
}

static bool refresh_snapshot(struct metadata_client *client, int64_t now, struct error *err)
{
    struct listed listed;
    struct document fresh;
    char name[48], *bytes;
    size_t size;
    if (!listed_read(&client->timestamp, "timestamp.json", "snapshot.json", &listed, err))
        return false;
    if (client->has_snapshot && matches_list(&client->snapshot, &listed))
        return expiry_check("snapshot.json", &client->snapshot, now, err);
    snprintf(name, sizeof name, "%lld.snapshot.json", (long long)listed.version);
    if (!fetch(client, name, least(SNAPSHOT_LIMIT, listed.length), &bytes, &size, err) ||
        !document_read(client->arena, name, "snapshot", bytes, size, &fresh, err) ||
        !list_check(name, &fresh, &listed, err) ||
        !verify_by_root(&client->root, "snapshot", name, &fresh, err) ||
        (client->has_snapshot && !snapshot_check(&client->snapshot, &fresh, err)) ||
        !expiry_check(name, &fresh, now, err) || !keep(client, "snapshot.json", bytes, size, err))
        return false;
    client->snapshot = fresh;
    client->has_snapshot = true;
    return true;
}

/* --- 5.6 targets
 * ----------------------------------------------------------------------------------------------------- */

/* A delegation of ours has one pattern, its own, and ends the search. */
static bool delegation_check(const struct json *role, struct error *err)
{
    const char *name = json_string(role, "name");
    const struct json *paths = json_get(role, "paths");
    char product[NAME_SIZE], pattern[PATH_PATTERN_SIZE] = "director/none";
    bool known = string_is(name, "director");
    for (int i = 0; i < DELEGATED_ROLES; i++)
        if (role_product(name, i, product)) {
            snprintf(pattern, sizeof pattern, "%s/%s/*/*", delegated_prefix[i], product);
            known = true;
        }
    if (!known)
        return untrusted(err, "targets.json", "it delegates to a role that we do not know");
    if (!paths || paths->type != JSON_ARRAY || paths->size != 1 ||
        !string_is(paths->first->string, pattern) || !json_boolean(role, "terminating", false))
        return error_set(err, ERROR_UNTRUSTED, "targets.json: the delegation \"%.80s\" is not for %s alone",
                         name, pattern);
    return true;
}

static bool targets_check(const struct document *targets, struct error *err)
{
    const struct json *delegations = json_get(targets->signed_part, "delegations");
    const struct json *keys = json_get(delegations, "keys"), *roles = json_get(delegations, "roles");
    if (!roles || roles->type != JSON_ARRAY)
        return untrusted(err, "targets.json", "it has no list of delegations");
    if (!document_keys_check("targets.json", keys, err))
        return false;
    for (const struct json *role = roles->first; role; role = role->next) {
        if (!delegation_check(role, err) || !document_role_check("targets.json", keys, role, err))
            return false;
        if (document_delegation(targets, json_string(role, "name")) != role)
            return untrusted(err, "targets.json", "it delegates to one role twice");
    }
    return true;
}

static bool refresh_targets(struct metadata_client *client, int64_t now, struct error *err)
{
    struct listed listed;
    struct document fresh;
    char name[48], *bytes;
    size_t size;
    if (!listed_read(&client->snapshot, "snapshot.json", "targets.json", &listed, err))
        return false;
    if (client->has_targets && matches_list(&client->targets, &listed))
        return expiry_check("targets.json", &client->targets, now, err);
    snprintf(name, sizeof name, "%lld.targets.json", (long long)listed.version);
    if (!fetch(client, name, least(TARGETS_LIMIT, listed.length), &bytes, &size, err) ||
        !document_read(client->arena, name, "targets", bytes, size, &fresh, err) ||
        !list_check(name, &fresh, &listed, err) ||
        !verify_by_root(&client->root, "targets", name, &fresh, err) || !targets_check(&fresh, err) ||
        !expiry_check(name, &fresh, now, err) || !keep(client, "targets.json", bytes, size, err))
        return false;
    client->targets = fresh;
    client->has_targets = true;
    return true;
}

/* 5.6.7 for one delegated role; a role that nobody delegated to is not there. */
static bool refresh_delegated(struct metadata_client *client, int index, const char *role, int64_t now,
                              struct error *err)
{
    struct delegated *one = &client->delegated[index];
    struct listed listed;
    struct document fresh;
    char kept[DELEGATION_NAME_SIZE + 8], name[DELEGATION_NAME_SIZE + 32], *bytes;
    size_t size;
    kept_delegated(client, index, role);
    if (!document_delegation(&client->targets, role)) {
        one->has = false;
        return true;
    }
    snprintf(kept, sizeof kept, "%s.json", role);
    if (!listed_read(&client->snapshot, "snapshot.json", kept, &listed, err))
        return false;
    if (one->has && matches_list(&one->document, &listed))
        return expiry_check(kept, &one->document, now, err);
    one->has = false;
    snprintf(name, sizeof name, "%lld.%s.json", (long long)listed.version, role);
    if (!fetch(client, name, least(DELEGATED_LIMIT, listed.length), &bytes, &size, err) ||
        !document_read(client->arena, name, "targets", bytes, size, &fresh, err) ||
        !list_check(name, &fresh, &listed, err) ||
        !verify_by_targets(&client->targets, role, name, &fresh, err) ||
        !expiry_check(name, &fresh, now, err) || !keep(client, kept, bytes, size, err))
        return false;
    one->document = fresh;
    one->has = true;
    return true;
}

bool metadata_refresh(struct metadata_client *client, const char *product, int64_t now, struct error *err)
{
    if (!name_check("product", product, err) || !refresh_root(client, now, err) ||
        !refresh_timestamp(client, now, err) || !refresh_snapshot(client, now, err) ||
        !refresh_targets(client, now, err))
        return false;
    for (int i = 0; i < DELEGATED_ROLES; i++) {
        char role[DELEGATION_NAME_SIZE];
        snprintf(role, sizeof role, "%s-%s", delegated_prefix[i], product);
        if (!refresh_delegated(client, i, role, now, err))
            return false;
    }
    return true;
}

/* --- reading
 * ---------------------------------------------------------------------------------------------------------
 */

static bool custom_read(struct arena *arena, bool diagnostic, struct metadata_target *target,
                        struct error *err)
{
    const struct json *hardware = json_get(target->custom, "hardware");
    const char *kind = json_string(target->custom, "kind");
    if (!kind_from_name(kind, &target->kind) || (target->kind == KIND_DIAGNOSTIC) != diagnostic ||
        !json_has_integer(target->custom, "counter", &target->counter) || target->counter < 0 ||
        target->counter > INT_MAX || !hardware || hardware->type != JSON_ARRAY)
        return untrusted(err, target->path, "its facts are malformed or its kind is not this role's");
    target->hardware = arena_array(arena, hardware->size + 1, sizeof *target->hardware);
    size_t count = 0;
    for (const struct json *one = hardware->first; one; one = one->next) {
        if (one->type != JSON_STRING || !name_is_valid(one->string))
            return untrusted(err, target->path, "its hardware is malformed");
        target->hardware[count++] = one->string;
    }
    return true;
}

bool metadata_target(const struct metadata_client *client, bool diagnostic, const char *product,
                     const char *asset, const char *version, struct metadata_target *target,
                     struct error *err)
{
    char role[DELEGATION_NAME_SIZE];
    const struct delegated *one = &client->delegated[diagnostic];
    *target = (struct metadata_target){0};
    if (!name_check("product", product, err) || !name_check("asset", asset, err) ||
        !version_check(version, err))
        return false;
    snprintf(role, sizeof role, "%s-%s", delegated_prefix[diagnostic], product);
    snprintf(target->path, sizeof target->path, "%s/%s/%s/%s", delegated_prefix[diagnostic], product, asset,
             version);
    const struct json *entry = one->has && string_is(one->role, role)
                                   ? json_get(json_get(one->document.signed_part, "targets"), target->path)
                                   : NULL;
    if (!entry)
        return error_set(err, ERROR_MISSING, "%s is not listed in the signed metadata", target->path);
    const char *sha256 = json_string(json_get(entry, "hashes"), "sha256");
    target->custom = json_get(entry, "custom");
    if (!sha256 || !sha256_is_hex(sha256) || !json_has_integer(entry, "length", &target->length) ||
        target->length < 1)
        return untrusted(err, target->path, "it has no length and sha256");
    memcpy(target->sha256, sha256, SHA256_HEX);
    return custom_read(client->arena, diagnostic, target, err);
}

int64_t metadata_version(const struct metadata_client *client, const char *role)
{
    if (string_is(role, "root"))
        return client->root.version;
    if (string_is(role, "timestamp"))
        return client->has_timestamp ? client->timestamp.version : 0;
    if (string_is(role, "snapshot"))
        return client->has_snapshot ? client->snapshot.version : 0;
    if (string_is(role, "targets"))
        return client->has_targets ? client->targets.version : 0;
    for (int i = 0; i < DELEGATED_ROLES; i++)
        if (client->delegated[i].has && string_is(client->delegated[i].role, role))
            return client->delegated[i].document.version;
    return 0;
}

const struct document *metadata_client_targets(const struct metadata_client *client)
{
    return client->has_targets ? &client->targets : NULL;
}

/* What devices may install today: the versions that a product's delegated files list. */
#include "repo/store.h"

#include <stdio.h>
#include <string.h>

struct candidate {
    const char *asset, *version, *manifest; /* the manifest's sha256 */
    int rank;                               /* 0: the newest of its asset */
};

bool signed_part_read(struct repo *repo, struct arena *arena, const char *commit, const char *name,
                      const struct json **part, struct error *err)
{
    char path[DELEGATION_NAME_SIZE + 32], *bytes;
    size_t size;
    snprintf(path, sizeof path, "metadata/%s", name);
    if (!gitrepo_read(repo->git, arena, commit, path, DELEGATED_LIMIT, &bytes, &size, err))
        return false;
    const struct json *envelope = json_read(arena, bytes, size, &json_limits_large, err);
    return envelope && json_need_object(envelope, "signed", part, err);
}

/* All versions of a product that the index knows, by asset, newest first. */
static bool candidates_read(struct repo *repo, struct arena *arena, const char *product, bool diagnostic,
                            const struct listing_added *added, struct candidate **list, size_t *count,
                            struct error *err)
{
    DB_DONE(conn) = db_read(repo->db, err);
    size_t room = 64;
    if (!conn)
        return false;
    *list = arena_array(arena, room, sizeof **list);
    *count = 0;
    struct db_query *query = db_query(
        conn, "SELECT v.asset, v.version, v.manifest FROM versions v JOIN assets a ON a.product = v.product "
              "AND a.name = v.asset WHERE v.product = :product AND (a.kind = 'diagnostic') = :diagnostic "
              "ORDER BY v.asset, v.number DESC");
    db_bind_text(query, ":product", product);
    db_bind_integer(query, ":diagnostic", diagnostic);
    while (db_step(query)) {
        if (*count == room) {
            struct candidate *grown = arena_array(arena, 2 * room, sizeof *grown);
            memcpy(grown, *list, room * sizeof *grown);
            *list = grown;
            room *= 2;
        }
        struct candidate *one = &(*list)[*count];
        one->asset = db_text_copy(query, 0, arena);
        one->version = db_text_copy(query, 1, arena);
        one->manifest = db_text_copy(query, 2, arena);
        bool same = *count > 0 && string_is(one[-1].asset, one->asset);
        /* The version that is being published stands before the others of its asset. */
        one->rank = same ? one[-1].rank + 1 : added && string_is(added->manifest->asset, one->asset);
        ++*count;
    }
    return db_end(query, err);
}

static const char *target_path(struct arena *arena, bool diagnostic, const char *product, const char *asset,
                               const char *version)
{
    return arena_printf(arena, "%s/%s/%s/%s", diagnostic ? "diagnostics" : "assets", product, asset, version);
}

int listing_signatures(const struct json *targets, const char *product)
{
    const struct document document = {.signed_part = targets};
    char role[DELEGATION_NAME_SIZE];
    snprintf(role, sizeof role, "diagnostics-%s", product);
    return json_integer(document_delegation(&document, role), "threshold", 1) > 1 ? 2 : 1;
}

static bool is_approved(const struct listing *listing, const struct candidate *one)
{
    return string_is(listing->approved_asset, one->asset) &&
           string_is(listing->approved_version, one->version);
}

/* Where two people sign, what does not stand in the list needs their act; all else can only leave it. */
static bool is_listed(struct repo *repo, const struct listing *listing, const struct candidate *one,
                      bool stands)
{
    if (repo->withheld && repo->withheld(repo->withheld_context, listing->product, one->asset, one->version))
        return false;
    if (is_approved(listing, one))
        return true;
    if (listing->signatures > 1 && !stands)
        return false;
    return (one->rank < LISTED_NEWEST && !listing->needed) ||
           (repo->wanted && repo->wanted(repo->wanted_context, listing->product, one->asset, one->version));
}

/* The entry of a version that stands in the list; NULL: it does not. */
static const struct json *entry_of(const struct json *before, const char *path, const struct candidate *one)
{
    const struct json *entry = json_get(before, path);
    return string_is(json_string(json_get(entry, "hashes"), "sha256"), one->manifest) ? entry : NULL;
}

/* Reads the manifest to make an entry. */
static bool target_fill(struct repo *repo, struct arena *arena, const struct candidate *one,
                        struct target *target, struct error *err)
{
    char *bytes;
    struct manifest *manifest = arena_alloc(arena, sizeof *manifest);
    target->manifest = manifest;
    snprintf(target->sha256, sizeof target->sha256, "%s", one->manifest);
    return object_read(repo, arena, one->manifest, MANIFEST_BYTES_LIMIT, &bytes, &target->length, err) &&
           manifest_read(arena, bytes, target->length, manifest, err);
}

static bool targets_choose(struct repo *repo, struct arena *arena, const struct listing *listing,
                           const struct json *before, struct target **targets, size_t *count,
                           struct error *err)
{
    const struct listing_added *added = listing->added;
    const char *product = listing->product;
    bool diagnostic = listing->diagnostic, approved = !listing->approved_asset;
    struct candidate *candidates;
    size_t all;
    if (!candidates_read(repo, arena, product, diagnostic, added, &candidates, &all, err))
        return false;
    *targets = arena_array(arena, all + 1, sizeof **targets);
    *count = 0;
    if (added) {
        struct target *target = &(*targets)[(*count)++];
        target->path =
            target_path(arena, diagnostic, product, added->manifest->asset, added->manifest->version);
        target->manifest = added->manifest;
        target->length = added->length;
        memcpy(target->sha256, added->sha256, SHA256_HEX);
    }
    for (size_t i = 0; i < all; i++) {
        const struct candidate *one = &candidates[i];
        const char *path = target_path(arena, diagnostic, product, one->asset, one->version);
        const struct json *entry = entry_of(before, path, one);
        if (!is_listed(repo, listing, one, entry != NULL))
            continue;
        struct target *target = &(*targets)[(*count)++];
        *target = (struct target){.path = path, .entry = entry};
        approved = approved || is_approved(listing, one);
        if (!entry && !target_fill(repo, arena, one, target, err))
            return false;
    }
    return approved ||
           error_set(err, ERROR_CONFLICT, "%s/%s %s was withdrawn or is not there: it is not listed", product,
                     listing->approved_asset, listing->approved_version);
}

/* Everything chosen stands already, and as many stand as are chosen. */
static bool is_as_before(const struct json *before, const struct target *targets, size_t count)
{
    if (!before || before->size != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!targets[i].entry)
            return false;
    return true;
}

bool listing_sign(struct repo *repo, struct arena *arena, const char *commit, const struct listing *listing,
                  int64_t now, struct signed_file *file, bool *changed, struct error *err)
{
    char name[DELEGATION_NAME_SIZE + 8];
    const struct json *part = NULL;
    struct target *targets;
    struct delegated delegated = {
        .diagnostic = listing->diagnostic, .product = listing->product, .signatures = listing->signatures};
    struct error missing = {0};
    snprintf(name, sizeof name, "%s-%s.json", listing->diagnostic ? "diagnostics" : "assets",
             listing->product);
    if (*commit && !signed_part_read(repo, arena, commit, name, &part, &missing) &&
        missing.kind != ERROR_MISSING) {
        *err = missing;
        return false;
    }
    const struct json *before = json_get(part, "targets");
    if (!targets_choose(repo, arena, listing, before, &targets, &delegated.count, err))
        return false;
    delegated.targets = targets;
    delegated.version = json_integer(part, "version", 0) + 1;
    *changed = listing->force || !is_as_before(before, targets, delegated.count);
    return !*changed || sign_delegated(repo, arena, &delegated, now, file, err);
}

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

static bool is_listed(struct repo *repo, const char *product, const struct candidate *one)
{
    if (repo->withheld && repo->withheld(repo->withheld_context, product, one->asset, one->version))
        return false;
    return one->rank < LISTED_NEWEST ||
           (repo->wanted && repo->wanted(repo->wanted_context, product, one->asset, one->version));
}

/* Takes the entry that stands, or reads the manifest to make it. */
static bool target_fill(struct repo *repo, struct arena *arena, const struct json *before,
                        const struct candidate *one, struct target *target, struct error *err)
{
    char *bytes;
    target->entry = json_get(before, target->path);
    if (target->entry && string_is(json_string(json_get(target->entry, "hashes"), "sha256"), one->manifest))
        return true;
    target->entry = NULL;
    struct manifest *manifest = arena_alloc(arena, sizeof *manifest);
    target->manifest = manifest;
    snprintf(target->sha256, sizeof target->sha256, "%s", one->manifest);
    return object_read(repo, arena, one->manifest, MANIFEST_BYTES_LIMIT, &bytes, &target->length, err) &&
           manifest_read(arena, bytes, target->length, manifest, err);
}

static bool targets_choose(struct repo *repo, struct arena *arena, const char *product, bool diagnostic,
                           const struct listing_added *added, const struct json *before,
                           struct target **targets, size_t *count, struct error *err)
{
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
        if (!is_listed(repo, product, &candidates[i]))
            continue;
        struct target *target = &(*targets)[(*count)++];
        target->path = target_path(arena, diagnostic, product, candidates[i].asset, candidates[i].version);
        if (!target_fill(repo, arena, before, &candidates[i], target, err))
            return false;
    }
    return true;
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

bool listing_sign(struct repo *repo, struct arena *arena, const char *commit, const char *product,
                  bool diagnostic, const struct listing_added *added, bool force, int64_t now,
                  struct signed_file *file, bool *changed, struct error *err)
{
    char role[DELEGATION_NAME_SIZE], name[DELEGATION_NAME_SIZE + 8];
    const struct json *part = NULL;
    struct target *targets;
    size_t count;
    struct error missing = {0};
    snprintf(role, sizeof role, "%s-%s", diagnostic ? "diagnostics" : "assets", product);
    snprintf(name, sizeof name, "%s.json", role);
    if (*commit && !signed_part_read(repo, arena, commit, name, &part, &missing) &&
        missing.kind != ERROR_MISSING) {
        *err = missing;
        return false;
    }
    const struct json *before = json_get(part, "targets");
    if (!targets_choose(repo, arena, product, diagnostic, added, before, &targets, &count, err))
        return false;
    *changed = force || !is_as_before(before, targets, count);
    return !*changed || sign_delegated(repo, arena, role, json_integer(part, "version", 0) + 1, targets,
                                       count, now, file, err);
}

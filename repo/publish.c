/* Publishing a version and signing anew what devices may install: one commit each. */
#include "repo/store.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIGNED_FILES 3 /* at most: targets, assets-…, diagnostics-… */
#define LIMITS_LIMIT (64u << 10)

/* A commit being prepared. */
struct change {
    struct arena *arena;
    char head[GIT_ID];
    int64_t now;
    const struct json *targets; /* their signed part at head */
    int signatures;             /* for the product's diagnostic images, once it is committed */
    struct gitrepo_file signed_files[SIGNED_FILES];
    size_t signed_count;
};

struct publish_job {
    struct publication *publication;
    struct published *published;
    struct arena *arena;
    const char *manifest; /* canonical */
    size_t manifest_size;
};

/* What the index knows of the asset and the version. */
struct known {
    bool has_asset, has_version;
    enum asset_kind kind;
    int64_t counter; /* of the same version, or of the newest */
    char manifest[SHA256_HEX], commit[GIT_ID];
};

static bool change_begin(struct repo *repo, struct arena *arena, struct change *change, struct error *err)
{
    *change = (struct change){.arena = arena, .now = clock_now()};
    /* What an earlier publication could not finish is finished first, so that index and git agree. */
    return repo_catch_up(repo, err) && gitrepo_head(repo->git, change->head, err) &&
           signed_part_read(repo, arena, change->head, "targets.json", &change->targets, err);
}

static bool change_put(struct repo *repo, struct change *change, const struct signed_file *file,
                       struct error *err)
{
    struct gitrepo_file *one = &change->signed_files[change->signed_count++];
    one->path = arena_printf(change->arena, "metadata/%s", file->name);
    return gitrepo_put_blob(repo->git, file->bytes, file->size, one->blob, err);
}

/* The commit point: main moves, durably. All that follows can be made again from it. */
static bool change_commit(struct repo *repo, struct change *change, const char *folder, const char *tree,
                          const char *author, const char *message, char commit[GIT_ID], struct error *err)
{
    struct gitrepo_commit_request request = {.parent = change->head,
                                             .folder = folder,
                                             .folder_tree = tree,
                                             .files = change->signed_files,
                                             .file_count = change->signed_count,
                                             .author = author,
                                             .message = message,
                                             .at = change->now};
    if (!gitrepo_put_commit(repo->git, &request, commit, err) ||
        !gitrepo_move_main(repo->git, change->head, commit, err))
        return false;
    return repo_catch_up(repo, err) ||
           error_add(err, "it is committed and will be finished at the next start, but");
}

/* --- signed files
 * ------------------------------------------------------------------------------------------------------ */

static bool product_is_new(const struct change *change, const char *product)
{
    const struct document document = {.signed_part = change->targets};
    char role[DELEGATION_NAME_SIZE];
    snprintf(role, sizeof role, "assets-%s", product);
    return document_delegation(&document, role) == NULL;
}

/* Targets that say who signs for the product. */
static bool targets_prepare(struct repo *repo, struct change *change, const char *product, int signatures,
                            struct error *err)
{
    struct signed_file file;
    change->signatures = signatures;
    return sign_targets(repo, change->arena, change->targets, product, signatures, change->now, &file, err) &&
           change_put(repo, change, &file, err);
}

/* Delegations to a product that the targets do not have yet. */
static bool product_prepare(struct repo *repo, struct change *change, const char *product, bool *is_new,
                            struct error *err)
{
    *is_new = product_is_new(change, product);
    change->signatures = listing_signatures(change->targets, product);
    if (!*is_new)
        return true;
    bool two = repo->signatures && repo->signatures(repo->signatures_context, product) > 1;
    return targets_prepare(repo, change, product, two ? 2 : 1, err);
}

static bool list_prepare(struct repo *repo, struct change *change, struct listing listing, struct error *err)
{
    struct signed_file file;
    bool changed;
    listing.signatures = listing.diagnostic ? change->signatures : 1;
    return listing_sign(repo, change->arena, change->head, &listing, change->now, &file, &changed, err) &&
           (!changed || change_put(repo, change, &file, err));
}

/* An image that two people sign for is not listed when it is published: its list stays as it is served. */
static bool signed_prepare(struct repo *repo, struct change *change, const struct listing_added *added,
                           struct error *err)
{
    struct listing of = {.product = added->manifest->product, .added = added, .force = true};
    struct listing other = {.product = of.product, .force = true};
    bool is_new;
    of.diagnostic = added->manifest->kind == KIND_DIAGNOSTIC;
    other.diagnostic = !of.diagnostic;
    if (!product_prepare(repo, change, of.product, &is_new, err))
        return false;
    bool waits = of.diagnostic && change->signatures > 1;
    if (waits)
        of.added = NULL;
    return ((waits && !is_new) || list_prepare(repo, change, of, err)) &&
           (!is_new || list_prepare(repo, change, other, err));
}

/* --- the version's folder
 * ------------------------------------------------------------------------------------------------ */

struct folder {
    struct gitrepo_file *files;
    size_t count;
    struct text attributes;
};

static void folder_end(struct folder *folder)
{
    text_end(&folder->attributes);
}

static bool folder_put(struct repo *repo, struct folder *folder, const char *path, const void *bytes,
                       size_t size, bool executable, struct error *err)
{
    struct gitrepo_file *file = &folder->files[folder->count++];
    file->path = path;
    file->executable = executable;
    return gitrepo_put_blob(repo->git, bytes, size, file->blob, err);
}

/* A file as git keeps it. `arena` is for this file's bytes only. */
static bool folder_put_file(struct repo *repo, struct folder *folder, struct arena *names,
                            const struct manifest_file *file, struct error *err)
{
    ARENA(arena);
    TEXT(pointer);
    char *bytes = "";
    size_t size = 0;
    const char *path = arena_printf(names, "files/%s", file->path);
    if (file->length <= PLAIN_LIMIT &&
        !object_read(repo, &arena, file->sha256, PLAIN_LIMIT, &bytes, &size, err))
        return error_add(err, "\"%.200s\"", file->path);
    if (file->length <= PLAIN_LIMIT && layout_is_plain(file->path, bytes, size)) {
        if (size > 0) /* git-lfs leaves empty files alone */
            layout_plain_line(&folder->attributes, file->path);
        return folder_put(repo, folder, path, bytes, size, file->mode == 0755, err);
    }
    layout_pointer(&pointer, file->sha256, file->length);
    return folder_put(repo, folder, path, pointer.bytes, pointer.size, file->mode == 0755, err);
}

static bool folder_write(struct repo *repo, const struct publish_job *job, char tree[GIT_ID],
                         struct error *err)
{
    const struct manifest *manifest = &job->publication->manifest;
    __attribute__((cleanup(folder_end))) struct folder folder = {0};
    TEXT(asset);
    text_init(&folder.attributes, 64u << 20);
    folder.files = arena_array(job->arena, manifest->file_count + 3, sizeof *folder.files);
    text_puts(&folder.attributes, LAYOUT_FIRST_LINE);
    text_printf(&asset, "{\"kind\":\"%s\",\"name\":\"%s\",\"product\":\"%s\"}", kind_name(manifest->kind),
                manifest->asset, manifest->product);
    for (size_t i = 0; i < manifest->file_count; i++)
        if (!folder_put_file(repo, &folder, job->arena, &manifest->files[i], err))
            return false;
    return folder_put(repo, &folder, "asset.json", asset.bytes, asset.size, false, err) &&
           folder_put(repo, &folder, "manifest.json", job->manifest, job->manifest_size, false, err) &&
           folder_put(repo, &folder, ".gitattributes", folder.attributes.bytes, folder.attributes.size, false,
                      err) &&
           gitrepo_put_folder(repo->git, folder.files, folder.count, tree, err);
}

/* --- what is asked for
 * ---------------------------------------------------------------------------------------------------- */

static bool line_check(const char *what, const char *text, size_t limit, bool one_line, struct error *err)
{
    if (!text)
        return true;
    if (strlen(text) > limit)
        return error_set(err, ERROR_LIMIT, "the %s has more than %zu bytes", what, limit);
    if (!utf8_is_valid(text, strlen(text)) || (one_line && strpbrk(text, "\r\n")))
        return error_set(err, ERROR_INPUT, "the %s must be %s", what,
                         one_line ? "one line of UTF-8" : "UTF-8");
    return true;
}

static bool publication_check(const struct publication *publication, struct error *err)
{
    const struct manifest *manifest = &publication->manifest;
    return name_check("product", manifest->product, err) && name_check("asset", manifest->asset, err) &&
           version_check(manifest->version, err) &&
           line_check("title", publication->title, TITLE_LIMIT, true, err) &&
           line_check("notes", publication->notes, NOTES_LIMIT, false, err) &&
           line_check("author", publication->author, TITLE_LIMIT, true, err);
}

static bool objects_check(struct repo *repo, const struct manifest *manifest, struct error *err)
{
    for (size_t i = 0; i < manifest->file_count; i++) {
        const struct manifest_file *file = &manifest->files[i];
        int64_t length;
        if (!object_length(repo, file->sha256, &length, err))
            return error_add(err, "\"%.200s\" has to be uploaded first", file->path);
        if (length != file->length)
            return error_set(err, ERROR_INPUT, "\"%.200s\" has %lld bytes, not %lld", file->path,
                             (long long)length, (long long)file->length);
    }
    return true;
}

static bool known_asset(struct db_conn *conn, const struct manifest *manifest, struct known *known,
                        struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT a.kind, v.counter FROM assets a JOIN versions v ON v.product = "
                       "a.product AND v.asset = a.name AND v.version = a.newest "
                       "WHERE a.product = :product AND a.name = :asset");
    db_bind_text(query, ":product", manifest->product);
    db_bind_text(query, ":asset", manifest->asset);
    if (db_step(query)) {
        known->has_asset = kind_from_name(db_text(query, 0), &known->kind);
        known->counter = db_integer(query, 1);
    }
    return db_end(query, err);
}

static bool known_version(struct db_conn *conn, const struct manifest *manifest, struct known *known,
                          struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT manifest, commit_id, counter FROM versions WHERE product = "
                       ":product AND asset = :asset AND version = :version");
    db_bind_text(query, ":product", manifest->product);
    db_bind_text(query, ":asset", manifest->asset);
    db_bind_text(query, ":version", manifest->version);
    if (db_step(query)) {
        known->has_version = true;
        snprintf(known->manifest, sizeof known->manifest, "%s", db_text(query, 0));
        snprintf(known->commit, sizeof known->commit, "%s", db_text(query, 1));
        known->counter = db_integer(query, 2);
    }
    return db_end(query, err);
}

static bool known_read(struct repo *repo, const struct manifest *manifest, struct known *known,
                       struct error *err)
{
    *known = (struct known){0};
    DB_DONE(conn) = db_read(repo->db, err);
    return conn && known_asset(conn, manifest, known, err) && known_version(conn, manifest, known, err);
}

/* The limits of an image are those of its diagnostic.json. */
static bool limits_fill(struct repo *repo, struct arena *arena, struct manifest *manifest, struct error *err)
{
    char *bytes;
    size_t size;
    manifest->has_limits = manifest->kind == KIND_DIAGNOSTIC;
    for (size_t i = 0; manifest->has_limits && i < manifest->file_count; i++)
        if (string_is(manifest->files[i].path, "diagnostic.json"))
            return (object_read(repo, arena, manifest->files[i].sha256, LIMITS_LIMIT, &bytes, &size, err) &&
                    image_limits_read(arena, bytes, size, &manifest->limits, err)) ||
                   error_add(err, "diagnostic.json");
    return !manifest->has_limits ||
           error_set(err, ERROR_INPUT, "a diagnostic image needs the file diagnostic.json");
}

/* Fills what was left open, and writes the manifest. */
static bool manifest_prepare(struct repo *repo, struct publish_job *job, const struct known *known,
                             struct error *err)
{
    struct publication *publication = job->publication;
    struct manifest *manifest = &publication->manifest;
    TEXT(out);
    if (publication->kind_open)
        manifest->kind = known->has_asset ? known->kind : KIND_DATA;
    if (known->has_asset && known->kind != manifest->kind)
        return error_set(err, ERROR_CONFLICT, "%s/%s is of the kind %s and cannot become %s",
                         manifest->product, manifest->asset, kind_name(known->kind),
                         kind_name(manifest->kind));
    if (!publication->counter_given)
        manifest->counter = known->counter;
    if (!publication->activation_given)
        manifest->activation = kind_activation(manifest->kind);
    if (!limits_fill(repo, job->arena, manifest, err) || !manifest_write(job->arena, manifest, &out, err))
        return false;
    job->manifest = arena_copy(job->arena, out.bytes, out.size);
    job->manifest_size = out.size;
    sha256_hex(out.bytes, out.size, job->published->manifest_sha256);
    /* In the order of the manifest from here on. */
    return manifest_read(job->arena, job->manifest, job->manifest_size, manifest, err);
}

static const char *message_make(struct arena *arena, const struct publication *publication)
{
    const struct manifest *manifest = &publication->manifest;
    const char *title = publication->title ? publication->title : "",
               *notes = publication->notes ? publication->notes : "";
    bool titled = *title || string_starts(notes, "Title: ");
    return arena_printf(arena, "%s/%s %s%s%s%s%s", manifest->product, manifest->asset, manifest->version,
                        titled ? "\n\nTitle: " : "", title, *notes ? "\n\n" : "", notes);
}

static bool version_commit(struct repo *repo, struct publish_job *job, struct change *change,
                           struct error *err)
{
    const struct manifest *manifest = &job->publication->manifest;
    struct listing_added added = {.manifest = manifest, .length = job->manifest_size};
    char tree[GIT_ID], sha256[SHA256_HEX];
    const char *folder = arena_printf(job->arena, "%s/%s", manifest->product, manifest->asset);
    memcpy(added.sha256, job->published->manifest_sha256, SHA256_HEX);
    return object_put(repo, job->manifest, job->manifest_size, sha256, err) &&
           folder_write(repo, job, tree, err) && signed_prepare(repo, change, &added, err) &&
           change_commit(repo, change, folder, tree, job->publication->author,
                         message_make(job->arena, job->publication), job->published->commit, err);
}

bool markers_read(struct repo *repo, const struct manifest *manifest, struct marker_check *check,
                  struct error *err)
{
    marker_check_init(check, manifest);
    for (size_t i = 0; i < manifest->file_count && check->left > 0; i++) {
        int64_t size;
        FD(fd) = object_open(repo, manifest->files[i].sha256, &size, err);
        if (fd < 0 || !marker_check_file(check, fd, err))
            return false;
    }
    return true;
}

/* The version must be the one that was built. */
static bool markers_check(struct repo *repo, const struct publication *publication, struct error *err)
{
    struct marker_check check;

    return !kind_has_marker(publication->manifest.kind) ||
           (markers_read(repo, &publication->manifest, &check, err) &&
            marker_check_end(&check, publication->marker_required, err));
}

static bool publish_run(struct repo *repo, void *context, struct error *err)
{
    struct publish_job *job = context;
    const struct manifest *manifest = &job->publication->manifest;
    struct change change;
    struct known known;
    if (!change_begin(repo, job->arena, &change, err) || !known_read(repo, manifest, &known, err) ||
        !objects_check(repo, manifest, err) || !manifest_prepare(repo, job, &known, err))
        return false;
    if (!known.has_version && !markers_check(repo, job->publication, err))
        return false;
    if (!known.has_version)
        return version_commit(repo, job, &change, err);
    if (!string_is(known.manifest, job->published->manifest_sha256))
        return error_set(
            err, ERROR_CONFLICT,
            "%s/%s %s was published with other contents; a version never changes, take a new one",
            manifest->product, manifest->asset, manifest->version);
    job->published->already = true;
    memcpy(job->published->commit, known.commit, GIT_ID);
    return true;
}

bool repo_publish(struct repo *repo, struct publication *publication, struct published *published,
                  struct error *err)
{
    ARENA(arena);
    struct publish_job job = {.publication = publication, .published = published, .arena = &arena};
    struct manifest asked = publication->manifest;
    *published = (struct published){0};
    if (!publication_check(publication, err))
        return false;
    bool good = repo_do(repo, true, publish_run, &job, err);
    /* What the arena holds goes with it; the caller keeps its own lists and learns what was filled in. */
    asked.kind = publication->manifest.kind;
    asked.activation = publication->manifest.activation;
    asked.counter = publication->manifest.counter;
    publication->manifest = asked;
    return good || error_add(err, "publishing %s/%s %s", asked.product, asked.asset, asked.version);
}

/* --- signing anew
 * ----------------------------------------------------------------------------------------------------------
 */

struct resign_job {
    const char *product, *author, *reason;
    bool force, deed;            /* deed: of one version of an asset, it stands in the history */
    int signatures;              /* of repo_sign_by */
    const char *image, *version; /* of repo_approve */
};

static bool product_begin(struct repo *repo, struct arena *arena, const struct resign_job *job,
                          struct change *change, struct error *err)
{
    if (!change_begin(repo, arena, change, err))
        return false;
    change->signatures = listing_signatures(change->targets, job->product);
    return !product_is_new(change, job->product) ||
           error_set(err, ERROR_MISSING, "there is no product \"%s\"", job->product);
}

/* Where something was signed. */
static bool product_commit(struct repo *repo, const struct resign_job *job, struct change *change,
                           struct error *err)
{
    char commit[GIT_ID];
    return change->signed_count == 0 ||
           change_commit(repo, change, NULL, NULL, job->author,
                         arena_printf(change->arena, "%s: %s", job->product, job->reason), commit, err);
}

static bool resign_run(struct repo *repo, void *context, struct error *err)
{
    const struct resign_job *job = context;
    ARENA(arena);
    struct change change;
    const struct listing assets = {.product = job->product, .force = job->force},
                         diagnostics = {
                             .product = job->product, .diagnostic = true, .force = job->force && !job->deed};
    return product_begin(repo, &arena, job, &change, err) && list_prepare(repo, &change, assets, err) &&
           list_prepare(repo, &change, diagnostics, err) && product_commit(repo, job, &change, err);
}

static bool resign_check(const struct resign_job *job, struct error *err)
{
    return name_check("product", job->product, err) &&
           line_check("reason", job->reason, NOTES_LIMIT, false, err) &&
           line_check("author", job->author, TITLE_LIMIT, true, err);
}

bool repo_resign(struct repo *repo, const char *product, const char *author, const char *reason,
                 struct error *err)
{
    struct resign_job job = {.product = product, .author = author, .reason = reason};
    /* Also when the list stays as it is. */
    job.deed = job.force = string_starts(reason, "release ") || string_starts(reason, "withdraw ");
    return resign_check(&job, err) && repo_do(repo, true, resign_run, &job, err);
}

bool repo_renew(struct repo *repo, const char *product, struct error *err)
{
    struct resign_job job = {.product = product, .reason = "signatures renewed", .force = true};
    return repo_do(repo, true, resign_run, &job, err) ||
           error_add(err, "renewing the signatures of %s", product);
}

/* --- two people
 * -----------------------------------------------------------------------------------------------------------
 */

static bool sign_by_run(struct repo *repo, void *context, struct error *err)
{
    const struct resign_job *job = context;
    ARENA(arena);
    struct change change;
    const struct listing listing = {
        .product = job->product, .diagnostic = true, .needed = job->signatures > 1, .force = true};
    if (!product_begin(repo, &arena, job, &change, err))
        return false;
    return change.signatures == job->signatures ||
           (targets_prepare(repo, &change, job->product, job->signatures, err) &&
            list_prepare(repo, &change, listing, err) && product_commit(repo, job, &change, err));
}

bool repo_sign_by(struct repo *repo, const char *product, int signatures, const char *author,
                  const char *reason, struct error *err)
{
    struct resign_job job = {
        .product = product, .author = author, .reason = reason, .signatures = signatures > 1 ? 2 : 1};
    return resign_check(&job, err) && repo_do(repo, true, sign_by_run, &job, err);
}

static bool approve_run(struct repo *repo, void *context, struct error *err)
{
    const struct resign_job *job = context;
    ARENA(arena);
    struct change change;
    const struct listing listing = {.product = job->product,
                                    .diagnostic = true,
                                    .approved_asset = job->image,
                                    .approved_version = job->version};
    return product_begin(repo, &arena, job, &change, err) && list_prepare(repo, &change, listing, err) &&
           product_commit(repo, job, &change, err);
}

bool repo_approve(struct repo *repo, const char *product, const char *image, const char *version,
                  const char *author, const char *reason, struct error *err)
{
    struct resign_job job = {
        .product = product, .author = author, .reason = reason, .image = image, .version = version};
    return resign_check(&job, err) && repo_do(repo, true, approve_run, &job, err);
}

bool repo_signed_by(struct db_conn *conn, const char *product, int *signatures, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT signatures FROM image_signers WHERE product = :product");
    db_bind_text(query, ":product", product);
    *signatures = db_step(query) ? (int)db_integer(query, 0) : 1;
    return db_end(query, err);
}

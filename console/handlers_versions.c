#include "console/handlers.h"
#include "console/handlers_assets.h"

#include "base/file.h"
#include "base/json.h"
#include "console/audit.h"
#include "console/console.h"
#include "console/deltas.h"
#include "console/delivery/product.h"
#include "console/delivery/withdraw.h"
#include "console/events.h"
#include "console/fleet.h"

#include <string.h>
#include <unistd.h>

#define FILES_MOST 20000
#define COUNTER_MOST 2147483647

bool put_version(struct json_writer *json, struct db_conn *conn, const struct asset_row *asset,
                 const struct version_row *row, const struct adoption *adoption, struct error *err)
{
    json_write_object(json, NULL);
    json_write_string(json, "version", row->version);
    json_write_string(json, "kind", kind_name(asset->kind));
    json_write_string(json, "activation", activation_name(row->activation));
    json_write_integer(json, "counter", row->counter);
    json_write_array(json, "hardware");
    for (const char **revision = row->hardware; revision && *revision; revision++)
        json_write_string(json, NULL, *revision);
    json_write_end(json, ']');
    json_write_raw(json, "requires", row->requires, strlen(row->requires));
    json_write_string(json, "marker", row->marker);
    json_write_string(json, "title", row->title);
    json_write_string(json, "notes", row->notes);
    json_write_string(json, "author", row->author);
    json_write_time(json, "published_at", row->published_at);
    json_write_string(json, "commit", row->commit);
    json_write_string(json, "sha256", row->manifest);
    json_write_integer(json, "files", row->files);
    json_write_integer(json, "length", row->total);
    json_write_integer(json, "devices", adoption->devices);
    json_write_integer(json, "proven", adoption->proven);
    json_write_boolean(json, "listed", row->listed);
    return withdrawn_write(conn, asset->product, asset->name, row->version, json, err);
}

static bool version_find(struct request *request, struct db_conn *conn, const char *product,
                         const char *asset, const char *version, struct version_row **row, struct error *err)
{
    struct version_row *rows;
    size_t count;

    if (!version_check(version, err) ||
        !repo_versions(conn, request->arena, product, asset, &rows, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].version, version) == 0) {
            *row = &rows[i];
            return true;
        }
    }
    return error_set(err, ERROR_MISSING, "There is no version %s of %s/%s", version, product, asset);
}

/* The manifest's bytes as they are signed. */
static bool put_manifest(struct json_writer *json, struct request *request, const char *sha256,
                         struct error *err)
{
    char hex[SHA256_HEX];
    int64_t size, at = 0;
    FD(fd) = object_open(request->console->repo, sha256, &size, err);

    if (fd < 0)
        return false;
    if (size > (8 << 20))
        return error_set(err, ERROR_LIMIT, "The manifest %s is too large", sha256);
    char *bytes = arena_alloc(request->arena, (size_t)size + 1);
    while (at < size) {
        ssize_t got = pread(fd, bytes + at, (size_t)(size - at), at);

        if (got <= 0)
            return error_errno(err, "The manifest %s cannot be read", sha256);
        at += got;
    }
    sha256_hex(bytes, (size_t)size, hex);
    if (strcmp(hex, sha256) != 0)
        return error_set(err, ERROR_UNTRUSTED, "The manifest %s on the disk has another hash", sha256);
    json_write_raw(json, "manifest", bytes, (size_t)size);
    return true;
}

/* The version as API.md shapes it; `already` -1: not a publication. */
static bool write_version(struct request *request, const char *version, int already, bool manifest,
                          struct text *out, struct error *err)
{
    const char *product = request->params[0], *asset = request->params[1];
    struct asset_row *asset_row = NULL;
    struct version_row *row = NULL;
    struct json_writer json;
    DB_DONE(conn) = db_read(request->console->db, err);

    if (!conn || !asset_find(request, conn, product, asset, &asset_row, err) ||
        !version_find(request, conn, product, asset, version, &row, err))
        return false;
    json_write_init(&json, out);
    struct adoption adoption = {.version = row->version};
    fleet_adoption(request->console->fleet, product, asset, &adoption, 1);
    if (!put_version(&json, conn, asset_row, row, &adoption, err))
        return false;
    if (manifest && !put_manifest(&json, request, row->manifest, err))
        return false;
    if (already >= 0)
        json_write_boolean(&json, "already", already);
    json_write_end(&json, '}');
    return true;
}

void versions_show(struct request *request)
{
    struct error err;
    TEXT(out);

    if (write_version(request, request->params[2], -1, true, &out, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

static const struct manifest_file *file_find(const struct manifest *manifest, const char *path)
{
    for (size_t i = 0; i < manifest->file_count; i++) {
        if (strcmp(manifest->files[i].path, path) == 0)
            return &manifest->files[i];
    }
    return NULL;
}

void versions_file(struct request *request)
{
    static const char *const allowed[] = {"path", NULL};
    const char *product = request->params[0], *asset = request->params[1], *version = request->params[2];
    const char *path = request_query(request, "path");
    const struct manifest_file *file = NULL;
    struct manifest manifest;
    struct asset_row *row;
    char sha256[SHA256_HEX];
    int64_t size;
    struct error err;

    if (!request_query_only(request, allowed, &err) ||
        (!path && !error_set(&err, ERROR_INPUT, "A file needs \"path\"")) || !version_check(version, &err)) {
        answer_error(request, &err);
        return;
    }
    struct db_conn *conn = db_read(request->console->db, &err);
    bool found = conn && asset_find(request, conn, product, asset, &row, &err) &&
                 repo_manifest(request->console->repo, conn, request->arena, product, asset, version,
                               &manifest, sha256, &err);
    db_done(conn); /* a download may take long: no connection in hand */
    if (found && !(file = file_find(&manifest, path)))
        found = error_set(&err, ERROR_MISSING, "There is no file \"%s\" in %s/%s %s", path, product, asset,
                          version);
    FD(fd) = found ? object_open(request->console->repo, file->sha256, &size, &err) : -1;
    if (fd < 0) {
        answer_error(request, &err);
        return;
    }
    answer_file(request, &(struct file_answer){.fd = fd,
                                               .size = size,
                                               .content_type = "application/octet-stream",
                                               .etag = file->sha256,
                                               .immutable = true,
                                               .attachment = file->path});
}

/* --- publishing
 * --------------------------------------------------------------------------------------------------- */
static bool read_file_row(const struct json *json, struct manifest_file *file, struct error *err)
{
    static const char *const members[] = {"path", "mode", "length", "sha256", NULL};
    const char *sha256;
    int64_t mode;

    if (json->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "A file is an object");
    if (!json_only(json, members, err) || !json_need_string(json, "path", &file->path, err) ||
        !json_need_integer(json, "mode", 0, 0777, &mode, err) ||
        !json_need_integer(json, "length", 0, INT64_C(1) << 40, &file->length, err) ||
        !json_need_string(json, "sha256", &sha256, err))
        return false;
    if (!sha256_is_hex(sha256))
        return error_set(err, ERROR_INPUT, "\"sha256\" of %s must be 64 lower-case hex digits", file->path);
    memcpy(file->sha256, sha256, SHA256_HEX);
    file->mode = (int)mode;
    return true;
}

static bool read_files(struct request *request, const struct json *list, struct manifest *manifest,
                       struct error *err)
{
    struct manifest_file *files;

    if (list->size == 0 || list->size > FILES_MOST)
        return error_set(err, ERROR_INPUT, "A version has 1 to %d files", FILES_MOST);
    files = arena_array(request->arena, list->size, sizeof(*files));
    for (const struct json *row = list->first; row; row = row->next) {
        if (!read_file_row(row, &files[manifest->file_count], err))
            return false;
        manifest->total += files[manifest->file_count++].length;
    }
    manifest->files = files;
    return true;
}

static bool read_hardware(struct request *request, const struct json *json, struct manifest *manifest,
                          struct error *err)
{
    const struct json *list = NULL;
    size_t count = 0;

    if (json_get(json, "hardware") && !json_need_array(json, "hardware", &list, err))
        return false;
    manifest->hardware =
        arena_array(request->arena, (list ? list->size : 0) + 1, sizeof(*manifest->hardware));
    for (const struct json *row = list ? list->first : NULL; row; row = row->next) {
        if (row->type != JSON_STRING)
            return error_set(err, ERROR_INPUT, "\"hardware\" is a list of names");
        if (!name_check("hardware", row->string, err))
            return false;
        manifest->hardware[count++] = row->string;
    }
    return true;
}

/* Kind and activation: as given, else the asset's own and the kind's default. */
static bool read_kind(const struct json *json, struct publication *publication, struct error *err)
{
    struct manifest *manifest = &publication->manifest;
    const char *kind = NULL, *activation = NULL;

    if ((json_get(json, "kind") && !json_need_string(json, "kind", &kind, err)) ||
        (json_get(json, "activation") && !json_need_string(json, "activation", &activation, err)))
        return false;
    publication->kind_open = !kind;
    if (kind && !kind_from_name(kind, &manifest->kind))
        return error_set(err, ERROR_INPUT, "\"%s\" is no kind of asset", kind);
    publication->activation_given = activation != NULL;
    if (activation && !activation_from_name(activation, &manifest->activation))
        return error_set(err, ERROR_INPUT, "\"activation\" is notify or restart");
    return true;
}

static bool read_publication(struct request *request, struct publication *publication, struct error *err)
{
    static const char *const members[] = {"version",  "kind",    "activation", "title", "notes",
                                          "hardware", "counter", "requires",   "files", NULL};
    const struct json *json = request_json(request, &json_limits_large, err), *files;
    struct manifest *manifest = &publication->manifest;
    const char *version;

    if (!json || !json_only(json, members, err) || !name_check("product", request->params[0], err) ||
        !name_check("asset", request->params[1], err) || !json_need_string(json, "version", &version, err) ||
        !version_check(version, err) || !json_need_array(json, "files", &files, err))
        return false;
    strcpy(manifest->product, request->params[0]);
    strcpy(manifest->asset, request->params[1]);
    strcpy(manifest->version, version);
    if (json_get(json, "requires") && !json_need_object(json, "requires", &manifest->requires, err))
        return false;
    publication->counter_given = json_get(json, "counter") != NULL;
    if ((publication->counter_given &&
         !json_need_integer(json, "counter", 0, COUNTER_MOST, &manifest->counter, err)) ||
        (json_get(json, "title") && !json_need_string(json, "title", &publication->title, err)) ||
        (json_get(json, "notes") && !json_need_string(json, "notes", &publication->notes, err)))
        return false;
    publication->author = request->operator_name;
    return read_kind(json, publication, err) && read_hardware(request, json, manifest, err) &&
           read_files(request, files, manifest, err);
}

/* Does the product ask that binaries say what they are? */
static bool read_marker_rule(struct request *request, struct publication *publication, struct error *err)
{
    char value[PRODUCT_VALUE_SIZE];
    DB_DONE(conn) = db_read(request->console->db, err);

    if (!conn || !product_setting_text(conn, publication->manifest.product, PRODUCT_MARKERS, value, err))
        return false;
    publication->marker_required = string_is(value, "required");
    return true;
}

/* The commit in git is the truth; the audit follows it. */
static bool note_publication(struct request *request, const struct publication *publication,
                             struct error *err)
{
    size_t added = 0;
    struct db_conn *conn = db_write(request->console->db, err);

    if (!conn)
        return false;
    if (!audit_history(conn, publication->manifest.product, publication->manifest.asset, &added, err)) {
        db_done(conn);
        return false;
    }
    return db_commit(conn, err);
}

void versions_publish(struct request *request)
{
    struct publication publication = {0};
    struct published published;
    struct error err;
    TEXT(out);

    if (!read_publication(request, &publication, &err) || !read_marker_rule(request, &publication, &err) ||
        !repo_publish(request->console->repo, &publication, &published, &err) ||
        (!published.already && !note_publication(request, &publication, &err)) ||
        !write_version(request, publication.manifest.version, published.already, false, &out, &err)) {
        answer_error(request, &err);
        return;
    }
    if (!published.already)
        deltas_published(request->console->deltas, publication.manifest.product, publication.manifest.asset,
                         publication.manifest.version);
    if (!published.already)
        events_send(request->console->events, "asset", "{\"product\":\"%s\",\"asset\":\"%s\"}",
                    publication.manifest.product, publication.manifest.asset);
    answer_json(request, published.already ? 200 : 201, &out);
}

/* Objects in and out, and the signed repository as devices and stock TUF clients fetch it. */
#include "console/handlers.h"

#include "base/file.h"
#include "base/json.h"
#include "console/console.h"
#include "repo/repo.h"

#include <string.h>

#define UPLOAD_PIECE (64 << 10)
#define OBJECT_MOST (INT64_C(1) << 40)

static bool need_sha256(struct request *request, struct error *err)
{
    return sha256_is_hex(request->params[0])
               ? true
               : error_set(err, ERROR_INPUT, "An object is named by 64 lower-case hex digits");
}

static void answer_held(struct request *request, int64_t held, bool complete)
{
    struct json_writer json;
    TEXT(out);

    json_write_init(&json, &out);
    json_write_object(&json, NULL);
    json_write_integer(&json, "held", held);
    json_write_boolean(&json, "complete", complete);
    json_write_end(&json, '}');
    answer_json(request, 200, &out);
}

void objects_show(struct request *request)
{
    struct error err;
    bool complete = false;

    if (!need_sha256(request, &err)) {
        answer_error(request, &err);
        return;
    }
    int64_t held = object_held(request->console->repo, request->params[0], &complete);
    answer_held(request, held, complete);
}

static bool read_place(struct request *request, int64_t *offset, int64_t *length, struct error *err)
{
    static const char *const allowed[] = {"offset", "length", NULL};
    const char *from = request_query(request, "offset"), *whole = request_query(request, "length");

    *offset = 0;
    if (!need_sha256(request, err) || !request_query_only(request, allowed, err))
        return false;
    if (request->content_length < 0)
        return error_set(err, ERROR_INPUT, "An upload needs a Content-Length");
    *length = request->content_length;
    if ((from && !int64_parse(from, 0, OBJECT_MOST, offset)) ||
        (whole && !int64_parse(whole, 0, OBJECT_MOST, length)))
        return error_set(err, ERROR_INPUT, "\"offset\" and \"length\" are bytes, at most %lld",
                         (long long)OBJECT_MOST);
    if (*offset + request->content_length > *length)
        return error_set(err, ERROR_INPUT, "%lld bytes at %lld are more than the whole length %lld",
                         (long long)request->content_length, (long long)*offset, (long long)*length);
    return true;
}

/* What came before a cut is kept, so that the next try goes on there. */
static bool receive(struct request *request, struct object_upload *upload, struct error *err)
{
    char *bytes = arena_alloc(request->arena, UPLOAD_PIECE);
    long got;

    while ((got = request_read(request, bytes, UPLOAD_PIECE)) > 0) {
        if (!object_upload_add(upload, bytes, (size_t)got, err))
            return false;
    }
    return got == 0 ? true : error_set(err, ERROR_INPUT, "The upload was cut or too slow; what came is kept");
}

void objects_put(struct request *request)
{
    struct repo *repo = request->console->repo;
    const char *sha256 = request->params[0];
    int64_t offset, length;
    bool complete = false;
    struct error err;

    if (!read_place(request, &offset, &length, &err)) {
        answer_error(request, &err);
        return;
    }
    int64_t held = object_held(repo, sha256, &complete);
    if (complete) {
        answer_held(request, held, true);
        return;
    }
    struct object_upload *upload = object_upload_open(repo, sha256, offset, length, &err);
    if (!upload) {
        const char *hint = arena_printf(request->arena, "held=%lld", (long long)held);

        answer_status_error(request,
                            err.kind == ERROR_CONFLICT ? 409
                            : err.kind == ERROR_LIMIT  ? 507
                                                       : 400,
                            &err, err.kind == ERROR_CONFLICT ? hint : NULL);
        return;
    }
    if (!receive(request, upload, &err)) {
        object_upload_abort(upload);
        answer_error(request, &err);
    } else if (!object_upload_end(upload, &complete, &err)) {
        answer_error(request, &err);
    } else {
        answer_held(request, offset + request->content_length, complete);
    }
}

/* `sent` counts what goes out of the payload; NULL: not counted. */
static void answer_object(struct request *request, const char *sha256, const char *content_type,
                          _Atomic int64_t *sent)
{
    struct error err;
    int64_t size;
    FD(fd) = object_open(request->console->repo, sha256, &size, &err);

    if (fd < 0) {
        answer_error(request, &err);
        return;
    }
    if (sent && deltas_answer_packed(request, sha256, size))
        return;
    answer_file(request,
                &(struct file_answer){.fd = fd,
                                      .size = size,
                                      .content_type = content_type,
                                      .etag = sha256,
                                      .immutable = true,
                                      .sent = sent,
                                      .attachment = request->listener == LISTENER_PEOPLE ? sha256 : NULL});
}

void objects_get(struct request *request)
{
    struct error err;

    if (need_sha256(request, &err))
        answer_object(request, request->params[0], "application/octet-stream",
                      &request->console->object_bytes);
    else
        answer_error(request, &err);
}

/* --- TUF
 * ----------------------------------------------------------------------------------------------------------
 */
static bool is_file_name(const char *name)
{
    return strlen(name) <= 120 && *name != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(name);
}

void metadata_get(struct request *request)
{
    const char *name = request->params[0] ? request->params[0] : "root.json";
    char *bytes;
    size_t size;
    struct error err;

    if (!is_file_name(name)) {
        error_set(&err, ERROR_MISSING, "There is no such metadata");
        answer_error(request, &err);
        return;
    }
    if (!repo_metadata(request->console->repo, request->arena, name, &bytes, &size, &err)) {
        answer_error(request, &err);
        return;
    }
    /* A numbered file never changes; the others say every time what is newest. */
    bool numbered = *name >= '0' && *name <= '9';
    answer_header(request, "Cache-Control", numbered ? "private, max-age=31536000, immutable" : "no-cache");
    answer_bytes(request, 200, "application/json", bytes, size);
}

/* "assets/<product>/<asset>/<sha256>.<version>": the manifest of this version, if it has this hash. */
static bool target_split(struct request *request, char *product, char *asset, char *sha256,
                         const char **version)
{
    char *path = arena_strdup(request->arena, request->params[0]), *rest = NULL;
    const char *space = strtok_r(path, "/", &rest), *first = strtok_r(NULL, "/", &rest);
    const char *second = strtok_r(NULL, "/", &rest), *last = strtok_r(NULL, "/", &rest);

    if (!last || strtok_r(NULL, "/", &rest) ||
        (strcmp(space, "assets") != 0 && strcmp(space, "diagnostics") != 0) || !name_is_valid(first) ||
        !name_is_valid(second) || strlen(last) < SHA256_HEX + 1 || last[SHA256_HEX - 1] != '.')
        return false;
    strcpy(product, first);
    strcpy(asset, second);
    memcpy(sha256, last, SHA256_HEX - 1);
    sha256[SHA256_HEX - 1] = '\0';
    *version = last + SHA256_HEX;
    return sha256_is_hex(sha256);
}

void targets_get(struct request *request)
{
    char product[NAME_SIZE], asset[NAME_SIZE], sha256[SHA256_HEX], actual[SHA256_HEX];
    const char *version;
    struct manifest manifest;
    struct error err;

    if (!target_split(request, product, asset, sha256, &version) || !version_check(version, &err)) {
        error_set(&err, ERROR_MISSING, "There is no such target");
        answer_error(request, &err);
        return;
    }
    struct db_conn *conn = db_read(request->console->db, &err);
    bool found = conn && repo_manifest(request->console->repo, conn, request->arena, product, asset, version,
                                       &manifest, actual, &err);
    db_done(conn);
    if (found && strcmp(actual, sha256) != 0)
        found = error_set(&err, ERROR_MISSING, "There is no such target");
    if (found)
        answer_object(request, sha256, "application/json", NULL);
    else
        answer_error(request, &err);
}

void authority_get(struct request *request)
{
    const char *pem = request->console->ca_pem;

    answer_header(request, "Cache-Control", "no-cache");
    answer_bytes(request, 200, "application/x-pem-file", pem, strlen(pem));
}

#include "console/handlers.h"
#include "console/handlers_assets.h"

#include "base/json.h"
#include "console/console.h"
#include "console/delivery/release.h"

#include <stdio.h>
#include <string.h>

bool asset_find(struct request *request, struct db_conn *conn, const char *product, const char *asset,
                struct asset_row **row, struct error *err)
{
    struct asset_row *rows;
    size_t count;

    if (!name_check("product", product, err) || !name_check("asset", asset, err) ||
        !repo_assets(conn, request->arena, product, &rows, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].name, asset) == 0) {
            *row = &rows[i];
            return true;
        }
    }
    return error_set(err, ERROR_MISSING, "There is no asset %s/%s", product, asset);
}

/* The row's members that a list and a single asset have in common. */
static bool put_asset(struct json_writer *json, struct request *request, struct db_conn *conn,
                      const struct asset_row *row, bool counts, struct error *err)
{
    struct error late = {0};
    const char *released = release_version(conn, request->arena, row->product, row->name, &late);

    if (late.kind) {
        *err = late;
        return false;
    }
    json_write_string(json, "product", row->product);
    json_write_string(json, "name", row->name);
    json_write_string(json, "kind", kind_name(row->kind));
    json_write_string(json, "newest", row->newest);
    if (counts)
        json_write_integer(json, "versions", row->versions);
    json_write_time(json, "published_at", row->published_at);
    json_write_string(json, "released", released);
    return true;
}

/* --- assets
 * ------------------------------------------------------------------------------------------------------- */
static bool put_assets(struct request *request, struct db_conn *conn, const struct asset_row *rows,
                       size_t count, size_t most, const char *after, struct text *out, struct error *err)
{
    struct json_writer json;
    size_t put = 0;

    json_write_init(&json, out);
    json_write_array(&json, NULL);
    for (size_t i = 0; i < count; i++) {
        const char *id = arena_printf(request->arena, "%s/%s", rows[i].product, rows[i].name);

        /* The rows come by product and name; the cursor is the last one's. */
        if (after) {
            if (strcmp(id, after) == 0)
                after = NULL;
            continue;
        }
        json_write_object(&json, NULL);
        if (!put_asset(&json, request, conn, &rows[i], true, err))
            return false;
        json_write_end(&json, '}');
        if (++put == most && i + 1 < count) {
            answer_header(request, "X-Next", id);
            break;
        }
    }
    json_write_end(&json, ']');
    return true;
}

void assets_list(struct request *request)
{
    static const char *const allowed[] = {"product", "limit", "after", NULL};
    const char *product = request_query(request, "product"), *limit = request_query(request, "limit");
    int64_t most = 200;
    struct asset_row *rows;
    size_t count;
    struct error err;
    TEXT(out);

    if (!request_query_only(request, allowed, &err) || (product && !name_check("product", product, &err)) ||
        (limit && !int64_parse(limit, 1, 1000, &most) &&
         !error_set(&err, ERROR_INPUT, "\"limit\" is a number from 1 to 1000"))) {
        answer_error(request, &err);
        return;
    }
    DB_DONE(conn) = db_read(request->console->db, &err);
    if (!conn || !repo_assets(conn, request->arena, product, &rows, &count, &err) ||
        !put_assets(request, conn, rows, count, (size_t)most, request_query(request, "after"), &out, &err)) {
        answer_error(request, &err);
        return;
    }
    answer_header(request, "X-Total", arena_printf(request->arena, "%zu", count));
    answer_json(request, 200, &out);
}

static bool put_versions(struct json_writer *json, struct request *request, struct db_conn *conn,
                         const struct asset_row *asset, const struct version_row *versions, size_t count,
                         struct error *err)
{
    struct adoption *adoptions = arena_array(request->arena, count + 1, sizeof(*adoptions));

    for (size_t i = 0; i < count; i++)
        adoptions[i].version = versions[i].version;
    fleet_adoption(request->console->fleet, asset->product, asset->name, adoptions, count);
    json_write_array(json, "versions");
    for (size_t i = 0; i < count; i++) {
        if (!put_version(json, conn, asset, &versions[i], &adoptions[i], err))
            return false;
        json_write_end(json, '}');
    }
    json_write_end(json, ']');
    return true;
}

void assets_show(struct request *request)
{
    const char *product = request->params[0], *asset = request->params[1];
    struct asset_row *row;
    struct version_row *versions;
    size_t count;
    struct json_writer json;
    struct error err;
    TEXT(out);
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&json, &out);
    json_write_object(&json, NULL);
    if (!conn || !asset_find(request, conn, product, asset, &row, &err) ||
        !put_asset(&json, request, conn, row, false, &err) ||
        !repo_versions(conn, request->arena, product, asset, &versions, &count, &err)) {
        answer_error(request, &err);
        return;
    }
    if (!releases_write(conn, product, asset, &json, &err) ||
        !put_versions(&json, request, conn, row, versions, count, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_end(&json, '}');
    answer_json(request, 200, &out);
}

void assets_history(struct request *request)
{
    const char *product = request->params[0], *asset = request->params[1];
    struct asset_row *row;
    struct history_row *rows;
    size_t count;
    struct json_writer json;
    struct error err;
    TEXT(out);
    DB_DONE(conn) = db_read(request->console->db, &err);

    if (!conn || !asset_find(request, conn, product, asset, &row, &err) ||
        !repo_history(conn, request->arena, product, asset, &rows, &count, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_init(&json, &out);
    json_write_array(&json, NULL);
    for (size_t i = 0; i < count; i++) {
        json_write_object(&json, NULL);
        json_write_string(&json, "commit", rows[i].commit);
        json_write_string(&json, "author", rows[i].author);
        json_write_time(&json, "at", rows[i].at);
        json_write_string(&json, "what", rows[i].what);
        json_write_string(&json, "version", rows[i].version);
        json_write_string(&json, "message", rows[i].message);
        json_write_end(&json, '}');
    }
    json_write_end(&json, ']');
    answer_json(request, 200, &out);
}

void assets_difference(struct request *request)
{
    static const char *const allowed[] = {"from", "to", NULL};
    const char *product = request->params[0], *asset = request->params[1];
    const char *from = request_query(request, "from"), *to = request_query(request, "to");
    struct asset_row *row;
    struct error err;
    TEXT(out);

    if (!request_query_only(request, allowed, &err) ||
        ((!from || !to) && !error_set(&err, ERROR_INPUT, "A difference needs \"from\" and \"to\"")) ||
        !version_check(from, &err) || !version_check(to, &err)) {
        answer_error(request, &err);
        return;
    }
    DB_DONE(conn) = db_read(request->console->db, &err);
    if (!conn || !asset_find(request, conn, product, asset, &row, &err) ||
        !repo_difference(request->console->repo, conn, product, asset, from, to, &out, &err))
        answer_error(request, &err);
    else
        answer_json(request, 200, &out);
}

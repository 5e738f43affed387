/* Reading the index: assets, versions, history; and one version's manifest. */
#include "repo/store.h"

#include <stdio.h>
#include <string.h>

#define FIRST_ROOM 32

/* Room for one more row; the arena keeps the outgrown ones until it ends. */
static void *row_add(struct arena *arena, void *rows, size_t count, size_t size)
{
    if (count == 0)
        return arena_array(arena, FIRST_ROOM, size);
    if (count < FIRST_ROOM || (count & (count - 1)) != 0)
        return rows;
    void *grown = arena_array(arena, 2 * count, size);
    memcpy(grown, rows, count * size);
    return grown;
}

bool repo_assets(struct db_conn *conn, struct arena *arena, const char *product, struct asset_row **rows,
                 size_t *count, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT product, name, kind, newest, versions, published_at FROM assets "
                       "WHERE :product IS NULL OR product = :product ORDER BY product, name");
    db_bind_text(query, ":product", product);
    *rows = NULL;
    *count = 0;
    while (db_step(query)) {
        *rows = row_add(arena, *rows, *count, sizeof **rows);
        struct asset_row *row = &(*rows)[(*count)++];
        snprintf(row->product, sizeof row->product, "%s", db_text(query, 0));
        snprintf(row->name, sizeof row->name, "%s", db_text(query, 1));
        kind_from_name(db_text(query, 2), &row->kind);
        snprintf(row->newest, sizeof row->newest, "%s", db_text(query, 3));
        row->versions = db_integer(query, 4);
        row->published_at = db_integer(query, 5);
    }
    return db_end(query, err);
}

static const char **hardware_list(struct arena *arena, const char *text)
{
    struct error ignored = {0};
    const struct json *array = json_read(arena, text, strlen(text), &json_limits_small, &ignored);
    const char **list = arena_array(arena, (array ? array->size : 0) + 1, sizeof *list);
    size_t count = 0;
    for (const struct json *one = array ? array->first : NULL; one; one = one->next)
        list[count++] = one->string;
    return list;
}

bool repo_versions(struct db_conn *conn, struct arena *arena, const char *product, const char *asset,
                   struct version_row **rows, size_t *count, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT version, manifest, commit_id, activation, counter, "
                       "published_at, files, length, author, title, "
                       "notes, hardware, listed, requires, marker FROM versions WHERE product = :product "
                       "AND asset = :asset ORDER BY number DESC");
    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset);
    *rows = NULL;
    *count = 0;
    while (db_step(query)) {
        *rows = row_add(arena, *rows, *count, sizeof **rows);
        struct version_row *row = &(*rows)[(*count)++];
        snprintf(row->version, sizeof row->version, "%s", db_text(query, 0));
        snprintf(row->manifest, sizeof row->manifest, "%s", db_text(query, 1));
        snprintf(row->commit, sizeof row->commit, "%s", db_text(query, 2));
        activation_from_name(db_text(query, 3), &row->activation);
        row->counter = db_integer(query, 4);
        row->published_at = db_integer(query, 5);
        row->files = db_integer(query, 6);
        row->total = db_integer(query, 7);
        row->author = db_text_copy(query, 8, arena);
        row->title = db_text_copy(query, 9, arena);
        row->notes = db_text_copy(query, 10, arena);
        row->hardware = hardware_list(arena, db_text(query, 11));
        row->listed = db_integer(query, 12) != 0;
        row->requires = db_text_copy(query, 13, arena);
        row->marker = db_text_copy(query, 14, arena);
    }
    if (!db_end(query, err))
        return false;
    return *count > 0 || error_set(err, ERROR_MISSING, "there is no asset %.64s/%.64s", product, asset);
}

bool repo_history(struct db_conn *conn, struct arena *arena, const char *product, const char *asset,
                  struct history_row **rows, size_t *count, struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT commit_id, author, message, at, what, version FROM history WHERE product = :product "
              "AND asset IN (:asset, '') ORDER BY number DESC");
    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset);
    *rows = NULL;
    *count = 0;
    while (db_step(query)) {
        *rows = row_add(arena, *rows, *count, sizeof **rows);
        struct history_row *row = &(*rows)[(*count)++];
        snprintf(row->commit, sizeof row->commit, "%s", db_text(query, 0));
        row->author = db_text_copy(query, 1, arena);
        row->message = db_text_copy(query, 2, arena);
        row->at = db_integer(query, 3);
        row->what = db_text_copy(query, 4, arena);
        row->version = db_text_copy(query, 5, arena);
    }
    return db_end(query, err);
}

bool repo_manifest(struct repo *repo, struct db_conn *conn, struct arena *arena, const char *product,
                   const char *asset, const char *version, struct manifest *manifest, char sha256[SHA256_HEX],
                   struct error *err)
{
    char *bytes;
    size_t size;
    struct db_query *query =
        db_query(conn, "SELECT manifest FROM versions WHERE product = :product AND asset = "
                       ":asset AND version = :version");
    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset);
    db_bind_text(query, ":version", version);
    sha256[0] = 0;
    if (db_step(query))
        snprintf(sha256, SHA256_HEX, "%s", db_text(query, 0));
    if (!db_end(query, err))
        return false;
    if (!*sha256)
        return error_set(err, ERROR_MISSING, "there is no version %.64s of %.64s/%.64s", version, product,
                         asset);
    return (object_read(repo, arena, sha256, MANIFEST_BYTES_LIMIT, &bytes, &size, err) &&
            manifest_read(arena, bytes, size, manifest, err)) ||
           error_add(err, "%s/%s %s", product, asset, version);
}

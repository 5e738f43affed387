/* What there is to wish for: versions and releases of a product, read once a batch. */
#include "console/delivery/wish_parts.h"

#include <stdlib.h>
#include <string.h>

struct wish_batch *wish_batch(struct db_conn *conn, struct arena *arena)
{
    struct wish_batch *batch = arena_alloc(arena, sizeof *batch);

    *batch = (struct wish_batch){.conn = conn, .arena = arena};
    return batch;
}

/* Room for one more element at the end of an array in the arena. */
static void *grow(struct arena *arena, void *array, size_t count, size_t size)
{
    if (count & (count - 1)) /* it was doubled at each power of two */
        return array;
    void *grown = arena_array(arena, count ? 2 * count : 1, size);
    if (count)
        memcpy(grown, array, count * size);
    return grown;
}

/* --- releases
 * ------------------------------------------------------------------------------------------------------ */

static bool releases_read(struct wish_batch *batch, struct wish_product *product, struct error *err)
{
    struct db_query *query =
        db_query(batch->conn, "SELECT asset, version, released_by, coalesce(released_at, 0) FROM release"
                              " WHERE product = :product AND version IS NOT NULL ORDER BY asset");
    struct wish_release *rows = NULL;

    db_bind_text(query, ":product", product->name);
    while (db_step(query)) {
        rows = grow(batch->arena, rows, product->release_count, sizeof *rows);
        rows[product->release_count++] =
            (struct wish_release){.asset = db_text_copy(query, 0, batch->arena),
                                  .version = db_text_copy(query, 1, batch->arena),
                                  .by = db_text_copy(query, 2, batch->arena),
                                  .at = db_integer(query, 3)};
    }
    product->releases = rows;
    return db_end(query, err);
}

static bool group_releases_read(struct wish_batch *batch, struct wish_product *product, struct error *err)
{
    struct db_query *query =
        db_query(batch->conn,
                 "SELECT r.group_id, g.name, r.asset, r.version, r.released_by,"
                 " coalesce(r.released_at, 0) FROM group_release r JOIN device_group g ON g.id = r.group_id"
                 " WHERE r.product = :product AND r.version IS NOT NULL"
                 " ORDER BY r.released_at DESC, g.name");
    struct wish_release *rows = NULL;

    db_bind_text(query, ":product", product->name);
    while (db_step(query)) {
        rows = grow(batch->arena, rows, product->group_release_count, sizeof *rows);
        rows[product->group_release_count++] =
            (struct wish_release){.group_id = db_integer(query, 0),
                                  .group = db_text_copy(query, 1, batch->arena),
                                  .asset = db_text_copy(query, 2, batch->arena),
                                  .version = db_text_copy(query, 3, batch->arena),
                                  .by = db_text_copy(query, 4, batch->arena),
                                  .at = db_integer(query, 5)};
    }
    product->group_releases = rows;
    return db_end(query, err);
}

struct wish_product *wish_product(struct wish_batch *batch, const char *name, struct error *err)
{
    for (struct wish_product *known = batch->products; known; known = known->next)
        if (!strcmp(known->name, name))
            return known;
    struct wish_product *product = arena_alloc(batch->arena, sizeof *product);
    *product = (struct wish_product){.name = arena_strdup(batch->arena, name), .next = batch->products};
    if (!releases_read(batch, product, err) || !group_releases_read(batch, product, err))
        return NULL;
    batch->products = product;
    return product;
}

/* --- versions
 * ------------------------------------------------------------------------------------------------------ */

static bool hardware_read(struct arena *arena, const char *text, struct wish_version *version,
                          struct error *err)
{
    static const char *const all[] = {NULL};

    version->hardware = all;
    if (string_is(text, "[]"))
        return true;
    const struct json *list = json_read(arena, text, strlen(text), &json_limits_small, err);
    if (!list)
        return false;
    const char **hardware = arena_array(arena, list->size + 1, sizeof *hardware);
    size_t count = 0;
    for (const struct json *one = list->first; one; one = one->next)
        if (one->type == JSON_STRING)
            hardware[count++] = one->string;
    version->hardware = hardware;
    return true;
}

static bool needs_read(struct arena *arena, const char *text, struct wish_version *version, struct error *err)
{
    if (string_is(text, "{}"))
        return true;
    const struct json *object = json_read(arena, text, strlen(text), &json_limits_small, err);
    if (!object)
        return false;
    struct wish_need *needs = arena_array(arena, object->size + 1, sizeof *needs);
    for (const struct json *one = object->first; one; one = one->next)
        if (one->type == JSON_STRING)
            needs[version->need_count++] = (struct wish_need){.asset = one->key, .range = one->string};
    version->needs = needs;
    return true;
}

static int highest_first(const void *a, const void *b)
{
    return version_compare(((const struct wish_version *)b)->version,
                           ((const struct wish_version *)a)->version);
}

static bool row_read(struct wish_batch *batch, struct db_query *query, struct wish_asset *asset,
                     struct error *err)
{
    asset->versions = grow(batch->arena, asset->versions, asset->count, sizeof *asset->versions);
    struct wish_version *version = &asset->versions[asset->count++];
    *version = (struct wish_version){.version = db_text_copy(query, 0, batch->arena),
                                     .counter = db_integer(query, 3),
                                     .listed = db_integer(query, 4) != 0,
                                     .withdrawn = db_integer(query, 5) != 0};
    asset->counters_differ |= version->counter != asset->versions[0].counter;
    return hardware_read(batch->arena, db_text(query, 1), version, err) &&
           needs_read(batch->arena, db_text(query, 2), version, err);
}

static bool versions_read(struct wish_batch *batch, const char *product, struct wish_asset *asset,
                          struct error *err)
{
    struct db_query *query =
        db_query(batch->conn, "SELECT v.version, v.hardware, v.requires, v.counter, v.listed,"
                              " EXISTS (SELECT 1 FROM withdrawn w WHERE w.product = v.product"
                              " AND w.asset = v.asset AND w.version = v.version)"
                              " FROM versions v WHERE v.product = :product AND v.asset = :asset");
    bool good = true;

    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset->name);
    while (good && db_step(query))
        good = row_read(batch, query, asset, err);
    struct error ignored = {0};
    if (!db_end(query, good ? err : &ignored) || !good)
        return false;
    if (asset->count)
        qsort(asset->versions, asset->count, sizeof *asset->versions, highest_first);
    return true;
}

/* Which versions were released to the whole product, and in which order. */
static bool released_read(struct wish_batch *batch, const char *product, struct wish_asset *asset,
                          struct error *err)
{
    struct db_query *query = db_query(
        batch->conn, "SELECT number, version FROM history WHERE product = :product AND asset = :asset"
                     " AND what = 'release' AND version IS NOT NULL ORDER BY number");

    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset->name);
    while (db_step(query)) {
        struct wish_version *version = (struct wish_version *)wish_version(asset, db_text(query, 1));
        if (version)
            version->released = db_integer(query, 0);
    }
    return db_end(query, err);
}

struct wish_asset *wish_asset(struct wish_batch *batch, struct wish_product *product, const char *name,
                              struct error *err)
{
    for (size_t i = 0; i < product->asset_count; i++)
        if (!strcmp(product->assets[i]->name, name))
            return product->assets[i];
    struct wish_asset *asset = arena_alloc(batch->arena, sizeof *asset);
    *asset = (struct wish_asset){.name = arena_strdup(batch->arena, name)};
    if (!versions_read(batch, product->name, asset, err) ||
        !released_read(batch, product->name, asset, err)) {
        error_add(err, "the versions of %s/%s", product->name, name);
        return NULL;
    }
    product->assets = grow(batch->arena, product->assets, product->asset_count, sizeof *product->assets);
    product->assets[product->asset_count++] = asset;
    return asset;
}

const struct wish_version *wish_version(const struct wish_asset *asset, const char *version)
{
    const struct wish_version key = {.version = version};
    struct error ignored = {0};

    if (!asset->count || !version_check(version, &ignored))
        return NULL;
    return bsearch(&key, asset->versions, asset->count, sizeof key, highest_first);
}

bool wish_fits_hardware(const struct wish_version *version, const char *hardware)
{
    if (!version->hardware || !version->hardware[0])
        return true;
    for (const char *const *one = version->hardware; *one; one++)
        if (!strcmp(*one, hardware))
            return true;
    return false;
}

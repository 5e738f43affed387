#include "diagnostics/image.h"

/* The index of the repository says what its signed metadata list; NULL asks for the newest version. */
static bool version_find(struct db_conn *conn, struct arena *arena, const char *product, const char *name,
                         const char **version, bool *listed, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT version, listed FROM versions WHERE product = :product AND asset = :asset"
                       " AND (:version IS NULL OR version = :version) ORDER BY number DESC LIMIT 1");
    const char *found = NULL;

    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", name);
    db_bind_text(query, ":version", *version);
    if (db_step(query)) {
        found = db_text_copy(query, 0, arena);
        *listed = db_integer(query, 1) != 0;
    }
    if (!db_end(query, err))
        return false;
    if (!found)
        return error_set(err, ERROR_MISSING, "there is no image %s/%s%s%s", product, name,
                         *version ? "@" : "", *version ? *version : "");
    *version = found;
    return true;
}

bool image_find(struct repo *repo, struct db_conn *conn, struct arena *arena, const char *product,
                const char *name, const char *version, struct image *image, struct error *err)
{
    *image = (struct image){0};
    if (!version_find(conn, arena, product, name, &version, &image->listed, err) ||
        !repo_manifest(repo, conn, arena, product, name, version, &image->manifest, image->sha256, err))
        return false;
    return (image->manifest.kind == KIND_DIAGNOSTIC && image->manifest.has_limits) ||
           error_set(err, ERROR_INPUT, "%s/%s is no diagnostic image", product, name);
}

bool image_allows(const struct image *image, int64_t duration_s, const struct json *params, struct error *err)
{
    const struct image_limits *limits = &image->manifest.limits;

    if (duration_s < 1 || duration_s > limits->max_runtime_s)
        return error_set(err, ERROR_INPUT, "%s may run for 1 to %lld seconds (its max_runtime_s), not %lld",
                         image->manifest.asset, (long long)limits->max_runtime_s, (long long)duration_s);
    return image_params_check(limits, params, err);
}

bool image_returns(struct db_conn *conn, const char *product, const char *name, struct image_returns *returns,
                   struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT count(*), coalesce(sum(a.reverted_at IS NOT NULL AND a.proof_verified = 1), 0),"
              " coalesce(sum(a.reverted_at IS NULL AND a.alarm IS NULL"
              " AND a.state IN ('running', 'cancelling', 'reverting')), 0)"
              " FROM campaign c JOIN assignment a ON a.campaign_id = c.id"
              " WHERE c.product = :product AND c.image = :image AND a.started_at IS NOT NULL");

    *returns = (struct image_returns){0};
    db_bind_text(query, ":product", product);
    db_bind_text(query, ":image", name);
    if (db_step(query))
        *returns = (struct image_returns){db_integer(query, 0), db_integer(query, 1), db_integer(query, 2)};
    return db_end(query, err);
}

#include "console/delivery/approval.h"

#include "base/arena.h"
#include "console/console.h"
#include "console/delivery/product.h"
#include "repo/repo.h"

#include <string.h>

#define FOLLOW_MOST 16 /* products at a time: each is a commit */

bool approval_needed(struct db_conn *conn, const char *product, int *needed, struct error *err)
{
    char value[PRODUCT_VALUE_SIZE];

    if (!product_setting_text(conn, product, PRODUCT_APPROVAL, value, err) ||
        !repo_signed_by(conn, product, needed, err))
        return false;
    if (!strcmp(value, "two"))
        *needed = 2;
    return true;
}

int approval_signatures(void *context, const char *product)
{
    struct console *console = context;
    struct error err = {0};
    int needed = 2;
    DB_DONE(conn) = db_read(console->db, &err);

    return conn && approval_needed(conn, product, &needed, &err) ? needed : 2;
}

struct differing {
    const char *product, *changed_by;
    int signatures;
};

static bool differing_read(struct db_conn *conn, struct arena *arena, const char *product,
                           struct differing *list, size_t *count, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT s.product, s.changed_by, CASE s.value WHEN 'two' THEN 2 ELSE 1 END AS wished"
                       " FROM product_setting s LEFT JOIN image_signers i ON i.product = s.product"
                       " WHERE s.key = :key AND (:product IS NULL OR s.product = :product)"
                       " AND coalesce(i.signatures, 1) <> CASE s.value WHEN 'two' THEN 2 ELSE 1 END"
                       " AND EXISTS (SELECT 1 FROM assets a WHERE a.product = s.product) ORDER BY s.product");

    *count = 0;
    db_bind_text(query, ":key", PRODUCT_APPROVAL);
    db_bind_text(query, ":product", product);
    while (*count < FOLLOW_MOST && db_step(query))
        list[(*count)++] = (struct differing){.product = db_text_copy(query, 0, arena),
                                              .changed_by = db_text_copy(query, 1, arena),
                                              .signatures = (int)db_integer(query, 2)};
    return db_end(query, err);
}

bool approval_follow(struct console *console, const char *product, struct error *err)
{
    ARENA(arena);
    struct differing list[FOLLOW_MOST];
    size_t count;
    struct db_conn *conn = db_read(console->db, err);

    if (!conn)
        return false;
    bool good = differing_read(conn, &arena, product, list, &count, err);
    db_done(conn);
    for (size_t i = 0; good && i < count; i++)
        good = repo_sign_by(console->repo, list[i].product, list[i].signatures, list[i].changed_by,
                            list[i].signatures > 1 ? "two people sign for diagnostic images"
                                                   : "one person signs for diagnostic images",
                            err);
    return good;
}

bool approval_step(struct console *console, struct error *err)
{
    return approval_follow(console, NULL, err);
}

/* How long captures are kept. What is deleted goes in two steps: the row says so, durably; then its folder is
 * removed. What a crash leaves between them is swept at the next start. */
#include "diagnostics/capture_parts.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EXPIRE_SLICE 200

struct kept {
    int64_t id, campaign, run, device_id, length;
    const char *run_id;
    bool held, uploading;
};

/* MISSING, also for what was deleted. */
static bool kept_find(struct db_conn *conn, struct arena *arena, int64_t id, struct kept *kept,
                      struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT a.campaign_id, a.run_number, a.device_id, k.length, k.hold_by IS NOT NULL,"
              " k.state = 'uploading', a.id FROM capture k JOIN assignment a ON a.id = k.assignment_id"
              " WHERE k.id = :id AND k.deleted_at IS NULL");
    bool found;

    *kept = (struct kept){.id = id};
    db_bind_integer(query, ":id", id);
    found = db_step(query);
    if (found)
        *kept = (struct kept){id,
                              db_integer(query, 0),
                              db_integer(query, 1),
                              db_integer(query, 2),
                              db_integer(query, 3),
                              db_text_copy(query, 6, arena),
                              db_integer(query, 4) != 0,
                              db_integer(query, 5) != 0};
    return db_end(query, err) &&
           (found || error_set(err, ERROR_MISSING, "there is no capture %lld", (long long)id));
}

static bool told(struct act *act, const struct kept *kept, const char *to, const char *reason,
                 struct error *err)
{
    const struct change change = {.noun = CHANGE_CAPTURE,
                                  .campaign = kept->campaign,
                                  .run = kept->run,
                                  .device_id = kept->device_id,
                                  .capture = kept->id,
                                  .to = to,
                                  .reason = arena_strdup(&act->arena, reason ? reason : "no reason given")};

    return act_changed(act, &change, err);
}

/* --- deleting
 * ----------------------------------------------------------------------------------------------------- */

static bool row_delete(struct act *act, const struct kept *kept, const char *reason, struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "UPDATE capture SET deleted_at = :now, deleted_why = :why, length = 0 WHERE id = :id");

    db_bind_integer(query, ":now", clock_now());
    db_bind_text(query, ":why", reason);
    db_bind_integer(query, ":id", kept->id);
    if (!db_run(query, NULL, err))
        return false;
    query = db_query(act->conn, "DELETE FROM capture_file WHERE capture_id = :id");
    db_bind_integer(query, ":id", kept->id);
    return db_run(query, NULL, err) && capture_counted(act->conn, kept->run_id, -kept->length, err) &&
           told(act, kept, "deleted", reason, err);
}

static bool folder_remove(struct diagnostics *diagnostics, int64_t id, struct error *err)
{
    char folder[FOLDER_SIZE];

    return tree_remove(diagnostics->captures_dirfd, capture_folder(id, folder), err);
}

static bool may_delete(const struct kept *kept, struct error *err)
{
    if (kept->held)
        return error_set(err, ERROR_CONFLICT, "capture %lld is held: it stays until a person lets it go",
                         (long long)kept->id);
    return !kept->uploading ||
           error_set(err, ERROR_CONFLICT, "capture %lld is still being received", (long long)kept->id);
}

bool capture_delete(struct diagnostics *diagnostics, int64_t id, const char *operator_name,
                    const char *reason, struct error *err)
{
    struct kept kept;
    struct act act;

    if (!act_begin(&act, diagnostics, operator_name, err))
        return false;
    bool good = kept_find(act.conn, &act.arena, id, &kept, err) && may_delete(&kept, err) &&
                row_delete(&act, &kept, reason, err);
    return act_end(&act, good, err) && folder_remove(diagnostics, id, err);
}

/* --- holding
 * ------------------------------------------------------------------------------------------------------ */

static bool hold_write(struct act *act, const struct kept *kept, bool hold, const char *reason,
                       struct error *err)
{
    struct db_query *query = db_query(
        act->conn,
        "UPDATE capture SET hold_by = :by, hold_at = nullif(:at, 0), hold_reason = :reason WHERE id = :id");

    db_bind_text(query, ":by", hold ? act->operator_name : NULL);
    db_bind_integer(query, ":at", hold ? clock_now() : 0);
    db_bind_text(query, ":reason", hold ? reason : NULL);
    db_bind_integer(query, ":id", kept->id);
    return db_run(query, NULL, err) && told(act, kept, hold ? "held" : "let go", reason, err);
}

bool capture_hold(struct diagnostics *diagnostics, int64_t id, bool hold, const char *operator_name,
                  const char *reason, struct error *err)
{
    struct kept kept;
    struct act act;

    if (!act_begin(&act, diagnostics, operator_name, err))
        return false;
    return act_end(&act,
                   kept_find(act.conn, &act.arena, id, &kept, err) &&
                       (kept.held == hold || hold_write(&act, &kept, hold, reason, err)),
                   err);
}

/* --- time
 * ---------------------------------------------------------------------------------------------------------
 */

struct products {
    const char *name;
    struct products *next;
};

static bool products_read(struct db_conn *conn, struct arena *arena, struct products **products,
                          struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT DISTINCT product FROM campaign");

    *products = NULL;
    while (db_step(query)) {
        struct products *one = arena_alloc(arena, sizeof *one);

        *one = (struct products){db_text_copy(query, 0, arena), *products};
        *products = one;
    }
    return db_end(query, err);
}

static bool expired_find(struct db_conn *conn, const char *product, int64_t before, int64_t ids[EXPIRE_SLICE],
                         size_t *count, struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT k.id FROM capture k JOIN assignment a ON a.id = k.assignment_id"
        " JOIN campaign c ON c.id = a.campaign_id WHERE k.created_at <= :before AND c.product = :product"
        " AND k.hold_by IS NULL AND k.deleted_at IS NULL AND k.state <> 'uploading'"
        " ORDER BY k.created_at LIMIT :most");

    db_bind_integer(query, ":before", before);
    db_bind_text(query, ":product", product);
    db_bind_integer(query, ":most", EXPIRE_SLICE);
    for (*count = 0; db_step(query); ++*count)
        ids[*count] = db_integer(query, 0);
    return db_end(query, err);
}

/* A person may have held one since it was found. */
static bool expire_rows(struct act *act, int64_t *ids, size_t *count, const char *why, struct error *err)
{
    size_t deleted = 0;

    for (size_t i = 0; i < *count; i++) {
        struct error ignored = {0};
        struct kept kept;

        if (!kept_find(act->conn, &act->arena, ids[i], &kept, &ignored) || !may_delete(&kept, &ignored))
            continue;
        if (!row_delete(act, &kept, why, err))
            return false;
        ids[deleted++] = ids[i];
    }
    *count = deleted;
    return true;
}

static bool expire_some(struct diagnostics *diagnostics, int64_t *ids, size_t count, int64_t keep_s,
                        struct error *err)
{
    char why[80];
    struct act act;

    snprintf(why, sizeof why, "kept for %lld days, as the product says", (long long)keep_s / 86400);
    if (!act_begin(&act, diagnostics, NULL, err) ||
        !act_end(&act, expire_rows(&act, ids, &count, why, err), err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!folder_remove(diagnostics, ids[i], err))
            return false;
    return true;
}

static bool expire_product(struct diagnostics *diagnostics, const char *product, int64_t now,
                           struct error *err)
{
    struct capture_limits limits;
    int64_t ids[EXPIRE_SLICE];
    size_t count = 0;
    struct db_conn *conn = db_read(diagnostics->db, err);

    if (!conn)
        return false;
    bool good = capture_limits(diagnostics, conn, product, &limits, err) &&
                (!limits.keep_s || expired_find(conn, product, now - limits.keep_s, ids, &count, err));
    db_done(conn);
    return good && (!count || expire_some(diagnostics, ids, count, limits.keep_s, err));
}

bool capture_expire(struct diagnostics *diagnostics, int64_t now, struct error *err)
{
    ARENA(arena);
    struct products *products;
    struct db_conn *conn = db_read(diagnostics->db, err);

    if (!conn)
        return false;
    bool good = products_read(conn, &arena, &products, err);
    db_done(conn);
    for (; good && products; products = products->next)
        good = expire_product(diagnostics, products->name, now, err);
    return good;
}

/* --- start-up
 * ----------------------------------------------------------------------------------------------------- */

static bool is_owned(struct db_conn *conn, int64_t id, bool *owned, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT 1 FROM capture WHERE id = :id AND deleted_at IS NULL");

    db_bind_integer(query, ":id", id);
    *owned = db_step(query);
    return db_end(query, err);
}

static void dir_close(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

bool capture_sweep(struct diagnostics *diagnostics, size_t *removed, struct error *err)
{
    int fd = openat(diagnostics->captures_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    __attribute__((cleanup(dir_close))) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    DB_DONE(conn) = db_read(diagnostics->db, err);
    struct dirent *entry;
    int64_t id;
    bool owned;

    *removed = 0;
    if (!dir) {
        fd_close(&fd);
        return error_errno(err, "listing the captures");
    }
    while (conn && (entry = readdir(dir))) {
        if (!int64_parse(entry->d_name, 1, INT64_MAX, &id))
            continue;
        if (!is_owned(conn, id, &owned, err) || (!owned && !folder_remove(diagnostics, id, err)))
            return false;
        *removed += !owned;
    }
    return conn != NULL;
}

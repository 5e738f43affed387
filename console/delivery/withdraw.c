#include "console/delivery/withdraw.h"

#include "base/clock.h"
#include "base/log.h"
#include "console/audit.h"
#include "console/console.h"
#include "console/delivery/reason.h"
#include "console/events.h"
#include "console/fleet.h"
#include "repo/repo.h"

#include <pthread.h>
#include <string.h>

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */

static struct db_query *row_query(struct db_conn *conn, const char *product, const char *asset,
                                  const char *version)
{
    struct db_query *query =
        db_query(conn, "SELECT reason, withdrawn_by, withdrawn_at FROM withdrawn"
                       " WHERE product = :product AND asset = :asset AND version = :version");

    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset);
    db_bind_text(query, ":version", version);
    return query;
}

bool version_is_withdrawn(struct db_conn *conn, const char *product, const char *asset, const char *version,
                          struct error *err)
{
    struct db_query *query = row_query(conn, product, asset, version);
    bool is = db_step(query);

    err->kind = ERROR_NONE; /* false has two meanings: the caller looks at the kind */
    return db_end(query, err) && is;
}

bool withdrawn_check(struct db_conn *conn, const char *product, const char *asset, const char *version,
                     struct error *err)
{
    struct db_query *query = row_query(conn, product, asset, version);
    bool good = true;

    if (db_step(query))
        good = error_set(err, ERROR_CONFLICT, "%s/%s %s was withdrawn by %s: %s", product, asset, version,
                         db_text(query, 1), db_text(query, 0));
    struct error ignored;
    return db_end(query, good ? err : &ignored) && good;
}

bool withdrawn_write(struct db_conn *conn, const char *product, const char *asset, const char *version,
                     struct json_writer *writer, struct error *err)
{
    struct db_query *query = row_query(conn, product, asset, version);

    if (db_step(query)) {
        json_write_object(writer, "withdrawn");
        json_write_string(writer, "reason", db_text(query, 0));
        json_write_string(writer, "by", db_text(query, 1));
        json_write_time(writer, "at", db_integer(query, 2));
        json_write_end(writer, '}');
    } else
        json_write_null(writer, "withdrawn");
    return db_end(query, err);
}

bool withdrawn_withheld(void *context, const char *product, const char *asset, const char *version)
{
    struct console *console = context;
    struct error err = {0};
    DB_DONE(conn) = db_read(console->db, &err);

    /* What cannot be known is offered as before: nobody loses what it waits for. */
    return conn && version_is_withdrawn(conn, product, asset, version, &err);
}

/* --- withdrawing
 * -------------------------------------------------------------------------------------------------- */

struct withdrawal {
    const char *product, *asset, *version, *reason, *operator_name;
};

static bool withdrawal_store(struct db_conn *conn, const struct withdrawal *withdrawal, bool *is_new,
                             struct error *err)
{
    int64_t changes = 0;
    struct db_query *query =
        db_query(conn, "INSERT INTO withdrawn (product, asset, version, reason, withdrawn_by, withdrawn_at)"
                       " VALUES (:product, :asset, :version, :reason, :by, :at) ON CONFLICT DO NOTHING");

    db_bind_text(query, ":product", withdrawal->product);
    db_bind_text(query, ":asset", withdrawal->asset);
    db_bind_text(query, ":version", withdrawal->version);
    db_bind_text(query, ":reason", withdrawal->reason);
    db_bind_text(query, ":by", withdrawal->operator_name);
    db_bind_integer(query, ":at", clock_now());
    if (!db_run(query, &changes, err))
        return false;
    *is_new = changes > 0;
    return true;
}

static bool withdrawal_begin(struct console *console, const struct withdrawal *withdrawal, bool *is_new,
                             struct error *err)
{
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    if (!withdrawal_store(conn, withdrawal, is_new, err)) {
        db_done(conn);
        return false;
    }
    return db_commit(conn, err);
}

/* Git has it: the audit follows. */
static bool withdrawal_audit(struct console *console, const struct withdrawal *withdrawal, struct error *err)
{
    size_t added = 0;
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    if (!audit_history(conn, withdrawal->product, withdrawal->asset, &added, err)) {
        db_done(conn);
        return false;
    }
    return db_commit(conn, err);
}

static bool withdrawal_sign(struct console *console, const struct withdrawal *withdrawal, struct error *err)
{
    ARENA(arena);
    const char *words = arena_printf(&arena, "withdraw %s %s\n\n%s", withdrawal->asset, withdrawal->version,
                                     withdrawal->reason);

    return repo_resign(console->repo, withdrawal->product, withdrawal->operator_name, words, err) &&
           withdrawal_audit(console, withdrawal, err);
}

static bool version_known(struct console *console, const struct withdrawal *withdrawal, struct error *err)
{
    ARENA(arena);
    struct version_row *rows;
    size_t count;
    DB_DONE(conn) = db_read(console->db, err);

    if (!conn || !repo_versions(conn, &arena, withdrawal->product, withdrawal->asset, &rows, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (string_is(rows[i].version, withdrawal->version))
            return true;
    return error_set(err, ERROR_MISSING, "there is no version %s of %s/%s", withdrawal->version,
                     withdrawal->product, withdrawal->asset);
}

/* In the table first: from there on nothing sends it, whatever happens to the rest. */
static bool withdrawal_do(struct console *console, const struct withdrawal *withdrawal, struct error *err)
{
    bool is_new;

    if (!version_known(console, withdrawal, err) || !withdrawal_begin(console, withdrawal, &is_new, err))
        return false;
    if (!is_new)
        return true;
    bool is_signed = withdrawal_sign(console, withdrawal, err);
    /* After the metadata: what devices fall back to is listed by then. */
    fleet_product_wish_changed(console->fleet, withdrawal->product);
    if (!is_signed)
        return error_add(err,
                         "no device is sent %s/%s %s any more, but it stands in the signed metadata until"
                         " the console starts again",
                         withdrawal->product, withdrawal->asset, withdrawal->version);
    events_send(console->events, "asset", "{\"product\":\"%s\",\"asset\":\"%s\"}", withdrawal->product,
                withdrawal->asset);
    log_event(LOG_INFO, "withdrawn", "asset=%s/%s version=%s", withdrawal->product, withdrawal->asset,
              withdrawal->version);
    return true;
}

bool version_withdraw(struct console *console, const char *product, const char *asset, const char *version,
                      const char *reason, const char *operator_name, struct error *err)
{
    const struct withdrawal withdrawal = {product, asset, version, reason, operator_name};

    if (!name_check("product", product, err) || !name_check("asset", asset, err) ||
        !version_check(version, err) || !reason_check(reason, err))
        return false;
    /* A release of the same version either is before, or finds the row. */
    pthread_mutex_lock(&console->releasing);
    bool good = withdrawal_do(console, &withdrawal, err);
    pthread_mutex_unlock(&console->releasing);
    return good;
}

/* --- after a crash
 * ------------------------------------------------------------------------------------------------ */

/* Git's history has what a database from a backup may not. The reason is the message's body. */
static bool recover_rows(struct console *console, struct error *err)
{
    int64_t found = 0;
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    struct db_query *query = db_query(
        conn, "INSERT INTO withdrawn (product, asset, version, reason, withdrawn_by, withdrawn_at)"
              " SELECT product, asset, version, coalesce(nullif(trim(substr(message,"
              " instr(message, char(10)) + 2), char(10)), ''), 'no reason given'), author, at FROM history"
              " WHERE what = 'withdraw' ON CONFLICT DO NOTHING");
    if (!db_run(query, &found, err)) {
        db_done(conn);
        return false;
    }
    if (found)
        log_event(LOG_WARNING, "withdrawals_recovered", "rows=%lld", (long long)found);
    return db_commit(conn, err);
}

/* What git does not know of yet. */
static bool recover_list(struct console *console, struct arena *arena, struct withdrawal **list,
                         size_t *count, struct error *err)
{
    DB_DONE(conn) = db_read(console->db, err);
    size_t room = 0;

    *count = 0;
    if (!conn)
        return false;
    struct db_query *query = db_query(
        conn, "SELECT w.product, w.asset, w.version, w.reason, w.withdrawn_by FROM withdrawn w"
              " JOIN versions v ON v.product = w.product AND v.asset = w.asset AND v.version = w.version"
              " WHERE NOT EXISTS (SELECT 1 FROM history h WHERE h.product = w.product"
              " AND h.asset = w.asset AND h.version = w.version AND h.what = 'withdraw')");
    while (db_step(query)) {
        if (*count == room) {
            struct withdrawal *grown = arena_array(arena, room = room ? 2 * room : 8, sizeof *grown);

            if (*count)
                memcpy(grown, *list, *count * sizeof *grown);
            *list = grown;
        }
        (*list)[(*count)++] = (struct withdrawal){
            db_text_copy(query, 0, arena), db_text_copy(query, 1, arena), db_text_copy(query, 2, arena),
            db_text_copy(query, 3, arena), db_text_copy(query, 4, arena)};
    }
    return db_end(query, err);
}

bool withdraw_recover(struct console *console, struct error *err)
{
    ARENA(arena);
    struct withdrawal *list = NULL;
    size_t count;

    if (!recover_rows(console, err) || !recover_list(console, &arena, &list, &count, err))
        return error_add(err, "finishing withdrawals that were cut off");
    for (size_t i = 0; i < count; i++) {
        struct error failed = {0};

        /* The console starts all the same: nothing sends it, only the metadata still list it. */
        if (!withdrawal_sign(console, &list[i], &failed))
            log_event(LOG_ERROR, "withdrawal_not_signed", "asset=%s/%s version=%s why=\"%s\"",
                      list[i].product, list[i].asset, list[i].version, failed.text);
    }
    return true;
}

#include "console/claims.h"

#include "base/clock.h"
#include "console/audit.h"

#include <stdio.h>
#include <string.h>

/* 26 characters of lower-case base32 (RFC 4648 §6) hold 130 bits. */
static void secret_make(char secret[CLAIM_SECRET_CHARS + 1])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t chance[CLAIM_SECRET_CHARS];

    random_bytes(chance, sizeof chance);
    for (int i = 0; i < CLAIM_SECRET_CHARS; i++)
        secret[i] = letters[chance[i] & 31];
    secret[CLAIM_SECRET_CHARS] = '\0';
}

static bool claim_insert(struct db_conn *conn, const struct claim *claim, const char *operator_name,
                         struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "INSERT INTO claim (secret_sha256, product, hardware, review, created_by, created_at, expires_at)"
        " VALUES (:secret, :product, :hardware, :review, :by, :at, :expires)");

    db_bind_text(query, ":secret", claim->secret_sha256);
    db_bind_text(query, ":product", claim->product);
    db_bind_text(query, ":hardware", claim->hardware[0] ? claim->hardware : NULL);
    db_bind_integer(query, ":review", claim->review);
    db_bind_text(query, ":by", operator_name);
    db_bind_integer(query, ":at", clock_now());
    db_bind_integer(query, ":expires", claim->expires_at);
    return db_run(query, NULL, err);
}

bool claim_create(struct console *console, struct claim *claim, const char *operator_name,
                  char secret[CLAIM_SECRET_CHARS + 1], struct error *err)
{
    if (!name_check("product", claim->product, err) ||
        (claim->hardware[0] && !name_check("hardware revision", claim->hardware, err)))
        return false;
    secret_make(secret);
    sha256_hex(secret, CLAIM_SECRET_CHARS, claim->secret_sha256);
    claim->expires_at = clock_now() + CLAIM_S;
    struct db_conn *conn = db_write(console->db, err);
    if (!conn)
        return false;
    if (!claim_insert(conn, claim, operator_name, err) ||
        !audit_add(conn, operator_name, "claim", claim->product, claim->review ? "to be reviewed" : NULL,
                   err)) {
        db_done(conn);
        return false;
    }
    return db_commit(conn, err);
}

bool claim_find(struct db_conn *conn, const char *secret, struct claim *claim, struct error *err)
{
    bool found;

    *claim = (struct claim){0};
    sha256_hex(secret, strlen(secret), claim->secret_sha256);
    struct db_query *query =
        db_query(conn, "SELECT product, hardware, review, expires_at, device_id FROM claim"
                       " WHERE secret_sha256 = :secret");
    db_bind_text(query, ":secret", claim->secret_sha256);
    found = db_step(query);
    if (found) {
        const char *hardware = db_text(query, 1);

        snprintf(claim->product, sizeof claim->product, "%s", db_text(query, 0));
        snprintf(claim->hardware, sizeof claim->hardware, "%s", hardware ? hardware : "");
        claim->review = db_integer(query, 2) != 0;
        claim->expires_at = db_integer(query, 3);
        claim->device_id = db_integer(query, 4);
    }
    if (!db_end(query, err))
        return false;
    return found || error_set(err, ERROR_DENIED, "this claim code is not known here");
}

bool claim_use(struct db_conn *conn, const struct claim *claim, int64_t device_id, struct error *err)
{
    int64_t changes = 0;
    struct db_query *query =
        db_query(conn, "UPDATE claim SET device_id = :device WHERE secret_sha256 = :secret"
                       " AND device_id IS NULL");

    db_bind_integer(query, ":device", device_id);
    db_bind_text(query, ":secret", claim->secret_sha256);
    if (!db_run(query, &changes, err))
        return false;
    return changes || error_set(err, ERROR_CONFLICT, "this claim code was used already");
}

bool claims_forget(struct console *console, struct error *err)
{
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    struct db_query *query =
        db_query(conn, "DELETE FROM claim WHERE device_id IS NULL AND expires_at < :before");
    db_bind_integer(query, ":before", clock_now() - 7 * 86400);
    if (!db_run(query, NULL, err)) {
        db_done(conn);
        return false;
    }
    return db_commit(conn, err);
}

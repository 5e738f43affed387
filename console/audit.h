/* The audit: every change with who, what and when, each row chained to the one before by a hash. One writer:
 * audit_add. */
#ifndef CONSOLE_AUDIT_H
#define CONSOLE_AUDIT_H

#include "base/db.h"
#include "base/error.h"

struct audit_row {
    int64_t id, at;            /* Unix seconds */
    const char *operator_name; /* NULL: the system */
    const char *action, *object, *detail, *hash;
};

/* Adds a row inside the caller's write transaction. `operator_name` NULL: the system itself. `action` is a
 * verb of the glossary ("publish", "release", "accept"), `object` what it was done to
 * ("demo/detector@1.0.0"), `detail` one line or NULL. hash = SHA-256 of the hash before and the canonical
 * row. */
bool audit_add(struct db_conn *conn, const char *operator_name, const char *action, const char *object,
               const char *detail, struct error *err);
/* Publications and releases stand in git first, and the audit follows: adds a row for each that git's history
 * of the asset has after the newest one that is here, with its author and time; the detail begins with
 * "commit <12 digits>". So a console that died between commit and row loses none, and none comes twice.
 * `*added` is raised by their number. */
bool audit_history(struct db_conn *conn, const char *product, const char *asset, size_t *added,
                   struct error *err);
/* The same for all assets: at start-up. */
bool audit_history_all(struct db_conn *conn, size_t *added, struct error *err);
/* At most `most` rows, newest first, with ids below `before` (0: from the newest). */
bool audit_rows(struct db_conn *conn, struct arena *arena, int64_t before, size_t most,
                struct audit_row **rows, size_t *count, struct error *err);
/* Computes the chain again. UNTRUSTED names the first row that does not fit; `rows` is how many were looked
 * at. */
bool audit_verify(struct db_conn *conn, int64_t *rows, struct error *err);

#endif

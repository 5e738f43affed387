/* The audit: every change with who, what and when, each row chained to the one before by a hash. One writer: audit_add. */
#ifndef CONSOLE_AUDIT_H
#define CONSOLE_AUDIT_H

#include "base/db.h"
#include "base/error.h"

/* Adds a row inside the caller's write transaction. `operator_name` NULL: the system itself. `action` is a verb of the glossary ("publish", "release",
 * "accept"), `object` what it was done to ("demo/detector@1.0.0"), `detail` one line or NULL. hash = SHA-256 of the hash before and the canonical row. */
bool audit_add(struct db_conn *conn, const char *operator_name, const char *action, const char *object,
               const char *detail, struct error *err);

#endif

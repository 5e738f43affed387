/* Claim codes: one line of text that lets one device enrol and carries all the trust that it needs. See
 * agent/PROTOCOL.md. */
#ifndef CONSOLE_CLAIMS_H
#define CONSOLE_CLAIMS_H

#include "agent/protocol.h"
#include "console/console.h"

#define CLAIM_S (24 * 3600) /* a code lapses after so many seconds */

struct claim {
    char secret_sha256[SHA256_HEX];
    char product[NAME_SIZE], hardware[NAME_SIZE]; /* hardware "": the device says it */
    bool review;                                  /* a person must accept the device */
    int64_t expires_at;                           /* Unix seconds */
    int64_t device_id;                            /* that used it; 0: none */
};
/* Makes a code for a product. `hardware` may be NULL. Fills the secret; the row keeps its hash only. Audited.
 */
bool claim_create(struct console *console, struct claim *claim, const char *operator_name,
                  char secret[CLAIM_SECRET_CHARS + 1], struct error *err);
/* The claim of a secret, used or not. DENIED when there is none: a wrong code. */
bool claim_find(struct db_conn *conn, const char *secret, struct claim *claim, struct error *err);
/* Marks it used inside the caller's transaction. CONFLICT when it was used meanwhile. */
bool claim_use(struct db_conn *conn, const struct claim *claim, int64_t device_id, struct error *err);
/* Scheduler step: forgets claims that lapsed a week ago and were not used. */
bool claims_forget(struct console *console, struct error *err);

#endif

/* Why something failed: one kind for the caller, one line for the person who reads it.
 *
 * A function that can fail returns bool and takes `struct error *err` last. On false it has set `err`; on
 * true it left it alone. `err` is never NULL. The first failure stays: context is put in front on the way up.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

enum error_kind {
    ERROR_NONE = 0,
    ERROR_INPUT,     /* what was given is wrong; HTTP 400, exit 2 */
    ERROR_DENIED,    /* not signed in or not allowed; HTTP 401/403, exit 4 */
    ERROR_MISSING,   /* there is no such thing; HTTP 404, exit 3 */
    ERROR_CONFLICT,  /* it is there already, or in another state; HTTP 409, exit 5 */
    ERROR_LIMIT,     /* a size, quota or the disk's space is used up; HTTP 413/507, exit 1 */
    ERROR_UNTRUSTED, /* a signature, hash or version does not verify; HTTP 422, exit 1 */
    ERROR_SYSTEM     /* the machine failed us; HTTP 500, exit 1 */
};

struct error {
    enum error_kind kind;
    char text[480]; /* one sentence without a final full stop, UTF-8, cut at the end when too long */
};

/* Sets `err` and returns false, so that `return error_set(err, …)` ends a function. */
bool error_set(struct error *err, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sets `err` from errno: "<text>: <strerror>". ENOENT becomes MISSING, EEXIST CONFLICT, ENOSPC, EDQUOT and
 * EFBIG LIMIT, ELOOP and EXDEV (openat2's refusals) INPUT, all else SYSTEM. Returns false. */
bool error_errno(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "<text>: " in front of what `err` says already. Returns false. */
bool error_add(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The kind's name as it stands in answers: "input", "denied", "missing", … */
const char *error_kind_name(enum error_kind kind);

#endif

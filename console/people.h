/* People: operators with roles, their sessions and API tokens. Secrets are kept as hashes only.
 *
 * A password is checked with scrypt, at most two at once because each takes 32 MiB. An unknown name takes as
 * long as a known one. After five failures in a quarter of an hour a name is closed for the address that
 * failed. */
#ifndef CONSOLE_PEOPLE_H
#define CONSOLE_PEOPLE_H

#include "console/console.h"
#include "console/server.h"

#define SECRET_SIZE 48 /* of session and token texts, with NUL */
#define SESSION_IDLE_S (12 * 3600)
#define SESSION_MOST_S (7 * 24 * 3600)

struct people;
struct person {
    int64_t id;
    const char *name;
    enum role role;     /* for a token: the lesser of its own and its operator's */
    int64_t expires_at; /* of a token, Unix seconds; 0: never, and for a session */
};

const char *role_name(enum role role); /* "viewer", "support", "release", "admin" */
bool role_from_name(const char *name, enum role *role);

struct people *people_new(void);
void people_free(struct people *people);
/* Raised whenever a right may have been taken away: streams look again. */
int64_t people_changes(struct people *people);

/* --- people.c: operators
 * ------------------------------------------------------------------------------------------ */
bool people_any(struct console *console, bool *any, struct error *err);
/* A new one-time link's token, lost with the process; `token` of SECRET_SIZE. */
void people_setup_token(struct people *people, char *token);
/* The first operator, an administrator. DENIED when the token is wrong, CONFLICT when there is an operator
 * already. */
bool people_setup(struct console *console, const char *token, const char *name, const char *password,
                  struct error *err);
/* The same without a token: from the server's machine. */
bool people_first(struct console *console, const char *name, const char *password, struct error *err);
bool operator_add(struct console *console, const char *name, const char *password, enum role role,
                  const char *by, struct error *err);
/* `password` NULL or `role` NULL: stays. A new password ends the operator's sessions. The last administrator
 * stays one. */
bool operator_change(struct console *console, const char *name, const char *password, const enum role *role,
                     const char *by, struct error *err);
bool operator_remove(struct console *console, const char *name, const char *by, struct error *err);
/* One's own; ends all other sessions. `session` is the cookie to be kept, may be NULL. */
bool operator_password(struct console *console, const struct person *person, const char *before,
                       const char *after, const char *address, const char *session, struct error *err);
/* A JSON array of all operators. */
bool operators_write(struct console *console, struct text *out, struct error *err);

/* --- people_session.c
 * --------------------------------------------------------------------------------------------- */
/* Name and password into a session; `secret` is the cookie. DENIED, or LIMIT while the name is closed
 * (`*wait_s` then). */
bool session_open(struct console *console, struct arena *arena, const char *name, const char *password,
                  const char *address, struct person *person, char secret[SECRET_SIZE], int64_t *wait_s,
                  struct error *err);
/* A session for somebody who has just proven who it is. */
bool session_add(struct console *console, int64_t operator_id, const char *address, char secret[SECRET_SIZE],
                 struct error *err);
bool session_close(struct console *console, const char *secret, struct error *err);
/* Who sends this API token or, when it is NULL, this cookie. DENIED when nobody does. */
bool people_identify(struct console *console, struct arena *arena, const char *token, const char *session,
                     struct person *person, struct error *err);
/* Takes failed sign-ins into account before `password_matches`; LIMIT while closed. */
bool sign_in_try(struct people *people, const char *name, const char *address, int64_t *wait_s,
                 struct error *err);
void sign_in_done(struct people *people, const char *name, const char *address, bool good);
/* Slow: scrypt, one of two at a time. `hash` NULL: an unknown name, which takes as long and is false. */
bool password_check(struct people *people, const char *password, const char *hash);
bool password_good(const char *password, struct error *err); /* 8 to 256 bytes */
/* Deletes sessions and tokens that have ended; a step of the scheduler. */
void people_sweep(struct console *console);

/* --- people_token.c
 * ----------------------------------------------------------------------------------------------- */
/* `role` at most the operator's; `lasts_s` 0: for ever. `token` is shown once. */
bool token_add(struct console *console, const char *operator_name, const char *name, const enum role *role,
               int64_t lasts_s, char token[SECRET_SIZE], struct error *err);
bool token_remove(struct console *console, const char *operator_name, const char *name, struct error *err);
bool tokens_write(struct console *console, const char *operator_name, struct text *out, struct error *err);

#endif

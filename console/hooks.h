/* Web hooks: alarms and ends, told to web addresses, signed, until they take them.
 *
 * What is to be sent is written in the transaction of what happened, so that nothing is told that was not,
 * and nothing is lost. A thread of its own sends it, at least once: a receiver knows a repetition by
 * Locum-Delivery. */
#ifndef CONSOLE_HOOKS_H
#define CONSOLE_HOOKS_H

#include "base/db.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

struct console;
struct hooks;

#define HOOKS_MOST 20
#define HOOK_WAITING_MOST 1000 /* deliveries of one hook; what comes above is dropped with a log line */
#define HOOK_ATTEMPTS 8        /* after 5 s, 20 s, 80 s … at most 1 h */
#define HOOK_SECRET_SIZE 129   /* with NUL */

/* What happened. Absent: NULL or 0. */
struct hook_news {
    const char *event; /* "alarm", "rollout", "campaign" */
    const char *alarm, *state, *device, *reason;
    int64_t campaign, run, rollout;
};
/* Queues it for every hook that wants this event, inside the caller's transaction. hooks_wake after the
 * commit. */
bool hook_tell(struct console *console, struct db_conn *conn, const struct hook_news *news,
               struct error *err);
/* Something was queued. Any thread; NULL is fine. */
void hooks_wake(struct hooks *hooks);

struct hook_plan {
    const char *name, *url;
    const struct json *events; /* array of words; NULL: all */
    const char *secret;        /* 16 to 128 printable characters; NULL: one is made */
};
/* Audited. INPUT: an address that is neither https nor http to this machine, an unknown event. CONFLICT: the
 * name is taken. */
bool hook_create(struct console *console, const struct hook_plan *plan, const char *operator_name,
                 char secret[HOOK_SECRET_SIZE], struct error *err);
/* With all that waits for it. Audited. MISSING. */
bool hook_delete(struct console *console, const char *name, const char *operator_name, struct error *err);

/* API.md "hook"s, inside an open array. */
bool hooks_write(struct db_conn *conn, struct json_writer *writer, struct error *err);
/* Its deliveries, newest first, below `before` (0: from the newest); *last: `before` of the next page, 0 when
 * there is none. MISSING. */
bool hook_write_log(struct db_conn *conn, const char *name, int64_t before, int64_t limit,
                    struct json_writer *writer, int64_t *last, struct error *err);

/* --- hooks_send.c
 * ------------------------------------------------------------------------------------------------- */
/* The address in its parts, in the arena: "https://host:port" and "/path". INPUT as above. */
bool hook_url_read(struct arena *arena, const char *url, const char **base, const char **path,
                   struct error *err);
/* Seconds until the attempt after so many. */
int64_t hook_wait_s(int64_t attempts);
/* The value of Locum-Signature: "t=<at>,v1=<hex of HMAC-SHA256 over "<at>.<body>">". In the arena. */
const char *hook_signature(struct arena *arena, const char *secret, int64_t at, const char *body);
/* Sends what is due, one delivery of each hook. `*more`: some were. */
bool hooks_round(struct console *console, const bool *cancel, bool *more, struct error *err);
/* The thread. Stopping gives up what is being sent; the next start sends it again. NULL is fine. */
struct hooks *hooks_start(struct console *console);
void hooks_stop(struct hooks *hooks);

#endif

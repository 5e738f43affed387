/* Sending what hooks are told: signed, in a thread of its own, again and again with longer rests. */
#include "base/clock.h"
#include "base/digest.h"
#include "base/http.h"
#include "base/log.h"
#include "base/text.h"
#include "console/console.h"
#include "console/hooks.h"
#include "console/version.h"
#include "console/wake.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define URL_MOST 1000
#define TIME_LIMIT_MS 10000
#define ANSWER_MOST (64u << 10) /* bytes of an answer's body */
#define REST_MOST_S 60
#define WAIT_FIRST_S 5
#define WAIT_MOST_S 3600

/* --- addresses
 * ---------------------------------------------------------------------------------------------------- */

static bool is_this_machine(const char *host, size_t size)
{
    char text[64];
    struct in_addr address;

    if (size >= sizeof text)
        return false;
    memcpy(text, host, size);
    text[size] = '\0';
    if (string_is(text, "localhost") || string_is(text, "[::1]"))
        return true;
    return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

static bool url_is_plain(const char *url)
{
    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f || strchr("\"<>\\^`{|}#@", *c))
            return false;
    return strlen(url) <= URL_MOST;
}

/* Bytes of "host" or "[v6]" and of the ":port" behind it; 0 when they are none. */
static size_t host_size(const char *host, size_t authority)
{
    const char *end = *host == '[' ? memchr(host, ']', authority) : memchr(host, ':', authority);
    int64_t port;
    char digits[8];

    if (*host == '[' && !end)
        return 0;
    size_t size = !end ? authority : (size_t)(end - host) + (*host == '[');
    if (size == authority)
        return size;
    size_t left = authority - size - 1;
    if (host[size] != ':' || !left || left >= sizeof digits)
        return 0;
    memcpy(digits, host + size + 1, left);
    digits[left] = '\0';
    return int64_parse(digits, 1, 65535, &port) ? size : 0;
}

bool hook_url_read(struct arena *arena, const char *url, const char **base, const char **path,
                   struct error *err)
{
    bool secure = string_starts(url, "https://"), plain = string_starts(url, "http://");
    const char *host = url + (secure ? 8 : 7);

    if ((!secure && !plain) || !url_is_plain(url))
        return error_set(err, ERROR_INPUT,
                         "a hook's address is https://… (http:// only to this machine), without a name or "
                         "password in it, of at most %d characters",
                         URL_MOST);
    size_t authority = strcspn(host, "/?"), size = host_size(host, authority);
    if (!size)
        return error_set(err, ERROR_INPUT, "the hook's address names no machine, or no good port");
    if (plain && !is_this_machine(host, size))
        return error_set(err, ERROR_INPUT,
                         "http:// is only for this machine (127.0.0.1, localhost): use https");
    *base = arena_copy(arena, url, (size_t)(host - url) + authority);
    *path = host[authority] == '/' ? arena_strdup(arena, host + authority)
                                   : arena_printf(arena, "/%s", host + authority);
    return true;
}

/* --- one delivery
 * ------------------------------------------------------------------------------------------------- */

struct delivery {
    int64_t id, attempt; /* made so far */
    const char *hook, *url, *secret, *event, *body;
    int64_t status;    /* outcome; 0: none came */
    const char *error; /* NULL: taken */
    struct delivery *next;
};

int64_t hook_wait_s(int64_t attempts)
{
    int64_t wait = WAIT_FIRST_S;

    while (--attempts > 0 && wait < WAIT_MOST_S)
        wait *= 4;
    return wait < WAIT_MOST_S ? wait : WAIT_MOST_S;
}

const char *hook_signature(struct arena *arena, const char *secret, int64_t at, const char *body)
{
    const char *said = arena_printf(arena, "%lld.%s", (long long)at, body);
    char hex[HMAC_HEX];

    hmac_sha256_hex(secret, strlen(secret), said, strlen(said), hex);
    return arena_printf(arena, "t=%lld,v1=%s", (long long)at, hex);
}

/* Nobody reads what a receiver says beside its status: a long answer is not waited for. */
static bool swallow(void *context, const void *bytes, size_t size, struct error *err)
{
    size_t *swallowed = context;

    (void)bytes;
    *swallowed += size;
    return *swallowed <= ANSWER_MOST || error_set(err, ERROR_LIMIT, "the receiver says too much");
}

static bool send_it(struct arena *arena, struct delivery *delivery, const bool *cancel, struct error *err)
{
    const char *base, *path;
    struct http_answer answer;
    size_t swallowed = 0;

    if (!hook_url_read(arena, delivery->url, &base, &path, err))
        return false;
    const struct http_options options = {.base_url = base,
                                         .user_agent = "locum/" LOCUM_VERSION,
                                         .connect_timeout_ms = TIME_LIMIT_MS,
                                         .stall_timeout_ms = TIME_LIMIT_MS,
                                         .time_limit_ms = TIME_LIMIT_MS,
                                         .secret_path = true};
    const char *headers[] = {
        arena_printf(arena, "Locum-Signature: %s",
                     hook_signature(arena, delivery->secret, clock_now(), delivery->body)),
        arena_printf(arena, "Locum-Event: %s", delivery->event),
        arena_printf(arena, "Locum-Delivery: %lld", (long long)delivery->id), NULL};
    const struct http_request request = {.method = "POST",
                                         .path = path,
                                         .headers = headers,
                                         .body = delivery->body,
                                         .body_size = strlen(delivery->body),
                                         .answer_limit = ANSWER_MOST,
                                         .write = swallow,
                                         .context = &swallowed,
                                         .cancel = cancel};
    struct http *http = http_open(&options, err);
    bool arrived = http && http_send(http, &request, arena, &answer, err);
    http_close(http);
    if (!arrived && swallowed <= ANSWER_MOST)
        return false;
    delivery->status = answer.status;
    if (answer.status / 100 == 3)
        return error_set(err, ERROR_SYSTEM, "sent elsewhere (%d): redirects are not followed", answer.status);
    return answer.status / 100 == 2 ||
           error_set(err, ERROR_SYSTEM, "the receiver answered %d", answer.status);
}

/* Deliveries that are over are kept for the log, the newest of them. */
static bool log_trim(struct db_conn *conn, const char *hook, struct error *err)
{
    struct db_query *query = db_query(
        conn, "DELETE FROM hook_delivery WHERE hook = :hook AND next_at IS NULL AND id <= (SELECT id FROM"
              " hook_delivery WHERE hook = :hook ORDER BY id DESC LIMIT 1 OFFSET :kept)");

    db_bind_text(query, ":hook", hook);
    db_bind_integer(query, ":kept", HOOK_WAITING_MOST);
    return db_run(query, NULL, err);
}

/* Who did not answer at all is not asked for the next one at once: each would hold up the other hooks. */
static bool others_rest(struct db_conn *conn, const struct delivery *delivery, struct error *err)
{
    struct db_query *query =
        db_query(conn, "UPDATE hook_delivery SET next_at = :next WHERE hook = :hook AND next_at < :next");

    db_bind_integer(query, ":next", clock_now() + WAIT_FIRST_S);
    db_bind_text(query, ":hook", delivery->hook);
    return db_run(query, NULL, err);
}

static bool outcome_write(struct console *console, const struct delivery *delivery, struct error *err)
{
    bool again = delivery->error && delivery->attempt + 1 < HOOK_ATTEMPTS;
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    struct db_query *query = db_query(
        conn, "UPDATE hook_delivery SET attempt = :attempt, tried_at = :now, status = nullif(:status, 0),"
              " error = :error, next_at = nullif(:next, 0) WHERE id = :id");
    db_bind_integer(query, ":attempt", delivery->attempt + 1);
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":status", delivery->status);
    db_bind_text(query, ":error", delivery->error);
    db_bind_integer(query, ":next", again ? clock_now() + hook_wait_s(delivery->attempt + 1) : 0);
    db_bind_integer(query, ":id", delivery->id);
    if (db_run(query, NULL, err) && (delivery->status || others_rest(conn, delivery, err)) &&
        log_trim(conn, delivery->hook, err))
        return db_commit(conn, err);
    db_done(conn);
    return false;
}

static bool deliver(struct console *console, struct arena *arena, struct delivery *delivery,
                    const bool *cancel, struct error *err)
{
    struct error failed = {0};
    char text[600];

    if (!send_it(arena, delivery, cancel, &failed)) {
        if (cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED))
            return true; /* as if it had not been tried */
        delivery->error = arena_strdup(arena, failed.text);
        log_event(LOG_WARNING, "hook_failed", "hook=%s delivery=%lld attempt=%lld reason=%s", delivery->hook,
                  (long long)delivery->id, (long long)delivery->attempt + 1,
                  log_quote(text, sizeof text, failed.text));
    }
    return outcome_write(console, delivery, err);
}

/* --- rounds
 * ------------------------------------------------------------------------------------------------------- */

/* One of each hook, so that a slow receiver holds up others for one delivery only. */
static bool due_read(struct console *console, struct arena *arena, struct delivery **due, struct error *err)
{
    DB_DONE(conn) = db_read(console->db, err);

    *due = NULL;
    if (!conn)
        return false;
    struct db_query *query = db_query(
        conn, "SELECT d.id, d.attempt, h.name, h.url, h.secret, d.event, d.body FROM hook h"
              " JOIN hook_delivery d ON d.id = (SELECT x.id FROM hook_delivery x WHERE x.hook = h.name"
              " AND x.next_at <= :now ORDER BY x.next_at, x.id LIMIT 1)");
    db_bind_integer(query, ":now", clock_now());
    while (db_step(query)) {
        struct delivery *one = arena_alloc(arena, sizeof *one);

        *one = (struct delivery){.id = db_integer(query, 0),
                                 .attempt = db_integer(query, 1),
                                 .hook = db_text_copy(query, 2, arena),
                                 .url = db_text_copy(query, 3, arena),
                                 .secret = db_text_copy(query, 4, arena),
                                 .event = db_text_copy(query, 5, arena),
                                 .body = db_text_copy(query, 6, arena),
                                 .next = *due};
        *due = one;
    }
    return db_end(query, err);
}

bool hooks_round(struct console *console, const bool *cancel, bool *more, struct error *err)
{
    ARENA(arena);
    struct delivery *due;

    *more = false;
    if (!due_read(console, &arena, &due, err))
        return false;
    *more = due != NULL;
    for (; due; due = due->next)
        if (!deliver(console, &arena, due, cancel, err))
            return false;
    return true;
}

/* --- the thread
 * --------------------------------------------------------------------------------------------------- */

struct hooks {
    struct console *console;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool woken; /* under lock */
    bool ends;  /* atomic: also looked at by a request under way */
};

static int64_t rest_s(struct console *console)
{
    struct error ignored = {0};
    int64_t rest = REST_MOST_S;
    DB_DONE(conn) = db_read(console->db, &ignored);

    if (!conn)
        return rest;
    struct db_query *query =
        db_query(conn, "SELECT min(next_at) FROM hook_delivery WHERE next_at IS NOT NULL");
    if (db_step(query) && !db_is_null(query, 0))
        rest = db_integer(query, 0) - clock_now();
    db_end(query, &ignored);
    return rest < 1 ? 1 : rest < REST_MOST_S ? rest : REST_MOST_S;
}

static void rest(struct hooks *hooks, int64_t seconds)
{
    struct timespec until = wake_after(seconds * 1000);

    pthread_mutex_lock(&hooks->lock);
    while (!hooks->woken && !__atomic_load_n(&hooks->ends, __ATOMIC_RELAXED) &&
           pthread_cond_timedwait(&hooks->wake, &hooks->lock, &until) == 0)
        ;
    hooks->woken = false;
    pthread_mutex_unlock(&hooks->lock);
}

static void *hooks_run(void *context)
{
    struct hooks *hooks = context;
    char text[600];

    while (!__atomic_load_n(&hooks->ends, __ATOMIC_RELAXED)) {
        struct error err = {0};
        bool more;

        if (!hooks_round(hooks->console, &hooks->ends, &more, &err)) {
            log_event(LOG_WARNING, "hooks_failed", "reason=%s", log_quote(text, sizeof text, err.text));
            more = false;
        }
        if (!more)
            rest(hooks, rest_s(hooks->console));
    }
    return NULL;
}

struct hooks *hooks_start(struct console *console)
{
    struct hooks *hooks = calloc(1, sizeof *hooks);
    struct error err = {0};

    if (!hooks)
        abort();
    if (!http_load(&err)) /* known at the start, and not when the first alarm is to be told */
        log_event(LOG_ERROR, "hooks", "why=\"%s\"", err.text);
    hooks->console = console;
    pthread_mutex_init(&hooks->lock, NULL);
    wake_init(&hooks->wake);
    if (pthread_create(&hooks->thread, NULL, hooks_run, hooks) != 0)
        abort();
    return hooks;
}

void hooks_wake(struct hooks *hooks)
{
    if (!hooks)
        return;
    pthread_mutex_lock(&hooks->lock);
    hooks->woken = true;
    pthread_cond_signal(&hooks->wake);
    pthread_mutex_unlock(&hooks->lock);
}

void hooks_stop(struct hooks *hooks)
{
    if (!hooks)
        return;
    pthread_mutex_lock(&hooks->lock);
    __atomic_store_n(&hooks->ends, true, __ATOMIC_RELAXED);
    pthread_cond_signal(&hooks->wake);
    pthread_mutex_unlock(&hooks->lock);
    pthread_join(hooks->thread, NULL);
    pthread_cond_destroy(&hooks->wake);
    pthread_mutex_destroy(&hooks->lock);
    free(hooks);
}

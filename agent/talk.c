/* The talk thread: holds the session, checks in, takes orders in, sends reports, and keeps status.json. */
#include "agent/worker.h"

#include "agent/checkin.h"
#include "agent/facts.h"
#include "agent/metadata_store.h"
#include "agent/protocol.h"
#include "agent/state.h"
#include "agent/status.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEWS_MS 200          /* least time between two check-ins that a change asks for */
#define KEEP_CONNECTION_S 15 /* below this interval the connection is kept */
#define JITTER_PERCENT 10
#define RETRY_MOST_S 3600

struct talk {
    struct worker *worker;
    struct http *http;
    struct session session;
    struct backoff backoff, order_backoff;
    int64_t next_ms;       /* boot clock: the next check-in */
    int64_t order_next_ms; /* boot clock: the next attempt at an order that was not accepted */
    int64_t order_seq;
    int64_t refused_seq; /* the order that was not accepted */
    int64_t versions[4]; /* of root, timestamp, snapshot, targets */
    unsigned view_said, facts_said;
    bool facts_wanted;
    char *view; /* the copy that is being said */
    char limits[32], diagnostics[CHANNEL_WORDS];
    char order_trouble[480]; /* why the last order was not accepted */
    struct status_live live; /* for status.json */
    struct text status;      /* as it was last written */
};

/* --- what the threads share
 * ----------------------------------------------------------------------------------- */

static void token_publish(struct talk *talk)
{
    struct worker *worker = talk->worker;

    worker_lock(worker);
    strcpy(worker->token, talk->session.token);
    worker_unlock(worker);
    worker_wake(worker->transfer_wake);
}

/* The transfer thread may have found out that the session is over. */
static void token_look(struct talk *talk)
{
    worker_lock(talk->worker);
    if (!*talk->worker->token)
        session_drop(&talk->session);
    worker_unlock(talk->worker);
}

static void view_take(struct talk *talk, unsigned *view_number, unsigned *facts_number)
{
    struct worker *worker = talk->worker;

    worker_lock(worker);
    free(talk->view);
    talk->view = worker->view ? strdup(worker->view) : NULL;
    *view_number = worker->view_number;
    *facts_number = worker->facts_number;
    strcpy(talk->limits, worker->limits);
    strcpy(talk->diagnostics, worker->diagnostics);
    worker_unlock(worker);
}

/* --- orders
 * ------------------------------------------------------------------------------------------------------ */

static int64_t trusted_now(struct worker *worker)
{
    int64_t now = clock_now();

    worker_lock(worker);
    if (worker->clock_floor > now)
        now = worker->clock_floor;
    worker_unlock(worker);
    return now;
}

static void versions_note(struct talk *talk, const struct metadata_client *client)
{
    static const char *const roles[] = {"root", "timestamp", "snapshot", "targets"};

    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        talk->versions[i] = metadata_version(client, roles[i]);
}

static void wish_hand_over(struct worker *worker, struct wish_box *box)
{
    worker_lock(worker);
    struct wish_box *old = worker->wish_next;
    worker->wish_next = box;
    worker_unlock(worker);
    worker_wake(worker->control_wake);
    if (old) {
        arena_end(&old->arena);
        free(old);
    }
}

/* Metadata, order, wish: all verified and kept before control hears of it. The wish is read back from the
 * disk, so that its memory holds no more than it needs. */
static bool order_verify(struct talk *talk, const struct json *json, struct error *err)
{
    ARENA(arena);
    TEXT(bytes);
    struct worker *worker = talk->worker;
    struct metadata_store store = {
        .state_fd = worker->state_fd, .http = talk->http, .session = &talk->session};
    struct metadata_io io = metadata_store_io(&store);
    struct order order;
    struct wish wish;
    int64_t now = trusted_now(worker);

    struct metadata_client *client = metadata_open(&arena, &io, err);
    if (!client)
        return false;
    bool fresh = metadata_refresh(client, worker->enrolment.product, now, err);
    versions_note(talk, client);
    if (!fresh || !json_canonical(json, &bytes, err) ||
        !order_read(&arena, client, bytes.bytes, bytes.size, worker->enrolment.key.public.id,
                    worker->enrolment.product, talk->order_seq, now, &order, err))
        return false;
    wish_from_order(&arena, &order, client, &wish);
    struct wish before;
    struct error none = {0};
    bool had = wish_load(&arena, worker->state_fd, &before, &none);
    wish_accept(&wish, had ? &before : NULL, worker->start);
    if (!wish_save(worker->state_fd, &wish, err))
        return false;
    talk->order_seq = order.seq;
    return true;
}

static bool order_take(struct talk *talk, const struct json *json, struct error *err)
{
    struct wish_box *box = calloc(1, sizeof(*box));

    if (!box)
        abort();
    if (order_verify(talk, json, err) && wish_load(&box->arena, talk->worker->state_fd, &box->wish, err)) {
        log_event(LOG_INFO, "order", "seq=%lld assets=%zu runs=%zu", (long long)box->wish.seq,
                  box->wish.set_count, box->wish.run_count);
        wish_hand_over(talk->worker, box);
        return true;
    }
    arena_end(&box->arena);
    free(box);
    return false;
}

/* An order that does not verify is asked for again, less and less often; it changes nothing here. */
static void order_try(struct talk *talk, const struct json *json)
{
    struct error err = {0};
    int64_t seq = json_integer(json_get(json, "signed"), "seq", 0);

    if (seq == talk->refused_seq && clock_boot_ms() < talk->order_next_ms)
        return;
    bool taken = order_take(talk, json, &err);
    malloc_trim(0); /* the metadata may have been megabytes */
    if (taken) {
        talk->order_trouble[0] = '\0';
        talk->refused_seq = 0;
        backoff_reset(&talk->order_backoff);
        return;
    }
    char quoted[500];
    talk->refused_seq = seq;
    talk->order_next_ms = clock_boot_ms() + backoff_next(&talk->order_backoff);
    snprintf(talk->order_trouble, sizeof(talk->order_trouble), "%s%.440s",
             err.kind == ERROR_UNTRUSTED ? "the order is not accepted: " : "", err.text);
    log_event(LOG_WARNING, "order_refused", "seq=%lld kind=%s why=%s", (long long)seq,
              error_kind_name(err.kind), log_quote(quoted, sizeof(quoted), err.text));
}

/* --- check-ins
 * ----------------------------------------------------------------------------------------------------- */

static void contact_note(struct talk *talk, const struct checkin_heard *heard)
{
    struct error ignored = {0};

    status_touch(talk->worker->state_fd, &ignored);
    strcpy(talk->live.admission, heard->admission);
    talk->live.clone_suspected = heard->clone_suspected;
    talk->live.error[0] = '\0';
}

static void answer_take(struct talk *talk, const struct checkin_heard *heard)
{
    int64_t poll_s = heard->poll_s;

    if (poll_s > talk->worker->settings->poll_idle_s)
        poll_s = talk->worker->settings->poll_idle_s;
    talk->live.poll_s = poll_s;
    talk->facts_wanted |= heard->want_facts;
    contact_note(talk, heard);
    if (heard->order)
        order_try(talk, heard->order);
    talk->next_ms = clock_boot_ms() + jitter(poll_s * 1000, JITTER_PERCENT);
}

static bool checkin_send(struct talk *talk, struct error *err)
{
    ARENA(arena);
    TEXT(body);
    struct http_answer answer;
    struct checkin_heard heard;
    unsigned view_number, facts_number;

    view_take(talk, &view_number, &facts_number);
    struct checkin_said said = {.view = talk->view,
                                .order_seq = talk->order_seq,
                                .root = talk->versions[0],
                                .timestamp = talk->versions[1],
                                .snapshot = talk->versions[2],
                                .targets = talk->versions[3],
                                .with_facts = talk->facts_wanted || facts_number != talk->facts_said,
                                .limits = talk->limits,
                                .diagnostics = talk->diagnostics,
                                .waiting = *talk->order_trouble ? talk->order_trouble : NULL};
    checkin_write(&arena, &said, &body);
    if (body.failed || body.size > CHECKIN_LIMIT)
        return error_set(err, ERROR_LIMIT, "a check-in would have more than %d bytes", CHECKIN_LIMIT);
    struct http_request request = {
        .method = "POST", .path = DEVICE_PATH_CHECKIN, .body = body.bytes, .body_size = body.size};
    if (!session_send(&talk->session, talk->http, &request, &arena, &answer, err))
        return false;
    if (answer.status != 200) {
        http_refused(&answer, err);
        return error_add(err, "the check-in was refused");
    }
    if (!checkin_read(&arena, answer.body, answer.size, &heard, err))
        return false;
    talk->view_said = view_number;
    talk->facts_said = facts_number;
    if (said.with_facts)
        talk->facts_wanted = false;
    answer_take(talk, &heard);
    return true;
}

/* A session that ended meanwhile is opened once more at once. */
static bool with_session(struct talk *talk, bool (*act)(struct talk *talk, struct error *err),
                         struct error *err)
{
    for (int attempt = 0;; attempt++) {
        token_look(talk);
        bool open = session_open(&talk->session, talk->http, err);
        token_publish(talk);
        if (!open)
            return error_add(err, "the session");
        if (act(talk, err))
            return true;
        bool over = !*talk->session.token;
        token_publish(talk);
        if (!over || attempt > 0)
            return false;
        *err = (struct error){0};
    }
}

static bool reports_send(struct talk *talk, struct error *err)
{
    return outbox_send(&talk->worker->outbox, &talk->session, talk->http, err);
}

/* A refusal of the reports must not keep the device from checking in. */
static bool reports_then_checkin(struct talk *talk, struct error *err)
{
    struct error reports = {0};

    if (!reports_send(talk, &reports)) {
        if (reports.kind == ERROR_SYSTEM || !*talk->session.token) {
            *err = reports;
            return false;
        }
        char quoted[500];
        log_event(LOG_WARNING, "reports", "why=%s", log_quote(quoted, sizeof(quoted), reports.text));
    }
    return checkin_send(talk, err) && reports_send(talk, err);
}

static void failed(struct talk *talk, const struct error *err)
{
    int64_t wait_ms = backoff_next(&talk->backoff);
    bool news = strcmp(talk->live.error, err->text) != 0;
    char quoted[500];

    if (talk->session.retry_after_s > 0)
        wait_ms =
            (talk->session.retry_after_s < RETRY_MOST_S ? talk->session.retry_after_s : RETRY_MOST_S) * 1000;
    else if (err->kind == ERROR_DENIED)
        wait_ms = jitter(talk->backoff.limit_ms, JITTER_PERCENT);
    talk->next_ms = clock_boot_ms() + wait_ms;
    snprintf(talk->live.error, sizeof(talk->live.error), "%s", err->text);
    talk->live.error_at = clock_now();
    if (news)
        log_event(LOG_WARNING, "console", "kind=%s retry_ms=%lld why=%s", error_kind_name(err->kind),
                  (long long)wait_ms, log_quote(quoted, sizeof(quoted), err->text));
}

static void turn(struct talk *talk)
{
    struct error err = {0};

    talk->session.retry_after_s = 0;
    if (with_session(talk, reports_then_checkin, &err)) {
        backoff_reset(&talk->backoff);
        if (talk->live.poll_s >= KEEP_CONNECTION_S)
            http_disconnect(talk->http);
    } else if (!worker_is_stopping(talk->worker)) {
        failed(talk, &err);
    }
}

/* --- the thread
 * ------------------------------------------------------------------------------------------------------ */

static void status_keep(struct talk *talk)
{
    TEXT(now);
    struct error err = {0};
    unsigned ignored;

    view_take(talk, &ignored, &ignored);
    talk->live.order_seq = talk->order_seq;
    talk->live.view = talk->view;
    talk->live.waiting = talk->order_trouble;
    status_write_live(&talk->live, &now);
    if (string_is(text_string(&now), text_string(&talk->status)))
        return;
    if (!file_write(talk->worker->state_fd, STATE_STATUS, now.bytes, now.size, 0600, &err)) {
        log_event(LOG_WARNING, "status", "why=\"%s\"", err.text);
        return;
    }
    text_clear(&talk->status);
    text_add(&talk->status, now.bytes, now.size);
}

/* What runs here is known: before that a check-in would say that nothing does. */
static bool can_tell(struct talk *talk)
{
    worker_lock(talk->worker);
    bool can = talk->worker->view != NULL;
    worker_unlock(talk->worker);
    return can;
}

/* True when there is something to tell before the next check-in is due. */
static bool has_news(struct talk *talk)
{
    struct worker *worker = talk->worker;

    worker_lock(worker);
    bool news =
        worker->view_number != talk->view_said || worker->facts_number != talk->facts_said || !*worker->token;
    worker_unlock(worker);
    return news && talk->backoff.failures == 0;
}

static void talk_begin(struct talk *talk, struct worker *worker)
{
    ARENA(arena);
    struct metadata_store store = {.state_fd = worker->state_fd};
    struct metadata_io io = metadata_store_io(&store);
    struct error err = {0};
    struct wish wish;
    int64_t limit_s = worker->settings->poll_idle_s < 60 ? worker->settings->poll_idle_s : 60;

    *talk = (struct talk){.worker = worker, .facts_wanted = true, .live = {.primary = worker->primary}};
    text_init(&talk->status, 0);
    talk->session = (struct session){
        .state_fd = worker->state_fd, .enrolment = &worker->enrolment, .cancel = &worker->stop};
    talk->backoff.limit_ms = talk->order_backoff.limit_ms = limit_s * 1000;
    if (wish_load(&arena, worker->state_fd, &wish, &err))
        talk->order_seq = wish.seq;
    else if (err.kind != ERROR_MISSING)
        log_event(LOG_ERROR, "wish", "why=\"%s\"", err.text);
    err = (struct error){0};
    const struct metadata_client *client = metadata_open(&arena, &io, &err);
    if (client)
        versions_note(talk, client);
}

void talk_run(struct worker *worker)
{
    static struct talk talk; /* one a process; the text buffers in it are large for a stack */
    struct http_options options = {.base_url = worker->enrolment.server,
                                   .ca_file = worker->ca_path,
                                   .user_agent = "locum-agent/" AGENT_VERSION};
    struct error err = {0};

    talk_begin(&talk, worker);
    talk.http = http_open(&options, &err);
    if (!talk.http) {
        log_event(LOG_ERROR, "talk", "why=\"%s\"", err.text);
        worker->exit_code = 1;
    }
    for (int64_t last = 0; talk.http && !worker_is_stopping(worker);) {
        int64_t now = clock_boot_ms();
        int64_t due = has_news(&talk) && last + NEWS_MS < talk.next_ms ? last + NEWS_MS : talk.next_ms;
        if (now >= due && can_tell(&talk)) {
            turn(&talk);
            last = clock_boot_ms();
            status_keep(&talk);
            continue;
        }
        worker_wait(worker->talk_wake, -1, -1, due > now ? due - now : NEWS_MS);
        status_keep(&talk);
    }
    http_close(talk.http);
    free(talk.view);
    text_end(&talk.status);
}

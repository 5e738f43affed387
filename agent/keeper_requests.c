/* What the worker may ask, one row each (PROTOCOL.md "Inside the device"). */
#include "agent/keeper_parts.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct request {
    struct keeper *keeper;
    struct keeper_peer *peer;
    const struct json *line;
    int64_t id;
};
struct request_row {
    const char *name;
    void (*handle)(const struct request *request);
    bool while_stopping; /* answered during the orderly end too */
};

/* --- answers
 * ------------------------------------------------------------------------------------------------------ */

static void begin_answer(struct json_writer *writer, struct text *line, int64_t id, bool ok)
{
    json_write_init(writer, line);
    json_write_object(writer, NULL);
    json_write_integer(writer, "id", id);
    json_write_boolean(writer, "ok", ok);
}

static void answer_plain(struct keeper_peer *peer, int64_t id, const char *reason)
{
    TEXT(line);
    struct json_writer writer;
    begin_answer(&writer, &line, id, reason == NULL);
    if (reason != NULL) {
        json_write_string(&writer, "error", reason);
        json_write_string(&writer, "reason", reason);
    }
    json_write_end(&writer, '}');
    keeper_send(peer, &line);
}

static void answer_error(const struct request *request, const struct error *err)
{
    TEXT(line);
    struct json_writer writer;
    begin_answer(&writer, &line, request->id, false);
    json_write_string(&writer, "error", err->text);
    json_write_string(&writer, "reason", err->text);
    json_write_string(&writer, "kind", error_kind_name(err->kind));
    json_write_end(&writer, '}');
    keeper_send(request->peer, &line);
}

/* Notes who gets the answer later. False: one is owed already. */
static bool owe(const struct request *request, struct keeper_debt *debt)
{
    struct error err;
    if (debt->serial != 0) {
        error_set(&err, ERROR_CONFLICT, "the same was asked before and is not done yet");
        answer_error(request, &err);
        return false;
    }
    *debt = (struct keeper_debt){.keeper = request->keeper,
                                 .peer = (size_t)(request->peer - request->keeper->peers),
                                 .serial = request->peer->serial,
                                 .id = request->id};
    return true;
}

/* Who waits for it, NULL when they went away. The debt is paid either way. */
static struct keeper_peer *creditor(struct keeper_debt *debt)
{
    if (debt->serial == 0)
        return NULL;
    struct keeper_peer *peer = &debt->keeper->peers[debt->peer];
    bool same = peer->link != NULL && peer->serial == debt->serial;
    debt->serial = 0;
    return same ? peer : NULL;
}

static void pay(void *context, const char *reason)
{
    struct keeper_debt *debt = context;
    int64_t id = debt->id;
    struct keeper_peer *peer = creditor(debt);
    if (peer != NULL)
        answer_plain(peer, id, reason);
}

static void refuse(const struct request *request, struct keeper_debt *debt, const struct error *err)
{
    debt->serial = 0;
    answer_error(request, err);
}

/* --- events
 * ------------------------------------------------------------------------------------------------------- */

static void send_all(struct keeper *keeper, const struct text *line)
{
    for (size_t i = 0; i < KEEPER_PEERS; i++)
        if (keeper->peers[i].link != NULL && keeper->peers[i].greeted)
            keeper_send(&keeper->peers[i], line);
}

void keeper_event_app(void *context)
{
    struct keeper *keeper = context;
    const struct app *app = &keeper->app;
    TEXT(line);
    struct json_writer writer;
    json_write_init(&writer, &line);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "event", "app");
    json_write_string(&writer, "state", app_state_name(app->state));
    if (app->pid > 0)
        json_write_integer(&writer, "pid", app->pid);
    json_write_time(&writer, "since", app->since);
    if (app->state == APP_FAILED)
        json_write_string(&writer, "reason", app->reason);
    json_write_end(&writer, '}');
    send_all(keeper, &line);
    text_clear(&line);
    json_write_init(&writer, &line);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "event", "busy");
    json_write_integer(&writer, "until", app->busy_until);
    json_write_end(&writer, '}');
    if (app->busy_until > clock_now())
        send_all(keeper, &line);
}

void keeper_event_run(void *context, const char *run, const char *state)
{
    struct keeper *keeper = context;
    TEXT(line);
    struct json_writer writer;
    json_write_init(&writer, &line);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "event", "run");
    json_write_string(&writer, "run", run);
    json_write_string(&writer, "state", state);
    json_write_end(&writer, '}');
    send_all(keeper, &line);
    if (keeper->stopping && string_is(state, "ended"))
        keeper_stop(keeper);
}

static void send_yield(struct keeper *keeper, const struct keeper_peer *to_whom)
{
    TEXT(line);
    text_puts(&line, "{\"event\":\"yield\"}");
    for (size_t i = 0; i < KEEPER_PEERS; i++) {
        struct keeper_peer *peer = &keeper->peers[i];
        if (peer != to_whom && peer->link != NULL && peer->greeted && !peer->primary) {
            peer->leaving = true;
            keeper_send(peer, &line);
        }
    }
}

/* --- requests
 * ----------------------------------------------------------------------------------------------------- */

static bool other_primary(const struct keeper *keeper, const struct keeper_peer *peer)
{
    for (size_t i = 0; i < KEEPER_PEERS; i++) {
        const struct keeper_peer *other = &keeper->peers[i];
        if (other != peer && other->link != NULL && other->greeted && other->primary && !other->leaving)
            return true;
    }
    return false;
}

static void do_hello(const struct request *request)
{
    struct keeper *keeper = request->keeper;
    struct error err;
    bool primary = json_boolean(request->line, "primary", true);
    if (other_primary(keeper, request->peer)) {
        error_set(&err, ERROR_CONFLICT, "another locum-agent run uses this state folder");
        answer_error(request, &err);
        return;
    }
    request->peer->greeted = true;
    request->peer->primary = primary;
    keeper_worker_there(keeper);
    TEXT(line);
    struct json_writer writer;
    begin_answer(&writer, &line, request->id, true);
    json_write_object(&writer, "keeper");
    json_write_integer(&writer, "pid", getpid());
    json_write_string(&writer, "started_by", keeper->options->started_by == KEEPER_BY_INIT ? "init" : "run");
    json_write_end(&writer, '}');
    app_write(&keeper->app, &writer, "app");
    runner_write(&keeper->runner, &writer, "run");
    json_write_string(&writer, "limits", cgroup_limits(&keeper->runner.cgroups));
    json_write_string(&writer, "diagnostics",
                      keeper->runner.missing[0] != '\0' ? keeper->runner.missing : "yes");
    json_write_end(&writer, '}');
    keeper_send(request->peer, &line);
    if (primary)
        send_yield(keeper, request->peer);
}

static void do_bye(const struct request *request)
{
    request->peer->leaving = true;
    answer_plain(request->peer, request->id, NULL);
}

static void do_app_start(const struct request *request)
{
    struct error err;
    if (runner_has_apps_place(&request->keeper->runner)) {
        error_set(&err, ERROR_CONFLICT, "a diagnostic image runs in the app's place");
        answer_error(request, &err);
    } else if (!app_start(&request->keeper->app, &err)) {
        answer_error(request, &err);
    } else {
        answer_plain(request->peer, request->id, NULL);
    }
}

static void do_app_stop(const struct request *request)
{
    struct keeper *keeper = request->keeper;
    struct error err;
    if (runner_has_apps_place(&keeper->runner)) {
        error_set(&err, ERROR_CONFLICT, "a diagnostic image runs in the app's place");
        answer_error(request, &err);
    } else if (owe(request, &keeper->app_stop)) {
        app_stop(&keeper->app, pay, &keeper->app_stop);
    }
}

static void do_adopt(const struct request *request)
{
    struct keeper *keeper = request->keeper;
    struct error err = {0};
    const char *set, *path;
    const struct json *changed;
    if (!owe(request, &keeper->adopt))
        return;
    if (!json_need_string(request->line, "set", &set, &err) ||
        !json_need_string(request->line, "path", &path, &err) ||
        !json_need_array(request->line, "changed", &changed, &err) ||
        !app_adopt(&keeper->app, set, path, changed, pay, &keeper->adopt, &err))
        refuse(request, &keeper->adopt, &err);
}

static void do_health(const struct request *request)
{
    struct keeper *keeper = request->keeper;
    struct error err = {0};
    if (owe(request, &keeper->health) && !app_check_health(&keeper->app, pay, &keeper->health, &err))
        refuse(request, &keeper->health, &err);
}

/* The answer to run_start says whether the id is used up. */
static void run_started(void *context, int64_t ends_at, const char *reason)
{
    struct keeper_debt *debt = context;
    int64_t id = debt->id;
    struct keeper_peer *peer = creditor(debt);
    TEXT(line);
    struct json_writer writer;
    if (peer == NULL)
        return;
    begin_answer(&writer, &line, id, reason == NULL);
    json_write_boolean(&writer, "consumed", true);
    if (reason != NULL) {
        json_write_string(&writer, "error", reason);
        json_write_string(&writer, "reason", reason);
    } else {
        json_write_time(&writer, "ends_at", ends_at);
    }
    json_write_end(&writer, '}');
    keeper_send(peer, &line);
}

static void do_run_start(const struct request *request)
{
    struct keeper *keeper = request->keeper;
    struct error err = {0};
    const struct json *run;
    if (!owe(request, &keeper->run_start))
        return;
    if (!json_need_object(request->line, "run", &run, &err) ||
        !runner_start(&keeper->runner, run, run_started, &keeper->run_start, &err))
        refuse(request, &keeper->run_start, &err);
}

static void do_run_cancel(const struct request *request)
{
    struct error err = {0};
    const char *run;
    if (!json_need_string(request->line, "run", &run, &err) ||
        !runner_cancel(&request->keeper->runner, run, &err))
        answer_error(request, &err);
    else
        answer_plain(request->peer, request->id, NULL);
}

static void do_run_extend(const struct request *request)
{
    struct error err = {0};
    const char *run;
    int64_t duration_s, ends_at;
    if (!json_need_string(request->line, "run", &run, &err) ||
        !json_need_integer(request->line, "duration_s", 1, INT32_MAX, &duration_s, &err) ||
        !runner_extend(&request->keeper->runner, run, duration_s, &ends_at, &err)) {
        answer_error(request, &err);
        return;
    }
    TEXT(line);
    struct json_writer writer;
    begin_answer(&writer, &line, request->id, true);
    json_write_time(&writer, "ends_at", ends_at);
    json_write_end(&writer, '}');
    keeper_send(request->peer, &line);
}

static void do_run_forget(const struct request *request)
{
    struct error err = {0};
    const char *run;
    if (!json_need_string(request->line, "run", &run, &err) ||
        !runner_forget(&request->keeper->runner, run, &err))
        answer_error(request, &err);
    else
        answer_plain(request->peer, request->id, NULL);
}

static void do_stop(const struct request *request)
{
    if (!owe(request, &request->keeper->stop))
        return;
    request->peer->leaving = true;
    keeper_stop(request->keeper);
}

static void app_stopped(void *context, const char *reason)
{
    struct keeper *keeper = context;
    pay(&keeper->stop, reason);
    keeper->stopped = true;
}

void keeper_stop(struct keeper *keeper)
{
    struct error err = {0};
    if (!keeper->stopping)
        log_event(LOG_INFO, "keeper.stopping", "run=%s", runner_is_idle(&keeper->runner) ? "none" : "active");
    bool first = !keeper->stopping;
    keeper->stopping = true;
    if (runner_is_idle(&keeper->runner))
        app_stop(&keeper->app, app_stopped, keeper);
    else if (first) /* the event of its end brings us back here */
        (void)runner_cancel(&keeper->runner, keeper->runner.plan.id, &err);
}

static const struct request_row request_rows[] = {
    {"hello", do_hello, false},
    {"bye", do_bye, true},
    {"app_start", do_app_start, false},
    {"app_stop", do_app_stop, false},
    {"adopt", do_adopt, false},
    {"health", do_health, false},
    {"run_start", do_run_start, false},
    {"run_cancel", do_run_cancel, true},
    {"run_extend", do_run_extend, false},
    {"run_forget", do_run_forget, true},
    {"stop", do_stop, true},
};

bool keeper_request(struct keeper *keeper, struct keeper_peer *peer, const struct json *line)
{
    struct request request = {.keeper = keeper, .peer = peer, .line = line};
    const char *name = json_string(line, "do");
    if (name == NULL || !json_has_integer(line, "id", &request.id))
        return false;
    for (size_t i = 0; i < sizeof request_rows / sizeof request_rows[0]; i++) {
        if (!string_is(name, request_rows[i].name))
            continue;
        if (keeper->stopping && !request_rows[i].while_stopping)
            answer_plain(peer, request.id, "the keeper is stopping");
        else
            request_rows[i].handle(&request);
        return true;
    }
    answer_plain(peer, request.id, "there is no such request");
    return true;
}

#include "agent/app.h"

#include "agent/keeper_pid.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKOFF_FIRST_MS 200
#define BACKOFF_MOST_MS 30000
#define BACKOFF_FORGIVEN_MS 30000 /* who lived so long begins anew */
#define APP_FILE "keeper/app.json"

const char *app_state_name(enum app_state state)
{
    static const char *const names[] = {"none", "stopped", "starting", "running", "running", "failed"};
    return names[state];
}

static void set_state(struct app *app, enum app_state state)
{
    if (app->state == state)
        return;
    app->state = state;
    app->since = clock_now();
    if (app->changed != NULL)
        app->changed(app->changed_context);
}

static char *variable(const char *name, const char *path, const char *rest)
{
    char *text = NULL;
    if (asprintf(&text, "%s=%s%s", name, path, rest) < 0)
        abort();
    return text;
}

/* Durable before the program runs: whoever comes after us finds it. */
static bool write_down(void *context, pid_t pid, struct error *err)
{
    struct app *app = context;
    char boot[BOOT_ID_SIZE];
    TEXT(text);
    struct json_writer writer;
    app->start_time = pid_start_time(pid);
    json_write_init(&writer, &text);
    json_write_object(&writer, NULL);
    json_write_integer(&writer, "pid", pid);
    json_write_integer(&writer, "start_time", app->start_time);
    json_write_string(&writer, "boot_id", boot_id(boot));
    json_write_end(&writer, '}');
    return file_write(app->state_fd, APP_FILE, text.bytes, text.size, 0600, err);
}

static void forget_written(const struct app *app)
{
    if (unlinkat(app->state_fd, APP_FILE, 0) != 0 && errno != ENOENT)
        log_event(LOG_WARNING, "app", "what=app.json error=%d", errno);
}

static void gone(void *context, short events);

static void restart_due(void *context)
{
    struct app *app = context;
    struct error err = {0};
    if (!app_start(app, &err)) {
        char quoted[240];
        log_event(LOG_ERROR, "app.start", "error=%s", log_quote(quoted, sizeof quoted, err.text));
    }
}

/* Waits before the next start, twice as long each time. */
static void back_off(struct app *app, const char *reason)
{
    if (app->started_ms != 0 && clock_boot_ms() - app->started_ms >= BACKOFF_FORGIVEN_MS)
        app->backoff_ms = 0;
    app->backoff_ms = app->backoff_ms == 0 ? BACKOFF_FIRST_MS : app->backoff_ms * 2;
    if (app->backoff_ms > BACKOFF_MOST_MS)
        app->backoff_ms = BACKOFF_MOST_MS;
    snprintf(app->reason, sizeof app->reason, "%s", reason);
    loop_at(app->loop, &app->restart, clock_boot_ms() + app->backoff_ms, restart_due, app);
    set_state(app, APP_FAILED);
}

static void tell_stopped(struct app *app)
{
    app_done *done = app->stopped;
    app->stopped = NULL;
    if (done != NULL)
        done(app->stopped_context, NULL);
}

/* The process is dead (its pidfd is readable). */
static void gone(void *context, short events)
{
    (void)events;
    struct app *app = context;
    char text[40], reason[80];
    int status;
    loop_forget(app->loop, app->pidfd);
    loop_cancel(app->loop, &app->kill);
    pid_t pid = app->pid;
    spawn_reap(pid, &app->pidfd, &status);
    /* Not of the set: of the keeper that ended. The fresh app is told of the set when it connects. */
    bool blameless = app->found && app->wanted && app_adoption_is_untold(app);
    app->pid = 0;
    app->found = false;
    app->busy_until = 0;
    forget_written(app);
    log_event(LOG_INFO, "app.exited", "pid=%d status=\"%s\" wanted=%s", (int)pid, status_text(status, text),
              app->wanted ? "yes" : "no");
    snprintf(reason, sizeof reason, "the app ended (%s)", text);
    if (app->wanted)
        back_off(app, reason);
    else
        set_state(app, APP_STOPPED);
    if (!blameless)
        app_adoption_fail(app, reason);
    app_health_stop(app, reason);
    if (!app->wanted)
        tell_stopped(app);
}

static bool watch_process(struct app *app, struct error *err)
{
    if (!loop_watch(app->loop, app->pidfd, POLLIN, gone, app))
        return error_set(err, ERROR_LIMIT, "too many descriptors to watch the app");
    set_state(app, APP_RUNNING);
    return true;
}

static bool start_process(struct app *app, struct error *err)
{
    struct error log_error = {0};
    FD(log) = app_log_open(app->settings, &log_error);
    if (log < 0 && log_error.kind != ERROR_NONE)
        log_event(LOG_WARNING, "app.log", "error=\"%s\"", log_error.text);
    struct spawn spawn = {.argv = app->settings->app_command,
                          .user = app->settings->app_user,
                          .output = log,
                          .variables = (const char *const *)app->variables,
                          .before = write_down,
                          .context = app};
    if (!spawn_start(&spawn, &app->pid, &app->pidfd, err)) {
        app->pid = 0;
        forget_written(app);
        return false;
    }
    return true;
}

bool app_start(struct app *app, struct error *err)
{
    if (app->state == APP_NONE || app->state == APP_RUNNING || app->state == APP_STARTING) {
        app->wanted = app->state != APP_NONE;
        return true;
    }
    if (app->state == APP_STOPPING)
        return error_set(err, ERROR_CONFLICT, "the app is being stopped");
    loop_cancel(app->loop, &app->restart);
    app->wanted = true;
    set_state(app, APP_STARTING);
    app->started_ms = clock_boot_ms();
    if (!start_process(app, err)) {
        app->started_ms = 0;
        back_off(app, err->text);
        return false;
    }
    app->reason[0] = '\0';
    log_event(LOG_INFO, "app.started", "pid=%d", (int)app->pid);
    return watch_process(app, err);
}

static void kill_due(void *context)
{
    struct app *app = context;
    if (app->pid > 0) {
        log_event(LOG_WARNING, "app.killed", "pid=%d why=\"did not end after SIGTERM\"", (int)app->pid);
        kill(-app->pid, SIGKILL);
        kill(app->pid, SIGKILL);
    }
}

void app_stop(struct app *app, app_done *done, void *context)
{
    app->wanted = false;
    app->backoff_ms = 0; /* who starts it again has a reason to */
    loop_cancel(app->loop, &app->restart);
    if (app->pid == 0) {
        if (app->state != APP_NONE)
            set_state(app, APP_STOPPED);
        done(context, NULL);
        return;
    }
    if (app->stopped != NULL)
        tell_stopped(app); /* an earlier caller: its wish is being carried out all the same */
    app->stopped = done;
    app->stopped_context = context;
    if (app->state == APP_STOPPING)
        return;
    set_state(app, APP_STOPPING);
    if (kill(-app->pid, SIGTERM) != 0)
        kill(app->pid, SIGTERM);
    loop_at(app->loop, &app->kill, clock_boot_ms() + app->settings->app_stop_timeout_s * 1000, kill_due, app);
}

/* The app of a keeper that was killed: same boot, same pid, same start time, or it is none of ours. */
static bool find_running(struct app *app, struct error *err)
{
    ARENA(arena);
    struct error none = {0};
    char *bytes, boot[BOOT_ID_SIZE];
    size_t size;
    if (!file_read(&arena, app->state_fd, APP_FILE, 4096, &bytes, &size, &none))
        return true;
    const struct json *written = json_read(&arena, bytes, size, &json_limits_small, &none);
    if (written == NULL || !string_is(json_string(written, "boot_id"), boot_id(boot)))
        return true;
    pid_t pid = (pid_t)json_integer(written, "pid", 0);
    int64_t start = json_integer(written, "start_time", -1);
    int pidfd = pid_open(pid, start);
    if (pidfd < 0)
        return true;
    app->pid = pid;
    app->pidfd = pidfd;
    app->start_time = start;
    app->wanted = app->found = true;
    app->started_ms = clock_boot_ms();
    log_event(LOG_INFO, "app.found", "pid=%d", (int)pid);
    return watch_process(app, err);
}

bool app_init(struct app *app, const struct app_options *options, struct loop *loop, struct error *err)
{
    memset(app, 0, sizeof *app);
    app->settings = options->settings;
    app->state_fd = options->state_fd;
    app->state_path = options->state;
    app->loop = loop;
    app->pidfd = app->listener = app->health.pidfd = -1;
    app->since = clock_now();
    if (app->settings->app_command == NULL || app->settings->app_command[0] == NULL)
        return true;
    app->state = APP_STOPPED;
    if (!app_links_open(app, err))
        return false;
    app->variables[0] = variable("LOCUM_ASSETS", options->state, "/current");
    app->variables[1] = variable("LOCUM_SOCKET", app->socket_path, "");
    app_log_watch(app);
    return find_running(app, err);
}

void app_end(struct app *app)
{
    app_links_close(app);
    app_health_stop(app, NULL);
    loop_cancel(app->loop, &app->restart);
    loop_cancel(app->loop, &app->kill);
    loop_cancel(app->loop, &app->watch_log);
    loop_cancel(app->loop, &app->tell_busy);
    if (app->pidfd >= 0)
        loop_forget(app->loop, app->pidfd);
    fd_close(&app->pidfd);
    free(app->variables[0]);
    free(app->variables[1]);
}

void app_write(const struct app *app, struct json_writer *writer, const char *key)
{
    json_write_object(writer, key);
    json_write_string(writer, "state", app_state_name(app->state));
    if (app->pid > 0) {
        json_write_integer(writer, "pid", app->pid);
        json_write_integer(writer, "start_time", app->start_time);
    }
    json_write_time(writer, "since", app->since);
    if (app->state == APP_FAILED)
        json_write_string(writer, "reason", app->reason);
    if (app->busy_until > clock_now())
        json_write_integer(writer, "busy_until", app->busy_until);
    json_write_end(writer, '}');
}

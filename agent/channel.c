#include "agent/channel.h"

#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS 15000 /* a keeper may have a lost run to clean up first */
#define HELLO_MS 10000
#define STOP_MS 90000
#define KEEPER_BACKOFF_MS 10000
#define LOG_MOST (1 << 20) /* bytes; then the keeper's log becomes keeper.log.1 */

void channel_init(struct channel *channel, int state_fd, const char *state, const char *config,
                  const struct agent_settings *settings, bool primary)
{
    *channel = (struct channel){.state_fd = state_fd,
                                .state = state,
                                .config = config,
                                .settings = settings,
                                .primary = primary,
                                .next_id = 1,
                                .backoff = {.limit_ms = KEEPER_BACKOFF_MS}};
    strcpy(channel->app.state, "none");
}

/* --- what it says
 * ------------------------------------------------------------------------------------------- */

static void take(const struct json *json, const char *name, char *into, size_t room)
{
    const char *text = json_string(json, name);

    snprintf(into, room, "%s", text ? text : "");
}

static int64_t take_time(const struct json *json, const char *name)
{
    const char *text = json_string(json, name);
    int64_t at = 0;

    return text && time_parse(text, &at) ? at : 0;
}

static void app_take(struct channel *channel, const struct json *json)
{
    struct channel_app now = {.pid = json_integer(json, "pid", 0), .since = take_time(json, "since")};

    take(json, "state", now.state, sizeof(now.state));
    if (!*now.state)
        return;
    if (channel->app_changed)
        channel->app_changed(channel->context, &now);
    channel->app = now;
}

static void run_take(struct channel *channel, const struct json *json)
{
    channel->run = (struct channel_run){.ends_at = take_time(json, "ends_at")};
    if (!json || json->type != JSON_OBJECT)
        return;
    take(json, "run", channel->run.id, sizeof(channel->run.id));
    take(json, "state", channel->run.state, sizeof(channel->run.state));
}

/* {"event":"run","run","state"}: the times stay those of before. */
static void run_event(struct channel *channel, const struct json *line)
{
    char id[sizeof(channel->run.id)];

    take(line, "run", id, sizeof(id));
    if (string_is(json_string(line, "state"), "ended")) {
        if (strcmp(id, channel->run.id) == 0)
            channel->run = (struct channel_run){0};
        return;
    }
    strcpy(channel->run.id, id);
    take(line, "state", channel->run.state, sizeof(channel->run.state));
}

static void event_take(void *context, const struct json *line)
{
    struct channel *channel = context;
    const char *event = json_string(line, "event");

    if (string_is(event, "app"))
        app_take(channel, line);
    else if (string_is(event, "run"))
        run_event(channel, line);
    else if (string_is(event, "busy"))
        channel->busy_until = json_integer(line, "until", 0);
    else if (string_is(event, "yield"))
        channel->yield = true;
}

/* --- a keeper of our own
 * -------------------------------------------------------------------------------------- */

/* Where a keeper that we start writes: not to our own output, which is gone with us while the keeper lives
 * on. */
static int log_open(struct channel *channel, struct error *err)
{
    struct stat stat;

    if (fstatat(channel->state_fd, STATE_KEEPER_LOG, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
        stat.st_size > LOG_MOST &&
        !file_rename(channel->state_fd, STATE_KEEPER_LOG, channel->state_fd, STATE_KEEPER_LOG ".1", err))
        return -1;
    return file_open_beneath(channel->state_fd, STATE_KEEPER_LOG, O_WRONLY | O_CREAT | O_APPEND, 0600, err);
}

static pid_t keeper_spawn(struct channel *channel, int log, int ready, struct error *err)
{
    static const int ready_as = 3;
    char program[4096], number[16];
    ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
    char *argv[10] = {program,    "keep",       "--state", (char *)(uintptr_t)channel->state,
                      "--by-run", "--ready-fd", number};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    pid_t pid = 0;

    program[size > 0 ? size : 0] = '\0';
    snprintf(number, sizeof(number), "%d", ready_as);
    if (channel->config) {
        argv[7] = "--config";
        argv[8] = (char *)(uintptr_t)channel->config;
    }
    sigemptyset(&none);
    sigfillset(&defaults);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, log, 1);
    posix_spawn_file_actions_adddup2(&actions, log, 2);
    posix_spawn_file_actions_adddup2(&actions, ready, ready_as);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int failed = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (failed) {
        errno = failed;
        error_errno(err, "starting the keeper");
        return 0;
    }
    return pid;
}

/* Takes a keeper of ours that ended, so that it is no zombie. */
static void keeper_reap(struct channel *channel)
{
    int status;

    if (channel->child > 0 && waitpid(channel->child, &status, WNOHANG) == channel->child) {
        log_event(LOG_WARNING, "keeper_ended", "pid=%d status=%d", (int)channel->child, status);
        channel->child = 0;
    }
}

static bool keeper_start(struct channel *channel, struct error *err)
{
    int ends[2];
    char byte;

    keeper_reap(channel);
    FD(log) = log_open(channel, err);
    if (log < 0)
        return false;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, "starting the keeper");
    FD(ready) = ends[0];
    /* The child's copies go to 1, 2 and 3: none of ours may lie there already as something else. */
    FD(theirs) = fcntl(ends[1], F_DUPFD_CLOEXEC, 10);
    close(ends[1]);
    FD(log_high) = fcntl(log, F_DUPFD_CLOEXEC, 10);
    if (theirs < 0 || log_high < 0)
        return error_errno(err, "starting the keeper");
    pid_t pid = keeper_spawn(channel, log_high, theirs, err);
    if (pid <= 0)
        return false;
    fd_close(&theirs);
    if (channel->child <= 0)
        channel->child = pid;
    struct pollfd poller = {.fd = ready, .events = POLLIN};
    int64_t deadline = clock_boot_ms() + READY_MS, left;
    while ((left = deadline - clock_boot_ms()) > 0 && poll(&poller, 1, (int)left) < 0 && errno == EINTR)
        ;
    if (read(ready, &byte, 1) == 1)
        return true;
    return error_set(err, ERROR_SYSTEM, "the keeper did not come up: its log is %s/%s", channel->state,
                     STATE_KEEPER_LOG);
}

/* --- connecting
 * ----------------------------------------------------------------------------------------------- */

static void drop(struct channel *channel)
{
    link_close(channel->link);
    channel->link = NULL;
}

static bool greet(struct channel *channel, struct error *err)
{
    ARENA(arena);
    TEXT(out);
    struct json_writer writer;
    const struct json *answer;

    channel_request(&writer, &out, "hello");
    json_write_integer(&writer, "pid", getpid());
    json_write_boolean(&writer, "primary", channel->primary);
    if (!channel_ask(channel, &arena, &writer, HELLO_MS, &answer, err)) {
        channel->refused = err->kind == ERROR_CONFLICT;
        return false;
    }
    channel->by_run = string_is(json_string(json_get(answer, "keeper"), "started_by"), "run");
    app_take(channel, json_get(answer, "app"));
    run_take(channel, json_get(answer, "run"));
    take(answer, "limits", channel->limits, sizeof(channel->limits));
    take(answer, "diagnostics", channel->diagnostics, sizeof(channel->diagnostics));
    channel->busy_until = json_integer(json_get(answer, "app"), "busy_until", 0);
    return true;
}

static bool connect_now(struct channel *channel, struct error *err)
{
    struct error first = {0};

    channel->link = link_connect(channel->state_fd, STATE_KEEPER_SOCKET, &first);
    if (!channel->link) {
        if (!keeper_start(channel, err))
            return false;
        channel->link = link_connect(channel->state_fd, STATE_KEEPER_SOCKET, err);
    }
    if (!channel->link)
        return false;
    if (greet(channel, err))
        return true;
    drop(channel);
    return false;
}

bool channel_connect(struct channel *channel, struct error *err)
{
    if (channel->link)
        return true;
    if (clock_boot_ms() < channel->retry_at_ms)
        return error_set(err, ERROR_SYSTEM, "the keeper is not there");
    if (connect_now(channel, err)) {
        backoff_reset(&channel->backoff);
        channel->retry_at_ms = 0;
        return true;
    }
    channel->retry_at_ms = clock_boot_ms() + 200 + backoff_next(&channel->backoff);
    return error_add(err, "the keeper");
}

void channel_close(struct channel *channel)
{
    struct error ignored = {0};

    if (channel->link && !channel->yield)
        channel_do(channel, "bye", HELLO_MS, &ignored);
    if (channel->link)
        drop(channel);
}

bool channel_hear(struct channel *channel)
{
    ARENA(arena);
    struct error err = {0}, line_err = {0};
    const struct json *line;

    keeper_reap(channel);
    if (!channel->link)
        return false;
    bool open = link_fill(channel->link, &err);
    while ((line = link_next(channel->link, &arena, &line_err)))
        event_take(channel, line);
    if (open && line_err.kind == ERROR_NONE)
        return true;
    log_event(LOG_WARNING, "keeper_lost", "state=%s", channel->app.state);
    drop(channel);
    return false;
}

/* --- asking
 * --------------------------------------------------------------------------------------------------- */

void channel_request(struct json_writer *writer, struct text *out, const char *what)
{
    json_write_init(writer, out);
    json_write_object(writer, NULL);
    json_write_string(writer, "do", what);
}

bool channel_ask(struct channel *channel, struct arena *arena, struct json_writer *writer, int64_t timeout_ms,
                 const struct json **answer, struct error *err)
{
    int64_t id = channel->next_id++;

    if (!channel->link)
        return error_set(err, ERROR_SYSTEM, "the keeper is not there");
    json_write_integer(writer, "id", id);
    json_write_end(writer, '}');
    if (!link_ask(channel->link, arena, id, writer->out, timeout_ms, event_take, channel, answer, err)) {
        drop(channel);
        err->kind = ERROR_SYSTEM;
        return error_add(err, "asking the keeper");
    }
    if (json_boolean(*answer, "ok", false))
        return true;
    const char *kind = json_string(*answer, "kind"), *reason = json_string(*answer, "reason");
    channel->conflict = string_is(kind, error_kind_name(ERROR_CONFLICT));
    channel->passing = channel->conflict || string_is(kind, error_kind_name(ERROR_LIMIT));
    if (!reason)
        reason = json_string(*answer, "error");
    return error_set(err, ERROR_CONFLICT, "%s", reason ? reason : "the keeper refused without a reason");
}

bool channel_do(struct channel *channel, const char *what, int64_t timeout_ms, struct error *err)
{
    ARENA(arena);
    TEXT(out);
    struct json_writer writer;
    const struct json *answer;

    channel_request(&writer, &out, what);
    return channel_ask(channel, &arena, &writer, timeout_ms, &answer, err);
}

bool channel_stop(struct channel *channel, struct error *err)
{
    /* A run may take its grace time, then the app its own. */
    int64_t limit = STOP_MS + channel->settings->app_stop_timeout_s * 1000 + 600 * 1000;
    struct error gone = {0};
    char byte;

    if (!channel->link || !channel_do(channel, "stop", limit, err))
        return false;
    /* The answer comes before the process is gone: wait for the socket's end. */
    struct pollfd poller = {.fd = link_fd(channel->link), .events = POLLIN};
    while (poll(&poller, 1, HELLO_MS) > 0 && recv(poller.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
        if (!link_fill(channel->link, &gone))
            break;
    drop(channel);
    if (channel->child > 0 && waitpid(channel->child, NULL, 0) == channel->child)
        channel->child = 0;
    return true;
}

/* The app's socket: tells it which set is current and hears whether it took it. */
#include "agent/app.h"

#include "agent/keeper_pid.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOCKET_NAME "app.sock"
#define SOCKET_PATH_MOST 107 /* bytes that an app can connect to (unix(7)) */
#define BUSY_MOST_S 86400
#define BUSY_EVERY_MS 1000      /* a lease is passed on so often at most, however often the app says it */
#define COMPLAIN_EVERY_MS 10000 /* an app that babbles must not fill the disk with words about it */
#define UNTOLD_MS 2000          /* how long an app that cannot answer must stay alive */

/* An app can only connect to a short path. When the state folder's is too long, the socket lies in a folder
 * of its own beside it. */
static int short_folder(struct app *app, struct error *err)
{
    char hex[SHA256_HEX], folder[64];
    sha256_hex(app->state_path, strlen(app->state_path), hex);
    snprintf(folder, sizeof folder, "%s/locum-%.16s", geteuid() == 0 ? "/run" : "/tmp", hex);
    struct stat st;
    if ((mkdir(folder, 0755) != 0 && access(folder, F_OK) != 0) || lstat(folder, &st) != 0 ||
        !S_ISDIR(st.st_mode) || st.st_uid != geteuid()) {
        error_set(err, ERROR_DENIED, "the folder %s for the app's socket is not ours", folder);
        return -1;
    }
    snprintf(app->socket_path, sizeof app->socket_path, "%s/%s", folder, SOCKET_NAME);
    return folder_open(folder, err);
}

static uid_t owner_of_socket(const struct app *app)
{
    const struct passwd *user =
        app->settings->app_user != NULL && geteuid() == 0 ? getpwnam(app->settings->app_user) : NULL;
    return user != NULL ? user->pw_uid : (uid_t)-1;
}

static void accept_app(void *context, short events);

bool app_links_open(struct app *app, struct error *err)
{
    snprintf(app->socket_path, sizeof app->socket_path, "%.4000s/%s", app->state_path, SOCKET_NAME);
    FD(folder) = -1;
    if (strlen(app->socket_path) > SOCKET_PATH_MOST)
        folder = short_folder(app, err);
    else
        folder = folder_open(app->state_path, err);
    if (folder < 0)
        return false;
    app->listener = link_listen(folder, SOCKET_NAME, 0600, owner_of_socket(app), err);
    if (app->listener < 0)
        return false;
    return loop_watch(app->loop, app->listener, POLLIN, accept_app, app) ||
           error_set(err, ERROR_LIMIT, "too many descriptors");
}

static bool may_complain(struct app *app)
{
    int64_t now = clock_boot_ms();
    if (app->complained_ms != 0 && now - app->complained_ms < COMPLAIN_EVERY_MS)
        return false;
    app->complained_ms = now;
    return true;
}

static void drop(struct app_link *one)
{
    if (one->link == NULL)
        return;
    loop_forget(one->app->loop, link_fd(one->link));
    link_close(one->link);
    *one = (struct app_link){.app = one->app};
}

void app_links_close(struct app *app)
{
    for (size_t i = 0; i < APP_LINKS; i++)
        drop(&app->links[i]);
    if (app->listener >= 0)
        loop_forget(app->loop, app->listener);
    fd_close(&app->listener);
}

static void adoption_end(struct app *app, const char *reason)
{
    app_done *done = app->adoption.done;
    loop_cancel(app->loop, &app->adoption.timer);
    app->adoption.set[0] = '\0';
    app->adoption.done = NULL;
    if (done != NULL)
        done(app->adoption.context, reason);
}

void app_adoption_fail(struct app *app, const char *reason)
{
    for (size_t i = 0; i < APP_LINKS; i++)
        drop(&app->links[i]);
    if (app->adoption.set[0] != '\0')
        adoption_end(app, reason);
}

bool app_adoption_is_untold(const struct app *app)
{
    if (app->adoption.set[0] == '\0' || app->settings->app_notify != APP_NOTIFY_SOCKET)
        return false;
    for (size_t i = 0; i < APP_LINKS; i++)
        if (app->links[i].link != NULL && app->links[i].told)
            return false;
    return true;
}

static void ready(void *context, short events);

static bool send_line(struct app_link *one, const struct text *line)
{
    struct error err = {0};
    if (!link_send(one->link, line, &err)) {
        drop(one);
        return false;
    }
    return loop_watch(one->app->loop, link_fd(one->link), link_events(one->link), ready, one);
}

static void write_set(struct text *line, const char *set, const char *path, const struct json *changed)
{
    struct json_writer writer;
    json_write_init(&writer, line);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "set", set);
    if (changed != NULL) {
        json_write_value(&writer, "changed", changed);
    } else {
        json_write_array(&writer, "changed");
        json_write_end(&writer, ']');
    }
    json_write_string(&writer, "path", path);
    json_write_end(&writer, '}');
}

/* At a connect: the set that `current` leads to. */
static void greet(struct app_link *one)
{
    struct app *app = one->app;
    char target[PATH_MAX], path[PATH_MAX];
    ssize_t n = readlinkat(app->state_fd, "current", target, sizeof target - 1);
    if (n <= 0)
        return; /* no set yet: it is told at the first adoption */
    target[n] = '\0';
    snprintf(path, sizeof path, "%.2000s/%.2000s", app->state_path, target);
    const char *name = strrchr(target, '/');
    name = name != NULL ? name + 1 : target;
    TEXT(line);
    write_set(&line, name, path, NULL);
    one->told = string_is(name, app->adoption.set);
    send_line(one, &line);
}

static struct app_link *free_link(struct app *app)
{
    for (size_t i = 0; i < APP_LINKS; i++)
        if (app->links[i].link == NULL)
            return &app->links[i];
    return NULL;
}

static void accept_app(void *context, short events)
{
    (void)events;
    struct app *app = context;
    struct error err = {0};
    struct link *link = link_accept(app->listener, &err);
    if (link == NULL)
        return;
    struct app_link *one = free_link(app);
    pid_t pid = link_peer_pid(link);
    pid_t ours = app->pid > 0 ? app->pid : app->deputy;
    bool is_app = ours > 0 && pid_is_below(pid, ours);
    if (!is_app || one == NULL) {
        if (may_complain(app))
            log_event(LOG_WARNING, "app.socket", "peer=%d refused=\"%s\"", (int)pid,
                      is_app ? "too many connections" : "neither the app nor its child");
        link_close(link);
        return;
    }
    *one = (struct app_link){.link = link, .app = app};
    greet(one);
}

/* Everybody who was told has to have taken it. */
static void count_answers(struct app *app)
{
    bool any = false;
    for (size_t i = 0; i < APP_LINKS; i++) {
        if (app->links[i].link == NULL || !app->links[i].told)
            continue;
        if (!app->links[i].adopted)
            return;
        any = true;
    }
    if (any && app->adoption.set[0] != '\0')
        adoption_end(app, NULL);
}

static void tell_busy(void *context)
{
    struct app *app = context;
    app->busy_told_ms = clock_boot_ms();
    if (app->changed != NULL)
        app->changed(app->changed_context);
}

/* The newest lease is told at once, or with others a little later: the worker must not drown in them. */
static void heard_busy(struct app *app, int64_t until)
{
    int64_t most = clock_now() + BUSY_MOST_S, free_ms = app->busy_told_ms + BUSY_EVERY_MS;
    app->busy_until = until < 0 ? 0 : until > most ? most : until;
    if (app->busy_told_ms == 0 || clock_boot_ms() >= free_ms)
        tell_busy(app);
    else
        loop_at(app->loop, &app->tell_busy, free_ms, tell_busy, app);
}

/* One line of the app. False: it is none of the contract's. */
static bool heard(struct app_link *one, const struct json *line)
{
    struct app *app = one->app;
    const char *adopted = json_string(line, "adopted"), *rejected = json_string(line, "rejected");
    int64_t busy;
    bool known = json_has_integer(line, "busy_until", &busy);
    if (known)
        heard_busy(app, busy);
    if (adopted != NULL && string_is(adopted, app->adoption.set)) {
        one->adopted = true;
        count_answers(app);
    } else if (rejected != NULL && string_is(rejected, app->adoption.set)) {
        const char *why = json_string(line, "reason");
        char reason[240];
        snprintf(reason, sizeof reason, "the app rejected it: %.200s", why != NULL ? why : "no reason given");
        adoption_end(app, reason);
    }
    return known || adopted != NULL || rejected != NULL;
}

static void hear_all(struct app_link *one)
{
    ARENA(arena);
    struct error err = {0};
    const struct json *line;
    while (one->link != NULL && (line = link_next(one->link, &arena, &err)) != NULL)
        if (!heard(one, line) && may_complain(one->app))
            log_event(LOG_WARNING, "app.socket", "why=\"a line without adopted, rejected or busy_until\"");
    if (one->link != NULL && err.kind != ERROR_NONE) {
        if (may_complain(one->app))
            log_event(LOG_WARNING, "app.socket", "error=\"%s\"", err.text);
        drop(one);
    }
}

static void ready(void *context, short events)
{
    struct app_link *one = context;
    struct error err = {0};
    bool open = true;
    if (one->link == NULL)
        return;
    if (events & POLLOUT)
        open = link_flush(one->link, &err);
    if (events & (POLLIN | POLLHUP | POLLERR))
        open = link_fill(one->link, &err) && open;
    hear_all(one);
    if (one->link == NULL)
        return;
    if (!open) {
        drop(one);
        count_answers(one->app);
        return;
    }
    loop_watch(one->app->loop, link_fd(one->link), link_events(one->link), ready, one);
}

static void health_known(void *context, const char *reason)
{
    adoption_end(context, reason);
}

/* Nobody answered, or nobody can: health decides, and without a command staying alive. */
static void ask_health(void *context)
{
    struct app *app = context;
    struct error err = {0};
    if (app->settings->app_health_command == NULL || app->settings->app_health_command[0] == NULL)
        adoption_end(app, app->state == APP_RUNNING ? NULL : "the app does not run");
    else if (!app_check_health(app, health_known, app, &err))
        adoption_end(app, err.text);
}

static void tell_links(struct app *app, const char *set, const char *path, const struct json *changed)
{
    TEXT(line);
    write_set(&line, set, path, changed);
    for (size_t i = 0; i < APP_LINKS; i++) {
        app->links[i].adopted = false;
        app->links[i].told = false;
        if (app->links[i].link != NULL)
            app->links[i].told = send_line(&app->links[i], &line);
    }
}

bool app_adopt(struct app *app, const char *set, const char *path, const struct json *changed, app_done *done,
               void *context, struct error *err)
{
    struct app_adoption *adoption = &app->adoption;
    if (adoption->set[0] != '\0')
        return error_set(err, ERROR_CONFLICT, "set %s is being adopted", adoption->set);
    if (set[0] == '\0' || strlen(set) >= APP_SET_SIZE)
        return error_set(err, ERROR_INPUT, "\"%s\" is no set", set);
    if (app->state == APP_NONE) {
        done(context, NULL);
        return true;
    }
    if (app->state == APP_STOPPED || app->state == APP_STOPPING)
        return error_set(err, ERROR_CONFLICT, "the app is stopped");
    /* It may have failed for want of just this set: it gets its chance at once. */
    if (app->state == APP_FAILED && !app_start(app, err))
        return false;
    snprintf(adoption->set, sizeof adoption->set, "%s", set);
    adoption->done = done;
    adoption->context = context;
    int64_t wait_ms = app->settings->app_adopt_timeout_s * 1000;
    if (app->settings->app_notify == APP_NOTIFY_SOCKET)
        tell_links(app, set, path, changed);
    else if (app->settings->app_notify == APP_NOTIFY_SIGNAL)
        kill(app->pid, app->settings->app_signal);
    if (app->settings->app_notify != APP_NOTIFY_SOCKET && wait_ms > UNTOLD_MS)
        wait_ms = UNTOLD_MS;
    bool health_at_once =
        app->settings->app_notify != APP_NOTIFY_SOCKET && app->settings->app_health_command != NULL;
    loop_at(app->loop, &adoption->timer, clock_boot_ms() + (health_at_once ? 0 : wait_ms), ask_health, app);
    return true;
}

#include "agent/keeper.h"

#include "agent/keeper_parts.h"
#include "agent/state.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_CONFLICT 5

static void peer_ready(void *context, short events);

void keeper_drop(struct keeper_peer *peer)
{
    struct keeper *keeper = peer->keeper;
    bool lost = peer->greeted && !peer->leaving;
    loop_forget(&keeper->loop, link_fd(peer->link));
    link_close(peer->link);
    *peer = (struct keeper_peer){.keeper = keeper};
    if (lost && !keeper->stopping)
        keeper_worker_lost(keeper);
}

void keeper_send(struct keeper_peer *peer, const struct text *line)
{
    struct error err = {0};
    if (peer->link == NULL)
        return;
    if (!link_send(peer->link, line, &err))
        log_event(LOG_WARNING, "keeper.send", "error=\"%s\"", err.text);
    /* A failed link reads as closed at the next turn; dropping it here would pull it from under the caller.
     */
    loop_watch(&peer->keeper->loop, link_fd(peer->link), link_events(peer->link), peer_ready, peer);
}

static void peer_ready(void *context, short events)
{
    struct keeper_peer *peer = context;
    ARENA(arena);
    struct error err = {0};
    const struct json *line;
    bool open = true;
    if (peer->link == NULL)
        return;
    if (events & POLLOUT)
        open = link_flush(peer->link, &err);
    if (events & (POLLIN | POLLHUP | POLLERR))
        open = link_fill(peer->link, &err) && open;
    while ((line = link_next(peer->link, &arena, &err)) != NULL)
        open = keeper_request(peer->keeper, peer, line) && open;
    if (!open || err.kind != ERROR_NONE)
        keeper_drop(peer);
    else
        loop_watch(&peer->keeper->loop, link_fd(peer->link), link_events(peer->link), peer_ready, peer);
}

static void accept_peer(void *context, short events)
{
    (void)events;
    struct keeper *keeper = context;
    struct error err = {0};
    struct link *link = link_accept(keeper->listener, &err);
    struct keeper_peer *peer = NULL;
    for (size_t i = 0; i < KEEPER_PEERS && peer == NULL; i++)
        if (keeper->peers[i].link == NULL)
            peer = &keeper->peers[i];
    if (link == NULL)
        return;
    if (peer == NULL || link_peer_uid(link) != geteuid() ||
        !loop_watch(&keeper->loop, link_fd(link), POLLIN, peer_ready, peer)) {
        log_event(LOG_WARNING, "keeper.refused", "peer=%d", (int)link_peer_pid(link));
        link_close(link);
        return;
    }
    *peer = (struct keeper_peer){.keeper = keeper, .link = link, .serial = ++keeper->serials};
}

static void got_signal(void *context, short events)
{
    (void)events;
    struct keeper *keeper = context;
    struct signalfd_siginfo info;
    while (read(keeper->signals, &info, sizeof info) == (ssize_t)sizeof info)
        keeper_stop(keeper);
}

/* Deadlines are ours to hold when the machine is short of memory or time. What we may not raise we do
 * without. */
static void be_tough(void)
{
    FD(fd) = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && geteuid() == 0 && write(fd, "-900", 4) < 0)
        errno = 0;
    if (geteuid() == 0)
        (void)setpriority(PRIO_PROCESS, 0, -10);
}

/* An app with a user of its own has to get through the state folder to its files; it may not list it. */
static bool let_app_through(const struct keeper *keeper, struct error *err)
{
    struct stat st;
    if (keeper->settings->app_user == NULL || geteuid() != 0)
        return true;
    if (fstat(keeper->state_fd, &st) != 0 ||
        ((st.st_mode & 0011) != 0011 && fchmod(keeper->state_fd, (st.st_mode & 07777) | 0011) != 0))
        return error_errno(err, "%s", keeper->options->state);
    return true;
}

static bool open_signals(struct keeper *keeper, struct error *err)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &wanted, NULL) != 0)
        return error_errno(err, "signals");
    keeper->signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    return keeper->signals >= 0 || error_errno(err, "signals");
}

static bool open_state(struct keeper *keeper, struct error *err)
{
    keeper->state_fd = folder_open(keeper->options->state, err);
    if (keeper->state_fd < 0 || !folder_make(keeper->state_fd, STATE_KEEPER, 0700, err))
        return false;
    keeper->lock_fd = file_lock(keeper->state_fd, STATE_KEEPER_LOCK, err);
    return keeper->lock_fd >= 0 && let_app_through(keeper, err);
}

/* The app is started by us alone when there is a set for it; before the first one the worker says when. */
static void start_app(struct keeper *keeper)
{
    struct error err = {0};
    struct stat st;
    if (runner_has_apps_place(&keeper->runner) || fstatat(keeper->state_fd, STATE_CURRENT, &st, 0) != 0)
        return;
    if (!app_start(&keeper->app, &err))
        log_event(LOG_ERROR, "app.start", "error=\"%s\"", err.text);
}

static bool begin(struct keeper *keeper, struct error *err)
{
    if (!open_state(keeper, err) || !open_signals(keeper, err) || !loop_init(&keeper->loop, err))
        return false;
    loop_watch(&keeper->loop, keeper->signals, POLLIN, got_signal, keeper);
    struct app_options options = {
        .settings = keeper->settings, .state_fd = keeper->state_fd, .state = keeper->options->state};
    if (!app_init(&keeper->app, &options, &keeper->loop, err) ||
        !runner_init(&keeper->runner, &keeper->app, keeper->state_fd, keeper->options->state, &keeper->loop,
                     err))
        return false;
    keeper->app.changed = keeper_event_app;
    keeper->app.changed_context = keeper;
    keeper->runner.event = keeper_event_run;
    keeper->runner.event_context = keeper;
    start_app(keeper);
    keeper->listener = link_listen(keeper->state_fd, STATE_KEEPER_SOCKET, 0600, (uid_t)-1, err);
    return keeper->listener >= 0 && loop_watch(&keeper->loop, keeper->listener, POLLIN, accept_peer, keeper);
}

static void say_ready(const struct keeper_options *options)
{
    if (options->ready_fd < 0)
        return;
    if (write(options->ready_fd, "r", 1) < 0)
        log_event(LOG_WARNING, "keeper.ready", "error=%d", errno);
    close(options->ready_fd);
}

static void finish(struct keeper *keeper)
{
    for (size_t i = 0; i < KEEPER_PEERS; i++) {
        struct error err = {0};
        if (keeper->peers[i].link == NULL)
            continue;
        link_flush(keeper->peers[i].link, &err);
        keeper->peers[i].leaving = true;
        keeper_drop(&keeper->peers[i]);
    }
    keeper_worker_end(keeper);
    if (keeper->listener >= 0)
        unlinkat(keeper->state_fd, STATE_KEEPER_SOCKET, 0);
    if (keeper->app.loop != NULL)
        app_end(&keeper->app);
    runner_end(&keeper->runner);
    loop_end(&keeper->loop);
    fd_close(&keeper->listener);
    fd_close(&keeper->signals);
    fd_close(&keeper->state_fd);
    fd_close(&keeper->lock_fd);
}

int keeper_main(const struct agent_settings *settings, const struct keeper_options *options)
{
    static struct keeper keeper; /* one a process; too large for some stacks */
    struct error err = {0};
    memset(&keeper, 0, sizeof keeper);
    keeper.settings = settings;
    keeper.options = options;
    keeper.state_fd = keeper.lock_fd = keeper.listener = keeper.signals = keeper.stand_in.pidfd = -1;
    keeper.runner.uid_lock_fd = -1;
    keeper.loop.timer_fd = -1;
    for (size_t i = 0; i < KEEPER_PEERS; i++)
        keeper.peers[i].keeper = &keeper;
    (void)setsid(); /* fails for a group leader, which then is in charge of its terminal itself */
    be_tough();
    bool good = begin(&keeper, &err);
    bool taken = !good && err.kind == ERROR_CONFLICT;
    if (good) {
        log_event(LOG_INFO, "keeper.ready", "pid=%d limits=\"%s\" diagnostics=\"%s\"", (int)getpid(),
                  cgroup_limits(&keeper.runner.cgroups),
                  keeper.runner.missing[0] ? keeper.runner.missing : "yes");
        say_ready(options);
    }
    while (good && !keeper.stopped)
        good = loop_turn(&keeper.loop, &err);
    if (!good)
        log_event(LOG_ERROR, "keeper.failed", "error=\"%s\"", err.text);
    finish(&keeper);
    log_event(LOG_INFO, "keeper.gone", "pid=%d", (int)getpid());
    return good ? 0 : taken ? EXIT_CONFLICT : 1;
}

/* Starts a worker again that died without an orderly end. */
#include "agent/keeper_parts.h"

#include "agent/keeper_pid.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <poll.h>
#include <unistd.h>

#define BACKOFF_FIRST_MS 500
#define BACKOFF_MOST_MS 30000

static bool worker_is_there(const struct keeper *keeper)
{
    for (size_t i = 0; i < KEEPER_PEERS; i++)
        if (keeper->peers[i].link != NULL && keeper->peers[i].greeted && !keeper->peers[i].leaving)
            return true;
    return false;
}

static void start(void *context);

static void later(struct keeper *keeper)
{
    struct keeper_stand_in *stand_in = &keeper->stand_in;
    if (keeper->stopping || stand_in->pid > 0 || worker_is_there(keeper))
        return;
    stand_in->backoff_ms = stand_in->backoff_ms == 0 ? BACKOFF_FIRST_MS : stand_in->backoff_ms * 2;
    if (stand_in->backoff_ms > BACKOFF_MOST_MS)
        stand_in->backoff_ms = BACKOFF_MOST_MS;
    loop_at(&keeper->loop, &stand_in->timer, clock_boot_ms() + stand_in->backoff_ms, start, keeper);
}

static void ended(void *context, short events)
{
    (void)events;
    struct keeper *keeper = context;
    struct keeper_stand_in *stand_in = &keeper->stand_in;
    char text[40];
    int status;
    loop_forget(&keeper->loop, stand_in->pidfd);
    spawn_reap(stand_in->pid, &stand_in->pidfd, &status);
    log_event(LOG_INFO, "worker.exited", "pid=%d status=\"%s\"", (int)stand_in->pid,
              status_text(status, text));
    stand_in->pid = 0;
    /* In order: it gave way, or was told to end. Its successor says hello. */
    if (status != 0)
        later(keeper);
}

static void start(void *context)
{
    struct keeper *keeper = context;
    struct keeper_stand_in *stand_in = &keeper->stand_in;
    struct error err = {0};
    const char *config = keeper->options->config;
    char *argv[8] = {(char *)(uintptr_t)keeper->options->program, "run", "--state",
                     (char *)(uintptr_t)keeper->options->state, "--stand-in"};
    if (config != NULL) {
        argv[5] = "--config";
        argv[6] = (char *)(uintptr_t)config;
    }
    if (keeper->stopping || stand_in->pid > 0 || worker_is_there(keeper))
        return;
    struct spawn spawn = {.argv = argv, .output = STDERR_FILENO};
    if (!spawn_start(&spawn, &stand_in->pid, &stand_in->pidfd, &err) ||
        !loop_watch(&keeper->loop, stand_in->pidfd, POLLIN, ended, keeper)) {
        stand_in->pid = 0;
        log_event(LOG_ERROR, "worker.start", "error=\"%s\"", err.text);
        later(keeper);
        return;
    }
    log_event(LOG_INFO, "worker.started", "pid=%d why=\"the worker died\"", (int)stand_in->pid);
}

void keeper_worker_lost(struct keeper *keeper)
{
    later(keeper);
}

void keeper_worker_there(struct keeper *keeper)
{
    loop_cancel(&keeper->loop, &keeper->stand_in.timer);
    keeper->stand_in.backoff_ms = 0;
}

void keeper_worker_end(struct keeper *keeper)
{
    loop_cancel(&keeper->loop, &keeper->stand_in.timer);
    if (keeper->stand_in.pidfd >= 0)
        loop_forget(&keeper->loop, keeper->stand_in.pidfd);
    fd_close(&keeper->stand_in.pidfd);
}

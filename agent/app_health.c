/* Is the app well? A command that is tried each second until it exits 0, or without one: is it still there
 * after a while? */
#include "agent/app.h"

#include "agent/keeper_pid.h"
#include "base/clock.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define EVERY_MS 1000
#define ONE_TRY_MS 10000 /* a try that hangs is killed */
#define ALIVE_MS 2000

static void attempt(void *context);

static void finish(struct app *app, const char *reason)
{
    struct app_health *health = &app->health;
    app_done *done = health->done;
    loop_cancel(app->loop, &health->timer);
    loop_cancel(app->loop, &health->limit);
    health->done = NULL;
    if (done != NULL)
        done(health->context, reason);
}

void app_health_stop(struct app *app, const char *reason)
{
    struct app_health *health = &app->health;
    if (health->pid > 0) {
        int status;
        loop_forget(app->loop, health->pidfd);
        kill(-health->pid, SIGKILL);
        kill(health->pid, SIGKILL);
        spawn_reap(health->pid, &health->pidfd, &status);
        health->pid = 0;
    }
    if (reason == NULL)
        health->done = NULL;
    finish(app, reason);
}

static void give_up(struct app *app)
{
    char text[40], reason[160];
    snprintf(reason, sizeof reason, "the health command did not succeed within %lld s (last: %s)",
             (long long)app->settings->app_health_timeout_s,
             app->health.last == -2 ? "no try ended" : status_text(app->health.last, text));
    app_health_stop(app, reason);
}

static void attempt_over(void *context, short events)
{
    (void)events;
    struct app *app = context;
    struct app_health *health = &app->health;
    loop_forget(app->loop, health->pidfd);
    loop_cancel(app->loop, &health->limit);
    spawn_reap(health->pid, &health->pidfd, &health->last);
    health->pid = 0;
    if (WIFEXITED(health->last) && WEXITSTATUS(health->last) == 0)
        finish(app, NULL);
    else if (clock_boot_ms() >= health->deadline_ms)
        give_up(app);
    else
        loop_at(app->loop, &health->timer, clock_boot_ms() + EVERY_MS, attempt, app);
}

/* One try hangs, or the whole time is over. */
static void attempt_hangs(void *context)
{
    struct app *app = context;
    if (clock_boot_ms() >= app->health.deadline_ms)
        give_up(app);
    else if (app->health.pid > 0)
        kill(-app->health.pid, SIGKILL);
}

static void attempt(void *context)
{
    struct app *app = context;
    struct app_health *health = &app->health;
    struct error err = {0};
    if (clock_boot_ms() >= health->deadline_ms) {
        give_up(app);
        return;
    }
    struct spawn spawn = {.argv = app->settings->app_health_command,
                          .user = app->settings->app_user,
                          .output = -1,
                          .variables = (const char *const *)app->variables,
                          .die_with_us = true,
                          .limited = true};
    if (!spawn_start(&spawn, &health->pid, &health->pidfd, &err)) {
        health->pid = 0;
        finish(app, err.text);
        return;
    }
    int64_t limit = clock_boot_ms() + ONE_TRY_MS;
    loop_watch(app->loop, health->pidfd, POLLIN, attempt_over, app);
    loop_at(app->loop, &health->limit, limit < health->deadline_ms ? limit : health->deadline_ms,
            attempt_hangs, app);
}

static void still_alive(void *context)
{
    struct app *app = context;
    finish(app, app->state == APP_RUNNING ? NULL : "the app does not run");
}

bool app_check_health(struct app *app, app_done *done, void *context, struct error *err)
{
    struct app_health *health = &app->health;
    if (health->done != NULL)
        return error_set(err, ERROR_CONFLICT, "a health check is under way");
    health->done = done;
    health->context = context;
    health->last = -2;
    if (app->state == APP_NONE) {
        finish(app, NULL);
    } else if (app->state != APP_RUNNING) {
        finish(app, "the app does not run");
    } else if (app->settings->app_health_command != NULL && app->settings->app_health_command[0] != NULL) {
        health->deadline_ms = clock_boot_ms() + app->settings->app_health_timeout_s * 1000;
        attempt(app);
    } else {
        int64_t enough = app->started_ms + ALIVE_MS, now = clock_boot_ms();
        loop_at(app->loop, &health->timer, enough > now ? enough : now, still_alive, app);
    }
    return true;
}

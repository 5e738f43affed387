#include "console/scheduler.h"

#include "base/clock.h"
#include "base/log.h"
#include "console/wake.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define ROWS_MOST 32
#define REST_MOST_MS 1000
#define SLOW_MS 2000

struct scheduler {
    struct console *console;
    const struct scheduler_row *table;
    int64_t due_ms[ROWS_MOST]; /* of clock_boot_ms */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int64_t round_ms; /* under lock: when the last round began */
    bool ends;        /* under lock */
};

/* Gives the time until its next start. */
static int64_t step_run(struct scheduler *scheduler, const struct scheduler_row *row)
{
    int64_t began = clock_boot_ms();
    struct error err = {0};
    char text[600];

    scheduler->console->step_has_more = false;
    if (!row->step(scheduler->console, &err))
        log_event(LOG_WARNING, "step_failed", "step=%s reason=%s", row->name,
                  log_quote(text, sizeof(text), err.text));
    if (clock_boot_ms() - began > SLOW_MS)
        log_event(LOG_WARNING, "step_slow", "step=%s ms=%lld", row->name,
                  (long long)(clock_boot_ms() - began));
    return scheduler->console->step_has_more && row->period_ms > SCHEDULER_SOON_MS ? SCHEDULER_SOON_MS
                                                                                   : row->period_ms;
}

/* Does what is due; returns when the next step is. */
static int64_t round_run(struct scheduler *scheduler)
{
    int64_t next = clock_boot_ms() + REST_MOST_MS;

    for (int i = 0; i < ROWS_MOST && scheduler->table[i].step; i++) {
        if (scheduler->due_ms[i] <= clock_boot_ms()) {
            int64_t wait_ms = step_run(scheduler, &scheduler->table[i]);
            scheduler->due_ms[i] = clock_boot_ms() + wait_ms;
        }
        if (scheduler->due_ms[i] < next)
            next = scheduler->due_ms[i];
    }
    return next;
}

static void rest(struct scheduler *scheduler, int64_t ms)
{
    if (ms <= 0)
        return;
    struct timespec until = wake_after(ms);
    pthread_cond_timedwait(&scheduler->wake, &scheduler->lock, &until);
}

static void *scheduler_run(void *context)
{
    struct scheduler *scheduler = context;

    pthread_mutex_lock(&scheduler->lock);
    while (!scheduler->ends) {
        scheduler->round_ms = clock_boot_ms();
        pthread_mutex_unlock(&scheduler->lock);
        int64_t next = round_run(scheduler);
        pthread_mutex_lock(&scheduler->lock);
        if (!scheduler->ends)
            rest(scheduler, next - clock_boot_ms());
    }
    pthread_mutex_unlock(&scheduler->lock);
    return NULL;
}

struct scheduler *scheduler_start(struct console *console, const struct scheduler_row *table,
                                  struct error *err)
{
    struct scheduler *scheduler = calloc(1, sizeof(*scheduler));

    if (!scheduler)
        abort();
    scheduler->console = console;
    scheduler->table = table;
    scheduler->round_ms = clock_boot_ms();
    wake_init(&scheduler->wake);
    pthread_mutex_init(&scheduler->lock, NULL);
    if (pthread_create(&scheduler->thread, NULL, scheduler_run, scheduler) == 0)
        return scheduler;
    error_set(err, ERROR_SYSTEM, "The scheduler's thread does not start");
    free(scheduler);
    return NULL;
}

void scheduler_stop(struct scheduler *scheduler)
{
    if (!scheduler)
        return;
    pthread_mutex_lock(&scheduler->lock);
    scheduler->ends = true;
    pthread_cond_signal(&scheduler->wake);
    pthread_mutex_unlock(&scheduler->lock);
    pthread_join(scheduler->thread, NULL);
    pthread_mutex_destroy(&scheduler->lock);
    pthread_cond_destroy(&scheduler->wake);
    free(scheduler);
}

int64_t scheduler_age_s(struct scheduler *scheduler)
{
    pthread_mutex_lock(&scheduler->lock);
    int64_t age = clock_boot_ms() - scheduler->round_ms;
    pthread_mutex_unlock(&scheduler->lock);
    return age / 1000;
}

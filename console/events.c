#include "console/events.h"

#include "base/clock.h"
#include "base/text.h"
#include "console/wake.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEPT 4096
#define EVENT_MOST 1024 /* bytes of one event's JSON */
#define BATCH_MS 100    /* at most ten batches a second */

struct event {
    int64_t n;    /* 0: free; -n: replaced by a later equal one */
    uint64_t sum; /* of type and JSON, to compare quickly */
    char *type, *json;
};

/* Events are numbered from 1 and lie in a ring. Those after `taken` no stream has read yet: an equal one may
 * still replace them. */
struct events {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct event ring[KEPT];
    int64_t newest, taken;
    int64_t epoch; /* start of this server, Unix milliseconds: numbers begin again with it */
    int watchers;
    bool stopped;
};

struct events *events_new(void)
{
    struct events *events = calloc(1, sizeof(*events));

    if (!events)
        abort();
    wake_init(&events->wake);
    pthread_mutex_init(&events->lock, NULL);
    events->epoch = clock_now_ms();
    return events;
}

static void event_clear(struct event *event)
{
    free(event->type);
    free(event->json);
    *event = (struct event){0};
}

void events_free(struct events *events)
{
    if (!events)
        return;
    for (int i = 0; i < KEPT; i++)
        event_clear(&events->ring[i]);
    pthread_mutex_destroy(&events->lock);
    pthread_cond_destroy(&events->wake);
    free(events);
}

/* FNV-1a, only to see quickly that two events differ. */
static uint64_t sum_of(const char *type, const char *json)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (const char *part = type; part; part = part == type ? json : NULL) {
        for (const char *c = part; *c; c++)
            sum = (sum ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    }
    return sum;
}

static struct event *slot(struct events *events, int64_t n)
{
    return &events->ring[n % KEPT];
}

/* The later one stays, so that the order of states is right at the end of the batch. */
static void drop_equal(struct events *events, uint64_t sum, const char *type, const char *json)
{
    int64_t oldest = events->newest - KEPT + 1;

    for (int64_t n = events->newest; n > events->taken && n >= oldest && n > 0; n--) {
        struct event *event = slot(events, n);

        if (event->type && event->sum == sum && strcmp(event->type, type) == 0 &&
            strcmp(event->json, json) == 0) {
            event_clear(event);
            event->n = -n;
            return;
        }
    }
}

void events_send(struct events *events, const char *type, const char *json_format, ...)
{
    char json[EVENT_MOST];
    va_list args;

    va_start(args, json_format);
    int size = vsnprintf(json, sizeof(json), json_format, args);
    va_end(args);
    if (size < 0 || size >= (int)sizeof(json) || strpbrk(json, "\r\n"))
        return;
    uint64_t sum = sum_of(type, json);
    char *type_copy = strdup(type), *json_copy = strdup(json);
    if (!type_copy || !json_copy)
        abort();
    pthread_mutex_lock(&events->lock);
    drop_equal(events, sum, type, json);
    struct event *event = slot(events, ++events->newest);
    event_clear(event);
    *event = (struct event){.n = events->newest, .sum = sum, .type = type_copy, .json = json_copy};
    pthread_cond_broadcast(&events->wake);
    pthread_mutex_unlock(&events->lock);
}

int events_watchers(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    int watchers = events->watchers;
    pthread_mutex_unlock(&events->lock);
    return watchers;
}

int64_t events_begin(struct events *events, const char *last_id, bool *reset)
{
    int64_t epoch = 0, n = 0;
    char tail;

    pthread_mutex_lock(&events->lock);
    events->watchers++;
    int64_t newest = events->newest;
    *reset = false;
    if (last_id && *last_id) {
        bool known = strlen(last_id) < 40 &&
                     sscanf(last_id, "%" SCNd64 "-%" SCNd64 "%c", &epoch, &n, &tail) == 2 &&
                     epoch == events->epoch && n >= 0 && n <= newest && n >= newest - KEPT;

        *reset = !known;
        if (known)
            newest = n;
    }
    pthread_mutex_unlock(&events->lock);
    return newest;
}

void events_end(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    events->watchers--;
    pthread_mutex_unlock(&events->lock);
}

void events_id(struct events *events, int64_t at, char *id, unsigned size)
{
    snprintf(id, size, "%" PRId64 "-%" PRId64, events->epoch, at);
}

static bool wait_for(struct events *events, int64_t at, int wait_ms)
{
    struct timespec until = wake_after(wait_ms);

    while (events->newest <= at && !events->stopped) {
        if (pthread_cond_timedwait(&events->wake, &events->lock, &until) != 0)
            break;
    }
    return events->newest > at && !events->stopped;
}

/* More may come at once: what comes within a batch's time goes with it. */
static void wait_batch(struct events *events)
{
    struct timespec until = wake_after(BATCH_MS);

    while (!events->stopped && pthread_cond_timedwait(&events->wake, &events->lock, &until) == 0)
        ;
}

bool events_next(struct events *events, int64_t *at, int wait_ms, struct text *out)
{
    pthread_mutex_lock(&events->lock);
    bool any = wait_for(events, *at, wait_ms);
    if (any) {
        wait_batch(events);
        int64_t oldest = events->newest - KEPT + 1;
        if (*at + 1 < oldest)
            text_puts(out, "event: reset\ndata: {}\n\n");
        for (int64_t n = *at + 1 < oldest ? oldest : *at + 1; n <= events->newest; n++) {
            struct event *event = slot(events, n);

            if (event->n == n)
                text_printf(out, "id: %" PRId64 "-%" PRId64 "\nevent: %s\ndata: %s\n\n", events->epoch, n,
                            event->type, event->json);
        }
        *at = events->newest;
        if (events->taken < *at)
            events->taken = *at;
    }
    pthread_mutex_unlock(&events->lock);
    return any;
}

void events_stop(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    events->stopped = true;
    pthread_cond_broadcast(&events->wake);
    pthread_mutex_unlock(&events->lock);
}

bool events_stopped(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    bool stopped = events->stopped;
    pthread_mutex_unlock(&events->lock);
    return stopped;
}

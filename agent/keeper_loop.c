#include "agent/keeper_loop.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

bool loop_init(struct loop *loop, struct error *err)
{
    memset(loop, 0, sizeof *loop);
    loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    return loop->timer_fd >= 0 || error_errno(err, "timer");
}

void loop_end(struct loop *loop)
{
    fd_close(&loop->timer_fd);
}

bool loop_watch(struct loop *loop, int fd, short events, loop_ready *ready, void *context)
{
    struct loop_watch watch = {.fd = fd, .events = events, .ready = ready, .context = context};
    for (size_t i = 0; i < loop->count; i++) {
        if (loop->watches[i].fd == fd) {
            loop->watches[i] = watch;
            return true;
        }
    }
    if (loop->count == LOOP_WATCHES)
        return false;
    loop->watches[loop->count++] = watch;
    return true;
}

void loop_forget(struct loop *loop, int fd)
{
    for (size_t i = 0; i < loop->count; i++)
        if (loop->watches[i].fd == fd)
            loop->watches[i] = loop->watches[--loop->count];
}

void loop_cancel(struct loop *loop, struct loop_timer *timer)
{
    for (struct loop_timer **at = &loop->timers; *at != NULL; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            break;
        }
    }
    timer->at_ms = 0;
    timer->next = NULL;
}

void loop_at(struct loop *loop, struct loop_timer *timer, int64_t at_ms, loop_due *due, void *context)
{
    loop_cancel(loop, timer);
    timer->at_ms = at_ms > 0 ? at_ms : 1;
    timer->due = due;
    timer->context = context;
    timer->next = loop->timers;
    loop->timers = timer;
}

/* The earliest timer, NULL when none is set. */
static struct loop_timer *earliest(const struct loop *loop)
{
    struct loop_timer *first = loop->timers;
    for (struct loop_timer *at = loop->timers; at != NULL; at = at->next)
        if (at->at_ms < first->at_ms)
            first = at;
    return first;
}

static bool set_alarm(const struct loop *loop, struct error *err)
{
    const struct loop_timer *first = earliest(loop);
    struct itimerspec alarm = {0};
    if (first != NULL) {
        alarm.it_value.tv_sec = first->at_ms / 1000;
        alarm.it_value.tv_nsec = first->at_ms % 1000 * 1000000 + 1; /* never zero, which would disarm */
    }
    return timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &alarm, NULL) == 0 || error_errno(err, "timer");
}

static void call_due(struct loop *loop)
{
    int64_t now = clock_boot_ms();
    struct loop_timer *first;
    while ((first = earliest(loop)) != NULL && first->at_ms <= now) {
        loop_cancel(loop, first);
        first->due(first->context);
    }
}

/* A callback may forget or add watches: each is looked up again by its descriptor before its call. */
static void call_ready(struct loop *loop, const struct pollfd *polled, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (polled[i].revents == 0)
            continue;
        for (size_t k = 0; k < loop->count; k++) {
            if (loop->watches[k].fd == polled[i].fd) {
                loop->watches[k].ready(loop->watches[k].context, polled[i].revents);
                break;
            }
        }
    }
}

bool loop_turn(struct loop *loop, struct error *err)
{
    struct pollfd polled[LOOP_WATCHES + 1];
    size_t count = loop->count;
    if (!set_alarm(loop, err))
        return false;
    for (size_t i = 0; i < count; i++)
        polled[i] = (struct pollfd){.fd = loop->watches[i].fd, .events = loop->watches[i].events};
    polled[count] = (struct pollfd){.fd = loop->timer_fd, .events = POLLIN};
    if (poll(polled, count + 1, -1) < 0)
        return errno == EINTR || error_errno(err, "poll");
    uint64_t expirations;
    if (polled[count].revents != 0 && read(loop->timer_fd, &expirations, sizeof expirations) < 0 &&
        errno != EAGAIN)
        return error_errno(err, "timer");
    /* Deadlines first: whoever floods a descriptor does not delay them. */
    call_due(loop);
    call_ready(loop, polled, count);
    return true;
}

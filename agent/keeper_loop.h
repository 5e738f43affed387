/* The keeper's one thread: waits for descriptors and for moments of CLOCK_BOOTTIME, and calls who asked for
 * them. */
#ifndef AGENT_KEEPER_LOOP_H
#define AGENT_KEEPER_LOOP_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOP_WATCHES 64

typedef void loop_ready(void *context, short events);
typedef void loop_due(void *context);

/* A moment that somebody waits for; lives in its owner. Zeroed: not set. */
struct loop_timer {
    int64_t at_ms; /* clock_boot_ms; 0: not set */
    loop_due *due;
    void *context;
    struct loop_timer *next;
};

struct loop_watch {
    int fd;
    short events;
    loop_ready *ready;
    void *context;
};

struct loop {
    struct loop_watch watches[LOOP_WATCHES];
    size_t count;
    int timer_fd; /* on CLOCK_BOOTTIME, so that a deadline also passes during suspend */
    struct loop_timer *timers;
};

bool loop_init(struct loop *loop, struct error *err);
void loop_end(struct loop *loop);

/* Calls `ready` whenever `events` (poll(2)) or a hang-up come; replaces an earlier watch of the same
 * descriptor. False: the table is full. */
bool loop_watch(struct loop *loop, int fd, short events, loop_ready *ready, void *context);
/* Before the descriptor is closed. Not watched is fine. */
void loop_forget(struct loop *loop, int fd);

/* Sets (or moves) the timer; it is unset before it is called. */
void loop_at(struct loop *loop, struct loop_timer *timer, int64_t at_ms, loop_due *due, void *context);
void loop_cancel(struct loop *loop, struct loop_timer *timer);

/* Waits once and calls whoever is due. False when waiting itself fails. */
bool loop_turn(struct loop *loop, struct error *err);

#endif

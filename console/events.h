/* Live events: what changed, told to every browser that may see it, after the commit. See API.md "Events". */
#ifndef CONSOLE_EVENTS_H
#define CONSOLE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

struct events;

struct events *events_new(void);
void events_free(struct events *events);
/* Queues one event for all streams; equal (type, json) within a batch are sent once. Any thread; never blocks
 * on a stream. */
void events_send(struct events *events, const char *type, const char *json_format, ...)
    __attribute__((format(printf, 3, 4)));
/* Streams that are open now: an operator looks. */
int events_watchers(struct events *events);

/* --- one stream: handlers_audit.c
 * --------------------------------------------------------------------------------- */
struct text;
/* Where a stream begins: after the event of `last_id` ("<epoch>-<n>"), or now when it is NULL. `*reset`: what
 * came since is not known any more. */
int64_t events_begin(struct events *events, const char *last_id, bool *reset);
void events_end(struct events *events); /* the stream is closed */
/* Waits at most `wait_ms` for events after `*at`; adds them to `out` as one batch of server-sent events and
 * moves `*at`. True when there were any. */
bool events_next(struct events *events, int64_t *at, int wait_ms, struct text *out);
/* "<epoch>-<n>" of a place in the stream. */
void events_id(struct events *events, int64_t at, char *id, unsigned size);
/* Wakes all streams, which then end: the server stops. */
void events_stop(struct events *events);
bool events_stopped(struct events *events);

#endif

/* Live events: what changed, told to every browser that may see it, after the commit. See API.md "Events". */
#ifndef CONSOLE_EVENTS_H
#define CONSOLE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

struct events;

struct events *events_new(void);
void events_free(struct events *events);
/* Queues one event for all streams; equal (type, json) within a batch are sent once. Any thread; never blocks on a stream. */
void events_send(struct events *events, const char *type, const char *json_format, ...)
    __attribute__((format(printf, 3, 4)));
/* Streams that are open now: an operator looks. */
int events_watchers(struct events *events);

#endif

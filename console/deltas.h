/* Deltas for devices: which one a device is told to take, and a thread that makes what is asked for and what
 * will be: one at a time, with low priority, what a device waits for first. repo/delta_store.h keeps them.
 *
 *   1 a device asks              4 the pairs of such a version
 *   2 a device doubts one        5 its objects, packed
 *   3 a version is published     6 a pair that is asked for often, thoroughly
 *     or ordered: what to make     (5 and 6 give way to 1)
 *
 * Any thread. Nothing here may fail a request: without a delta the whole object travels. */
#ifndef CONSOLE_DELTAS_H
#define CONSOLE_DELTAS_H

#include "agent/protocol.h"
#include "base/error.h"
#include "repo/delta_store.h"

#include <stdbool.h>
#include <stdint.h>

struct console;
struct deltas;

struct deltas_options {
    int64_t quota;          /* bytes; 0: no deltas at all */
    int64_t thorough_after; /* a pair that was asked for so often is made again, thoroughly */
};
/* Opens the store and starts the thread. `console` is borrowed. */
struct deltas *deltas_start(struct console *console, const struct deltas_options *options, struct error *err);
/* What is being made is dropped. NULL is fine, here and below. */
void deltas_stop(struct deltas *deltas);
struct delta_store *deltas_store(struct deltas *deltas);

enum delta_verdict { DELTA_TAKE, DELTA_TAKE_WHOLE, DELTA_ASK_AGAIN };
struct delta_choice {
    enum delta_verdict verdict;
    const char *old; /* DELTA_TAKE: one of those that were offered */
    int64_t length;  /* of the delta */
    int64_t whole;   /* of the object */
    bool packed;     /* the whole object is there packed as well */
    int retry_after_s;
};
/* The device has `olds` (at most DELTA_CANDIDATES, the likeliest first) and wants `new`. MISSING: there is no
 * such object. */
bool deltas_choose(struct deltas *deltas, int64_t device_id, const char *new, const char *const *olds,
                   size_t count, struct delta_choice *choice, struct error *err);
/* Somebody fetches the whole object and would take it packed. */
void deltas_want_packed(struct deltas *deltas, const char *sha256);
/* A version is there: what the devices that run others will need. */
void deltas_published(struct deltas *deltas, const char *product, const char *asset, const char *version);
/* A device that runs `from` is to run `version`. */
void deltas_ordered(struct deltas *deltas, const char *product, const char *asset, const char *from,
                    const char *version);
/* A device says that this delta (`old` NULL: the packed object) gave it wrong bytes; both are sha256. */
void deltas_doubted(struct deltas *deltas, int64_t device_id, const char *old, const char *new);

/* Counted by the handlers: bytes of deltas and packed objects that were sent for wholes of so many bytes. */
void deltas_sent(struct deltas *deltas, bool delta, bool begun, int64_t sent, int64_t instead_of);
struct deltas_figures {
    int64_t made, packed, served, sent_bytes, saved_bytes, doubted, damaged; /* since the start */
    int64_t waiting, pairs, whole, bytes;                                    /* now */
};
void deltas_figures(struct deltas *deltas, struct deltas_figures *figures);
/* Waits until nothing is left to do; for tests. False after `ms`. */
bool deltas_idle(struct deltas *deltas, int64_t ms);

#endif

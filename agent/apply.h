/* When a version that the order names is taken up: not before a time, only inside a daily window of the
 * device's own local time, only after a start of the agent. FORMAT.md "Order". */
#ifndef AGENT_APPLY_H
#define AGENT_APPLY_H

#include "base/clock.h"
#include "repo/manifest.h"

/* What it is judged by. */
struct apply_now {
    int64_t time;    /* Unix seconds */
    bool time_known; /* the clock is not below what it has been */
    int64_t start;   /* this start of the agent, in order */
};

/* True when nothing holds it back. Else `why` (NULL: not wanted) is the end of a sentence: "waits for …".
 * `accepted_start`: the start that accepted it. The zone is the process's (TZ, /etc/localtime), looked up
 * anew each time: a window follows daylight saving; one that a change skips opens the next day. */
bool apply_is_due(const struct apply *apply, int64_t accepted_start, const struct apply_now *now, char *why,
                  size_t room);

#endif

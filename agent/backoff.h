/* How long to wait after failures: 1, 2, 4 … seconds up to a limit, full jitter ("Exponential Backoff And
 * Jitter", AWS Architecture Blog 2015). */
#ifndef AGENT_BACKOFF_H
#define AGENT_BACKOFF_H

#include <stdint.h>

struct backoff {
    int failures;     /* in a row */
    int64_t limit_ms; /* longest wait, at least 1,000 */
};

/* The wait after one more failure, in ms: between 50 and min(limit, 2^failures seconds). */
int64_t backoff_next(struct backoff *backoff);
void backoff_reset(struct backoff *backoff);
/* `ms` ± `percent` %, evenly spread. */
int64_t jitter(int64_t ms, int percent);

#endif

#include "agent/backoff.h"

#include "base/digest.h"

#define FIRST_MS 1000
#define LEAST_MS 50
#define DOUBLINGS 16

/* Evenly from [0, most]. */
static int64_t any(int64_t most)
{
    uint64_t random;

    random_bytes(&random, sizeof(random));
    return (int64_t)(random % ((uint64_t)most + 1));
}

int64_t backoff_next(struct backoff *backoff)
{
    int64_t limit = backoff->limit_ms < FIRST_MS ? FIRST_MS : backoff->limit_ms;
    int64_t most = (int64_t)FIRST_MS << (backoff->failures < DOUBLINGS ? backoff->failures : DOUBLINGS);

    if (backoff->failures < DOUBLINGS)
        backoff->failures++;
    if (most > limit)
        most = limit;
    return LEAST_MS + any(most - LEAST_MS);
}

void backoff_reset(struct backoff *backoff)
{
    backoff->failures = 0;
}

int64_t jitter(int64_t ms, int percent)
{
    int64_t part = ms * percent / 100;

    return ms - part + any(2 * part);
}

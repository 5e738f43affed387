/* Waiting for a condition with a bound: by CLOCK_MONOTONIC, which nobody sets. */
#ifndef CONSOLE_WAKE_H
#define CONSOLE_WAKE_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* pthread_cond_destroy ends it. */
void wake_init(pthread_cond_t *condition);
/* So many milliseconds from now on, for pthread_cond_timedwait on such a condition. */
struct timespec wake_after(int64_t ms);

#endif

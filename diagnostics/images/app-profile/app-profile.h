/* One look at the app, and the table of its threads. */
#ifndef DIAGNOSTICS_IMAGES_APP_PROFILE_H
#define DIAGNOSTICS_IMAGES_APP_PROFILE_H

#include "diagnostics/images/program.h"

#include <stdbool.h>
#include <stdint.h>

/* What one look found. Counters only rise while the process is the same; -1: the device does not tell. */
struct look {
    double time;             /* Unix seconds */
    int64_t at_ns;           /* CLOCK_MONOTONIC */
    int64_t pid, start_time; /* pid 0: there is no app; start_time in ticks since the boot */
    int64_t user, system;    /* processor time in ticks, all threads, also those that ended */
    int64_t major_faults;    /* pages that had to be read in */
    int64_t threads;         /* now */
    int64_t resident_kb, virtual_kb, swap_kb;
    int64_t descriptors;
    int64_t rchar, wchar;            /* bytes of read and write calls */
    int64_t read_bytes, write_bytes; /* bytes that had to come from or go to storage */
    int64_t calls;                   /* of read and write */
};

/* Reads the keeper's figures and /proc. A file that is not there or is not what it should be leaves its -1.
 */
void look_take(struct look *look);

#define THREADS_MOST 512

/* A thread of the app over the whole run. */
struct thread {
    int64_t pid, tid, start_time;
    char name[32];
    char state;                                     /* as last seen */
    double first_seen, last_seen;                   /* Unix seconds */
    int64_t user_first, system_first, user, system; /* ticks, at the first and at the last look */
    int64_t switches_first, switches;               /* given up and taken away, together; -1: not told */
};

struct threads {
    struct thread rows[THREADS_MOST];
    int count;
    bool more; /* there were more than fit */
};

/* Looks at every thread of `pid` and notes what changed. */
void threads_look(struct threads *threads, int64_t pid);
void threads_write(const struct threads *threads, FILE *csv);

#endif

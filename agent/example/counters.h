/* The machine's own counters as a vector of numbers that a model can judge. */
#ifndef EXAMPLE_COUNTERS_H
#define EXAMPLE_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#define COUNTERS 9
#define COUNTERS_LEAST 16  /* samples before rates mean something: processor time is counted in ticks */
#define COUNTERS_WINDOW 32 /* samples that are remembered, rates are taken over the oldest */

extern const char *const counter_names[COUNTERS];

struct counters_raw {
    int64_t at_ns;
    uint64_t values[COUNTERS]; /* rising, but for memory */
    uint64_t cpu_all, memory_total;
};
/* Remembers the last samples; zeroed to begin with. One thread. */
struct counters {
    struct counters_raw ring[COUNTERS_WINDOW];
    unsigned long taken;
};

/* Reads /proc and gives shares (0..1) and logarithms of rates since the oldest remembered sample. False for
 * the first samples, or when /proc cannot be read. */
bool counters_take(struct counters *counters, double vector[COUNTERS]);

int64_t monotonic_ns(void);

#endif

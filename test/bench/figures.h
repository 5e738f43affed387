/* What a bench measures, and the table that it prints. */
#ifndef TEST_BENCH_FIGURES_H
#define TEST_BENCH_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Time that went by, and time that this thread computed in it: on a machine that others use as well the
 * second says what the work costs. Microseconds. */
struct spent {
    int64_t wall, cpu;
};
struct spent spent_begin(void);
struct spent spent_since(struct spent begin);

struct samples {
    struct spent *items; /* owned */
    size_t count, room;
};
void samples_add(struct samples *samples, struct spent spent);
void samples_end(struct samples *samples);
/* The value that so many percent do not exceed, each of wall and cpu by itself; zero without samples. */
struct spent samples_percentile(const struct samples *samples, int percent);

/* Prints one line; aim_us 0: no aim. A figure holds when its wall time does. False when neither does, nor the
 * computing time. */
bool figure_print(const char *name, struct spent spent, int64_t aim_us);
void figures_head(const char *title);

#endif

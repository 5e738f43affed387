/* Many devices in memory, without connections: they come when the console told them to, through the function
 * that answers a check-in, take up what their orders say, and report their diagnostic runs with signed
 * proofs. */
#ifndef TEST_BENCH_CROWD_H
#define TEST_BENCH_CROWD_H

#include "console/console.h"

#include <stddef.h>
#include <stdint.h>

struct crowd;

/* Rows for so many accepted devices of product demo, dev-000001 and so on, of hardware a and b in turn. */
struct crowd *crowd_seed(struct db *db, size_t count);
/* What a device says that it runs: the hash of a version's manifest. */
void crowd_know(struct crowd *crowd, const char *version, const char *manifest);
void crowd_free(struct crowd *crowd);
/* Lets come whose time it is, for at most so long. They come `haste` times as often as they were told. */
void crowd_live(struct crowd *crowd, struct console *console, int64_t haste, int64_t ms);
/* How many run this version of model; how many runs came to their end. */
size_t crowd_runs(const struct crowd *crowd, const char *version);
size_t crowd_returned(const struct crowd *crowd);
int64_t crowd_checkins(const struct crowd *crowd);
/* CLOCK_MONOTONIC, microseconds, when the first device took an order with another version of model, or with a
 * run, since crowd_watch. 0: none yet. */
void crowd_watch(struct crowd *crowd);
int64_t crowd_first(const struct crowd *crowd);

#endif

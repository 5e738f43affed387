/* Files in memory, deltas of them, and pairs made at random. */
#ifndef TEST_REPO_DELTA_PAIR_H
#define TEST_REPO_DELTA_PAIR_H

#include "test/repo/fixture.h"

#include "repo/delta_make.h"

struct bytes {
    uint8_t *bytes;
    size_t size;
};

struct random {
    uint64_t state;
};
uint64_t random_next(struct random *random);
size_t random_below(struct random *random, size_t bound);
void random_fill(struct random *random, void *bytes, size_t size);

/* A file without a name that holds these bytes, its offset at the start. */
int file_of(const void *bytes, size_t size);
struct bytes bytes_of(int fd);

/* The delta of two files; `made` may be NULL. Never given up. */
struct bytes delta_of(const struct bytes *old, const struct bytes *new, enum delta_effort effort,
                      struct delta_made *made);
/* Applies it, fed in pieces of `step` bytes; false and `err` as the apply says. The new file's bytes, and its
 * hash as the apply tells it, are compared with `new`. */
bool delta_gives(const struct bytes *delta, const struct bytes *old, const struct bytes *new, size_t step,
                 struct error *err);

/* An old file of any of many kinds, and a new one made of it in some of many ways. */
void pair_random(uint64_t seed, struct bytes *old, struct bytes *new);

#endif

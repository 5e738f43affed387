/* What the files of delta_make share: find what is alike (delta_make_match.c, delta_make_fine.c), lay the new
 * file out as pieces (delta_make_plan.c, delta_make_align.c), code what is no copy (delta_make_code.c), write
 * blocks (delta_make.c). */
#ifndef REPO_DELTA_MAKE_PARTS_H
#define REPO_DELTA_MAKE_PARTS_H

#include "repo/delta_coding.h"
#include "repo/delta_make.h"
#include "repo/delta_make_same.h"

#include <signal.h>

struct delta_side {
    const uint8_t *bytes;
    int64_t length;
    const volatile sig_atomic_t *lost; /* its bytes are 0 now (repo/delta_map.h) */
};

/* A part of the new file that lies in the old one, or (self) earlier in the new one, byte by byte. */
struct delta_match {
    int64_t at, place, length;
    bool self;
    bool followed; /* what lies between it and the match before is much like the old file there */
};
struct delta_matches {
    struct delta_match *all;
    size_t count, room;
};

enum delta_kind {
    DELTA_COPY,
    DELTA_SELF,
    DELTA_NEAR, /* like the old bytes at `place` */
    DELTA_FRESH /* like nothing; `place` is where it would be if it were */
};
/* The new file is one piece after the other. */
struct delta_piece {
    int64_t at, length, place;
    enum delta_kind kind;
};
struct delta_plan {
    struct delta_piece *all;
    size_t count, room;
};

/* One of the ways to lay a file out; which is the smallest is found by trying. */
struct delta_way {
    int64_t split;    /* equal bytes between differences that are a copy of their own, at least */
    int64_t shortest; /* what else is a copy, at least */
    unsigned element; /* differences between copies are grown to whole elements of so many bytes; 1: not */
    bool fresh;       /* nothing is near: for text, whose words zstd finds by itself */
};

struct delta_maker {
    const struct delta_make *make;
    struct delta_way way;
    struct delta_side old, new;
    struct delta_matches matches;
    struct delta_plan plan;
    bool thorough;
    bool tries;    /* a sample is coded only to see how large it gets */
    double left_s; /* of a quick delta: CPU seconds that may still be spent */
};

/* What a quick delta costs is counted, with what each step took where it was measured, and not read from a
 * clock: so a pair's delta is the same on every machine. Spends `count` times `ns`, whatever is left; or only
 * when so much is left. A thorough delta affords all. */
void delta_spend(struct delta_maker *maker, double count, double ns);
bool delta_afford(struct delta_maker *maker, double count, double ns);

/* Memory of any content, to be freed; `large` when all of it is going to be used: large pages are quicker. */
void *delta_make_alloc(size_t size, bool large);

bool delta_make_stops(const struct delta_maker *maker); /* was it cancelled, or a file lost? */

/* Fills maker->matches, in the new file's order, none overlapping. */
void delta_match_chunks(struct delta_maker *maker, const struct delta_chunks *old_chunks,
                        const struct delta_chunks *new_chunks);
/* Looks between them for what is too small for chunks. */
void delta_match_fine(struct delta_maker *maker);
void delta_match_add(struct delta_matches *matches, const struct delta_match *match);

/* Fills maker->plan from the matches, in maker->way. */
void delta_plan_make(struct delta_maker *maker);
/* Gives fresh pieces of numbers that all moved a little the place that they are near to, and splits them
 * there. */
void delta_plan_align(struct delta_maker *maker);

/* The most similar part of the old file, of at most `size` bytes. */
struct delta_window;
struct delta_window *delta_window_new(const struct delta_side *old, int64_t size);
void delta_window_free(struct delta_window *window);
/* False when none is similar enough to be worth a try. */
bool delta_window_find(struct delta_window *window, const uint8_t *bytes, size_t size, int64_t *place,
                       int64_t *length);

/* One block's bytes that are no copies, and how they were coded. */
struct delta_coder;
struct delta_coder *delta_coder_new(struct delta_maker *maker); /* before the plan is written */
void delta_coder_free(struct delta_coder *coder);
/* Is this fresh piece better coded by its difference from the old bytes at its place? */
bool delta_coder_is_near(struct delta_coder *coder, const struct delta_piece *piece);

/* Guesses from a few pieces what one byte of the plan that is no copy will take, in bytes; cheap. */
double delta_coder_guess(struct delta_coder *coder);

/* A block's runs as they are gathered. */
struct delta_run {
    int64_t place; /* of the copy, absolute; INT64_MIN: where it is expected, and nothing is copied */
    uint32_t copy, near, fresh;
    bool self;
    int64_t at; /* in the new file */
};
/* Writes a block's table; there is room for 4 bytes and 40 for each run. Gives its size. */
size_t delta_table_write(const struct delta_run *runs, size_t count, uint8_t *table);

struct delta_coded {
    struct delta_block block;
    const uint8_t *table, *near, *fresh; /* until the next call */
};
/* At most DELTA_RUNS / 2 runs, whose near and fresh bytes are at most DELTA_SEGMENT together. */
void delta_coder_code(struct delta_coder *coder, const struct delta_run *runs, size_t count,
                      struct delta_coded *coded);

#endif

/* What the two files of the coder share: the streams of a block are coded in delta_make_code.c, what bytes
 * would take is weighed by counting in delta_make_weigh.c. */
#ifndef REPO_DELTA_MAKE_CODER_H
#define REPO_DELTA_MAKE_CODER_H

#include "repo/delta_make_parts.h"

#include <zstd.h>

#define DELTA_HUGE_COST 1e30
#define DELTA_LOOK (4 << 10)   /* bytes that decide where a run's elements begin */
#define DELTA_LARGE (64 << 10) /* a piece that is looked at whatever it costs */
#define DELTA_BITS_NS 2.5      /* a byte whose planes are counted, for each shape; see delta_spend */

struct delta_shape_name {
    uint8_t coding, element;
};
#define DELTA_NEAR_SHAPES 8
extern const struct delta_shape_name delta_near_shapes[DELTA_NEAR_SHAPES];
#define DELTA_FRESH_SHAPES 2
extern const struct delta_shape_name delta_fresh_shapes[DELTA_FRESH_SHAPES];

/* One of the two streams of a block while it is coded. */
struct delta_coder_stream {
    uint8_t *bytes, *reference; /* reference NULL: fresh */
    uint32_t lengths[DELTA_RUNS];
    size_t size;
    struct delta_stream said;
    uint8_t *best;                 /* the smallest coding so far, said.coded bytes */
    struct delta_shape_name shape; /* what the last block chose, */
    double ratio;                  /* and how well it did */
    unsigned taken;                /* how often its choice was taken over without a look */
};

struct delta_coder {
    struct delta_maker *maker;
    ZSTD_CCtx *zstd;
    struct delta_mixed *mixed;
    struct delta_run *runs; /* of the block, with those that begin elements anew */
    size_t count;
    struct delta_coder_stream near, fresh;
    uint8_t *room; /* what planes, trial, table_coded and the streams' bytes lie in */
    uint8_t *planes, *trial, *table, *table_coded;
    size_t trial_room;
    uint8_t *sample, *sample_reference;
    uint32_t sample_lengths[DELTA_RUNS];
    struct delta_window *window;
    float weights[DELTA_LOOK + 1]; /* n * log2(n) */
    bool was_near;                 /* the last piece that was asked about, */
    int64_t near_diagonal;         /* and where */
};

/* Gives the coded size, SIZE_MAX when that fails; `out` has trial_room bytes. */
size_t delta_coder_squeeze(struct delta_coder *coder, int level, const uint8_t *bytes, size_t size,
                           uint8_t *out);
/* The old file's bytes from `place` on, and 0 where it has ended. */
void delta_coder_reference(const struct delta_side *old, uint8_t *to, int64_t place, size_t size);
/* Fills coder->weights. */
void delta_coder_weights(struct delta_coder *coder);
/* The first place in a run, 0 to 3, from which on its bytes are best taken as elements of 4. */
unsigned delta_coder_phase(struct delta_coder *coder, const uint8_t *bytes, const uint8_t *reference,
                           size_t size);

#endif

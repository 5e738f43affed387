/* Codes the bytes of a block that are no copies: each stream as the smallest of what a sample says is worth
 * trying. */
#include "repo/delta_make_parts.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define SAMPLE (128 << 10) /* bytes that decide what is tried on a block */
#define SLICE (16 << 10)   /* of one run, at most */
#define GUESSES 16         /* pieces that tell what the whole will be like, */
#define GUESS (32 << 10)   /* by so many bytes of each; */
#define FEWEST 3           /* so many, when they say that much is saved */
#define HUGE_COST 1e30
#define SORTED_BLOCK (16 << 10) /* twice as much when it must be quick */
#define PLANE_ALONE (1 << 10)   /* a smaller plane is not worth a block of its own */
#define LOOK (4 << 10)          /* bytes that decide where a run's elements begin */
#define FEW 8192
#define MUCH 0.1         /* of a block's size: when so much more or less remains, the bytes are others */
#define MOST_TAKEN 8     /* blocks whose choice is taken over */
#define LARGE (64 << 10) /* a piece that is looked at whatever it costs */

/* What it takes where it was measured, in nanoseconds; see delta_spend. */
#define EQUAL_NS 0.3    /* a byte compared */
#define SAME_NS 60.0    /* a byte of the coding "mixed" that is the reference's, */
#define OTHER_NS 500.0  /* and another */
#define TRIAL_NS 4.0    /* a byte of a sample, for each shape */
#define BITS_NS 2.5     /* a byte whose planes are counted, for each shape, */
#define PIECE_SHAPES 18 /* as many as are, for a piece, */
#define PIECE_NS 3e4    /* and what else a piece takes */
#define LEVEL_NS 3.0    /* a byte at zstd's level 3, beyond level 1 */
#define NOTED_NS 1.0    /* a byte of the old file, for the windows; and one looked for */
#define PREFIX_NS 4.0   /* a byte of a window, and of what is coded with it */

struct shape_name {
    uint8_t coding, element;
};
static const struct shape_name near_shapes[] = {{DELTA_DIFFERENCE, 1}, {DELTA_XOR, 1},     {DELTA_XOR, 2},
                                                {DELTA_DIFFERENCE, 2}, {DELTA_ORDERED, 2}, {DELTA_XOR, 4},
                                                {DELTA_DIFFERENCE, 4}, {DELTA_ORDERED, 4}};
static const struct shape_name sorted_shapes[] = {{DELTA_SORTED_DIFFERENCE, 2},
                                                  {DELTA_SORTED_ORDERED, 2},
                                                  {DELTA_SORTED_DIFFERENCE, 4},
                                                  {DELTA_SORTED_ORDERED, 4}};
#define NEAR_SHAPES (sizeof near_shapes / sizeof near_shapes[0])
static const struct shape_name fresh_shapes[] = {{DELTA_PLANES, 2}, {DELTA_PLANES, 4}};
#define FRESH_SHAPES (sizeof fresh_shapes / sizeof fresh_shapes[0])

/* One of the two streams of a block while it is coded. */
struct stream {
    uint8_t *bytes, *reference; /* reference NULL: fresh */
    uint32_t lengths[DELTA_RUNS];
    size_t size;
    struct delta_stream said;
    uint8_t *best;           /* the smallest coding so far, said.coded bytes */
    struct shape_name shape; /* what the last block chose, */
    double ratio;            /* and how well it did */
    unsigned taken;          /* how often its choice was taken over without a look */
};

struct delta_coder {
    struct delta_maker *maker;
    ZSTD_CCtx *zstd;
    struct delta_mixed *mixed;
    struct delta_run *runs; /* of the block, with those that begin elements anew */
    size_t count;
    struct stream near, fresh;
    uint8_t *room; /* what planes, trial, table_coded and the streams' bytes lie in */
    uint8_t *planes, *trial, *table, *table_coded;
    size_t trial_room;
    uint8_t *sample, *sample_reference;
    uint32_t sample_lengths[DELTA_RUNS];
    struct delta_window *window;
    float weights[LOOK + 1]; /* n * log2(n) */
    bool was_near;           /* the last piece that was asked about, */
    int64_t near_diagonal;   /* and where */
};

/* --- zstd --- */
static size_t squeeze(struct delta_coder *coder, int level, const uint8_t *bytes, size_t size, uint8_t *out)
{
    ZSTD_CCtx_reset(coder->zstd, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(coder->zstd, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(coder->zstd, ZSTD_c_contentSizeFlag, 0);
    size_t coded = ZSTD_compress2(coder->zstd, out, coder->trial_room, bytes, size);
    return ZSTD_isError(coded) ? SIZE_MAX : coded;
}

static bool is_sorted(const struct delta_shape *shape)
{
    return shape->coding == DELTA_SORTED_DIFFERENCE || shape->coding == DELTA_SORTED_ORDERED;
}

/* Each plane in blocks of zstd of its own, for its values are as likely as they are in no other; sorted ones
 * in many, for along them that changes too. */
static size_t squeeze_planes(struct delta_coder *coder, const struct delta_shape *shape)
{
    size_t plane = delta_planes_elements(shape);
    size_t sorted = coder->maker->thorough ? SORTED_BLOCK : 2 * SORTED_BLOCK;
    size_t most = is_sorted(shape) ? sorted : plane < PLANE_ALONE ? shape->size : plane;
    ZSTD_inBuffer in = {coder->planes, 0, 0};
    ZSTD_outBuffer out = {coder->trial, coder->trial_room, 0};

    ZSTD_CCtx_reset(coder->zstd, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(coder->zstd, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setParameter(coder->zstd, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setPledgedSrcSize(coder->zstd, shape->size);
    while (in.size < shape->size) {
        in.size = shape->size - in.size < most ? shape->size : in.size + most;
        if (ZSTD_compressStream2(coder->zstd, &out, &in, in.size < shape->size ? ZSTD_e_flush : ZSTD_e_end))
            return SIZE_MAX;
    }
    return out.pos;
}

static size_t squeeze_window(struct delta_coder *coder, int level, const struct stream *stream,
                             const uint8_t *window, size_t window_size)
{
    unsigned log = 20;

    while ((size_t)1 << log < window_size + stream->size)
        log++;
    ZSTD_CCtx_reset(coder->zstd, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(coder->zstd, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(coder->zstd, ZSTD_c_windowLog, (int)log);
    ZSTD_CCtx_setParameter(coder->zstd, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_refPrefix(coder->zstd, window, window_size);
    size_t coded = ZSTD_compress2(coder->zstd, coder->trial, coder->trial_room, stream->bytes, stream->size);
    return ZSTD_isError(coded) ? SIZE_MAX : coded;
}

/* The trial is the best so far: keeps it. */
static void keep_trial(struct delta_coder *coder, struct stream *stream, struct shape_name shape,
                       size_t coded)
{
    if (coded >= stream->said.coded)
        return;
    uint8_t *swap = stream->best;
    stream->best = coder->trial;
    coder->trial = swap;
    stream->said.coding = shape.coding;
    stream->said.element = shape.element;
    stream->said.coded = (uint32_t)coded;
}

/* --- where elements begin --- */
/* The logarithm to base 2, good to 0.01: enough to compare by, and no libm. */
static double log2_of(double x)
{
    union {
        double number;
        uint64_t bits;
    } of = {.number = x};
    double exponent = (double)(int)(of.bits >> 52) - 1023;

    of.bits = (of.bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1023) << 52;
    return exponent + (of.number - 1) * (1.3465553 - 0.3465553 * (of.number - 1));
}

/* n * log2(n), for as many as a count mostly is. */
static double weight_of(const struct delta_coder *coder, uint32_t n)
{
    return n <= LOOK ? coder->weights[n] : n * log2_of(n);
}

/* Bits that these bytes would take if each plane were coded by itself, by the counts of its bytes alone. */
static double plane_bits(struct delta_coder *coder, const struct delta_shape *shape, const uint8_t *bytes,
                         const uint8_t *reference)
{
    size_t elements = shape->size / shape->element;
    double bits = shape->element * weight_of(coder, (uint32_t)elements);

    delta_planes_split(shape, bytes, reference, coder->planes);
    for (unsigned plane = 0; plane < shape->element; plane++) {
        uint32_t counts[256] = {0};

        for (size_t i = 0; i < elements; i++)
            counts[coder->planes[plane * elements + i]]++;
        for (int i = 0; i < 256; i++)
            bits -= weight_of(coder, counts[i]);
    }
    return bits;
}

/* The first place in a run, 0 to 3, from which on its bytes are best taken as elements of 4. */
static unsigned phase_of(struct delta_coder *coder, const uint8_t *bytes, const uint8_t *reference,
                         size_t size)
{
    uint32_t length = (uint32_t)((size < LOOK + 4 ? size - 3 : LOOK) & ~(size_t)3);
    struct delta_shape shape = {.coding = reference ? DELTA_ORDERED : DELTA_PLANES,
                                .element = 4,
                                .runs = &length,
                                .count = 1,
                                .size = length};
    size_t start = size < LOOK + 4 ? 0 : (size - LOOK - 4) / 2 & ~(size_t)3;
    double least = HUGE_COST;
    unsigned best = 0;

    for (unsigned phase = 0; phase < 4; phase++) {
        double bits =
            plane_bits(coder, &shape, bytes + start + phase, reference ? reference + start + phase : NULL);

        if (bits < least * 0.99) {
            least = bits;
            best = phase;
        }
    }
    return best;
}

/* --- gathering a block --- */
static void gather_reference(const struct delta_side *old, uint8_t *to, int64_t place, size_t size)
{
    int64_t left = old->length - place;
    size_t there = left <= 0 ? 0 : (int64_t)size < left ? size : (size_t)left;

    if (there)
        memcpy(to, old->bytes + place, there);
    memset(to + there, 0, size - there);
}

static void gather(struct delta_coder *coder, const struct delta_run *runs, size_t count)
{
    const struct delta_maker *maker = coder->maker;
    int64_t expected = runs->at;

    coder->near.size = coder->fresh.size = 0;
    memcpy(coder->runs, runs, count * sizeof *runs);
    coder->count = count;
    for (size_t i = 0; i < count; i++) {
        int64_t near_at = runs[i].at + runs[i].copy;

        if (!runs[i].self && runs[i].place != INT64_MIN)
            expected = runs[i].place;
        expected += runs[i].copy;
        memcpy(coder->near.bytes + coder->near.size, maker->new.bytes + near_at, runs[i].near);
        gather_reference(&maker->old, coder->near.reference + coder->near.size, expected, runs[i].near);
        memcpy(coder->fresh.bytes + coder->fresh.size, maker->new.bytes + near_at + runs[i].near,
               runs[i].fresh);
        coder->near.size += runs[i].near;
        coder->fresh.size += runs[i].fresh;
        expected += (int64_t)runs[i].near + runs[i].fresh;
    }
}

static void lengths_of(struct delta_coder *coder)
{
    for (size_t i = 0; i < coder->count; i++) {
        coder->near.lengths[i] = coder->runs[i].near;
        coder->fresh.lengths[i] = coder->runs[i].fresh;
    }
}

/* Ends a run after `cut` bytes of its near ones (or of its fresh ones), so that elements begin there. */
static void cut_run(struct delta_coder *coder, size_t i, bool near, unsigned cut)
{
    struct delta_run *run = &coder->runs[i], rest = *run;

    rest.at += run->copy + (near ? cut : run->near + cut);
    rest.copy = 0;
    rest.self = false;
    rest.place = INT64_MIN; /* where it is expected */
    rest.near = near ? run->near - cut : 0;
    if (near)
        run->fresh = 0;
    else
        rest.fresh = run->fresh - cut;
    if (near)
        run->near = cut;
    else
        run->fresh = cut;
    memmove(run + 2, run + 1, (coder->count - i - 1) * sizeof *run);
    coder->runs[i + 1] = rest;
    coder->count++;
}

/* Makes long runs of the stream begin where their elements do. */
static void find_phases(struct delta_coder *coder, struct stream *stream, bool near)
{
    bool thorough = coder->maker->thorough;
    size_t at = 0;

    if (!thorough && stream->ratio > 0 && stream->shape.element == 1)
        return; /* as the block before, which has none */
    for (size_t i = 0; i < coder->count && coder->count < DELTA_RUNS; i++) {
        size_t size = near ? coder->runs[i].near : coder->runs[i].fresh;

        if (size >= (thorough ? 512 : LOOK) &&
            (size >= LARGE || delta_afford(coder->maker, 4 * LOOK, BITS_NS))) {
            unsigned phase =
                phase_of(coder, stream->bytes + at, stream->reference ? stream->reference + at : NULL, size);
            if (phase)
                cut_run(coder, i++, near, phase);
        }
        at += size;
    }
}

/* --- choosing --- */
/* Slices of the stream's runs, as runs of their own. */
static void take_sample(struct delta_coder *coder, const struct stream *stream, struct delta_shape *shape)
{
    size_t most = coder->maker->thorough ? SAMPLE : SAMPLE / 2;
    size_t every = stream->size / most + 1, at = 0, seen = 0;

    shape->runs = coder->sample_lengths;
    shape->count = shape->size = 0;
    for (size_t i = 0; i < coder->count; at += stream->lengths[i++]) {
        for (size_t from = 0; from < stream->lengths[i]; from += SLICE) {
            size_t size = stream->lengths[i] - from < SLICE ? stream->lengths[i] - from : SLICE;

            seen += size;
            if (shape->size * every > seen || shape->size + size > most || shape->count == DELTA_RUNS)
                continue;
            memcpy(coder->sample + shape->size, stream->bytes + at + from, size);
            if (stream->reference)
                memcpy(coder->sample_reference + shape->size, stream->reference + at + from, size);
            coder->sample_lengths[shape->count++] = (uint32_t)size;
            shape->size += size;
        }
    }
}

/* What the sample takes in this shape. */
static size_t try_shape(struct delta_coder *coder, struct delta_shape *shape, struct shape_name name,
                        bool near)
{
    shape->coding = name.coding;
    shape->element = name.element;
    delta_planes_split(shape, coder->sample, near ? coder->sample_reference : NULL, coder->planes);
    return squeeze_planes(coder, shape);
}

static struct shape_name choose_shape(struct delta_coder *coder, const struct stream *stream)
{
    bool near = stream->reference != NULL;
    const struct shape_name *shapes = near ? near_shapes : fresh_shapes;
    size_t count = near ? NEAR_SHAPES : FRESH_SHAPES;
    struct shape_name best = {DELTA_ZSTD, 1};
    struct delta_shape shape;

    take_sample(coder, stream, &shape);
    bool all = coder->maker->thorough || shape.size < FEW; /* a few bytes take no time */
    size_t least = squeeze(coder, 1, coder->sample, shape.size, coder->trial);
    for (size_t i = 0; i < count; i++) {
        size_t coded = try_shape(coder, &shape, shapes[i], near);

        if (coded < least) {
            least = coded;
            best = shapes[i];
        }
    }
    struct shape_name plain = best;
    /* Sorting takes a while: a quick delta tries it where elements were found, and it must be worth that. */
    for (size_t i = 0; near && i < sizeof sorted_shapes / sizeof sorted_shapes[0]; i++) {
        if (!all && sorted_shapes[i].element != plain.element)
            continue;
        size_t coded = try_shape(coder, &shape, sorted_shapes[i], near);
        size_t gain = all || best.coding != plain.coding ? 0 : least / 50;

        if (coded + gain < least) {
            least = coded;
            best = sorted_shapes[i];
        }
    }
    if (least + least / 64 >= shape.size)
        best.coding = DELTA_RAW;
    return best;
}

/* What the coding "mixed" takes, to make and about as long to read: its decisions are one for an equal byte
 * and nine for another. */
static double mixed_ns(const struct stream *near)
{
    size_t equal = delta_equal(near->bytes, near->reference, near->size);

    if (equal < near->size - near->size / 8)
        return HUGE_COST; /* mostly numbers or noise: it would take a second for each MiB */
    return (double)equal * SAME_NS + (double)(near->size - equal) * OTHER_NS;
}

/* Small where a program's addresses moved; a device has more to do for it, so it must be worth that. */
static void code_mixed(struct delta_coder *coder, struct stream *near)
{
    if (!near->reference || near->size < 64 || !delta_afford(coder->maker, (double)near->size, EQUAL_NS) ||
        (!coder->maker->thorough && coder->maker->left_s < (double)near->size * SAME_NS * 1e-9))
        return;
    double ns = mixed_ns(near);
    if (ns >= HUGE_COST || !delta_afford(coder->maker, 1, ns))
        return;
    if (!coder->mixed)
        coder->mixed = delta_mixed_new();
    keep_trial(coder, near, (struct shape_name){DELTA_MIXED, 1},
               delta_mixed_write(coder->mixed, near->bytes, near->reference, near->size, coder->trial,
                                 near->said.coded - near->said.coded / 16));
}

static void code_planes(struct delta_coder *coder, struct stream *stream, struct shape_name name)
{
    struct delta_shape shape = {.coding = name.coding,
                                .element = name.element,
                                .runs = stream->lengths,
                                .count = coder->count,
                                .size = stream->size};

    delta_planes_split(&shape, stream->bytes, stream->reference, coder->planes);
    keep_trial(coder, stream, name, squeeze_planes(coder, &shape));
    code_mixed(coder, stream);
    if (coder->maker->thorough && stream->said.coding != DELTA_MIXED)
        keep_trial(coder, stream, name, squeeze(coder, 19, coder->planes, stream->size, coder->trial));
}

/* What bytes are coded with by themselves. What a sample could not make smaller is tried anyway, as the rest
 * may be other bytes. */
static int level_of(struct delta_coder *coder, struct shape_name shape, size_t size)
{
    if (shape.coding == DELTA_RAW)
        return 1;
    if (coder->maker->thorough)
        return 19;
    return delta_afford(coder->maker, (double)size, LEVEL_NS) ? 3 : 1;
}

/* What choosing takes. */
static double choice_ns(const struct stream *stream)
{
    double sample = stream->size < SAMPLE / 2 ? (double)stream->size : SAMPLE / 2;

    return sample * TRIAL_NS * (stream->reference ? NEAR_SHAPES : FRESH_SHAPES + 1);
}

/* As the block before, or is it time to choose anew? */
static bool is_other(struct delta_coder *coder, const struct stream *stream)
{
    double ratio = (double)stream->said.coded / (double)stream->size, ns = choice_ns(stream);

    if (ratio > stream->ratio * 0.98 && ratio < stream->ratio * 1.02)
        return false;
    if (ratio > stream->ratio - MUCH && ratio < stream->ratio + MUCH)
        return delta_afford(coder->maker, 1, ns + (double)stream->size * TRIAL_NS);
    delta_spend(coder->maker, 1,
                ns); /* other bytes than before: what was good for those may be bad for these */
    return true;
}

/* Nothing comparable came right before. When choosing is too much, the last choice is taken over, but not for
 * long: these may be other bytes. */
static struct shape_name first_shape(struct delta_coder *coder, struct stream *stream)
{
    if (!stream->shape.element || ++stream->taken > MOST_TAKEN ||
        delta_afford(coder->maker, 1, choice_ns(stream))) {
        stream->taken = 0;
        return choose_shape(coder, stream);
    }
    return stream->shape;
}

static void code_stream(struct delta_coder *coder, struct stream *stream)
{
    stream->said = (struct delta_stream){
        .element = 1, .length = (uint32_t)stream->size, .coded = (uint32_t)stream->size};
    memcpy(stream->best, stream->bytes, stream->size);
    if (stream->size < 16)
        return;
    struct shape_name shape = stream->shape;
    if (stream->ratio == 0)
        shape = first_shape(coder, stream);
    for (int again = stream->ratio > 0; again >= 0; again--) {
        if (shape.coding >= DELTA_PLANES)
            code_planes(coder, stream, shape);
        else
            keep_trial(coder, stream, (struct shape_name){DELTA_ZSTD, 1},
                       squeeze(coder, level_of(coder, shape, stream->size), stream->bytes, stream->size,
                               coder->trial));
        if (!again || !is_other(coder, stream))
            break;
        shape = choose_shape(coder, stream);
    }
    stream->shape = shape;
    stream->ratio = stream->size >= DELTA_SEGMENT / 2 ? (double)stream->said.coded / (double)stream->size : 0;
}

/* Small files are their own window. */
static void code_window(struct delta_coder *coder, struct delta_block *block)
{
    struct delta_maker *maker = coder->maker;
    int64_t place, length;

    if (coder->fresh.size < 64 || maker->old.length < 64 ||
        !delta_afford(maker, (double)coder->fresh.size + (coder->window ? 0 : (double)maker->old.length),
                      NOTED_NS))
        return;
    if (!coder->window)
        coder->window = delta_window_new(&maker->old, maker->thorough ? DELTA_WINDOW : DELTA_WINDOW / 3);
    if (!delta_window_find(coder->window, coder->fresh.bytes, coder->fresh.size, &place, &length) ||
        !delta_afford(maker, (double)length + (double)coder->fresh.size, PREFIX_NS))
        return;
    /* Its search tree over the window takes seconds, so not when ways are only tried. */
    int level = !maker->thorough ? 3 : coder->fresh.size < (64 << 10) ? 9 : maker->tries ? 12 : 17;
    size_t coded = squeeze_window(coder, level, &coder->fresh, maker->old.bytes + place, (size_t)length);
    keep_trial(coder, &coder->fresh, (struct shape_name){DELTA_PREFIX, 1}, coded);
    if (coder->fresh.said.coding != DELTA_PREFIX)
        return;
    block->window_place = place;
    block->window_length = (uint32_t)length;
}

/* --- the table --- */
static void write_table(struct delta_coder *coder, struct delta_coded *coded)
{
    size_t size = delta_table_write(coder->runs, coder->count, coder->table);
    size_t small = squeeze(coder, size < FEW ? 6 : 3, coder->table, size, coder->table_coded);
    size_t better = coder->maker->thorough ? squeeze(coder, 19, coder->table, size, coder->trial) : SIZE_MAX;

    if (better < small) /* a higher level is not always better */
        memcpy(coder->table_coded, coder->trial, small = better);
    coded->table = small < size ? coder->table_coded : coder->table;
    coded->block.table = (struct delta_stream){.coding = small < size ? DELTA_ZSTD : DELTA_RAW,
                                               .element = 1,
                                               .length = (uint32_t)size,
                                               .coded = (uint32_t)(small < size ? small : size)};
}

static bool is_planes(const struct stream *stream)
{
    return stream->said.element > 1;
}

void delta_coder_code(struct delta_coder *coder, const struct delta_run *runs, size_t count,
                      struct delta_coded *coded)
{
    *coded = (struct delta_coded){0};
    for (size_t i = 0; i < count; i++)
        coded->block.out += runs[i].copy + runs[i].near + runs[i].fresh;
    gather(coder, runs, count);
    find_phases(coder, &coder->near, true);
    find_phases(coder, &coder->fresh, false);
    lengths_of(coder);
    code_stream(coder, &coder->near);
    code_stream(coder, &coder->fresh);
    code_window(coder, &coded->block);
    if (!is_planes(&coder->near) && !is_planes(&coder->fresh)) { /* the cuts were for nothing */
        memcpy(coder->runs, runs, count * sizeof *runs);
        coder->count = count;
    }
    write_table(coder, coded);
    coded->block.near = coder->near.said;
    coded->block.fresh = coder->fresh.said;
    coded->near = coder->near.best;
    coded->fresh = coder->fresh.best;
}

/* --- one piece --- */
/* What these bytes would take at best, in bytes; by their planes or, without reference, by zstd. */
static double piece_cost(struct delta_coder *coder, const uint8_t *bytes, const uint8_t *reference,
                         size_t size)
{
    const struct shape_name *shapes = reference ? near_shapes : fresh_shapes;
    size_t count = reference ? NEAR_SHAPES : FRESH_SHAPES;
    unsigned phase = phase_of(coder, bytes, reference, size);
    uint32_t length = (uint32_t)((size - phase) & ~(size_t)3);
    struct delta_shape shape = {.runs = &length, .count = 1, .size = length};
    double least = HUGE_COST;

    for (size_t i = 0; i < count; i++) {
        shape.coding = shapes[i].coding;
        shape.element = shapes[i].element;
        double cost =
            plane_bits(coder, &shape, bytes + phase, reference ? reference + phase : NULL) / 8 + phase;
        if (cost < least)
            least = cost;
    }
    if (reference)
        return least;
    double plain = (double)squeeze(coder, 1, bytes, size, coder->trial);
    return plain < least ? plain : least;
}

bool delta_coder_is_near(struct delta_coder *coder, const struct delta_piece *piece)
{
    const struct delta_side *old = &coder->maker->old, *new = &coder->maker->new;
    double near = 0, fresh = 0;
    int64_t diagonal = piece->place - piece->at, slices = piece->length / LOOK < 4 ? 1 : 4;
    double looked;

    if (piece->length < 512 || piece->place < 0 || piece->place > old->length - 512)
        return false;
    if (!coder->maker->thorough && coder->was_near && diagonal == coder->near_diagonal)
        slices = 1; /* most likely it goes on */
    else if (!coder->maker->thorough && slices > 2)
        slices = 2;
    looked =
        (double)(slices * (piece->length < LOOK ? piece->length : LOOK) * PIECE_SHAPES) * BITS_NS + PIECE_NS;
    if (piece->length >= LARGE)
        delta_spend(coder->maker, 1, looked);
    else if (!delta_afford(coder->maker, 1, looked))
        return false;
    for (int64_t i = 0; i < slices; i++) {
        int64_t from = piece->length / slices * i;
        size_t size = piece->length - from < LOOK ? (size_t)(piece->length - from) : LOOK;

        gather_reference(old, coder->sample_reference, piece->place + from, size);
        near += piece_cost(coder, new->bytes + piece->at + from, coder->sample_reference, size);
        fresh += piece_cost(coder, new->bytes + piece->at + from, NULL, size);
    }
    coder->was_near = near < fresh * 0.97;
    coder->near_diagonal = diagonal;
    return coder->was_near;
}

double delta_coder_guess(struct delta_coder *coder)
{
    const struct delta_plan *plan = &coder->maker->plan;
    const struct delta_side *old = &coder->maker->old, *new = &coder->maker->new;
    int64_t literal = 0, next = 0;
    double cost = 0, looked = 0;

    for (size_t i = 0; i < plan->count; i++)
        literal += plan->all[i].kind >= DELTA_NEAR ? plan->all[i].length : 0;
    for (size_t i = 0; i < plan->count; i++) {
        const struct delta_piece *piece = &plan->all[i];

        if (piece->kind < DELTA_NEAR)
            continue;
        next -= piece->length;
        if (next > 0 || piece->length < 512)
            continue;
        if (looked >= FEWEST * GUESS && cost < looked * 0.9)
            break; /* it is worth it */
        next = literal / GUESSES;
        size_t size = piece->length < GUESS ? (size_t)piece->length : GUESS;
        double fresh = piece_cost(coder, new->bytes + piece->at, NULL, size), near = fresh;
        if (piece->place >= 0 && piece->place < old->length) {
            gather_reference(old, coder->sample_reference, piece->place, size);
            near = piece_cost(coder, new->bytes + piece->at, coder->sample_reference, size);
        }
        cost += near < fresh ? near : fresh;
        looked += (double)size;
    }
    return looked > 0 ? cost / looked : 0;
}

/* --- life --- */
/* The next `size` bytes of the room. */
static uint8_t *part_of(uint8_t **room, size_t size)
{
    uint8_t *part = *room;

    *room += (size + 63) & ~(size_t)63;
    return part;
}

static void rooms_open(struct delta_coder *coder)
{
    size_t segment = DELTA_SEGMENT, coded = coder->trial_room + 63;

    coder->room = delta_make_alloc(4 * segment + 4 * coded, coder->maker->new.length >= DELTA_SEGMENT);
    uint8_t *room = coder->room;
    coder->near.bytes = part_of(&room, segment);
    coder->near.reference = part_of(&room, segment);
    coder->near.best = part_of(&room, coder->trial_room);
    coder->fresh.bytes = part_of(&room, segment);
    coder->fresh.best = part_of(&room, coder->trial_room);
    coder->trial = part_of(&room, coder->trial_room);
    coder->table_coded = part_of(&room, coder->trial_room);
    coder->planes = part_of(&room, segment);
}

struct delta_coder *delta_coder_new(struct delta_maker *maker)
{
    struct delta_coder *coder = delta_alloc(1, sizeof *coder);

    coder->maker = maker;
    for (uint32_t n = 2; n <= LOOK; n++)
        coder->weights[n] = (float)(n * log2_of(n));
    coder->zstd = ZSTD_createCCtx();
    if (!coder->zstd)
        abort();
    coder->trial_room = ZSTD_compressBound(DELTA_SEGMENT);
    rooms_open(coder);
    coder->table = delta_alloc(DELTA_RUNS, 40);
    coder->runs = delta_alloc(DELTA_RUNS + 1, sizeof *coder->runs);
    coder->sample = delta_alloc(1, SAMPLE);
    coder->sample_reference = delta_alloc(1, SAMPLE);
    return coder;
}

void delta_coder_free(struct delta_coder *coder)
{
    if (!coder)
        return;
    ZSTD_freeCCtx(coder->zstd);
    delta_mixed_free(coder->mixed);
    delta_window_free(coder->window);
    void *parts[] = {coder->room, coder->table, coder->runs, coder->sample, coder->sample_reference};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        free(parts[i]);
    free(coder);
}

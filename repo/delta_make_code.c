/* Codes the bytes of a block that are no copies: each stream as the smallest of what a sample says is worth
 * trying. */
#include "repo/delta_make_coder.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLE (128 << 10)      /* bytes that decide what is tried on a block */
#define SLICE (16 << 10)        /* of one run, at most */
#define SORTED_BLOCK (16 << 10) /* twice as much when it must be quick */
#define PLANE_ALONE (1 << 10)   /* a smaller plane is not worth a block of its own */
#define FEW 8192
#define MUCH 0.1     /* of a block's size: when so much more or less remains, the bytes are others */
#define MOST_TAKEN 8 /* blocks whose choice is taken over */

/* What it takes where it was measured, in nanoseconds; see delta_spend. */
#define EQUAL_NS 0.3   /* a byte compared */
#define SAME_NS 60.0   /* a byte of the coding "mixed" that is the reference's, */
#define OTHER_NS 500.0 /* and another */
#define TRIAL_NS 4.0   /* a byte of a sample, for each shape */
#define LEVEL_NS 3.0   /* a byte at zstd's level 3, beyond level 1 */
#define NOTED_NS 1.0   /* a byte of the old file, for the windows; and one looked for */
#define PREFIX_NS 4.0  /* a byte of a window, and of what is coded with it */

static const struct delta_shape_name sorted_shapes[] = {{DELTA_SORTED_DIFFERENCE, 2},
                                                        {DELTA_SORTED_ORDERED, 2},
                                                        {DELTA_SORTED_DIFFERENCE, 4},
                                                        {DELTA_SORTED_ORDERED, 4}};

/* --- zstd --- */
size_t delta_coder_squeeze(struct delta_coder *coder, int level, const uint8_t *bytes, size_t size,
                           uint8_t *out)
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

static size_t squeeze_window(struct delta_coder *coder, int level, const struct delta_coder_stream *stream,
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
static void keep_trial(struct delta_coder *coder, struct delta_coder_stream *stream,
                       struct delta_shape_name shape, size_t coded)
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

/* --- gathering a block --- */
void delta_coder_reference(const struct delta_side *old, uint8_t *to, int64_t place, size_t size)
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
        delta_coder_reference(&maker->old, coder->near.reference + coder->near.size, expected, runs[i].near);
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
static void find_phases(struct delta_coder *coder, struct delta_coder_stream *stream, bool near)
{
    bool thorough = coder->maker->thorough;
    size_t at = 0;

    if (!thorough && stream->ratio > 0 && stream->shape.element == 1)
        return; /* as the block before, which has none */
    for (size_t i = 0; i < coder->count && coder->count < DELTA_RUNS; i++) {
        size_t size = near ? coder->runs[i].near : coder->runs[i].fresh;

        if (size >= (thorough ? 512 : DELTA_LOOK) &&
            (size >= DELTA_LARGE || delta_afford(coder->maker, 4 * DELTA_LOOK, DELTA_BITS_NS))) {
            unsigned phase = delta_coder_phase(coder, stream->bytes + at,
                                               stream->reference ? stream->reference + at : NULL, size);
            if (phase)
                cut_run(coder, i++, near, phase);
        }
        at += size;
    }
}

/* --- choosing --- */
/* Slices of the stream's runs, as runs of their own. */
static void take_sample(struct delta_coder *coder, const struct delta_coder_stream *stream,
                        struct delta_shape *shape)
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
static size_t try_shape(struct delta_coder *coder, struct delta_shape *shape, struct delta_shape_name name,
                        bool near)
{
    shape->coding = name.coding;
    shape->element = name.element;
    delta_planes_split(shape, coder->sample, near ? coder->sample_reference : NULL, coder->planes);
    return squeeze_planes(coder, shape);
}

static struct delta_shape_name choose_shape(struct delta_coder *coder,
                                            const struct delta_coder_stream *stream)
{
    bool near = stream->reference != NULL;
    const struct delta_shape_name *shapes = near ? delta_near_shapes : delta_fresh_shapes;
    size_t count = near ? DELTA_NEAR_SHAPES : DELTA_FRESH_SHAPES;
    struct delta_shape_name best = {DELTA_ZSTD, 1};
    struct delta_shape shape;

    take_sample(coder, stream, &shape);
    bool all = coder->maker->thorough || shape.size < FEW; /* a few bytes take no time */
    size_t least = delta_coder_squeeze(coder, 1, coder->sample, shape.size, coder->trial);
    for (size_t i = 0; i < count; i++) {
        size_t coded = try_shape(coder, &shape, shapes[i], near);

        if (coded < least) {
            least = coded;
            best = shapes[i];
        }
    }
    struct delta_shape_name plain = best;
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
static double mixed_ns(const struct delta_coder_stream *near)
{
    size_t equal = delta_equal(near->bytes, near->reference, near->size);

    if (equal < near->size - near->size / 8)
        return DELTA_HUGE_COST; /* mostly numbers or noise: it would take a second for each MiB */
    return (double)equal * SAME_NS + (double)(near->size - equal) * OTHER_NS;
}

/* Small where a program's addresses moved; a device has more to do for it, so it must be worth that. */
static void code_mixed(struct delta_coder *coder, struct delta_coder_stream *near)
{
    if (!near->reference || near->size < 64 || !delta_afford(coder->maker, (double)near->size, EQUAL_NS) ||
        (!coder->maker->thorough && coder->maker->left_s < (double)near->size * SAME_NS * 1e-9))
        return;
    double ns = mixed_ns(near);
    if (ns >= DELTA_HUGE_COST || !delta_afford(coder->maker, 1, ns))
        return;
    if (!coder->mixed)
        coder->mixed = delta_mixed_new();
    keep_trial(coder, near, (struct delta_shape_name){DELTA_MIXED, 1},
               delta_mixed_write(coder->mixed, near->bytes, near->reference, near->size, coder->trial,
                                 near->said.coded - near->said.coded / 16));
}

static void code_planes(struct delta_coder *coder, struct delta_coder_stream *stream,
                        struct delta_shape_name name)
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
        keep_trial(coder, stream, name,
                   delta_coder_squeeze(coder, 19, coder->planes, stream->size, coder->trial));
}

/* What bytes are coded with by themselves. What a sample could not make smaller is tried anyway, as the rest
 * may be other bytes. */
static int level_of(struct delta_coder *coder, struct delta_shape_name shape, size_t size)
{
    if (shape.coding == DELTA_RAW)
        return 1;
    if (coder->maker->thorough)
        return 19;
    return delta_afford(coder->maker, (double)size, LEVEL_NS) ? 3 : 1;
}

/* What choosing takes. */
static double choice_ns(const struct delta_coder_stream *stream)
{
    double sample = stream->size < SAMPLE / 2 ? (double)stream->size : SAMPLE / 2;

    return sample * TRIAL_NS * (stream->reference ? DELTA_NEAR_SHAPES : DELTA_FRESH_SHAPES + 1);
}

/* As the block before, or is it time to choose anew? */
static bool is_other(struct delta_coder *coder, const struct delta_coder_stream *stream)
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
static struct delta_shape_name first_shape(struct delta_coder *coder, struct delta_coder_stream *stream)
{
    if (!stream->shape.element || ++stream->taken > MOST_TAKEN ||
        delta_afford(coder->maker, 1, choice_ns(stream))) {
        stream->taken = 0;
        return choose_shape(coder, stream);
    }
    return stream->shape;
}

static void code_stream(struct delta_coder *coder, struct delta_coder_stream *stream)
{
    stream->said = (struct delta_stream){
        .element = 1, .length = (uint32_t)stream->size, .coded = (uint32_t)stream->size};
    memcpy(stream->best, stream->bytes, stream->size);
    if (stream->size < 16)
        return;
    struct delta_shape_name shape = stream->shape;
    if (stream->ratio == 0)
        shape = first_shape(coder, stream);
    for (int again = stream->ratio > 0; again >= 0; again--) {
        if (shape.coding >= DELTA_PLANES)
            code_planes(coder, stream, shape);
        else
            keep_trial(coder, stream, (struct delta_shape_name){DELTA_ZSTD, 1},
                       delta_coder_squeeze(coder, level_of(coder, shape, stream->size), stream->bytes,
                                           stream->size, coder->trial));
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
    keep_trial(coder, &coder->fresh, (struct delta_shape_name){DELTA_PREFIX, 1}, coded);
    if (coder->fresh.said.coding != DELTA_PREFIX)
        return;
    block->window_place = place;
    block->window_length = (uint32_t)length;
}

/* --- the table --- */
static void write_table(struct delta_coder *coder, struct delta_coded *coded)
{
    size_t size = delta_table_write(coder->runs, coder->count, coder->table);
    size_t small = delta_coder_squeeze(coder, size < FEW ? 6 : 3, coder->table, size, coder->table_coded);
    size_t better =
        coder->maker->thorough ? delta_coder_squeeze(coder, 19, coder->table, size, coder->trial) : SIZE_MAX;

    if (better < small) /* a higher level is not always better */
        memcpy(coder->table_coded, coder->trial, small = better);
    coded->table = small < size ? coder->table_coded : coder->table;
    coded->block.table = (struct delta_stream){.coding = small < size ? DELTA_ZSTD : DELTA_RAW,
                                               .element = 1,
                                               .length = (uint32_t)size,
                                               .coded = (uint32_t)(small < size ? small : size)};
}

static bool is_planes(const struct delta_coder_stream *stream)
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
    delta_coder_weights(coder);
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

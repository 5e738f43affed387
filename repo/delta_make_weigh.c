/* Weighs what bytes would take, by the counts of their values alone: where elements begin, whether a piece is
 * near to the old bytes at its place, and whether a delta is worth making at all. */
#include "repo/delta_make_coder.h"

#define GUESSES 16       /* pieces that tell what the whole will be like, */
#define GUESS (32 << 10) /* by so many bytes of each; */
#define FEWEST 3         /* so many, when they say that much is saved */

/* What it takes where it was measured, in nanoseconds; see delta_spend. */
#define PIECE_SHAPES 18 /* as many shapes as are counted for a piece, */
#define PIECE_NS 3e4    /* and what else a piece takes */

const struct delta_shape_name delta_near_shapes[DELTA_NEAR_SHAPES] = {
    {DELTA_DIFFERENCE, 1}, {DELTA_XOR, 1}, {DELTA_XOR, 2},        {DELTA_DIFFERENCE, 2},
    {DELTA_ORDERED, 2},    {DELTA_XOR, 4}, {DELTA_DIFFERENCE, 4}, {DELTA_ORDERED, 4}};
const struct delta_shape_name delta_fresh_shapes[DELTA_FRESH_SHAPES] = {{DELTA_PLANES, 2}, {DELTA_PLANES, 4}};

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

void delta_coder_weights(struct delta_coder *coder)
{
    for (uint32_t n = 2; n <= DELTA_LOOK; n++)
        coder->weights[n] = (float)(n * log2_of(n));
}

/* n * log2(n), for as many as a count mostly is. */
static double weight_of(const struct delta_coder *coder, uint32_t n)
{
    return n <= DELTA_LOOK ? coder->weights[n] : n * log2_of(n);
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

unsigned delta_coder_phase(struct delta_coder *coder, const uint8_t *bytes, const uint8_t *reference,
                           size_t size)
{
    uint32_t length = (uint32_t)((size < DELTA_LOOK + 4 ? size - 3 : DELTA_LOOK) & ~(size_t)3);
    struct delta_shape shape = {.coding = reference ? DELTA_ORDERED : DELTA_PLANES,
                                .element = 4,
                                .runs = &length,
                                .count = 1,
                                .size = length};
    size_t start = size < DELTA_LOOK + 4 ? 0 : (size - DELTA_LOOK - 4) / 2 & ~(size_t)3;
    double least = DELTA_HUGE_COST;
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

/* --- one piece --- */
/* What these bytes would take at best, in bytes; by their planes or, without reference, by zstd. */
static double piece_cost(struct delta_coder *coder, const uint8_t *bytes, const uint8_t *reference,
                         size_t size)
{
    const struct delta_shape_name *shapes = reference ? delta_near_shapes : delta_fresh_shapes;
    size_t count = reference ? DELTA_NEAR_SHAPES : DELTA_FRESH_SHAPES;
    unsigned phase = delta_coder_phase(coder, bytes, reference, size);
    uint32_t length = (uint32_t)((size - phase) & ~(size_t)3);
    struct delta_shape shape = {.runs = &length, .count = 1, .size = length};
    double least = DELTA_HUGE_COST;

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
    double plain = (double)delta_coder_squeeze(coder, 1, bytes, size, coder->trial);
    return plain < least ? plain : least;
}

bool delta_coder_is_near(struct delta_coder *coder, const struct delta_piece *piece)
{
    const struct delta_side *old = &coder->maker->old, *new = &coder->maker->new;
    double near = 0, fresh = 0;
    int64_t diagonal = piece->place - piece->at, slices = piece->length / DELTA_LOOK < 4 ? 1 : 4;
    double looked;

    if (piece->length < 512 || piece->place < 0 || piece->place > old->length - 512)
        return false;
    if (!coder->maker->thorough && coder->was_near && diagonal == coder->near_diagonal)
        slices = 1; /* most likely it goes on */
    else if (!coder->maker->thorough && slices > 2)
        slices = 2;
    looked = (double)(slices * (piece->length < DELTA_LOOK ? piece->length : DELTA_LOOK) * PIECE_SHAPES) *
                 DELTA_BITS_NS +
             PIECE_NS;
    if (piece->length >= DELTA_LARGE)
        delta_spend(coder->maker, 1, looked);
    else if (!delta_afford(coder->maker, 1, looked))
        return false;
    for (int64_t i = 0; i < slices; i++) {
        int64_t from = piece->length / slices * i;
        size_t size = piece->length - from < DELTA_LOOK ? (size_t)(piece->length - from) : DELTA_LOOK;

        delta_coder_reference(old, coder->sample_reference, piece->place + from, size);
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
            delta_coder_reference(old, coder->sample_reference, piece->place, size);
            near = piece_cost(coder, new->bytes + piece->at, coder->sample_reference, size);
        }
        cost += near < fresh ? near : fresh;
        looked += (double)size;
    }
    return looked > 0 ? cost / looked : 0;
}

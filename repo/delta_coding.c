#include "repo/delta_coding.h"

#include <stdlib.h>
#include <string.h>

const char *const delta_coding_names[DELTA_CODINGS] = {
    "raw",           "zstd", "prefix", "planes", "xor", "difference", "ordered", "mixed", "sorted-difference",
    "sorted-ordered"};

void *delta_alloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);

    if (!memory)
        abort();
    return memory;
}

bool delta_varint_read(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    uint64_t sum = 0;

    for (unsigned shift = 0; *at < end && shift < 63; shift += 7) {
        uint8_t byte = *(*at)++;

        sum |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *value = sum;
            return true;
        }
    }
    return false;
}

size_t delta_varint_write(uint8_t *out, uint64_t value)
{
    size_t size = 0;

    for (; value >= 0x80; value >>= 7)
        out[size++] = (uint8_t)(value | 0x80);
    out[size++] = (uint8_t)value;
    return size;
}

/* --- one element: its value, taken from and put to little-endian bytes; the loops below are made for each
 * size */
static inline uint32_t element_get(const uint8_t *bytes, unsigned size)
{
    uint32_t value = bytes[0];

    if (size > 1)
        value |= (uint32_t)bytes[1] << 8;
    if (size > 2)
        value |= (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    return value;
}

static inline void element_put(uint8_t *bytes, uint32_t value, unsigned size)
{
    bytes[0] = (uint8_t)value;
    if (size > 1)
        bytes[1] = (uint8_t)(value >> 8);
    if (size > 2) {
        bytes[2] = (uint8_t)(value >> 16);
        bytes[3] = (uint8_t)(value >> 24);
    }
}

/* Sign and magnitude into order and back, so that the difference of two floats of like size is small. Without
 * branches, here and below: signs are as good as random. */
static inline uint32_t order(uint32_t x, unsigned size)
{
    uint32_t top = 1u << (size * 8 - 1), all = top | (top - 1), negative = 0 - (x >> (size * 8 - 1));

    return x ^ ((negative & all) | top);
}

static inline uint32_t unorder(uint32_t x, unsigned size)
{
    uint32_t top = 1u << (size * 8 - 1), all = top | (top - 1), negative = (x >> (size * 8 - 1) & 1) - 1;

    return x ^ ((negative & all) | top);
}

/* Small differences of either sign become small numbers, so that the upper planes are mostly 0. */
static inline uint32_t fold(uint32_t x, unsigned size)
{
    unsigned bits = size * 8;
    uint32_t all = bits == 32 ? 0xffffffffu : (1u << bits) - 1;

    return ((x << 1) ^ (0 - (x >> (bits - 1) & 1))) & all;
}

static inline uint32_t unfold(uint32_t x, unsigned size)
{
    unsigned bits = size * 8;
    uint32_t all = bits == 32 ? 0xffffffffu : (1u << bits) - 1;

    return ((x >> 1) ^ (0 - (x & 1))) & all;
}

static inline uint32_t element_split(uint32_t x, uint32_t reference, unsigned coding, unsigned size)
{
    switch (coding) {
    case DELTA_XOR:
        return x ^ reference;
    case DELTA_DIFFERENCE:
        return size == 1 ? (x - reference) & 0xff : fold(x - reference, size);
    case DELTA_ORDERED:
        return fold(order(x, size) - order(reference, size), size);
    default:
        return x;
    }
}

static inline uint32_t element_join(uint32_t x, uint32_t reference, unsigned coding, unsigned size)
{
    switch (coding) {
    case DELTA_XOR:
        return x ^ reference;
    case DELTA_DIFFERENCE:
        return size == 1 ? x + reference : unfold(x, size) + reference;
    case DELTA_ORDERED:
        return unorder(unfold(x, size) + order(reference, size), size);
    default:
        return x;
    }
}

/* What sorted elements are sorted by: the eight bits of the reference below its sign. They are a float's
 * exponent, which says how large a difference is likely: together, like ones are coded with fewer bits. */
static inline unsigned key_of(uint32_t reference, unsigned size)
{
    return reference >> (size * 8 - 9) & 0xff;
}

/* One run: `step` bytes lie between the planes. `next` is NULL, or where the next element of each key goes.
 * Inlined with constants for coding, size and sorted by the table below. */
static inline __attribute__((always_inline)) void run_split(const uint8_t *bytes, const uint8_t *reference,
                                                            uint8_t *plane, size_t step, size_t count,
                                                            unsigned coding, unsigned size, uint32_t *next)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t from = coding == DELTA_PLANES ? 0 : element_get(reference + i * size, size);
        uint32_t x = element_split(element_get(bytes + i * size, size), from, coding, size);
        size_t at = next ? next[key_of(from, size)]++ : i;

        for (unsigned byte = 0; byte < size; byte++)
            plane[byte * step + at] = (uint8_t)(x >> byte * 8);
    }
}

static inline __attribute__((always_inline)) void run_join(const uint8_t *plane, size_t step,
                                                           const uint8_t *reference, uint8_t *bytes,
                                                           size_t count, unsigned coding, unsigned size,
                                                           uint32_t *next)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t from = coding == DELTA_PLANES ? 0 : element_get(reference + i * size, size);
        size_t at = next ? next[key_of(from, size)]++ : i;
        uint32_t x = 0;

        for (unsigned byte = 0; byte < size; byte++)
            x |= (uint32_t)plane[byte * step + at] << byte * 8;
        element_put(bytes + i * size, element_join(x, from, coding, size), size);
    }
}

/* Coding as it is said, element, coding of each element, sorted. */
#define FOR_EACH_SHAPE(what)                                                                                 \
    what(DELTA_PLANES, 1, DELTA_PLANES, NULL) what(DELTA_PLANES, 2, DELTA_PLANES, NULL)                      \
        what(DELTA_PLANES, 4, DELTA_PLANES, NULL) what(DELTA_XOR, 1, DELTA_XOR, NULL)                        \
            what(DELTA_XOR, 2, DELTA_XOR, NULL) what(DELTA_XOR, 4, DELTA_XOR, NULL)                          \
                what(DELTA_DIFFERENCE, 1, DELTA_DIFFERENCE, NULL)                                            \
                    what(DELTA_DIFFERENCE, 2, DELTA_DIFFERENCE, NULL)                                        \
                        what(DELTA_DIFFERENCE, 4, DELTA_DIFFERENCE, NULL)                                    \
                            what(DELTA_ORDERED, 2, DELTA_ORDERED, NULL)                                      \
                                what(DELTA_ORDERED, 4, DELTA_ORDERED, NULL)                                  \
                                    what(DELTA_SORTED_DIFFERENCE, 2, DELTA_DIFFERENCE, next)                 \
                                        what(DELTA_SORTED_DIFFERENCE, 4, DELTA_DIFFERENCE, next)             \
                                            what(DELTA_SORTED_ORDERED, 2, DELTA_ORDERED, next)               \
                                                what(DELTA_SORTED_ORDERED, 4, DELTA_ORDERED, next)

static void split(const struct delta_shape *shape, const uint8_t *bytes, const uint8_t *reference,
                  uint8_t *plane, size_t step, size_t count, uint32_t *next)
{
#define SPLIT(said, size_, coding_, next_)                                                                   \
    if (shape->coding == said && shape->element == size_)                                                    \
        run_split(bytes, reference, plane, step, count, coding_, size_, next_);
    FOR_EACH_SHAPE(SPLIT)
#undef SPLIT
}

static void join(const struct delta_shape *shape, const uint8_t *plane, const uint8_t *reference,
                 uint8_t *bytes, size_t step, size_t count, uint32_t *next)
{
#define JOIN(said, size_, coding_, next_)                                                                    \
    if (shape->coding == said && shape->element == size_)                                                    \
        run_join(plane, step, reference, bytes, count, coding_, size_, next_);
    FOR_EACH_SHAPE(JOIN)
#undef JOIN
}

static bool is_sorted(const struct delta_shape *shape)
{
    return shape->coding == DELTA_SORTED_DIFFERENCE || shape->coding == DELTA_SORTED_ORDERED;
}

/* Where the first element of each key goes. Neighbours are counted apart: most have the same key, and one
 * counter would make each wait for the one before. */
static void sort_begin(const struct delta_shape *shape, const uint8_t *reference, uint32_t next[256])
{
    uint32_t sum = 0, counts[2][256] = {{0}};
    unsigned size = shape->element;

    for (size_t run = 0; is_sorted(shape) && run < shape->count; reference += shape->runs[run++]) {
        size_t count = shape->runs[run] / size, i = 0;

        for (; i + 2 <= count; i += 2) {
            counts[0][key_of(element_get(reference + i * size, size), size)]++;
            counts[1][key_of(element_get(reference + (i + 1) * size, size), size)]++;
        }
        if (i < count)
            counts[0][key_of(element_get(reference + i * size, size), size)]++;
    }
    for (int key = 0; key < 256; key++) {
        next[key] = sum;
        sum += counts[0][key] + counts[1][key];
    }
}

size_t delta_planes_elements(const struct delta_shape *shape)
{
    size_t elements = 0;

    for (size_t i = 0; i < shape->count; i++)
        elements += shape->runs[i] / shape->element;
    return elements;
}

static uint8_t tail_byte(const struct delta_shape *shape, uint8_t byte, uint8_t reference, bool back)
{
    if (shape->coding == DELTA_PLANES)
        return byte;
    if (shape->coding == DELTA_XOR)
        return byte ^ reference;
    return (uint8_t)(back ? byte + reference : byte - reference);
}

void delta_planes_split(const struct delta_shape *shape, const uint8_t *bytes, const uint8_t *reference,
                        uint8_t *planes)
{
    size_t step = delta_planes_elements(shape), done = 0, at = 0;
    uint8_t *tails = planes + step * shape->element;
    uint32_t next[256];

    sort_begin(shape, reference, next);
    for (size_t run = 0; run < shape->count; run++) {
        size_t count = shape->runs[run] / shape->element, end = at + shape->runs[run];

        split(shape, bytes + at, reference ? reference + at : NULL, planes + (is_sorted(shape) ? 0 : done),
              step, count, next);
        done += count;
        for (at += count * shape->element; at < end; at++)
            *tails++ = tail_byte(shape, bytes[at], reference ? reference[at] : 0, false);
    }
}

void delta_planes_join(const struct delta_shape *shape, const uint8_t *planes, const uint8_t *reference,
                       uint8_t *bytes)
{
    size_t step = delta_planes_elements(shape), done = 0, at = 0;
    const uint8_t *tails = planes + step * shape->element;
    uint32_t next[256];

    sort_begin(shape, reference, next);
    for (size_t run = 0; run < shape->count; run++) {
        size_t count = shape->runs[run] / shape->element, end = at + shape->runs[run];

        join(shape, planes + (is_sorted(shape) ? 0 : done), reference ? reference + at : NULL, bytes + at,
             step, count, next);
        done += count;
        for (at += count * shape->element; at < end; at++)
            bytes[at] = tail_byte(shape, *tails++, reference ? reference[at] : 0, true);
    }
}

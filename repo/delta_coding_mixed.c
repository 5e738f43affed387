/* The coding "mixed": near bytes, one after the other, as binary decisions whose probabilities come from what
 * was seen in like places before. First whether the byte is the reference's, then, when it is not, the eight
 * bits of the difference, highest first. Some contexts, each with its own adaptive probability, are mixed by
 * a weighted sum in the logistic domain, and an arithmetic coder writes the decision; after lpaq1 (Mahoney,
 * 2007), whose numbers for tables and rates are taken. All in integers, so that every machine decodes the
 * same. */
#include "repo/delta_coding.h"

#include <stdlib.h>
#include <string.h>

#define INPUTS 7     /* contexts of a decision */
#define SLOT_BITS 16 /* of a context's table */
#define RATE_LIMIT 255
#define LEARNING 6

struct mixer {
    int32_t weights[INPUTS];
};

struct delta_mixed {
    uint32_t slots[INPUTS][1 << SLOT_BITS]; /* 22 bits of probability, 10 bits of how often it was seen */
    struct mixer same[64], bits[256]; /* chosen by the distance to the last difference; by the bits so far */
    int16_t stretch[4096];
    int32_t share[1024]; /* how much the n-th decision moves a probability */

    uint32_t *chosen[INPUTS];
    int32_t inputs[INPUTS];
    struct mixer *mixer;

    uint32_t low, high, code; /* the arithmetic coder */
    const uint8_t *from, *end;
    uint8_t *to;
    bool reading, full;
};

/* 4096 / (1 + e^-(x/256)), by interpolation. */
static int squash(int x)
{
    static const int16_t at[33] = {1,    2,    3,    6,    10,   16,   27,   45,   73,   120,  194,
                                   310,  488,  747,  1101, 1546, 2047, 2549, 2994, 3348, 3607, 3785,
                                   3901, 3975, 4022, 4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094};

    if (x > 2047)
        return 4095;
    if (x < -2047)
        return 1;
    int weight = x & 127, i = (x >> 7) + 16;
    return (at[i] * (128 - weight) + at[i + 1] * weight + 64) >> 7;
}

static void mixed_begin(struct delta_mixed *mixed)
{
    int next = 0;

    for (int x = -2047; x <= 2047; x++)
        for (int p = squash(x); next <= p; next++)
            mixed->stretch[next] = (int16_t)x;
    for (; next < 4096; next++)
        mixed->stretch[next] = 2047;
    for (int i = 0; i < 1024; i++)
        mixed->share[i] = 16384 / (i + i + 3);
    for (int input = 0; input < INPUTS; input++)
        for (int i = 0; i < 1 << SLOT_BITS; i++)
            mixed->slots[input][i] = UINT32_C(1) << 31;
    for (int input = 0; input < INPUTS; input++) {
        for (int i = 0; i < 64; i++)
            mixed->same[i].weights[input] = 65536 * 2 / 5;
        for (int i = 0; i < 256; i++)
            mixed->bits[i].weights[input] = 65536 * 2 / 5;
    }
    mixed->low = 0;
    mixed->high = UINT32_MAX;
    mixed->full = false;
}

/* --- the arithmetic coder --- */
static uint32_t next_byte(struct delta_mixed *mixed)
{
    return mixed->from < mixed->end ? *mixed->from++ : 0;
}

static inline int code_bit(struct delta_mixed *mixed, int bit, int probability)
{
    uint32_t middle = mixed->low + (mixed->high - mixed->low) / 4096 * (uint32_t)probability;

    if (mixed->reading)
        bit = mixed->code <= middle;
    if (bit)
        mixed->high = middle;
    else
        mixed->low = middle + 1;
    while (!((mixed->low ^ mixed->high) >> 24)) {
        if (mixed->reading)
            mixed->code = mixed->code << 8 | next_byte(mixed);
        else if (mixed->to < mixed->end)
            *mixed->to++ = (uint8_t)(mixed->high >> 24);
        else
            mixed->full = true;
        mixed->low <<= 8;
        mixed->high = mixed->high << 8 | 255;
    }
    return bit;
}

/* --- one decision --- */
static inline int decide(struct delta_mixed *mixed, int bit)
{
    int64_t sum = 0;

    for (int i = 0; i < INPUTS; i++) {
        mixed->inputs[i] = mixed->stretch[*mixed->chosen[i] >> 20];
        sum += (int64_t)mixed->inputs[i] * mixed->mixer->weights[i];
    }
    sum >>= 16;
    int probability = squash(sum > 2047 ? 2047 : sum < -2047 ? -2047 : (int)sum);
    bit = code_bit(mixed, bit, probability);
    int32_t error = ((bit << 12) - probability) * LEARNING;
    for (int i = 0; i < INPUTS; i++) {
        uint32_t slot = *mixed->chosen[i], seen = slot & 1023;
        int32_t wrong = (int32_t)((uint32_t)bit << 22) - (int32_t)(slot >> 10);

        slot = seen < RATE_LIMIT ? slot + 1 : slot;
        *mixed->chosen[i] = slot + ((uint32_t)((wrong >> 3) * mixed->share[seen]) & 0xfffffc00);
        mixed->mixer->weights[i] += (mixed->inputs[i] * error + 0x8000) >> 16;
    }
    return bit;
}

static inline uint32_t spread(uint32_t a, uint32_t b)
{
    uint32_t x = a * UINT32_C(0x9e3779b1) ^ b * UINT32_C(0x85ebca6b);

    return (x ^ x >> 15) * UINT32_C(0xc2b2ae35);
}

/* --- what is seen at a byte --- */
struct view {
    uint32_t last, before_last; /* the last two differences */
    uint32_t distance;          /* bytes since the last */
    uint32_t history;           /* of the last 32 bytes: which differed */
    uint32_t previous;          /* the difference of the byte before */
};

static inline uint32_t around(const uint8_t *reference, size_t size, size_t at, int from, int to)
{
    uint32_t bytes = 0;

    for (int i = from; i <= to; i++) {
        size_t place = at + (size_t)i;

        bytes = bytes << 8 | (place < size ? reference[place] : 0);
    }
    return bytes;
}

static inline void choose(struct delta_mixed *mixed, int input, uint32_t hash)
{
    mixed->chosen[input] = &mixed->slots[input][hash >> (32 - SLOT_BITS)];
}

static int decide_same(struct delta_mixed *mixed, const struct view *view, const uint8_t *reference,
                       size_t size, size_t at, int same)
{
    uint32_t near = around(reference, size, at, -2, 1), ahead = around(reference, size, at, 0, 3);
    uint32_t distance = view->distance < 32    ? view->distance
                        : view->distance < 256 ? 32 + view->distance / 16
                                               : 48;

    choose(mixed, 0, spread(distance, view->history & 0xff));
    choose(mixed, 1, spread(near & 0xffffff, 1));
    choose(mixed, 2, spread(near >> 8, 2));
    choose(mixed, 3, spread(ahead, 3));
    choose(mixed, 4, spread(view->history & 0xfff, (uint32_t)at & 3));
    choose(mixed, 5, spread(near & 0xffff00, view->last << 4 | (view->history & 7)));
    choose(mixed, 6, spread(near, ahead));
    mixed->mixer = &mixed->same[distance];
    return decide(mixed, same);
}

static uint32_t decide_difference(struct delta_mixed *mixed, const struct view *view,
                                  const uint8_t *reference, size_t size, size_t at, uint32_t difference)
{
    uint32_t near = around(reference, size, at, -2, 1), ahead = around(reference, size, at, 0, 3);
    uint32_t hashes[INPUTS] = {spread(11, view->previous),
                               spread(view->last, 12),
                               spread(near >> 8 & 0xff, 13),
                               spread(near & 0xffffff, 14),
                               spread(view->last, view->before_last << 8 | 15),
                               spread(ahead, 16),
                               spread(near, ahead)};
    uint32_t node = 1;

    while (node < 256) {
        for (int i = 0; i < INPUTS; i++)
            choose(mixed, i, (hashes[i] + node) * UINT32_C(0x9e3779b1));
        mixed->mixer = &mixed->bits[node];
        int shift = __builtin_clz(node) - 24;
        node = node << 1 | (uint32_t)decide(mixed, difference >> shift & 1);
    }
    return node & 255;
}

static inline void look(struct view *view, uint32_t difference)
{
    view->history = view->history << 1 | (difference != 0);
    view->distance = difference ? 0 : view->distance + 1;
    view->previous = difference;
    if (difference) {
        view->before_last = view->last;
        view->last = difference;
    }
}

/* --- both ways --- */
struct delta_mixed *delta_mixed_new(void)
{
    return delta_alloc(1, sizeof(struct delta_mixed));
}

struct delta_mixed *delta_mixed_at(void *memory)
{
    _Static_assert(sizeof(struct delta_mixed) <= DELTA_MIXED_SIZE, "a coder fits");
    return memory;
}

void delta_mixed_free(struct delta_mixed *mixed)
{
    free(mixed);
}

size_t delta_mixed_write(struct delta_mixed *mixed, const uint8_t *bytes, const uint8_t *reference,
                         size_t size, uint8_t *out, size_t room)
{
    struct view view = {0};

    mixed_begin(mixed);
    mixed->reading = false;
    mixed->to = out;
    mixed->end = out + room;
    for (size_t at = 0; at < size && !mixed->full; at++) {
        uint32_t difference = (uint8_t)(bytes[at] - reference[at]);

        if (!decide_same(mixed, &view, reference, size, at, difference == 0))
            decide_difference(mixed, &view, reference, size, at, difference);
        look(&view, difference);
    }
    if (mixed->full || mixed->to == mixed->end)
        return SIZE_MAX;
    *mixed->to++ = (uint8_t)((mixed->low >> 24) + 1); /* and zeros after it lie between low and high */
    return (size_t)(mixed->to - out);
}

void delta_mixed_read(struct delta_mixed *mixed, const uint8_t *coded, size_t coded_size,
                      const uint8_t *reference, uint8_t *bytes, size_t size)
{
    struct view view = {0};

    mixed_begin(mixed);
    mixed->reading = true;
    mixed->from = coded;
    mixed->end = coded + coded_size;
    for (int i = 0; i < 4; i++)
        mixed->code = mixed->code << 8 | next_byte(mixed);
    for (size_t at = 0; at < size; at++) {
        uint32_t difference = 0;

        if (!decide_same(mixed, &view, reference, size, at, 0))
            difference = decide_difference(mixed, &view, reference, size, at, 0);
        bytes[at] = (uint8_t)(reference[at] + difference);
        look(&view, difference);
    }
}

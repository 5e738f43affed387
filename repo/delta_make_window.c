/* The part of the old file that has most in common with a block's bytes: a few of all places, those whose
 * next eight bytes hash to a small number, are noted for the old file, and looked up for the block. */
#include "repo/delta_make_parts.h"

#include <stdlib.h>
#include <string.h>

#define GRAIN ((int64_t)256 << 10) /* the old file is seen in parts of so many bytes */
#define SPARSE 57                  /* hashes shifted down by this are 0 for one place in 128 */

struct delta_window {
    struct delta_side old;
    int64_t size;    /* of a window, at most */
    uint32_t *slots; /* hash's other bits: grain + 1 */
    unsigned bits;
    size_t grains;
    uint32_t *votes;
};

static uint64_t hash_of(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof value);
    return value * UINT64_C(0x9e3779b97f4a7c15);
}

struct delta_window *delta_window_new(const struct delta_side *old, int64_t size)
{
    struct delta_window *window = delta_alloc(1, sizeof *window);

    *window = (struct delta_window){.old = *old, .size = size, .bits = 10};
    window->grains = (size_t)(old->length / GRAIN) + 1;
    window->votes = delta_alloc(window->grains, sizeof *window->votes);
    while (window->bits < 24 && (int64_t)1 << window->bits < old->length / 64)
        window->bits++;
    window->slots = delta_alloc((size_t)1 << window->bits, sizeof *window->slots);
    for (int64_t at = 0; at + 8 <= old->length; at++) {
        uint64_t hash = hash_of(old->bytes + at);

        if (!(hash >> SPARSE))
            window->slots[hash >> (SPARSE - window->bits)] = (uint32_t)(at / GRAIN) + 1;
    }
    return window;
}

void delta_window_free(struct delta_window *window)
{
    if (!window)
        return;
    free(window->slots);
    free(window->votes);
    free(window);
}

/* The sum of a window's votes slides over the grains. */
static size_t best_start(const struct delta_window *window, size_t width, uint64_t *votes)
{
    uint64_t sum = 0;
    size_t best = 0;

    *votes = 0;
    for (size_t i = 0; i < window->grains; i++) {
        sum += window->votes[i];
        if (i >= width)
            sum -= window->votes[i - width];
        if (sum > *votes) {
            *votes = sum;
            best = i + 1 >= width ? i + 1 - width : 0;
        }
    }
    return best;
}

bool delta_window_find(struct delta_window *window, const uint8_t *bytes, size_t size, int64_t *place,
                       int64_t *length)
{
    size_t width = (size_t)(window->size / GRAIN);
    uint64_t asked = 0, votes;

    memset(window->votes, 0, window->grains * sizeof *window->votes);
    for (size_t at = 0; at + 8 <= size; at++) {
        uint64_t hash = hash_of(bytes + at);

        if (hash >> SPARSE)
            continue;
        uint32_t grain = window->slots[hash >> (SPARSE - window->bits)];
        asked++;
        if (grain)
            window->votes[grain - 1]++;
    }
    *place = (int64_t)best_start(window, width, &votes) * GRAIN;
    *length = window->old.length - *place < window->size ? window->old.length - *place : window->size;
    /* Chance finds a slot taken now and then. */
    return asked < 64 || votes * 16 > asked;
}

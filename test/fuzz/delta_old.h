/* The old file of the fuzz target of deltas, always the same: a quarter each of a pattern, words, floats, and
 * 16-bit numbers around zero with a bit for their sign, so that every coding has something to lean on. */
#ifndef TEST_FUZZ_DELTA_OLD_H
#define TEST_FUZZ_DELTA_OLD_H

#include <stdint.h>
#include <string.h>

#define DELTA_OLD 16384
#define DELTA_OLD_PART (DELTA_OLD / 4)

static inline uint32_t delta_old_next(uint32_t *state)
{
    return (*state = *state * 1664525u + 1013904223u) >> 8; /* Numerical Recipes' generator */
}

static inline uint16_t delta_old_signed(int value)
{
    return (uint16_t)(value < 0 ? 0x8000 | -value : value);
}

static inline void delta_old_fill(uint8_t old[DELTA_OLD])
{
    static const char *const words[] = {"old ", "new ", "file", "of a", " run", "s on", ", an", "d so"};
    uint8_t *text = old + DELTA_OLD_PART, *floats = text + DELTA_OLD_PART, *shorts = floats + DELTA_OLD_PART;
    uint32_t state = 1;

    for (uint32_t i = 0; i < DELTA_OLD_PART; i++)
        old[i] = (uint8_t)(i * i >> 7 ^ i);
    for (int i = 0; i < DELTA_OLD_PART; i += 4) {
        float weight = ((float)(delta_old_next(&state) % 20001) - 10000) * 3e-5f;
        uint16_t pair[2] = {delta_old_signed((int)(delta_old_next(&state) % 2001) - 1000),
                            delta_old_signed((int)(delta_old_next(&state) % 41) - 20)};

        memcpy(text + i, words[delta_old_next(&state) % 8], 4);
        memcpy(floats + i, &weight, 4);
        memcpy(shorts + i, pair, 4);
    }
}

#endif

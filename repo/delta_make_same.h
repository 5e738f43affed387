/* Comparing bytes, eight at a time. */
#ifndef REPO_DELTA_MAKE_SAME_H
#define REPO_DELTA_MAKE_SAME_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t delta_load(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof value);
    return value;
}

/* 1 in each of eight bytes that is equal. */
static inline uint64_t delta_equal_marks(const uint8_t *a, const uint8_t *b)
{
    const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f);
    uint64_t x = delta_load(a) ^ delta_load(b);

    return ~(((x & low) + low) | x | low) >> 7;
}

/* Which of eight bytes are equal: a bit for each, the first byte's the lowest. */
static inline unsigned delta_equal_eight(const uint8_t *a, const uint8_t *b)
{
    return (unsigned)(le64toh(delta_equal_marks(a, b)) * UINT64_C(0x0102040810204080) >> 56);
}

/* The number of equal bytes from the starts of both on, and back from their ends; and of all that are equal.
 */
size_t delta_same_forward(const uint8_t *a, const uint8_t *b, size_t size);
size_t delta_same_backward(const uint8_t *a_end, const uint8_t *b_end, size_t size);
size_t delta_equal(const uint8_t *a, const uint8_t *b, size_t size);

#endif

/* Comparing bytes, eight at a time. */
#include "repo/delta_make_same.h"

#include <string.h>

size_t delta_same_forward(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t same = 0;

    while (size - same >= 8 && delta_load(a + same) == delta_load(b + same)) {
        same += 8;
        while (size - same >= 64 && !memcmp(a + same, b + same, 64))
            same += 64;
    }
    while (same < size && a[same] == b[same])
        same++;
    return same;
}

size_t delta_same_backward(const uint8_t *a_end, const uint8_t *b_end, size_t size)
{
    size_t same = 0;

    while (size - same >= 8 && delta_load(a_end - same - 8) == delta_load(b_end - same - 8))
        same += 8;
    while (same < size && a_end[-1 - (ptrdiff_t)same] == b_end[-1 - (ptrdiff_t)same])
        same++;
    return same;
}

size_t delta_equal(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t equal = 0, at = 0;

    for (; size - at >= 8; at += 8)
        equal += delta_equal_marks(a + at, b + at) * UINT64_C(0x0101010101010101) >> 56;
    for (; at < size; at++)
        equal += a[at] == b[at];
    return equal;
}

/* Comparing eight bytes at a time gives what comparing one by one does. */
#include "test/repo/delta_pair.h"

#include "repo/delta_make_same.h"

#include <stdlib.h>
#include <string.h>

static void which_of_eight_bytes_are_equal_is_told_in_their_order(void **state)
{
    static const uint8_t others[] = {1, 0x7f, 0x80, 0x81, 0xff};
    uint8_t a[8] = {0, 1, 0x7f, 0x80, 0xff, 5, 0x80, 0}, b[8];

    (void)state;
    for (unsigned equal = 0; equal < 256; equal++)
        for (size_t other = 0; other < sizeof others; other++) {
            for (int i = 0; i < 8; i++)
                b[i] = equal >> i & 1 ? a[i] : a[i] ^ others[other];
            assert_int_equal(delta_equal_eight(a, b), equal);
            assert_int_equal(delta_equal(a, b, 8), __builtin_popcount(equal));
        }
}

static size_t first_other(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t at = 0;

    while (at < size && a[at] == b[at])
        at++;
    return at;
}

static size_t last_other(const uint8_t *a_end, const uint8_t *b_end, size_t size)
{
    size_t same = 0;

    while (same < size && a_end[-1 - (ptrdiff_t)same] == b_end[-1 - (ptrdiff_t)same])
        same++;
    return same;
}

static void lengths_are_those_of_comparing_byte_by_byte(void **state)
{
    struct random random = {17};

    (void)state;
    for (int round = 0; round < 4000; round++) {
        size_t size = random_below(&random, 300), equal = 0;
        uint8_t *a = malloc(size + 1), *b = malloc(size + 1); /* a sanitizer sees what is read beyond */

        random_fill(&random, a, size);
        memcpy(b, a, size);
        for (size_t changes = random_below(&random, 4); changes && size; changes--)
            b[random_below(&random, size)] ^= (uint8_t)(1 << random_below(&random, 8));
        for (size_t i = 0; i < size; i++)
            equal += a[i] == b[i];
        assert_int_equal(delta_same_forward(a, b, size), first_other(a, b, size));
        assert_int_equal(delta_same_backward(a + size, b + size, size), last_other(a + size, b + size, size));
        assert_int_equal(delta_equal(a, b, size), equal);
        free(a);
        free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_of_eight_bytes_are_equal_is_told_in_their_order),
        cmocka_unit_test(lengths_are_those_of_comparing_byte_by_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

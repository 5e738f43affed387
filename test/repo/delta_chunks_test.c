/* Chunks do not depend on the pieces that a file comes in. */
#include "test/repo/delta_pair.h"

#include "repo/delta_chunks.h"

#include <stdlib.h>
#include <string.h>

#define SIZE (1200 << 10)

/* Each piece in memory of its own, of exactly its size: a sanitizer sees what is read beyond. */
static struct delta_chunks *chunks_by(struct random *random, const uint8_t *bytes, size_t size, size_t most)
{
    struct delta_chunks *chunks = delta_chunks_new();

    for (size_t at = 0, part; at < size; at += part) {
        part = most == SIZE ? SIZE : 1 + random_below(random, random_below(random, 4) ? most : 3);
        part = part < size - at ? part : size - at;
        uint8_t *piece = malloc(part);
        memcpy(piece, bytes + at, part);
        delta_chunks_feed(chunks, piece, part);
        free(piece);
    }
    delta_chunks_end(chunks);
    return chunks;
}

static void check_same(const struct delta_chunks *one, const struct delta_chunks *other, size_t size)
{
    size_t count, other_count;
    const struct delta_chunk *all = delta_chunks_all(one, &count),
                             *others = delta_chunks_all(other, &other_count);

    assert_int_equal(count, other_count);
    assert_memory_equal(all, others, count * sizeof *all);
    assert_int_equal(delta_chunks_length(other), size);
}

static void chunks_are_the_same_however_a_file_is_fed(void **state)
{
    static const size_t most[] = {100, 4096, 65536, 70000, 300000};
    struct random random = {31};
    uint8_t *bytes = malloc(SIZE);

    (void)state;
    for (int round = 0; round < 8; round++) {
        size_t size = round ? SIZE - random_below(&random, SIZE / 2) : SIZE;

        random_fill(&random, bytes, SIZE);
        if (round & 1) /* no place to cut: chunks of the largest size */
            memset(bytes + 100000, 0, 500000);
        struct delta_chunks *whole = chunks_by(&random, bytes, size, SIZE);
        for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) {
            struct delta_chunks *fed = chunks_by(&random, bytes, size, most[i]);

            check_same(whole, fed, size);
            delta_chunks_free(fed);
        }
        delta_chunks_free(whole);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_the_same_however_a_file_is_fed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

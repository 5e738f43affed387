/* Pairs of files made at random: what is made of two files makes one of the other, whatever they are, however
 * the delta comes, and wherever it was cut. LOCUM_DELTA_PAIRS says how many (100,000 for a long run, with
 * SANITIZE=address,undefined), LOCUM_DELTA_SEED where to begin. */
#include "test/repo/delta_pair.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void every_random_pair_comes_back(void **state)
{
    uint64_t seed = number_of("LOCUM_DELTA_SEED", 1), end = seed + number_of("LOCUM_DELTA_PAIRS", 300);

    (void)state;
    for (; seed < end; seed++) {
        struct random random = {~seed};
        struct error err = {0};
        struct bytes old, new;

        pair_random(seed, &old, &new);
        struct bytes delta =
            delta_of(&old, &new, random_below(&random, 8) ? DELTA_QUICK : DELTA_THOROUGH, NULL);
        if (!delta_gives(&delta, &old, &new, 1 + random_below(&random, delta.size), &err))
            fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
        free(old.bytes);
        free(new.bytes);
        free(delta.bytes);
    }
}

/* Feeds up to a cut somewhere, forgets all but the last place, and goes on there; what was written after the
 * place is spoilt, as a power loss may leave it. */
static void feed_with_cuts(struct random *random, const struct bytes *delta, int old_fd, int new_fd,
                           int64_t length, char sha256[SHA256_HEX])
{
    struct delta_place place = {0};
    struct error err = {0};

    for (bool whole = false; !whole;) {
        struct delta_apply *apply = delta_apply_open(old_fd, new_fd, length, place.in ? &place : NULL, &err);

        assert_non_null(apply);
        size_t left = delta->size - (size_t)place.in, part = random_below(random, left + 1);
        whole = !random_below(random, 4);
        must(delta_apply_feed(apply, delta->bytes + place.in, whole ? left : part, &err));
        place = delta_apply_place(apply);
        if (whole)
            must(delta_apply_end(apply, sha256, &err));
        else
            assert_int_equal(pwrite(new_fd, "spoilt", 6, place.out), 6);
        delta_apply_free(apply);
    }
}

static void an_apply_that_is_cut_goes_on_at_its_last_block(void **state)
{
    struct random random = {77};
    struct bytes old = {malloc(9 << 20), 9 << 20}, new = {malloc(9 << 20), 9 << 20};
    char expected[SHA256_HEX], sha256[SHA256_HEX];

    (void)state;
    random_fill(&random, old.bytes, old.size);
    for (size_t i = 0; i < old.size; i++) /* most of it is no copy, so there are many blocks */
        new.bytes[i] = (uint8_t)(old.bytes[i] + (i % 3 == 0));
    memcpy(new.bytes + (3 << 20), old.bytes + (1 << 20), 1 << 20);
    struct bytes delta = delta_of(&old, &new, DELTA_QUICK, NULL);
    sha256_hex(new.bytes, new.size, expected);
    for (int i = 0; i < 5; i++) {
        FD(old_fd) = file_of(old.bytes, old.size);
        FD(new_fd) = file_of("", 0);
        feed_with_cuts(&random, &delta, old_fd, new_fd, (int64_t) new.size, sha256);
        assert_string_equal(sha256, expected);
    }
    free(old.bytes);
    free(new.bytes);
    free(delta.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_random_pair_comes_back),
        cmocka_unit_test(an_apply_that_is_cut_goes_on_at_its_last_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

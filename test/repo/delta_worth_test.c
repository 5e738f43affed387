/* What a delta is worth: pairs made for one property each, and how small their deltas are. */
#include "test/repo/delta_pair.h"

#include "base/file.h"
#include "repo/delta_coding.h"

#include <stdlib.h>
#include <string.h>

static size_t length_of(const struct bytes *old, const struct bytes *new, enum delta_effort effort)
{
    struct bytes delta = delta_of(old, new, effort, NULL);
    struct error err = {0};

    must(delta_gives(&delta, old, new, 4096, &err));
    free(delta.bytes);
    return delta.size;
}

#define SIZE (2 << 20)
struct two {
    struct bytes old, new;
    struct random random;
};

static struct two two_alike(void)
{
    struct two two = {{malloc(SIZE), SIZE}, {malloc(SIZE + 100), SIZE}, {9}};

    random_fill(&two.random, two.old.bytes, SIZE);
    memcpy(two.new.bytes, two.old.bytes, SIZE);
    return two;
}

static void two_free(struct two *two)
{
    free(two->old.bytes);
    free(two->new.bytes);
}

static void what_was_inserted_moved_or_doubled_costs_little(void **state)
{
    struct two two = two_alike();

    (void)state;
    assert_true(length_of(&two.old, &two.new, DELTA_QUICK) < 256); /* the same */
    memmove(two.new.bytes + 1100, two.new.bytes + 1000, SIZE - 1000);
    random_fill(&two.random, two.new.bytes + 1000, 100);
    two.new.size = SIZE + 100;
    assert_true(length_of(&two.old, &two.new, DELTA_QUICK) < 512);
    two.new.size = SIZE;
    memcpy(two.new.bytes, two.old.bytes + SIZE / 2, SIZE / 2);
    memcpy(two.new.bytes + SIZE / 2, two.old.bytes, SIZE / 2);
    assert_true(length_of(&two.old, &two.new, DELTA_QUICK) < 512);
    random_fill(&two.random, two.new.bytes, SIZE / 2); /* new bytes, twice */
    memcpy(two.new.bytes + SIZE / 2, two.new.bytes, SIZE / 2);
    assert_true(length_of(&two.old, &two.new, DELTA_QUICK) < SIZE / 2 + 512);
    memmove(two.new.bytes + SIZE / 2 + 33, two.new.bytes + SIZE / 2, SIZE / 2); /* where no chunk begins */
    two.new.size = SIZE + 33;
    assert_true(length_of(&two.old, &two.new, DELTA_QUICK) < SIZE / 2 + 33 + 512);
    two_free(&two);
}

static float weight_random(struct random *random)
{
    return (float)(int32_t)random_next(random) / 4e10f;
}

/* Moved by some ten thousandths: no two bytes in a row are sure to be as they were. */
static float weight_moved(struct random *random, float weight)
{
    return weight * (1 + (float)(int32_t)random_next(random) / 4e12f);
}

/* Weights that moved a little, at any offset of a file: most of each is told by what it was. */
static void weights_that_moved_cost_half_wherever_they_begin(void **state)
{
    (void)state;
    for (size_t start = 0; start < 4; start++) {
        struct two two = two_alike();

        for (size_t i = start; i + 4 <= SIZE; i += 4) {
            float weight = weight_random(&two.random), moved = weight_moved(&two.random, weight);

            memcpy(two.old.bytes + i, &weight, 4);
            memcpy(two.new.bytes + i, &moved, 4);
        }
        assert_true(length_of(&two.old, &two.new, DELTA_QUICK) < SIZE * 6 / 10);
        two_free(&two);
    }
}

/* Nothing is equal byte by byte, the header grew, and (reordered) the two layers changed places. */
static void check_weights(bool reordered)
{
    struct two two = two_alike();
    size_t layer = SIZE / 2 - 1000;

    random_fill(&two.random, two.new.bytes, SIZE);
    for (size_t i = 0; i + 4 <= 2 * layer; i += 4) {
        size_t to = 1013 + (!reordered ? i : i < layer ? layer + i : i - layer);
        float weight = weight_random(&two.random), moved = weight_moved(&two.random, weight);

        memcpy(two.old.bytes + 500 + i, &weight, 4);
        memcpy(two.new.bytes + to, &moved, 4);
    }
    two.new.size = 1013 + 2 * layer;
    two.old.size = 500 + 2 * layer;
    /* A quick delta has not the time to look through all of the old file. */
    assert_true(length_of(&two.old, &two.new, reordered ? DELTA_THOROUGH : DELTA_QUICK) < SIZE * 6 / 10);
    two_free(&two);
}

static void weights_that_moved_are_found_behind_another_header_and_in_another_order(void **state)
{
    (void)state;
    check_weights(false);
    check_weights(true);
}

/* Twelve of the lowest bits of each weight in a layer: no coding says them in less. */
static void low_bits_that_changed_cost_what_they_are(void **state)
{
    struct two two = two_alike();

    (void)state;
    for (size_t i = 0; i + 4 <= SIZE; i += 4) {
        float weight = weight_random(&two.random);
        uint32_t bits;

        memcpy(two.old.bytes + i, &weight, 4);
        memcpy(&bits, &weight, 4);
        bits ^= i < SIZE / 2 ? 0 : random_next(&two.random) & 0xfff;
        memcpy(two.new.bytes + i, &bits, 4);
    }
    size_t least = SIZE / 2 * 12 / 32;
    assert_in_range(length_of(&two.old, &two.new, DELTA_QUICK), least, least + least / 100);
    two_free(&two);
}

/* One weight in a hundred: where they are costs as much as what they are. */
static void a_few_weights_cost_no_more_thoroughly_than_quickly(void **state)
{
    struct two two = two_alike();
    size_t changed = SIZE / 400;

    (void)state;
    for (size_t i = 0; i + 4 <= SIZE; i += 4) {
        float weight = weight_random(&two.random);

        memcpy(two.old.bytes + i, &weight, 4);
        memcpy(two.new.bytes + i, &weight, 4);
    }
    for (size_t i = 0; i < changed; i++) {
        float *weight = (float *)(void *)two.new.bytes + random_below(&two.random, SIZE / 4);

        *weight *= 1.001f;
    }
    assert_true(length_of(&two.old, &two.new, DELTA_THOROUGH) < changed * 7 / 2);
    two_free(&two);
}

/* Lines of few words, of which one in twenty is new: text is best coded as text. */
static void text_that_was_edited_is_coded_by_its_words(void **state)
{
    static const char *const words[] = {"return ", "value", "count",  " = ",   "(",  ");\n",
                                        "if ",     "size",  "+ 1",    "index", ", ", "node->",
                                        "left",    "right", "while ", "\n"};
    struct two two = two_alike();
    size_t old = 0, new = 0, edited = 0;

    (void)state;
    while (old + 1000 < SIZE / 4 && new + 1000 < SIZE / 4) {
        bool edit = !random_below(&two.random, 20);

        edited += edit;
        for (int i = 0; i < 12; i++) {
            const char *word = words[random_below(&two.random, 16)],
                       *other = words[random_below(&two.random, 16)];
            const char *now = edit ? other : word;

            memcpy(two.old.bytes + old, word, strlen(word));
            memcpy(two.new.bytes + new, now, strlen(now));
            old += strlen(word);
            new += strlen(now);
        }
    }
    two.old.size = old;
    two.new.size = new;
    assert_true(length_of(&two.old, &two.new, DELTA_THOROUGH) < edited * 31 / 2);
    two_free(&two);
}

static void what_has_nothing_in_common_is_given_up(void **state)
{
    struct two two = two_alike();
    char sha256[SHA256_HEX] = "";
    struct delta_made made;
    struct error err = {0};

    (void)state;
    random_fill(&two.random, two.new.bytes, SIZE);
    memset(sha256, '0', SHA256_HEX - 1);
    FD(old_fd) = file_of(two.old.bytes, SIZE);
    FD(new_fd) = file_of(two.new.bytes, SIZE);
    FD(out_fd) = file_of("", 0);
    atomic_bool cancel = false;
    struct delta_make make = {.old_fd = old_fd,
                              .new_fd = new_fd,
                              .out_fd = out_fd,
                              .old_sha256 = sha256,
                              .new_sha256 = sha256,
                              .cancel = &cancel};
    must(delta_make(&make, &made, &err));
    assert_string_equal(made.why_not, "not worth it");
    cancel = true;
    must(delta_make(&make, &made, &err));
    assert_string_equal(made.why_not, "cancelled");
    two_free(&two);
}

/* A file's last window of numbers may be shorter than a number. */
static void a_file_of_any_length_is_looked_through(void **state)
{
    struct two two = two_alike();

    (void)state;
    for (size_t rest = 0; rest <= 8; rest++) {
        random_fill(&two.random, two.new.bytes, 65536 + 8);
        two.old.size = 80000;
        two.new.size = 65536 + rest;
        memcpy(two.new.bytes, two.old.bytes, 32768); /* half of it, so that it is worth it */
        assert_true(length_of(&two.old, &two.new, DELTA_QUICK) < two.new.size);
        assert_true(length_of(&two.old, &two.new, DELTA_THOROUGH) < two.new.size);
    }
    two_free(&two);
}

/* Numbers that moved, in the new file so far behind that the last of them would lie beyond the old one. */
static void what_is_near_the_old_end_is_coded_no_further_than_that(void **state)
{
    struct two two = two_alike();
    size_t same = 64 << 10, weights = 600 << 10, shift = 1000;

    (void)state;
    random_fill(&two.random, two.new.bytes, SIZE);
    memcpy(two.new.bytes + shift, two.old.bytes, same);
    for (size_t i = same; i < same + weights; i += 4) {
        float weight = weight_random(&two.random),
              moved = weight * (1 + (float)(int32_t)random_next(&two.random) / 1e11f);

        memcpy(two.old.bytes + i, &weight, 4);
        memcpy(two.new.bytes + shift + i, &moved, 4);
    }
    two.old.size = same + weights;
    two.new.size = shift + same + weights + (1200 << 10);
    for (enum delta_effort effort = DELTA_QUICK; effort <= DELTA_THOROUGH; effort++)
        assert_true(length_of(&two.old, &two.new, effort) < two.new.size);
    two_free(&two);
}

static size_t mixed_blocks(const struct bytes *old, const struct bytes *new, enum delta_effort effort)
{
    struct bytes delta = delta_of(old, new, effort, NULL);
    struct delta_block block;
    struct error err = {0};
    size_t count = 0;

    for (size_t at = DELTA_HEADER_SIZE; at + DELTA_BLOCK_SIZE <= delta.size;) {
        must(delta_block_read(delta.bytes + at, &block, &err));
        count += block.near.coding == DELTA_MIXED;
        at += DELTA_BLOCK_SIZE + block.table.coded + block.near.coded + block.fresh.coded;
    }
    free(delta.bytes);
    return count;
}

/* Every few bytes one is a little larger, as in a program whose addresses moved: the coding "mixed" is the
 * best, and takes long. A quick delta has it as far as its time goes: for a small file, not for a larger one.
 */
static void a_quick_delta_leaves_out_what_takes_too_long(void **state)
{
    struct two two = two_alike();
    size_t small = 96 << 10;

    (void)state;
    for (size_t i = 0; i < SIZE; i += 10 + random_below(&two.random, 20))
        two.new.bytes[i] += (uint8_t)(1 + random_below(&two.random, 3));
    two.new.size = SIZE;
    assert_int_equal(mixed_blocks(&two.old, &two.new, DELTA_QUICK), 0);
    assert_int_equal(mixed_blocks(&two.old, &two.new, DELTA_THOROUGH), 2);
    two.old.size = two.new.size = small;
    assert_int_equal(mixed_blocks(&two.old, &two.new, DELTA_QUICK), 1);
    two_free(&two);
}

static void text_fill(struct random *random, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t) "etaoin shrdlu, "[random_below(random, 15)];
}

/* What was replaced is like nothing, though what comes after it is like the old file again: the two are not
 * taken for one. */
static void what_was_replaced_is_not_taken_for_what_is_near(void **state)
{
    struct two two = two_alike();
    size_t at = 256 << 10, replaced = 120 << 10;

    (void)state;
    two.new.size = SIZE;
    text_fill(&two.random, two.new.bytes + at, replaced);
    for (size_t i = at + replaced; i < at + replaced + 3000; i += 40)
        two.new.bytes[i] ^= 1;
    assert_true(length_of(&two.old, &two.new, DELTA_QUICK) < replaced * 52 / 100);
    two_free(&two);
}

/* New bytes that nothing makes smaller, and behind them some that much does. */
static void what_compresses_is_found_behind_what_does_not(void **state)
{
    struct two two = two_alike();

    (void)state;
    two.new.size = SIZE;
    two.old.size = SIZE / 8;
    random_fill(&two.random, two.new.bytes + SIZE / 8, SIZE - SIZE / 8);
    text_fill(&two.random, two.new.bytes + SIZE / 8 * 5, SIZE / 8 * 3);
    assert_true(length_of(&two.old, &two.new, DELTA_QUICK) < SIZE / 8 * 4 + SIZE / 8 * 2);
    two_free(&two);
}

/* Blocks of the old file in any order with new bytes between: every way is tried with the same bytes. */
static void a_thorough_delta_is_no_longer_than_a_quick_one(void **state)
{
    struct two two = two_alike();
    size_t size = 0;

    (void)state;
    while (size + 310 <= SIZE) {
        memcpy(two.new.bytes + size, two.old.bytes + random_below(&two.random, SIZE - 300), 300);
        random_fill(&two.random, two.new.bytes + size + 300, 10);
        size += 310;
    }
    two.new.size = size;
    assert_true(length_of(&two.old, &two.new, DELTA_THOROUGH) <= length_of(&two.old, &two.new, DELTA_QUICK));
    two_free(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_inserted_moved_or_doubled_costs_little),
        cmocka_unit_test(weights_that_moved_cost_half_wherever_they_begin),
        cmocka_unit_test(weights_that_moved_are_found_behind_another_header_and_in_another_order),
        cmocka_unit_test(low_bits_that_changed_cost_what_they_are),
        cmocka_unit_test(a_few_weights_cost_no_more_thoroughly_than_quickly),
        cmocka_unit_test(text_that_was_edited_is_coded_by_its_words),
        cmocka_unit_test(what_has_nothing_in_common_is_given_up),
        cmocka_unit_test(a_file_of_any_length_is_looked_through),
        cmocka_unit_test(what_is_near_the_old_end_is_coded_no_further_than_that),
        cmocka_unit_test(what_was_replaced_is_not_taken_for_what_is_near),
        cmocka_unit_test(what_compresses_is_found_behind_what_does_not),
        cmocka_unit_test(a_quick_delta_leaves_out_what_takes_too_long),
        cmocka_unit_test(a_thorough_delta_is_no_longer_than_a_quick_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

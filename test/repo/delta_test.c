/* The format of a delta in hostile hands. */
#include "test/repo/delta_pair.h"

#include "base/file.h"
#include "repo/delta_coding.h"
/* The fuzz target itself, so that its findings run here. */
#include "test/fuzz/delta_fuzz.c"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* --- deltas written by hand: an old file of 1,000 bytes, a new one of 300 --- */
#define OLD 1000
#define NEW 300

struct hand {
    struct delta_block block;
    uint8_t table[8192], near[8192], fresh[8192];
};

/* One run of four numbers, as the table has them: copy << 1 | from new, place, near, fresh. */
static void hand_run(struct hand *hand, uint64_t copy, uint64_t place, uint64_t near, uint64_t fresh)
{
    uint64_t columns[] = {copy, place, near, fresh};
    uint8_t *to = hand->table;

    memcpy(to, "\1\0\0\0", 4);
    to += 4;
    for (int i = 0; i < 4; i++)
        to += delta_varint_write(to, columns[i]);
    hand->block.table.length = hand->block.table.coded = (uint32_t)(to - hand->table);
}

/* 100 bytes from place 50, 150 near, 50 fresh: as it should be. */
static void hand_make(struct hand *hand)
{
    *hand = (struct hand){.block = {.out = NEW}};
    hand->block.near.length = hand->block.near.coded = 150;
    hand->block.fresh.length = hand->block.fresh.coded = 50;
    hand_run(hand, 100 << 1, delta_zigzag(50), 150, 50);
}

static struct bytes hand_bytes(const struct hand *hand)
{
    const struct delta_block *block = &hand->block;
    struct delta_header header = {.old_length = OLD, .new_length = NEW};
    struct bytes all = {calloc(1, 64 << 10), 0};

    memset(header.old_sha256, '0', SHA256_HEX - 1);
    memset(header.new_sha256, '0', SHA256_HEX - 1);
    delta_header_write(&header, all.bytes);
    delta_block_write(block, all.bytes + DELTA_HEADER_SIZE);
    all.size = DELTA_HEADER_SIZE + DELTA_BLOCK_SIZE;
    const struct {
        const uint8_t *bytes;
        uint32_t size;
    } parts[] = {{hand->table, block->table.coded},
                 {hand->near, block->near.coded},
                 {hand->fresh, block->fresh.coded}};
    for (int i = 0; i < 3; i++) {
        uint32_t size = parts[i].size < 4096 ? parts[i].size : 4096;

        memcpy(all.bytes + all.size, parts[i].bytes, size);
        all.size += size;
    }
    return all;
}

static bool bytes_apply(const struct bytes *delta, struct error *err)
{
    uint8_t old[OLD] = {0};
    char sha256[SHA256_HEX];

    FD(old_fd) = file_of(old, OLD);
    FD(new_fd) = file_of("", 0);
    struct delta_apply *apply = delta_apply_open(old_fd, new_fd, NEW, NULL, err);
    bool done =
        delta_apply_feed(apply, delta->bytes, delta->size, err) && delta_apply_end(apply, sha256, err);
    assert_true(delta_apply_place(apply).out == 0 || delta_apply_place(apply).out == NEW);
    delta_apply_free(apply);
    return done;
}

static void expect_refused(const struct hand *hand, const char *why)
{
    struct bytes delta = hand_bytes(hand);
    struct error err = {0};

    if (bytes_apply(&delta, &err))
        fail_msg("taken: %s", why);
    assert_int_equal(err.kind, ERROR_UNTRUSTED);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" is said, not \"%s\"", err.text, why);
    free(delta.bytes);
}

static void a_block_that_is_right_is_applied(void **state)
{
    struct error err = {0};
    struct hand hand;

    (void)state;
    hand_make(&hand);
    struct bytes delta = hand_bytes(&hand);
    must(bytes_apply(&delta, &err));
    free(delta.bytes);
}

static void a_run_that_leaves_its_file_or_its_block_is_refused(void **state)
{
    static const struct {
        uint64_t copy, place, near, fresh;
        const char *why;
    } rows[] = {
        {100 << 1, 951 << 1, 150, 50, "beyond the old file"},
        {100 << 1, 901 << 1, 150, 50, "beyond the old file"},
        {100 << 1, 1, 150, 50, "beyond the old file"},               /* place -1 */
        {100 << 1, UINT64_MAX >> 1, 150, 50, "beyond the old file"}, /* a distance that would overflow */
        {100 << 1, (UINT64_MAX >> 1) - 1, 150, 50, "beyond the old file"}, /* either way */
        {0, 1001 << 1, 250, 50, "beyond the old file"},
        {100 << 1 | 1, 100, 150, 50, "not yet written"},
        {100 << 1 | 1, 0, 150, 50, "not yet written"},
        {101 << 1, 0, 150, 50, "more than it says"},
        {100 << 1, 0, 151, 49, "more than it says"},
        {99 << 1, 0, 150, 50, "less than it says"},
        {100 << 1, 0, 149, 50, "less than it says"},
        {UINT64_C(1) << 32, 0, 150, 50, "too long"},
        {100 << 1, 0, UINT64_C(1) << 40, 50, "too long"},
    };
    struct hand hand;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hand_make(&hand);
        hand_run(&hand, rows[i].copy, rows[i].place, rows[i].near, rows[i].fresh);
        expect_refused(&hand, rows[i].why);
    }
}

static void a_table_that_is_not_whole_is_refused(void **state)
{
    struct hand hand;

    (void)state;
    hand_make(&hand);
    hand.table[0] = 2; /* a run more than there is */
    expect_refused(&hand, "ends within a number");
    hand_make(&hand);
    hand.table[0] = 0;
    expect_refused(&hand, "no runs or too many");
    hand_make(&hand);
    hand.table[2] = 1; /* 65,537 */
    expect_refused(&hand, "no runs or too many");
    hand_make(&hand);
    hand.block.table.length = ++hand.block.table.coded;
    expect_refused(&hand, "bytes after its end");
    hand_make(&hand);
    memset(hand.table + 4, 0xff, 20); /* a number without end */
    hand.block.table.length = hand.block.table.coded = 24;
    expect_refused(&hand, "ends within a number");
}

static void a_block_head_that_breaks_a_bound_is_refused(void **state)
{
    struct hand hand;

    (void)state;
#define REFUSED(change)                                                                                      \
    hand_make(&hand);                                                                                        \
    hand.block.change;                                                                                       \
    expect_refused(&hand, "breaks a bound")
    REFUSED(out = 0);
    REFUSED(out = DELTA_BLOCK_OUT + 1);
    REFUSED(near.length = DELTA_SEGMENT + 1);
    REFUSED(near.coded = 151);
    REFUSED(near.coded = 149); /* raw is as long as it is */
    REFUSED(near.coding = DELTA_CODINGS);
    REFUSED(near.element = 2);
    REFUSED(fresh.length = UINT32_MAX);
    REFUSED(fresh.coding = DELTA_XOR);
    REFUSED(table.length = DELTA_TABLE + 1);
    REFUSED(table.coding = DELTA_PREFIX);
    REFUSED(fresh = ((struct delta_stream){.coding = DELTA_PREFIX, .element = 1})); /* nothing, by a window */
    REFUSED(window_length = DELTA_WINDOW + 1);
    REFUSED(window_place = -1);
#undef REFUSED
    hand_make(&hand);
    hand.block.out = NEW + 1;
    expect_refused(&hand, "beyond the new file's end");
    hand_make(&hand);
    hand.block.out = NEW - 1; /* a block for each byte would be a window for each */
    expect_refused(&hand, "writes too little");
}

static void a_stream_that_decodes_to_another_length_is_refused(void **state)
{
    static uint8_t zeros[1 << 22];
    struct hand hand;

    (void)state;
    for (int coding = DELTA_ZSTD; coding < DELTA_CODINGS; coding++) {
        if (coding == DELTA_MIXED) /* whatever comes decodes to some bytes, exactly as many as are said */
            continue;
        size_t lengths[] = {149, 151, sizeof zeros}; /* the last is 4 MiB out of a few bytes */

        for (int i = 0; i < 3; i++) {
            hand_make(&hand);
            hand.block.near.coding = (uint8_t)coding;
            hand.block.near.element = coding >= DELTA_ORDERED ? 2 : 1;
            size_t coded = ZSTD_compress(hand.near, sizeof hand.near, zeros, lengths[i], 1);
            assert_true(coded <= 4096);
            hand.block.near.coded = (uint32_t)(coded < 150 ? coded : 150);
            expect_refused(&hand, "a stream ");
        }
    }
}

/* zstd takes frames of its first versions, frames to be skipped, and several. */
static void a_stream_of_other_frames_is_refused(void **state)
{
    static const uint8_t first[] = {0x27, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0xc0, 0, 0},
                         skipped[] = {0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0};
    static uint8_t zeros[150];
    struct hand hand;

    (void)state;
    for (int i = 0; i < 3; i++) {
        hand_make(&hand);
        hand.block.near.coding = DELTA_ZSTD;
        size_t coded = ZSTD_compress(hand.near, sizeof hand.near, zeros, sizeof zeros, 1);
        if (i == 0) {
            memcpy(hand.near, first, coded = sizeof first);
        } else {
            memmove(hand.near + sizeof skipped, hand.near, coded);
            memcpy(hand.near, skipped, sizeof skipped);
            if (i == 2) { /* the frame first */
                memmove(hand.near, hand.near + sizeof skipped, coded);
                memcpy(hand.near + coded, skipped, sizeof skipped);
            }
            coded += sizeof skipped;
        }
        hand.block.near.coded = (uint32_t)coded;
        expect_refused(&hand, "not one frame");
    }
}

static void a_window_beyond_its_file_is_refused(void **state)
{
    struct hand hand;

    (void)state;
    hand_make(&hand);
    hand.block.fresh.coding = DELTA_PREFIX;
    hand.block.window_place = 1;
    hand.block.window_length = OLD;
    expect_refused(&hand, "a window lies beyond");
    hand.block.window_length = 1;
    hand.block.window_place = INT64_MAX - DELTA_WINDOW;
    expect_refused(&hand, "a window lies beyond");
    hand.block.window_new = true; /* nothing of the new file is there yet */
    hand.block.window_place = 0;
    expect_refused(&hand, "a window lies beyond");
}

static void a_delta_that_ends_early_or_late_is_refused(void **state)
{
    struct error err = {0};
    struct hand hand;

    (void)state;
    hand_make(&hand);
    struct bytes delta = hand_bytes(&hand);
    size_t whole = delta.size;
    for (delta.size = 0; delta.size < whole; delta.size++) {
        err = (struct error){0};
        assert_false(bytes_apply(&delta, &err));
        assert_int_equal(err.kind, ERROR_UNTRUSTED);
    }
    delta.size = whole + 1;
    assert_false(bytes_apply(&delta, &err));
    free(delta.bytes);
}

static void a_header_of_another_format_or_other_files_is_refused(void **state)
{
    struct error err = {0};
    struct hand hand;

    (void)state;
    hand_make(&hand);
    struct bytes delta = hand_bytes(&hand);
    for (size_t at = 0; at < 24; at++) { /* magic, version, both lengths */
        delta.bytes[at] ^= 1;
        err = (struct error){0};
        assert_false(bytes_apply(&delta, &err));
        assert_int_equal(err.kind, ERROR_UNTRUSTED);
        delta.bytes[at] ^= 1;
    }
    must(bytes_apply(&delta, &err));
    free(delta.bytes);
}

static void a_place_that_cannot_be_is_refused(void **state)
{
    static const struct delta_place places[] = {{0, 0}, {88, -1}, {88, NEW + 1}, {-5, 0}, {88, 11}};
    uint8_t old[OLD] = {0};

    (void)state;
    FD(old_fd) = file_of(old, OLD);
    FD(new_fd) = file_of(old, 10);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct error err = {0};

        assert_null(delta_apply_open(old_fd, new_fd, NEW, &places[i], &err));
        assert_int_equal(err.kind, ERROR_UNTRUSTED);
    }
}

static void an_old_file_of_other_bytes_gives_another_hash(void **state)
{
    struct bytes old = {calloc(1, 100000), 100000}, new = {calloc(1, 100000), 100000};
    char sha256[SHA256_HEX], expected[SHA256_HEX];
    struct random random = {5};
    struct error err = {0};

    (void)state;
    random_fill(&random, old.bytes, old.size);
    memcpy(new.bytes, old.bytes, new.size);
    new.bytes[5000]++;
    struct bytes delta = delta_of(&old, &new, DELTA_QUICK, NULL);
    old.bytes[70000]++;
    FD(old_fd) = file_of(old.bytes, old.size);
    FD(new_fd) = file_of("", 0);
    struct delta_apply *apply = delta_apply_open(old_fd, new_fd, 100000, NULL, &err);
    must(delta_apply_feed(apply, delta.bytes, delta.size, &err));
    must(delta_apply_end(apply, sha256, &err));
    sha256_hex(new.bytes, new.size, expected);
    assert_string_not_equal(sha256, expected);
    delta_apply_free(apply);
    free(old.bytes);
    free(new.bytes);
    free(delta.bytes);
}

static void the_findings_of_the_fuzzer_stay_fixed(void **state)
{
    DIR *folder = opendir("test/fuzz/delta");
    struct dirent *entry;
    int count = 0;

    (void)state;
    assert_non_null(folder);
    while ((entry = readdir(folder))) {
        FD(fd) = openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (entry->d_name[0] == '.')
            continue;
        struct bytes bytes = bytes_of(fd);
        assert_int_equal(LLVMFuzzerTestOneInput(bytes.bytes, bytes.size), 0);
        free(bytes.bytes);
        count++;
    }
    closedir(folder);
    assert_true(count > 0);
}

/* --- codings --- */
#define CODED 40000
struct coded {
    uint8_t bytes[CODED], reference[CODED], planes[CODED], back[CODED];
    uint32_t runs[64];
    struct delta_shape shape;
};

/* Bytes that are mostly near their reference, in runs of any length. */
static struct coded *coded_new(uint64_t seed)
{
    struct coded *coded = calloc(1, sizeof *coded);
    struct random random = {seed};

    random_fill(&random, coded->reference, CODED);
    memcpy(coded->bytes, coded->reference, CODED);
    for (size_t i = 0; i < CODED; i += 1 + random_below(&random, 60))
        coded->bytes[i] = (uint8_t)(coded->bytes[i] + random_below(&random, random_below(&random, 256)));
    coded->shape.runs = coded->runs;
    coded->shape.count = 64;
    for (int i = 0; i < 64; i++)
        coded->shape.size += coded->runs[i] = (uint32_t)random_below(&random, i % 8 ? 20 : 4000);
    assert_true(coded->shape.size <= CODED);
    return coded;
}

static void planes_are_put_together_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct coded *coded = coded_new(seed);

        for (int coding = DELTA_PLANES; coding < DELTA_CODINGS; coding++)
            for (uint8_t element = coding < DELTA_ORDERED ? 1 : 2; element <= 4;
                 element = (uint8_t)(element * 2)) {
                if (coding == DELTA_MIXED)
                    continue;
                coded->shape.coding = (uint8_t)coding;
                coded->shape.element = element;
                memset(coded->planes, 0xee, CODED);
                memset(coded->back, 0xee, CODED);
                delta_planes_split(&coded->shape, coded->bytes, coded->reference, coded->planes);
                delta_planes_join(&coded->shape, coded->planes, coded->reference, coded->back);
                assert_memory_equal(coded->bytes, coded->back, coded->shape.size);
                assert_true(coded->back[coded->shape.size] == 0xee);
                memcpy(coded->back, coded->reference, CODED); /* in its place */
                delta_planes_join(&coded->shape, coded->planes, coded->back, coded->back);
                assert_memory_equal(coded->bytes, coded->back, coded->shape.size);
            }
        free(coded);
    }
}

static void mixed_bytes_come_back_and_bounds_are_kept(void **state)
{
    struct delta_mixed *mixed = delta_mixed_new();

    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct coded *coded = coded_new(seed);
        size_t size = delta_mixed_write(mixed, coded->bytes, coded->reference, CODED, coded->planes, CODED);

        assert_true(size < CODED / 4);
        delta_mixed_read(mixed, coded->planes, size, coded->reference, coded->back, CODED);
        assert_memory_equal(coded->bytes, coded->back, CODED);
        coded->planes[size / 2] = 0xee; /* no room for more than half of it */
        assert_true(delta_mixed_write(mixed, coded->bytes, coded->reference, CODED, coded->planes,
                                      size / 2) == SIZE_MAX);
        assert_int_equal(coded->planes[size / 2], 0xee);
        free(coded);
    }
    delta_mixed_free(mixed);
}

/* --- the room that the window shares with what decoding needs --- */
#define PART DELTA_BLOCK_LEAST /* bytes of a block below */

/* Three blocks for an old file of a whole window: bytes of where the mixed coder will lie, a mixed stream,
 * and such bytes again. */
static struct bytes room_delta(const uint8_t *old, const uint8_t *new)
{
    struct delta_header header = {.old_length = DELTA_WINDOW, .new_length = 3 * PART};
    struct bytes all = {calloc(1, 64 << 10), DELTA_HEADER_SIZE};
    struct delta_mixed *mixed = delta_mixed_new();
    ZSTD_CCtx *zstd = ZSTD_createCCtx();

    memset(header.old_sha256, '0', SHA256_HEX - 1);
    memset(header.new_sha256, '0', SHA256_HEX - 1);
    delta_header_write(&header, all.bytes);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, 24);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_hashLog, 24);
    for (int i = 0; i < 3; i++) {
        struct hand hand = {.block = {.out = PART, .window_length = i == 1 ? 0 : DELTA_WINDOW}};
        struct delta_stream *stream = i == 1 ? &hand.block.near : &hand.block.fresh;

        stream->coding = i == 1 ? DELTA_MIXED : DELTA_PREFIX;
        stream->length = PART;
        hand_run(&hand, 0, 0, i == 1 ? PART : 0, i == 1 ? 0 : PART);
        ZSTD_CCtx_refPrefix(zstd, old, DELTA_WINDOW);
        size_t coded = i == 1
                           ? delta_mixed_write(mixed, new + PART, old + PART, PART, hand.near, PART)
                           : ZSTD_compress2(zstd, hand.fresh, sizeof hand.fresh, new + (size_t)i *PART, PART);
        assert_true(coded < 600);
        stream->coded = (uint32_t)coded;
        delta_block_write(&hand.block, all.bytes + all.size);
        memcpy(all.bytes + all.size + DELTA_BLOCK_SIZE, hand.table, hand.block.table.coded);
        all.size += DELTA_BLOCK_SIZE + hand.block.table.coded;
        memcpy(all.bytes + all.size, i == 1 ? hand.near : hand.fresh, coded);
        all.size += coded;
    }
    ZSTD_freeCCtx(zstd);
    delta_mixed_free(mixed);
    return all;
}

static void a_whole_window_is_read_again_after_its_room_was_needed(void **state)
{
    uint8_t *old = malloc(DELTA_WINDOW), new[3 * PART];
    const uint8_t *coder = old + DELTA_WINDOW - DELTA_MIXED_SIZE - DELTA_SEGMENT;
    struct random random = {7};
    struct error err = {0};
    char sha256[SHA256_HEX], wanted[SHA256_HEX];

    (void)state;
    random_fill(&random, old, DELTA_WINDOW);
    memcpy(new, coder, PART);
    memcpy(new + PART, old + PART, PART); /* a mixed stream's reference goes on in the old file */
    new[PART + 100] ^= 1;
    memcpy(new + 2 * (size_t)PART, coder + 8, PART);
    sha256_hex(new, sizeof new, wanted);
    struct bytes delta = room_delta(old, new);
    FD(old_fd) = file_of(old, DELTA_WINDOW);
    FD(new_fd) = file_of("", 0);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    struct delta_apply *apply = delta_apply_open(old_fd, new_fd, sizeof new, NULL, &err);
    must(delta_apply_feed(apply, delta.bytes, delta.size, &err));
    assert_true(mallinfo2().uordblks + mallinfo2().hblkhd - before <= DELTA_MEMORY);
    must(delta_apply_end(apply, sha256, &err));
    assert_string_equal(sha256, wanted);
    delta_apply_free(apply);
    free(delta.bytes);
    free(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_that_is_right_is_applied),
        cmocka_unit_test(a_run_that_leaves_its_file_or_its_block_is_refused),
        cmocka_unit_test(a_table_that_is_not_whole_is_refused),
        cmocka_unit_test(a_block_head_that_breaks_a_bound_is_refused),
        cmocka_unit_test(a_stream_that_decodes_to_another_length_is_refused),
        cmocka_unit_test(a_stream_of_other_frames_is_refused),
        cmocka_unit_test(a_window_beyond_its_file_is_refused),
        cmocka_unit_test(a_delta_that_ends_early_or_late_is_refused),
        cmocka_unit_test(a_header_of_another_format_or_other_files_is_refused),
        cmocka_unit_test(a_place_that_cannot_be_is_refused),
        cmocka_unit_test(an_old_file_of_other_bytes_gives_another_hash),
        cmocka_unit_test(planes_are_put_together_again),
        cmocka_unit_test(mixed_bytes_come_back_and_bounds_are_kept),
        cmocka_unit_test(a_whole_window_is_read_again_after_its_room_was_needed),
        cmocka_unit_test(the_findings_of_the_fuzzer_stay_fixed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

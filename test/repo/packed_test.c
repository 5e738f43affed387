/* Packed objects: frames out and in, in pieces of any size, and what hostile ones come to. */
#include "test/repo/fixture.h"

#include "base/file.h"
#include "repo/packed.h"
#include "repo/packed_make.h"
/* The fuzz target itself, so that its findings run here. */
#include "test/fuzz/packed_fuzz.c"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define LENGTH (2 * PACKED_FRAME + 12345)

static char *words, *packed;
static int64_t packed_length;

/* Bytes in a file that is gone when it is closed. */
static int file_of(const void *bytes, size_t size)
{
    struct error err = {0};
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    must(fd_write_all(fd, bytes, size, &err));
    return fd;
}

static int group_begin(void **state)
{
    struct error err = {0};
    (void)state;

    words = malloc(LENGTH);
    for (int i = 0; i < LENGTH; i++)
        words[i] = "etaoin shrdlu\n"[rand() % 14];
    FD(fd) = file_of(words, LENGTH);
    FD(out) = file_of("", 0);
    must(packed_make(fd, LENGTH, out, NULL, &packed_length, &err));
    packed = malloc((size_t)packed_length);
    assert_int_equal(pread(out, packed, (size_t)packed_length, 0), packed_length);
    return 0;
}

static int group_end(void **state)
{
    (void)state;
    free(words);
    free(packed);
    return 0;
}

/* What comes out is looked at byte by byte. */
struct looking {
    int64_t at;
};

static bool look(void *context, const void *bytes, size_t size, struct error *err)
{
    struct looking *looking = context;

    (void)err;
    assert_true(looking->at + (int64_t)size <= LENGTH);
    assert_memory_equal(words + looking->at, bytes, size);
    looking->at += (int64_t)size;
    return true;
}

static void it_saves_a_tenth_and_comes_out_as_it_was_in_pieces_of_any_size(void **state)
{
    (void)state;
    assert_true(packed_length > 0 && packed_length < LENGTH * 9 / 10);
    for (int64_t piece = 997; piece < 4 << 20; piece *= 13) {
        struct looking looking = {0};
        struct error err = {0};
        struct unpack *unpack = unpack_open(LENGTH, look, &looking);

        for (int64_t at = 0; at < packed_length; at += piece)
            must(unpack_feed(unpack, packed + at,
                             (size_t)(packed_length - at < piece ? packed_length - at : piece), &err));
        must(unpack_end(unpack, &err));
        assert_int_equal(looking.at, LENGTH);
        unpack_free(unpack);
    }
}

static void a_cut_goes_on_at_the_last_frame(void **state)
{
    struct looking looking = {0};
    struct error err = {0};
    int64_t cut = packed_length * 8 / 10;
    (void)state;

    struct unpack *first = unpack_open(LENGTH, look, &looking);
    must(unpack_feed(first, packed, (size_t)cut, &err));
    assert_false(unpack_end(first, &err));
    assert_int_equal(err.kind, ERROR_UNTRUSTED);
    err = (struct error){0};
    int64_t in = unpack_eaten(first), out = unpack_held(first);
    assert_int_equal(out, PACKED_FRAME);
    assert_true(in < cut && looking.at >= out);
    unpack_free(first);
    looking.at = out;
    struct unpack *second = unpack_open(LENGTH - out, look, &looking);
    must(unpack_feed(second, packed + in, (size_t)(packed_length - in), &err));
    must(unpack_end(second, &err));
    assert_int_equal(looking.at, LENGTH);
    unpack_free(second);
}

static bool swallow(void *context, const void *bytes, size_t size, struct error *err)
{
    (void)bytes, (void)err;
    *(int64_t *)context += (int64_t)size;
    return true;
}

static void more_than_the_length_never_comes_out(void **state)
{
    struct error err = {0};
    int64_t came = 0;
    (void)state;

    struct unpack *unpack = unpack_open(PACKED_FRAME / 2, swallow, &came);
    assert_false(unpack_feed(unpack, packed, (size_t)(packed_length / 3), &err));
    assert_int_equal(err.kind, ERROR_UNTRUSTED);
    assert_true(came <= PACKED_FRAME / 2);
    unpack_free(unpack);
}

static void frames_that_hold_nothing_end_as_well(void **state)
{
    /* RFC 8878: a frame of 0 bytes with one block, which is the last, for ever. */
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0};
    struct error err = {0};
    int64_t came = 0;
    int fed = 0;
    (void)state;

    struct unpack *unpack = unpack_open(1000, swallow, &came);
    while (fed < 1000000 && unpack_feed(unpack, frame, sizeof frame, &err))
        fed++;
    assert_true(fed < 100000);
    assert_int_equal(err.kind, ERROR_UNTRUSTED);
    unpack_free(unpack);
}

static void a_frame_that_wants_a_large_window_is_refused(void **state)
{
    /* RFC 8878, 3.1.1: magic, descriptor 0 (a window descriptor follows), a window of 64 MiB. */
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, (26 - 10) << 3, 1, 0, 0};
    struct error err = {0};
    int64_t came = 0;
    (void)state;

    struct unpack *unpack = unpack_open(1 << 30, swallow, &came);
    assert_false(unpack_feed(unpack, frame, sizeof frame, &err));
    assert_int_equal(err.kind, ERROR_UNTRUSTED);
    unpack_free(unpack);
}

/* zstd 0.7, which the library still reads and holds no bound of the window for: 128 MiB. And one to be
 * skipped. */
static void frames_of_other_kinds_are_refused(void **state)
{
    static const uint8_t frames[][8] = {{0x27, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0, 0},
                                        {0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}};
    (void)state;

    for (size_t i = 0; i < 2; i++)
        for (size_t step = 1; step <= 8; step += 7) { /* whole, and byte by byte; behind a right one too */
            for (int behind = 0; behind < 2; behind++) {
                struct error err = {0};
                struct looking looking = {0};
                struct unpack *unpack = unpack_open(LENGTH, look, &looking);
                bool taken = true;

                if (behind)
                    must(unpack_feed(unpack, packed,
                                     ZSTD_findFrameCompressedSize(packed, (size_t)packed_length), &err));
                for (size_t at = 0; at < 8 && taken; at += step)
                    taken = unpack_feed(unpack, frames[i] + at, step, &err);
                assert_false(taken);
                assert_int_equal(err.kind, ERROR_UNTRUSTED);
                unpack_free(unpack);
            }
        }
}

static void what_does_not_compress_is_not_packed(void **state)
{
    char *noise = malloc(LENGTH);
    struct error err = {0};
    int64_t length = 1;
    (void)state;

    random_bytes(noise, LENGTH);
    FD(fd) = file_of(noise, LENGTH);
    FD(out) = file_of("", 0);
    must(packed_make(fd, LENGTH, out, NULL, &length, &err));
    assert_int_equal(length, 0);
    free(noise);
}

static void making_stops_when_it_is_told_to(void **state)
{
    atomic_bool cancel = true;
    struct error err = {0};
    int64_t length;
    (void)state;

    FD(fd) = file_of(words, LENGTH);
    FD(out) = file_of("", 0);
    assert_false(packed_make(fd, LENGTH, out, &cancel, &length, &err));
    assert_int_equal(err.kind, ERROR_SYSTEM);
}

static bool run_finding(void *context, const char *path, int fd, int64_t size, mode_t mode, struct error *err)
{
    uint8_t *bytes = malloc((size_t)size + 1);

    (void)path, (void)mode, (void)err;
    assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
    LLVMFuzzerTestOneInput(bytes, (size_t)size);
    free(bytes);
    ++*(int *)context;
    return true;
}

static void the_findings_of_the_fuzzer_stay_fixed(void **state)
{
    struct error err = {0};
    int findings = 0;
    (void)state;

    FD(folder) = folder_open("test/fuzz/packed", &err);
    assert_true(folder >= 0);
    must(folder_walk(folder, run_finding, &findings, &err));
    assert_true(findings > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_saves_a_tenth_and_comes_out_as_it_was_in_pieces_of_any_size),
        cmocka_unit_test(a_cut_goes_on_at_the_last_frame),
        cmocka_unit_test(more_than_the_length_never_comes_out),
        cmocka_unit_test(frames_that_hold_nothing_end_as_well),
        cmocka_unit_test(a_frame_that_wants_a_large_window_is_refused),
        cmocka_unit_test(frames_of_other_kinds_are_refused),
        cmocka_unit_test(what_does_not_compress_is_not_packed),
        cmocka_unit_test(making_stops_when_it_is_told_to),
        cmocka_unit_test(the_findings_of_the_fuzzer_stay_fixed),
    };

    return cmocka_run_group_tests(tests, group_begin, group_end);
}

/* libFuzzer's entry for applying a delta: whatever comes, the apply ends, reads and writes only what it may,
 * and says so; and when it comes to its end, it does so again from a place half way. The old file is always
 * the same (delta_old.h); the first two bytes are the new file's length, the rest is what follows a delta's
 * header. Its findings are kept in test/fuzz/delta and run with test/repo/delta_test.c. */
#include "repo/delta.h"
#include "test/fuzz/delta_old.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static int fuzz_old(void)
{
    static uint8_t old[DELTA_OLD];
    int fd = memfd_create("old", MFD_CLOEXEC);

    delta_old_fill(old);
    if (fd < 0 || write(fd, old, DELTA_OLD) != DELTA_OLD)
        abort();
    return fd;
}

/* What says its bounds says them the same way when it is written again. */
static void fuzz_heads(const uint8_t *bytes, size_t size)
{
    uint8_t again[DELTA_HEADER_SIZE];
    struct delta_header header;
    struct delta_block block;
    struct error err = {0};

    if (delta_header_read(bytes, size, &header, &err)) {
        delta_header_write(&header, again);
        if (memcmp(bytes, again, DELTA_HEADER_SIZE) != 0)
            abort();
    }
    if (size >= DELTA_BLOCK_SIZE && delta_block_read(bytes, &block, &err)) {
        delta_block_write(&block, again);
        if (memcmp(bytes, again, DELTA_BLOCK_SIZE) != 0)
            abort();
    }
}

/* Applies in two pieces, the second one with a new apply when `cut`. True: to its end. */
static bool fuzz_apply(int old_fd, int new_fd, int64_t length, const uint8_t *bytes, size_t size, bool cut,
                       char sha256[SHA256_HEX])
{
    struct delta_place place = {.in = DELTA_HEADER_SIZE};
    size_t first = size / 2;
    struct error err = {0};
    struct stat file;

    struct delta_apply *apply = delta_apply_open(old_fd, new_fd, length, &place, &err);
    if (!apply)
        abort();
    bool good = delta_apply_feed(apply, bytes, first, &err);
    if (good && cut) {
        place = delta_apply_place(apply);
        first = (size_t)place.in - DELTA_HEADER_SIZE;
        delta_apply_free(apply);
        apply = delta_apply_open(old_fd, new_fd, length, &place, &err);
        if (!apply)
            abort();
    }
    good = good && delta_apply_feed(apply, bytes + first, size - first, &err) &&
           delta_apply_end(apply, sha256, &err);
    if (fstat(new_fd, &file) < 0 || file.st_size > length || delta_apply_place(apply).out > length)
        abort();
    delta_apply_free(apply);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static int old_fd = -1;
    char sha256[SHA256_HEX], again[SHA256_HEX];

    if (size < 3)
        return 0;
    if (old_fd < 0)
        old_fd = fuzz_old();
    fuzz_heads(bytes + 2, size - 2);
    int new_fd = memfd_create("new", MFD_CLOEXEC);
    int64_t length = bytes[0] | bytes[1] << 8;
    if (fuzz_apply(old_fd, new_fd, length, bytes + 2, size - 2, false, sha256) &&
        (!fuzz_apply(old_fd, new_fd, length, bytes + 2, size - 2, true, again) ||
         memcmp(sha256, again, SHA256_HEX) != 0))
        abort();
    close(new_fd);
    return 0;
}

/* libFuzzer's entry for applying a delta: whatever comes, the apply ends, reads and writes only what it may,
 * and says so. The old file is 64 KiB that are always the same; the first two bytes are the new file's
 * length, the rest is what follows a delta's header. Its findings are kept in test/fuzz/delta and run with
 * test/repo/delta_test.c. */
#include "repo/delta.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FUZZ_OLD 65536

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static int fuzz_old(void)
{
    static uint8_t old[FUZZ_OLD];
    int fd = memfd_create("old", MFD_CLOEXEC);

    for (size_t i = 0; i < FUZZ_OLD; i++)
        old[i] = (uint8_t)(i * i >> 7 ^ i);
    if (fd < 0 || write(fd, old, FUZZ_OLD) != FUZZ_OLD)
        abort();
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static int old_fd = -1;
    struct delta_place start = {.in = DELTA_HEADER_SIZE};
    char sha256[SHA256_HEX];
    struct error err = {0};
    struct stat file;

    if (size < 3)
        return 0;
    if (old_fd < 0)
        old_fd = fuzz_old();
    int new_fd = memfd_create("new", MFD_CLOEXEC);
    int64_t length = bytes[0] | bytes[1] << 8;
    struct delta_apply *apply = delta_apply_open(old_fd, new_fd, length, &start, &err);
    if (!apply)
        abort();
    size_t first = (size - 2) / 2; /* in two pieces */
    if (delta_apply_feed(apply, bytes + 2, first, &err) &&
        delta_apply_feed(apply, bytes + 2 + first, size - 2 - first, &err))
        delta_apply_end(apply, sha256, &err);
    if (fstat(new_fd, &file) < 0 || file.st_size > length || delta_apply_place(apply).out > length)
        abort();
    delta_apply_free(apply);
    close(new_fd);
    return 0;
}

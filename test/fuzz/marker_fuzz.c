/* libFuzzer's entry for the search for markers: whatever a file holds, the search ends, reads no more than it
 * may, and tells only valid names. Its findings are kept in test/fuzz/marker and run with
 * test/repo/marker_test.c. */
#include "repo/marker.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void marker_look(void *context, const struct marker *marker)
{
    struct error ignored = {0};

    (void)context;
    if (!name_is_valid(marker->product) || !name_is_valid(marker->asset) ||
        !version_check(marker->version, &ignored))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct error err = {0};
    int64_t left = 1 << 20;
    int fd = memfd_create("marker", MFD_CLOEXEC);

    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size ||
        !marker_find(fd, &left, marker_look, NULL, &err) || left < 0)
        abort();
    close(fd);
    return 0;
}

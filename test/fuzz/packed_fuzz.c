/* libFuzzer's entry for unpacking: whatever comes, it ends, and no more comes out than may. The first two
 * bytes are that length. Its findings are kept in test/fuzz/packed and run with test/repo/packed_test.c. */
#include "repo/packed.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What came out so far, and may in all. */
struct fuzz_out {
    int64_t came, most;
};

static bool fuzz_take(void *context, const void *bytes, size_t size, struct error *err)
{
    struct fuzz_out *out = context;

    (void)bytes, (void)err;
    out->came += (int64_t)size;
    if (out->came > out->most)
        abort();
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fuzz_out out = {0};
    struct error err = {0};

    if (size < 2)
        return 0;
    out.most = bytes[0] | bytes[1] << 8;
    size_t first = (size - 2) / 2; /* in two pieces */
    struct unpack *unpack = unpack_open(out.most, fuzz_take, &out);
    if (unpack_feed(unpack, bytes + 2, first, &err) &&
        unpack_feed(unpack, bytes + 2 + first, size - 2 - first, &err) && unpack_end(unpack, &err) &&
        out.came != out.most)
        abort();
    if (unpack_held(unpack) > out.came || unpack_eaten(unpack) > (int64_t)size)
        abort();
    unpack_free(unpack);
    return 0;
}

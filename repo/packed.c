#include "repo/packed.h"

#include <stdlib.h>
#include <zstd.h>

#define PIECE (128u << 10)
#define WINDOW_LOG 22 /* PACKED_FRAME */
#define SLACK (64 << 10)

struct unpack {
    ZSTD_DCtx *zstd;
    unpacked *write;
    void *context;
    int64_t length;      /* that may come out */
    int64_t in, out;     /* so far */
    int64_t eaten, held; /* at the end of the last whole frame */
    char *room;
};

struct unpack *unpack_open(int64_t length, unpacked *write, void *context)
{
    struct unpack *unpack = calloc(1, sizeof *unpack);

    if (!unpack || !(unpack->zstd = ZSTD_createDCtx()) || !(unpack->room = malloc(PIECE)))
        abort();
    ZSTD_DCtx_setParameter(unpack->zstd, ZSTD_d_windowLogMax, WINDOW_LOG);
    unpack->length = length;
    unpack->write = write;
    unpack->context = context;
    return unpack;
}

void unpack_free(struct unpack *unpack)
{
    if (!unpack)
        return;
    ZSTD_freeDCtx(unpack->zstd);
    free(unpack->room);
    free(unpack);
}

bool unpack_feed(struct unpack *unpack, const void *bytes, size_t size, struct error *err)
{
    ZSTD_inBuffer in = {bytes, size, 0};
    bool more = false; /* the room was full: zstd may hold back what it has decoded */

    /* Frames that hold nothing would never end. */
    if (unpack->in + (int64_t)size > unpack->length + SLACK)
        return error_set(err, ERROR_UNTRUSTED, "the packed bytes are more than the whole");
    while (in.pos < in.size || more) {
        ZSTD_outBuffer out = {unpack->room, PIECE, 0};
        size_t before = in.pos, left = ZSTD_decompressStream(unpack->zstd, &out, &in);

        if (ZSTD_isError(left))
            return error_set(err, ERROR_UNTRUSTED, "the packed bytes are damaged: %s",
                             ZSTD_getErrorName(left));
        if ((int64_t)out.pos > unpack->length - unpack->out)
            return error_set(err, ERROR_UNTRUSTED, "the packed bytes hold more than the %lld that they may",
                             (long long)unpack->length);
        unpack->in += (int64_t)(in.pos - before);
        unpack->out += (int64_t)out.pos;
        if (out.pos > 0 && !unpack->write(unpack->context, unpack->room, out.pos, err))
            return false;
        if (left == 0) {
            unpack->eaten = unpack->in;
            unpack->held = unpack->out;
        }
        more = out.pos == PIECE && left != 0;
    }
    return true;
}

int64_t unpack_eaten(const struct unpack *unpack)
{
    return unpack->eaten;
}

int64_t unpack_held(const struct unpack *unpack)
{
    return unpack->held;
}

bool unpack_end(const struct unpack *unpack, struct error *err)
{
    return (unpack->out == unpack->length && unpack->eaten == unpack->in) ||
           error_set(err, ERROR_UNTRUSTED, "the packed bytes hold %lld of %lld", (long long)unpack->out,
                     (long long)unpack->length);
}

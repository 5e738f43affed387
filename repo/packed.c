#include "repo/packed.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define PIECE (128u << 10)
#define WINDOW_LOG 22 /* PACKED_FRAME */
#define SLACK (64 << 10)

/* RFC 8878. zstd itself also takes frames of its first versions, for which it holds no bound of the window.
 */
static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};

struct unpack {
    ZSTD_DCtx *zstd;
    unpacked *write;
    void *context;
    int64_t length;      /* that may come out */
    int64_t in, out;     /* so far */
    int64_t eaten, held; /* at the end of the last whole frame */
    size_t begun;        /* bytes of the frame's magic number that came */
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

/* How many of the bytes that come next are given to zstd together; 0: another kind of frame begins. */
static size_t next_part(const struct unpack *unpack, const uint8_t *bytes, size_t size)
{
    size_t part = sizeof magic - unpack->begun;

    if (!part)
        return size;
    part = part < size ? part : size;
    return memcmp(bytes, magic + unpack->begun, part) ? 0 : part;
}

bool unpack_feed(struct unpack *unpack, const void *bytes, size_t size, struct error *err)
{
    ZSTD_inBuffer in = {bytes, 0, 0};
    bool more = false; /* the room was full: zstd may hold back what it has decoded */

    /* Frames that hold nothing would never end. */
    if (unpack->in + (int64_t)size > unpack->length + SLACK)
        return error_set(err, ERROR_UNTRUSTED, "the packed bytes are more than the whole");
    while (in.pos < size || more) {
        size_t part = next_part(unpack, (const uint8_t *)bytes + in.pos, size - in.pos);

        if (!part && in.pos < size)
            return error_set(err, ERROR_UNTRUSTED, "the packed bytes are damaged: another kind of frame");
        in.size = in.pos + part;
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
        if (unpack->begun < sizeof magic)
            unpack->begun += in.pos - before;
        if (left == 0) {
            unpack->begun = 0;
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

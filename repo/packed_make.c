#include "repo/packed_make.h"

#include "base/file.h"
#include "repo/packed.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#define LEVEL 9
#define SAMPLES 8
#define SAMPLE ((int64_t)64 << 10)

/* Nine tenths: what it must be below. */
static int64_t worth_below(int64_t size)
{
    return size - size / 10;
}

static bool read_all(int fd, char *bytes, size_t size, int64_t at, struct error *err)
{
    while (size > 0) {
        ssize_t got = pread(fd, bytes, size, at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? error_errno(err, "reading an object")
                           : error_set(err, ERROR_SYSTEM, "an object became shorter");
        bytes += got;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

struct packing {
    ZSTD_CCtx *zstd;
    char *in, *out;
    size_t room; /* of out */
};

static size_t pack(struct packing *packing, size_t size, int level, struct error *err)
{
    ZSTD_CCtx_setParameter(packing->zstd, ZSTD_c_compressionLevel, level);
    size_t packed = ZSTD_compress2(packing->zstd, packing->out, packing->room, packing->in, size);

    if (!ZSTD_isError(packed))
        return packed;
    error_set(err, ERROR_SYSTEM, "packing an object: %s", ZSTD_getErrorName(packed));
    return 0;
}

/* Eight places all over it, quickly: random or packed already? A little is left for the better level. */
static bool looks_worth(struct packing *packing, int fd, int64_t size, bool *worth, struct error *err)
{
    int64_t packed = 0;

    *worth = true;
    if (size <= SAMPLES * SAMPLE)
        return true;
    for (int64_t i = 0; i < SAMPLES; i++) {
        if (!read_all(fd, packing->in, (size_t)SAMPLE, (size - SAMPLE) / (SAMPLES - 1) * i, err))
            return false;
        size_t one = pack(packing, (size_t)SAMPLE, 1, err);
        if (!one)
            return false;
        packed += (int64_t)one;
    }
    *worth = packed < SAMPLES * SAMPLE / 100 * 96;
    return true;
}

static bool make(struct packing *packing, int fd, int64_t size, int out_fd, const atomic_bool *cancel,
                 int64_t *length, struct error *err)
{
    int64_t made = 0;

    for (int64_t at = 0; at < size; at += PACKED_FRAME) {
        size_t piece = size - at < PACKED_FRAME ? (size_t)(size - at) : PACKED_FRAME;

        if (cancel && atomic_load(cancel))
            return error_set(err, ERROR_SYSTEM, "packing an object was stopped");
        if (!read_all(fd, packing->in, piece, at, err))
            return false;
        size_t packed = pack(packing, piece, LEVEL, err);
        if (!packed || !fd_write_all(out_fd, packing->out, packed, err))
            return false;
        made += (int64_t)packed;
        if (made >= worth_below(size))
            return true;
    }
    *length = made;
    return true;
}

bool packed_make(int fd, int64_t size, int out_fd, const atomic_bool *cancel, int64_t *length,
                 struct error *err)
{
    struct packing packing = {.zstd = ZSTD_createCCtx(), .room = ZSTD_compressBound(PACKED_FRAME)};
    bool worth;

    *length = 0;
    packing.in = malloc(PACKED_FRAME);
    packing.out = malloc(packing.room);
    if (!packing.zstd || !packing.in || !packing.out)
        abort();
    bool good = looks_worth(&packing, fd, size, &worth, err) &&
                (!worth || make(&packing, fd, size, out_fd, cancel, length, err));
    ZSTD_freeCCtx(packing.zstd);
    free(packing.in);
    free(packing.out);
    return good;
}

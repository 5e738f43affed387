/* The bytes of a delta come in pieces, are gathered to whole blocks, and each block is checked in full before
 * a byte of it is written. */
#include "repo/delta_coding.h"

#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define PIECE (128 << 10) /* what is read, hashed and written at once */
#define ROOM DELTA_WINDOW

/* A block's runs, by columns. `place` is the copy's, absolute; `reference` is where the near bytes' lies. */
struct runs {
    size_t count;
    uint64_t copy[DELTA_RUNS];
    int64_t place[DELTA_RUNS], reference[DELTA_RUNS];
    uint32_t near[DELTA_RUNS], fresh[DELTA_RUNS];
    bool from_new[DELTA_RUNS];
};

struct delta_apply {
    int old_fd, new_fd;
    int64_t old_length, new_length;
    struct delta_place place; /* the last whole block */
    int64_t hashed;           /* bytes of the new file that went to the hash and to the file */
    struct sha256 hash;

    enum { HEADER, BLOCK, BODY } state;
    uint8_t head[DELTA_HEADER_SIZE];
    struct delta_block block;
    size_t have; /* bytes of what the state gathers */
    uint8_t *body;

    ZSTD_DCtx *zstd;
    struct runs *runs;
    uint8_t *table, *near; /* near: the near bytes, then the fresh ones */
    /* ROOM bytes: the window from its front, what the decoding of a stream needs besides at its end. The two
     * are never needed at once, and mostly fit side by side. */
    uint8_t *room;
    size_t window_size;  /* bytes of the window that are there; 0: none, */
    int64_t window_from; /* from here in the old file; the one of the new file is never kept */
    uint8_t *piece;
    size_t piece_size; /* bytes that wait to be written */
};

static bool broken(struct error *err, const char *why)
{
    return error_set(err, ERROR_UNTRUSTED, "the delta is damaged or not for these files: %s", why);
}

/* --- the two files --- */
static bool read_at(int fd, void *bytes, size_t size, int64_t at, struct error *err)
{
    uint8_t *to = bytes;

    while (size > 0) {
        ssize_t got = pread(fd, to, size, at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, "reading");
        if (got == 0)
            return error_set(err, ERROR_SYSTEM, "a file became shorter while a delta was applied");
        to += got;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

static bool flush(struct delta_apply *apply, struct error *err)
{
    if (!fd_write_all(apply->new_fd, apply->piece, apply->piece_size, err))
        return false;
    sha256_add(&apply->hash, apply->piece, apply->piece_size);
    apply->hashed += (int64_t)apply->piece_size;
    apply->piece_size = 0;
    return true;
}

static bool put_bytes(struct delta_apply *apply, const uint8_t *bytes, size_t size, struct error *err)
{
    while (size > 0) {
        size_t part = PIECE - apply->piece_size < size ? PIECE - apply->piece_size : size;

        memcpy(apply->piece + apply->piece_size, bytes, part);
        apply->piece_size += part;
        bytes += part;
        size -= part;
        if (apply->piece_size == PIECE && !flush(apply, err))
            return false;
    }
    return true;
}

static bool put_copy(struct delta_apply *apply, bool from_new, int64_t place, uint64_t size,
                     struct error *err)
{
    while (size > 0) {
        size_t part = PIECE - apply->piece_size < size ? PIECE - apply->piece_size : (size_t)size;
        uint8_t *to = apply->piece + apply->piece_size;
        int64_t written =
            apply->hashed - place; /* of the new file, from there on; the rest is in the piece */

        if (from_new && written <= 0) {
            memmove(to, apply->piece - written, part);
        } else {
            if (from_new && (int64_t)part > written)
                part = (size_t)written;
            if (!read_at(from_new ? apply->new_fd : apply->old_fd, to, part, place, err))
                return false;
        }
        apply->piece_size += part;
        place += (int64_t)part;
        size -= part;
        if (apply->piece_size == PIECE && !flush(apply, err))
            return false;
    }
    return true;
}

/* The old file's bytes from `place` on, and 0 where it has ended. */
static bool read_reference(struct delta_apply *apply, uint8_t *bytes, size_t size, int64_t place,
                           struct error *err)
{
    int64_t left = apply->old_length - place;
    size_t there = left <= 0 ? 0 : (int64_t)size < left ? size : (size_t)left;

    memset(bytes + there, 0, size - there);
    return !there || read_at(apply->old_fd, bytes, there, place, err);
}

/* --- streams --- */
static bool unzstd(struct delta_apply *apply, const struct delta_stream *stream, const uint8_t *coded,
                   uint8_t *bytes, bool window, struct error *err)
{
    /* One frame, and none of zstd's first versions, whose code few look at. */
    if (stream->coded < 4 || memcmp(coded, "\x28\xb5\x2f\xfd", 4) ||
        ZSTD_findFrameCompressedSize(coded, stream->coded) != stream->coded)
        return broken(err, "a stream is not one frame of zstd");
    if (window)
        ZSTD_DCtx_refPrefix(apply->zstd, apply->room, apply->window_size);
    size_t got = ZSTD_decompressDCtx(apply->zstd, bytes, stream->length, coded, stream->coded);
    if (ZSTD_isError(got) || got != stream->length) {
        ZSTD_DCtx_reset(apply->zstd, ZSTD_reset_session_only);
        return broken(err, "a stream does not decode to its length");
    }
    return true;
}

/* Blocks after one another mostly name the same window of the old file: it is read once. */
static bool load_window(struct delta_apply *apply, struct error *err)
{
    const struct delta_block *block = &apply->block;
    int64_t end = block->window_new ? apply->place.out : apply->old_length;

    if (block->window_length > end || block->window_place > end - block->window_length)
        return broken(err, "a window lies beyond its file");
    if (!block->window_new && apply->window_size > 0 && apply->window_size == block->window_length &&
        apply->window_from == block->window_place)
        return true;
    apply->window_size = 0;
    if (!read_at(block->window_new ? apply->new_fd : apply->old_fd, apply->room, block->window_length,
                 block->window_place, err))
        return false;
    apply->window_size = block->window_length;
    apply->window_from = block->window_new ? -1 : block->window_place;
    return true;
}

/* `size` bytes at the end of the room. A window that reaches into them has to be read again. */
static uint8_t *room_take(struct delta_apply *apply, size_t size)
{
    if (apply->window_size > ROOM - size)
        apply->window_size = 0;
    return apply->room + ROOM - size;
}

static bool read_references(struct delta_apply *apply, uint8_t *bytes, struct error *err)
{
    const struct runs *runs = apply->runs;

    for (size_t i = 0; i < runs->count; bytes += runs->near[i++])
        if (!read_reference(apply, bytes, runs->near[i], runs->reference[i], err))
            return false;
    return true;
}

static bool decode_mixed(struct delta_apply *apply, const struct delta_stream *stream, const uint8_t *coded,
                         uint8_t *bytes, struct error *err)
{
    uint8_t *coder = room_take(apply, DELTA_MIXED_SIZE + DELTA_SEGMENT);
    uint8_t *reference = coder + DELTA_MIXED_SIZE;

    if (!read_references(apply, reference, err))
        return false;
    delta_mixed_read(delta_mixed_at(coder), coded, stream->coded, reference, bytes, stream->length);
    return true;
}

/* The reference is read to where the bytes go, each of which takes the place of its own. */
static bool decode_planes(struct delta_apply *apply, const struct delta_stream *stream,
                          const struct delta_shape *shape, const uint8_t *coded, uint8_t *bytes,
                          struct error *err)
{
    uint8_t *planes = room_take(apply, DELTA_SEGMENT);
    bool has_reference = stream->coding != DELTA_PLANES;

    if (!unzstd(apply, stream, coded, planes, false, err) ||
        (has_reference && !read_references(apply, bytes, err)))
        return false;
    delta_planes_join(shape, planes, has_reference ? bytes : NULL, bytes);
    return true;
}

static bool decode(struct delta_apply *apply, const struct delta_stream *stream, const uint32_t *lengths,
                   const uint8_t *coded, uint8_t *bytes, struct error *err)
{
    const struct runs *runs = apply->runs;
    struct delta_shape shape = {.coding = stream->coding,
                                .element = stream->element,
                                .runs = lengths,
                                .count = runs->count,
                                .size = stream->length};
    bool near = lengths == runs->near;

    if (stream->coding == DELTA_RAW) {
        memcpy(bytes, coded, stream->length);
        return true;
    }
    if (stream->coding == DELTA_PREFIX && !load_window(apply, err))
        return false;
    if (stream->coding < DELTA_PLANES)
        return unzstd(apply, stream, coded, bytes, stream->coding == DELTA_PREFIX, err);
    if (stream->coding > DELTA_PLANES && !near)
        return broken(err, "fresh bytes have no reference");
    if (stream->coding == DELTA_MIXED)
        return decode_mixed(apply, stream, coded, bytes, err);
    return decode_planes(apply, stream, &shape, coded, bytes, err);
}

/* --- the table --- */
/* The four columns, each with the number of values that the count says, and nothing after them. */
static bool read_columns(struct delta_apply *apply, const uint8_t *at, const uint8_t *end, struct error *err)
{
    struct runs *runs = apply->runs;
    uint64_t value;

    for (int column = 0; column < 4; column++) {
        for (size_t i = 0; i < runs->count; i++) {
            if (!delta_varint_read(&at, end, &value))
                return broken(err, "a table ends within a number");
            if (column != 1 && value > DELTA_COPY_MAX)
                return broken(err, "a run is too long");
            if (column == 0) {
                runs->copy[i] = value >> 1;
                runs->from_new[i] = value & 1;
            } else if (column == 1) {
                runs->place[i] = (int64_t)value; /* still as it is coded */
            } else {
                (column == 2 ? runs->near : runs->fresh)[i] = (uint32_t)value;
            }
        }
    }
    return at == end || broken(err, "a table has bytes after its end");
}

/* The place of one copy, from its distance; `*expected` becomes the place that follows it in the old file. */
static bool place_copy(struct delta_apply *apply, size_t i, int64_t out, int64_t *expected, struct error *err)
{
    struct runs *runs = apply->runs;
    int64_t size = (int64_t)runs->copy[i];
    uint64_t coded = (uint64_t)runs->place[i];

    if (runs->from_new[i]) {
        if (coded < (uint64_t)size || coded > (uint64_t)out)
            return broken(err, "a copy is from where the new file is not yet written");
        runs->place[i] = out - (int64_t)coded;
        *expected += size;
        return true;
    }
    int64_t distance = delta_unzigzag(coded);
    if (!distance && !size) { /* goes on, perhaps where the old file has ended */
        runs->place[i] = *expected;
        return true;
    }
    if (distance > apply->old_length || distance < -*expected)
        return broken(err, "a copy lies beyond the old file");
    int64_t place = *expected + distance;
    if (place > apply->old_length || size > apply->old_length - place)
        return broken(err, "a copy lies beyond the old file");
    runs->place[i] = place;
    *expected = place + size;
    return true;
}

/* Everything that the runs say holds within this block and the two files, or it is UNTRUSTED. */
static bool check_runs(struct delta_apply *apply, struct error *err)
{
    struct runs *runs = apply->runs;
    const struct delta_block *block = &apply->block;
    int64_t out = apply->place.out, expected = out, end = out + block->out;
    uint64_t near = 0, fresh = 0;

    for (size_t i = 0; i < runs->count; i++) {
        if ((int64_t)runs->copy[i] > end - out)
            return broken(err, "a block writes more than it says");
        if (!place_copy(apply, i, out, &expected, err))
            return false;
        runs->reference[i] = expected;
        near += runs->near[i];
        fresh += runs->fresh[i];
        out += (int64_t)runs->copy[i] + runs->near[i] + runs->fresh[i];
        expected += (int64_t)runs->near[i] + runs->fresh[i];
        if (out > end || near > block->near.length || fresh > block->fresh.length)
            return broken(err, "a block writes more than it says");
    }
    return (out == end && near == block->near.length && fresh == block->fresh.length) ||
           broken(err, "a block writes less than it says");
}

static bool read_table(struct delta_apply *apply, struct error *err)
{
    const struct delta_stream *stream = &apply->block.table;
    const uint8_t *table = apply->body;

    if (stream->coding == DELTA_ZSTD) {
        if (!unzstd(apply, stream, apply->body, apply->table, false, err))
            return false;
        table = apply->table;
    }
    apply->runs->count = table[0] | (size_t)table[1] << 8 | (size_t)table[2] << 16 | (size_t)table[3] << 24;
    if (apply->runs->count < 1 || apply->runs->count > DELTA_RUNS)
        return broken(err, "a table has no runs or too many");
    return read_columns(apply, table + 4, table + stream->length, err) && check_runs(apply, err);
}

/* --- blocks --- */
static bool write_runs(struct delta_apply *apply, struct error *err)
{
    const struct runs *runs = apply->runs;
    const uint8_t *near = apply->near, *fresh = apply->near + apply->block.near.length;

    for (size_t i = 0; i < runs->count; i++) {
        if (!put_copy(apply, runs->from_new[i], runs->place[i], runs->copy[i], err) ||
            !put_bytes(apply, near, runs->near[i], err) || !put_bytes(apply, fresh, runs->fresh[i], err))
            return false;
        near += runs->near[i];
        fresh += runs->fresh[i];
    }
    return flush(apply, err);
}

static bool apply_block(struct delta_apply *apply, struct error *err)
{
    const struct delta_block *block = &apply->block;
    const uint8_t *near = apply->body + block->table.coded, *fresh = near + block->near.coded;

    if (!read_table(apply, err))
        return false;
    if (!decode(apply, &block->near, apply->runs->near, near, apply->near, err) ||
        !decode(apply, &block->fresh, apply->runs->fresh, fresh, apply->near + block->near.length, err) ||
        !write_runs(apply, err))
        return false;
    apply->place.out += block->out;
    apply->place.in +=
        DELTA_BLOCK_SIZE + (int64_t)block->table.coded + block->near.coded + block->fresh.coded;
    return true;
}

static bool begin(struct delta_apply *apply, struct error *err)
{
    struct delta_header header;

    if (!delta_header_read(apply->head, DELTA_HEADER_SIZE, &header, err))
        return false;
    if (header.old_length != apply->old_length || header.new_length != apply->new_length)
        return broken(err, "the lengths are others");
    apply->place.in = DELTA_HEADER_SIZE;
    return true;
}

/* What the state gathers is whole: acts on it and says what comes next. */
static bool advance(struct delta_apply *apply, struct error *err)
{
    apply->have = 0;
    switch (apply->state) {
    case HEADER:
        apply->state = BLOCK;
        return begin(apply, err);
    case BLOCK:
        apply->state = BODY;
        if (!delta_block_read(apply->head, &apply->block, err))
            return false;
        if (apply->block.out > apply->new_length - apply->place.out)
            return broken(err, "it writes beyond the new file's end");
        return apply->block.out >= DELTA_BLOCK_LEAST ||
               apply->place.out + apply->block.out == apply->new_length ||
               broken(err, "a block that is not the last writes too little");
    default:
        apply->state = BLOCK;
        return apply_block(apply, err);
    }
}

static size_t wanted(const struct delta_apply *apply)
{
    const struct delta_block *block = &apply->block;

    if (apply->state == BODY)
        return (size_t)block->table.coded + block->near.coded + block->fresh.coded;
    return apply->state == HEADER ? DELTA_HEADER_SIZE : DELTA_BLOCK_SIZE;
}

bool delta_apply_feed(struct delta_apply *apply, const void *bytes, size_t size, struct error *err)
{
    const uint8_t *from = bytes;

    while (size > 0) {
        if (apply->state == BLOCK && apply->place.out == apply->new_length)
            return broken(err, "bytes follow its end");
        size_t part = wanted(apply) - apply->have < size ? wanted(apply) - apply->have : size;
        memcpy((apply->state == BODY ? apply->body : apply->head) + apply->have, from, part);
        apply->have += part;
        from += part;
        size -= part;
        if (apply->have == wanted(apply) && !advance(apply, err))
            return false;
    }
    return true;
}

/* --- life --- */
static bool hash_what_is_there(struct delta_apply *apply, int64_t end, struct error *err)
{
    while (apply->hashed < end) {
        size_t part = end - apply->hashed < PIECE ? (size_t)(end - apply->hashed) : PIECE;

        if (!read_at(apply->new_fd, apply->piece, part, apply->hashed, err))
            return false;
        sha256_add(&apply->hash, apply->piece, part);
        apply->hashed += (int64_t)part;
    }
    return true;
}

static bool go_to(struct delta_apply *apply, const struct delta_place *from, struct error *err)
{
    struct stat new_file, old_file;

    if (fstat(apply->old_fd, &old_file) < 0 || fstat(apply->new_fd, &new_file) < 0)
        return error_errno(err, "reading a file's length");
    apply->old_length = old_file.st_size;
    if (from) {
        if (from->in < DELTA_HEADER_SIZE || from->out < 0 || from->out > apply->new_length ||
            from->out > new_file.st_size)
            return error_set(err, ERROR_UNTRUSTED, "the delta cannot go on at its place");
        apply->place = *from;
        apply->state = BLOCK;
    }
    if (!hash_what_is_there(apply, apply->place.out, err))
        return false;
    if (ftruncate(apply->new_fd, apply->place.out) < 0 ||
        lseek(apply->new_fd, apply->place.out, SEEK_SET) < 0)
        return error_errno(err, "going to a place in the new file");
    return true;
}

struct delta_apply *delta_apply_open(int old_fd, int new_fd, int64_t new_length,
                                     const struct delta_place *from, struct error *err)
{
    struct delta_apply *apply = delta_alloc(1, sizeof *apply);

    *apply = (struct delta_apply){.old_fd = old_fd,
                                  .new_fd = new_fd,
                                  .new_length = new_length,
                                  .zstd = ZSTD_createDCtx(),
                                  .body = delta_alloc(1, DELTA_TABLE + DELTA_SEGMENT),
                                  .runs = delta_alloc(1, sizeof(struct runs)),
                                  .table = delta_alloc(1, DELTA_TABLE),
                                  .near = delta_alloc(1, DELTA_SEGMENT),
                                  .room = delta_alloc(1, ROOM),
                                  .piece = delta_alloc(1, PIECE)};
    if (!apply->zstd)
        abort();
    sha256_init(&apply->hash);
    if (go_to(apply, from, err))
        return apply;
    delta_apply_free(apply);
    return NULL;
}

struct delta_place delta_apply_place(const struct delta_apply *apply)
{
    return apply->place;
}

static void hex_end(struct sha256 *hash, char sha256[SHA256_HEX])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_SIZE];

    sha256_end(hash, digest);
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        sha256[i * 2] = digits[digest[i] >> 4];
        sha256[i * 2 + 1] = digits[digest[i] & 15];
    }
    sha256[SHA256_HEX - 1] = '\0';
}

bool delta_apply_end(struct delta_apply *apply, char sha256[SHA256_HEX], struct error *err)
{
    if (apply->state != BLOCK || apply->have || apply->place.out != apply->new_length)
        return broken(err, "it is not whole");
    hex_end(&apply->hash, sha256);
    sha256_init(&apply->hash); /* for free */
    return true;
}

void delta_apply_free(struct delta_apply *apply)
{
    uint8_t digest[SHA256_SIZE];

    if (!apply)
        return;
    sha256_end(&apply->hash, digest);
    ZSTD_freeDCtx(apply->zstd);
    uint8_t *parts[] = {apply->body, apply->table, apply->near, apply->room, apply->piece};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        free(parts[i]);
    free(apply->runs);
    free(apply);
}

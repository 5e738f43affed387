#include "repo/delta.h"

#include "repo/delta_coding.h"

#include <stdio.h>
#include <string.h>

static const char magic[8] = "locdelt\1";

static void put(uint8_t *bytes, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> i * 8);
}

static uint64_t get(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << i * 8;
    return value;
}

static void hex_of(const uint8_t digest[SHA256_SIZE], char hex[SHA256_HEX])
{
    for (size_t i = 0; i < SHA256_SIZE; i++)
        snprintf(hex + i * 2, 3, "%02x", digest[i]);
}

static void digest_of(const char *hex, uint8_t digest[SHA256_SIZE])
{
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        unsigned byte = 0;

        sscanf(hex + i * 2, "%2x", &byte);
        digest[i] = (uint8_t)byte;
    }
}

bool delta_header_read(const void *bytes, size_t size, struct delta_header *header, struct error *err)
{
    const uint8_t *from = bytes;

    if (size < DELTA_HEADER_SIZE || memcmp(from, magic, sizeof magic - 1))
        return error_set(err, ERROR_UNTRUSTED, "this is not a delta");
    if (from[7] != (uint8_t)magic[7])
        return error_set(err, ERROR_UNTRUSTED, "the delta's format has version %u, known is %u", from[7],
                         magic[7]);
    uint64_t old_length = get(from + 8, 8), new_length = get(from + 16, 8);
    if (old_length > INT64_MAX || new_length > INT64_MAX)
        return error_set(err, ERROR_UNTRUSTED, "the delta names impossible lengths");
    header->old_length = (int64_t)old_length;
    header->new_length = (int64_t)new_length;
    hex_of(from + 24, header->old_sha256);
    hex_of(from + 56, header->new_sha256);
    return true;
}

void delta_header_write(const struct delta_header *header, uint8_t bytes[DELTA_HEADER_SIZE])
{
    memcpy(bytes, magic, sizeof magic);
    put(bytes + 8, (uint64_t)header->old_length, 8);
    put(bytes + 16, (uint64_t)header->new_length, 8);
    digest_of(header->old_sha256, bytes + 24);
    digest_of(header->new_sha256, bytes + 56);
}

/* --- blocks --- */
static bool stream_read(const uint8_t *bytes, struct delta_stream *stream)
{
    *stream = (struct delta_stream){.coding = bytes[0] & 63,
                                    .element = (uint8_t)(1 << (bytes[0] >> 6)),
                                    .length = (uint32_t)get(bytes + 1, 3),
                                    .coded = (uint32_t)get(bytes + 4, 3)};
    static const uint8_t elements[DELTA_CODINGS] = {/* which may be: a bit each */
                                                    [DELTA_RAW] = 1,
                                                    [DELTA_ZSTD] = 1,
                                                    [DELTA_PREFIX] = 1,
                                                    [DELTA_PLANES] = 1 | 2 | 4,
                                                    [DELTA_XOR] = 1 | 2 | 4,
                                                    [DELTA_DIFFERENCE] = 1 | 2 | 4,
                                                    [DELTA_ORDERED] = 2 | 4,
                                                    [DELTA_MIXED] = 1,
                                                    [DELTA_SORTED_DIFFERENCE] = 2 | 4,
                                                    [DELTA_SORTED_ORDERED] = 2 | 4};
    bool is_one = stream->element == 1 || stream->element == 2 || stream->element == 4;
    return stream->coding < DELTA_CODINGS && is_one && elements[stream->coding] & stream->element &&
           stream->coded <= stream->length && (stream->length || stream->coding == DELTA_RAW) &&
           (stream->coding != DELTA_RAW || stream->coded == stream->length);
}

static bool bounds_hold(const struct delta_block *block)
{
    return block->out > 0 && block->out <= DELTA_BLOCK_OUT && block->table.length >= 8 &&
           block->table.length <= DELTA_TABLE && block->table.coding <= DELTA_ZSTD &&
           block->near.length <= DELTA_SEGMENT && block->fresh.length <= DELTA_SEGMENT - block->near.length &&
           block->fresh.coding <= DELTA_PLANES && block->near.length + block->fresh.length <= block->out &&
           block->window_length <= DELTA_WINDOW && block->window_place <= INT64_MAX - DELTA_WINDOW;
}

bool delta_block_read(const uint8_t bytes[DELTA_BLOCK_SIZE], struct delta_block *block, struct error *err)
{
    uint64_t place = get(bytes + 28, 8);

    *block = (struct delta_block){.out = (uint32_t)get(bytes, 4),
                                  .window_length = (uint32_t)get(bytes + 25, 3),
                                  .window_place = (int64_t)(place & INT64_MAX),
                                  .window_new = place >> 63};
    if (!stream_read(bytes + 4, &block->table) || !stream_read(bytes + 11, &block->near) ||
        !stream_read(bytes + 18, &block->fresh) || !bounds_hold(block))
        return error_set(err, ERROR_UNTRUSTED, "a block of the delta breaks a bound of the format");
    return true;
}

static void stream_write(const struct delta_stream *stream, uint8_t *bytes)
{
    unsigned element = stream->element == 4 ? 2 : stream->element == 2;

    bytes[0] = (uint8_t)(stream->coding | element << 6);
    put(bytes + 1, stream->length, 3);
    put(bytes + 4, stream->coded, 3);
}

void delta_block_write(const struct delta_block *block, uint8_t bytes[DELTA_BLOCK_SIZE])
{
    put(bytes, block->out, 4);
    stream_write(&block->table, bytes + 4);
    stream_write(&block->near, bytes + 11);
    stream_write(&block->fresh, bytes + 18);
    put(bytes + 25, block->window_length, 3);
    put(bytes + 28, (uint64_t)block->window_place | (uint64_t)block->window_new << 63, 8);
}

#include "repo/delta_chunks.h"

#include "base/file.h"
#include "repo/delta_coding.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Normalisation 2: two bits harder than the average until the average, two bits easier from there on. The
 * bits lie high, where many bytes have gone in. */
#define MASK_HARD (UINT64_C(0xffff) << 47)
#define MASK_EASY (UINT64_C(0x0fff) << 51)
#define BUFFER ((size_t)2 * DELTA_CHUNK_MAX)

struct delta_chunks {
    struct delta_chunk *all;
    size_t count, room;
    int64_t length;
    uint8_t *buffer; /* bytes after the last cut; NULL after the end */
    size_t held;
};

/* --- where to cut --- */
static uint64_t gear[256],
    gear_shifted[256]; /* set once, then constant: random numbers for the rolling hash */
static pthread_once_t gear_once = PTHREAD_ONCE_INIT;

/* SplitMix64 (Steele and others, OOPSLA 2014), so that the table needs no list of 256 numbers. The cuts of
 * kept chunks depend on it. */
static void gear_fill(void)
{
    uint64_t state = 0x6c6f63756d; /* "locum" */

    for (int i = 0; i < 256; i++) {
        uint64_t x = state += UINT64_C(0x9e3779b97f4a7c15);

        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        gear[i] = x ^ x >> 31;
        gear_shifted[i] = gear[i] << 1;
    }
}

/* Looks for a cut in [from, to) two bytes at a time; `to` when there is none. */
static size_t cut_search(const uint8_t *bytes, size_t from, size_t to, uint64_t mask, uint64_t *state)
{
    uint64_t hash = *state;

    for (; from + 1 < to; from += 2) {
        hash = (hash << 2) + gear_shifted[bytes[from]];
        if (!(hash & mask << 1))
            return from + 1;
        hash += gear[bytes[from + 1]];
        if (!(hash & mask))
            return from + 2;
    }
    *state = hash;
    return to;
}

/* The length of the chunk at the start of `bytes`, which are the file's last or at least DELTA_CHUNK_MAX. */
static size_t cut_length(const uint8_t *bytes, size_t size)
{
    size_t end = size < DELTA_CHUNK_MAX ? size : DELTA_CHUNK_MAX;
    size_t middle = end < DELTA_CHUNK_AVERAGE ? end : DELTA_CHUNK_AVERAGE;
    uint64_t state = 0;

    if (end <= DELTA_CHUNK_MIN)
        return end;
    size_t cut = cut_search(bytes, DELTA_CHUNK_MIN, middle, MASK_HARD, &state);
    return cut < middle ? cut : cut_search(bytes, middle, end, MASK_EASY, &state);
}

/* --- the hash --- */
static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof value);
    return value;
}

/* Folded products of 16 bytes each, two at a time (as wyhash and rapidhash do). It only has to find: what it
 * finds is compared byte by byte, and a SHA-256 would take five times as long as all the rest. */
static uint64_t hash_chunk(const uint8_t *bytes, size_t size)
{
    uint64_t hash = UINT64_C(0xa0761d6478bd642f) ^ size, other = hash;
    uint8_t last[32] = {0};

    for (; size >= 32; bytes += 32, size -= 32) {
        hash = mix(load(bytes) ^ UINT64_C(0xe7037ed1a0b428db), load(bytes + 8) ^ hash) +
               (hash << 7 | hash >> 57);
        other = mix(load(bytes + 16) ^ UINT64_C(0x589965cc75374cc3), load(bytes + 24) ^ other) +
                (other << 7 | other >> 57);
    }
    memcpy(last, bytes, size);
    hash = mix(load(last) ^ UINT64_C(0x8ebc6af09c88c6e3), load(last + 8) ^ hash);
    other = mix(load(last + 16) ^ UINT64_C(0x589965cc75374cc3), load(last + 24) ^ other);
    return mix(hash ^ UINT64_C(0x1d8e4e27c47d124f), other);
}

/* --- feeding --- */
struct delta_chunks *delta_chunks_new(void)
{
    struct delta_chunks *chunks = delta_alloc(1, sizeof *chunks);

    pthread_once(&gear_once, gear_fill);
    chunks->buffer = delta_alloc(1, BUFFER);
    return chunks;
}

static void add(struct delta_chunks *chunks, struct delta_chunk chunk)
{
    if (chunks->count == chunks->room) {
        chunks->room = chunks->room ? chunks->room * 2 : 256;
        chunks->all = realloc(chunks->all, chunks->room * sizeof *chunks->all);
        if (!chunks->all)
            abort();
    }
    chunks->all[chunks->count++] = chunk;
    chunks->length += chunk.length;
}

/* Cuts chunks off the front while there are `enough` bytes to know where the next one ends; gives those left.
 */
static size_t cut_off(struct delta_chunks *chunks, const uint8_t *bytes, size_t size, size_t enough)
{
    while (size >= enough && size > 0) {
        size_t length = cut_length(bytes, size);

        add(chunks, (struct delta_chunk){.length = (uint32_t)length, .hash = hash_chunk(bytes, length)});
        bytes += length;
        size -= length;
    }
    return size;
}

/* The chunks that begin among the bytes held back: `from` follows those. Gives how many bytes of it that
 * took, with nothing held any more, or all of it. */
static size_t feed_held(struct delta_chunks *chunks, const uint8_t *from, size_t size)
{
    size_t held = chunks->held, part = size < DELTA_CHUNK_MAX ? size : DELTA_CHUNK_MAX;

    memcpy(chunks->buffer + held, from, part);
    size_t left = cut_off(chunks, chunks->buffer, held + part, DELTA_CHUNK_MAX), cut = held + part - left;
    chunks->held = cut < held || part == size ? left : 0;
    if (chunks->held)
        memmove(chunks->buffer, chunks->buffer + cut, left);
    return chunks->held ? part : cut - held;
}

void delta_chunks_feed(struct delta_chunks *chunks, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;

    assert(chunks->buffer);
    while (size > 0) {
        size_t part;

        if (chunks->held) {
            part = feed_held(chunks, from, size);
        } else { /* cut where they lie */
            chunks->held = cut_off(chunks, from, size, DELTA_CHUNK_MAX);
            part = size;
            memcpy(chunks->buffer, from + size - chunks->held, chunks->held);
        }
        from += part;
        size -= part;
    }
}

void delta_chunks_end(struct delta_chunks *chunks)
{
    cut_off(chunks, chunks->buffer, chunks->held, 1);
    free(chunks->buffer);
    chunks->buffer = NULL;
}

void delta_chunks_free(struct delta_chunks *chunks)
{
    if (!chunks)
        return;
    free(chunks->buffer);
    free(chunks->all);
    free(chunks);
}

const struct delta_chunk *delta_chunks_all(const struct delta_chunks *chunks, size_t *count)
{
    assert(!chunks->buffer);
    *count = chunks->count;
    return chunks->all;
}

int64_t delta_chunks_length(const struct delta_chunks *chunks)
{
    return chunks->length;
}

/* --- kept in a file: derived data of this machine, so in its own byte order, with what tells another's apart
 * --- */
struct kept {
    char magic[8];
    uint64_t probe; /* another order of bytes, another cut or hash: another number */
    int64_t length;
    uint64_t count, hash;
};

static struct kept kept_head(const struct delta_chunks *chunks)
{
    static const uint8_t sample[] = "a few bytes for the hash";

    return (struct kept){.magic = {'l', 'o', 'c', 'c', 'h', 'n', 'k', 1},
                         .probe = hash_chunk(sample, sizeof sample) ^ gear[1],
                         .length = chunks->length,
                         .count = chunks->count,
                         .hash =
                             hash_chunk((const uint8_t *)chunks->all, chunks->count * sizeof *chunks->all)};
}

bool delta_chunks_write(const struct delta_chunks *chunks, int fd, struct error *err)
{
    struct kept head = kept_head(chunks);

    assert(!chunks->buffer);
    return fd_write_all(fd, &head, sizeof head, err) &&
           fd_write_all(fd, chunks->all, chunks->count * sizeof *chunks->all, err);
}

static bool read_whole(int fd, void *bytes, size_t size)
{
    uint8_t *to = bytes;

    while (size > 0) {
        ssize_t got = read(fd, to, size);

        if (got <= 0)
            return false;
        to += got;
        size -= (size_t)got;
    }
    return true;
}

static bool chunks_hold(const struct delta_chunks *chunks)
{
    int64_t length = 0;

    for (size_t i = 0; i < chunks->count; i++) {
        if (!chunks->all[i].length || chunks->all[i].length > DELTA_CHUNK_MAX)
            return false;
        length += chunks->all[i].length;
    }
    return length == chunks->length;
}

struct delta_chunks *delta_chunks_read(int fd, int64_t length, struct error *err)
{
    struct delta_chunks *chunks = delta_chunks_new();
    struct kept head, mine;

    free(chunks->buffer);
    chunks->buffer = NULL;
    if (read_whole(fd, &head, sizeof head) && head.length == length &&
        head.count <= (uint64_t)length / DELTA_CHUNK_MIN + 1) {
        chunks->count = head.count;
        chunks->length = length;
        chunks->all = delta_alloc(chunks->count, sizeof *chunks->all);
        if (read_whole(fd, chunks->all, chunks->count * sizeof *chunks->all)) {
            mine = kept_head(chunks);
            if (!memcmp(&mine, &head, sizeof head) && chunks_hold(chunks))
                return chunks;
        }
    }
    delta_chunks_free(chunks);
    error_set(err, ERROR_UNTRUSTED, "these are not the chunks of that file");
    return NULL;
}

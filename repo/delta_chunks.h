/* Where a file is cut into chunks by its content, and each chunk's hash: what tells which parts two files
 * share.
 *
 * FastCDC (Xia and others, USENIX ATC 2016) with two bytes a step (Xia and others, TPDS 2020): 4 to 64 KiB,
 * 16 KiB on average, normalisation 2. Computed while an object is received, or when a delta is made; kept
 * beside the deltas, so that a file is read for it once. */
#ifndef REPO_DELTA_CHUNKS_H
#define REPO_DELTA_CHUNKS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DELTA_CHUNK_MIN 4096
#define DELTA_CHUNK_AVERAGE 16384
#define DELTA_CHUNK_MAX 65536

struct delta_chunk {
    uint64_t hash; /* fast, not secure: it finds, and what it finds is compared byte by byte */
    uint32_t length;
    uint32_t unused; /* 0 */
};

/* 16 bytes for each 16 KiB or so, and 128 KiB while it is fed. */
struct delta_chunks;

struct delta_chunks *delta_chunks_new(void);
/* Takes the file's bytes from its start to its end, in pieces of any size. */
void delta_chunks_feed(struct delta_chunks *chunks, const void *bytes, size_t size);
void delta_chunks_end(struct delta_chunks *chunks); /* no more bytes come */
void delta_chunks_free(struct delta_chunks *chunks);

/* After the end: the chunks in the file's order, and the file's length. */
const struct delta_chunk *delta_chunks_all(const struct delta_chunks *chunks, size_t *count);
int64_t delta_chunks_length(const struct delta_chunks *chunks);

/* Writes them at the file's offset, nothing synced; and reads them back: UNTRUSTED when they are none, are
 * not whole, or are not those of a file of `length` bytes. NULL on failure. */
bool delta_chunks_write(const struct delta_chunks *chunks, int fd, struct error *err);
struct delta_chunks *delta_chunks_read(int fd, int64_t length, struct error *err);

#endif

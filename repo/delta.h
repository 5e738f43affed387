/* A delta makes a new object out of an old one: copies, and what is new. Reading it and applying it; making
 * it is repo/delta_make.h. FORMAT.md "Delta" draws the bytes.
 *
 * A delta is derived data and never trusted: the SHA-256 of the whole new file decides. Whatever the bytes
 * say, an apply takes bounded memory (DELTA_MEMORY), reads only the two files, and writes only the new one,
 * from where it stands to its length. Every block stands by itself, so that an apply that was cut goes on at
 * the last place with nothing kept but that place. */
#ifndef REPO_DELTA_H
#define REPO_DELTA_H

#include "base/digest.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DELTA_HEADER_SIZE 88
#define DELTA_BLOCK_SIZE 36        /* bytes in front of each block */
#define DELTA_SEGMENT (1 << 20)    /* bytes of a block that are no copies, at most */
#define DELTA_BLOCK_OUT (64 << 20) /* bytes that one block writes, at most */
#define DELTA_BLOCK_LEAST 8192     /* and at least, but for the last: each costs a window */
#define DELTA_TABLE (256 << 10)    /* bytes of a block's table, at most */
#define DELTA_WINDOW (8 << 20)     /* bytes of a prefix window, at most */
#define DELTA_MEMORY (12 << 20)    /* what an apply takes, at most */

struct delta_header {
    int64_t old_length, new_length;
    char old_sha256[SHA256_HEX], new_sha256[SHA256_HEX];
};

/* Reads the first DELTA_HEADER_SIZE bytes. UNTRUSTED when they are no delta of a version that is known here.
 */
bool delta_header_read(const void *bytes, size_t size, struct delta_header *header, struct error *err);
void delta_header_write(const struct delta_header *header, uint8_t bytes[DELTA_HEADER_SIZE]);

/* A boundary between blocks: so many bytes of the delta were eaten, so many of the new file are written. */
struct delta_place {
    int64_t in, out;
};

/* An apply under way: a push parser for bytes in pieces of any size. */
struct delta_apply;

/* Begins an apply that reads `old_fd` (pread, its offset stays) and writes `new_fd`, open for reading and
 * writing, from the place on; both stay the caller's. `from` NULL: the start, and the bytes to come begin
 * with the header. Otherwise a place that was noted before: the bytes to come begin at from->in, and the
 * first from->out bytes of the new file are there. They are read and hashed now, so that the hash at the end
 * covers the whole file. UNTRUSTED when a place cannot be right. */
struct delta_apply *delta_apply_open(int old_fd, int new_fd, int64_t new_length,
                                     const struct delta_place *from, struct error *err);
/* Eats the next bytes of the delta; a whole block is written to the new file before this returns. UNTRUSTED:
 * not a delta of these two, or damaged; LIMIT, SYSTEM: the disk. After a failure only free, and place, may
 * follow. */
bool delta_apply_feed(struct delta_apply *apply, const void *bytes, size_t size, struct error *err);
/* The end of the last whole block: what the caller may note, once it has synced the new file. */
struct delta_place delta_apply_place(const struct delta_apply *apply);
/* The delta is over: UNTRUSTED when it is not whole. Gives the SHA-256 of the new file as it was written,
 * which the caller compares with the one that it expects; nothing is synced. */
bool delta_apply_end(struct delta_apply *apply, char sha256[SHA256_HEX], struct error *err);
void delta_apply_free(struct delta_apply *apply); /* NULL is fine */

/* What a block says, for who wants to look at a delta (build/locum-delta show). */
struct delta_stream {
    uint8_t coding;  /* enum delta_coding */
    uint8_t element; /* bytes of an element: 1, 2, 4 */
    uint32_t length; /* decoded */
    uint32_t coded;  /* bytes in the delta */
};
struct delta_block {
    uint32_t out;                           /* bytes of the new file that this block writes */
    struct delta_stream table, near, fresh; /* in this order */
    bool window_new;                        /* the prefix window lies in the new file, not in the old one */
    int64_t window_place;
    uint32_t window_length;
};
/* Reads DELTA_BLOCK_SIZE bytes; UNTRUSTED when a bound of this header is broken. */
bool delta_block_read(const uint8_t bytes[DELTA_BLOCK_SIZE], struct delta_block *block, struct error *err);
void delta_block_write(const struct delta_block *block, uint8_t bytes[DELTA_BLOCK_SIZE]);

#endif

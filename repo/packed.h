/* A whole object, packed: zstd frames (RFC 8878), each with PACKED_FRAME bytes of the object (the last one
 * with what is left), so that a stream that was cut goes on at a frame. Derived data, never trusted: whoever
 * unpacks knows the length beforehand and checks the SHA-256 of what comes out. */
#ifndef REPO_PACKED_H
#define REPO_PACKED_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKED_FRAME (4 << 20)

/* A push reader: bytes in pieces of any size; memory of at most the window of one frame. */
struct unpack;
/* Takes what was unpacked, in order. */
typedef bool unpacked(void *context, const void *bytes, size_t size, struct error *err);
struct unpack *unpack_open(int64_t length, unpacked *write, void *context);
/* UNTRUSTED: no such frames, or more than `length` bytes in them. What `write` says, else. */
bool unpack_feed(struct unpack *unpack, const void *bytes, size_t size, struct error *err);
/* Bytes eaten up to the end of the last whole frame, and what they held. Another unpack_open, with what is
 * left of the length, goes on there. */
int64_t unpack_eaten(const struct unpack *unpack);
int64_t unpack_held(const struct unpack *unpack);
/* All came: the last frame is whole and the lengths agree; else UNTRUSTED. */
bool unpack_end(const struct unpack *unpack, struct error *err);
void unpack_free(struct unpack *unpack); /* NULL is fine */

#endif

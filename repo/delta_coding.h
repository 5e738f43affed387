/* How the bytes of a stream are coded: what the two sides of a delta share. Knows no files. */
#ifndef REPO_DELTA_CODING_H
#define REPO_DELTA_CODING_H

#include "repo/delta.h"

enum delta_coding {
    DELTA_RAW,
    DELTA_ZSTD,
    DELTA_PREFIX, /* zstd with the window as prefix */
    DELTA_PLANES, /* zstd of the planes of the elements; those below of their difference from the reference */
    DELTA_XOR,
    DELTA_DIFFERENCE,
    DELTA_ORDERED,
    DELTA_MIXED,             /* the arithmetic coder of delta_coding_mixed.c */
    DELTA_SORTED_DIFFERENCE, /* as above, the elements sorted by the size of their reference */
    DELTA_SORTED_ORDERED,
    DELTA_CODINGS
};
extern const char *const delta_coding_names[DELTA_CODINGS];

#define DELTA_RUNS 16384 /* of a block, at most */
#define DELTA_COPY_MAX ((uint64_t)1 << 31)

/* What a stream's bytes are taken apart as: elements begin anew with each run. */
struct delta_shape {
    uint8_t coding, element;
    const uint32_t *runs; /* lengths, together `size` */
    size_t count, size;
};
/* How many, so the bytes of each plane; behind the planes stand the bytes that fill no element. */
size_t delta_planes_elements(const struct delta_shape *shape);
/* Takes `bytes` apart into planes, and puts them together again. `reference` has as many bytes as the stream;
 * NULL with DELTA_PLANES, which has none. The results do not overlap what is read, but that `reference` may
 * be `bytes` when they are put together. */
void delta_planes_split(const struct delta_shape *shape, const uint8_t *bytes, const uint8_t *reference,
                        uint8_t *planes);
void delta_planes_join(const struct delta_shape *shape, const uint8_t *planes, const uint8_t *reference,
                       uint8_t *bytes);

/* Numbers of a table. Reading moves `*at`; false when the number does not end before `end` or needs more than
 * 63 bits. Writing gives the bytes written, at most 10. */
bool delta_varint_read(const uint8_t **at, const uint8_t *end, uint64_t *value);
size_t delta_varint_write(uint8_t *out, uint64_t value);
static inline uint64_t delta_zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}
static inline int64_t delta_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* The coding "mixed": writing gives the coded size, SIZE_MAX when `room` does not hold it; reading takes
 * whatever bytes come and always gives `size` bytes. 2 MiB, usable for any number of streams. */
struct delta_mixed;
#define DELTA_MIXED_SIZE (2 << 20)
struct delta_mixed *delta_mixed_new(void);
void delta_mixed_free(struct delta_mixed *mixed); /* NULL is fine */
/* One in DELTA_MIXED_SIZE bytes of the caller's, aligned as malloc aligns, which are not freed by themselves.
 */
struct delta_mixed *delta_mixed_at(void *memory);
size_t delta_mixed_write(struct delta_mixed *mixed, const uint8_t *bytes, const uint8_t *reference,
                         size_t size, uint8_t *out, size_t room);
void delta_mixed_read(struct delta_mixed *mixed, const uint8_t *coded, size_t coded_size,
                      const uint8_t *reference, uint8_t *bytes, size_t size);

/* Memory that ends the program when there is none. */
void *delta_alloc(size_t count, size_t size);

#endif

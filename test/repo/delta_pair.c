#include "test/repo/delta_pair.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* SplitMix64. */
uint64_t random_next(struct random *random)
{
    uint64_t x = random->state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

size_t random_below(struct random *random, size_t bound)
{
    return bound ? random_next(random) % bound : 0;
}

void random_fill(struct random *random, void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)(random_next(random) >> 32);
}

int file_of(const void *bytes, size_t size)
{
    struct error err = {0};
    int fd = memfd_create("delta", MFD_CLOEXEC);

    assert_true(fd >= 0);
    must(fd_write_all(fd, bytes, size, &err));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

struct bytes bytes_of(int fd)
{
    struct stat file;

    assert_int_equal(fstat(fd, &file), 0);
    struct bytes all = {malloc((size_t)file.st_size + 1), (size_t)file.st_size};
    assert_int_equal(pread(fd, all.bytes, all.size, 0), all.size);
    return all;
}

struct bytes delta_of(const struct bytes *old, const struct bytes *new, enum delta_effort effort,
                      struct delta_made *made)
{
    char old_sha256[SHA256_HEX], new_sha256[SHA256_HEX];
    struct delta_made mine;
    struct error err = {0};

    if (!made)
        made = &mine;
    FD(old_fd) = file_of(old->bytes, old->size);
    FD(new_fd) = file_of(new->bytes, new->size);
    FD(out_fd) = file_of("", 0);
    sha256_hex(old->bytes, old->size, old_sha256);
    sha256_hex(new->bytes, new->size, new_sha256);
    struct delta_make make = {.old_fd = old_fd,
                              .new_fd = new_fd,
                              .out_fd = out_fd,
                              .old_sha256 = old_sha256,
                              .new_sha256 = new_sha256,
                              .effort = effort,
                              .worth = INT64_MAX};
    must(delta_make(&make, made, &err));
    assert_null(made->why_not);
    struct bytes delta = bytes_of(out_fd);
    assert_int_equal(made->length, delta.size);
    assert_int_equal(made->copied + made->literal, new->size);
    return delta;
}

bool delta_gives(const struct bytes *delta, const struct bytes *old, const struct bytes *new, size_t step,
                 struct error *err)
{
    char expected[SHA256_HEX], sha256[SHA256_HEX];
    bool fed = true;

    FD(old_fd) = file_of(old->bytes, old->size);
    FD(new_fd) = file_of("", 0);
    struct delta_apply *apply = delta_apply_open(old_fd, new_fd, (int64_t) new->size, NULL, err);
    for (size_t at = 0; fed && at < delta->size; at += step)
        fed = delta_apply_feed(apply, delta->bytes + at, delta->size - at < step ? delta->size - at : step,
                               err);
    fed = fed && delta_apply_end(apply, sha256, err);
    delta_apply_free(apply);
    if (!fed)
        return false;
    struct bytes got = bytes_of(new_fd);
    assert_int_equal(got.size, new->size);
    assert_memory_equal(got.bytes, new->bytes, new->size);
    free(got.bytes);
    sha256_hex(new->bytes, new->size, expected);
    assert_string_equal(sha256, expected);
    return true;
}

/* --- pairs --- */
static void fill_old(struct random *random, struct bytes *old)
{
    static const char words[] = "the delta of an old file and a new one is what differs, and little else ";
    size_t kind = random_below(random, 6);

    random_fill(random, old->bytes, old->size);
    for (size_t i = 0; i < old->size && kind > 0; i++) {
        if (kind == 1) /* text */
            old->bytes[i] = (uint8_t)words[(i + (old->bytes[i] & 1) * 7) % (sizeof words - 1)];
        else if (kind == 2) /* few values */
            old->bytes[i] &= 3;
        else if (kind == 3 && i >= 1000) /* repeats itself */
            old->bytes[i] = old->bytes[i - 1000 + (i & 1)];
        else if (kind == 4 && i % 4 == 3) /* floats of like size */
            old->bytes[i] = (uint8_t)(0x3c | (old->bytes[i] & 0x81));
        else if (kind == 5) /* nothing */
            old->bytes[i] = 0;
    }
}

static void put_part(struct random *random, struct bytes *new, const uint8_t *from, size_t size, size_t most)
{
    uint8_t *to = new->bytes + new->size;

    if (size > most - new->size)
        size = most - new->size;
    if (from && size)
        memmove(to, from, size);
    else
        random_fill(random, to, size);
    new->size += size;
}

/* Changes the bytes from `start` on as weights, or as an image, or a few bytes of a program change. */
static void touch(struct random *random, struct bytes *new, size_t start)
{
    size_t kind = random_below(random, 4), phase = random_below(random, 4);

    for (size_t i = start + phase; i + 4 <= new->size; i += 4) {
        uint32_t x;

        memcpy(&x, new->bytes + i, sizeof x);
        if (kind == 0)
            x += (uint32_t)random_below(random, 4000) - 2000;
        else if (kind == 1)
            x ^= (uint32_t)random_below(random, 256);
        else if (kind == 2 && !random_below(random, 20))
            x += 7;
        memcpy(new->bytes + i, &x, sizeof x);
    }
}

void pair_random(uint64_t seed, struct bytes *old, struct bytes *new)
{
    struct random random = {seed};
    size_t most = (size_t)1 << random_below(&random, 19);

    old->size = random_below(&random, most + 1);
    old->bytes = malloc(old->size + 1);
    fill_old(&random, old);
    most = random_below(&random, 8) ? most * 2 : 1;
    new->size = 0;
    new->bytes = malloc(most + 1);
    for (size_t parts = random_below(&random, 12); parts > 0; parts--) {
        size_t start = new->size, from = random_below(&random, old->size + 1);

        if (random_below(&random, 3)) /* goes on where it is, mostly */
            from = start < old->size ? start : old->size;
        if (random_below(&random, 5))
            put_part(&random, new, old->bytes + from, random_below(&random, old->size - from + 1), most);
        else if (random_below(&random, 2))
            put_part(&random, new, new->bytes + random_below(&random, new->size / 2 + 1), new->size / 2,
                     most);
        else
            put_part(&random, new, NULL, random_below(&random, most + 1) >> random_below(&random, 16), most);
        if (!random_below(&random, 3))
            touch(&random, new, start);
    }
}

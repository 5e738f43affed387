/* build/fuzz/seeds FOLDER: what the fuzzing of deltas and of packed objects begins with, made anew each time,
 * so that it is always of today's format. Deltas of the target's old file, made quickly and thoroughly, into
 * FOLDER/delta; ends with 1 when a coding is in none of them. What is worth packing, into FOLDER/packed. */
#include "base/file.h"
#include "repo/delta_coding.h"
#include "repo/delta_make.h"
#include "repo/packed_make.h"
#include "test/fuzz/delta_old.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define NEW_MOST (DELTA_OLD - 1) /* so that runs end within an element */

struct seed {
    const uint8_t *old;
    uint8_t bytes[DELTA_OLD]; /* the new file, at first the old one */
    size_t size;
    uint32_t state;
};

static uint32_t next(struct seed *seed, uint32_t below)
{
    return delta_old_next(&seed->state) % below;
}

/* --- new files --- */
static void same(struct seed *seed)
{
    (void)seed;
}

static void edited(struct seed *seed)
{
    for (int i = 0; i < 20; i++)
        seed->bytes[next(seed, NEW_MOST)] ^= (uint8_t)(1 + next(seed, 255));
    for (int i = 3000; i < 3300; i++)
        seed->bytes[i] = (uint8_t)next(seed, 256);
}

static void moved(struct seed *seed)
{
    memcpy(seed->bytes, seed->old + 10000, 5000);
    memcpy(seed->bytes + 5000, seed->old, 5000);
    memcpy(seed->bytes + 10000, seed->bytes, 3000);
    seed->size = 13000;
}

static void noise(struct seed *seed)
{
    seed->size = 1000;
    for (size_t i = 0; i < seed->size; i++)
        seed->bytes[i] = (uint8_t)next(seed, 256);
}

/* Parts of the old file that are too short for copies. */
static void crumbs(struct seed *seed)
{
    seed->size = 4000;
    for (size_t at = 0; at < seed->size;) {
        size_t part = 6 + next(seed, 14);

        memcpy(seed->bytes + at, seed->old + next(seed, NEW_MOST - 32), part);
        at += part;
    }
}

static void text(struct seed *seed)
{
    char line[32];

    seed->size = 0;
    while (seed->size < 3000) {
        int size = snprintf(line, sizeof line, "line %u of another\n", (unsigned)next(seed, 999));

        memcpy(seed->bytes + seed->size, line, (size_t)size);
        seed->size += (size_t)size;
    }
}

static void bytes_near(struct seed *seed)
{
    for (size_t i = 0; i < NEW_MOST; i++)
        seed->bytes[i] = (uint8_t)(seed->bytes[i] + next(seed, 7) - 3);
}

static void bits_of_4(struct seed *seed)
{
    for (size_t i = 0; i < NEW_MOST; i++)
        seed->bytes[i] ^= i % 4 ? 0 : (uint8_t)next(seed, 256);
}

static void bits_of_2(struct seed *seed)
{
    for (size_t i = 0; i < NEW_MOST; i++)
        seed->bytes[i] ^= i % 2 ? 0 : (uint8_t)next(seed, 16);
}

static void bits(struct seed *seed)
{
    for (size_t i = 0; i < NEW_MOST; i++)
        seed->bytes[i] ^= (uint8_t)(next(seed, 3) ? 0 : 1 << next(seed, 8));
}

static void add_16(struct seed *seed, int most)
{
    for (size_t i = 0; i + 2 <= NEW_MOST; i += 2) {
        uint16_t value;

        memcpy(&value, seed->bytes + i, 2);
        value = (uint16_t)(value + (int)next(seed, 2 * (uint32_t)most + 1) - most);
        memcpy(seed->bytes + i, &value, 2);
    }
}

static void shorts_near(struct seed *seed)
{
    add_16(seed, 5);
}

static void shorts_far(struct seed *seed)
{
    add_16(seed, 300);
}

/* The floats: each by a part of itself, or all by as much. */
static void floats_move(struct seed *seed, float part, float all)
{
    uint8_t *floats = seed->bytes + 2 * DELTA_OLD_PART;

    for (size_t i = 0; i < DELTA_OLD_PART; i += 4) {
        float weight, by = (float)next(seed, 2001) / 1000 - 1;

        memcpy(&weight, floats + i, 4);
        weight += weight * part * by + all * by;
        memcpy(floats + i, &weight, 4);
    }
}

static void floats_part(struct seed *seed)
{
    floats_move(seed, 1e-4f, 0);
}

static void floats_all(struct seed *seed)
{
    floats_move(seed, 0, 1e-3f);
}

/* The numbers around zero, many of which change their sign: all by as much, or each by a part of it. */
static void shorts_move(struct seed *seed, int all, int part)
{
    uint8_t *shorts = seed->bytes + 3 * DELTA_OLD_PART;

    for (size_t i = 0; i < DELTA_OLD_PART; i += 2) {
        int value = shorts[i] | (shorts[i + 1] & 0x7f) << 8, by = (int)next(seed, 201) - 100;

        value = shorts[i + 1] & 0x80 ? -value : value;
        uint16_t now = delta_old_signed(value + by * all / 100 + by * part * value / 10000);
        memcpy(shorts + i, &now, 2);
    }
}

static void signs_all(struct seed *seed)
{
    shorts_move(seed, 12, 0);
}

static void signs_part(struct seed *seed)
{
    shorts_move(seed, 3, 150);
}

static void rising_4(struct seed *seed)
{
    seed->size = 4000;
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t value = i * 37 + next(seed, 30);

        memcpy(seed->bytes + 4 * (size_t)i, &value, 4);
    }
}

static const struct {
    const char *name;
    void (*make)(struct seed *seed);
} kinds[] = {{"same", same},
             {"edited", edited},
             {"moved", moved},
             {"noise", noise},
             {"crumbs", crumbs},
             {"text", text},
             {"bytes-near", bytes_near},
             {"bits-of-4", bits_of_4},
             {"bits-of-2", bits_of_2},
             {"bits", bits},
             {"shorts-near", shorts_near},
             {"shorts-far", shorts_far},
             {"signs-all", signs_all},
             {"signs-part", signs_part},
             {"floats-part", floats_part},
             {"floats-all", floats_all},
             {"rising-4", rising_4}};

/* --- their deltas --- */
static int fail(const struct error *err)
{
    fprintf(stderr, "seeds: %s\n", err->text);
    return 1;
}

/* Notes the codings of all its blocks; false: it does not read. */
static bool note_codings(const uint8_t *delta, size_t size, bool seen[DELTA_CODINGS], struct error *err)
{
    struct delta_block block;

    for (size_t at = DELTA_HEADER_SIZE; at < size;) {
        if (!delta_block_read(delta + at, &block, err))
            return false;
        seen[block.table.coding] = seen[block.near.coding] = seen[block.fresh.coding] = true;
        at += DELTA_BLOCK_SIZE + (size_t)block.table.coded + block.near.coded + block.fresh.coded;
    }
    return true;
}

static int file_of(const uint8_t *bytes, size_t size)
{
    struct error err = {0};
    int fd = memfd_create("seed", MFD_CLOEXEC);

    if (fd < 0 || !fd_write_all(fd, bytes, size, &err))
        abort();
    return fd;
}

/* The delta from the old file to the seed's; the caller's to free. */
static uint8_t *delta_of(const struct seed *seed, enum delta_effort effort, size_t *size, struct error *err)
{
    char old_sha256[SHA256_HEX], new_sha256[SHA256_HEX];
    struct delta_made made;
    FD(old_fd) = file_of(seed->old, DELTA_OLD);
    FD(new_fd) = file_of(seed->bytes, seed->size);
    FD(out_fd) = file_of(NULL, 0);
    struct delta_make make = {.old_fd = old_fd,
                              .new_fd = new_fd,
                              .out_fd = out_fd,
                              .old_sha256 = old_sha256,
                              .new_sha256 = new_sha256,
                              .effort = effort,
                              .worth = INT64_MAX};

    sha256_hex(seed->old, DELTA_OLD, old_sha256);
    sha256_hex(seed->bytes, seed->size, new_sha256);
    if (!delta_make(&make, &made, err))
        return NULL;
    uint8_t *delta = delta_alloc(1, (size_t)made.length);
    *size = (size_t)made.length;
    if (pread(out_fd, delta, *size, 0) != made.length)
        abort();
    return delta;
}

/* The file of a seed: two bytes say how long the new file is, the rest follows. */
static bool seed_keep(int folder, const char *path, const struct seed *seed, const uint8_t *bytes,
                      size_t size, struct error *err)
{
    uint8_t length[2] = {(uint8_t)seed->size, (uint8_t)(seed->size >> 8)};
    FD(fd) = file_open_beneath(folder, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, err);

    return fd >= 0 && fd_write_all(fd, length, 2, err) && fd_write_all(fd, bytes, size, err);
}

static bool seed_delta(int folder, const char *name, const struct seed *seed, enum delta_effort effort,
                       bool seen[DELTA_CODINGS], struct error *err)
{
    char path[64];
    size_t size;
    uint8_t *delta = delta_of(seed, effort, &size, err);

    if (!delta)
        return false;
    snprintf(path, sizeof path, "delta/seed-%s-%s", name, effort == DELTA_QUICK ? "quick" : "thorough");
    bool good = note_codings(delta, size, seen, err) &&
                seed_keep(folder, path, seed, delta + DELTA_HEADER_SIZE, size - DELTA_HEADER_SIZE, err);
    free(delta);
    return good;
}

static bool seed_packed(int folder, const char *name, const struct seed *seed, struct error *err)
{
    static uint8_t packed[DELTA_OLD];
    char path[64];
    int64_t size;
    FD(fd) = file_of(seed->bytes, seed->size);
    FD(out_fd) = file_of(NULL, 0);

    if (!packed_make(fd, (int64_t)seed->size, out_fd, NULL, &size, err))
        return false;
    if (pread(out_fd, packed, (size_t)size, 0) != size)
        abort();
    snprintf(path, sizeof path, "packed/seed-%s", name);
    return !size || seed_keep(folder, path, seed, packed, (size_t)size, err);
}

int main(int argc, char **argv)
{
    static uint8_t old[DELTA_OLD];
    static struct seed seed;
    bool seen[DELTA_CODINGS] = {false};
    struct error err = {0};
    int missing = 0;

    if (argc != 2)
        return 2;
    FD(folder) = folder_open(argv[1], &err);
    if (folder < 0)
        return fail(&err);
    delta_old_fill(old);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        seed = (struct seed){.old = old, .size = NEW_MOST, .state = (uint32_t)i};
        memcpy(seed.bytes, old, DELTA_OLD);
        kinds[i].make(&seed);
        if (!seed_delta(folder, kinds[i].name, &seed, DELTA_QUICK, seen, &err) ||
            !seed_delta(folder, kinds[i].name, &seed, DELTA_THOROUGH, seen, &err) ||
            !seed_packed(folder, kinds[i].name, &seed, &err))
            return fail(&err);
    }
    for (int coding = 0; coding < DELTA_CODINGS; coding++)
        if (!seen[coding]) {
            fprintf(stderr, "seeds: no delta is coded as %s\n", delta_coding_names[coding]);
            missing = 1;
        }
    return missing;
}

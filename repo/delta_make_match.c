/* What of the new file is in the old one: first chunks by their hash, then, between those, whatever a hash of
 * a few bytes finds. Every match is compared byte by byte and grown at both ends. */
#include "repo/delta_make_parts.h"

#include <stdlib.h>
#include <string.h>

/* --- comparing --- */
static uint64_t load(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof value);
    return value;
}

size_t delta_same_forward(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t same = 0;

    while (size - same >= 64 && !memcmp(a + same, b + same, 64))
        same += 64;
    while (size - same >= 8 && load(a + same) == load(b + same))
        same += 8;
    while (same < size && a[same] == b[same])
        same++;
    return same;
}

size_t delta_same_backward(const uint8_t *a_end, const uint8_t *b_end, size_t size)
{
    size_t same = 0;

    while (size - same >= 8 && load(a_end - same - 8) == load(b_end - same - 8))
        same += 8;
    while (same < size && a_end[-1 - (ptrdiff_t)same] == b_end[-1 - (ptrdiff_t)same])
        same++;
    return same;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void delta_match_add(struct delta_matches *matches, const struct delta_match *match)
{
    if (matches->count == matches->room) {
        matches->room = matches->room ? matches->room * 2 : 1024;
        matches->all = realloc(matches->all, matches->room * sizeof *matches->all);
        if (!matches->all)
            abort();
    }
    matches->all[matches->count++] = *match;
}

/* --- chunks --- */
/* Open addressing; a slot holds a chunk's number + 1. Chunks of the new file follow those of the old one. */
struct chunk_table {
    const struct delta_chunk *old_chunks, *new_chunks;
    int64_t *old_starts, *new_starts;
    size_t old_count, new_count, mask;
    uint32_t *slots;
};

static int64_t *starts_of(const struct delta_chunk *chunks, size_t count)
{
    int64_t *starts = delta_alloc(count + 1, sizeof *starts);

    for (size_t i = 0; i < count; i++)
        starts[i + 1] = starts[i] + chunks[i].length;
    return starts;
}

static void table_add(struct chunk_table *table, size_t number, uint64_t hash)
{
    size_t slot = hash & table->mask;

    /* Many equal chunks (zeros) take a few slots only: any of them serves. */
    for (int taken = 0; table->slots[slot]; slot = (slot + 1) & table->mask)
        if (++taken == 16)
            return;
    table->slots[slot] = (uint32_t)number + 1;
}

static void table_open(struct chunk_table *table, const struct delta_chunks *old_chunks,
                       const struct delta_chunks *new_chunks)
{
    *table = (struct chunk_table){.mask = 1023};
    table->old_chunks = delta_chunks_all(old_chunks, &table->old_count);
    table->new_chunks = delta_chunks_all(new_chunks, &table->new_count);
    table->old_starts = starts_of(table->old_chunks, table->old_count);
    table->new_starts = starts_of(table->new_chunks, table->new_count);
    while (table->mask < (table->old_count + table->new_count) * 2)
        table->mask = table->mask * 2 + 1;
    table->slots = delta_alloc(table->mask + 1, sizeof *table->slots);
    for (size_t i = 0; i < table->old_count; i++)
        table_add(table, i, table->old_chunks[i].hash);
}

static void table_close(struct chunk_table *table)
{
    free(table->old_starts);
    free(table->new_starts);
    free(table->slots);
}

/* Where chunk `i` of the new file lies; the old file's place that goes on with the match before is taken
 * first, any of the old file before one of the new. */
static bool table_find(const struct delta_maker *maker, const struct chunk_table *table, size_t i,
                       int64_t expected, struct delta_match *match)
{
    const struct delta_chunk *wanted = &table->new_chunks[i];
    const uint8_t *bytes = maker->new.bytes + table->new_starts[i];
    size_t slot = wanted->hash & table->mask;
    bool found = false;

    for (int probes = 0; table->slots[slot] && probes < 64; slot = (slot + 1) & table->mask, probes++) {
        size_t number = table->slots[slot] - 1;
        bool self = number >= table->old_count;
        const struct delta_chunk *chunk =
            self ? &table->new_chunks[number - table->old_count] : &table->old_chunks[number];
        int64_t place = self ? table->new_starts[number - table->old_count] : table->old_starts[number];

        if (chunk->hash != wanted->hash || chunk->length != wanted->length || (found && self) ||
            memcmp((self ? maker->new.bytes : maker->old.bytes) + place, bytes, wanted->length))
            continue;
        *match = (struct delta_match){table->new_starts[i], place, wanted->length, self};
        found = true;
        if (!self && place == expected)
            break;
    }
    return found;
}

/* Grows a match backwards down to `from` and forwards as far as both files go. What the new file has twice
 * may only be copied from what ends before the copy begins. */
static void grow(const struct delta_maker *maker, struct delta_match *match, int64_t from)
{
    const struct delta_side *source = match->self ? &maker->new : &maker->old;
    int64_t apart = match->self ? match->at - match->place - match->length : INT64_MAX;
    int64_t back = least(apart, least(match->at - from, match->place));

    back = (int64_t)delta_same_backward(maker->new.bytes + match->at, source->bytes + match->place,
                                        (size_t)back);
    match->at -= back;
    match->place -= back;
    match->length += back;

    int64_t ahead = least(maker->new.length - match->at, source->length - match->place) - match->length;

    ahead = least(ahead, match->self ? apart - back : INT64_MAX);
    match->length += (int64_t)delta_same_forward(maker->new.bytes + match->at + match->length,
                                                 source->bytes + match->place + match->length, (size_t)ahead);
}

void delta_match_chunks(struct delta_maker *maker, const struct delta_chunks *old_chunks,
                        const struct delta_chunks *new_chunks)
{
    struct chunk_table table;
    struct delta_match match = {0};
    int64_t done = 0, diagonal = 0;

    grow(maker, &match, 0); /* both files' starts */
    if (match.length >= 32) {
        delta_match_add(&maker->matches, &match);
        done = match.length;
    }
    table_open(&table, old_chunks, new_chunks);
    for (size_t i = 0; i < table.new_count && !((i & 1023) == 0 && delta_make_stops(maker)); i++) {
        int64_t start = table.new_starts[i], end = table.new_starts[i + 1];

        if (start >= done && table_find(maker, &table, i, start + diagonal, &match)) {
            grow(maker, &match, done);
            delta_match_add(&maker->matches, &match);
            done = match.at + match.length;
            if (!match.self)
                diagonal = match.place - match.at;
        } else if (end > done) {
            table_add(&table, table.old_count + i, table.new_chunks[i].hash);
        }
    }
    table_close(&table);
}

/* --- between the chunks --- */
/* Places of the old file by the hash of the bytes there, every `step` bytes; two tables, for long and short.
 */
struct fine_table {
    uint32_t *slots; /* place / step + 1 */
    unsigned bits, width;
    int64_t step;
};

static inline uint64_t hash_at(const uint8_t *bytes, unsigned width)
{
    uint64_t hash = load(bytes) * UINT64_C(0x9e3779b97f4a7c15);

    for (unsigned i = 8; i + 8 <= width; i += 8)
        hash = ((hash << 29 | hash >> 35) ^ load(bytes + i)) * UINT64_C(0x9e3779b97f4a7c15);
    if (width & 7)
        hash = ((hash << 29 | hash >> 35) ^ load(bytes + width - 8)) * UINT64_C(0x9e3779b97f4a7c15);
    return hash;
}

static void fine_open(struct fine_table *table, const struct delta_side *old, unsigned width, int64_t step)
{
    *table = (struct fine_table){.width = width, .step = step, .bits = 12};
    while ((int64_t)1 << table->bits < old->length / step)
        table->bits++;
    table->slots = delta_alloc((size_t)1 << table->bits, sizeof *table->slots);
    for (int64_t place = (old->length - width) / step * step; place >= 0; place -= step)
        table->slots[hash_at(old->bytes + place, width) >> (64 - table->bits)] = (uint32_t)(place / step) + 1;
}

static int64_t fine_find(const struct fine_table *table, const uint8_t *bytes)
{
    return ((int64_t)table->slots[hash_at(bytes, table->width) >> (64 - table->bits)] - 1) * table->step;
}

#define CROWD (1 << 18) /* 8 MiB of matches, and twice as much of pieces made of them */
struct fine {
    struct delta_maker *maker;
    struct fine_table tables[2]; /* the longer first */
    size_t table_count;
    int64_t shortest;  /* match that is taken */
    int64_t split;     /* equal bytes between differences that are worth a copy of their own */
    size_t crowded;    /* so many found are many */
    unsigned patience; /* a power of two of misses after which steps grow; 0: never */
    struct delta_matches found;
    int64_t done, diagonal, end; /* of the gap that is looked through */
};

/* The more there are, the longer a match must be: what is kept of them in memory has a bound. */
static void fine_add(struct fine *fine, const struct delta_match *match)
{
    delta_match_add(&fine->found, match);
    if (fine->found.count < fine->crowded)
        return;
    fine->crowded += CROWD;
    fine->shortest *= 4;
    fine->split *= 4;
}

/* How many bytes are equal anyway when the match before is carried on. */
static int64_t equal_on(const struct delta_maker *maker, int64_t diagonal, int64_t at, int64_t length)
{
    int64_t equal = 0, from = at, to = at + length;

    if (from + diagonal < 0)
        from = -diagonal;
    to = least(to, maker->old.length - diagonal);
    for (; from < to; from++)
        equal += maker->new.bytes[from] == maker->old.bytes[from + diagonal];
    return equal;
}

static bool fine_take(struct fine *fine, int64_t at, int64_t place)
{
    const struct delta_maker *maker = fine->maker;
    struct delta_match match = {.at = at, .place = place};
    int64_t ahead = least(fine->end - at, maker->old.length - place), back = least(at - fine->done, place);

    match.length =
        (int64_t)delta_same_forward(maker->new.bytes + at, maker->old.bytes + place, (size_t)ahead);
    if (match.length < 8)
        return false;
    back = (int64_t)delta_same_backward(maker->new.bytes + at, maker->old.bytes + place, (size_t)back);
    match.at -= back;
    match.place -= back;
    match.length += back;
    if (match.length < fine->shortest)
        return false;
    /* What a change of place costs in the table must be won back (bsdiff's rule; Percival, 2003). */
    if (match.place - match.at != fine->diagonal && match.length < 4096 &&
        equal_on(maker, fine->diagonal, match.at, match.length) > match.length - 8)
        return false;
    fine_add(fine, &match);
    fine->done = match.at + match.length;
    fine->diagonal = match.place - match.at;
    return true;
}

/* The match before goes on here after a difference: a match of its own only where that is long. Gives its
 * end. */
static int64_t fine_stay(struct fine *fine, int64_t at, int64_t on)
{
    const struct delta_maker *maker = fine->maker;
    int64_t ahead = least(fine->end - at, maker->old.length - on), back = least(at - fine->done, on);

    ahead = (int64_t)delta_same_forward(maker->new.bytes + at, maker->old.bytes + on, (size_t)ahead);
    back = (int64_t)delta_same_backward(maker->new.bytes + at, maker->old.bytes + on, (size_t)back);
    if (back + ahead >= fine->split) {
        fine_add(fine, &(struct delta_match){.at = at - back, .place = on - back, .length = back + ahead});
        fine->done = at + ahead;
    }
    return at + ahead;
}

static void fine_gap(struct fine *fine)
{
    const uint8_t *bytes = fine->maker->new.bytes;
    int64_t at = fine->done;
    unsigned widest = fine->tables[0].width;
    size_t misses = 0;

    while (at + widest <= fine->end) {
        int64_t on = at + fine->diagonal;

        /* On the diagonal already: nothing better is near. */
        if (on >= 0 && on + 16 <= fine->maker->old.length &&
            !memcmp(bytes + at, fine->maker->old.bytes + on, 16)) {
            at = fine_stay(fine, at, on);
            misses = 0;
            continue;
        }
        bool taken = false;
        for (size_t i = 0; i < fine->table_count && !taken; i++) {
            int64_t place = fine_find(&fine->tables[i], bytes + at);

            taken = place >= 0 && fine_take(fine, at, place);
        }
        if (taken) {
            at = fine->done;
            misses = 0;
        } else {
            at += 1 + (fine->patience ? least((int64_t)(misses >> fine->patience), 64) : 0);
            misses++;
        }
        if ((misses & 0xfffff) == 0xfffff && delta_make_stops(fine->maker))
            return;
    }
}

static void fine_tables(struct fine *fine)
{
    const struct delta_side *old = &fine->maker->old;
    int64_t room = fine->maker->thorough ? (int64_t)1 << 25 : (int64_t)1 << 21;
    int64_t step = 1;

    while (old->length / step > room)
        step++;
    if (!fine->maker->thorough && step < 4)
        step = 4;
    fine_open(&fine->tables[fine->table_count++], old, 32, step);
    if (fine->maker->thorough)
        fine_open(&fine->tables[fine->table_count++], old, 12, step);
    fine->shortest = fine->maker->thorough ? 16 : 32;
    fine->split = fine->maker->thorough ? 24 : 256;
    fine->patience = fine->maker->thorough ? 0 : 6;
}

void delta_match_fine(struct delta_maker *maker)
{
    struct fine fine = {.maker = maker, .crowded = 2 * CROWD};
    struct delta_matches coarse = maker->matches;
    int64_t open = maker->new.length;

    for (size_t i = 0; i < coarse.count; i++)
        open -= coarse.all[i].length;
    if (open < 64 || maker->old.length < 64)
        return;
    fine_tables(&fine);
    for (size_t i = 0; i <= coarse.count; i++) {
        const struct delta_match *next = i < coarse.count ? &coarse.all[i] : NULL;

        fine.end = next ? next->at : maker->new.length;
        if (!delta_make_stops(maker))
            fine_gap(&fine);
        if (!next)
            break;
        delta_match_add(&fine.found, next);
        fine.done = next->at + next->length;
        if (!next->self)
            fine.diagonal = next->place - next->at;
    }
    for (size_t i = 0; i < fine.table_count; i++)
        free(fine.tables[i].slots);
    free(coarse.all);
    maker->matches = fine.found;
}

/* What of the new file is in the old one, by its chunks: those with the same hash are compared byte by byte,
 * and grown at both ends. */
#include "repo/delta_make_parts.h"

#include <stdlib.h>
#include <string.h>

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
        *match = (struct delta_match){table->new_starts[i], place, wanted->length, self, false};
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

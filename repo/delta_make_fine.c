/* What is alike between the chunks that are: places of the old file by a hash of the bytes there.
 *
 * A thorough delta looks up every place of the new file, by long and by short sequences. A quick one samples
 * both files by content (as Broder, "On the resemblance and containment of documents", 1997): of the places
 * whose next eight bytes hash to a small number those of the old file are noted and those of the new one
 * looked up; and it follows the match before for as long as most bytes are like those there, for what a
 * program's moved addresses leave equal. So it costs a few operations a byte, whatever the files are. */
#include "repo/delta_make_parts.h"

#include <stdlib.h>
#include <string.h>

#define FACTOR UINT64_C(0x9e3779b97f4a7c15)
#define CROWD (1 << 18)            /* 8 MiB of matches, and twice as much of pieces made of them */
#define SAMPLES ((int64_t)1 << 19) /* places of the old file that are noted for a quick delta, about */
#define DENSEST 5                  /* at most one place in 1 << DENSEST is */
#define SAMPLED 32                 /* bytes of a sequence that is looked up */
#define STRETCH 1024               /* places that are looked at together, */
#define SHORTEST_STRETCH 128       /* and after a match; */
#define PATIENCE 64                /* when so many had nothing, one is left out */
#define SAMPLE_NS 1.2              /* a place costs, */
#define FOLLOW_NS 2.0              /* and a byte between chunks beside that */
#define AHEAD 32                   /* bytes after a difference that say whether the match before goes on: */
#define ALIKE 12                   /* so many of them are equal; */
#define ALIKE_AGAIN 16             /* and so many where it did not, */
#define OTHER 3                    /* at most so many times AHEAD */

/* Every so many places of the old file, by the hash of the bytes there. */
struct every_table {
    uint32_t *slots; /* place / step + 1 */
    unsigned bits, width;
    int64_t step;
};

/* Sampled places of the old file. */
struct sampled_table {
    uint64_t *slots; /* place + 1, and above it the hash's low bits: they tell most that is not there */
    unsigned bits;   /* of a slot's number */
    uint64_t below;  /* what the hash of a sampled place's eight bytes is */
};
#define PLACE_BITS 40

struct fine {
    struct delta_maker *maker;
    struct every_table tables[2]; /* thorough: the longer first */
    struct sampled_table sampled; /* quick */
    int64_t shortest;             /* match that is taken */
    int64_t split;                /* equal bytes between differences that are worth a copy of their own */
    size_t crowded;               /* so many found are many */
    struct delta_matches found;
    int64_t open;                /* bytes that are looked through, in all, */
    int64_t done, diagonal, end; /* and of this gap */
    bool left;                   /* since `done` the match before was not followed all the way */
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t hash_at(const uint8_t *bytes, unsigned width)
{
    uint64_t hash = delta_load(bytes) * FACTOR;

    for (unsigned i = 8; i + 8 <= width; i += 8)
        hash = ((hash << 29 | hash >> 35) ^ delta_load(bytes + i)) * FACTOR;
    if (width & 7)
        hash = ((hash << 29 | hash >> 35) ^ delta_load(bytes + width - 8)) * FACTOR;
    return hash;
}

/* --- matches --- */
/* The more there are, the longer a match must be: what is kept of them in memory has a bound. */
static void add(struct fine *fine, const struct delta_match *match)
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
    int64_t from = at + diagonal < 0 ? -diagonal : at;
    int64_t to = least(at + length, maker->old.length - diagonal);

    return from < to ? (int64_t)delta_equal(maker->new.bytes + from, maker->old.bytes + from + diagonal,
                                            (size_t)(to - from))
                     : 0;
}

static bool take(struct fine *fine, int64_t at, int64_t place)
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
    add(fine, &match);
    fine->left = false;
    fine->done = match.at + match.length;
    fine->diagonal = match.place - match.at;
    return true;
}

/* How many of the next `size` bytes are equal when the match before goes on here. */
static size_t alike(const struct fine *fine, int64_t at, int64_t size)
{
    const struct delta_maker *maker = fine->maker;
    int64_t on = at + fine->diagonal;

    if (on < 0 || on + size > maker->old.length || at + size > fine->end)
        return 0;
    return delta_equal(maker->new.bytes + at, maker->old.bytes + on, (size_t)size);
}

/* The match before goes on here after a difference: a match of its own only where that is long. Gives its
 * end. */
static int64_t stay(struct fine *fine, int64_t at)
{
    const struct delta_maker *maker = fine->maker;
    int64_t on = at + fine->diagonal;
    int64_t ahead = least(fine->end - at, maker->old.length - on), back = least(at - fine->done, on);

    ahead = (int64_t)delta_same_forward(maker->new.bytes + at, maker->old.bytes + on, (size_t)ahead);
    back = (int64_t)delta_same_backward(maker->new.bytes + at, maker->old.bytes + on, (size_t)back);
    if (back + ahead >= fine->split) {
        add(fine, &(struct delta_match){.at = at - back,
                                        .place = on - back,
                                        .length = back + ahead,
                                        .followed = !fine->left && !fine->maker->thorough});
        fine->done = at + ahead;
        fine->left = false;
    }
    return at + ahead;
}

/* --- every place --- */
static void every_open(struct every_table *table, const struct delta_side *old, unsigned width, int64_t step)
{
    *table = (struct every_table){.width = width, .step = step, .bits = 12};
    while ((int64_t)1 << table->bits < old->length / step)
        table->bits++;
    table->slots = delta_alloc((size_t)1 << table->bits, sizeof *table->slots);
    for (int64_t place = (old->length - width) / step * step; place >= 0; place -= step)
        table->slots[hash_at(old->bytes + place, width) >> (64 - table->bits)] = (uint32_t)(place / step) + 1;
}

static int64_t every_find(const struct every_table *table, const uint8_t *bytes)
{
    return ((int64_t)table->slots[hash_at(bytes, table->width) >> (64 - table->bits)] - 1) * table->step;
}

static void every_gap(struct fine *fine)
{
    const uint8_t *bytes = fine->maker->new.bytes;
    int64_t at = fine->done;
    size_t misses = 0;

    while (at + fine->tables[0].width <= fine->end) {
        if (alike(fine, at, 16) == 16) { /* nothing better is near */
            at = stay(fine, at);
            continue;
        }
        bool taken = false;
        for (size_t i = 0; i < 2 && !taken; i++) {
            int64_t place = every_find(&fine->tables[i], bytes + at);

            taken = place >= 0 && take(fine, at, place);
        }
        at = taken ? fine->done : at + 1;
        if (!(++misses & 0xfffff) && delta_make_stops(fine->maker))
            return;
    }
}

/* --- sampled places --- */
/* Those of the next STRETCH bytes, gathered before they are looked at, so that their slots are on their way
 * from memory together. */
struct samples {
    uint64_t hashes[STRETCH];
    uint32_t offsets[STRETCH];
    size_t count;
};

static inline size_t slot_of(const struct sampled_table *table, uint64_t hash)
{
    return hash >> (64 - table->bits);
}

/* `places`: at most STRETCH, each of SAMPLED bytes. */
static void samples_gather(struct samples *samples, const struct sampled_table *table, const uint8_t *bytes,
                           int64_t places)
{
    uint64_t below = table->below;
    size_t count = 0;

    for (uint32_t i = 0; i < (uint32_t)places; i++) {
        samples->offsets[count] = i;
        count += delta_load(bytes + i) * FACTOR < below;
    }
    samples->count = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = bytes + samples->offsets[i];
        uint64_t hash = hash_at(at, SAMPLED);

        if (delta_load(at) ==
            delta_load(at + 1)) /* one byte again and again would be many samples, or none */
            continue;
        samples->offsets[samples->count] = samples->offsets[i];
        samples->hashes[samples->count++] = hash;
        __builtin_prefetch(&table->slots[slot_of(table, hash)], 1);
    }
}

/* `open`: bytes of the new file that are looked through; fewer may cost more each. */
static void sampled_open(struct sampled_table *table, struct delta_maker *maker, int64_t open)
{
    const struct delta_side *old = &maker->old;
    struct samples samples;
    unsigned sparse = DENSEST;

    while (old->length >> sparse > SAMPLES * least(maker->new.length / open, 4))
        sparse++;
    *table = (struct sampled_table){.below = UINT64_C(1) << (64 - sparse), .bits = 10};
    while ((int64_t)1 << table->bits < old->length >> sparse)
        table->bits++;
    size_t size = sizeof *table->slots << table->bits;
    table->slots = memset(delta_make_alloc(size, size >= (1 << 20)), 0, size);
    delta_spend(maker, (double)old->length, SAMPLE_NS);
    for (int64_t place = 0; place + SAMPLED <= old->length && !delta_make_stops(maker); place += STRETCH) {
        samples_gather(&samples, table, old->bytes + place,
                       least(STRETCH, old->length - SAMPLED + 1 - place));
        for (size_t i = 0; i < samples.count; i++)
            table->slots[slot_of(table, samples.hashes[i])] =
                samples.hashes[i] << PLACE_BITS | (uint64_t)(place + samples.offsets[i] + 1);
    }
}

static int64_t sampled_find(const struct sampled_table *table, uint64_t hash)
{
    uint64_t slot = table->slots[slot_of(table, hash)];

    return (slot ^ hash << PLACE_BITS) >> PLACE_BITS
               ? -1
               : (int64_t)(slot & ((UINT64_C(1) << PLACE_BITS) - 1)) - 1;
}

/* Goes on beside the match before while enough of what comes is like the old file there, or soon is again.
 * Gives where it no longer is. */
static int64_t follow(struct fine *fine, int64_t at)
{
    int64_t other = 0;

    for (unsigned steps = 0; other <= OTHER && ((steps & 0xffff) || !delta_make_stops(fine->maker));
         steps++) {
        size_t equal = alike(fine, at + other * AHEAD, AHEAD);

        if (equal < (other ? ALIKE_AGAIN : ALIKE)) {
            other++;
            continue;
        }
        fine->left = fine->left || other > 1;
        at += other * AHEAD;
        at = equal == AHEAD ? stay(fine, at) : at + AHEAD;
        other = 0;
    }
    fine->left = fine->left || at + AHEAD <= fine->end;
    return at;
}

/* What is told by a sample: the match before, or another, goes on from it. `at` is moved to where that ends.
 */
static bool goes_on(struct fine *fine, int64_t sample, uint64_t hash, int64_t *at)
{
    bool found = alike(fine, sample, AHEAD) >= ALIKE_AGAIN;

    if (found) {
        *at = follow(fine, sample);
    } else {
        int64_t place = sampled_find(&fine->sampled, hash);

        found = place >= 0 && take(fine, sample, place);
        if (found)
            *at = follow(fine, fine->done);
    }
    return found;
}

static void sampled_gap(struct fine *fine)
{
    int64_t at = follow(fine, fine->done), stretch = SHORTEST_STRETCH, missed = 0;
    struct samples samples;

    if (at + SAMPLED <= fine->end && !fine->sampled.slots)
        sampled_open(&fine->sampled, fine->maker, fine->open);
    while (at + SAMPLED <= fine->end && !delta_make_stops(fine->maker)) {
        int64_t from = at, places = least(stretch, fine->end - SAMPLED + 1 - from);

        samples_gather(&samples, &fine->sampled, fine->maker->new.bytes + from, places);
        delta_spend(fine->maker, (double)places, SAMPLE_NS);
        stretch = least(stretch * 2, STRETCH);
        missed += places;
        at = from + places + least(missed / PATIENCE, 3 * STRETCH);
        for (size_t i = 0; i < samples.count; i++)
            if (goes_on(fine, from + samples.offsets[i], samples.hashes[i], &at)) {
                stretch = SHORTEST_STRETCH;
                missed = 0;
                break;
            }
    }
}

/* --- both --- */
static void every_tables(struct fine *fine)
{
    const struct delta_side *old = &fine->maker->old;
    int64_t step = 1;

    while (old->length / step > (int64_t)1 << 25)
        step++;
    every_open(&fine->tables[0], old, 32, step);
    every_open(&fine->tables[1], old, 12, step);
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
    fine.open = open;
    delta_spend(maker, (double)open, FOLLOW_NS);
    fine.shortest = maker->thorough ? 16 : 32;
    fine.split = maker->thorough ? 24 : 256;
    if (maker->thorough)
        every_tables(&fine);
    for (size_t i = 0; i <= coarse.count; i++) {
        const struct delta_match *next = i < coarse.count ? &coarse.all[i] : NULL;

        fine.end = next ? next->at : maker->new.length;
        if (!delta_make_stops(maker))
            (maker->thorough ? every_gap : sampled_gap)(&fine);
        if (!next)
            break;
        struct delta_match match = *next;
        match.followed = !maker->thorough && !fine.left && match.place - match.at == fine.diagonal;
        delta_match_add(&fine.found, &match);
        fine.left = false;
        fine.done = next->at + next->length;
        if (!next->self)
            fine.diagonal = next->place - next->at;
    }
    free(fine.tables[0].slots);
    free(fine.tables[1].slots);
    free(fine.sampled.slots);
    free(coarse.all);
    maker->matches = fine.found;
}

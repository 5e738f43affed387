/* Finds where the numbers of a fresh piece come from when all of them moved a little: no byte run is equal
 * then, so nothing else finds them once a header grew or layers changed places.
 *
 * What hardly changes when numbers move is their top: sign, exponent, highest bits. A fresh piece is seen in
 * windows. In each the distance between like bytes (the stride: 1, 2, 4 or 8) and which of them varies least
 * are told by counting. Some sequences of those tops are then looked for in all of the old file with a
 * rolling hash, where they are found votes for a place, and the place whose tops agree most is taken. It is a
 * hint only: whether the piece is coded by its difference from there is weighed later. */
#include "repo/delta_make_parts.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW (32 << 10)  /* bytes of a piece that get a place together; more of a huge file, */
#define WINDOWS 16384      /* so that there are about so many, 6 KiB each, */
#define MOST (2 * WINDOWS) /* and never more than so many */
#define SMALLEST 512       /* a shorter piece is left alone */
#define LOOK 4096          /* bytes that tell a window's stride */
#define ASKED 32           /* sequences that are looked for, of each window */
#define LONGEST 64         /* elements of a sequence, at most */
#define HITS 8             /* places that one sequence is noted at, */
#define TRIED 4            /* and of a window's places those with most votes that are tried */
#define STRIDES 4
#define NEAR (32 << 10)        /* bytes before and after where a window would be, */
#define FEWEST 4               /* for so many windows, */
#define TRIES_EVERY (16 << 20) /* and one more for so many bytes of the new file */
#define WINDOW_NS 2e4          /* for looking at a window, */
#define ROLL_NS 3.0            /* for a byte of the old file and each stride */
#define FACTOR UINT64_C(0x9e3779b97f4a7c15)

struct window {
    int64_t at, length, place; /* in the new file; where it is thought to be in the old one */
    size_t piece;
    uint8_t stride;  /* log2 */
    uint8_t residue; /* of the place in the window, by the stride */
    bool plain;      /* noise or constant: nothing to look for */
    float chance;    /* that two of its tops are equal for no reason */
    float agrees;    /* how many tops do at `place` */
};

struct query {
    uint64_t hash;
    uint32_t window, hits; /* how often it was found */
    int64_t at;
};

struct hit {
    uint32_t window;
    int64_t diagonal;
};

struct align {
    struct delta_maker *maker;
    struct window *windows;
    size_t count;
    int64_t window; /* bytes of one */
    struct query *queries;
    size_t query_count;
    uint32_t *slots; /* of queries, by hash: number + 1 */
    uint8_t *filter; /* a bit for each slot that may be taken */
    unsigned bits;
    struct hit *hits;
    size_t hit_count;
};

/* The top of a byte: all of it where larger elements have one, three bits of an element of one byte. */
static inline unsigned top_of(uint8_t byte, unsigned stride)
{
    return stride ? byte : byte >> 5;
}

/* --- what a window's elements are --- */
/* The chance that two of these bytes are alike, by counts. */
static float chance_of(const uint8_t *bytes, size_t size, unsigned step, unsigned shift)
{
    uint32_t counts[256] = {0}, seen = 0;
    uint64_t pairs = 0;

    for (size_t at = 0; at < size; at += step, seen++)
        counts[bytes[at] >> shift]++;
    for (int i = 0; i < 256; i++)
        pairs += (uint64_t)counts[i] * (counts[i] - (counts[i] > 0));
    return seen < 2 ? 1 : (float)((double)pairs / ((double)seen * (seen - 1)));
}

/* The stride at which bytes are most alike, when that is a multiple of what they are anyway. */
static void window_look(struct window *window, const uint8_t *bytes, int64_t most_bytes)
{
    size_t size = (size_t)(window->length < most_bytes ? window->length : most_bytes);
    float all = chance_of(bytes, size, 1, 0), most = 0;

    for (unsigned stride = 1; stride < STRIDES; stride++)
        for (unsigned residue = 0; residue < 1u << stride && residue < size; residue++) {
            float chance = chance_of(bytes + residue, size - residue, 1u << stride, 0);

            if (chance > most * 1.3f && chance < 0.8f) {
                most = chance;
                window->stride = (uint8_t)stride;
                window->residue = (uint8_t)residue;
            }
        }
    window->chance = most;
    if (most < all * 2) {
        window->stride = window->residue = 0;
        window->chance = chance_of(bytes, size, 1, 5);
    }
    window->plain = window->chance > 0.8f || (!window->stride && all < 1.1f / 256);
}

/* How many of the window's tops are those of the old file on this diagonal: 0 to 1. */
static float agreement(const struct align *align, const struct window *window, int64_t diagonal)
{
    const struct delta_side *old = &align->maker->old;
    const uint8_t *new = align->maker->new.bytes;
    int64_t step = (int64_t)1 << window->stride, elements = window->length / step;
    int64_t every = elements / 512 ? elements / 512 : 1;
    uint32_t equal = 0, seen = 0;

    for (int64_t at = window->at + window->residue; at < window->at + window->length;
         at += every * step, seen++) {
        int64_t place = at + diagonal;

        equal += place >= 0 && place < old->length &&
                 top_of(new[at], window->stride) == top_of(old->bytes[place], window->stride);
    }
    return seen ? (float)equal / (float)seen : 0;
}

static void try_diagonal(const struct align *align, struct window *window, int64_t diagonal)
{
    float agrees = agreement(align, window, diagonal);

    if (agrees > window->agrees + 0.02f) {
        window->agrees = agrees;
        window->place = window->at + diagonal;
    }
}

/* Is the place that it has as good as it needs to be? */
static bool is_settled(const struct window *window)
{
    return window->plain || window->agrees > window->chance + (1 - window->chance) * 0.5f;
}

/* Looks at a window; mostly it is as the one before, whose place goes on. */
static void window_open(struct align *align, struct window *window, const struct window *before)
{
    if (before && !before->plain && is_settled(before) &&
        before->place - before->at == window->place - window->at) {
        struct window same = *before;

        same.at = window->at;
        same.length = window->length;
        same.place = window->place;
        same.agrees = agreement(align, &same, same.place - same.at);
        if (is_settled(&same)) {
            *window = same;
            return;
        }
    }
    window_look(window, align->maker->new.bytes + window->at, align->maker->thorough ? LOOK : LOOK / 2);
    if (window->plain)
        return;
    window->agrees = agreement(align, window, window->place - window->at);
    if (!is_settled(window)) /* the end of a file is often as it was */
        try_diagonal(align, window, align->maker->old.length - align->maker->new.length);
}

static void windows_of(struct align *align, size_t number)
{
    const struct delta_piece *piece = &align->maker->plan.all[number];

    for (int64_t done = 0; done < piece->length && align->count < MOST; done += align->window) {
        struct window *window = &align->windows[align->count++];

        *window = (struct window){.at = piece->at + done,
                                  .length = piece->length - done < align->window ? piece->length - done
                                                                                 : align->window,
                                  .place = piece->place + done,
                                  .piece = number};
        window_open(align, window, done ? window - 1 : NULL);
    }
}

static bool is_looked_at(struct delta_maker *maker, const struct delta_piece *piece)
{
    double windows = (double)piece->length / WINDOW + 1;

    if (piece->kind != DELTA_FRESH || piece->length < SMALLEST)
        return false;
    if (maker->thorough || maker->new.length < (1 << 20))
        return true;
    if (piece->length >= WINDOW) {
        delta_spend(maker, windows, WINDOW_NS);
        return true;
    }
    /* Short pieces are many in programs, and are little of a large file. */
    return piece->length >= 8 * SMALLEST && delta_afford(maker, windows, WINDOW_NS);
}

static void windows_open(struct align *align)
{
    const struct delta_plan *plan = &align->maker->plan;

    for (align->window = WINDOW; align->maker->new.length / align->window > WINDOWS;)
        align->window *= 2;
    align->windows = delta_alloc(MOST, sizeof *align->windows);
    for (size_t i = 0; i < plan->count && !delta_make_stops(align->maker); i++)
        if (is_looked_at(align->maker, &plan->all[i]))
            windows_of(align, i);
}

/* --- looking for their sequences --- */
static inline uint64_t hash_add(uint64_t hash, unsigned top)
{
    return hash * FACTOR + top + 1;
}

static inline uint64_t slot_of(const struct align *align, uint64_t hash)
{
    return (hash ^ hash >> 29) * FACTOR >> (64 - align->bits);
}

/* Elements of a sequence that chance finds among so many places less than once. */
static unsigned sequence_length(double chance, int64_t places)
{
    double found = (double)places * 16;
    unsigned length = 0;

    for (; found > 1 && length < LONGEST; length++)
        found *= chance;
    return length;
}

/* Of those that are looked for with this stride; 0: there are none. */
static double mean_chance(const struct align *align, unsigned stride)
{
    double chance = 0, count = 0;

    for (size_t i = 0; i < align->count; i++)
        if (!is_settled(&align->windows[i]) && align->windows[i].stride == stride) {
            chance += align->windows[i].chance;
            count++;
        }
    return count > 0 ? chance / count : 0;
}

static void ask(struct align *align, size_t number, unsigned length)
{
    const struct window *window = &align->windows[number];
    int64_t step = (int64_t)1 << window->stride;
    int64_t places = window->length / step - length;

    for (int64_t i = 0; i < ASKED && places > 0; i++) {
        struct query query = {.window = (uint32_t)number,
                              .at = window->at + window->residue + places * i / ASKED * step};
        const uint8_t *bytes = align->maker->new.bytes + query.at;

        if (query.at + step * (length - 1) >= align->maker->new.length)
            continue;
        for (unsigned element = 0; element < length; element++)
            query.hash = hash_add(query.hash, top_of(bytes[element * step], window->stride));
        align->queries[align->query_count++] = query;
    }
}

/* What was asked becomes what is looked for. */
static void ask_end(struct align *align)
{
    memset(align->slots, 0, sizeof *align->slots << align->bits);
    memset(align->filter, 0, (size_t)1 << (align->bits - 3));
    for (size_t i = 0; i < align->query_count; i++) {
        uint64_t slot = slot_of(align, align->queries[i].hash);

        for (int taken = 0; taken < 8; taken++, slot = (slot + 1) & ((UINT64_C(1) << align->bits) - 1))
            if (!align->slots[slot]) {
                align->slots[slot] = (uint32_t)i + 1;
                slot = slot_of(align, align->queries[i].hash);
                align->filter[slot >> 3] |= (uint8_t)(1 << (slot & 7));
                break;
            }
    }
}

/* All that are asked for with this stride. Gives how many bytes of the new file they stand for. */
static int64_t ask_all(struct align *align, unsigned stride, unsigned length)
{
    int64_t bytes = 0;

    align->query_count = 0;
    for (size_t i = 0; i < align->count; i++)
        if (!is_settled(&align->windows[i]) && align->windows[i].stride == stride) {
            ask(align, i, length);
            bytes += align->windows[i].length;
        }
    ask_end(align);
    return bytes;
}

static void note_hits(struct align *align, uint64_t hash, uint64_t slot, int64_t place)
{
    for (int probes = 0; probes < 16 && align->slots[slot]; probes++) {
        struct query *query = &align->queries[align->slots[slot] - 1];

        if (query->hash == hash && query->hits < HITS) {
            query->hits++;
            align->hits[align->hit_count++] =
                (struct hit){.window = query->window, .diagonal = place - query->at};
        }
        slot = (slot + 1) & ((UINT64_C(1) << align->bits) - 1);
    }
}

/* Rolls over the old file from `from` to `to`: one hash for each place by the stride. */
static void roll(struct align *align, unsigned stride, unsigned length, int64_t from, int64_t to)
{
    const struct delta_side *old = &align->maker->old;
    int64_t step = (int64_t)1 << stride, span = step * length;
    uint64_t hashes[1 << (STRIDES - 1)] = {0}, leaving[256], power = 1;

    align->hit_count = 0;
    for (unsigned i = 0; i < length; i++)
        power *= FACTOR;
    for (unsigned byte = 0; byte < 256; byte++)
        leaving[byte] = power * (top_of((uint8_t)byte, stride) + 1);
    for (int64_t at = from; at < to; at++) {
        uint64_t *hash = &hashes[at & (step - 1)];

        *hash = hash_add(*hash, top_of(old->bytes[at], stride));
        if (at < from + span - step)
            continue;
        if (at >= from + span)
            *hash -= leaving[old->bytes[at - span]];
        uint64_t slot = slot_of(align, *hash);
        if (align->filter[slot >> 3] >> (slot & 7) & 1)
            note_hits(align, *hash, slot, at - (span - step));
        if (!(at & 0xfffff) && delta_make_stops(align->maker))
            return;
    }
}

/* --- choosing --- */
static int by_window(const void *a, const void *b)
{
    const struct hit *one = a, *other = b;

    if (one->window != other->window)
        return one->window < other->window ? -1 : 1;
    return one->diagonal < other->diagonal ? -1 : one->diagonal > other->diagonal;
}

struct voted {
    int64_t diagonal;
    size_t votes;
};

/* Keeps the most voted ones, the first the best. */
static void voted_add(struct voted all[TRIED], struct voted one)
{
    for (int i = 0; i < TRIED; i++)
        if (one.votes > all[i].votes) {
            struct voted swap = all[i];

            all[i] = one;
            one = swap;
        }
}

/* The hits of one window, `count` from the first on. */
static void choose(struct align *align, const struct hit *hits, size_t count)
{
    struct window *window = &align->windows[hits->window];
    struct voted best[TRIED] = {{0}};

    for (size_t i = 0, next; i < count; i = next) {
        for (next = i; next < count && hits[next].diagonal == hits[i].diagonal;)
            next++;
        voted_add(best, (struct voted){hits[i].diagonal, next - i});
    }
    for (int i = 0; i < TRIED && best[i].votes; i++)
        try_diagonal(align, window, best[i].diagonal);
}

/* Windows take over what those beside them found, where it is better. */
static void spread(struct align *align)
{
    for (size_t i = 1; i < align->count; i++)
        if (!is_settled(&align->windows[i]))
            try_diagonal(align, &align->windows[i], align->windows[i - 1].place - align->windows[i - 1].at);
    for (size_t i = align->count - (align->count > 0); i > 0; i--)
        if (!is_settled(&align->windows[i - 1]))
            try_diagonal(align, &align->windows[i - 1], align->windows[i].place - align->windows[i].at);
}

static void choose_all(struct align *align)
{
    qsort(align->hits, align->hit_count, sizeof *align->hits, by_window);
    for (size_t i = 0, next; i < align->hit_count; i = next) {
        for (next = i; next < align->hit_count && align->hits[next].window == align->hits[i].window;)
            next++;
        choose(align, &align->hits[i], next - i);
    }
}

/* All windows of a stride, in all of the old file. */
static void look_for(struct align *align, unsigned stride)
{
    struct delta_maker *maker = align->maker;
    unsigned length = sequence_length(mean_chance(align, stride), maker->old.length);

    if (!length || ask_all(align, stride, length) < (maker->thorough ? 0 : maker->old.length / 64) ||
        !delta_afford(maker, (double)maker->old.length, ROLL_NS))
        return;
    roll(align, stride, length, 0, maker->old.length);
    choose_all(align);
}

/* One window, around where it would be: mostly a header before it grew. */
static void look_near(struct align *align, size_t number)
{
    const struct window *window = &align->windows[number];
    const struct delta_side *old = &align->maker->old;
    int64_t from = window->place - NEAR > 0 ? window->place - NEAR : 0;
    int64_t to = window->place + window->length + NEAR;
    unsigned length = sequence_length(window->chance, 2 * NEAR);

    to = to < old->length ? to : old->length;
    if (!length || from >= to)
        return;
    delta_spend(align->maker, (double)(to - from), ROLL_NS);
    align->query_count = 0;
    ask(align, number, length);
    ask_end(align);
    roll(align, window->stride, length, from, to);
    choose_all(align);
}

/* A quick delta looks near a few windows, whose neighbours come after them. */
static void look_near_some(struct align *align)
{
    int64_t tries = FEWEST + align->maker->new.length / TRIES_EVERY;

    for (size_t i = 0; i < align->count && tries > 0; i++) {
        struct window *window = &align->windows[i];

        if (i && !is_settled(window))
            try_diagonal(align, window, window[-1].place - window[-1].at);
        if (is_settled(window))
            continue;
        look_near(align, i);
        tries--;
    }
}

/* --- the plan --- */
/* Between two windows of different places: how many of their bytes belong to the first one's. */
static int64_t change_over(const struct align *align, const struct window *one, const struct window *other)
{
    const struct delta_side *old = &align->maker->old, *new = &align->maker->new;
    int64_t before = one->place - one->at, after = other->place - other->at;
    int64_t best = 0, best_score = 0, score = 0;

    for (int64_t i = 0; i < one->length + other->length; i++) {
        int64_t at = one->at + i, a = at + before, b = at + after;

        score += a >= 0 && a < old->length && old->bytes[a] == new->bytes[at];
        score -= b >= 0 && b < old->length && old->bytes[b] == new->bytes[at];
        if (score > best_score) {
            best_score = score;
            best = i + 1;
        }
    }
    return best;
}

static void add_piece(struct delta_plan *plan, const struct delta_piece *piece)
{
    if (plan->count == plan->room) {
        plan->room = plan->room ? plan->room * 2 : 1024;
        plan->all = realloc(plan->all, plan->room * sizeof *plan->all);
        if (!plan->all)
            abort();
    }
    plan->all[plan->count++] = *piece;
}

/* What lies before the old file's start has no place there. */
static void add_placed(struct delta_plan *plan, struct delta_piece piece)
{
    if (piece.place < 0 && piece.place + piece.length > 0) {
        struct delta_piece before = piece;

        before.length = -piece.place;
        add_piece(plan, &before);
        piece.at += before.length;
        piece.length -= before.length;
        piece.place = 0;
    }
    if (piece.length > 0)
        add_piece(plan, &piece);
}

/* A piece by its windows, `count` from the first on. */
static void split_piece(const struct align *align, struct delta_plan *plan, const struct window *windows,
                        size_t count)
{
    struct delta_piece piece = align->maker->plan.all[windows->piece];
    int64_t end = piece.at + piece.length;

    piece.place = windows->place;
    for (size_t i = 1; i < count; i++) {
        int64_t diagonal = windows[i].place - windows[i].at;

        if (diagonal == piece.place - piece.at)
            continue;
        int64_t from = windows[i - 1].at + change_over(align, &windows[i - 1], &windows[i]);
        if (from <= piece.at)
            from = windows[i].at;
        piece.length = from - piece.at;
        add_placed(plan, piece);
        piece.at = from;
        piece.place = from + diagonal;
    }
    piece.length = end - piece.at;
    add_placed(plan, piece);
}

static void split_plan(struct align *align)
{
    struct delta_plan *plan = &align->maker->plan, split = {0};
    size_t window = 0;

    for (size_t i = 0; i < plan->count; i++) {
        size_t first = window;

        while (window < align->count && align->windows[window].piece == i)
            window++;
        if (window > first)
            split_piece(align, &split, &align->windows[first], window - first);
        else
            add_piece(&split, &plan->all[i]);
    }
    free(plan->all);
    *plan = split;
}

static void look(struct align *align)
{
    align->queries = delta_alloc(align->count * ASKED, sizeof *align->queries);
    align->hits = delta_alloc(align->count * ASKED * HITS, sizeof *align->hits);
    for (align->bits = 10; (size_t)1 << align->bits < align->count * ASKED * 4;)
        align->bits++;
    align->slots = delta_alloc((size_t)1 << align->bits, sizeof *align->slots);
    align->filter = delta_alloc((size_t)1 << (align->bits - 3), 1);
    if (!align->maker->thorough) {
        look_near_some(align);
        spread(align);
    }
    for (unsigned stride = 0; stride < STRIDES && !delta_make_stops(align->maker); stride++)
        look_for(align, stride);
    spread(align);
    free(align->queries);
    free(align->hits);
    free(align->slots);
    free(align->filter);
}

void delta_plan_align(struct delta_maker *maker)
{
    struct align align = {.maker = maker};
    bool settled = true;

    if (maker->old.length < SMALLEST)
        return;
    windows_open(&align);
    for (size_t i = 0; i < align.count; i++)
        settled = settled && is_settled(&align.windows[i]);
    if (!settled && !delta_make_stops(maker))
        look(&align);
    split_plan(&align);
    free(align.windows);
}

/* The steps of making a delta, and its blocks. */
#include "repo/delta_make.h"

#include "base/file.h"
#include "repo/delta_make_parts.h"
#include "repo/delta_map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define RUNS (DELTA_RUNS / 2) /* of a block; as many again may come of cutting them for elements */
#define LARGE_PAGE (2 << 20)
#define FEED (1 << 20)          /* bytes for the chunks between looks at `cancel` */
#define HOPELESS_FROM (1 << 20) /* a smaller file is tried in full */
#define SPAN (512 << 10)        /* bytes that are tried together, */
#define SAMPLE (2 << 20)        /* and all that are, of what is not copied at length */
#define SMALLEST_COPY 8         /* a shorter one costs more in the table than it saves */
#define QUICK_S 0.01            /* CPU seconds of a quick delta, */
#define QUICK_NS 7.0            /* and for each byte of the new file when that is more: below 2 for 256 MiB */
#define CHUNKS_NS 0.6           /* for a byte of both files */
#define CODE_NS 4.5             /* for a byte that is no copy */
#define THOROUGH_S 5            /* CPU seconds of coding, and as many more for each MiB of the new file, */
#define THOROUGH_S_PER_MIB 3    /* after which a thorough delta is ended as a quick one */

/* Which way is the smallest depends on what the bytes are: a program whose addresses moved, numbers of which
 * few changed, numbers among which short equal runs are chance, text. */
static const struct delta_way quick_way = {.split = 256, .element = 1};
static const struct delta_way thorough_ways[] = {{.split = 1024, .element = 1},
                                                 {.split = 64, .element = 1},
                                                 {.split = 24, .element = 4},
                                                 {.split = 256, .shortest = 512, .element = 1},
                                                 {.shortest = 64, .element = 1, .fresh = true},
                                                 {.shortest = 512, .element = 1, .fresh = true}};

/* What the blocks are written by. */
struct writer {
    struct delta_maker *maker;
    struct delta_coder *coder;
    struct delta_run runs[RUNS];
    size_t count;
    int64_t at, expected; /* of what comes next, in the new file and in the old one */
    uint32_t out, literal;
    struct delta_made *made;
    int64_t worth;
    int64_t every; /* 0: all is written. Otherwise only one span in so many is coded, and nothing written */
    bool apart;    /* what comes next does not follow what came last */
    bool hopeless; /* samples say that no delta is worth it */
    double until;  /* CPU seconds of this thread; what is left then is coded as a quick delta is */
};

static double cpu_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void *delta_make_alloc(size_t size, bool large)
{
    if (!large)
        return delta_alloc(1, size);
    size = (size + LARGE_PAGE - 1) & ~(size_t)(LARGE_PAGE - 1);
    void *memory = aligned_alloc(LARGE_PAGE, size);
    if (!memory)
        abort();
    madvise(memory, size, MADV_HUGEPAGE); /* where there are none, small ones do */
    return memory;
}

bool delta_make_stops(const struct delta_maker *maker)
{
    return *maker->old.lost || *maker->new.lost ||
           (maker->make->cancel && atomic_load_explicit(maker->make->cancel, memory_order_relaxed));
}

/* --- what it costs --- */
void delta_spend(struct delta_maker *maker, double count, double ns)
{
    maker->left_s -= count * ns * 1e-9;
}

/* All that a quick delta may cost. */
static double quick_s(const struct delta_maker *maker)
{
    double most = (double)maker->new.length *QUICK_NS * 1e-9;

    return most > QUICK_S ? most : QUICK_S;
}

bool delta_afford(struct delta_maker *maker, double count, double ns)
{
    if (!maker->thorough && maker->left_s < count * ns * 1e-9)
        return false;
    delta_spend(maker, count, ns);
    return true;
}

/* --- blocks --- */
static bool put(struct writer *writer, const void *bytes, size_t size, struct error *err)
{
    writer->made->length += (int64_t)size;
    return writer->every || fd_write_all(writer->maker->make->out_fd, bytes, size, err);
}

static bool end_block(struct writer *writer, struct error *err)
{
    uint8_t head[DELTA_BLOCK_SIZE];
    struct delta_coded coded;

    if (!writer->count)
        return true;
    if (writer->maker->thorough && cpu_now() >= writer->until) {
        writer->maker->thorough = false;
        writer->maker->left_s = quick_s(writer->maker);
    }
    delta_coder_code(writer->coder, writer->runs, writer->count, &coded);
    delta_block_write(&coded.block, head);
    if (!put(writer, head, sizeof head, err) || !put(writer, coded.table, coded.block.table.coded, err) ||
        !put(writer, coded.near, coded.block.near.coded, err) ||
        !put(writer, coded.fresh, coded.block.fresh.coded, err))
        return false;
    writer->count = 0;
    writer->out = writer->literal = 0;
    writer->expected = writer->at;
    return true;
}

/* A run that nothing is in yet, at the place where the new file is. */
static struct delta_run *next_run(struct writer *writer)
{
    struct delta_run *run = &writer->runs[writer->count++];

    *run = (struct delta_run){.at = writer->at, .place = INT64_MIN};
    writer->apart = false;
    return run;
}

/* The run that takes the next part of a piece: the last one when what it has comes before this kind. */
static struct delta_run *run_for(struct writer *writer, const struct delta_piece *piece)
{
    struct delta_run *last = writer->count && !writer->apart ? &writer->runs[writer->count - 1] : NULL;

    if (last && piece->kind == DELTA_FRESH)
        return last;
    if (last && piece->kind == DELTA_NEAR && !last->fresh && writer->expected == piece->place)
        return last;
    last = next_run(writer);
    if (piece->kind == DELTA_SELF || piece->kind == DELTA_COPY)
        last->place = piece->place;
    last->self = piece->kind == DELTA_SELF;
    if (piece->kind == DELTA_NEAR && writer->expected != piece->place)
        last->place = writer->expected = piece->place;
    return last;
}

static uint32_t least(int64_t a, int64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

static void add_part(struct writer *writer, const struct delta_piece *piece, uint32_t part)
{
    struct delta_run *run = run_for(writer, piece);

    if (piece->kind == DELTA_COPY)
        writer->expected = piece->place;
    if (piece->kind == DELTA_COPY || piece->kind == DELTA_SELF) {
        run->copy = part;
        writer->made->copied += part;
    } else {
        *(piece->kind == DELTA_NEAR ? &run->near : &run->fresh) += part;
        writer->literal += part;
        writer->made->literal += part;
    }
    writer->expected += part;
    writer->at += part;
    writer->out += part;
}

static bool add_piece(struct writer *writer, struct delta_piece piece, struct error *err)
{
    bool copies = piece.kind == DELTA_COPY || piece.kind == DELTA_SELF;

    while (piece.length > 0) {
        uint32_t part = least(piece.length, DELTA_BLOCK_OUT - writer->out);

        if (!copies)
            part = least(part, DELTA_SEGMENT - writer->literal);
        if (!part || writer->count == RUNS) {
            if (!end_block(writer, err))
                return false;
            continue;
        }
        add_part(writer, &piece, part);
        piece.at += part;
        piece.place += part;
        piece.length -= part;
    }
    return true;
}

/* --- the steps --- */
static const char *give_up(const struct writer *writer)
{
    if (delta_make_stops(writer->maker))
        return "cancelled";
    return writer->made->length > writer->worth ? "not worth it" : NULL;
}

/* Nothing in common, and compressed or noise: known by a few samples, long before all of it is coded. */
static bool is_hopeless(struct writer *writer)
{
    const struct delta_plan *plan = &writer->maker->plan;
    int64_t copied = 0, length = writer->maker->new.length;

    for (size_t i = 0; i < plan->count; i++)
        copied += plan->all[i].kind < DELTA_NEAR ? plan->all[i].length : 0;
    return length >= HOPELESS_FROM && copied < length / 50 &&
           delta_coder_guess(writer->coder) * (double)(length - copied) > (double)writer->worth * 0.995;
}

/* Writes a piece, or a part of it. */
static bool write_piece(struct writer *writer, struct delta_piece piece, struct error *err)
{
    int64_t there = writer->maker->old.length - piece.place; /* no more of it can be like the old file */

    if (piece.kind == DELTA_COPY && piece.length < SMALLEST_COPY)
        piece.kind = DELTA_NEAR;
    if (piece.kind == DELTA_FRESH && !writer->maker->way.fresh) {
        struct delta_piece near = piece;

        near.length = least(piece.length, there > 0 ? there : piece.length);
        if (delta_coder_is_near(writer->coder, &near)) {
            near.kind = DELTA_NEAR;
            if (!add_piece(writer, near, err))
                return false;
            piece.at += near.length;
            piece.place += near.length;
            piece.length -= near.length;
        }
    }
    return add_piece(writer, piece, err);
}

/* Of a file that is tried in several ways only some spans are, of each way the same bytes. */
static bool write_sampled(struct writer *writer, struct delta_piece piece, struct error *err)
{
    for (int64_t part; piece.length > 0; piece.at += part, piece.place += part, piece.length -= part) {
        struct delta_piece sampled = piece;

        part = least(piece.length, SPAN - piece.at % SPAN);
        sampled.length = part;
        if ((piece.at / SPAN + 1) % writer->every == 0) {
            if (!write_piece(writer, sampled, err))
                return false;
            continue;
        }
        /* The block goes on behind it: many small blocks would each pay for a search in the old file. */
        writer->at = piece.at + part;
        writer->expected = INT64_MIN / 2;
        writer->apart = true;
    }
    return true;
}

static bool write_plan(struct writer *writer, struct error *err)
{
    const struct delta_plan *plan = &writer->maker->plan;

    writer->made->why_not = give_up(writer);
    writer->hopeless = !writer->made->why_not && is_hopeless(writer);
    if (writer->hopeless)
        writer->made->why_not = "not worth it";
    for (size_t i = 0; i < plan->count && !writer->made->why_not; i++) {
        if (!(writer->every ? write_sampled : write_piece)(writer, plan->all[i], err))
            return false;
        writer->made->why_not = give_up(writer);
    }
    if (writer->made->why_not)
        return true;
    if (!end_block(writer, err))
        return false;
    writer->made->why_not = give_up(writer);
    return true;
}

static struct delta_chunks *chunks_of(const struct delta_maker *maker, const struct delta_side *side)
{
    struct delta_chunks *chunks = delta_chunks_new();

    for (int64_t at = 0; at < side->length && !delta_make_stops(maker); at += FEED)
        delta_chunks_feed(chunks, side->bytes + at, least(side->length - at, FEED));
    delta_chunks_end(chunks);
    return chunks;
}

/* The chunks that the caller has, when they are this file's. */
static bool have_chunks(const struct delta_chunks *chunks, const struct delta_side *side)
{
    return chunks && delta_chunks_length(chunks) == side->length;
}

static void find_matches(struct delta_maker *maker)
{
    const struct delta_make *make = maker->make;
    struct delta_chunks *old_made = NULL, *new_made = NULL;

    if (!have_chunks(make->old_chunks, &maker->old))
        old_made = chunks_of(maker, &maker->old);
    if (!have_chunks(make->new_chunks, &maker->new))
        new_made = chunks_of(maker, &maker->new);
    if (!delta_make_stops(maker))
        delta_match_chunks(maker, old_made ? old_made : make->old_chunks,
                           new_made ? new_made : make->new_chunks);
    delta_chunks_free(old_made);
    delta_chunks_free(new_made);
    delta_match_fine(maker);
}

/* Lays the file out in this way and writes it, or (every) sees what a sample of it would take. */
static bool write_way(struct writer *writer, const struct delta_way *way, struct error *err)
{
    struct delta_maker *maker = writer->maker;

    maker->way = *way;
    writer->count = 0;
    writer->at = writer->expected = 0;
    writer->out = writer->literal = 0;
    writer->apart = false;
    delta_plan_make(maker);
    for (size_t i = 0; i < maker->plan.count; i++)
        if (maker->plan.all[i].kind >= DELTA_NEAR)
            delta_spend(maker, (double)maker->plan.all[i].length, CODE_NS);
    delta_plan_align(maker);
    return write_plan(writer, err);
}

/* Tries all ways with a sample, and gives the one that takes least. */
static struct delta_way best_way(struct writer *writer, struct error *err)
{
    struct delta_way best = thorough_ways[0];
    struct delta_made *made = writer->made, tried;
    int64_t worth = writer->worth, open = writer->maker->new.length;

    for (size_t i = 0; i < writer->maker->matches.count; i++)
        if (writer->maker->matches.all[i].length >= SPAN / 8)
            open -= writer->maker->matches.all[i].length;
    writer->every = 1 + open / SAMPLE;
    writer->maker->tries = true;
    writer->made = &tried;
    for (size_t i = 0; i < sizeof thorough_ways / sizeof thorough_ways[0] && !delta_make_stops(writer->maker);
         i++) {
        tried = (struct delta_made){0};
        if (!write_way(writer, &thorough_ways[i], err) || (i == 0 && writer->hopeless))
            break;
        if (!tried.why_not && tried.copied + tried.literal > 0 && tried.length < writer->worth) {
            writer->worth = tried.length;
            best = thorough_ways[i];
        }
    }
    writer->made = made;
    writer->worth = worth;
    writer->every = 0;
    writer->maker->tries = false;
    return best;
}

static bool run_steps(struct delta_maker *maker, struct delta_made *made, struct error *err)
{
    uint8_t head[DELTA_HEADER_SIZE];
    struct delta_header header = {.old_length = maker->old.length, .new_length = maker->new.length};
    struct writer *writer = delta_alloc(1, sizeof *writer);

    *writer = (struct writer){.maker = maker, .made = made, .worth = maker->make->worth};
    if (!writer->worth)
        writer->worth = maker->new.length > 1024 ? maker->new.length : 1024;
    memcpy(header.old_sha256, maker->make->old_sha256, SHA256_HEX);
    memcpy(header.new_sha256, maker->make->new_sha256, SHA256_HEX);
    delta_header_write(&header, head);
    bool done = put(writer, head, sizeof head, err);
    if (done) {
        maker->left_s = quick_s(maker);
        delta_spend(maker, (double)(maker->old.length + maker->new.length), CHUNKS_NS);
        find_matches(maker);
        writer->until = cpu_now() + THOROUGH_S + THOROUGH_S_PER_MIB * (double)maker->new.length / (1 << 20);
        writer->coder = delta_coder_new(maker);
        struct delta_way way = maker->thorough ? best_way(writer, err) : quick_way;
        done = write_way(writer, &way, err);
        delta_coder_free(writer->coder);
    }
    free(writer);
    return done;
}

bool delta_make(const struct delta_make *make, struct delta_made *made, struct error *err)
{
    struct delta_maker maker = {.make = make, .thorough = make->effort == DELTA_THOROUGH};
    struct delta_map old, new;
    double start = cpu_now();

    *made = (struct delta_made){0};
    if (!delta_map_open(&old, make->old_fd, err))
        return false;
    bool done = delta_map_open(&new, make->new_fd, err);
    if (done) {
        maker.old = (struct delta_side){old.bytes, old.length, &old.lost};
        maker.new = (struct delta_side){new.bytes, new.length, &new.lost};
        done = run_steps(&maker, made, err) && delta_map_holds(&old, err) && delta_map_holds(&new, err);
        delta_map_close(&new);
    }
    delta_map_close(&old);
    free(maker.matches.all);
    free(maker.plan.all);
    made->cpu_s = cpu_now() - start;
    return done;
}

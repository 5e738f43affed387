/* Lays the new file out as pieces: the matches, what lies beside a match and is much like it, and the rest.
 */
#include "repo/delta_make_parts.h"

#include <stdlib.h>

#define REPLACED 8 /* bytes between two copies that follow each other in both files */

/* A gap between two matches: [from, to) of the new file. `before` and `after` are what is added to a place to
 * be at the old file's place when the match before or after is carried on. */
struct gap {
    int64_t from, to, before, after;
    bool has_before, has_after;
    bool followed; /* all of it was seen to be much like that */
};

struct step {
    int8_t score, best_score,
        best; /* equal bytes over different ones: of all, the most, and after how many */
};
struct plan {
    struct delta_maker *maker;
    struct step forward[256], backward[256];
};

static void add(struct delta_plan *plan, enum delta_kind kind, int64_t at, int64_t length, int64_t place)
{
    int64_t most = kind == DELTA_NEAR || kind == DELTA_FRESH ? DELTA_SEGMENT : DELTA_BLOCK_OUT;

    for (int64_t part; length > 0; at += part, place += part, length -= part) {
        part = length < most ? length : most;
        if (plan->count == plan->room) {
            plan->room = plan->room ? plan->room * 2 : 1024;
            plan->all = realloc(plan->all, plan->room * sizeof *plan->all);
            if (!plan->all)
                abort();
        }
        plan->all[plan->count++] =
            (struct delta_piece){.at = at, .length = part, .place = place, .kind = kind};
    }
}

static int equal_at(const struct delta_maker *maker, int64_t at, int64_t diagonal)
{
    int64_t place = at + diagonal;

    return place >= 0 && place < maker->old.length && maker->old.bytes[place] == maker->new.bytes[at];
}

/* Eight bytes at once, by which of them are equal. */
static void steps_fill(struct step steps[256], bool forward)
{
    for (unsigned equal = 0; equal < 256; equal++) {
        struct step *step = &steps[equal];

        *step = (struct step){0};
        for (int i = 0; i < 8; i++) {
            step->score = (int8_t)(step->score + (equal >> (forward ? i : 7 - i) & 1 ? 1 : -1));
            if (step->score > step->best_score) {
                step->best_score = step->score;
                step->best = (int8_t)(i + 1);
            }
        }
    }
}

/* How far a match carried on into the gap is mostly right: the length with the most equal bytes over
 * different ones (bsdiff; Percival, "Naive differences of executable code", 2003). */
static int64_t reach_of(const struct plan *plan, const struct gap *gap, bool forward)
{
    const struct delta_maker *maker = plan->maker;
    const struct step *steps = forward ? plan->forward : plan->backward;
    int64_t size = gap->to - gap->from, diagonal = forward ? gap->before : gap->after;
    int64_t score = 0, best_score = 0, best = 0;

    for (int64_t i = 0; i < size && score >= best_score - 4096;) {
        int64_t first = forward ? gap->from + i : gap->to - i - 8;

        if (size - i >= 8 && first + diagonal >= 0 && first + diagonal + 8 <= maker->old.length) {
            const struct step *step =
                &steps[delta_equal_eight(maker->new.bytes + first, maker->old.bytes + first + diagonal)];

            if (score + step->best_score > best_score) {
                best_score = score + step->best_score;
                best = i + step->best;
            }
            score += step->score;
            i += 8;
        } else {
            score += equal_at(maker, forward ? gap->from + i : gap->to - 1 - i, diagonal) ? 1 : -1;
            i++;
            if (score > best_score) {
                best_score = score;
                best = i;
            }
        }
    }
    return best;
}

/* Both reach into the same bytes: where to change from one to the other. */
static int64_t change_over(const struct delta_maker *maker, const struct gap *gap, int64_t from, int64_t to)
{
    int64_t best = from, best_score = 0, score = 0;

    for (int64_t at = from; at < to; at++) {
        score += equal_at(maker, at, gap->before) - equal_at(maker, at, gap->after);
        if (score > best_score) {
            best_score = score;
            best = at + 1;
        }
    }
    return best;
}

static void fill_gap(const struct plan *plan, const struct gap *gap)
{
    struct delta_maker *maker = plan->maker;
    bool near = !maker->way.fresh,
         between = near && gap->has_before && gap->has_after && gap->before == gap->after;
    int64_t near_end = gap->from;

    if (between && gap->followed)
        near_end = gap->to;
    else if (near && gap->has_before)
        near_end += reach_of(plan, gap, true);
    int64_t near_start = gap->to;
    if (near && gap->has_after && !(between && near_end == gap->to))
        near_start -= reach_of(plan, gap, false);

    if (between && gap->to - gap->from <= REPLACED) /* an element or a digit: never worth two streams */
        near_end = gap->to;
    if (near_end > near_start)
        near_end = near_start =
            gap->before == gap->after ? near_end : change_over(maker, gap, near_start, near_end);
    add(&maker->plan, DELTA_NEAR, gap->from, near_end - gap->from, gap->from + gap->before);
    add(&maker->plan, DELTA_FRESH, near_end, near_start - near_end, near_end + gap->before);
    add(&maker->plan, DELTA_NEAR, near_start, gap->to - near_start, near_start + gap->after);
}

/* Is it a copy in this way of laying out? */
static bool is_taken(const struct delta_way *way, const struct gap *gap, const struct delta_match *match)
{
    if (match->self)
        return true;
    return match->length >=
           (match->place - match->at == gap->before && !way->fresh ? way->split : way->shortest);
}

/* Where the elements begin: what differs mostly begins with its lowest byte. */
static int64_t element_phase(const struct delta_maker *maker)
{
    unsigned element = maker->way.element;
    size_t counts[8] = {0}, best = 0;

    for (size_t i = 0; i < maker->matches.count; i++)
        counts[(maker->matches.all[i].at + maker->matches.all[i].length) % element]++;
    for (size_t i = 1; i < element; i++)
        if (counts[i] > counts[best])
            best = i;
    return (int64_t)best;
}

/* Takes the parts of elements off a copy's ends. */
static void shrink(const struct delta_maker *maker, struct delta_match *match, int64_t phase)
{
    int64_t element = maker->way.element, end = match->at + match->length;
    int64_t front = ((phase - match->at) % element + element) % element;
    int64_t back = ((end - phase) % element + element) % element;

    if (match->self || match->length < front + back || end == maker->new.length || !match->at)
        return;
    match->at += front;
    match->place += front;
    match->length -= front + back;
}

void delta_plan_make(struct delta_maker *maker)
{
    struct plan plan = {.maker = maker};
    struct gap gap = {.has_before = true, .followed = true};
    int64_t phase = maker->way.element > 1 ? element_phase(maker) : 0;

    steps_fill(plan.forward, true);
    steps_fill(plan.backward, false);
    maker->plan.count = 0;
    for (size_t i = 0; i < maker->matches.count; i++) {
        struct delta_match match = maker->matches.all[i];

        gap.followed = gap.followed && match.followed;
        if (!is_taken(&maker->way, &gap, &match))
            continue;
        if (maker->way.element > 1)
            shrink(maker, &match, phase);
        gap.to = match.at;
        gap.has_after = !match.self;
        gap.after = match.place - match.at;
        fill_gap(&plan, &gap);
        add(&maker->plan, match.self ? DELTA_SELF : DELTA_COPY, match.at, match.length, match.place);
        gap.from = match.at + match.length;
        gap.followed = true;
        if (!match.self)
            gap.before = match.place - match.at;
    }
    gap.to = maker->new.length;
    gap.has_after = false;
    fill_gap(&plan, &gap);
}

#include "repo/lines.h"

#include <stdint.h>
#include <string.h>

#define EDITS_LIMIT 2000 /* edits looked for: 16 MiB of trace */

/* The part of two texts between their common head and tail. */
struct middle {
    const struct text_lines *a, *b;
    size_t head;
    long a_count, b_count;
};

void lines_split(struct arena *arena, const char *bytes, size_t size, struct text_lines *lines)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < size; i++)
        count += bytes[i] == '\n';
    count += size > 0 && bytes[size - 1] != '\n';
    lines->start = arena_array(arena, count + 1, sizeof *lines->start);
    lines->count = count;
    for (size_t i = 0; i < count; i++) {
        const char *end = memchr(bytes + at, '\n', size - at);
        lines->start[i] = bytes + at;
        at = end ? (size_t)(end - bytes) + 1 : size;
    }
    lines->start[count] = bytes + size;
}

static bool same(const struct text_lines *a, size_t i, const struct text_lines *b, size_t j)
{
    size_t size = (size_t)(a->start[i + 1] - a->start[i]);
    return size == (size_t)(b->start[j + 1] - b->start[j]) && memcmp(a->start[i], b->start[j], size) == 0;
}

static struct middle middle_find(const struct text_lines *a, const struct text_lines *b)
{
    size_t head = 0, tail = 0, least = a->count < b->count ? a->count : b->count;
    while (head < least && same(a, head, b, head))
        head++;
    while (tail < least - head && same(a, a->count - 1 - tail, b, b->count - 1 - tail))
        tail++;
    return (struct middle){.a = a,
                           .b = b,
                           .head = head,
                           .a_count = (long)(a->count - head - tail),
                           .b_count = (long)(b->count - head - tail)};
}

/* One round with d edits: the furthest x on each diagonal k. True when the end was reached. */
static bool round_run(const struct middle *middle, int32_t *furthest, long d)
{
    for (long k = -d; k <= d; k += 2) {
        bool down = k == -d || (k != d && furthest[k - 1] < furthest[k + 1]);
        long x = down ? furthest[k + 1] : furthest[k - 1] + 1, y = x - k;
        while (x < middle->a_count && y < middle->b_count &&
               same(middle->a, middle->head + (size_t)x, middle->b, middle->head + (size_t)y))
            x++, y++;
        furthest[k] = (int32_t)x;
        if (x >= middle->a_count && y >= middle->b_count)
            return true;
    }
    return false;
}

/* Finds the number of edits, keeping what each round began with; -1 when there are too many. */
static long rounds_run(struct arena *arena, const struct middle *middle, int32_t **trace)
{
    long most =
        middle->a_count + middle->b_count < EDITS_LIMIT ? middle->a_count + middle->b_count : EDITS_LIMIT;
    int32_t *all = arena_array(arena, (size_t)(2 * most + 3), sizeof *all), *furthest = all + most + 1;
    for (long d = 0; d <= most; d++) {
        trace[d] = arena_array(arena, (size_t)(2 * d + 3), sizeof **trace);
        memcpy(trace[d], furthest - d - 1, (size_t)(2 * d + 3) * sizeof **trace);
        if (round_run(middle, furthest, d))
            return d;
    }
    return -1;
}

/* Walks back from the end, noting each edit as one line removed or added, last first. */
static size_t edits_walk(const struct middle *middle, int32_t **trace, long edits, struct line_change *found)
{
    long x = middle->a_count, y = middle->b_count;
    size_t count = 0;
    for (long d = edits; d > 0; d--) {
        const int32_t *furthest = trace[d] + d + 1;
        long k = x - y;
        bool down = k == -d || (k != d && furthest[k - 1] < furthest[k + 1]);
        long before = down ? k + 1 : k - 1;
        x = furthest[before];
        y = x - before;
        found[count++] = (struct line_change){.old_at = middle->head + (size_t)x,
                                              .old_count = !down,
                                              .new_at = middle->head + (size_t)y,
                                              .new_count = down};
    }
    return count;
}

/* Turns single edits, last first, into changes in order, joining those that touch. */
static size_t edits_join(const struct line_change *found, size_t edits, struct line_change *changes)
{
    size_t count = 0;
    for (size_t i = edits; i-- > 0;) {
        struct line_change *last = count > 0 ? &changes[count - 1] : NULL;
        if (last && last->old_at + last->old_count == found[i].old_at &&
            last->new_at + last->new_count == found[i].new_at) {
            last->old_count += found[i].old_count;
            last->new_count += found[i].new_count;
        } else {
            changes[count++] = found[i];
        }
    }
    return count;
}

void lines_difference(struct arena *arena, const struct text_lines *a, const struct text_lines *b,
                      struct line_change **changes, size_t *count)
{
    ARENA(scratch);
    struct middle middle = middle_find(a, b);
    *count = 0;
    if (middle.a_count == 0 && middle.b_count == 0)
        return;
    int32_t **trace = arena_array(&scratch, EDITS_LIMIT + 1, sizeof *trace);
    long edits = rounds_run(&scratch, &middle, trace);
    *changes = arena_array(arena, edits > 0 ? (size_t)edits : 1, sizeof **changes);
    if (edits < 0) {
        **changes =
            (struct line_change){middle.head, (size_t)middle.a_count, middle.head, (size_t)middle.b_count};
        *count = 1;
        return;
    }
    struct line_change *found = arena_array(&scratch, (size_t)edits, sizeof *found);
    *count = edits_join(found, edits_walk(&middle, trace, edits, found), *changes);
}

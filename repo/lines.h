/* Difference of two texts line by line: E. W. Myers, "An O(ND) Difference Algorithm and Its Variations"
 * (1986). */
#ifndef REPO_LINES_H
#define REPO_LINES_H

#include "base/arena.h"

#include <stdbool.h>

struct line_change {
    size_t old_at, old_count; /* lines from 0 */
    size_t new_at, new_count;
};
struct text_lines {
    const char **start; /* count + 1 of them: the last is the end */
    size_t count;
};
/* Splits at line feeds; a last line without one is a line too. */
void lines_split(struct arena *arena, const char *bytes, size_t size, struct text_lines *lines);
/* The changes in order. Texts that differ in very many places get one change from the first to the last
 * difference instead of the smallest script, so that the work stays bounded. */
void lines_difference(struct arena *arena, const struct text_lines *a, const struct text_lines *b,
                      struct line_change **changes, size_t *count);

#endif

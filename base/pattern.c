#include "base/pattern.h"

#include <stdint.h>
#include <string.h>

#define DEPTH_MOST 64 /* groups within groups */

/* One group that is open: what stands in it, and the last thing in it, which a repetition would repeat. */
struct level {
    int64_t before, last;       /* nodes */
    int before_nest, last_nest; /* repetitions within repetitions */
};

/* Behind the bracket expression that begins at `at` (POSIX.1-2017, 9.3.5); at its end when it is not closed.
 */
static const char *bracket_skip(const char *at)
{
    at += at[1] == '^' ? 2 : 1;
    at += *at == ']';
    while (*at && *at != ']') {
        bool opens = *at == '[' && at[1] && strchr(".=:", at[1]);
        char kind = at[1];
        at++;
        if (!opens)
            continue;
        for (at++; *at && (*at != kind || at[1] != ']'); at++)
            ;
        at += *at ? 2 : 0;
    }
    return at + (*at == ']');
}

/* How often at most "{n}", "{n,}", "{,m}" or "{n,m}" writes out what stands before it; `*at` stands behind
 * the brace and goes behind the closing one. */
static int64_t repeat_read(const char **at)
{
    int64_t most = 0, number = 0;

    for (; (**at >= '0' && **at <= '9') || **at == ','; ++*at) {
        number = **at == ',' ? 0 : number * 10 + **at - '0';
        number = number < PATTERN_COST_MOST ? number : PATTERN_COST_MOST;
        most = number > most ? number : most;
    }
    *at += **at == '}';
    return most + 1;
}

static void atom_add(struct level *level, int64_t cost, int nest)
{
    level->before += level->last;
    level->before_nest = level->last_nest > level->before_nest ? level->last_nest : level->before_nest;
    level->last = cost;
    level->last_nest = nest;
}

static void group_close(struct level *levels, size_t *depth)
{
    atom_add(&levels[*depth], 0, 0);
    const struct level *group = &levels[(*depth)--];
    atom_add(&levels[*depth], group->before + 1, group->before_nest);
}

static void repeat_add(struct level *level, int64_t times)
{
    level->last = level->last * times + 1;
    level->last_nest++;
}

/* False when it is too deep or a back reference. `*at` goes behind what was read. */
static bool one_read(const char **at, struct level *levels, size_t *depth)
{
    struct level *level = &levels[*depth];
    char c = *(*at)++;

    if (c == '\\') {
        if (**at >= '1' && **at <= '9')
            return false;
        *at += **at != '\0';
        atom_add(level, 2, 0);
    } else if (c == '[') {
        *at = bracket_skip(*at - 1);
        atom_add(level, 1, 0);
    } else if (c == '(') {
        if (++*depth == DEPTH_MOST)
            return false;
        levels[*depth] = (struct level){0};
    } else if (c == ')' && *depth > 0) {
        group_close(levels, depth);
    } else if (c == '{') {
        repeat_add(level, repeat_read(at));
    } else if (c == '*' || c == '?' || c == '+') {
        repeat_add(level, c == '+' ? 2 : 1);
    } else {
        atom_add(level, 1, 0);
    }
    return true;
}

bool pattern_check(const char *pattern, struct error *err)
{
    struct level levels[DEPTH_MOST] = {{0}};
    size_t depth = 0;

    for (const char *at = pattern; *at;) {
        if (!one_read(&at, levels, &depth))
            return error_set(err, ERROR_INPUT,
                             "the pattern \"%.200s\" has back references, or groups too deep in groups",
                             pattern);
        if (levels[depth].last_nest > PATTERN_NEST_MOST ||
            levels[depth].before + levels[depth].last > PATTERN_COST_MOST)
            return error_set(err, ERROR_INPUT, "the pattern \"%.200s\" repeats repetitions, or too often",
                             pattern);
    }
    return true;
}

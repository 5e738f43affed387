#include "agent/redact.h"

#include "base/pattern.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LONG_LINE "[redacted: a line of more than 64 KiB]"

/* --- patterns
 * ---------------------------------------------------------------------------------------------------- */

static bool compile(const char *pattern, regex_t *regex, struct error *err)
{
    char why[100];
    if (!pattern_check(pattern, err))
        return false;
    int bad = regcomp(regex, pattern, REG_EXTENDED);
    if (bad == 0)
        return true;
    regerror(bad, NULL, why, sizeof why);
    return error_set(err, ERROR_INPUT, "the pattern \"%.200s\": %s", pattern, why);
}

bool redact_check(const char *const *patterns, struct error *err)
{
    regex_t regex;
    for (size_t i = 0; patterns != NULL && patterns[i] != NULL; i++) {
        if (i == REDACT_PATTERNS)
            return error_set(err, ERROR_INPUT, "more than %d patterns", REDACT_PATTERNS);
        if (!compile(patterns[i], &regex, err))
            return false;
        regfree(&regex);
    }
    return true;
}

bool redact_init(struct redact *redact, const char *const *patterns, struct error *err)
{
    *redact = (struct redact){0};
    for (; patterns != NULL && *patterns != NULL; patterns++) {
        if (redact->count == REDACT_PATTERNS)
            error_set(err, ERROR_INPUT, "more than %d patterns", REDACT_PATTERNS);
        else if (compile(*patterns, &redact->patterns[redact->count], err)) {
            redact->count++;
            continue;
        }
        redact_end(redact);
        return false;
    }
    return true;
}

void redact_end(struct redact *redact)
{
    for (size_t i = 0; i < redact->count; i++)
        regfree(&redact->patterns[i]);
    redact->count = 0;
}

/* --- lines
 * ------------------------------------------------------------------------------------------------------- */

/* Marks in `blot` (one byte for each of the line's) what a pattern matches. False when the matcher gave up:
 * what it did not look at is not known to be clean. */
static bool blot(const regex_t *pattern, const char *line, size_t size, char *blots)
{
    regmatch_t match = {.rm_so = 0, .rm_eo = (regoff_t)size};
    int flags = REG_STARTEND, answer = 0;
    while (match.rm_so <= (regoff_t)size && (answer = regexec(pattern, line, 1, &match, flags)) == 0) {
        memset(blots + match.rm_so, 1, (size_t)(match.rm_eo - match.rm_so));
        /* Nothing matched: the next may begin behind it. */
        match.rm_so = match.rm_eo > match.rm_so ? match.rm_eo : match.rm_eo + 1;
        match.rm_eo = (regoff_t)size;
        flags |= REG_NOTBOL;
    }
    return answer == 0 || answer == REG_NOMATCH;
}

struct state {
    struct redact *redact;
    const struct redact_copy *copy;
    int64_t left, count;
    bool cut;
    char blots[REDACT_LINE];
};

static bool put(struct state *state, const char *bytes, size_t size, struct error *err)
{
    if ((int64_t)size > state->left) {
        state->cut = true;
        size = (size_t)state->left;
    }
    state->left -= (int64_t)size;
    return size == 0 || state->copy->write(state->copy->context, bytes, size, err);
}

/* One line without its end. Neighbouring matches, of whatever pattern, are one place. */
static bool put_line(struct state *state, const char *line, size_t size, struct error *err)
{
    memset(state->blots, 0, size);
    for (size_t i = 0; i < state->redact->count; i++)
        if (!blot(&state->redact->patterns[i], line, size, state->blots))
            return error_set(err, ERROR_LIMIT, "its patterns want too much memory");
    for (size_t from = 0, to; from < size; from = to) {
        for (to = from + 1; to < size && state->blots[to] == state->blots[from]; to++)
            ;
        state->count += state->blots[from];
        if (state->blots[from] ? !put(state, REDACT_WORD, strlen(REDACT_WORD), err)
                               : !put(state, line + from, to - from, err))
            return false;
    }
    return true;
}

static int64_t cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool pass_line(struct state *state, char *line, size_t size, bool too_long, int64_t number,
                      struct error *err)
{
    int64_t began = cpu_ms();
    bool good;
    line[size] = '\0';
    if (number < state->copy->plain_lines && !too_long)
        good = put(state, line, size, err);
    else if (too_long)
        good = put(state, LONG_LINE, strlen(LONG_LINE), err);
    else
        good = put_line(state, line, size, err);
    state->count += too_long;
    state->redact->spent_ms += cpu_ms() - began;
    if (good && state->redact->spent_ms > REDACT_TIME_MS)
        return error_set(err, ERROR_LIMIT, "its patterns took too long");
    return good;
}

bool redact_copy(struct redact *redact, const struct redact_copy *copy, int64_t *count, bool *cut,
                 struct error *err)
{
    static struct state state; /* one a process; too large for some stacks */
    static char line[REDACT_LINE +
                     1]; /* what came of the present line; a matcher that is watched wants a NUL behind it */
    state = (struct state){.redact = redact, .copy = copy, .left = copy->most};
    FILE *in = fdopen(dup(copy->in), "r");
    size_t size = 0;
    int64_t number = 0;
    bool good = in != NULL || error_errno(err, "read"), too_long = false;
    for (int c; good && !state.cut && (c = getc_unlocked(in)) != EOF;) {
        if (c != '\n') {
            too_long = too_long || size == REDACT_LINE;
            if (!too_long)
                line[size++] = (char)c;
            continue;
        }
        good = pass_line(&state, line, size, too_long, number++, err) && put(&state, "\n", 1, err);
        size = 0;
        too_long = false;
    }
    if (good && !state.cut && (size > 0 || too_long))
        good = pass_line(&state, line, size, too_long, number, err);
    if (good && ferror(in))
        good = error_errno(err, "read");
    if (in != NULL)
        fclose(in);
    *count = state.count;
    *cut = state.cut;
    return good;
}

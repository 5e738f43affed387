/* Blotting out what a campaign's patterns match, line by line, while a text is copied.
 *
 * Patterns come from the console and texts from an image: both are hostile. A pattern that could make the
 * matcher run or grow without bounds (back references, large repetitions) is refused; a line that is too long
 * to be looked at is blotted out whole; and all lines together have a time. What was not looked at never
 * leaves the device. */
#ifndef AGENT_REDACT_H
#define AGENT_REDACT_H

#include "base/error.h"

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDACT_PATTERNS 16
#define REDACT_LINE (64 << 10)     /* bytes of the longest line that is looked at */
#define REDACT_WORD "[redacted]"   /* stands in the place of a match */
#define REDACT_TIME_MS (60 * 1000) /* of all files of a run together */

struct redact {
    regex_t patterns[REDACT_PATTERNS];
    size_t count;
    int64_t spent_ms; /* processor time so far */
};

/* POSIX extended regular expressions (POSIX.1-2017, 9.4), bytewise; `patterns` NULL-terminated, or NULL:
 * none. INPUT with the pattern and what is wrong with it. */
bool redact_check(const char *const *patterns, struct error *err); /* keeps none, so that it stays small */
bool redact_init(struct redact *redact, const char *const *patterns, struct error *err);
void redact_end(struct redact *redact);

/* Copies `in` from where it stands to `out`, at most `most` bytes of it as they arrive there, through `write`
 * (false stops, with its error). The first `plain_lines` lines pass as they are. `*count` gets the number of
 * places. `*cut` is set when there was more than `most`. LIMIT when the time is over: then nothing of the
 * file may be kept. */
typedef bool redact_write(void *context, const char *bytes, size_t size, struct error *err);
struct redact_copy {
    int in;
    int plain_lines;
    int64_t most;
    redact_write *write;
    void *context;
};
bool redact_copy(struct redact *redact, const struct redact_copy *copy, int64_t *count, bool *cut,
                 struct error *err);

#endif

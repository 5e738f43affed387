/* What the programs of the ready images stand on: where the output is, when the time is over, a log that
 * still has room when the output is full, and text that a device's own files cannot break.
 *
 * An image runs once and ends: there is one program a process. */
#ifndef DIAGNOSTICS_IMAGES_PROGRAM_H
#define DIAGNOSTICS_IMAGES_PROGRAM_H

#include "base/arena.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct program {
    const char *output;        /* the folder LOCUM_OUTPUT */
    const char *ends_at_file;  /* LOCUM_ENDS_AT; NULL: there is none */
    int64_t ends_at;           /* Unix seconds, as last read from it or counted from LOCUM_DURATION_S */
    int64_t looked_ms;         /* when it was read, boot time */
    const struct json *params; /* LOCUM_PARAMS, an object; NULL: none */
    struct arena arena;        /* of the parameters */
    FILE *log;                 /* run.log */
    bool cut;                  /* a file was cut, since the output was full */
};

/* Reads the environment, takes SIGTERM and SIGINT as the wish to end, opens run.log. False: the reason is on
 * standard error, and the program ends with 2. */
bool program_begin(struct program *program);
/* Closes the log; returns the exit status: 0, or 1 when `good` is false or a file was cut. */
int program_end(struct program *program, bool good);

/* A line of run.log, with the time before it. Control characters become '?'. */
void program_say(struct program *program, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The time is over (also when the run got more of it meanwhile, that counts), or SIGTERM came. */
bool program_is_over(struct program *program);
bool program_was_asked_to_end(void);
/* Sleeps until the moment of CLOCK_MONOTONIC; a signal ends it early. */
void program_wait_until(int64_t at_ns);
int64_t program_now_ns(void); /* CLOCK_MONOTONIC */
double program_time(void);    /* Unix seconds with their fraction, for the first column of a time series */

/* A parameter; image and order were checked against its declaration, so what is missing has no default. */
int64_t program_integer(const struct program *program, const char *name, int64_t otherwise);
bool program_flag(const struct program *program, const char *name, bool otherwise);
const char *program_words(const struct program *program, const char *name);

/* Bytes that the output still takes. */
int64_t program_room(const struct program *program);
/* A new file of the output; NULL: said in the log. */
FILE *program_open(struct program *program, const char *name);
/* Sets bytes aside for a file that is written late. */
void program_keep_room(FILE *file, int64_t size);
/* Closes it (NULL is fine) and says so when it did not take all; true when it is whole. */
bool program_close(struct program *program, FILE *file, const char *name);

/* A field of a CSV file, quoted where RFC 4180 asks for it. Control characters and what is no UTF-8 become
 * '?', and more than 1,000 bytes are cut: a process may choose its name. */
void csv_put(FILE *csv, const char *text);
/* The same treatment in place, for what is not CSV. Returns `text`. */
char *text_tame(char *text);

#endif

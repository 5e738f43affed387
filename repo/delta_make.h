/* Making a delta (repo/delta.h) of two files: the server's side. Runs on the caller's thread, which may be a
 * background one, and stops soon after `cancel` is set.
 *
 * Memory: both files are mapped for reading; what is allocated beside that stays below DELTA_MAKE_MEMORY,
 * whatever their size. */
#ifndef REPO_DELTA_MAKE_H
#define REPO_DELTA_MAKE_H

#include "repo/delta.h"
#include "repo/delta_chunks.h"

#include <stdatomic.h>

#define DELTA_MAKE_MEMORY (320 << 20)

enum delta_effort {
    DELTA_QUICK,   /* about 2 CPU seconds per 256 MiB at most, 10 ms and a tenth of that for the old file when
                      the new one is small: what would make it smaller still is left out, by a count of what it
                      costs and not by a clock */
    DELTA_THOROUGH /* smaller: several ways are tried with a sample. Mostly 1 CPU second for each MiB that is
                      no copy; after 5 and 3 for each MiB of the new file the rest is coded as in a quick one
                    */
};

struct delta_make {
    int old_fd, new_fd;                  /* regular files, open for reading */
    int out_fd;                          /* empty, at its start, open for writing; nothing is synced */
    const char *old_sha256, *new_sha256; /* 64 hex digits each, known to the caller */
    enum delta_effort effort;
    const struct delta_chunks *old_chunks, *new_chunks; /* NULL: made here */
    const atomic_bool *cancel;                          /* NULL: never */
    int64_t worth; /* give up as soon as it is sure that the delta gets longer than this; 0: the new length */
};

struct delta_made {
    int64_t length;          /* of the delta */
    int64_t copied, literal; /* bytes of the new file; together its length */
    double cpu_s;            /* of this thread */
    const char *why_not;     /* NULL: the delta is whole. Otherwise one static phrase, "not worth it" or
                                "cancelled": what is in out_fd is of no use */
};

/* True also when it was given up: see why_not. LIMIT, SYSTEM: the disk; SYSTEM also when one of the two was
 * cut off meanwhile or cannot be read. */
bool delta_make(const struct delta_make *make, struct delta_made *made, struct error *err);

#endif

/* What only rises: the clock, the generation, each asset's security counter; and the sets that failed here.
 */
#ifndef AGENT_FLOORS_H
#define AGENT_FLOORS_H

#include "base/digest.h"
#include "base/error.h"
#include "repo/name.h"

#include <stddef.h>
#include <stdint.h>

#define FLOORS_BAD_MOST 16 /* sets that failed; the oldest is forgotten */
#define FLOORS_REASON 300

struct floor_counter {
    char asset[NAME_SIZE];
    int64_t counter;
};
struct floor_bad {
    char digest[SHA256_HEX];
    char reason[FLOORS_REASON];
};
struct floors {
    int64_t clock;      /* Unix seconds: it is not earlier than this */
    int64_t generation; /* of the last commit */
    struct floor_counter *counters;
    size_t counter_count;
    struct floor_bad bad[FLOORS_BAD_MOST]; /* newest last */
    size_t bad_count;
    int64_t factory;          /* generation of the first set that was committed: it stays; 0: none yet */
    char safe[FLOORS_REASON]; /* why the app does not run (safe mode); empty: it may run */
    char well[SHA256_HEX];    /* digest of the set that the app lived long with last; empty: none yet */
    char judge[SHA256_HEX];   /* fingerprint of the app that they failed with; empty: none yet */
};

/* All zero when there is no file yet. A damaged file is an error: floors must not fall. */
bool floors_load(struct floors *floors, int state_fd, struct error *err);
bool floors_save(const struct floors *floors, int state_fd, struct error *err);
void floors_end(struct floors *floors);

int64_t floors_counter(const struct floors *floors, const char *asset); /* 0 when never seen */
void floors_raise(struct floors *floors, const char *asset, int64_t counter);
/* Why the set with this digest failed here; NULL when it did not. */
const char *floors_bad(const struct floors *floors, const char *digest);
/* The app and how it is asked are these from now on; with others the sets that failed get another try. */
void floors_judged_by(struct floors *floors, const char *judge);
void floors_mark_bad(struct floors *floors, const char *digest, const char *reason);

#endif

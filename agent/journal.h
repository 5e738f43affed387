/* The swap under way, so that a start after any end of the agent knows what to do. One file; none: no swap.
 */
#ifndef AGENT_JOURNAL_H
#define AGENT_JOURNAL_H

#include "agent/outbox.h"
#include "base/arena.h"
#include "base/digest.h"

#define JOURNAL_REASON 300

struct journal {
    int64_t from, to;            /* generations */
    bool back;                   /* `to` is the roll-back of `from` */
    bool restart;                /* stop, flip, start; otherwise flip and tell */
    int attempts;                /* at telling the app */
    char boot[64];               /* the boot of the last attempt */
    char report[REPORT_ID_SIZE]; /* id of the report that will tell the end */
    int64_t bytes;               /* that were fetched for it */
    int64_t whole;               /* that the files of its new versions have */
    int64_t began_ms;            /* wall clock, Unix milliseconds */
    char failed[SHA256_HEX];     /* when `back`: digest of the set that failed */
    char reason[JOURNAL_REASON]; /* when `back`: why */
    const char **changed;        /* assets, NULL-terminated */
};

/* False with MISSING when no swap is under way. */
bool journal_load(struct arena *arena, int state_fd, struct journal *journal, struct error *err);
bool journal_save(int state_fd, const struct journal *journal, struct error *err);
bool journal_remove(int state_fd, struct error *err);

#endif

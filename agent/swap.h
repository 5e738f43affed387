/* From one set to the next: journal, flip, tell the app, wait for its health, commit; or roll back as a new
 * generation.
 *
 *   prepare ──► journal ──► (app_stop) ──► flip ──► adopt | app_start + health ──┬─ good ──► floors (commit)
 * ──► report ──► end └─ bad ──► the set before, as a new generation, the same way; its commit marks the set
 * bad
 *
 * The commit point is floors.json with the new generation. Whatever ends the agent in between, swap_recover
 * goes on: not flipped: forget it; flipped and the app still the same: go on waiting; else one more try, then
 * roll back. Control thread. */
#ifndef AGENT_SWAP_H
#define AGENT_SWAP_H

#include "agent/channel.h"
#include "agent/floors.h"
#include "agent/journal.h"
#include "agent/set.h"

struct swap {
    int state_fd;
    const char *state; /* absolute */
    const struct agent_settings *settings;
    struct floors *floors;
    struct channel *channel;
    struct outbox *outbox;
};

enum swap_end {
    SWAP_COMMITTED,
    SWAP_ROLLED_BACK, /* the set is marked bad; `reason` says why */
    SWAP_NOT_BEGUN,   /* nothing changed; `err` says why */
    SWAP_UNFINISHED   /* the journal stays: recover later, `err` says why */
};

/* Swaps from the committed set to `to`, whose versions are all installed and whose generation is the next.
 * `bytes` were fetched for it, where the files of its new versions have `whole`. `reason` has JOURNAL_REASON
 * bytes. */
enum swap_end swap_run(struct swap *swap, const struct set *from, struct set *to, int64_t bytes,
                       int64_t whole, char *reason, struct error *err);
/* Finishes what a journal says; SWAP_COMMITTED as well when there is none. */
enum swap_end swap_recover(struct swap *swap, char *reason, struct error *err);

#endif

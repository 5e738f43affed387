/* The control thread's own state; see worker.h for the three threads. */
#ifndef AGENT_CONTROL_H
#define AGENT_CONTROL_H

#include "agent/gc.h"
#include "agent/swap.h"
#include "agent/worker.h"

/* Why one wished version is not there. */
struct trouble {
    char asset[NAME_SIZE], manifest[SHA256_HEX], version[VERSION_SIZE];
    enum update_result result;
    bool lasting; /* until the wish changes: the asset stays as it is, the others go on */
    char reason[300];
};

struct control {
    struct worker *worker;
    struct channel channel;
    struct floors floors;
    struct swap swap;
    struct assignments assignments;

    struct wish_box *box;   /* the present wish; NULL: none yet */
    struct arena set_arena; /* of `set` */
    struct set set;         /* committed; `current` leads to it */
    bool unfinished;        /* a journal is open: swap_recover again at recover_at_ms */
    int64_t recover_at_ms;  /* boot clock */
    struct backoff recover_backoff;

    struct trouble *troubles;
    size_t trouble_count, trouble_room;
    int64_t fetch_at_ms; /* boot clock: not before then the next attempt at a version */
    struct backoff fetch_backoff;
    int64_t bytes; /* fetched since the last swap */

    enum job_kind job; /* what the transfer thread has of ours; JOB_NONE: it is free */
    bool job_diagnostic, job_cancelled;
    char job_asset[NAME_SIZE], job_manifest[SHA256_HEX], job_run[33];
    bool updating; /* a swap is under way, for the view */
    bool gc_due;
    char waiting[300]; /* why nothing moves; empty: nothing waits */
};

/* control_set.c: makes the device run what the wish says.
 *
 * One step: what can be done without the network is done; `wanted` is a version to be fetched, NULL: none. */
const struct wish_version *control_set_step(struct control *control);
/* Finishes a swap that a journal tells of; then the committed set is loaded. */
void control_set_recover(struct control *control);
bool control_set_load(struct control *control, struct error *err);
struct trouble *trouble_find(const struct control *control, const char *asset);
void trouble_set(struct control *control, const struct set_entry *entry, enum update_result result,
                 bool lasting, const char *reason);
void trouble_clear(struct control *control, const char *asset);
/* Forgets those that the new wish has nothing to do with. */
void trouble_review(struct control *control, const struct wish *wish);

/* control_view.c: publishes what the check-in and `status` say. */
void control_view(struct control *control);

#endif

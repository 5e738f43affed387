/* The control thread's own state; see worker.h for the three threads. */
#ifndef AGENT_CONTROL_H
#define AGENT_CONTROL_H

#include "agent/apply.h"
#include "agent/gc.h"
#include "agent/set_check.h"
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
    int64_t swap_at_ms; /* boot clock: not before then the next attempt at a set that could not be prepared */
    int64_t bytes;      /* fetched since the last swap */
    int64_t whole;      /* of the files of the versions that were made whole since then */

    enum job_kind job; /* what the transfer thread has of ours; JOB_NONE: it is free */
    bool job_diagnostic, job_cancelled;
    char job_asset[NAME_SIZE], job_manifest[SHA256_HEX], job_run[33];
    bool updating; /* a swap is under way, for the view */
    bool gc_due;
    char waiting[300];          /* why nothing moves; empty: nothing waits */
    char held[300];             /* what the order itself puts off; empty: nothing */
    char misfit_of[SHA256_HEX]; /* the last set that was looked at for what its versions require */
    char misfit[CHECK_WHY];     /* why it does not fit; empty: it does */

    bool looked;             /* the committed set was looked at once since this process began */
    bool sound;              /* the committed set was looked at since it came, and may run */
    char broken[CHECK_WHY];  /* why the set that `current` leads to could not even be read; empty: it could */
    int64_t fall_back_at_ms; /* boot clock: not before then the next attempt at falling back */
    struct backoff fall_back_backoff;
    int app_ends;     /* in a row, each soon after its start, with this set */
    bool app_is_well; /* it lived long with this set */
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

/* True when the order puts this version off; `control->held` names the first. */
bool control_is_held(struct control *control, const struct wish_version *version);
/* Why the set that is wished for is not taken, and LwM2M's result; NULL: it is, or will be. */
const char *control_set_refusal(struct control *control, int *result);

/* control_safe.c: a set that cannot run gives way to one that can; none: safe mode.
 *
 * Looks at the committed set after a start and after each return to it, and at an app that ends again and
 * again. */
void control_safe_step(struct control *control);
/* An app that ended is counted; called before the channel takes the new state over. */
void control_app_ended(struct control *control, const struct channel_app *now);
/* The app may be started. */
bool control_may_run_app(const struct control *control);
/* Neither the floor nor the order that is followed is of a time that our clock has not reached. */
bool control_clock_is_good(const struct control *control);

/* control_view.c: publishes what the check-in and `status` say. */
void control_view(struct control *control);

#endif

/* What the run's own files share. */
#ifndef DIAGNOSTICS_RUN_PARTS_H
#define DIAGNOSTICS_RUN_PARTS_H

#include "diagnostics/assignment.h"
#include "diagnostics/run.h"

/* What a run is at. */
struct standing {
    enum run_state state;
    bool waits_for_people; /* its campaign is a draft, paused, or over */
    int64_t starts_at, start_before, day;
    bool ended, filling;                   /* an operator ended it; not all its devices are in it yet */
    int64_t parallel, duration_s, grace_s; /* parallel 0: all */
    int64_t begun, forgiven, looked;
    const char *max_failures; /* NULL: no limit */
    int64_t counts[ASSIGNMENT_STATES];
    /* assignments: queued; given but not on the image; on it; reverting or uploading; at an end */
    int64_t queued, ahead, on, after, over;
};
bool standing_read(struct act *act, int64_t campaign, int64_t number, struct standing *at, struct error *err);
bool standing_row(struct act *act, int64_t campaign, int64_t number, struct standing *at, struct error *err);

/* A list of ids of assignments, in an arena. */
struct ids {
    const char **texts;
    size_t count, room;
};
void ids_add(struct arena *arena, struct ids *ids, const char *text);

/* When devices may begin: each zone is thought over once. Ended by spans_end. */
struct zone_span;
struct spans {
    struct diagnostics *diagnostics;
    struct schedule schedule;
    int64_t day, now;
    struct zone_span *first; /* the one that was used last */
    struct arena arena;
};
bool spans_begin(struct spans *spans, struct act *act, int64_t campaign, int64_t day, int64_t now,
                 struct error *err);
struct span spans_of(struct spans *spans, int64_t device_id);
void spans_end(struct spans *spans);

#endif

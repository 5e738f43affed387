/* Removes what no kept set needs: old sets, versions beyond versions.keep, manifests and objects that nothing
 * refers to. */
#ifndef AGENT_GC_H
#define AGENT_GC_H

#include "agent/floors.h"
#include "agent/wish.h"

struct gc {
    int state_fd;
    int64_t current;       /* its set stays, and the one before it */
    int64_t versions_keep; /* newest used versions of each asset that stay, and so many different sets */
    const struct floors *floors; /* sets that failed or are below a counter go; the factory's stays */
    const struct wish *wish;     /* its versions and what was fetched for them stay; NULL: none */
};
/* Only while nothing is being fetched. Failures are logged: the next time tries again. */
void gc_run(const struct gc *gc);
/* The generations that have a file, newest first; in the arena. Not 0, the empty one of before the first. */
size_t sets_kept(struct arena *arena, int state_fd, int64_t **generations);
/* Temporary files that a killed agent left half written. At a start, before anything is written. */
void gc_leftovers(int state_fd);

#endif

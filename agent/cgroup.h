/* Limits of memory and processes for a diagnostic image: cgroup v1 (memory, pids), cgroup v2, or neither
 * (rlimits alone). */
#ifndef AGENT_CGROUP_H
#define AGENT_CGROUP_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum cgroup_kind { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };

#define CGROUP_PATH 512

/* Where groups are made on this machine. */
struct cgroup_host {
    enum cgroup_kind kind;
    char memory[CGROUP_PATH]; /* folder in which a group of the memory controller is made */
    char pids[CGROUP_PATH];   /* the same for pids; v2: the same folder */
};

/* Finds out what the machine gives, by making and removing an empty group. With v2 the caller is moved into a
 * group of its own below its present one when that is needed to hand controllers on (the unit needs
 * Delegate=yes). Never fails: CGROUP_NONE. */
void cgroup_find(struct cgroup_host *host);
/* As the device's facts say it: "cgroup v1", "cgroup v2", "rlimits". */
const char *cgroup_limits(const struct cgroup_host *host);

/* Makes the group `name` with at most `memory` bytes (tmpfs pages included, swap not on top) and `pids`
 * processes. With CGROUP_NONE these do nothing and succeed. */
bool cgroup_make(const struct cgroup_host *host, const char *name, int64_t memory, int64_t pids,
                 struct error *err);
bool cgroup_enter(const struct cgroup_host *host, const char *name, pid_t pid, struct error *err);
/* SIGKILL to every process inside; returns how many there were. */
int cgroup_kill(const struct cgroup_host *host, const char *name);
/* True when the kernel killed a process of the group for want of memory. */
bool cgroup_ran_out(const struct cgroup_host *host, const char *name);
/* Removes the group; missing is fine. Fails with CONFLICT while a process is inside. */
bool cgroup_remove(const struct cgroup_host *host, const char *name, struct error *err);

#endif

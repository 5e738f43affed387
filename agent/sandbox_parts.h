/* What the files of the sandbox share. All of it runs in the sandbox's first process, before the image does.
 */
#ifndef AGENT_SANDBOX_PARTS_H
#define AGENT_SANDBOX_PARTS_H

#include "agent/sandbox.h"

/* Descriptors that the first process keeps. */
struct sandbox_ends {
    int lifeline; /* read end: 'g' starts, end of file ends */
    int report;   /* write end */
    int console;  /* write end */
    int output;   /* the detached tmpfs, to be attached */
};

/* sandbox_root.c: builds the root below plan->root and makes it this process's; needs all rights. */
bool sandbox_root_build(const struct sandbox_plan *plan, int output, struct error *err);
/* A `file:` scope's real path into `real`; refuses what must never be shown (the state folder, /proc, /dev,
 * the root). */
bool sandbox_scope_path(const struct sandbox_plan *plan, const char *scope, char real[4096],
                        struct error *err);
bool sandbox_collects(const struct sandbox_plan *plan, const char *scope);

/* sandbox_rights.c: limits, uid, capabilities, no_new_privs, the filter of system calls; cannot be undone. */
bool sandbox_rights_drop(const struct sandbox_plan *plan, struct error *err);
/* The capability's number, or -1 when it is not one that an image may have. */
int sandbox_capability(const char *name);

/* sandbox_init.c: the first process's life; never returns. */
__attribute__((noreturn)) void sandbox_init(const struct sandbox_plan *plan, const struct sandbox_ends *ends);

#endif

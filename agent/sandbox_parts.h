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
    int notes;    /* another */
};

/* sandbox_root.c: builds the root below plan->root and makes it this process's; needs all rights. */
bool sandbox_root_build(const struct sandbox_plan *plan, const struct sandbox_ends *ends, struct error *err);
/* A `file:` scope's real path into `real`; refuses what must never be shown (the state folder, /proc, /dev,
 * the root). */
bool sandbox_scope_path(const struct sandbox_plan *plan, const char *scope, char real[4096],
                        struct error *err);
bool sandbox_collects(const struct sandbox_plan *plan, const char *scope);
/* Mounts a detached tmpfs on the folder `target`. */
bool sandbox_attach(int fs, const char *target, struct error *err);
bool sandbox_path_is_beneath(const char *path, const char *folder); /* or is it */

/* sandbox_override.c: can the app run so here? Touches nothing. */
bool sandbox_override_check(const struct sandbox_plan *plan, struct error *err);
/* Lays the image's assets and the overlays over what this process's mount namespace shows, and makes the rest
 * read-only. */
bool sandbox_override_build(const struct sandbox_plan *plan, const struct sandbox_ends *ends,
                            struct error *err);
/* In the child: becomes the app. Comes back only when something failed, with errno. */
void sandbox_override_run(const struct sandbox_plan *plan, const struct sandbox_ends *ends);
#define SANDBOX_OVERRIDE_OUTPUT "keeper/output" /* below the state folder, in the app's namespace */
#define SANDBOX_OVERRIDE_NOTES "keeper/notes"

/* sandbox_rights.c: limits, uid, capabilities, no_new_privs, the filter of system calls; cannot be undone. */
bool sandbox_rights_drop(const struct sandbox_plan *plan, struct error *err);
/* The capability's number, or -1 when it is not one that an image may have. */
int sandbox_capability(const char *name);

/* sandbox_init.c: the first process's life; never returns. */
__attribute__((noreturn)) void sandbox_init(const struct sandbox_plan *plan, const struct sandbox_ends *ends);

#endif

/* The walls around a diagnostic image: own uid, namespaces, a read-only root of binds, and nothing that
 * outlives its first process.
 *
 * sandbox_start clones the first process of new PID, mount, IPC, UTS (and network) namespaces, which waits
 * until the caller has put it under its limits (sandbox_go), builds the root, gives up every right, and runs
 * the image's program as its child. Killing it kills all processes in the namespace, and with the namespace
 * go all mounts. The output is a tmpfs that is held by a descriptor of the caller only, so it can be read
 * after the image's end and is gone with the caller. Nothing is mounted in the caller's own namespace.
 *
 * With `override` there are no such walls: the app itself runs, as its own user, in new PID and mount
 * namespaces in which the image's assets lie over those of its set, what it may write are overlays, and all
 * else is read-only. The rest is the same. Single-threaded callers only. */
#ifndef AGENT_SANDBOX_H
#define AGENT_SANDBOX_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Where things are for the image. */
#define SANDBOX_FOLDER "/image"  /* its own files, the working directory */
#define SANDBOX_OUTPUT "/output" /* LOCUM_OUTPUT */
#define SANDBOX_ASSETS "/assets" /* LOCUM_ASSETS */
#define SANDBOX_LOGS "/app-logs" /* LOCUM_APP_LOGS, when `app-logs` is collected */

#define SANDBOX_NOTES "/notes"    /* LOCUM_ENDS_AT, LOCUM_APP_STATS: files that the keeper renews */
#define SANDBOX_ENDS_AT "ends_at" /* Unix seconds, a line */
#define SANDBOX_APP_STATS "app.json"
#define SANDBOX_APP_LOG "app.log" /* in the output, of an app that runs overridden */

#define SANDBOX_INODES 2048 /* files and folders in the output */

/* How the app is run, when it is run with some of its assets replaced. */
struct sandbox_override {
    char *const *command;         /* argv; argv[0] is looked up in PATH */
    const char *user;             /* NULL: stay who we are */
    const char *const *variables; /* "NAME=value", NULL-terminated */
    char *const *writable;        /* folders that become overlays, NULL-terminated; NULL: none */
};

struct sandbox_plan {
    const char *folder;                      /* of the image's files */
    char *const *entry;                      /* argv; entry[0] is looked up in the image's folder */
    const struct sandbox_override *override; /* NULL: the image's own program runs */
    const char *set;                         /* folder of the device's set: <asset> -> a version's folder */
    const char *state;               /* the agent's state folder, real path: no `file:` scope may touch it */
    const char *root;                /* an empty folder, the mount point of the new root */
    const char *app_log;             /* the app's log file, NULL: none */
    const char *const *collect;      /* NULL-terminated: "proc", "app", "app-logs", "file:/…" */
    const char *const *capabilities; /* NULL-terminated: "net_raw", "syslog", "dac_read_search" */
    bool network_host;
    bool modest; /* yields to the app, which runs beside it */
    uid_t uid;
    gid_t gid;
    int64_t duration_s;    /* LOCUM_DURATION_S */
    int64_t max_output;    /* bytes of the output's tmpfs, and of any one file */
    int64_t max_memory;    /* RLIMIT_AS when `memory_by_rlimit` */
    int64_t max_pids;      /* RLIMIT_NPROC of the uid */
    bool memory_by_rlimit; /* there is no control group */
    const char *params;    /* LOCUM_PARAMS, JSON */
};

struct sandbox {
    pid_t pid; /* the namespace's first process, as the caller sees it; a child of the caller */
    int pidfd;
    int output_fd;   /* root folder of the output */
    int notes_fd;    /* root folder of the notes; the image cannot write there */
    int report_fd;   /* sandbox_report is read from it */
    int console_fd;  /* what the image writes to its standard output and error; never blocks */
    int lifeline_fd; /* its closing, by the caller's death too, ends the sandbox; sandbox_go writes to it */
};

enum sandbox_report_kind { SANDBOX_RUNS = 1, SANDBOX_FAILED, SANDBOX_ENDED };
/* One message through the pipe, written at once. */
struct sandbox_report {
    int32_t kind;
    int32_t status; /* SANDBOX_ENDED: wait status of the image's program */
    char text[400]; /* SANDBOX_FAILED: why */
};

/* NULL when images can run here, else the sentence why not (not root, kernel too old, …). `uid` is
 * diagnostic.uid. */
const char *sandbox_missing(uid_t uid);

/* Checks what can be checked before anything is touched: the entry is there and executable, scopes are
 * allowed. */
bool sandbox_check(const struct sandbox_plan *plan, struct error *err);
bool sandbox_start(const struct sandbox_plan *plan, struct sandbox *sandbox, struct error *err);
bool sandbox_go(const struct sandbox *sandbox, struct error *err);
/* Reads a report when there is one; false: none yet, or the first process is gone. */
bool sandbox_read_report(const struct sandbox *sandbox, struct sandbox_report *report);
/* Closes all descriptors: the output is gone after this. The pid must have been reaped. */
void sandbox_end(struct sandbox *sandbox);
#define SANDBOX_NONE                                                                                         \
    {                                                                                                        \
        .pid = -1, .pidfd = -1, .output_fd = -1, .notes_fd = -1, .report_fd = -1, .console_fd = -1,          \
        .lifeline_fd = -1                                                                                    \
    }

#endif

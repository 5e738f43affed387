/* Processes by number without mistaking one for another: a pid means something only with its start time and
 * the boot id. */
#ifndef AGENT_KEEPER_PID_H
#define AGENT_KEEPER_PID_H

#include "base/digest.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BOOT_ID_SIZE 37

/* /proc/sys/kernel/random/boot_id; empty when it cannot be read. Returns `out`. */
const char *boot_id(char out[BOOT_ID_SIZE]);
/* Start time in clock ticks since boot, -1 when there is no such process (a zombie counts as none). */
int64_t pid_start_time(pid_t pid);
/* A pidfd of exactly that process, -1 when it is gone. */
int pid_open(pid_t pid, int64_t start_time);
/* True when `pid` is `ancestor`, or its child, grandchild, … now. */
bool pid_is_below(pid_t pid, pid_t ancestor);
/* Processes of a uid, zombies not counted; `kill_them` sends each SIGKILL. */
int pid_count_of(uid_t uid, bool kill_them);
/* SHA-256 of the program file that the process runs. */
bool pid_exe_hash(pid_t pid, char hex[SHA256_HEX], struct error *err);

/* How to start a program. */
struct spawn {
    char *const *argv;            /* argv[0] is looked up in PATH */
    const char *user;             /* NULL: stay who we are */
    int output;                   /* standard output and error; -1: /dev/null */
    const char *const *variables; /* "NAME=value", added to our environment, NULL-terminated; NULL: none */
    bool die_with_us;             /* SIGKILL when we end */
    bool limited;                 /* bounds for a short command: processor time, files, no core */
    /* Called with the new pid before the program runs; false gives up. The child waits, and ends if we die
     * meanwhile. */
    bool (*before)(void *context, pid_t pid, struct error *err);
    void *context;
};
/* Starts it in a session of its own. Gives the pid and a pidfd; says why when the program cannot be executed.
 */
bool spawn_start(const struct spawn *spawn, pid_t *pid, int *pidfd, struct error *err);
/* In a child of one's own: becomes the user (NULL: nobody else), with HOME, USER and LOGNAME. False with
 * errno. */
bool spawn_become(const char *user);
/* After the pidfd became readable: takes the dead child; `status` is a wait status, -1 when it was not our
 * child. Kills what is left of its process group first, while the pid cannot yet mean another. Closes the
 * pidfd. */
void spawn_reap(pid_t pid, int *pidfd, int *status);
/* "exit code 3", "signal 9" into `out`; returns `out`. */
const char *status_text(int status, char out[40]);

#endif

#include "agent/sandbox.h"

#include "agent/sandbox_parts.h"
#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)

/* Makes every namespace once and reads what became of it. */
static bool can_make_namespaces(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, NAMESPACES | CLONE_NEWNET | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    int status = 0;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct tmpfs {
    int64_t size;
    int inodes;
    const char *mode;
    uid_t uid;
    gid_t gid;
};

/* A tmpfs that is mounted nowhere. -1 when it cannot be made. */
static int make_tmpfs(const struct tmpfs *tmpfs, struct error *err)
{
    char bytes[24], owner[24], group[24], inodes[24];
    snprintf(bytes, sizeof bytes, "%lld", (long long)tmpfs->size);
    snprintf(owner, sizeof owner, "%u", tmpfs->uid);
    snprintf(group, sizeof group, "%u", tmpfs->gid);
    snprintf(inodes, sizeof inodes, "%d", tmpfs->inodes);
    FD(fs) = fsopen("tmpfs", FSOPEN_CLOEXEC);
    int fd = -1;
    if (fs >= 0 && fsconfig(fs, FSCONFIG_SET_STRING, "size", bytes, 0) == 0 &&
        fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", inodes, 0) == 0 &&
        fsconfig(fs, FSCONFIG_SET_STRING, "mode", tmpfs->mode, 0) == 0 &&
        fsconfig(fs, FSCONFIG_SET_STRING, "uid", owner, 0) == 0 &&
        fsconfig(fs, FSCONFIG_SET_STRING, "gid", group, 0) == 0 &&
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (fd < 0)
        error_errno(err, "output tmpfs");
    return fd;
}

static int make_output(int64_t size, uid_t uid, gid_t gid, struct error *err)
{
    return make_tmpfs(
        &(struct tmpfs){.size = size, .inodes = SANDBOX_INODES, .mode = "0700", .uid = uid, .gid = gid}, err);
}

/* Only the keeper, who is root, writes there. */
static int make_notes(struct error *err)
{
    return make_tmpfs(&(struct tmpfs){.size = 64 << 10, .inodes = 16, .mode = "0755"}, err);
}

const char *sandbox_missing(uid_t uid)
{
    struct error err;
    if (geteuid() != 0)
        return "the keeper does not run as root, which namespaces and an own user need";
    if (uid == 0)
        return "diagnostic.uid is 0: an image may not run as root";
    if (!can_make_namespaces())
        return "the kernel gives no new PID, mount, network, IPC and UTS namespaces";
    FD(output) = make_output(1 << 20, uid, uid, &err);
    if (output < 0)
        return "the kernel gives no detached tmpfs (Linux 5.2 is needed)";
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (pidfd < 0)
        return "the kernel has no pidfd (Linux 5.3 is needed)";
    close(pidfd);
    if (prctl(PR_GET_SECCOMP) != 0)
        return "the kernel does not filter system calls (seccomp)";
    return NULL;
}

static bool check_program(const struct sandbox_plan *plan, struct error *err)
{
    struct stat st;
    if (plan->entry == NULL || plan->entry[0] == NULL)
        return error_set(err, ERROR_INPUT, "the image names no program");
    FD(folder) = folder_open(plan->folder, err);
    if (folder < 0)
        return error_add(err, "the image's folder");
    const char *entry = plan->entry[0];
    while (string_starts(entry, "./"))
        entry += 2;
    FD(program) = file_open_beneath(folder, entry, O_PATH, 0, err);
    if (program < 0 || fstat(program, &st) != 0)
        return error_add(err, "the image's program");
    if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
        return error_set(err, ERROR_INPUT, "the image's program %s is not executable", plan->entry[0]);
    return true;
}

bool sandbox_check(const struct sandbox_plan *plan, struct error *err)
{
    char real[PATH_MAX];
    if (plan->override != NULL ? !sandbox_override_check(plan, err) : !check_program(plan, err))
        return false;
    for (const char *const *at = plan->collect; at != NULL && *at != NULL; at++) {
        if (string_starts(*at, "file:")) {
            if (!sandbox_scope_path(plan, *at, real, err))
                return false;
        } else if (strcmp(*at, "proc") != 0 && strcmp(*at, "app") != 0 && strcmp(*at, "app-logs") != 0) {
            return error_set(err, ERROR_INPUT, "there is no scope %s", *at);
        }
    }
    for (const char *const *at = plan->capabilities; at != NULL && *at != NULL; at++)
        if (sandbox_capability(*at) < 0)
            return error_set(err, ERROR_DENIED, "an image may not have the capability %s", *at);
    return true;
}

/* The child's ends of the three pipes; ours are in `sandbox`. */
static bool make_pipes(struct sandbox *sandbox, struct sandbox_ends *ends, struct error *err)
{
    int lifeline[2], report[2], console[2];
    if (pipe2(lifeline, O_CLOEXEC) != 0)
        return error_errno(err, "pipe");
    ends->lifeline = lifeline[0];
    sandbox->lifeline_fd = lifeline[1];
    if (pipe2(report, O_CLOEXEC) != 0)
        return error_errno(err, "pipe");
    sandbox->report_fd = report[0];
    ends->report = report[1];
    if (pipe2(console, O_CLOEXEC) != 0)
        return error_errno(err, "pipe");
    sandbox->console_fd = console[0];
    ends->console = console[1];
    if (fcntl(sandbox->report_fd, F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(sandbox->console_fd, F_SETFL, O_NONBLOCK) != 0)
        return error_errno(err, "pipe");
    return true;
}

static void close_ends(struct sandbox_ends *ends)
{
    fd_close(&ends->lifeline);
    fd_close(&ends->report);
    fd_close(&ends->console);
    fd_close(&ends->output);
    fd_close(&ends->notes);
}

static bool clone_first(const struct sandbox_plan *plan, struct sandbox *sandbox,
                        const struct sandbox_ends *ends, struct error *err)
{
    unsigned long flags = CLONE_PIDFD | SIGCHLD;
    if (plan->override != NULL)
        flags |= CLONE_NEWPID | CLONE_NEWNS;
    else
        flags |= NAMESPACES | (plan->network_host ? 0 : CLONE_NEWNET);
    int pidfd = -1;
    pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, &pidfd, NULL, NULL);
    if (pid < 0)
        return error_errno(err, "new namespaces");
    if (pid == 0)
        sandbox_init(plan, ends);
    sandbox->pid = pid;
    sandbox->pidfd = pidfd;
    return true;
}

bool sandbox_start(const struct sandbox_plan *plan, struct sandbox *sandbox, struct error *err)
{
    *sandbox = (struct sandbox)SANDBOX_NONE;
    struct sandbox_ends ends = {-1, -1, -1, -1, -1};
    ends.output = make_output(plan->max_output, plan->uid, plan->gid, err);
    ends.notes = ends.output >= 0 ? make_notes(err) : -1;
    bool good = ends.notes >= 0;
    if (good) {
        sandbox->output_fd = openat(ends.output, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        sandbox->notes_fd = openat(ends.notes, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        good = (sandbox->output_fd >= 0 && sandbox->notes_fd >= 0) || error_errno(err, "output tmpfs");
    }
    good = good && make_pipes(sandbox, &ends, err) && clone_first(plan, sandbox, &ends, err);
    close_ends(&ends);
    if (!good)
        sandbox_end(sandbox);
    return good;
}

bool sandbox_go(const struct sandbox *sandbox, struct error *err)
{
    return fd_write_all(sandbox->lifeline_fd, "g", 1, err);
}

bool sandbox_read_report(const struct sandbox *sandbox, struct sandbox_report *report)
{
    ssize_t n = read(sandbox->report_fd, report, sizeof *report);
    report->text[sizeof report->text - 1] = '\0';
    return n == (ssize_t)sizeof *report;
}

void sandbox_end(struct sandbox *sandbox)
{
    fd_close(&sandbox->lifeline_fd);
    fd_close(&sandbox->report_fd);
    fd_close(&sandbox->console_fd);
    fd_close(&sandbox->output_fd);
    fd_close(&sandbox->notes_fd);
    fd_close(&sandbox->pidfd);
    sandbox->pid = -1;
}

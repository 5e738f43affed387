#include "agent/keeper_pid.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_SECONDS 30 /* of processor time for a short command */

static void limit(int what, rlim_t value)
{
    struct rlimit bound = {.rlim_cur = value, .rlim_max = value};
    (void)setrlimit((__rlimit_resource_t)what, &bound);
}

static bool become(const struct passwd *user)
{
    if (user == NULL)
        return true;
    if (initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0)
        return false;
    setenv("HOME", user->pw_dir, 1);
    setenv("USER", user->pw_name, 1);
    setenv("LOGNAME", user->pw_name, 1);
    return true;
}

bool spawn_become(const char *user)
{
    const struct passwd *found = user != NULL && geteuid() == 0 ? getpwnam(user) : NULL;
    if (user != NULL && geteuid() == 0 && found == NULL) {
        errno = ENOENT;
        return false;
    }
    return become(found);
}

/* The keeper is spared when memory runs out and better scheduled; its children are like everybody. */
static void be_ordinary(void)
{
    FD(fd) = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "0", 1) < 0)
        errno = 0;
    (void)setpriority(PRIO_PROCESS, 0, 0);
}

static void plain_signals(void)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. Comes back only when something failed, with errno. */
static void run(const struct spawn *spawn, const struct passwd *user, pid_t parent, int go)
{
    char word;
    setsid();
    be_ordinary();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int output = spawn->output >= 0 ? spawn->output : null;
    if (null < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
        return;
    if (spawn->limited) {
        limit(RLIMIT_CORE, 0);
        limit(RLIMIT_CPU, COMMAND_SECONDS);
        limit(RLIMIT_NOFILE, 256);
    }
    if (!become(user))
        return;
    if (spawn->die_with_us && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent))
        _exit(125);
    for (const char *const *at = spawn->variables; at != NULL && *at != NULL; at++)
        if (putenv((char *)(uintptr_t)*at) != 0)
            return;
    if (read(go, &word, 1) != 1)
        _exit(125); /* the keeper died before it could write down that we exist */
    if (syscall(SYS_close_range, 3, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */) != 0)
        return;
    plain_signals();
    execvp(spawn->argv[0], spawn->argv);
}

/* Lets the child go on and hears whether it could execute the program. */
static bool send_off(const struct spawn *spawn, pid_t pid, int go, int failed, struct error *err)
{
    if (spawn->before != NULL && !spawn->before(spawn->context, pid, err))
        return false;
    int reason = 0;
    if (!fd_write_all(go, "g", 1, err))
        return false;
    ssize_t n;
    do
        n = read(failed, &reason, sizeof reason);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return true;
    errno = reason;
    return error_errno(err, "%s cannot be run", spawn->argv[0]);
}

static bool find_user(const char *name, const struct passwd **user, struct error *err)
{
    *user = NULL;
    if (name == NULL || geteuid() != 0)
        return true;
    *user = getpwnam(name);
    return *user != NULL || error_set(err, ERROR_INPUT, "there is no user %s on this device", name);
}

bool spawn_start(const struct spawn *spawn, pid_t *pid, int *pidfd, struct error *err)
{
    const struct passwd *user;
    int go[2], failed[2];
    pid_t parent = getpid();
    if (!find_user(spawn->user, &user, err))
        return false;
    if (pipe2(go, O_CLOEXEC) != 0)
        return error_errno(err, "pipe");
    FD(go_read) = go[0];
    FD(go_write) = go[1];
    if (pipe2(failed, O_CLOEXEC) != 0)
        return error_errno(err, "pipe");
    FD(failed_read) = failed[0];
    FD(failed_write) = failed[1];
    pid_t child = fork();
    if (child < 0)
        return error_errno(err, "fork");
    if (child == 0) {
        fd_close(&go_write);
        run(spawn, user, parent, go_read);
        int reason = errno;
        _exit(write(failed_write, &reason, sizeof reason) == (ssize_t)sizeof reason ? 127 : 126);
    }
    fd_close(&go_read);
    fd_close(&failed_write);
    *pid = child;
    *pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    if (*pidfd >= 0 && fcntl(*pidfd, F_SETFD, FD_CLOEXEC) == 0 &&
        send_off(spawn, child, go_write, failed_read, err))
        return true;
    if (*pidfd < 0)
        error_errno(err, "pidfd");
    kill(child, SIGKILL);
    int status;
    spawn_reap(child, pidfd, &status);
    return false;
}

void spawn_reap(pid_t pid, int *pidfd, int *status)
{
    siginfo_t info = {0};
    bool ours = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0;
    kill(-pid, SIGKILL);
    *status = -1;
    if (ours)
        waitpid(pid, status, 0);
    fd_close(pidfd);
}

const char *status_text(int status, char out[40])
{
    if (status == -1)
        snprintf(out, 40, "unknown status");
    else if (WIFSIGNALED(status))
        snprintf(out, 40, "signal %d", WTERMSIG(status));
    else
        snprintf(out, 40, "exit code %d", WEXITSTATUS(status));
    return out;
}

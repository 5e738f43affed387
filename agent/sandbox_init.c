#include "agent/sandbox_parts.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANDED_DOWN 5   /* descriptors: lifeline, report, console, output, notes */
#define OOM_SCORE "500" /* when the device is short of memory, the image goes before the app */
#define MODEST_NICE 10

static void report(const struct sandbox_ends *ends, enum sandbox_report_kind kind, int status,
                   const char *text)
{
    struct sandbox_report message = {.kind = (int32_t)kind, .status = status};
    snprintf(message.text, sizeof message.text, "%s", text);
    if (write(ends->report, &message, sizeof message) != (ssize_t)sizeof message)
        _exit(125);
}

__attribute__((noreturn)) static void fail(const struct sandbox_ends *ends, const struct error *err)
{
    report(ends, SANDBOX_FAILED, 0, err->text);
    _exit(125);
}

/* The caller's descriptors came along with the clone; among them the other ends of our own pipes. Ours move
 * to 3, 4, 5, 6, 7. */
static void keep_only(struct sandbox_ends *ends)
{
    int *const kept[HANDED_DOWN] = {&ends->lifeline, &ends->report, &ends->console, &ends->output,
                                    &ends->notes};
    int high[HANDED_DOWN];
    for (int i = 0; i < HANDED_DOWN; i++)
        high[i] = fcntl(*kept[i], F_DUPFD_CLOEXEC, 64);
    for (int i = 0; i < HANDED_DOWN; i++) {
        if (high[i] < 0 || dup3(high[i], 3 + i, O_CLOEXEC) < 0)
            _exit(125);
        *kept[i] = 3 + i;
    }
    syscall(SYS_close_range, 3 + HANDED_DOWN, ~0U, 0);
}

static void wait_for_go(const struct sandbox_ends *ends)
{
    char word = 0;
    ssize_t n;
    do
        n = read(ends->lifeline, &word, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(125); /* the caller is gone or gave up */
}

static bool lifeline_is_cut(const struct sandbox_ends *ends)
{
    struct pollfd poller = {.fd = ends->lifeline, .events = POLLIN};
    return poll(&poller, 1, 0) > 0 && (poller.revents & (POLLHUP | POLLERR));
}

static char *variable(const char *name, const char *value)
{
    char *text = NULL;
    if (asprintf(&text, "%s=%s", name, value) < 0)
        abort();
    return text;
}

#define VARIABLES_MOST 16

static void make_environment(const struct sandbox_plan *plan, char *environment[VARIABLES_MOST])
{
    char seconds[24];
    snprintf(seconds, sizeof seconds, "%lld", (long long)plan->duration_s);
    size_t n = 0;
    environment[n++] = variable("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    environment[n++] = variable("HOME", "/tmp");
    environment[n++] = variable("LANG", "C.UTF-8");
    environment[n++] = variable("LOCUM_OUTPUT", SANDBOX_OUTPUT);
    environment[n++] = variable("LOCUM_DURATION_S", seconds);
    environment[n++] = variable("LOCUM_ASSETS", SANDBOX_ASSETS);
    environment[n++] = variable("LOCUM_PARAMS", plan->params != NULL ? plan->params : "{}");
    environment[n++] = variable("LOCUM_ENDS_AT", SANDBOX_NOTES "/" SANDBOX_ENDS_AT);
    if (sandbox_collects(plan, "app"))
        environment[n++] = variable("LOCUM_APP_STATS", SANDBOX_NOTES "/" SANDBOX_APP_STATS);
    if (sandbox_collects(plan, "app-logs"))
        environment[n++] = variable("LOCUM_APP_LOGS", SANDBOX_LOGS);
    environment[n] = NULL;
}

static void default_signals(void)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child of the first process: becomes the image's program. What goes wrong is one errno through
 * `failed`. */
__attribute__((noreturn)) static void run_image(const struct sandbox_plan *plan,
                                                const struct sandbox_ends *ends, int failed)
{
    char *environment[VARIABLES_MOST];
    setsid();
    if (plan->override != NULL) {
        default_signals();
        sandbox_override_run(plan, ends);
        int reason = errno;
        _exit(write(failed, &reason, sizeof reason) < 0 ? 126 : 127);
    }
    make_environment(plan, environment);
    int null = open("/dev/null", O_RDWR);
    if (null >= 0 && dup2(null, 0) == 0 && dup2(ends->console, 1) == 1 && dup2(ends->console, 2) == 2 &&
        chdir(SANDBOX_FOLDER) == 0 &&
        syscall(SYS_close_range, 3, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */) == 0) {
        default_signals();
        execve(plan->entry[0], plan->entry, environment);
    }
    int reason = errno;
    if (write(failed, &reason, sizeof reason) < 0)
        _exit(126);
    _exit(127);
}

/* Starts the program and says whether it runs. Its pid, or no return. */
static pid_t start_image(const struct sandbox_plan *plan, const struct sandbox_ends *ends)
{
    struct error err;
    int failed[2], reason = 0;
    if (pipe2(failed, O_CLOEXEC) != 0) {
        error_errno(&err, "pipe");
        fail(ends, &err);
    }
    pid_t pid = fork();
    if (pid == 0)
        run_image(plan, ends, failed[1]);
    close(failed[1]);
    ssize_t n = pid < 0 ? (ssize_t)sizeof reason : read(failed[0], &reason, sizeof reason);
    close(failed[0]);
    if (n > 0) {
        errno = pid < 0 ? errno : reason;
        if (plan->override != NULL)
            error_errno(&err, "the app's program %s cannot be run", plan->override->command[0]);
        else
            error_errno(&err, "the image's program %s cannot be run", plan->entry[0]);
        fail(ends, &err);
    }
    report(ends, SANDBOX_RUNS, 0, "");
    return pid;
}

/* Takes the dead. True when the image's program is among them. */
static bool reap(pid_t program, int *status)
{
    bool ended = false;
    int one;
    pid_t pid;
    while ((pid = waitpid(-1, &one, WNOHANG)) > 0) {
        if (pid == program) {
            *status = one;
            ended = true;
        }
    }
    return ended;
}

/* Passes SIGTERM on to everybody, takes the dead, and ends with the program: the kernel kills whoever is left
 * in the namespace. */
__attribute__((noreturn)) static void watch(const struct sandbox_ends *ends, int signals, pid_t program)
{
    int status = 0;
    for (;;) {
        struct pollfd pollers[] = {{.fd = signals, .events = POLLIN},
                                   {.fd = ends->lifeline, .events = POLLIN}};
        if (poll(pollers, 2, -1) < 0 && errno != EINTR)
            _exit(125);
        if (pollers[1].revents & (POLLHUP | POLLERR))
            _exit(125);
        struct signalfd_siginfo info;
        while (read(signals, &info, sizeof info) == (ssize_t)sizeof info)
            if (info.ssi_signo == SIGTERM)
                kill(-1, SIGTERM);
        if (reap(program, &status)) {
            report(ends, SANDBOX_ENDED, status, "");
            _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        }
    }
}

/* The keeper is scheduled before others and spared when memory runs out; what it starts here is not. */
static void be_ordinary(const struct sandbox_plan *plan)
{
    FD(fd) = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    const char *score = plan->override != NULL ? "0" : OOM_SCORE;
    if (fd >= 0 && write(fd, score, strlen(score)) < 0)
        errno = 0;
    (void)setpriority(PRIO_PROCESS, 0, plan->modest ? MODEST_NICE : 0);
}

static bool build(const struct sandbox_plan *plan, const struct sandbox_ends *ends, struct error *err)
{
    if (plan->override != NULL)
        return sandbox_override_build(plan, ends, err);
    if (sethostname("image", strlen("image")) != 0)
        return error_errno(err, "host name");
    return sandbox_root_build(plan, ends, err);
}

void sandbox_init(const struct sandbox_plan *plan, const struct sandbox_ends *given)
{
    struct sandbox_ends ends = *given;
    struct error err = {0};
    keep_only(&ends);
    prctl(PR_SET_NAME, "locum-image");
    setsid();
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    wait_for_go(&ends);
    be_ordinary(plan);
    if (!build(plan, &ends, &err))
        fail(&ends, &err);
    fd_close(&ends.output);
    fd_close(&ends.notes);
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGCHLD);
    int signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) {
        error_errno(&err, "signals");
        fail(&ends, &err);
    }
    if (plan->override == NULL && !sandbox_rights_drop(plan, &err))
        fail(&ends, &err);
    /* A change of uid clears the death signal, so it is asked for here; if the caller died before, the
     * lifeline says so. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || lifeline_is_cut(&ends))
        _exit(125);
    watch(&ends, signals, start_image(plan, &ends));
}

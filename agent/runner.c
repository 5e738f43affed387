#include "agent/runner.h"
#include "agent/runner_uid.h"

#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROVER_DATA (256 << 20) /* bytes */
#define PROVER_CPU_S 600        /* patterns and texts to redact are foreign; without them there is no bound */
#define PROVER_NICE 10          /* while it looks for patterns: the app, which is back, goes first */
#define SANDBOX_ROOT "keeper/root"

static void tell(struct runner *runner, const char *state)
{
    log_event(LOG_INFO, "run", "run=%s state=%s", runner->plan.id, state);
    if (runner->event != NULL)
        runner->event(runner->event_context, runner->plan.id, state);
}

static void answer(struct runner *runner, const char *reason)
{
    runner_started *started = runner->started;
    runner->started = NULL;
    if (started != NULL)
        started(runner->started_context, runner->ends_at, reason);
}

bool runner_is_idle(const struct runner *runner)
{
    return runner->state == RUNNER_IDLE;
}

/* --- proving
 * ---------------------------------------------------------------------------------------------------- */

static void prove(struct runner *runner);

static void become_idle(struct runner *runner)
{
    sandbox_end(&runner->sandbox); /* the output's tmpfs goes with its last descriptor */
    runner->state = RUNNER_IDLE;
    tell(runner, "ended");
    arena_end(&runner->arena);
}

static void proved(void *context, short events)
{
    (void)events;
    struct runner *runner = context;
    int status;
    loop_forget(runner->loop, runner->prover_fd);
    spawn_reap(runner->prover, &runner->prover_fd, &status);
    runner->prover = 0;
    if (status != 0 && !runner->without_output) {
        char text[40];
        log_event(LOG_ERROR, "run.proof", "run=%s status=\"%s\" next=\"without output\"", runner->plan.id,
                  status_text(status, text));
        runner->without_output = true;
        prove(runner);
        return;
    }
    if (status != 0) /* no disk, no memory: the next keeper proves it from run.json */
        log_event(LOG_ERROR, "run.proof", "run=%s error=\"no result could be written\"", runner->plan.id);
    become_idle(runner);
}

/* The matcher keeps every state that it has been in, and the app, which is back, must not pay for that. */
static void limit_memory(void)
{
#if !defined(__SANITIZE_ADDRESS__) &&                                                                        \
    !defined(__SANITIZE_THREAD__) /* their shadows are larger than any limit */
    (void)setrlimit(RLIMIT_DATA, &(struct rlimit){PROVER_DATA, PROVER_DATA});
#endif
}

__attribute__((noreturn)) static void prove_in_child(const struct runner *runner, int output_fd)
{
    struct error err = {0};
    signal(SIGTERM, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    if (runner->plan.redact != NULL) {
        (void)setrlimit(RLIMIT_CPU, &(struct rlimit){PROVER_CPU_S, PROVER_CPU_S});
        limit_memory();
        if (output_fd >= 0)
            (void)setpriority(PRIO_PROCESS, 0, PROVER_NICE);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* one prover only: the next keeper has its own */
    bool good = run_prove(runner, output_fd, &err);
    if (!good)
        log_event(LOG_ERROR, "run.proof", "run=%s error=\"%s\"", runner->plan.id, err.text);
    _exit(good ? 0 : 1);
}

static void prove(struct runner *runner)
{
    int output = runner->without_output ? -1 : runner->sandbox.output_fd;
    runner->state = RUNNER_PROVING;
    pid_t pid = fork();
    if (pid == 0)
        prove_in_child(runner, output);
    runner->prover = pid;
    runner->prover_fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (runner->prover_fd >= 0 && loop_watch(runner->loop, runner->prover_fd, POLLIN, proved, runner))
        return;
    log_event(LOG_ERROR, "run.proof", "run=%s error=\"no process for it\"", runner->plan.id);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    become_idle(runner);
}

/* --- the revert
 * --------------------------------------------------------------------------------------------------- */

static void start_app(struct runner *runner)
{
    struct error err = {0};
    if (runner->app_was_wanted && !run_is_beside(&runner->plan) && !app_start(runner->app, &err))
        log_event(LOG_ERROR, "run.revert", "run=%s error=\"%s\"", runner->plan.id, err.text);
    runner->outcome.reverted_at = clock_now();
    runner->outcome.revert_ms = clock_boot_ms() - runner->revert_from_ms;
    runner->outcome.app_pid = runner->app->pid;
    runner->outcome.app_start_time = runner->app->start_time;
}

/* The app first, then the rest. */
void run_revert(struct runner *runner)
{
    char group[64];
    loop_cancel(runner->loop, &runner->deadline);
    run_notes_end(runner);
    runner->app->deputy = 0;
    if (runner->revert_from_ms == 0)
        runner->revert_from_ms = clock_boot_ms();
    if (runner->outcome.ended_at == 0)
        runner->outcome.ended_at = clock_now();
    start_app(runner);
    runner->outcome.ran_out_of_memory = cgroup_ran_out(&runner->cgroups, run_group(runner->plan.id, group));
    answer(runner, runner->outcome.error[0] != '\0' ? runner->outcome.error : "the image ended at once");
    log_event(LOG_INFO, "run.reverted", "run=%s end=%d status=%d revert_ms=%lld app=%d", runner->plan.id,
              (int)runner->outcome.end, runner->outcome.status, (long long)runner->outcome.revert_ms,
              (int)runner->outcome.app_pid);
    prove(runner);
}

static void stop_watching(struct runner *runner)
{
    loop_cancel(runner->loop, &runner->console);
    loop_forget(runner->loop, runner->sandbox.console_fd);
    loop_forget(runner->loop, runner->sandbox.report_fd);
    loop_forget(runner->loop, runner->sandbox.pidfd);
}

static void kill_takes_long(void *context)
{
    struct runner *runner = context;
    log_event(LOG_ERROR, "run.revert_failed", "run=%s pid=%d reboot=%s", runner->plan.id,
              (int)runner->sandbox.pid, runner->settings->revert_reboot ? "yes" : "no");
    tell(runner, "revert_failed");
    if (runner->settings->revert_reboot) {
        sync();
        reboot(RB_AUTOBOOT);
    }
    start_app(runner); /* better beside a dying image than not at all */
}

static void kill_image(struct runner *runner)
{
    runner->state = RUNNER_KILLING;
    if (runner->sandbox.pidfd >= 0)
        syscall(SYS_pidfd_send_signal, runner->sandbox.pidfd, SIGKILL, NULL, 0);
    loop_at(runner->loop, &runner->deadline, clock_boot_ms() + RUN_KILL_MS, kill_takes_long, runner);
}

static void grace_over(void *context)
{
    struct runner *runner = context;
    if (runner->outcome.end == RUN_DEADLINE)
        runner->outcome.end = RUN_KILLED;
    log_event(LOG_WARNING, "run.killed", "run=%s why=\"did not end within %lld s after SIGTERM\"",
              runner->plan.id, (long long)runner->plan.limits.grace_s);
    kill_image(runner);
}

static void ask_to_end(struct runner *runner, enum run_end end)
{
    runner->state = RUNNER_ENDING;
    runner->outcome.end = end;
    runner->revert_from_ms = clock_boot_ms();
    syscall(SYS_pidfd_send_signal, runner->sandbox.pidfd, SIGTERM, NULL, 0);
    loop_at(runner->loop, &runner->deadline, clock_boot_ms() + runner->plan.limits.grace_s * 1000, grace_over,
            runner);
    tell(runner, "reverting");
}

static void deadline_due(void *context)
{
    struct runner *runner = context;
    if (runner->state == RUNNER_STARTING) {
        snprintf(runner->outcome.error, sizeof runner->outcome.error,
                 "the image did not start before its time was over");
        kill_image(runner);
        return;
    }
    ask_to_end(runner, RUN_DEADLINE);
}

/* From the start of its time on, whatever was before. */
static void set_deadline(struct runner *runner)
{
    runner->ends_at = runner->outcome.started_at + runner->plan.duration_s;
    loop_at(runner->loop, &runner->deadline, runner->started_ms + runner->plan.duration_s * 1000,
            deadline_due, runner);
}

/* --- the image
 * -------------------------------------------------------------------------------------------------- */

static void heard(struct runner *runner, const struct sandbox_report *report)
{
    if (report->kind == SANDBOX_RUNS && runner->state == RUNNER_STARTING) {
        runner->state = RUNNER_RUNNING;
        answer(runner, NULL);
        log_event(LOG_INFO, "run.started", "run=%s image=%s version=%s pid=%d", runner->plan.id,
                  runner->plan.image, runner->plan.version, (int)runner->sandbox.pid);
    } else if (report->kind == SANDBOX_FAILED) {
        snprintf(runner->outcome.error, sizeof runner->outcome.error, "%.300s", report->text);
    } else if (report->kind == SANDBOX_ENDED) {
        runner->outcome.status =
            WIFEXITED(report->status) ? WEXITSTATUS(report->status) : 128 + WTERMSIG(report->status);
    }
}

static void read_reports(void *context, short events)
{
    struct runner *runner = context;
    struct sandbox_report report;
    bool any = false;
    while (sandbox_read_report(&runner->sandbox, &report)) {
        heard(runner, &report);
        any = true;
    }
    if (!any && (events & POLLHUP))
        loop_forget(runner->loop, runner->sandbox.report_fd); /* the pidfd tells the rest */
}

/* The namespace's first process is dead, and with it everything inside. */
static void image_gone(void *context, short events)
{
    struct runner *runner = context;
    bool by_itself = runner->state == RUNNER_RUNNING || runner->state == RUNNER_STARTING;
    int status = 0;
    runner->outcome.status = -1;
    read_reports(runner, events);
    stop_watching(runner);
    run_console_rest(runner);
    waitpid(runner->sandbox.pid, &status, 0);
    if (runner->outcome.status < 0)
        runner->outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    runner->outcome.ended_at = clock_now();
    if (by_itself)
        tell(runner, "reverting");
    run_revert(runner);
}

static void fail_start(struct runner *runner, const struct error *err)
{
    snprintf(runner->outcome.error, sizeof runner->outcome.error, "%.300s", err->text);
    runner->outcome.status = 127;
    if (runner->sandbox.pid > 0) {
        kill_image(runner); /* image_gone does the rest */
        return;
    }
    run_revert(runner);
}

/* As whom the image runs: a user that nobody else is, or, overridden, the app's own. */
static void fill_user(const struct runner *runner, struct sandbox_plan *plan)
{
    const char *name = runner->settings->app_user;
    const struct passwd *user = name != NULL && geteuid() == 0 ? getpwnam(name) : NULL;
    plan->uid = runner->uid;
    plan->gid = runner->uid;
    if (plan->override == NULL)
        return;
    plan->uid = user != NULL ? user->pw_uid : geteuid();
    plan->gid = user != NULL ? user->pw_gid : getegid();
}

static void fill_sandbox_plan(const struct runner *runner, struct sandbox_plan *plan,
                              struct sandbox_override *override, const char *root)
{
    const struct run_plan *run = &runner->plan;
    *override = (struct sandbox_override){.command = runner->settings->app_command,
                                          .user = runner->settings->app_user,
                                          .variables = (const char *const *)runner->app->variables,
                                          .writable = runner->settings->app_writable};
    *plan = (struct sandbox_plan){.folder = run->folder,
                                  .entry = run->limits.entry,
                                  .override = run_is_override(run) ? override : NULL,
                                  .set = run->set_path,
                                  .state = runner->state_path,
                                  .root = root,
                                  .app_log = runner->settings->app_log,
                                  .collect = run->collect,
                                  .capabilities = run->limits.capabilities,
                                  .network_host = run->limits.network_host,
                                  .modest = run_is_beside(run),
                                  .duration_s = run->duration_s,
                                  .max_output = run->max_output,
                                  .max_memory = run->limits.max_memory,
                                  .max_pids = run->limits.max_pids,
                                  .memory_by_rlimit = runner->cgroups.kind == CGROUP_NONE,
                                  .params = run->params};
    fill_user(runner, plan);
}

static bool watch_image(struct runner *runner, struct error *err)
{
    return (loop_watch(runner->loop, runner->sandbox.pidfd, POLLIN, image_gone, runner) &&
            loop_watch(runner->loop, runner->sandbox.report_fd, POLLIN, read_reports, runner) &&
            loop_watch(runner->loop, runner->sandbox.console_fd, POLLIN, run_console_ready, runner)) ||
           error_set(err, ERROR_LIMIT, "too many descriptors to watch the image");
}

static bool start_image(struct runner *runner, struct error *err)
{
    struct sandbox_plan plan;
    struct sandbox_override override;
    char root[PATH_MAX], group[64];
    const struct run_plan *run = &runner->plan;
    snprintf(root, sizeof root, "%.4000s/%s", runner->state_path, SANDBOX_ROOT);
    run_group(run->id, group);
    fill_sandbox_plan(runner, &plan, &override, root);
    if (!cgroup_make(&runner->cgroups, group, run->limits.max_memory + run->max_output,
                     run->limits.max_pids + 1, err) ||
        !sandbox_start(&plan, &runner->sandbox, err))
        return false;
    runner->app->deputy = plan.override != NULL ? runner->sandbox.pid : 0;
    run_notes_begin(runner);
    return run_note_first(runner->state_fd, run->id, runner->sandbox.pid, err) && watch_image(runner, err) &&
           cgroup_enter(&runner->cgroups, group, runner->sandbox.pid, err) &&
           sandbox_go(&runner->sandbox, err);
}

static void app_is_gone(void *context, const char *reason)
{
    (void)reason;
    struct runner *runner = context;
    struct error err = {0};
    if (runner->outcome.end == RUN_CANCELLED) {
        error_set(&err, ERROR_CONFLICT, "the run was cancelled before the image started");
        fail_start(runner, &err);
        return;
    }
    runner->state = RUNNER_STARTING;
    runner->outcome.started_at = clock_now();
    runner->started_ms = clock_boot_ms();
    set_deadline(runner);
    if (!start_image(runner, &err))
        fail_start(runner, &err);
}

/* --- what the worker asks
 * ----------------------------------------------------------------------------------------- */

static bool check_free(const struct runner *runner, const struct run_plan *plan, struct error *err)
{
    struct sandbox_plan walls;
    struct sandbox_override override;
    char root[] = "/";
    if (runner->missing[0] != '\0')
        return error_set(err, ERROR_DENIED, "no diagnostic image can run here: %s", runner->missing);
    if (run_is_consumed(runner->state_fd, plan->id))
        return error_set(err, ERROR_CONFLICT, "run %s was started before", plan->id);
    if (pid_count_of(runner->uid, false) > 0)
        return error_set(err, ERROR_CONFLICT,
                         "other processes run as uid %lld, which is for diagnostic images only",
                         (long long)runner->uid);
    if (file_space(runner->state_fd) < plan->max_output)
        return error_set(err, ERROR_LIMIT, "the device's disk has no room for %lld bytes of output",
                         (long long)plan->max_output);
    if (run_is_override(plan) && !runner->app->wanted)
        return error_set(err, ERROR_CONFLICT, "the app does not run, so nothing of it can be overridden");
    fill_sandbox_plan(runner, &walls, &override, root);
    return sandbox_check(&walls, err);
}

bool runner_start(struct runner *runner, const struct json *request, runner_started *started, void *context,
                  struct error *err)
{
    if (runner->state != RUNNER_IDLE)
        return error_set(err, ERROR_CONFLICT, "run %s is not over yet", runner->plan.id);
    arena_end(&runner->arena);
    memset(&runner->outcome, 0, sizeof runner->outcome);
    runner->outcome.app_pid_before = runner->app->pid;
    runner->outcome.app_start_time_before = runner->app->start_time;
    if (!run_plan_read(&runner->arena, request, &runner->plan, err) ||
        !check_free(runner, &runner->plan, err) ||
        !run_write_down(runner->state_fd, &runner->plan, &runner->outcome, err) ||
        !run_consume(runner->state_fd, &runner->plan, err))
        return false;
    log_event(LOG_INFO, "run.consumed", "run=%s campaign=%lld image=%s version=%s", runner->plan.id,
              (long long)runner->plan.campaign, runner->plan.image, runner->plan.version);
    runner->started = started;
    runner->started_context = context;
    runner->without_output = false;
    runner->revert_from_ms = 0;
    runner->state = RUNNER_STOPPING_APP;
    runner->app_was_wanted = runner->app->wanted;
    if (run_is_beside(&runner->plan))
        app_is_gone(runner, NULL); /* it need not */
    else
        app_stop(runner->app, app_is_gone, runner);
    return true;
}

bool runner_has_apps_place(const struct runner *runner)
{
    return runner->state != RUNNER_IDLE && runner->state != RUNNER_PROVING && !run_is_beside(&runner->plan);
}

bool runner_extend(struct runner *runner, const char *run, int64_t duration_s, int64_t *ends_at,
                   struct error *err)
{
    bool begun = runner->state == RUNNER_STARTING || runner->state == RUNNER_RUNNING;
    if (!begun || !string_is(run, runner->plan.id))
        return error_set(err, ERROR_MISSING, "run %.40s is not under way", run);
    if (duration_s > runner->plan.limits.max_runtime_s)
        return error_set(err, ERROR_DENIED, "the image is signed for at most %lld s",
                         (long long)runner->plan.limits.max_runtime_s);
    if (duration_s > runner->plan.duration_s) {
        runner->plan.duration_s = duration_s;
        set_deadline(runner);
        run_note_end_time(runner);
        log_event(LOG_INFO, "run.extended", "run=%s duration_s=%lld", runner->plan.id, (long long)duration_s);
    }
    *ends_at = runner->ends_at;
    return true;
}

bool runner_cancel(struct runner *runner, const char *run, struct error *err)
{
    if (runner->state == RUNNER_IDLE || !string_is(run, runner->plan.id))
        return error_set(err, ERROR_MISSING, "run %s is not under way", run);
    if (runner->state == RUNNER_RUNNING) {
        ask_to_end(runner, RUN_CANCELLED);
    } else if (runner->state == RUNNER_STARTING) {
        runner->outcome.end = RUN_CANCELLED;
        kill_image(runner);
    } else if (runner->state == RUNNER_STOPPING_APP) {
        runner->outcome.end = RUN_CANCELLED; /* app_is_gone turns back */
    }
    return true;
}

bool runner_forget(struct runner *runner, const char *run, struct error *err)
{
    char path[128];
    if (!run_id_is_valid(run))
        return error_set(err, ERROR_INPUT, "\"%.40s\" is no run", run != NULL ? run : "");
    if (runner->state != RUNNER_IDLE && string_is(run, runner->plan.id))
        return error_set(err, ERROR_CONFLICT, "run %s is not over yet", run);
    snprintf(path, sizeof path, "%s/%s", STATE_KEEPER_RUNS, run);
    return tree_remove(runner->state_fd, path, err);
}

void runner_write(const struct runner *runner, struct json_writer *writer, const char *key)
{
    if (runner->state == RUNNER_IDLE) {
        json_write_null(writer, key);
        return;
    }
    bool runs = runner->state <= RUNNER_RUNNING;
    json_write_object(writer, key);
    json_write_string(writer, "run", runner->plan.id);
    json_write_integer(writer, "campaign", runner->plan.campaign);
    json_write_string(writer, "image", runner->plan.image);
    json_write_string(writer, "version", runner->plan.version);
    json_write_string(writer, "mode", runner->plan.mode);
    json_write_string(writer, "state", runs ? "running" : "reverting");
    json_write_time(writer, "started_at", runner->outcome.started_at);
    json_write_time(writer, "ends_at", runner->ends_at);
    json_write_end(writer, '}');
}

/* --- begin and end
 * ------------------------------------------------------------------------------------------------ */

static void find_missing(struct runner *runner)
{
    uid_t uid = runner->uid;
    const char *why = sandbox_missing(uid);
    const struct passwd *app =
        runner->settings->app_user != NULL ? getpwnam(runner->settings->app_user) : NULL;
    if (why == NULL && app != NULL && app->pw_uid == uid)
        why = "app.user and diagnostic.uid are the same user";
    snprintf(runner->missing, sizeof runner->missing, "%s", why != NULL ? why : "");
}

bool runner_init(struct runner *runner, struct app *app, int state_fd, const char *state_path,
                 struct loop *loop, struct error *err)
{
    memset(runner, 0, sizeof *runner);
    runner->app = app;
    runner->loop = loop;
    runner->settings = app->settings;
    runner->state_fd = state_fd;
    runner->state_path = state_path;
    runner->prover_fd = -1;
    runner->uid_lock_fd = -1;
    runner->sandbox = (struct sandbox)SANDBOX_NONE;
    arena_init(&runner->arena);
    if (!folder_make(state_fd, STATE_KEEPER_RUNS, 0700, err) ||
        !folder_make(state_fd, STATE_KEEPER_CONSUMED, 0700, err) ||
        !folder_make(state_fd, SANDBOX_ROOT, 0700, err) ||
        !runner_uid_take(state_fd, runner->settings->diagnostic_uid, &runner->uid, &runner->uid_lock_fd, err))
        return false;
    find_missing(runner);
    if (geteuid() == 0 && runner->settings->diagnostic_limits == DIAGNOSTIC_LIMITS_AUTO)
        cgroup_find(&runner->cgroups);
    run_marks_clean(state_fd);
    run_find_lost(runner);
    return true;
}

void runner_end(struct runner *runner)
{
    fd_close(&runner->uid_lock_fd);
    arena_end(&runner->arena);
}

#include "test/agent/bench.h"

#include "agent/cgroup.h"
#include "agent/keeper.h"
#include "agent/keeper_pid.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#define GOOD(call)                                                                                           \
    do {                                                                                                     \
        if (!(call))                                                                                         \
            fail_msg("%s: %s", #call, err.text);                                                             \
    } while (0)

/* What the test that runs now has started and not ended, for bench_after: the bench itself is gone after a
 * failure. */
static struct {
    char dir[64];
    pid_t pid;
} started;

void bench_write(struct bench *bench, const char *path, const char *text, mode_t mode)
{
    struct error err = {0};
    char folder[256];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL) {
        *slash = '\0';
        GOOD(folder_make(bench->dirfd, folder, 0755, &err));
    }
    GOOD(file_write(bench->dirfd, path, text, strlen(text), mode, &err));
}

void bench_script(struct bench *bench, const char *path, const char *text)
{
    bench_write(bench, path, text, 0755);
}

char *bench_read(struct bench *bench, const char *path)
{
    struct error err = {0};
    char *bytes;
    size_t size;
    return file_read(&bench->arena, bench->dirfd, path, 1 << 20, &bytes, &size, &err) ? bytes : NULL;
}

void bench_await_file(struct bench *bench, const char *path, const char *word)
{
    int64_t until = clock_boot_ms() + BENCH_WAIT_MS;
    const char *text = NULL;
    while (clock_boot_ms() < until) {
        text = bench_read(bench, path);
        if (text != NULL && strstr(text, word) != NULL)
            return;
        poll(NULL, 0, 10);
    }
    fail_msg("%s does not hold \"%s\" but: %s", path, word, text != NULL ? text : "(nothing)");
}

void bench_prepare(struct bench *bench, const char *settings)
{
    struct error err = {0};
    memset(bench, 0, sizeof *bench);
    bench->dirfd = bench->state_fd = -1;
    snprintf(bench->dir, sizeof bench->dir, "/tmp/locum-bench-XXXXXX");
    assert_non_null(mkdtemp(bench->dir));
    started.pid = 0;
    snprintf(started.dir, sizeof started.dir, "%s", bench->dir);
    assert_int_equal(chmod(bench->dir, 0755), 0);
    snprintf(bench->state, sizeof bench->state, "%s/state", bench->dir);
    bench->dirfd = folder_open(bench->dir, &err);
    GOOD(folder_make(bench->dirfd, "state/sets/0", 0755, &err));
    GOOD(folder_make(bench->dirfd, "state/versions", 0755, &err));
    GOOD(folder_make(bench->dirfd, "state/manifests", 0755, &err));
    GOOD(folder_make(bench->dirfd, "state/identity", 0700, &err));
    bench_write(bench, "state/identity/key.json", "the secret key\n", 0600);
    bench->state_fd = folder_open(bench->state, &err);
    assert_int_equal(symlinkat("sets/0", bench->state_fd, "current"), 0);
    GOOD(agent_settings_parse(&bench->arena, settings, &bench->settings, &err));
}

void bench_start(struct bench *bench, const char *settings)
{
    bench_prepare(bench, settings);
    bench_keeper(bench);
}

static void run_keeper(struct bench *bench, int ready)
{
    struct keeper_options options = {.state = bench->state,
                                     .program = bench->program != NULL ? bench->program : "/bin/false",
                                     .started_by = KEEPER_BY_RUN,
                                     .ready_fd = ready};
    char log[128];
    snprintf(log, sizeof log, "%s/keeper.log", bench->dir);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0)
        dup2(fd, 2);
    _exit(keeper_main(&bench->settings, &options));
}

pid_t bench_fork_keeper(struct bench *bench, int ready)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        run_keeper(bench, ready);
    return pid;
}

void bench_keeper(struct bench *bench)
{
    struct error err = {0};
    const struct json *answer;
    int ready[2];
    char word;
    link_close(bench->link);
    bench->link = NULL;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    bench->keeper = started.pid = bench_fork_keeper(bench, ready[1]);
    close(ready[1]);
    if (read(ready[0], &word, 1) != 1)
        fail_msg("the keeper did not start: %s", bench_read(bench, "keeper.log"));
    close(ready[0]);
    bench->link = link_connect(bench->state_fd, "keeper.sock", &err);
    assert_non_null(bench->link);
    bench_hello(bench, true, &answer);
    assert_true(bench_ok(answer));
}

static void note_event(void *context, const struct json *line)
{
    struct bench *bench = context;
    const char *event = json_string(line, "event"), *state = json_string(line, "state");
    if (string_is(event, "run"))
        snprintf(bench->last_run_state, sizeof bench->last_run_state, "%s", state);
    if (string_is(event, "app"))
        snprintf(bench->last_app_state, sizeof bench->last_app_state, "%s", state);
}

const struct json *bench_ask(struct bench *bench, const char *members, ...)
{
    struct error err = {0};
    const struct json *answer = NULL;
    va_list args;
    TEXT(line);
    va_start(args, members);
    char *text = arena_vprintf(&bench->arena, members, args);
    va_end(args);
    bench->id++;
    text_printf(&line, "{\"id\":%lld,%s}", (long long)bench->id, text);
    if (!link_ask(bench->link, &bench->arena, bench->id, &line, BENCH_WAIT_MS, note_event, bench, &answer,
                  &err))
        fail_msg("%s: %s\n%s", members, err.text, bench_read(bench, "keeper.log"));
    return answer;
}

bool bench_ok(const struct json *answer)
{
    if (!json_boolean(answer, "ok", false) && json_string(answer, "error") != NULL)
        print_message("  answer: %s\n", json_string(answer, "error"));
    return json_boolean(answer, "ok", false);
}

void bench_hello(struct bench *bench, bool primary, const struct json **answer)
{
    *answer = bench_ask(bench, "\"do\":\"hello\",\"pid\":%d,\"primary\":%s", (int)getpid(),
                        primary ? "true" : "false");
}

pid_t bench_app_pid(struct bench *bench)
{
    const struct json *answer;
    bench_hello(bench, true, &answer);
    return (pid_t)json_integer(json_get(answer, "app"), "pid", 0);
}

/* Reads events until `seen` (one of the bench's buffers) says `state`. */
static void await(struct bench *bench, const char *seen, const char *state)
{
    struct error err = {0};
    int64_t until = clock_boot_ms() + BENCH_WAIT_MS;
    while (!string_is(seen, state)) {
        const struct json *line = link_next(bench->link, &bench->arena, &err);
        if (line != NULL) {
            note_event(bench, line);
            continue;
        }
        struct pollfd poller = {.fd = link_fd(bench->link), .events = POLLIN};
        if (clock_boot_ms() > until || (poll(&poller, 1, 1000) > 0 && !link_fill(bench->link, &err)))
            fail_msg("waited for %s, saw %s: %s\n%s", state, seen, err.text, bench_read(bench, "keeper.log"));
    }
}

void bench_await_run(struct bench *bench, const char *state)
{
    await(bench, bench->last_run_state, state);
}

void bench_await_app(struct bench *bench, const char *state)
{
    await(bench, bench->last_app_state, state);
}

void bench_kill_keeper(struct bench *bench)
{
    assert_int_equal(kill(bench->keeper, SIGKILL), 0);
    assert_int_equal(waitpid(bench->keeper, NULL, 0), bench->keeper);
    started.pid = 0;
}

/* True when the file of /proc names the bench's folder. */
static bool names_bench(const struct bench *bench, pid_t pid, const char *file)
{
    static char text[1 << 18];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    fd_close(&fd);
    return n > 0 && memmem(text, (size_t)n, bench->dir, strlen(bench->dir)) != NULL;
}

/* What of the bench is still there, in words; false: nothing. */
static bool find_left(const struct bench *bench, char *words, size_t room)
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    bool found = false;
    assert_non_null(proc);
    while (!found && (entry = readdir(proc)) != NULL) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid > 0 && pid_start_time(pid) >= 0 && names_bench(bench, pid, "cmdline"))
            found = snprintf(words, room, "process %d is left", (int)pid) > 0;
        else if (pid > 0 && names_bench(bench, pid, "mounts"))
            found = snprintf(words, room, "a mount is left in the namespace of process %d", (int)pid) > 0;
    }
    closedir(proc);
    return found;
}

/* A killed process is gone when the kernel has come round to it. */
static void check_processes(const struct bench *bench)
{
    char words[100];
    int64_t until = clock_boot_ms() + 2000;
    while (find_left(bench, words, sizeof words)) {
        if (clock_boot_ms() > until)
            fail_msg("%s", words);
        poll(NULL, 0, 10);
    }
}

/* v1 and v2: a group is a folder below each controller's. */
static bool group_exists(const struct cgroup_host *host, const char *name)
{
    const char *const folders[] = {host->memory, host->pids};
    char path[CGROUP_PATH + 128];
    for (size_t i = 0; host->kind != CGROUP_NONE && i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folders[i], name);
        if (access(path, F_OK) == 0)
            return true;
    }
    return false;
}

/* The groups of this bench's own runs: other tests may have theirs just now. */
static void check_groups(const struct bench *bench)
{
    struct cgroup_host host;
    struct error err = {0};
    char name[64];
    cgroup_find(&host);
    int marks = folder_open_beneath(bench->state_fd, "keeper/consumed", &err);
    DIR *folder = marks >= 0 ? fdopendir(marks) : NULL;
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        snprintf(name, sizeof name, "locum-%.32s", entry->d_name);
        if (group_exists(&host, name))
            fail_msg("the control group %s is left", name);
    }
    if (folder != NULL)
        closedir(folder);
}

static void check_nothing_left(const struct bench *bench)
{
    check_processes(bench);
    check_groups(bench);
}

void bench_end(struct bench *bench)
{
    struct error err = {0};
    int status;
    assert_true(bench_ok(bench_ask(bench, "\"do\":\"stop\"")));
    assert_int_equal(waitpid(bench->keeper, &status, 0), bench->keeper);
    started.pid = 0;
    assert_int_equal(status, 0);
    link_close(bench->link);
    check_nothing_left(bench);
    close(bench->state_fd);
    close(bench->dirfd);
    arena_end(&bench->arena);
    FD(tmp) = folder_open("/tmp", &err);
    GOOD(tree_remove(tmp, strrchr(bench->dir, '/') + 1, &err));
    started.dir[0] = '\0';
}

int bench_after(void **state)
{
    (void)state;
    struct error err = {0};
    if (started.pid > 0) {
        kill(started.pid, SIGTERM);
        waitpid(started.pid, NULL, 0);
    }
    FD(tmp) = folder_open("/tmp", &err);
    if (started.dir[0] != '\0')
        tree_remove(tmp, strrchr(started.dir, '/') + 1, &err);
    started.pid = 0;
    started.dir[0] = '\0';
    return 0;
}

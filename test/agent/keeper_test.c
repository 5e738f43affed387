/* The keeper and the app: started, restarted, found again, told, asked, stopped. Nothing here needs root. */
#include "test/agent/bench.h"

#include "agent/keeper_pid.h"
#include "base/clock.h"
#include "base/file.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

/* --- an app that speaks the socket's language: this program itself, as `keeper_test app MODE FILE`
 * ------------------- */

static int app_connect(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", getenv("LOCUM_SOCKET"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    return fd;
}

static void app_answer(int fd, const char *mode, const char *set)
{
    if (strcmp(mode, "adopt") == 0)
        dprintf(fd, "{\"adopted\":\"%s\"}\n", set);
    if (strcmp(mode, "babble") == 0) {
        for (int i = 0; i < 5000; i++)
            dprintf(fd, "{}\n");
        dprintf(fd, "{\"adopted\":\"%s\"}\n", set);
    }
    for (int i = 0; strcmp(mode, "flood") == 0 && i < 50000; i++)
        dprintf(fd, "{\"busy_until\":%d}\n", i);
    if (strcmp(mode, "flood") == 0)
        dprintf(fd, "{\"adopted\":\"%s\"}\n", set);
    if (strcmp(mode, "reject") == 0)
        dprintf(fd, "{\"rejected\":\"%s\",\"reason\":\"bad model\"}\n", set);
    if (strcmp(mode, "die") == 0 && strcmp(set, "0") != 0)
        exit(9);
    if (strcmp(mode, "busy") == 0)
        dprintf(fd, "{\"busy_until\":%lld}\n{\"adopted\":\"%s\"}\n", (long long)clock_now() + 60, set);
}

__attribute__((noreturn)) static void run_app(const char *mode, const char *file)
{
    char line[4096], set[32];
    FILE *log = fopen(file, "ae");
    int fd = app_connect();
    FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
    while (in != NULL && fgets(line, sizeof line, in) != NULL) {
        fprintf(log, "%d %s", (int)getpid(), line);
        fflush(log);
        if (sscanf(line, "{\"set\":\"%31[^\"]", set) == 1)
            app_answer(fd, mode, set);
    }
    for (;;)
        pause();
}

static void start_speaking(struct bench *bench, const char *mode, const char *more)
{
    char exe[512], settings[2048];
    struct error err = {0};
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    bench_prepare(bench, "");
    snprintf(settings, sizeof settings,
             "app.command = \"%s\" app %s %s/heard.txt\napp.notify = socket\napp.adopt.timeout_s = "
             "2\napp.stop.timeout_s = 1\n%s",
             exe, mode, bench->dir, more);
    if (!agent_settings_parse(&bench->arena, settings, &bench->settings, &err))
        fail_msg("%s", err.text);
    bench_keeper(bench);
    bench_await_file(bench, "heard.txt", "\"set\":\"0\",\"changed\":[],\"path\":\"/tmp/locum-bench-");
}

static const struct json *adopt(struct bench *bench)
{
    return bench_ask(bench,
                     "\"do\":\"adopt\",\"set\":\"5\",\"path\":\"%s/sets/5\",\"changed\":[\"detector\"]",
                     bench->state);
}

static void a_set_is_adopted_when_the_app_says_so(void **state)
{
    (void)state;
    struct bench bench;
    start_speaking(&bench, "adopt", "");
    assert_true(bench_ok(adopt(&bench)));
    assert_non_null(
        strstr(bench_read(&bench, "heard.txt"), "{\"set\":\"5\",\"changed\":[\"detector\"],\"path\":\""));
    bench_end(&bench);
}

static void a_set_is_refused_with_the_apps_reason(void **state)
{
    (void)state;
    struct bench bench;
    start_speaking(&bench, "reject", "");
    const struct json *answer = adopt(&bench);
    assert_false(json_boolean(answer, "ok", true));
    assert_string_equal(json_string(answer, "reason"), "the app rejected it: bad model");
    bench_end(&bench);
}

static void a_set_is_refused_when_the_app_dies_of_it(void **state)
{
    (void)state;
    struct bench bench;
    start_speaking(&bench, "die", "");
    const struct json *answer = adopt(&bench);
    assert_false(json_boolean(answer, "ok", true));
    assert_string_equal(json_string(answer, "reason"), "the app ended (exit code 9)");
    bench_end(&bench);
}

static void an_app_that_does_not_answer_is_asked_for_its_health(void **state)
{
    (void)state;
    struct bench bench;
    start_speaking(&bench, "silent", "app.health.command = /bin/false\napp.health.timeout_s = 1\n");
    const struct json *answer = adopt(&bench);
    assert_false(json_boolean(answer, "ok", true));
    assert_non_null(strstr(json_string(answer, "reason"),
                           "health command did not succeed within 1 s (last: exit code 1)"));
    bench_end(&bench);
    start_speaking(&bench, "silent", "app.health.command = /bin/true\n");
    assert_true(bench_ok(adopt(&bench)));
    bench_end(&bench);
    start_speaking(&bench, "silent", "");
    assert_true(bench_ok(adopt(&bench)));
    bench_end(&bench);
}

static void a_busy_lease_is_passed_on(void **state)
{
    (void)state;
    struct bench bench;
    const struct json *answer;
    start_speaking(&bench, "busy", "");
    assert_true(bench_ok(adopt(&bench)));
    bench_hello(&bench, true, &answer);
    assert_in_range(json_integer(json_get(answer, "app"), "busy_until", 0), clock_now() + 30,
                    clock_now() + 61);
    bench_end(&bench);
}

static void the_log_does_not_repeat_what_an_app_babbles(void **state)
{
    (void)state;
    struct bench bench;
    start_speaking(&bench, "babble", "");
    assert_true(bench_ok(adopt(&bench)));
    const char *log = bench_read(&bench, "keeper.log");
    assert_non_null(strstr(log, "a line without adopted"));
    assert_true(strlen(log) < 16 << 10);
    bench_end(&bench);
}

static void a_flood_of_leases_is_passed_on_now_and_then(void **state)
{
    (void)state;
    struct bench bench;
    start_speaking(&bench, "flood", "");
    bench_await_file(&bench, "heard.txt", "set");
    poll(NULL, 0, 1500); /* nobody reads what the keeper says meanwhile */
    assert_true(bench_ok(adopt(&bench)));
    assert_null(strstr(bench_read(&bench, "keeper.log"), "keeper.send"));
    bench_end(&bench);
}

static void a_stranger_at_the_apps_socket_is_turned_away(void **state)
{
    (void)state;
    struct bench bench;
    struct error err = {0};
    start_speaking(&bench, "adopt", "");
    struct link *stranger = link_connect(bench.state_fd, "app.sock", &err);
    assert_non_null(stranger);
    struct pollfd poller = {.fd = link_fd(stranger), .events = POLLIN};
    assert_int_equal(poll(&poller, 1, BENCH_WAIT_MS), 1);
    assert_false(link_fill(stranger, &err));
    ARENA(arena);
    assert_null(link_next(stranger, &arena, &err));
    link_close(stranger);
    bench_end(&bench);
}

/* --- apps that do not speak
 * ------------------------------------------------------------------------------------------ */

static void start_script(struct bench *bench, const char *script, const char *more)
{
    char settings[1024];
    struct error err = {0};
    bench_prepare(bench, "");
    bench_script(bench, "app.sh", script);
    snprintf(settings, sizeof settings,
             "app.command = %s/app.sh\napp.notify = none\napp.stop.timeout_s = 1\napp.log = %s/app.log\n%s",
             bench->dir, bench->dir, more);
    if (!agent_settings_parse(&bench->arena, settings, &bench->settings, &err))
        fail_msg("%s", err.text);
    bench_keeper(bench);
}

#define SLEEPER "#!/bin/sh\necho assets=$LOCUM_ASSETS\nexec sleep 100000\n"

static void an_app_that_ends_is_started_again(void **state)
{
    (void)state;
    struct bench bench;
    start_script(&bench, SLEEPER, "");
    pid_t first = bench_app_pid(&bench), second;
    assert_int_equal(kill(first, SIGKILL), 0);
    bench_await_app(&bench, "failed");
    bench_await_app(&bench, "running");
    second = bench_app_pid(&bench);
    assert_int_not_equal(first, second);
    char wanted[128];
    snprintf(wanted, sizeof wanted, "assets=%s/current\n", bench.state);
    bench_await_file(&bench, "app.log", wanted);
    bench_end(&bench);
}

static void a_program_that_is_missing_is_said_and_tried_again(void **state)
{
    (void)state;
    struct bench bench;
    struct error err = {0};
    bench_prepare(&bench, "");
    assert_true(agent_settings_parse(&bench.arena, "app.command = /no/such/app\n", &bench.settings, &err));
    bench_keeper(&bench);
    const struct json *answer;
    bench_hello(&bench, true, &answer);
    assert_string_equal(json_string(json_get(answer, "app"), "state"), "failed");
    assert_non_null(strstr(json_string(json_get(answer, "app"), "reason"), "/no/such/app cannot be run"));
    bench_end(&bench);
}

static void a_killed_keeper_finds_its_app_and_starts_no_second(void **state)
{
    (void)state;
    struct bench bench;
    start_script(&bench, SLEEPER, "");
    pid_t app = bench_app_pid(&bench);
    for (int i = 0; i < 3; i++) {
        bench_kill_keeper(&bench);
        assert_int_not_equal(pid_start_time(app), -1);
        bench_keeper(&bench);
        assert_int_equal(bench_app_pid(&bench), app);
    }
    assert_int_equal(kill(app, SIGKILL), 0);
    bench_await_app(&bench, "running");
    assert_int_not_equal(bench_app_pid(&bench), app);
    bench_end(&bench);
}

/* The answer to the last request that was sent without waiting. */
static const struct json *answer_of(struct bench *bench)
{
    struct error err = {0};
    int64_t until = clock_boot_ms() + BENCH_WAIT_MS;
    for (;;) {
        const struct json *line = link_next(bench->link, &bench->arena, &err);
        if (line != NULL && json_integer(line, "id", 0) == bench->id)
            return line;
        struct pollfd poller = {.fd = link_fd(bench->link), .events = POLLIN};
        if (line == NULL &&
            (clock_boot_ms() > until || (poll(&poller, 1, 1000) > 0 && !link_fill(bench->link, &err))))
            fail_msg("no answer: %s", err.text);
    }
}

/* The app that a killed keeper left ends before it connects to the next one: that says nothing of the set. */
static void the_end_of_a_found_app_is_not_blamed_on_a_set_it_never_heard_of(void **state)
{
    (void)state;
    struct bench bench;
    struct error err = {0};
    TEXT(line);
    start_speaking(&bench, "adopt", "");
    pid_t app = bench_app_pid(&bench);
    bench_kill_keeper(&bench);
    assert_int_equal(mkdirat(bench.state_fd, "sets/5", 0755), 0);
    assert_int_equal(unlinkat(bench.state_fd, "current", 0), 0);
    assert_int_equal(symlinkat("sets/5", bench.state_fd, "current"), 0);
    bench_keeper(&bench);
    assert_int_equal(bench_app_pid(&bench), app);
    text_printf(&line, "{\"id\":%lld,\"do\":\"adopt\",\"set\":\"5\",\"path\":\"%s/sets/5\",\"changed\":[]}",
                (long long)++bench.id, bench.state);
    assert_true(link_send(bench.link, &line, &err));
    assert_int_equal(kill(app, SIGKILL), 0);
    assert_true(bench_ok(answer_of(&bench)));
    bench_await_file(&bench, "heard.txt", "{\"set\":\"5\",\"changed\":[],\"path\":\"");
    bench_end(&bench);
}

static void a_stale_pid_is_not_taken_for_the_app(void **state)
{
    (void)state;
    struct bench bench;
    char text[128];
    start_script(&bench, SLEEPER, "");
    pid_t app = bench_app_pid(&bench);
    bench_kill_keeper(&bench);
    kill(app, SIGKILL);
    while (pid_start_time(app) >= 0)
        poll(NULL, 0, 5);
    /* Our own pid with another start time: somebody else by now. */
    snprintf(text, sizeof text, "{\"pid\":%d,\"start_time\":1,\"boot_id\":\"%s\"}", (int)getpid(),
             boot_id((char[BOOT_ID_SIZE]){0}));
    bench_write(&bench, "state/keeper/app.json", text, 0600);
    bench_keeper(&bench);
    assert_int_not_equal(bench_app_pid(&bench), getpid());
    bench_end(&bench);
}

static void an_app_that_ignores_sigterm_is_killed(void **state)
{
    (void)state;
    struct bench bench;
    start_script(
        &bench,
        "#!/bin/sh\ntrap '' TERM\n(trap '' TERM; while :; do sleep 1; done) &\nwhile :; do sleep 1; done\n",
        "");
    pid_t app = bench_app_pid(&bench);
    assert_true(bench_ok(bench_ask(&bench, "\"do\":\"app_stop\"")));
    assert_int_equal(pid_start_time(app), -1);
    assert_int_equal(bench_app_pid(&bench), 0);
    assert_true(bench_ok(bench_ask(&bench, "\"do\":\"app_start\"")));
    assert_int_not_equal(bench_app_pid(&bench), 0);
    bench_end(&bench);
}

static void a_signal_tells_the_app_and_health_decides(void **state)
{
    (void)state;
    struct bench bench;
    char health[256];
    struct error err = {0};
    bench_prepare(&bench, "");
    bench_script(&bench, "app.sh",
                 "#!/bin/sh\ntrap 'echo told >> $(dirname $0)/told.txt' USR1\nwhile :; do sleep 0.1; done\n");
    snprintf(
        health, sizeof health,
        "app.command = %s/app.sh\napp.notify = signal:USR1\napp.health.command = grep -q told %s/told.txt\n",
        bench.dir, bench.dir);
    assert_true(agent_settings_parse(&bench.arena, health, &bench.settings, &err));
    bench_keeper(&bench);
    bench_await_app(&bench, "");
    /* The shell sets its trap a moment after it started: only then may the signal come. */
    int64_t until = clock_boot_ms() + BENCH_WAIT_MS;
    char path[64], *status = NULL;
    do {
        FILE *file;
        char line[256];
        unsigned long long caught = 0;
        snprintf(path, sizeof path, "/proc/%d/status", (int)bench_app_pid(&bench));
        file = fopen(path, "re");
        while (file != NULL && fgets(line, sizeof line, file) != NULL)
            sscanf(line, "SigCgt: %llx", &caught);
        if (file != NULL)
            fclose(file);
        status = caught & (1ULL << (SIGUSR1 - 1)) ? path : NULL;
    } while (status == NULL && clock_boot_ms() < until && poll(NULL, 0, 5) == 0);
    assert_non_null(status);
    assert_true(bench_ok(adopt(&bench)));
    bench_await_file(&bench, "told.txt", "told");
    bench_end(&bench);
}

static void the_log_of_the_app_is_bounded(void **state)
{
    (void)state;
    struct bench bench;
    start_script(&bench, "#!/bin/sh\nhead -c 6000000 /dev/zero | tr '\\0' x\necho end\nsleep 100000\n", "");
    int64_t until = clock_boot_ms() + BENCH_WAIT_MS;
    struct stat st = {0};
    while ((fstatat(bench.dirfd, "app.log.1", &st, 0) != 0 || st.st_size < 4000000 ||
            fstatat(bench.dirfd, "app.log", &st, 0) != 0 || st.st_size > 4000000) &&
           clock_boot_ms() < until)
        poll(NULL, 0, 20);
    assert_true(clock_boot_ms() < until);
    bench_end(&bench);
}

/* --- workers
 * ----------------------------------------------------------------------------------------------------------
 */

static void a_second_keeper_is_refused(void **state)
{
    (void)state;
    struct bench bench;
    int status;
    start_script(&bench, SLEEPER, "");
    pid_t app = bench_app_pid(&bench), first = bench.keeper;
    pid_t second = bench_fork_keeper(&bench, -1);
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 5);
    bench.keeper = first;
    assert_int_equal(bench_app_pid(&bench), app);
    bench_end(&bench);
}

static void a_dead_worker_is_replaced_and_the_stand_in_yields(void **state)
{
    (void)state;
    struct bench bench, other;
    char script[128];
    struct error err = {0};
    const struct json *answer;
    bench_prepare(&bench, "");
    snprintf(script, sizeof script, "%s/worker.sh", bench.dir);
    bench_script(&bench, "worker.sh",
                 "#!/bin/sh\necho \"$@\" >> $(dirname $0)/worker.txt\nwhile [ -d $(dirname $0)/state/keeper "
                 "] && [ ! -e $(dirname $0)/go ]; do sleep 0.05; done\n");
    bench.program = script;
    bench_keeper(&bench);
    link_close(bench.link); /* died without a word */
    bench_await_file(&bench, "worker.txt", "run --state ");
    assert_non_null(strstr(bench_read(&bench, "worker.txt"), " --stand-in"));

    bench.link = link_connect(bench.state_fd, "keeper.sock", &err);
    bench_hello(&bench, false, &answer);
    assert_true(bench_ok(answer));
    other = bench;
    other.link = link_connect(bench.state_fd, "keeper.sock", &err);
    bench_hello(&other, true, &answer);
    assert_true(bench_ok(answer));
    ARENA(arena);
    const struct json *line;
    while ((line = link_next(bench.link, &arena, &err)) == NULL) {
        struct pollfd poller = {.fd = link_fd(bench.link), .events = POLLIN};
        assert_int_equal(poll(&poller, 1, BENCH_WAIT_MS), 1);
        assert_true(link_fill(bench.link, &err));
    }
    assert_string_equal(json_string(line, "event"), "yield");
    struct bench third = bench;
    third.link = link_connect(bench.state_fd, "keeper.sock", &err);
    bench_hello(&third, true, &answer);
    assert_false(json_boolean(answer, "ok", true));
    assert_string_equal(json_string(answer, "kind"), "conflict");
    link_close(third.link);
    link_close(bench.link);
    bench.link = other.link;
    bench.id = other.id;
    bench_write(&bench, "go", "", 0600); /* the stand-in ends */
    bench_await_file(&bench, "keeper.log", "event=worker.exited");
    bench_end(&bench);
}

static void lines_that_are_no_requests_close_the_connection(void **state)
{
    (void)state;
    static const char *const bad[] = {"{}\n", "nonsense\n", "[1]\n", "{\"do\":\"hello\"}\n",
                                      "{\"id\":1,\"id\":2}\n"};
    struct bench bench;
    struct error err = {0};
    start_script(&bench, SLEEPER, "");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct link *link = link_connect(bench.state_fd, "keeper.sock", &err);
        assert_int_equal(send(link_fd(link), bad[i], strlen(bad[i]), 0), strlen(bad[i]));
        struct pollfd poller = {.fd = link_fd(link), .events = POLLIN};
        assert_int_equal(poll(&poller, 1, BENCH_WAIT_MS), 1);
        assert_false(link_fill(link, &err));
        link_close(link);
    }
    assert_false(json_boolean(bench_ask(&bench, "\"do\":\"dance\""), "ok", true));
    bench_end(&bench);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "app") == 0)
        run_app(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        bench_test(a_set_is_adopted_when_the_app_says_so),
        bench_test(a_set_is_refused_with_the_apps_reason),
        bench_test(a_set_is_refused_when_the_app_dies_of_it),
        bench_test(an_app_that_does_not_answer_is_asked_for_its_health),
        bench_test(a_busy_lease_is_passed_on),
        bench_test(the_log_does_not_repeat_what_an_app_babbles),
        bench_test(a_flood_of_leases_is_passed_on_now_and_then),
        bench_test(a_stranger_at_the_apps_socket_is_turned_away),
        bench_test(an_app_that_ends_is_started_again),
        bench_test(a_program_that_is_missing_is_said_and_tried_again),
        bench_test(a_killed_keeper_finds_its_app_and_starts_no_second),
        bench_test(the_end_of_a_found_app_is_not_blamed_on_a_set_it_never_heard_of),
        bench_test(a_stale_pid_is_not_taken_for_the_app),
        bench_test(an_app_that_ignores_sigterm_is_killed),
        bench_test(a_signal_tells_the_app_and_health_decides),
        bench_test(the_log_of_the_app_is_bounded),
        bench_test(a_second_keeper_is_refused),
        bench_test(a_dead_worker_is_replaced_and_the_stand_in_yields),
        bench_test(lines_that_are_no_requests_close_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

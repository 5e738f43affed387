/* A keeper under test: a child process with its own state folder, driven through keeper.sock like the worker
 * does. */
#ifndef TEST_AGENT_BENCH_H
#define TEST_AGENT_BENCH_H

#include "agent/link.h"
#include "agent/settings.h"
#include "base/arena.h"
#include "base/json.h"

#include <stdbool.h>
#include <sys/types.h>

#define BENCH_WAIT_MS 30000 /* for any state; only a failing test waits so long */

struct bench {
    char dir[64];   /* holds state/ and what the test's app writes */
    char state[80]; /* the state folder */
    int dirfd, state_fd;
    pid_t keeper;
    struct link *link;
    int64_t id;
    struct arena arena;
    struct agent_settings settings;
    const char *program;     /* what the keeper starts as a stand-in worker; NULL: /bin/false */
    char last_run_state[32]; /* of the last `run` event */
    char last_app_state[32];
};

/* Makes folders and the empty set, starts the keeper with these settings lines and says hello. */
void bench_start(struct bench *bench, const char *settings);
/* As bench_start, but nothing runs yet. */
void bench_prepare(struct bench *bench, const char *settings);
/* Starts the keeper (again) and says hello. */
void bench_keeper(struct bench *bench);
/* Forks a keeper, whose readiness nobody waits for. */
pid_t bench_fork_keeper(struct bench *bench, int ready);
void bench_hello(struct bench *bench, bool primary, const struct json **answer);
/* Orderly stop, then checks that no process with the folder's name in its command line, no mount and no
 * control group is left; removes it all. */
void bench_end(struct bench *bench);
/* Teardown of every test: ends and removes what a failed one left. */
int bench_after(void **state);
#define bench_test(name) cmocka_unit_test_teardown(name, bench_after)
void bench_kill_keeper(struct bench *bench);

/* Sends {"id":…,<members>} and waits for its answer. */
const struct json *bench_ask(struct bench *bench, const char *members, ...)
    __attribute__((format(printf, 2, 3)));
bool bench_ok(const struct json *answer);
/* Waits until the last `run` event says this state. */
void bench_await_run(struct bench *bench, const char *state);
void bench_await_app(struct bench *bench, const char *state);
/* The app's pid as hello says it; 0: none. */
pid_t bench_app_pid(struct bench *bench);

/* Writes an executable file below the bench's folder. */
void bench_script(struct bench *bench, const char *path, const char *text);
void bench_write(struct bench *bench, const char *path, const char *text, mode_t mode);
/* Reads a file below the bench's folder, NULL when it is not there. */
char *bench_read(struct bench *bench, const char *path);
/* Waits until the file is there and holds the word. */
void bench_await_file(struct bench *bench, const char *path, const char *word);

#endif

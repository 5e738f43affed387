/* measured FILE COMMAND…: runs COMMAND and writes into FILE, as JSON, what it and all that it waited for have
 * cost: seconds on the clock, CPU seconds, the largest resident set of a single process among them in KiB,
 * and how it ended. A small program between the benchmark and what is measured, because a child begins with
 * the resident set of the one that forked it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* As a shell says it: above 128 a signal. */
static int exit_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(char **command, struct rusage *usage)
{
    pid_t child = fork();
    if (child == 0) {
        execvp(command[0], command);
        fprintf(stderr, "measured: %s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    int status;
    if (child < 0 || wait4(child, &status, 0, usage) < 0) {
        fprintf(stderr, "measured: %s\n", strerror(errno));
        exit(126);
    }
    return exit_code(status);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: measured FILE COMMAND…\n");
        return 2;
    }
    struct rusage usage = {0};
    double started = now_s();
    int code = run(argv + 2, &usage);
    double took = now_s() - started;
    FILE *file = fopen(argv[1], "we");
    if (!file) {
        fprintf(stderr, "measured: %s: %s\n", argv[1], strerror(errno));
        return 126;
    }
    fprintf(file, "{\"code\":%d,\"seconds\":%.6f,\"cpu_s\":%.6f,\"peak_kib\":%ld}\n", code, took,
            seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss);
    if (fclose(file) != 0)
        return 126;
    return code;
}

/* Diagnostic image "raw counters": samples the device's own counters 50 times a second for LOCUM_DURATION_S
 * and writes them as a time series, $LOCUM_OUTPUT/counters.csv, with a log, run.log. Ends early and in order
 * on SIGTERM. Reads the device's /proc (scope `proc`). */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RATE_HZ 50
#define WINDOW                                                                                               \
    10 /* samples over which rates are taken: the kernel counts processor time in ticks of 10 ms             \
        */
#define FLUSH_EVERY RATE_HZ
#define CLOSEST_NS 2000000 /* between two samples; times are written in milliseconds */

/* Counters as the kernel gives them; all but the memory only rise. */
struct sample {
    int64_t at_ns;                                    /* monotonic */
    uint64_t cpu_user, cpu_system, cpu_wait, cpu_all; /* ticks */
    uint64_t switches, interrupts;
    uint64_t memory_total, memory_free; /* KiB */
    uint64_t disk_read, disk_written;   /* sectors of 512 bytes */
    uint64_t net_in, net_out;           /* bytes */
    double running;                     /* processes that want a processor */
};

static volatile sig_atomic_t asked_to_end;
static FILE *run_log;

static void note_end(int number)
{
    (void)number;
    asked_to_end = 1;
}

static int64_t now_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char stamp[32];
    time_t now = time(NULL);
    struct tm utc;
    va_list args;
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
    fprintf(run_log, "%s ", stamp);
    va_start(args, format);
    vfprintf(run_log, format, args);
    va_end(args);
    fputc('\n', run_log);
    fflush(run_log);
}

static void read_stat(struct sample *sample)
{
    FILE *file = fopen("/proc/stat", "re");
    char line[1024];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        uint64_t t[8] = {0};
        if (sscanf(line,
                   "cpu  %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                   " %" SCNu64,
                   &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) >= 5) {
            sample->cpu_user = t[0] + t[1];
            sample->cpu_system = t[2] + t[5] + t[6];
            sample->cpu_wait = t[4];
            sample->cpu_all = t[0] + t[1] + t[2] + t[3] + t[4] + t[5] + t[6] + t[7];
        }
        (void)sscanf(line, "ctxt %" SCNu64, &sample->switches);
        (void)sscanf(line, "intr %" SCNu64, &sample->interrupts);
        (void)sscanf(line, "procs_running %lf", &sample->running);
    }
    if (file != NULL)
        fclose(file);
}

static void read_memory(struct sample *sample)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[256];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, "MemTotal: %" SCNu64, &sample->memory_total);
        (void)sscanf(line, "MemAvailable: %" SCNu64, &sample->memory_free);
    }
    if (file != NULL)
        fclose(file);
}

/* Whole disks only: partitions and stacked devices would count the same bytes again. */
static bool is_disk(const char *name)
{
    if (strncmp(name, "loop", 4) == 0 || strncmp(name, "ram", 3) == 0 || strncmp(name, "dm-", 3) == 0 ||
        strncmp(name, "zram", 4) == 0 || strncmp(name, "md", 2) == 0)
        return false;
    size_t size = strlen(name);
    bool ends_in_digit = size > 0 && name[size - 1] >= '0' && name[size - 1] <= '9';
    if (strncmp(name, "nvme", 4) == 0 || strncmp(name, "mmcblk", 6) == 0)
        return strchr(name + 4, 'p') == NULL;
    return !ends_in_digit;
}

static void read_disks(struct sample *sample)
{
    FILE *file = fopen("/proc/diskstats", "re");
    char line[512], name[64];
    uint64_t in, out;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%*u %*u %63s %*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64, name, &in, &out) != 3 ||
            !is_disk(name))
            continue;
        sample->disk_read += in;
        sample->disk_written += out;
    }
    if (file != NULL)
        fclose(file);
}

/* /proc/net is this image's own, empty network; that of the device is seen through its first process. */
static void read_network(struct sample *sample)
{
    FILE *file = fopen("/proc/1/net/dev", "re");
    char line[512], name[64];
    uint64_t in, out;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, " %63[^:]: %" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64, name, &in, &out) != 3)
            continue;
        sample->net_in += in;
        sample->net_out += out;
    }
    if (file != NULL)
        fclose(file);
}

static void take(struct sample *sample)
{
    memset(sample, 0, sizeof *sample);
    sample->at_ns = now_ns(CLOCK_MONOTONIC);
    read_stat(sample);
    read_memory(sample);
    read_disks(sample);
    read_network(sample);
}

static double share(uint64_t now, uint64_t before, uint64_t all)
{
    return all > 0 && now >= before ? 100.0 * (double)(now - before) / (double)all : 0;
}

static double rate(uint64_t now, uint64_t before, double seconds, double unit)
{
    return seconds > 0 && now >= before ? (double)(now - before) * unit / seconds : 0;
}

static bool write_row(FILE *csv, const struct sample *now, const struct sample *before)
{
    double seconds = (double)(now->at_ns - before->at_ns) / 1e9;
    uint64_t all = now->cpu_all - before->cpu_all;
    double used = now->memory_total > 0
                      ? 100.0 * (double)(now->memory_total - now->memory_free) / (double)now->memory_total
                      : 0;
    return fprintf(csv, "%.3f,%.1f,%.1f,%.1f,%.0f,%.0f,%.2f,%.1f,%.1f,%.1f,%.2f,%.2f,%.0f\n",
                   (double)now_ns(CLOCK_REALTIME) / 1e9, share(now->cpu_user, before->cpu_user, all),
                   share(now->cpu_system, before->cpu_system, all),
                   share(now->cpu_wait, before->cpu_wait, all),
                   rate(now->switches, before->switches, seconds, 1),
                   rate(now->interrupts, before->interrupts, seconds, 1), used,
                   (double)now->memory_free / 1024, rate(now->disk_read, before->disk_read, seconds, 0.5),
                   rate(now->disk_written, before->disk_written, seconds, 0.5),
                   rate(now->net_in, before->net_in, seconds, 1.0 / 1024),
                   rate(now->net_out, before->net_out, seconds, 1.0 / 1024), now->running) > 0;
}

/* Sleeps until the moment; a signal ends it early. */
static void wait_until(int64_t at_ns)
{
    struct timespec moment = {.tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000};
    if (!asked_to_end)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
}

/* Returns the number of rows, or -1 when the output does not take more. */
static long sample_all(FILE *csv, int64_t duration_s)
{
    static struct sample ring[WINDOW + 1];
    int64_t start = now_ns(CLOCK_MONOTONIC), late = 0, last = 0;
    long rows = 0;
    for (long n = 0; !asked_to_end && n < duration_s * RATE_HZ; n++) {
        int64_t due = start + n * (1000000000 / RATE_HZ);
        /* Samples that come late are made up for, but each has a time of its own. */
        wait_until(due > last + CLOSEST_NS ? due : last + CLOSEST_NS);
        struct sample *now = &ring[n % (WINDOW + 1)];
        take(now);
        late = now->at_ns - due > late ? now->at_ns - due : late;
        last = now_ns(CLOCK_MONOTONIC);
        if (n == 0)
            continue; /* rates need a sample before */
        const struct sample *before = n <= WINDOW ? &ring[0] : &ring[(n - WINDOW) % (WINDOW + 1)];
        if (!write_row(csv, now, before) || (n % FLUSH_EVERY == 0 && fflush(csv) != 0))
            return -1;
        last = now_ns(CLOCK_MONOTONIC);
        rows++;
    }
    say("latest sample came %.1f ms late", (double)late / 1e6);
    return fflush(csv) == 0 ? rows : -1;
}

static FILE *open_output(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fopen(path, "we");
}

int main(void)
{
    const char *folder = getenv("LOCUM_OUTPUT"), *duration = getenv("LOCUM_DURATION_S");
    char *rest = NULL;
    long long seconds = duration != NULL ? strtoll(duration, &rest, 10) : 0;
    struct sigaction action = {.sa_handler = note_end};
    if (folder == NULL || seconds <= 0 || *rest != '\0') {
        fprintf(stderr, "LOCUM_OUTPUT and LOCUM_DURATION_S have to be set\n");
        return 2;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    FILE *csv = open_output(folder, "counters.csv");
    run_log = open_output(folder, "run.log");
    if (csv == NULL || run_log == NULL) {
        fprintf(stderr, "%s cannot be written: %s\n", folder, strerror(errno));
        return 1;
    }
    say("raw counters: %d samples a second for %lld s", RATE_HZ, seconds);
    fprintf(csv, "time,cpu user [%%],cpu system [%%],cpu wait [%%],context switches [1/s],interrupts "
                 "[1/s],memory used [%%],"
                 "memory available [MiB],disk read [KiB/s],disk write [KiB/s],net in [KiB/s],net out "
                 "[KiB/s],running [processes]\n");
    long rows = sample_all(csv, seconds);
    if (rows < 0)
        say("the output is full: %s", strerror(errno));
    else
        say("%ld rows, %s", rows, asked_to_end ? "ended by SIGTERM" : "done");
    return fclose(csv) == 0 && rows >= 0 ? 0 : 1;
}

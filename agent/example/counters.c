#include "agent/example/counters.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CPU_USER, CPU_SYSTEM, CPU_WAIT, SWITCHES, MEMORY, DISK_READ, DISK_WRITTEN, NET_IN, NET_OUT };

const char *const counter_names[COUNTERS] = {"cpu_user",  "cpu_system", "cpu_wait", "switches", "memory",
                                             "disk_read", "disk_write", "net_in",   "net_out"};

int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool read_cpu(struct counters_raw *raw)
{
    FILE *file = fopen("/proc/stat", "re");
    char line[1024];
    bool found = false;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        uint64_t t[7];
        if (sscanf(line,
                   "cpu  %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
                   &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6]) == 7) {
            raw->values[CPU_USER] = t[0] + t[1];
            raw->values[CPU_SYSTEM] = t[2] + t[5] + t[6];
            raw->values[CPU_WAIT] = t[4];
            raw->cpu_all = t[0] + t[1] + t[2] + t[3] + t[4] + t[5] + t[6];
            found = true;
        }
        (void)sscanf(line, "ctxt %" SCNu64, &raw->values[SWITCHES]);
    }
    if (file != NULL)
        fclose(file);
    return found;
}

static bool read_memory(struct counters_raw *raw)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[256];
    uint64_t available = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, "MemTotal: %" SCNu64, &raw->memory_total);
        (void)sscanf(line, "MemAvailable: %" SCNu64, &available);
    }
    if (file != NULL)
        fclose(file);
    raw->values[MEMORY] = raw->memory_total > available ? raw->memory_total - available : 0;
    return raw->memory_total > 0;
}

static void read_disks(struct counters_raw *raw)
{
    FILE *file = fopen("/proc/diskstats", "re");
    char line[512];
    uint64_t in, out;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%*u %*u %*s %*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64, &in, &out) == 2) {
            raw->values[DISK_READ] += in;
            raw->values[DISK_WRITTEN] += out;
        }
    }
    if (file != NULL)
        fclose(file);
}

static void read_network(struct counters_raw *raw)
{
    FILE *file = fopen("/proc/net/dev", "re");
    char line[512];
    uint64_t in, out;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, " %*[^:]: %" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &in, &out) == 2) {
            raw->values[NET_IN] += in;
            raw->values[NET_OUT] += out;
        }
    }
    if (file != NULL)
        fclose(file);
}

static double share(uint64_t part, uint64_t all)
{
    return all > 0 ? (double)part / (double)all : 0;
}

/* Rates differ by orders of magnitude between an idle and a busy machine: their logarithm is what a model
 * sees. */
static void rates(const struct counters_raw *now, const struct counters_raw *before, double vector[COUNTERS])
{
    double seconds = (double)(now->at_ns - before->at_ns) / 1e9;
    uint64_t all = now->cpu_all > before->cpu_all ? now->cpu_all - before->cpu_all : 0;
    for (int i = 0; i < COUNTERS; i++) {
        uint64_t change = now->values[i] > before->values[i] ? now->values[i] - before->values[i] : 0;
        if (i <= CPU_WAIT)
            vector[i] = share(change, all);
        else if (i == MEMORY)
            vector[i] = share(now->values[i], now->memory_total);
        else
            vector[i] = log1p((double)change / seconds);
    }
}

bool counters_take(struct counters *counters, double vector[COUNTERS])
{
    struct counters_raw *now = &counters->ring[counters->taken % COUNTERS_WINDOW];
    memset(now, 0, sizeof *now);
    now->at_ns = monotonic_ns();
    if (!read_cpu(now) || !read_memory(now))
        return false;
    read_disks(now);
    read_network(now);
    unsigned long oldest = counters->taken < COUNTERS_WINDOW ? 0 : counters->taken + 1;
    const struct counters_raw *before = &counters->ring[oldest % COUNTERS_WINDOW];
    if (++counters->taken < COUNTERS_LEAST || now->at_ns <= before->at_ns)
        return false;
    rates(now, before, vector);
    return true;
}

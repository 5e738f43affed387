#include "diagnostics/images/app-profile/app-profile.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_A_LOOK 1024 /* most threads that are read at one look */

static struct thread *row_of(struct threads *threads, const struct thread *seen)
{
    for (int i = 0; i < threads->count; i++) {
        struct thread *row = &threads->rows[i];
        if (row->pid == seen->pid && row->tid == seen->tid && row->start_time == seen->start_time)
            return row;
    }
    if (threads->count == THREADS_MOST) {
        threads->more = true;
        return NULL;
    }
    struct thread *row = &threads->rows[threads->count++];
    *row = *seen;
    row->first_seen = seen->last_seen;
    row->user_first = seen->user;
    row->system_first = seen->system;
    row->switches_first = seen->switches;
    return row;
}

static int64_t read_switches(int64_t pid, int64_t tid)
{
    char path[64], line[256];
    int64_t value, sum = -1;
    snprintf(path, sizeof path, "/proc/%" PRId64 "/task/%" PRId64 "/status", pid, tid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "voluntary_ctxt_switches: %" SCNd64, &value) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %" SCNd64, &value) == 1)
            sum = value + (sum < 0 ? 0 : sum);
    if (file != NULL)
        fclose(file);
    return sum;
}

/* "12 (any ) name) S …": the name is what lies between the first '(' and the last ')'. */
static bool parse_stat(struct thread *seen, char *text)
{
    char *name = strchr(text, '('), *end = strrchr(text, ')');
    if (name == NULL || end == NULL || end < name)
        return false;
    *end = '\0';
    snprintf(seen->name, sizeof seen->name, "%s", name + 1);
    return sscanf(end + 1,
                  " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNd64 " %" SCNd64
                  " %*d %*d %*d %*d %*d %*d %" SCNd64,
                  &seen->state, &seen->user, &seen->system, &seen->start_time) == 4;
}

static bool read_thread(struct thread *seen)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%" PRId64 "/task/%" PRId64 "/stat", seen->pid, seen->tid);
    FILE *file = fopen(path, "re");
    size_t size = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file != NULL)
        fclose(file);
    text[size] = '\0';
    return size > 0 && parse_stat(seen, text);
}

void threads_look(struct threads *threads, int64_t pid)
{
    char path[48];
    const struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%" PRId64 "/task", pid);
    DIR *folder = opendir(path);
    for (int n = 0; folder != NULL && n < READ_A_LOOK && (entry = readdir(folder)) != NULL;) {
        struct thread seen = {.pid = pid, .last_seen = program_time()};
        if (!int64_parse(entry->d_name, 1, INT32_MAX, &seen.tid))
            continue;
        n++;
        if (!read_thread(&seen))
            continue;
        seen.switches = read_switches(pid, seen.tid);
        struct thread *row = row_of(threads, &seen);
        if (row == NULL)
            continue;
        memcpy(row->name, seen.name, sizeof row->name);
        row->state = seen.state;
        row->last_seen = seen.last_seen;
        row->user = seen.user;
        row->system = seen.system;
        row->switches = seen.switches;
    }
    if (folder != NULL)
        closedir(folder);
}

/* Seconds of processor time between the first and the last look. */
static double spent(int64_t first, int64_t last)
{
    return (double)(last - first) / (double)sysconf(_SC_CLK_TCK);
}

void threads_write(const struct threads *threads, FILE *csv)
{
    fputs("pid,thread,name,state,first seen,last seen,cpu user [s],cpu system [s],context switches\n", csv);
    for (int i = 0; i < threads->count; i++) {
        const struct thread *row = &threads->rows[i];
        fprintf(csv, "%" PRId64 ",%" PRId64 ",", row->pid, row->tid);
        csv_put(csv, row->name);
        fprintf(csv, ",%c,%.3f,%.3f,%.2f,%.2f,", row->state, row->first_seen, row->last_seen,
                spent(row->user_first, row->user), spent(row->system_first, row->system));
        if (row->switches >= 0 && row->switches_first >= 0)
            fprintf(csv, "%" PRId64, row->switches - row->switches_first);
        fputc('\n', csv);
    }
}

#include "diagnostics/images/program.h"
#include "diagnostics/images/system-snapshot/parts.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct process {
    int64_t pid, parent, threads, uid, resident_kb, start_time;
    int64_t user, system; /* ticks */
    char state;
    char name[64], command[1024];
};

/* proc(5): "12 (any ) name) S 1 …"; what counts comes after the last ')'. */
static bool read_stat(struct process *process)
{
    char path[48], text[2048];
    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", process->pid);
    read_whole(path, text, sizeof text);
    char *name = strchr(text, '('), *end = strrchr(text, ')');
    if (name == NULL || end == NULL || end < name)
        return false;
    *end = '\0';
    snprintf(process->name, sizeof process->name, "%s", name + 1);
    return sscanf(end + 1,
                  " %c %" SCNd64 " %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNd64 " %" SCNd64
                  " %*d %*d %*d %*d %" SCNd64 " %*d %" SCNd64,
                  &process->state, &process->parent, &process->user, &process->system, &process->threads,
                  &process->start_time) == 6;
}

static void read_status(struct process *process)
{
    char path[48], text[4096];
    const char *line;
    snprintf(path, sizeof path, "/proc/%" PRId64 "/status", process->pid);
    read_whole(path, text, sizeof text);
    if ((line = strstr(text, "\nUid:")) != NULL)
        (void)sscanf(line, "\nUid: %" SCNd64, &process->uid);
    if ((line = strstr(text, "\nVmRSS:")) != NULL)
        (void)sscanf(line, "\nVmRSS: %" SCNd64, &process->resident_kb);
}

/* The words are separated by NUL, and the process may have written anything there. */
static void read_command(struct process *process)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%" PRId64 "/cmdline", process->pid);
    size_t size = read_whole(path, process->command, sizeof process->command);
    while (size > 0 && process->command[size - 1] == '\0')
        size--;
    for (size_t i = 0; i < size; i++)
        if (process->command[i] == '\0')
            process->command[i] = ' ';
}

static double boot_time(void)
{
    char text[128];
    double up = 0;
    read_whole("/proc/uptime", text, sizeof text);
    (void)sscanf(text, "%lf", &up);
    return program_time() - up;
}

long write_processes(FILE *csv)
{
    const struct dirent *entry;
    double boot = boot_time(), tick = (double)sysconf(_SC_CLK_TCK);
    long rows = 0;
    fputs("pid,parent,uid,state,threads,resident [KiB],cpu user [s],cpu system [s],started [Unix s],name,"
          "command\n",
          csv);
    DIR *folder = opendir("/proc");
    while (folder != NULL && rows < ROWS_MOST && !ferror(csv) && (entry = readdir(folder)) != NULL) {
        struct process one = {.uid = -1};
        if (!int64_parse(entry->d_name, 1, INT32_MAX, &one.pid) || !read_stat(&one))
            continue; /* no process, or it ended meanwhile */
        read_status(&one);
        read_command(&one);
        fprintf(csv, "%" PRId64 ",%" PRId64 ",%" PRId64 ",%c,%" PRId64 ",%" PRId64 ",%.2f,%.2f,%.2f,",
                one.pid, one.parent, one.uid, one.state, one.threads, one.resident_kb,
                (double)one.user / tick, (double)one.system / tick, boot + (double)one.start_time / tick);
        csv_put(csv, one.name);
        fputc(',', csv);
        csv_put(csv, one.command);
        fputc('\n', csv);
        rows++;
    }
    if (folder != NULL)
        closedir(folder);
    return rows;
}

#include "diagnostics/images/app-profile/app-profile.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A small file whole, with a final NUL; the number of bytes, or -1. */
static ssize_t read_file(const char *path, char *room, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = fd < 0 ? -1 : 0, n = 0;
    while (fd >= 0 && (size_t)got < size - 1 && (n = read(fd, room + got, size - 1 - (size_t)got)) > 0)
        got += n;
    if (fd >= 0)
        close(fd);
    if (got < 0 || n < 0)
        return -1;
    room[got] = '\0';
    return got;
}

/* "{"time_ms","pid","start_time","descriptors","io":{…}|null}" of agent/PROTOCOL.md, "Modes". */
static void take_keeper_figures(struct look *look)
{
    char text[4096];
    struct error err = {0};
    ARENA(arena);
    const char *path = getenv("LOCUM_APP_STATS");
    ssize_t size = path != NULL ? read_file(path, text, sizeof text) : -1;
    const struct json *json =
        size > 0 ? json_read(&arena, text, (size_t)size, &json_limits_small, &err) : NULL;
    const struct json *io = json_get(json, "io");
    look->pid = json_integer(json, "pid", 0);
    look->start_time = json_integer(json, "start_time", -1);
    look->descriptors = json_integer(json, "descriptors", -1);
    look->rchar = json_integer(io, "rchar", -1);
    look->wchar = json_integer(io, "wchar", -1);
    look->read_bytes = json_integer(io, "read_bytes", -1);
    look->write_bytes = json_integer(io, "write_bytes", -1);
    int64_t reads = json_integer(io, "syscr", -1), writes = json_integer(io, "syscw", -1);
    look->calls = reads >= 0 && writes >= 0 ? reads + writes : -1;
}

/* proc(5), /proc/pid/stat: the name in parentheses may hold anything, so what counts comes after the last
 * ')'. */
static bool take_stat(struct look *look)
{
    char path[48], text[2048];
    int64_t start_time = -1;
    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", look->pid);
    const char *rest = read_file(path, text, sizeof text) > 0 ? strrchr(text, ')') : NULL;
    return rest != NULL &&
           sscanf(rest,
                  ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %" SCNd64 " %*u %" SCNd64 " %" SCNd64
                  " %*d %*d %*d %*d %" SCNd64 " %*d %" SCNd64,
                  &look->major_faults, &look->user, &look->system, &look->threads, &start_time) == 5 &&
           start_time == look->start_time;
}

static int64_t status_value(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    int64_t value = -1;
    return line != NULL && sscanf(line + strlen(name), " %" SCNd64, &value) == 1 ? value : -1;
}

static void take_status(struct look *look)
{
    char path[48], text[4096];
    snprintf(path, sizeof path, "/proc/%" PRId64 "/status", look->pid);
    if (read_file(path, text, sizeof text) <= 0)
        return;
    look->virtual_kb = status_value(text, "\nVmSize:");
    look->resident_kb = status_value(text, "\nVmRSS:");
    look->swap_kb = status_value(text, "\nVmSwap:");
}

void look_take(struct look *look)
{
    memset(look, 0xff, sizeof *look); /* -1 everywhere */
    take_keeper_figures(look);
    look->at_ns = program_now_ns();
    look->time = program_time();
    if (look->pid <= 0 || !take_stat(look))
        look->pid = 0; /* ended, and its number may be another's by now */
    else
        take_status(look);
}

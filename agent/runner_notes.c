#include "agent/runner.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATS_EVERY_MS 100
#define DESCRIPTORS_MOST 65536 /* counted; kernels before 6.2 make us count one by one */

/* Replaces a note, so that a reader sees the old or the new one. It lies in memory: nothing is synced. */
static void write_note(const struct runner *runner, const char *name, const char *text, size_t size)
{
    int folder = runner->sandbox.notes_fd;
    struct error err = {0};
    FD(fd) = openat(folder, ".part", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || !fd_write_all(fd, text, size, &err) || renameat(folder, ".part", folder, name) != 0)
        log_event(LOG_WARNING, "run.note", "run=%s note=%s error=%d", runner->plan.id, name, errno);
}

/* --- the app's figures
 * -------------------------------------------------------------------------------------------- */

static int64_t count_descriptors(pid_t pid)
{
    char path[40];
    struct stat st;
    int64_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *names = opendir(path);
    if (names == NULL)
        return -1;
    if (fstat(dirfd(names), &st) == 0 && st.st_size > 0) {
        closedir(names);
        return st.st_size;
    }
    const struct dirent *entry;
    while (count < DESCRIPTORS_MOST && (entry = readdir(names)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(names);
    return count;
}

/* The lines "name: number" of /proc/<pid>/io (proc(5)), name by name; none where the kernel does not count.
 */
static void write_io(pid_t pid, struct json_writer *writer)
{
    char path[40], name[32];
    long long value;
    snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        json_write_null(writer, "io");
        return;
    }
    json_write_object(writer, "io");
    while (fscanf(file, " %31[a-z_]: %lld", name, &value) == 2)
        json_write_integer(writer, name, value);
    json_write_end(writer, '}');
    fclose(file);
}

static void write_stats(const struct runner *runner)
{
    const struct app *app = runner->app;
    TEXT(text);
    struct json_writer writer;
    bool there = app->pid > 0 && pid_start_time(app->pid) == app->start_time;
    json_write_init(&writer, &text);
    json_write_object(&writer, NULL);
    json_write_integer(&writer, "time_ms", clock_now_ms());
    json_write_integer(&writer, "pid", there ? app->pid : 0);
    if (there) {
        json_write_integer(&writer, "start_time", app->start_time);
        json_write_integer(&writer, "descriptors", count_descriptors(app->pid));
        write_io(app->pid, &writer);
    }
    json_write_end(&writer, '}');
    text_puts(&text, "\n");
    write_note(runner, SANDBOX_APP_STATS, text.bytes, text.size);
}

static void stats_due(void *context)
{
    struct runner *runner = context;
    write_stats(runner);
    loop_at(runner->loop, &runner->stats, clock_boot_ms() + STATS_EVERY_MS, stats_due, runner);
}

/* --- all notes
 * ---------------------------------------------------------------------------------------------------- */

void run_note_end_time(const struct runner *runner)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%lld\n", (long long)runner->ends_at);
    write_note(runner, SANDBOX_ENDS_AT, text, (size_t)size);
}

void run_notes_begin(struct runner *runner)
{
    run_note_end_time(runner);
    for (const char **scope = runner->plan.collect; scope != NULL && *scope != NULL; scope++)
        if (string_is(*scope, "app"))
            stats_due(runner);
}

void run_notes_end(struct runner *runner)
{
    loop_cancel(runner->loop, &runner->stats);
}

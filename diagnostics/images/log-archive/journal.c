#include "diagnostics/images/log-archive/log-archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The journal's format is systemd's own: the program that knows it is the device's. */
#define JOURNALCTL "/usr/bin/journalctl"

static bool has_entries(const char *folder)
{
    const struct dirent *entry;
    bool found = false;
    DIR *names = opendir(folder);
    while (names != NULL && !found && (entry = readdir(names)) != NULL)
        found = entry->d_name[0] != '.';
    if (names != NULL)
        closedir(names);
    return found;
}

/* Its output as a stream; NULL: it could not be started. */
static FILE *start(const char *folder, int64_t since, pid_t *pid)
{
    char where[PATH_MAX], from[48];
    int ends[2];
    posix_spawn_file_actions_t actions;
    snprintf(where, sizeof where, "--directory=%s", folder);
    snprintf(from, sizeof from, "--since=@%" PRId64, since);
    char *const words[] = {JOURNALCTL, where, from, "--output=short-iso", "--no-pager", "--quiet", NULL};
    char *const variables[] = {"LC_ALL=C.UTF-8", NULL};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int reason = posix_spawn(pid, JOURNALCTL, &actions, NULL, words, variables);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    FILE *stream = reason == 0 ? fdopen(ends[0], "re") : NULL;
    if (reason != 0)
        close(ends[0]);
    errno = reason;
    return stream;
}

/* Reads it to its end; what is after `skip` bytes goes to `out` (NULL: nowhere), from a whole line on.
 * Returns how many bytes there were, or went to `out`. */
static int64_t drain(struct archive *archive, FILE *stream, FILE *out, int64_t skip)
{
    int64_t seen = 0, done = 0;
    bool line_begins = true;
    for (int c; (c = getc_unlocked(stream)) != EOF; seen++) {
        if (seen % 65536 == 0 && program_is_over(archive->program))
            break;
        if (out != NULL && seen >= skip && (done > 0 || line_begins)) {
            if (putc_unlocked(c, out) == EOF)
                break;
            done++;
        }
        line_begins = c == '\n';
    }
    return out != NULL ? done : seen;
}

static int end(FILE *stream, pid_t pid)
{
    int status = -1;
    fclose(stream); /* before the wait: it ends when nobody reads it */
    waitpid(pid, &status, 0);
    return status;
}

/* Twice: the first time tells how long it is, so that the newest lines are those that are kept. */
bool archive_journal(struct archive *archive, const char *folder)
{
    pid_t pid;
    if (access(JOURNALCTL, X_OK) != 0 || !has_entries(folder))
        return false;
    FILE *stream = start(folder, archive->since, &pid);
    if (stream == NULL) {
        program_say(archive->program, "%s cannot be started: %s", JOURNALCTL, strerror(errno));
        return false;
    }
    int64_t all = drain(archive, stream, NULL, 0), share = archive_share(archive);
    int status = end(stream, pid);
    if (status != 0)
        program_say(archive->program, "%s ended with status %d", JOURNALCTL, status);
    if (all == 0 || share == 0) {
        archive_note(archive, folder, 0, all, all == 0 ? "no line of these hours" : "left out: no room");
        return true;
    }
    FILE *out = archive_open(archive, folder, "journal.log");
    stream = out != NULL ? start(folder, archive->since, &pid) : NULL;
    if (stream != NULL) {
        int64_t taken = drain(archive, stream, out, all > share ? all - share : 0);
        end(stream, pid);
        archive_note(archive, folder, taken, all,
                     all > share ? "cut: the newest lines" : "the lines of these hours");
        archive->program->cut = archive->program->cut || all > share;
    }
    if (out != NULL)
        program_close(archive->program, out, "journal.log");
    return true;
}

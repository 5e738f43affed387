/* The proof of a revert and the result of a run. Runs in a child of the keeper, which goes on watching the
 * app meanwhile. */
#include "agent/runner.h"

#include "agent/proof.h"
#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RELEASE_MS 2000 /* how long the kernel may take to let go of a dead group */
#define SANDBOX_ROOT "keeper/root"

/* What the run left behind. All zero: nothing. */
struct leftovers {
    int processes, mounts, groups, files;
};

static int count_mounts(const char *state)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL, below[4200];
    size_t room = 0;
    int count = 0;
    snprintf(below, sizeof below, " %.4000s/keeper/", state);
    while (file != NULL && getline(&line, &room, file) > 0)
        count += strstr(line, below) != NULL;
    free(line);
    if (file != NULL)
        fclose(file);
    return count;
}

/* Entries of a folder, only those of `uid` unless that is (uid_t)-1. */
static int count_entries(int folder, uid_t uid)
{
    DIR *names = folder >= 0 ? fdopendir(folder) : NULL;
    const struct dirent *entry;
    struct stat st;
    int count = 0;
    while (names != NULL && (entry = readdir(names)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            (uid == (uid_t)-1 ||
             (fstatat(dirfd(names), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid == uid)))
            count++;
    if (names != NULL)
        closedir(names);
    else
        fd_close(&folder);
    return count;
}

/* Where any uid can write; the image never could, which this checks. */
static int count_files(int state_fd, uid_t uid)
{
    static const char *const open_to_all[] = {"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock"};
    int count = count_entries(openat(state_fd, SANDBOX_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC), (uid_t)-1);
    for (size_t i = 0; i < sizeof open_to_all / sizeof open_to_all[0]; i++)
        count += count_entries(open(open_to_all[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC), uid);
    return count;
}

/* Removes the group, which the kernel may hold for a moment after the last process died. */
static bool remove_group(const struct runner *runner)
{
    char name[64];
    struct error err = {0};
    int64_t until = clock_boot_ms() + RELEASE_MS;
    run_group(runner->plan.id, name);
    while (!cgroup_remove(&runner->cgroups, name, &err)) {
        if (clock_boot_ms() > until) {
            log_event(LOG_ERROR, "run.group", "run=%s error=\"%s\"", runner->plan.id, err.text);
            return false;
        }
        err.kind = ERROR_NONE;
        poll(NULL, 0, 5);
    }
    return true;
}

static struct leftovers count_leftovers(const struct runner *runner)
{
    struct leftovers left = {0};
    uid_t uid = runner->uid;
    left.groups = remove_group(runner) ? 0 : 1;
    left.processes = pid_count_of(uid, false);
    left.mounts = count_mounts(runner->state_path);
    left.files = count_files(runner->state_fd, uid);
    return left;
}

/* The app's process before a run beside it: the same, or it ended by itself meanwhile. */
static void write_app_before(const struct run_outcome *outcome, struct json_writer *writer)
{
    if (outcome->app_pid_before == 0) {
        json_write_null(writer, "app_before");
        return;
    }
    json_write_object(writer, "app_before");
    json_write_integer(writer, "pid", outcome->app_pid_before);
    json_write_integer(writer, "start_time", outcome->app_start_time_before);
    json_write_end(writer, '}');
}

static void write_app(const struct run_outcome *outcome, struct json_writer *writer)
{
    char exe[SHA256_HEX];
    struct error err = {0};
    if (outcome->app_pid == 0) {
        json_write_null(writer, "app");
        return;
    }
    json_write_object(writer, "app");
    json_write_integer(writer, "pid", outcome->app_pid);
    json_write_integer(writer, "start_time", outcome->app_start_time);
    json_write_string(writer, "exe", pid_exe_hash(outcome->app_pid, exe, &err) ? exe : NULL);
    json_write_end(writer, '}');
}

static const char *end_name(enum run_end end)
{
    static const char *const names[] = {"exited", "deadline", "killed", "cancelled", "runner_lost"};
    return names[end];
}

static void write_proof(const struct runner *runner, struct json_writer *writer)
{
    const struct run_outcome *outcome = &runner->outcome;
    struct leftovers left = count_leftovers(runner);
    struct error err = {0};
    char after[SHA256_HEX], boot[BOOT_ID_SIZE];
    bool hashed = proof_set_digest(runner->state_fd, after, &err);
    json_write_object(writer, "proof");
    json_write_string(writer, "run", runner->plan.id);
    json_write_string(writer, "boot_id", boot_id(boot));
    json_write_boolean(writer, "equal", hashed && string_is(after, runner->plan.set));
    json_write_string(writer, "before", runner->plan.set);
    json_write_string(writer, "after", hashed ? after : NULL);
    json_write_integer(writer, "leftovers", left.processes + left.mounts + left.groups + left.files);
    write_app(outcome, writer);
    if (run_is_beside(&runner->plan))
        write_app_before(outcome, writer);
    json_write_time(writer, "ended_at", outcome->ended_at);
    json_write_time(writer, "reverted_at", outcome->reverted_at);
    json_write_integer(writer, "revert_ms", outcome->revert_ms);
    json_write_string(writer, "end", end_name(outcome->end));
    json_write_integer(writer, "status", outcome->status);
    json_write_end(writer, '}');
    json_write_object(writer, "left");
    json_write_integer(writer, "processes", left.processes);
    json_write_integer(writer, "mounts", left.mounts);
    json_write_integer(writer, "groups", left.groups);
    json_write_integer(writer, "files", left.files);
    json_write_end(writer, '}');
    json_write_string(writer, "proof_error", hashed ? NULL : err.text);
}

static void write_lists(const struct run_output *output, struct json_writer *writer)
{
    char more[64];
    json_write_array(writer, "files");
    for (size_t i = 0; i < output->count; i++) {
        const struct run_file *file = &output->files[i];
        json_write_object(writer, NULL);
        json_write_string(writer, "path", file->path);
        json_write_integer(writer, "length", file->length);
        json_write_string(writer, "sha256", file->sha256);
        json_write_string(writer, "type", file->type);
        if (file->redacted > 0)
            json_write_integer(writer, "redacted", file->redacted);
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
    json_write_array(writer, "omitted");
    for (size_t i = 0; i < output->omitted_count; i++) {
        json_write_object(writer, NULL);
        json_write_string(writer, "path", output->omitted[i].path);
        json_write_string(writer, "why", output->omitted[i].why);
        json_write_end(writer, '}');
    }
    if (output->more_omitted > 0) {
        snprintf(more, sizeof more, "%lld more", (long long)output->more_omitted);
        json_write_object(writer, NULL);
        json_write_string(writer, "path", "…");
        json_write_string(writer, "why", more);
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
}

/* Complete, partial or none, and why. */
static void write_capture(const struct runner *runner, const struct run_output *output, bool has_output,
                          struct json_writer *writer)
{
    const struct run_outcome *outcome = &runner->outcome;
    const char *capture = "complete", *reason = NULL;
    if (outcome->end == RUN_RUNNER_LOST) {
        capture = "none";
        reason = outcome->power_lost ? "power_lost" : "runner_lost";
    } else if (!has_output) {
        capture = "none";
        reason = outcome->error[0] != '\0' ? "not_started" : "copy_failed";
    } else if (output->count == 0) {
        capture = "none";
        reason = output->omitted_count > 0 ? "nothing_usable" : "empty";
    } else if (output->omitted_count > 0 || output->full) {
        capture = "partial";
        reason = output->full ? "max_output" : "omitted";
    }
    json_write_string(writer, "capture", capture);
    json_write_string(writer, "capture_reason", reason);
}

/* Text of the image for a person; what is not plain text becomes '?'. */
static void write_console(const struct run_outcome *outcome, struct json_writer *writer)
{
    char text[RUN_CONSOLE + 1];
    memcpy(text, outcome->console, outcome->console_size);
    text[outcome->console_size] = '\0';
    for (size_t i = 0; i < outcome->console_size; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 32 && c != '\n' && c != '\t') || c >= 127)
            text[i] = '?';
    }
    json_write_string(writer, "console", text);
}

static bool take_output(struct arena *arena, const struct runner *runner, int output_fd,
                        struct run_output *output, struct error *err)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s/output", STATE_KEEPER_RUNS, runner->plan.id);
    if (!tree_remove(runner->state_fd, path, err) || !folder_make(runner->state_fd, path, 0700, err))
        return false;
    FD(to) = folder_open_beneath(runner->state_fd, path, err);
    return to >= 0 && run_output_copy(arena, output_fd, to, &runner->plan, output, err);
}

bool run_prove(const struct runner *runner, int output_fd, struct error *err)
{
    ARENA(arena);
    struct text text;
    struct json_writer writer;
    struct run_output output = {0};
    struct error lost = {0};
    char path[128];
    bool has_output = output_fd >= 0 && take_output(&arena, runner, output_fd, &output, &lost);
    if (lost.kind != ERROR_NONE) {
        log_event(LOG_ERROR, "run.output", "run=%s error=\"%s\"", runner->plan.id, lost.text);
        output.count = 0;
    }
    text_init(&text, 4 << 20);
    json_write_init(&writer, &text);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "run", runner->plan.id);
    json_write_integer(&writer, "campaign", runner->plan.campaign);
    json_write_string(&writer, "image", runner->plan.image);
    json_write_string(&writer, "version", runner->plan.version);
    json_write_time(&writer, "started_at", runner->outcome.started_at);
    write_proof(runner, &writer);
    write_capture(runner, &output, has_output, &writer);
    write_lists(&output, &writer);
    json_write_string(&writer, "error", runner->outcome.error[0] != '\0' ? runner->outcome.error : NULL);
    json_write_boolean(&writer, "out_of_memory", runner->outcome.ran_out_of_memory);
    write_console(&runner->outcome, &writer);
    json_write_end(&writer, '}');
    snprintf(path, sizeof path, "%s/%s/result.json", STATE_KEEPER_RUNS, runner->plan.id);
    bool good = text.failed ? error_set(err, ERROR_LIMIT, "the run's result is too large")
                            : file_write(runner->state_fd, path, text.bytes, text.size, 0600, err);
    text_end(&text);
    return good;
}

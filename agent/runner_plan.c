#include "agent/runner.h"

#include "agent/redact.h"
#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RUN_FILE_LIMIT (64 << 10)
#define CONSUMED_MOST 4096 /* marks, each a file */

bool run_id_is_valid(const char *id)
{
    return id != NULL && strlen(id) == RUN_ID_SIZE - 1 && strspn(id, "0123456789abcdef") == RUN_ID_SIZE - 1;
}

const char *run_group(const char *id, char name[64])
{
    snprintf(name, 64, "locum-%.32s", id);
    return name;
}

static void path_of(char path[128], const char *folder, const char *id, const char *file)
{
    snprintf(path, 128, "%s/%.32s%s%s", folder, id, file[0] != '\0' ? "/" : "", file);
}

static bool in_list(const char *const *list, const char *word)
{
    for (; *list != NULL; list++)
        if (string_is(*list, word))
            return true;
    return false;
}

/* The order's scopes, each of which the signed limits must name. */
static bool read_collect(struct arena *arena, const struct json *request, struct run_plan *plan,
                         struct error *err)
{
    const struct json *collect;
    if (!json_need_array(request, "collect", &collect, err))
        return false;
    plan->collect = arena_array(arena, collect->size + 1, sizeof *plan->collect);
    size_t n = 0;
    for (const struct json *scope = collect->first; scope != NULL; scope = scope->next) {
        if (scope->type != JSON_STRING || !in_list(plan->limits.collect, scope->string))
            return error_set(err, ERROR_DENIED, "the image's signed limits do not allow it to collect %s",
                             scope->type == JSON_STRING ? scope->string : "that");
        plan->collect[n++] = arena_strdup(arena, scope->string);
    }
    return true;
}

static bool read_limits(struct arena *arena, const struct json *request, struct run_plan *plan,
                        struct error *err)
{
    const struct json *limits;
    TEXT(text);
    struct json_writer writer;
    if (!json_need_object(request, "limits", &limits, err))
        return false;
    json_write_init(&writer, &text);
    json_write_value(&writer, NULL, limits);
    if (!image_limits_read(arena, arena_copy(arena, text_string(&text), text.size), text.size, &plan->limits,
                           err))
        return error_add(err, "limits");
    snprintf(plan->mode, sizeof plan->mode, "%s", plan->limits.mode);
    return true;
}

/* What the order has blotted out: looked at before anything starts, used after the end. */
static bool read_redact(struct arena *arena, const struct json *request, struct run_plan *plan,
                        struct error *err)
{
    const struct json *patterns;
    if (json_get(request, "redact") == NULL)
        return true;
    if (!json_need_array(request, "redact", &patterns, err))
        return false;
    plan->redact = arena_array(arena, patterns->size + 1, sizeof *plan->redact);
    size_t n = 0;
    for (const struct json *one = patterns->first; one != NULL; one = one->next) {
        if (one->type != JSON_STRING)
            return error_set(err, ERROR_INPUT, "\"redact\" must hold patterns");
        plan->redact[n++] = arena_strdup(arena, one->string);
    }
    return redact_check((const char *const *)plan->redact, err) || error_add(err, "redact");
}

bool run_is_beside(const struct run_plan *plan)
{
    return string_is(plan->mode, "beside");
}

bool run_is_override(const struct run_plan *plan)
{
    return string_is(plan->mode, "override");
}

/* What the campaign gives, and for what it leaves out the defaults that the signed limits declare. */
static bool read_params(struct arena *arena, const struct json *request, struct run_plan *plan,
                        struct error *err)
{
    const struct json *params = json_get(request, "params"), *rules = plan->limits.params;
    TEXT(text);
    struct json_writer writer;
    if (!image_params_check(&plan->limits, params, err))
        return false;
    json_write_init(&writer, &text);
    json_write_object(&writer, NULL);
    for (const struct json *given = params != NULL ? params->first : NULL; given != NULL; given = given->next)
        json_write_value(&writer, given->key, given);
    for (const struct json *rule = rules != NULL ? rules->first : NULL; rule != NULL; rule = rule->next)
        if (json_get(params, rule->key) == NULL && json_get(rule, "default") != NULL)
            json_write_value(&writer, rule->key, json_get(rule, "default"));
    json_write_end(&writer, '}');
    plan->params = arena_copy(arena, text.bytes, text.size);
    return true;
}

static bool read_paths(struct arena *arena, const struct json *request, struct run_plan *plan,
                       struct error *err)
{
    const char *folder, *set, *set_path;
    if (!json_need_string(request, "folder", &folder, err) || !json_need_string(request, "set", &set, err) ||
        !json_need_string(request, "set_path", &set_path, err))
        return false;
    if (folder[0] != '/' || set_path[0] != '/' || !sha256_is_hex(set))
        return error_set(err, ERROR_INPUT, "\"folder\" and \"set_path\" must be absolute, \"set\" a digest");
    plan->folder = arena_strdup(arena, folder);
    plan->set_path = arena_strdup(arena, set_path);
    snprintf(plan->set, sizeof plan->set, "%s", set);
    return true;
}

/* What both the worker's request and run.json hold. */
static bool read_names(const struct json *request, struct run_plan *plan, struct error *err)
{
    const char *id, *image, *version;
    if (!json_need_string(request, "id", &id, err) || !json_need_string(request, "image", &image, err) ||
        !json_need_string(request, "version", &version, err) ||
        !json_need_integer(request, "not_after", 0, INT64_MAX, &plan->not_after, err))
        return false;
    if (!run_id_is_valid(id) || !name_is_valid(image) || strlen(version) >= VERSION_SIZE)
        return error_set(err, ERROR_INPUT, "a run's id has 32 hex digits, its image a name and a version");
    memcpy(plan->id, id, RUN_ID_SIZE);
    snprintf(plan->image, sizeof plan->image, "%s", image);
    snprintf(plan->version, sizeof plan->version, "%s", version);
    plan->campaign = json_integer(request, "campaign", 0);
    return true;
}

bool run_plan_read(struct arena *arena, const struct json *request, struct run_plan *plan, struct error *err)
{
    memset(plan, 0, sizeof *plan);
    if (!read_names(request, plan, err) || !read_limits(arena, request, plan, err) ||
        !json_need_integer(request, "duration_s", 1, plan->limits.max_runtime_s, &plan->duration_s, err) ||
        !read_collect(arena, request, plan, err) || !read_redact(arena, request, plan, err) ||
        !read_paths(arena, request, plan, err))
        return false;
    plan->max_output = json_integer(request, "max_output", plan->limits.max_output);
    if (plan->max_output < 4096 || plan->max_output > plan->limits.max_output)
        plan->max_output = plan->limits.max_output;
    return read_params(arena, request, plan, err);
}

/* A server that makes runs without end and lets none of them lapse must not fill the disk with marks. */
static bool marks_have_room(int state_fd, struct error *err)
{
    int folder = folder_open_beneath(state_fd, STATE_KEEPER_CONSUMED, err);
    DIR *names = folder < 0 ? NULL : fdopendir(folder);
    int count = 0;

    if (names == NULL) {
        fd_close(&folder);
        return err->kind != ERROR_NONE ? false : error_errno(err, "marks of runs");
    }
    while (count <= CONSUMED_MOST && readdir(names) != NULL)
        count++;
    closedir(names);
    return count <= CONSUMED_MOST ||
           error_set(err, ERROR_LIMIT, "more than %d earlier runs have not lapsed yet", CONSUMED_MOST);
}

bool run_write_down(int state_fd, const struct run_plan *plan, const struct run_outcome *outcome,
                    struct error *err)
{
    char path[128], boot[BOOT_ID_SIZE];
    TEXT(text);
    struct json_writer writer;
    json_write_init(&writer, &text);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "id", plan->id);
    json_write_integer(&writer, "campaign", plan->campaign);
    json_write_string(&writer, "image", plan->image);
    json_write_string(&writer, "version", plan->version);
    json_write_integer(&writer, "not_after", plan->not_after);
    json_write_string(&writer, "set", plan->set);
    json_write_string(&writer, "mode", plan->mode);
    json_write_integer(&writer, "app_pid", outcome->app_pid_before);
    json_write_integer(&writer, "app_start_time", outcome->app_start_time_before);
    json_write_integer(&writer, "started_at", clock_now());
    json_write_string(&writer, "boot_id", boot_id(boot));
    json_write_end(&writer, '}');
    path_of(path, STATE_KEEPER_RUNS, plan->id, "");
    if (!marks_have_room(state_fd, err) || !folder_make(state_fd, path, 0700, err))
        return false;
    path_of(path, STATE_KEEPER_RUNS, plan->id, "run.json");
    return file_write(state_fd, path, text.bytes, text.size, 0600, err);
}

bool run_consume(int state_fd, const struct run_plan *plan, struct error *err)
{
    char path[128], mark[64];
    int size = snprintf(mark, sizeof mark, "{\"not_after\":%lld}\n", (long long)plan->not_after);
    path_of(path, STATE_KEEPER_CONSUMED, plan->id, "");
    if (file_create(state_fd, path, mark, (size_t)size, 0600, err))
        return true;
    if (err->kind == ERROR_CONFLICT)
        return error_set(err, ERROR_CONFLICT, "run %s was started before", plan->id);
    return false;
}

bool run_is_consumed(int state_fd, const char *id)
{
    char path[128];
    path_of(path, STATE_KEEPER_CONSUMED, id, "");
    return faccessat(state_fd, path, F_OK, 0) == 0;
}

bool run_has_result(int state_fd, const char *id)
{
    char path[128];
    path_of(path, STATE_KEEPER_RUNS, id, "result.json");
    return faccessat(state_fd, path, F_OK, 0) == 0;
}

bool run_read_back(struct arena *arena, int state_fd, const char *id, struct run_plan *plan,
                   struct run_outcome *outcome, struct error *err)
{
    char path[128], *bytes, boot[BOOT_ID_SIZE];
    const char *set;
    size_t size;
    path_of(path, STATE_KEEPER_RUNS, id, "run.json");
    memset(plan, 0, sizeof *plan);
    memset(outcome, 0, sizeof *outcome);
    if (!file_read(arena, state_fd, path, RUN_FILE_LIMIT, &bytes, &size, err))
        return false;
    const struct json *file = json_read(arena, bytes, size, &json_limits_small, err);
    if (file == NULL || !read_names(file, plan, err) || !json_need_string(file, "set", &set, err))
        return false;
    snprintf(plan->set, sizeof plan->set, "%s", set);
    const char *mode = json_string(file, "mode");
    snprintf(plan->mode, sizeof plan->mode, "%.10s", mode != NULL ? mode : "replace");
    outcome->app_pid_before = (pid_t)json_integer(file, "app_pid", 0);
    outcome->app_start_time_before = json_integer(file, "app_start_time", -1);
    outcome->started_at = json_integer(file, "started_at", 0);
    outcome->power_lost = !string_is(json_string(file, "boot_id"), boot_id(boot));
    return true;
}

bool run_note_first(int state_fd, const char *id, pid_t pid, struct error *err)
{
    char path[128], text[64];
    int size = snprintf(text, sizeof text, "{\"pid\":%d,\"start_time\":%lld}\n", (int)pid,
                        (long long)pid_start_time(pid));
    path_of(path, STATE_KEEPER_RUNS, id, "first.json");
    return file_write(state_fd, path, text, (size_t)size, 0600, err);
}

void run_kill_first(int state_fd, const char *id)
{
    ARENA(arena);
    struct error err = {0};
    char path[128], *bytes;
    size_t size;
    path_of(path, STATE_KEEPER_RUNS, id, "first.json");
    if (!file_read(&arena, state_fd, path, 256, &bytes, &size, &err))
        return;
    const struct json *first = json_read(&arena, bytes, size, &json_limits_small, &err);
    FD(pidfd) = pid_open((pid_t)json_integer(first, "pid", 0), json_integer(first, "start_time", -1));
    struct pollfd gone = {.fd = pidfd, .events = POLLIN};
    if (pidfd < 0)
        return;
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    poll(&gone, 1, RUN_KILL_MS);
}

/* The worker's durable floor of the clock; 0 when there is none yet. */
static int64_t time_floor(int state_fd)
{
    ARENA(arena);
    struct error err = {0};
    char *bytes;
    size_t size;
    if (!file_read(&arena, state_fd, STATE_FLOORS, 1 << 20, &bytes, &size, &err))
        return 0;
    return json_integer(json_read(&arena, bytes, size, &json_limits_large, &err), "clock", 0);
}

static void clean_mark(int folder, const char *name, int64_t floor)
{
    ARENA(arena);
    struct error err = {0};
    char *bytes;
    size_t size;
    if (!run_id_is_valid(name) || !file_read(&arena, folder, name, 256, &bytes, &size, &err))
        return;
    const struct json *mark = json_read(&arena, bytes, size, &json_limits_small, &err);
    if (mark != NULL && json_integer(mark, "not_after", INT64_MAX) < floor && unlinkat(folder, name, 0) == 0)
        log_event(LOG_DEBUG, "run.mark_removed", "run=%s", name);
}

void run_marks_clean(int state_fd)
{
    struct error err = {0};
    int64_t floor = time_floor(state_fd);
    int folder = folder_open_beneath(state_fd, STATE_KEEPER_CONSUMED, &err);
    DIR *names = folder >= 0 ? fdopendir(folder) : NULL;
    const struct dirent *entry;
    while (names != NULL && (entry = readdir(names)) != NULL)
        clean_mark(folder, entry->d_name, floor);
    if (names != NULL)
        closedir(names);
}

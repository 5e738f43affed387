#include "agent/assignment.h"

#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RESULT_LIMIT (4 << 20)
#define START_MS 90000 /* beyond the app's own time to stop */
#define FORGET_MS 30000
#define RETRY_MOST_MS 30000

/* --- small things
 * ------------------------------------------------------------------------------------------------ */

bool assignment_is_over(const struct assignment *assignment)
{
    return assignment->state >= ASSIGNMENT_DONE;
}

bool assignment_is_begun(const struct assignment *assignment)
{
    return assignment->state == ASSIGNMENT_RUNNING || assignment->state == ASSIGNMENT_REVERTING;
}

struct assignment *assignments_find(struct assignments *assignments, const char *id)
{
    for (size_t i = 0; i < assignments->count; i++)
        if (strcmp(assignments->list[i].id, id) == 0)
            return &assignments->list[i];
    return NULL;
}

static bool is_there(const struct assignments *assignments, const char *folder, const char *id,
                     const char *file)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%.32s%s", folder, id, file);
    return faccessat(assignments->state_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_consumed(const struct assignments *assignments, const char *id)
{
    return is_there(assignments, STATE_KEEPER_CONSUMED, id, "");
}

static void note(const struct assignment *assignment, const struct error *err)
{
    char quoted[ASSIGNMENT_TEXT];

    log_event(LOG_WARNING, "assignment", "run=%s state=%s why=%s", assignment->id,
              assignment_state_name(assignment->state), log_quote(quoted, sizeof(quoted), err->text));
}

/* The only writer of states: the report first, which may be told twice, then the file. */
static bool enter_with(struct assignments *assignments, struct assignment *assignment,
                       enum assignment_state state, const struct json *proof)
{
    enum assignment_state before = assignment->state;
    struct error err = {0};

    assignment->state = state;
    if (!assignment_tell(assignments, assignment, proof, &err) ||
        !assignment_save(assignments, assignment, &err)) {
        assignment->state = before;
        note(assignment, &err);
        return false;
    }
    log_event(LOG_INFO, "assignment", "run=%s image=%s state=%s%s%s", assignment->id, assignment->image,
              assignment_state_name(state), *assignment->code ? " code=" : "", assignment->code);
    return true;
}

static bool enter(struct assignments *assignments, struct assignment *assignment, enum assignment_state state)
{
    return enter_with(assignments, assignment, state, NULL);
}

static void end(struct assignments *assignments, struct assignment *assignment, enum assignment_state state,
                const char *code, const char *text)
{
    snprintf(assignment->code, sizeof(assignment->code), "%s", code);
    snprintf(assignment->text, sizeof(assignment->text), "%s", text);
    if (!enter(assignments, assignment, state))
        assignment->code[0] = '\0';
}

static void forget(struct assignments *assignments, size_t index)
{
    char path[64];

    snprintf(path, sizeof(path), STATE_RUNS "/%s.json", assignments->list[index].id);
    unlinkat(assignments->state_fd, path, 0);
    memmove(&assignments->list[index], &assignments->list[index + 1],
            (--assignments->count - index) * sizeof(assignments->list[0]));
}

/* --- from orders
 * --------------------------------------------------------------------------------------------------- */

static bool add(struct assignments *assignments, const struct wish_run *run, struct error *err)
{
    if (assignments->count == ASSIGNMENTS_MOST)
        return error_set(err, ERROR_LIMIT, "more than %d runs are known", ASSIGNMENTS_MOST);
    struct assignment *assignment = &assignments->list[assignments->count];
    *assignment = (struct assignment){
        .campaign = run->order.campaign, .end = ASSIGNMENT_DONE, .backoff = {.limit_ms = RETRY_MOST_MS}};
    strcpy(assignment->id, run->order.id);
    strcpy(assignment->image, run->order.image);
    strcpy(assignment->version, run->order.version);
    /* Known of old: its word is long told and forgotten. It never starts twice. */
    if (is_consumed(assignments, assignment->id))
        assignment->state = is_there(assignments, STATE_KEEPER_RUNS, assignment->id, "") ? ASSIGNMENT_RUNNING
                                                                                         : ASSIGNMENT_DONE;
    if (!assignment_save(assignments, assignment, err))
        return false;
    assignments->count++;
    return true;
}

/* A newer order without it: cancelled at once when it has not begun; else the keeper is told. */
static void drop(struct assignments *assignments, struct assignment *assignment)
{
    struct error err = {0};

    if (assignment->dropped)
        return;
    assignment->dropped = true;
    if (!assignment_is_begun(assignment) && assignment->state < ASSIGNMENT_UPLOADING &&
        !is_consumed(assignments, assignment->id))
        end(assignments, assignment, ASSIGNMENT_CANCELLED, "cancelled",
            "a newer order does not have this run");
    else if (!assignment_save(assignments, assignment, &err))
        note(assignment, &err);
}

bool assignments_take(struct assignments *assignments, const struct wish *wish, struct error *err)
{
    for (size_t i = assignments->count; i-- > 0;) {
        if (wish_run_find(wish, assignments->list[i].id))
            continue;
        drop(assignments, &assignments->list[i]);
        if (assignment_is_over(&assignments->list[i]))
            forget(assignments, i);
    }
    for (size_t i = 0; i < wish->run_count; i++)
        if (!assignments_find(assignments, wish->runs[i].order.id) && !add(assignments, &wish->runs[i], err))
            return false;
    return true;
}

bool assignments_load(struct assignments *assignments, struct error *err)
{
    int fd = folder_open_beneath(assignments->state_fd, STATE_RUNS, err);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        fd_close(&fd);
        return err->kind != ERROR_NONE ? false : error_errno(err, "reading the runs");
    }
    for (struct dirent *entry; assignments->count < ASSIGNMENTS_MOST && (entry = readdir(dir));) {
        struct error damaged = {0};
        struct assignment *assignment = &assignments->list[assignments->count];
        size_t size = strlen(entry->d_name);
        if (size != 37 || strcmp(entry->d_name + 32, ".json") != 0)
            continue;
        if (assignment_load(assignments, entry->d_name, assignment, &damaged)) {
            assignment->backoff.limit_ms = RETRY_MOST_MS;
            assignments->count++;
        } else {
            log_event(LOG_WARNING, "assignment", "file=%s why=\"%s\"", entry->d_name, damaged.text);
        }
    }
    closedir(dir);
    return true;
}

/* --- before it begins
 * ----------------------------------------------------------------------------------------------- */

/* True when the run may not begin any more, and why is told. */
static bool is_out(struct assignments *assignments, struct assignment *assignment, const struct wish_run *run,
                   const struct assignments_now *now)
{
    const struct channel *channel = assignments->channel;
    char text[ASSIGNMENT_TEXT + 80];

    if (run->image.refused) {
        end(assignments, assignment, ASSIGNMENT_FAILED, "untrusted", run->image.refused);
    } else if (!now->clock_is_good) {
        end(assignments, assignment, ASSIGNMENT_SKIPPED, "clock",
            "the device's clock is behind the last time that it trusted");
    } else if (clock_now() > run->order.start_before) {
        snprintf(text, sizeof(text), "the time to start it was over before it could begin%s%s",
                 *assignment->trouble ? ": " : "", assignment->trouble);
        end(assignments, assignment, ASSIGNMENT_SKIPPED, "missed_window", text);
    } else if (*channel->diagnostics && strcmp(channel->diagnostics, "yes") != 0) {
        end(assignments, assignment, ASSIGNMENT_SKIPPED, geteuid() == 0 ? "unsupported" : "no_root",
            channel->diagnostics);
    } else {
        return false;
    }
    return true;
}

static void trouble_note(struct assignment *assignment, const struct error *err)
{
    if (strncmp(assignment->trouble, err->text, sizeof(assignment->trouble) - 10) != 0)
        note(assignment, err);
    snprintf(assignment->trouble, sizeof(assignment->trouble), "%.290s", err->text);
    assignment->retry_at_ms = clock_boot_ms() + backoff_next(&assignment->backoff);
}

static void start(struct assignments *assignments, struct assignment *assignment, const struct wish_run *run,
                  const struct image_limits *limits, const struct set *set)
{
    ARENA(arena);
    TEXT(out);
    struct json_writer writer;
    const struct json *answer;
    struct error err = {0};

    version_touch(assignments->state_fd, run->order.image, run->order.version);
    assignment_request(assignments, run, limits, set, &writer, &out);
    bool good =
        channel_ask(assignments->channel, &arena, &writer,
                    START_MS + assignments->channel->settings->app_stop_timeout_s * 1000, &answer, &err);
    assignment->started_at = clock_now();
    assignment->duration_s = run->order.duration_s;
    if (good) {
        const char *ends_at = json_string(answer, "ends_at");
        if (!ends_at || !time_parse(ends_at, &assignment->ends_at))
            assignment->ends_at = assignment->started_at + run->order.duration_s;
        enter(assignments, assignment, ASSIGNMENT_RUNNING);
    } else if (is_consumed(assignments, assignment->id)) {
        /* It began, or was about to: what became of it stands in the keeper's result. */
        assignment->ends_at = assignment->started_at + run->order.duration_s;
        enter(assignments, assignment, ASSIGNMENT_RUNNING);
    } else if (err.kind == ERROR_SYSTEM || assignments->channel->passing) {
        /* No keeper, or something in the way: it is tried again until start_before. */
        assignment->started_at = 0;
        trouble_note(assignment, &err);
    } else {
        end(assignments, assignment, ASSIGNMENT_FAILED, "not_started", err.text);
    }
}

static bool others_begun(const struct assignments *assignments)
{
    for (size_t i = 0; i < assignments->count; i++)
        if (assignment_is_begun(&assignments->list[i]))
            return true;
    return *assignments->channel->run.id != '\0';
}

static void step_before(struct assignments *assignments, struct assignment *assignment,
                        const struct wish_run *run, const struct assignments_now *now)
{
    ARENA(arena);
    struct image_limits limits;
    struct error err = {0};

    if (is_consumed(assignments, assignment->id)) {
        enter(assignments, assignment, ASSIGNMENT_RUNNING);
        return;
    }
    if (!run || is_out(assignments, assignment, run, now) || clock_now() < run->order.start_after)
        return;
    if (!version_is_installed(assignments->state_fd, &run->image.entry)) {
        if (assignment->state == ASSIGNMENT_SCHEDULED)
            enter(assignments, assignment, ASSIGNMENT_DOWNLOADING);
        return;
    }
    if (assignment->state != ASSIGNMENT_VERIFYING && !enter(assignments, assignment, ASSIGNMENT_VERIFYING))
        return;
    if (!assignment_check(assignments, run, &arena, &limits, &err)) {
        end(assignments, assignment, ASSIGNMENT_FAILED, "untrusted", err.text);
        return;
    }
    if (now->may_start && assignments->channel->link && !others_begun(assignments) &&
        clock_boot_ms() >= assignment->retry_at_ms)
        start(assignments, assignment, run, &limits, now->set);
}

/* --- after it began
 * --------------------------------------------------------------------------------------------------- */

static void text_take(const struct json *json, const char *name, char *into, size_t room)
{
    const char *text = json_string(json, name);

    snprintf(into, room, "%s", text ? text : "");
}

/* What the end will be called, by the keeper's result. */
static void result_judge(struct assignment *assignment, const struct json *result)
{
    const char *error = json_string(result, "error"), *how = json_string(json_get(result, "proof"), "end");

    assignment->end = ASSIGNMENT_DONE;
    if (error) {
        assignment->end = ASSIGNMENT_FAILED;
        strcpy(assignment->code, "not_started");
        snprintf(assignment->text, sizeof(assignment->text), "%.290s", error);
    } else if (string_is(how, "cancelled")) {
        assignment->end = ASSIGNMENT_CANCELLED;
        strcpy(assignment->code, "cancelled");
        strcpy(assignment->text, "it was cancelled while it ran");
    } else if (json_boolean(result, "out_of_memory", false)) {
        /* What it collected without the process that the kernel took is kept, but is not called done. */
        assignment->end = ASSIGNMENT_FAILED;
        strcpy(assignment->code, "out_of_memory");
        strcpy(assignment->text, "the image wanted more memory than its limits allow: the kernel ended it or "
                                 "a process of it");
    }
    text_take(result, "capture", assignment->capture, sizeof(assignment->capture));
    text_take(result, "capture_reason", assignment->capture_reason, sizeof(assignment->capture_reason));
    if (!*assignment->capture)
        strcpy(assignment->capture, "none");
}

static bool result_take(struct assignments *assignments, struct assignment *assignment, struct error *err)
{
    ARENA(arena);
    struct assignment before = *assignment;
    char path[128], *bytes;
    const struct json *proof;
    size_t size;

    snprintf(path, sizeof(path), STATE_KEEPER_RUNS "/%s/result.json", assignment->id);
    if (!file_read(&arena, assignments->state_fd, path, RESULT_LIMIT, &bytes, &size, err))
        return false;
    const struct json *result = json_read(&arena, bytes, size, &json_limits_large, err);
    if (!result || !json_need_object(result, "proof", &proof, err))
        return error_add(err, "%s", path);
    result_judge(assignment, result);
    if (enter_with(assignments, assignment, ASSIGNMENT_UPLOADING, proof))
        return true;
    *assignment = before;
    return true;
}

/* A later order gives the run more time: the keeper holds the deadline and judges. A refusal is not asked
 * about again. */
static void extend(struct assignments *assignments, struct assignment *assignment, const struct wish_run *run)
{
    ARENA(arena);
    TEXT(out);
    struct json_writer writer;
    const struct json *answer;
    struct error err = {0};

    if (!run || run->order.duration_s <= assignment->duration_s ||
        run->order.duration_s == assignment->refused_s || !assignments->channel->link)
        return;
    channel_request(&writer, &out, "run_extend");
    json_write_string(&writer, "run", assignment->id);
    json_write_integer(&writer, "duration_s", run->order.duration_s);
    bool good = channel_ask(assignments->channel, &arena, &writer, START_MS, &answer, &err);
    if (!good && err.kind == ERROR_SYSTEM)
        return; /* the keeper went away: what is there then is asked again */
    if (!good) {
        assignment->refused_s = run->order.duration_s;
        note(assignment, &err);
        return;
    }
    assignment->duration_s = run->order.duration_s;
    const char *ends_at = json_string(answer, "ends_at");
    if (ends_at)
        time_parse(ends_at, &assignment->ends_at);
    enter(assignments, assignment, ASSIGNMENT_RUNNING);
}

static void step_begun(struct assignments *assignments, struct assignment *assignment,
                       const struct wish_run *run)
{
    const struct channel *channel = assignments->channel;
    bool ours = strcmp(channel->run.id, assignment->id) == 0;
    struct error err = {0};

    if (assignment->state == ASSIGNMENT_RUNNING && !assignment->dropped)
        extend(assignments, assignment, run);
    /* The keeper knows whether it still runs, also when no event has told us yet. */
    if (assignment->dropped && !assignment->cancel_sent && assignment->state == ASSIGNMENT_RUNNING) {
        ARENA(arena);
        TEXT(out);
        struct json_writer writer;
        const struct json *answer;
        channel_request(&writer, &out, "run_cancel");
        json_write_string(&writer, "run", assignment->id);
        assignment->cancel_sent = channel_ask(assignments->channel, &arena, &writer, START_MS, &answer, &err);
    }
    bool over = is_there(assignments, STATE_KEEPER_RUNS, assignment->id, "/result.json");
    bool reverting = over || (ours && strcmp(channel->run.state, "running") != 0 && *channel->run.state &&
                              strcmp(channel->run.state, "starting") != 0);
    if (assignment->state == ASSIGNMENT_RUNNING && reverting &&
        !enter(assignments, assignment, ASSIGNMENT_REVERTING))
        return;
    err = (struct error){0};
    if (over && !result_take(assignments, assignment, &err)) {
        note(assignment, &err);
        if (err.kind == ERROR_INPUT)
            end(assignments, assignment, ASSIGNMENT_FAILED, "lost",
                "the run's result was damaged on the device");
    } else if (!over && channel->link && !*channel->run.id &&
               !is_there(assignments, STATE_KEEPER_RUNS, assignment->id, "")) {
        end(assignments, assignment, ASSIGNMENT_FAILED, "lost", "the run's files were lost on the device");
    }
}

static void keeper_forget(struct assignments *assignments, const char *id)
{
    ARENA(arena);
    TEXT(out);
    struct json_writer writer;
    const struct json *answer;
    struct error err = {0};

    channel_request(&writer, &out, "run_forget");
    json_write_string(&writer, "run", id);
    if (!channel_ask(assignments->channel, &arena, &writer, FORGET_MS, &answer, &err))
        log_event(LOG_WARNING, "run_forget", "run=%s why=\"%s\"", id, err.text);
}

void assignments_step(struct assignments *assignments, const struct assignments_now *now)
{
    for (size_t i = 0; i < assignments->count; i++) {
        struct assignment *assignment = &assignments->list[i];
        if (assignment->state < ASSIGNMENT_RUNNING)
            step_before(assignments, assignment, wish_run_find(now->wish, assignment->id), now);
        if (assignment_is_begun(assignment))
            step_begun(assignments, assignment, wish_run_find(now->wish, assignment->id));
        if (assignment->state == ASSIGNMENT_UPLOADING && strcmp(assignment->capture, "none") == 0)
            enter(assignments, assignment, assignment->end);
        if (assignment_is_over(assignment) && assignments->channel->link &&
            is_there(assignments, STATE_KEEPER_RUNS, assignment->id, ""))
            keeper_forget(assignments, assignment->id);
    }
    for (size_t i = assignments->count; i-- > 0;)
        if (assignment_is_over(&assignments->list[i]) && assignments->list[i].dropped)
            forget(assignments, i);
}

/* --- work for the transfer thread
 * ----------------------------------------------------------------------------------- */

struct assignment *assignments_fetch_due(struct assignments *assignments, const struct wish *wish)
{
    for (size_t i = 0; i < assignments->count; i++) {
        struct assignment *assignment = &assignments->list[i];
        const struct wish_run *run = wish_run_find(wish, assignment->id);
        if (run && !run->image.refused && assignment->state < ASSIGNMENT_RUNNING &&
            clock_boot_ms() >= assignment->retry_at_ms &&
            !version_is_installed(assignments->state_fd, &run->image.entry))
            return assignment;
    }
    return NULL;
}

struct assignment *assignments_upload_due(struct assignments *assignments)
{
    for (size_t i = 0; i < assignments->count; i++)
        if (assignments->list[i].state == ASSIGNMENT_UPLOADING &&
            clock_boot_ms() >= assignments->list[i].retry_at_ms)
            return &assignments->list[i];
    return NULL;
}

static void retry_later(struct assignment *assignment)
{
    assignment->retry_at_ms = clock_boot_ms() + backoff_next(&assignment->backoff);
}

void assignment_fetched(struct assignments *assignments, struct assignment *assignment,
                        const struct error *err, bool lasting)
{
    if (err->kind == ERROR_NONE) {
        backoff_reset(&assignment->backoff);
        assignment->trouble[0] = '\0';
        return;
    }
    snprintf(assignment->trouble, sizeof(assignment->trouble), "%.290s", err->text);
    note(assignment, err);
    if (lasting)
        end(assignments, assignment, ASSIGNMENT_FAILED, "untrusted", err->text);
    else
        retry_later(assignment);
}

void assignment_uploaded(struct assignments *assignments, struct assignment *assignment, bool dropped,
                         const char *dropped_why, const struct error *err)
{
    if (err->kind != ERROR_NONE) {
        note(assignment, err);
        retry_later(assignment);
        return;
    }
    if (dropped) {
        strcpy(assignment->capture, "none");
        snprintf(assignment->capture_reason, sizeof(assignment->capture_reason), "%s", dropped_why);
    }
    enter(assignments, assignment, assignment->end);
}

int64_t assignments_due_ms(const struct assignments *assignments, const struct wish *wish)
{
    int64_t due = INT64_MAX, now = clock_now(), boot = clock_boot_ms();

    for (size_t i = 0; i < assignments->count; i++) {
        const struct assignment *assignment = &assignments->list[i];
        const struct wish_run *run = wish_run_find(wish, assignment->id);
        int64_t at = assignment->retry_at_ms > boot ? assignment->retry_at_ms : INT64_MAX;
        if (run && assignment->state < ASSIGNMENT_RUNNING && run->order.start_after > now) {
            int64_t starts = boot + (run->order.start_after - now) * 1000;
            at = starts < at ? starts : at;
        }
        if (!assignment_is_over(assignment) && at < due)
            due = at;
    }
    return due;
}

const struct assignment *assignments_active(const struct assignments *assignments)
{
    const struct assignment *active = NULL;

    for (size_t i = 0; i < assignments->count; i++) {
        const struct assignment *one = &assignments->list[i];
        if (one->state == ASSIGNMENT_SCHEDULED || assignment_is_over(one))
            continue;
        if (!active || assignment_is_begun(one))
            active = one;
    }
    return active;
}

const char *assignments_trouble(const struct assignments *assignments)
{
    for (size_t i = 0; i < assignments->count; i++)
        if (assignments->list[i].state < ASSIGNMENT_RUNNING && *assignments->list[i].trouble)
            return assignments->list[i].trouble;
    return NULL;
}

void assignments_write(const struct assignments *assignments, struct json_writer *writer, const char *key)
{
    const struct assignment *active = assignments_active(assignments);

    if (!active) {
        json_write_null(writer, key);
        return;
    }
    json_write_object(writer, key);
    json_write_string(writer, "run", active->id);
    json_write_integer(writer, "campaign", active->campaign);
    json_write_string(writer, "image", active->image);
    json_write_string(writer, "version", active->version);
    json_write_string(writer, "state", assignment_state_name(active->state));
    json_write_time(writer, "started_at", active->started_at);
    json_write_time(writer, "ends_at", active->ends_at);
    json_write_end(writer, '}');
}

#include "agent/status.h"

#include "agent/enrolment.h"
#include "agent/facts.h"
#include "agent/set.h"
#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATUS_LIMIT (1 << 20)

void status_write_live(const struct status_live *live, struct text *out)
{
    struct json_writer writer;

    json_write_init(&writer, out);
    json_write_object(&writer, NULL);
    json_write_integer(&writer, "pid", getpid());
    json_write_boolean(&writer, "primary", live->primary);
    json_write_string(&writer, "admission", *live->admission ? live->admission : NULL);
    json_write_boolean(&writer, "clone_suspected", live->clone_suspected);
    json_write_integer(&writer, "poll_s", live->poll_s);
    json_write_integer(&writer, "order_seq", live->order_seq);
    json_write_string(&writer, "error", *live->error ? live->error : NULL);
    json_write_time(&writer, "error_at", *live->error ? live->error_at : 0);
    json_write_string(&writer, "waiting", live->waiting && *live->waiting ? live->waiting : NULL);
    if (live->view)
        json_write_raw(&writer, "view", live->view, strlen(live->view));
    json_write_end(&writer, '}');
}

bool status_touch(int state_fd, struct error *err)
{
    if (utimensat(state_fd, STATE_CONTACT, NULL, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    FD(fd) = file_open_beneath(state_fd, STATE_CONTACT, O_WRONLY | O_CREAT, 0600, err);
    return fd >= 0;
}

/* --- printing
 * ---------------------------------------------------------------------------------------------------- */

struct status {
    int state_fd;
    struct enrolment enrolment;
    struct set set;
    const struct json *live; /* NULL: no agent has run yet */
    bool running;
    int64_t contact; /* Unix seconds; 0: never */
};

/* True when the process that signed the lock is alive. The lock itself is left alone: looking must never keep
 * an agent from starting. */
static bool is_running(int state_fd)
{
    ARENA(arena);
    struct error ignored = {0};
    char *bytes;
    size_t size;
    int64_t pid;

    if (!file_read(&arena, state_fd, STATE_LOCK, 64, &bytes, &size, &ignored))
        return false;
    bytes[strcspn(bytes, "\n")] = '\0';
    const char *space = strchr(bytes, ' ');
    return space && int64_parse(space + 1, 1, INT32_MAX, &pid) &&
           (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

static bool status_gather(struct arena *arena, struct status *status, struct error *err)
{
    struct error ignored = {0};
    struct stat stat;
    char *bytes;
    size_t size;

    if (!enrolment_load(status->state_fd, &status->enrolment, err))
        return false;
    int64_t generation = set_current(status->state_fd, &ignored);
    if (generation < 0 || !set_load(arena, status->state_fd, generation, &status->set, &ignored))
        status->set = (struct set){0};
    if (file_read(arena, status->state_fd, STATE_STATUS, STATUS_LIMIT, &bytes, &size, &ignored))
        status->live = json_read(arena, bytes, size, &json_limits_large, &ignored);
    status->running = is_running(status->state_fd);
    if (fstatat(status->state_fd, STATE_CONTACT, &stat, AT_SYMLINK_NOFOLLOW) == 0)
        status->contact = stat.st_mtim.tv_sec;
    return true;
}

/* The versions that lie on the disk, with what the agent last said about each. */
static void assets_write(const struct status *status, struct json_writer *writer)
{
    const struct json *said = json_get(json_get(status->live, "view"), "assets");

    json_write_object(writer, "assets");
    for (size_t i = 0; i < status->set.count; i++) {
        const struct set_entry *entry = &status->set.members[i].entry;
        const struct json *one = json_get(said, entry->asset);
        json_write_object(writer, entry->asset);
        json_write_string(writer, "version", entry->version);
        json_write_string(writer, "sha256", entry->manifest);
        json_write_string(writer, "state", json_string(one, "state") ? json_string(one, "state") : "idle");
        json_write_integer(writer, "result", json_integer(one, "result", 1));
        json_write_string(writer, "wanted", json_string(one, "wanted"));
        json_write_string(writer, "reason", json_string(one, "reason"));
        json_write_end(writer, '}');
    }
    for (const struct json *one = said ? said->first : NULL; one; one = one->next)
        if (!set_find(&status->set, one->key))
            json_write_value(writer, one->key, one);
    json_write_end(writer, '}');
}

static void member_write(const struct json *object, const char *name, struct json_writer *writer)
{
    const struct json *member = json_get(object, name);

    if (member)
        json_write_value(writer, name, member);
    else
        json_write_null(writer, name);
}

static void status_json(const struct status *status, struct text *out)
{
    const struct json *view = json_get(status->live, "view");
    const char *admission = json_string(status->live, "admission");
    struct json_writer writer;

    json_write_init(&writer, out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "device", status->enrolment.device);
    json_write_string(&writer, "key_id", status->enrolment.key.public.id);
    json_write_string(&writer, "product", status->enrolment.product);
    json_write_string(&writer, "hardware", *status->enrolment.hardware ? status->enrolment.hardware : NULL);
    json_write_string(&writer, "server", status->enrolment.server);
    json_write_string(&writer, "admission", admission ? admission : status->enrolment.admission);
    json_write_string(&writer, "agent", AGENT_VERSION);
    json_write_boolean(&writer, "running", status->running);
    json_write_integer(&writer, "generation", status->set.generation);
    json_write_string(&writer, "set", status->set.digest);
    assets_write(status, &writer);
    if (status->running) {
        member_write(view, "app", &writer);
        member_write(view, "image", &writer);
    } else {
        json_write_null(&writer, "app");
        json_write_null(&writer, "image");
    }
    json_write_time(&writer, "last_contact", status->contact);
    member_write(status->live, "error", &writer);
    member_write(status->live, "error_at", &writer);
    const char *waiting = json_string(status->live, "waiting");
    json_write_string(&writer, "waiting", waiting ? waiting : json_string(view, "waiting"));
    json_write_string(&writer, "safe", json_string(view, "safe"));
    json_write_end(&writer, '}');
}

static void status_words(const struct status *status)
{
    const struct json *view = json_get(status->live, "view"), *image = json_get(view, "image");
    const char *error = json_string(status->live, "error");
    char when[TIME_TEXT];

    printf("device        %s (%s%s%s)\n", status->enrolment.device, status->enrolment.product,
           *status->enrolment.hardware ? ", " : "", status->enrolment.hardware);
    printf("console       %s\n", status->enrolment.server);
    printf("agent         %s\n", status->running ? "running" : "not running");
    printf("last contact  %s\n", status->contact ? time_text(status->contact, when) : "never");
    if (error)
        printf("last error    %s\n", error);
    printf("set           generation %lld\n", (long long)status->set.generation);
    for (size_t i = 0; i < status->set.count; i++)
        printf("  %-20s %s\n", status->set.members[i].entry.asset, status->set.members[i].entry.version);
    if (status->running && json_string(json_get(view, "app"), "state"))
        printf("app           %s\n", json_string(json_get(view, "app"), "state"));
    if (json_string(view, "safe"))
        printf("safe mode     %s\n", json_string(view, "safe"));
    if (status->running && json_string(image, "image"))
        printf("image         %s %s, %s\n", json_string(image, "image"), json_string(image, "version"),
               json_string(image, "state"));
}

int status_print(const char *state, bool as_json)
{
    ARENA(arena);
    TEXT(out);
    struct error err = {0};
    struct status status = {.state_fd = -1};
    FD(state_fd) = status.state_fd = state_open(state, false, &err);

    if (state_fd < 0 || !status_gather(&arena, &status, &err)) {
        fprintf(stderr, "locum-agent: %s\n", err.text);
        return err.kind == ERROR_MISSING ? 3 : 1;
    }
    if (!as_json) {
        status_words(&status);
        return 0;
    }
    status_json(&status, &out);
    printf("%s\n", text_string(&out));
    return 0;
}

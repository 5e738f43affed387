#include "agent/enrolment.h"

#include "agent/state.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_LIMIT 4096

/* Makes the parents of a path of ours one by one; what is there already is fine. */
static bool parents_make(const char *path, struct error *err)
{
    char part[4096];

    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        if ((size_t)(slash - path) >= sizeof(part))
            return error_set(err, ERROR_INPUT, "the path of the state folder is too long");
        snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return error_errno(err, "making the folder \"%s\"", part);
    }
    return true;
}

int state_open(const char *state, bool make, struct error *err)
{
    struct stat stat;

    if (make && !parents_make(state, err))
        return -1;
    if (make && mkdir(state, 0700) < 0 && errno != EEXIST) {
        error_errno(err, "making the state folder \"%s\"", state);
        return -1;
    }
    FD(fd) = folder_open(state, err);
    if (fd < 0)
        return -1;
    if (fstat(fd, &stat) < 0 || (make && stat.st_uid != geteuid())) {
        error_set(err, ERROR_DENIED, "the state folder \"%s\" belongs to another user", state);
        return -1;
    }
    /* A folder made by hand is closed to others; 0711, which lets the app pass, is left alone. */
    if (make && (stat.st_mode & 066) && fchmod(fd, stat.st_mode & 0711) < 0) {
        error_errno(err, "closing the state folder \"%s\" to others", state);
        return -1;
    }
    int result = fd;
    fd = -1;
    return result;
}

static bool text_take(const struct json *json, const char *name, char *into, size_t room, struct error *err)
{
    const char *text;

    if (!json_need_string(json, name, &text, err))
        return false;
    if (strlen(text) >= room)
        return error_set(err, ERROR_INPUT, "\"%s\" is too long", name);
    strcpy(into, text);
    return true;
}

static bool enrolment_read(int state_fd, struct enrolment *enrolment, struct error *err)
{
    ARENA(arena);
    char *bytes;
    size_t size;

    if (!file_read(&arena, state_fd, STATE_ENROLMENT, FILE_LIMIT, &bytes, &size, err))
        return false;
    const struct json *json = json_read(&arena, bytes, size, &json_limits_small, err);
    return json && text_take(json, "server", enrolment->server, sizeof(enrolment->server), err) &&
           text_take(json, "device", enrolment->device, sizeof(enrolment->device), err) &&
           text_take(json, "product", enrolment->product, sizeof(enrolment->product), err) &&
           text_take(json, "hardware", enrolment->hardware, sizeof(enrolment->hardware), err) &&
           text_take(json, "admission", enrolment->admission, sizeof(enrolment->admission), err) &&
           text_take(json, "claim", enrolment->claim, sizeof(enrolment->claim), err) &&
           name_check("product", enrolment->product, err);
}

bool enrolment_load(int state_fd, struct enrolment *enrolment, struct error *err)
{
    memset(enrolment, 0, sizeof(*enrolment));
    if (!enrolment_read(state_fd, enrolment, err)) {
        if (err->kind == ERROR_MISSING)
            return error_set(
                err, ERROR_MISSING,
                "this device is not enrolled: get a claim code with `locum device claim` and run "
                "`locum-agent enrol`");
        return error_add(err, "the enrolment");
    }
    return private_key_load(&enrolment->key, state_fd, STATE_KEY, err) || error_add(err, "the device's key");
}

bool enrolment_save(int state_fd, const struct enrolment *enrolment, struct error *err)
{
    TEXT(out);
    struct json_writer writer;

    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "server", enrolment->server);
    json_write_string(&writer, "device", enrolment->device);
    json_write_string(&writer, "key_id", enrolment->key.public.id);
    json_write_string(&writer, "product", enrolment->product);
    json_write_string(&writer, "hardware", enrolment->hardware);
    json_write_string(&writer, "admission", enrolment->admission);
    json_write_string(&writer, "claim", enrolment->claim);
    json_write_end(&writer, '}');
    return file_write(state_fd, STATE_ENROLMENT, out.bytes, out.size, 0600, err);
}

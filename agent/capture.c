#include "agent/capture.h"

#include "agent/protocol.h"
#include "agent/state.h"
#include "base/file.h"
#include "base/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RESULT_LIMIT (4 << 20)
#define WRONG_TRIES 3 /* times that a file may turn out wrong at the console's end */

struct sending {
    struct capture_upload *upload;
    struct arena *arena;
    const char *run;
    const struct json *result;
    int output; /* folder; -1: there is none */
};

/* A refusal for good: quota (413, 507), or a run that the console does not know any more (404) or does not
 * expect (403, 409, 400). */
static bool refused_for_good(struct sending *sending, const struct http_answer *answer, struct error *err)
{
    http_refused(answer, err);
    if (answer->status == 401 || answer->status >= 500)
        return false;
    sending->upload->dropped = true;
    snprintf(sending->upload->reason, sizeof(sending->upload->reason), "%.190s", err->text);
    *err = (struct error){0};
    return true;
}

static const struct json *array_of(const struct sending *sending, const char *name)
{
    const struct json *array = json_get(sending->result, name);

    return array && array->type == JSON_ARRAY ? array : NULL;
}

static void list_write(const struct sending *sending, struct text *out)
{
    const struct json *files = array_of(sending, "files"), *omitted = array_of(sending, "omitted");
    struct json_writer writer;

    json_write_init(&writer, out);
    json_write_object(&writer, NULL);
    json_write_array(&writer, "files");
    for (const struct json *file = files ? files->first : NULL; file; file = file->next)
        json_write_value(&writer, NULL, file);
    json_write_end(&writer, ']');
    json_write_array(&writer, "omitted");
    for (const struct json *one = omitted ? omitted->first : NULL; one; one = one->next)
        json_write_value(&writer, NULL, one);
    json_write_end(&writer, ']');
    json_write_boolean(&writer, "complete", string_is(json_string(sending->result, "capture"), "complete"));
    json_write_end(&writer, '}');
}

/* Tells the list; the answer says what is held of each file. NULL: failed, or dropped. */
static const struct json *list_send(struct sending *sending, struct error *err)
{
    struct http_answer answer;
    const struct json *files;
    TEXT(body);

    list_write(sending, &body);
    struct http_request request = {.method = "POST",
                                   .path =
                                       arena_printf(sending->arena, DEVICE_PATH_CAPTURES "%s", sending->run),
                                   .body = body.bytes,
                                   .body_size = body.size,
                                   .cancel = sending->upload->cancel};
    if (!session_send(sending->upload->session, sending->upload->http, &request, sending->arena, &answer,
                      err))
        return NULL;
    if (answer.status != 200) {
        refused_for_good(sending, &answer, err);
        return NULL;
    }
    const struct json *json = json_read(sending->arena, answer.body, answer.size, &json_limits_large, err);
    return json && json_need_array(json, "files", &files, err) ? files : NULL;
}

/* One piece. `held` becomes what the console has afterwards, also when it said that the offset was wrong. */
static bool piece_send(struct sending *sending, int64_t n, int fd, int64_t length, int64_t *held,
                       bool *complete, struct error *err)
{
    ARENA(arena);
    struct http_answer answer;
    int64_t left = length - *held;
    struct http_request request = {.method = "PATCH",
                                   .path = arena_printf(&arena, DEVICE_PATH_CAPTURES "%s/%lld?offset=%lld",
                                                        sending->run, (long long)n, (long long)*held),
                                   .content_type = "application/octet-stream",
                                   .body_fd = fd,
                                   .body_offset = *held,
                                   .body_length = left < CAPTURE_PIECE ? left : CAPTURE_PIECE,
                                   .cancel = sending->upload->cancel};

    if (left == 0) /* an empty file has one empty piece */
        request.body = "";
    if (!session_send(sending->upload->session, sending->upload->http, &request, &arena, &answer, err))
        return false;
    const struct json *json = NULL;
    struct error ignored = {0};
    if (answer.status == 200 || answer.status == 409)
        json = json_read(&arena, answer.body, answer.size, &json_limits_small, &ignored);
    if (!json || !json_has_integer(json, "held", held)) {
        refused_for_good(sending, &answer, err);
        return false;
    }
    *complete = json_boolean(json, "complete", false);
    return (*held >= 0 && *held <= length) ||
           error_set(err, ERROR_INPUT, "the console holds more than there is");
}

static bool file_send(struct sending *sending, int64_t n, const struct json *file, int64_t held,
                      struct error *err)
{
    const char *path = json_string(file, "path");
    FD(fd) = path ? file_open_beneath(sending->output, path, O_RDONLY | O_NONBLOCK, 0, err) : -1;
    struct stat stat;
    bool complete = false;
    int wrong = 0;

    if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode) ||
        stat.st_size != json_integer(file, "length", -1)) {
        sending->upload->dropped = true;
        snprintf(sending->upload->reason, sizeof(sending->upload->reason),
                 "the collected file \"%.100s\" was lost on the device", path ? path : "");
        return true;
    }
    while (!complete) {
        int64_t before = held;
        if (held < 0 || held > stat.st_size)
            return error_set(err, ERROR_INPUT, "the console's answer makes no sense");
        if (!piece_send(sending, n, fd, stat.st_size, &held, &complete, err))
            return sending->upload->dropped;
        if (!complete && held <= before && ++wrong > WRONG_TRIES)
            return error_set(err, ERROR_UNTRUSTED, "\"%s\" does not arrive as it is", path);
    }
    return true;
}

static bool files_send(struct sending *sending, const struct json *held, struct error *err)
{
    const struct json *files = array_of(sending, "files");
    const struct json *list[CAPTURE_FILES_MOST];
    int64_t count = 0;

    for (const struct json *file = files ? files->first : NULL; file && count < CAPTURE_FILES_MOST;
         file = file->next)
        list[count++] = file;
    for (const struct json *one = held->first; one; one = one->next) {
        int64_t n, bytes;
        if (!json_need_integer(one, "n", 0, count - 1, &n, err) ||
            !json_need_integer(one, "held", 0, INT64_MAX, &bytes, err))
            return error_add(err, "the console's answer to the list");
        if (!json_boolean(one, "complete", false) && !file_send(sending, n, list[n], bytes, err))
            return false;
        if (sending->upload->dropped)
            return true;
    }
    return true;
}

bool capture_send(struct capture_upload *upload, const char *run, struct error *err)
{
    ARENA(arena);
    struct sending sending = {.upload = upload, .arena = &arena, .run = run};
    char path[128], *bytes;
    size_t size;

    upload->dropped = false;
    snprintf(path, sizeof(path), STATE_KEEPER_RUNS "/%.32s/result.json", run);
    if (!file_read(&arena, upload->state_fd, path, RESULT_LIMIT, &bytes, &size, err))
        return false;
    sending.result = json_read(&arena, bytes, size, &json_limits_large, err);
    if (!sending.result)
        return false;
    snprintf(path, sizeof(path), STATE_KEEPER_RUNS "/%.32s/output", run);
    FD(output) = sending.output = folder_open_beneath(upload->state_fd, path, err);
    if (output < 0)
        return false;
    const struct json *held = list_send(&sending, err);
    return held ? files_send(&sending, held, err) : upload->dropped;
}

#include "agent/outbox.h"

#include "agent/protocol.h"
#include "agent/state.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPORT_LIMIT (32 << 10)
#define FILE_NAME_SIZE 64 /* 16 digits, '-', 32 hex digits, ".json" */

struct batch {
    char (*names)[FILE_NAME_SIZE]; /* sorted: oldest first */
    size_t count;
};

static bool is_report(const char *name)
{
    return strlen(name) == 16 + 1 + 32 + 5 && strspn(name, "0123456789") == 16 && name[16] == '-' &&
           strcmp(name + 49, ".json") == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* All reports, oldest first, in the arena. */
static bool list(const struct outbox *outbox, struct arena *arena, struct batch *batch, struct error *err)
{
    int fd = openat(outbox->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    size_t room = OUTBOX_MOST + 1;

    if (!dir) {
        fd_close(&fd);
        return error_errno(err, "reading the outbox");
    }
    batch->names = arena_array(arena, room, FILE_NAME_SIZE);
    batch->count = 0;
    for (struct dirent *entry; batch->count < room && (entry = readdir(dir));)
        if (is_report(entry->d_name))
            strcpy(batch->names[batch->count++], entry->d_name); /* is_report knows its length */
    closedir(dir);
    qsort(batch->names, batch->count, FILE_NAME_SIZE, by_name);
    return true;
}

bool outbox_open(struct outbox *outbox, int state_fd, struct error *err)
{
    ARENA(arena);
    struct batch batch;

    *outbox = (struct outbox){.fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
    if (!folder_make(state_fd, STATE_OUTBOX, 0700, err))
        return false;
    outbox->fd = folder_open_beneath(state_fd, STATE_OUTBOX, err);
    if (outbox->fd < 0 || !list(outbox, &arena, &batch, err))
        return false;
    outbox->count = batch.count;
    outbox->next = batch.count ? strtoll(batch.names[batch.count - 1], NULL, 10) + 1 : 1;
    return true;
}

void outbox_close(struct outbox *outbox)
{
    fd_close(&outbox->fd);
}

void report_id_make(char id[REPORT_ID_SIZE])
{
    uint8_t random[16];

    random_bytes(random, sizeof(random));
    hex_encode(id, random, sizeof(random));
}

void report_begin(struct json_writer *writer, struct text *out, const char *id, const char *type)
{
    json_write_init(writer, out);
    json_write_object(writer, NULL);
    json_write_string(writer, "id", id);
    json_write_time(writer, "at", clock_now());
    json_write_string(writer, "type", type);
}

/* True when a report with this id waits already. */
static bool waits(const struct batch *batch, const char *id)
{
    for (size_t i = 0; i < batch->count; i++)
        if (memcmp(batch->names[i] + 17, id, 32) == 0)
            return true;
    return false;
}

/* A console that is away for months must not fill the disk. */
static void make_room(struct outbox *outbox, const struct batch *batch)
{
    if (batch->count < OUTBOX_MOST)
        return;
    log_event(LOG_WARNING, "report_dropped", "file=%s why=\"the outbox is full\"", batch->names[0]);
    if (unlinkat(outbox->fd, batch->names[0], 0) == 0)
        outbox->count--;
}

bool outbox_add(struct outbox *outbox, struct json_writer *writer, const char *id, struct error *err)
{
    ARENA(arena);
    struct batch batch;
    char name[FILE_NAME_SIZE];

    json_write_end(writer, '}');
    if (writer->out->failed || writer->out->size > REPORT_LIMIT)
        return error_set(err, ERROR_LIMIT, "the report is larger than %d bytes", REPORT_LIMIT);
    pthread_mutex_lock(&outbox->lock);
    bool good = list(outbox, &arena, &batch, err);
    if (good && !waits(&batch, id)) {
        make_room(outbox, &batch);
        snprintf(name, sizeof(name), "%016lld-%.32s.json", (long long)outbox->next++, id);
        good = file_write(outbox->fd, name, writer->out->bytes, writer->out->size, 0600, err);
        outbox->count += good;
    }
    pthread_mutex_unlock(&outbox->lock);
    return good;
}

/* --- sending ------------------------------------------------------------------------------------------- */

static void drop(struct outbox *outbox, const char *name)
{
    pthread_mutex_lock(&outbox->lock);
    if (unlinkat(outbox->fd, name, 0) == 0)
        outbox->count--;
    pthread_mutex_unlock(&outbox->lock);
}

/* Writes {"reports":[…]} of the first reports that fit; `count` is how many. A damaged file is dropped. */
static void request_write(struct outbox *outbox, struct arena *arena, const struct batch *batch, size_t most,
                          struct text *out, size_t *count)
{
    struct json_writer writer;
    size_t taken = 0;

    json_write_init(&writer, out);
    json_write_object(&writer, NULL);
    json_write_array(&writer, "reports");
    for (*count = 0; *count < batch->count && taken < most; ++*count) {
        struct error failed = {0};
        char *bytes;
        size_t size;
        const char *name = batch->names[*count];

        if (!file_read(arena, outbox->fd, name, REPORT_LIMIT, &bytes, &size, &failed) ||
            !json_read(arena, bytes, size, &json_limits_small, &failed)) {
            if (failed.kind == ERROR_INPUT || failed.kind == ERROR_LIMIT)
                drop(outbox, name);
            continue;
        }
        if (out->size + size + 16 > REPORTS_LIMIT)
            break;
        json_write_raw(&writer, NULL, bytes, size);
        taken++;
    }
    json_write_end(&writer, ']');
    json_write_end(&writer, '}');
}

static bool is_accepted(const struct json *accepted, const char *name)
{
    for (const struct json *id = accepted->first; id; id = id->next)
        if (id->type == JSON_STRING && id->size == 32 && memcmp(id->string, name + 17, 32) == 0)
            return true;
    return false;
}

/* Sends up to `most` reports; `gone` is how many left the outbox. */
static bool send_some(struct outbox *outbox, struct session *session, struct http *http, size_t most,
                      size_t *gone, struct error *err)
{
    ARENA(arena);
    TEXT(body);
    struct batch batch;
    struct http_answer answer;
    const struct json *accepted;
    size_t count;

    *gone = 0;
    if (!list(outbox, &arena, &batch, err))
        return false;
    request_write(outbox, &arena, &batch, most, &body, &count);
    if (count == 0)
        return true;
    struct http_request request = {
        .method = "POST", .path = DEVICE_PATH_REPORTS, .body = body.bytes, .body_size = body.size};
    if (!session_send(session, http, &request, &arena, &answer, err))
        return false;
    if (answer.status == 400 && most > 1)
        return send_some(outbox, session, http, 1, gone, err);
    if (answer.status == 400) {
        char quoted[300];
        http_refused(&answer, err);
        log_event(LOG_WARNING, "report_refused", "file=%s why=%s", batch.names[0],
                  log_quote(quoted, sizeof(quoted), err->text));
        *err = (struct error){0};
        drop(outbox, batch.names[0]);
        *gone = 1;
        return true;
    }
    if (answer.status != 200)
        return http_refused(&answer, err);
    const struct json *json = json_read(&arena, answer.body, answer.size, &json_limits_small, err);
    if (!json || !json_need_array(json, "accepted", &accepted, err))
        return error_add(err, "the answer to reports");
    for (size_t i = 0; i < count; i++)
        if (is_accepted(accepted, batch.names[i])) {
            drop(outbox, batch.names[i]);
            ++*gone;
        }
    return true;
}

bool outbox_send(struct outbox *outbox, struct session *session, struct http *http, struct error *err)
{
    for (size_t gone = 1; gone > 0;) {
        pthread_mutex_lock(&outbox->lock);
        bool empty = outbox->count == 0;
        pthread_mutex_unlock(&outbox->lock);
        if (empty)
            return true;
        if (!send_some(outbox, session, http, REPORTS_MOST, &gone, err))
            return error_add(err, "sending reports");
    }
    return true;
}

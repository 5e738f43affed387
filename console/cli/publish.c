/* locum asset publish: hashes what is given, sends what the console lacks, then publishes it as one atomic
 * act. */
#include "console/cli/cli.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "repo/name.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILES_MOST = 20000,
    SENDERS_MOST = 8,
    ASKED_FOR = 64 << 10, /* bytes; of what is larger it is asked first what the console holds, */
    LARGE = 1 << 20,      /* and it goes one after the other: side by side it is not faster */
    TRIES_CUT = 5,        /* in a row that bring nothing on, */
    TRIES_BUSY = 16,      /* and while somebody else sends it, who may be dead for half a minute unnoticed */
    PAUSE_MOST_MS = 2000,
};

struct payload {
    const char *path;   /* inside the asset */
    const char *source; /* where it lies here */
    int64_t length;
    int mode;
    char sha256[SHA256_HEX];
    struct payload *next;
};
struct payloads {
    struct cli *cli;
    const char *folder; /* being walked */
    struct payload *first, **end;
    size_t count;
    int64_t total;
};

static bool payload_add(struct payloads *all, const char *path, const char *source, int fd, mode_t mode,
                        struct error *err)
{
    struct arena *arena = &all->cli->arena;
    if (!asset_path_check(path, strlen(path), err))
        return false;
    if (++all->count > FILES_MOST)
        return error_set(err, ERROR_LIMIT, "more than %d files in one version", FILES_MOST);
    for (const struct payload *p = all->first; all->count < 100 && p; p = p->next)
        if (strcmp(p->path, path) == 0)
            return error_set(err, ERROR_INPUT, "%s and %s would both be the file %s", p->source, source,
                             path);
    struct payload *payload = arena_alloc(arena, sizeof *payload);
    payload->path = arena_strdup(arena, path);
    payload->source = source;
    payload->mode = mode & 0111 ? 0755 : 0644;
    if (!sha256_file(fd, payload->sha256, &payload->length, err))
        return error_add(err, "%s", source);
    all->total += payload->length;
    *all->end = payload;
    all->end = &payload->next;
    return true;
}

static bool payload_walked(void *context, const char *path, int fd, int64_t size, mode_t mode,
                           struct error *err)
{
    struct payloads *all = context;
    (void)size;
    return payload_add(all, path, arena_printf(&all->cli->arena, "%s/%s", all->folder, path), fd, mode, err);
}

static bool payloads_from(struct payloads *all, const char *given, struct error *err)
{
    FD(fd) = open(given, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0)
        return error_errno(err, "%s", given);
    if (S_ISDIR(info.st_mode)) {
        all->folder = given;
        size_t before = all->count;
        if (!folder_walk(fd, payload_walked, all, err))
            return error_add(err, "%s", given);
        return all->count > before || error_set(err, ERROR_INPUT, "the folder %s holds no files", given);
    }
    if (!S_ISREG(info.st_mode))
        return error_set(err, ERROR_INPUT, "%s is neither a file nor a folder", given);
    const char *slash = strrchr(given, '/');
    return payload_add(all, slash ? slash + 1 : given, given, fd, info.st_mode, err);
}

/* Objects that are sent side by side, because each waits for the console's disk. */
struct sender;
struct sending {
    pthread_mutex_t lock;
    const struct payload **all; /* each content once, the shortest first */
    size_t count, next;
    int64_t sent, total, started_ms;
    struct cli *cli; /* gets what went wrong first */
    const struct sender *for_large;
    bool failed;
};

/* One of those that send, with its own connection. */
struct sender {
    struct sending *sending;
    struct cli cli;
    int64_t shown; /* bytes of its file that `sent` counts already */
};

static void sent(void *context, int64_t bytes)
{
    struct sender *sender = context;
    struct sending *sending = sender->sending;
    pthread_mutex_lock(&sending->lock);
    sending->sent += bytes - sender->shown;
    sender->shown = bytes;
    cli_progress("sending", sending->sent, sending->total, sending->started_ms);
    pthread_mutex_unlock(&sending->lock);
}

/* What the console holds of an object already. */
static bool object_held_there(struct cli *cli, const char *sha256, int64_t *held, bool *complete)
{
    const struct json *answer = cli_json(cli, "GET", arena_printf(&cli->arena, "/objects/%s", sha256), NULL);
    if (!answer)
        return false;
    *held = json_integer(answer, "held", 0);
    *complete = json_boolean(answer, "complete", false);
    return true;
}

static bool payload_put(struct sender *sender, const struct payload *payload, int64_t offset)
{
    struct cli *cli = &sender->cli;
    FD(fd) = open(payload->source, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(&cli->err, "%s", payload->source);
    struct http_answer answer = {0};
    struct http_request request = {
        .method = "PUT",
        .path = arena_printf(&cli->arena, "/api/v1/objects/%s?offset=%lld&length=%lld", payload->sha256,
                             (long long)offset, (long long)payload->length),
        .content_type = "application/octet-stream",
        .body_fd = fd,
        .body_offset = offset,
        .body_length = payload->length - offset,
        .progress = sent,
        .context = sender,
    };
    if (offset == payload->length) { /* an empty file, or all was there but the end */
        request.body = "";
        request.body_fd = 0;
    }
    if (!cli_send(cli, &request, &answer))
        return error_add(&cli->err, "%s", payload->source);
    if (answer.status >= 200 && answer.status < 300)
        return true;
    cli_refused(cli, &answer);
    return error_add(&cli->err, "%s", payload->source);
}

/* Sends one file from where the console stopped. A cut connection is tried again from there, and what
 * somebody else sends at the same time is waited for, as long as more of it arrives. A small one is sent
 * without asking what is held of it: that would be half of the waiting. */
static bool payload_send(struct sender *sender, const struct payload *payload)
{
    struct cli *cli = &sender->cli;
    bool ask = payload->length > ASKED_FOR;
    int64_t held = 0, seen = 0;
    for (int tries = 1, pause_ms = 200;; tries++) {
        bool complete = false;
        cli->unreachable = 0;
        cli->hint = cli->request_id = NULL;
        memset(&cli->err, 0, sizeof cli->err);
        if (!ask || object_held_there(cli, payload->sha256, &held, &complete)) {
            if (complete)
                return true;
            if (payload_put(sender, payload, held <= payload->length ? held : 0))
                return true;
        }
        bool refused = cli->err.kind == ERROR_CONFLICT; /* a part of it is held, or comes right now */
        if (held > seen) {
            seen = held;
            tries = 1;
        }
        if ((!cli->unreachable && !refused) || tries >= (refused ? TRIES_BUSY : TRIES_CUT))
            return false;
        if (ask || cli->unreachable) {
            usleep((useconds_t)pause_ms * 1000);
            pause_ms = pause_ms * 2 < PAUSE_MOST_MS ? pause_ms * 2 : PAUSE_MOST_MS;
        }
        ask = true;
    }
}

/* The next file for this sender, NULL: no more. The small ones come first; large ones are for one sender. */
static const struct payload *payload_next(struct sender *sender)
{
    struct sending *sending = sender->sending;
    const struct payload *payload = NULL;
    pthread_mutex_lock(&sending->lock);
    if (!sending->failed && sending->next < sending->count) {
        payload = sending->all[sending->next];
        bool large = payload->length > LARGE;
        if (large && !sending->for_large)
            sending->for_large = sender;
        if (large && sending->for_large != sender)
            payload = NULL;
        else
            sending->next++;
    }
    pthread_mutex_unlock(&sending->lock);
    return payload;
}

/* The first failure is the one that is told. */
static void sending_failed(struct sending *sending, const struct cli *from)
{
    struct cli *cli = sending->cli;
    pthread_mutex_lock(&sending->lock);
    if (!sending->failed) {
        cli->err = from->err;
        cli->unreachable = from->unreachable;
        cli->request_id = from->request_id ? arena_strdup(&cli->arena, from->request_id) : NULL;
        cli->hint = from->hint ? arena_strdup(&cli->arena, from->hint) : NULL;
    }
    sending->failed = true;
    pthread_mutex_unlock(&sending->lock);
}

static void *sender_run(void *context)
{
    struct sender *sender = context;
    const struct payload *payload;
    while ((payload = payload_next(sender))) {
        sender->shown = 0;
        if (!payload_send(sender, payload))
            sending_failed(sender->sending, &sender->cli);
        else
            sent(sender, payload->length);
    }
    http_close(sender->cli.http);
    arena_end(&sender->cli.arena);
    return NULL;
}

static int by_content(const void *a, const void *b)
{
    return strcmp((*(const struct payload *const *)a)->sha256, (*(const struct payload *const *)b)->sha256);
}

static int by_length(const void *a, const void *b)
{
    int64_t left = (*(const struct payload *const *)a)->length,
            right = (*(const struct payload *const *)b)->length;
    return (left > right) - (left < right);
}

/* Each content once: two files may be the same, and an object is received by one at a time. */
static void sending_fill(struct sending *sending, const struct payloads *all)
{
    sending->all = arena_array(&sending->cli->arena, all->count, sizeof *sending->all);
    for (const struct payload *p = all->first; p; p = p->next)
        sending->all[sending->count++] = p;
    qsort(sending->all, sending->count, sizeof *sending->all, by_content);
    size_t kept = 0;
    for (size_t i = 0; i < sending->count; i++)
        if (kept == 0 || strcmp(sending->all[kept - 1]->sha256, sending->all[i]->sha256) != 0) {
            sending->all[kept++] = sending->all[i];
            sending->total += sending->all[i]->length;
        }
    sending->count = kept;
    qsort(sending->all, kept, sizeof *sending->all, by_length);
}

static bool payloads_send(struct cli *cli, const struct payloads *all)
{
    struct sending sending = {.cli = cli, .started_ms = clock_now_ms()};
    struct sender senders[SENDERS_MOST];
    pthread_t threads[SENDERS_MOST];
    pthread_mutex_init(&sending.lock, NULL);
    sending_fill(&sending, all);
    size_t count = sending.count < SENDERS_MOST ? sending.count : SENDERS_MOST;
    size_t begun = 0;
    for (; begun < count; begun++) {
        struct sender *sender = &senders[begun];
        *sender = (struct sender){.sending = &sending, .cli = *cli};
        sender->cli.http = NULL;
        arena_init(&sender->cli.arena);
        if (pthread_create(&threads[begun], NULL, sender_run, sender) != 0) {
            sender_run(sender); /* what there are threads for goes beside it */
            break;
        }
    }
    for (size_t i = 0; i < begun; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&sending.lock);
    cli_progress_end();
    return !sending.failed;
}

static void write_optional(struct cli *cli, struct json_writer *writer, const char *option)
{
    if (cli_value(cli, option))
        json_write_string(writer, option, cli_value(cli, option));
}

static bool requires_write(struct cli *cli, struct json_writer *writer)
{
    size_t count;
    const char **values = cli_values(cli, "requires", &count);
    if (!count)
        return true;
    json_write_object(writer, "requires");
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(values[i], '=');
        if (!equals || equals == values[i])
            return error_set(&cli->err, ERROR_INPUT,
                             "--requires takes ASSET=RANGE, as runtime='>=1.2.0 <2.0.0', not \"%.100s\"",
                             values[i]);
        json_write_string(writer, arena_copy(&cli->arena, values[i], (size_t)(equals - values[i])),
                          equals + 1);
    }
    json_write_end(writer, '}');
    return true;
}

static bool request_write(struct cli *cli, const struct payloads *all, struct text *body)
{
    static const char *const plain[] = {"version", "kind", "activation", "title", "notes"};
    struct json_writer writer;
    json_write_init(&writer, body);
    json_write_object(&writer, NULL);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        write_optional(cli, &writer, plain[i]);
    if (cli_value(cli, "counter")) {
        int64_t counter;
        if (!int64_parse(cli_value(cli, "counter"), 0, INT32_MAX, &counter))
            return error_set(&cli->err, ERROR_INPUT, "--counter takes a whole number from 0 to 2147483647");
        json_write_integer(&writer, "counter", counter);
    }
    size_t count;
    const char **hardware = cli_values(cli, "hardware", &count);
    if (count) {
        json_write_array(&writer, "hardware");
        for (size_t i = 0; i < count; i++)
            json_write_string(&writer, NULL, hardware[i]);
        json_write_end(&writer, ']');
    }
    if (!requires_write(cli, &writer))
        return false;
    json_write_array(&writer, "files");
    for (const struct payload *p = all->first; p; p = p->next) {
        json_write_object(&writer, NULL);
        json_write_string(&writer, "path", p->path);
        json_write_integer(&writer, "mode", p->mode);
        json_write_integer(&writer, "length", p->length);
        json_write_string(&writer, "sha256", p->sha256);
        json_write_end(&writer, '}');
    }
    json_write_end(&writer, ']');
    json_write_end(&writer, '}');
    return true;
}

int cli_asset_publish(struct cli *cli)
{
    static const struct column fields[] = {{"version", "version"},       {"files", "files"},
                                           {"bytes", "length"},          {"commit", "commit"},
                                           {"already there", "already"}, {0}};
    const char *path, *version = cli_value(cli, "version");
    if (!version)
        return cli_usage(cli, "--version V is needed");
    struct payloads all = {.cli = cli, .end = NULL};
    all.end = &all.first;
    if (!cli_asset_path(cli, cli->words[0], &path) || !version_check(version, &cli->err))
        return cli_fail(cli);
    for (size_t i = 1; i < cli->word_count; i++)
        if (!payloads_from(&all, cli->words[i], &cli->err))
            return cli_fail(cli);
    TEXT(body);
    if (!request_write(cli, &all, &body) || !payloads_send(cli, &all))
        return cli_fail(cli);
    const struct json *published =
        cli_json(cli, "POST", arena_printf(&cli->arena, "%s/versions", path), &body);
    if (!published)
        return cli_fail(cli);
    cli_print_object(cli, published, fields);
    return EXIT_DONE;
}

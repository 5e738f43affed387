/* Deltas to devices: which one to take, and its bytes. */
#include "console/handlers.h"

#include "base/file.h"
#include "base/json.h"
#include "console/console.h"
#include "console/deltas.h"

#include <string.h>

static bool read_hash(const char *sha256, struct error *err)
{
    return sha256_is_hex(sha256) ||
           error_set(err, ERROR_INPUT, "An object is named by 64 lower-case hex digits");
}

static bool read_question(struct request *request, const char **new, const char *olds[DELTA_CANDIDATES],
                          size_t *count, struct error *err)
{
    static const char *const members[] = {"new", "old", NULL};
    const struct json *json = request_json(request, NULL, err), *list;

    *count = 0;
    if (!json || !json_only(json, members, err) || !json_need_string(json, "new", new, err) ||
        !read_hash(*new, err) || !json_need_array(json, "old", &list, err))
        return false;
    if (list->size > DELTA_CANDIDATES)
        return error_set(err, ERROR_INPUT, "\"old\" names at most %d objects", DELTA_CANDIDATES);
    for (const struct json *one = list->first; one; one = one->next) {
        if (one->type != JSON_STRING)
            return error_set(err, ERROR_INPUT, "\"old\" is a list of objects");
        if (!read_hash(one->string, err))
            return false;
        olds[(*count)++] = one->string;
    }
    return true;
}

static void answer_choice(struct request *request, const struct delta_choice *choice)
{
    struct json_writer json;
    TEXT(out);

    if (choice->verdict == DELTA_ASK_AGAIN)
        answer_header(request, "Retry-After", arena_printf(request->arena, "%d", choice->retry_after_s));
    json_write_init(&json, &out);
    json_write_object(&json, NULL);
    json_write_string(&json, "old", choice->verdict == DELTA_TAKE ? choice->old : NULL);
    json_write_integer(&json, "length", choice->length);
    json_write_integer(&json, "whole", choice->whole);
    json_write_string(&json, "encoding", choice->packed ? "zstd" : NULL);
    json_write_end(&json, '}');
    answer_json(request, choice->verdict == DELTA_ASK_AGAIN ? 202 : 200, &out);
}

void device_side_deltas(struct request *request)
{
    const char *new, *olds[DELTA_CANDIDATES];
    struct delta_choice choice;
    struct error err = {0};
    size_t count;

    if (read_question(request, &new, olds, &count, &err) &&
        deltas_choose(request->console->deltas, request->device_id, new, olds, count, &choice, &err))
        answer_choice(request, &choice);
    else
        answer_error(request, &err);
}

static void send_kept(struct request *request, int fd, const struct delta_known *known, bool delta,
                      int64_t whole)
{
    _Atomic int64_t sent = 0;

    /* A better delta may take its place, and this one makes the same object for ever. */
    if (delta)
        answer_header(request, "Cache-Control",
                      request->listener == LISTENER_DEVICES ? "public, max-age=86400"
                                                            : "private, max-age=86400");
    answer_file(request, &(struct file_answer){.fd = fd,
                                               .size = known->length,
                                               .content_type = "application/octet-stream",
                                               .etag = known->etag,
                                               .immutable = !delta,
                                               .sent = &sent});
    deltas_sent(request->console->deltas, delta, sent > 0 && !request_header(request, "Range"), sent,
                known->length ? (int64_t)((double)whole / (double)known->length * (double)sent) : sent);
}

void deltas_get(struct request *request)
{
    const char *old = request->params[0], *new = request->params[1];
    struct delta_store *store = deltas_store(request->console->deltas);
    struct delta_known known;
    struct error err = {0};
    int64_t whole = 0;

    bool good = read_hash(old, &err) && read_hash(new, &err) &&
                (store || error_set(&err, ERROR_MISSING, "This console keeps no deltas"));
    FD(fd) = good ? delta_store_get(store, old, new, &known, &err) : -1;
    FD(new_fd) = fd < 0 ? -1 : object_open(request->console->repo, new, &whole, &err);
    if (new_fd < 0)
        answer_error(request, &err);
    else
        send_kept(request, fd, &known, true, whole);
}

/* RFC 9110, 12.5.3: is "zstd" named, and not with a weight of 0? */
static bool takes_zstd(const char *accepts)
{
    for (const char *at = accepts; at && *at; at += strcspn(at, ","), at += *at == ',') {
        at += strspn(at, " \t");
        size_t size = strcspn(at, ",; \t");
        const char *weight = at + size + strspn(at + size, " \t");

        if (size != 4 || memcmp(at, "zstd", 4) != 0)
            continue;
        if (*weight != ';')
            return true;
        weight += 1 + strspn(weight + 1, " \t");
        return strncmp(weight, "q=0", 3) != 0 || weight[3 + strspn(weight + 3, ".0")] >= '1';
    }
    return false;
}

bool deltas_answer_packed(struct request *request, const char *sha256, int64_t length)
{
    struct deltas *deltas = request->console->deltas;
    struct delta_store *store = deltas_store(deltas);
    struct delta_known known;
    struct error ignored = {0};

    if (!store || length < DELTA_STORE_LEAST)
        return false;
    answer_header(request, "Vary", "Accept-Encoding");
    if (!takes_zstd(request_header(request, "Accept-Encoding")))
        return false;
    FD(fd) = delta_store_get(store, NULL, sha256, &known, &ignored);
    if (fd < 0) {
        if (!known.tried)
            deltas_want_packed(deltas, sha256);
        return false;
    }
    answer_header(request, "Content-Encoding", "zstd");
    send_kept(request, fd, &known, false, length);
    return true;
}

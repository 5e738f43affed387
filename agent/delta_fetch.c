#include "agent/delta_fetch.h"

#include "agent/place.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "repo/delta.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_LIMIT (64 << 10)
#define RETRY_MOST_S 5
#define LOOK_MS 100

/* An object on its way. */
struct applying {
    struct fetch *fetch;
    const struct manifest_file *file;
    int objects, part, old_fd;
    struct delta_apply *apply; /* NULL: no byte came yet */
    struct place place;        /* as it was noted last */
    int64_t in;                /* bytes of the delta that came in all */
    struct http_answer answer;
    bool begun; /* the answer's first bytes were looked at */
    bool bad;   /* it is the delta's fault, or the old file's */
};

static bool is_cancelled(const struct fetch *fetch)
{
    return __atomic_load_n(fetch->cancel, __ATOMIC_RELAXED);
}

void delta_tell(const struct fetch *fetch, const struct manifest_file *file, const char *old, const char *why)
{
    char id[REPORT_ID_SIZE], quoted[400];
    struct json_writer writer;
    struct error err = {0};
    TEXT(out);

    log_event(LOG_WARNING, "delta_wrong", "asset=%s version=%s new=%.12s old=%.12s why=%s",
              fetch->entry->asset, fetch->entry->version, file->sha256, old ? old : "packed",
              log_quote(quoted, sizeof quoted, why));
    if (!fetch->outbox)
        return;
    report_id_make(id);
    report_begin(&writer, &out, id, "delta");
    json_write_string(&writer, "asset", fetch->entry->asset);
    json_write_string(&writer, "version", fetch->entry->version);
    json_write_string(&writer, "file", file->path);
    json_write_string(&writer, "old", old);
    json_write_string(&writer, "new", file->sha256);
    json_write_string(&writer, "reason", why);
    if (!outbox_add(fetch->outbox, &writer, id, &err))
        log_event(LOG_WARNING, "report_lost", "why=%s", log_quote(quoted, sizeof quoted, err.text));
}

/* --- which one
 * ---------------------------------------------------------------------------------------------------- */

/* Until the console may be asked again; false when there is no more time for deltas. */
static bool wait_for_it(struct fetch *fetch, int64_t seconds)
{
    int64_t ms = (seconds < 1 ? 1 : seconds > RETRY_MOST_S ? RETRY_MOST_S : seconds) * 1000;
    int64_t until = clock_boot_ms() + ms, left;

    if (ms > fetch->delta_wait_ms)
        return false;
    fetch->delta_wait_ms -= ms;
    while ((left = until - clock_boot_ms()) > 0 && !is_cancelled(fetch))
        poll(NULL, 0, left < LOOK_MS ? (int)left : LOOK_MS);
    return true;
}

static void question_write(struct text *body, const char *new, char olds[][SHA256_HEX], size_t count)
{
    struct json_writer writer;

    json_write_init(&writer, body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "new", new);
    json_write_array(&writer, "old");
    for (size_t i = 0; i < count; i++)
        json_write_string(&writer, NULL, olds[i]);
    json_write_end(&writer, ']');
    json_write_end(&writer, '}');
}

/* One of ours, and worth it: what the part holds need not come again. */
static bool choice_read(struct arena *arena, const struct http_answer *answer, int64_t left,
                        char olds[][SHA256_HEX], size_t count, const char **old)
{
    struct error ignored = {0};
    const struct json *json = json_read(arena, answer->body, answer->size, &json_limits_small, &ignored);
    const char *said = json_string(json, "old");
    int64_t length = json_integer(json, "length", 0);

    for (size_t i = 0; said && i < count; i++)
        if (strcmp(said, olds[i]) == 0 && length > 0 && length < left) {
            *old = olds[i];
            return true;
        }
    return false;
}

/* DELTA_MADE: `*old` is the one to take. */
static enum delta_end ask(struct fetch *fetch, const struct manifest_file *file, int64_t left,
                          char olds[][SHA256_HEX], size_t count, const char **old, struct error *err)
{
    TEXT(body);
    struct http_answer answer;

    question_write(&body, file->sha256, olds, count);
    for (;;) {
        ARENA(arena);
        struct http_request request = {.method = "POST",
                                       .path = DEVICE_PATH_DELTA_ASK,
                                       .body = body.bytes,
                                       .body_size = body.size,
                                       .answer_limit = ANSWER_LIMIT,
                                       .cancel = fetch->cancel};

        if (!session_send(fetch->session, fetch->http, &request, &arena, &answer, err))
            return DELTA_FAILED;
        fetch->bytes += (int64_t)answer.size;
        if (answer.status == 200)
            return choice_read(&arena, &answer, left, olds, count, old) ? DELTA_MADE : DELTA_NONE;
        if (answer.status == 202) {
            if (wait_for_it(fetch, answer.retry_after_s))
                continue;
            return DELTA_NONE;
        }
        if (answer.status == 401) {
            http_refused(&answer, err);
            return DELTA_FAILED;
        }
        /* A console of before deltas, or one that will have nothing of it. */
        fetch->no_deltas = true;
        return DELTA_NONE;
    }
}

/* --- applying it
 * -------------------------------------------------------------------------------------------------- */

static bool bad(struct applying *applying, struct error *err, const char *why)
{
    applying->bad = true;
    return error_set(err, ERROR_UNTRUSTED, "%s", why);
}

/* From the start, whatever was there. */
static bool begin(struct applying *applying, const char *etag, struct error *err)
{
    delta_apply_free(applying->apply);
    applying->apply = NULL;
    applying->in = applying->place.in = applying->place.out = 0;
    snprintf(applying->place.etag, sizeof applying->place.etag, "%s", etag);
    if (ftruncate(applying->part, 0) < 0)
        return error_errno(err, "rewinding a download");
    if (!place_note(applying->objects, applying->file->sha256, applying->part, &applying->place, err))
        return false;
    applying->apply = delta_apply_open(applying->old_fd, applying->part, applying->file->length, NULL, err);
    return applying->apply != NULL;
}

/* The first bytes of an answer: do they go on where we are? */
static bool look(struct applying *applying, struct error *err)
{
    const struct http_answer *answer = &applying->answer;

    applying->begun = true;
    if (answer->status == 206 && applying->in > 0)
        return strcmp(answer->etag, applying->place.etag) == 0 ||
               bad(applying, err, "the console goes on with another delta");
    return begin(applying, answer->etag, err);
}

/* Notes the end of the last whole block, `always` also when little would be lost. */
static bool note(struct applying *applying, bool always, struct error *err)
{
    struct delta_place at = delta_apply_place(applying->apply);

    if (!place_is_due(&applying->place, at.in, at.out) && !(always && at.out > applying->place.out))
        return true;
    applying->place.in = at.in;
    applying->place.out = at.out;
    return place_note(applying->objects, applying->file->sha256, applying->part, &applying->place, err);
}

static bool apply_write(void *context, const void *bytes, size_t size, struct error *err)
{
    struct applying *applying = context;

    if (!applying->begun && !look(applying, err))
        return false;
    applying->fetch->bytes += (int64_t)size;
    if (applying->in + (int64_t)size > applying->file->length)
        return bad(applying, err, "it is longer than the whole");
    if (!delta_apply_feed(applying->apply, bytes, size, err)) {
        applying->bad = err->kind != ERROR_LIMIT;
        return false;
    }
    applying->in += (int64_t)size;
    return note(applying, false, err);
}

/* One request; true when an answer came whole. */
static bool request_once(struct applying *applying, struct error *err)
{
    ARENA(arena);
    struct fetch *fetch = applying->fetch;
    const char *headers[] = {arena_printf(&arena, "If-Range: %s", applying->place.etag), NULL};
    struct http_request request = {
        .method = "GET",
        .path = arena_printf(&arena, DEVICE_PATH_DELTAS "%s/%s", applying->place.old, applying->file->sha256),
        .headers = applying->in > 0 ? headers : NULL,
        .range_from = applying->in,
        .receive_rate = fetch->rate,
        .answer_limit = ANSWER_LIMIT,
        .write = apply_write,
        .context = applying,
        .cancel = fetch->cancel};

    applying->begun = false;
    return session_send(fetch->session, fetch->http, &request, &arena, &applying->answer, err);
}

/* Goes on after cuts as long as each attempt brings some. */
static bool request_all(struct applying *applying, struct error *err)
{
    for (;;) {
        struct error cut = {0};
        int64_t before = applying->in;

        if (request_once(applying, &cut))
            return true;
        if (applying->bad || cut.kind != ERROR_SYSTEM || applying->in <= before ||
            is_cancelled(applying->fetch)) {
            *err = cut;
            return false;
        }
    }
}

/* An answer came whole: is the object? */
static enum delta_end finish(struct applying *applying, struct error *err)
{
    char sha256[SHA256_HEX];
    int status = applying->answer.status;

    if (status == 401) {
        http_refused(&applying->answer, err);
        return DELTA_FAILED;
    }
    if (status != 200 && status != 206)
        return DELTA_NONE; /* it went meanwhile */
    if (!applying->apply) {
        bad(applying, err, "it has no bytes");
        return DELTA_FAILED;
    }
    if (!delta_apply_end(applying->apply, sha256, err)) {
        applying->bad = err->kind != ERROR_LIMIT;
        return DELTA_FAILED;
    }
    if (strcmp(sha256, applying->file->sha256) == 0)
        return DELTA_MADE;
    bad(applying, err, "it makes other bytes than those that were signed (SHA-256 differs)");
    return DELTA_FAILED;
}

/* Whose fault is it? Not the console's when our own file has rotted. */
static void give_up(struct applying *applying, const struct error *why)
{
    struct error ignored = {0};
    char sha256[SHA256_HEX];
    int64_t size;

    if (sha256_file(applying->old_fd, sha256, &size, &ignored) && strcmp(sha256, applying->place.old) != 0)
        delta_tell(applying->fetch, applying->file, applying->place.old,
                   "the file it starts from is damaged here");
    else
        delta_tell(applying->fetch, applying->file, applying->place.old, why->text);
}

/* The part holds nothing of use, and nothing derived is asked for again. */
static bool start_plain(struct applying *applying, struct error *err)
{
    const struct place plain = {.kind = PLACE_PLAIN};

    if (ftruncate(applying->part, 0) < 0)
        return error_errno(err, "rewinding a download");
    return place_note(applying->objects, applying->file->sha256, applying->part, &plain, err);
}

static enum delta_end run(struct applying *applying, struct error *err)
{
    struct error failed = {0}, late = {0};
    enum delta_end end = DELTA_FAILED;

    if (request_all(applying, &failed))
        end = finish(applying, &failed);
    if (end == DELTA_FAILED && applying->bad) {
        give_up(applying, &failed);
        return start_plain(applying, err) ? DELTA_NONE : DELTA_FAILED;
    }
    if (end == DELTA_FAILED) {
        if (applying->apply && failed.kind != ERROR_LIMIT)
            note(applying, true, &late);
        *err = failed;
    }
    if (end == DELTA_NONE) {
        /* What was made of it so far are the object's first bytes, or the hash will tell. */
        if (ftruncate(applying->part, applying->place.out) < 0) {
            error_errno(err, "cutting a download");
            return DELTA_FAILED;
        }
        place_drop(applying->objects, applying->file->sha256);
    }
    return end;
}

/* Where an earlier attempt stopped. False: there is nothing to go on with. */
static bool resume(struct applying *applying)
{
    const struct delta_place from = {applying->place.in, applying->place.out};
    struct error ignored = {0};
    struct stat stat;

    if (!*applying->place.etag || from.in == 0 || fstat(applying->part, &stat) < 0 ||
        stat.st_size < from.out || ftruncate(applying->part, from.out) < 0)
        return false;
    applying->apply =
        delta_apply_open(applying->old_fd, applying->part, applying->file->length, &from, &ignored);
    applying->in = from.in;
    return applying->apply != NULL;
}

static enum delta_end apply(struct applying *applying, bool anew, struct error *err)
{
    struct error ignored = {0};
    FD(old_fd) = applying->old_fd = candidate_open(applying->objects, applying->place.old, &ignored);

    if (old_fd < 0)
        return DELTA_NONE;
    if (anew || !resume(applying)) {
        applying->in = applying->place.in = applying->place.out = 0;
        applying->place.etag[0] = '\0';
    }
    enum delta_end end = run(applying, err);
    delta_apply_free(applying->apply);
    return end;
}

/* Bytes that are still to come when the whole is taken. */
static int64_t left_of(int part, const struct manifest_file *file)
{
    struct stat stat;

    if (fstat(part, &stat) < 0 || stat.st_size > file->length)
        return file->length;
    return file->length - stat.st_size;
}

enum delta_end delta_fetch(struct fetch *fetch, struct candidates *candidates, int objects, int part,
                           const struct manifest_file *file, struct error *err)
{
    struct applying applying = {.fetch = fetch, .file = file, .objects = objects, .part = part};
    char olds[DELTA_CANDIDATES][SHA256_HEX];
    const char *old = NULL;
    enum delta_end end;

    if (file->length < DELTA_LEAST || fetch->no_deltas)
        return DELTA_NONE;
    place_read(objects, file->sha256, &applying.place);
    if (applying.place.kind == PLACE_PLAIN || (applying.place.kind == PLACE_PACKED && applying.place.out > 0))
        return DELTA_NONE;
    if (applying.place.kind == PLACE_DELTA && (end = apply(&applying, false, err)) != DELTA_NONE)
        return end;
    if (left_of(part, file) == 0)
        return DELTA_NONE; /* it is whole already, or the hash will tell */
    size_t count = candidates_find(candidates, fetch->state_fd, fetch->entry->asset, file, olds);
    end = count ? ask(fetch, file, left_of(part, file), olds, count, &old, err) : DELTA_NONE;
    if (end != DELTA_MADE)
        return end;
    applying = (struct applying){.fetch = fetch, .file = file, .objects = objects, .part = part};
    applying.place.kind = PLACE_DELTA;
    strcpy(applying.place.old, old);
    return apply(&applying, true, err);
}

#include "agent/download.h"

#include "agent/delta_fetch.h"
#include "base/file.h"
#include "repo/packed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (256 << 10)
#define WAITING (64 << 10) /* a TLS record has 16 KiB, and a write of 64 costs little more than one of 16 */
#define ANSWER_LIMIT (64 << 10)

/* --- where it stands
 * ---------------------------------------------------------------------------------------------- */

static void hash_again(struct download *download)
{
    uint8_t digest[SHA256_SIZE];

    if (download->hash.context)
        sha256_end(&download->hash, digest);
    sha256_init(&download->hash);
}

/* From the first byte on, whatever was there. */
static bool rewind_all(struct download *download, struct error *err)
{
    if (ftruncate(download->part, 0) < 0 || lseek(download->part, 0, SEEK_SET) < 0)
        return error_errno(err, "rewinding a download");
    hash_again(download);
    download->waiting_size = 0;
    download->unwritten = false;
    unpack_free(download->unpack);
    download->unpack = NULL;
    download->held = download->in = 0;
    download->base = (struct place){0};
    if (download->place.kind == PLACE_PACKED) {
        download->place = (struct place){0};
        place_drop(download->objects, download->file->sha256);
    }
    return true;
}

static bool read_held(struct download *download, struct error *err)
{
    char *buffer = malloc(PIECE);
    ssize_t got = 0;

    if (!buffer)
        abort();
    while (download->held < download->file->length && (got = read(download->part, buffer, PIECE)) > 0) {
        sha256_add(&download->hash, buffer, (size_t)got);
        download->held += got;
    }
    free(buffer);
    if (got < 0)
        return error_errno(err, "reading a part that was there");
    return download->held <= download->file->length || rewind_all(download, err);
}

/* After a failure nobody knows what the part holds, and the hash says nothing about it. */
static bool write_out(struct download *download, const void *bytes, size_t size, struct error *err)
{
    download->unwritten |= !fd_write_all(download->part, bytes, size, err);
    return !download->unwritten;
}

/* Writes what waits. */
static bool settle(struct download *download, struct error *err)
{
    size_t size = download->waiting_size;

    download->waiting_size = 0;
    return size == 0 || write_out(download, download->waiting, size, err);
}

static bool put(struct download *download, const void *bytes, size_t size, struct error *err)
{
    if (size > WAITING - download->waiting_size && !settle(download, err))
        return false;
    if (size >= WAITING)
        return write_out(download, bytes, size, err);
    memcpy(download->waiting + download->waiting_size, bytes, size);
    download->waiting_size += size;
    return true;
}

static bool take(void *context, const void *bytes, size_t size, struct error *err)
{
    struct download *download = context;

    if (download->held + (int64_t)size > download->file->length)
        return error_set(err, ERROR_UNTRUSTED, "the server sends more bytes than the manifest says");
    if (!put(download, bytes, size, err))
        return false;
    sha256_add(&download->hash, bytes, size);
    download->held += (int64_t)size;
    return true;
}

static void unpack_begin(struct download *download)
{
    download->base = download->place;
    download->unpack = unpack_open(download->file->length - download->held, take, download);
}

/* A part that was being unpacked or made out of a delta ends where its note says. */
static bool cut_to_note(struct download *download, struct error *err)
{
    struct place *place = &download->place;
    struct stat stat;

    if (place->kind != PLACE_PACKED && place->kind != PLACE_DELTA)
        return true;
    if (fstat(download->part, &stat) < 0)
        return error_errno(err, "looking at a part");
    if (stat.st_size < place->out || place->out > download->file->length)
        return rewind_all(download, err);
    if (ftruncate(download->part, place->out) < 0)
        return error_errno(err, "cutting a download");
    if (place->kind == PLACE_DELTA || place->in == 0) {
        place_drop(download->objects, download->file->sha256);
        *place = (struct place){0};
    }
    return true;
}

bool download_open(struct download *download, struct fetch *fetch, int objects, int part,
                   const struct manifest_file *file, struct error *err)
{
    *download = (struct download){.fetch = fetch, .file = file, .objects = objects, .part = part};
    download->waiting = malloc(WAITING);
    if (!download->waiting)
        abort();
    sha256_init(&download->hash);
    place_read(objects, file->sha256, &download->place);
    if (lseek(part, 0, SEEK_SET) < 0)
        return error_errno(err, "reading a part");
    if (!cut_to_note(download, err) || !read_held(download, err))
        return false;
    if (download->place.kind == PLACE_PACKED) {
        download->in = download->place.in;
        unpack_begin(download);
    }
    return true;
}

void download_hash(struct download *download, char sha256[SHA256_HEX])
{
    uint8_t digest[SHA256_SIZE];

    sha256_end(&download->hash, digest);
    hex_encode(sha256, digest, sizeof digest);
}

void download_close(struct download *download)
{
    uint8_t digest[SHA256_SIZE];

    if (download->hash.context)
        sha256_end(&download->hash, digest);
    unpack_free(download->unpack);
    download->unpack = NULL;
    free(download->waiting);
    download->waiting = NULL;
}

/* --- bytes that come
 * ---------------------------------------------------------------------------------------------- */

/* The end of the last whole frame, `always` also when little would be lost. */
static bool note(struct download *download, bool always, struct error *err)
{
    int64_t in = download->base.in + unpack_eaten(download->unpack);
    int64_t out = download->base.out + unpack_held(download->unpack);

    if (!place_is_due(&download->place, in, out) && !(always && out > download->place.out))
        return true;
    if (!settle(download, err))
        return false;
    download->place.kind = PLACE_PACKED;
    download->place.in = in;
    download->place.out = out;
    return place_note(download->objects, download->file->sha256, download->part, &download->place, err);
}

static bool wrong(struct download *download, struct error *err, const char *why)
{
    download->wrong = true;
    return error_set(err, ERROR_UNTRUSTED, "%s", why);
}

/* The first bytes of an answer: do they go on where we are, and are they packed? */
static bool look(struct download *download, struct error *err)
{
    const struct http_answer *answer = &download->answer;
    bool packed = strcmp(answer->content_encoding, "zstd") == 0;

    download->begun = true;
    if (*answer->content_encoding && !packed)
        return error_set(err, ERROR_UNTRUSTED, "the server sends an encoding that nobody asked for");
    if (answer->status == 206) {
        if (packed != (download->unpack != NULL) ||
            (packed && strcmp(answer->etag, download->place.etag) != 0))
            return wrong(download, err, "the server goes on with other bytes");
        return true;
    }
    /* A server that does not know ranges sends everything again. */
    if ((download->held > 0 || download->in > 0) && !rewind_all(download, err))
        return false;
    if (!packed)
        return true;
    snprintf(download->place.etag, sizeof download->place.etag, "%s", answer->etag);
    download->place.kind = PLACE_PACKED;
    download->place.in = download->place.out = 0;
    /* Before the first byte is written: what a part without a note holds are the object's own bytes. */
    if (!place_note(download->objects, download->file->sha256, download->part, &download->place, err))
        return false;
    unpack_begin(download);
    return true;
}

static bool unpack_take(struct download *download, const void *bytes, size_t size, struct error *err)
{
    if (!unpack_feed(download->unpack, bytes, size, err)) {
        download->wrong = err->kind == ERROR_UNTRUSTED;
        return false;
    }
    download->in += (int64_t)size;
    return note(download, false, err);
}

static bool download_write(void *context, const void *bytes, size_t size, struct error *err)
{
    struct download *download = context;

    if (!download->begun && !look(download, err))
        return false;
    download->fetch->bytes += (int64_t)size;
    return download->unpack ? unpack_take(download, bytes, size, err) : take(download, bytes, size, err);
}

/* What is asked for: the rest of what was packed, the rest as it is, or all of it, packed or not. */
static void headers_fill(struct download *download, struct arena *arena, const char *headers[3])
{
    bool going_on = download->unpack && download->in > 0;
    size_t count = 0;

    if (download->file->length >= DELTA_LEAST && download->place.kind != PLACE_PLAIN &&
        (going_on || download->held == 0))
        headers[count++] = "Accept-Encoding: zstd";
    if (going_on)
        headers[count++] = arena_printf(arena, "If-Range: %s", download->place.etag);
    headers[count] = NULL;
}

static bool request_once(struct download *download, struct error *err)
{
    ARENA(arena);
    struct fetch *fetch = download->fetch;
    const char *headers[3];
    struct http_request request = {.method = "GET",
                                   .path =
                                       arena_printf(&arena, DEVICE_PATH_OBJECTS "%s", download->file->sha256),
                                   .headers = headers,
                                   .range_from = download->unpack ? download->in : download->held,
                                   .receive_rate = fetch->rate,
                                   .answer_limit = ANSWER_LIMIT,
                                   .write = download_write,
                                   .context = download,
                                   .cancel = fetch->cancel};

    headers_fill(download, &arena, headers);
    download->begun = false;
    if (!session_send(fetch->session, fetch->http, &request, &arena, &download->answer, err))
        return fetch_failed(fetch, err, RESULT_CONNECTION_LOST);
    if (download->answer.status == 200 || download->answer.status == 206)
        return true;
    http_refused(&download->answer, err);
    return fetch_failed(fetch, err, RESULT_CONNECTION_LOST);
}

static bool no_more(struct download *download, struct error *err)
{
    download->wrong = download->unpack != NULL;
    error_set(err, ERROR_SYSTEM, "the server sent nothing");
    return fetch_failed(download->fetch, err, RESULT_CONNECTION_LOST);
}

static bool request_all(struct download *download, struct error *err)
{
    while (download->held < download->file->length) {
        struct error cut = {0};
        int64_t before = download->held + download->in;

        if (!request_once(download, &cut)) {
            bool stopped = __atomic_load_n(download->fetch->cancel, __ATOMIC_RELAXED);
            if (cut.kind == ERROR_SYSTEM && download->held + download->in > before && !stopped &&
                !download->unwritten)
                continue;
            *err = cut;
            return false;
        }
        if (download->held + download->in == before ||
            (download->unpack && download->held < download->file->length))
            return no_more(download, err);
    }
    return true;
}

bool download_again(struct download *download, struct error *err)
{
    if (!rewind_all(download, err))
        return false;
    download->place = (struct place){.kind = PLACE_PLAIN};
    return place_note(download->objects, download->file->sha256, download->part, &download->place, err);
}

/* All of it, and all of it written. */
static bool get_all(struct download *download, struct error *err)
{
    return request_all(download, err) &&
           (settle(download, err) || fetch_failed(download->fetch, err, RESULT_UPDATE_FAILED));
}

bool download_run(struct download *download, struct error *err)
{
    struct error late = {0};

    if (get_all(download, err))
        return true;
    if (download->wrong) {
        delta_tell(download->fetch, download->file, NULL, err->text);
        download->wrong = false;
        if (!download_again(download, err))
            return fetch_failed(download->fetch, err, RESULT_UPDATE_FAILED);
        return get_all(download, err);
    }
    if (!download->unwritten && settle(download, &late) && download->unpack && err->kind != ERROR_LIMIT)
        note(download, true, &late);
    return false;
}

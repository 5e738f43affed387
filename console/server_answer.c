#include "console/server_parts.h"

#include "base/clock.h"
#include "console/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BROWSER_HEADERS                                                                                      \
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Opener-Policy: "        \
    "same-origin\r\n"
#define PAGE_POLICY                                                                                          \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " \
    "img-src 'self' blob: data:; font-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "  \
    "frame-ancestors 'none'; require-trusted-types-for 'script'\r\n"

#define FILE_PIECE (64 << 10) /* stays in the processor's cache while it is encrypted */
#define HEAD_USUAL 1024       /* bytes of the headers that we set ourselves, at most */

struct status_text {
    int status;
    const char *text;
};
static const struct status_text status_texts[] = {{200, "OK"},
                                                  {201, "Created"},
                                                  {202, "Accepted"},
                                                  {204, "No Content"},
                                                  {206, "Partial Content"},
                                                  {304, "Not Modified"},
                                                  {400, "Bad Request"},
                                                  {401, "Unauthorized"},
                                                  {403, "Forbidden"},
                                                  {404, "Not Found"},
                                                  {405, "Method Not Allowed"},
                                                  {408, "Request Timeout"},
                                                  {409, "Conflict"},
                                                  {411, "Length Required"},
                                                  {413, "Content Too Large"},
                                                  {416, "Range Not Satisfiable"},
                                                  {417, "Expectation Failed"},
                                                  {422, "Unprocessable Content"},
                                                  {429, "Too Many Requests"},
                                                  {431, "Request Header Fields Too Large"},
                                                  {500, "Internal Server Error"},
                                                  {501, "Not Implemented"},
                                                  {503, "Service Unavailable"},
                                                  {505, "HTTP Version Not Supported"},
                                                  {507, "Insufficient Storage"},
                                                  {0, "Answer"}};

static const char *status_text(int status)
{
    const struct status_text *row = status_texts;

    while (row->status && row->status != status)
        row++;
    return row->text;
}

void answer_header(struct request *request, const char *name, const char *value)
{
    struct text *headers = &exchange_of(request)->headers;

    for (const char *c = value; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return;
    }
    text_printf(headers, "%s: %s\r\n", name, value);
}

/* Time for a piece of an answer: even a very slow peer takes 1 KiB a second. */
static bool send_piece(struct exchange *exchange, const void *bytes, size_t size)
{
    watch_deadline(exchange->watched, 30000 + (int64_t)size);
    bool sent = mg_write(exchange->request.connection, bytes, size) == (int)size;

    watch_deadline(exchange->watched, 0);
    if (!sent)
        exchange->closes = true;
    return sent;
}

static void put_line(struct text *out, const char *name, const char *value)
{
    text_puts(out, name);
    text_puts(out, value);
    text_puts(out, "\r\n");
}

/* Status line and headers; `size` -1: without a length, until the end of the connection. No printf: this is
 * all that most answers are made of. */
static void put_head(struct exchange *exchange, struct text *out, int status, const char *content_type,
                     int64_t size)
{
    exchange->status = status;
    if (size < 0 || !request_may_drain(exchange) || watch_late(exchange->watched))
        exchange->closes = true;
    text_reserve(out, HEAD_USUAL + exchange->headers.size);
    text_puts(out, "HTTP/1.1 ");
    text_integer(out, status);
    put_line(out, " ", status_text(status));
    if (content_type)
        put_line(out, "Content-Type: ", content_type);
    if (size >= 0 && status != 204 && status != 304) {
        text_puts(out, "Content-Length: ");
        text_integer(out, size);
        text_puts(out, "\r\n");
    }
    put_line(out, "X-Request-Id: ", exchange->request.id);
    put_line(out, "Connection: ", exchange->closes ? "close" : "keep-alive");
    if (exchange->request.listener == LISTENER_PEOPLE) {
        text_puts(out, BROWSER_HEADERS);
        if (!strstr(text_string(&exchange->headers), "Content-Security-Policy:"))
            text_puts(out, PAGE_POLICY);
    }
    if (!strstr(text_string(&exchange->headers), "Cache-Control:"))
        text_puts(out, "Cache-Control: no-store\r\n");
    text_puts(out, text_string(&exchange->headers));
    text_puts(out, "\r\n");
}

void answer_bytes(struct request *request, int status, const char *content_type, const void *bytes,
                  size_t size)
{
    struct exchange *exchange = exchange_of(request);
    TEXT(out);

    if (exchange->status)
        return;
    text_reserve(&out, HEAD_USUAL + (size <= ANSWER_PIECE ? size : 0));
    put_head(exchange, &out, status, content_type, (int64_t)size);
    bool body = !exchange->head && status != 204 && status != 304;
    /* One write when it fits one, or the peer's delayed acknowledgement is waited for. */
    if (body && size <= ANSWER_PIECE) {
        text_add(&out, bytes, size);
        body = false;
    }
    if (send_piece(exchange, out.bytes, out.size) && body) {
        for (size_t at = 0; at < size; at += ANSWER_PIECE) {
            size_t piece = size - at < ANSWER_PIECE ? size - at : ANSWER_PIECE;

            if (!send_piece(exchange, (const char *)bytes + at, piece))
                break;
        }
    }
    exchange->port->server->bytes_out += (int64_t)size;
}

void answer_json(struct request *request, int status, const struct text *json)
{
    struct error err;

    if (json->failed) {
        error_set(&err, ERROR_LIMIT, "The answer is larger than %zu bytes: ask for less", json->limit);
        answer_error(request, &err);
        return;
    }
    answer_bytes(request, status, "application/json", text_string(json), json->size);
}

void answer_empty(struct request *request, int status)
{
    answer_bytes(request, status, NULL, "", 0);
}

static int status_of(const struct request *request, enum error_kind kind)
{
    switch (kind) {
    case ERROR_INPUT:
        return 400;
    case ERROR_DENIED:
        return request->operator_name || request->device_name ? 403 : 401;
    case ERROR_MISSING:
        return 404;
    case ERROR_CONFLICT:
        return 409;
    case ERROR_LIMIT:
        return 413;
    case ERROR_UNTRUSTED:
        return 422;
    default:
        return 500;
    }
}

void answer_status_error(struct request *request, int status, const struct error *err, const char *hint)
{
    struct json_writer json;
    TEXT(out);

    json_write_init(&json, &out);
    json_write_object(&json, NULL);
    json_write_object(&json, "error");
    json_write_string(&json, "code", error_kind_name(err->kind));
    json_write_string(&json, "message", err->text);
    json_write_string(&json, "request_id", request->id);
    json_write_string(&json, "hint", hint);
    json_write_end(&json, '}');
    json_write_end(&json, '}');
    answer_json(request, status, &out);
}

void answer_error(struct request *request, const struct error *err)
{
    /* A full disk is not the caller's fault. */
    bool full = err->kind == ERROR_LIMIT && strstr(err->text, strerror(ENOSPC));

    answer_status_error(request, full ? 507 : status_of(request, err->kind), err, NULL);
}

void answer_and_close(struct exchange *exchange, int status, enum error_kind kind, const char *sentence)
{
    struct error err;

    exchange->closes = true;
    error_set(&err, kind, "%s", sentence);
    answer_status_error(&exchange->request, status, &err, NULL);
}

/* --- files
 * -------------------------------------------------------------------------------------------------------- */
struct range {
    int64_t from, to; /* the bytes [from, to) */
    bool partial, unsatisfiable;
};

static bool etag_matches(const char *header, const char *etag)
{
    char quoted[140];

    if (!header || !etag)
        return false;
    snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
    return strcmp(header, "*") == 0 || strstr(header, quoted);
}

/* RFC 9110, 14.1.2; one range only, several are answered with the whole. */
static struct range range_read(const char *header, int64_t size)
{
    struct range range = {0, size, false, false};
    char first[24] = "", last[24] = "";
    int64_t from = -1, to = -1;
    const char *dash;

    if (!header || strncmp(header, "bytes=", 6) != 0 || strchr(header, ',') ||
        !(dash = strchr(header, '-')) || dash - header - 6 >= (long)sizeof(first) ||
        strlen(dash + 1) >= sizeof(last))
        return range;
    memcpy(first, header + 6, (size_t)(dash - header - 6));
    strcpy(last, dash + 1);
    if ((*first && !int64_parse(first, 0, INT64_MAX - 1, &from)) ||
        (*last && !int64_parse(last, 0, INT64_MAX - 1, &to)) || (!*first && !*last))
        return range;
    range.partial = true;
    if (!*first) {
        range.from = to < size ? size - to : 0;
        range.unsatisfiable = to == 0;
    } else {
        range.from = from;
        range.to = to >= 0 && to < size - 1 ? to + 1 : size;
        range.unsatisfiable = from >= size;
        if (to >= 0 && to < from)
            range = (struct range){0, size, false, false};
    }
    return range;
}

static void put_file_headers(struct request *request, const struct file_answer *file)
{
    char line[400];

    if (file->etag) {
        snprintf(line, sizeof(line), "\"%s\"", file->etag);
        answer_header(request, "ETag", line);
    }
    if (file->fd > 0)
        answer_header(request, "Accept-Ranges", "bytes");
    if (file->immutable)
        answer_header(request, "Cache-Control",
                      request->listener == LISTENER_DEVICES ? "public, max-age=31536000, immutable"
                                                            : "private, max-age=31536000, immutable");
    if (file->attachment) {
        answer_header(request, "Content-Security-Policy", "sandbox");
        snprintf(line, sizeof(line), "attachment; filename*=UTF-8''%s", file->attachment);
        answer_header(request, "Content-Disposition", line);
    }
}

/* RFC 8187: all but plain letters, digits and a few marks goes as %XX. */
static const char *attachment_name(struct arena *arena, const char *name)
{
    const char *slash = strrchr(name, '/');
    TEXT(out);

    for (const unsigned char *c = (const unsigned char *)(slash ? slash + 1 : name); *c && out.size < 300;
         c++) {
        if (strchr("-._", *c) || ((*c | 32) >= 'a' && (*c | 32) <= 'z') || (*c >= '0' && *c <= '9'))
            text_putc(&out, (char)*c);
        else
            text_printf(&out, "%%%02X", *c);
    }
    return arena_strdup(arena, text_string(&out));
}

static void send_file(struct exchange *exchange, const struct file_answer *file, int64_t from, int64_t to)
{
    char *bytes = arena_alloc(&exchange->arena, FILE_PIECE);

    while (from < to) {
        size_t room = to - from < FILE_PIECE ? (size_t)(to - from) : FILE_PIECE;
        ssize_t got = pread(file->fd, bytes, room, from);

        /* The length is promised already: a file that cannot be read on ends the connection. */
        if (got <= 0 || !send_piece(exchange, bytes, (size_t)got)) {
            exchange->closes = true;
            return;
        }
        from += got;
        exchange->port->server->bytes_out += got;
        if (file->sent)
            *file->sent += got;
    }
}

void answer_file(struct request *request, const struct file_answer *file)
{
    struct exchange *exchange = exchange_of(request);
    struct file_answer named = *file;
    const char *if_range = request_header(request, "If-Range");
    char line[80];
    TEXT(out);

    if (exchange->status)
        return;
    if (file->attachment)
        named.attachment = attachment_name(request->arena, file->attachment);
    put_file_headers(request, &named);
    if (etag_matches(request_header(request, "If-None-Match"), file->etag)) {
        answer_empty(request, 304);
        return;
    }
    /* RFC 9110, 13.1.5: the strong tag itself; no list, no weak one, no date. */
    bool ranged =
        !if_range || (file->etag && string_is(if_range, arena_printf(request->arena, "\"%s\"", file->etag)));
    struct range range = range_read(ranged ? request_header(request, "Range") : NULL, file->size);
    if (range.unsatisfiable) {
        snprintf(line, sizeof(line), "bytes */%lld", (long long)file->size);
        answer_header(request, "Content-Range", line);
        answer_empty(request, 416);
        return;
    }
    if (range.partial) {
        snprintf(line, sizeof(line), "bytes %lld-%lld/%lld", (long long)range.from, (long long)range.to - 1,
                 (long long)file->size);
        answer_header(request, "Content-Range", line);
    }
    put_head(exchange, &out, range.partial ? 206 : 200, file->content_type, range.to - range.from);
    if (send_piece(exchange, out.bytes, out.size) && !exchange->head)
        send_file(exchange, file, range.from, range.to);
}

/* --- pieces
 * ------------------------------------------------------------------------------------------------------- */
bool answer_pieces(struct request *request, const char *content_type, const char *attachment, int64_t size)
{
    struct exchange *exchange = exchange_of(request);
    const struct file_answer file = {.attachment = attachment_name(request->arena, attachment)};
    TEXT(out);

    if (exchange->status)
        return false;
    put_file_headers(request, &file);
    put_head(exchange, &out, 200, content_type, size);
    return send_piece(exchange, out.bytes, out.size) && !exchange->head;
}

bool answer_piece(struct request *request, const void *bytes, size_t size)
{
    struct exchange *exchange = exchange_of(request);

    if (!send_piece(exchange, bytes, size))
        return false;
    exchange->port->server->bytes_out += (int64_t)size;
    return true;
}

void answer_pieces_cut(struct request *request)
{
    exchange_of(request)->closes = true;
}

/* --- streams
 * ------------------------------------------------------------------------------------------------------ */
bool answer_stream(struct request *request, const char *content_type)
{
    struct exchange *exchange = exchange_of(request);
    struct server *server = exchange->port->server;
    TEXT(out);

    if (atomic_fetch_add(&server->streams, 1) >= STREAMS_MOST) {
        server->streams--;
        answer_header(request, "Retry-After", "10");
        answer_and_close(exchange, 503, ERROR_LIMIT, "Too many pages look at live events at once");
        return false;
    }
    exchange->streams = true;
    exchange->port->in_flight--;
    put_head(exchange, &out, 200, content_type, -1);
    return send_piece(exchange, out.bytes, out.size) && !exchange->head;
}

bool answer_stream_send(struct request *request, const void *bytes, size_t size)
{
    struct exchange *exchange = exchange_of(request);

    return !exchange->port->server->draining && send_piece(exchange, bytes, size);
}

bool answer_stream_alive(struct request *request)
{
    struct exchange *exchange = exchange_of(request);

    return !exchange->port->server->draining && !watch_peer_gone(exchange->watched);
}

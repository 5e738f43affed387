#include "base/http.h"

#include "base/clock.h"
#include "base/http_curl.h"
#include "base/json.h"
#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define ANSWER_LIMIT (4u << 20)
#define HEADER_BYTES (64u << 10)
#define HEADER_LINES 100
#define CONNECT_TIMEOUT_MS 10000
#define STALL_TIMEOUT_MS 30000
#define WAIT_MS 1000
#define WAIT_CANCELLABLE_MS 100

struct http {
    const struct curl *curl;
    CURLM *multi; /* holds the connection */
    CURL *easy;
    CURLSH *share; /* holds the TLS sessions, which outlive the connection */
    char *base_url, *ca_file, *user_agent;
    bool insecure, secret_path;
    int connect_timeout_ms, stall_timeout_ms, time_limit_ms;
};

/* One request under way. */
struct transfer {
    struct http *http;
    const struct http_request *request;
    struct http_answer *answer;
    struct text body;
    struct error failed; /* why a callback stopped it */
    int64_t moved_at_ms; /* the last byte in either direction */
    int64_t sent;
    int64_t began_ms, received; /* of the body; for receive_rate */
    size_t header_bytes;
    int header_lines;
};

static char *copy_or_null(const char *text)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy)
        abort();
    return copy;
}

/* No control character, space or quote: nothing that could begin another header. */
static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= 0x20 || (unsigned char)*text >= 0x7f || *text == '"')
            return false;
    return true;
}

bool http_load(struct error *err)
{
    return curl_load(err) != NULL;
}

struct http *http_open(const struct http_options *options, struct error *err)
{
    if (!options->base_url || !is_plain(options->base_url) ||
        (!string_starts(options->base_url, "https://") && !string_starts(options->base_url, "http://"))) {
        error_set(err, ERROR_INPUT, "\"%.200s\" is no http:// or https:// address",
                  options->base_url ? options->base_url : "");
        return NULL;
    }
    const struct curl *curl = curl_load(err);
    if (!curl)
        return NULL;
    struct http *http = calloc(1, sizeof(*http));
    if (!http)
        abort();
    http->curl = curl;
    http->base_url = copy_or_null(options->base_url);
    http->ca_file = copy_or_null(options->ca_file);
    http->user_agent = copy_or_null(options->user_agent);
    http->insecure = options->insecure;
    http->secret_path = options->secret_path;
    http->connect_timeout_ms = options->connect_timeout_ms ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    http->stall_timeout_ms = options->stall_timeout_ms ? options->stall_timeout_ms : STALL_TIMEOUT_MS;
    http->time_limit_ms = options->time_limit_ms;
    http->multi = curl->multi_init();
    http->easy = curl->easy_init();
    http->share = curl->share_init();
    if (!http->multi || !http->easy || !http->share)
        abort();
    curl->share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    return http;
}

void http_close(struct http *http)
{
    if (!http)
        return;
    const struct curl *curl = http->curl;
    curl->multi_cleanup(http->multi);
    curl->easy_cleanup(http->easy);
    curl->share_cleanup(http->share);
    free(http->base_url);
    free(http->ca_file);
    free(http->user_agent);
    free(http);
}

void http_disconnect(struct http *http)
{
    const struct curl *curl = http->curl;

    curl->multi_cleanup(http->multi);
    http->multi = curl->multi_init();
    if (!http->multi)
        abort();
}

static void touch(struct transfer *transfer)
{
    transfer->moved_at_ms = clock_boot_ms();
}

/* Copies the header's value when `line` is the header `name`; values that do not fit are dropped, not cut. */
static void header_take(const char *line, size_t size, const char *name, char *value, size_t room)
{
    size_t name_size = strlen(name);

    if (size <= name_size || strncasecmp(line, name, name_size) != 0 || line[name_size] != ':')
        return;
    line += name_size + 1;
    size -= name_size + 1;
    while (size > 0 && strchr(" \t", *line))
        line++, size--;
    while (size > 0 && strchr(" \t\r\n", line[size - 1]))
        size--;
    if (size >= room || memchr(line, '\0', size))
        return;
    memcpy(value, line, size);
    value[size] = '\0';
}

static size_t on_header(char *line, size_t one, size_t size, void *context)
{
    struct transfer *transfer = context;
    struct http_answer *answer = transfer->answer;

    (void)one;
    touch(transfer);
    transfer->header_bytes += size;
    if (transfer->header_bytes > HEADER_BYTES || ++transfer->header_lines > HEADER_LINES) {
        error_set(&transfer->failed, ERROR_LIMIT, "the answer's headers are too long");
        return 0;
    }
    /* A status line begins an answer anew (100 Continue came before). */
    if (size > 5 && memcmp(line, "HTTP/", 5) == 0)
        answer->etag[0] = answer->content_type[0] = answer->content_encoding[0] = answer->request_id[0] =
            answer->next[0] = '\0';
    header_take(line, size, "ETag", answer->etag, sizeof(answer->etag));
    header_take(line, size, "Content-Type", answer->content_type, sizeof(answer->content_type));
    header_take(line, size, "Content-Encoding", answer->content_encoding, sizeof(answer->content_encoding));
    header_take(line, size, "X-Request-Id", answer->request_id, sizeof(answer->request_id));
    header_take(line, size, "X-Next", answer->next, sizeof(answer->next));
    return size;
}

static void take_facts(struct transfer *transfer)
{
    const struct curl *curl = transfer->http->curl;
    CURL *easy = transfer->http->easy;
    curl_off_t length = -1, retry_after = 0;
    long status = 0;

    curl->easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl->easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    curl->easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
    transfer->answer->status = (int)status;
    transfer->answer->content_length = length;
    transfer->answer->retry_after_s = retry_after;
}

/* Rests until the bytes so far are no more than the rate allows; the peer then fills its window and waits
 * too. curl's own limit is not kept to on short ways: 600 kB at 100 kB/s came in one second. */
static void keep_to_rate(struct transfer *transfer, size_t size)
{
    int64_t rate = transfer->request->receive_rate, left;
    const bool *cancel = transfer->request->cancel;

    if (rate <= 0)
        return;
    if (transfer->received == 0)
        transfer->began_ms = clock_boot_ms();
    transfer->received += (int64_t)size;
    int64_t due_ms = transfer->began_ms + (int64_t)((double)transfer->received * 1000 / (double)rate);
    while ((left = due_ms - clock_boot_ms()) > 0 && !(cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED)))
        poll(NULL, 0, left < WAIT_CANCELLABLE_MS ? (int)left : WAIT_CANCELLABLE_MS);
    touch(transfer);
}

static size_t on_body(char *bytes, size_t one, size_t size, void *context)
{
    struct transfer *transfer = context;
    const struct http_request *request = transfer->request;

    (void)one;
    touch(transfer);
    take_facts(transfer);
    if (request->write && transfer->answer->status / 100 == 2) {
        if (request->write(request->context, bytes, size, &transfer->failed)) {
            keep_to_rate(transfer, size);
            return size;
        }
        if (!transfer->failed.kind)
            error_set(&transfer->failed, ERROR_SYSTEM, "stopped");
        return 0;
    }
    text_add(&transfer->body, bytes, size);
    if (transfer->body.failed) {
        error_set(&transfer->failed, ERROR_LIMIT, "the answer has more than %zu bytes", transfer->body.limit);
        return 0;
    }
    return size;
}

static size_t on_upload(char *bytes, size_t one, size_t room, void *context)
{
    struct transfer *transfer = context;
    const struct http_request *request = transfer->request;
    int64_t left = request->body_length - transfer->sent;
    ssize_t got;

    room *= one;
    touch(transfer);
    if (left <= 0)
        return 0;
    do
        got = pread(request->body_fd, bytes, (uint64_t)left < room ? (size_t)left : room,
                    request->body_offset + transfer->sent);
    while (got < 0 && errno == EINTR);
    if (got <= 0) {
        if (got < 0)
            error_errno(&transfer->failed, "reading the file to send");
        else
            error_set(&transfer->failed, ERROR_SYSTEM, "the file to send became shorter");
        return CURL_READFUNC_ABORT;
    }
    transfer->sent += got;
    if (request->progress)
        request->progress(request->context, transfer->sent);
    return (size_t)got;
}

/* A kept connection may turn out to be dead after the first bytes; curl then begins anew. */
static int on_seek(void *context, curl_off_t offset, int origin)
{
    struct transfer *transfer = context;

    if (origin != SEEK_SET || offset < 0 || offset > transfer->request->body_length)
        return CURL_SEEKFUNC_CANTSEEK;
    transfer->sent = offset;
    return CURL_SEEKFUNC_OK;
}

/* Names that cannot leave this machine never go through a proxy that the environment names. */
static bool is_loopback(const char *url)
{
    const char *host = strstr(url, "://") + 3;

    return string_starts(host, "127.") || string_starts(host, "localhost") || string_starts(host, "[::1]");
}

static void set_connection(struct http *http)
{
    const struct curl *curl = http->curl;
    CURL *easy = http->easy;

    curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl->easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl->easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl->easy_setopt(easy, CURLOPT_SHARE, http->share);
    curl->easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl->easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    curl->easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 15L);
    curl->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http->connect_timeout_ms);
    curl->easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)http->time_limit_ms);
    curl->easy_setopt(easy, CURLOPT_USERAGENT, http->user_agent);
    curl->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, http->insecure ? 0L : 1L);
    curl->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, http->insecure ? 0L : 2L);
    if (is_loopback(http->base_url))
        curl->easy_setopt(easy, CURLOPT_PROXY, "");
    if (http->ca_file) {
        curl->easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
        curl->easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
}

static void set_body(struct transfer *transfer)
{
    const struct http_request *request = transfer->request;
    const struct curl *curl = transfer->http->curl;
    CURL *easy = transfer->http->easy;

    if (string_is(request->method, "HEAD")) {
        curl->easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (request->body || string_is(request->method, "POST")) {
        curl->easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                          (curl_off_t)(request->body ? request->body_size : 0));
        curl->easy_setopt(easy, CURLOPT_POSTFIELDS, request->body ? request->body : "");
    }
    if (!request->body && request->body_fd > 0) {
        curl->easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl->easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_length);
        curl->easy_setopt(easy, CURLOPT_READFUNCTION, on_upload);
        curl->easy_setopt(easy, CURLOPT_READDATA, transfer);
        curl->easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl->easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
        curl->easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
    }
    if (!string_is(request->method, "HEAD"))
        curl->easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static struct curl_slist *set_headers(struct transfer *transfer, struct arena *arena)
{
    const struct http_request *request = transfer->request;
    const struct curl *curl = transfer->http->curl;
    bool has_body = request->body || request->body_fd > 0;
    struct curl_slist *headers = NULL;

    /* The server answers no 100 Continue to most, and waiting for it costs a second. */
    headers = curl->slist_append(headers, "Expect:");
    headers = curl->slist_append(headers, "Accept:");
    if (has_body)
        headers = curl->slist_append(
            headers, arena_printf(arena, "Content-Type: %s",
                                  request->content_type ? request->content_type : "application/json"));
    else
        headers = curl->slist_append(headers, "Content-Type:");
    if (request->token)
        headers =
            curl->slist_append(headers, arena_printf(arena, "Authorization: Bearer %s", request->token));
    for (const char *const *one = request->headers; one && *one; one++)
        headers = curl->slist_append(headers, *one);
    if (request->range_from > 0)
        headers = curl->slist_append(
            headers, arena_printf(arena, "Range: bytes=%lld-", (long long)request->range_from));
    curl->easy_setopt(transfer->http->easy, CURLOPT_HTTPHEADER, headers);
    return headers;
}

static bool content_type_is_plain(const char *type)
{
    for (; *type; type++)
        if ((unsigned char)*type < 0x20 || (unsigned char)*type >= 0x7f)
            return false;
    return true;
}

static bool request_is_good(const struct http_request *request, struct error *err)
{
    if (!request->path || request->path[0] != '/' || !is_plain(request->path))
        return error_set(err, ERROR_INPUT, "\"%.200s\" is no path for a request",
                         request->path ? request->path : "");
    if (request->token && (!*request->token || !is_plain(request->token)))
        return error_set(err, ERROR_INPUT, "the token has a character that no token has");
    if (request->content_type && !content_type_is_plain(request->content_type))
        return error_set(err, ERROR_INPUT, "the content type has a control character");
    for (const char *const *one = request->headers; one && *one; one++)
        if (!content_type_is_plain(*one))
            return error_set(err, ERROR_INPUT, "a header has a control character");
    return true;
}

/* Runs the transfer in short waits, so that `cancel` and the stall are seen. */
static bool run(struct transfer *transfer, CURLcode *code)
{
    struct http *http = transfer->http;
    const struct curl *curl = http->curl;
    const bool *cancel = transfer->request->cancel;
    int running = 1, left;
    CURLMsg *message;

    touch(transfer);
    for (;;) {
        if (curl->multi_perform(http->multi, &running) != CURLM_OK)
            return error_set(&transfer->failed, ERROR_SYSTEM, "the HTTP client failed");
        if (!running)
            break;
        if (cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED))
            return error_set(&transfer->failed, ERROR_SYSTEM, "cancelled");
        int64_t still = http->stall_timeout_ms - (clock_boot_ms() - transfer->moved_at_ms);
        curl_off_t connected = 0;
        curl->easy_getinfo(http->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
        if (connected == 0)
            still = WAIT_MS; /* connecting has its own limit */
        if (still <= 0)
            return error_set(&transfer->failed, ERROR_SYSTEM, "no byte for %d ms", http->stall_timeout_ms);
        int wait_ms = cancel ? WAIT_CANCELLABLE_MS : WAIT_MS;
        if (curl->multi_poll(http->multi, NULL, 0, still < wait_ms ? (int)still : wait_ms, NULL) != CURLM_OK)
            return error_set(&transfer->failed, ERROR_SYSTEM, "the HTTP client failed");
    }
    *code = CURLE_RECV_ERROR;
    while ((message = curl->multi_info_read(http->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            *code = message->data.result;
    return true;
}

static bool curl_failed(const struct curl *curl, CURLcode code, const char *reason, struct error *err)
{
    enum error_kind kind = ERROR_SYSTEM;

    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_ISSUER_ERROR ||
        code == CURLE_SSL_INVALIDCERTSTATUS || code == CURLE_SSL_CACERT_BADFILE)
        kind = ERROR_UNTRUSTED;
    return error_set(err, kind, "%s", *reason ? reason : curl->easy_strerror(code));
}

static bool transfer_run(struct transfer *transfer, struct arena *arena, struct error *err)
{
    struct http *http = transfer->http;
    const struct curl *curl = http->curl;
    char reason[CURL_ERROR_SIZE] = "";
    CURLcode code = CURLE_OK;

    curl->easy_reset(http->easy);
    set_connection(http);
    set_body(transfer);
    struct curl_slist *headers = set_headers(transfer, arena);
    curl->easy_setopt(http->easy, CURLOPT_URL,
                      arena_printf(arena, "%s%s", http->base_url, transfer->request->path));
    curl->easy_setopt(http->easy, CURLOPT_ERRORBUFFER, reason);
    curl->easy_setopt(http->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl->easy_setopt(http->easy, CURLOPT_HEADERDATA, transfer);
    curl->easy_setopt(http->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl->easy_setopt(http->easy, CURLOPT_WRITEDATA, transfer);
    curl->multi_add_handle(http->multi, http->easy);
    bool ran = run(transfer, &code);
    if (ran && code == CURLE_OK)
        take_facts(transfer);
    curl->multi_remove_handle(http->multi, http->easy);
    curl->easy_setopt(http->easy, CURLOPT_ERRORBUFFER, NULL);
    curl->slist_free_all(headers);
    if (transfer->failed.kind) {
        *err = transfer->failed;
        return false;
    }
    return code == CURLE_OK || curl_failed(curl, code, reason, err);
}

bool http_send(struct http *http, const struct http_request *request, struct arena *arena,
               struct http_answer *answer, struct error *err)
{
    struct transfer transfer = {.http = http, .request = request, .answer = answer};

    *answer = (struct http_answer){.content_length = -1, .body = arena_strdup(arena, "")};
    if (!request_is_good(request, err))
        return false;
    text_init(&transfer.body, request->answer_limit ? request->answer_limit : ANSWER_LIMIT);
    bool good = transfer_run(&transfer, arena, err);
    if (good && transfer.body.size > 0) {
        answer->body = arena_copy(arena, transfer.body.bytes, transfer.body.size);
        answer->size = transfer.body.size;
    }
    text_end(&transfer.body);
    return good ||
           error_add(err, "%s %s%s", request->method, http->base_url, http->secret_path ? "" : request->path);
}

static enum error_kind status_kind(int status)
{
    static const struct {
        int status;
        enum error_kind kind;
    } kinds[] = {{400, ERROR_INPUT},   {401, ERROR_DENIED},    {403, ERROR_DENIED},
                 {404, ERROR_MISSING}, {405, ERROR_INPUT},     {409, ERROR_CONFLICT},
                 {413, ERROR_LIMIT},   {422, ERROR_UNTRUSTED}, {507, ERROR_LIMIT}};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].status == status)
            return kinds[i].kind;
    return ERROR_SYSTEM;
}

/* The kind that the body names; the status's when it names none of ours. */
static enum error_kind said_kind(const struct json *error, int status)
{
    const char *code = json_string(error, "code");

    for (enum error_kind kind = ERROR_INPUT; kind <= ERROR_SYSTEM; kind++)
        if (string_is(code, error_kind_name(kind)))
            return kind;
    return status_kind(status);
}

/* Our error body is {"error":{"code":…,"message":…}}; of anything else only the status is told. */
bool http_refused(const struct http_answer *answer, struct error *err)
{
    ARENA(arena);
    struct error ignored = {0};
    const struct json *json = NULL;

    if (answer->size > 0)
        json = json_read(&arena, answer->body, answer->size, &json_limits_small, &ignored);
    const struct json *error = json_get(json, "error");
    const char *message = json_string(error, "message");
    if (message)
        return error_set(err, said_kind(error, answer->status), "%s", message);
    return error_set(err, status_kind(answer->status), "the server answered with status %d", answer->status);
}

char *url_encode(struct arena *arena, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *encoded = arena_alloc(arena, 3 * strlen(text) + 1);
    char *to = encoded;

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~", c)) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = digits[c >> 4];
            *to++ = digits[c & 15];
        }
    }
    return encoded;
}

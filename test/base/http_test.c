#include "base/http.h"

#include "base/certificate.h"
#include "base/clock.h"
#include "base/text.h"
#include "test/base/canned.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void http_end(struct http **http)
{
    http_close(*http);
}

static struct http *client(const char *url, const char *ca, bool insecure)
{
    struct error err = {0};
    struct http *http = http_open(&(struct http_options){.base_url = url,
                                                         .ca_file = ca,
                                                         .insecure = insecure,
                                                         .user_agent = "test/1",
                                                         .connect_timeout_ms = 5000,
                                                         .stall_timeout_ms = 300},
                                  &err);

    assert_ok(http, err);
    return http;
}
#define HTTP(name) __attribute__((cleanup(http_end))) struct http *name

#define OK_ANSWER                                                                                            \
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\nETag: "                       \
    "\"x\"\r\nX-Request-Id: r1\r\n\r\n{}"

static bool get(struct http *http, const char *path, struct arena *arena, struct http_answer *answer,
                struct error *err)
{
    *err = (struct error){0};
    return http_send(http, &(struct http_request){.method = "GET", .path = path}, arena, answer, err);
}

static void an_answer_comes_with_its_headers_over_one_connection(void **state)
{
    CANNED(server, OK_ANSWER);
    HTTP(http) = client(server.url, NULL, false);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_ok(get(http, "/a%20b?c=d", &arena, &answer, &err), err);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, "{}");
        assert_int_equal(answer.size, 2);
        assert_int_equal(answer.content_length, 2);
        assert_string_equal(answer.etag, "\"x\"");
        assert_string_equal(answer.content_type, "application/json");
        assert_string_equal(answer.request_id, "r1");
        assert_int_equal(answer.retry_after_s, 0);
    }
    assert_int_equal(server.connections, 1);
    assert_true(string_starts(server.head, "GET /a%20b?c=d HTTP/1.1\r\n"));
    assert_non_null(strstr(server.head, "\r\nUser-Agent: test/1\r\n"));
    assert_null(strstr(server.head, "Authorization"));
    assert_null(strstr(server.head, "Content-"));
}

static void a_request_carries_token_body_and_range(void **state)
{
    CANNED(server, OK_ANSWER);
    HTTP(http) = client(server.url, NULL, false);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};
    struct http_request request = {
        .method = "PATCH", .path = "/x", .token = "secret", .body = "{\"a\":1}", .body_size = 7};

    (void)state;
    assert_ok(http_send(http, &request, &arena, &answer, &err), err);
    assert_true(string_starts(server.head, "PATCH /x HTTP/1.1\r\n"));
    assert_non_null(strstr(server.head, "\r\nAuthorization: Bearer secret\r\n"));
    assert_non_null(strstr(server.head, "\r\nContent-Type: application/json\r\n"));
    assert_null(strstr(server.head, "Expect"));
    assert_memory_equal(server.body, "{\"a\":1}", 7);
    request = (struct http_request){.method = "GET", .path = "/x", .range_from = 5};
    assert_ok(http_send(http, &request, &arena, &answer, &err), err);
    assert_non_null(strstr(server.head, "\r\nRange: bytes=5-\r\n"));
    assert_null(strstr(server.head, "Authorization"));
    request = (struct http_request){.method = "POST", .path = "/x"};
    assert_ok(http_send(http, &request, &arena, &answer, &err), err);
    assert_non_null(strstr(server.head, "\r\nContent-Length: 0\r\n"));
    request = (struct http_request){.method = "DELETE", .path = "/x"};
    assert_ok(http_send(http, &request, &arena, &answer, &err), err);
    assert_true(string_starts(server.head, "DELETE /x HTTP/1.1\r\n"));
    assert_int_equal(server.connections, 1);
}

static void a_head_request_waits_for_no_body(void **state)
{
    CANNED(server, "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
    HTTP(http) = client(server.url, NULL, false);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};
    struct http_request request = {.method = "HEAD", .path = "/x"};

    (void)state;
    assert_ok(http_send(http, &request, &arena, &answer, &err), err);
    assert_int_equal(answer.content_length, 12345);
    assert_int_equal(answer.size, 0);
    assert_string_equal(answer.body, "");
}

static void count_progress(void *context, int64_t sent)
{
    *(int64_t *)context = sent;
}

static void a_part_of_a_file_is_sent_by_its_descriptor(void **state)
{
    CANNED(server, OK_ANSWER);
    HTTP(http) = client(server.url, NULL, false);
    SCRATCH(scratch);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};
    size_t size = 3u << 20;
    char *bytes = malloc(size);
    int64_t progress = 0;

    (void)state;
    memset(bytes, 'x', size);
    memcpy(bytes + 100, "START", 5);
    assert_ok(file_write(scratch.fd, "f", bytes, size, 0600, &err), err);
    free(bytes);
    FD(fd) = file_open_beneath(scratch.fd, "f", O_RDONLY, 0, &err);
    struct http_request request = {.method = "PUT",
                                   .path = "/f",
                                   .content_type = "application/octet-stream",
                                   .body_fd = fd,
                                   .body_offset = 100,
                                   .body_length = (int64_t)size - 100,
                                   .progress = count_progress,
                                   .context = &progress};
    int64_t began = clock_boot_ms();
    assert_ok(http_send(http, &request, &arena, &answer, &err), err);
    assert_in_range(clock_boot_ms() - began, 0, 900); /* no second spent waiting for 100 Continue */
    assert_int_equal(server.body_size, size - 100);
    assert_memory_equal(server.body, "STARTx", 6);
    assert_int_equal(progress, size - 100);
    assert_non_null(strstr(server.head, "\r\nContent-Type: application/octet-stream\r\n"));
    assert_null(strstr(server.head, "chunked"));
    request.body_length = (int64_t)size;
    assert_refused(http_send(http, &request, &arena, &answer, &err), err, ERROR_SYSTEM);
    assert_non_null(strstr(err.text, "shorter"));
    request.method = "POST";
    request.body_length = 5;
    assert_ok(http_send(http, &request, &arena, &answer, &err), err);
    assert_true(string_starts(server.head, "POST /f HTTP/1.1\r\n"));
    assert_int_equal(server.body_size, 5);
}

struct sink {
    char bytes[32];
    size_t size;
    const struct http_answer *answer;
    int status; /* seen while the bytes came */
    bool refuse;
};

static bool take(void *context, const void *bytes, size_t size, struct error *err)
{
    struct sink *sink = context;

    if (sink->refuse)
        return error_set(err, ERROR_LIMIT, "the disk is full");
    sink->status = sink->answer->status;
    memcpy(sink->bytes + sink->size, bytes, size);
    sink->size += size;
    return true;
}

static void a_body_streams_and_the_receiver_may_stop_it(void **state)
{
    CANNED(server, "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc");
    HTTP(http) = client(server.url, NULL, false);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};
    struct sink sink = {.answer = &answer};
    struct http_request request = {.method = "GET", .path = "/x", .write = take, .context = &sink};

    (void)state;
    assert_ok(http_send(http, &request, &arena, &answer, &err), err);
    assert_int_equal(sink.size, 3);
    assert_int_equal(sink.status, 206);
    assert_int_equal(answer.size, 0);
    canned_answers(&server, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
    assert_ok(http_send(http, &request, &arena, &answer, &err), err);
    assert_int_equal(sink.size, 3);
    assert_string_equal(answer.body, "none");
    canned_answers(&server, OK_ANSWER);
    sink.refuse = true;
    assert_refused(http_send(http, &request, &arena, &answer, &err), err, ERROR_LIMIT);
    assert_non_null(strstr(err.text, "the disk is full"));
}

static void a_cut_answer_is_a_failure_after_its_bytes_arrived(void **state)
{
    CANNED(server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    HTTP(http) = client(server.url, NULL, false);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};
    struct sink sink = {.answer = &answer};
    struct http_request request = {.method = "GET", .path = "/x", .write = take, .context = &sink};

    (void)state;
    canned_cuts(&server);
    assert_refused(http_send(http, &request, &arena, &answer, &err), err, ERROR_SYSTEM);
    assert_int_equal(sink.size, 3);
    canned_answers(&server, OK_ANSWER);
    assert_ok(get(http, "/x", &arena, &answer, &err), err);
}

static void a_kept_connection_that_died_is_opened_anew(void **state)
{
    CANNED(server, OK_ANSWER);
    HTTP(http) = client(server.url, NULL, false);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};

    (void)state;
    canned_cuts(&server);
    for (int i = 0; i < 3; i++)
        assert_ok(get(http, "/x", &arena, &answer, &err), err);
    assert_int_equal(server.connections, 3);
}

static void an_answer_is_bounded(void **state)
{
    CANNED(server, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef");
    HTTP(http) = client(server.url, NULL, false);
    ARENA(arena);
    TEXT(long_head);
    TEXT(many_lines);
    struct http_answer answer;
    struct error err = {0};
    struct http_request request = {.method = "GET", .path = "/x", .answer_limit = 5};

    (void)state;
    assert_refused(http_send(http, &request, &arena, &answer, &err), err, ERROR_LIMIT);
    request.answer_limit = 6;
    assert_ok(http_send(http, &request, &arena, &answer, &err), err);
    text_puts(&long_head, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
    text_puts(&many_lines, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
    for (int i = 0; i < 40; i++)
        text_printf(&long_head, "X-Long: %02000d\r\n", i);
    for (int i = 0; i < 120; i++)
        text_printf(&many_lines, "X-%d: 1\r\n", i);
    text_puts(&long_head, "\r\n");
    text_puts(&many_lines, "\r\n");
    canned_answers(&server, text_string(&long_head));
    assert_refused(get(http, "/x", &arena, &answer, &err), err, ERROR_LIMIT);
    canned_answers(&server, text_string(&many_lines));
    assert_refused(http_send(http, &request, &arena, &answer, &err), err, ERROR_LIMIT);
    canned_answers(
        &server,
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: 01234567890123456789012345678901234567890123456789"
        "012345678901234567890123456789\r\n\r\n");
    assert_ok(get(http, "/x", &arena, &answer, &err), err);
    assert_string_equal(answer.etag, "");
}

static void silence_ends_the_request(void **state)
{
    CANNED(server, NULL);
    HTTP(http) = client(server.url, NULL, false);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};
    int64_t began = clock_boot_ms();

    (void)state;
    assert_refused(get(http, "/x", &arena, &answer, &err), err, ERROR_SYSTEM);
    assert_non_null(strstr(err.text, "no byte for 300 ms"));
    assert_in_range(clock_boot_ms() - began, 290, 3000);
}

static void *cancel_soon(void *context)
{
    struct canned *server = ((void **)context)[0];
    bool *cancel = ((void **)context)[1];

    while (__atomic_load_n(&server->requests, __ATOMIC_RELAXED) == 0)
        sched_yield();
    __atomic_store_n(cancel, true, __ATOMIC_RELAXED);
    return NULL;
}

static void a_request_can_be_cancelled_while_it_waits(void **state)
{
    CANNED(server, NULL);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};
    bool cancel = false;
    pthread_t thread;
    HTTP(http) = http_open(&(struct http_options){.base_url = server.url, .stall_timeout_ms = 60000}, &err);
    struct http_request request = {.method = "GET", .path = "/x", .cancel = &cancel};

    (void)state;
    int64_t began = clock_boot_ms();
    pthread_create(&thread, NULL, cancel_soon, (void *[]){&server, &cancel});
    assert_refused(http_send(http, &request, &arena, &answer, &err), err, ERROR_SYSTEM);
    pthread_join(thread, NULL);
    assert_non_null(strstr(err.text, "cancelled"));
    assert_in_range(clock_boot_ms() - began, 0, 5000);
}

static void nobody_listening_is_told(void **state)
{
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};
    struct canned server;

    (void)state;
    canned_start(&server, OK_ANSWER, NULL);
    canned_stop(&server);
    HTTP(http) = client(server.url, NULL, false);
    assert_refused(get(http, "/x", &arena, &answer, &err), err, ERROR_SYSTEM);
    assert_true(string_starts(err.text, "GET http://127.0.0.1:"));
}

static void a_redirect_is_an_answer_not_a_journey(void **state)
{
    CANNED(server, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    HTTP(http) = client(server.url, NULL, false);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};

    (void)state;
    assert_ok(get(http, "/x", &arena, &answer, &err), err);
    assert_int_equal(answer.status, 302);
}

static void only_http_addresses_are_opened(void **state)
{
    static const char *const bad[] = {"file:///etc/passwd", "ftp://x",         "x", "",
                                      "http://a b",         "http://a\r\nX: y"};
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(http_open(&(struct http_options){.base_url = bad[i]}, &err), err, ERROR_INPUT);
    assert_refused(http_open(&(struct http_options){.base_url = NULL}, &err), err, ERROR_INPUT);
}

static void nothing_can_be_smuggled_into_a_request(void **state)
{
    HTTP(http) = client("http://127.0.0.1:1", NULL, false);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};
    const struct http_request bad[] = {
        {.method = "GET", .path = "x"},
        {.method = "GET", .path = "/a b"},
        {.method = "GET", .path = "/x\r\nX: y"},
        {.method = "GET", .path = NULL},
        {.method = "GET", .path = "/x", .token = "a\r\nX: y"},
        {.method = "GET", .path = "/x", .token = ""},
        {.method = "PUT", .path = "/x", .body = "", .content_type = "a\r\nX: y"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(http_send(http, &bad[i], &arena, &answer, &err), err, ERROR_INPUT);
}

static void retry_after_is_read_as_seconds(void **state)
{
    CANNED(server, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
    HTTP(http) = client(server.url, NULL, false);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};

    (void)state;
    assert_ok(get(http, "/x", &arena, &answer, &err), err);
    assert_int_equal(answer.status, 503);
    assert_int_equal(answer.retry_after_s, 7);
}

static void a_refusal_becomes_an_error_of_its_kind(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum error_kind kind;
        const char *text;
    } rows[] = {
        {409, "{\"error\":{\"code\":\"conflict\",\"message\":\"it is there\"}}", ERROR_CONFLICT,
         "it is there"},
        {400, "{\"error\":{\"code\":\"limit\",\"message\":\"too much\"}}", ERROR_LIMIT, "too much"},
        {404, "{\"error\":{\"code\":\"none\",\"message\":\"gone\"}}", ERROR_MISSING, "gone"},
        {401, "<html>", ERROR_DENIED, "the server answered with status 401"},
        {422, "{\"error\":\"x\"}", ERROR_UNTRUSTED, "the server answered with status 422"},
        {507, "", ERROR_LIMIT, "the server answered with status 507"},
        {502, "", ERROR_SYSTEM, "the server answered with status 502"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_answer answer = {
            .status = rows[i].status, .body = (char *)rows[i].body, .size = strlen(rows[i].body)};
        struct error err = {0};

        assert_refused(http_refused(&answer, &err), err, rows[i].kind);
        assert_string_equal(err.text, rows[i].text);
    }
}

static void urls_are_encoded_bytewise(void **state)
{
    ARENA(arena);

    (void)state;
    assert_string_equal(url_encode(&arena, "aZ09-._~"), "aZ09-._~");
    assert_string_equal(url_encode(&arena, "a/b?c&d=é%+ "), "a%2Fb%3Fc%26d%3D%C3%A9%25%2B%20");
    assert_string_equal(url_encode(&arena, ""), "");
}

/* A TLS server with certificates of base/certificate.c under `scratch`. */
static void tls_start(struct canned *server, struct scratch *scratch, const char *name, int max_version)
{
    const char *const names[] = {name, NULL};
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    struct error err = {0};
    char path[100];

    assert_ok(certificate_prepare(scratch->fd, names, &err), err);
    snprintf(path, sizeof(path), "%s/server.pem", scratch->path);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(tls, path), 1);
    snprintf(path, sizeof(path), "%s/server.key", scratch->path);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(tls, path, SSL_FILETYPE_PEM), 1);
    SSL_CTX_set_session_id_context(tls, (const unsigned char *)"t", 1);
    SSL_CTX_set_security_level(tls, 0);
    SSL_CTX_set_min_proto_version(tls, 0);
    SSL_CTX_set_max_proto_version(tls, max_version);
    canned_start(server, OK_ANSWER, tls);
}

static void a_session_is_resumed_after_disconnecting(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        SCRATCH(scratch);
        __attribute__((cleanup(canned_stop))) struct canned server;
        ARENA(arena);
        struct http_answer answer;
        struct error err = {0};
        char ca[100];

        tls_start(&server, &scratch, "127.0.0.1", versions[i]);
        snprintf(ca, sizeof(ca), "%s/ca.pem", scratch.path);
        HTTP(http) = client(server.url, ca, false);
        for (int round = 0; round < 3; round++) {
            assert_ok(get(http, "/x", &arena, &answer, &err), err);
            assert_ok(get(http, "/x", &arena, &answer, &err), err);
            http_disconnect(http);
        }
        assert_int_equal(server.connections, 3);
        assert_int_equal(server.resumed, 2);
    }
}

static void a_server_of_another_authority_or_name_is_untrusted(void **state)
{
    SCRATCH(scratch);
    SCRATCH(other);
    __attribute__((cleanup(canned_stop))) struct canned server;
    static const char *const names[] = {"127.0.0.1", NULL};
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};
    char ca[100], other_ca[100], none[100];

    (void)state;
    tls_start(&server, &scratch, "other.example", TLS1_3_VERSION);
    assert_ok(certificate_prepare(other.fd, names, &err), err);
    snprintf(ca, sizeof(ca), "%s/ca.pem", scratch.path);
    snprintf(other_ca, sizeof(other_ca), "%s/ca.pem", other.path);
    snprintf(none, sizeof(none), "%s/none.pem", other.path);
    const char *const bad[] = {ca, other_ca, NULL, none};
    for (size_t i = 0; i < 4; i++) {
        HTTP(http) = client(server.url, bad[i], false);

        assert_refused(get(http, "/x", &arena, &answer, &err), err, ERROR_UNTRUSTED);
    }
    assert_int_equal(server.requests, 0);
    HTTP(http) = client(server.url, NULL, true);
    assert_ok(get(http, "/x", &arena, &answer, &err), err);
}

static void tls_below_1_2_is_refused(void **state)
{
    SCRATCH(scratch);
    __attribute__((cleanup(canned_stop))) struct canned server;
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};

    (void)state;
    tls_start(&server, &scratch, "127.0.0.1", TLS1_1_VERSION);
    HTTP(http) = client(server.url, NULL, true);
    assert_refused(get(http, "/x", &arena, &answer, &err), err, ERROR_SYSTEM);
    assert_int_equal(server.requests, 0);
}

static void a_proxy_of_the_environment_is_not_used_on_this_machine(void **state)
{
    CANNED(server, OK_ANSWER);
    ARENA(arena);
    struct http_answer answer;
    struct error err = {0};

    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    HTTP(http) = client(server.url, NULL, false);
    assert_ok(get(http, "/x", &arena, &answer, &err), err);
    unsetenv("http_proxy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_with_its_headers_over_one_connection),
        cmocka_unit_test(a_request_carries_token_body_and_range),
        cmocka_unit_test(a_head_request_waits_for_no_body),
        cmocka_unit_test(a_part_of_a_file_is_sent_by_its_descriptor),
        cmocka_unit_test(a_body_streams_and_the_receiver_may_stop_it),
        cmocka_unit_test(a_cut_answer_is_a_failure_after_its_bytes_arrived),
        cmocka_unit_test(a_kept_connection_that_died_is_opened_anew),
        cmocka_unit_test(an_answer_is_bounded),
        cmocka_unit_test(silence_ends_the_request),
        cmocka_unit_test(a_request_can_be_cancelled_while_it_waits),
        cmocka_unit_test(nobody_listening_is_told),
        cmocka_unit_test(a_redirect_is_an_answer_not_a_journey),
        cmocka_unit_test(only_http_addresses_are_opened),
        cmocka_unit_test(nothing_can_be_smuggled_into_a_request),
        cmocka_unit_test(retry_after_is_read_as_seconds),
        cmocka_unit_test(a_refusal_becomes_an_error_of_its_kind),
        cmocka_unit_test(urls_are_encoded_bytewise),
        cmocka_unit_test(a_session_is_resumed_after_disconnecting),
        cmocka_unit_test(a_server_of_another_authority_or_name_is_untrusted),
        cmocka_unit_test(tls_below_1_2_is_refused),
        cmocka_unit_test(a_proxy_of_the_environment_is_not_used_on_this_machine),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* TLS of the server: that civetweb finds OpenSSL through our libssl.so, and that a real client gets a real
 * answer. */
#include "test/base/scratch.h"

#include "base/certificate.h"
#include "base/http.h"
#include "console/server_parts.h"

#include <civetweb.h>
#include <stdio.h>
#include <string.h>

static int answer_hello(struct mg_connection *connection)
{
    mg_printf(connection, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    return 200;
}

static int hand_over(void **context, void *tls)
{
    *context = tls;
    return 1;
}

/* A listener at a free port with a certificate for 127.0.0.1 in `folder`. */
struct listener_at {
    struct mg_context *context;
    void *tls;
    int port;
};

static void listener_open(struct listener_at *at, const struct scratch *folder)
{
    static const char *const names[] = {"localhost", "127.0.0.1", NULL};
    static const char *options[] = {"listening_ports", "127.0.0.1:0s", "num_threads", "2", NULL};
    const struct mg_callbacks callbacks = {.begin_request = answer_hello, .external_ssl_ctx = hand_over};
    struct mg_server_port port;
    struct error err = {0};
    char chain[128], key[128];

    assert_ok(certificate_prepare(folder->fd, names, &err), err);
    snprintf(chain, sizeof(chain), "%s/server.pem", folder->path);
    snprintf(key, sizeof(key), "%s/server.key", folder->path);
    at->tls = tls_context_new(chain, key, &err);
    assert_ok(at->tls, err);
    at->context = mg_start(&callbacks, at->tls, options);
    assert_non_null(at->context);
    assert_int_equal(mg_get_server_ports(at->context, 1, &port), 1);
    at->port = port.port;
}

static void listener_close(struct listener_at *at)
{
    mg_stop(at->context);
    tls_context_free(at->tls);
}

static bool say_hello(int port, const char *ca_file, struct error *err)
{
    ARENA(arena);
    struct http_answer answer = {0};
    char url[64];

    snprintf(url, sizeof(url), "https://127.0.0.1:%d", port);
    const struct http_options options = {.base_url = url, .ca_file = ca_file};
    struct http *http = http_open(&options, err);
    const struct http_request request = {.method = "GET", .path = "/"};
    bool good = http && http_send(http, &request, &arena, &answer, err);

    if (good) {
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, "hello");
    }
    http_close(http);
    return good;
}

static void the_library_finds_tls(void **state)
{
    (void)state;
    assert_true(mg_check_feature(MG_FEATURES_TLS));
    assert_int_equal(mg_init_library(MG_FEATURES_TLS) & MG_FEATURES_TLS, MG_FEATURES_TLS);
    mg_exit_library();
}

static void a_client_that_trusts_the_authority_is_answered_over_tls(void **state)
{
    SCRATCH(folder);
    struct listener_at at;
    struct error err = {0};
    char ca[128];

    (void)state;
    assert_int_equal(mg_init_library(MG_FEATURES_TLS) & MG_FEATURES_TLS, MG_FEATURES_TLS);
    listener_open(&at, &folder);
    snprintf(ca, sizeof(ca), "%s/ca.pem", folder.path);
    for (int i = 0; i < 20; i++)
        assert_ok(say_hello(at.port, ca, &err), err);
    listener_close(&at);
    mg_exit_library();
}

static void a_client_of_another_authority_refuses_the_server(void **state)
{
    static const char *const names[] = {"127.0.0.1", NULL};
    SCRATCH(folder);
    SCRATCH(other);
    struct listener_at at;
    struct error err = {0};
    char ca[128];

    (void)state;
    assert_int_equal(mg_init_library(MG_FEATURES_TLS) & MG_FEATURES_TLS, MG_FEATURES_TLS);
    listener_open(&at, &folder);
    assert_ok(certificate_prepare(other.fd, names, &err), err);
    snprintf(ca, sizeof(ca), "%s/ca.pem", other.path);
    assert_refused(say_hello(at.port, ca, &err), err, ERROR_UNTRUSTED);
    listener_close(&at);
    mg_exit_library();
}

static void a_key_of_another_certificate_is_refused(void **state)
{
    static const char *const names[] = {"localhost", NULL};
    SCRATCH(folder);
    struct error err = {0};
    char chain[128], key[128];

    (void)state;
    assert_ok(certificate_prepare(folder.fd, names, &err), err);
    snprintf(chain, sizeof(chain), "%s/server.pem", folder.path);
    snprintf(key, sizeof(key), "%s/ca.key", folder.path);
    assert_refused(tls_context_new(chain, key, &err), err, ERROR_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_finds_tls),
        cmocka_unit_test(a_client_that_trusts_the_authority_is_answered_over_tls),
        cmocka_unit_test(a_client_of_another_authority_refuses_the_server),
        cmocka_unit_test(a_key_of_another_certificate_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The HTTP server against hostile and unlucky peers: raw sockets to a whole console. */
#include "test/console/serving.h"

#include "base/clock.h"
#include "console/serve.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct serving world;

static int start(void **state)
{
    (void)state;
    serving_start(&world);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    serving_stop(&world);
    return 0;
}

/* The same console, open at each address of this machine. */
static void serving_everywhere(struct serving *serving)
{
    serving_start(serving);
    serving_end(serving);
    serving->everywhere = true;
    serving_again(serving);
}

/* From this port of 127.0.0.1 (0: any, which it becomes) to the people's port at `to`. */
static int connect_from(const struct serving *serving, in_port_t *from, const char *to)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((in_port_t)serving->people_port)};
    socklen_t size = sizeof(own);
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    own.sin_port = *from;
    assert_int_equal(inet_pton(AF_INET, to, &peer.sin_addr), 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&peer, sizeof(peer)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &size), 0);
    *from = own.sin_port;
    return fd;
}

/* One answer, by its Content-Length, on a connection that goes on or not. */
static void receive_answer(int fd, struct text *answer)
{
    text_clear(answer);
    while (!people_answer_whole(answer) && people_receive_some(fd, 20000, answer))
        ;
}

/* Sends, expects this status, and whether the connection ends with the answer. */
static void expect(const char *request, int status, bool closes)
{
    struct pollfd end;
    char rest[16];
    TEXT(answer);
    FD(fd) = people_connect(&world);

    people_send(fd, request);
    people_receive(fd, closes ? 5000 : 300, &answer);
    if (answer_status(&answer) != status)
        fail_msg("wanted %d for\n%.200s\ngot\n%.400s", status, request, text_string(&answer));
    assert_non_null(strstr(text_string(&answer), "X-Request-Id: "));
    end = (struct pollfd){.fd = fd, .events = POLLIN};
    bool closed = poll(&end, 1, 0) > 0 && recv(fd, rest, sizeof(rest), MSG_DONTWAIT) <= 0;
    if (closed != closes)
        fail_msg("the connection is %s after\n%.200s", closed ? "closed" : "open", request);
}

#define GET "GET /healthz HTTP/1.1\r\nHost: x\r\n"
#define POST "POST /api/v1/session HTTP/1.1\r\nHost: x\r\n"

static void many_headers(struct text *out, int count)
{
    text_puts(out, POST);
    for (int i = 0; i < count - 2; i++)
        text_printf(out, "A%d: 1\r\n", i);
    text_puts(out, "Content-Length: 5\r\n\r\nhello");
}

static void headers_beyond_what_is_kept_are_refused_and_end_the_connection(void **state)
{
    (void)state;
    TEXT(few);
    TEXT(most);
    TEXT(many);

    many_headers(&few, 63);
    many_headers(&most, 64);
    many_headers(&many, 65);
    expect(text_string(&few), 400, false); /* understood: "hello" is no JSON */
    expect(text_string(&most), 431, true);
    expect(text_string(&many), 431, true);
}

static void lengths_that_two_readers_read_differently_are_refused(void **state)
{
    (void)state;
    expect(POST "Content-Length: 5abc\r\n\r\nhello", 400, true);
    expect(POST "Content-Length: +5\r\n\r\nhello", 400, true);
    expect(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400, true);
    expect(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, true);
    expect(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, true);
    expect(POST "Content-Length : 5\r\n\r\nhello", 400, true);
    expect(POST " folded: 1\r\nContent-Length: 5\r\n\r\nhello", 400, true);
    expect("POST /api/v1/session HTTP/1.1\r\nHost: x\nContent-Length: 5\r\n\r\nhello", 400, true);
    expect("GET /healthz HTTP/1.1\r\n\r\n", 400, true);
    expect("GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, true);
}

static void a_smuggled_request_is_never_answered(void **state)
{
    TEXT(answer);
    FD(fd) = people_connect(&world);

    (void)state;
    people_send(fd,
                POST " folded: 1\r\nContent-Length: 38\r\n\r\nGET /healthz HTTP/1.1\r\nHost: evil\r\n\r\n");
    people_receive(fd, 5000, &answer);
    assert_int_equal(answer_status(&answer), 400);
    assert_null(strstr(text_string(&answer) + 9, "HTTP/1.1 "));
}

static void chunked_bodies_are_refused_with_the_reason(void **state)
{
    (void)state;
    expect(POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 411, true);
}

static void only_the_exact_path_is_the_path(void **state)
{
    (void)state;
    expect(GET "\r\n", 200, false);
    expect("GET /api/v1/SETUP HTTP/1.1\r\nHost: x\r\n\r\n", 404, true);
    expect("GET /api/v1/setupx HTTP/1.1\r\nHost: x\r\n\r\n", 404, true);
    expect("GET /api/v1/setup/ HTTP/1.1\r\nHost: x\r\n\r\n", 404, true);
    expect("GET /api/v1/setup%00x HTTP/1.1\r\nHost: x\r\n\r\n", 400, true);
    expect("GET /api/v1/setup%2 HTTP/1.1\r\nHost: x\r\n\r\n", 400, true);
    expect("GET /api/v1/../v1/setup HTTP/1.1\r\nHost: x\r\n\r\n", 400, true);
    expect("GET /api/v1/%2e%2e/setup HTTP/1.1\r\nHost: x\r\n\r\n", 400, true);
    expect("GET /api/v1/s%65tup HTTP/1.1\r\nHost: x\r\n\r\n", 200, false);
    expect("GET /%ff HTTP/1.1\r\nHost: x\r\n\r\n", 400, true);
    expect("PUT /api/v1/setup HTTP/1.1\r\nHost: x\r\n\r\n", 405, true);
    expect("GET /device/checkin HTTP/1.1\r\nHost: x\r\n\r\n", 404, true);
}

static void a_preflight_of_another_origin_gets_no_permission(void **state)
{
    TEXT(answer);

    (void)state;
    people_ask(&world,
               "OPTIONS /api/v1/session HTTP/1.1\r\nHost: x\r\nOrigin: http://evil\r\n"
               "Access-Control-Request-Method: POST\r\n\r\n",
               &answer);
    assert_int_equal(answer_status(&answer), 405);
    assert_null(strstr(text_string(&answer), "Access-Control"));
}

static void a_web_socket_is_not_opened(void **state)
{
    TEXT(request);
    TEXT(answer);

    (void)state;
    text_printf(&request,
                "GET /api/v1/audit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n",
                world.token);
    people_ask(&world, text_string(&request), &answer);
    assert_int_equal(answer_status(&answer), 200);
}

static void a_body_is_asked_for_when_the_peer_waits_for_that(void **state)
{
    TEXT(answer);
    FD(fd) = people_connect(&world);

    (void)state;
    people_send(fd, POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    people_receive(fd, 300, &answer);
    assert_string_equal(text_string(&answer), "HTTP/1.1 100 Continue\r\n\r\n");
    text_clear(&answer);
    people_send(fd, "{}");
    people_receive(fd, 300, &answer);
    assert_int_equal(answer_status(&answer), 400);
    expect(POST "Expect: miracles\r\nContent-Length: 2\r\n\r\n{}", 417, true);
}

static void a_body_over_the_limit_is_refused_before_it_is_read(void **state)
{
    (void)state;
    expect(POST "Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n", 413, true);
    expect(GET "Content-Length: 2\r\n\r\n{}", 413, true);
}

/* An answer that refuses, then one to the next request of the same connection. */
static void expect_goes_on(const char *refused, int status)
{
    TEXT(both);
    TEXT(request);
    FD(fd) = people_connect(&world);

    text_printf(&request, "%s" GET "Connection: close\r\n\r\n", refused);
    people_send(fd, text_string(&request));
    people_receive(fd, 5000, &both);
    const char *second = strstr(text_string(&both) + 1, "HTTP/1.1 ");
    if (answer_status(&both) != status || !second || strncmp(second, "HTTP/1.1 200", 12) != 0)
        fail_msg("wanted %d and 200 for\n%.200s\ngot\n%.1500s", status, refused, text_string(&both));
}

static void a_refused_request_with_a_small_body_keeps_its_connection(void **state)
{
    (void)state;
    TEXT(large);

    expect_goes_on("POST /api/v1/claims HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 401);
    text_puts(&large, "POST /api/v1/claims HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n");
    for (int i = 0; i < 65536; i++)
        text_putc(&large, 'G');
    expect_goes_on(text_string(&large), 401);
    /* What is larger, or comes only when it is asked for, ends it as before. */
    expect("POST /api/v1/claims HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\nhello", 401, true);
    expect("POST /api/v1/claims HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
           401, true);
}

static void a_refused_request_whose_body_does_not_come_holds_nobody(void **state)
{
    (void)state;
    int64_t begun = clock_boot_ms();

    expect("POST /api/v1/claims HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhell", 401, true);
    /* Not the ten seconds and more that a body has which somebody reads. */
    assert_true(clock_boot_ms() - begun < 9000);
}

static void a_refusal_is_whole_before_the_body_has_come(void **state)
{
    TEXT(rest);
    TEXT(answer);
    FD(fd) = people_connect(&world);

    (void)state;
    people_send(fd, "POST /api/v1/claims HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\nhello");
    receive_answer(fd, &answer);
    assert_int_equal(answer_status(&answer), 401);
    assert_true(people_answer_whole(&answer));
    int64_t answered = clock_boot_ms();
    assert_non_null(strstr(text_string(&answer), "Connection: keep-alive\r\n"));
    assert_non_null(strstr(text_string(&answer), "\"request_id\""));
    for (int i = 5; i < 65536; i++)
        text_putc(&rest, 'G');
    people_send(fd, text_string(&rest));
    /* What is left of it was late where the machine was too busy for us. */
    if (clock_boot_ms() - answered > 1500)
        return;
    people_send(fd, GET "\r\n");
    receive_answer(fd, &answer);
    assert_int_equal(answer_status(&answer), 200);
}

/* Two connections that differ by nothing but the address that they came to. */
static void a_late_connection_is_ended_and_no_other_one(void **state)
{
    struct serving own;
    in_port_t from = 0;
    TEXT(answer);

    (void)state;
    serving_everywhere(&own);
    for (int late = 0; late < 2; late++) {
        FD(first) = connect_from(&own, &from, "127.0.0.1");
        FD(second) = connect_from(&own, &from, "127.0.0.2");
        int slow = late ? second : first, healthy = late ? first : second;

        people_send(healthy, GET "\r\n");
        receive_answer(healthy, &answer);
        assert_int_equal(answer_status(&answer), 200);
        people_send(slow, "POST /api/v1/claims HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhell");
        receive_answer(slow, &answer);
        assert_int_equal(answer_status(&answer), 401);
        while (people_receive_some(slow, 6000, &answer))
            ;
        assert_int_equal(recv(slow, (char[1]){0}, 1, MSG_DONTWAIT), 0); /* its end has come */
        people_send(healthy, GET "\r\n");
        receive_answer(healthy, &answer);
        assert_int_equal(answer_status(&answer), 200);
        from = 0;
    }
    serving_stop(&own);
}

static void a_body_at_a_byte_a_second_is_ended_at_the_limit(void **state)
{
    int64_t began = clock_boot_ms();
    struct pollfd ready;
    TEXT(answer);
    FD(fd) = people_connect(&world);

    (void)state;
    people_send(fd, POST "Content-Length: 1000\r\n\r\n");
    ready = (struct pollfd){.fd = fd, .events = POLLIN};
    while (poll(&ready, 1, 1000) == 0 && clock_boot_ms() - began < 20000)
        people_send(fd, "x");
    people_receive(fd, 4000, &answer);
    assert_int_equal(answer_status(&answer), 408);
    assert_in_range(clock_boot_ms() - began, 9000, 14000);
}

static void idle_connections_do_not_keep_others_out(void **state)
{
    int fds[80];
    int64_t began = clock_boot_ms();
    TEXT(answer);

    (void)state;
    for (size_t i = 0; i < 80; i++) {
        fds[i] = people_connect(&world);
        people_send(fds[i], GET "\r\n");
    }
    people_ask(&world, GET "\r\n", &answer);
    assert_int_equal(answer_status(&answer), 200);
    assert_true(clock_boot_ms() - began < 8000);
    for (size_t i = 0; i < 80; i++)
        fd_close(&fds[i]);
}

static void at_most_forty_pages_watch_events_and_others_go_on(void **state)
{
    int fds[41];
    TEXT(request);
    TEXT(answer);

    (void)state;
    text_printf(&request, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n",
                world.token);
    for (size_t i = 0; i < 41; i++) {
        fds[i] = people_connect(&world);
        people_send(fds[i], text_string(&request));
        text_clear(&answer);
        while (!strstr(text_string(&answer), "\r\n\r\n")) {
            size_t before = answer.size;
            people_receive(fds[i], 200, &answer);
            if (answer.size == before && before)
                break;
        }
        assert_int_equal(answer_status(&answer), i < 40 ? 200 : 503);
    }
    people_ask(&world, GET "\r\n", &answer);
    assert_int_equal(answer_status(&answer), 200);
    for (size_t i = 0; i < 41; i++)
        fd_close(&fds[i]);
}

static void too_few_open_files_are_refused_at_the_start(void **state)
{
    char output[8192] = "";
    int pipe_fds[2], status;

    (void)state;
    /* accept() failing with EMFILE would spin: so the limit is looked at before. */
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit few = {256, 256};
        char data[128];
        char *argv[] = {"serve",       "--data",          data,          "--listen",
                        "127.0.0.1:0", "--device-listen", "127.0.0.1:0", NULL};

        snprintf(data, sizeof(data), "%s/few", world.scratch.path);
        dup2(pipe_fds[1], STDERR_FILENO);
        setrlimit(RLIMIT_NOFILE, &few);
        _exit(serve_main(7, argv));
    }
    close(pipe_fds[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (size_t at = 0; at < sizeof(output) - 1;) {
        ssize_t got = read(pipe_fds[0], output + at, sizeof(output) - 1 - at);
        if (got <= 0)
            break;
        at += (size_t)got;
    }
    close(pipe_fds[0]);
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_non_null(strstr(output, "open files"));
}

static void a_second_copy_on_the_same_data_is_refused(void **state)
{
    int status;

    (void)state;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {"serve",       "--data",          world.data,    "--listen",
                        "127.0.0.1:0", "--device-listen", "127.0.0.1:0", NULL};

        fclose(stderr);
        stderr = fopen("/dev/null", "w");
        _exit(serve_main(7, argv));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 5);
}

/* Ends the console while a body is on its way: what was begun is answered, what comes is refused. */
static void a_request_in_flight_is_answered_before_the_end(void **state)
{
    struct serving own;
    int status;
    TEXT(answer);

    (void)state;
    serving_start(&own);
    FD(fd) = people_connect(&own);
    people_send(fd, POST "Content-Length: 50\r\n\r\n{\"name\":\"nobody\",");
    people_receive(fd, 300, &answer);
    assert_int_equal((int)answer.size, 0);
    kill(own.pid, SIGTERM);
    people_receive(fd, 300, &answer);
    assert_int_equal((int)answer.size, 0);
    people_send(fd, "\"password\":\"wrong password\"}     ");
    people_receive(fd, 5000, &answer);
    assert_int_equal(answer_status(&answer), 401);
    assert_int_equal(waitpid(own.pid, &status, 0), own.pid);
    own.pid = 0;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    fd_close(&own.output);
    serving_stop(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_beyond_what_is_kept_are_refused_and_end_the_connection),
        cmocka_unit_test(lengths_that_two_readers_read_differently_are_refused),
        cmocka_unit_test(a_smuggled_request_is_never_answered),
        cmocka_unit_test(chunked_bodies_are_refused_with_the_reason),
        cmocka_unit_test(only_the_exact_path_is_the_path),
        cmocka_unit_test(a_preflight_of_another_origin_gets_no_permission),
        cmocka_unit_test(a_web_socket_is_not_opened),
        cmocka_unit_test(a_body_is_asked_for_when_the_peer_waits_for_that),
        cmocka_unit_test(a_body_over_the_limit_is_refused_before_it_is_read),
        cmocka_unit_test(a_refused_request_with_a_small_body_keeps_its_connection),
        cmocka_unit_test(a_refused_request_whose_body_does_not_come_holds_nobody),
        cmocka_unit_test(a_refusal_is_whole_before_the_body_has_come),
        cmocka_unit_test(a_late_connection_is_ended_and_no_other_one),
        cmocka_unit_test(a_body_at_a_byte_a_second_is_ended_at_the_limit),
        cmocka_unit_test(idle_connections_do_not_keep_others_out),
        cmocka_unit_test(at_most_forty_pages_watch_events_and_others_go_on),
        cmocka_unit_test(too_few_open_files_are_refused_at_the_start),
        cmocka_unit_test(a_second_copy_on_the_same_data_is_refused),
        cmocka_unit_test(a_request_in_flight_is_answered_before_the_end),
    };

    return cmocka_run_group_tests(tests, start, stop);
}

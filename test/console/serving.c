#include "test/console/serving.h"

#include "base/clock.h"
#include "base/json.h"
#include "console/admin.h"
#include "console/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 20000

int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    FD(fd) = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

static int try_connect(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fd_close(&fd);
    return fd;
}

int people_connect(const struct serving *serving)
{
    int fd = try_connect(serving->people_port);

    assert_true(fd >= 0);
    return fd;
}

void people_send(int fd, const char *text)
{
    size_t size = strlen(text);

    /* A server that closes early is no failure of the test by itself. */
    for (size_t at = 0; at < size;) {
        ssize_t sent = send(fd, text + at, size - at, MSG_NOSIGNAL);

        if (sent <= 0)
            return;
        at += (size_t)sent;
    }
}

bool people_receive_some(int fd, int ms, struct text *out)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    char bytes[4096];

    if (poll(&ready, 1, ms) <= 0)
        return false;
    ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
    if (got <= 0)
        return false;
    text_add(out, bytes, (size_t)got);
    return true;
}

void people_receive(int fd, int ms, struct text *out)
{
    while (people_receive_some(fd, ms, out))
        ;
}

bool people_answer_whole(const struct text *answer)
{
    const char *end = strstr(text_string(answer), "\r\n\r\n");
    const char *length = strstr(text_string(answer), "Content-Length: ");

    if (!end)
        return false;
    size_t body = length && length < end ? (size_t)atol(length + 16) : 0;
    return answer->size >= (size_t)(end - text_string(answer)) + 4 + body;
}

void people_ask(const struct serving *serving, const char *request, struct text *answer)
{
    FD(fd) = people_connect(serving);

    text_clear(answer);
    people_send(fd, request);
    while (!people_answer_whole(answer) && people_receive_some(fd, PATIENCE_MS, answer))
        ;
}

int answer_status(const struct text *answer)
{
    const char *text = text_string(answer);

    return strncmp(text, "HTTP/1.1 ", 9) == 0 ? atoi(text + 9) : 0;
}

static void wait_until_up(struct serving *serving)
{
    int64_t until = clock_boot_ms() + PATIENCE_MS;
    const struct timespec pause = {.tv_nsec = 20 * 1000000L};
    int status;

    for (;;) {
        FD(fd) = try_connect(serving->people_port);

        if (fd >= 0)
            return;
        if (waitpid(serving->pid, &status, WNOHANG) == serving->pid)
            fail_msg("the console ended with %d", status);
        assert_true(clock_boot_ms() < until);
        nanosleep(&pause, NULL);
    }
}

static void take_token(void *context, const char *line)
{
    struct serving *serving = context;
    struct error err;
    ARENA(arena);
    const char *token = json_string(json_read(&arena, line, strlen(line), &json_limits_small, &err), "token");

    if (token)
        snprintf(serving->token, sizeof(serving->token), "%s", token);
}

void serving_again(struct serving *serving)
{
    char listen[32], device_listen[32], password[112];
    int output[2];

    snprintf(listen, sizeof(listen), "%s:%d", serving->everywhere ? "0.0.0.0" : "127.0.0.1",
             serving->people_port);
    snprintf(device_listen, sizeof(device_listen), "127.0.0.1:%d", serving->device_port);
    snprintf(password, sizeof(password), "%s/password", serving->scratch.path);
    assert_int_equal(pipe2(output, O_CLOEXEC | O_NONBLOCK), 0);
    fflush(NULL);
    serving->pid = fork();
    if (serving->pid == 0) {
        char *argv[] = {"serve",           "--data",      serving->data,           "--listen", listen,
                        "--device-listen", device_listen, "--admin-password-file", password,   NULL};

        dup2(output[1], STDOUT_FILENO);
        exit(serve_main(9, argv));
    }
    close(output[1]);
    serving->output = output[0];
    wait_until_up(serving);
}

void serving_start(struct serving *serving)
{
    static const char request[] = "{\"do\":\"token create\",\"user\":\"admin\",\"name\":\"test\"}";
    struct error err;

    memset(serving, 0, sizeof(*serving));
    scratch_make(&serving->scratch);
    snprintf(serving->data, sizeof(serving->data), "%s/data", serving->scratch.path);
    assert_ok(
        file_write(serving->scratch.fd, "password", ADMIN_PASSWORD "\n", sizeof(ADMIN_PASSWORD), 0600, &err),
        err);
    serving->people_port = free_port();
    serving->device_port = free_port();
    snprintf(serving->url, sizeof(serving->url), "http://127.0.0.1:%d", serving->people_port);
    serving_again(serving);
    assert_ok(admin_call(serving->data, request, take_token, serving, &err), err);
}

void serving_end(struct serving *serving)
{
    int status = 0;

    kill(serving->pid, SIGTERM);
    assert_int_equal(waitpid(serving->pid, &status, 0), serving->pid);
    serving->pid = 0;
    fd_close(&serving->output);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void serving_stop(struct serving *serving)
{
    if (serving->pid)
        serving_end(serving);
    scratch_remove(&serving->scratch);
}

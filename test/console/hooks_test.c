/* Web hooks: addresses, signatures, back-off, what is queued, and a real receiver on loopback. */
#include "test/console/small.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "console/hooks.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A receiver: answers each request with the next of its statuses, the last one for ever. */
struct receiver {
    int listener, port;
    pthread_t thread;
    const int *statuses;
    int requests; /* atomically */
    bool endless; /* what it says beside its status */
    char last[4096];
};

static void receiver_answer(struct receiver *receiver, int fd)
{
    size_t size = 0;
    char answer[120], rest[4096];

    for (;;) {
        ssize_t got = read(fd, receiver->last + size, sizeof receiver->last - 1 - size);
        if (got <= 0)
            return;
        receiver->last[size += (size_t)got] = '\0';
        const char *body = strstr(receiver->last, "\r\n\r\n"),
                   *length = strstr(receiver->last, "Content-Length: ");
        if (body && length && strlen(body + 4) >= strtoul(length + 16, NULL, 10))
            break;
    }
    int status = receiver->statuses[0];
    if (receiver->statuses[1])
        receiver->statuses++;
    __atomic_add_fetch(&receiver->requests, 1, __ATOMIC_SEQ_CST);
    snprintf(answer, sizeof answer, "HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n%s\r\n",
             status, status == 302 ? "Location: /elsewhere\r\n" : "");
    if (receiver->endless)
        snprintf(answer, sizeof answer, "HTTP/1.1 %d X\r\n\r\n", status);
    assert_int_equal(write(fd, answer, strlen(answer)), (ssize_t)strlen(answer));
    memset(rest, 'x', sizeof rest);
    while (receiver->endless && send(fd, rest, sizeof rest, MSG_NOSIGNAL) > 0)
        ;
}

static void *receiver_run(void *context)
{
    struct receiver *receiver = context;
    int fd;

    while ((fd = accept(receiver->listener, NULL, NULL)) >= 0) {
        receiver_answer(receiver, fd);
        close(fd);
    }
    return NULL;
}

static void receiver_start(struct receiver *receiver, const int *statuses)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    *receiver =
        (struct receiver){.statuses = statuses, .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(receiver->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(receiver->listener, 5), 0);
    assert_int_equal(getsockname(receiver->listener, (struct sockaddr *)&address, &size), 0);
    receiver->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&receiver->thread, NULL, receiver_run, receiver), 0);
}

static void receiver_stop(struct receiver *receiver)
{
    shutdown(receiver->listener, SHUT_RDWR);
    pthread_join(receiver->thread, NULL);
    close(receiver->listener);
}

static void make(struct small *small, const char *name, int port, char secret[HOOK_SECRET_SIZE])
{
    struct error err = {0};
    char url[80];
    const struct hook_plan plan = {.name = name, .url = url};

    snprintf(url, sizeof url, "http://127.0.0.1:%d/in?x=1", port);
    assert_ok(hook_create(&small->console, &plan, "ada", secret, &err), err);
}

static void tell(struct small *small, const char *event)
{
    const struct hook_news news = {.event = event,
                                   .alarm = "overdue",
                                   .device = "cam-1",
                                   .campaign = 7,
                                   .run = 1,
                                   .reason = "it is \"late\""};
    struct error err = {0};
    struct db_conn *conn = db_write(small->console.db, &err);

    assert_ok(conn, err);
    assert_ok(hook_tell(&small->console, conn, &news, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

static bool send_round(struct small *small)
{
    struct error err = {0};
    bool more;

    assert_ok(hooks_round(&small->console, NULL, &more, &err), err);
    return more;
}

/* "attempt status next error" of the newest delivery; next in seconds from now. */
static const char *newest(struct small *small, struct arena *arena)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(small->console.db, &err);
    struct db_query *query =
        db_query(conn, "SELECT attempt, coalesce(status, 0), coalesce(next_at, 0), error FROM"
                       " hook_delivery ORDER BY id DESC LIMIT 1");
    const char *text = "none";

    if (db_step(query))
        text = arena_printf(arena, "%lld %lld %s %s", (long long)db_integer(query, 0),
                            (long long)db_integer(query, 1),
                            db_integer(query, 2) > clock_now() ? "later"
                            : db_integer(query, 2)             ? "due"
                                                               : "over",
                            db_text(query, 3) ? db_text(query, 3) : "");
    assert_ok(db_end(query, &err), err);
    return text;
}

static int64_t count(struct small *small)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(small->console.db, &err);
    struct db_query *query = db_query(conn, "SELECT count(*) FROM hook_delivery");
    int64_t number = db_step(query) ? db_integer(query, 0) : -1;

    assert_ok(db_end(query, &err), err);
    return number;
}

static void only_https_or_this_machine_is_an_address(void **state)
{
    static const char *const good[] = {"https://example.org",
                                       "https://example.org:8443/a/b?c=d",
                                       "http://127.0.0.1:8080/x",
                                       "http://127.9.9.9/",
                                       "http://localhost/x",
                                       "http://[::1]:99/x",
                                       "https://[2001:db8::1]:443/hook"};
    static const char *const bad[] = {"",
                                      "http://example.org/",
                                      "http://127.0.0.1.example.org/",
                                      "http://localhost.example.org/",
                                      "http://1270.0.0.1/",
                                      "http://[::2]/",
                                      "http://[::1",
                                      "https://",
                                      "https:///x",
                                      "https://user@example.org/",
                                      "http://127.0.0.1@example.org/",
                                      "https://example.org:0/",
                                      "https://example.org:99999/",
                                      "https://example.org:/",
                                      "https://example.org/#x",
                                      "https://example.org/a b",
                                      "https://example.org/\r\nX: y",
                                      "file:///etc/passwd",
                                      "HTTPS://example.org/"};
    const char *base, *path;
    struct error err = {0};
    ARENA(arena);

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_ok(hook_url_read(&arena, good[i], &base, &path, &err), err);
    assert_ok(hook_url_read(&arena, "https://example.org:8443?a=b", &base, &path, &err), err);
    assert_string_equal(base, "https://example.org:8443");
    assert_string_equal(path, "/?a=b");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(hook_url_read(&arena, bad[i], &base, &path, &err), err, ERROR_INPUT);
}

static void the_rests_grow_to_an_hour(void **state)
{
    static const int64_t waits[] = {5, 20, 80, 320, 1280, 3600, 3600};

    (void)state;
    for (int i = 0; i < HOOK_ATTEMPTS - 1; i++)
        assert_int_equal(hook_wait_s(i + 1), waits[i]);
}

static void the_signature_is_hmac_over_time_and_body(void **state)
{
    ARENA(arena);

    (void)state;
    /* printf '1700000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef */
    assert_string_equal(hook_signature(&arena, "0123456789abcdef", 1700000000, "{}"),
                        "t=1700000000,v1="
                        "e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e");
}

static void a_delivery_that_fails_comes_again_later_and_is_then_over(void **state)
{
    static const int statuses[] = {500, 302, 204, 0};
    struct small *small = *state;
    struct receiver receiver;
    char secret[HOOK_SECRET_SIZE];
    ARENA(arena);

    receiver_start(&receiver, statuses);
    make(small, "pager", receiver.port, secret);
    assert_false(send_round(small));
    tell(small, "alarm");
    assert_string_equal(newest(small, &arena), "0 0 due ");
    assert_true(send_round(small));
    assert_string_equal(newest(small, &arena), "1 500 later the receiver answered 500");
    assert_false(send_round(small));
    small_wait(small, 6);
    assert_true(send_round(small));
    assert_string_equal(newest(small, &arena),
                        "2 302 later sent elsewhere (302): redirects are not followed");
    small_wait(small, 21);
    assert_true(send_round(small));
    assert_string_equal(newest(small, &arena), "3 204 over ");
    small_wait(small, 9999);
    assert_false(send_round(small));
    receiver_stop(&receiver);
    assert_int_equal(receiver.requests, 3);
    assert_non_null(strstr(receiver.last, "POST /in?x=1 HTTP/1.1"));
    assert_non_null(strstr(receiver.last, "Locum-Event: alarm"));
    const char *body = strstr(receiver.last, "\r\n\r\n") + 4,
               *said = strstr(receiver.last, "Locum-Signature: t=");
    assert_non_null(said);
    const char *right = hook_signature(&arena, secret, strtoll(said + 19, NULL, 10), body);
    assert_memory_equal(said + 17, right, strlen(right));
    assert_non_null(strstr(body, "\"alarm\":\"overdue\""));
    assert_non_null(strstr(body, "\"reason\":\"it is \\\"late\\\"\""));
    assert_non_null(strstr(body, "/campaigns/7/runs/1/devices/cam-1\""));
}

static void an_answer_without_end_is_not_waited_for(void **state)
{
    static const int statuses[] = {200, 500, 0};
    struct small *small = *state;
    struct receiver receiver;
    char secret[HOOK_SECRET_SIZE];
    ARENA(arena);

    receiver_start(&receiver, statuses);
    receiver.endless = true;
    make(small, "pager", receiver.port, secret);
    tell(small, "alarm");
    assert_true(send_round(small));
    assert_string_equal(newest(small, &arena), "1 200 over ");
    tell(small, "alarm");
    assert_true(send_round(small));
    assert_non_null(strstr(newest(small, &arena), "the answer has more than 65536 bytes"));
    receiver_stop(&receiver);
}

/* Whoever knows the path of many a service's hook may post there; the log is read by others. */
static void an_error_does_not_tell_the_path(void **state)
{
    struct small *small = *state;
    struct receiver receiver;
    char secret[HOOK_SECRET_SIZE];
    ARENA(arena);

    receiver_start(&receiver, (const int[]){204, 0});
    receiver_stop(&receiver);
    make(small, "pager", receiver.port, secret);
    tell(small, "alarm");
    assert_true(send_round(small));
    assert_non_null(strstr(newest(small, &arena), "POST http://127.0.0.1:"));
    assert_null(strstr(newest(small, &arena), "/in"));
}

static void who_does_not_answer_holds_up_others_once_and_not_for_all_that_waits(void **state)
{
    struct small *small = *state;
    struct receiver receiver;
    char secret[HOOK_SECRET_SIZE];
    ARENA(arena);

    receiver_start(&receiver, (const int[]){204, 0});
    receiver_stop(&receiver);
    make(small, "pager", receiver.port, secret);
    for (int i = 0; i < 3; i++)
        tell(small, "alarm");
    assert_true(send_round(small));
    assert_false(send_round(small));
    small_wait(small, 6);
    assert_true(send_round(small));
    assert_false(send_round(small));
}

static void nobody_there_is_given_up_after_eight_attempts(void **state)
{
    static const int statuses[] = {200, 0};
    struct small *small = *state;
    struct receiver gone;
    char secret[HOOK_SECRET_SIZE];
    ARENA(arena);

    receiver_start(&gone, statuses);
    receiver_stop(&gone);
    make(small, "pager", gone.port, secret);
    tell(small, "alarm");
    for (int attempt = 1; attempt <= HOOK_ATTEMPTS; attempt++) {
        assert_true(send_round(small));
        assert_true(newest(small, &arena)[0] == '0' + attempt);
        small_wait(small, 3601);
    }
    assert_non_null(strstr(newest(small, &arena), "8 0 over "));
    assert_false(send_round(small));
}

static void a_hook_is_told_what_it_asked_for_only_and_its_end_takes_all(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    char secret[HOOK_SECRET_SIZE];
    ARENA(arena);
    const char *text = "[\"rollout\",\"rollout\"]", *wrong = "[\"weather\"]";
    struct hook_plan plan = {.name = "web", .url = "https://example.org/", .secret = "0123456789abcdef"};

    plan.events = json_read(&arena, wrong, strlen(wrong), &json_limits_small, &err);
    assert_refused(hook_create(&small->console, &plan, "ada", secret, &err), err, ERROR_INPUT);
    plan.events = json_read(&arena, text, strlen(text), &json_limits_small, &err);
    plan.secret = "short";
    assert_refused(hook_create(&small->console, &plan, "ada", secret, &err), err, ERROR_INPUT);
    plan.secret = "0123456789abcdef";
    assert_ok(hook_create(&small->console, &plan, "ada", secret, &err), err);
    assert_string_equal(secret, plan.secret);
    assert_refused(hook_create(&small->console, &plan, "ada", secret, &err), err, ERROR_CONFLICT);
    tell(small, "alarm");
    assert_int_equal(count(small), 0);
    tell(small, "rollout");
    assert_int_equal(count(small), 1);
    assert_ok(hook_delete(&small->console, "web", "ada", &err), err);
    assert_int_equal(count(small), 0);
    assert_refused(hook_delete(&small->console, "web", "ada", &err), err, ERROR_MISSING);
}

static void no_more_than_a_thousand_wait_and_as_many_are_remembered(void **state)
{
    static const int statuses[] = {200, 0};
    struct small *small = *state;
    struct receiver receiver;
    struct error err = {0};
    char secret[HOOK_SECRET_SIZE];

    receiver_start(&receiver, statuses);
    make(small, "pager", receiver.port, secret);
    struct db_conn *conn = db_write(small->console.db, &err);
    assert_ok(conn, err);
    const struct hook_news news = {.event = "alarm", .campaign = 1};
    for (int i = 0; i < HOOK_WAITING_MOST + 5; i++)
        assert_ok(hook_tell(&small->console, conn, &news, &err), err);
    assert_ok(db_run(db_query(conn, "UPDATE hook_delivery SET next_at = NULL"), NULL, &err), err);
    assert_ok(db_commit(conn, &err), err);
    assert_int_equal(count(small), HOOK_WAITING_MOST);
    for (int i = 0; i < 3; i++) {
        tell(small, "alarm");
        assert_true(send_round(small));
    }
    assert_int_equal(count(small), HOOK_WAITING_MOST);
    receiver_stop(&receiver);
}

static void the_thread_sends_what_was_told_and_what_a_stop_left(void **state)
{
    static const int statuses[] = {200, 0};
    struct small *small = *state;
    struct receiver receiver;
    char secret[HOOK_SECRET_SIZE];
    ARENA(arena);

    receiver_start(&receiver, statuses);
    make(small, "pager", receiver.port, secret);
    tell(small, "campaign");
    struct hooks *hooks = hooks_start(&small->console);
    for (int64_t until = clock_boot_ms() + 60000; strcmp(newest(small, &arena), "1 200 over ") != 0;) {
        assert_true(clock_boot_ms() < until);
        usleep(10000);
    }
    tell(small, "alarm");
    hooks_wake(hooks);
    for (int64_t until = clock_boot_ms() + 60000;
         __atomic_load_n(&receiver.requests, __ATOMIC_SEQ_CST) < 2;) {
        assert_true(clock_boot_ms() < until);
        usleep(10000);
    }
    hooks_stop(hooks);
    receiver_stop(&receiver);
    hooks_wake(NULL);
    hooks_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)
        cmocka_unit_test(only_https_or_this_machine_is_an_address),
        cmocka_unit_test(the_rests_grow_to_an_hour),
        cmocka_unit_test(the_signature_is_hmac_over_time_and_body),
        SMALL_TEST(a_delivery_that_fails_comes_again_later_and_is_then_over),
        SMALL_TEST(an_answer_without_end_is_not_waited_for),
        SMALL_TEST(an_error_does_not_tell_the_path),
        SMALL_TEST(who_does_not_answer_holds_up_others_once_and_not_for_all_that_waits),
        SMALL_TEST(nobody_there_is_given_up_after_eight_attempts),
        SMALL_TEST(a_hook_is_told_what_it_asked_for_only_and_its_end_takes_all),
        SMALL_TEST(no_more_than_a_thousand_wait_and_as_many_are_remembered),
        SMALL_TEST(the_thread_sends_what_was_told_and_what_a_stop_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Objects as deltas, against a console of a few lines that cuts, lies and forgets as a test asks it to. */
#include "test/agent/disk.h"

#include "agent/fetch.h"
#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "repo/delta.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 6
#define COPY (64 << 10)
#define FRESH (200 << 10)
#define NEW_LENGTH (BLOCKS * (COPY + FRESH))
#define OLD_LENGTH (BLOCKS * COPY + 1000)
#define DELTA_ROOM (DELTA_HEADER_SIZE + BLOCKS * (DELTA_BLOCK_SIZE + 64 + FRESH))
#define ETAG "\"the delta\""

/* --- a delta by hand: blocks of a copy and fresh bytes, nothing coded
 * --------------------------------------------- */

static uint8_t old_bytes[OLD_LENGTH], new_bytes[NEW_LENGTH], delta_bytes[DELTA_ROOM];
static size_t delta_length;
static char old_sha256[SHA256_HEX], new_sha256[SHA256_HEX];

static size_t varint(uint8_t *to, uint64_t value)
{
    size_t size = 0;

    for (; value >= 0x80; value >>= 7)
        to[size++] = (uint8_t)(value | 0x80);
    to[size++] = (uint8_t)value;
    return size;
}

/* One run: COPY bytes of the old file from block * COPY on, then FRESH bytes. */
static size_t table_make(uint8_t *table, int block)
{
    int64_t expected = (int64_t)block * (COPY + FRESH), place = (int64_t)block * COPY;
    size_t size = 4;

    memcpy(table, "\1\0\0\0", 4);
    size += varint(table + size, (uint64_t)COPY << 1);
    size += varint(table + size,
                   ((uint64_t)(expected - place) << 1) - (expected > place)); /* zigzag, backwards */
    size += varint(table + size, 0);
    size += varint(table + size, FRESH);
    return size;
}

static void delta_by_hand(void)
{
    struct delta_header header = {.old_length = OLD_LENGTH, .new_length = NEW_LENGTH};

    random_bytes(old_bytes, sizeof old_bytes);
    random_bytes(new_bytes, sizeof new_bytes);
    for (int i = 0; i < BLOCKS; i++)
        memcpy(new_bytes + i * (COPY + FRESH), old_bytes + i * COPY, COPY);
    sha256_hex(old_bytes, sizeof old_bytes, old_sha256);
    sha256_hex(new_bytes, sizeof new_bytes, new_sha256);
    strcpy(header.old_sha256, old_sha256);
    strcpy(header.new_sha256, new_sha256);
    delta_header_write(&header, delta_bytes);
    delta_length = DELTA_HEADER_SIZE;
    for (int i = 0; i < BLOCKS; i++) {
        uint8_t table[64];
        uint32_t size = (uint32_t)table_make(table, i);
        const struct delta_block block = {.out = COPY + FRESH,
                                          .table = {.element = 1, .length = size, .coded = size},
                                          .near = {.element = 1},
                                          .fresh = {.element = 1, .length = FRESH, .coded = FRESH}};

        delta_block_write(&block, delta_bytes + delta_length);
        delta_length += DELTA_BLOCK_SIZE;
        memcpy(delta_bytes + delta_length, table, size);
        delta_length += size;
        memcpy(delta_bytes + delta_length, new_bytes + i * (COPY + FRESH) + COPY, FRESH);
        delta_length += FRESH;
    }
}

/* --- the console
 * -------------------------------------------------------------------------------------------------- */

/* What it is to do, and what it saw: shared with its process. */
struct say {
    int again;       /* answers 202 so often */
    bool unknown;    /* of before deltas */
    bool gone;       /* the delta is there when it is asked for, and then it is not */
    int64_t cut;     /* each answer ends after so many bytes of its body; 0: whole */
    int64_t damaged; /* this byte of the delta is another; 0: none */
    bool longer;     /* it offers a delta, and sends without an end */
    bool damaged_whole;

    int asked, deltas, wholes, ranges; /* ranges: of deltas that went on */
    int64_t sent;                      /* bytes of bodies */
};
static struct say *say;
static int port;
static pid_t console;

static void write_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t done = write(fd, at, size);

        if (done <= 0)
            return;
        at += done;
        size -= (size_t)done;
    }
}

static void send_body(int fd, const char *request, const uint8_t *bytes, size_t length, const char *etag)
{
    const char *range = strstr(request, "Range: bytes="), *same = strstr(request, "If-Range: ");
    size_t from = range ? (size_t)atoll(range + strlen("Range: bytes=")) : 0;
    char head[300];

    if (from >= length || (from && same && strncmp(same + strlen("If-Range: "), etag, strlen(etag)) != 0))
        from = 0;
    size_t left = length - from;
    size_t some = say->cut && (size_t)say->cut < left ? (size_t)say->cut : left;
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nETag: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
             from ? "206 Partial Content" : "200 OK", etag, left);
    write_all(fd, head, strlen(head));
    write_all(fd, bytes + from, some);
    say->sent += (int64_t)some;
    say->ranges += from > 0 && strstr(request, "/deltas/") != NULL;
}

static void send_text(int fd, const char *status, const char *text)
{
    char answer[600];

    snprintf(answer, sizeof answer,
             "HTTP/1.1 %s\r\nRetry-After: 1\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status,
             strlen(text), text);
    write_all(fd, answer, strlen(answer));
}

static void send_delta(int fd, const char *request)
{
    uint8_t *bytes = malloc(2 * NEW_LENGTH);
    size_t length = delta_length;

    say->deltas++;
    memset(bytes, 0, 2 * NEW_LENGTH);
    memcpy(bytes, delta_bytes, delta_length);
    if (say->damaged)
        bytes[say->damaged] ^= 1;
    if (say->longer)
        length = 2 * NEW_LENGTH;
    if (say->gone)
        send_text(fd, "404 Not Found", "{}");
    else
        send_body(fd, request, bytes, length, ETAG);
    free(bytes);
}

static void send_choice(int fd)
{
    char text[300];

    say->asked++;
    snprintf(text, sizeof text, "{\"old\":\"%s\",\"length\":%zu,\"whole\":%d,\"encoding\":null}", old_sha256,
             delta_length, NEW_LENGTH);
    if (say->unknown)
        send_text(fd, "404 Not Found", "{}");
    else if (say->again > 0 && say->again--)
        send_text(fd, "202 Accepted", "{}");
    else
        send_text(fd, "200 OK", text);
}

static void send_whole(int fd, const char *request)
{
    uint8_t *bytes = malloc(NEW_LENGTH);

    memcpy(bytes, new_bytes, NEW_LENGTH);
    if (say->damaged_whole)
        bytes[NEW_LENGTH / 2] ^= 1;
    say->wholes++;
    send_body(fd, request, bytes, NEW_LENGTH, "\"whole\"");
    free(bytes);
}

static void serve_one(int fd)
{
    char request[8192];
    size_t size = 0;

    for (;;) {
        ssize_t got = read(fd, request + size, sizeof request - 1 - size);

        if (got <= 0)
            return;
        request[size += (size_t)got] = '\0';
        const char *end = strstr(request, "\r\n\r\n"), *length = strstr(request, "Content-Length: ");
        if (end && strlen(end + 4) >= (length ? (size_t)atoi(length + strlen("Content-Length: ")) : 0))
            break;
    }
    if (strncmp(request, "POST /device/deltas ", 20) == 0)
        send_choice(fd);
    else if (strncmp(request, "GET /deltas/", 12) == 0)
        send_delta(fd, request);
    else
        send_whole(fd, request);
}

static void console_start(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_return_code(bind(listener, (struct sockaddr *)&address, sizeof address), errno);
    assert_return_code(listen(listener, 16), errno);
    assert_return_code(getsockname(listener, (struct sockaddr *)&address, &size), errno);
    port = ntohs(address.sin_port);
    console = fork();
    assert_true(console >= 0);
    if (console == 0) {
        signal(SIGPIPE, SIG_IGN);
        for (;;) {
            int fd = accept(listener, NULL, NULL);

            if (fd >= 0) {
                serve_one(fd);
                shutdown(fd, SHUT_WR);
                close(fd);
            }
        }
    }
    close(listener);
}

static int group_begin(void **state)
{
    (void)state;
    log_level = LOG_ERROR;
    delta_by_hand();
    say = mmap(NULL, sizeof *say, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    console_start();
    return 0;
}

static int group_end(void **state)
{
    (void)state;
    kill(console, SIGKILL);
    waitpid(console, NULL, 0);
    return 0;
}

/* --- a device that has the old file and is to get the new one
 * ------------------------------------------------------ */

static void version_put(struct disk *disk, const char *version, const uint8_t *bytes, size_t size,
                        bool installed, struct wish_version *wanted)
{
    static const char *const everywhere[] = {NULL};
    struct manifest_file file = {.path = "model.bin", .length = (int64_t)size, .mode = 0644};
    struct manifest manifest = {.product = "demo",
                                .asset = "model",
                                .kind = KIND_MODEL,
                                .activation = ACTIVATION_NOTIFY,
                                .files = &file,
                                .file_count = 1,
                                .hardware = (const char **)(uintptr_t)everywhere};
    struct error err = {0};
    TEXT(out);

    sha256_hex(bytes, size, file.sha256);
    strcpy(manifest.version, version);
    assert_ok(manifest_write(&disk->arena, &manifest, &out, &err), err);
    *wanted = (struct wish_version){.length = (int64_t)out.size, .kind = KIND_MODEL};
    strcpy(wanted->entry.asset, "model");
    strcpy(wanted->entry.version, version);
    sha256_hex(out.bytes, out.size, wanted->entry.manifest);
    assert_ok(file_write(disk->fd, arena_printf(&disk->arena, STATE_MANIFESTS "/%s", wanted->entry.manifest),
                         out.bytes, out.size, 0600, &err),
              err);
    if (!installed)
        return;
    assert_ok(file_write(disk->fd, arena_printf(&disk->arena, STATE_OBJECTS "/%s", file.sha256), bytes, size,
                         0444, &err),
              err);
    assert_ok(
        manifest_read(&disk->arena, arena_copy(&disk->arena, out.bytes, out.size), out.size, &manifest, &err),
        err);
    assert_ok(version_build(disk->fd, &manifest, wanted->entry.manifest, &err), err);
}

/* A device, and a console that does as it should. */
static struct wish_version device_make(struct disk *disk)
{
    struct wish_version before, wanted;

    memset(say, 0, sizeof *say);
    version_put(disk, "1.0.0", old_bytes, sizeof old_bytes, true, &before);
    version_put(disk, "1.1.0", new_bytes, sizeof new_bytes, false, &wanted);
    return wanted;
}

static bool fetch_it(struct disk *disk, const struct wish_version *wanted, struct fetch *fetch,
                     struct outbox *outbox, struct error *err)
{
    struct enrolment enrolment = {.product = "demo"};
    struct session session = {.state_fd = disk->fd, .enrolment = &enrolment, .token = "token"};
    bool never = false;
    char url[64];

    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    struct http *http = http_open(&(struct http_options){.base_url = url, .user_agent = "test"}, err);
    *fetch = (struct fetch){.state_fd = disk->fd,
                            .http = http,
                            .session = &session,
                            .enrolment = &enrolment,
                            .outbox = outbox,
                            .cancel = &never};
    bool good = fetch_version(fetch, wanted, false, err);
    http_close(http);
    return good;
}

static void assert_installed(struct disk *disk)
{
    struct error err = {0};
    char hex[SHA256_HEX];
    int64_t size;
    FD(fd) = file_open_beneath(disk->fd, STATE_VERSIONS "/model/1.1.0/model.bin", O_RDONLY, 0, &err);

    assert_true(fd >= 0);
    assert_ok(sha256_file(fd, hex, &size, &err), err);
    assert_string_equal(hex, new_sha256);
    assert_false(disk_has(disk, arena_printf(&disk->arena, STATE_OBJECTS "/%s.part", new_sha256)));
    assert_false(disk_has(disk, arena_printf(&disk->arena, STATE_OBJECTS "/%s.place", new_sha256)));
}

/* The text of the one report that waits; "" for none. */
static const char *reported(struct disk *disk)
{
    struct error err = {0};
    char *bytes = NULL;
    size_t size;

    FD(folder) = folder_open_beneath(disk->fd, STATE_OUTBOX, &err);
    if (folder < 0 || disk_count(disk, STATE_OUTBOX) != 1)
        return "";
    FILE *names = popen(arena_printf(&disk->arena, "ls %s/" STATE_OUTBOX, disk->path), "r");
    char name[300];
    assert_non_null(fgets(name, sizeof name, names));
    pclose(names);
    name[strcspn(name, "\n")] = '\0';
    assert_ok(file_read(&disk->arena, folder, name, 65536, &bytes, &size, &err), err);
    return bytes;
}

/* One test's device, with the reports that it keeps. */
#define DEVICE                                                                                               \
    DISK(disk);                                                                                              \
    struct error err = {0};                                                                                  \
    struct fetch fetch;                                                                                      \
    struct outbox outbox;                                                                                    \
    struct wish_version wanted = device_make(&disk);                                                         \
    assert_ok(outbox_open(&outbox, disk.fd, &err), err)

#define must_fetch()                                                                                         \
    do {                                                                                                     \
        assert_ok(fetch_it(&disk, &wanted, &fetch, &outbox, &err), err);                                     \
        assert_installed(&disk);                                                                             \
        outbox_close(&outbox);                                                                               \
    } while (0)

static void a_delta_makes_the_object(void **state)
{
    DEVICE;
    (void)state;
    must_fetch();
    assert_int_equal(say->deltas, 1);
    assert_int_equal(say->wholes, 0);
    assert_int_equal(say->sent, delta_length);
    assert_true(fetch.bytes >= (int64_t)delta_length && fetch.bytes < (int64_t)delta_length + 1000);
    assert_string_equal(reported(&disk), "");
}

static void a_delta_that_is_cut_again_and_again_goes_on(void **state)
{
    DEVICE;
    (void)state;
    say->cut = 100000;
    must_fetch();
    assert_int_equal(say->ranges, say->deltas - 1);
    assert_true(say->ranges > 10);
    assert_int_equal(say->wholes, 0);
    assert_int_equal(say->sent, delta_length); /* no byte twice */
}

static void a_delta_keeps_to_the_rate(void **state)
{
    DEVICE;
    (void)state;
    wanted.entry.apply.rate = (int64_t)delta_length;
    int64_t began = clock_boot_ms();
    must_fetch();
    assert_true(clock_boot_ms() - began > 800); /* a second's worth */
}

static void a_device_waits_for_a_delta_that_is_being_made(void **state)
{
    DEVICE;
    (void)state;
    say->again = 2;
    must_fetch();
    assert_int_equal(say->asked, 3);
    assert_int_equal(say->wholes, 0);
}

static void a_console_without_deltas_sends_the_whole(void **state)
{
    DEVICE;
    (void)state;
    say->unknown = true;
    must_fetch();
    assert_int_equal(say->wholes, 1);
    assert_string_equal(reported(&disk), "");
}

static void a_delta_that_went_meanwhile_is_no_harm(void **state)
{
    DEVICE;
    (void)state;
    say->gone = true;
    must_fetch();
    assert_int_equal(say->wholes, 1);
    assert_string_equal(reported(&disk), "");
}

static void a_wrong_delta_costs_only_the_whole_and_is_told(void **state)
{
    DEVICE;
    (void)state;
    say->damaged = (int64_t)delta_length - 10; /* of fresh bytes: only the hash can tell */
    must_fetch();
    assert_int_equal(say->deltas, 1);
    assert_int_equal(say->wholes, 1);
    assert_non_null(strstr(reported(&disk), "SHA-256 differs"));
    assert_non_null(strstr(reported(&disk), old_sha256));
}

static void a_damaged_delta_costs_only_the_whole_and_is_told(void **state)
{
    DEVICE;
    (void)state;
    say->damaged = DELTA_HEADER_SIZE + 4; /* reserved, 0 */
    must_fetch();
    assert_int_equal(say->deltas, 1);
    assert_int_equal(say->wholes, 1);
    assert_non_null(strstr(reported(&disk), "\"type\":\"delta\""));
}

static void a_delta_without_an_end_is_left(void **state)
{
    DEVICE;
    (void)state;
    say->longer = true;
    must_fetch();
    assert_int_equal(say->wholes, 1);
    assert_string_not_equal(reported(&disk), "");
}

static void an_old_file_that_rotted_is_told_as_that(void **state)
{
    DEVICE;
    (void)state;
    char *path = arena_printf(&disk.arena, "%s/" STATE_OBJECTS "/%s", disk.path, old_sha256);
    assert_return_code(chmod(path, 0644), errno);
    FD(fd) = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "rotten", 6, COPY + 100), 6);
    must_fetch();
    assert_int_equal(say->wholes, 1);
    assert_non_null(strstr(reported(&disk), "damaged here"));
}

/* Nothing derived is asked for again: else a bad delta and a bad line together would never end. */
static void after_a_wrong_delta_only_the_whole_is_asked_for(void **state)
{
    DEVICE;
    (void)state;
    say->damaged = (int64_t)delta_length - 10;
    say->damaged_whole = true;
    assert_false(fetch_it(&disk, &wanted, &fetch, &outbox, &err));
    assert_int_equal(err.kind, ERROR_UNTRUSTED);
    err = (struct error){0};
    say->damaged_whole = false;
    must_fetch();
    assert_int_equal(say->deltas, 1);
}

/* --- faults
 * ------------------------------------------------------------------------------------------------------- */

/* The exit code of one attempt whose n-th durable step fails so (0: none does): 0 it did all without that
 * step, 2 in spite of it, 1 it failed, -1 it was killed. */
static int attempt(struct disk *disk, const struct wish_version *wanted, int n, int error_number)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct error err = {0};
        struct fetch fetch;

        file_fault(n, error_number);
        bool good = fetch_it(disk, wanted, &fetch, NULL, &err);
        _exit(!good ? 1 : n && file_fault_steps() >= n ? 2 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The first step fails, then the one that is `stride` further on, until an attempt comes to no such step;
 * after each the next attempt ends right. */
static void every_step(int error_number, int stride, bool whole)
{
    int ranges = 0, n = 1, code;

    do {
        DISK(disk);
        struct wish_version wanted = device_make(&disk);
        say->unknown = whole;
        code = attempt(&disk, &wanted, n, error_number);
        if (error_number == FILE_FAULT_KILL)
            assert_true(code <= 0);
        if (code == -1 || code == 1) {
            assert_int_equal(attempt(&disk, &wanted, 0, 0), 0);
            ranges += say->ranges;
        }
        assert_installed(&disk);
        if (error_number == FILE_FAULT_KILL)
            assert_int_equal(say->wholes, 0);
        n += stride;
    } while (code != 0 && n < 500);
    assert_true(n > 30 && n < 500);
    if (error_number == FILE_FAULT_KILL)
        assert_true(ranges > 5); /* it did go on, not begin anew */
}

static void killed_at_every_step_it_ends_right(void **state)
{
    (void)state;
    every_step(FILE_FAULT_KILL, 1, false);
}

static void on_a_failing_disk_it_ends_right(void **state)
{
    (void)state;
    every_step(EIO, 3, false);
    every_step(EIO, 5, true);
}

static void on_a_full_disk_it_ends_right(void **state)
{
    (void)state;
    every_step(ENOSPC, 4, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delta_makes_the_object),
        cmocka_unit_test(a_delta_that_is_cut_again_and_again_goes_on),
        cmocka_unit_test(a_delta_keeps_to_the_rate),
        cmocka_unit_test(a_device_waits_for_a_delta_that_is_being_made),
        cmocka_unit_test(a_console_without_deltas_sends_the_whole),
        cmocka_unit_test(a_delta_that_went_meanwhile_is_no_harm),
        cmocka_unit_test(a_wrong_delta_costs_only_the_whole_and_is_told),
        cmocka_unit_test(a_damaged_delta_costs_only_the_whole_and_is_told),
        cmocka_unit_test(a_delta_without_an_end_is_left),
        cmocka_unit_test(an_old_file_that_rotted_is_told_as_that),
        cmocka_unit_test(after_a_wrong_delta_only_the_whole_is_asked_for),
        cmocka_unit_test(killed_at_every_step_it_ends_right),
        cmocka_unit_test(on_a_failing_disk_it_ends_right),
        cmocka_unit_test(on_a_full_disk_it_ends_right),
    };

    return cmocka_run_group_tests(tests, group_begin, group_end);
}

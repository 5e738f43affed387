#include "test/agent/peer.h"

#include "base/log.h"
#include "repo/delta.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DELTA_ROOM (DELTA_HEADER_SIZE + PEER_BLOCKS * (DELTA_BLOCK_SIZE + 64 + PEER_FRESH))
#define ETAG "\"the delta\""

/* --- a delta by hand: blocks of a copy and fresh bytes, nothing coded
 * --------------------------------------------- */

uint8_t peer_old[PEER_OLD_LENGTH], peer_new[PEER_NEW_LENGTH];
size_t peer_delta_length;
char peer_old_sha256[SHA256_HEX], peer_new_sha256[SHA256_HEX];
static uint8_t peer_delta[DELTA_ROOM];

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
    int64_t expected = (int64_t)block * (PEER_COPY + PEER_FRESH), place = (int64_t)block * PEER_COPY;
    size_t size = 4;

    memcpy(table, "\1\0\0\0", 4);
    size += varint(table + size, (uint64_t)PEER_COPY << 1);
    size += varint(table + size,
                   ((uint64_t)(expected - place) << 1) - (expected > place)); /* zigzag, backwards */
    size += varint(table + size, 0);
    size += varint(table + size, PEER_FRESH);
    return size;
}

static void delta_by_hand(void)
{
    struct delta_header header = {.old_length = PEER_OLD_LENGTH, .new_length = PEER_NEW_LENGTH};

    random_bytes(peer_old, sizeof peer_old);
    random_bytes(peer_new, sizeof peer_new);
    for (int i = 0; i < PEER_BLOCKS; i++)
        memcpy(peer_new + i * (PEER_COPY + PEER_FRESH), peer_old + i * PEER_COPY, PEER_COPY);
    sha256_hex(peer_old, sizeof peer_old, peer_old_sha256);
    sha256_hex(peer_new, sizeof peer_new, peer_new_sha256);
    strcpy(header.old_sha256, peer_old_sha256);
    strcpy(header.new_sha256, peer_new_sha256);
    delta_header_write(&header, peer_delta);
    peer_delta_length = DELTA_HEADER_SIZE;
    for (int i = 0; i < PEER_BLOCKS; i++) {
        uint8_t table[64];
        uint32_t size = (uint32_t)table_make(table, i);
        const struct delta_block block = {.out = PEER_COPY + PEER_FRESH,
                                          .table = {.element = 1, .length = size, .coded = size},
                                          .near = {.element = 1},
                                          .fresh = {.element = 1, .length = PEER_FRESH, .coded = PEER_FRESH}};

        delta_block_write(&block, peer_delta + peer_delta_length);
        peer_delta_length += DELTA_BLOCK_SIZE;
        memcpy(peer_delta + peer_delta_length, table, size);
        peer_delta_length += size;
        memcpy(peer_delta + peer_delta_length, peer_new + i * (PEER_COPY + PEER_FRESH) + PEER_COPY,
               PEER_FRESH);
        peer_delta_length += PEER_FRESH;
    }
}

/* --- the console
 * -------------------------------------------------------------------------------------------------- */

struct peer *peer;
int peer_port;
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
    size_t some = peer->cut && (size_t)peer->cut < left ? (size_t)peer->cut : left;
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nETag: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
             from ? "206 Partial Content" : "200 OK", etag, left);
    write_all(fd, head, strlen(head));
    write_all(fd, bytes + from, some);
    peer->sent += (int64_t)some;
    peer->ranges += from > 0 && strstr(request, "/deltas/") != NULL;
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
    uint8_t *bytes = malloc(2 * PEER_NEW_LENGTH);
    size_t length = peer_delta_length;

    peer->deltas++;
    memset(bytes, 0, 2 * PEER_NEW_LENGTH);
    memcpy(bytes, peer_delta, peer_delta_length);
    if (peer->damaged)
        bytes[peer->damaged] ^= 1;
    if (peer->longer)
        length = 2 * PEER_NEW_LENGTH;
    if (peer->gone)
        send_text(fd, "404 Not Found", "{}");
    else
        send_body(fd, request, bytes, length, ETAG);
    free(bytes);
}

static void send_choice(int fd)
{
    char text[300];

    peer->asked++;
    snprintf(text, sizeof text, "{\"old\":\"%s\",\"length\":%zu,\"whole\":%d,\"encoding\":null}",
             peer_old_sha256, peer_delta_length, PEER_NEW_LENGTH);
    if (peer->unknown)
        send_text(fd, "404 Not Found", "{}");
    else if (peer->again > 0 && peer->again--)
        send_text(fd, "202 Accepted", "{}");
    else
        send_text(fd, "200 OK", text);
}

static void send_whole(int fd, const char *request)
{
    uint8_t *bytes = malloc(PEER_NEW_LENGTH);

    memcpy(bytes, peer_new, PEER_NEW_LENGTH);
    if (peer->damaged_whole)
        bytes[PEER_NEW_LENGTH / 2] ^= 1;
    peer->wholes++;
    send_body(fd, request, bytes, PEER_NEW_LENGTH, "\"whole\"");
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
    peer_port = ntohs(address.sin_port);
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

int peer_begin(void **state)
{
    (void)state;
    log_level = LOG_ERROR;
    delta_by_hand();
    peer = mmap(NULL, sizeof *peer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    console_start();
    return 0;
}

int peer_end(void **state)
{
    (void)state;
    kill(console, SIGKILL);
    waitpid(console, NULL, 0);
    return 0;
}

#include "test/base/canned.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    int fd;
    SSL *ssl;
    struct canned *server;
};

static bool readable(const struct peer *peer)
{
    struct pollfd fds[2] = {{.fd = peer->fd, .events = POLLIN},
                            {.fd = peer->server->stop[0], .events = POLLIN}};

    if (peer->ssl && SSL_pending(peer->ssl) > 0)
        return true;
    return poll(fds, 2, -1) > 0 && !fds[1].revents;
}

static int peer_read(struct peer *peer, char *bytes, size_t room)
{
    if (!readable(peer))
        return -1;
    return peer->ssl ? SSL_read(peer->ssl, bytes, (int)room) : (int)read(peer->fd, bytes, room);
}

static void peer_write(struct peer *peer, const char *bytes, size_t size)
{
    while (size > 0) {
        int done = peer->ssl ? SSL_write(peer->ssl, bytes, (int)size)
                             : (int)send(peer->fd, bytes, size, MSG_NOSIGNAL);

        if (done <= 0)
            return;
        bytes += done;
        size -= (size_t)done;
    }
}

/* False when the connection ended. */
static bool serve_request(struct peer *peer)
{
    struct canned *server = peer->server;
    static char head[8192], chunk[65536];
    size_t size = 0;
    int got;

    while (size + 1 < sizeof(head)) {
        got = peer_read(peer, head + size, 1);
        if (got <= 0)
            return false;
        size++;
        head[size] = '\0';
        if (size >= 4 && strcmp(head + size - 4, "\r\n\r\n") == 0)
            break;
    }
    const char *length = strcasestr(head, "\r\nContent-Length: ");
    size_t left = length ? (size_t)atoll(length + 18) : 0;
    pthread_mutex_lock(&server->lock);
    memcpy(server->head, head, size + 1);
    server->body_size = 0;
    pthread_mutex_unlock(&server->lock);
    for (; left > 0; left -= (size_t)got) {
        got = peer_read(peer, chunk, left < sizeof(chunk) ? left : sizeof(chunk));
        if (got <= 0)
            return false;
        pthread_mutex_lock(&server->lock);
        if (server->body_size < sizeof(server->body)) {
            size_t room = sizeof(server->body) - server->body_size;

            memcpy(server->body + server->body_size, chunk, (size_t)got < room ? (size_t)got : room);
        }
        server->body_size += (size_t)got;
        pthread_mutex_unlock(&server->lock);
    }
    __atomic_add_fetch(&server->requests, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&server->lock);
    const char *answer = server->answer;
    size_t answer_size = server->answer_size ? server->answer_size : answer ? strlen(answer) : 0;
    bool cut = server->cut;
    pthread_mutex_unlock(&server->lock);
    peer_write(peer, answer ? answer : "", answer_size);
    return !cut;
}

static void serve_connection(struct canned *server, int fd)
{
    struct peer peer = {.fd = fd, .server = server};

    if (server->tls) {
        peer.ssl = SSL_new(server->tls);
        SSL_set_fd(peer.ssl, fd);
    }
    if (!peer.ssl || (readable(&peer) && SSL_accept(peer.ssl) == 1)) {
        __atomic_add_fetch(&server->connections, 1, __ATOMIC_RELAXED);
        if (peer.ssl && SSL_session_reused(peer.ssl))
            __atomic_add_fetch(&server->resumed, 1, __ATOMIC_RELAXED);
        while (serve_request(&peer))
            ;
        if (peer.ssl)
            SSL_shutdown(peer.ssl);
    }
    SSL_free(peer.ssl);
    close(fd);
}

static void *serve(void *context)
{
    struct canned *server = context;
    struct pollfd fds[2] = {{.fd = server->listener, .events = POLLIN},
                            {.fd = server->stop[0], .events = POLLIN}};

    while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0)
            serve_connection(server, fd);
    }
    return NULL;
}

void canned_start(struct canned *server, const char *answer, SSL_CTX *tls)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    *server = (struct canned){.answer = answer, .tls = tls};
    pthread_mutex_init(&server->lock, NULL);
    assert_int_equal(pipe(server->stop), 0);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(server->listener, 16), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(server->url, sizeof(server->url), "%s://127.0.0.1:%d", tls ? "https" : "http",
             ntohs(address.sin_port));
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

void canned_stop(struct canned *server)
{
    assert_int_equal(write(server->stop[1], "x", 1), 1);
    pthread_join(server->thread, NULL);
    close(server->stop[0]);
    close(server->stop[1]);
    close(server->listener);
    SSL_CTX_free(server->tls);
}

void canned_answers(struct canned *server, const char *answer)
{
    pthread_mutex_lock(&server->lock);
    server->answer = answer;
    pthread_mutex_unlock(&server->lock);
}

void canned_cuts(struct canned *server)
{
    pthread_mutex_lock(&server->lock);
    server->cut = true;
    pthread_mutex_unlock(&server->lock);
}

#include "agent/link.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct link {
    int fd;
    pid_t peer_pid;
    uid_t peer_uid;
    struct text in; /* received */
    size_t taken;   /* bytes at the front of `in` that link_next has handed out */
    struct text out;
    size_t sent; /* bytes at the front of `out` that the socket has taken */
};

static struct link *link_new(int fd)
{
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL)
        abort();
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        peer = (struct ucred){.pid = -1, .uid = (uid_t)-1, .gid = (gid_t)-1};
    link->fd = fd;
    link->peer_pid = peer.pid;
    link->peer_uid = peer.uid;
    text_init(&link->in, 2 * LINK_LINE_LIMIT);
    text_init(&link->out, LINK_QUEUE_LIMIT);
    return link;
}

void link_close(struct link *link)
{
    if (link == NULL)
        return;
    fd_close(&link->fd);
    text_end(&link->in);
    text_end(&link->out);
    free(link);
}

/* sun_path holds 108 bytes and a state folder's path may be longer: the folder is named by its descriptor. */
static bool address_of(int dirfd, const char *name, struct sockaddr_un *address, struct error *err)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    int n = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", dirfd, name);
    if (n < 0 || (size_t)n >= sizeof address->sun_path)
        return error_set(err, ERROR_INPUT, "the socket's name %s is too long", name);
    return true;
}

int link_listen(int dirfd, const char *name, mode_t mode, uid_t owner, struct error *err)
{
    struct sockaddr_un address;
    if (!address_of(dirfd, name, &address, err))
        return -1;
    FD(fd) = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        error_errno(err, "socket %s", name);
        return -1;
    }
    unlinkat(dirfd, name, 0);
    /* fchmod before bind gives the name its mode at once: nobody else can connect in between. */
    if (fchmod(fd, mode) != 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        fchmodat(dirfd, name, mode, 0) != 0 ||
        (owner != (uid_t)-1 && fchownat(dirfd, name, owner, (gid_t)-1, AT_SYMLINK_NOFOLLOW) != 0) ||
        listen(fd, 16) != 0) {
        error_errno(err, "socket %s", name);
        return -1;
    }
    int listener = fd;
    fd = -1;
    return listener;
}

struct link *link_accept(int listener, struct error *err)
{
    err->kind = ERROR_NONE;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            error_errno(err, "accept");
        return NULL;
    }
    return link_new(fd);
}

struct link *link_connect(int dirfd, const char *name, struct error *err)
{
    struct sockaddr_un address;
    if (!address_of(dirfd, name, &address, err))
        return NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        error_errno(err, "connect to %s", name);
        fd_close(&fd);
        return NULL;
    }
    return link_new(fd);
}

int link_fd(const struct link *link)
{
    return link->fd;
}

pid_t link_peer_pid(const struct link *link)
{
    return link->peer_pid;
}

uid_t link_peer_uid(const struct link *link)
{
    return link->peer_uid;
}

short link_events(const struct link *link)
{
    return link->out.size > link->sent ? POLLIN | POLLOUT : POLLIN;
}

bool link_send(struct link *link, const struct text *object, struct error *err)
{
    if (object->failed || object->size >= LINK_LINE_LIMIT)
        return error_set(err, ERROR_LIMIT, "a line for the socket is over 64 KiB");
    text_add(&link->out, object->bytes, object->size);
    text_putc(&link->out, '\n');
    if (link->out.failed)
        return error_set(err, ERROR_LIMIT, "the other side of the socket does not read");
    return link_flush(link, err);
}

bool link_flush(struct link *link, struct error *err)
{
    while (link->sent < link->out.size) {
        ssize_t n = send(link->fd, link->out.bytes + link->sent, link->out.size - link->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0)
            return error_errno(err, "send");
        link->sent += (size_t)n;
    }
    text_clear(&link->out);
    link->sent = 0;
    return true;
}

/* Moves what link_next has not taken to the front. */
static void make_room(struct link *link)
{
    if (link->taken == 0)
        return;
    size_t left = link->in.size - link->taken;
    memmove(link->in.bytes, link->in.bytes + link->taken, left);
    link->in.size = left;
    link->taken = 0;
}

bool link_fill(struct link *link, struct error *err)
{
    make_room(link);
    char piece[8192];
    while (link->in.size < LINK_LINE_LIMIT) {
        ssize_t n = recv(link->fd, piece, sizeof piece, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0)
            return error_errno(err, "receive");
        if (n == 0)
            return error_set(err, ERROR_MISSING, "the other side closed the socket");
        text_add(&link->in, piece, (size_t)n);
    }
    return true;
}

const struct json *link_next(struct link *link, struct arena *arena, struct error *err)
{
    err->kind = ERROR_NONE;
    size_t left = link->in.size - link->taken;
    if (left == 0)
        return NULL;
    const char *start = link->in.bytes + link->taken;
    const char *end = memchr(start, '\n', left);
    if (end == NULL) {
        if (left >= LINK_LINE_LIMIT)
            error_set(err, ERROR_LIMIT, "a line on the socket is over 64 KiB");
        return NULL;
    }
    link->taken += (size_t)(end - start) + 1;
    const struct json *line = json_read(arena, start, (size_t)(end - start), &json_limits_small, err);
    if (line != NULL && line->type != JSON_OBJECT) {
        error_set(err, ERROR_INPUT, "a line on the socket is no JSON object");
        return NULL;
    }
    return line;
}

/* Takes lines until the answer is among them. NULL with ERROR_NONE: not yet. */
static const struct json *find_answer(struct link *link, struct arena *arena, int64_t id, link_event *event,
                                      void *context, struct error *err)
{
    const struct json *line;
    while ((line = link_next(link, arena, err)) != NULL) {
        int64_t got;
        if (json_has_integer(line, "id", &got) && got == id)
            return line;
        if (event != NULL)
            event(context, line);
    }
    return NULL;
}

bool link_ask(struct link *link, struct arena *arena, int64_t id, const struct text *object,
              int64_t timeout_ms, link_event *event, void *context, const struct json **answer,
              struct error *err)
{
    if (!link_send(link, object, err))
        return false;
    int64_t deadline = clock_boot_ms() + timeout_ms;
    struct error end = {0};
    for (;;) {
        *answer = find_answer(link, arena, id, event, context, err);
        if (*answer != NULL)
            return true;
        if (err->kind != ERROR_NONE)
            return false;
        if (end.kind != ERROR_NONE) {
            *err = end;
            return false;
        }
        int64_t left = deadline - clock_boot_ms();
        if (left <= 0)
            return error_set(err, ERROR_LIMIT, "no answer within %lld ms", (long long)timeout_ms);
        struct pollfd poller = {.fd = link->fd, .events = link_events(link)};
        if (poll(&poller, 1, left > 1000 ? 1000 : (int)left) < 0 && errno != EINTR)
            return error_errno(err, "poll");
        if ((poller.revents & POLLOUT) && !link_flush(link, err))
            return false;
        if ((poller.revents & (POLLIN | POLLHUP | POLLERR)) && !link_fill(link, &end))
            continue; /* lines that came before the end may hold the answer */
    }
}

#include "console/admin.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "console/admin_commands.h"
#include "console/data.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_NAME "admin.sock"
#define LINE_MOST (64 << 10)
#define START_WAIT_MS 10000 /* a console that has the lock soon listens */

/* A socket's path is at most 107 bytes, a data folder's may be longer: /proc leads there from its descriptor.
 */
static struct sockaddr_un address_of(int dirfd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" SOCKET_NAME, dirfd);
    return address;
}

static bool send_line(int fd, const char *line)
{
    struct error err;
    TEXT(out);

    text_puts(&out, line);
    text_putc(&out, '\n');
    for (size_t at = 0; at < out.size;) {
        ssize_t sent = send(fd, out.bytes + at, out.size - at, MSG_NOSIGNAL);

        if (sent <= 0)
            return error_errno(&err, "admin.sock");
        at += (size_t)sent;
    }
    return true;
}

/* --- the console's side
 * ------------------------------------------------------------------------------------------- */
struct admin {
    struct console *console;
    pthread_t thread;
    int listener, stop; /* stop: an eventfd, readable when the thread shall end */
};

struct peer {
    int fd;
};

static void to_peer(void *context, const char *line)
{
    struct peer *peer = context;

    if (peer->fd >= 0 && !send_line(peer->fd, line))
        peer->fd = -1; /* it went away: the command is done to its end all the same */
}

static bool peer_is_ours(int fd)
{
    struct ucred who;
    socklen_t size = sizeof(who);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
           (who.uid == geteuid() || who.uid == 0);
}

/* One line; NULL when it is too long, cut, or does not come within the socket's time limit. */
static char *read_line(struct arena *arena, int fd)
{
    char *line = arena_alloc(arena, LINE_MOST);
    size_t size = 0;

    while (size < LINE_MOST - 1) {
        ssize_t got = recv(fd, line + size, LINE_MOST - 1 - size, 0);

        if (got <= 0)
            return NULL;
        char *end = memchr(line + size, '\n', (size_t)got);
        if (end) {
            *end = '\0';
            return line;
        }
        size += (size_t)got;
    }
    return NULL;
}

static void send_error(struct peer *peer, const struct error *err)
{
    struct json_writer json;
    TEXT(out);

    json_write_init(&json, &out);
    json_write_object(&json, NULL);
    json_write_object(&json, "error");
    json_write_string(&json, "code", error_kind_name(err->kind));
    json_write_string(&json, "message", err->text);
    json_write_end(&json, '}');
    json_write_end(&json, '}');
    to_peer(peer, text_string(&out));
}

static void serve_peer(struct console *console, int fd)
{
    const struct timeval limit = {.tv_sec = 5};
    struct peer peer = {.fd = fd};
    struct error err;
    ARENA(arena);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (!peer_is_ours(fd))
        return;
    char *line = read_line(&arena, fd);
    if (!line)
        return;
    if (admin_run(console, line, to_peer, &peer, &err))
        to_peer(&peer, "{\"end\":true}");
    else
        send_error(&peer, &err);
}

static void *admin_thread(void *context)
{
    struct admin *admin = context;
    struct pollfd fds[] = {{.fd = admin->listener, .events = POLLIN}, {.fd = admin->stop, .events = POLLIN}};

    while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
        if (fds[1].revents)
            break;
        if (!(fds[0].revents & POLLIN))
            continue;
        FD(fd) = accept4(admin->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            serve_peer(admin->console, fd);
    }
    return NULL;
}

static bool admin_listen(struct admin *admin, struct error *err)
{
    struct sockaddr_un address = address_of(admin->console->data_dirfd);

    admin->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    admin->stop = eventfd(0, EFD_CLOEXEC);
    /* A socket that is there is a dead console's: we hold the instance lock. */
    unlink(address.sun_path);
    if (admin->listener < 0 || admin->stop < 0 ||
        bind(admin->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(address.sun_path, 0600) != 0 || listen(admin->listener, 8) != 0)
        return error_errno(err, "The socket %s/" SOCKET_NAME, admin->console->data_path);
    return true;
}

struct admin *admin_start(struct console *console, struct error *err)
{
    struct admin *admin = calloc(1, sizeof(*admin));

    if (!admin)
        abort();
    *admin = (struct admin){.console = console, .listener = -1, .stop = -1};
    if (admin_listen(admin, err)) {
        if (pthread_create(&admin->thread, NULL, admin_thread, admin) == 0)
            return admin;
        error_set(err, ERROR_SYSTEM, "The thread of " SOCKET_NAME " does not start");
    }
    fd_close(&admin->listener);
    fd_close(&admin->stop);
    free(admin);
    return NULL;
}

void admin_stop(struct admin *admin)
{
    const uint64_t one = 1;
    struct error err;

    if (!admin)
        return;
    struct sockaddr_un address = address_of(admin->console->data_dirfd);
    unlink(address.sun_path);
    if (!fd_write_all(admin->stop, &one, sizeof(one), &err))
        abort(); /* an eventfd takes eight bytes, always */
    pthread_join(admin->thread, NULL);
    fd_close(&admin->listener);
    fd_close(&admin->stop);
    free(admin);
}

/* --- the caller's side
 * -------------------------------------------------------------------------------------------- */
static bool error_kind_from_name(const char *name, enum error_kind *kind)
{
    for (int i = ERROR_INPUT; i <= ERROR_SYSTEM; i++) {
        if (string_is(error_kind_name((enum error_kind)i), name)) {
            *kind = (enum error_kind)i;
            return true;
        }
    }
    return false;
}

/* A line of the console: output, the end, or an error. True while more is to come. */
static bool take_line(const char *line, admin_output *output, void *context, bool *good, struct error *err)
{
    ARENA(arena);
    const struct json *json = json_read(&arena, line, strlen(line), &json_limits_large, err);
    const struct json *error = json_get(json, "error");
    enum error_kind kind = ERROR_SYSTEM;

    if (!json)
        return false;
    if (json_boolean(json, "end", false)) {
        *good = true;
        return false;
    }
    if (error) {
        const char *message = json_string(error, "message");

        error_kind_from_name(json_string(error, "code"), &kind);
        return error_set(err, kind, "%s", message ? message : "The console gives no reason");
    }
    output(context, line);
    return true;
}

static bool ask(int fd, const char *request, admin_output *output, void *context, struct error *err)
{
    bool good = false;
    char *line = NULL;
    size_t room = 0;

    error_set(err, ERROR_SYSTEM, "The console ended before its answer did");
    FILE *stream = send_line(fd, request) ? fdopen(dup(fd), "r") : NULL;
    ssize_t size;
    while (stream && (size = getline(&line, &room, stream)) > 0) {
        if (line[size - 1] == '\n')
            line[size - 1] = '\0';
        if (!take_line(line, output, context, &good, err))
            break;
    }
    free(line);
    if (stream)
        fclose(stream);
    return good;
}

static int admin_connect(int dirfd)
{
    struct sockaddr_un address = address_of(dirfd);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fd_close(&fd);
    return fd;
}

static bool run_here(struct data *data, const char *request, admin_output *output, void *context,
                     struct error *err)
{
    struct console console = {.db = data->db, .data_dirfd = data->dirfd, .data_path = data->path};

    if (admin_needs_repo(request) && !data_open_repo(data, err))
        return false;
    console.repo = data->repo;
    return admin_run(&console, request, output, context, err);
}

bool admin_call(const char *data_dir, const char *request, admin_output *output, void *context,
                struct error *err)
{
    const struct timespec pause = {.tv_nsec = 50 * 1000000L};
    int64_t until = clock_boot_ms() + START_WAIT_MS;
    FD(dirfd) = folder_open(data_dir, err);

    if (dirfd < 0)
        return error_add(err, "The data folder %s", data_dir);
    for (;;) {
        struct data data;
        FD(fd) = admin_connect(dirfd);

        if (fd >= 0)
            return ask(fd, request, output, context, err);
        if (data_open(&data, data_dir, false, err)) {
            bool good = run_here(&data, request, output, context, err);

            data_close(&data);
            return good;
        }
        if (err->kind != ERROR_CONFLICT || clock_boot_ms() > until)
            return false;
        nanosleep(&pause, NULL); /* it is starting or stopping */
    }
}

#include "console/server_parts.h"

#include "base/clock.h"
#include "console/wake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define WATCH_PERIOD_MS 250
#define IDLE_LEAST_MS 1000  /* a connection is left alone for so long even when threads run short */
#define LATE_ANSWER_MS 3000 /* for the sentence that says so */
#define FD_SEARCHED 8192
#define FD_PART 256

/* The list is under server->lock. What a request says many times is atomic instead: one lock for all
 * connections was what they waited for. */
struct watched {
    struct watched *next, **link;
    atomic_int fd; /* civetweb's socket; -1 before the first request, whose headers civetweb bounds itself */
    /* Of clock_boot_ms; 0: none. Below 0: it passed and the watch has taken it, for an answer there is time
     * until its negative. */
    _Atomic int64_t deadline_ms;
    bool cut;  /* the watch's own: no more bytes are taken, an answer may still be sent */
    bool late; /* the connection's thread's own: it has seen that the watch took a deadline */
    _Atomic int64_t idle_since; /* 0: a request is being handled */
};

/* The two ends of a connection, in the order of the network: no two live connections have both the same. */
struct ends {
    struct in_addr peer, own;
    in_port_t peer_port, own_port;
};

/* Civetweb tells the address that the connection came to only in a link to it, "http://192.0.2.1:8080/…". The
 * link may be cut: its beginning is enough. */
static bool ends_of(const struct mg_connection *connection, struct ends *ends)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    char link[64] = "";

    mg_get_request_link(connection, link, sizeof(link));
    char *own = strstr(link, "://");
    if (!own)
        return false;
    own += 3;
    own[strspn(own, "0123456789.")] = '\0';
    ends->peer_port = htons((in_port_t)info->remote_port);
    ends->own_port = htons((in_port_t)info->server_port);
    return inet_pton(AF_INET, own, &ends->own) == 1 &&
           inet_pton(AF_INET, info->remote_addr, &ends->peer) == 1;
}

static bool has_ends(int fd, const struct ends *ends)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);

    if (getpeername(fd, (struct sockaddr *)&address, &size) != 0 || address.sin_family != AF_INET ||
        address.sin_port != ends->peer_port || address.sin_addr.s_addr != ends->peer.s_addr)
        return false;
    size = sizeof(address);
    return getsockname(fd, (struct sockaddr *)&address, &size) == 0 && address.sin_port == ends->own_port &&
           address.sin_addr.s_addr == ends->own.s_addr;
}

/* Should two fit after all, neither is taken: a wrong one would cut somebody else off. */
static int search_sockets(const struct ends *ends)
{
    struct pollfd part[FD_PART];
    int found = -1;

    for (int from = 0; from < FD_SEARCHED; from += FD_PART) {
        for (int i = 0; i < FD_PART; i++)
            part[i] = (struct pollfd){.fd = from + i};
        poll(part, FD_PART, 0); /* only to pass over what is not open, many at once */
        for (int i = 0; i < FD_PART; i++) {
            if ((part[i].revents & POLLNVAL) || !has_ends(part[i].fd, ends))
                continue;
            if (found >= 0)
                return -1;
            found = part[i].fd;
        }
    }
    return found;
}

/* A new connection mostly gets the number of the one that ended last. Both of its ends are compared, which
 * one live connection has, so the search would find the same. */
static int find_socket(struct port *port, const struct mg_connection *connection)
{
    struct ends ends;
    int freed = port->freed_fd;

    if (!ends_of(connection, &ends))
        return -1;
    return freed > 0 && has_ends(freed, &ends) ? freed : search_sockets(&ends);
}

struct watched *watch_add(struct port *port)
{
    struct watched *watched = calloc(1, sizeof(*watched));

    if (!watched)
        abort();
    watched->fd = -1;
    watched->idle_since = clock_boot_ms();
    pthread_mutex_lock(&port->server->lock);
    watched->next = port->connections;
    watched->link = &port->connections;
    if (watched->next)
        watched->next->link = &watched->next;
    port->connections = watched;
    port->connection_count++;
    pthread_mutex_unlock(&port->server->lock);
    return watched;
}

void watch_remove(struct port *port, struct watched *watched)
{
    if (!watched)
        return;
    pthread_mutex_lock(&port->server->lock);
    *watched->link = watched->next;
    if (watched->next)
        watched->next->link = watched->link;
    port->connection_count--;
    port->freed_fd = watched->fd;
    pthread_mutex_unlock(&port->server->lock);
    free(watched);
}

void watch_deadline(struct watched *watched, int64_t in_ms)
{
    if (watched && atomic_exchange(&watched->deadline_ms, in_ms ? clock_boot_ms() + in_ms : 0) < 0)
        watched->late = true;
}

bool watch_late(const struct watched *watched)
{
    return watched && (watched->late || watched->deadline_ms < 0);
}

void watch_request(struct port *port, struct watched *watched, const struct mg_connection *connection)
{
    if (!watched)
        return;
    if (watched->fd < 0) /* only this thread writes it */
        watched->fd = find_socket(port, connection);
    watched->idle_since = 0;
}

void watch_idle(struct watched *watched)
{
    if (watched)
        watched->idle_since = clock_boot_ms();
}

bool watch_peer_gone(struct watched *watched)
{
    if (!watched || watched->fd < 0)
        return false;
    struct pollfd poll_fd = {.fd = watched->fd, .events = POLLRDHUP};
    return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void shut(struct watched *watched)
{
    if (watched->fd >= 0)
        shutdown(watched->fd, SHUT_RDWR);
    watched->deadline_ms = 0;
}

static void shut_late(struct port *port, int64_t now)
{
    for (struct watched *w = port->connections; w; w = w->next) {
        int64_t deadline = w->deadline_ms;

        if (!deadline || (deadline < 0 ? -deadline : deadline) > now)
            continue;
        if (w->cut || w->fd < 0) {
            shut(w);
            continue;
        }
        /* Taken first: when its thread has come back meanwhile nothing happens, and when it comes back from
         * here on it sees that this connection is to end. */
        if (!atomic_compare_exchange_strong(&w->deadline_ms, &deadline, -(now + LATE_ANSWER_MS)))
            continue;
        shutdown(w->fd, SHUT_RD);
        w->cut = true;
    }
}

static struct watched *longest_idle(struct port *port, int64_t now, int64_t *idle_since)
{
    struct watched *longest = NULL;

    for (struct watched *w = port->connections; w; w = w->next) {
        int64_t since = w->idle_since;

        if (w->fd >= 0 && since && since + IDLE_LEAST_MS <= now && (!longest || since < *idle_since)) {
            longest = w;
            *idle_since = since;
        }
    }
    return longest;
}

/* An idle connection holds a thread. When four of five are taken, the longest idle ones give theirs back. */
static void shut_idle(struct port *port, int64_t now)
{
    int most = port->threads * 4 / 5;
    int excess = port->connection_count - most;

    while (excess-- > 0) {
        int64_t since = 0;
        struct watched *w = longest_idle(port, now, &since);

        if (!w)
            return;
        /* Taken once; and not when a request has come to it meanwhile. */
        if (atomic_compare_exchange_strong(&w->idle_since, &since, 0))
            shut(w);
    }
}

void watch_shut(struct server *server, bool all)
{
    pthread_mutex_lock(&server->lock);
    for (int i = 0; i < 2; i++) {
        for (struct watched *w = server->ports[i].connections; w; w = w->next) {
            if (all || w->idle_since)
                shut(w);
        }
    }
    pthread_mutex_unlock(&server->lock);
}

static void *watch_run(void *context)
{
    struct server *server = context;

    pthread_mutex_lock(&server->lock);
    while (!server->watch_ends) {
        int64_t now = clock_boot_ms();

        for (int i = 0; i < 2; i++) {
            shut_late(&server->ports[i], now);
            shut_idle(&server->ports[i], now);
        }
        struct timespec until = wake_after(WATCH_PERIOD_MS);
        pthread_cond_timedwait(&server->wake, &server->lock, &until);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

bool watch_start(struct server *server, struct error *err)
{
    wake_init(&server->wake);
    pthread_mutex_init(&server->lock, NULL);
    if (pthread_create(&server->watch, NULL, watch_run, server) != 0)
        return error_set(err, ERROR_SYSTEM, "The thread that watches connections does not start");
    server->watch_runs = true;
    return true;
}

void watch_end(struct server *server)
{
    if (server->watch_runs) {
        pthread_mutex_lock(&server->lock);
        server->watch_ends = true;
        pthread_cond_signal(&server->wake);
        pthread_mutex_unlock(&server->lock);
        pthread_join(server->watch, NULL);
    }
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->wake);
}

/* What the server's own files share: one exchange (a request and its answer so far), one port, the watch over
 * connections. */
#ifndef CONSOLE_SERVER_PARTS_H
#define CONSOLE_SERVER_PARTS_H

#include "console/server.h"

#include <civetweb.h>
#include <pthread.h>
#include <stdatomic.h>

#define STREAMS_MOST 40       /* of the people's 64 threads */
#define BODY_PIECE (64 << 10) /* bytes of a streamed body that must come within BODY_PIECE_MS */
#define BODY_PIECE_MS 30000
#define BODY_WHOLE_MS 10000 /* for a body read whole, plus its size at BODY_BYTES_PER_MS */
#define BODY_BYTES_PER_MS 16
#define ANSWER_PIECE (256 << 10)
/* A body that is left unread ends its connection, but for a small one that comes while the answer is on its
 * way: a device whose session a restart has ended would pay a TLS handshake for hearing so. */
#define DRAIN_MOST (64 << 10)
#define LINGER_MS 2000
#define SEGMENTS_MOST 64

struct watched;

/* One listener: a civetweb context with its threads. */
struct port {
    struct server *server;
    enum listener listener;
    struct mg_context *context;
    void *tls;           /* SSL_CTX, NULL without TLS */
    int threads, number; /* worker threads, TCP port */
    _Atomic int64_t requests, errors;
    _Atomic int in_flight;       /* requests being handled, streams not counted */
    struct watched *connections; /* under server->lock */
    int connection_count;        /* under server->lock */
    atomic_int freed_fd;         /* the socket of the connection that ended last; 0: none has */
};

struct server {
    struct console *console;
    struct port ports[2]; /* people, devices */
    atomic_bool draining;
    atomic_int streams;
    _Atomic int64_t bytes_in, bytes_out;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* of the watch */
    pthread_t watch;
    bool watch_runs, watch_ends;
};

/* A request being handled. Handlers know its first member only. */
struct exchange {
    struct request request;
    struct arena arena;
    struct port *port;
    struct watched *watched;
    const struct mg_request_info *info;
    struct text headers; /* header lines of the answer, added by answer_header */
    int64_t body_read;   /* bytes of the body taken so far */
    int64_t started_ms;
    int status;            /* of the answer; 0: none yet */
    bool expects_continue; /* "100 Continue" is still to be sent */
    bool closes;           /* the connection ends with this answer */
    bool head;             /* HEAD: no body in the answer */
    bool streams;          /* holds one of the streams */
};
struct exchange *exchange_of(struct request *request);

/* --- server_request.c
 * --------------------------------------------------------------------------------------------- */
/* Refuses what could be read in two ways: too many headers, lengths that disagree, chunked bodies. Answers
 * and returns false. */
bool request_check_headers(struct exchange *exchange);
/* Finds the row; fills route and params. Answers 404 or 405 and returns false when there is none. */
bool request_route(struct exchange *exchange);
/* Role, session and origin. Answers 401 or 403 and returns false. */
bool request_allowed(struct exchange *exchange);
/* The body's limit; reads it whole unless the route streams. Answers and returns false. */
bool request_take_body(struct exchange *exchange);
/* Whether the connection may go on once what is left of the body has come: it is small, and need not be asked
 * for. */
bool request_may_drain(const struct exchange *exchange);
/* Before the first request: ends the program when routes[] has more rows than there is room for. */
void request_prepare(void);
/* Decodes %XX of one path segment or query part ('+' stays). NULL when malformed, not UTF-8 or with control
 * characters. */
char *percent_decode(struct arena *arena, const char *text, size_t size);

/* --- server_answer.c
 * ---------------------------------------------------------------------------------------------- */
/* Answers with our error body and closes the connection: what follows on it cannot be trusted. */
void answer_and_close(struct exchange *exchange, int status, enum error_kind kind, const char *sentence);

/* --- server_watch.c: deadlines and idle connections
 * --------------------------------------------------------------- */
/* Civetweb bounds the time of headers only and never tells its socket. The watch finds the socket of each
 * connection by its addresses and shuts it down when a deadline has passed, so that the blocked thread comes
 * back; and it ends the longest idle connections when threads run short. */
bool watch_start(struct server *server, struct error *err);
void watch_end(struct server *server);
struct watched *watch_add(struct port *port);
void watch_remove(struct port *port, struct watched *watched);
void watch_deadline(struct watched *watched, int64_t in_ms); /* 0: none */
/* A deadline passed: the connection takes no more bytes and ends with its answer. */
bool watch_late(const struct watched *watched);
/* A request begins; at the first one the socket is looked for. Then it is over and the connection waits. */
void watch_request(struct port *port, struct watched *watched, const struct mg_connection *connection);
void watch_idle(struct watched *watched);
bool watch_peer_gone(struct watched *watched);
/* Shuts down all connections that are between requests (`all`: every one). */
void watch_shut(struct server *server, bool all);

/* --- server_tls.c
 * ------------------------------------------------------------------------------------------------- */
/* A server context: TLS 1.2 and above, session tickets, the chain and key of these PEM files. */
void *tls_context_new(const char *chain, const char *key, struct error *err);
void tls_context_free(void *context);

#endif

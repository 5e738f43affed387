/* The HTTP server: turns civetweb's connections into requests that a row of the route table allows, and calls
 * the row's handler.
 *
 * Before a handler runs the server has checked: the request line and headers (traps.md: 64 headers,
 * smuggling), the exact path, the role or device session, the origin of a changing request, and the body's
 * limit; a body that is not streamed has been read whole into the arena with a time limit. A handler reads
 * input, makes one call, and writes the answer with one of the answer_ functions (exactly one). */
#ifndef CONSOLE_SERVER_H
#define CONSOLE_SERVER_H

#include "base/arena.h"
#include "base/db.h"
#include "base/error.h"
#include "base/json.h"
#include "repo/name.h"

#include <stdbool.h>
#include <stdint.h>

struct console; /* console/console.h: everything that lives as long as the server */
struct mg_connection;

enum role {
    ROLE_NONE = 0 /* closes the route */,
    ROLE_ANYBODY,
    ROLE_DEVICE,
    ROLE_VIEWER,
    ROLE_SUPPORT,
    ROLE_RELEASE,
    ROLE_ADMIN
};
enum listener { LISTENER_PEOPLE = 1, LISTENER_DEVICES = 2 };

#define ROUTE_PARAMS 4

struct request {
    struct console *console;
    struct arena *arena;
    struct mg_connection *connection; /* server.c and stream senders only */
    const struct route *route;
    enum listener listener;
    char id[17]; /* request id, hex */
    const char *method;
    const char
        *params[ROUTE_PARAMS]; /* the {…} segments, percent-decoded, in order; valid UTF-8 without NUL */
    const char *body;          /* whole body, NUL-terminated, unless the route streams */
    size_t body_size;
    int64_t content_length; /* -1: none said */
    /* who asks; filled by the role check */
    const char *operator_name; /* people */
    int64_t operator_id;
    enum role role;
    int64_t right_ends_at; /* of the API token that asks, Unix seconds; 0: it does not end by itself */
    int64_t device_id;     /* devices: row id */
    const char *device_name;
    const char *address; /* the peer's, as text: "127.0.0.1" */
};

typedef void handler(struct request *request);

struct route {
    const char *method;
    const char *path;   /* "/api/v1/devices/{name}"; a last segment "{*}" takes the rest of the path */
    unsigned listeners; /* LISTENER_… or'ed */
    enum role role;     /* the least that is needed */
    int64_t body_limit; /* bytes; 0: no body allowed */
    bool streams;       /* the handler reads the body itself with request_read */
    handler *handler;
};

/* All routes: console/routes.c. Ends with a row whose method is NULL. */
extern const struct route routes[];

/* Query parameter, percent-decoded, NULL when absent. A parameter that is there twice, or that no handler of
 * ours asks for, is the caller's to refuse with request_query_only. */
const char *request_query(struct request *request, const char *name);
bool request_query_only(struct request *request, const char *const *allowed, struct error *err);
const char *request_header(struct request *request, const char *name); /* NULL when absent */
/* The body as JSON (json_limits_small unless `limits`), or an INPUT error. */
const struct json *request_json(struct request *request, const struct json_limits *limits, struct error *err);
/* Streams the body: > 0 bytes, 0 at the end, -1 when cut or too slow. Answers Expect: 100-continue first. */
long request_read(struct request *request, void *bytes, size_t room);

/* Answers. */
void answer_json(struct request *request, int status, const struct text *json);
void answer_error(struct request *request, const struct error *err); /* status by kind, our error body */
void answer_status_error(struct request *request, int status, const struct error *err, const char *hint);
void answer_empty(struct request *request, int status); /* 204, 304 */
void answer_bytes(struct request *request, int status, const char *content_type, const void *bytes,
                  size_t size);
/* Adds a header to the answer that follows ("X-Next: …"); value checked for control characters. Call before
 * answer_…. */
void answer_header(struct request *request, const char *name, const char *value);

struct file_answer {
    int fd; /* borrowed */
    int64_t size;
    const char *content_type;
    const char *etag;       /* without quotes; NULL: none */
    bool immutable;         /* Cache-Control: public, max-age=31536000, immutable (devices) or private */
    _Atomic int64_t *sent;  /* the bytes of the file that were sent are added here; NULL: not counted */
    const char *attachment; /* file name for Content-Disposition, plus CSP sandbox; NULL: inline */
};
/* GET and HEAD with one Range, If-Range, If-None-Match. Own sender. */
void answer_file(struct request *request, const struct file_answer *file);
/* An answer of a known length that is made while it is sent, as an attachment. Begin sends the head: false
 * when the peer is gone or only asked for the head. Then pieces; whoever sends fewer bytes than promised says
 * so with answer_pieces_cut, which ends the connection. */
bool answer_pieces(struct request *request, const char *content_type, const char *attachment, int64_t size);
bool answer_piece(struct request *request, const void *bytes, size_t size);
void answer_pieces_cut(struct request *request);
/* An answer without an end (server-sent events). Begins it; false when too many streams are open (answered
 * 503 then). */
bool answer_stream(struct request *request, const char *content_type);
/* Sends a piece. False: the peer is gone or the server stops; the handler then returns. */
bool answer_stream_send(struct request *request, const void *bytes, size_t size);
/* Looks whether the peer is still there, without sending. */
bool answer_stream_alive(struct request *request);

/* --- running
 * ------------------------------------------------------------------------------------------------------ */
struct server;
struct server_options {
    const char *people_listen;             /* "127.0.0.1:8080"; port 0: any free one */
    const char *device_listen;             /* "0.0.0.0:8443" */
    const char *people_chain, *people_key; /* PEM files; NULL: the people's listener has no TLS */
    const char *device_chain, *device_key; /* PEM files; always TLS */
};
/* Opens both listeners and answers requests with the rows of routes[]. */
struct server *server_start(struct console *console, const struct server_options *options, struct error *err);
/* The port really listened on. */
int server_port(const struct server *server, enum listener listener);
/* Refuses new requests, lets those in flight end for at most `drain_ms`, closes. NULL is fine. */
void server_stop(struct server *server, int64_t drain_ms);

struct server_figures {
    int64_t requests[2], errors[2];  /* since the start: people, devices; errors: answers of 500 and above */
    int64_t connections[2], streams; /* now */
    int64_t bytes_in, bytes_out;     /* bodies */
};
void server_figures(struct server *server, struct server_figures *figures);
struct server *request_server(struct request *request); /* that this request came to */

#endif

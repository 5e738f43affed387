/* An HTTP(S) client over libcurl that keeps its connection: for the agent and the command line. One thread at
 * a time. */
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;

struct http_options {
    const char *base_url; /* https://host:8443, no trailing slash; paths are appended */
    const char *ca_file;  /* trust only these authorities; NULL: the system's */
    bool insecure; /* no verification at all: only to fetch what is checked by fingerprint afterwards */
    const char *user_agent;
    int connect_timeout_ms; /* 0: 10,000 */
    int stall_timeout_ms;   /* no byte for so long fails; 0: 30,000 */
    int time_limit_ms;      /* of a whole request; 0: none */
    bool secret_path;       /* errors name base_url alone */
};
struct http_request {
    const char *method;         /* "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" */
    const char *path;           /* begins with '/', already percent-encoded */
    const char *token;          /* Authorization: Bearer; NULL: none */
    const char *const *headers; /* more of them, "Name: value", NULL-terminated; may be NULL */
    const char *content_type;   /* of the body; NULL: application/json when there is a body */
    const void *body;           /* NULL: none, or from body_fd */
    size_t body_size;
    int body_fd; /* used when body is NULL and body_fd > 0: sends [body_offset, body_offset + body_length) */
    int64_t body_offset, body_length;
    int64_t range_from;   /* > 0: Range: bytes=N- */
    int64_t receive_rate; /* bytes a second at most that go to `write`; 0: no limit */
    size_t answer_limit;  /* most bytes kept in memory; 0: 4 MiB. LIMIT when more come */
    /* When set, a 2xx body goes here instead of memory; false stops the transfer with the error it set. The
     * answer's status and headers are filled in by then: a server may answer a range with 200 and the whole.
     */
    bool (*write)(void *context, const void *bytes, size_t size, struct error *err);
    void (*progress)(void *context, int64_t bytes_sent); /* of body_fd uploads; may be NULL */
    void *context;
    const bool
        *cancel; /* looked at while waiting (through an atomic load); true ends the request; may be NULL */
};
struct http_answer {
    int status; /* 200, 404, … */
    char *body; /* in the arena, NUL-terminated */
    size_t size;
    int64_t content_length; /* -1 when not said */
    int64_t retry_after_s;  /* 0 when not said */
    char etag[80], content_type[80], request_id[40];
    char content_encoding[16]; /* as it was sent: nothing is decoded here */
    char next[200];            /* X-Next: the cursor of a list's next page; empty at its end */
};
/* Loads what a client stands on, where that is to be found out early. SYSTEM: it is not on this machine. */
bool http_load(struct error *err);
/* NULL: as above, or INPUT, when the address is none. */
struct http *http_open(const struct http_options *options, struct error *err);
void http_close(struct http *http);
/* True for every answer that arrived whole, whatever its status. False: not reachable, cut, timed out
 * (SYSTEM), certificate refused (UNTRUSTED). Bytes before a cut have gone to `write`. */
bool http_send(struct http *http, const struct http_request *request, struct arena *arena,
               struct http_answer *answer, struct error *err);
/* Gives the connection up (TLS session kept for resumption). */
void http_disconnect(struct http *http);
/* Turns a not-2xx answer with our error body into an error of the right kind. Returns false. */
bool http_refused(const struct http_answer *answer, struct error *err);
/* Percent-encodes one path segment or query value into the arena. */
char *url_encode(struct arena *arena, const char *text);

#endif

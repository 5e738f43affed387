/* A session with the console: a token got by signing its nonce and our durable counter. PROTOCOL.md
 * "Session". */
#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include "agent/enrolment.h"
#include "base/http.h"

#define TOKEN_SIZE 256

struct session {
    int state_fd;
    const struct enrolment *enrolment;
    const bool *cancel;     /* read atomically; true ends a request; may be NULL */
    char token[TOKEN_SIZE]; /* empty: none */
    int64_t server_time;    /* the server's clock when it was opened, Unix seconds */
    int64_t retry_after_s;  /* of the last refusal */
};

/* Opens one when there is none. The counter is raised durably before it is used. DENIED when the console does
 * not let this device in, with its reason. */
bool session_open(struct session *session, struct http *http, struct error *err);
/* Sends with the token; a 401 drops the session (the caller opens a new one). True when an answer came. */
bool session_send(struct session *session, struct http *http, struct http_request *request,
                  struct arena *arena, struct http_answer *answer, struct error *err);
void session_drop(struct session *session);

#endif

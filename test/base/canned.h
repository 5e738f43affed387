/* A small server, one thread and one connection at a time: it reads a request and gives a canned answer. */
#ifndef TEST_BASE_CANNED_H
#define TEST_BASE_CANNED_H

#include "test/base/scratch.h"

#include <openssl/ssl.h>
#include <pthread.h>

struct canned {
    int listener, stop[2];
    char url[64];
    SSL_CTX *tls;
    pthread_t thread;
    const char *answer;                 /* raw bytes; NULL: say nothing */
    size_t answer_size;                 /* 0: strlen */
    bool cut;                           /* close after the answer */
    int connections, resumed, requests; /* atomically */
    pthread_mutex_t lock;
    char head[8192]; /* of the last request */
    char body[8192];
    size_t body_size; /* all of it, of which `body` holds the start */
};

/* On a free port of 127.0.0.1; `tls`, which becomes the server's, or NULL. */
void canned_start(struct canned *server, const char *answer, SSL_CTX *tls);
void canned_stop(struct canned *server);
#define CANNED(name, answer)                                                                                 \
    __attribute__((cleanup(canned_stop))) struct canned name;                                                \
    canned_start(&name, answer, NULL)
/* What it answers from now on, and that it closes after each answer. */
void canned_answers(struct canned *server, const char *answer);
void canned_cuts(struct canned *server);

#endif

/* A whole console for one test: `locum serve` in a process of its own on free ports, and raw sockets to it.
 */
#ifndef TEST_CONSOLE_SERVING_H
#define TEST_CONSOLE_SERVING_H

#include "test/base/scratch.h"

#include "base/text.h"

#include <sys/types.h>

#define ADMIN_PASSWORD "correct horse"

struct serving {
    struct scratch scratch;
    char data[96], url[64], token[64]; /* token: an API token of the administrator */
    int people_port, device_port;
    bool everywhere; /* the people's port is open at each address of this machine; set before a start */
    pid_t pid;
    int output; /* the process's standard output and error */
};
/* Starts it and waits until it answers. */
void serving_start(struct serving *serving);
/* SIGTERM; fails when it does not end with code 0. Removes everything. */
void serving_stop(struct serving *serving);
/* The same without removing: to start again on the same data with serving_again. */
void serving_end(struct serving *serving);
void serving_again(struct serving *serving);
#define SERVING(name)                                                                                        \
    __attribute__((cleanup(serving_stop))) struct serving name;                                              \
    serving_start(&name)

/* A connection to the people's port. */
int people_connect(const struct serving *serving);
void people_send(int fd, const char *text);
/* Reads until the peer closes or `ms` pass without a byte. */
void people_receive(int fd, int ms, struct text *out);
/* Adds what comes within `ms`; false when nothing does or the peer closed. */
bool people_receive_some(int fd, int ms, struct text *out);
bool people_answer_whole(const struct text *answer); /* by its Content-Length */
/* Sends one request and reads its answer, until it is whole by its Content-Length or the connection ends. */
void people_ask(const struct serving *serving, const char *request, struct text *answer);
int answer_status(const struct text *answer);
/* The first free port; somebody else may take it, which a start that fails would show. */
int free_port(void);

#endif

/* What the keeper's files share. */
#ifndef AGENT_KEEPER_PARTS_H
#define AGENT_KEEPER_PARTS_H

#include "agent/app.h"
#include "agent/keeper.h"
#include "agent/keeper_loop.h"
#include "agent/link.h"
#include "agent/runner.h"

#define KEEPER_PEERS 8

struct keeper;

/* One connection to keeper.sock. */
struct keeper_peer {
    struct keeper *keeper;
    struct link *link; /* NULL: free */
    uint64_t serial;   /* tells this connection from a later one in the same place */
    bool greeted;      /* said hello: gets events */
    bool primary;
    bool leaving; /* said bye, or was told to yield: its end is in order */
};

/* An answer that is owed when something ends. */
struct keeper_debt {
    struct keeper *keeper;
    size_t peer;
    uint64_t serial; /* 0: none is owed */
    int64_t id;
};

/* The worker that the keeper starts when the primary one died. */
struct keeper_stand_in {
    pid_t pid; /* 0: none */
    int pidfd;
    int64_t backoff_ms;
    struct loop_timer timer;
};

struct keeper {
    const struct agent_settings *settings;
    const struct keeper_options *options;
    int state_fd, lock_fd, listener, signals;
    struct loop loop;
    struct app app;
    struct runner runner;
    struct keeper_peer peers[KEEPER_PEERS];
    uint64_t serials;
    struct keeper_debt adopt, health, app_stop, run_start, stop;
    struct keeper_stand_in stand_in;
    bool stopping; /* an orderly end has begun */
    bool stopped;  /* and is over */
};

/* keeper_requests.c: handles one line of a peer. False: the line is none that the protocol knows; the peer is
 * dropped. */
bool keeper_request(struct keeper *keeper, struct keeper_peer *peer, const struct json *line);
void keeper_event_app(void *context);
void keeper_event_run(void *context, const char *run, const char *state);
/* Begins (or goes on with) the orderly end: image reverted, then the app stopped, then the answer, then
 * nothing. */
void keeper_stop(struct keeper *keeper);

/* keeper_worker.c */
void keeper_worker_lost(struct keeper *keeper);  /* the last worker went without a word */
void keeper_worker_there(struct keeper *keeper); /* one said hello */
void keeper_worker_end(struct keeper *keeper);

/* keeper.c */
void keeper_send(struct keeper_peer *peer, const struct text *line);
void keeper_drop(struct keeper_peer *peer);

#endif

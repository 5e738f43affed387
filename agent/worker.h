/* The worker: three threads that share this and nothing else.
 *
 *   talk      (the main thread)  session, check-ins, metadata, reports; status.json. Waits for the network.
 *   transfer                     one job at a time: fetch a version, upload a capture. Waits for the network.
 *   control                      the wish, swaps, diagnostic runs, the keeper. Never waits for the network.
 *
 *   talk ── wish_next ──► control ── job ──► transfer        control ── view ──► talk ── token ──► transfer
 *
 * One lock guards what is marked (L); it is held for copying only, never while waiting. Each thread sleeps on
 * its own eventfd; who changes something for another writes to that one's. */
#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

#include "agent/assignment.h"
#include "agent/enrolment.h"
#include "agent/fetch.h"
#include "agent/outbox.h"
#include "agent/settings.h"
#include "agent/wish.h"

#include <pthread.h>

#define VIEW_LIMIT (48 << 10) /* of a check-in's 64 KiB */

enum job_kind { JOB_NONE, JOB_VERSION, JOB_CAPTURE };
enum job_state { JOB_IDLE, JOB_WANTED, JOB_BUSY, JOB_DONE };

/* What the transfer thread is to do, and what became of it. */
struct job {
    enum job_state state;
    enum job_kind kind;
    struct wish_version version; /* JOB_VERSION; `refused` is NULL */
    bool diagnostic;
    char run[33]; /* JOB_CAPTURE; JOB_VERSION of an image: the run that asked */
    /* the end */
    struct error err; /* kind ERROR_NONE: good */
    enum update_result result;
    bool lasting;
    int64_t bytes, whole, retry_after_s;
    bool dropped;
    char dropped_why[200];
};

/* A verified wish on its way from talk to control, with the arena that it lives in. */
struct wish_box {
    struct arena arena;
    struct wish wish;
};

struct worker {
    const char *state, *config; /* absolute; config may be NULL */
    int state_fd;
    const struct agent_settings *settings;
    struct enrolment enrolment;
    bool primary;
    int64_t start;        /* this start in order: a stand-in goes on with that of the agent before it */
    struct outbox outbox; /* has a lock of its own */
    char ca_path[4200];

    bool stop;       /* atomic: end in order */
    bool yield;      /* atomic: a primary worker came; the keeper stays */
    bool job_cancel; /* atomic: the job is to stop soon */
    int exit_code;
    int talk_wake, control_wake, transfer_wake; /* eventfds */

    pthread_mutex_t lock;
    struct wish_box *wish_next;                  /* L: control takes it */
    struct job job;                              /* L */
    char *view;                                  /* L: members of the check-in as a JSON object; malloc */
    unsigned view_number;                        /* L: rises with each new view */
    unsigned facts_number;                       /* L: rises when limits or diagnostics change */
    char limits[32], diagnostics[CHANNEL_WORDS]; /* L */
    char token[TOKEN_SIZE];                      /* L: of the open session; empty: none */
    int64_t clock_floor;                         /* L */
};

void worker_lock(struct worker *worker);
void worker_unlock(struct worker *worker);
void worker_wake(int event_fd);
/* Waits on the eventfd and up to two more descriptors (-1: none), at most `ms`. */
void worker_wait(int event_fd, int other, int third, int64_t ms);
bool worker_is_stopping(const struct worker *worker);
/* Makes all three threads come to their end. */
void worker_stop(struct worker *worker);

/* Each runs until the worker stops. */
void talk_run(struct worker *worker);
void *transfer_run(void *worker);
void *control_run(void *worker);

/* The whole of `locum-agent run`; gives the exit code. */
struct worker_options {
    const char *state, *config; /* absolute; config may be NULL */
    bool stand_in;
};
int worker_main(const struct agent_settings *settings, const struct worker_options *options);

#endif

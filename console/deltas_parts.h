/* What the files of console/deltas*.c share: jobs, their queue, the thread. */
#ifndef CONSOLE_DELTAS_PARTS_H
#define CONSOLE_DELTAS_PARTS_H

#include "console/deltas.h"

#include "repo/name.h"

#include <pthread.h>
#include <stdatomic.h>

#define PLAN_VERSIONS 8 /* other versions that a new one is made ready for */

/* The most urgent first. */
enum job_kind { JOB_ASKED, JOB_DOUBT, JOB_PLAN, JOB_PAIR, JOB_PACK, JOB_THOROUGH };

struct delta_job {
    struct delta_job *next;
    enum job_kind kind;
    int64_t device_id;        /* who asks or doubts, the last to take it forward; 0: nobody waits */
    int64_t turn;             /* of `round`, when its device comes to it; 0: nobody waits */
    uint8_t key[SHA256_SIZE]; /* of all that follows: the same job is there once */
    char new[SHA256_HEX];
    char olds[DELTA_CANDIDATES][SHA256_HEX];
    size_t count;
    bool often; /* JOB_PAIR: thoroughly as well, later */
    char product[NAME_SIZE], asset[NAME_SIZE], version[VERSION_SIZE];
    char from[VERSION_SIZE]; /* JOB_PLAN; "": the versions that devices run */
};

#define DECIDED_MOST 4096
struct decided {
    uint8_t key[SHA256_SIZE];
    int64_t at, until; /* Unix seconds; until 0: nothing is decided here */
};

struct deltas {
    struct console *console;
    struct delta_store *store; /* NULL: none are made */
    int64_t thorough_after;
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock; /* all below but what is atomic; taken before nothing of ours */
    pthread_cond_t wake, rest;
    struct delta_job *first, *busy;
    int64_t waiting;
    int64_t round; /* a device's first job comes in this one, its next ones in those after it */
    struct decided decided[DECIDED_MOST]; /* by the key's first bytes: a newer one takes the place */
    bool ends, gives_way;                 /* why `cancel` is set */
    atomic_bool cancel;
    _Atomic int64_t served, sent_bytes, saved_bytes, doubted, damaged;
};

/* Takes the job (copied) into the queue, unless it is there. False: there is no room, or the device has its
 * share. */
bool job_add(struct deltas *deltas, struct delta_job *job);
/* The same of a job whose key is made, under the lock. */
bool job_queue(struct deltas *deltas, const struct delta_job *job);
/* Fills the key: what is asked, not in which order. */
void job_key(struct delta_job *job);
/* Puts it, which is the queue's from then on, behind those that are as urgent and whose turn is no later.
 * What nobody waits for gives way to what is asked. */
void job_insert(struct deltas *deltas, struct delta_job *job);
void job_take_out(struct deltas *deltas, struct delta_job *job);
/* Takes out the first, which is the caller's from then on; the round goes on behind its turn. NULL: none. */
struct delta_job *job_take_first(struct deltas *deltas);
/* Since when it need not be looked at again, Unix seconds; 0: it is to be. */
int64_t job_decided_at(struct deltas *deltas, const uint8_t key[SHA256_SIZE]);
void job_decide(struct deltas *deltas, const struct delta_job *job, int64_t seconds);

/* What is to be made for a version: adds the jobs for its files. */
void plan_run(struct deltas *deltas, const struct delta_job *plan, struct error *err);

#endif

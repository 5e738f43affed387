/* The transfer thread: one job at a time, over a connection of its own, with the session that talk holds. */
#include "agent/worker.h"

#include "agent/capture.h"
#include "agent/facts.h"
#include "base/clock.h"
#include "base/log.h"

#include <malloc.h>
#include <string.h>

#define SESSION_WAIT_MS 20000 /* for talk to open one */
#define IDLE_MS 10000         /* then the connection is given up */
#define LOOK_MS 1000

struct transfer {
    struct worker *worker;
    struct http *http;
    struct session session; /* its token is talk's */
    struct job job;         /* the copy that is worked on */
};

/* Takes over talk's token; when ours was refused, waits for another one. */
static bool token_take(struct transfer *transfer)
{
    struct worker *worker = transfer->worker;
    int64_t deadline = clock_boot_ms() + SESSION_WAIT_MS;

    while (!worker_is_stopping(worker)) {
        worker_lock(worker);
        strcpy(transfer->session.token, worker->token);
        worker_unlock(worker);
        if (*transfer->session.token)
            return true;
        int64_t left = deadline - clock_boot_ms();
        if (left <= 0)
            return false;
        worker_wake(worker->talk_wake);
        worker_wait(worker->transfer_wake, -1, -1, left < LOOK_MS ? left : LOOK_MS);
    }
    return false;
}

/* The console refused the token: talk has to open a new session, unless it has already. */
static void token_refused(struct transfer *transfer, const char *token)
{
    struct worker *worker = transfer->worker;

    worker_lock(worker);
    if (strcmp(worker->token, token) == 0)
        worker->token[0] = '\0';
    worker_unlock(worker);
    worker_wake(worker->talk_wake);
}

static void version_do(struct transfer *transfer, struct job *job)
{
    struct worker *worker = transfer->worker;
    struct fetch fetch = {.state_fd = worker->state_fd,
                          .http = transfer->http,
                          .session = &transfer->session,
                          .enrolment = &worker->enrolment,
                          .outbox = &worker->outbox,
                          .cancel = &worker->job_cancel};

    if (fetch_version(&fetch, &job->version, job->diagnostic, &job->err))
        job->err = (struct error){0};
    job->result = fetch.result;
    job->lasting = fetch.lasting;
    job->bytes += fetch.bytes;
    job->whole = fetch.whole;
}

static void capture_do(struct transfer *transfer, struct job *job)
{
    struct worker *worker = transfer->worker;
    struct capture_upload upload = {.state_fd = worker->state_fd,
                                    .http = transfer->http,
                                    .session = &transfer->session,
                                    .cancel = &worker->job_cancel};

    if (capture_send(&upload, job->run, &job->err))
        job->err = (struct error){0};
    job->dropped = upload.dropped;
    strcpy(job->dropped_why, upload.reason);
}

/* Once more when the session turned out to be over. */
static void job_do(struct transfer *transfer, struct job *job)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        char token[TOKEN_SIZE];
        job->err = (struct error){0};
        if (!token_take(transfer)) {
            error_set(&job->err, ERROR_SYSTEM, "the console is not reachable");
            job->result = RESULT_CONNECTION_LOST;
            return;
        }
        strcpy(token, transfer->session.token);
        if (job->kind == JOB_VERSION)
            version_do(transfer, job);
        else
            capture_do(transfer, job);
        job->retry_after_s = transfer->session.retry_after_s;
        if (*transfer->session.token)
            return;
        token_refused(transfer, token);
    }
}

static bool job_begin(struct transfer *transfer)
{
    struct worker *worker = transfer->worker;

    worker_lock(worker);
    bool begin = worker->job.state == JOB_WANTED;
    if (begin) {
        worker->job.state = JOB_BUSY;
        transfer->job = worker->job;
    }
    worker_unlock(worker);
    return begin;
}

static void job_end(struct transfer *transfer)
{
    struct worker *worker = transfer->worker;

    worker_lock(worker);
    transfer->job.state = JOB_DONE;
    worker->job = transfer->job;
    worker_unlock(worker);
    worker_wake(worker->control_wake);
}

void *transfer_run(void *context)
{
    struct worker *worker = context;
    struct transfer transfer = {.worker = worker,
                                .session = {.state_fd = worker->state_fd, .enrolment = &worker->enrolment}};
    struct http_options options = {.base_url = worker->enrolment.server,
                                   .ca_file = worker->ca_path,
                                   .user_agent = "locum-agent/" AGENT_VERSION};
    struct error err = {0};
    bool connected = false;

    transfer.http = http_open(&options, &err);
    if (!transfer.http)
        log_event(LOG_ERROR, "transfer", "why=\"%s\"", err.text);
    while (transfer.http && !worker_is_stopping(worker)) {
        if (job_begin(&transfer)) {
            job_do(&transfer, &transfer.job);
            job_end(&transfer);
            connected = true;
            continue;
        }
        int64_t slept = clock_boot_ms();
        worker_wait(worker->transfer_wake, -1, -1, connected ? IDLE_MS : INT32_MAX);
        if (connected && clock_boot_ms() - slept >= IDLE_MS) {
            http_disconnect(transfer.http);
            connected = false;
            malloc_trim(0); /* a manifest of megabytes came and went */
        }
    }
    http_close(transfer.http);
    return NULL;
}

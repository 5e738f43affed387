#include "agent/worker.h"

#include "agent/set.h"
#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES (512 << 10)
#define YIELD_MS 60000 /* a stand-in may be in the middle of a swap */
#define LOOK_MS 50
#define EXIT_FAILED 1
#define EXIT_CONFLICT 5

void worker_lock(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
}

void worker_unlock(struct worker *worker)
{
    pthread_mutex_unlock(&worker->lock);
}

void worker_wake(int event_fd)
{
    uint64_t one = 1;

    while (write(event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void worker_wait(int event_fd, int other, int third, int64_t ms)
{
    struct pollfd pollers[] = {
        {.fd = event_fd, .events = POLLIN}, {.fd = other, .events = POLLIN}, {.fd = third, .events = POLLIN}};
    uint64_t count;

    if (ms < 0)
        ms = 0;
    if (poll(pollers, 3, ms > INT32_MAX ? INT32_MAX : (int)ms) > 0 && (pollers[0].revents & POLLIN) &&
        read(event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        log_event(LOG_WARNING, "wait", "errno=%d", errno);
}

bool worker_is_stopping(const struct worker *worker)
{
    return __atomic_load_n(&worker->stop, __ATOMIC_ACQUIRE);
}

void worker_stop(struct worker *worker)
{
    __atomic_store_n(&worker->stop, true, __ATOMIC_RELEASE);
    __atomic_store_n(&worker->job_cancel, true, __ATOMIC_RELEASE);
    worker_wake(worker->talk_wake);
    worker_wake(worker->control_wake);
    worker_wake(worker->transfer_wake);
}

/* --- one worker a state folder
 * ------------------------------------------------------------------------------------- */

static bool lock_sign(int lock, bool primary, struct error *err)
{
    char text[40];
    int size = snprintf(text, sizeof(text), "%s %d\n", primary ? "primary" : "stand-in", (int)getpid());

    return (ftruncate(lock, 0) == 0 && pwrite(lock, text, (size_t)size, 0) == size) ||
           error_errno(err, "signing the lock");
}

/* True when the lock's holder says that it is a stand-in, which gives way. */
static bool held_by_stand_in(int state_fd)
{
    ARENA(arena);
    struct error ignored = {0};
    char *bytes;
    size_t size;

    return file_read(&arena, state_fd, STATE_LOCK, 64, &bytes, &size, &ignored) &&
           string_starts(bytes, "stand-in");
}

/* The keeper tells a stand-in to give way when a primary worker says hello. */
static bool lock_from_stand_in(struct worker *worker, int *lock, struct error *err)
{
    struct channel channel;
    int64_t deadline = clock_boot_ms() + YIELD_MS;

    channel_init(&channel, worker->state_fd, worker->state, worker->config, worker->settings, true);
    while (clock_boot_ms() < deadline) {
        struct error refused = {0}, taken = {0};
        if (!channel.link)
            channel_connect(&channel, &refused);
        if (channel.refused) {
            channel_close(&channel);
            return error_set(err, ERROR_CONFLICT, "another locum-agent runs with this state folder already");
        }
        *lock = file_lock(worker->state_fd, STATE_LOCK, &taken);
        if (*lock >= 0 || taken.kind != ERROR_CONFLICT)
            break;
        poll(NULL, 0, LOOK_MS); /* a lock has no event */
    }
    channel_close(&channel);
    return *lock >= 0 || error_set(err, ERROR_CONFLICT, "a stand-in locum-agent does not give way");
}

static bool lock_take(struct worker *worker, int *lock, struct error *err)
{
    struct error taken = {0};

    *lock = file_lock(worker->state_fd, STATE_LOCK, &taken);
    if (*lock < 0 && taken.kind != ERROR_CONFLICT) {
        *err = taken;
        return false;
    }
    if (*lock < 0 && !(worker->primary && held_by_stand_in(worker->state_fd)))
        return error_set(err, ERROR_CONFLICT, "another locum-agent runs with the state folder \"%s\" already",
                         worker->state);
    return (*lock >= 0 || lock_from_stand_in(worker, lock, err)) && lock_sign(*lock, worker->primary, err);
}

/* A start by hand or by init counts; a keeper that brings a crashed agent back does not. A number that is
 * lost begins anew: what waits for a start compares for being another. */
static void start_count(struct worker *worker)
{
    ARENA(arena);
    struct error err = {0};
    char *bytes, text[24];
    size_t size;

    if (!file_read(&arena, worker->state_fd, STATE_START, sizeof(text), &bytes, &size, &err) ||
        !int64_parse(bytes, 1, INT64_MAX - 1, &worker->start))
        worker->start = clock_now();
    if (!worker->primary)
        return;
    worker->start++;
    err = (struct error){0};
    int length = snprintf(text, sizeof(text), "%lld", (long long)worker->start);
    if (!file_write(worker->state_fd, STATE_START, text, (size_t)length, 0600, &err))
        log_event(LOG_WARNING, "start", "why=\"%s\"", err.text);
}

/* --- beginning and end
 * ------------------------------------------------------------------------------------------------ */

/* The stop flag of the signal handler: the worker that it stops. */
static struct worker *signalled;

static void on_signal(int number)
{
    int saved = errno;

    (void)number;
    worker_stop(signalled); /* atomic stores and write(2) only */
    errno = saved;
}

static bool prepare(struct worker *worker, struct error *err)
{
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    worker->talk_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    worker->control_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    worker->transfer_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->talk_wake < 0 || worker->control_wake < 0 || worker->transfer_wake < 0)
        return error_errno(err, "descriptors");
    signalled = worker;
    if (sigaction(SIGTERM, &stop, NULL) < 0 || sigaction(SIGINT, &stop, NULL) < 0)
        return error_errno(err, "signals");
    snprintf(worker->ca_path, sizeof(worker->ca_path), "%s/%s", worker->state, STATE_CA);
    return set_prepare(worker->state_fd, err) && outbox_open(&worker->outbox, worker->state_fd, err);
}

static bool thread_start(pthread_t *thread, void *(*run)(void *), struct worker *worker, struct error *err)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int failed = pthread_create(thread, &attributes, run, worker);
    pthread_attr_destroy(&attributes);
    errno = failed;
    return failed == 0 || error_errno(err, "starting a thread");
}

static bool threads_run(struct worker *worker, struct error *err)
{
    pthread_t transfer, control;

    if (!thread_start(&transfer, transfer_run, worker, err))
        return false;
    bool good = thread_start(&control, control_run, worker, err);
    if (good)
        talk_run(worker);
    worker_stop(worker);
    if (good)
        pthread_join(control, NULL);
    pthread_join(transfer, NULL);
    return good;
}

static void finish(struct worker *worker)
{
    if (worker->wish_next)
        arena_end(&worker->wish_next->arena);
    free(worker->wish_next);
    free(worker->view);
    outbox_close(&worker->outbox);
    fd_close(&worker->talk_wake);
    fd_close(&worker->control_wake);
    fd_close(&worker->transfer_wake);
    fd_close(&worker->state_fd);
}

static int fail(const struct error *err)
{
    fprintf(stderr, "locum-agent: %s\n", err->text);
    return err->kind == ERROR_CONFLICT ? EXIT_CONFLICT : err->kind == ERROR_MISSING ? 3 : EXIT_FAILED;
}

int worker_main(const struct agent_settings *settings, const struct worker_options *options)
{
    static struct worker worker;
    struct error err = {0};

    /* One pool for all threads: they allocate little, and memory is dear on a device. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 256 << 10);
    worker = (struct worker){.state = options->state,
                             .config = options->config,
                             .settings = settings,
                             .primary = !options->stand_in,

                             .talk_wake = -1,
                             .control_wake = -1,
                             .transfer_wake = -1,
                             .outbox = {.fd = -1}};
    pthread_mutex_init(&worker.lock, NULL);
    worker.state_fd = folder_open(options->state, &err);
    FD(lock) = -1;
    bool good = worker.state_fd >= 0 && enrolment_load(worker.state_fd, &worker.enrolment, &err) &&
                lock_take(&worker, &lock, &err) && prepare(&worker, &err);
    if (good) {
        start_count(&worker);
        log_event(LOG_INFO, "agent_started", "device=%s product=%s server=%s primary=%s",
                  worker.enrolment.device, worker.enrolment.product, worker.enrolment.server,
                  worker.primary ? "yes" : "no");
        good = threads_run(&worker, &err);
    }
    int code = good ? worker.exit_code : fail(&err);
    if (good)
        log_event(LOG_INFO, "agent_ended", "code=%d", code);
    if (lock >= 0 && ftruncate(lock, 0) < 0) /* `status` need not look for us any more */
        log_event(LOG_WARNING, "lock", "errno=%d", errno);
    finish(&worker);
    return code;
}

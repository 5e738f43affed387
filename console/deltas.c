#include "console/deltas_parts.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "console/console.h"
#include "console/wake.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NICE 10
#define TRIES 2    /* candidates that are made for one question */
#define GOOD 8     /* a delta of an eighth is taken without looking for a better one */
#define AGAIN_S 60 /* what failed is not tried again so soon, and what is done is not looked at */
#define DECIDED_S (30 * 86400)
#define BYTES_PER_S (256 << 20) /* of making, as a guess for Retry-After */
#define RETRY_MOST_S 5

/* --- what is asked
 * ------------------------------------------------------------------------------------------------ */

/* The shortest that is known; `first`: the first candidate's is good. `untried`: nothing is known of any. */
struct best {
    const char *old;
    struct delta_known known;
    bool first, untried;
};

static struct best best_known(struct deltas *deltas, const struct delta_job *job, const char *const *olds)
{
    struct best best = {.untried = true};

    for (size_t i = 0; i < job->count; i++) {
        struct delta_known known;

        delta_store_look(deltas->store, job->olds[i], job->new, &known);
        best.untried &= !known.tried;
        best.first |= i == 0 && known.length > 0;
        if (known.length > 0 && (!best.old || known.length < best.known.length)) {
            best.old = olds[i];
            best.known = known;
        }
    }
    return best;
}

static void thorough_later(struct deltas *deltas, const char *old, const char *new)
{
    struct delta_job job = {.kind = JOB_THOROUGH, .count = 1};

    strcpy(job.new, new);
    strcpy(job.olds[0], old);
    job_add(deltas, &job);
}

static void take(struct deltas *deltas, const struct best *best, const char *new, struct delta_choice *choice)
{
    choice->verdict = DELTA_TAKE;
    choice->old = best->old;
    choice->length = best->known.length;
    delta_store_count(deltas->store, best->old, new);
    if (best->known.effort == DELTA_QUICK && best->known.asked + 1 >= deltas->thorough_after)
        thorough_later(deltas, best->old, new);
}

/* Those of the candidates that are here; the device may have files from elsewhere. */
static bool job_fill(struct deltas *deltas, const char *new, const char *const *olds, size_t count,
                     const char **here, struct delta_job *job, struct delta_choice *choice, struct error *err)
{
    struct repo *repo = deltas->console->repo;
    struct error ignored = {0};
    int64_t length;
    FD(new_fd) = object_open(repo, new, &choice->whole, err);

    if (new_fd < 0)
        return false;
    strcpy(job->new, new);
    for (size_t i = 0; i < count && job->count < DELTA_CANDIDATES; i++) {
        FD(fd) = string_is(olds[i], new) ? -1 : object_open(repo, olds[i], &length, &ignored);

        if (fd < 0 || length == 0)
            continue;
        here[job->count] = olds[i];
        strcpy(job->olds[job->count++], olds[i]);
    }
    return true;
}

static int retry_after(int64_t bytes)
{
    int64_t seconds = 1 + bytes / BYTES_PER_S;

    return seconds < RETRY_MOST_S ? (int)seconds : RETRY_MOST_S;
}

bool deltas_choose(struct deltas *deltas, int64_t device_id, const char *new, const char *const *olds,
                   size_t count, struct delta_choice *choice, struct error *err)
{
    struct delta_job job = {.kind = JOB_ASKED, .device_id = device_id};
    const char *here[DELTA_CANDIDATES];
    struct delta_known packed;

    *choice = (struct delta_choice){.verdict = DELTA_TAKE_WHOLE};
    if (!job_fill(deltas, new, olds, count, here, &job, choice, err))
        return false;
    if (!deltas->store)
        return true;
    delta_store_look(deltas->store, NULL, new, &packed);
    choice->packed = packed.length > 0;
    if (!job.count || choice->whole < DELTA_STORE_LEAST)
        return true;
    struct best best = best_known(deltas, &job, here);
    job_key(&job);
    pthread_mutex_lock(&deltas->lock);
    int64_t at = job_decided_at(deltas, job.key);
    /* What was decided and is not there went for the quota: it is made again, but not again and again. */
    bool decided = (at && (!best.untried || clock_now() < at + AGAIN_S)) || best.first ||
                   (best.old && best.known.length <= choice->whole / GOOD);
    bool made = !decided && job_queue(deltas, &job);
    pthread_mutex_unlock(&deltas->lock);
    if (made) {
        choice->verdict = DELTA_ASK_AGAIN;
        choice->retry_after_s = retry_after(choice->whole);
    } else if (best.old) {
        take(deltas, &best, new, choice);
    }
    return true;
}

void deltas_want_packed(struct deltas *deltas, const char *sha256)
{
    struct delta_job job = {.kind = JOB_PACK};

    if (!deltas || !deltas->store)
        return;
    strcpy(job.new, sha256);
    job_add(deltas, &job);
}

static void plan(struct deltas *deltas, const char *product, const char *asset, const char *from,
                 const char *version)
{
    struct delta_job job = {.kind = JOB_PLAN};

    if (!deltas || !deltas->store || !name_is_valid(product) || !name_is_valid(asset) ||
        strlen(version) >= VERSION_SIZE || strlen(from) >= VERSION_SIZE)
        return;
    strcpy(job.product, product);
    strcpy(job.asset, asset);
    strcpy(job.version, version);
    strcpy(job.from, from);
    job_add(deltas, &job);
}

void deltas_published(struct deltas *deltas, const char *product, const char *asset, const char *version)
{
    plan(deltas, product, asset, "", version);
}

void deltas_ordered(struct deltas *deltas, const char *product, const char *asset, const char *from,
                    const char *version)
{
    plan(deltas, product, asset, from, version);
}

void deltas_doubted(struct deltas *deltas, int64_t device_id, const char *old, const char *new)
{
    struct delta_job job = {.kind = JOB_DOUBT, .device_id = device_id, .count = old != NULL};

    if (!deltas || !deltas->store)
        return;
    deltas->doubted++;
    strcpy(job.new, new);
    if (old)
        strcpy(job.olds[0], old);
    job_add(deltas, &job);
}

/* --- what is done
 * ------------------------------------------------------------------------------------------------- */

/* The likeliest first; equal ones as the device has them. */
static void sort_by_likeness(struct deltas *deltas, struct delta_job *job)
{
    int64_t alike[DELTA_CANDIDATES];

    for (size_t i = 0; i < job->count && job->count > 1; i++) {
        int64_t own = delta_store_alike(deltas->store, job->olds[i], job->new, &deltas->cancel);
        char old[SHA256_HEX];
        size_t at = i;

        memcpy(old, job->olds[i], SHA256_HEX);
        for (; at > 0 && alike[at - 1] < own; at--) {
            alike[at] = alike[at - 1];
            memcpy(job->olds[at], job->olds[at - 1], SHA256_HEX);
        }
        alike[at] = own;
        memcpy(job->olds[at], old, SHA256_HEX);
    }
}

static bool pair_run(struct deltas *deltas, const struct delta_job *asked, struct error *err)
{
    struct delta_job job = *asked; /* its key stays that of the question */
    struct delta_known known = {0};

    sort_by_likeness(deltas, &job);
    for (size_t i = 0; i < job.count && i < TRIES && !known.length; i++) {
        if (!delta_store_make(deltas->store, job.olds[i], job.new, DELTA_QUICK, &deltas->cancel, err))
            return false;
        delta_store_look(deltas->store, job.olds[i], job.new, &known);
        if (known.length && job.often)
            thorough_later(deltas, job.olds[i], job.new);
    }
    return true;
}

static bool doubt_run(struct deltas *deltas, const struct delta_job *job, struct error *err)
{
    bool good;

    if (!delta_store_check(deltas->store, job->count ? job->olds[0] : NULL, job->new, &good, err))
        return err->kind == ERROR_MISSING; /* it went meanwhile */
    if (!good) {
        deltas->damaged++;
        log_event(LOG_WARNING, "delta_damaged", "old=%.12s new=%.12s", job->olds[0], job->new);
    }
    return true;
}

static bool job_run(struct deltas *deltas, const struct delta_job *job, struct error *err)
{
    switch (job->kind) {
    case JOB_ASKED:
    case JOB_PAIR:
        return pair_run(deltas, job, err);
    case JOB_DOUBT:
        return doubt_run(deltas, job, err);
    case JOB_PLAN:
        plan_run(deltas, job, err);
        return err->kind == ERROR_NONE;
    case JOB_PACK:
        return delta_store_pack(deltas->store, job->new, &deltas->cancel, err);
    case JOB_THOROUGH:
        return delta_store_make(deltas->store, job->olds[0], job->new, DELTA_THOROUGH, &deltas->cancel, err);
    }
    return true;
}

/* Under the lock: the next one is out of the queue and busy. NULL: it ends. */
static struct delta_job *job_next(struct deltas *deltas)
{
    while (!deltas->first && !deltas->ends) {
        pthread_cond_broadcast(&deltas->rest);
        pthread_mutex_unlock(&deltas->lock);
        malloc_trim(0); /* what a large pair took */
        pthread_mutex_lock(&deltas->lock);
        if (!deltas->first && !deltas->ends)
            pthread_cond_wait(&deltas->wake, &deltas->lock);
    }
    if (deltas->ends)
        return NULL;
    struct delta_job *job = job_take_first(deltas);
    deltas->busy = job;
    deltas->gives_way = false;
    atomic_store(&deltas->cancel, false);
    return job;
}

/* Under the lock. Only what was asked is decided for good: devices may run other versions soon, and the store
 * knows the rest itself. */
static void job_end(struct deltas *deltas, struct delta_job *job, bool good, const struct error *err)
{
    char text[600];

    deltas->busy = NULL;
    if (!good && deltas->gives_way && !deltas->ends) {
        job_insert(deltas, job);
        return;
    }
    if (!good && !deltas->ends)
        log_event(LOG_WARNING, "delta_failed", "new=%.12s asset=%s reason=%s", job->new, job->asset,
                  log_quote(text, sizeof text, err->text));
    job_decide(deltas, job, good && (job->kind == JOB_ASKED || job->kind == JOB_PAIR) ? DECIDED_S : AGAIN_S);
    free(job);
}

static void *deltas_run(void *context)
{
    struct deltas *deltas = context;
    struct delta_job *job;

    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE); /* Linux: of this thread */
    pthread_mutex_lock(&deltas->lock);
    while ((job = job_next(deltas))) {
        struct error err = {0};

        pthread_mutex_unlock(&deltas->lock);
        bool good = job_run(deltas, job, &err);
        pthread_mutex_lock(&deltas->lock);
        job_end(deltas, job, good, &err);
    }
    pthread_mutex_unlock(&deltas->lock);
    return NULL;
}

/* --- begin and end
 * ------------------------------------------------------------------------------------------------ */

struct deltas *deltas_start(struct console *console, const struct deltas_options *options, struct error *err)
{
    struct deltas *deltas = calloc(1, sizeof *deltas);

    if (!deltas)
        abort();
    deltas->console = console;
    deltas->thorough_after = options->thorough_after;
    pthread_mutex_init(&deltas->lock, NULL);
    wake_init(&deltas->wake);
    wake_init(&deltas->rest);
    deltas->store = delta_store_open(console->repo, console->data_dirfd, options->quota, err);
    if (deltas->store && !options->quota) {
        /* Emptied, and not used. */
        delta_store_close(deltas->store);
        deltas->store = NULL;
        return deltas;
    }
    deltas->runs = deltas->store && pthread_create(&deltas->thread, NULL, deltas_run, deltas) == 0;
    if (deltas->runs)
        return deltas;
    if (deltas->store)
        error_set(err, ERROR_SYSTEM, "The thread that makes deltas does not start");
    deltas_stop(deltas);
    return NULL;
}

void deltas_stop(struct deltas *deltas)
{
    if (!deltas)
        return;
    pthread_mutex_lock(&deltas->lock);
    deltas->ends = true;
    atomic_store(&deltas->cancel, true);
    pthread_cond_signal(&deltas->wake);
    pthread_mutex_unlock(&deltas->lock);
    if (deltas->runs)
        pthread_join(deltas->thread, NULL);
    while (deltas->first) {
        struct delta_job *job = deltas->first;

        deltas->first = job->next;
        free(job);
    }
    delta_store_close(deltas->store);
    pthread_cond_destroy(&deltas->wake);
    pthread_cond_destroy(&deltas->rest);
    pthread_mutex_destroy(&deltas->lock);
    free(deltas);
}

struct delta_store *deltas_store(struct deltas *deltas)
{
    return deltas ? deltas->store : NULL;
}

bool deltas_idle(struct deltas *deltas, int64_t ms)
{
    struct timespec until = wake_after(ms);
    int failed = 0;

    pthread_mutex_lock(&deltas->lock);
    while ((deltas->first || deltas->busy) && !failed)
        failed = pthread_cond_timedwait(&deltas->rest, &deltas->lock, &until);
    pthread_mutex_unlock(&deltas->lock);
    return !failed;
}

/* --- figures
 * ------------------------------------------------------------------------------------------------------ */

void deltas_sent(struct deltas *deltas, bool delta, bool begun, int64_t sent, int64_t instead_of)
{
    deltas->served += delta && begun;
    if (delta)
        deltas->sent_bytes += sent;
    deltas->saved_bytes += instead_of - sent;
}

void deltas_figures(struct deltas *deltas, struct deltas_figures *figures)
{
    struct delta_figures kept = {0};

    *figures = (struct deltas_figures){0};
    if (!deltas || !deltas->store)
        return;
    delta_store_figures(deltas->store, &kept);
    pthread_mutex_lock(&deltas->lock);
    figures->waiting = deltas->waiting + (deltas->busy != NULL);
    pthread_mutex_unlock(&deltas->lock);
    figures->made = kept.made;
    figures->packed = kept.packed;
    figures->pairs = kept.pairs;
    figures->whole = kept.whole;
    figures->bytes = kept.bytes;
    figures->served = deltas->served;
    figures->sent_bytes = deltas->sent_bytes;
    figures->saved_bytes = deltas->saved_bytes;
    figures->doubted = deltas->doubted;
    figures->damaged = deltas->damaged;
}

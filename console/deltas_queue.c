/* The queue of what is to be made: the most urgent first, each once, a share for each device.
 *
 * Devices are served in turns: a device's first job comes in the present round, its second in the next, and
 * the round goes on behind what is taken out, so that who comes later does not come first for ever
 * (start-time fair queuing; Goyal, Vin, Cheng, 1996, with every job of one length). */
#include "console/deltas_parts.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define JOBS_MOST 2048
#define JOBS_OF_DEVICE 8

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

void job_key(struct delta_job *job)
{
    char olds[DELTA_CANDIDATES][SHA256_HEX];
    struct sha256 hash;
    uint8_t kind = (uint8_t)(job->kind == JOB_PAIR ? JOB_ASKED : job->kind);

    memcpy(olds, job->olds, sizeof olds);
    qsort(olds, job->count, SHA256_HEX, by_name);
    sha256_init(&hash);
    sha256_add(&hash, &kind, 1);
    sha256_add(&hash, job->new, sizeof job->new);
    sha256_add(&hash, olds, job->count * SHA256_HEX);
    sha256_add(&hash, job->product, strlen(job->product) + 1);
    sha256_add(&hash, job->asset, strlen(job->asset) + 1);
    sha256_add(&hash, job->version, strlen(job->version) + 1);
    sha256_add(&hash, job->from, strlen(job->from) + 1);
    sha256_end(&hash, job->key);
}

static struct decided *decided_of(struct deltas *deltas, const uint8_t key[SHA256_SIZE])
{
    return &deltas->decided[(key[0] | (unsigned)key[1] << 8) % DECIDED_MOST];
}

int64_t job_decided_at(struct deltas *deltas, const uint8_t key[SHA256_SIZE])
{
    const struct decided *decided = decided_of(deltas, key);

    return decided->until > clock_now() && memcmp(decided->key, key, SHA256_SIZE) == 0 ? decided->at : 0;
}

void job_decide(struct deltas *deltas, const struct delta_job *job, int64_t seconds)
{
    struct decided *decided = decided_of(deltas, job->key);

    memcpy(decided->key, job->key, SHA256_SIZE);
    decided->at = clock_now();
    decided->until = decided->at + seconds;
}

/* The one that is there already; `share` counts the device's others. */
static struct delta_job *job_find(struct deltas *deltas, const struct delta_job *job, int *share)
{
    struct delta_job *same = NULL;

    *share = 0;
    for (struct delta_job *one = deltas->first; one; one = one->next) {
        if (memcmp(one->key, job->key, SHA256_SIZE) == 0)
            same = one;
        else
            *share += job->device_id && one->device_id == job->device_id;
    }
    return same;
}

static bool goes_before(const struct delta_job *one, const struct delta_job *other)
{
    return one->kind != other->kind ? one->kind < other->kind : one->turn < other->turn;
}

void job_insert(struct deltas *deltas, struct delta_job *job)
{
    struct delta_job **at = &deltas->first;

    while (*at && !goes_before(job, *at))
        at = &(*at)->next;
    job->next = *at;
    *at = job;
    deltas->waiting++;
    /* Somebody waits for this one, and nobody for those. */
    if (job->kind == JOB_ASKED && deltas->busy && deltas->busy->kind >= JOB_PACK) {
        deltas->gives_way = true;
        atomic_store(&deltas->cancel, true);
    }
    pthread_cond_signal(&deltas->wake);
}

void job_take_out(struct deltas *deltas, struct delta_job *job)
{
    struct delta_job **at = &deltas->first;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    deltas->waiting--;
}

struct delta_job *job_take_first(struct deltas *deltas)
{
    struct delta_job *job = deltas->first;

    if (!job)
        return NULL;
    job_take_out(deltas, job);
    if (job->device_id && job->turn >= deltas->round)
        deltas->round = job->turn + 1;
    return job;
}

bool job_queue(struct deltas *deltas, const struct delta_job *job)
{
    int share;
    struct delta_job *same = job_find(deltas, job, &share);
    int64_t turn = job->device_id ? deltas->round + share : 0;

    if (deltas->busy && memcmp(deltas->busy->key, job->key, SHA256_SIZE) == 0)
        return true;
    if (same) {
        /* Planned so far, or another's later one, and now somebody waits. */
        struct delta_job mine = {.kind = job->kind, .turn = turn};

        if (share < JOBS_OF_DEVICE && goes_before(&mine, same)) {
            job_take_out(deltas, same);
            same->kind = job->kind;
            same->device_id = job->device_id;
            same->turn = turn;
            job_insert(deltas, same);
        }
        return true;
    }
    if (deltas->ends || share >= JOBS_OF_DEVICE || deltas->waiting >= JOBS_MOST)
        return false;
    struct delta_job *mine = malloc(sizeof *mine);
    if (!mine)
        abort();
    *mine = *job;
    mine->turn = turn;
    job_insert(deltas, mine);
    return true;
}

bool job_add(struct deltas *deltas, struct delta_job *job)
{
    job_key(job);
    pthread_mutex_lock(&deltas->lock);
    bool done = job_decided_at(deltas, job->key) || job_queue(deltas, job);
    pthread_mutex_unlock(&deltas->lock);
    return done;
}

/* What a new version will need: its changed files as deltas from the versions that devices run, and packed.
 */
#include "console/deltas_parts.h"

#include "base/text.h"
#include "console/console.h"
#include "console/fleet.h"

#include <stdlib.h>
#include <string.h>

#define VERSIONS_SEEN 256 /* different ones that are counted */
#define LIKE_SIZE 2       /* at most so many times longer or shorter */

/* A version that devices run. */
struct base {
    char version[VERSION_SIZE];
    int64_t devices;
};

static struct base *base_of(struct base *bases, size_t *count, const char *version)
{
    for (size_t i = 0; i < *count; i++)
        if (string_is(bases[i].version, version))
            return &bases[i];
    if (*count == VERSIONS_SEEN || strlen(version) >= VERSION_SIZE)
        return NULL;
    bases[*count] = (struct base){0};
    strcpy(bases[*count].version, version);
    return &bases[(*count)++];
}

static int most_first(const void *a, const void *b)
{
    int64_t x = ((const struct base *)a)->devices, y = ((const struct base *)b)->devices;

    return x < y ? 1 : x > y ? -1 : 0;
}

/* Counted under the fleet's lock, in memory only. */
static size_t bases_find(struct console *console, const struct delta_job *plan, struct base *bases)
{
    size_t count = 0, devices;

    fleet_lock(console->fleet);
    struct device *const *all = fleet_all(console->fleet, &devices);
    for (size_t i = 0; i < devices; i++) {
        if (!string_is(all[i]->product, plan->product))
            continue;
        for (size_t n = 0; n < all[i]->running_count; n++) {
            const struct running_asset *running = &all[i]->running[n];
            struct base *base = running->version && string_is(running->asset, plan->asset) &&
                                        !string_is(running->version, plan->version)
                                    ? base_of(bases, &count, running->version)
                                    : NULL;
            if (base)
                base->devices++;
        }
    }
    fleet_unlock(console->fleet);
    qsort(bases, count, sizeof *bases, most_first);
    return count < PLAN_VERSIONS ? count : PLAN_VERSIONS;
}

static bool manifest_of(struct console *console, struct arena *arena, const struct delta_job *plan,
                        const char *version, struct manifest *manifest, struct error *err)
{
    char sha256[SHA256_HEX];
    DB_DONE(conn) = db_read(console->db, err);

    return conn && repo_manifest(console->repo, conn, arena, plan->product, plan->asset, version, manifest,
                                 sha256, err);
}

static bool is_like_size(int64_t a, int64_t b)
{
    return a <= b * LIKE_SIZE && b <= a * LIKE_SIZE;
}

static void candidate_add(struct delta_job *job, const char *sha256)
{
    for (size_t i = 0; i < job->count; i++)
        if (string_is(job->olds[i], sha256))
            return;
    if (job->count < DELTA_CANDIDATES)
        strcpy(job->olds[job->count++], sha256);
}

/* The file of the same path; where there is none, files of its size. False: the version has the same bytes.
 */
static bool candidates_find(const struct manifest *from, const struct manifest_file *file,
                            struct delta_job *job)
{
    const struct manifest_file *same = NULL;

    for (size_t i = 0; i < from->file_count; i++) {
        if (string_is(from->files[i].sha256, file->sha256))
            return false;
        if (string_is(from->files[i].path, file->path))
            same = &from->files[i];
    }
    if (same) {
        candidate_add(job, same->sha256);
        return same->length > 0;
    }
    for (size_t i = 0; i < from->file_count; i++)
        if (from->files[i].length >= DELTA_STORE_LEAST && is_like_size(from->files[i].length, file->length))
            candidate_add(job, from->files[i].sha256);
    return job->count > 0;
}

static void pairs_plan(struct deltas *deltas, const struct manifest *from, const struct manifest *to,
                       bool often)
{
    for (size_t i = 0; i < to->file_count; i++) {
        struct delta_job job = {.kind = JOB_PAIR, .often = often};

        if (to->files[i].length < DELTA_STORE_LEAST || !candidates_find(from, &to->files[i], &job))
            continue;
        strcpy(job.new, to->files[i].sha256);
        job_add(deltas, &job);
    }
}

static void base_plan(struct deltas *deltas, const struct delta_job *plan, const struct base *base,
                      const struct manifest *to)
{
    ARENA(arena);
    struct manifest from;
    struct error ignored = {0}; /* a version that this console never had */

    if (manifest_of(deltas->console, &arena, plan, base->version, &from, &ignored))
        pairs_plan(deltas, &from, to, base->devices >= deltas->thorough_after);
}

void plan_run(struct deltas *deltas, const struct delta_job *plan, struct error *err)
{
    ARENA(arena);
    struct base *bases = arena_array(&arena, VERSIONS_SEEN, sizeof *bases);
    struct manifest to;
    size_t count = 1;

    if (!manifest_of(deltas->console, &arena, plan, plan->version, &to, err))
        return;
    strcpy(bases[0].version, plan->from);
    if (!*plan->from)
        count = bases_find(deltas->console, plan, bases);
    for (size_t i = 0; i < count; i++)
        base_plan(deltas, plan, &bases[i], &to);
    for (size_t i = 0; i < to.file_count; i++)
        if (to.files[i].length >= DELTA_STORE_LEAST)
            deltas_want_packed(deltas, to.files[i].sha256);
}

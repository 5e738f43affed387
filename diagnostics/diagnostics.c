#include "diagnostics/diagnostics.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "diagnostics/assignment.h"
#include "diagnostics/campaign.h"
#include "diagnostics/capture.h"
#include "diagnostics/run.h"

#include <stdlib.h>
#include <string.h>

struct told {
    struct change change;
    struct told *next;
};
struct wished {
    int64_t device_id;
    struct wished *next;
};

struct diagnostics *diagnostics_open(struct db *db, struct repo *repo, int data_dirfd,
                                     const struct diagnostics_hooks *hooks, struct error *err)
{
    struct diagnostics *diagnostics = calloc(1, sizeof *diagnostics);

    if (!diagnostics)
        abort();
    *diagnostics = (struct diagnostics){
        .db = db, .repo = repo, .hooks = *hooks, .captures_dirfd = -1, .quota = CAPTURE_QUOTA_DEFAULT};
    if (folder_make(data_dirfd, "captures", 0700, err))
        diagnostics->captures_dirfd = folder_open_beneath(data_dirfd, "captures", err);
    size_t swept;
    if (diagnostics->captures_dirfd >= 0 && capture_sweep(diagnostics, &swept, err)) {
        if (swept)
            log_event(LOG_WARNING, "captures_swept", "folders=%zu", swept);
        return diagnostics;
    }
    diagnostics_close(diagnostics);
    return NULL;
}

void diagnostics_close(struct diagnostics *diagnostics)
{
    if (!diagnostics)
        return;
    fd_close(&diagnostics->captures_dirfd);
    free(diagnostics);
}

void diagnostics_zone(const struct diagnostics *diagnostics, int64_t device_id, char name[ZONE_NAME_SIZE])
{
    *name = '\0';
    if (diagnostics->hooks.zone)
        diagnostics->hooks.zone(diagnostics->hooks.context, device_id, name);
    if (!*name)
        strcpy(name, "UTC");
}

bool diagnostics_offered(const struct diagnostics *diagnostics, struct db_conn *conn, const char *product,
                         const char *image, const char *version, struct error *err)
{
    const struct diagnostics_hooks *hooks = &diagnostics->hooks;

    return !hooks->offered || hooks->offered(hooks->context, conn, product, image, version, err);
}

/* --- acts
 * ---------------------------------------------------------------------------------------------------------
 */

bool act_begin(struct act *act, struct diagnostics *diagnostics, const char *operator_name, struct error *err)
{
    act->diagnostics = diagnostics;
    act->operator_name = operator_name;
    act->first = NULL;
    act->wished = NULL;
    act->last = &act->first;
    act->conn = db_write(diagnostics->db, err);
    if (!act->conn)
        return false;
    arena_init(&act->arena);
    return true;
}

bool act_changed(struct act *act, const struct change *change, struct error *err)
{
    struct diagnostics_hooks *hooks = &act->diagnostics->hooks;
    struct told *told = arena_alloc(&act->arena, sizeof *told);

    told->change = *change;
    told->change.operator_name = act->operator_name;
    *act->last = told;
    act->last = &told->next;
    return !hooks->written || hooks->written(hooks->context, act->conn, &told->change, err);
}

void act_wish(struct act *act, int64_t device_id)
{
    struct wished *wished = arena_alloc(&act->arena, sizeof *wished);

    *wished = (struct wished){device_id, act->wished};
    act->wished = wished;
}

bool act_end(struct act *act, bool good, struct error *err)
{
    struct diagnostics_hooks *hooks = &act->diagnostics->hooks;

    if (good)
        good = db_commit(act->conn, err);
    else
        db_done(act->conn);
    for (struct told *told = act->first; good && told; told = told->next)
        if (hooks->told)
            hooks->told(hooks->context, &told->change);
    for (struct wished *wished = act->wished; good && wished; wished = wished->next)
        if (hooks->wish)
            hooks->wish(hooks->context, wished->device_id);
    arena_end(&act->arena);
    return good;
}

/* --- the step
 * ----------------------------------------------------------------------------------------------------- */

#define STEP_MS                                                                                              \
    15 /* a step gives the database's writer back after that, with the rest left for the next one */

struct open_run {
    int64_t campaign, number;
    bool filling, ended;
    struct open_run *next;
};

/* Runs whose time has come, that may have a free place, or that are being made or ended slice by slice. */
static bool runs_open(struct diagnostics *diagnostics, struct arena *arena, struct open_run **runs,
                      struct error *err)
{
    DB_DONE(conn) = db_read(diagnostics->db, err);

    *runs = NULL;
    if (!conn)
        return false;
    struct db_query *query = db_query(
        conn, "SELECT r.campaign_id, r.number, r.filled IS NOT NULL, r.ended_by IS NOT NULL FROM run r"
              " JOIN campaign c ON c.id = r.campaign_id WHERE r.state IN ('scheduled', 'running', 'paused')"
              " AND (r.filled IS NOT NULL OR (r.ended_by IS NOT NULL AND r.looked >= 0)"
              " OR (c.state IN ('scheduled', 'active') AND ((r.state = 'scheduled' AND r.starts_at <= :now)"
              " OR EXISTS (SELECT 1 FROM run_count k WHERE k.campaign_id = r.campaign_id AND k.run_number = "
              "r.number"
              " AND k.state = 'queued' AND k.count > 0))))");
    db_bind_integer(query, ":now", clock_now());
    while (db_step(query)) {
        struct open_run *run = arena_alloc(arena, sizeof *run);

        *run = (struct open_run){db_integer(query, 0), db_integer(query, 1), db_integer(query, 2) != 0,
                                 db_integer(query, 3) != 0, *runs};
        *runs = run;
    }
    return db_end(query, err);
}

static bool slice(struct diagnostics *diagnostics, const struct open_run *run, bool *more, struct error *err)
{
    struct act act;
    bool good;

    *more = false;
    if (!act_begin(&act, diagnostics, NULL, err))
        return false;
    if (run->ended)
        good = run_abort_more(&act, run->campaign, run->number, more, err);
    else if (run->filling)
        good = run_fill(&act, run->campaign, run->number, err);
    else
        good = run_advance_more(&act, run->campaign, run->number, clock_now(), more, err);
    return act_end(&act, good, err);
}

bool diagnostics_step(struct diagnostics *diagnostics, struct error *err)
{
    ARENA(arena);
    struct open_run *runs;
    int64_t ends_ms = clock_boot_ms() + STEP_MS;

    if (!campaign_step(diagnostics, clock_now(), err) || !assignment_step(diagnostics, clock_now(), err) ||
        !runs_open(diagnostics, &arena, &runs, err))
        return false;
    for (; runs; runs = runs->next) {
        bool more = true;

        while (more) {
            if (!slice(diagnostics, runs, &more, err))
                return false;
            more = more && clock_boot_ms() < ends_ms;
        }
    }
    return true;
}

#include "diagnostics/diagnostics.h"

#include "base/clock.h"
#include "base/file.h"
#include "diagnostics/assignment.h"
#include "diagnostics/campaign.h"
#include "diagnostics/capture.h"
#include "diagnostics/run.h"

#include <stdlib.h>

struct told {
    struct change change;
    struct told *next;
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
    if (diagnostics->captures_dirfd >= 0)
        return diagnostics;
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

/* --- acts
 * ---------------------------------------------------------------------------------------------------------
 */

bool act_begin(struct act *act, struct diagnostics *diagnostics, const char *operator_name, struct error *err)
{
    act->diagnostics = diagnostics;
    act->operator_name = operator_name;
    act->first = NULL;
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
    arena_end(&act->arena);
    return good;
}

/* --- the step
 * ----------------------------------------------------------------------------------------------------- */

struct open_run {
    int64_t campaign, number;
    struct open_run *next;
};

/* Runs whose time has come or that may have a free place. */
static bool runs_open(struct diagnostics *diagnostics, struct arena *arena, struct open_run **runs,
                      struct error *err)
{
    DB_DONE(conn) = db_read(diagnostics->db, err);

    *runs = NULL;
    if (!conn)
        return false;
    struct db_query *query = db_query(
        conn,
        "SELECT r.campaign_id, r.number FROM run r WHERE (r.state = 'scheduled' AND r.starts_at <= :now)"
        " OR (r.state IN ('scheduled', 'running') AND EXISTS (SELECT 1 FROM assignment a"
        " WHERE a.campaign_id = r.campaign_id AND a.run_number = r.number AND a.state = 'queued'))");
    db_bind_integer(query, ":now", clock_now());
    while (db_step(query)) {
        struct open_run *run = arena_alloc(arena, sizeof *run);

        *run = (struct open_run){db_integer(query, 0), db_integer(query, 1), *runs};
        *runs = run;
    }
    return db_end(query, err);
}

static bool advance_one(struct diagnostics *diagnostics, const struct open_run *run, struct error *err)
{
    struct act act;

    if (!act_begin(&act, diagnostics, NULL, err))
        return false;
    return act_end(&act, run_advance(&act, run->campaign, run->number, clock_now(), err), err);
}

bool diagnostics_step(struct diagnostics *diagnostics, struct error *err)
{
    ARENA(arena);
    struct open_run *runs;

    if (!campaign_step(diagnostics, clock_now(), err) || !assignment_step(diagnostics, clock_now(), err) ||
        !runs_open(diagnostics, &arena, &runs, err))
        return false;
    for (; runs; runs = runs->next)
        if (!advance_one(diagnostics, runs, err))
            return false;
    return true;
}

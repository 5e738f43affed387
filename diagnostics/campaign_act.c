/* What people do to a campaign: pause it, resume it, end it, bring devices back, let them stay longer. */
#include "diagnostics/campaign_parts.h"

#include "base/clock.h"

typedef bool each_run(struct act *act, int64_t campaign, int64_t number, const struct reason *reason,
                      struct error *err);

static bool runs_do(struct act *act, int64_t id, each_run *do_one, const struct reason *reason,
                    struct error *err)
{
    int64_t numbers[CAMPAIGN_RUNS_MOST];
    size_t count;

    if (!campaign_runs(act->conn, id, numbers, CAMPAIGN_RUNS_MOST, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!do_one(act, id, numbers[i], reason, err))
            return false;
    return true;
}

static bool resume_one(struct act *act, int64_t id, int64_t number, const struct reason *reason,
                       struct error *err)
{
    (void)reason;
    return run_resume(act, id, number, clock_now(), err);
}

static bool abort_one(struct act *act, int64_t id, int64_t number, const struct reason *reason,
                      struct error *err)
{
    (void)reason;
    return run_abort(act, id, number, err);
}

static bool advance_one(struct act *act, int64_t id, int64_t number, const struct reason *reason,
                        struct error *err)
{
    (void)reason;
    return run_advance(act, id, number, clock_now(), err);
}

bool campaign_hold(struct act *act, int64_t id, const struct reason *reason, struct error *err)
{
    enum campaign_state state;

    if (!campaign_state(act->conn, id, &state, err))
        return false;
    return state == CAMPAIGN_PAUSED ||
           (campaign_set(act, id, CAMPAIGN_PAUSED, reason, err) && runs_do(act, id, run_pause, reason, err));
}

bool campaign_pause(struct diagnostics *diagnostics, int64_t id, const char *operator_name, const char *why,
                    struct error *err)
{
    const struct reason reason = {"person", why ? why : "paused by a person"};
    struct act act;

    return act_begin(&act, diagnostics, operator_name, err) &&
           act_end(&act, campaign_hold(&act, id, &reason, err), err);
}

/* Running again, or still waiting for its time. */
static bool resumed_state(struct db_conn *conn, int64_t id, enum campaign_state *state, struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT 1 FROM run WHERE campaign_id = :id AND state IN ('running', 'finishing') LIMIT 1");

    db_bind_integer(query, ":id", id);
    *state = db_step(query) ? CAMPAIGN_ACTIVE : CAMPAIGN_SCHEDULED;
    return db_end(query, err);
}

static bool resume(struct act *act, int64_t id, const char *why, struct error *err)
{
    enum campaign_state state;
    const struct reason reason = {"person", why};

    if (!campaign_state(act->conn, id, &state, err))
        return false;
    if (state != CAMPAIGN_PAUSED)
        return error_set(err, ERROR_CONFLICT, "the campaign is %s: only a paused one can be resumed",
                         campaign_lifecycle.states[state].name);
    return runs_do(act, id, resume_one, NULL, err) && resumed_state(act->conn, id, &state, err) &&
           campaign_set(act, id, state, why ? &reason : NULL, err) &&
           runs_do(act, id, advance_one, NULL, err) && campaign_over(act, id, err);
}

bool campaign_resume(struct diagnostics *diagnostics, int64_t id, const char *operator_name, const char *why,
                     struct error *err)
{
    struct act act;

    return act_begin(&act, diagnostics, operator_name, err) && act_end(&act, resume(&act, id, why, err), err);
}

bool campaign_end(struct diagnostics *diagnostics, int64_t id, const char *operator_name, struct error *err)
{
    struct act act;
    enum campaign_state state;

    if (!act_begin(&act, diagnostics, operator_name, err))
        return false;
    bool good = campaign_state(act.conn, id, &state, err);
    if (good && state != CAMPAIGN_ENDED)
        good = campaign_set(&act, id, CAMPAIGN_ENDED, NULL, err) && runs_do(&act, id, abort_one, NULL, err);
    return act_end(&act, good, err);
}

/* --- single runs and devices
 * --------------------------------------------------------------------------------------------- */

bool campaign_return(struct diagnostics *diagnostics, int64_t id, int64_t run, const int64_t *device_ids,
                     size_t count, const char *operator_name, const char *why, struct error *err)
{
    const struct reason reason = {"returned", why ? why : "asked back by a person"};
    const struct change change = {
        .noun = CHANGE_RUN, .campaign = id, .run = run, .to = "return_now", .reason = reason.text};
    struct act act;

    if (!act_begin(&act, diagnostics, operator_name, err))
        return false;
    bool good = device_ids ? run_return(&act, id, run, device_ids, count, &reason, err)
                           : run_abort(&act, id, run, err);
    return act_end(&act, good && act_changed(&act, &change, err), err);
}

/* What the image's signers allow. */
static bool longest(struct diagnostics *diagnostics, int64_t id, int64_t duration_s, struct error *err)
{
    ARENA(arena);
    struct image image;
    DB_DONE(conn) = db_read(diagnostics->db, err);
    const char *product = NULL, *name = NULL, *version = NULL;

    if (!conn)
        return false;
    struct db_query *query = db_query(conn, "SELECT product, image, version FROM campaign WHERE id = :id");
    db_bind_integer(query, ":id", id);
    if (db_step(query)) {
        product = db_text_copy(query, 0, &arena);
        name = db_text_copy(query, 1, &arena);
        version = db_text_copy(query, 2, &arena);
    }
    if (!db_end(query, err))
        return false;
    if (!product)
        return error_set(err, ERROR_MISSING, "there is no campaign %lld", (long long)id);
    return image_find(diagnostics->repo, conn, &arena, product, name, version, &image, err) &&
           image_allows(&image, duration_s, NULL, err);
}

/* What waits for a second person stays as it is shown to that person. */
static bool is_agreed(struct db_conn *conn, int64_t id, struct error *err)
{
    enum campaign_state state;

    return campaign_state(conn, id, &state, err) &&
           (state != CAMPAIGN_DRAFT ||
            error_set(err, ERROR_CONFLICT,
                      "campaign %lld waits for approval: end it, and make one that runs longer",
                      (long long)id));
}

bool campaign_extend(struct diagnostics *diagnostics, int64_t id, int64_t run, const int64_t *device_ids,
                     size_t count, int64_t duration_s, const char *operator_name, struct error *err)
{
    struct act act;

    if (!longest(diagnostics, id, duration_s, err) || !act_begin(&act, diagnostics, operator_name, err))
        return false;
    const struct change change = {.noun = CHANGE_RUN,
                                  .campaign = id,
                                  .run = run,
                                  .to = "extend",
                                  .reason = arena_printf(&act.arena, "to %lld s", (long long)duration_s)};
    return act_end(&act,
                   is_agreed(act.conn, id, err) &&
                       run_extend(&act, id, run, device_ids, count, duration_s, err) &&
                       act_changed(&act, &change, err),
                   err);
}

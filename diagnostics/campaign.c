#include "diagnostics/campaign_parts.h"

#include "base/clock.h"
#include "base/text.h"

static const struct lifecycle_state states[] = {
    [CAMPAIGN_DRAFT] = {"draft", STATE(CAMPAIGN_SCHEDULED) | STATE(CAMPAIGN_ACTIVE) | STATE(CAMPAIGN_ENDED),
                        false},
    [CAMPAIGN_SCHEDULED] = {"scheduled",
                            STATE(CAMPAIGN_ACTIVE) | STATE(CAMPAIGN_PAUSED) | STATE(CAMPAIGN_ENDED), false},
    [CAMPAIGN_ACTIVE] = {"active", STATE(CAMPAIGN_PAUSED) | STATE(CAMPAIGN_ENDED), false},
    [CAMPAIGN_PAUSED] = {"paused", STATE(CAMPAIGN_SCHEDULED) | STATE(CAMPAIGN_ACTIVE) | STATE(CAMPAIGN_ENDED),
                         false},
    [CAMPAIGN_ENDED] = {"ended", 0, true},
};
const struct lifecycle campaign_lifecycle = {"the campaign", states, sizeof states / sizeof *states};

bool campaign_state(struct db_conn *conn, int64_t id, enum campaign_state *state, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT state FROM campaign WHERE id = :id");
    int found = -1;

    db_bind_integer(query, ":id", id);
    if (db_step(query))
        lifecycle_find(&campaign_lifecycle, db_text(query, 0), &found);
    if (!db_end(query, err))
        return false;
    *state = (enum campaign_state)found;
    return found >= 0 || error_set(err, ERROR_MISSING, "there is no campaign %lld", (long long)id);
}

bool campaign_set(struct act *act, int64_t id, enum campaign_state to, const struct reason *reason,
                  struct error *err)
{
    enum campaign_state from;

    if (!campaign_state(act->conn, id, &from, err))
        return false;
    if (from == to)
        return true;
    if (!lifecycle_check(&campaign_lifecycle, from, to, err))
        return false;
    struct db_query *query = db_query(
        act->conn,
        "UPDATE campaign SET state = :to, since = :now, state_reason_code = :code, state_reason = :text,"
        " next_at = CASE WHEN :to = 'ended' THEN NULL ELSE next_at END WHERE id = :id AND state = :from");
    db_bind_text(query, ":to", states[to].name);
    db_bind_text(query, ":from", states[from].name);
    db_bind_integer(query, ":now", clock_now());
    db_bind_text(query, ":code", reason ? reason->code : NULL);
    db_bind_text(query, ":text", reason ? reason->text : NULL);
    db_bind_integer(query, ":id", id);
    const struct change change = {.noun = CHANGE_CAMPAIGN,
                                  .campaign = id,
                                  .from = states[from].name,
                                  .to = states[to].name,
                                  .reason = reason && reason->text ? arena_strdup(&act->arena, reason->text)
                                                                   : NULL};
    return db_run(query, NULL, err) && act_changed(act, &change, err);
}

bool campaign_begun(struct act *act, int64_t id, struct error *err)
{
    enum campaign_state state;

    if (!campaign_state(act->conn, id, &state, err))
        return false;
    return state != CAMPAIGN_SCHEDULED || campaign_set(act, id, CAMPAIGN_ACTIVE, NULL, err);
}

bool campaign_runs(struct db_conn *conn, int64_t id, int64_t *numbers, size_t most, size_t *count,
                   struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT number FROM run WHERE campaign_id = :id AND state NOT IN ('completed', 'aborted',"
              " 'expired') ORDER BY number");

    *count = 0;
    db_bind_integer(query, ":id", id);
    while (*count < most && db_step(query))
        numbers[(*count)++] = db_integer(query, 0);
    return db_end(query, err);
}

static bool next_comes(struct db_conn *conn, int64_t id, bool *comes, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT next_at IS NOT NULL FROM campaign WHERE id = :id");

    db_bind_integer(query, ":id", id);
    *comes = db_step(query) && db_integer(query, 0);
    return db_end(query, err);
}

bool campaign_over(struct act *act, int64_t id, struct error *err)
{
    int64_t number;
    size_t count;
    bool comes;

    if (!campaign_runs(act->conn, id, &number, 1, &count, err) || !next_comes(act->conn, id, &comes, err))
        return false;
    return count || comes || campaign_set(act, id, CAMPAIGN_ENDED, NULL, err);
}

bool campaign_wants(struct db_conn *conn, const char *product, const char *image, const char *version)
{
    struct error err = {0};
    struct db_query *query =
        db_query(conn, "SELECT 1 FROM campaign WHERE product = :product AND image = :image"
                       " AND version = :version AND state <> 'ended' LIMIT 1");
    db_bind_text(query, ":product", product);
    db_bind_text(query, ":image", image);
    db_bind_text(query, ":version", version);
    bool wants = db_step(query);
    return !db_end(query, &err) || wants;
}

/* --- creating
 * ----------------------------------------------------------------------------------------------------- */

static void plan_bind(struct db_query *query, const struct campaign_plan *plan,
                      const struct campaign_draft *draft)
{
    bool repeats = draft->schedule.repeat != REPEAT_NEVER;

    db_bind_text(query, ":product", plan->product);
    db_bind_text(query, ":image", plan->image);
    db_bind_integer(query, ":duration", plan->duration_s);
    db_bind_integer(query, ":at", draft->schedule.at);
    db_bind_text(query, ":at_local", repeats ? plan->words.at : NULL);
    db_bind_text(query, ":window", plan->words.window);
    db_bind_text(query, ":repeat", plan->words.repeat);
    db_bind_text(query, ":until", plan->words.until);
    db_bind_integer(query, ":occurrences", plan->occurrences);
    db_bind_integer(query, ":parallel", plan->parallel);
    db_bind_text(query, ":max_failures", plan->max_failures);
    db_bind_integer(query, ":device_deadline",
                    plan->device_deadline_s ? plan->device_deadline_s : CAMPAIGN_DEVICE_DEADLINE_S);
    db_bind_text(query, ":filter", plan->filter);
    db_bind_text(query, ":ticket", plan->ticket);
    db_bind_text(query, ":reason", plan->reason);
    db_bind_integer(query, ":devices", (int64_t)plan->device_count);
    db_bind_text(query, ":by", plan->operator_name);
}

static void draft_bind(struct db_query *query, const struct campaign_draft *draft)
{
    const struct image_limits *limits = &draft->image.manifest.limits;

    db_bind_text(query, ":version", draft->image.manifest.version);
    db_bind_text(query, ":mode", limits->mode);
    db_bind_integer(query, ":grace", limits->grace_s);
    db_bind_integer(query, ":output", draft->max_output);
    db_bind_text(query, ":collect", draft->collect);
    db_bind_text(query, ":redact", draft->redact);
    db_bind_text(query, ":params", draft->params);
    db_bind_text(query, ":blackout", draft->blackout);
    db_bind_integer(query, ":approval", draft->approvals);
}

static bool campaign_insert(struct act *act, const struct campaign_plan *plan,
                            const struct campaign_draft *draft, int64_t now, int64_t *id, struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "INSERT INTO campaign (product, image, version, state, since, mode, duration_s, grace_s, "
                   "max_output, collect,"
                   " params, at, parallel, filter, ticket, reason, created_at, created_by, devices, redact, "
                   "window, repeat,"
                   " at_local, until, occurrences, blackout, max_failures, approval,"
                   " device_deadline_s) VALUES (:product, "
                   ":image, :version, :state,"
                   " :now, :mode, :duration, :grace, :output, :collect, :params, nullif(:at, 0), "
                   "nullif(:parallel, 0), :filter,"
                   " :ticket, :reason, :now, :by, :devices, :redact, :window, :repeat, :at_local, :until,"
                   " nullif(:occurrences, 0), :blackout, :max_failures, :approval, :device_deadline)");

    plan_bind(query, plan, draft);
    draft_bind(query, draft);
    db_bind_text(query, ":state", states[CAMPAIGN_DRAFT].name);
    db_bind_integer(query, ":now", now);
    if (!db_run(query, NULL, err))
        return false;
    *id = db_last_id(act->conn);
    const struct change change = {
        .noun = CHANGE_CAMPAIGN, .campaign = *id, .to = states[CAMPAIGN_DRAFT].name, .reason = plan->reason};
    return act_changed(act, &change, err) && zones_store(draft->zones, act, *id, err);
}

/* The first run, and when the second one comes. */
static bool first_run(struct act *act, int64_t id, const struct campaign_plan *plan,
                      const struct campaign_draft *draft, struct error *err)
{
    return run_add(act, id, 1, &draft->first, plan->device_ids, plan->device_count, err) &&
           campaign_next_note(act, id, &draft->schedule, draft->zones, draft->first.day, 1, err);
}

/* What is due now begins. */
static bool campaign_begin(struct act *act, int64_t id, int64_t start, int64_t now, struct error *err)
{
    return campaign_set(act, id, start > now ? CAMPAIGN_SCHEDULED : CAMPAIGN_ACTIVE, NULL, err) &&
           run_advance(act, id, 1, now, err);
}

/* An older image is in the signed metadata only while somebody wants it: the draft does, so that it is listed
 * before a device looks for it. */
static bool list_image(struct diagnostics *diagnostics, const struct campaign_plan *plan,
                       const struct campaign_draft *draft, int64_t id, struct error *err)
{
    ARENA(arena);

    return repo_resign(diagnostics->repo, plan->product, plan->operator_name,
                       arena_printf(&arena, "%s/%s: campaign %lld with %s", plan->product, plan->image,
                                    (long long)id, draft->image.manifest.version),
                       err);
}

static bool create_in_two(struct diagnostics *diagnostics, const struct campaign_plan *plan,
                          const struct campaign_draft *draft, int64_t now, int64_t *id, struct error *err)
{
    bool waits = draft->approvals > 1;
    struct act act;

    if (!act_begin(&act, diagnostics, plan->operator_name, err) ||
        !act_end(&act,
                 campaign_insert(&act, plan, draft, now, id, err) &&
                     (!waits || (first_run(&act, *id, plan, draft, err) && run_untime(&act, *id, 1, err))),
                 err) ||
        (!draft->image.listed && !list_image(diagnostics, plan, draft, *id, err)))
        return false;
    return waits || (act_begin(&act, diagnostics, plan->operator_name, err) &&
                     act_end(&act,
                             first_run(&act, *id, plan, draft, err) &&
                                 campaign_begin(&act, *id, draft->first.start, now, err),
                             err));
}

bool campaign_create(struct diagnostics *diagnostics, const struct campaign_plan *plan, int64_t *id,
                     struct error *err)
{
    ARENA(arena);
    ZONES(zones);
    struct campaign_draft draft = {.zones = &zones};
    struct act act;
    int64_t now = clock_now();

    zones_begin(&zones, &arena);
    if (!campaign_draft(diagnostics, &arena, plan, now, &draft, err))
        return false;
    if (!draft.image.listed || draft.approvals > 1)
        return create_in_two(diagnostics, plan, &draft, now, id, err);
    if (!act_begin(&act, diagnostics, plan->operator_name, err))
        return false;
    return act_end(&act,
                   campaign_insert(&act, plan, &draft, now, id, err) &&
                       first_run(&act, *id, plan, &draft, err) &&
                       campaign_begin(&act, *id, draft.first.start, now, err),
                   err);
}

/* --- the second person
 * -------------------------------------------------------------------------------------------- */

static bool may_approve(struct act *act, int64_t id, struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "SELECT created_by, state = 'draft' AND approval = 2 AND approved_by IS NULL FROM campaign"
                   " WHERE id = :id");
    const char *by = NULL;
    bool waits = false;

    db_bind_integer(query, ":id", id);
    if (db_step(query)) {
        by = db_text_copy(query, 0, &act->arena);
        waits = db_integer(query, 1) != 0;
    }
    if (!db_end(query, err))
        return false;
    if (!by)
        return error_set(err, ERROR_MISSING, "there is no campaign %lld", (long long)id);
    if (!waits)
        return error_set(err, ERROR_CONFLICT, "campaign %lld does not wait for approval", (long long)id);
    return !string_is(by, act->operator_name) ||
           error_set(err, ERROR_DENIED, "%s made campaign %lld: another person must approve it", by,
                     (long long)id);
}

static bool approval_note(struct act *act, int64_t id, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "UPDATE campaign SET approved_by = :by, approved_at = :now WHERE id = :id");

    db_bind_text(query, ":by", act->operator_name);
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":id", id);
    return db_run(query, NULL, err);
}

/* It may have been asked for long ago: when its first run is, is thought over. */
static bool approve(struct act *act, int64_t id, struct error *err)
{
    ZONES(zones);
    struct schedule schedule;
    struct occurrence first;
    int64_t now = clock_now();

    zones_begin(&zones, &act->arena);
    if (!may_approve(act, id, err) || !approval_note(act, id, err) ||
        !campaign_schedule(act->conn, &act->arena, id, &schedule, err) ||
        !zones_load(&zones, act->conn, id, err))
        return false;
    if (!schedule_occurrence(&schedule, zones.open, zones.count, 0, now, &first))
        return error_set(err, ERROR_CONFLICT, "campaign %lld has no date left", (long long)id);
    return run_retime(act, id, 1, &first, err) &&
           campaign_next_note(act, id, &schedule, &zones, first.day, 1, err) &&
           campaign_begin(act, id, first.start, now, err);
}

bool campaign_approve(struct diagnostics *diagnostics, int64_t id, const char *operator_name,
                      struct error *err)
{
    struct act act;

    return act_begin(&act, diagnostics, operator_name, err) && act_end(&act, approve(&act, id, err), err);
}

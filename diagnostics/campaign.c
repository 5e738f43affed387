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
                       " AND version = :version AND state <> 'ended'"
                       " AND (approval = 1 OR approved_by IS NOT NULL) LIMIT 1");
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

/* Who must agree may have been decided anew since the plan was looked at: a campaign that is made before is
 * one that the second signature finds, one that is made after asks for it. */
static bool still_needs(struct act *act, const struct campaign_plan *plan, int approvals, struct error *err)
{
    const struct diagnostics_hooks *hooks = &act->diagnostics->hooks;
    int needed = 1;

    if (hooks->approvals && !hooks->approvals(hooks->context, act->conn, plan->product, &needed, err))
        return false;
    return needed == approvals ||
           error_set(err, ERROR_CONFLICT,
                     "how many people must agree was changed meanwhile for %s: try again", plan->product);
}

static bool campaign_insert(struct act *act, const struct campaign_plan *plan,
                            const struct campaign_draft *draft, int64_t now, int64_t *id, struct error *err)
{
    if (!still_needs(act, plan, draft->approvals, err))
        return false;
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

bool campaign_begin(struct act *act, int64_t id, int64_t start, int64_t now, struct error *err)
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
    struct image image;
    const char *version = draft->image.manifest.version;

    if (!repo_resign(diagnostics->repo, plan->product, plan->operator_name,
                     arena_printf(&arena, "%s/%s: campaign %lld with %s", plan->product, plan->image,
                                  (long long)id, version),
                     err))
        return false;
    DB_DONE(conn) = db_read(diagnostics->db, err);
    if (!conn ||
        !image_find(diagnostics->repo, conn, &arena, plan->product, plan->image, version, &image, err))
        return false;
    return image.listed || error_set(err, ERROR_CONFLICT,
                                     "%s/%s %s cannot be listed: it was withdrawn, or two people sign now",
                                     plan->product, plan->image, version);
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
        (!waits && !draft->image.listed && !list_image(diagnostics, plan, draft, *id, err)))
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

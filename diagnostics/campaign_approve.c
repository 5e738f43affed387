/* The second person. The approval is noted first, then signed for, then the campaign begins: what a crash
 * cuts off after the first is finished by the step, as nothing that was agreed to is forgotten. */
#include "diagnostics/campaign_parts.h"

#include "base/clock.h"
#include "base/text.h"

struct approval {
    int64_t id;
    const char *product, *image, *version;
    const char *made_by, *approved_by; /* approved_by NULL: nobody yet */
    const char *author;                /* who published the version; NULL: it is not there */
    bool waits;                        /* it is a draft that needs two people */
    bool signed_by_two;                /* the version stands in a list that both keys signed */
};

static bool signed_by_two(struct db_conn *conn, struct approval *approval, bool listed, struct error *err)
{
    int signatures;

    if (!repo_signed_by(conn, approval->product, &signatures, err))
        return false;
    approval->signed_by_two = listed && signatures > 1;
    return true;
}

static bool approval_read(struct db_conn *conn, struct arena *arena, int64_t id, struct approval *approval,
                          struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT c.product, c.image, c.version, c.created_by, c.approved_by, c.state = 'draft' AND"
              " c.approval = 2, v.author, coalesce(v.listed, 0) FROM campaign c LEFT JOIN versions v"
              " ON v.product = c.product AND v.asset = c.image AND v.version = c.version WHERE c.id = :id");
    bool found, listed = false;

    *approval = (struct approval){.id = id};
    db_bind_integer(query, ":id", id);
    found = db_step(query);
    if (found) {
        approval->product = db_text_copy(query, 0, arena);
        approval->image = db_text_copy(query, 1, arena);
        approval->version = db_text_copy(query, 2, arena);
        approval->made_by = db_text_copy(query, 3, arena);
        approval->approved_by = db_text_copy(query, 4, arena);
        approval->waits = db_integer(query, 5) != 0;
        approval->author = db_text_copy(query, 6, arena);
        listed = db_integer(query, 7) != 0;
    }
    if (!db_end(query, err))
        return false;
    if (!found)
        return error_set(err, ERROR_MISSING, "there is no campaign %lld", (long long)id);
    return signed_by_two(conn, approval, listed, err);
}

static bool may_approve(const struct approval *approval, const char *operator_name, struct error *err)
{
    if (!approval->waits || approval->approved_by)
        return error_set(err, ERROR_CONFLICT, "campaign %lld does not wait for approval",
                         (long long)approval->id);
    if (string_is(approval->made_by, operator_name))
        return error_set(err, ERROR_DENIED, "%s made campaign %lld: another person must approve it",
                         operator_name, (long long)approval->id);
    return approval->signed_by_two || !string_is(approval->author, operator_name) ||
           error_set(err, ERROR_DENIED,
                     "%s published %s %s, which nobody has approved yet: another person must approve it",
                     operator_name, approval->image, approval->version);
}

/* Is there a time left for it? It may have been asked for long ago. */
static bool first_find(struct act *act, int64_t id, struct schedule *schedule, struct zones *zones,
                       int64_t now, struct occurrence *first, struct error *err)
{
    return campaign_schedule(act->conn, &act->arena, id, schedule, err) &&
           zones_load(zones, act->conn, id, err) &&
           (schedule_occurrence(schedule, zones->open, zones->count, 0, now, first) ||
            error_set(err, ERROR_CONFLICT, "campaign %lld has no date left", (long long)id));
}

/* Who approves, or that it waits again (`by` NULL), and the audit of it. */
static bool approval_note(struct act *act, const struct approval *approval, const char *by, const char *why,
                          struct error *err)
{
    const struct change change = {.noun = CHANGE_CAMPAIGN,
                                  .campaign = approval->id,
                                  .to = by ? "approve" : "await approval",
                                  .reason = why};
    struct db_query *query =
        db_query(act->conn, "UPDATE campaign SET approved_by = :by, approved_at = CASE WHEN :by IS NOT NULL"
                            " THEN :now END WHERE id = :id AND state = 'draft'");

    db_bind_text(query, ":by", by);
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":id", approval->id);
    return db_run(query, NULL, err) && act_changed(act, &change, err);
}

static bool agree(struct act *act, struct arena *arena, int64_t id, struct approval *approval,
                  struct error *err)
{
    ZONES(zones);
    struct schedule schedule;
    struct occurrence first;

    zones_begin(&zones, &act->arena);
    return approval_read(act->conn, arena, id, approval, err) &&
           may_approve(approval, act->operator_name, err) &&
           diagnostics_offered(act->diagnostics, act->conn, approval->product, approval->image,
                               approval->version, err) &&
           first_find(act, id, &schedule, &zones, clock_now(), &first, err) &&
           approval_note(
               act, approval, act->operator_name,
               arena_printf(&act->arena, "%s/%s %s", approval->product, approval->image, approval->version),
               err);
}

/* Another thread may have done it, or a person ended it meanwhile. */
static bool begin(struct act *act, int64_t id, struct error *err)
{
    ZONES(zones);
    struct approval approval;
    struct schedule schedule;
    struct occurrence first;
    int64_t now = clock_now();

    zones_begin(&zones, &act->arena);
    if (!approval_read(act->conn, &act->arena, id, &approval, err))
        return false;
    if (!approval.waits || !approval.approved_by)
        return true;
    return first_find(act, id, &schedule, &zones, now, &first, err) && run_retime(act, id, 1, &first, err) &&
           campaign_next_note(act, id, &schedule, &zones, first.day, 1, err) &&
           campaign_begin(act, id, first.start, now, err);
}

/* What could not be signed or has no time left waits for approval again; `err` says why, and stays. */
static void take_back(struct diagnostics *diagnostics, const struct approval *approval,
                      const struct error *err)
{
    struct error failed = {0};
    struct act act;

    if (act_begin(&act, diagnostics, NULL, &failed))
        act_end(&act, approval_note(&act, approval, NULL, arena_strdup(&act.arena, err->text), &failed),
                &failed);
}

static bool sign_and_begin(struct diagnostics *diagnostics, const struct approval *approval, const char *by,
                           struct error *err)
{
    ARENA(arena);
    struct act act;
    const char *words = arena_printf(&arena, "%s/%s: %s approved for campaign %lld", approval->product,
                                     approval->image, approval->version, (long long)approval->id);

    if (repo_approve(diagnostics->repo, approval->product, approval->image, approval->version, by, words,
                     err) &&
        act_begin(&act, diagnostics, by, err) && act_end(&act, begin(&act, approval->id, err), err))
        return true;
    take_back(diagnostics, approval, err);
    return false;
}

bool campaign_approve(struct diagnostics *diagnostics, int64_t id, const char *operator_name,
                      struct error *err)
{
    ARENA(arena);
    struct approval approval;
    struct act act;

    return act_begin(&act, diagnostics, operator_name, err) &&
           act_end(&act, agree(&act, &arena, id, &approval, err), err) &&
           sign_and_begin(diagnostics, &approval, operator_name, err);
}

bool campaign_approved(struct diagnostics *diagnostics, int64_t id, struct error *err)
{
    ARENA(arena);
    struct approval approval;
    struct db_conn *conn = db_read(diagnostics->db, err);

    if (!conn)
        return false;
    bool good = approval_read(conn, &arena, id, &approval, err);
    db_done(conn);
    return good &&
           (!approval.approved_by || sign_and_begin(diagnostics, &approval, approval.approved_by, err));
}

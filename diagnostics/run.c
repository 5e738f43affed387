#include "diagnostics/run.h"

#include "base/clock.h"
#include "base/text.h"
#include "diagnostics/campaign.h"
#include "diagnostics/run_parts.h"

#include <string.h>

static const struct lifecycle_state states[] = {
    [RUN_SCHEDULED] = {"scheduled",
                       STATE(RUN_RUNNING) | STATE(RUN_PAUSED) | STATE(RUN_FINISHING) | STATE(RUN_COMPLETED) |
                           STATE(RUN_ABORTED) | STATE(RUN_EXPIRED),
                       false},
    [RUN_RUNNING] = {"running",
                     STATE(RUN_PAUSED) | STATE(RUN_FINISHING) | STATE(RUN_COMPLETED) | STATE(RUN_ABORTED) |
                         STATE(RUN_EXPIRED),
                     false},
    [RUN_PAUSED] = {"paused",
                    STATE(RUN_SCHEDULED) | STATE(RUN_RUNNING) | STATE(RUN_FINISHING) | STATE(RUN_COMPLETED) |
                        STATE(RUN_ABORTED) | STATE(RUN_EXPIRED),
                    false},
    [RUN_FINISHING] = {"finishing", STATE(RUN_COMPLETED) | STATE(RUN_ABORTED), false},
    [RUN_COMPLETED] = {"completed", 0, true},
    [RUN_ABORTED] = {"aborted", 0, true},
    [RUN_EXPIRED] = {"expired", 0, true},
};
const struct lifecycle run_lifecycle = {"the run", states, sizeof states / sizeof *states};

bool standing_row(struct act *act, int64_t campaign, int64_t number, struct standing *at, struct error *err)
{
    struct db_query *query = db_query(
        act->conn,
        "SELECT r.state, r.starts_at, r.start_before, r.ended_by IS NOT NULL, coalesce(c.parallel, 0),"
        " c.duration_s, c.grace_s, r.filled IS NOT NULL, r.begun, r.forgiven, r.looked, c.max_failures,"
        " c.state IN ('draft', 'paused', 'ended'), coalesce(r.day, 0)"
        " FROM run r JOIN campaign c ON c.id = r.campaign_id"
        " WHERE r.campaign_id = :campaign AND r.number = :number");
    int state = -1;

    *at = (struct standing){0};
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    if (db_step(query)) {
        lifecycle_find(&run_lifecycle, db_text(query, 0), &state);
        *at = (struct standing){.starts_at = db_integer(query, 1),
                                .start_before = db_integer(query, 2),
                                .ended = db_integer(query, 3) != 0,
                                .parallel = db_integer(query, 4),
                                .duration_s = db_integer(query, 5),
                                .grace_s = db_integer(query, 6),
                                .filling = db_integer(query, 7) != 0,
                                .begun = db_integer(query, 8),
                                .forgiven = db_integer(query, 9),
                                .looked = db_integer(query, 10),
                                .max_failures = db_text_copy(query, 11, &act->arena),
                                .waits_for_people = db_integer(query, 12) != 0,
                                .day = db_integer(query, 13)};
    }
    at->state = (enum run_state)state;
    if (!db_end(query, err))
        return false;
    return state >= 0 || error_set(err, ERROR_MISSING, "campaign %lld has no run %lld", (long long)campaign,
                                   (long long)number);
}

static void standing_count(struct standing *at, enum assignment_state state, int64_t count)
{
    switch (state) {
    case ASSIGNMENT_QUEUED:
        at->queued += count;
        break;
    case ASSIGNMENT_WAITING:
    case ASSIGNMENT_OFFERED:
    case ASSIGNMENT_SCHEDULED_ON_DEVICE:
    case ASSIGNMENT_DOWNLOADING:
    case ASSIGNMENT_VERIFYING:
        at->ahead += count;
        break;
    case ASSIGNMENT_RUNNING:
    case ASSIGNMENT_CANCELLING:
        at->on += count;
        break;
    case ASSIGNMENT_REVERTING:
    case ASSIGNMENT_UPLOADING:
        at->after += count;
        break;
    default:
        at->over += count;
    }
}

bool standing_read(struct act *act, int64_t campaign, int64_t number, struct standing *at, struct error *err)
{
    if (!standing_row(act, campaign, number, at, err) ||
        !assignment_counts(act->conn, campaign, number, at->counts, err))
        return false;
    for (int state = 0; state < ASSIGNMENT_STATES; state++)
        standing_count(at, (enum assignment_state)state, at->counts[state]);
    return true;
}

bool run_set(struct act *act, int64_t campaign, int64_t number, enum run_state to,
             const struct reason *reason, struct error *err)
{
    struct standing at;

    if (!standing_row(act, campaign, number, &at, err))
        return false;
    if (at.state == to)
        return true;
    if (!lifecycle_check(&run_lifecycle, at.state, to, err))
        return false;
    struct db_query *query = db_query(
        act->conn, "UPDATE run SET state = :to, since = :now, reason_code = :code, reason_text = :text"
                   " WHERE campaign_id = :campaign AND number = :number AND state = :from");
    db_bind_text(query, ":to", states[to].name);
    db_bind_text(query, ":from", states[at.state].name);
    db_bind_integer(query, ":now", clock_now());
    db_bind_text(query, ":code", reason ? reason->code : NULL);
    db_bind_text(query, ":text", reason ? reason->text : NULL);
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    const struct change change = {.noun = CHANGE_RUN,
                                  .campaign = campaign,
                                  .run = number,
                                  .from = states[at.state].name,
                                  .to = states[to].name,
                                  .reason = reason && reason->text ? arena_strdup(&act->arena, reason->text)
                                                                   : NULL};
    return db_run(query, NULL, err) && act_changed(act, &change, err);
}

bool run_begun(struct act *act, int64_t campaign, int64_t number, struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "UPDATE run SET begun = begun + 1 WHERE campaign_id = :campaign AND number = :number");

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    return db_run(query, NULL, err);
}

void ids_add(struct arena *arena, struct ids *ids, const char *text)
{
    if (ids->count == ids->room) {
        const char **grown = arena_array(arena, ids->room * 2 + 16, sizeof *grown);

        if (ids->room)
            memcpy(grown, ids->texts, ids->room * sizeof *grown);
        ids->room = ids->room * 2 + 16;
        ids->texts = grown;
    }
    ids->texts[ids->count++] = arena_strdup(arena, text);
}

/* --- places
 * ------------------------------------------------------------------------------------------------------- */

#define LOOK_MOST 1000 /* queued devices that are looked at for places in one go */

/* What one look at the queue is about. */
struct look {
    int64_t campaign, number, now, limit; /* limit: free places */
    struct spans spans;
    struct ids ids;      /* that get a place */
    struct span *span;   /* of each of them */
    int64_t rows, until; /* rows seen; the last device id that was looked at */
};

static void look_at(struct look *look, struct db_query *query, struct act *act, const struct standing *at)
{
    struct span span = spans_of(&look->spans, db_integer(query, 1));
    bool blocked = db_integer(query, 2) != 0;
    /* With few places they go first to those whose time comes first. */
    bool early = at->parallel && span.start > look->now && span.start > at->starts_at;

    if (span.start < look->now)
        span.start = look->now;
    if (blocked || early || span.before <= look->now)
        return;
    look->span[look->ids.count] = span;
    ids_add(&act->arena, &look->ids, db_text(query, 0));
}

/* Queued assignments whose device is in no other campaign at that time and whose order has room: one that
 * falls out of an order is cancelled by the device that holds it. They are looked at in turns, so that those
 * that cannot begin yet do not hide the others. */
static bool queue_look(struct act *act, struct look *look, const struct standing *at, struct error *err)
{
    struct db_query *query = db_query(
        act->conn,
        "SELECT a.id, a.device_id, EXISTS (SELECT 1 FROM assignment o JOIN campaign oc ON oc.id = "
        "o.campaign_id"
        " WHERE o.device_id = a.device_id AND o.id <> a.id AND (o.state IN ('running', 'reverting', "
        "'cancelling')"
        " OR (o.state IN ('waiting', 'offered', 'scheduled_on_device', 'downloading', 'verifying')"
        " AND o.start_after < max(a.start_after, :now) + :length AND o.start_after"
        " + coalesce(o.duration_s, oc.duration_s) + oc.grace_s + 60 > max(a.start_after, :now)))) OR"
        " (SELECT count(*) FROM assignment o WHERE o.device_id = a.device_id AND o.state IN ('waiting',"
        " 'offered', 'scheduled_on_device', 'downloading', 'verifying', 'running', 'reverting', 'uploading'))"
        " >= :room"
        " FROM assignment a WHERE a.campaign_id = :campaign AND a.run_number = :number AND a.state = 'queued'"
        " AND a.device_id > :looked ORDER BY a.device_id LIMIT :most");

    look->span = arena_array(&act->arena, (size_t)look->limit, sizeof *look->span);
    look->until = at->looked;
    db_bind_integer(query, ":campaign", look->campaign);
    db_bind_integer(query, ":number", look->number);
    db_bind_integer(query, ":now", look->now);
    db_bind_integer(query, ":length", at->duration_s + at->grace_s + 60);
    db_bind_integer(query, ":looked", at->looked);
    db_bind_integer(query, ":most", LOOK_MOST);
    db_bind_integer(query, ":room", ORDER_RUNS_MOST);
    while ((int64_t)look->ids.count < look->limit && db_step(query)) {
        look->rows++;
        look->until = db_integer(query, 1);
        look_at(look, query, act, at);
    }
    /* At the end of the queue the next look begins at its front. */
    if ((int64_t)look->ids.count < look->limit && look->rows < LOOK_MOST)
        look->until = 0;
    return db_end(query, err);
}

static bool looked_note(struct act *act, const struct look *look, int64_t before, struct error *err)
{
    if (look->until == before)
        return true;
    struct db_query *query = db_query(
        act->conn, "UPDATE run SET looked = :looked WHERE campaign_id = :campaign AND number = :number");
    db_bind_integer(query, ":looked", look->until);
    db_bind_integer(query, ":campaign", look->campaign);
    db_bind_integer(query, ":number", look->number);
    return db_run(query, NULL, err);
}

static bool places_fill(struct act *act, struct look *look, struct error *err)
{
    for (size_t i = 0; i < look->ids.count; i++) {
        struct assignment assignment;

        if (!assignment_find(act->conn, &act->arena, look->ids.texts[i], &assignment, err) ||
            !assignment_place(act, &assignment, look->span[i].start, look->span[i].before, err))
            return false;
    }
    return true;
}

/* Gives free places: a queued assignment goes into its device's order. */
static bool places_give(struct act *act, int64_t campaign, int64_t number, const struct standing *at,
                        int64_t now, bool *more, struct error *err)
{
    int64_t taken = at->ahead + at->on, limit = at->parallel ? at->parallel - taken : at->queued;
    struct look look = {campaign, number, now, limit < RUN_SLICE ? limit : RUN_SLICE, {0}, {0}, NULL, 0, 0};

    if (limit <= 0 || !at->queued || at->ended || at->waits_for_people || at->state == RUN_PAUSED ||
        at->start_before <= now)
        return true;
    if (!spans_begin(&look.spans, act, campaign, at->day, now, err))
        return false;
    bool good = queue_look(act, &look, at, err) && looked_note(act, &look, at->looked, err) &&
                places_fill(act, &look, err);
    *more = (look.ids.count == RUN_SLICE && limit > RUN_SLICE) || look.rows == LOOK_MOST;
    spans_end(&look.spans);
    return good;
}

/* --- advancing
 * ---------------------------------------------------------------------------------------------------- */

/* Where a run stands by what its assignments are. */
static enum run_state state_by(const struct standing *at, int64_t now)
{
    if (at->filling && !at->ended)
        return at->state;
    if (!at->queued && !at->ahead && !at->on && !at->after)
        return at->ended ? RUN_ABORTED : at->begun || now < at->start_before ? RUN_COMPLETED : RUN_EXPIRED;
    if (!at->queued && !at->ahead && !at->on)
        return RUN_FINISHING;
    if (at->state == RUN_SCHEDULED && at->starts_at <= now && !at->waits_for_people)
        return RUN_RUNNING;
    return at->state;
}

/* More failures than the campaign bears? With the sentence. */
static const char *too_many(struct arena *arena, const struct standing *at)
{
    int64_t failures = at->counts[ASSIGNMENT_FAILED] - at->forgiven, total = 0, most;
    size_t size = at->max_failures ? strlen(at->max_failures) : 0;

    for (int state = 0; state < ASSIGNMENT_STATES; state++)
        total += at->counts[state];
    if (!size || failures <= 0)
        return NULL;
    bool percent = at->max_failures[size - 1] == '%';
    if (!int64_parse(arena_copy(arena, at->max_failures, size - percent), 0, INT32_MAX, &most) ||
        (percent ? failures * 100 <= most * total : failures <= most))
        return NULL;
    return arena_printf(arena, "%lld of %lld devices failed%s, at most %s may", (long long)failures,
                        (long long)total, at->forgiven ? " since it was resumed" : "", at->max_failures);
}

static bool hold(struct act *act, int64_t campaign, int64_t number, const char *why, struct error *err)
{
    const struct reason reason = {"max_failures", why};

    return run_pause(act, campaign, number, &reason, err) && campaign_hold(act, campaign, &reason, err);
}

bool run_advance_more(struct act *act, int64_t campaign, int64_t number, int64_t now, bool *more,
                      struct error *err)
{
    struct standing at;

    *more = false;
    if (!standing_read(act, campaign, number, &at, err))
        return false;
    if (states[at.state].is_end) /* a late report amends an assignment, not its run */
        return true;
    enum run_state to = state_by(&at, now);
    if (to == RUN_RUNNING && !campaign_begun(act, campaign, err))
        return false;
    if (to != at.state && lifecycle_allows(&run_lifecycle, at.state, to) &&
        !run_set(act, campaign, number, to, NULL, err))
        return false;
    if (states[to].is_end)
        return campaign_over(act, campaign, err);
    at.state = to;
    const char *why = to == RUN_RUNNING && !at.ended ? too_many(&act->arena, &at) : NULL;
    if (why)
        return hold(act, campaign, number, why, err);
    return places_give(act, campaign, number, &at, now, more, err);
}

bool run_advance(struct act *act, int64_t campaign, int64_t number, int64_t now, struct error *err)
{
    bool more;

    return run_advance_more(act, campaign, number, now, &more, err);
}

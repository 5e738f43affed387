/* What people do to a run: end it, pause it, bring devices back, let them stay longer. */
#include "diagnostics/run_parts.h"

#include "base/clock.h"

/* --- ending
 * ------------------------------------------------------------------------------------------------------- */

/* The next slice of devices that are not on their way back; *until: the last of them, -1 at the end. */
static bool open_find(struct act *act, int64_t campaign, int64_t number, int64_t looked, struct ids *ids,
                      int64_t *until, struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "SELECT id, device_id FROM assignment WHERE campaign_id = :campaign"
                   " AND run_number = :number AND device_id > :looked AND state NOT IN ('done', 'skipped',"
                   " 'failed', 'cancelled', 'reverting', 'uploading', 'cancelling')"
                   " ORDER BY device_id LIMIT :most");
    int64_t last = -1;

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    db_bind_integer(query, ":looked", looked);
    db_bind_integer(query, ":most", RUN_SLICE);
    while (db_step(query)) {
        ids_add(&act->arena, ids, db_text(query, 0));
        last = db_integer(query, 1);
    }
    *until = ids->count < RUN_SLICE ? -1 : last;
    return db_end(query, err);
}

static bool looked_set(struct act *act, int64_t campaign, int64_t number, int64_t looked, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "UPDATE run SET looked = :looked, filled = NULL WHERE campaign_id = :campaign"
                            " AND number = :number");

    db_bind_integer(query, ":looked", looked);
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    return db_run(query, NULL, err);
}

bool run_abort_more(struct act *act, int64_t campaign, int64_t number, bool *more, struct error *err)
{
    static const struct reason ended = {"ended", "the campaign was ended by a person"};
    struct ids ids = {0};
    struct standing at;
    int64_t until;

    *more = false;
    if (!standing_row(act, campaign, number, &at, err))
        return false;
    if (run_lifecycle.states[at.state].is_end || at.looked < 0)
        return true;
    if (!open_find(act, campaign, number, at.looked, &ids, &until, err))
        return false;
    for (size_t i = 0; i < ids.count; i++) {
        struct assignment assignment;

        if (!assignment_find(act->conn, &act->arena, ids.texts[i], &assignment, err) ||
            !assignment_cancel(act, &assignment, &ended, err))
            return false;
    }
    *more = until >= 0;
    return looked_set(act, campaign, number, until, err) &&
           run_advance(act, campaign, number, clock_now(), err);
}

bool run_abort(struct act *act, int64_t campaign, int64_t number, struct error *err)
{
    bool more;
    int64_t changes = 0;
    struct db_query *query =
        db_query(act->conn, "UPDATE run SET ended_by = :by WHERE campaign_id = :campaign AND number = :number"
                            " AND ended_by IS NULL AND state NOT IN ('completed', 'aborted', 'expired')");

    db_bind_text(query, ":by", act->operator_name ? act->operator_name : "system");
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    struct standing at;

    if (!db_run(query, &changes, err) || !standing_row(act, campaign, number, &at, err))
        return false;
    return !changes ||
           (looked_set(act, campaign, number, 0, err) && run_abort_more(act, campaign, number, &more, err));
}

/* --- pausing
 * ------------------------------------------------------------------------------------------------------ */

/* Devices that have not begun: whether they may is said by their orders. */
static bool wishes_touch(struct act *act, int64_t campaign, int64_t number, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "SELECT device_id FROM assignment WHERE campaign_id = :campaign"
                            " AND run_number = :number AND state IN ('waiting', 'scheduled_on_device')");

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    while (db_step(query))
        act_wish(act, db_integer(query, 0));
    return db_end(query, err);
}

bool run_pause(struct act *act, int64_t campaign, int64_t number, const struct reason *reason,
               struct error *err)
{
    struct standing at;

    if (!standing_row(act, campaign, number, &at, err))
        return false;
    if ((at.state != RUN_SCHEDULED && at.state != RUN_RUNNING) || at.ended)
        return true;
    return run_set(act, campaign, number, RUN_PAUSED, reason, err) &&
           wishes_touch(act, campaign, number, err);
}

bool run_resume(struct act *act, int64_t campaign, int64_t number, int64_t now, struct error *err)
{
    struct standing at;

    if (!standing_read(act, campaign, number, &at, err))
        return false;
    if (at.state != RUN_PAUSED)
        return true;
    struct db_query *query = db_query(
        act->conn, "UPDATE run SET forgiven = :failed WHERE campaign_id = :campaign AND number = :number");
    db_bind_integer(query, ":failed", at.counts[ASSIGNMENT_FAILED]);
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    return db_run(query, NULL, err) &&
           run_set(act, campaign, number, at.starts_at <= now ? RUN_RUNNING : RUN_SCHEDULED, NULL, err) &&
           wishes_touch(act, campaign, number, err);
}

/* --- single devices
 * ------------------------------------------------------------------------------------------------ */

bool run_return(struct act *act, int64_t campaign, int64_t number, const int64_t *device_ids, size_t count,
                const struct reason *reason, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct assignment assignment;

        if (!assignment_of_device(act->conn, &act->arena, campaign, number, device_ids[i], &assignment,
                                  err) ||
            !assignment_cancel(act, &assignment, reason, err))
            return false;
    }
    return run_advance(act, campaign, number, clock_now(), err);
}

/* Devices that can still be told to stay longer. */
#define EXTENDABLE                                                                                           \
    (STATE(ASSIGNMENT_QUEUED) | STATE(ASSIGNMENT_WAITING) | STATE(ASSIGNMENT_OFFERED) |                      \
     STATE(ASSIGNMENT_SCHEDULED_ON_DEVICE) | STATE(ASSIGNMENT_DOWNLOADING) | STATE(ASSIGNMENT_VERIFYING) |   \
     STATE(ASSIGNMENT_RUNNING))

static bool extend_one(struct act *act, struct assignment *assignment, int64_t duration_s, size_t *extended,
                       struct error *err)
{
    if (!(EXTENDABLE & STATE(assignment->state)))
        return true;
    if (duration_s < assignment->duration_s)
        return error_set(err, ERROR_CONFLICT,
                         "a device runs for %lld s already: a run can be extended, not shortened",
                         (long long)assignment->duration_s);
    if (duration_s == assignment->duration_s)
        return true;
    ++*extended;
    act_wish(act, assignment->device_id);
    return assignment_extend(act, assignment, duration_s, err);
}

static bool all_devices(struct act *act, int64_t campaign, int64_t number, struct ids *ids, struct error *err)
{
    struct db_query *query = db_query(
        act->conn,
        "SELECT id FROM assignment WHERE campaign_id = :campaign AND run_number = :number AND state IN"
        " ('queued', 'waiting', 'offered', 'scheduled_on_device', 'downloading', 'verifying', 'running')");

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    while (db_step(query))
        ids_add(&act->arena, ids, db_text(query, 0));
    return db_end(query, err);
}

bool run_extend(struct act *act, int64_t campaign, int64_t number, const int64_t *device_ids, size_t count,
                int64_t duration_s, struct error *err)
{
    struct ids ids = {0};
    struct standing at;
    size_t extended = 0;

    if (!standing_row(act, campaign, number, &at, err) ||
        (!device_ids && !all_devices(act, campaign, number, &ids, err)))
        return false;
    for (size_t i = 0; i < (device_ids ? count : ids.count); i++) {
        struct assignment assignment;
        bool found = device_ids ? assignment_of_device(act->conn, &act->arena, campaign, number,
                                                       device_ids[i], &assignment, err)
                                : assignment_find(act->conn, &act->arena, ids.texts[i], &assignment, err);

        if (!found || !extend_one(act, &assignment, duration_s, &extended, err))
            return false;
    }
    return extended ||
           error_set(err, ERROR_CONFLICT, "no device is left that could stay longer than it does already");
}

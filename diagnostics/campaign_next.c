/* The runs of a campaign that repeats: made ahead, one after the other. */
#include "diagnostics/campaign_parts.h"

#include "base/clock.h"

#include <string.h>

bool campaign_schedule(struct db_conn *conn, struct arena *arena, int64_t id, struct schedule *schedule,
                       struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT at, window, repeat, at_local, until, blackout FROM campaign WHERE id = :id");
    struct schedule_words words = {0};
    const char *blackout = NULL;
    int64_t at = 0;

    db_bind_integer(query, ":id", id);
    if (db_step(query)) {
        at = db_integer(query, 0);
        words = (struct schedule_words){.window = db_text_copy(query, 1, arena),
                                        .repeat = db_text_copy(query, 2, arena),
                                        .at = db_text_copy(query, 3, arena),
                                        .until = db_text_copy(query, 4, arena)};
        blackout = db_text_copy(query, 5, arena);
    }
    if (!db_end(query, err))
        return false;
    if (!blackout)
        return error_set(err, ERROR_MISSING, "there is no campaign %lld", (long long)id);
    words.blackout = json_read(arena, blackout, strlen(blackout), &json_limits_small, err);
    if (!words.blackout || !schedule_read(arena, &words, schedule, err))
        return false;
    if (schedule->repeat == REPEAT_NEVER)
        schedule->at = at;
    return true;
}

static bool next_write(struct act *act, int64_t id, int64_t at, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "UPDATE campaign SET next_at = nullif(:at, 0) WHERE id = :id");

    db_bind_integer(query, ":at", at);
    db_bind_integer(query, ":id", id);
    return db_run(query, NULL, err);
}

static bool most_runs(struct db_conn *conn, int64_t id, int64_t *most, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT coalesce(occurrences, 0) FROM campaign WHERE id = :id");

    *most = 0;
    db_bind_integer(query, ":id", id);
    if (db_step(query))
        *most = db_integer(query, 0);
    return db_end(query, err);
}

bool campaign_next_note(struct act *act, int64_t id, const struct schedule *schedule,
                        const struct zones *zones, int64_t day, int64_t number, struct error *err)
{
    struct occurrence next;
    int64_t most;

    if (!most_runs(act->conn, id, &most, err))
        return false;
    bool comes = schedule->repeat != REPEAT_NEVER && (!most || number < most) &&
                 schedule_occurrence(schedule, zones->open, zones->count, day + 1, clock_now(), &next);
    return next_write(act, id, comes ? next.start : 0, err);
}

/* The newest run's number and date. */
static bool last_run(struct db_conn *conn, int64_t id, int64_t *number, int64_t *day, struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT number, coalesce(day, 0) FROM run WHERE campaign_id = :id ORDER BY number DESC LIMIT 1");

    *number = *day = 0;
    db_bind_integer(query, ":id", id);
    if (db_step(query)) {
        *number = db_integer(query, 0);
        *day = db_integer(query, 1);
    }
    return db_end(query, err);
}

/* Nobody could run it: held, so that a person sees why, instead of failing on every device each time. */
static bool withdrawn_hold(struct act *act, int64_t id, bool *held, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "SELECT product, image, version FROM campaign WHERE id = :id");
    struct error why = {0};

    db_bind_integer(query, ":id", id);
    *held = db_step(query) && !diagnostics_offered(act->diagnostics, act->conn, db_text(query, 0),
                                                   db_text(query, 1), db_text(query, 2), &why);
    if (!db_end(query, err))
        return false;
    if (why.kind && why.kind != ERROR_CONFLICT) {
        *err = why;
        return false;
    }
    const struct reason reason = {"withdrawn", arena_strdup(&act->arena, why.text)};
    return !*held || campaign_hold(act, id, &reason, err);
}

static bool next_make(struct act *act, int64_t id, int64_t now, struct error *err)
{
    ZONES(zones);
    bool held;
    struct schedule schedule;
    struct occurrence next;
    int64_t number, day;

    zones_begin(&zones, &act->arena);
    if (!withdrawn_hold(act, id, &held, err) || held)
        return held;
    if (!campaign_schedule(act->conn, &act->arena, id, &schedule, err) ||
        !zones_load(&zones, act->conn, id, err) || !last_run(act->conn, id, &number, &day, err))
        return false;
    /* What went by while nobody made runs is not made up for. */
    if (!schedule_occurrence(&schedule, zones.open, zones.count, day + 1, now, &next))
        return next_write(act, id, 0, err) && campaign_over(act, id, err);
    return run_add_again(act, id, number + 1, &next, err) &&
           campaign_next_note(act, id, &schedule, &zones, next.day, number + 1, err) &&
           run_advance(act, id, number + 1, now, err);
}

/* One each of what may be due, by its number; 0: none. */
static bool due_find(struct diagnostics *diagnostics, int64_t now, int64_t *draft, int64_t *approved,
                     int64_t *next, struct error *err)
{
    DB_DONE(conn) = db_read(diagnostics->db, err);

    *draft = *approved = *next = 0;
    if (!conn)
        return false;
    struct db_query *query = db_query(
        conn, "SELECT id FROM campaign WHERE state = 'draft' AND approval = 1 AND since < :before LIMIT 1");
    db_bind_integer(query, ":before", now - CAMPAIGN_DRAFT_S);
    if (db_step(query))
        *draft = db_integer(query, 0);
    if (!db_end(query, err))
        return false;
    query = db_query(conn, "SELECT id FROM campaign WHERE state = 'draft' AND approved_at < :before LIMIT 1");
    db_bind_integer(query, ":before", now - APPROVAL_REST_S);
    if (db_step(query))
        *approved = db_integer(query, 0);
    if (!db_end(query, err))
        return false;
    query = db_query(
        conn, "SELECT c.id FROM campaign c WHERE c.state IN ('scheduled', 'active') AND c.next_at IS NOT"
              " NULL AND (SELECT count(*) FROM run r WHERE r.campaign_id = c.id"
              " AND r.state = 'scheduled') < :ahead ORDER BY c.next_at LIMIT 1");
    db_bind_integer(query, ":ahead", CAMPAIGN_AHEAD_RUNS);
    if (db_step(query))
        *next = db_integer(query, 0);
    return db_end(query, err);
}

bool campaign_step(struct diagnostics *diagnostics, int64_t now, struct error *err)
{
    int64_t draft, approved, next;
    struct act act;

    if (!due_find(diagnostics, now, &draft, &approved, &next, err) ||
        (approved && !campaign_approved(diagnostics, approved, err)))
        return false;
    if (draft && (!act_begin(&act, diagnostics, NULL, err) ||
                  !act_end(&act, campaign_set(&act, draft, CAMPAIGN_ENDED, NULL, err), err)))
        return false;
    return !next ||
           (act_begin(&act, diagnostics, NULL, err) && act_end(&act, next_make(&act, next, now, err), err));
}

/* Stages of a rollout: who is in which, gates, and what follows what. */
#include "console/delivery/rollout_assignment.h"

#include "base/clock.h"
#include "base/text.h"
#include "console/delivery/withdraw.h"

#include <stdio.h>
#include <string.h>

#define TURNS_AT_ONCE 25 /* devices between two looks at the clock */
#define FOR_EVER INT64_MAX

/* --- shares
 * ------------------------------------------------------------------------------------------------------- */

static bool percent_read(const char *text, size_t size, int64_t *hundredths)
{
    char number[8];
    int64_t whole, part = 0;

    if (size < 2 || size > sizeof number)
        return false;
    memcpy(number, text, size - 1);
    number[size - 1] = '\0';
    char *dot = strchr(number, '.');
    if (dot) {
        *dot = '\0';
        size_t digits = strlen(dot + 1);
        if (digits < 1 || digits > 2 || strspn(dot + 1, "0123456789") != digits)
            return false;
        part = (dot[1] - '0') * 10 + (digits == 2 ? dot[2] - '0' : 0);
    }
    if (!int64_parse(number, 0, 100, &whole))
        return false;
    *hundredths = whole * 100 + part;
    return *hundredths <= 10000;
}

bool share_read(const char *text, int64_t *hundredths, int64_t *count, struct error *err)
{
    size_t size = text ? strlen(text) : 0;

    *hundredths = *count = 0;
    if (size && text[size - 1] == '%' ? percent_read(text, size, hundredths)
                                      : size && int64_parse(text, 0, INT32_MAX, count))
        return true;
    return error_set(err, ERROR_INPUT, "\"%.40s\" is no share: a percentage such as 5%% or a number",
                     text ? text : "");
}

bool rollout_shares_cut(const char *const *shares, size_t count, int64_t devices, int64_t *upto,
                        struct error *err)
{
    int64_t before_percent = 0, before_count = 0;

    if (count < 1 || count > ROLLOUT_STAGES_MOST)
        return error_set(err, ERROR_INPUT, "a rollout has 1 to %d stages", ROLLOUT_STAGES_MOST);
    for (size_t i = 0; i < count; i++) {
        int64_t hundredths, number;

        if (!share_read(shares[i], &hundredths, &number, err))
            return error_add(err, "stages");
        if (!hundredths && !number)
            return error_set(err, ERROR_INPUT, "stages: \"%s\" is nobody", shares[i]);
        if ((hundredths && hundredths <= before_percent) || (number && number <= before_count))
            return error_set(err, ERROR_INPUT,
                             "stages: each share is counted from the first device and is more than the one"
                             " before: \"%s\" is not",
                             shares[i]);
        before_percent = hundredths ? hundredths : before_percent;
        before_count = number ? number : before_count;
        int64_t to = number ? number : (devices * hundredths + 9999) / 10000;
        upto[i] = to > devices ? devices : to;
        if (i && upto[i] < upto[i - 1])
            upto[i] = upto[i - 1];
    }
    return true;
}

/* --- rows
 * ---------------------------------------------------------------------------------------------------------
 */

bool rollout_stage_add(struct rollout_act *act, int64_t rollout, int64_t number, const char *share,
                       int64_t devices, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "INSERT INTO rollout_stage (rollout_id, number, share, devices)"
                            " VALUES (:rollout, :number, :share, :devices)");

    db_bind_integer(query, ":rollout", rollout);
    db_bind_integer(query, ":number", number);
    db_bind_text(query, ":share", share);
    db_bind_integer(query, ":devices", devices);
    return db_run(query, NULL, err);
}

bool rollout_stage_find(struct db_conn *conn, struct arena *arena, int64_t rollout, int64_t number,
                        struct rollout_stage *stage, struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT number, devices, started_at, until, done_at, accepted, share FROM rollout_stage"
              " WHERE rollout_id = :rollout AND number = :number");

    *stage = (struct rollout_stage){0};
    db_bind_integer(query, ":rollout", rollout);
    db_bind_integer(query, ":number", number);
    if (db_step(query))
        *stage = (struct rollout_stage){.number = db_integer(query, 0),
                                        .devices = db_integer(query, 1),
                                        .started_at = db_integer(query, 2),
                                        .until = db_integer(query, 3),
                                        .done_at = db_integer(query, 4),
                                        .accepted = db_integer(query, 5),
                                        .share = db_text_copy(query, 6, arena)};
    return db_end(query, err);
}

bool rollout_stage_begin(struct rollout_act *act, struct rollout *rollout, int64_t number, int64_t now,
                         struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "UPDATE rollout_stage SET started_at = :now, until = nullif(:until, 0), done_at = NULL"
                   " WHERE rollout_id = :rollout AND number = :number");

    db_bind_integer(query, ":now", now);
    db_bind_integer(query, ":until", rollout->stage_deadline_s ? now + rollout->stage_deadline_s : 0);
    db_bind_integer(query, ":rollout", rollout->id);
    db_bind_integer(query, ":number", number);
    return db_run(query, NULL, err) && rollout_set_stage(act, rollout, number, err) &&
           rollout_note(act, rollout->id, "stage",
                        arena_printf(&act->arena, "stage %lld of %lld begins", (long long)number,
                                     (long long)rollout->stages),
                        err);
}

static bool stage_done(struct rollout_act *act, const struct rollout *rollout, int64_t now, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "UPDATE rollout_stage SET done_at = :now WHERE rollout_id = :rollout"
                            " AND number <= :number AND done_at IS NULL");

    db_bind_integer(query, ":now", now);
    db_bind_integer(query, ":rollout", rollout->id);
    db_bind_integer(query, ":number", rollout->stage);
    return db_run(query, NULL, err);
}

bool rollout_stage_accept(struct rollout_act *act, struct rollout *rollout, struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "UPDATE rollout_stage SET accepted = coalesce((SELECT c.devices FROM rollout_count c"
                   " WHERE c.rollout_id = rollout_stage.rollout_id AND c.stage = rollout_stage.number"
                   " AND c.state = 'failed'), 0),"
                   " until = CASE WHEN until IS NULL OR :deadline = 0 THEN until ELSE :now + :deadline END"
                   " WHERE rollout_id = :rollout AND number <= :number");

    db_bind_integer(query, ":deadline", rollout->stage_deadline_s);
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":rollout", rollout->id);
    db_bind_integer(query, ":number", rollout->stage);
    return db_run(query, NULL, err);
}

bool rollout_stage_grow(struct rollout_act *act, int64_t rollout, int64_t number, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "UPDATE rollout_stage SET devices = devices + 1, done_at = NULL"
                            " WHERE rollout_id = :rollout AND number = :number");

    db_bind_integer(query, ":rollout", rollout);
    db_bind_integer(query, ":number", number);
    return db_run(query, NULL, err);
}

/* --- gates
 * -------------------------------------------------------------------------------------------------------- */

/* Why the rollout may not go on by itself; code NULL: nothing. */
struct gate {
    const char *code, *text;
};

/* Those that had to move. */
static int64_t moved(const struct rollout_counts *counts)
{
    return rollout_counts_all(counts) - counts->of[RA_ALREADY_CURRENT] - counts->of[RA_SKIPPED] -
           counts->of[RA_SUPERSEDED];
}

static bool failures_gate(struct rollout_act *act, const struct rollout *rollout, int64_t number,
                          struct gate *gate, struct error *err)
{
    struct rollout_counts counts;
    struct rollout_stage stage;
    int64_t hundredths, most;

    if (!share_read(rollout->max_failures, &hundredths, &most, err) ||
        !rollout_stage_find(act->conn, &act->arena, rollout->id, number, &stage, err) ||
        !rollout_counts_read(act->conn, rollout->id, number, false, &counts, err))
        return false;
    bool percent = strchr(rollout->max_failures, '%') != NULL;
    int64_t failed = counts.of[RA_FAILED], beyond = failed - stage.accepted, all = moved(&counts);
    if (beyond <= 0 || (percent ? beyond * 10000 <= hundredths * all : beyond <= most))
        return true;
    gate->code = "max_failures";
    gate->text = arena_printf(&act->arena, "%lld of %lld devices of stage %lld failed%s; at most %s may",
                              (long long)failed, (long long)all, (long long)number,
                              stage.accepted ? arena_printf(&act->arena, " (%lld of them accepted before)",
                                                            (long long)stage.accepted)
                                             : "",
                              rollout->max_failures);
    return true;
}

static bool gates_look(struct rollout_act *act, const struct rollout *rollout, struct gate *gate,
                       struct error *err)
{
    *gate = (struct gate){0};
    for (int64_t number = 1; rollout->max_failures && number <= rollout->stage && !gate->code; number++)
        if (!failures_gate(act, rollout, number, gate, err))
            return false;
    return true;
}

static bool deadline_gate(struct rollout_act *act, const struct rollout *rollout, int64_t now,
                          struct gate *gate, struct error *err)
{
    struct rollout_counts counts;
    struct rollout_stage stage;

    if (!rollout->stage_deadline_s || gate->code)
        return true;
    if (!rollout_stage_find(act->conn, &act->arena, rollout->id, rollout->stage, &stage, err) ||
        !rollout_counts_read(act->conn, rollout->id, rollout->stage, false, &counts, err))
        return false;
    int64_t open = counts.of[RA_PENDING] + rollout_counts_moving(&counts);
    if (!stage.until || stage.until > now || !open)
        return true;
    gate->code = "stage_deadline";
    gate->text = arena_printf(&act->arena, "%lld of %lld devices of stage %lld are not there after %lld s",
                              (long long)open, (long long)moved(&counts), (long long)stage.number,
                              (long long)rollout->stage_deadline_s);
    return true;
}

static bool successes_gate(struct rollout_act *act, const struct rollout *rollout, struct gate *gate,
                           struct error *err)
{
    struct rollout_counts counts;
    struct rollout_stage stage;

    if (!rollout->min_successes || gate->code)
        return true;
    if (!rollout_stage_find(act->conn, &act->arena, rollout->id, rollout->stage, &stage, err) ||
        !rollout_counts_read(act->conn, rollout->id, rollout->stage, false, &counts, err))
        return false;
    int64_t all = moved(&counts), need = rollout->min_successes < all ? rollout->min_successes : all;
    if (counts.of[RA_APPLIED] + stage.accepted >= need)
        return true;
    gate->code = "min_successes";
    gate->text = arena_printf(&act->arena, "%lld of %lld devices of stage %lld succeeded; at least %lld must",
                              (long long)counts.of[RA_APPLIED], (long long)all, (long long)stage.number,
                              (long long)need);
    return true;
}

static bool roll_back_go(struct rollout_act *act, struct rollout *rollout, int64_t now, int64_t until_ms,
                         struct error *err);

/* A gate tripped. */
static bool trip(struct rollout_act *act, struct rollout *rollout, const struct gate *gate, int64_t now,
                 int64_t until_ms, struct error *err)
{
    if (!rollout->auto_roll_back)
        return rollout_set(act, rollout, ROLLOUT_HELD, 0, gate->code, gate->text, err);
    return rollout_set(act, rollout, ROLLOUT_ROLLING_BACK, 0, gate->code, gate->text, err) &&
           roll_back_go(act, rollout, now, until_ms, err);
}

/* --- turns
 * -------------------------------------------------------------------------------------------------------- */

typedef bool each(struct rollout_act *act, const struct rollout *rollout,
                  struct rollout_assignment *assignment, int64_t now, struct error *err);

/* Does it for assignments of one state until none is left, `most` are done, or it is `until_ms`. *left: some
 * are. */
static bool drain(struct rollout_act *act, const struct rollout *rollout, enum rollout_assignment_state state,
                  int64_t stage, int64_t before, int64_t most, int64_t until_ms, each *do_one, bool *left,
                  struct error *err)
{
    int64_t now = clock_now();

    while (most > 0) {
        struct rollout_assignments list;
        int64_t limit = most < TURNS_AT_ONCE ? most : TURNS_AT_ONCE;

        if (!rollout_assignments_in(act, rollout->id, state, stage, before, limit, &list, err))
            return false;
        if (!list.count)
            return true;
        for (size_t i = 0; i < list.count; i++)
            if (!do_one(act, rollout, &list.items[i], now, err))
                return false;
        most -= (int64_t)list.count;
        if (clock_boot_ms() >= until_ms) {
            *left = true;
            return true;
        }
    }
    return true;
}

/* Asks the next devices. Those that are skipped or already there take no place, so places are counted anew.
 */
static bool turns_give(struct rollout_act *act, const struct rollout *rollout, int64_t now, int64_t until_ms,
                       struct error *err)
{
    bool left = false;

    for (;;) {
        struct rollout_counts counts;

        if (!rollout_counts_read(act->conn, rollout->id, rollout->stage, true, &counts, err))
            return false;
        int64_t pending = counts.of[RA_PENDING];
        int64_t room = rollout->parallel ? rollout->parallel - rollout_counts_moving(&counts) : FOR_EVER;
        if (!pending || room <= 0 || left || clock_boot_ms() >= until_ms)
            return true;
        if (!drain(act, rollout, RA_PENDING, rollout->stage, now, room, until_ms, rollout_assignment_turn,
                   &left, err) ||
            !rollout_counts_read(act->conn, rollout->id, rollout->stage, true, &counts, err))
            return false;
        if (counts.of[RA_PENDING] == pending) /* they wait for their next try */
            return true;
    }
}

/* --- ending early
 * ------------------------------------------------------------------------------------------------- */

static bool skip_aborted(struct rollout_act *act, const struct rollout *rollout,
                         struct rollout_assignment *assignment, int64_t now, struct error *err)
{
    static const struct rollout_reason reason = {"aborted",
                                                 "the rollout was aborted before the device began"};

    (void)now;
    return rollout_assignment_leave(act, rollout, assignment, RA_SKIPPED, &reason, err);
}

static bool skip_back(struct rollout_act *act, const struct rollout *rollout,
                      struct rollout_assignment *assignment, int64_t now, struct error *err)
{
    static const struct rollout_reason reason = {"rolled_back",
                                                 "the rollout was rolled back before the device began"};

    (void)now;
    return rollout_assignment_leave(act, rollout, assignment, RA_SKIPPED, &reason, err);
}

static bool abort_go(struct rollout_act *act, struct rollout *rollout, int64_t until_ms, struct error *err)
{
    struct rollout_counts counts;
    bool left = false;

    if (!drain(act, rollout, RA_PENDING, rollout->stages, FOR_EVER, FOR_EVER, until_ms, skip_aborted, &left,
               err) ||
        (!left && !drain(act, rollout, RA_OFFERED, rollout->stages, FOR_EVER, FOR_EVER, until_ms,
                         skip_aborted, &left, err)) ||
        /* It only waits for its window: nothing has begun there. */
        (!left && rollout->window &&
         !drain(act, rollout, RA_DOWNLOADED, rollout->stages, FOR_EVER, FOR_EVER, until_ms, skip_aborted,
                &left, err)) ||
        !rollout_counts_read(act->conn, rollout->id, rollout->stages, true, &counts, err))
        return false;
    if (left || rollout_counts_moving(&counts) || counts.of[RA_CONFIRMING] || counts.of[RA_PENDING])
        return true;
    if (!rollout_assignments_give_back(act, rollout, until_ms, &left, err))
        return false;
    if (left)
        return true;
    const char *code = rollout->reason_code, *text = rollout->reason_text;
    return rollout_set(act, rollout, ROLLOUT_ABORTED, 0, code, text, err);
}

static bool roll_back_go(struct rollout_act *act, struct rollout *rollout, int64_t now, int64_t until_ms,
                         struct error *err)
{
    static const enum rollout_assignment_state touched[] = {
        RA_OFFERED, RA_DOWNLOADING, RA_DOWNLOADED, RA_UPDATING, RA_CONFIRMING, RA_APPLIED, RA_FAILED};
    struct rollout_counts counts;
    bool left = false;

    (void)now;
    if (!drain(act, rollout, RA_PENDING, rollout->stages, FOR_EVER, FOR_EVER, until_ms, skip_back, &left,
               err))
        return false;
    for (size_t i = 0; i < sizeof touched / sizeof *touched && !left; i++)
        if (!drain(act, rollout, touched[i], rollout->stages, FOR_EVER, FOR_EVER, until_ms,
                   rollout_assignment_back, &left, err))
            return false;
    if (left)
        return true;
    if (!rollout_counts_read(act->conn, rollout->id, rollout->stages, true, &counts, err))
        return false;
    if (counts.of[RA_ROLLING_BACK])
        return true;
    const char *code = rollout->reason_code, *text = rollout->reason_text;
    return rollout_set(act, rollout, ROLLOUT_ROLLED_BACK, 0, code, text, err);
}

/* --- going on
 * ------------------------------------------------------------------------------------------------------ */

static bool soaks_until(struct rollout_act *act, const struct rollout *rollout, int64_t *until,
                        struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "SELECT max(until) FROM rollout_assignment WHERE rollout_id = :rollout"
                            " AND state = 'confirming'");

    *until = 0;
    db_bind_integer(query, ":rollout", rollout->id);
    if (db_step(query))
        *until = db_integer(query, 0);
    return db_end(query, err);
}

static bool stays_open(const struct rollout *rollout, int64_t now)
{
    return rollout->late_joiners && rollout->ends_at > now;
}

/* All of the stage are over: *more says that the next began and is to be looked at. */
static bool stage_end(struct rollout_act *act, struct rollout *rollout, int64_t now, int64_t until_ms,
                      bool *more, struct error *err)
{
    struct gate gate = {0};
    struct rollout_stage next;

    if (!successes_gate(act, rollout, &gate, err))
        return false;
    if (gate.code)
        return trip(act, rollout, &gate, now, until_ms, err);
    if (!stage_done(act, rollout, now, err))
        return false;
    if (rollout->stage >= rollout->stages)
        return stays_open(rollout, now) || rollout_set(act, rollout, ROLLOUT_COMPLETED, 0, NULL, NULL, err);
    if (!rollout_stage_find(act->conn, &act->arena, rollout->id, rollout->stage + 1, &next, err))
        return false;
    if (rollout->approval && next.devices)
        return rollout_set(act, rollout, ROLLOUT_AWAITING_APPROVAL, 0, "approval",
                           arena_printf(&act->arena, "stage %lld of %lld (%lld devices) waits for approval",
                                        (long long)next.number, (long long)rollout->stages,
                                        (long long)next.devices),
                           err);
    *more = true;
    return (rollout->state == ROLLOUT_RUNNING ||
            rollout_set(act, rollout, ROLLOUT_RUNNING, 0, NULL, NULL, err)) &&
           rollout_stage_begin(act, rollout, next.number, now, err);
}

/* One look at a running rollout. */
static bool run_once(struct rollout_act *act, struct rollout *rollout, int64_t now, int64_t until_ms,
                     bool *more, struct error *err)
{
    struct rollout_counts counts;
    struct gate gate;
    int64_t until;

    *more = false;
    if (!gates_look(act, rollout, &gate, err) || !deadline_gate(act, rollout, now, &gate, err))
        return false;
    if (gate.code)
        return trip(act, rollout, &gate, now, until_ms, err);
    if (!turns_give(act, rollout, now, until_ms, err) ||
        !rollout_counts_read(act->conn, rollout->id, rollout->stage, true, &counts, err))
        return false;
    if (counts.of[RA_PENDING] || rollout_counts_moving(&counts))
        return rollout->state == ROLLOUT_RUNNING ||
               rollout_set(act, rollout, ROLLOUT_RUNNING, 0, NULL, NULL, err);
    if (!counts.of[RA_CONFIRMING])
        return stage_end(act, rollout, now, until_ms, more, err);
    if (rollout->state == ROLLOUT_SOAKING)
        return true;
    return soaks_until(act, rollout, &until, err) &&
           rollout_set(act, rollout, ROLLOUT_SOAKING, until, NULL, NULL, err);
}

static bool run(struct rollout_act *act, struct rollout *rollout, int64_t now, int64_t until_ms,
                struct error *err)
{
    bool more = true;

    while (more && (rollout->state == ROLLOUT_RUNNING || rollout->state == ROLLOUT_SOAKING))
        if (!run_once(act, rollout, now, until_ms, &more, err))
            return false;
    return true;
}

/* Its end date: what has not begun does not begin; nothing is left to begin: it goes on to its end. */
static bool end_date(struct rollout_act *act, struct rollout *rollout, int64_t now, struct error *err)
{
    struct rollout_counts counts;
    static const char text[] = "its end date came before every device's turn";

    if (!rollout->ends_at || rollout->ends_at > now || rollout->state == ROLLOUT_DRAFT ||
        !lifecycle_allows(&rollout_lifecycle, rollout->state, ROLLOUT_ABORTED))
        return true;
    if (rollout->state == ROLLOUT_SCHEDULED || !rollout->stage)
        return rollout_set(act, rollout, ROLLOUT_ABORTED, 0, "ended", text, err);
    if (!lifecycle_allows(&rollout_lifecycle, rollout->state, ROLLOUT_ABORTING))
        return true;
    if (!rollout_counts_read(act->conn, rollout->id, rollout->stages, true, &counts, err))
        return false;
    bool goes = rollout->state == ROLLOUT_RUNNING || rollout->state == ROLLOUT_SOAKING;
    if (goes && !counts.of[RA_PENDING])
        return true;
    return rollout_set(act, rollout, ROLLOUT_ABORTING, 0, "ended", text, err);
}

/* A withdrawn version never comes back: who has not begun with it does not begin. */
static bool withdrawn_end(struct rollout_act *act, struct rollout *rollout, struct error *err)
{
    enum rollout_state to = rollout->stage ? ROLLOUT_ABORTING : ROLLOUT_ABORTED;
    struct error why = {0};

    if (!lifecycle_allows(&rollout_lifecycle, rollout->state, to) ||
        withdrawn_check(act->conn, rollout->product, rollout->asset, rollout->version, &why))
        return true;
    if (why.kind == ERROR_CONFLICT)
        return rollout_set(act, rollout, to, 0, "withdrawn", arena_strdup(&act->arena, why.text), err);
    *err = why;
    return false;
}

/* Who waits for approval may fall back meanwhile. */
static bool wait_look(struct rollout_act *act, struct rollout *rollout, int64_t now, int64_t until_ms,
                      struct error *err)
{
    struct gate gate;

    return gates_look(act, rollout, &gate, err) &&
           (!gate.code || trip(act, rollout, &gate, now, until_ms, err));
}

bool rollout_begin(struct rollout_act *act, struct rollout *rollout, int64_t now, struct error *err)
{
    if (rollout->at > now)
        return rollout->state == ROLLOUT_SCHEDULED ||
               rollout_set(act, rollout, ROLLOUT_SCHEDULED, rollout->at, NULL, NULL, err);
    return rollout_set(act, rollout, ROLLOUT_RUNNING, 0, NULL, NULL, err) &&
           rollout_stage_begin(act, rollout, 1, now, err);
}

bool rollout_advance(struct rollout_act *act, int64_t id, int64_t now, int64_t ms, struct error *err)
{
    int64_t until_ms = clock_boot_ms() + ms;
    struct rollout rollout;

    if (!rollout_find(act->conn, &act->arena, id, &rollout, err) || !end_date(act, &rollout, now, err) ||
        !withdrawn_end(act, &rollout, err) ||
        (rollout.state == ROLLOUT_SCHEDULED && !rollout_begin(act, &rollout, now, err)))
        return false;
    switch (rollout.state) {
    case ROLLOUT_RUNNING:
    case ROLLOUT_SOAKING:
        return run(act, &rollout, now, until_ms, err);
    case ROLLOUT_AWAITING_APPROVAL:
        return wait_look(act, &rollout, now, until_ms, err);
    case ROLLOUT_ABORTING:
        return abort_go(act, &rollout, until_ms, err);
    case ROLLOUT_ROLLING_BACK:
        return roll_back_go(act, &rollout, now, until_ms, err);
    default:
        return true;
    }
}

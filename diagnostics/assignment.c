#include "diagnostics/assignment.h"

#include "base/clock.h"
#include "base/text.h"
#include "diagnostics/capture.h"
#include "diagnostics/run.h"

#include <string.h>

#define ENDS                                                                                                 \
    (STATE(ASSIGNMENT_DONE) | STATE(ASSIGNMENT_SKIPPED) | STATE(ASSIGNMENT_FAILED) |                         \
     STATE(ASSIGNMENT_CANCELLED))
#define BACK (STATE(ASSIGNMENT_REVERTING) | STATE(ASSIGNMENT_UPLOADING))
/* What a device that has the order may say next: reports are ordered, but a step may be over before it is
 * told. */
#define ON_DEVICE                                                                                            \
    (STATE(ASSIGNMENT_DOWNLOADING) | STATE(ASSIGNMENT_VERIFYING) | STATE(ASSIGNMENT_RUNNING) | BACK | ENDS)

static const struct lifecycle_state states[] = {
    [ASSIGNMENT_QUEUED] = {"queued",
                           STATE(ASSIGNMENT_WAITING) | STATE(ASSIGNMENT_SKIPPED) | STATE(ASSIGNMENT_FAILED) |
                               STATE(ASSIGNMENT_CANCELLED),
                           false},
    [ASSIGNMENT_WAITING] = {"waiting",
                            STATE(ASSIGNMENT_OFFERED) | STATE(ASSIGNMENT_SCHEDULED_ON_DEVICE) | ON_DEVICE,
                            false},
    [ASSIGNMENT_OFFERED] = {"offered", STATE(ASSIGNMENT_CANCELLING) | ON_DEVICE, false},
    [ASSIGNMENT_SCHEDULED_ON_DEVICE] = {"scheduled_on_device", STATE(ASSIGNMENT_CANCELLING) | ON_DEVICE,
                                        false},
    [ASSIGNMENT_DOWNLOADING] = {"downloading",
                                STATE(ASSIGNMENT_VERIFYING) | STATE(ASSIGNMENT_RUNNING) | BACK | ENDS |
                                    STATE(ASSIGNMENT_CANCELLING),
                                false},
    [ASSIGNMENT_VERIFYING] = {"verifying",
                              STATE(ASSIGNMENT_RUNNING) | BACK | ENDS | STATE(ASSIGNMENT_CANCELLING), false},
    [ASSIGNMENT_RUNNING] = {"running", BACK | ENDS | STATE(ASSIGNMENT_CANCELLING), false},
    [ASSIGNMENT_REVERTING] = {"reverting", STATE(ASSIGNMENT_UPLOADING) | ENDS, false},
    [ASSIGNMENT_UPLOADING] = {"uploading", ENDS, false},
    [ASSIGNMENT_CANCELLING] = {"cancelling", BACK | ENDS, false},
    [ASSIGNMENT_DONE] = {"done", 0, true},
    [ASSIGNMENT_SKIPPED] = {"skipped", 0, true},
    /* Only after failed(timed_out): a late report amends what silence made us believe. */
    [ASSIGNMENT_FAILED] = {"failed", STATE(ASSIGNMENT_RUNNING) | BACK | ENDS, true},
    [ASSIGNMENT_CANCELLED] = {"cancelled", 0, true},
};
const struct lifecycle assignment_lifecycle = {"the assignment", states, ASSIGNMENT_STATES};

/* How long each state may last in silence, in seconds, and from where that counts. */
enum patience_from {
    FROM_NOW,
    FROM_WINDOW /* the run's start_before */,
    FROM_DEADLINE, /* the image's end and grace */
    FROM_ORDER     /* now, as long as the campaign says */
};
static const struct {
    enum patience_from from;
    int64_t seconds;
} patience[ASSIGNMENT_STATES] = {
    [ASSIGNMENT_QUEUED] = {FROM_WINDOW, 0},      [ASSIGNMENT_WAITING] = {FROM_WINDOW, 0},
    [ASSIGNMENT_OFFERED] = {FROM_ORDER, 0},      [ASSIGNMENT_SCHEDULED_ON_DEVICE] = {FROM_WINDOW, 0},
    [ASSIGNMENT_DOWNLOADING] = {FROM_WINDOW, 0}, [ASSIGNMENT_VERIFYING] = {FROM_ORDER, 0},
    [ASSIGNMENT_RUNNING] = {FROM_DEADLINE, 30},  [ASSIGNMENT_REVERTING] = {FROM_NOW, 60},
    [ASSIGNMENT_UPLOADING] = {FROM_NOW, 3600},   [ASSIGNMENT_CANCELLING] = {FROM_NOW, 300},
};
#define LOST_S 600 /* from overdue to lost */

static int64_t deadline(const struct assignment *assignment, enum assignment_state state, int64_t now)
{
    if (states[state].is_end)
        return 0;
    switch (patience[state].from) {
    case FROM_WINDOW:
        return assignment->start_before + patience[state].seconds;
    case FROM_DEADLINE:
        return (assignment->ends_at ? assignment->ends_at : now + assignment->duration_s) +
               assignment->grace_s + patience[state].seconds;
    case FROM_ORDER:
        return now + assignment->device_deadline_s;
    default:
        return now + patience[state].seconds;
    }
}

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */

#define ASSIGNMENT_COLUMNS                                                                                   \
    "a.id, a.campaign_id, a.run_number, a.device_id, a.state, a.alarm, a.reason_code, a.since, a.until, "    \
    "a.start_after, a.started_at, a.ends_at, coalesce(a.start_before, r.start_before), c.grace_s,"           \
    " coalesce(a.duration_s, c.duration_s), c.window IS NOT NULL OR c.repeat IS NOT NULL, "                  \
    "c.device_deadline_s"                                                                                    \
    " FROM assignment a"                                                                                     \
    " JOIN campaign c ON c.id = a.campaign_id"                                                               \
    " JOIN run r ON r.campaign_id = a.campaign_id AND r.number = a.run_number"

static void row_read(struct db_query *query, struct arena *arena, struct assignment *assignment)
{
    int state = ASSIGNMENT_FAILED;

    lifecycle_find(&assignment_lifecycle, db_text(query, 4), &state);
    *assignment = (struct assignment){.campaign = db_integer(query, 1),
                                      .run = db_integer(query, 2),
                                      .device_id = db_integer(query, 3),
                                      .state = (enum assignment_state)state,
                                      .alarm = db_text_copy(query, 5, arena),
                                      .reason_code = db_text_copy(query, 6, arena),
                                      .since = db_integer(query, 7),
                                      .until = db_integer(query, 8),
                                      .start_after = db_integer(query, 9),
                                      .started_at = db_integer(query, 10),
                                      .ends_at = db_integer(query, 11),
                                      .start_before = db_integer(query, 12),
                                      .grace_s = db_integer(query, 13),
                                      .duration_s = db_integer(query, 14),
                                      .windowed = db_integer(query, 15) != 0,
                                      .device_deadline_s = db_integer(query, 16)};
    memcpy(assignment->id, db_text(query, 0), RUN_ID_TEXT);
}

bool assignment_find(struct db_conn *conn, struct arena *arena, const char *id, struct assignment *assignment,
                     struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT " ASSIGNMENT_COLUMNS " WHERE a.id = :id");

    db_bind_text(query, ":id", id);
    bool found = db_step(query);
    if (found)
        row_read(query, arena, assignment);
    if (!db_end(query, err))
        return false;
    return found || error_set(err, ERROR_MISSING, "there is no run %.32s on any device", id);
}

bool assignment_of_device(struct db_conn *conn, struct arena *arena, int64_t campaign, int64_t run,
                          int64_t device_id, struct assignment *assignment, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT " ASSIGNMENT_COLUMNS " WHERE a.campaign_id = :campaign AND a.run_number = :run"
                       " AND a.device_id = :device");

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":run", run);
    db_bind_integer(query, ":device", device_id);
    bool found = db_step(query);
    if (found)
        row_read(query, arena, assignment);
    if (!db_end(query, err))
        return false;
    return found || error_set(err, ERROR_MISSING, "the device is not in campaign %lld, run %lld",
                              (long long)campaign, (long long)run);
}

/* --- writing
 * ------------------------------------------------------------------------------------------------------ */

static bool told(struct act *act, const struct assignment *assignment, enum assignment_state from,
                 const struct reason *reason, struct error *err)
{
    const struct change change = {.noun = CHANGE_ASSIGNMENT,
                                  .campaign = assignment->campaign,
                                  .run = assignment->run,
                                  .device_id = assignment->device_id,
                                  .from = states[from].name,
                                  .to = states[assignment->state].name,
                                  .alarm = assignment->alarm,
                                  .reason = reason && reason->text ? arena_strdup(&act->arena, reason->text)
                                                                   : NULL};

    return act_changed(act, &change, err);
}

bool assignment_set(struct act *act, struct assignment *assignment, enum assignment_state to,
                    const struct reason *reason, struct error *err)
{
    enum assignment_state from = assignment->state;
    int64_t now = clock_now(), changes = 0;

    if (!lifecycle_check(&assignment_lifecycle, from, to, err))
        return false;
    struct db_query *query = db_query(
        act->conn,
        "UPDATE assignment SET state = :to, since = :now, until = nullif(:until, 0), reason_code = :code,"
        " reason_text = :text WHERE id = :id AND state = :from");
    assignment->until = deadline(assignment, to, now);
    db_bind_text(query, ":to", states[to].name);
    db_bind_text(query, ":from", states[from].name);
    db_bind_integer(query, ":now", now);
    db_bind_integer(query, ":until", assignment->until);
    db_bind_text(query, ":code", reason ? reason->code : NULL);
    db_bind_text(query, ":text", reason ? reason->text : NULL);
    db_bind_text(query, ":id", assignment->id);
    if (!db_run(query, &changes, err))
        return false;
    if (!changes)
        return error_set(err, ERROR_CONFLICT, "the assignment is no longer %s", states[from].name);
    assignment->state = to;
    assignment->since = now;
    if (!assignment_counted(act, assignment->campaign, assignment->run, from, -1, err) ||
        !assignment_counted(act, assignment->campaign, assignment->run, to, 1, err) ||
        !assignment_step_add(act, assignment, assignment->told_at, reason ? reason->text : NULL, err))
        return false;
    return told(act, assignment, from, reason, err);
}

bool assignment_alarm(struct act *act, struct assignment *assignment, const char *alarm, int64_t until,
                      struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "UPDATE assignment SET alarm = :alarm, until = nullif(:until, 0) WHERE id = :id");

    db_bind_text(query, ":alarm", alarm);
    db_bind_integer(query, ":until", until);
    db_bind_text(query, ":id", assignment->id);
    assignment->alarm = alarm;
    assignment->until = until;
    return db_run(query, NULL, err) && told(act, assignment, assignment->state, NULL, err);
}

bool assignment_touch(struct act *act, const char *id, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "UPDATE assignment SET until = :until WHERE id = :id AND state = 'uploading'");

    db_bind_integer(query, ":until", clock_now() + patience[ASSIGNMENT_UPLOADING].seconds);
    db_bind_text(query, ":id", id);
    return db_run(query, NULL, err);
}

bool assignment_place(struct act *act, struct assignment *assignment, int64_t start, int64_t before,
                      struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "UPDATE assignment SET start_after = :start, start_before = :before WHERE id = :id");

    db_bind_integer(query, ":start", start);
    db_bind_integer(query, ":before", before);
    db_bind_text(query, ":id", assignment->id);
    assignment->start_after = start;
    assignment->start_before = before;
    return db_run(query, NULL, err) && assignment_set(act, assignment, ASSIGNMENT_WAITING, NULL, err);
}

bool assignment_extend(struct act *act, struct assignment *assignment, int64_t duration_s, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "UPDATE assignment SET duration_s = :duration, ends_at = nullif(:ends, 0),"
                            " until = nullif(:until, 0) WHERE id = :id");

    assignment->duration_s = duration_s;
    if (assignment->state == ASSIGNMENT_RUNNING && assignment->started_at) {
        assignment->ends_at = assignment->started_at + duration_s;
        assignment->until = deadline(assignment, ASSIGNMENT_RUNNING, clock_now());
    }
    db_bind_integer(query, ":duration", duration_s);
    db_bind_integer(query, ":ends", assignment->ends_at);
    db_bind_integer(query, ":until", assignment->until);
    db_bind_text(query, ":id", assignment->id);
    return db_run(query, NULL, err);
}

bool assignment_cancel(struct act *act, struct assignment *assignment, const struct reason *reason,
                       struct error *err)
{
    switch (assignment->state) {
    case ASSIGNMENT_QUEUED:
    case ASSIGNMENT_WAITING:
        return assignment_set(act, assignment, ASSIGNMENT_CANCELLED, reason, err);
    case ASSIGNMENT_OFFERED:
    case ASSIGNMENT_SCHEDULED_ON_DEVICE:
    case ASSIGNMENT_DOWNLOADING:
    case ASSIGNMENT_VERIFYING:
    case ASSIGNMENT_RUNNING:
        return assignment_set(act, assignment, ASSIGNMENT_CANCELLING, reason, err);
    default:
        return true; /* on its way back, or over */
    }
}

/* --- of one device
 * ------------------------------------------------------------------------------------------------ */

/* What to do with each of some assignments, inside one act. */
typedef bool each(struct act *act, struct assignment *assignment, int64_t now, struct error *err);

struct list {
    struct assignment assignment;
    struct list *next;
};

static struct list *rows_read(struct db_query *query, struct arena *arena, bool *good, struct error *err)
{
    struct list *first = NULL, **last = &first;

    while (db_step(query)) {
        *last = arena_alloc(arena, sizeof **last);
        row_read(query, arena, &(*last)->assignment);
        last = &(*last)->next;
    }
    *good = db_end(query, err);
    return first;
}

static bool rows_do(struct act *act, struct list *rows, each *do_one, int64_t now, struct error *err)
{
    for (; rows; rows = rows->next)
        if (!do_one(act, &rows->assignment, now, err) ||
            !run_advance(act, rows->assignment.campaign, rows->assignment.run, now, err))
            return false;
    return true;
}

static bool offer_one(struct act *act, struct assignment *assignment, int64_t now, struct error *err)
{
    bool ahead = assignment->start_after > now;

    return assignment_set(act, assignment, ahead ? ASSIGNMENT_SCHEDULED_ON_DEVICE : ASSIGNMENT_OFFERED, NULL,
                          err);
}

bool assignment_offered(struct diagnostics *diagnostics, int64_t device_id, struct error *err)
{
    struct act act;
    bool good;

    if (!act_begin(&act, diagnostics, NULL, err))
        return false;
    struct db_query *query =
        db_query(act.conn, "SELECT " ASSIGNMENT_COLUMNS " WHERE a.device_id = :device AND a.state = 'waiting'"
                           " AND r.state <> 'paused'");
    db_bind_integer(query, ":device", device_id);
    struct list *rows = rows_read(query, &act.arena, &good, err);
    return act_end(&act, good && rows_do(&act, rows, offer_one, clock_now(), err), err);
}

static bool forget_one(struct act *act, struct assignment *assignment, int64_t now, struct error *err)
{
    static const struct reason never = {"ended", "the campaign was ended before the device began"};

    (void)now;
    return assignment_set(act, assignment, ASSIGNMENT_CANCELLED, &never, err);
}

#define UNANSWERED_S 15 /* a report that is under way arrives within that */

bool assignment_forgotten(struct diagnostics *diagnostics, int64_t device_id, struct error *err)
{
    struct act act;
    bool good;

    if (!act_begin(&act, diagnostics, NULL, err))
        return false;
    struct db_query *query = db_query(act.conn, "SELECT " ASSIGNMENT_COLUMNS
                                                " WHERE a.device_id = :device AND a.state = 'cancelling'"
                                                " AND a.started_at IS NULL AND a.since < :before");
    db_bind_integer(query, ":device", device_id);
    db_bind_integer(query, ":before", clock_now() - UNANSWERED_S);
    struct list *rows = rows_read(query, &act.arena, &good, err);
    return act_end(&act, good && rows_do(&act, rows, forget_one, clock_now(), err), err);
}

bool assignment_unanswered(struct db_conn *conn, struct arena *arena, int64_t now, int64_t **device_ids,
                           size_t *count, struct error *err)
{
    enum { MOST = 100 };
    struct db_query *query = db_query(
        conn, "SELECT DISTINCT device_id FROM assignment WHERE state = 'cancelling' AND started_at IS NULL"
              " AND since < :before ORDER BY device_id LIMIT 100");

    *device_ids = arena_array(arena, MOST, sizeof **device_ids);
    *count = 0;
    db_bind_integer(query, ":before", now - UNANSWERED_S);
    while (db_step(query) && *count < MOST)
        (*device_ids)[(*count)++] = db_integer(query, 0);
    return db_end(query, err);
}

/* --- silence
 * ------------------------------------------------------------------------------------------------------ */

static const char *const silence_texts[ASSIGNMENT_STATES] = {
    [ASSIGNMENT_QUEUED] = "its turn did not come within the run's window",
    [ASSIGNMENT_WAITING] = "the device did not come for its order within the run's window",
    [ASSIGNMENT_OFFERED] = "the device took the order and said nothing more",
    [ASSIGNMENT_SCHEDULED_ON_DEVICE] = "the device has the order and said nothing within the run's window",
    [ASSIGNMENT_DOWNLOADING] = "the image was not fetched within the run's window",
    [ASSIGNMENT_VERIFYING] = "the device said nothing after it had fetched the image",
    [ASSIGNMENT_RUNNING] = "the device did not say that the image has ended",
    [ASSIGNMENT_REVERTING] = "the device did not say that its app is back",
    [ASSIGNMENT_UPLOADING] = "the capture did not arrive",
    [ASSIGNMENT_CANCELLING] = "the device did not say that it gave the run up",
};

/* Whether a silent device may still be on the image. */
static bool may_be_on_image(const struct assignment *assignment)
{
    return assignment->state == ASSIGNMENT_RUNNING || assignment->state == ASSIGNMENT_REVERTING ||
           (assignment->state == ASSIGNMENT_CANCELLING && assignment->started_at);
}

/* The device never heard of it: it cannot have begun. */
static bool never_given(const struct assignment *assignment)
{
    return assignment->state == ASSIGNMENT_QUEUED || assignment->state == ASSIGNMENT_WAITING;
}

static bool miss(struct act *act, struct assignment *assignment, struct error *err)
{
    const struct reason reason = {"missed_window", silence_texts[assignment->state]};

    return assignment_set(act, assignment, ASSIGNMENT_SKIPPED, &reason, err);
}

static bool time_out(struct act *act, struct assignment *assignment, struct error *err)
{
    const struct reason reason = {"timed_out", silence_texts[assignment->state]};
    bool uploading = assignment->state == ASSIGNMENT_UPLOADING;

    if (assignment->windowed && never_given(assignment))
        return miss(act, assignment, err);
    return assignment_set(act, assignment, ASSIGNMENT_FAILED, &reason, err) &&
           (!uploading || capture_settle(act, assignment->id, "partial", reason.text, err));
}

/* First the alarm, then the end. */
static bool silence_one(struct act *act, struct assignment *assignment, int64_t now, struct error *err)
{
    if (!may_be_on_image(assignment))
        return time_out(act, assignment, err);
    if (!assignment->alarm)
        return assignment_alarm(act, assignment, "overdue", now + LOST_S, err);
    return assignment_alarm(act, assignment, "lost", 0, err) && time_out(act, assignment, err);
}

#define STEP_MOST 200

static bool any_silent(struct diagnostics *diagnostics, int64_t now, bool *any, struct error *err)
{
    DB_DONE(conn) = db_read(diagnostics->db, err);

    if (!conn)
        return false;
    struct db_query *query = db_query(conn, "SELECT 1 FROM assignment WHERE until < :now LIMIT 1");
    db_bind_integer(query, ":now", now);
    *any = db_step(query);
    return db_end(query, err);
}

bool assignment_step(struct diagnostics *diagnostics, int64_t now, struct error *err)
{
    struct act act;
    bool any, good;

    if (!any_silent(diagnostics, now, &any, err))
        return false;
    if (!any)
        return true;
    if (!act_begin(&act, diagnostics, NULL, err))
        return false;
    struct db_query *query =
        db_query(act.conn, "SELECT " ASSIGNMENT_COLUMNS " WHERE a.until < :now ORDER BY a.until LIMIT :most");
    db_bind_integer(query, ":now", now);
    db_bind_integer(query, ":most", STEP_MOST);
    struct list *rows = rows_read(query, &act.arena, &good, err);
    return act_end(&act, good && rows_do(&act, rows, silence_one, now, err), err);
}

/* What a device says about an assignment, and its proof that it is back. */
#include "diagnostics/assignment.h"

#include "base/clock.h"
#include "base/text.h"
#include "diagnostics/capture.h"
#include "diagnostics/run.h"

#include <string.h>

#define PROOF_MOST (8 << 10) /* bytes */
#define CODE_MOST 40
#define SENTENCE_MOST 400
#define CLOCK_SLACK_S 300 /* the clocks of two machines are never the same */

/* A report as it was read; lives in the act's arena. */
struct report {
    const char *run_id;
    enum assignment_state state;
    struct reason reason;     /* code NULL: none */
    int64_t at, ends_at;      /* Unix seconds, 0: not said */
    const struct json *proof; /* NULL: none */
    const char *capture, *capture_reason;
};

/* A time as RFC 3339 or Unix seconds; 0 when absent or null. */
static bool maybe_time(const struct json *object, const char *key, int64_t *at, struct error *err)
{
    const struct json *member = json_get(object, key);

    *at = 0;
    if (!member || member->type == JSON_NULL)
        return true;
    if (member->type == JSON_NUMBER && member->is_integer) {
        *at = member->integer;
        return true;
    }
    return (member->type == JSON_STRING && time_parse(member->string, at)) ||
           error_set(err, ERROR_INPUT, "\"%s\" must be a time", key);
}

static const char *short_string(struct arena *arena, const struct json *object, const char *key, int most)
{
    const char *text = json_string(object, key);

    return text ? arena_printf(arena, "%.*s", most, text) : NULL;
}

static void reason_read(struct arena *arena, const struct json *report, struct reason *reason)
{
    const struct json *member = json_get(report, "reason");

    if (member && member->type == JSON_STRING)
        *reason = (struct reason){"device", arena_printf(arena, "%.*s", SENTENCE_MOST, member->string)};
    if (!member || member->type != JSON_OBJECT)
        return;
    reason->code = short_string(arena, member, "code", CODE_MOST);
    reason->text = short_string(arena, member, "text", SENTENCE_MOST);
    if (!reason->code)
        reason->code = "device";
}

/* States that only the server writes. */
#define NOT_THE_DEVICES                                                                                      \
    (STATE(ASSIGNMENT_QUEUED) | STATE(ASSIGNMENT_WAITING) | STATE(ASSIGNMENT_OFFERED) |                      \
     STATE(ASSIGNMENT_SCHEDULED_ON_DEVICE) | STATE(ASSIGNMENT_CANCELLING))

static bool report_read(struct arena *arena, const struct json *json, struct report *report,
                        struct error *err)
{
    const char *state_name;
    int state;
    uint8_t id[16];

    *report = (struct report){.proof = json_get(json, "proof")};
    if (!json_need_string(json, "run", &report->run_id, err) ||
        !json_need_string(json, "state", &state_name, err) || !maybe_time(json, "at", &report->at, err) ||
        !maybe_time(json, "ends_at", &report->ends_at, err))
        return false;
    if (!hex_decode(id, sizeof id, report->run_id))
        return error_set(err, ERROR_INPUT, "\"run\" must be 32 hex digits");
    if (!lifecycle_find(&assignment_lifecycle, state_name, &state) || STATE(state) & NOT_THE_DEVICES)
        return error_set(err, ERROR_INPUT, "a device cannot report the state \"%.40s\"", state_name);
    if (report->proof && report->proof->type == JSON_NULL)
        report->proof = NULL;
    if (report->proof && report->proof->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "\"proof\" must be an object");
    report->state = (enum assignment_state)state;
    report->capture = json_string(json, "capture");
    report->capture_reason = short_string(arena, json, "capture_reason", SENTENCE_MOST);
    reason_read(arena, json, &report->reason);
    return true;
}

/* --- the proof
 * ---------------------------------------------------------------------------------------------------- */

/* The proof without its signature, canonical: what the device signed. */
static bool proof_signed_bytes(const struct json *proof, struct text *canonical)
{
    ARENA(arena);
    TEXT(plain);
    struct json_writer writer;
    struct error err = {0};

    json_write_init(&writer, &plain);
    json_write_object(&writer, NULL);
    for (const struct json *member = proof->first; member; member = member->next)
        if (strcmp(member->key, "signature"))
            json_write_value(&writer, member->key, member);
    json_write_end(&writer, '}');
    const struct json *rest = json_read(&arena, text_string(&plain), plain.size, &json_limits_small, &err);
    return rest && json_canonical(rest, canonical, &err);
}

/* Its word must fit its own hashes: "equal" is what one reads, the digests are what was measured. */
static bool proof_is_consistent(const struct json *proof)
{
    const char *before = json_string(proof, "before"), *after = json_string(proof, "after");
    bool same = before && sha256_is_hex(before) && string_is(after, before);

    return json_boolean(proof, "equal", !same) == same;
}

/* True when the device's key signed these very words about this very run, and they do not contradict each
 * other. */
static bool proof_verify(const struct json *proof, const char *run_id, const struct public_key *key)
{
    TEXT(canonical);
    uint8_t signature[SIGNATURE_SIZE];
    const char *hex = json_string(proof, "signature");

    return hex && hex_decode(signature, sizeof signature, hex) &&
           string_is(json_string(proof, "run"), run_id) && proof_is_consistent(proof) &&
           proof_signed_bytes(proof, &canonical) &&
           public_key_verify(key, canonical.bytes, canonical.size, signature);
}

static bool proof_store(struct act *act, const struct assignment *assignment, const struct json *proof,
                        bool verified, struct error *err)
{
    TEXT(text);
    struct json_writer writer;
    int64_t reverted_at;

    json_write_init(&writer, &text);
    json_write_value(&writer, NULL, proof);
    if (text.size > PROOF_MOST || !maybe_time(proof, "reverted_at", &reverted_at, err))
        return error_set(err, ERROR_INPUT, "the proof is larger than %d bytes or has no time", PROOF_MOST);
    struct db_query *query =
        db_query(act->conn, "UPDATE assignment SET proof = :proof, proof_verified = :verified,"
                            " reverted_at = :at WHERE id = :id");
    db_bind_text(query, ":proof", text_string(&text));
    db_bind_integer(query, ":verified", verified);
    db_bind_integer(query, ":at", reverted_at ? reverted_at : clock_now());
    db_bind_text(query, ":id", assignment->id);
    return db_run(query, NULL, err);
}

/* A device that is not back as it was, by its own signed words: the loudest alarm. */
static bool proof_is_good(const struct json *proof)
{
    return json_boolean(proof, "equal", false) && json_integer(proof, "leftovers", 1) == 0;
}

/* The app is back: an alarm about lateness is over. */
static bool proof_take(struct act *act, struct assignment *assignment, const struct public_key *key,
                       const struct json *proof, struct error *err)
{
    bool verified = proof_verify(proof, assignment->id, key);

    if (!proof_store(act, assignment, proof, verified, err))
        return false;
    if (!verified || !proof_is_good(proof))
        return assignment_alarm(act, assignment, "revert_failed", assignment->until, err);
    return !assignment->alarm || assignment_alarm(act, assignment, NULL, assignment->until, err);
}

/* --- taking
 * ------------------------------------------------------------------------------------------------------- */

/* A device cannot say that it began before it was asked to, or that it stays longer than the order allows: it
 * would never be overdue and would keep its place for ever. */
static void times_clip(struct assignment *assignment, const struct report *report)
{
    int64_t now = clock_now(), begun = assignment->started_at ? assignment->started_at : report->at;
    int64_t latest;

    if (!begun || begun > now + CLOCK_SLACK_S || begun < assignment->start_after - CLOCK_SLACK_S)
        begun = now;
    latest = begun + assignment->duration_s + CLOCK_SLACK_S;
    assignment->started_at = begun;
    assignment->ends_at = report->ends_at;
    if (!report->ends_at || report->ends_at < begun || report->ends_at > latest)
        assignment->ends_at = begun + assignment->duration_s;
}

/* When the image began and must end, by the device's clock. */
static bool times_take(struct act *act, struct assignment *assignment, const struct report *report,
                       struct error *err)
{
    bool begins = !assignment->started_at;
    struct db_query *query = db_query(
        act->conn,
        "UPDATE assignment SET started_at = coalesce(started_at, :at), ends_at = :ends WHERE id = :id");

    times_clip(assignment, report);
    db_bind_integer(query, ":at", assignment->started_at);
    db_bind_integer(query, ":ends", assignment->ends_at);
    db_bind_text(query, ":id", assignment->id);
    return db_run(query, NULL, err) &&
           (!begins || run_begun(act, assignment->campaign, assignment->run, err));
}

static bool is_timed_out(const struct assignment *assignment)
{
    return assignment->state == ASSIGNMENT_FAILED && string_is(assignment->reason_code, "timed_out");
}

static bool may_follow(const struct assignment *assignment, enum assignment_state to)
{
    if (assignment->state == ASSIGNMENT_FAILED && !is_timed_out(assignment))
        return false;
    return lifecycle_allows(&assignment_lifecycle, assignment->state, to);
}

static bool state_take(struct act *act, struct assignment *assignment, const struct report *report,
                       struct error *err)
{
    bool end = assignment_lifecycle.states[report->state].is_end;

    if (!may_follow(assignment, report->state))
        return true; /* late or repeated: what we know is newer */
    if (!assignment_set(act, assignment, report->state, report->reason.code ? &report->reason : NULL, err))
        return false;
    if (string_is(report->reason.code, "revert_failed") &&
        !assignment_alarm(act, assignment, "revert_failed", assignment->until, err))
        return false;
    if (end && string_is(assignment->alarm, "lost") && !assignment_alarm(act, assignment, NULL, 0, err))
        return false;
    return !end || capture_settle(act, assignment->id, report->capture,
                                  report->capture_reason ? report->capture_reason : report->reason.text, err);
}

/* That it runs, or, once more, until when: it was given more time. */
static bool tells_times(const struct assignment *assignment, const struct report *report)
{
    return report->state == ASSIGNMENT_RUNNING &&
           (assignment->state == ASSIGNMENT_RUNNING || may_follow(assignment, report->state));
}

/* An end without a verified proof is no proven return: whoever was on the image, or says that all is done,
 * owes one. Proofs come before the end, or with it. */
static bool proof_is_owed(struct act *act, const struct assignment *assignment, bool *owed, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "SELECT proof IS NULL AND (state = 'done' OR (started_at IS NOT NULL AND state IN"
                            " ('failed', 'cancelled', 'skipped'))) FROM assignment WHERE id = :id");

    db_bind_text(query, ":id", assignment->id);
    *owed = db_step(query) && db_integer(query, 0);
    return db_end(query, err);
}

static bool unproven_alarm(struct act *act, struct assignment *assignment, const struct report *report,
                           struct error *err)
{
    bool owed;

    if (report->proof || assignment->state != report->state ||
        !assignment_lifecycle.states[report->state].is_end)
        return true;
    return proof_is_owed(act, assignment, &owed, err) &&
           (!owed || string_is(assignment->alarm, "revert_failed") ||
            assignment_alarm(act, assignment, "revert_failed", assignment->until, err));
}

bool assignment_report(struct act *act, int64_t device_id, const struct public_key *key,
                       const struct json *json, struct error *err)
{
    struct report report;
    struct assignment assignment;
    struct error missing = {0};

    if (!report_read(&act->arena, json, &report, err))
        return false;
    if (!assignment_find(act->conn, &act->arena, report.run_id, &assignment, &missing) ||
        assignment.device_id != device_id)
        return error_set(err, missing.kind == ERROR_SYSTEM ? ERROR_SYSTEM : ERROR_INPUT,
                         "run %s was never given to this device", report.run_id);
    assignment.told_at = report.at;
    if (tells_times(&assignment, &report) && !times_take(act, &assignment, &report, err))
        return false;
    return state_take(act, &assignment, &report, err) &&
           (!report.proof || proof_take(act, &assignment, key, report.proof, err)) &&
           unproven_alarm(act, &assignment, &report, err) &&
           run_advance(act, assignment.campaign, assignment.run, clock_now(), err);
}

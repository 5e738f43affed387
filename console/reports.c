#include "console/reports.h"

#include "agent/protocol.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "console/deltas.h"
#include "console/devices.h"
#include "diagnostics/assignment.h"

#include <string.h>

#define KEPT_S (30 * 86400)
#define KEPT_MOST                                                                                            \
    8192 /* of one device: twice what its outbox holds, so that no honest repeat is forgotten                \
          */

/* One request's reports on their way into the database. */
struct taking {
    struct act act;
    struct deltas *deltas;
    int64_t device_id;
    struct public_key key;
};

static bool id_is_valid(const char *id)
{
    uint8_t bytes[16];

    return id && hex_decode(bytes, sizeof bytes, id);
}

/* Notes the id; `again` when it was taken before. */
static bool take_once(struct taking *taking, const char *id, bool *again, struct error *err)
{
    int64_t changes = 0;
    struct db_query *query = db_query(taking->act.conn, "INSERT INTO device_report_taken (device_id, id, at)"
                                                        " VALUES (:device, :id, :at) ON CONFLICT DO NOTHING");

    db_bind_integer(query, ":device", taking->device_id);
    db_bind_text(query, ":id", id);
    db_bind_integer(query, ":at", clock_now());
    if (!db_run(query, &changes, err))
        return false;
    *again = !changes;
    return true;
}

static const char *clipped(struct arena *arena, const char *text)
{
    return text ? arena_printf(arena, "%.200s", text) : NULL;
}

/* A reason is null, a sentence, or {"code","text"}. */
static const char *reason_text(struct arena *arena, const struct json *report)
{
    const char *text = json_string(report, "reason");

    return clipped(arena, text ? text : json_string(json_get(report, "reason"), "text"));
}

static bool take_swap(struct taking *taking, const struct json *report, struct error *err)
{
    struct arena *arena = &taking->act.arena;
    int64_t result = json_integer(report, "result", -1), ms = json_integer(report, "duration_ms", 0);
    const struct json *changed = json_get(report, "changed");
    int64_t bytes = json_integer(report, "bytes", 0), whole = json_integer(report, "whole", 0);
    const char *names = "", *why = reason_text(arena, report);
    int named = 0;

    for (const struct json *name = changed ? changed->first : NULL; name && named < 8; name = name->next)
        names =
            arena_printf(arena, "%s%s%.64s", names, named++ ? ", " : "", name->string ? name->string : "?");
    const char *line = arena_printf(
        arena, "%s %s in %lld ms (generation %lld, %lld bytes fetched%s)%s%s",
        result == RESULT_SUCCESS ? "took" : "refused", *names ? names : "a set", (long long)ms,
        (long long)json_integer(report, "generation", 0), (long long)bytes,
        bytes >= 0 && bytes < whole ? arena_printf(arena, " instead of %lld", (long long)whole) : "",
        why ? ": " : "", why ? why : "");
    return device_event_add(taking->act.conn, taking->device_id, "swap", line, err);
}

static bool take_app(struct taking *taking, const struct json *report, struct error *err)
{
    struct arena *arena = &taking->act.arena;
    const char *event = json_string(report, "event");
    int64_t pid = json_integer(report, "pid", 0), status = 0;
    bool has_status = json_has_integer(report, "status", &status);
    const char *line =
        arena_printf(arena, "the app %.40s (pid %lld%s)", event ? event : "changed", (long long)pid,
                     has_status ? arena_printf(arena, ", status %lld", (long long)status) : "");

    return device_event_add(taking->act.conn, taking->device_id, "app", line, err);
}

static const char *text_or(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

/* A delta, or a packed object (`old` is null), gave the device wrong bytes. */
static bool take_delta(struct taking *taking, const struct json *report, struct error *err)
{
    struct arena *arena = &taking->act.arena;
    const char *old = json_string(report, "old"), *new = json_string(report, "new");
    const char *why = reason_text(arena, report);

    if (!new || !sha256_is_hex(new) || (old && !sha256_is_hex(old)))
        return error_set(err, ERROR_INPUT, "it names no objects");
    deltas_doubted(taking->deltas, taking->device_id, old, new);
    const char *line =
        arena_printf(arena, "%s of %.64s %.64s, %.200s, was no good and the whole was taken: %s",
                     old ? "the delta" : "the packed object", text_or(json_string(report, "asset"), "?"),
                     text_or(json_string(report, "version"), "?"), text_or(json_string(report, "file"), "?"),
                     text_or(why, "no reason given"));
    return device_event_add(taking->act.conn, taking->device_id, "delta", line, err);
}

static bool take_assignment(struct taking *taking, const struct json *report, struct error *err)
{
    return assignment_report(&taking->act, taking->device_id, &taking->key, report, err);
}

static const struct {
    const char *type;
    bool (*take)(struct taking *taking, const struct json *report, struct error *err);
} types[] = {{"assignment", take_assignment}, {"swap", take_swap}, {"app", take_app}, {"delta", take_delta}};

/* What cannot be understood is noted and accepted: the device would send it for ever. */
static bool take_one(struct taking *taking, const struct json *report, struct error *err)
{
    const char *type = json_string(report, "type");
    struct error why = {0};
    bool again = false;

    if (!take_once(taking, json_string(report, "id"), &again, err) || again)
        return again;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (string_is(types[i].type, type)) {
            if (types[i].take(taking, report, &why))
                return true;
            if (why.kind != ERROR_INPUT) {
                *err = why;
                return false;
            }
        }
    const char *sentence = why.kind ? why.text : "its type is not known here";
    return device_event_add(taking->act.conn, taking->device_id, "report_refused",
                            arena_printf(&taking->act.arena, "a report was not understood: %s", sentence),
                            err);
}

/* A device that says more than it can keep itself loses its oldest ids, not our disk. */
static bool ids_trim(struct taking *taking, struct error *err)
{
    struct db_query *query =
        db_query(taking->act.conn, "DELETE FROM device_report_taken WHERE device_id = :device AND at <="
                                   " (SELECT at FROM device_report_taken WHERE device_id = :device"
                                   " ORDER BY at DESC LIMIT 1 OFFSET :kept)");

    db_bind_integer(query, ":device", taking->device_id);
    db_bind_integer(query, ":kept", KEPT_MOST);
    return db_run(query, NULL, err);
}

static bool ids_check(const struct json *reports, struct error *err)
{
    if (reports->size > REPORTS_MOST)
        return error_set(err, ERROR_LIMIT, "at most %d reports are taken at once", REPORTS_MOST);
    for (const struct json *report = reports->first; report; report = report->next)
        if (!id_is_valid(json_string(report, "id")))
            return error_set(err, ERROR_INPUT, "each report needs an \"id\" of 32 hex digits");
    return true;
}

static bool take_all(struct console *console, struct taking *taking, const struct json *reports,
                     struct error *err)
{
    if (!act_begin(&taking->act, console->diagnostics, NULL, err))
        return false;
    bool good = true;
    for (const struct json *report = reports->first; good && report; report = report->next)
        good = take_one(taking, report, err);
    good = good && ids_trim(taking, err);
    return act_end(&taking->act, good, err);
}

/* What reports say about the image is newer than the last check-in. */
static void image_follow(struct device *device, const struct json *report)
{
    static const char *const ends[] = {"uploading", "done", "skipped", "failed", "cancelled"};
    const char *state = json_string(report, "state");

    if (!string_is(json_string(report, "run"), device->image.run_id))
        return;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (string_is(state, ends[i])) {
            device->image = (struct device_image){0};
            memset(device->said, 0, sizeof device->said);
            device->report_dirty = true;
        }
}

bool reports_take(struct console *console, int64_t device_id, const struct json *reports, struct text *answer,
                  struct error *err)
{
    struct taking taking = {.device_id = device_id, .deltas = console->deltas};
    struct json_writer writer;

    if (!ids_check(reports, err))
        return false;
    fleet_lock(console->fleet);
    struct device *device = fleet_by_id(console->fleet, device_id);
    taking.key = device->key;
    fleet_unlock(console->fleet);
    if (!take_all(console, &taking, reports, err))
        return false;
    json_write_init(&writer, answer);
    json_write_object(&writer, NULL);
    json_write_array(&writer, "accepted");
    fleet_lock(console->fleet);
    for (const struct json *report = reports->first; report; report = report->next) {
        json_write_string(&writer, NULL, json_string(report, "id"));
        image_follow(device, report);
    }
    fleet_unlock(console->fleet);
    json_write_end(&writer, ']');
    json_write_end(&writer, '}');
    return true;
}

bool reports_forget(struct console *console, struct error *err)
{
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    struct db_query *query = db_query(conn, "DELETE FROM device_report_taken WHERE at < :before");
    db_bind_integer(query, ":before", clock_now() - KEPT_S);
    if (!db_run(query, NULL, err)) {
        db_done(conn);
        return false;
    }
    return db_commit(conn, err);
}

/* How an assignment follows what its device says. */
#include "console/delivery/rollout_assignment.h"

#include "base/clock.h"
#include "base/text.h"
#include "console/delivery/target.h"

#include <stdio.h>
#include <string.h>

/* LwM2M's results of an update (object 5, resource 5) that decide something here. */
enum result {
    RESULT_INITIAL = 0,
    RESULT_SUCCESS = 1,
    RESULT_NO_STORAGE = 2,
    RESULT_NO_MEMORY = 3,
    RESULT_CONNECTION_LOST = 4,
    RESULT_INVALID_URI = 7,
    RESULT_DEFERRED = 11
};
#define LOOK_AGAIN_S 2   /* a soak that cannot be judged yet */
#define SILENCE_S 90     /* a restart of the device, and the longest wait of an agent that did not reach us */
#define RETRY_FIRST_S 60 /* then 120, 240, … */
#define RETRY_LONGEST_S 960 /* a quarter of an hour and a minute */

/* What a device last said about the asset, copied out of the fleet's lock. */
struct said {
    bool current;       /* it holds the newest order that we know how to make */
    bool on_image;      /* a diagnostic image is in the app's place */
    bool busy;          /* some asset is being taken up: the app may be restarted */
    bool app_down;      /* the app stands still or failed */
    bool app_good;      /* it runs, or there is none */
    bool proven, right; /* right: version and hash; proven: and idle, taken, app running */
    bool silent;        /* offline */
    bool gone;          /* and for so long that it does not just restart */
    bool early;         /* we are back since a moment: it had no time yet to be heard */
    bool fails;         /* it says that this version failed */
    int64_t last_seen;
    char version[VERSION_SIZE];
    const char *state; /* of the asset; NULL: it has none */
    int result;
    const char *reason, *order; /* in the arena, or NULL */
};

static void running_read(const struct device *device, const struct rollout *rollout, struct arena *arena,
                         struct said *said)
{
    for (size_t i = 0; i < device->running_count; i++) {
        const struct running_asset *running = &device->running[i];

        said->busy |= string_is(running->state, "updating");
        if (strcmp(running->asset, rollout->asset))
            continue;
        said->state = running->state;
        said->result = running->result;
        snprintf(said->version, sizeof said->version, "%s", running->version);
        said->right =
            !strcmp(running->version, rollout->version) && !strcmp(running->sha256, rollout->manifest);
        said->fails = string_is(running->wanted, rollout->version) && running->reason;
        said->reason = running->reason ? arena_strdup(arena, running->reason) : NULL;
    }
}

static void said_read(struct fleet *fleet, const struct rollout *rollout, int64_t device_id, bool order,
                      struct arena *arena, struct said *said)
{
    *said = (struct said){0};
    fleet_lock(fleet);
    struct device *device = fleet_by_id(fleet, device_id);
    if (device) {
        if (device->wish_stale || device->wish_taken)
            fleet_rollout_note(fleet, device); /* to be looked at again once its order is thought over */
        said->current = device->last_seen && !device->wish_stale && !device->wish_taken &&
                        device->order_seen >= device->order_seq;
        said->on_image = device->image.run_id[0] != '\0';
        said->app_down = string_is(device->app_state, "stopped") || string_is(device->app_state, "failed");
        said->app_good = string_is(device->app_state, "running") || string_is(device->app_state, "none") ||
                         !device->app_state[0];
        said->last_seen = device->last_seen;
        fleet_keep_watch(fleet);
        int64_t now = clock_now();
        enum connectivity connectivity = device_connectivity(fleet, device, now);
        said->silent = connectivity == OFFLINE || connectivity == NEVER_SEEN;
        bool listened = device_silence_witnessed(fleet, device, now) >= SILENCE_S;
        said->gone = said->silent && listened;
        said->early = !listened && device_missed(fleet, device);
        running_read(device, rollout, arena, said);
        said->order = order && device->order ? arena_strdup(arena, device->order) : NULL;
    }
    fleet_unlock(fleet);
    said->proven = said->current && said->right && !said->on_image && said->app_good && !said->busy &&
                   string_is(said->state, "idle") && said->result == RESULT_SUCCESS;
}

/* --- reasons
 * ------------------------------------------------------------------------------------------------------ */

static const char *const result_codes[] = {"initial",         "success",   "no_storage",  "no_memory",
                                           "connection_lost", "integrity", "unsupported", "invalid_uri",
                                           "update_failed",   "protocol",  "cancelled",   "deferred"};

/* The device tries these again by itself. */
static bool passes(int result)
{
    return result == RESULT_INITIAL || result == RESULT_SUCCESS || result == RESULT_NO_STORAGE ||
           result == RESULT_NO_MEMORY || result == RESULT_CONNECTION_LOST || result == RESULT_INVALID_URI ||
           result == RESULT_DEFERRED;
}

static const char *superseded_text(struct arena *arena, const char *code, const char *version)
{
    static const char *const texts[][3] = {{"pinned", "the device was pinned to ", ""},
                                           {"development", "it became a development device", NULL},
                                           {"retired", "the device was rejected or retired", NULL},
                                           {"withdrawn", "", " was withdrawn"},
                                           {"release", "a newer release gives it ", ""},
                                           {"rollout", "another rollout gives it ", ""}};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (string_is(code, texts[i][0]))
            return texts[i][2] ? arena_printf(arena, "%s%s%s", texts[i][1], version, texts[i][2])
                               : texts[i][1];
    return "another decision holds";
}

/* Does another decision about the device hold by now? *why.code NULL: none. */
static bool superseded_find(struct rollout_act *act, const struct rollout *rollout, int64_t device_id,
                            struct rollout_reason *why, struct error *err)
{
    struct db_query *query = db_query(
        act->conn,
        "SELECT 'pinned', version FROM pin WHERE device_id = :device AND asset = :asset"
        " AND version <> :version"
        " UNION ALL SELECT 'development', NULL FROM device WHERE id = :device AND development = 1"
        " UNION ALL SELECT 'retired', NULL FROM device WHERE id = :device"
        " AND admission IN ('retired', 'rejected')"
        " UNION ALL SELECT 'withdrawn', version FROM withdrawn WHERE product = :product AND asset = :asset"
        " AND version = :version"
        " UNION ALL SELECT 'rollout', version FROM device_target WHERE device_id = :device"
        " AND asset = :asset AND rollout_id <> :rollout"
        " UNION ALL SELECT 'release', e.version FROM release e JOIN device_target t ON t.device_id = :device"
        " AND t.asset = e.asset WHERE e.product = :product AND e.asset = :asset"
        " AND e.released_at > t.decided_at AND e.version <> :version"
        " UNION ALL SELECT 'release', e.version FROM group_release e JOIN device_group_member m"
        " ON m.group_id = e.group_id JOIN device_target t ON t.device_id = m.device_id AND t.asset = e.asset"
        " WHERE m.device_id = :device AND e.product = :product AND e.asset = :asset"
        " AND e.released_at > t.decided_at AND e.version <> :version LIMIT 1");

    *why = (struct rollout_reason){0};
    db_bind_integer(query, ":device", device_id);
    db_bind_text(query, ":product", rollout->product);
    db_bind_text(query, ":asset", rollout->asset);
    db_bind_text(query, ":version", rollout->version);
    db_bind_integer(query, ":rollout", rollout->id);
    if (db_step(query)) {
        const char *version = db_text_copy(query, 1, &act->arena);

        why->code = db_text_copy(query, 0, &act->arena);
        why->text = superseded_text(&act->arena, why->code, version ? version : "another version");
    }
    return db_end(query, err);
}

/* --- failing
 * ------------------------------------------------------------------------------------------------------ */

static int64_t retry_wait(int64_t attempts)
{
    int64_t wait = RETRY_FIRST_S;

    for (int64_t i = 1; i < attempts && wait < RETRY_LONGEST_S; i++)
        wait *= 2;
    return wait < RETRY_LONGEST_S ? wait : RETRY_LONGEST_S;
}

/* While somebody new is asked at all. */
static bool asks(const struct rollout *rollout)
{
    return rollout->state == ROLLOUT_RUNNING || rollout->state == ROLLOUT_SOAKING ||
           rollout->state == ROLLOUT_PAUSED || rollout->state == ROLLOUT_HELD ||
           rollout->state == ROLLOUT_AWAITING_APPROVAL;
}

static bool fail(struct rollout_act *act, const struct rollout *rollout,
                 struct rollout_assignment *assignment, const struct rollout_reason *reason, int result,
                 bool again, int64_t now, struct error *err)
{
    struct rollout_reason why;

    if (!superseded_find(act, rollout, assignment->device_id, &why, err))
        return false;
    if (why.code && assignment->state != RA_ROLLING_BACK)
        return rollout_assignment_leave(act, rollout, assignment, RA_SUPERSEDED, &why, err);
    assignment->result = result;
    if (again && asks(rollout) && assignment->attempts <= rollout->retries &&
        assignment->state != RA_APPLIED) {
        assignment->until = now + retry_wait(assignment->attempts);
        return rollout_assignment_leave(act, rollout, assignment, RA_PENDING, reason, err);
    }
    return rollout_assignment_set(act, assignment, RA_FAILED, 0, reason, err);
}

static bool fail_by_device(struct rollout_act *act, const struct rollout *rollout,
                           struct rollout_assignment *assignment, const struct said *said, int64_t now,
                           struct error *err)
{
    const struct rollout_reason reason = {result_codes[said->result], said->reason};

    return fail(act, rollout, assignment, &reason, said->result, true, now, err);
}

static bool time_out(struct rollout_act *act, const struct rollout *rollout,
                     struct rollout_assignment *assignment, const struct said *said, int64_t now,
                     struct error *err)
{
    bool back = assignment->state == RA_ROLLING_BACK;
    const char *state = rollout_assignment_state_name(assignment->state);
    const char *text =
        said->fails ? arena_printf(&act->arena, "not within its deadline; it last said: %.200s", said->reason)
        : said->silent
            ? arena_printf(&act->arena,
                           "the device is offline: it was %s and did not come within its deadline", state)
            : arena_printf(&act->arena, "it did not prove %s running within its deadline (it was %s)",
                           back ? "the version before" : rollout->version, state);
    const struct rollout_reason reason = {back ? "roll_back_timed_out" : "timed_out", text};

    if (said->early)
        return rollout_assignment_wait(act, assignment, now + LOOK_AGAIN_S, err);
    return fail(act, rollout, assignment, &reason, said->fails ? said->result : -1, false, now, err);
}

/* --- one state at a time
 * ------------------------------------------------------------------------------------------ */

static bool prove(struct rollout_act *act, const struct rollout *rollout,
                  struct rollout_assignment *assignment, const struct said *said, int64_t now,
                  struct error *err)
{
    assignment->result = said->result;
    if (!rollout->soak_s)
        return rollout_assignment_set(act, assignment, RA_APPLIED, 0, NULL, err);
    return rollout_assignment_set(act, assignment, RA_CONFIRMING, now + rollout->soak_s, NULL, err);
}

static enum rollout_assignment_state step_of(const struct said *said)
{
    return string_is(said->state, "downloading")  ? RA_DOWNLOADING
           : string_is(said->state, "downloaded") ? RA_DOWNLOADED
           : string_is(said->state, "updating")   ? RA_UPDATING
                                                  : RA_OFFERED;
}

/* Asked while its window stood open, and this closed before it was ready: the next one counts, once. */
static bool has_next_window(struct rollout_act *act, const struct rollout *rollout,
                            const struct rollout_assignment *assignment, const struct said *said, int64_t now,
                            int64_t *opens)
{
    int64_t before = assignment->deadline - rollout->device_deadline_s - 1;

    if (!rollout->window || said->silent || !said->current || !string_is(said->state, "downloaded"))
        return false;
    *opens = rollout_assignment_opens(act, rollout, assignment, now);
    return *opens > now && rollout_assignment_opens(act, rollout, assignment, before) <= before;
}

static bool look_asked(struct rollout_act *act, const struct rollout *rollout,
                       struct rollout_assignment *assignment, const struct said *said, bool late, int64_t now,
                       struct error *err)
{
    struct rollout_reason why;
    int64_t opens;

    if (said->proven)
        return prove(act, rollout, assignment, said, now, err);
    if (late && has_next_window(act, rollout, assignment, said, now, &opens)) {
        assignment->deadline = opens + rollout->device_deadline_s;
        return rollout_assignment_wait(act, assignment, assignment->deadline, err);
    }
    if (late)
        return time_out(act, rollout, assignment, said, now, err);
    if (!said->current)
        return true;
    if (!superseded_find(act, rollout, assignment->device_id, &why, err))
        return false;
    if (why.code)
        return rollout_assignment_leave(act, rollout, assignment, RA_SUPERSEDED, &why, err);
    if (said->fails && string_is(said->state, "idle") && !passes(said->result))
        return fail_by_device(act, rollout, assignment, said, now, err);
    enum rollout_assignment_state to = step_of(said);
    if (to <= assignment->state)
        return true;
    return rollout_assignment_set(act, assignment, to, assignment->deadline, NULL, err);
}

/* It ran the version: does it still? */
static bool look_fallen(struct rollout_act *act, const struct rollout *rollout,
                        struct rollout_assignment *assignment, const struct said *said, bool *fallen,
                        int64_t now, struct error *err)
{
    struct rollout_reason reason = {0};

    *fallen = true;
    if (said->on_image || said->busy || !said->current) {
        *fallen = false;
        return true;
    }
    if (!said->right)
        reason = (struct rollout_reason){
            "fell_back", arena_printf(&act->arena, "it ran %s and is back at %s%s%.200s", rollout->version,
                                      said->version[0] ? said->version : "none", said->reason ? ": " : "",
                                      said->reason ? said->reason : "")};
    else if (said->app_down)
        reason = (struct rollout_reason){
            "app_stopped", arena_printf(&act->arena, "its app stopped while it ran %s", rollout->version)};
    *fallen = reason.code != NULL;
    return !*fallen || fail(act, rollout, assignment, &reason, said->result, true, now, err);
}

static bool look_confirming(struct rollout_act *act, const struct rollout *rollout,
                            struct rollout_assignment *assignment, const struct said *said, bool late,
                            int64_t now, struct error *err)
{
    static const struct rollout_reason silent = {"timed_out", "the device went silent while it soaked"};
    int64_t soaked = assignment->since + rollout->soak_s;
    bool fallen;

    if (!look_fallen(act, rollout, assignment, said, &fallen, now, err))
        return false;
    if (fallen || !late)
        return true;
    if (said->proven && said->last_seen >= soaked)
        return rollout_assignment_set(act, assignment, RA_APPLIED, 0, NULL, err);
    if (said->gone)
        return fail(act, rollout, assignment, &silent, -1, false, now, err);
    /* Not heard from since, or not to be judged now: not for ever. */
    if (now > soaked + rollout->device_deadline_s)
        return time_out(act, rollout, assignment, said, now, err);
    return rollout_assignment_wait(act, assignment, now + LOOK_AGAIN_S, err);
}

static bool look_applied(struct rollout_act *act, const struct rollout *rollout,
                         struct rollout_assignment *assignment, const struct said *said, int64_t now,
                         struct error *err)
{
    bool fallen;

    return look_fallen(act, rollout, assignment, said, &fallen, now, err);
}

static bool look_failed(struct rollout_act *act, const struct rollout *rollout,
                        struct rollout_assignment *assignment, const struct said *said, int64_t now,
                        struct error *err)
{
    if (!string_is(assignment->reason_code, "timed_out") || !said->proven || !asks(rollout))
        return true;
    assignment->result = said->result;
    return rollout_assignment_set(act, assignment, RA_CONFIRMING, now + rollout->soak_s, NULL, err);
}

/* The version of the asset that the device's order names, in the arena; NULL: none. */
static const char *ordered(struct arena *arena, const char *order, const char *asset)
{
    struct error err = {0};
    const struct json *read = order ? json_read(arena, order, strlen(order), &json_limits_large, &err) : NULL;
    const struct json *set = json_get(json_get(read, "signed"), "set");

    for (const struct json *one = set && set->type == JSON_ARRAY ? set->first : NULL; one; one = one->next)
        if (string_is(json_string(one, "asset"), asset))
            return json_string(one, "version");
    return NULL;
}

static bool look_back(struct rollout_act *act, const struct rollout *rollout,
                      struct rollout_assignment *assignment, const struct said *said, bool late, int64_t now,
                      struct error *err)
{
    static const struct rollout_reason wanted = {"wanted",
                                                 "a release or a pin gives it this version all the same"};
    const char *version = ordered(&act->arena, said->order, rollout->asset);
    bool there = said->current && !said->on_image && !said->busy &&
                 (version ? !strcmp(version, said->version) && string_is(said->state, "idle") : !said->state);

    if (said->current && string_is(version, rollout->version))
        return rollout_assignment_set(act, assignment, RA_SUPERSEDED, 0, &wanted, err);
    if (there)
        return rollout_assignment_set(act, assignment, RA_ROLLED_BACK, 0, NULL, err);
    if (late)
        return time_out(act, rollout, assignment, said, now, err);
    return true;
}

bool rollout_assignment_look(struct rollout_act *act, const struct rollout *rollout,
                             struct rollout_assignment *assignment, bool late, int64_t now, struct error *err)
{
    struct said said;

    said_read(act->console->fleet, rollout, assignment->device_id, assignment->state == RA_ROLLING_BACK,
              &act->arena, &said);
    switch (assignment->state) {
    case RA_OFFERED:
    case RA_DOWNLOADING:
    case RA_DOWNLOADED:
    case RA_UPDATING:
        return look_asked(act, rollout, assignment, &said, late, now, err);
    case RA_CONFIRMING:
        return look_confirming(act, rollout, assignment, &said, late, now, err);
    case RA_APPLIED:
        return look_applied(act, rollout, assignment, &said, now, err);
    case RA_FAILED:
        return look_failed(act, rollout, assignment, &said, now, err);
    case RA_ROLLING_BACK:
        return look_back(act, rollout, assignment, &said, late, now, err);
    default:
        return true;
    }
}

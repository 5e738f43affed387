/* A device's turn in a rollout: what is to become of it, its target, and the way back. */
#include "console/delivery/rollout_assignment.h"

#include "base/clock.h"
#include "base/text.h"
#include "console/delivery/target.h"
#include "diagnostics/zone.h"
#include "repo/range.h"

#include <stdio.h>
#include <string.h>

/* --- when
 * ---------------------------------------------------------------------------------------------------------
 */

static const char *timezone_of(struct arena *arena, const char *facts)
{
    struct error err = {0};
    const struct json *read = facts ? json_read(arena, facts, strlen(facts), &json_limits_small, &err) : NULL;

    return json_string(read, "timezone");
}

int64_t rollout_window_opens(const char *window, const char *facts, int64_t now)
{
    ARENA(arena);
    int from, to;

    if (!window || !window_read(window, &from, &to))
        return now;
    struct zone *zone = zone_open(timezone_of(&arena, facts), NULL);
    struct zone_time local = zone_local(zone, now);
    int minute = local.seconds / 60;
    bool open = from < to ? minute >= from && minute < to : minute >= from || minute < to;
    int64_t opens = open ? now : zone_moment(zone, local.day + (minute >= from), from * INT64_C(60));
    zone_close(zone);
    return opens;
}

/* --- judging
 * ----------------------------------------------------------------------------------------------------- */

/* What the fleet knows about a device, copied out of its lock. */
struct known {
    bool exists, accepted, gone, offline, current;
    char hardware[NAME_SIZE], from[VERSION_SIZE];
    char lacks[NAME_SIZE],
        lacks_version[VERSION_SIZE]; /* the first asset whose version is out of the range */
    const char *range;
};

static const struct running_asset *running_find(const struct device *device, const char *asset)
{
    for (size_t i = 0; i < device->running_count; i++)
        if (!strcmp(device->running[i].asset, asset))
            return &device->running[i];
    return NULL;
}

static void requires_look(const struct device *device, const struct json *requires, struct known *known)
{
    for (const struct json *one = requires ? requires->first : NULL; one && !known->range; one = one->next) {
        const struct running_asset *has = running_find(device, one->key);

        if (has && *has->version && range_holds(one->string, has->version))
            continue;
        known->range = one->string;
        snprintf(known->lacks, sizeof known->lacks, "%s", one->key);
        snprintf(known->lacks_version, sizeof known->lacks_version, "%s",
                 has && *has->version ? has->version : "none");
    }
}

static void known_read(struct fleet *fleet, const struct rollout *rollout, const struct json *requires,
                       int64_t device_id, struct known *known)
{
    *known = (struct known){0};
    fleet_lock(fleet);
    const struct device *device = fleet_by_id(fleet, device_id);
    if (device) {
        const struct running_asset *running = running_find(device, rollout->asset);

        known->exists = true;
        known->accepted = device->admission == ADMISSION_ACCEPTED && !device->clone_suspected;
        known->gone = device->admission == ADMISSION_RETIRED || device->admission == ADMISSION_REJECTED;
        enum connectivity connectivity = device_connectivity(fleet, device, clock_now());
        known->offline = connectivity == OFFLINE || connectivity == NEVER_SEEN;
        strcpy(known->hardware, device->hardware);
        snprintf(known->from, sizeof known->from, "%s", running ? running->version : "");
        known->current = running && !strcmp(running->version, rollout->version) &&
                         !strcmp(running->sha256, rollout->manifest) && string_is(running->state, "idle");
        requires_look(device, requires, known);
    }
    fleet_unlock(fleet);
}

static bool hardware_fits(const struct json *list, const char *hardware)
{
    if (!list || !list->size)
        return true;
    for (const struct json *one = list->first; one; one = one->next)
        if (string_is(one->string, hardware))
            return true;
    return false;
}

/* A person's decision about this one device. */
struct held {
    char pinned[VERSION_SIZE]; /* "": not */
    bool development;
};

static bool held_read(struct db_conn *conn, int64_t device_id, const char *asset, struct held *held,
                      struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT d.development, p.version FROM device d LEFT JOIN pin p"
                       " ON p.device_id = d.id AND p.asset = :asset WHERE d.id = :device");

    *held = (struct held){0};
    db_bind_text(query, ":asset", asset);
    db_bind_integer(query, ":device", device_id);
    if (db_step(query)) {
        held->development = db_integer(query, 0) != 0;
        if (db_text(query, 1))
            snprintf(held->pinned, sizeof held->pinned, "%s", db_text(query, 1));
    }
    return db_end(query, err);
}

static void skip(struct rollout_verdict *verdict, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void skip(struct rollout_verdict *verdict, const char *code, const char *format, ...)
{
    va_list args;

    verdict->to = RA_SKIPPED;
    verdict->code = code;
    va_start(args, format);
    vsnprintf(verdict->text, sizeof verdict->text, format, args);
    va_end(args);
}

bool rollout_judge(struct console *console, struct db_conn *conn, const struct rollout *rollout,
                   const struct json *hardware, const struct json *requires, int64_t device_id,
                   struct rollout_verdict *verdict, struct error *err)
{
    struct known known;
    struct held held;

    *verdict = (struct rollout_verdict){.to = RA_OFFERED};
    known_read(console->fleet, rollout, requires, device_id, &known);
    verdict->offline = known.offline;
    strcpy(verdict->from, known.from);
    if (!held_read(conn, device_id, rollout->asset, &held, err))
        return false;
    if (!known.exists || known.gone)
        skip(verdict, "retired", "the device was rejected or retired");
    else if (!known.accepted)
        skip(verdict, "not_accepted", "the device waits to be accepted by a person");
    else if (held.pinned[0])
        skip(verdict, "pinned", "the device is pinned to %s", held.pinned);
    else if (held.development)
        skip(verdict, "development", "it is a development device: it takes no rollout");
    else if (!hardware_fits(hardware, known.hardware))
        skip(verdict, "hardware", "%s is not made for hardware %s", rollout->version,
             known.hardware[0] ? known.hardware : "that is not known");
    else if (known.current)
        verdict->to = RA_ALREADY_CURRENT;
    else if (known.range)
        skip(verdict, "requires", "%s requires %s %.60s, the device runs %s", rollout->version, known.lacks,
             known.range, known.lacks_version);
    return true;
}

/* --- asking
 * ------------------------------------------------------------------------------------------------------ */

static const struct json *json_of(struct arena *arena, const char *text)
{
    struct error err = {0};

    return json_read(arena, text, strlen(text), &json_limits_small, &err);
}

static char *facts_of(struct rollout_act *act, int64_t device_id)
{
    struct fleet *fleet = act->console->fleet;

    fleet_lock(fleet);
    const struct device *device = fleet_by_id(fleet, device_id);
    char *facts = device && device->facts ? arena_strdup(&act->arena, device->facts) : NULL;
    fleet_unlock(fleet);
    return facts;
}

/* The first time: what a roll back gives back. */
static bool before_note(struct rollout_act *act, const struct rollout *rollout,
                        struct rollout_assignment *assignment, const struct rollout_verdict *verdict,
                        struct error *err)
{
    struct target target;

    if (assignment->attempts)
        return true;
    if (!target_find(act->conn, &act->arena, assignment->device_id, rollout->asset, &target, err))
        return false;
    assignment->from_version = verdict->from[0] ? arena_strdup(&act->arena, verdict->from) : NULL;
    assignment->before_version = target.version;
    assignment->before_rollout = target.rollout;
    assignment->before_at = target.decided_at;
    return true;
}

static bool offer(struct rollout_act *act, const struct rollout *rollout,
                  struct rollout_assignment *assignment, const struct rollout_verdict *verdict, int64_t now,
                  struct error *err)
{
    struct apply apply = {.rate = rollout->rate};
    int64_t opens = now;

    if (rollout->window) {
        snprintf(apply.window, sizeof apply.window, "%s", rollout->window);
        opens = rollout_window_opens(rollout->window, facts_of(act, assignment->device_id), now);
    }
    if (!before_note(act, rollout, assignment, verdict, err))
        return false;
    assignment->attempts++;
    assignment->result = -1;
    assignment->deadline = opens + rollout->device_deadline_s;
    rollout_act_wish(act, assignment->device_id);
    return target_set(act->conn, assignment->device_id, rollout->asset, rollout->version, rollout->id, &apply,
                      err) &&
           rollout_assignment_set(act, assignment, RA_OFFERED, assignment->deadline, NULL, err);
}

bool rollout_assignment_turn(struct rollout_act *act, const struct rollout *rollout,
                             struct rollout_assignment *assignment, int64_t now, struct error *err)
{
    struct rollout_verdict verdict;

    if (!rollout_judge(act->console, act->conn, rollout, json_of(&act->arena, rollout->hardware),
                       json_of(&act->arena, rollout->requires), assignment->device_id, &verdict, err))
        return false;
    if (verdict.to == RA_OFFERED)
        return offer(act, rollout, assignment, &verdict, now, err);
    if (verdict.from[0])
        assignment->from_version = arena_strdup(&act->arena, verdict.from);
    const struct rollout_reason reason = {verdict.code, verdict.text};
    return rollout_assignment_set(act, assignment, verdict.to, 0, verdict.code ? &reason : NULL, err);
}

/* --- the way back
 * ------------------------------------------------------------------------------------------------ */

static bool restore(struct rollout_act *act, const struct rollout *rollout,
                    const struct rollout_assignment *assignment, struct error *err)
{
    const struct target before = {.version = assignment->before_version,
                                  .rollout = assignment->before_rollout,
                                  .decided_at = assignment->before_at};

    rollout_act_wish(act, assignment->device_id);
    return target_restore(act->conn, assignment->device_id, rollout->asset, rollout->id, &before, err);
}

bool rollout_assignment_back(struct rollout_act *act, const struct rollout *rollout,
                             struct rollout_assignment *assignment, int64_t now, struct error *err)
{
    struct target target;
    static const struct rollout_reason taken = {"other", "another decision about this device came later"};

    if (!target_find(act->conn, &act->arena, assignment->device_id, rollout->asset, &target, err))
        return false;
    if (!target.version || target.rollout != rollout->id)
        return rollout_assignment_set(act, assignment, RA_SUPERSEDED, 0, &taken, err);
    assignment->deadline = now + rollout->device_deadline_s;
    return restore(act, rollout, assignment, err) &&
           rollout_assignment_set(act, assignment, RA_ROLLING_BACK, assignment->deadline, NULL, err);
}

bool rollout_assignment_leave(struct rollout_act *act, const struct rollout *rollout,
                              struct rollout_assignment *assignment, enum rollout_assignment_state to,
                              const struct rollout_reason *reason, struct error *err)
{
    int64_t until = to == RA_PENDING ? assignment->until : 0;

    return (!assignment->attempts || restore(act, rollout, assignment, err)) &&
           rollout_assignment_set(act, assignment, to, until, reason, err);
}

bool rollout_assignment_again(struct rollout_act *act, const struct rollout *rollout,
                              struct rollout_assignment *assignment, struct error *err)
{
    if (!restore(act, rollout, assignment, err))
        return false;
    assignment->attempts = 0;
    assignment->result = -1;
    return rollout_assignment_set(act, assignment, RA_PENDING, 0, NULL, err);
}

/* A device's turn in a rollout: what is to become of it, its target, and the way back. */
#include "console/delivery/rollout_assignment.h"

#include "base/clock.h"
#include "base/text.h"
#include "console/delivery/target.h"
#include "diagnostics/zone.h"
#include "repo/range.h"

#include <stdio.h>
#include <string.h>

#define AGAIN_WAIT_S 1 /* between two looks at whether a device that failed may be asked again */
#define GIVE_BACK_AT_ONCE 25
#define AGAIN_WARM_S 60 /* how long it comes often meanwhile */

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

/* The version that a release gives the device which came after the rollout began; "": none. What a person
 * decided last holds, also for those whose turn comes later. */
static bool released_read(struct db_conn *conn, const struct rollout *rollout, int64_t device_id,
                          char version[VERSION_SIZE], struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT e.version FROM rollout_stage s JOIN release e ON e.released_at > s.started_at"
              " WHERE s.rollout_id = :rollout AND s.number = 1 AND e.product = :product AND e.asset = :asset"
              " AND e.version <> :version"
              " UNION ALL SELECT e.version FROM rollout_stage s JOIN device_group_member m"
              " JOIN group_release e ON e.group_id = m.group_id AND e.released_at > s.started_at"
              " WHERE s.rollout_id = :rollout AND s.number = 1 AND m.device_id = :device"
              " AND e.product = :product AND e.asset = :asset AND e.version <> :version LIMIT 1");

    *version = '\0';
    db_bind_integer(query, ":rollout", rollout->id);
    db_bind_text(query, ":product", rollout->product);
    db_bind_text(query, ":asset", rollout->asset);
    db_bind_text(query, ":version", rollout->version);
    db_bind_integer(query, ":device", device_id);
    if (db_step(query))
        snprintf(version, VERSION_SIZE, "%s", db_text(query, 0));
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
    char released[VERSION_SIZE];

    *verdict = (struct rollout_verdict){.to = RA_OFFERED};
    known_read(console->fleet, rollout, requires, device_id, &known);
    verdict->offline = known.offline;
    strcpy(verdict->from, known.from);
    if (!held_read(conn, device_id, rollout->asset, &held, err) ||
        !released_read(conn, rollout, device_id, released, err))
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
    else if (*released) {
        skip(verdict, "release", "a newer release gives it %s", released);
        verdict->to = RA_SUPERSEDED;
    } else if (known.current)
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

int64_t rollout_assignment_opens(struct rollout_act *act, const struct rollout *rollout,
                                 const struct rollout_assignment *assignment, int64_t now)
{
    return rollout->window ? rollout_window_opens(rollout->window, facts_of(act, assignment->device_id), now)
                           : now;
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
    int64_t opens = rollout_assignment_opens(act, rollout, assignment, now);

    if (rollout->window)
        snprintf(apply.window, sizeof apply.window, "%s", rollout->window);
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

/* One that failed is asked again once its device holds the order in between: with it the device forgets that
 * the version failed there. A device that is not heard from is not waited for longer than its deadline. */
static bool is_between(struct rollout_act *act, const struct rollout *rollout,
                       const struct rollout_assignment *assignment, int64_t now)
{
    struct fleet *fleet = act->console->fleet;

    if (!assignment->reason_code || now > assignment->since + rollout->device_deadline_s)
        return false;
    fleet_lock(fleet);
    struct device *device = fleet_by_id(fleet, assignment->device_id);
    bool between = device && device->admission == ADMISSION_ACCEPTED &&
                   (device->wish_stale || device->wish_taken || device->order_seen < device->order_seq);
    if (between)
        device->warm_until = now + AGAIN_WARM_S;
    fleet_unlock(fleet);
    return between;
}

bool rollout_assignment_turn(struct rollout_act *act, const struct rollout *rollout,
                             struct rollout_assignment *assignment, int64_t now, struct error *err)
{
    struct rollout_verdict verdict;

    if (is_between(act, rollout, assignment, now))
        return rollout_assignment_wait(act, assignment, now + AGAIN_WAIT_S, err);
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
    static const struct rollout_reason taken = {"other", "another decision about this device came later"},
                                       back = {"given_back", "it failed, and the abort gave it back what it"
                                                             " wanted before"};

    if (!target_find(act->conn, &act->arena, assignment->device_id, rollout->asset, &target, err))
        return false;
    if (!target.version || target.rollout != rollout->id) {
        bool given = assignment->state == RA_FAILED && target.rollout == assignment->before_rollout;

        return rollout_assignment_set(act, assignment, RA_SUPERSEDED, 0, given ? &back : &taken, err);
    }
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

bool rollout_assignments_give_back(struct rollout_act *act, const struct rollout *rollout, int64_t until_ms,
                                   bool *left, struct error *err)
{
    for (;;) {
        struct rollout_assignments list;

        if (!rollout_assignments_failed(act, rollout, GIVE_BACK_AT_ONCE, &list, err))
            return false;
        if (!list.count)
            return true;
        for (size_t i = 0; i < list.count; i++)
            if (!restore(act, rollout, &list.items[i], err))
                return false;
        if (clock_boot_ms() >= until_ms) {
            *left = true;
            return true;
        }
    }
}

bool rollout_assignment_again(struct rollout_act *act, const struct rollout *rollout,
                              struct rollout_assignment *assignment, struct error *err)
{
    const struct rollout_reason reason = {"again",
                                          arena_printf(&act->arena, "asked again by %s", act->operator_name)};

    if (!restore(act, rollout, assignment, err))
        return false;
    assignment->attempts = 0;
    assignment->result = -1;
    return rollout_assignment_set(act, assignment, RA_PENDING, clock_now() + AGAIN_WAIT_S, &reason, err);
}

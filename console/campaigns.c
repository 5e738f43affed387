#include "console/campaigns.h"

#include "base/clock.h"
#include "base/log.h"
#include "console/audit.h"
#include "console/delivery/approval.h"
#include "console/delivery/product.h"
#include "console/delivery/withdraw.h"
#include "console/devices.h"
#include "console/events.h"
#include "console/hooks.h"
#include "diagnostics/assignment.h"
#include "diagnostics/capture.h"
#include "diagnostics/diagnostics.h"

#include <stdio.h>
#include <string.h>

/* --- inside the transaction
 * --------------------------------------------------------------------------------------- */

/* A state reached, as the glossary's verb. */
static const char *verb(const char *state)
{
    static const struct {
        const char *state, *verb;
    } verbs[] = {{"draft", "create"},   {"scheduled", "schedule"},   {"active", "start"},
                 {"running", "start"},  {"paused", "pause"},         {"ended", "end"},
                 {"aborted", "abort"},  {"completed", "complete"},   {"finishing", "finish"},
                 {"expired", "expire"}, {"return_now", "return now"}};

    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(verbs[i].state, state))
            return verbs[i].verb;
    return state;
}

static bool audit_change(struct db_conn *conn, const struct change *change, struct error *err)
{
    ARENA(arena);
    const char *object = change->noun == CHANGE_RUN
                             ? arena_printf(&arena, "campaign %lld run %lld", (long long)change->campaign,
                                            (long long)change->run)
                             : arena_printf(&arena, "campaign %lld", (long long)change->campaign);

    return audit_add(conn, change->operator_name, verb(change->to), object, change->reason, err);
}

static const char *assignment_line(struct arena *arena, const struct change *change)
{
    bool same = change->from && !strcmp(change->from, change->to);

    if (same)
        return arena_printf(arena, "campaign %lld run %lld: %s", (long long)change->campaign,
                            (long long)change->run, change->alarm ? change->alarm : "the alarm is over");
    return arena_printf(arena, "campaign %lld run %lld: %s%s%s", (long long)change->campaign,
                        (long long)change->run, change->to, change->reason ? ", " : "",
                        change->reason ? change->reason : "");
}

/* What people and time do to captures; what devices do is no row of the audit. */
static bool capture_audit(struct db_conn *conn, const struct change *change, struct error *err)
{
    static const char *const verbs[][2] = {{"deleted", "delete"}, {"held", "hold"}, {"let go", "let go"}};
    char object[48];

    snprintf(object, sizeof object, "capture %lld", (long long)change->capture);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(change->to, verbs[i][0]))
            return audit_add(conn, change->operator_name, verbs[i][1], object, change->reason, err);
    return true;
}

/* An alarm is told when it arises; of campaigns and runs, their ends. */
static bool hook_news(struct console *console, struct db_conn *conn, const struct change *change,
                      struct error *err)
{
    static const char *const ends[] = {"completed", "aborted", "expired", "ended"};
    struct hook_news news = {.event = "campaign",
                             .campaign = change->campaign,
                             .run = change->run,
                             .state = change->to,
                             .reason = change->reason};
    char name[NAME_SIZE] = "";

    if (change->noun == CHANGE_ASSIGNMENT) {
        if (!change->alarm || !change->from || strcmp(change->from, change->to))
            return true;
        fleet_lock(console->fleet);
        const struct device *device = fleet_by_id(console->fleet, change->device_id);
        strcpy(name, device ? device->name : "");
        fleet_unlock(console->fleet);
        news.event = "alarm";
        news.alarm = change->alarm;
        news.device = name;
        return hook_tell(console, conn, &news, err);
    }
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (!strcmp(change->to, ends[i]))
            return hook_tell(console, conn, &news, err);
    return true;
}

static bool written(void *context, struct db_conn *conn, const struct change *change, struct error *err)
{
    ARENA(arena);

    switch (change->noun) {
    case CHANGE_CAMPAIGN:
    case CHANGE_RUN:
        return audit_change(conn, change, err) && hook_news(context, conn, change, err);
    case CHANGE_ASSIGNMENT:
        return hook_news(context, conn, change, err) &&
               device_event_add(conn, change->device_id, change->alarm ? change->alarm : "assignment",
                                assignment_line(&arena, change), err);
    default:
        return capture_audit(conn, change, err) &&
               device_event_add(conn, change->device_id, "capture",
                                arena_printf(&arena, "capture of campaign %lld run %lld: %s%s%s",
                                             (long long)change->campaign, (long long)change->run, change->to,
                                             change->reason ? ", " : "",
                                             change->reason ? change->reason : ""),
                                err);
    }
}

/* --- after the commit
 * --------------------------------------------------------------------------------------------- */

/* The device's name; its order is to be thought over. */
static void device_touch(struct console *console, int64_t device_id, char name[NAME_SIZE])
{
    fleet_lock(console->fleet);
    struct device *device = fleet_by_id(console->fleet, device_id);
    strcpy(name, device ? device->name : "");
    if (device)
        device_wish_changed(device);
    fleet_unlock(console->fleet);
}

static void assignment_told(struct console *console, const struct change *change)
{
    char name[NAME_SIZE];

    device_touch(console, change->device_id, name);
    if (change->alarm)
        log_event(LOG_WARNING, "assignment_alarm", "device=%s campaign=%lld run=%lld alarm=%s", name,
                  (long long)change->campaign, (long long)change->run, change->alarm);
    events_send(console->events, "assignment",
                "{\"campaign\":%lld,\"run\":%lld,\"device\":\"%s\",\"state\":\"%s\"}",
                (long long)change->campaign, (long long)change->run, name, change->to);
    device_tell(console, name);
}

static void told(void *context, const struct change *change)
{
    struct console *console = context;

    if (change->noun != CHANGE_CAPTURE && (change->noun != CHANGE_ASSIGNMENT || change->alarm))
        hooks_wake(console->hooks);
    switch (change->noun) {
    case CHANGE_CAMPAIGN:
        events_send(console->events, "campaign", "{\"campaign\":%lld,\"state\":\"%s\"}",
                    (long long)change->campaign, change->to);
        break;
    case CHANGE_RUN:
        events_send(console->events, "run", "{\"campaign\":%lld,\"number\":%lld,\"state\":\"%s\"}",
                    (long long)change->campaign, (long long)change->run, change->to);
        break;
    case CHANGE_ASSIGNMENT:
        assignment_told(console, change);
        break;
    default:
        events_send(
            console->events, "capture", "{\"id\":%lld,\"campaign\":%lld,\"run\":%lld,\"state\":\"%s\"}",
            (long long)change->capture, (long long)change->campaign, (long long)change->run, change->to);
    }
}

/* The device's order says something else: another deadline, or that it is not to begin. */
static void wish(void *context, int64_t device_id)
{
    struct console *console = context;

    fleet_lock(console->fleet);
    struct device *device = fleet_by_id(console->fleet, device_id);
    if (device)
        device_wish_changed(device);
    fleet_unlock(console->fleet);
}

/* --- what diagnostics asks
 * -------------------------------------------------------------------------------------------- */

/* The fact "timezone". Facts are JSON as we wrote them; reading all of it for each of 100,000 devices would
 * take seconds, and whoever misleads this search misleads it about the own zone alone. */
static void zone(void *context, int64_t device_id, char name[ZONE_NAME_SIZE])
{
    static const char member[] = "\"timezone\":\"";
    struct console *console = context;

    *name = '\0';
    fleet_lock(console->fleet);
    const struct device *device = fleet_by_id(console->fleet, device_id);
    const char *found = device && device->facts ? strstr(device->facts, member) : NULL;
    size_t size = found ? strcspn(found += sizeof member - 1, "\"\\") : 0;
    if (size && size < ZONE_NAME_SIZE) {
        memcpy(name, found, size);
        name[size] = '\0';
    }
    fleet_unlock(console->fleet);
}

static bool approvals(void *context, struct db_conn *conn, const char *product, int *needed,
                      struct error *err)
{
    (void)context;
    return approval_needed(conn, product, needed, err);
}

static bool offered(void *context, struct db_conn *conn, const char *product, const char *image,
                    const char *version, struct error *err)
{
    (void)context;
    return withdrawn_check(conn, product, image, version, err);
}

static bool limits_of(void *context, struct db_conn *conn, const char *product, struct capture_limits *limits,
                      struct error *err)
{
    int64_t days = 0;

    (void)context;
    if (!product_setting_integer(conn, product, PRODUCT_KEEP_DAYS, &days, err) ||
        !product_setting_integer(conn, product, PRODUCT_DEVICE_QUOTA, &limits->device_quota, err) ||
        !product_setting_integer(conn, product, PRODUCT_CAMPAIGN_QUOTA, &limits->campaign_quota, err))
        return false;
    limits->keep_s = days * 86400;
    return true;
}

struct diagnostics *campaigns_open(struct console *console, struct error *err)
{
    const struct diagnostics_hooks hooks = {.context = console,
                                            .written = written,
                                            .told = told,
                                            .wish = wish,
                                            .zone = zone,
                                            .approvals = approvals,
                                            .offered = offered,
                                            .capture_limits = limits_of};

    return diagnostics_open(console->db, console->repo, console->data_dirfd, &hooks, err);
}

/* --- steps
 * ----------------------------------------------------------------------------------------------------- */

/* The device holds the newest order, which lacks the run, and is on no image. */
static bool gave_up(struct fleet *fleet, int64_t device_id)
{
    fleet_lock(fleet);
    const struct device *device = fleet_by_id(fleet, device_id);
    bool gave =
        device && !device->wish_stale && device->order_seen >= device->order_seq && !device->image.run_id[0];
    fleet_unlock(fleet);
    return gave;
}

static bool forget_given_up(struct console *console, struct error *err)
{
    ARENA(arena);
    int64_t *devices;
    size_t count;
    struct db_conn *conn = db_read(console->db, err);

    if (!conn)
        return false;
    bool good = assignment_unanswered(conn, &arena, clock_now(), &devices, &count, err);
    db_done(conn);
    for (size_t i = 0; good && i < count; i++)
        if (gave_up(console->fleet, devices[i]))
            good = assignment_forgotten(console->diagnostics, devices[i], err);
    return good;
}

bool captures_step(struct console *console, struct error *err)
{
    return capture_expire(console->diagnostics, clock_now(), err);
}

bool campaigns_step(struct console *console, struct error *err)
{
    return diagnostics_step(console->diagnostics, err) && forget_given_up(console, err);
}

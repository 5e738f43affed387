/* Who is connected, how often devices are asked to come, and what browsers are told about it. */
#include "console/fleet_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "console/events.h"

#include <string.h>

#define LOOK_MOST 500 /* devices up to which an operator's look makes all of them come every 2 s */
#define LOOK_S 2
#define LOOK_LASTS_S 300 /* an open page asks again with each news of the device */
#define WORK_S 1
#define MOVING_EACH_S 2000 /* devices that move in rollouts and come every second; more come more rarely */
#define AWAY_MS 5000       /* so long without a step or a check-in: the console was not there to hear any */
#define WORK_AHEAD_S 30    /* a device with work comes often from so long before it */

int fleet_idle_interval(int64_t devices)
{
    int64_t interval = devices / 50;

    return interval < 5 ? 5 : interval > 60 ? 60 : (int)interval;
}

void fleet_look(struct fleet *fleet, struct device *device)
{
    int64_t now = clock_now(), *oldest = &fleet->looked[fleet->looked_at];

    if (device->looked_until <= now) {
        struct device *before = fleet_by_id(fleet, *oldest);

        if (before)
            before->looked_until = 0;
        *oldest = device->id;
        fleet->looked_at = (fleet->looked_at + 1) % FLEET_LOOKED_MOST;
    }
    device->looked_until = now + LOOK_LASTS_S;
}

int fleet_poll_interval(struct fleet *fleet, const struct device *device, int watchers)
{
    bool due = device->work_from && device->work_from <= clock_now() + WORK_AHEAD_S;

    if (due || device->image.run_id[0])
        return WORK_S;
    if (device->rollout_level == 2 || device->warm_until > clock_now()) {
        int64_t often = WORK_S + fleet->rollout_moving / MOVING_EACH_S;
        int idle = fleet_idle_interval(fleet->active);

        return often < idle ? (int)often : idle;
    }
    if ((watchers > 0 && fleet->active <= LOOK_MOST) || device->looked_until > clock_now())
        return LOOK_S;
    return fleet_idle_interval(fleet->active);
}

void fleet_keep_watch(struct fleet *fleet)
{
    int64_t boot_ms = clock_boot_ms(), wall_ms = clock_wall_ms();
    int64_t slept_ms = fleet->watch_ms ? boot_ms - fleet->watch_ms : 0;
    int64_t jumped_ms = fleet->watch_ms ? wall_ms - fleet->watch_wall_ms : 0;
    int64_t away_ms = slept_ms > jumped_ms ? slept_ms : jumped_ms;

    fleet->watch_ms = boot_ms;
    fleet->watch_wall_ms = wall_ms;
    if (away_ms <= AWAY_MS)
        return;
    fleet->away_s += away_ms / 1000;
    for (size_t i = 0; i < fleet->count; i++)
        fleet->by_name[i]->excused_s += away_ms / 1000;
}

void fleet_heard(struct fleet *fleet, struct device *device)
{
    fleet_keep_watch(fleet);
    device->heard_at = clock_now();
    device->excused_s = 0;
}

/* Silence ends with any request: who takes up a large file, or waits until a report is written down, lives.
 */
static int64_t heard_last(const struct device *device)
{
    int64_t heard = device->last_seen > device->heard_at ? device->last_seen : device->heard_at;

    return heard ? heard : device->enrolled_at;
}

int64_t device_silence_witnessed(const struct fleet *fleet, const struct device *device, int64_t now)
{
    int64_t heard = heard_last(device);

    return now - (heard > fleet->started_at ? heard : fleet->started_at) - device->excused_s;
}

int64_t device_silence(const struct fleet *fleet, const struct device *device, int64_t now)
{
    int64_t heard = heard_last(device);
    bool before = heard < fleet->started_at && heard < fleet->last_activity;

    return device_silence_witnessed(fleet, device, now) + (before ? fleet->last_activity - heard : 0);
}

bool device_missed(const struct fleet *fleet, const struct device *device)
{
    return device->excused_s > 0 || heard_last(device) < fleet->started_at;
}

enum connectivity device_connectivity(const struct fleet *fleet, const struct device *device, int64_t now)
{
    int64_t interval = device->poll_s ? device->poll_s : fleet_idle_interval(fleet->active);

    if (!device->last_seen)
        return NEVER_SEEN;
    int64_t silent = device_silence(fleet, device, now);
    if (silent <= 2 * interval + 5)
        return ONLINE;
    return silent <= 4 * interval + 15 ? LATE : OFFLINE;
}

static void count_device(struct fleet_counts *counts, const struct device *device,
                         enum connectivity connectivity)
{
    counts->overdue += device->overdue;
    counts->on_image += device->image.run_id[0] != '\0';
    if (device->admission == ADMISSION_REJECTED || device->admission == ADMISSION_RETIRED)
        return;
    counts->total++;
    counts->pending += device->admission == ADMISSION_PENDING;
    counts->online += connectivity == ONLINE;
    counts->late += connectivity == LATE;
    counts->offline += connectivity == OFFLINE;
    counts->never_seen += connectivity == NEVER_SEEN;
}

void fleet_counts(struct fleet *fleet, struct fleet_counts *counts)
{
    int64_t now = clock_now();

    *counts = (struct fleet_counts){0};
    fleet_lock(fleet);
    for (size_t i = 0; i < fleet->count; i++)
        count_device(counts, fleet->by_name[i], device_connectivity(fleet, fleet->by_name[i], now));
    fleet_unlock(fleet);
}

static void tell_counts(struct console *console, const struct fleet_counts *counts)
{
    struct fleet_counts *told = &console->fleet->told;

    if (counts->on_image == told->on_image && counts->overdue == told->overdue &&
        counts->online == told->online)
        return;
    *told = *counts;
    events_send(console->events, "counts", "{\"on_image\":%lld,\"overdue\":%lld,\"online\":%lld}",
                (long long)counts->on_image, (long long)counts->overdue, (long long)counts->online);
}

/* Devices named one by one in a step; more than that and pages read the list again. */
#define TOLD_MOST 1000

bool fleet_watch(struct console *console, struct error *err)
{
    ARENA(arena);
    struct fleet *fleet = console->fleet;
    int64_t now = clock_now();
    struct fleet_counts counts = {0};
    const char *names[TOLD_MOST];
    size_t changed = 0;

    (void)err; /* memory alone */
    fleet_lock(fleet);
    fleet_keep_watch(fleet);
    int64_t away_s = fleet->away_s;
    fleet->away_s = 0;
    for (size_t i = 0; i < fleet->count; i++) {
        struct device *device = fleet->by_name[i];
        enum connectivity connectivity = device_connectivity(fleet, device, now);

        count_device(&counts, device, connectivity);
        if (connectivity == device->told || changed == TOLD_MOST)
            continue;
        device->told = connectivity;
        names[changed++] = arena_strdup(&arena, device->name);
    }
    fleet_unlock(fleet);
    if (away_s)
        log_event(LOG_WARNING, "was_away", "seconds=%lld", (long long)away_s);
    for (size_t i = 0; i < changed; i++)
        events_send(console->events, "device", "{\"name\":\"%s\"}", names[i]);
    tell_counts(console, &counts);
    return true;
}

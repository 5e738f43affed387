#include "console/checkin.h"

#include "agent/protocol.h"
#include "base/clock.h"
#include "base/log.h"
#include "console/devices.h"
#include "console/events.h"
#include "console/fleet_parts.h"
#include "console/orders.h"
#include "diagnostics/assignment.h"

#include <string.h>

static const struct json_limits checkin_limits = {.bytes = CHECKIN_LIMIT, .values = 8192, .depth = 8};

/* What to do after the lock is given back. */
struct aftermath {
    bool stale, changed;
    char name[NAME_SIZE];
};

/* The same bytes as last time need no reading. */
static bool said_before(struct fleet *fleet, int64_t device_id, const uint8_t digest[SHA256_SIZE])
{
    fleet_lock(fleet);
    bool same = !memcmp(fleet_by_id(fleet, device_id)->said, digest, SHA256_SIZE);
    fleet_unlock(fleet);
    return same;
}

static bool take_body(struct console *console, int64_t device_id, const char *body, size_t size,
                      struct aftermath *after, struct error *err)
{
    ARENA(arena);
    struct checkin checkin;
    uint8_t digest[SHA256_SIZE];

    sha256_bytes(body, size, digest);
    if (said_before(console->fleet, device_id, digest))
        return true;
    const struct json *json = json_read(&arena, body, size, &checkin_limits, err);
    if (!json || !checkin_read(&arena, json, &checkin, err))
        return false;
    fleet_lock(console->fleet);
    struct device *device = fleet_by_id(console->fleet, device_id);
    int64_t order_seen = device->order_seen;
    bool other_set = strcmp(device->set, checkin.set) != 0;
    after->changed = checkin_apply(device, &checkin);
    if (other_set)
        device_wish_changed(
            device); /* what it is to run may depend on what it runs: console/delivery/wish.h */
    memcpy(device->said, digest, sizeof digest);
    if (after->changed)
        fleet_rollout_note(console->fleet, device);
    if (device->order_seen > device->order_seq && device->order_seen != order_seen)
        device_wish_changed(device); /* it holds a newer order than we do: ours comes from a backup */
    fleet_unlock(console->fleet);
    return true;
}

/* Also while the scheduler makes it: then orders_make waits for that, so that what was released before a
 * check-in is in its answer. */
static bool is_due(struct console *console, int64_t device_id)
{
    fleet_lock(console->fleet);
    const struct device *device = fleet_by_id(console->fleet, device_id);
    bool stale = device->wish_taken || order_is_stale(device, clock_now());
    fleet_unlock(console->fleet);
    return stale;
}

/* The order goes out with this answer: what waited in it is offered, durably, before the device can know of
 * it. */
static void mark_offered(struct console *console, int64_t device_id)
{
    struct error err = {0};

    fleet_lock(console->fleet);
    struct device *device = fleet_by_id(console->fleet, device_id);
    bool offers = device->offers && device->order_seq > device->order_seen;
    if (offers)
        device->offers = false;
    fleet_unlock(console->fleet);
    if (offers && !assignment_offered(console->diagnostics, device_id, &err)) {
        fleet_lock(console->fleet);
        device->offers = true;
        fleet_unlock(console->fleet);
        log_event(LOG_WARNING, "offer_not_noted", "why=\"%s\"", err.text);
    }
}

static void answer_write(struct fleet *fleet, struct device *device, int watchers, int64_t now,
                         struct text *answer)
{
    struct json_writer writer;
    bool given = device->admission == ADMISSION_ACCEPTED && !device->clone_suspected && device->order &&
                 device->order_seq > device->order_seen;

    device->poll_s = fleet_poll_interval(fleet, device, watchers);
    json_write_init(&writer, answer);
    json_write_object(&writer, NULL);
    json_write_time(&writer, "time", now);
    json_write_integer(&writer, "poll_s", device->poll_s);
    if (given)
        json_write_raw(&writer, "order", device->order, strlen(device->order));
    else
        json_write_null(&writer, "order");
    json_write_string(&writer, "admission", admission_name(device->admission));
    json_write_boolean(&writer, "clone_suspected", device->clone_suspected);
    if (!device->facts)
        json_write_boolean(&writer, "want_facts", true);
    json_write_end(&writer, '}');
}

static void answer_make(struct console *console, int64_t device_id, struct aftermath *after,
                        struct text *answer)
{
    int watchers = events_watchers(console->events);
    int64_t now = clock_now();

    fleet_lock(console->fleet);
    struct device *device = fleet_by_id(console->fleet, device_id);
    fleet_heard(console->fleet, device);
    after->changed |= !device->last_seen;
    device->last_seen = now;
    device->seen_dirty = true;
    answer_write(console->fleet, device, watchers, now, answer);
    strcpy(after->name, device->name);
    fleet_unlock(console->fleet);
}

bool device_checkin(struct console *console, int64_t device_id, const char *body, size_t size,
                    struct text *answer, struct error *err)
{
    struct aftermath after = {0};
    struct error ignored = {0};

    if (!take_body(console, device_id, body, size, &after, err))
        return false;
    /* Without a new order the device keeps the one it has: the check-in counts all the same. */
    if (is_due(console, device_id) && !orders_make(console, &device_id, 1, &ignored))
        log_event(LOG_WARNING, "order_failed", "device_id=%lld why=\"%s\"", (long long)device_id,
                  ignored.text);
    mark_offered(console, device_id);
    answer_make(console, device_id, &after, answer);
    if (after.changed)
        device_tell(console, after.name);
    return true;
}

#include "console/delivery/wish_device.h"

#include "base/clock.h"
#include "base/text.h"

#include <string.h>

/* Why a wanted version of this asset does not run yet, by the device's own words; NULL: it says nothing. */
static const char *refusal_of(struct arena *arena, const struct running_asset *running)
{
    if (running->wanted && running->reason)
        return arena_printf(arena, "the device tried %s and did not take it: %s", running->wanted,
                            running->reason);
    if (string_is(running->state, "downloading"))
        return "the device is downloading it";
    if (string_is(running->state, "updating"))
        return "the device is taking it up";
    return NULL;
}

/* Why it takes nothing at all just now; NULL: nothing stands in the way. */
static const char *waiting_of(struct arena *arena, const struct fleet *fleet, const struct device *device)
{
    enum connectivity connectivity = device_connectivity(fleet, device, clock_now());
    char since[TIME_TEXT];

    if (device->admission != ADMISSION_ACCEPTED)
        return arena_printf(arena, "the device is %s: it gets no orders", admission_name(device->admission));
    if (device->clone_suspected)
        return "the device may exist twice: it gets no new orders until a person decides";
    if (connectivity == NEVER_SEEN)
        return "the device was never seen";
    if (connectivity == OFFLINE)
        return arena_printf(arena, "the device is offline, last seen %s",
                            time_text(device->last_seen, since));
    if (device->waiting)
        return arena_strdup(arena, device->waiting);
    if (device->wish_stale || device->order_seen < device->order_seq)
        return "its order goes out with its next check-in";
    return NULL;
}

void wish_device_copy(struct arena *arena, const struct fleet *fleet, const struct device *device,
                      struct wish_device *into)
{
    struct set_entry *running = arena_array(arena, device->running_count, sizeof *running);
    const char **refusals = arena_array(arena, device->running_count, sizeof *refusals);
    size_t count = 0;

    for (size_t i = 0; i < device->running_count; i++) {
        const struct running_asset *one = &device->running[i];
        if (strlen(one->asset) >= sizeof running->asset || strlen(one->version) >= sizeof running->version)
            continue; /* the check-in's own bounds say no */
        strcpy(running[count].asset, one->asset);
        strcpy(running[count].version, one->version);
        refusals[count++] = refusal_of(arena, one);
    }
    *into = (struct wish_device){.id = device->id,
                                 .product = arena_strdup(arena, device->product),
                                 .hardware = arena_strdup(arena, device->hardware),
                                 .development = device->development,
                                 .running = running,
                                 .running_count = count,
                                 .refusals = refusals,
                                 .waiting = waiting_of(arena, fleet, device)};
}

bool wish_device_find(struct arena *arena, struct fleet *fleet, const char *name, struct wish_device *into,
                      struct error *err)
{
    fleet_lock(fleet);
    const struct device *device = fleet_by_name(fleet, name);
    if (device)
        wish_device_copy(arena, fleet, device, into);
    fleet_unlock(fleet);
    return device || error_set(err, ERROR_MISSING, "there is no device %.64s", name);
}

const char *wish_device_runs(const struct wish_device *device, const char *asset)
{
    for (size_t i = 0; i < device->running_count; i++)
        if (!strcmp(device->running[i].asset, asset) && device->running[i].version[0])
            return device->running[i].version;
    return NULL;
}

#include "console/fleet_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "console/delivery/group.h"

#include <stdlib.h>
#include <string.h>

static const char *const admission_names[] = {"pending", "accepted", "rejected", "retired"};
static const char *const connectivity_names[] = {"never_seen", "online", "late", "offline"};

const char *admission_name(enum admission admission)
{
    return admission_names[admission];
}

bool admission_from_name(const char *name, enum admission *admission)
{
    for (int i = 0; i <= ADMISSION_RETIRED; i++)
        if (string_is(name, admission_names[i])) {
            *admission = (enum admission)i;
            return true;
        }
    return false;
}

const char *connectivity_name(enum connectivity connectivity)
{
    return connectivity_names[connectivity];
}

/* Out of memory ends the program, as in the arena. */
static void *must(void *memory)
{
    if (!memory) {
        log_event(LOG_ERROR, "out_of_memory", "in=fleet");
        abort();
    }
    return memory;
}

bool own_string(char **owned, const char *value)
{
    if ((!*owned && !value) || string_is(*owned, value))
        return false;
    free(*owned);
    *owned = value ? must(strdup(value)) : NULL;
    return true;
}

void fleet_lock(struct fleet *fleet)
{
    pthread_mutex_lock(&fleet->lock);
}

void fleet_unlock(struct fleet *fleet)
{
    pthread_mutex_unlock(&fleet->lock);
}

/* --- finding
 * ------------------------------------------------------------------------------------------------------ */

static const char *device_sort_name(const struct device *device)
{
    return device->name;
}

static const char *device_sort_key(const struct device *device)
{
    return device->key.id;
}

typedef const char *sort_text(const struct device *device);

/* Where `text` stands or would stand. */
static size_t place_of(struct device *const *sorted, size_t count, sort_text *of, const char *text)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(of(sorted[middle]), text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct device *find(struct device *const *sorted, size_t count, sort_text *of, const char *text)
{
    size_t place = place_of(sorted, count, of, text);

    return place < count && !strcmp(of(sorted[place]), text) ? sorted[place] : NULL;
}

struct device *fleet_by_id(struct fleet *fleet, int64_t id)
{
    return id >= 1 && (uint64_t)id <= fleet->id_room ? fleet->by_id[id - 1] : NULL;
}

struct device *fleet_by_name(struct fleet *fleet, const char *name)
{
    return find(fleet->by_name, fleet->count, device_sort_name, name);
}

int64_t fleet_id_of(struct fleet *fleet, const char *name, struct error *err)
{
    fleet_lock(fleet);
    const struct device *device = fleet_by_name(fleet, name);
    int64_t id = device ? device->id : 0;
    fleet_unlock(fleet);
    if (!id)
        error_set(err, ERROR_MISSING, "there is no device %.64s", name);
    return id;
}

struct device *fleet_by_key(struct fleet *fleet, const char *key_id)
{
    return find(fleet->by_key, fleet->count, device_sort_key, key_id);
}

struct device *const *fleet_all(struct fleet *fleet, size_t *count)
{
    *count = fleet->count;
    return fleet->by_name;
}

/* --- growing
 * ------------------------------------------------------------------------------------------------------ */

static void insert(struct device **sorted, size_t count, sort_text *of, struct device *device)
{
    size_t place = place_of(sorted, count, of, of(device));

    memmove(sorted + place + 1, sorted + place, (count - place) * sizeof *sorted);
    sorted[place] = device;
}

static void make_room(struct fleet *fleet, int64_t id)
{
    if (fleet->count == fleet->room) {
        fleet->room = fleet->room ? fleet->room * 2 : 64;
        fleet->by_name = must(reallocarray(fleet->by_name, fleet->room, sizeof *fleet->by_name));
        fleet->by_key = must(reallocarray(fleet->by_key, fleet->room, sizeof *fleet->by_key));
    }
    if ((uint64_t)id > fleet->id_room) {
        size_t room = (size_t)id + fleet->id_room / 2 + 64;

        fleet->by_id = must(reallocarray(fleet->by_id, room, sizeof *fleet->by_id));
        memset(fleet->by_id + fleet->id_room, 0, (room - fleet->id_room) * sizeof *fleet->by_id);
        fleet->id_room = room;
    }
}

struct device *fleet_add(struct fleet *fleet, const struct device *device)
{
    struct device *added = must(malloc(sizeof *added));

    *added = *device;
    make_room(fleet, device->id);
    insert(fleet->by_name, fleet->count, device_sort_name, added);
    insert(fleet->by_key, fleet->count, device_sort_key, added);
    fleet->count++;
    fleet->by_id[added->id - 1] = added;
    fleet->active += added->admission == ADMISSION_PENDING || added->admission == ADMISSION_ACCEPTED;
    return added;
}

static void device_free(struct device *device)
{
    for (char **tag = device->tags; tag && *tag; tag++)
        free(*tag);
    free(device->tags);
    free(device->groups);
    for (size_t i = 0; i < device->running_count; i++) {
        struct running_asset *running = &device->running[i];

        free(running->asset);
        free(running->version);
        free(running->sha256);
        free(running->wanted);
        free(running->reason);
    }
    free(device->running);
    free(device->facts);
    free(device->waiting);
    free(device->safe);
    free(device->order);
    free(device);
}

void fleet_close(struct fleet *fleet)
{
    if (!fleet)
        return;
    for (size_t i = 0; i < fleet->count; i++)
        device_free(fleet->by_name[i]);
    group_unload(fleet);
    free(fleet->by_name);
    free(fleet->by_key);
    free(fleet->by_id);
    free(fleet->news);
    pthread_mutex_destroy(&fleet->lock);
    pthread_mutex_destroy(&fleet->orders);
    pthread_mutex_destroy(&fleet->grouping);
    free(fleet);
}

/* --- wishes
 * ------------------------------------------------------------------------------------------------------- */

void device_wish_changed(struct device *device)
{
    device->wish_stale = true;
}

int64_t fleet_product_wish_changed(struct fleet *fleet, const char *product)
{
    int64_t changed = 0;

    fleet_lock(fleet);
    for (size_t i = 0; i < fleet->count; i++)
        if (!strcmp(fleet->by_name[i]->product, product)) {
            device_wish_changed(fleet->by_name[i]);
            changed++;
        }
    fleet_unlock(fleet);
    return changed;
}

static bool is_counted(const struct device *device)
{
    return device->admission == ADMISSION_PENDING || device->admission == ADMISSION_ACCEPTED;
}

int64_t fleet_of_product(struct fleet *fleet, const char *product)
{
    int64_t count = 0;

    fleet_lock(fleet);
    for (size_t i = 0; i < fleet->count; i++)
        count += is_counted(fleet->by_name[i]) && !strcmp(fleet->by_name[i]->product, product);
    fleet_unlock(fleet);
    return count;
}

static const struct running_asset *running_find(const struct device *device, const char *asset)
{
    for (size_t i = 0; i < device->running_count; i++)
        if (!strcmp(device->running[i].asset, asset))
            return &device->running[i];
    return NULL;
}

bool device_runs(const struct device *device, const char *asset, const char *version)
{
    const struct running_asset *running = running_find(device, asset);

    return running && !strcmp(running->version, version);
}

/* Proven running: the swap ended well, and the app runs with it, where the device has one. */
static bool is_proven(const struct device *device, const struct running_asset *running)
{
    return device->admission == ADMISSION_ACCEPTED && running->result == 1 &&
           !strcmp(running->state, "idle") &&
           (!strcmp(device->app_state, "running") || !strcmp(device->app_state, "none"));
}

void fleet_adoption(struct fleet *fleet, const char *product, const char *asset, struct adoption *adoptions,
                    size_t count)
{
    for (size_t v = 0; v < count; v++)
        adoptions[v].devices = adoptions[v].proven = 0;
    fleet_lock(fleet);
    for (size_t i = 0; i < fleet->count; i++) {
        const struct device *device = fleet->by_name[i];
        const struct running_asset *running =
            is_counted(device) && !strcmp(device->product, product) ? running_find(device, asset) : NULL;
        size_t v = 0;

        while (running && v < count && strcmp(adoptions[v].version, running->version))
            v++;
        if (!running || v == count)
            continue;
        adoptions[v].devices++;
        adoptions[v].proven += is_proven(device, running);
    }
    fleet_unlock(fleet);
}

int64_t fleet_proven(struct fleet *fleet, const char *product, const char *asset, const char *version)
{
    struct adoption adoption = {.version = version};

    fleet_adoption(fleet, product, asset, &adoption, 1);
    return adoption.proven;
}

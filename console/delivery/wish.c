/* Who wants what: the precedence of pins, development, rollouts and releases, asset by asset. */
#include "console/delivery/wish_parts.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* Devices that differ in nothing that counts have the same set. */
struct wish_shared {
    const char *hardware;
    const int64_t *groups; /* those with releases, in the order of the device's membership */
    size_t group_count;
    struct set_entry *set;
    size_t count;
    struct wish_shared *next;
};
/* What stands in rows about one device alone. */
struct own {
    bool any; /* a pin, a target, development: its wish is its own */
    const int64_t *groups;
    size_t group_count;
};

/* --- choices
 * ------------------------------------------------------------------------------------------------------- */

static size_t place_of(const struct wish_thought *thought, const char *asset)
{
    size_t low = 0, high = thought->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(thought->choices[middle].asset, asset) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct wish_choice *wish_choice_find(struct wish_thought *thought, const char *asset)
{
    size_t place = place_of(thought, asset);

    return place < thought->count && !strcmp(thought->choices[place].asset, asset) ? &thought->choices[place]
                                                                                   : NULL;
}

struct wish_choice *wish_choice_add(struct wish_thought *thought, const char *asset, struct error *err)
{
    size_t place = place_of(thought, asset);

    if (place < thought->count && !strcmp(thought->choices[place].asset, asset))
        return &thought->choices[place];
    if (thought->count == WISH_ASSETS_MOST) {
        error_set(err, ERROR_LIMIT, "a device runs at most %d assets together", WISH_ASSETS_MOST);
        return NULL;
    }
    const struct wish_asset *known = wish_asset(thought->batch, thought->product, asset, err);
    if (!known)
        return NULL;
    if (thought->count == thought->room) {
        thought->room = thought->room ? 2 * thought->room : 16;
        struct wish_choice *grown =
            arena_array(thought->batch->arena, thought->room, sizeof *thought->choices);
        if (thought->count)
            memcpy(grown, thought->choices, thought->count * sizeof *grown);
        thought->choices = grown;
    }
    memmove(thought->choices + place + 1, thought->choices + place,
            (thought->count - place) * sizeof *thought->choices);
    thought->count++;
    thought->choices[place] = (struct wish_choice){.asset = known->name, .known = known};
    return &thought->choices[place];
}

static const struct wish_version *running_look_up(struct wish_thought *thought,
                                                  const struct wish_asset *asset)
{
    const struct wish_device *device = thought->device;

    for (size_t i = 0; i < device->running_count; i++) {
        const struct set_entry *entry = &device->running[i];
        if (strcmp(entry->asset, asset->name) || !entry->version[0])
            continue;
        const struct wish_version *version = wish_version(asset, entry->version);
        if (version)
            return version;
        struct wish_version *made_up = arena_alloc(thought->batch->arena, sizeof *made_up);
        *made_up = (struct wish_version){.version = entry->version};
        return made_up;
    }
    return NULL;
}

const struct wish_version *wish_running(struct wish_thought *thought, struct wish_choice *choice)
{
    thought->looked = true;
    if (!choice->looked)
        choice->running = running_look_up(thought, choice->known);
    choice->looked = true;
    return choice->running;
}

/* --- candidates, in the order in which they win
 * --------------------------------------------------------------------------------- */

void wish_candidate_add(struct wish_thought *thought, struct wish_choice *choice,
                        const struct wish_candidate *candidate)
{
    struct wish_candidate *grown =
        arena_array(thought->batch->arena, choice->candidate_count + 1, sizeof *grown);

    if (choice->candidate_count)
        memcpy(grown, choice->candidates, choice->candidate_count * sizeof *grown);
    grown[choice->candidate_count++] = *candidate;
    choice->candidates = grown;
}

static bool candidate_add(struct wish_thought *thought, const char *asset,
                          const struct wish_candidate *candidate, struct error *err)
{
    /* Beyond what a set holds nothing more is looked at; what wins came first. */
    if (thought->count == WISH_ASSETS_MOST && !wish_choice_find(thought, asset))
        return true;
    struct wish_choice *choice = wish_choice_add(thought, asset, err);
    if (choice)
        wish_candidate_add(thought, choice, candidate);
    return choice != NULL;
}

static bool pins_read(struct wish_thought *thought, struct own *own, struct error *err)
{
    struct arena *arena = thought->batch->arena;
    struct db_query *query = db_query(thought->batch->conn,
                                      "SELECT asset, version, on_reset, pinned_by, reason, pinned_at FROM pin"
                                      " WHERE device_id = :device AND active = 1 ORDER BY asset");
    bool good = true;

    db_bind_integer(query, ":device", thought->device->id);
    while (good && db_step(query)) {
        const char *reason = db_text(query, 4);
        struct wish_candidate pin = {.source = SOURCE_PIN,
                                     .version = db_text_copy(query, 1, arena),
                                     .apply.on_start = db_integer(query, 2) != 0,
                                     .at = db_integer(query, 5)};
        pin.text = arena_printf(arena, "pinned to %s by %s%s%s%s", pin.version, db_text(query, 3),
                                pin.apply.on_start ? ", from the next start of its agent on" : "",
                                reason ? ": " : "", reason ? reason : "");
        own->any = true;
        good = candidate_add(thought, db_text(query, 0), &pin, err);
    }
    struct error ignored = {0};
    return db_end(query, good ? err : &ignored) && good;
}

static bool kept_read(struct wish_thought *thought, struct own *own, struct error *err)
{
    struct arena *arena = thought->batch->arena;
    struct db_query *query = db_query(thought->batch->conn, "SELECT asset, version FROM device_kept"
                                                            " WHERE device_id = :device ORDER BY asset");
    bool good = true;

    own->any = true;
    db_bind_integer(query, ":device", thought->device->id);
    while (good && db_step(query)) {
        struct wish_candidate kept = {.source = SOURCE_DEVELOPMENT, .version = db_text_copy(query, 1, arena)};
        kept.text = arena_printf(
            arena, "a development device: it keeps %s, which it was to run when it became one", kept.version);
        good = candidate_add(thought, db_text(query, 0), &kept, err);
    }
    struct error ignored = {0};
    return db_end(query, good ? err : &ignored) && good;
}

static bool targets_read(struct wish_thought *thought, struct own *own, struct error *err)
{
    struct arena *arena = thought->batch->arena;
    struct db_query *query = db_query(
        thought->batch->conn, "SELECT asset, version, rollout_id, decided_at, apply_after, window, rate"
                              " FROM device_target WHERE device_id = :device ORDER BY asset");
    bool good = true;

    db_bind_integer(query, ":device", thought->device->id);
    while (good && db_step(query)) {
        const char *window = db_text(query, 5);
        struct wish_candidate target = {.source = SOURCE_ROLLOUT,
                                        .name = arena_printf(arena, "%lld", (long long)db_integer(query, 2)),
                                        .version = db_text_copy(query, 1, arena),
                                        .apply.after = db_integer(query, 4),
                                        .apply.rate = db_integer(query, 6),
                                        .at = db_integer(query, 3)};
        if (window && window_read(window, NULL, NULL))
            strcpy(target.apply.window, window);
        target.text = arena_printf(arena, "rollout %s brings %s", target.name, target.version);
        own->any = true;
        good = candidate_add(thought, db_text(query, 0), &target, err);
    }
    struct error ignored = {0};
    return db_end(query, good ? err : &ignored) && good;
}

/* Its groups, as far as releases of its product stand on them. */
static bool groups_read(struct wish_thought *thought, struct own *own, struct error *err)
{
    const struct wish_product *product = thought->product;
    int64_t *groups = arena_array(thought->batch->arena, product->group_release_count, sizeof *groups);

    own->groups = groups;
    if (!product->group_release_count)
        return true;
    struct db_query *query =
        db_query(thought->batch->conn,
                 "SELECT group_id FROM device_group_member WHERE device_id = :device ORDER BY group_id");
    db_bind_integer(query, ":device", thought->device->id);
    while (db_step(query))
        for (size_t i = 0; i < product->group_release_count; i++)
            if (product->group_releases[i].group_id == db_integer(query, 0)) {
                groups[own->group_count++] = db_integer(query, 0);
                break;
            }
    return db_end(query, err);
}

static bool release_add(struct wish_thought *thought, const struct wish_release *release, struct error *err)
{
    struct arena *arena = thought->batch->arena;
    struct wish_candidate candidate = {.source = release->group_id ? SOURCE_GROUP : SOURCE_PRODUCT,
                                       .name = release->group,
                                       .version = release->version,
                                       .at = release->at};

    candidate.text = release->group_id
                         ? arena_printf(arena, "released to the group %s by %s", release->group,
                                        release->by ? release->by : "somebody")
                         : arena_printf(arena, "released to all devices of %s by %s", thought->product->name,
                                        release->by ? release->by : "somebody");
    return candidate_add(thought, release->asset, &candidate, err);
}

static bool releases_add(struct wish_thought *thought, const struct own *own, struct error *err)
{
    const struct wish_product *product = thought->product;

    for (size_t i = 0; i < product->group_release_count; i++)
        for (size_t k = 0; k < own->group_count; k++)
            if (product->group_releases[i].group_id == own->groups[k] &&
                !release_add(thought, &product->group_releases[i], err))
                return false;
    for (size_t i = 0; i < product->release_count; i++)
        if (!release_add(thought, &product->releases[i], err))
            return false;
    return true;
}

/* --- the winner of an asset
 * ---------------------------------------------------------------------------------------- */

static const struct wish_version *version_of(struct wish_thought *thought, struct wish_choice *choice,
                                             const char *name)
{
    const struct wish_version *version = wish_version(choice->known, name);

    if (version)
        return version;
    /* The index does not know it: it is named as it stands, the device looks it up in the signed metadata. */
    struct wish_version *made_up = arena_alloc(thought->batch->arena, sizeof *made_up);
    *made_up = (struct wish_version){.version = name};
    return made_up;
}

/* Why this device cannot have it; NULL: it can. */
static const char *obstacle(struct wish_thought *thought, struct wish_choice *choice,
                            const struct wish_version *version)
{
    struct arena *arena = thought->batch->arena;

    if (!wish_fits_hardware(version, thought->device->hardware))
        return arena_printf(arena, "%s does not fit %s%s", version->version,
                            thought->device->hardware[0] ? "the hardware "
                                                         : "a device that names no hardware",
                            thought->device->hardware);
    if (version->withdrawn && wish_running(thought, choice) != version)
        return arena_printf(arena, "%s was withdrawn", version->version);
    return NULL;
}

static void choose(struct wish_choice *choice, struct wish_candidate *winner,
                   const struct wish_version *version)
{
    winner->wins = true;
    choice->source = winner->source;
    choice->chosen = choice->asked = version;
    choice->apply = winner->apply;
    choice->text = winner->text;
    choice->waits = NULL;
}

/* The newest release before that this device can have: others keep what they had. */
static const struct wish_version *released_before(struct wish_thought *thought, struct wish_choice *choice)
{
    const struct wish_version *best = NULL;

    for (size_t i = 0; i < choice->known->count; i++) {
        const struct wish_version *version = &choice->known->versions[i];
        if (version->released && (!best || version->released > best->released) &&
            !obstacle(thought, choice, version))
            best = version;
    }
    return best;
}

/* A pin or a kept version holds, even where it cannot be had: then what runs stays. */
static void choose_held(struct wish_thought *thought, struct wish_choice *choice,
                        struct wish_candidate *winner)
{
    const struct wish_version *version = version_of(thought, choice, winner->version);
    const char *why = obstacle(thought, choice, version);

    choose(choice, winner, version);
    if (!why)
        return;
    choice->chosen = wish_running(thought, choice);
    choice->apply = (struct apply){0};
    choice->waits = why;
}

static bool is_newer_release(const struct wish_choice *choice, const struct wish_candidate *target)
{
    for (size_t i = 0; i < choice->candidate_count; i++) {
        const struct wish_candidate *other = &choice->candidates[i];
        if ((other->source == SOURCE_GROUP || other->source == SOURCE_PRODUCT) && other->at > target->at)
            return true;
    }
    return false;
}

/* Rollout, group, product: the first that the device can have; else the newest release to all before. */
static void choose_first(struct wish_thought *thought, struct wish_choice *choice)
{
    struct arena *arena = thought->batch->arena;
    struct wish_candidate *last = NULL;

    for (size_t i = 0; i < choice->candidate_count; i++) {
        struct wish_candidate *candidate = &choice->candidates[i];
        const struct wish_version *version = version_of(thought, choice, candidate->version);
        const char *why = candidate->source == SOURCE_ROLLOUT && is_newer_release(choice, candidate)
                              ? "a release is newer"
                              : obstacle(thought, choice, version);
        if (!why) {
            choose(choice, candidate, version);
            return;
        }
        candidate->text = arena_printf(arena, "%s, but %s", candidate->text, why);
        choice->waits = why;
        last = candidate;
    }
    const struct wish_version *before =
        last && last->source == SOURCE_PRODUCT ? released_before(thought, choice) : NULL;
    if (!before)
        return;
    const char *waits = choice->waits;
    struct wish_candidate earlier = {.source = SOURCE_PRODUCT,
                                     .version = before->version,
                                     .text = "the newest release before that this device can have"};
    wish_candidate_add(thought, choice, &earlier);
    choose(choice, &choice->candidates[choice->candidate_count - 1], before);
    choice->waits = waits;
}

/* The device would refuse it: its floor is the highest counter that it committed. */
static void keep_counter(struct wish_thought *thought, struct wish_choice *choice)
{
    if (!choice->chosen || !choice->known->counters_differ)
        return;
    const struct wish_version *running = wish_running(thought, choice);
    if (!running || choice->chosen->counter >= running->counter)
        return;
    choice->waits = arena_printf(
        thought->batch->arena,
        "%s has the security counter %lld, and the device runs %s with %lld: it does not go back",
        choice->chosen->version, (long long)choice->chosen->counter, running->version,
        (long long)running->counter);
    choice->chosen = running;
    choice->apply = (struct apply){0};
}

static void choice_make(struct wish_thought *thought, struct wish_choice *choice)
{
    struct wish_candidate *first = choice->candidate_count ? &choice->candidates[0] : NULL;

    if (first && (first->source == SOURCE_PIN || first->source == SOURCE_DEVELOPMENT))
        choose_held(thought, choice, first);
    else if (thought->device->development)
        choice->waits = "a development device takes no release and no rollout";
    else
        choose_first(thought, choice);
    keep_counter(thought, choice);
}

static bool own_read(struct wish_thought *thought, struct own *own, struct error *err)
{
    *own = (struct own){0};
    return pins_read(thought, own, err) && (!thought->device->development || kept_read(thought, own, err)) &&
           targets_read(thought, own, err) && groups_read(thought, own, err);
}

/* Candidates that stand already are the device's own. */
static bool think_on(struct wish_thought *thought, const struct own *own, struct error *err)
{
    if (!releases_add(thought, own, err))
        return false;
    for (size_t i = 0; i < thought->count; i++)
        choice_make(thought, &thought->choices[i]);
    return wish_fit(thought, err);
}

static bool thought_begin(struct wish_thought *thought, struct wish_batch *batch,
                          const struct wish_device *device, struct own *own, struct error *err)
{
    *thought = (struct wish_thought){.batch = batch, .device = device};
    thought->product = wish_product(batch, device->product, err);
    return thought->product && own_read(thought, own, err);
}

bool wish_think(struct wish_thought *thought, struct error *err)
{
    struct own own;
    struct wish_batch *batch = thought->batch;
    const struct wish_device *device = thought->device;

    return thought_begin(thought, batch, device, &own, err) && think_on(thought, &own, err);
}

/* --- sets
 * -------------------------------------------------------------------------------------------------------- */

static struct wish_shared *shared_find(const struct wish_thought *thought, const struct own *own)
{
    for (struct wish_shared *shared = thought->product->shared; shared; shared = shared->next)
        if (!strcmp(shared->hardware, thought->device->hardware) && shared->group_count == own->group_count &&
            (!own->group_count ||
             !memcmp(shared->groups, own->groups, own->group_count * sizeof *own->groups)))
            return shared;
    return NULL;
}

static void shared_add(struct wish_thought *thought, const struct own *own, struct set_entry *set,
                       size_t count)
{
    struct arena *arena = thought->batch->arena;
    struct wish_shared *shared = arena_alloc(arena, sizeof *shared);

    *shared = (struct wish_shared){.hardware = arena_strdup(arena, thought->device->hardware),
                                   .groups = own->groups,
                                   .group_count = own->group_count,
                                   .set = set,
                                   .count = count,
                                   .next = thought->product->shared};
    thought->product->shared = shared;
}

static struct set_entry *set_write(const struct wish_thought *thought, size_t *count)
{
    struct set_entry *set = arena_array(thought->batch->arena, thought->count, sizeof *set);

    *count = 0;
    for (size_t i = 0; i < thought->count; i++) {
        const struct wish_choice *choice = &thought->choices[i];
        if (!choice->chosen || strlen(choice->chosen->version) >= VERSION_SIZE)
            continue;
        struct set_entry *entry = &set[(*count)++];
        *entry = (struct set_entry){.apply = choice->apply};
        strcpy(entry->asset, choice->asset);
        strcpy(entry->version, choice->chosen->version);
    }
    return set;
}

bool wish_make_next(struct wish_batch *batch, const struct wish_device *device, struct set_entry **set,
                    size_t *count, struct error *err)
{
    struct wish_thought thought;
    struct own own;

    if (!thought_begin(&thought, batch, device, &own, err))
        return false;
    const struct wish_shared *shared = own.any ? NULL : shared_find(&thought, &own);
    if (shared) {
        *set = shared->set;
        *count = shared->count;
        return true;
    }
    if (!think_on(&thought, &own, err))
        return false;
    *set = set_write(&thought, count);
    if (!own.any && !thought.looked)
        shared_add(&thought, &own, *set, *count);
    return true;
}

bool wish_make(struct db_conn *conn, struct arena *arena, const struct wish_device *device,
               struct set_entry **set, size_t *count, struct error *err)
{
    return wish_make_next(wish_batch(conn, arena), device, set, count, err);
}

/* Sets that fit: what versions `require` of each other.
 *
 * While a requirement is not met, one asset gives way: it goes on to the next version that fits what all
 * others are to run (what the device runs, else an earlier release, else an earlier listed version), and
 * never comes back to one that it left, so this ends. A required asset that nothing asks for is added. When
 * nothing helps, an asset that the device does not run is left out, and else the device keeps the set that it
 * has. */
#include "console/delivery/wish_parts.h"

#include "base/text.h"
#include "repo/range.h"

#include <string.h>

#define STEPS_MOST                                                                                           \
    4096 /* far beyond what the ways of 256 assets need in practice; then the set stays as it is */

struct misfit {
    const char *asset; /* whose requirement is not met */
    const struct wish_need *need;
};

static const struct wish_version *chosen_of(struct wish_thought *thought, const char *asset)
{
    const struct wish_choice *choice = wish_choice_find(thought, asset);

    return choice ? choice->chosen : NULL;
}

static bool is_met(struct wish_thought *thought, const struct wish_need *need)
{
    const struct wish_version *other = chosen_of(thought, need->asset);

    return other && range_holds(need->range, other->version);
}

static bool find_misfit(struct wish_thought *thought, struct misfit *misfit)
{
    for (size_t i = 0; i < thought->count; i++) {
        const struct wish_choice *choice = &thought->choices[i];
        for (size_t k = 0; choice->chosen && k < choice->chosen->need_count; k++)
            if (!is_met(thought, &choice->chosen->needs[k])) {
                *misfit = (struct misfit){choice->asset, &choice->chosen->needs[k]};
                return true;
            }
    }
    return false;
}

/* --- what an asset could run instead
 * ------------------------------------------------------------------------------- */

/* Do the others have what it needs, or could that be added? */
static bool has_its_needs(struct wish_thought *thought, const struct wish_version *version)
{
    for (size_t i = 0; i < version->need_count; i++) {
        const struct wish_need *need = &version->needs[i];
        if (wish_choice_find(thought, need->asset) && !is_met(thought, need))
            return false;
    }
    return true;
}

/* Do the others that need this asset accept the version? */
static bool is_accepted(struct wish_thought *thought, const char *asset, const struct wish_version *version)
{
    for (size_t i = 0; i < thought->count; i++) {
        const struct wish_choice *other = &thought->choices[i];
        for (size_t k = 0; other->chosen && k < other->chosen->need_count; k++)
            if (!strcmp(other->chosen->needs[k].asset, asset) &&
                !range_holds(other->chosen->needs[k].range, version->version))
                return false;
    }
    return true;
}

static bool *banned(struct wish_thought *thought, struct wish_choice *choice,
                    const struct wish_version *version)
{
    const struct wish_version *known = wish_version(choice->known, version->version);
    size_t place = known ? (size_t)(known - choice->known->versions) : choice->known->count;

    if (!choice->banned)
        choice->banned = arena_array(thought->batch->arena, choice->known->count + 1, sizeof *choice->banned);
    return &choice->banned[place];
}

static bool can_go_to(struct wish_thought *thought, struct wish_choice *choice,
                      const struct wish_version *version)
{
    return version != choice->chosen && !*banned(thought, choice, version) &&
           wish_fits_hardware(version, thought->device->hardware) && has_its_needs(thought, version) &&
           is_accepted(thought, choice->asset, version);
}

/* May it be sent although nobody asked for it by its number? */
static bool is_offered(const struct wish_choice *choice, const struct wish_version *version,
                       const struct wish_version *running)
{
    bool plain = !strchr(version->version, '-');
    bool below = !choice->asked || version_compare(version->version, choice->asked->version) < 0;

    /* For what is only required, the range says whether a pre-release is asked for. */
    return version->listed && !version->withdrawn && below &&
           (plain || version->released || !choice->asked) &&
           (!running || version->counter >= running->counter);
}

static const struct wish_version *way_out(struct wish_thought *thought, struct wish_choice *choice)
{
    const struct wish_version *running = wish_running(thought, choice), *best = NULL;

    if (running && can_go_to(thought, choice, running))
        return running;
    for (size_t i = 0; i < choice->known->count; i++) { /* highest first */
        const struct wish_version *version = &choice->known->versions[i];
        if (!is_offered(choice, version, running) || !can_go_to(thought, choice, version))
            continue;
        if (!best || (choice->asked && version->released > best->released))
            best = version;
    }
    return best;
}

/* --- giving way
 * ------------------------------------------------------------------------------------------------------ */

static const char *misfit_text(struct wish_thought *thought, const struct misfit *misfit)
{
    struct arena *arena = thought->batch->arena;
    const struct wish_version *other = chosen_of(thought, misfit->need->asset);
    const char *version = chosen_of(thought, misfit->asset)->version;

    return other ? arena_printf(arena, "%s %s requires %s %s, and %s %s is what the device is to run",
                                misfit->asset, version, misfit->need->asset, misfit->need->range,
                                misfit->need->asset, other->version)
                 : arena_printf(arena, "%s %s requires %s %s, and no such version can be sent", misfit->asset,
                                version, misfit->need->asset, misfit->need->range);
}

static void go_to(struct wish_thought *thought, struct wish_choice *choice,
                  const struct wish_version *version, const char *why)
{
    if (choice->chosen)
        *banned(thought, choice, choice->chosen) = true;
    choice->chosen = version;
    choice->apply = (struct apply){0};
    if (choice->asked && choice->asked != version)
        choice->waits = arena_printf(thought->batch->arena, "%s waits: %s", choice->asked->version, why);
}

static bool give_way(struct wish_thought *thought, struct wish_choice *choice, const char *why)
{
    if (!choice || !choice->chosen)
        return false;
    const struct wish_version *version = way_out(thought, choice);
    if (version)
        go_to(thought, choice, version, why);
    return version != NULL;
}

/* Nothing asks for it but the requirement, or what was asked for cannot be had. */
static bool add_required(struct wish_thought *thought, const struct misfit *misfit, bool *added,
                         struct error *err)
{
    struct wish_choice *choice = wish_choice_find(thought, misfit->need->asset);
    const char *version = chosen_of(thought, misfit->asset)->version;

    *added = false;
    if (choice ? choice->chosen || choice->dropped : thought->count == WISH_ASSETS_MOST)
        return true;
    choice = wish_choice_add(thought, misfit->need->asset, err);
    if (!choice)
        return false;
    const struct wish_version *asked = choice->asked;
    choice->asked = NULL;
    choice->chosen = way_out(thought, choice);
    choice->asked = asked;
    choice->dropped = !choice->chosen;
    *added = choice->chosen != NULL;
    if (!*added)
        return true;
    choice->source = SOURCE_REQUIRES;
    choice->text = arena_printf(thought->batch->arena, "%s %s requires %s %s", misfit->asset, version,
                                misfit->need->asset, misfit->need->range);
    wish_candidate_add(thought, choice,
                       &(struct wish_candidate){.source = SOURCE_REQUIRES,
                                                .version = choice->chosen->version,
                                                .text = choice->text,
                                                .wins = true});
    return true;
}

static bool is_where_it_was(struct wish_thought *thought, struct wish_choice *choice)
{
    return choice->chosen == wish_running(thought, choice);
}

/* Who of the two goes on to another version: what is only required first; a pin last; else the asset whose
 * requirement is not met, unless the device runs it already: then what would take away its ground. */
static bool one_gives_way(struct wish_thought *thought, const struct misfit *misfit)
{
    struct wish_choice *asker = wish_choice_find(thought, misfit->asset),
                       *other = wish_choice_find(thought, misfit->need->asset);
    const char *why = misfit_text(thought, misfit);
    bool other_first =
        other &&
        (other->source == SOURCE_REQUIRES ||
         (other->source != SOURCE_PIN && (asker->source == SOURCE_PIN || is_where_it_was(thought, asker))));

    if (other_first)
        return give_way(thought, other, why) || give_way(thought, asker, why);
    return give_way(thought, asker, why) || give_way(thought, other, why);
}

/* The set that the device has, with what is not asked for any more. */
static bool stay(struct wish_thought *thought, const char *why, struct error *err)
{
    const struct wish_device *device = thought->device;

    for (size_t i = 0; i < device->running_count; i++)
        if (device->running[i].version[0] && thought->count < WISH_ASSETS_MOST &&
            !wish_choice_add(thought, device->running[i].asset, err))
            return false;
    for (size_t i = 0; i < thought->count; i++) {
        struct wish_choice *choice = &thought->choices[i];
        const struct wish_version *running = wish_running(thought, choice);
        if (choice->chosen != running)
            go_to(thought, choice, running, why);
        if (!choice->text)
            choice->text = "the set stays as it is";
    }
    return true;
}

/* Where no single asset has a way, several may have one together: what the device does not run yet goes on to
 * its next lower version, and the others follow. */
static bool step_down(struct wish_thought *thought, const struct misfit *misfit, const char *why)
{
    struct wish_choice *asker = wish_choice_find(thought, misfit->asset);

    if (wish_running(thought, asker) || asker->source == SOURCE_PIN)
        return false;
    for (size_t i = 0; i < asker->known->count; i++) { /* highest first */
        const struct wish_version *version = &asker->known->versions[i];
        if (version_compare(version->version, asker->chosen->version) >= 0 ||
            !is_offered(asker, version, NULL) || *banned(thought, asker, version) ||
            !wish_fits_hardware(version, thought->device->hardware))
            continue;
        go_to(thought, asker, version, why);
        return true;
    }
    return false;
}

static bool leave_out(struct wish_thought *thought, const struct misfit *misfit)
{
    struct wish_choice *asker = wish_choice_find(thought, misfit->asset);

    if (wish_running(thought, asker))
        return false;
    go_to(thought, asker, NULL, misfit_text(thought, misfit));
    asker->dropped = true;
    return true;
}

bool wish_fit(struct wish_thought *thought, struct error *err)
{
    struct misfit misfit;
    bool added;

    for (int steps = 0; find_misfit(thought, &misfit); steps++) {
        const char *why = misfit_text(thought, &misfit);
        if (!add_required(thought, &misfit, &added, err))
            return false;
        if (added || one_gives_way(thought, &misfit) || step_down(thought, &misfit, why) ||
            leave_out(thought, &misfit))
            if (steps < STEPS_MOST)
                continue;
        return stay(thought, why, err);
    }
    return true;
}

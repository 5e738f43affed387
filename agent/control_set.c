/* From the wish to the set that runs. */
#include "agent/control.h"

#include "agent/fetch.h"
#include "agent/protocol.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- troubles
 * ------------------------------------------------------------------------------------------------------ */

struct trouble *trouble_find(const struct control *control, const char *asset)
{
    for (size_t i = 0; i < control->trouble_count; i++)
        if (strcmp(control->troubles[i].asset, asset) == 0)
            return &control->troubles[i];
    return NULL;
}

void trouble_set(struct control *control, const struct set_entry *entry, enum update_result result,
                 bool lasting, const char *reason)
{
    struct trouble *trouble = trouble_find(control, entry->asset);
    char quoted[320];

    if (!trouble && control->trouble_count == control->trouble_room) {
        control->trouble_room = control->trouble_room ? 2 * control->trouble_room : 8;
        control->troubles = reallocarray(control->troubles, control->trouble_room, sizeof(*trouble));
        if (!control->troubles)
            abort();
    }
    if (!trouble)
        trouble = &control->troubles[control->trouble_count++];
    else if (trouble->result == result && strcmp(trouble->reason, reason) == 0 &&
             strcmp(trouble->version, entry->version) == 0)
        return;
    *trouble = (struct trouble){.result = result, .lasting = lasting};
    strcpy(trouble->asset, entry->asset);
    strcpy(trouble->manifest, entry->manifest);
    strcpy(trouble->version, entry->version);
    snprintf(trouble->reason, sizeof(trouble->reason), "%s", reason);
    log_event(LOG_WARNING, "trouble", "asset=%s version=%s result=%d lasting=%s why=%s", entry->asset,
              entry->version, (int)result, lasting ? "yes" : "no", log_quote(quoted, sizeof(quoted), reason));
}

void trouble_clear(struct control *control, const char *asset)
{
    struct trouble *trouble = trouble_find(control, asset);

    if (trouble)
        *trouble = control->troubles[--control->trouble_count];
}

void trouble_review(struct control *control, const struct wish *wish)
{
    for (size_t i = control->trouble_count; i-- > 0;) {
        const struct wish_version *version = wish_find(wish, control->troubles[i].asset);
        if (!version || strcmp(version->entry.manifest, control->troubles[i].manifest) != 0)
            trouble_clear(control, control->troubles[i].asset);
    }
}

/* --- the set that is wished for
 * ---------------------------------------------------------------------------------------- */

/* What the order may not bring, whatever is fetched. */
static bool is_refused(struct control *control, const struct wish_version *version)
{
    int64_t floor = floors_counter(&control->floors, version->entry.asset);
    char reason[300];

    if (version->refused) {
        trouble_set(control, &version->entry, RESULT_INTEGRITY, true, version->refused);
    } else if (version->counter < floor) {
        snprintf(reason, sizeof(reason),
                 "%s has the security counter %lld, this device has run %lld: it does not go back",
                 version->entry.version, (long long)version->counter, (long long)floor);
        trouble_set(control, &version->entry, RESULT_UNSUPPORTED, true, reason);
    }
    const struct trouble *trouble = trouble_find(control, version->entry.asset);
    return trouble && trouble->lasting;
}

bool control_is_held(struct control *control, const struct wish_version *version)
{
    const struct member *present = set_find(&control->set, version->entry.asset);
    struct apply_now now = {
        .time = clock_now(), .time_known = control_clock_is_good(control), .start = control->worker->start};
    char why[120];

    /* Without the app there is nothing that a later time would spare. */
    if (*control->floors.safe || version->refused ||
        (present && strcmp(present->entry.manifest, version->entry.manifest) == 0) ||
        apply_is_due(&version->entry.apply, version->accepted_start, &now, why, sizeof(why)))
        return false;
    if (!*control->held)
        snprintf(control->held, sizeof(control->held), "%s %s %s", version->entry.asset,
                 version->entry.version, why);
    return true;
}

/* The wish with each refused version replaced by what is there now; unless `all`, also each that the order
 * puts off. */
static void compose(struct control *control, struct arena *arena, bool all, struct set *target)
{
    const struct wish *wish = &control->box->wish;

    *target = (struct set){0};
    target->members = arena_array(arena, wish->set_count, sizeof(*target->members));
    control->held[0] = '\0';
    for (size_t i = 0; i < wish->set_count; i++) {
        const struct wish_version *version = &wish->set[i];
        const struct member *present = set_find(&control->set, version->entry.asset);
        bool held = !is_refused(control, version) && control_is_held(control, version);
        if (!is_refused(control, version) && (all || !held))
            target->members[target->count++] =
                (struct member){.entry = version->entry, .counter = version->counter};
        else if (present)
            target->members[target->count++] = *present;
    }
    set_seal(arena, target);
}

/* Looked at once for each set: reading the manifests costs. */
static bool fits(struct control *control, const struct set *target)
{
    if (strcmp(control->misfit_of, target->digest) != 0) {
        char quoted[CHECK_WHY + 20];
        if (!set_fits(control->worker->state_fd, target, control->misfit))
            log_event(LOG_WARNING, "set_does_not_fit", "set=%s why=%s", target->digest,
                      log_quote(quoted, sizeof(quoted), control->misfit));
        strcpy(control->misfit_of, target->digest);
    }
    return !*control->misfit;
}

const char *control_set_refusal(struct control *control, int *result)
{
    ARENA(arena);
    struct set target;

    if (!control->box)
        return NULL;
    compose(control, &arena, false, &target);
    if (strcmp(target.digest, control->set.digest) == 0)
        return NULL;
    const char *bad = floors_bad(&control->floors, target.digest);
    *result = bad ? RESULT_UPDATE_FAILED : RESULT_UNSUPPORTED;
    if (bad)
        return bad;
    bool waits = *control->held; /* for the versions that make it fit */
    return strcmp(control->misfit_of, target.digest) == 0 && *control->misfit && !waits ? control->misfit
                                                                                        : NULL;
}

/* Fills the activations in; false when a manifest is not kept any more and has to be fetched again. */
static bool activations(struct control *control, struct set *target)
{
    for (size_t i = 0; i < target->count; i++) {
        ARENA(arena);
        struct manifest manifest;
        struct error err = {0};
        struct member *member = &target->members[i];
        if (!manifest_kept(&arena, control->worker->state_fd, member->entry.manifest, &manifest, &err)) {
            version_remove(control->worker->state_fd, member->entry.asset, member->entry.version, &err);
            return false;
        }
        member->restart = manifest.activation == ACTIVATION_RESTART;
    }
    return true;
}

/* Another manifest under a number that is in use here: a version never changes. */
static bool is_other_version(struct control *control, const struct wish_version *version)
{
    const struct member *present = set_find(&control->set, version->entry.asset);
    char reason[300];

    if (!present || strcmp(present->entry.version, version->entry.version) != 0 ||
        strcmp(present->entry.manifest, version->entry.manifest) == 0)
        return false;
    snprintf(reason, sizeof(reason), "%s is installed here with other content: a version never changes",
             version->entry.version);
    trouble_set(control, &version->entry, RESULT_INTEGRITY, true, reason);
    return true;
}

/* The first version that has to be fetched; NULL: all are there. */
static const struct wish_version *lacking(struct control *control, const struct set *target)
{
    const struct wish *wish = &control->box->wish;

    for (size_t i = 0; i < wish->set_count; i++) {
        const struct wish_version *version = &wish->set[i];
        const struct member *member = set_find(target, version->entry.asset);
        if (!member || strcmp(member->entry.manifest, version->entry.manifest) != 0 ||
            !*version->entry.manifest)
            continue; /* refused */
        if (!version_is_installed(control->worker->state_fd, &version->entry) &&
            !is_other_version(control, version))
            return version;
    }
    return NULL;
}

/* --- swapping
 * ------------------------------------------------------------------------------------------------------------
 */

bool control_set_load(struct control *control, struct error *err)
{
    int64_t generation = set_current(control->worker->state_fd, err);

    if (generation < 0)
        return false;
    arena_end(&control->set_arena);
    return set_load(&control->set_arena, control->worker->state_fd, generation, &control->set, err);
}

static void recover_later(struct control *control, const struct error *err)
{
    char quoted[300];

    control->unfinished = true;
    control->recover_at_ms = clock_boot_ms() + backoff_next(&control->recover_backoff);
    snprintf(control->waiting, sizeof(control->waiting), "a swap cannot be finished: %.250s", err->text);
    log_event(LOG_WARNING, "swap_unfinished", "why=%s", log_quote(quoted, sizeof(quoted), err->text));
}

/* After a swap came to an end: the set that runs now, and what may be tidied up. */
static void swap_over(struct control *control)
{
    struct error err = {0};

    control->unfinished = false;
    control->updating = false;
    control->bytes = control->whole = 0;
    control->app_ends = 0;
    control->app_is_well = false;
    control->waiting[0] = '\0';
    control->gc_due = true;
    backoff_reset(&control->recover_backoff);
    if (!control_set_load(control, &err))
        recover_later(control, &err);
}

void control_set_recover(struct control *control)
{
    char reason[JOURNAL_REASON];
    struct error err = {0};

    if (swap_recover(&control->swap, reason, &err) == SWAP_UNFINISHED)
        recover_later(control, &err);
    else
        swap_over(control);
}

static int64_t next_generation(const struct control *control)
{
    int64_t last = control->floors.generation > control->set.generation ? control->floors.generation
                                                                        : control->set.generation;
    return last + 1;
}

static void swap_now(struct control *control, struct set *target)
{
    char reason[JOURNAL_REASON];
    struct error err = {0};

    target->generation = next_generation(control);
    control->updating = true;
    control_view(control);
    enum swap_end end =
        swap_run(&control->swap, &control->set, target, control->bytes, control->whole, reason, &err);
    control->updating = false;
    if (end == SWAP_UNFINISHED) {
        recover_later(control, &err);
        return;
    }
    if (end == SWAP_NOT_BEGUN) {
        snprintf(control->waiting, sizeof(control->waiting), "a set cannot be prepared: %.250s", err.text);
        control->swap_at_ms = clock_boot_ms() + backoff_next(&control->fetch_backoff);
        return;
    }
    control->sound = end == SWAP_COMMITTED; /* what was gone back to is looked at again */
    backoff_reset(&control->fetch_backoff);
    swap_over(control);
    worker_wake(control->worker->control_wake); /* there may be more to do */
}

/* True when something stands in the way of a swap; says what. */
static bool must_wait(struct control *control)
{
    const struct assignment *active = assignments_active(&control->assignments);
    char when[TIME_TEXT];

    control->waiting[0] = '\0';
    if ((active && assignment_is_begun(active)) || *control->channel.run.id)
        snprintf(control->waiting, sizeof(control->waiting),
                 "the update waits for the diagnostic image to end");
    else if (control->channel.busy_until > clock_now())
        snprintf(control->waiting, sizeof(control->waiting), "the app is busy until %s",
                 time_text(control->channel.busy_until, when));
    else if (control->worker->settings->app_command && !control->channel.link)
        snprintf(control->waiting, sizeof(control->waiting), "the keeper is not there");
    return *control->waiting != '\0';
}

/* Nothing is to be done to come from the present set to this one, or nothing can be. */
static bool is_settled(const struct control *control, const struct set *target)
{
    return strcmp(target->digest, control->set.digest) == 0 || floors_bad(&control->floors, target->digest);
}

/* Swaps to what is due and there. True when a version of it has to be fetched first. */
static bool take_up(struct control *control, struct set *target, const struct wish_version **wanted)
{
    ARENA(arena);

    if (is_settled(control, target))
        return false;
    *wanted = lacking(control, target);
    if (*wanted || clock_boot_ms() < control->swap_at_ms)
        return *wanted != NULL;
    compose(control, &arena, false, target); /* looking may have refused one more */
    if (is_settled(control, target))
        return false;
    if (!activations(control, target))
        return true;
    if (!fits(control, target) || must_wait(control))
        return false;
    swap_now(control, target);
    return true;
}

/* What runs is the whole wish: who asks later for a set that failed here decided anew, and gets another try.
 * Not before what failed is tidied away: nothing is to fall back to it. */
static void forget_bad(struct control *control, const struct set *target)
{
    struct error err = {0};

    if (control->floors.bad_count == 0 || *control->floors.safe || *control->held || control->gc_due ||
        strcmp(target->digest, control->set.digest) != 0)
        return;
    control->floors.bad_count = 0;
    if (!floors_save(&control->floors, control->worker->state_fd, &err))
        log_event(LOG_WARNING, "floors", "why=\"%s\"", err.text); /* it is forgotten in memory all the same */
}

const struct wish_version *control_set_step(struct control *control)
{
    ARENA(arena);
    struct set target;
    const struct wish_version *wanted = NULL;

    if (control->unfinished && clock_boot_ms() >= control->recover_at_ms)
        control_set_recover(control);
    if (!control->box || control->unfinished || !control->sound)
        return NULL;
    if (clock_boot_ms() >= control->swap_at_ms)
        control->waiting[0] = '\0';
    compose(control, &arena, false, &target);
    forget_bad(control, &target);
    if (take_up(control, &target, &wanted) || !*control->held)
        return wanted;
    /* The rest is fetched ahead. */
    compose(control, &arena, true, &target);
    return is_settled(control, &target) ? NULL : lacking(control, &target);
}

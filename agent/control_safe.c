/* Falling back, and safe mode. */
#include "agent/control.h"

#include "agent/protocol.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

/* Ends in a row, each within APP_WELL_S of its start, after which the app cannot run with the set; where it
 * has lived long with it before, what fails may well be something else that comes back: with the keeper's
 * back-off these are more than two minutes. */
#define APP_ENDS_MOST 5
#define APP_ENDS_MOST_WELL 12
#define APP_WELL_S 30
#define STOP_SLACK_MS 15000

bool control_may_run_app(const struct control *control)
{
    return control->sound && !*control->floors.safe;
}

/* --- the app ---------------------------------------------------------------------------------------------
 */

/* An app that lived so long with this set was well: what ends it later is not the set. */
static void note_long_life(struct control *control, int64_t lived_s)
{
    if (lived_s < APP_WELL_S)
        return;
    control->app_is_well = true;
    control->app_ends = 0;
    if (strcmp(control->floors.well, control->set.digest) == 0)
        return;
    struct error err = {0};
    strcpy(control->floors.well, control->set.digest);
    if (!floors_save(&control->floors, control->worker->state_fd, &err))
        log_event(LOG_WARNING, "floors", "why=\"%s\"", err.text);
}

void control_app_ended(struct control *control, const struct channel_app *now)
{
    const struct channel_app *before = &control->channel.app;

    /* During a swap the swap judges, during a diagnostic run the app is not on its own. */
    if (control->updating || control->unfinished || *control->channel.run.id ||
        strcmp(now->state, "failed") != 0 || strcmp(before->state, "failed") == 0)
        return;
    if (strcmp(before->state, "running") == 0)
        note_long_life(control, now->since - before->since);
    control->app_ends++;
}

static bool app_cannot_run(struct control *control, char why[CHECK_WHY])
{
    const struct channel_app *app = &control->channel.app;

    if (control->channel.link && strcmp(app->state, "running") == 0)
        note_long_life(control, clock_now() - app->since);
    bool was_well = strcmp(control->floors.well, control->set.digest) == 0;
    if (control->app_is_well || control->app_ends < (was_well ? APP_ENDS_MOST_WELL : APP_ENDS_MOST))
        return false;
    snprintf(why, CHECK_WHY, "the app ended %d times in a row, each time within %d s of its start",
             control->app_ends, APP_WELL_S);
    return true;
}

/* --- which set can run -----------------------------------------------------------------------------------
 */

static bool can_run(struct control *control, const struct set *set, char why[CHECK_WHY])
{
    int state_fd = control->worker->state_fd;
    const char *bad = floors_bad(&control->floors, set->digest);

    if (bad)
        snprintf(why, CHECK_WHY, "%s", bad);
    return !bad && set_is_allowed(&control->floors, set, why) &&
           set_is_whole(state_fd, set, CHECK_BYTES, why) && set_fits(state_fd, set, why);
}

/* The newest kept set that can run, the factory's last. */
static bool find_runnable(struct control *control, struct arena *arena, struct set *set)
{
    int64_t *generations;
    size_t count = sets_kept(arena, control->worker->state_fd, &generations);

    for (size_t i = 0; i < count; i++) {
        struct error err = {0};
        char why[CHECK_WHY], quoted[CHECK_WHY + 20];

        if (generations[i] == control->set.generation ||
            !set_load(arena, control->worker->state_fd, generations[i], set, &err) || set->count == 0 ||
            strcmp(set->digest, control->set.digest) == 0)
            continue;
        if (can_run(control, set, why))
            return true;
        log_event(LOG_WARNING, "no_way_back", "generation=%lld why=%s", (long long)generations[i],
                  log_quote(quoted, sizeof(quoted), why));
    }
    return false;
}

/* --- going there -----------------------------------------------------------------------------------------
 */

static void changed_write(struct json_writer *writer, const struct set *from, const struct set *to)
{
    json_write_array(writer, "changed");
    for (size_t i = 0; i < from->count; i++) {
        const struct member *now = set_find(to, from->members[i].entry.asset);
        if (!now || strcmp(now->entry.manifest, from->members[i].entry.manifest) != 0)
            json_write_string(writer, NULL, from->members[i].entry.asset);
    }
    for (size_t i = 0; i < to->count; i++)
        if (!set_find(from, to->members[i].entry.asset))
            json_write_string(writer, NULL, to->members[i].entry.asset);
    json_write_end(writer, ']');
}

static void report(struct control *control, const struct set *to, const char *why)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    char id[REPORT_ID_SIZE];

    report_id_make(id);
    report_begin(&writer, &out, id, "swap");
    json_write_integer(&writer, "generation", to->generation);
    json_write_integer(&writer, "result", RESULT_UPDATE_FAILED);
    changed_write(&writer, &control->set, to);
    json_write_integer(&writer, "duration_ms", 0);
    json_write_integer(&writer, "bytes", 0);
    json_write_integer(&writer, "whole", 0);
    json_write_string(&writer, "reason", why);
    if (!outbox_add(&control->worker->outbox, &writer, id, &err))
        log_event(LOG_WARNING, "report", "why=\"%s\"", err.text);
}

static bool app_down(struct control *control, struct error *err)
{
    const struct agent_settings *settings = control->worker->settings;

    return !settings->app_command || (channel_connect(&control->channel, err) &&
                                      channel_do(&control->channel, "app_stop",
                                                 settings->app_stop_timeout_s * 1000 + STOP_SLACK_MS, err));
}

/* The app stops, and `current` leads to `set` as a new generation. Whatever ends us in between, the next
 * start finds either the broken set, or the whole one. */
static bool settle(struct control *control, struct set *set, const char *why, bool safe, struct error *err)
{
    struct floors *floors = &control->floors;
    int state_fd = control->worker->state_fd;
    int64_t linked = set_current(state_fd, err), last = floors->generation;

    *err = (struct error){0}; /* a link that leads nowhere is replaced */
    last = control->set.generation > last ? control->set.generation : last;
    set->generation = (linked > last ? linked : last) + 1;
    if (!app_down(control, err) || !set_build(state_fd, set, err))
        return false;
    floors->generation = set->generation;
    snprintf(floors->safe, sizeof(floors->safe), "%s", safe ? why : "");
    if (!floors_save(floors, state_fd, err) || !set_flip(state_fd, set->generation, err))
        return false;
    report(control, set, why);
    return control_set_load(control, err);
}

static void fall_back(struct control *control, const char *why, bool blame)
{
    ARENA(arena);
    struct set set;
    struct error err = {0};
    char quoted[CHECK_WHY + 20];

    if (blame && control->set.count > 0)
        floors_mark_bad(&control->floors, control->set.digest, why);
    bool found = find_runnable(control, &arena, &set);
    if (!found) {
        set = (struct set){0};
        set_seal(&arena, &set);
    }
    if (!settle(control, &set, why, !found, &err)) {
        control->fall_back_at_ms = clock_boot_ms() + backoff_next(&control->fall_back_backoff);
        log_event(LOG_WARNING, "fall_back", "why=%s", log_quote(quoted, sizeof(quoted), err.text));
        return;
    }
    log_event(LOG_ERROR, found ? "fallen_back" : "safe_mode", "generation=%lld why=%s",
              (long long)set.generation, log_quote(quoted, sizeof(quoted), why));
    backoff_reset(&control->fall_back_backoff);
    control->broken[0] = '\0';
    control->app_ends = 0;
    control->app_is_well = false;
    control->sound = true;
    control->gc_due = true;
}

/* --- the step --------------------------------------------------------------------------------------------
 */

/* Somebody started the agent: what failed before gets another try. */
static void safe_try_again(struct control *control)
{
    if (!control->worker->primary || !*control->floors.safe)
        return;
    control->floors.bad_count = 0;
    if (!control->box || control->box->wish.set_count == 0)
        control->floors.safe[0] = '\0'; /* an app that needs no assets */
}

static bool is_sound(struct control *control, char why[CHECK_WHY])
{
    if (*control->broken) {
        strcpy(why, control->broken);
        return false;
    }
    return set_is_whole(control->worker->state_fd, &control->set, CHECK_BYTES, why) &&
           set_fits(control->worker->state_fd, &control->set, why);
}

void control_safe_step(struct control *control)
{
    const struct assignment *active = assignments_active(&control->assignments);
    char why[CHECK_WHY];

    if (control->unfinished || *control->channel.run.id || (active && assignment_is_begun(active)) ||
        clock_boot_ms() < control->fall_back_at_ms)
        return;
    if (!control->sound && !control->looked)
        safe_try_again(control);
    control->looked = true;
    if (!control->sound && !is_sound(control, why)) {
        fall_back(control, why, false);
        return;
    }
    control->sound = true;
    if (!*control->floors.safe && app_cannot_run(control, why))
        fall_back(control, why, true);
}

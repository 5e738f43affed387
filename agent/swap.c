#include "agent/swap.h"

#include "agent/keeper_pid.h"
#include "agent/protocol.h"
#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define ATTEMPTS 2 /* at telling the app, when the agent or the keeper died in between */
#define SLACK_MS 15000

/* --- telling the app
 * -------------------------------------------------------------------------------------------- */

enum told { TOLD_GOOD, TOLD_BAD, TOLD_LOST };

static int64_t health_ms(const struct swap *swap)
{
    return swap->settings->app_health_timeout_s * 1000 + SLACK_MS;
}

/* The keeper's word: good, refused, or no word about this set. An adoption that a worker before us asked for
 * may still be under way. */
static enum told told_by(const struct swap *swap, bool good, const struct error *err)
{
    if (good)
        return TOLD_GOOD;
    return err->kind == ERROR_CONFLICT && !swap->channel->conflict ? TOLD_BAD : TOLD_LOST;
}

static enum told tell_adopt(struct swap *swap, const struct journal *journal, struct error *err)
{
    ARENA(arena);
    TEXT(out);
    struct json_writer writer;
    const struct json *answer;
    char number[24];

    snprintf(number, sizeof(number), "%lld", (long long)journal->to);
    channel_request(&writer, &out, "adopt");
    json_write_string(&writer, "set", number);
    json_write_string(&writer, "path", arena_printf(&arena, "%s/" STATE_SETS "/%s", swap->state, number));
    json_write_array(&writer, "changed");
    for (const char **asset = journal->changed; asset && *asset; asset++)
        json_write_string(&writer, NULL, *asset);
    json_write_end(&writer, ']');
    int64_t limit = swap->settings->app_adopt_timeout_s * 1000 + health_ms(swap);
    return told_by(swap, channel_ask(swap->channel, &arena, &writer, limit, &answer, err), err);
}

static enum told ask(struct swap *swap, const char *what, int64_t limit_ms, struct error *err)
{
    return told_by(swap, channel_do(swap->channel, what, limit_ms, err), err);
}

static int64_t stop_ms(const struct swap *swap)
{
    return swap->settings->app_stop_timeout_s * 1000 + SLACK_MS;
}

/* Stop, flip, start, and wait for its health. */
static enum told tell_restart(struct swap *swap, const struct journal *journal, struct error *err)
{
    enum told told = ask(swap, "app_stop", stop_ms(swap), err);

    if (told != TOLD_GOOD)
        return TOLD_LOST; /* the flip has not come: nothing is known of the new set */
    if (!set_flip(swap->state_fd, journal->to, err))
        return TOLD_LOST;
    told = ask(swap, "app_start", stop_ms(swap), err);
    return told == TOLD_GOOD ? ask(swap, "health", health_ms(swap), err) : told;
}

/* Back in safe mode, where the app does not run. */
static enum told stop_and_flip(struct swap *swap, const struct journal *journal, struct error *err)
{
    return ask(swap, "app_stop", stop_ms(swap), err) == TOLD_GOOD &&
                   set_flip(swap->state_fd, journal->to, err)
               ? TOLD_GOOD
               : TOLD_LOST;
}

static enum told flip_and_tell(struct swap *swap, const struct journal *journal, struct error *err)
{
    bool has_app = swap->settings->app_command != NULL;

    if (has_app && !channel_connect(swap->channel, err))
        return TOLD_LOST;
    if (has_app && journal->back && *swap->floors->safe)
        return stop_and_flip(swap, journal, err);
    /* An app that does not run cannot be told: it is started on the new set. */
    if (has_app && (journal->restart || strcmp(swap->channel->app.state, "stopped") == 0))
        return tell_restart(swap, journal, err);
    if (!set_flip(swap->state_fd, journal->to, err))
        return TOLD_LOST;
    return has_app ? tell_adopt(swap, journal, err) : TOLD_GOOD;
}

/* --- the end
 * ------------------------------------------------------------------------------------------------------ */

static bool report_add(struct swap *swap, const struct journal *journal, struct error *err)
{
    TEXT(out);
    struct json_writer writer;
    int64_t took = clock_now_ms() - journal->began_ms;

    report_begin(&writer, &out, journal->report, "swap");
    json_write_integer(&writer, "generation", journal->to);
    json_write_integer(&writer, "result", journal->back ? RESULT_UPDATE_FAILED : RESULT_SUCCESS);
    json_write_array(&writer, "changed");
    for (const char **asset = journal->changed; asset && *asset; asset++)
        json_write_string(&writer, NULL, *asset);
    json_write_end(&writer, ']');
    json_write_integer(&writer, "duration_ms", took > 0 ? took : 0);
    json_write_integer(&writer, "bytes", journal->bytes);
    json_write_integer(&writer, "whole", journal->whole);
    json_write_string(&writer, "reason", journal->back ? journal->reason : NULL);
    return outbox_add(swap->outbox, &writer, journal->report, err);
}

/* After the commit point: what is left may be done again. */
static bool tidy(struct swap *swap, const struct journal *journal, struct error *err)
{
    return report_add(swap, journal, err) && journal_remove(swap->state_fd, err);
}

static bool commit(struct swap *swap, const struct journal *journal, struct error *err)
{
    ARENA(arena);
    struct set set;

    if (!set_load(&arena, swap->state_fd, journal->to, &set, err))
        return false;
    for (size_t i = 0; i < set.count; i++)
        if (!journal->back)
            floors_raise(swap->floors, set.members[i].entry.asset, set.members[i].counter);
    if (journal->back)
        floors_mark_bad(swap->floors, journal->failed, journal->reason);
    int64_t before = swap->floors->generation, factory = swap->floors->factory;
    swap->floors->generation = journal->to;
    if (!journal->back) {
        swap->floors->safe[0] = '\0'; /* the app runs with it */
        if (!factory && set.count > 0)
            swap->floors->factory = journal->to;
    }
    if (!floors_save(swap->floors, swap->state_fd, err)) {
        swap->floors->generation = before;
        swap->floors->factory = factory;
        return false;
    }
    log_event(journal->back ? LOG_WARNING : LOG_INFO, journal->back ? "rolled_back" : "swapped",
              "generation=%lld set=%s assets=%zu bytes=%lld ms=%lld", (long long)journal->to, set.digest,
              set.count, (long long)journal->bytes, (long long)(clock_now_ms() - journal->began_ms));
    return tidy(swap, journal, err);
}

static enum swap_end drive(struct swap *swap, struct journal *journal, char *reason, struct error *err);

/* Prepares the set before as a new generation and goes there. */
static enum swap_end roll_back(struct swap *swap, const struct journal *failed, const char *why, char *reason,
                               struct error *err)
{
    ARENA(arena);
    struct set before, bad;
    struct journal journal = *failed;

    if (!set_load(&arena, swap->state_fd, failed->from, &before, err) ||
        !set_load(&arena, swap->state_fd, failed->to, &bad, err))
        return SWAP_UNFINISHED;
    before.generation = failed->to + 1;
    journal.from = failed->to;
    journal.to = before.generation;
    journal.back = true;
    journal.attempts = 0;
    strcpy(journal.failed, bad.digest);
    snprintf(journal.reason, sizeof(journal.reason), "%s", why);
    if (!set_build(swap->state_fd, &before, err) || !journal_save(swap->state_fd, &journal, err))
        return SWAP_UNFINISHED;
    char quoted[JOURNAL_REASON + 8];
    log_event(LOG_WARNING, "set_failed", "generation=%lld set=%s why=%s", (long long)failed->to, bad.digest,
              log_quote(quoted, sizeof(quoted), why));
    return drive(swap, &journal, reason, err);
}

/* The old set was good before: when the app does not take it by word, it gets it by a fresh start. */
static void force(struct swap *swap)
{
    struct error err = {0};

    if (!channel_do(swap->channel, "app_stop", stop_ms(swap), &err) ||
        (!*swap->floors->safe && !channel_do(swap->channel, "app_start", stop_ms(swap), &err)))
        log_event(LOG_ERROR, "roll_back_restart", "why=\"%s\"", err.text);
}

static enum swap_end drive(struct swap *swap, struct journal *journal, char *reason, struct error *err)
{
    char boot[BOOT_ID_SIZE];
    struct error why = {0};

    snprintf(journal->boot, sizeof(journal->boot), "%s", boot_id(boot));
    journal->attempts++;
    if (!journal_save(swap->state_fd, journal, err))
        return SWAP_UNFINISHED;
    enum told told = flip_and_tell(swap, journal, &why);
    if (told == TOLD_LOST && (journal->back || journal->attempts < ATTEMPTS)) {
        *err = why;
        return SWAP_UNFINISHED;
    }
    if (told != TOLD_GOOD && !journal->back)
        return roll_back(swap, journal, why.text, reason, err);
    if (told != TOLD_GOOD)
        force(swap);
    if (!commit(swap, journal, err))
        return SWAP_UNFINISHED;
    snprintf(reason, JOURNAL_REASON, "%s", journal->reason);
    return journal->back ? SWAP_ROLLED_BACK : SWAP_COMMITTED;
}

/* --- the beginning
 * ------------------------------------------------------------------------------------------------ */

static bool same_member(const struct member *a, const struct member *b)
{
    return a && b && strcmp(a->entry.version, b->entry.version) == 0 &&
           strcmp(a->entry.manifest, b->entry.manifest) == 0;
}

/* The assets that differ, and whether one of them wants a restart. */
static void compare(struct arena *arena, const struct set *from, const struct set *to,
                    struct journal *journal)
{
    size_t count = 0;

    journal->changed = arena_array(arena, from->count + to->count + 1, sizeof(*journal->changed));
    for (size_t i = 0; i < to->count; i++) {
        const struct member *now = &to->members[i], *before = set_find(from, now->entry.asset);
        if (same_member(now, before))
            continue;
        journal->changed[count++] = now->entry.asset;
        journal->restart |= now->restart;
    }
    for (size_t i = 0; i < from->count; i++)
        if (!set_find(to, from->members[i].entry.asset)) {
            journal->changed[count++] = from->members[i].entry.asset;
            journal->restart |= from->members[i].restart;
        }
}

enum swap_end swap_run(struct swap *swap, const struct set *from, struct set *to, int64_t bytes,
                       int64_t whole, char *reason, struct error *err)
{
    ARENA(arena);
    struct journal journal = {.from = from->generation,
                              .to = to->generation,
                              .bytes = bytes,
                              .whole = whole,
                              .began_ms = clock_now_ms()};

    report_id_make(journal.report);
    compare(&arena, from, to, &journal);
    if (!set_build(swap->state_fd, to, err))
        return SWAP_NOT_BEGUN;
    for (size_t i = 0; i < to->count; i++)
        version_touch(swap->state_fd, to->members[i].entry.asset, to->members[i].entry.version);
    return drive(swap, &journal, reason, err);
}

/* --- after a start
 * ------------------------------------------------------------------------------------------------- */

/* The app that was told before the agent ended is still the one that runs. */
static bool app_went_on(struct swap *swap, const struct journal *journal)
{
    struct error ignored = {0};
    char boot[BOOT_ID_SIZE];

    if (!swap->settings->app_command)
        return true;
    return strcmp(journal->boot, boot_id(boot)) == 0 && channel_connect(swap->channel, &ignored) &&
           strcmp(swap->channel->app.state, "running") == 0;
}

static enum swap_end forget(struct swap *swap, const struct journal *journal, struct error *err)
{
    return journal_remove(swap->state_fd, err) && set_remove(swap->state_fd, journal->to, err)
               ? SWAP_COMMITTED
               : SWAP_UNFINISHED;
}

static enum swap_end go_on(struct swap *swap, struct journal *journal, char *reason, struct error *err)
{
    int64_t current = set_current(swap->state_fd, err);

    if (current < 0)
        return SWAP_UNFINISHED;
    if (current != journal->to && !journal->back)
        return forget(swap, journal, err);
    if (!journal->back && journal->attempts > 0 && app_went_on(swap, journal))
        journal->attempts--;
    if (!journal->back && journal->attempts >= ATTEMPTS)
        return roll_back(swap, journal, "the device or its agent ended twice while the app took the set over",
                         reason, err);
    return drive(swap, journal, reason, err);
}

enum swap_end swap_recover(struct swap *swap, char *reason, struct error *err)
{
    ARENA(arena);
    struct journal journal;
    struct error missing = {0};

    *reason = '\0';
    if (!journal_load(&arena, swap->state_fd, &journal, &missing)) {
        if (missing.kind == ERROR_MISSING)
            return SWAP_COMMITTED;
        *err = missing;
        return SWAP_UNFINISHED;
    }
    log_event(LOG_INFO, "swap_recovered", "from=%lld to=%lld back=%d attempts=%d committed=%d",
              (long long)journal.from, (long long)journal.to, journal.back, journal.attempts,
              swap->floors->generation == journal.to);
    if (swap->floors->generation == journal.to)
        return tidy(swap, &journal, err) ? SWAP_COMMITTED : SWAP_UNFINISHED;
    return go_on(swap, &journal, reason, err);
}

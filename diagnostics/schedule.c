#include "diagnostics/schedule.h"

#include "base/clock.h"
#include "base/text.h"
#include "repo/manifest.h"

#include <stdio.h>
#include <string.h>

#define LOOK_DAYS (366 * 9) /* so far a next date is looked for: 29 February comes within that */

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */

static bool weekday_read(const char *word, size_t size, unsigned *days)
{
    static const char names[7][4] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

    for (unsigned i = 0; i < 7; i++)
        if (size == 3 && !strncmp(word, names[i], 3)) {
            *days |= 1u << i;
            return true;
        }
    return false;
}

static bool monthday_read(const char *word, size_t size, unsigned *days)
{
    int day = 0;

    if (size == 4 && !strncmp(word, "last", 4)) {
        *days |= 1;
        return true;
    }
    if (size < 1 || size > 2 || strspn(word, "0123456789") < size)
        return false;
    for (size_t i = 0; i < size; i++)
        day = day * 10 + word[i] - '0';
    *days |= 1u << day % 32;
    return day >= 1 && day <= 31;
}

static bool days_read(const char *list, bool weekly, unsigned *days)
{
    for (;;) {
        size_t size = strcspn(list, ",");
        if (!(weekly ? weekday_read : monthday_read)(list, size, days))
            return false;
        if (!list[size])
            return true;
        list += size + 1;
    }
}

static bool repeat_read(const char *words, struct schedule *schedule, struct error *err)
{
    bool good = true;

    if (!words)
        return true;
    if (string_is(words, "daily"))
        schedule->repeat = REPEAT_DAILY;
    else if (string_starts(words, "weekly:"))
        schedule->repeat = REPEAT_WEEKLY, good = days_read(words + 7, true, &schedule->days);
    else if (string_starts(words, "monthly:"))
        schedule->repeat = REPEAT_MONTHLY, good = days_read(words + 8, false, &schedule->days);
    else
        good = false;
    return good ||
           error_set(err, ERROR_INPUT,
                     "\"repeat\" is daily, weekly:mon,thu or monthly:1,15,last, not \"%.60s\"", words);
}

static bool window_words_read(const char *words, struct schedule *schedule, struct error *err)
{
    if (!words)
        return true;
    schedule->has_window = window_read(words, &schedule->window_from, &schedule->window_to);
    return schedule->has_window || error_set(err, ERROR_INPUT,
                                             "\"window\" is two different times of day such as 02:00-05:00,"
                                             " not \"%.40s\"",
                                             words);
}

/* "2026-11-23T02:00", with seconds and zone or without. */
static bool wall_read(const char *words, struct schedule *schedule)
{
    char date[11] = "";
    int hour, minute, second = 0, size = 0;
    int64_t moment;

    if (strlen(words) > 16 && !time_parse(words, &moment))
        return false;
    if (strlen(words) < 16 || words[10] != 'T' || strspn(words + 11, "0123456789") != 2 || words[13] != ':' ||
        strspn(words + 14, "0123456789") != 2 ||
        sscanf(words + 11, "%2d:%2d%n", &hour, &minute, &size) != 2 || hour > 23 || minute > 59)
        return false;
    if (words[16] == ':' && sscanf(words + 17, "%2d", &second) != 1)
        return false;
    memcpy(date, words, 10);
    schedule->time_s = hour * 3600 + minute * 60 + second % 60;
    return date_parse(date, &schedule->first_day);
}

static bool at_read(const char *words, struct schedule *schedule, struct error *err)
{
    bool repeats = schedule->repeat != REPEAT_NEVER;

    if (!words && repeats && !schedule->has_window)
        return error_set(err, ERROR_INPUT,
                         "a campaign that repeats needs a \"window\" or a first time \"at\"");
    if (!words)
        return true;
    return (repeats ? wall_read(words, schedule) : time_parse(words, &schedule->at)) ||
           error_set(err, ERROR_INPUT, "\"at\" must be a time such as 2026-11-21T14:30:00Z, not \"%.40s\"",
                     words);
}

static bool until_read(const char *words, struct schedule *schedule, struct error *err)
{
    schedule->until_day = schedule->until = INT64_MAX;
    return !words || date_parse(words, &schedule->until_day) || time_parse(words, &schedule->until) ||
           error_set(err, ERROR_INPUT, "\"until\" must be a date such as 2026-12-31 or a time, not \"%.40s\"",
                     words);
}

static bool blackout_read(struct arena *arena, const struct json *dates, struct schedule *schedule,
                          struct error *err)
{
    if (!dates || dates->type == JSON_NULL)
        return true;
    if (dates->type != JSON_ARRAY || dates->size > BLACKOUT_MOST)
        return error_set(err, ERROR_INPUT, "\"blackout\" is an array of at most %d dates", BLACKOUT_MOST);
    int64_t *days = arena_array(arena, dates->size, sizeof *days);
    for (const struct json *date = dates->first; date; date = date->next)
        if (date->type != JSON_STRING || !date_parse(date->string, &days[schedule->blackout_count++]))
            return error_set(err, ERROR_INPUT, "\"blackout\" takes dates such as 2026-12-24");
    schedule->blackout = days;
    return true;
}

bool schedule_read(struct arena *arena, const struct schedule_words *words, struct schedule *schedule,
                   struct error *err)
{
    *schedule = (struct schedule){0};
    if (!repeat_read(words->repeat, schedule, err) || !window_words_read(words->window, schedule, err) ||
        !at_read(words->at, schedule, err) || !until_read(words->until, schedule, err) ||
        !blackout_read(arena, words->blackout, schedule, err))
        return false;
    return schedule->repeat != REPEAT_NEVER || (!words->until && !schedule->blackout_count) ||
           error_set(err, ERROR_INPUT, "\"until\" and \"blackout\" are for campaigns that repeat");
}

/* --- dates
 * -------------------------------------------------------------------------------------------------------- */

static bool is_blackout(const struct schedule *schedule, int64_t day)
{
    for (size_t i = 0; i < schedule->blackout_count; i++)
        if (schedule->blackout[i] == day)
            return true;
    return false;
}

static bool is_of_rule(const struct schedule *schedule, int64_t day)
{
    int year, month, date, tomorrow;

    if (schedule->repeat == REPEAT_WEEKLY)
        return schedule->days >> day_weekday(day) & 1;
    if (schedule->repeat != REPEAT_MONTHLY)
        return schedule->repeat == REPEAT_DAILY;
    date_of_day(day, &year, &month, &date);
    if (schedule->days >> date & 1)
        return true;
    date_of_day(day + 1, &year, &month, &tomorrow);
    return tomorrow == 1 && schedule->days & 1;
}

bool schedule_day(const struct schedule *schedule, int64_t day, int64_t *found)
{
    if (day < schedule->first_day)
        day = schedule->first_day;
    for (int64_t end = day + LOOK_DAYS; day < end && day <= schedule->until_day; day++)
        if (is_of_rule(schedule, day) && !is_blackout(schedule, day)) {
            *found = day;
            return true;
        }
    return false;
}

/* --- moments
 * ------------------------------------------------------------------------------------------------------ */

static struct span window_span(const struct schedule *schedule, const struct zone *zone, int64_t day)
{
    int64_t from = schedule->window_from * 60, to = schedule->window_to * 60;
    struct span span = {.start = zone_moment(zone, day, from)};

    if (to <= from)
        to += 86400;
    span.before = zone_moment(zone, day, to);
    if (span.before <= span.start)
        span.before = span.start + to - from;
    return span;
}

struct span schedule_span(const struct schedule *schedule, const struct zone *zone, int64_t day)
{
    if (schedule->has_window)
        return window_span(schedule, zone, day);
    int64_t start = zone_moment(zone, day, schedule->time_s);
    return (struct span){start, start + SCHEDULE_REPEAT_LATE_S};
}

struct span schedule_once(const struct schedule *schedule, const struct zone *zone, int64_t now)
{
    int64_t from = schedule->at > now ? schedule->at : now;

    if (!schedule->has_window)
        return (struct span){from, from + SCHEDULE_LATE_S};
    for (int64_t day = zone_local(zone, from).day - 1;; day++) {
        struct span span = window_span(schedule, zone, day);
        if (span.before <= from)
            continue;
        if (span.start < from)
            span.start = from;
        return span;
    }
}

size_t schedule_next(const struct schedule *schedule, const struct zone *zone, int64_t now,
                     struct span *spans, size_t most)
{
    int64_t day = zone_local(zone, now).day - 2;
    size_t count = 0;

    if (schedule->repeat == REPEAT_NEVER && most)
        spans[count++] = schedule_once(schedule, zone, now);
    while (schedule->repeat != REPEAT_NEVER && count < most && schedule_day(schedule, day, &day)) {
        struct span span = schedule_span(schedule, zone, day++);
        if (span.start > schedule->until)
            break;
        if (schedule->has_window ? span.before > now : span.start > now - 60)
            spans[count++] = span;
    }
    return count;
}

static struct span span_of(const struct schedule *schedule, const struct zone *zone, int64_t day, int64_t now)
{
    return schedule->repeat == REPEAT_NEVER ? schedule_once(schedule, zone, now)
                                            : schedule_span(schedule, zone, day);
}

/* The whole of the occurrence, and the end of the window that closes first. */
static struct occurrence whole(const struct schedule *schedule, struct zone *const *zones, size_t count,
                               int64_t day, int64_t now, int64_t *first_end)
{
    struct occurrence all = {.day = day, .start = INT64_MAX};

    *first_end = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        struct span span = span_of(schedule, zones[i], day, now);

        all.start = span.start < all.start ? span.start : all.start;
        all.before = span.before > all.before ? span.before : all.before;
        *first_end = span.before < *first_end ? span.before : *first_end;
    }
    return all;
}

bool schedule_occurrence(const struct schedule *schedule, struct zone *const *zones, size_t count,
                         int64_t day, int64_t now, struct occurrence *found)
{
    int64_t first_end;

    if (schedule->repeat == REPEAT_NEVER) {
        *found = whole(schedule, zones, count, 0, now, &first_end);
        return true;
    }
    if (day < now / 86400 - 2)
        day = now / 86400 - 2;
    while (schedule_day(schedule, day, &day)) {
        *found = whole(schedule, zones, count, day++, now, &first_end);
        if (found->start > schedule->until)
            return false;
        /* Without a window nothing says how late is too late: what lies behind does not begin. */
        if (schedule->has_window ? first_end > now : found->start > now - 60)
            return true;
    }
    return false;
}

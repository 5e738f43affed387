/* When a campaign's runs are: pure functions of words, a zone and a moment.
 *
 * A campaign that does not repeat begins at a moment, the same for all devices, or at the first moment inside
 * a window of each device's own clock. One that repeats has a run for each date of its rule: on every
 * device's own calendar and clock, so that 02:00 stays 02:00 across daylight saving. */
#ifndef DIAGNOSTICS_SCHEDULE_H
#define DIAGNOSTICS_SCHEDULE_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "diagnostics/zone.h"

#include <stddef.h>

#define SCHEDULE_LATE_S 86400        /* without a window a device may begin so long after the start */
#define SCHEDULE_REPEAT_LATE_S 21600 /* the same of a campaign that repeats: well before the next time */
#define BLACKOUT_MOST 366

/* As API.md has them; NULL: not said. */
struct schedule_words {
    const char *at;     /* a time; of a repeating one its date and time of day as written, on each device's
                           own clock: the zone may be left out */
    const char *window; /* "02:00-05:00" */
    const char *repeat; /* "daily", "weekly:mon,thu", "monthly:1,15,last" */
    const char *until;  /* "2026-12-31", the last date, or a time */
    const struct json *blackout; /* array of dates without a run */
};
enum schedule_repeat { REPEAT_NEVER, REPEAT_DAILY, REPEAT_WEEKLY, REPEAT_MONTHLY };
struct schedule {
    int64_t at;                  /* Unix seconds, 0: now; of one that does not repeat */
    enum schedule_repeat repeat; /* the rest but the window: of one that does */
    unsigned days;     /* weekly: bit 0 is Monday; monthly: bits 1 to 31, bit 0 is the last of the month */
    int64_t first_day; /* days since 1970-01-01; 0: any */
    int time_s;        /* of the day, without a window */
    bool has_window;
    int window_from, window_to; /* minutes of the day; `to` before `from`: of the next day */
    int64_t until_day, until;   /* the last date; no start after that moment; INT64_MAX: no end */
    const int64_t *blackout;    /* dates */
    size_t blackout_count;
};
/* INPUT with the member in the sentence. Lives in the arena. */
bool schedule_read(struct arena *arena, const struct schedule_words *words, struct schedule *schedule,
                   struct error *err);

/* When one device may begin. */
struct span {
    int64_t start, before; /* Unix seconds: not before, not after */
};
/* The next date of a repeating one, from `day` on. False when there is none. */
bool schedule_day(const struct schedule *schedule, int64_t day, int64_t *found);
/* On that date in that zone. A window that daylight saving leaves out keeps its length after the gap. */
struct span schedule_span(const struct schedule *schedule, const struct zone *zone, int64_t day);
/* Of one that does not repeat, asked for at `now`: at `at` or now, or at the first moment after it in the
 * window. */
struct span schedule_once(const struct schedule *schedule, const struct zone *zone, int64_t now);
/* The next spans in a zone that have not gone by at `now`, at most `most`; how many. One that does not repeat
 * has one. */
size_t schedule_next(const struct schedule *schedule, const struct zone *zone, int64_t now,
                     struct span *spans, size_t most);

/* The next occurrence for devices in several zones. */
struct occurrence {
    int64_t day;           /* 0 for one that does not repeat */
    int64_t start, before; /* the earliest start, the latest end */
};
/* The first date from `day` on whose window, or start where there is no window, has not gone by in any zone
 * at `now`. False when there is none any more. */
bool schedule_occurrence(const struct schedule *schedule, struct zone *const *zones, size_t count,
                         int64_t day, int64_t now, struct occurrence *found);

#endif

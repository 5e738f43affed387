#include "diagnostics/zone.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

#define DAY_S INT64_C(86400)
#define REACH_S (2 * DAY_S) /* no zone is, and no change moves its clocks, further from UTC than that */

/* A zone is a GTimeZone: only a cast apart, so that nobody else sees GLib. */
static GTimeZone *of(const struct zone *zone)
{
    return (GTimeZone *)zone;
}

/* The name comes from a device and becomes part of a file's path: letters, digits, + - _ in parts that begin
 * with a letter. */
static bool name_is_good(const char *name)
{
    size_t size = name ? strlen(name) : 0;

    if (!size || size >= ZONE_NAME_SIZE)
        return false;
    for (const char *c = name; *c; c++) {
        bool begins = c == name || c[-1] == '/';
        if (!g_ascii_isalpha(*c) && (begins || (!g_ascii_isdigit(*c) && !strchr("+-_/", *c))))
            return false;
    }
    return name[size - 1] != '/';
}

struct zone *zone_open(const char *name, bool *known)
{
    GTimeZone *zone = name_is_good(name) ? g_time_zone_new_identifier(name) : NULL;

    if (known)
        *known = zone != NULL;
    return (struct zone *)(zone ? zone : g_time_zone_new_utc());
}

void zone_close(struct zone *zone)
{
    if (zone)
        g_time_zone_unref(of(zone));
}

int zone_offset(const struct zone *zone, int64_t at)
{
    gint interval = g_time_zone_find_interval(of(zone), G_TIME_TYPE_UNIVERSAL, at);

    return interval < 0 ? 0 : g_time_zone_get_offset(of(zone), interval);
}

struct zone_time zone_local(const struct zone *zone, int64_t at)
{
    int64_t local = at + zone_offset(zone, at);
    int64_t day = local / DAY_S - (local % DAY_S < 0);

    return (struct zone_time){day, (int)(local - day * DAY_S)};
}

/* The moment between `from` and `to` at which the clocks change: the first that has the offset of `to`. */
static int64_t change_find(const struct zone *zone, int64_t from, int64_t to)
{
    int after = zone_offset(zone, to);

    while (to - from > 1) {
        int64_t middle = from + (to - from) / 2;
        if (zone_offset(zone, middle) == after)
            to = middle;
        else
            from = middle;
    }
    return to;
}

int64_t zone_moment(const struct zone *zone, int64_t day, int64_t seconds)
{
    int64_t local = day * DAY_S + seconds;
    int before = zone_offset(zone, local - REACH_S), after = zone_offset(zone, local + REACH_S);
    /* With the larger offset the moment is the earlier one. */
    int64_t first = local - (before > after ? before : after),
            second = local - (before > after ? after : before);

    if (first + zone_offset(zone, first) == local)
        return first;
    if (second + zone_offset(zone, second) == local)
        return second;
    return change_find(zone, first - 1, second + 1);
}

const char *zone_text(const struct zone *zone, int64_t at, char out[ZONE_TEXT])
{
    struct zone_time local = zone_local(zone, at);
    int offset = zone_offset(zone, at) / 60, ahead = offset < 0 ? -offset : offset, year, month, day;

    date_of_day(local.day, &year, &month, &day);
    snprintf(out, ZONE_TEXT, "%04d-%02d-%02dT%02d:%02d%c%02d:%02d", year % 10000, month, day,
             local.seconds / 3600 % 24, local.seconds / 60 % 60, offset < 0 ? '-' : '+', ahead / 60 % 100,
             ahead % 60);
    return out;
}

/* --- the calendar
 * ------------------------------------------------------------------------------------------------- */

int64_t day_of_date(int year, int month, int day)
{
    int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void date_of_day(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;

    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(y + era * 400 + (*month <= 2));
}

int day_weekday(int64_t days)
{
    int64_t from_monday = (days + 3) % 7; /* 1970-01-01 was a Thursday */

    return (int)(from_monday < 0 ? from_monday + 7 : from_monday);
}

bool date_parse(const char *text, int64_t *days)
{
    int year, month, day, y, m, d;

    if (!text || strlen(text) != 10 || strspn(text, "0123456789-") != 10 || text[4] != '-' ||
        text[7] != '-' || sscanf(text, "%4d-%2d-%2d", &year, &month, &day) != 3 || year < 1970)
        return false;
    *days = day_of_date(year, month, day);
    date_of_day(*days, &y, &m, &d);
    return month >= 1 && month <= 12 && y == year && m == month && d == day;
}

#include "diagnostics/images/log-archive/log-archive.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S 86400

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static int month_of(const char *name)
{
    for (int i = 0; i < 12; i++)
        if (strncmp(name, months + (size_t)3 * (size_t)i, 3) == 0)
            return i;
    return -1;
}

static bool is_sane(const struct tm *time)
{
    return time->tm_year >= 70 && time->tm_year < 200 && time->tm_mon >= 0 && time->tm_mon < 12 &&
           time->tm_mday >= 1 && time->tm_mday <= 31 && time->tm_hour >= 0 && time->tm_hour < 24 &&
           time->tm_min >= 0 && time->tm_min < 60 && time->tm_sec >= 0 && time->tm_sec <= 60;
}

/* "Z", " UTC", "+01:00", "+0100", " +0100" after a time: seconds east of UTC. False: there is no zone. */
static bool read_zone(const char *at, int64_t *east_s)
{
    int hours = 0, minutes = 0;
    at += *at == ' ' && (at[1] == '+' || at[1] == '-' || strncmp(at + 1, "UTC", 3) == 0);
    *east_s = 0;
    if (*at == 'Z' || strncmp(at, "UTC", 3) == 0)
        return true;
    if ((*at != '+' && *at != '-') ||
        (sscanf(at + 1, "%2d:%2d", &hours, &minutes) != 2 && sscanf(at + 1, "%2d%2d", &hours, &minutes) != 2))
        return false;
    *east_s = (hours * 3600 + minutes * 60) * (*at == '-' ? -1 : 1);
    return true;
}

static int64_t moment_of(struct tm *time, const char *rest)
{
    int64_t east_s;
    if (!is_sane(time))
        return -1;
    if (*rest == '.' || *rest == ',')
        for (rest++; isdigit((unsigned char)*rest); rest++)
            ;
    if (read_zone(rest, &east_s))
        return (int64_t)timegm(time) - east_s;
    time->tm_isdst = -1;
    return (int64_t)mktime(time);
}

/* "2026-11-21T09:00:16", also with a space, without seconds. */
static int64_t stamp_iso(const char *at)
{
    struct tm time = {0};
    int used = 0, more = 0;
    if (sscanf(at, "%4d-%2d-%2d%*1[T ]%2d:%2d%n", &time.tm_year, &time.tm_mon, &time.tm_mday, &time.tm_hour,
               &time.tm_min, &used) != 5 ||
        used < 14)
        return -1;
    if (sscanf(at + used, ":%2d%n", &time.tm_sec, &more) == 1)
        used += more;
    time.tm_year -= 1900;
    time.tm_mon -= 1;
    return moment_of(&time, at + used);
}

/* "21/Nov/2026:09:00:16 +0000" */
static int64_t stamp_web(const char *at)
{
    struct tm time = {0};
    char name[4];
    int used = 0;
    if (sscanf(at, "%2d/%3[A-Za-z]/%4d:%2d:%2d:%2d%n", &time.tm_mday, name, &time.tm_year, &time.tm_hour,
               &time.tm_min, &time.tm_sec, &used) != 6)
        return -1;
    time.tm_year -= 1900;
    time.tm_mon = month_of(name);
    return moment_of(&time, at + used);
}

/* "Nov 21 09:00:16": no year, and the device's clock may be a little behind who wrote it. */
static int64_t stamp_syslog(const char *at, int64_t now)
{
    struct tm parsed = {0}, today;
    time_t moment = (time_t)now;
    char name[4];
    if (sscanf(at, "%3[A-Za-z] %2d %2d:%2d:%2d", name, &parsed.tm_mday, &parsed.tm_hour, &parsed.tm_min,
               &parsed.tm_sec) != 5)
        return -1;
    parsed.tm_mon = month_of(name);
    localtime_r(&moment, &today);
    for (int back = 0; back < 2; back++) {
        struct tm time = parsed;
        time.tm_year = today.tm_year - back;
        int64_t found = moment_of(&time, "");
        if (found >= 0 && found <= now + DAY_S)
            return found;
    }
    return -1;
}

/* Ten digits are the years from 2001 to 2286. */
static int64_t stamp_unix(const char *at)
{
    size_t digits = strspn(at, "0123456789");
    return digits == 10 && strchr(". ,\t:]", at[10]) != NULL ? strtoll(at, NULL, 10) : -1;
}

int64_t stamp_of(const char *head, int64_t now)
{
    const char *start = head;
    if (*start == '<') /* a priority of syslog */
        start += strspn(start + 1, "0123456789") + 1 + (start[strspn(start + 1, "0123456789") + 1] == '>');
    start += strspn(start, " [");
    int64_t found = stamp_unix(start);
    if (found < 0)
        found = stamp_syslog(start, now);
    for (const char *at = start; found < 0 && *at != '\0'; at++) {
        if (!isdigit((unsigned char)*at) || (at > head && isalnum((unsigned char)at[-1])))
            continue;
        found = stamp_iso(at);
        if (found < 0)
            found = stamp_web(at);
    }
    return found;
}

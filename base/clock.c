#include "base/clock.h"

#include "base/text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DURATION_MAX (INT64_C(10) * 366 * 24 * 3600)
/* Years 0000 to 9999: what RFC 3339 can say. */
#define TIME_MIN INT64_C(-62167219200)
#define TIME_MAX INT64_C(253402300799)

static int64_t shift_s; /* read and written atomically */
static pthread_once_t shift_once = PTHREAD_ONCE_INIT;

static void shift_from_environment(void)
{
    int64_t seconds;

    if (int64_parse(getenv("LOCUM_CLOCK_SHIFT_S"), -TIME_MAX, TIME_MAX, &seconds))
        __atomic_store_n(&shift_s, seconds, __ATOMIC_RELAXED);
}

static int64_t milliseconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_now_ms(void)
{
    pthread_once(&shift_once, shift_from_environment);
    return milliseconds(CLOCK_REALTIME) + __atomic_load_n(&shift_s, __ATOMIC_RELAXED) * 1000;
}

int64_t clock_now(void)
{
    int64_t ms = clock_now_ms();

    return ms / 1000 - (ms % 1000 < 0);
}

int64_t clock_wall_ms(void)
{
    return milliseconds(CLOCK_REALTIME);
}

int64_t clock_boot_ms(void)
{
    return milliseconds(CLOCK_BOOTTIME);
}

void clock_shift(int64_t seconds)
{
    pthread_once(&shift_once, shift_from_environment);
    __atomic_store_n(&shift_s, seconds, __ATOMIC_RELAXED);
}

static void two_digits(char *out, int value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
}

const char *time_text(int64_t unix_seconds, char out[TIME_TEXT])
{
    time_t seconds = (time_t)(unix_seconds < TIME_MIN   ? TIME_MIN
                              : unix_seconds > TIME_MAX ? TIME_MAX
                                                        : unix_seconds);
    struct tm parts;

    /* Every answer to a device tells the time: printf would be a tenth of what the answer costs. */
    gmtime_r(&seconds, &parts);
    memcpy(out, "0000-00-00T00:00:00Z", sizeof("0000-00-00T00:00:00Z"));
    two_digits(out, (parts.tm_year + 1900) / 100);
    two_digits(out + 2, (parts.tm_year + 1900) % 100);
    two_digits(out + 5, parts.tm_mon + 1);
    two_digits(out + 8, parts.tm_mday);
    two_digits(out + 11, parts.tm_hour);
    two_digits(out + 14, parts.tm_min);
    two_digits(out + 17, parts.tm_sec);
    return out;
}

/* Exactly `count` digits at `*text`, which moves behind them. */
static bool digits(const char **text, int count, int min, int max, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        *value = *value * 10 + (**text - '0');
    }
    return *value >= min && *value <= max;
}

static bool one_of(const char **text, const char *set)
{
    if (!**text || !strchr(set, **text))
        return false;
    (*text)++;
    return true;
}

static bool zone_parse(const char **text, int *offset_s)
{
    int hours, minutes, sign = **text == '-' ? -1 : 1;

    *offset_s = 0;
    if (one_of(text, "Zz"))
        return true;
    if (!one_of(text, "+-") || !digits(text, 2, 0, 23, &hours) || !one_of(text, ":") ||
        !digits(text, 2, 0, 59, &minutes))
        return false;
    *offset_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool day_exists(int year, int month, int day)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return day <= days[month - 1] + (month == 2 && leap);
}

bool time_parse(const char *text, int64_t *unix_seconds)
{
    int year, month, day, hour, minute, second, offset_s;

    if (!text || !digits(&text, 4, 0, 9999, &year) || !one_of(&text, "-") ||
        !digits(&text, 2, 1, 12, &month) || !one_of(&text, "-") || !digits(&text, 2, 1, 31, &day) ||
        !day_exists(year, month, day) || !one_of(&text, "Tt ") || !digits(&text, 2, 0, 23, &hour) ||
        !one_of(&text, ":") || !digits(&text, 2, 0, 59, &minute) || !one_of(&text, ":") ||
        !digits(&text, 2, 0, 60, &second))
        return false;
    if (one_of(&text, ".")) {
        if (*text < '0' || *text > '9')
            return false;
        text += strspn(text, "0123456789");
    }
    if (!zone_parse(&text, &offset_s) || *text)
        return false;
    struct tm parts = {.tm_year = year - 1900,
                       .tm_mon = month - 1,
                       .tm_mday = day,
                       .tm_hour = hour,
                       .tm_min = minute,
                       .tm_sec = second};
    *unix_seconds = (int64_t)timegm(&parts) - offset_s;
    return true;
}

bool duration_parse(const char *text, int64_t *seconds)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char number[24];
    size_t size = text ? strlen(text) : 0;
    int64_t unit = 1, value;

    if (size == 0 || size >= sizeof(number))
        return false;
    memcpy(number, text, size + 1);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (number[size - 1] == units[i].unit) {
            unit = units[i].seconds;
            number[size - 1] = '\0';
            break;
        }
    if (!int64_parse(number, 0, DURATION_MAX / unit, &value))
        return false;
    *seconds = value * unit;
    return true;
}

#include "agent/apply.h"

#include <stdio.h>
#include <time.h>

static int minute_of_day(int64_t at)
{
    time_t seconds = (time_t)at;
    struct tm local;

    tzset(); /* the owner may have moved /etc/localtime */
    if (!localtime_r(&seconds, &local))
        return 0;
    return local.tm_hour * 60 + local.tm_min;
}

static bool window_is_open(const char *window, int64_t at)
{
    int from, to, minute = minute_of_day(at);

    if (!window_read(window, &from, &to))
        return false;
    return from < to ? minute >= from && minute < to : minute >= from || minute < to;
}

bool apply_is_due(const struct apply *apply, int64_t accepted_start, const struct apply_now *now, char *why,
                  size_t room)
{
    char when[TIME_TEXT], ignored[8];

    if (!why) {
        why = ignored;
        room = sizeof(ignored);
    }
    why[0] = '\0';
    if ((apply->after || *apply->window) && !now->time_known)
        snprintf(why, room, "waits for a clock that can be trusted");
    else if (apply->after > now->time)
        snprintf(why, room, "waits until %s", time_text(apply->after, when));
    else if (apply->on_start && accepted_start == now->start)
        snprintf(why, room, "waits for the next start of the agent");
    else if (*apply->window && !window_is_open(apply->window, now->time))
        snprintf(why, room, "waits for the window %s of the device's local time", apply->window);
    return !*why;
}

/* IANA time zones with daylight saving, from the machine's own tzdata by way of GLib: the only file that
 * knows it.
 *
 * A local time that daylight saving leaves out (a gap) is the first moment after it; one that comes twice (an
 * overlap) is the first of the two. Any thread. */
#ifndef DIAGNOSTICS_ZONE_H
#define DIAGNOSTICS_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#define ZONE_NAME_SIZE 64

struct zone; /* one time zone */

/* Opens the zone of an IANA name ("Europe/Berlin"). An unknown or malformed name, or NULL, is UTC and
 * `*known` (may be NULL) is false. Never NULL; the caller closes it. */
struct zone *zone_open(const char *name, bool *known);
void zone_close(struct zone *zone); /* NULL is fine */

/* A date and time of day as a calendar and a clock in a zone show them. */
struct zone_time {
    int64_t day; /* days since 1970-01-01 of that calendar */
    int seconds; /* since its midnight, 0 to 86,399 */
};
/* What the clocks show at a moment (Unix seconds). */
struct zone_time zone_local(const struct zone *zone, int64_t at);
/* The moment at which the clocks show this: Unix seconds. `seconds` may be any number of them, past midnight
 * too. */
int64_t zone_moment(const struct zone *zone, int64_t day, int64_t seconds);
/* Seconds that the clocks are ahead of UTC at a moment. */
int zone_offset(const struct zone *zone, int64_t at);
/* "2026-03-29T03:00+02:00" into `out`. */
#define ZONE_TEXT 32
const char *zone_text(const struct zone *zone, int64_t at, char out[ZONE_TEXT]);

/* The proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
int64_t day_of_date(int year, int month, int day);
void date_of_day(int64_t days, int *year, int *month, int *day);
int day_weekday(int64_t days); /* 0 is Monday */
/* "2026-12-24"; false when there is no such date. */
bool date_parse(const char *text, int64_t *days);

#endif

/* Time: Unix seconds and milliseconds, boot time, RFC 3339. Tests replace the wall clock. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

int64_t clock_now(void);    /* wall clock, Unix seconds (plus clock_shift) */
int64_t clock_now_ms(void); /* the same in milliseconds */
int64_t
clock_wall_ms(void); /* wall clock, Unix milliseconds, without clock_shift: whether the clock was set */
int64_t clock_boot_ms(void); /* CLOCK_BOOTTIME: goes on during suspend, never jumps; for deadlines */
/* Moves the wall clock by so many seconds, for tests. Also read once from LOCUM_CLOCK_SHIFT_S. */
void clock_shift(int64_t seconds);

#define TIME_TEXT 32
/* "2026-11-21T03:47:36Z" into `out`; returns `out`. */
const char *time_text(int64_t unix_seconds, char out[TIME_TEXT]);
/* RFC 3339 with zone (Z or ±hh:mm), fractions dropped. False when malformed. */
bool time_parse(const char *text, int64_t *unix_seconds);
/* "90", "90s", "15m", "2h", "1d" into seconds; false when malformed, negative or over 10 years. */
bool duration_parse(const char *text, int64_t *seconds);

#endif

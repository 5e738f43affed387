/* What the device tells about itself: short strings, told at the first check-in and when asked. */
#ifndef AGENT_FACTS_H
#define AGENT_FACTS_H

#include "base/json.h"

#define AGENT_VERSION "0.1.0"

/* Writes the object under `key`. `limits` and `diagnostics` are the keeper's words; NULL: not known yet. */
void facts_write(struct json_writer *writer, const char *key, const char *limits, const char *diagnostics);

#define ZONE_SIZE 64
/* The device's time zone by its name in the time zone database: TZ when it is one, else /etc/timezone, else
 * where /etc/localtime leads, else "UTC". Gives `zone`. */
const char *zone_name(char zone[ZONE_SIZE]);

#endif

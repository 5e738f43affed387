/* Devices as rows: who they are, admission, tags, what happened to them. Every change is in the database
 * before it is in the fleet. */
#ifndef CONSOLE_DEVICES_H
#define CONSOLE_DEVICES_H

#include "base/json.h"
#include "console/fleet.h"

/* Adds a row inside the caller's transaction and fills `id`. A name or key that is there already is a
 * CONFLICT. */
bool device_insert(struct db_conn *conn, struct device *device, struct error *err);
/* A person's decision; accept also settles a suspected clone. Audited, told to browsers. MISSING, or CONFLICT
 * when a retired device is accepted. */
bool device_admit(struct console *console, const char *name, enum admission admission,
                  const char *operator_name, struct error *err);
/* Notes durably that the session counter of a device forked. */
bool device_note_clone(struct console *console, int64_t device_id, struct error *err);
/* Replaces all tags (names of at most 64 bytes, at most 32). */
bool device_set_tags(struct console *console, const char *name, const struct json *tags,
                     const char *operator_name, struct error *err);
/* A line of the device's timeline, inside the caller's transaction. */
bool device_event_add(struct db_conn *conn, int64_t device_id, const char *what, const char *text,
                      struct error *err);
/* The newest lines as a JSON array. MISSING when there is no such device. */
bool device_timeline(struct console *console, const char *name, int64_t limit, struct text *out,
                     struct error *err);
/* Device as API.md has it; needs the fleet's lock. With `detail` the object stays open for more members. */
void device_write(struct json_writer *writer, const struct fleet *fleet, const struct device *device,
                  int64_t now);
void device_write_open(struct json_writer *writer, const struct fleet *fleet, const struct device *device,
                       int64_t now);
/* Tells browsers. */
void device_tell(struct console *console, const char *name);

#endif

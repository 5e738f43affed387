/* Pins: one device held at a version of one asset; and development devices, which take no release and no
 * rollout.
 *
 * All of these are for accepted devices, audited, written to the device's time line, told to browsers. Call
 * them without a database connection in hand. */
#ifndef CONSOLE_DELIVERY_PIN_H
#define CONSOLE_DELIVERY_PIN_H

#include "base/db.h"
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

struct console;

struct pin_request {
    const char *device, *asset, *version;
    const char *product; /* that the caller takes the device for; NULL: whatever it is */
    bool on_reset; /* taken up when the device's agent starts the next time; else now, and then it must be
                      online */
    const char *reason; /* one line; NULL: none given */
    const char *operator_name;
};
/* Listed in the signed metadata first, then pinned. Instead of a pin that stands. MISSING: no such device or
 * version; INPUT: a diagnostic image; CONFLICT: withdrawn, for other hardware, below the security counter of
 * what the device runs, or the device is not online and the pin is not for its next start (`*hint` says what
 * can be done; else NULL). */
bool pin_set(struct console *console, const struct pin_request *request, const char **hint,
             struct error *err);
/* MISSING when it is not pinned. */
bool pin_end(struct console *console, const char *device, const char *asset, const char *operator_name,
             struct error *err);
/* A development device keeps what it is to run at this moment, and takes pins. Again changes nothing. */
bool pin_develop(struct console *console, const char *device, bool development, const char *operator_name,
                 struct error *err);
/* API.md "pins", as a member of an open object. */
bool pins_write(struct db_conn *conn, int64_t device_id, struct json_writer *writer, struct error *err);
/* At start-up: what was cut off before it was listed never was. */
bool pin_recover(struct db_conn *conn, struct error *err);

#endif

/* Enrolment: a claim code and a key that proves itself become a device. */
#ifndef CONSOLE_ENROL_H
#define CONSOLE_ENROL_H

#include "base/json.h"
#include "console/fleet.h"

struct enrolment {
    const char *secret;
    struct public_key key;
    const char *name;     /* NULL: the console makes one */
    const char *hardware; /* NULL: none said */
    char *facts;          /* JSON object or NULL */
};
/* Reads agent/PROTOCOL.md "Enrol" and verifies its proof; lives in the arena. */
bool enrolment_read(struct arena *arena, const struct json *body, struct enrolment *enrolment,
                    struct error *err);
/* Enrols; durable when it returns. The same key with the same claim gets the same device again. Fills a copy
 * of the identity fields. DENIED: wrong, lapsed or used code; CONFLICT: the name is taken, the key is
 * enrolled already. */
bool device_enrol(struct console *console, const struct enrolment *enrolment, struct device *enrolled,
                  struct error *err);

#endif

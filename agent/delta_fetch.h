/* Getting an object as a delta from one that the device has: asks the console, applies what comes while it
 * comes, goes on after a cut. PROTOCOL.md "Fewer bytes". */
#ifndef AGENT_DELTA_FETCH_H
#define AGENT_DELTA_FETCH_H

#include "agent/candidates.h"
#include "agent/fetch.h"

/* DELTA_NONE: there is none to be had, or it was no good (told, and not asked for again): the whole object is
 * to be taken, going on behind what the part holds. DELTA_MADE: the part is the object, its hash was looked
 * at. DELTA_FAILED: `err` and fetch->result say why nothing can go on now; what came is noted. */
enum delta_end { DELTA_NONE, DELTA_MADE, DELTA_FAILED };

/* `part` is the object's part in the folder `objects`, open for reading and writing. */
enum delta_end delta_fetch(struct fetch *fetch, struct candidates *candidates, int objects, int part,
                           const struct manifest_file *file, struct error *err);
/* Tells that derived bytes were no good: a line in the log, a report. `old` NULL: they were packed. */
void delta_tell(const struct fetch *fetch, const struct manifest_file *file, const char *old,
                const char *why);

#endif

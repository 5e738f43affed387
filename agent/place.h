/* How far an object has come that is made out of a delta or unpacked: a note beside its part, so that a cut,
 * a kill or a power loss goes on there. PROTOCOL.md "Fewer bytes". */
#ifndef AGENT_PLACE_H
#define AGENT_PLACE_H

#include "base/digest.h"
#include "base/error.h"

#include <stdint.h>

/* PLACE_NONE: whatever the part holds are the object's own first bytes, and so it is with PLACE_PLAIN, for an
 * object that a delta or packed bytes failed for: it is taken as it is. */
enum place_kind { PLACE_NONE, PLACE_DELTA, PLACE_PACKED, PLACE_PLAIN };
#define ETAG_SIZE 80

struct place {
    enum place_kind kind;
    char old[SHA256_HEX]; /* PLACE_DELTA: what it is applied to */
    char etag[ETAG_SIZE]; /* of the stream, as it was sent; "": no byte of it came yet */
    int64_t in, out;      /* bytes of the stream eaten, bytes of the part that they made */
};

/* PLACE_NONE when there is no note, or one that cannot be read. `objects` is the folder. */
void place_read(int objects, const char *sha256, struct place *place);
/* Makes the part durable, then the note. */
bool place_note(int objects, const char *sha256, int part, const struct place *place, struct error *err);
void place_drop(int objects, const char *sha256);

/* Is it time for a note? What would be done again costs more than the note: bytes of the line, or of the
 * disk. */
bool place_is_due(const struct place *noted, int64_t in, int64_t out);

#endif

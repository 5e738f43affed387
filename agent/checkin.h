/* One check-in: what is said, and what is understood of the answer. PROTOCOL.md "Check-in". Talk thread. */
#ifndef AGENT_CHECKIN_H
#define AGENT_CHECKIN_H

#include "base/arena.h"
#include "base/json.h"

struct checkin_said {
    const char *view; /* control's members, as a JSON object; NULL: none yet */
    int64_t order_seq;
    int64_t root, timestamp, snapshot, targets; /* versions of metadata seen; 0: none */
    bool with_facts;
    const char *limits, *diagnostics; /* of the facts; empty: not known */
    const char *waiting;              /* overrides the view's; NULL: nothing */
};
struct checkin_heard {
    int64_t time;             /* the server's clock, Unix seconds; 0: not said */
    int64_t poll_s;           /* within 1 … a day */
    const struct json *order; /* NULL: none */
    char admission[16];
    bool clone_suspected, want_facts;
};

void checkin_write(struct arena *arena, const struct checkin_said *said, struct text *body);
bool checkin_read(struct arena *arena, const char *body, size_t size, struct checkin_heard *heard,
                  struct error *err);

#endif

/* States as tables: one row a state, with its name and the states that may follow. LIFECYCLE.md draws them.
 */
#ifndef DIAGNOSTICS_LIFECYCLE_H
#define DIAGNOSTICS_LIFECYCLE_H

#include "base/error.h"

#include <stdbool.h>

#define STATE(state) (1u << (state))

struct lifecycle_state {
    const char *name;   /* as in the database, API.md and PROTOCOL.md */
    unsigned followers; /* STATE(…) or'ed; 0: nothing follows */
    bool is_end;
};
struct lifecycle {
    const char *noun; /* for sentences */
    const struct lifecycle_state *states;
    int count;
};

bool lifecycle_find(const struct lifecycle *lifecycle, const char *name, int *state);
bool lifecycle_allows(const struct lifecycle *lifecycle, int from, int to);
/* CONFLICT with a sentence when `to` may not follow `from`. */
bool lifecycle_check(const struct lifecycle *lifecycle, int from, int to, struct error *err);

#endif

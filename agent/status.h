/* What the device says about itself to who stands in front of it: `locum-agent status`. Works beside a
 * running agent and without one. */
#ifndef AGENT_STATUS_H
#define AGENT_STATUS_H

#include "base/error.h"
#include "base/json.h"

/* The live part, kept by the talk thread in status.json. */
struct status_live {
    bool primary;
    char admission[16];
    bool clone_suspected;
    int64_t poll_s, order_seq;
    char error[480];     /* of the last contact; empty: it was good */
    int64_t error_at;    /* Unix seconds */
    const char *view;    /* control's members as JSON; NULL: none yet */
    const char *waiting; /* empty: nothing */
};
void status_write_live(const struct status_live *live, struct text *out);
/* Notes that the console answered now: a time stamp without a write of data. */
bool status_touch(int state_fd, struct error *err);

/* Prints what is known of the state folder. Exit code 0 when the device is enrolled, 3 when not. */
int status_print(const char *state, bool as_json);

#endif

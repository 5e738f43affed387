/* Bringing what a run collected to the console, in pieces that go on after a cut. PROTOCOL.md "Captures".
 * Transfer thread. */
#ifndef AGENT_CAPTURE_H
#define AGENT_CAPTURE_H

#include "agent/session.h"

#include <stdbool.h>

struct capture_upload {
    int state_fd;
    struct http *http;
    struct session *session;
    const bool *cancel; /* read atomically */
    bool dropped;       /* the console does not want it: `reason` says why */
    char reason[200];
};

/* Uploads keeper/runs/<run>/output as result.json lists it. True when all is there or the console refused it
 * for good
 * (`dropped`); false: try again later. */
bool capture_send(struct capture_upload *upload, const char *run, struct error *err);

#endif

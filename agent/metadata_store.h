/* Where the TUF client keeps and fetches its files: the folder metadata/ of the state, and the console. */
#ifndef AGENT_METADATA_STORE_H
#define AGENT_METADATA_STORE_H

#include "agent/session.h"
#include "repo/metadata.h"

struct metadata_store {
    int state_fd;
    struct http *http;       /* NULL: offline, every fetch fails */
    struct session *session; /* with an open session when `http` is set */
};

/* The store as repo/metadata.h wants it; `store` must outlive it. */
struct metadata_io metadata_store_io(struct metadata_store *store);

#endif

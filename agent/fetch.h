/* Getting what is lacking: manifests and objects by hash, resumed after a cut, verified before they have a
 * name; then the version's folder. Runs on the transfer thread. Nothing is ever held in memory but a
 * manifest. */
#ifndef AGENT_FETCH_H
#define AGENT_FETCH_H

#include "agent/outbox.h"
#include "agent/protocol.h"
#include "agent/session.h"
#include "agent/wish.h"

struct fetch {
    int state_fd;
    struct http *http;
    struct session *session;
    const struct enrolment *enrolment;
    const struct set_entry *entry; /* the version being fetched; fetch_version sets it */
    struct outbox *outbox;         /* told of deltas that were no good; NULL: nobody is */
    const bool *cancel;            /* read atomically; true: stop soon */
    int64_t rate;                  /* bytes a second at most, of the version being fetched; 0: no limit */
    int64_t bytes;                 /* that came over the wire */
    int64_t whole;                 /* of the version's files; 0: it was there */
    int64_t delta_wait_ms;         /* that may still be waited for deltas of this version */
    bool no_deltas;                /* the console knows none */
    enum update_result result;     /* after a failure */
    bool lasting;                  /* after a failure: it will not get better by trying again */
};

/* Makes the version whole: manifest, objects, folder. Verified against `wanted` (hash, length, counter, kind)
 * and against our own product and hardware. An installed version costs nothing. */
bool fetch_version(struct fetch *fetch, const struct wish_version *wanted, bool diagnostic,
                   struct error *err);

/* For its own parts: sets the result that fits an error of the machine or the server. Returns false. */
bool fetch_failed(struct fetch *fetch, const struct error *err, enum update_result otherwise);

/* Reads the manifest that is kept under this hash; checks the hash again. */
bool manifest_kept(struct arena *arena, int state_fd, const char *sha256, struct manifest *manifest,
                   struct error *err);

#endif

/* One end of a stream socket of the Unix domain that carries one JSON object a line, at most 64 KiB each.
 *
 * Used by both sides of keeper.sock and by the keeper's side of the app's LOCUM_SOCKET. Never blocks, but for
 * link_ask. A side with a poll loop: poll link_fd for link_events; on POLLOUT link_flush; on POLLIN
 * link_fill, then link_next until it gives NULL without an error; close when any of them fails. One thread at
 * a time. */
#ifndef AGENT_LINK_H
#define AGENT_LINK_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

#include <stdbool.h>
#include <sys/types.h>

#define LINK_LINE_LIMIT (64 << 10)
#define LINK_QUEUE_LIMIT (1 << 20) /* bytes that wait for a slow reader before the link fails */

struct link;

/* Listens on the socket `name` in the folder `dirfd` (however long its path is), which replaces one left over
 * from a killed process: the caller holds a lock that says there is no other listener. `owner` of (uid_t)-1
 * leaves it to the caller's uid. -1 and `err`. */
int link_listen(int dirfd, const char *name, mode_t mode, uid_t owner, struct error *err);
/* Takes one waiting connection; NULL with `err->kind` ERROR_NONE when none waits. */
struct link *link_accept(int listener, struct error *err);
/* Connects to the socket `name` in the folder `dirfd`. MISSING when there is none, SYSTEM when nobody
 * listens. */
struct link *link_connect(int dirfd, const char *name, struct error *err);
void link_close(struct link *link); /* NULL is fine */

int link_fd(const struct link *link);
pid_t link_peer_pid(
    const struct link *link); /* as of the connection (SO_PEERCRED): may be another process by now */
uid_t link_peer_uid(const struct link *link);

short link_events(const struct link *link); /* POLLIN, and POLLOUT while something waits to be sent */
/* Queues one object (a newline is added) and sends what the socket takes. Fails when the peer is gone, or
 * reads too slowly. */
bool link_send(struct link *link, const struct text *object, struct error *err);
bool link_flush(struct link *link, struct error *err);
/* Reads what there is. False when the peer closed (MISSING) or failed; lines that came before can still be
 * taken. */
bool link_fill(struct link *link, struct error *err);
/* The next whole line, in the arena. NULL with `err->kind` ERROR_NONE when there is none yet; NULL with INPUT
 * or LIMIT when it is no JSON object or too long: close then. */
const struct json *link_next(struct link *link, struct arena *arena, struct error *err);

/* Called by link_ask for each line that is not its answer. */
typedef void link_event(void *context, const struct json *line);
/* Sends `object`, which has the member "id" of value `id`, and waits at most `timeout_ms` for the line with
 * that id; other lines go to `event` (may be NULL). The answer lives in the arena. False when the peer went
 * away or the time is over (LIMIT). */
bool link_ask(struct link *link, struct arena *arena, int64_t id, const struct text *object,
              int64_t timeout_ms, link_event *event, void *context, const struct json **answer,
              struct error *err);

#endif

/* The uid that diagnostic images run as: what diagnostic.uid says, or one of our own for each agent of the
 * machine.
 *
 * An image's processes are known by their uid, so two agents on one machine must never share one. Unless the
 * owner names a uid, one is taken from the range that systemd keeps for dynamic users (61184–65519, see
 * systemd.io/UIDS-GIDS) and held by a lock in /run/locum for as long as the keeper lives. */
#ifndef AGENT_RUNNER_UID_H
#define AGENT_RUNNER_UID_H

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

#define DYNAMIC_UID_FIRST 61184
#define DYNAMIC_UID_COUNT 4336

/* `setting`: diagnostic.uid, 0 when the owner names none. `*lock_fd` is held until the caller closes it, -1
 * when there is none. The choice is kept in the state folder, so that a keeper after a crash takes the same.
 * LIMIT when every uid of the range is held. */
bool runner_uid_take(int state_fd, int64_t setting, uid_t *uid, int *lock_fd, struct error *err);

#endif

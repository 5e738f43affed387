/* What making a rollout and its dry run stand on. */
#ifndef CONSOLE_DELIVERY_ROLLOUT_MAKING_H
#define CONSOLE_DELIVERY_ROLLOUT_MAKING_H

#include "base/digest.h"
#include "console/delivery/rollout_parts.h"

/* A device and where the rollout's seed puts it. */
struct ranked {
    int64_t device_id, stage;
    uint8_t rank[SHA256_SIZE];
};

/* What create and dry run stand on. */
struct making {
    struct console *console;
    const struct rollout_plan *plan;
    struct arena *arena;
    struct rollout rollout;
    struct manifest manifest;
    bool listed;
    struct ranked *members; /* by rank */
    size_t count;           /* members: up to the last share */
    int64_t upto[ROLLOUT_STAGES_MOST];
    int64_t now;
};

/* Checks the plan and fills all but `console`, `plan` and `arena`: the version, who is a member, of which
 * stage. */
bool rollout_making_read(struct making *making, struct db_conn *conn, struct error *err);
/* The members' ids, rising, in the arena. */
int64_t *rollout_members_sorted(struct arena *arena, const struct ranked *members, size_t count);

/* Rollouts of the same asset that are not over, drafts excepted, in the arena. */
bool rollout_others_read(struct db_conn *conn, struct arena *arena, const struct rollout *rollout,
                         int64_t **others, size_t *count, struct error *err);
typedef void rollout_shared_each(void *context, int64_t other, int64_t device_id);
/* Calls `each` for every device of `ids` (rising) that the other rollout has. */
bool rollout_shared_find(struct db_conn *conn, int64_t other, const int64_t *ids, size_t count,
                         rollout_shared_each *each, void *context, struct error *err);

#endif

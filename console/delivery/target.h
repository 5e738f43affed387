/* What rollouts decided for devices: the rows that console/delivery/wish.c reads. */
#ifndef CONSOLE_DELIVERY_TARGET_H
#define CONSOLE_DELIVERY_TARGET_H

#include "base/arena.h"
#include "base/db.h"
#include "base/error.h"
#include "repo/manifest.h"

#include <stdint.h>

/* The device is to run this version of the asset from now on, as `apply` says. Inside the caller's
 * transaction; the caller has its wish thought over after the commit. The version must be listed in the
 * signed metadata before. */
bool target_set(struct db_conn *conn, int64_t device_id, const char *asset, const char *version,
                int64_t rollout, const struct apply *apply, struct error *err);
/* Forgets a rollout's decision: releases hold again. Nothing when the row is another rollout's. */
bool target_clear(struct db_conn *conn, int64_t device_id, const char *asset, int64_t rollout,
                  struct error *err);

/* A decision as it stands. */
struct target {
    const char *version; /* in the arena; NULL: none */
    int64_t rollout;
    int64_t decided_at; /* Unix seconds */
};
bool target_find(struct db_conn *conn, struct arena *arena, int64_t device_id, const char *asset,
                 struct target *target, struct error *err);
/* Puts back what stood there before a rollout decided (without window and rate: the device has it). Nothing
 * when the row is another rollout's by now. */
bool target_restore(struct db_conn *conn, int64_t device_id, const char *asset, int64_t rollout,
                    const struct target *before, struct error *err);

#endif

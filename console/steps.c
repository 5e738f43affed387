/* What the scheduler does again and again: one row a step. */
#include "console/campaigns.h"
#include "console/claims.h"
#include "console/delivery/approval.h"
#include "console/delivery/group.h"
#include "console/delivery/rollout.h"
#include "console/fleet.h"
#include "console/orders.h"
#include "console/people.h"
#include "console/reports.h"
#include "console/scheduler.h"
#include "repo/repo.h"

static bool metadata_step(struct console *console, struct error *err)
{
    return repo_keep_fresh(console->repo, err);
}

static bool checkpoint_step(struct console *console, struct error *err)
{
    (void)err;
    db_checkpoint(console->db);
    return true;
}

static bool people_step(struct console *console, struct error *err)
{
    (void)err;
    people_sweep(console);
    return true;
}

/* clang-format off */
const struct scheduler_row steps[] = {
    {"orders", 250, orders_step},
    {"fleet_watch", 1000, fleet_watch},
    {"rollouts", 100, rollouts_step},
    {"groups", 1000, group_step},
    {"campaigns", 100, campaigns_step},
    {"campaigns_warm", 5000, campaigns_warm_step},
    {"fleet_flush", 3000, fleet_flush_step},
    {"checkpoint", 1000, checkpoint_step},
    {"approval", 30000, approval_step},
    {"metadata", 30000, metadata_step},
    {"captures", 30000, captures_step},
    {"people", 600000, people_step},
    {"claims", 3600000, claims_forget},
    {"reports", 3600000, reports_forget},
    {0},
};
/* clang-format on */

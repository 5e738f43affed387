/* Devices whose turn in a campaign comes soon. */
#include "console/campaigns.h"

#include "base/clock.h"
#include "console/fleet.h"
#include "diagnostics/run.h"

#define WARM_S 60       /* the longest that an idle device takes to hear of it */
#define WARM_AGAIN_S 15 /* more than the step's period */
#define WARM_MOST 1000

bool campaigns_warm_step(struct console *console, struct error *err)
{
    ARENA(arena);
    int64_t *ids, until = clock_now() + WARM_AGAIN_S;
    size_t count;
    DB_DONE(conn) = db_read(console->db, err);

    if (!conn || !runs_soon(conn, &arena, WARM_S, WARM_MOST, &ids, &count, err))
        return false;
    fleet_lock(console->fleet);
    for (size_t i = 0; i < count; i++) {
        struct device *device = fleet_by_id(console->fleet, ids[i]);

        if (device && device->warm_until < until)
            device->warm_until = until;
    }
    fleet_unlock(console->fleet);
    return true;
}

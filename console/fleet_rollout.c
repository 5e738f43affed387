/* How the fleet's memory serves rollouts: who is watched, and who said something new. */
#include "console/fleet_parts.h"

#include <stdlib.h>

void fleet_rollout_level(struct fleet *fleet, struct device *device, int level)
{
    fleet->rollout_moving += (level == 2) - (device->rollout_level == 2);
    device->rollout_level = level;
    if (level)
        device->warm_until = 0;
}

void fleet_rollout_note(struct fleet *fleet, struct device *device)
{
    if (!device || !device->rollout_level || device->rollout_news)
        return;
    if (fleet->news_count == fleet->news_room) {
        size_t room = fleet->news_room * 2 + 64;
        int64_t *grown = reallocarray(fleet->news, room, sizeof *grown);

        if (!grown)
            abort();
        fleet->news = grown;
        fleet->news_room = room;
    }
    device->rollout_news = true;
    fleet->news[fleet->news_count++] = device->id;
}

size_t fleet_rollout_take(struct fleet *fleet, int64_t *ids, size_t most)
{
    fleet_lock(fleet);
    size_t count = fleet->news_count < most ? fleet->news_count : most;
    for (size_t i = 0; i < count; i++) {
        ids[i] = fleet->news[i];
        fleet_by_id(fleet, ids[i])->rollout_news = false;
    }
    fleet->news_count -= count;
    for (size_t i = 0; i < fleet->news_count; i++)
        fleet->news[i] = fleet->news[i + count];
    fleet_unlock(fleet);
    return count;
}

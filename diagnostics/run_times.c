/* When the devices of a run may begin, each by its own zone. */
#include "diagnostics/run_parts.h"

#include "diagnostics/campaign.h"

#include <string.h>

struct zone_span {
    char name[ZONE_NAME_SIZE];
    struct span span;
    struct zone_span *next;
};

bool spans_begin(struct spans *spans, struct act *act, int64_t campaign, int64_t day, int64_t now,
                 struct error *err)
{
    *spans = (struct spans){.diagnostics = act->diagnostics, .day = day, .now = now};
    return campaign_schedule(act->conn, &act->arena, campaign, &spans->schedule, err);
}

void spans_end(struct spans *spans)
{
    arena_end(&spans->arena);
}

static struct zone_span *think(struct spans *spans, const char *name)
{
    struct zone_span *made = arena_alloc(&spans->arena, sizeof *made);
    struct zone *zone = zone_open(name, NULL);

    strcpy(made->name, name);
    made->span = spans->schedule.repeat == REPEAT_NEVER ? schedule_once(&spans->schedule, zone, spans->now)
                                                        : schedule_span(&spans->schedule, zone, spans->day);
    zone_close(zone);
    return made;
}

struct span spans_of(struct spans *spans, int64_t device_id)
{
    char name[ZONE_NAME_SIZE];
    struct zone_span **link = &spans->first;

    diagnostics_zone(spans->diagnostics, device_id, name);
    while (*link && strcmp((*link)->name, name))
        link = &(*link)->next;
    struct zone_span *found = *link;
    if (found)
        *link = found->next;
    else
        found = think(spans, name);
    found->next = spans->first;
    spans->first = found;
    return found->span;
}

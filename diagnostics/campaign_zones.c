/* The zones that a campaign's devices are in, and what its schedule means there. */
#include "diagnostics/campaign_parts.h"

#include <string.h>

#define ZONES_SHOWN 50

void zones_begin(struct zones *zones, struct arena *arena)
{
    *zones = (struct zones){.arena = arena};
}

void zones_end(struct zones *zones)
{
    for (size_t i = 0; i < zones->count; i++)
        zone_close(zones->open[i]);
    zones->count = 0;
}

static void zones_grow(struct zones *zones)
{
    size_t room = zones->room * 2 + 8;
    struct zone **open = arena_array(zones->arena, room, sizeof *open);
    const char **names = arena_array(zones->arena, room, sizeof *names);
    int64_t *devices = arena_array(zones->arena, room, sizeof *devices);

    if (zones->count) {
        memcpy(open, zones->open, zones->count * sizeof *open);
        memcpy(names, zones->names, zones->count * sizeof *names);
        memcpy(devices, zones->devices, zones->count * sizeof *devices);
    }
    zones->open = open;
    zones->names = names;
    zones->devices = devices;
    zones->room = room;
}

/* A name that this machine does not know is UTC, and is shown as that. */
void zones_add(struct zones *zones, const char *name, int64_t devices)
{
    for (size_t i = 0; i < zones->count; i++)
        if (!strcmp(zones->names[i], name)) {
            zones->devices[i] += devices;
            return;
        }
    bool known = false;
    struct zone *zone = zone_open(name, &known);
    if (!known && strcmp(name, "UTC")) {
        zone_close(zone);
        zones_add(zones, "UTC", devices);
        return;
    }
    if (zones->count == zones->room)
        zones_grow(zones);
    zones->open[zones->count] = zone;
    zones->names[zones->count] = arena_strdup(zones->arena, name);
    zones->devices[zones->count++] = devices;
}

bool zones_load(struct zones *zones, struct db_conn *conn, int64_t campaign, struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT zone, devices FROM campaign_zone WHERE campaign_id = :id ORDER BY devices DESC, zone");

    db_bind_integer(query, ":id", campaign);
    while (db_step(query))
        zones_add(zones, db_text(query, 0), db_integer(query, 1));
    if (!zones->count)
        zones_add(zones, "UTC", 0);
    return db_end(query, err);
}

bool zones_store(const struct zones *zones, struct act *act, int64_t campaign, struct error *err)
{
    for (size_t i = 0; i < zones->count; i++) {
        struct db_query *query = db_query(act->conn, "INSERT INTO campaign_zone (campaign_id, zone, devices)"
                                                     " VALUES (:id, :zone, :devices)");

        db_bind_integer(query, ":id", campaign);
        db_bind_text(query, ":zone", zones->names[i]);
        db_bind_integer(query, ":devices", zones->devices[i]);
        if (!db_run(query, NULL, err))
            return false;
    }
    return true;
}

static void local_write(const struct zones *zones, const struct schedule *schedule,
                        const struct occurrence *occurrence, int64_t now, struct json_writer *writer)
{
    json_write_array(writer, "local");
    for (size_t i = 0; i < zones->count && i < ZONES_SHOWN; i++) {
        char text[ZONE_TEXT];
        struct span span = schedule->repeat == REPEAT_NEVER
                               ? schedule_once(schedule, zones->open[i], now)
                               : schedule_span(schedule, zones->open[i], occurrence->day);

        json_write_object(writer, NULL);
        json_write_string(writer, "zone", zones->names[i]);
        json_write_string(writer, "time", zone_text(zones->open[i], span.start, text));
        json_write_string(writer, "until", zone_text(zones->open[i], span.before, text));
        json_write_time(writer, "utc", span.start);
        json_write_integer(writer, "devices", zones->devices[i]);
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
}

void zones_write_occurrences(const struct zones *zones, const struct schedule *schedule, int64_t now,
                             int64_t most, struct json_writer *writer)
{
    struct occurrence occurrence = {0};

    json_write_array(writer, "occurrences");
    for (int64_t i = 0; i < most && i < OCCURRENCES_SHOWN; i++) {
        if (!schedule_occurrence(schedule, zones->open, zones->count, i ? occurrence.day + 1 : 0, now,
                                 &occurrence))
            break;
        json_write_object(writer, NULL);
        json_write_time(writer, "utc", occurrence.start);
        local_write(zones, schedule, &occurrence, now, writer);
        json_write_end(writer, '}');
        if (schedule->repeat == REPEAT_NEVER)
            break;
    }
    json_write_end(writer, ']');
}

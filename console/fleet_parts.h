/* What the fleet's own files share. */
#ifndef CONSOLE_FLEET_PARTS_H
#define CONSOLE_FLEET_PARTS_H

#include "base/json.h"
#include "console/fleet.h"

#include <pthread.h>

#define SESSION_S 3600
#define NONCE_S 60

/* A group as filters see it. Written by console/delivery/group_follow.c under the fleet's lock. */
struct fleet_group {
    int64_t id; /* row id */
    char name[NAME_SIZE];
    struct arena arena;          /* of the filter */
    const struct filter *filter; /* NULL: a fixed group */
    int64_t devices;             /* members that are pending or accepted: kept, not counted */
};

#define FLEET_LOOKED_MOST 64

struct fleet {
    struct console *console;
    pthread_mutex_t lock;
    struct device **by_name, **by_key; /* sorted */
    struct device **by_id;             /* by_id[id - 1], NULL where there is none */
    size_t count, room, id_room;
    int64_t active;                  /* not retired or rejected: the size that intervals go by */
    int64_t started_at;              /* Unix seconds, as the next */
    int64_t last_activity;           /* newest last_seen at the start */
    int64_t watch_ms, watch_wall_ms; /* the last fleet_keep_watch, of both clocks; 0: none */
    int64_t away_s;                  /* that it found, for fleet_watch to log */
    uint8_t nonce_secret[SHA256_SIZE];
    struct fleet_group **groups; /* by name; changed only with `grouping` and the lock held */
    size_t group_count;
    pthread_mutex_t grouping; /* one changer of groups at a time; taken before the database's writer */
    int64_t group_at;         /* group_step: the last row id that was looked at; under `grouping` */
    pthread_mutex_t orders;   /* one maker of orders at a time; taken before the database's writer */
    int64_t orders_at;        /* orders_step: the row id of the device whose order it made last */
    int64_t flush_at;         /* fleet_flush_step: the row id that it looked at last; 0: it begins */
    struct fleet_counts told; /* counts that browsers know */
    int64_t *news;            /* row ids of watched devices that said something new; owned */
    size_t news_count, news_room;
    int64_t rollout_moving;            /* devices that move in rollouts */
    int64_t looked[FLEET_LOOKED_MOST]; /* row ids of devices that operators look at, a ring; 0: none */
    size_t looked_at;                  /* the oldest of them */
};

/* A check-in as it was read; lives in an arena. */
struct checkin {
    const char *boot_id, *set;
    int64_t generation, order_seq;
    struct running_asset *assets; /* sorted by asset */
    size_t asset_count;
    const char *app_state;
    int64_t app_pid, app_since;
    struct device_image image; /* run_id "": none */
    char *facts;               /* JSON object; NULL: not said this time */
    const char *waiting, *safe;
};
/* Reads agent/PROTOCOL.md "Check-in"; INPUT with a sentence that names the member. */
bool checkin_read(struct arena *arena, const struct json *body, struct checkin *checkin, struct error *err);
/* Takes over what a device said. Needs the lock (but for devices that are not in the fleet yet). True when
 * something that people see has changed. */
bool checkin_apply(struct device *device, const struct checkin *checkin);
/* What checkin_read reads, from memory, without facts. */
void checkin_write(const struct device *device, struct text *out);
/* Facts: an object of at most 64 short strings, as JSON in the arena. */
bool facts_read(struct arena *arena, const struct json *facts, char **json, struct error *err);

/* Replaces an owned string; true when it was another. NULL is a value. */
bool own_string(char **owned, const char *value);

#endif

/* What the files of rollouts share. */
#ifndef CONSOLE_DELIVERY_ROLLOUT_PARTS_H
#define CONSOLE_DELIVERY_ROLLOUT_PARTS_H

#include "console/delivery/rollout.h"
#include "repo/manifest.h"

#include <pthread.h>

#define ROLLOUT_TOLD_MS 500 /* a rollout's counters are told so often at most */

struct rollout {
    int64_t id;
    const char *product, *asset, *version,
        *manifest;                   /* all strings live in the arena that it was read with */
    const char *hardware, *requires; /* JSON */
    enum rollout_state state;
    int64_t since, until; /* Unix seconds; until 0: not known */
    const char *reason_code, *reason_text, *group, *filter, *seed, *max_failures, *window;
    int64_t stage, stages, devices, soak_s, device_deadline_s, stage_deadline_s, min_successes, at, parallel,
        rate, retries, ends_at; /* 0: none */
    bool approval, auto_roll_back, late_joiners, begins;
    const char *reason, *ticket, *created_by;
    int64_t created_at;
};

/* Rollouts of a console. */
struct rollouts {
    pthread_mutex_t acts; /* one act at a time; taken before the database's writer */
    int64_t *untold;      /* rollouts whose counters changed since they were told; under `acts` */
    size_t untold_count, untold_room;
    int64_t told_ms, joined_ms, warmed_ms; /* of clock_boot_ms: last done; the scheduler's thread only */
};

/* One transaction and what it changed. */
struct rollout_act {
    struct console *console;
    struct db_conn *conn;
    struct arena arena;
    const char *operator_name; /* NULL: the console or a device */
    int64_t *devices;          /* whose assignment changed; in the arena */
    size_t device_count, device_room;
    int64_t *wishes; /* whose target changed */
    size_t wish_count, wish_room;
    struct rollout_told {
        int64_t id;
        const char *state;
        struct rollout_told *next;
    } * first, **last; /* rollouts whose state changed */
    int64_t *counted;  /* rollouts whose counters changed */
    size_t counted_count, counted_room;
};
bool rollout_act_begin(struct rollout_act *act, struct console *console, const char *operator_name,
                       struct error *err);
/* Commits when `good`, then brings the fleet's memory up to date and tells; else rolls back, `err` being set
 * already. */
bool rollout_act_end(struct rollout_act *act, bool good, struct error *err);
/* How closely the device is watched is to be thought over. */
void rollout_act_device(struct rollout_act *act, int64_t device_id);
/* Its wish is. */
void rollout_act_wish(struct rollout_act *act, int64_t device_id);
void rollout_act_counted(struct rollout_act *act, int64_t rollout);

/* MISSING. */
bool rollout_find(struct db_conn *conn, struct arena *arena, int64_t id, struct rollout *rollout,
                  struct error *err);
/* Rollouts that are not over, in the arena; drafts as well. */
bool rollout_open_ids(struct db_conn *conn, struct arena *arena, int64_t **ids, size_t *count,
                      struct error *err);
bool rollout_is_over(const struct rollout *rollout);
/* Adds the row as a draft and fills `id`. */
bool rollout_insert(struct rollout_act *act, struct rollout *rollout, struct error *err);
/* Writes a state (the only writer), with audit and timeline. `code` NULL: no reason. */
bool rollout_set(struct rollout_act *act, struct rollout *rollout, enum rollout_state to, int64_t until,
                 const char *code, const char *text, struct error *err);
/* Writes the stage that runs, and how many devices there are. */
bool rollout_set_stage(struct rollout_act *act, struct rollout *rollout, int64_t stage, struct error *err);
bool rollout_set_devices(struct rollout_act *act, struct rollout *rollout, int64_t devices,
                         struct error *err);
/* A line of the timeline. */
bool rollout_note(struct rollout_act *act, int64_t id, const char *what, const char *text, struct error *err);

/* --- rollout_stage.c
 * ----------------------------------------------------------------------------------------------- */
struct rollout_stage {
    int64_t number, devices, started_at, until, done_at, accepted;
    const char *share;
};
/* "10%", "0.5%" or "5" into hundredths of a percent or a count (the other is 0). INPUT. */
bool share_read(const char *text, int64_t *hundredths, int64_t *count, struct error *err);
/* Members up to each share, of `devices`: upto[i] rising, at most `devices`. INPUT when they do not rise. */
bool rollout_shares_cut(const char *const *shares, size_t count, int64_t devices, int64_t *upto,
                        struct error *err);
bool rollout_stage_add(struct rollout_act *act, int64_t rollout, int64_t number, const char *share,
                       int64_t devices, struct error *err);
bool rollout_stage_find(struct db_conn *conn, struct arena *arena, int64_t rollout, int64_t number,
                        struct rollout_stage *stage, struct error *err);
/* The next stage begins. */
bool rollout_stage_begin(struct rollout_act *act, struct rollout *rollout, int64_t number, int64_t now,
                         struct error *err);
/* A person accepts what failed so far in all stages that began. */
bool rollout_stage_accept(struct rollout_act *act, struct rollout *rollout, struct error *err);
/* One member more. */
bool rollout_stage_grow(struct rollout_act *act, int64_t rollout, int64_t number, struct error *err);
/* Begins what is due: from draft or scheduled. */
bool rollout_begin(struct rollout_act *act, struct rollout *rollout, int64_t now, struct error *err);
/* Brings a rollout to where its assignments and the time are: asks devices whose turn it is (for at most
 * `ms`), holds, soaks, goes on, ends. After each change and by the step. */
bool rollout_advance(struct rollout_act *act, int64_t id, int64_t now, int64_t ms, struct error *err);

/* --- rollout_plan.c
 * ------------------------------------------------------------------------------------------------ */
/* Refuses with the other rollout's number when one that is not over (drafts excepted) has one of these
 * devices (sorted) for the same asset. `self`: not this one. *other 0 and *sample: none. */
bool rollout_conflict_check(struct db_conn *conn, const struct rollout *rollout, const int64_t *device_ids,
                            size_t count, struct error *err);

/* When the device's next window opens: Unix seconds; `now` when it is open or there is none. UTC until the
 * device's zone is known. */
int64_t rollout_window_opens(const char *window, const char *facts, int64_t now);

#endif

/* What the campaign's own files share. */
#ifndef DIAGNOSTICS_CAMPAIGN_PARTS_H
#define DIAGNOSTICS_CAMPAIGN_PARTS_H

#include "diagnostics/assignment.h"
#include "diagnostics/campaign.h"
#include "diagnostics/image.h"
#include "diagnostics/run.h"

bool campaign_state(struct db_conn *conn, int64_t id, enum campaign_state *state, struct error *err);
/* Numbers of the runs that are not over, at most `most`. */
bool campaign_runs(struct db_conn *conn, int64_t id, int64_t *numbers, size_t most, size_t *count,
                   struct error *err);
#define CAMPAIGN_RUNS_MOST 64 /* far more than are open at a time */

/* campaign_plan.c: a plan held against its image. */
struct campaign_draft {
    struct image image;
    struct schedule schedule;
    struct zones *zones;
    struct occurrence first;
    const char *collect, *redact, *params, *blackout; /* JSON */
    int64_t max_output;
    int approvals;
};
bool campaign_draft(struct diagnostics *diagnostics, struct arena *arena, const struct campaign_plan *plan,
                    int64_t now, struct campaign_draft *draft, struct error *err);

/* campaign.c: what is due now begins. */
bool campaign_begin(struct act *act, int64_t id, int64_t start, int64_t now, struct error *err);

/* campaign_approve.c: an approval that was noted and, after a crash, not followed. */
#define APPROVAL_REST_S 5
bool campaign_approved(struct diagnostics *diagnostics, int64_t id, struct error *err);

/* campaign_zones.c: the zones of a campaign's devices. */
struct zones {
    struct zone **open;
    const char **names;
    int64_t *devices; /* in each */
    size_t count, room;
    struct arena *arena;
};
#define ZONES(name) __attribute__((cleanup(zones_end))) struct zones name
void zones_begin(struct zones *zones, struct arena *arena);
void zones_end(struct zones *zones);
void zones_add(struct zones *zones, const char *name, int64_t devices);
bool zones_load(struct zones *zones, struct db_conn *conn, int64_t campaign, struct error *err);
bool zones_store(const struct zones *zones, struct act *act, int64_t campaign, struct error *err);
/* Member "occurrences": the next ones, at most `most`, from `day` on. */
#define OCCURRENCES_SHOWN 5
void zones_write_occurrences(const struct zones *zones, const struct schedule *schedule, int64_t now,
                             int64_t most, struct json_writer *writer);

/* campaign_next.c */
/* Notes when the occurrence after this one begins. */
bool campaign_next_note(struct act *act, int64_t id, const struct schedule *schedule,
                        const struct zones *zones, int64_t day, int64_t number, struct error *err);

#endif

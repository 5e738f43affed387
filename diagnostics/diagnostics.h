/* Campaigns of temporary diagnostic images: what all of this folder stands on. See LIFECYCLE.md.
 *
 * This folder knows no HTTP and no console: what it changed it tells through two hooks. Every change of state
 * is made inside an act, which is one transaction of the database. */
#ifndef DIAGNOSTICS_DIAGNOSTICS_H
#define DIAGNOSTICS_DIAGNOSTICS_H

#include "base/arena.h"
#include "base/db.h"
#include "base/error.h"
#include "diagnostics/zone.h"
#include "repo/repo.h"

#include <stdbool.h>
#include <stdint.h>

#define RUN_ID_TEXT 33 /* 32 hex digits: an assignment, on the wire "run id" */

/* A state that was written. Strings live until the act has ended. */
struct change {
    enum change_noun { CHANGE_CAMPAIGN, CHANGE_RUN, CHANGE_ASSIGNMENT, CHANGE_CAPTURE } noun;
    int64_t campaign, run;     /* run: its number; 0: the campaign itself */
    int64_t device_id;         /* assignment and capture */
    int64_t capture;           /* row id */
    const char *from, *to;     /* names of states; from NULL: it is new */
    const char *alarm;         /* of an assignment: overdue, lost, revert_failed; NULL: none */
    const char *reason;        /* a sentence, or NULL */
    const char *operator_name; /* NULL: the system or the device */
};

/* How long a product's captures are kept and how much they may take; 0: without limit. */
struct capture_limits {
    int64_t keep_s;                       /* seconds */
    int64_t device_quota, campaign_quota; /* bytes of all captures of one device, of one campaign */
};
#define CAPTURE_DEVICE_QUOTA (INT64_C(1) << 30)

struct diagnostics_hooks {
    void *context;
    /* Inside the transaction: audit and time lines. */
    bool (*written)(void *context, struct db_conn *conn, const struct change *change, struct error *err);
    /* After the commit: live events, orders to be thought over. */
    void (*told)(void *context, const struct change *change);
    /* After the commit: a device's order may say something else although no state changed. May be NULL. */
    void (*wish)(void *context, int64_t device_id);
    /* The IANA zone of a device, by its own word; "" when it has said none. NULL: all are in UTC. */
    void (*zone)(void *context, int64_t device_id, char name[ZONE_NAME_SIZE]);
    /* How many people must stand behind a diagnostic image of this product: 1 or 2. NULL: 1. */
    bool (*approvals)(void *context, struct db_conn *conn, const char *product, int *needed,
                      struct error *err);
    /* CONFLICT with the sentence when the image's version was withdrawn. NULL: none is. */
    bool (*offered)(void *context, struct db_conn *conn, const char *product, const char *image,
                    const char *version, struct error *err);
    /* NULL: kept for ever, CAPTURE_DEVICE_QUOTA, no quota of a campaign. */
    bool (*capture_limits)(void *context, struct db_conn *conn, const char *product,
                           struct capture_limits *limits, struct error *err);
};

struct diagnostics {
    struct db *db;
    struct repo *repo;
    struct diagnostics_hooks hooks;
    int captures_dirfd; /* DATA/captures */
    int64_t quota;      /* bytes of all captures together */
};

/* Opens (makes) the folder of captures. Borrows db and repo. Captures that were being received go on where
 * they stopped. */
struct diagnostics *diagnostics_open(struct db *db, struct repo *repo, int data_dirfd,
                                     const struct diagnostics_hooks *hooks, struct error *err);
void diagnostics_close(struct diagnostics *diagnostics); /* NULL is fine */
/* The IANA name of a device's zone; "UTC" when it has said none. */
void diagnostics_zone(const struct diagnostics *diagnostics, int64_t device_id, char name[ZONE_NAME_SIZE]);
/* CONFLICT when this version of an image was withdrawn: nobody begins it any more. */
bool diagnostics_offered(const struct diagnostics *diagnostics, struct db_conn *conn, const char *product,
                         const char *image, const char *version, struct error *err);
/* What time alone brings: runs that are made, begin or end, places that are free, deadlines that passed: a
 * slice of it where there is much. Several times a second; any one thread at a time. */
bool diagnostics_step(struct diagnostics *diagnostics, struct error *err);

/* One transaction and what it changed. */
struct act {
    struct diagnostics *diagnostics;
    struct db_conn *conn;
    struct arena arena;
    const char *operator_name; /* NULL: the system or a device */
    struct told *first, **last;
    struct wished *wished; /* devices whose orders may say something else */
};
bool act_begin(struct act *act, struct diagnostics *diagnostics, const char *operator_name,
               struct error *err);
/* Commits when `good`, then tells; else rolls back, `err` being set already. Returns whether all went well.
 */
bool act_end(struct act *act, bool good, struct error *err);
/* Called by the function that wrote a state. */
bool act_changed(struct act *act, const struct change *change, struct error *err);
/* The device's order may say something else. */
void act_wish(struct act *act, int64_t device_id);

#endif

/* A campaign: an image, devices, a time. Its occurrences are runs. */
#ifndef DIAGNOSTICS_CAMPAIGN_H
#define DIAGNOSTICS_CAMPAIGN_H

#include "base/json.h"
#include "diagnostics/diagnostics.h"
#include "diagnostics/lifecycle.h"
#include "diagnostics/schedule.h"

enum campaign_state { CAMPAIGN_DRAFT, CAMPAIGN_SCHEDULED, CAMPAIGN_ACTIVE, CAMPAIGN_PAUSED, CAMPAIGN_ENDED };
extern const struct lifecycle campaign_lifecycle;

#define CAMPAIGN_DEVICES_MOST 100000
#define CAMPAIGN_AHEAD_S (366 * 86400) /* `at` may be so far away */

#define CAMPAIGN_DEVICE_DEADLINE_S 600
#define CAMPAIGN_AHEAD_RUNS 2 /* occurrences that devices hold ahead of time */

struct campaign_plan {
    const char *product, *image, *version; /* version NULL: the newest */
    const char *mode;                      /* NULL: the image's own; another is refused */
    const int64_t *device_ids;             /* chosen by the caller, each once */
    size_t device_count;
    const char *filter; /* that chose them, or NULL */
    int64_t duration_s;
    struct schedule_words words; /* when */
    int64_t at;                  /* Unix seconds, instead of words.at; 0: as that says, or now */
    int64_t occurrences;         /* most runs; 0: no limit */
    int64_t parallel;            /* 0: all */
    int64_t device_deadline_s;   /* of silence after a device took its order; 0: CAMPAIGN_DEVICE_DEADLINE_S */
    const char *max_failures;    /* "5%" or "3"; NULL: no limit */
    const struct json *params;   /* object, or NULL */
    const char **collect;        /* NULL-terminated part of what the image may collect; NULL: all of it */
    const char **redact;         /* NULL-terminated POSIX extended patterns; NULL: none */
    int64_t max_output;          /* bytes; 0: as the image may */
    const char *ticket, *reason; /* or NULL */
    const char *operator_name;
};
/* Makes the campaign and its first run; what is due now begins in the same transaction, unless a second
 * person must approve it. INPUT when the plan goes over what the image's signers allow, or no time is left
 * for it. */
bool campaign_create(struct diagnostics *diagnostics, const struct campaign_plan *plan, int64_t *id,
                     struct error *err);
/* What campaign_create would do: members "busy", "limits", "collect", "bytes_most", "occurrences",
 * "needs_approval" inside an open object. The same errors. */
bool campaign_preview(struct diagnostics *diagnostics, const struct campaign_plan *plan,
                      struct json_writer *writer, struct error *err);
/* The second person agrees: the image's version is signed by the approver's key as well where it is not yet
 * (repo_approve), and it begins. DENIED for who made it, and for who published a version that only this act
 * would list; CONFLICT when it does not wait for that. */
bool campaign_approve(struct diagnostics *diagnostics, int64_t id, const char *operator_name,
                      struct error *err);
/* No device begins any more, none is asked back. */
bool campaign_pause(struct diagnostics *diagnostics, int64_t id, const char *operator_name, const char *why,
                    struct error *err);
bool campaign_resume(struct diagnostics *diagnostics, int64_t id, const char *operator_name, const char *why,
                     struct error *err);
/* Ends it: what has not begun is cancelled, what runs reverts. Ending an ended one changes nothing. */
bool campaign_end(struct diagnostics *diagnostics, int64_t id, const char *operator_name, struct error *err);
/* Devices (NULL: all of the run, which ends with that) come back now or do not begin. */
bool campaign_return(struct diagnostics *diagnostics, int64_t id, int64_t run, const int64_t *device_ids,
                     size_t count, const char *operator_name, const char *why, struct error *err);
/* Devices (NULL: all) stay so long in all. INPUT over the image's signed limit. */
bool campaign_extend(struct diagnostics *diagnostics, int64_t id, int64_t run, const int64_t *device_ids,
                     size_t count, int64_t duration_s, const char *operator_name, struct error *err);

/* Ends a draft that a crash left behind, finishes an approval that one cut off, makes runs ahead. */
#define CAMPAIGN_DRAFT_S 300
bool campaign_step(struct diagnostics *diagnostics, int64_t now, struct error *err);
/* Writes a state with its reason, which may be NULL (the only writer). */
struct reason;
bool campaign_set(struct act *act, int64_t id, enum campaign_state to, const struct reason *reason,
                  struct error *err);
/* Its run begins: a scheduled campaign becomes active. */
bool campaign_begun(struct act *act, int64_t id, struct error *err);
/* A run of it is over: it ends when none is left and none comes. */
bool campaign_over(struct act *act, int64_t id, struct error *err);
/* A gate or a person: it and its runs are paused. */
bool campaign_hold(struct act *act, int64_t id, const struct reason *reason, struct error *err);
/* When its runs are. MISSING. */
bool campaign_schedule(struct db_conn *conn, struct arena *arena, int64_t id, struct schedule *schedule,
                       struct error *err);

/* API.md "campaign" as one JSON value. MISSING. With `runs` as in GET /campaigns/{id}. */
bool campaign_write(struct db_conn *conn, int64_t id, bool runs, struct json_writer *writer,
                    struct error *err);
/* Newest first, those with id < `before` (0: all), at most `limit`; *last is the id of the last one written,
 * *total the number there are. */
bool campaign_list(struct db_conn *conn, int64_t before, int64_t limit, struct json_writer *writer,
                   int64_t *last, int64_t *total, struct error *err);
/* Does a campaign that is not over, and does not wait for approval, need this version? True as well when that
 * cannot be told. */
bool campaign_wants(struct db_conn *conn, const char *product, const char *image, const char *version);

#endif

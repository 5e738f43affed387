/* A campaign: an image, devices, a time. Its occurrences are runs. */
#ifndef DIAGNOSTICS_CAMPAIGN_H
#define DIAGNOSTICS_CAMPAIGN_H

#include "base/json.h"
#include "diagnostics/diagnostics.h"
#include "diagnostics/lifecycle.h"

enum campaign_state { CAMPAIGN_DRAFT, CAMPAIGN_SCHEDULED, CAMPAIGN_ACTIVE, CAMPAIGN_PAUSED, CAMPAIGN_ENDED };
extern const struct lifecycle campaign_lifecycle;

#define CAMPAIGN_DEVICES_MOST 100000
#define CAMPAIGN_AHEAD_S (366 * 86400) /* `at` may be so far away */

struct campaign_plan {
    const char *product, *image, *version; /* version NULL: the newest */
    const int64_t *device_ids;             /* chosen by the caller, each once */
    size_t device_count;
    const char *filter; /* that chose them, or NULL */
    int64_t duration_s;
    int64_t at;                  /* Unix seconds; 0: now */
    int64_t parallel;            /* 0: all */
    const struct json *params;   /* object, or NULL */
    const char *ticket, *reason; /* or NULL */
    const char *operator_name;
};
/* Makes the campaign and its first run; what is due now begins in the same transaction. INPUT when the plan
 * goes over what the image's signers allow. */
bool campaign_create(struct diagnostics *diagnostics, const struct campaign_plan *plan, int64_t *id,
                     struct error *err);
/* Ends it: what has not begun is cancelled, what runs reverts. Ending an ended one changes nothing. */
bool campaign_end(struct diagnostics *diagnostics, int64_t id, const char *operator_name, struct error *err);
/* Ends a draft that a crash left behind. */
#define CAMPAIGN_DRAFT_S 300
bool campaign_step(struct diagnostics *diagnostics, int64_t now, struct error *err);
/* Writes a state (the only writer). */
bool campaign_set(struct act *act, int64_t id, enum campaign_state to, struct error *err);
/* Its run begins: a scheduled campaign becomes active. */
bool campaign_begun(struct act *act, int64_t id, struct error *err);

/* API.md "campaign" as one JSON value. MISSING. With `runs` as in GET /campaigns/{id}. */
bool campaign_write(struct db_conn *conn, int64_t id, bool runs, struct json_writer *writer,
                    struct error *err);
/* Newest first, those with id < `before` (0: all), at most `limit`; *last is the id of the last one written,
 * *total the number there are. */
bool campaign_list(struct db_conn *conn, int64_t before, int64_t limit, struct json_writer *writer,
                   int64_t *last, int64_t *total, struct error *err);
/* Does a campaign that is not over need this version? True as well when that cannot be told. */
bool campaign_wants(struct db_conn *conn, const char *product, const char *image, const char *version);

#endif

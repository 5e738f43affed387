/* Diagnostic runs that were ordered from this device, from the order to the last uploaded byte. Control
 * thread.
 *
 *   scheduled ─► downloading ─► verifying ─► running ─► reverting ─► uploading ─► done | failed | cancelled
 *       └──────────────┴────────────┴──► skipped | failed | cancelled (dropped by a newer order before it
 * began)
 *
 * The image is fetched ahead as soon as it is known; downloading and verifying are told when the run is due.
 * Each state is one report with an id of its own and a file runs/<id>.json. Whether a run began is the
 * keeper's word alone: its consumed mark. */
#ifndef AGENT_ASSIGNMENT_H
#define AGENT_ASSIGNMENT_H

#include "agent/channel.h"
#include "agent/enrolment.h"
#include "agent/outbox.h"
#include "agent/set.h"
#include "agent/wish.h"

#define ASSIGNMENTS_MOST 64
#define ASSIGNMENT_TEXT 300

enum assignment_state {
    ASSIGNMENT_SCHEDULED,
    ASSIGNMENT_DOWNLOADING,
    ASSIGNMENT_VERIFYING,
    ASSIGNMENT_RUNNING,
    ASSIGNMENT_REVERTING,
    ASSIGNMENT_UPLOADING,
    ASSIGNMENT_DONE,
    ASSIGNMENT_SKIPPED,
    ASSIGNMENT_FAILED,
    ASSIGNMENT_CANCELLED
};

struct assignment {
    char id[33], image[NAME_SIZE], version[VERSION_SIZE];
    int64_t campaign;
    enum assignment_state state;
    enum assignment_state end;            /* while uploading: what it will be */
    bool dropped;                         /* a newer order does not have it */
    int64_t started_at, ends_at;          /* Unix seconds; 0: not yet */
    int64_t refused_s;                    /* a longer time that the keeper refused; not asked for again */
    int64_t duration_s;                   /* that the keeper was asked for; a later order may give more */
    char code[40], text[ASSIGNMENT_TEXT]; /* the reason of the end */
    char capture[16], capture_reason[200];
    char trouble[ASSIGNMENT_TEXT]; /* why it waits: the last failed attempt */
    bool cancel_sent;
    int64_t retry_at_ms; /* boot clock; of a failed fetch or upload */
    struct backoff backoff;
};

struct assignments {
    int state_fd;
    const char *state; /* absolute */
    const struct enrolment *enrolment;
    struct outbox *outbox;
    struct channel *channel;
    struct assignment list[ASSIGNMENTS_MOST];
    size_t count;
};

/* Reads what was under way. */
bool assignments_load(struct assignments *assignments, struct error *err);
/* New runs are taken in, runs that are missing are cancelled. */
bool assignments_take(struct assignments *assignments, const struct wish *wish, struct error *err);

struct assignments_now {
    const struct wish *wish;
    const struct set *set; /* that runs: proven after each run */
    bool clock_is_good;    /* the wall clock is not below its floor */
    bool may_start;        /* no swap is under way */
};
/* Moves each on as far as it goes. Failures of the disk leave it where it is for the next time. */
void assignments_step(struct assignments *assignments, const struct assignments_now *now);

bool assignment_is_over(const struct assignment *assignment);
bool assignment_is_begun(const struct assignment *assignment); /* running or reverting */
/* The run that stands in the way of a swap, or is shown; NULL: none. */
const struct assignment *assignments_active(const struct assignments *assignments);
/* The next run whose image is to be fetched, or whose capture is to be uploaded, and may be tried now; NULL.
 */
struct assignment *assignments_fetch_due(struct assignments *assignments, const struct wish *wish);
struct assignment *assignments_upload_due(struct assignments *assignments);
struct assignment *assignments_find(struct assignments *assignments, const char *id);
/* The ends of those jobs. */
void assignment_fetched(struct assignments *assignments, struct assignment *assignment,
                        const struct error *err, bool lasting);
void assignment_uploaded(struct assignments *assignments, struct assignment *assignment, bool dropped,
                         const char *dropped_why, const struct error *err);
/* Boot clock ms at which something is due by itself; INT64_MAX: nothing. */
int64_t assignments_due_ms(const struct assignments *assignments, const struct wish *wish);
/* Why a run that is due does not go on; NULL: none waits. */
const char *assignments_trouble(const struct assignments *assignments);
/* `image` of the check-in. */
void assignments_write(const struct assignments *assignments, struct json_writer *writer, const char *key);

/* assignment_file.c: the file of one, its reports. */
const char *assignment_state_name(enum assignment_state state);
bool assignment_save(const struct assignments *assignments, const struct assignment *assignment,
                     struct error *err);
bool assignment_load(const struct assignments *assignments, const char *name, struct assignment *assignment,
                     struct error *err);
/* The report of the present state; `proof` NULL, or the keeper's proof, which is signed here. */
bool assignment_tell(const struct assignments *assignments, const struct assignment *assignment,
                     const struct json *proof, struct error *err);

/* assignment_request.c: the request run_start; `writer` is left open. */
void assignment_request(const struct assignments *assignments, const struct wish_run *run,
                        const struct image_limits *limits, const struct set *set, struct json_writer *writer,
                        struct text *out);

/* assignment_check.c: nothing runs that the signed metadata, the manifest, diagnostic.json and the order do
 * not agree on. */
bool assignment_check(const struct assignments *assignments, const struct wish_run *run, struct arena *arena,
                      struct image_limits *limits, struct error *err);

#endif

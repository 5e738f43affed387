/* A field for one test: a repository with a diagnostic image, devices with keys, diagnostics on top, and what
 * its hooks were told. */
#ifndef TEST_DIAGNOSTICS_FIELD_H
#define TEST_DIAGNOSTICS_FIELD_H

#include "test/base/scratch.h"

#include "base/json.h"
#include "base/signature.h"
#include "diagnostics/assignment.h"
#include "diagnostics/campaign.h"
#include "diagnostics/capture.h"
#include "diagnostics/diagnostics.h"
#include "diagnostics/run.h"

#define FIELD_DEVICES 3
#define MAX_OUTPUT 4096 /* of the image demo/look, which may run 60 s with a grace of 2 s */

struct field {
    struct scratch scratch;
    struct db *db;
    struct repo *repo;
    struct diagnostics *diagnostics;
    int64_t devices[FIELD_DEVICES]; /* row ids of d1, d2, d3 */
    struct private_key keys[FIELD_DEVICES];
    int written, told, wished;        /* how often the hooks were called */
    const char *zones[FIELD_DEVICES]; /* IANA names; NULL: none said */
    int approvals;                    /* people behind an image; 0: one */
    bool withdrawn;                   /* every image */
    struct capture_limits limits;     /* of captures; all 0: none */
    struct arena arena;
    int64_t shifted; /* seconds that the clock was moved */
};
int field_setup(void **state);
int field_teardown(void **state);
/* The kept counters equal their rows, of every run. field_teardown asks it as well. */
void field_count(struct field *field);
/* As after a kill: the database and all above it are closed without a word and opened again. */
void field_reopen(struct field *field);
/* Sets the wall clock to this moment (Unix seconds), without a step. */
void field_at(struct field *field, int64_t at);
/* Moves the wall clock on and does one step. */
void field_wait(struct field *field, int64_t seconds);
/* A campaign for the first `devices` devices; its id. */
int64_t field_campaign(struct field *field, size_t devices, int64_t at, int64_t parallel);
/* The same by hand: its plan, to be filled further, and the campaign of it. */
struct campaign_plan field_plan(struct field *field, size_t devices);
int64_t field_create(struct field *field, const struct campaign_plan *plan);
/* The device was given its order. */
void field_offer(struct field *field, int device);
/* Its first ordered run; zeroed when it has none. */
struct order_run field_ordered(struct field *field, int device);
/* What the device's order names: the number of runs; the id of the first into `run_id`. */
size_t field_orders(struct field *field, int device, char run_id[RUN_ID_TEXT]);
/* Takes a report as JSON text, in one act. */
bool field_report(struct field *field, int device, struct error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A report of a state alone, which must be taken. */
void field_say(struct field *field, int device, const char *run_id, const char *state);
/* "state" or "state/alarm" or "state(reason)" of the device's assignment in a campaign. */
const char *field_state(struct field *field, int64_t campaign, int device);
const char *field_run(struct field *field, int64_t campaign);
/* One number out of the database, by :campaign. */
int64_t field_ask(struct field *field, const char *sql, int64_t campaign);
/* A proof signed by the device, as JSON text. */
const char *field_proof(struct field *field, int device, const char *run_id, bool equal, int leftovers);

#endif

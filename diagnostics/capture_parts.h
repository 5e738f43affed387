/* What the capture's own files share. */
#ifndef DIAGNOSTICS_CAPTURE_PARTS_H
#define DIAGNOSTICS_CAPTURE_PARTS_H

#include "diagnostics/capture.h"

#define FILES_MOST 1000 /* of a capture, as PROTOCOL.md has it */
#define FOLDER_SIZE 32

struct capture_row {
    int64_t id; /* 0: none */
    bool uploading, listed, deleted;
    int64_t file_count;
};
bool capture_row(struct db_conn *conn, const char *run_id, struct capture_row *row, struct error *err);
/* MISSING when the run is none of this device. */
bool capture_owner_check(struct db_conn *conn, int64_t device_id, const char *run_id, struct error *err);

/* --- capture_limits.c
 * --------------------------------------------------------------------------------------------- */
/* What the product of a capture's campaign says. */
bool capture_limits(struct diagnostics *diagnostics, struct db_conn *conn, const char *product,
                    struct capture_limits *limits, struct error *err);
/* May the device's run bring so many bytes more? LIMIT says which limit it would break, MISSING: no such run
 * of this device. */
bool capture_allowed(struct diagnostics *diagnostics, struct db_conn *conn, int64_t device_id,
                     const char *run_id, int64_t length, struct error *err);
/* The totals change by so much: called by who writes a capture's length. */
bool capture_counted(struct db_conn *conn, const char *run_id, int64_t change, struct error *err);

/* The column "omitted" as JSON; NULL: nothing was left out. */
const struct json *capture_omitted(struct arena *arena, const char *text);

/* The folder of a capture below captures/: its id. Returns `folder`. */
const char *capture_folder(int64_t id, char folder[FOLDER_SIZE]);
/* Bytes of a file that are on the disk; 0 when there is none yet. */
int64_t capture_held(struct diagnostics *diagnostics, int64_t id, int64_t n);
/* Has files judged whose bytes are all there: empty ones, which need no piece, and those that a crash left
 * between last byte and verdict. */
bool capture_judge_whole(struct diagnostics *diagnostics, int64_t device_id, const char *run_id, int64_t id,
                         struct error *err);

#endif

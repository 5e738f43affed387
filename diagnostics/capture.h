/* A capture: the files that one assignment collected, received piece by piece under a quota. */
#ifndef DIAGNOSTICS_CAPTURE_H
#define DIAGNOSTICS_CAPTURE_H

#include "base/json.h"
#include "diagnostics/assignment.h"
#include "diagnostics/diagnostics.h"

#define CAPTURE_QUOTA_DEFAULT (INT64_C(20) << 30) /* bytes of all captures */
#define CAPTURE_SPACE_LEFT (INT64_C(256) << 20)   /* free bytes that a capture leaves on the disk */

/* Takes the list of PROTOCOL.md "Captures" and writes the answer. The same list again is the same capture;
 * another one is a CONFLICT. LIMIT: over quota, over the image's output limit, or no space. MISSING: no such
 * run of this device. */
bool capture_begin(struct diagnostics *diagnostics, int64_t device_id, const char *run_id,
                   const struct json *list, struct text *answer, struct error *err);

/* One piece being appended to a file. One at a time per file. */
struct capture_piece;
/* CONFLICT when `offset` is not what is held (*held says it). */
struct capture_piece *capture_piece_open(struct diagnostics *diagnostics, int64_t device_id,
                                         const char *run_id, int64_t n, int64_t offset, int64_t *held,
                                         struct error *err);
bool capture_piece_add(struct capture_piece *piece, const void *bytes, size_t size, struct error *err);
/* Makes what came durable. Once all is there the hash decides: a wrong one drops the file to 0. Frees. */
bool capture_piece_end(struct capture_piece *piece, int64_t *held, bool *complete, struct error *err);
void capture_piece_abort(struct capture_piece *piece); /* keeps what came; frees; NULL is fine */

/* The assignment is over: settles the capture as complete, partial or none by what is held and what the
 * device says. */
bool capture_settle(struct act *act, const char *run_id, const char *said, const char *reason,
                    struct error *err);

/* API.md "capture". With `files` for GET /captures/{id}. MISSING, also when it was deleted. */
bool capture_write(struct diagnostics *diagnostics, struct db_conn *conn, int64_t id, bool files,
                   struct json_writer *writer, struct error *err);
struct capture_choice {
    int64_t campaign, run; /* 0: any */
    const char *device;    /* name; NULL: any */
    int64_t before, limit; /* ids below `before` (0: all) */
};
/* Newest first. *last: where the next page begins (`before`), 0 when there is none; *total: how many fit the
 * choice. */
bool capture_list(struct diagnostics *diagnostics, struct db_conn *conn, const struct capture_choice *choice,
                  struct json_writer *writer, int64_t *last, int64_t *total, struct error *err);
/* Opens a complete file of a capture; its base name lives in the arena. -1 with MISSING. */
int capture_file_open(struct diagnostics *diagnostics, struct db_conn *conn, struct arena *arena, int64_t id,
                      int64_t n, const char **name, char sha256[SHA256_HEX], int64_t *size,
                      struct error *err);
/* Bytes that all captures take. */
bool capture_bytes(struct db_conn *conn, int64_t *bytes, struct error *err);

/* --- capture_keep.c: how long
 * ------------------------------------------------------------------------------------- */
/* Removes its files for good; the row stays and says when and why, so that the device cannot bring it again.
 * CONFLICT while it is held or still being received. */
bool capture_delete(struct diagnostics *diagnostics, int64_t id, const char *operator_name,
                    const char *reason, struct error *err);
/* Held: nothing deletes it until a person lets it go. Nothing happens when it is so already. */
bool capture_hold(struct diagnostics *diagnostics, int64_t id, bool hold, const char *operator_name,
                  const char *reason, struct error *err);
/* Deletes those whose product keeps them no longer: a slice, the oldest first. */
bool capture_expire(struct diagnostics *diagnostics, int64_t now, struct error *err);
/* At start-up, before devices come: folders that no capture owns, which a crash left. `*removed`: how many.
 */
bool capture_sweep(struct diagnostics *diagnostics, size_t *removed, struct error *err);

/* --- capture_matrix.c
 * --------------------------------------------------------------------------------------------- */
/* API.md "matrix" of a run as values inside an open array, device by device: what came, what did not, and
 * why. Pages as assignment_write_some. MISSING. */
bool capture_matrix(struct diagnostics *diagnostics, struct db_conn *conn,
                    const struct assignment_choice *choice, struct json_writer *writer, int64_t *last,
                    struct error *err);

/* --- capture_tar.c
 * ------------------------------------------------------------------------------------------------ */
/* All settled captures of a run as one tar stream (POSIX.1-2001 pax) of `<device>/<path>`. The size is known
 * before the first byte. */
struct capture_tar;
struct capture_tar *capture_tar_open(struct diagnostics *diagnostics, int64_t campaign, int64_t run,
                                     int64_t *size, struct error *err);
typedef bool capture_tar_write(void *context, const void *bytes, size_t size);
/* Writes all of it; false when `write` did, or when a file is not as it was any more. */
bool capture_tar_send(struct capture_tar *tar, capture_tar_write *write, void *context, struct error *err);
void capture_tar_close(struct capture_tar *tar); /* NULL is fine */

#endif

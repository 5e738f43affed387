/* The bytes of a capture: files that grow piece by piece, whose whole hash decides. */
#include "diagnostics/capture_parts.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "diagnostics/assignment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct capture_piece {
    struct diagnostics *diagnostics;
    int fd, folder;
    int64_t capture, n, held, length;
    char sha256[SHA256_HEX], run_id[RUN_ID_TEXT];
    bool complete; /* it was before this piece */
};

const char *capture_folder(int64_t id, char folder[FOLDER_SIZE])
{
    snprintf(folder, FOLDER_SIZE, "%lld", (long long)id);
    return folder;
}

int64_t capture_held(struct diagnostics *diagnostics, int64_t id, int64_t n)
{
    char path[2 * FOLDER_SIZE];
    struct stat stat;

    snprintf(path, sizeof path, "%lld/%lld", (long long)id, (long long)n);
    return fstatat(diagnostics->captures_dirfd, path, &stat, AT_SYMLINK_NOFOLLOW) == 0 ? stat.st_size : 0;
}

bool capture_owner_check(struct db_conn *conn, int64_t device_id, const char *run_id, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT 1 FROM assignment WHERE id = :run AND device_id = :device");

    db_bind_text(query, ":run", run_id);
    db_bind_integer(query, ":device", device_id);
    bool owns = db_step(query);
    if (!db_end(query, err))
        return false;
    return owns || error_set(err, ERROR_MISSING, "this device has no run %.32s", run_id);
}

/* --- opening
 * ------------------------------------------------------------------------------------------------------ */

static bool piece_find(struct capture_piece *piece, int64_t device_id, struct error *err)
{
    bool found;
    DB_DONE(conn) = db_read(piece->diagnostics->db, err);

    if (!conn)
        return false;
    struct db_query *query = db_query(
        conn, "SELECT k.id, f.length, f.sha256, f.complete FROM capture k"
              " JOIN assignment a ON a.id = k.assignment_id JOIN capture_file f ON f.capture_id = k.id"
              " WHERE k.assignment_id = :run AND a.device_id = :device AND f.n = :n");
    db_bind_text(query, ":run", piece->run_id);
    db_bind_integer(query, ":device", device_id);
    db_bind_integer(query, ":n", piece->n);
    found = db_step(query);
    if (found) {
        piece->capture = db_integer(query, 0);
        piece->length = db_integer(query, 1);
        memcpy(piece->sha256, db_text(query, 2), SHA256_HEX);
        piece->complete = db_integer(query, 3) != 0;
    }
    if (!db_end(query, err))
        return false;
    return found ||
           error_set(err, ERROR_MISSING, "the capture of this run lists no file %lld", (long long)piece->n);
}

/* Opens the file, alone: a second piece at the same time is a CONFLICT. */
static bool piece_lock(struct capture_piece *piece, struct error *err)
{
    char folder[FOLDER_SIZE], name[FOLDER_SIZE];
    struct stat stat;

    piece->folder =
        folder_open_beneath(piece->diagnostics->captures_dirfd, capture_folder(piece->capture, folder), err);
    if (piece->folder < 0)
        return false;
    snprintf(name, sizeof name, "%lld", (long long)piece->n);
    piece->fd = file_open_beneath(piece->folder, name, O_RDWR | O_CREAT, 0600, err);
    if (piece->fd < 0)
        return false;
    if (flock(piece->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? error_set(err, ERROR_CONFLICT, "this file is being received already")
                                    : error_errno(err, "locking a captured file");
    if (fstat(piece->fd, &stat) != 0)
        return error_errno(err, "a captured file");
    piece->held = stat.st_size;
    return true;
}

static struct capture_piece *piece_free(struct capture_piece *piece)
{
    if (piece) {
        fd_close(&piece->fd);
        fd_close(&piece->folder);
        free(piece);
    }
    return NULL;
}

struct capture_piece *capture_piece_open(struct diagnostics *diagnostics, int64_t device_id,
                                         const char *run_id, int64_t n, int64_t offset, int64_t *held,
                                         struct error *err)
{
    struct capture_piece *piece = calloc(1, sizeof *piece);

    if (!piece)
        abort();
    *held = -1;
    *piece = (struct capture_piece){.diagnostics = diagnostics, .fd = -1, .folder = -1, .n = n};
    if (strlen(run_id) >= sizeof piece->run_id) {
        error_set(err, ERROR_MISSING, "there is no such run");
        return piece_free(piece);
    }
    strcpy(piece->run_id, run_id);
    if (!piece_find(piece, device_id, err) || !piece_lock(piece, err))
        return piece_free(piece);
    if (piece->complete || offset != piece->held) {
        *held = piece->held;
        error_set(err, ERROR_CONFLICT, "%lld bytes of this file are held, the piece begins at %lld",
                  (long long)piece->held, (long long)offset);
        return piece_free(piece);
    }
    return piece;
}

/* --- receiving
 * ---------------------------------------------------------------------------------------------------- */

bool capture_piece_add(struct capture_piece *piece, const void *bytes, size_t size, struct error *err)
{
    if ((int64_t)size > piece->length - piece->held)
        return error_set(err, ERROR_INPUT, "the file was listed with %lld bytes, more came",
                         (long long)piece->length);
    if (lseek(piece->fd, piece->held, SEEK_SET) < 0)
        return error_errno(err, "a captured file");
    if (!fd_write_all(piece->fd, bytes, size, err))
        return error_add(err, "keeping the capture");
    piece->held += (int64_t)size;
    return true;
}

static bool complete_write(struct capture_piece *piece, struct error *err)
{
    struct act act;

    if (!act_begin(&act, piece->diagnostics, NULL, err))
        return false;
    struct db_query *query =
        db_query(act.conn, "UPDATE capture_file SET complete = 1 WHERE capture_id = :id AND n = :n");
    db_bind_integer(query, ":id", piece->capture);
    db_bind_integer(query, ":n", piece->n);
    int64_t changes = 0;
    bool good = db_run(query, &changes, err) &&
                (changes || error_set(err, ERROR_CONFLICT, "the capture was deleted meanwhile")) &&
                assignment_touch(&act, piece->run_id, err);
    return act_end(&act, good, err);
}

/* All is there: the hash decides. */
static bool piece_judge(struct capture_piece *piece, bool *complete, struct error *err)
{
    char sha256[SHA256_HEX];
    int64_t size;

    if (!sha256_file(piece->fd, sha256, &size, err))
        return false;
    *complete = size == piece->length && !strcmp(sha256, piece->sha256);
    if (*complete)
        return complete_write(piece, err);
    piece->held = 0;
    return ftruncate(piece->fd, 0) == 0 || error_errno(err, "dropping a captured file with a wrong hash");
}

bool capture_piece_end(struct capture_piece *piece, int64_t *held, bool *complete, struct error *err)
{
    bool good = fsync(piece->fd) == 0 || error_errno(err, "keeping the capture");

    *complete = false;
    good = good && folder_sync(piece->folder, err);
    if (good && piece->held == piece->length)
        good = piece_judge(piece, complete, err);
    *held = piece->held;
    piece_free(piece);
    return good;
}

void capture_piece_abort(struct capture_piece *piece)
{
    piece_free(piece);
}

struct whole {
    int64_t n, length;
};

/* Files whose bytes are all there and that nobody has judged yet. */
static bool whole_find(struct diagnostics *diagnostics, int64_t id, struct whole *whole, size_t *count,
                       struct error *err)
{
    DB_DONE(conn) = db_read(diagnostics->db, err);

    if (!conn)
        return false;
    struct db_query *query = db_query(
        conn, "SELECT n, length FROM capture_file WHERE capture_id = :id AND complete = 0 ORDER BY n");
    db_bind_integer(query, ":id", id);
    *count = 0;
    while (db_step(query) && *count < FILES_MOST) {
        whole[*count] = (struct whole){db_integer(query, 0), db_integer(query, 1)};
        *count += capture_held(diagnostics, id, whole[*count].n) == whole[*count].length;
    }
    return db_end(query, err);
}

bool capture_judge_whole(struct diagnostics *diagnostics, int64_t device_id, const char *run_id, int64_t id,
                         struct error *err)
{
    struct whole whole[FILES_MOST];
    int64_t held;
    size_t count;
    bool complete;

    if (!whole_find(diagnostics, id, whole, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct capture_piece *piece =
            capture_piece_open(diagnostics, device_id, run_id, whole[i].n, whole[i].length, &held, err);
        if (!piece || !capture_piece_end(piece, &held, &complete, err))
            return false;
        if (!complete && !whole[i].length)
            return error_set(err, ERROR_INPUT, "the hash of an empty file is wrong");
    }
    return true;
}

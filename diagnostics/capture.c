#include "diagnostics/capture.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "diagnostics/assignment.h"
#include "diagnostics/capture_parts.h"
#include "repo/name.h"

#include <string.h>

static const char *const types[] = {"timeseries", "log", "text", "table", "json", "image", "binary", NULL};

/* One file of a list. */
struct listed {
    const char *path, *sha256, *type;
    int64_t length, redacted; /* bytes; places that were blotted out on the device */
};
struct list {
    struct listed *files;
    size_t count;
    int64_t length;           /* of all */
    bool whole;               /* nothing was left out */
    const char *omitted;      /* a sentence, or NULL */
    const char *omitted_json; /* [{"path","why"}], or NULL */
};

/* --- the list
 * ----------------------------------------------------------------------------------------------------- */

static bool type_is_known(const char *type)
{
    for (const char *const *known = types; *known; known++)
        if (!strcmp(*known, type))
            return true;
    return false;
}

static bool file_read_json(const struct json *json, struct listed *file, struct error *err)
{
    static const char *const allowed[] = {"path", "length", "sha256", "type", "redacted", NULL};

    if (json->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "a file of a capture is an object");
    if (!json_only(json, allowed, err) || !json_need_string(json, "path", &file->path, err) ||
        !asset_path_check(file->path, strlen(file->path), err) ||
        !json_need_integer(json, "length", 0, INT64_C(1) << 40, &file->length, err) ||
        !json_need_string(json, "sha256", &file->sha256, err) ||
        !json_need_string(json, "type", &file->type, err) ||
        (json_get(json, "redacted") &&
         !json_need_integer(json, "redacted", 0, INT64_C(1) << 40, &file->redacted, err)))
        return false;
    if (!sha256_is_hex(file->sha256))
        return error_set(err, ERROR_INPUT, "\"sha256\" must be 64 hex digits");
    return type_is_known(file->type) ||
           error_set(err, ERROR_INPUT, "a file's type is timeseries, log, text or binary, not \"%.40s\"",
                     file->type);
}

/* Is `path` the other, or a folder in which it lies? */
static bool is_above(const char *path, const char *other)
{
    size_t size = strlen(path);

    return !strncmp(path, other, size) && (!other[size] || other[size] == '/');
}

/* All of them can lie in one folder: who downloads a run is not stopped by one device's list. */
static bool paths_are_unique(const struct list *list, struct error *err)
{
    for (size_t i = 0; i < list->count; i++)
        for (size_t j = 0; j < list->count; j++)
            if (i != j && is_above(list->files[i].path, list->files[j].path))
                return error_set(err, ERROR_INPUT, "the capture lists \"%.200s\" twice, or as a folder",
                                 list->files[i].path);
    return true;
}

#define PATH_MOST 4096 /* bytes of a name that the device could not take */
#define WHY_MOST 500

/* Names that were left out may be the very ones that break our rules: any text will do, too long ones are
 * told by their size. */
static void omitted_write(struct arena *arena, struct json_writer *writer, const struct json *one)
{
    const char *path = json_string(one, "path"), *why = json_string(one, "why");

    if (path && strlen(path) > PATH_MOST)
        path = arena_printf(arena, "(a name of %zu bytes)", strlen(path));
    json_write_object(writer, NULL);
    json_write_string(writer, "path", path ? path : "?");
    json_write_string(writer, "why", why && *why && strlen(why) <= WHY_MOST ? why : "no reason given");
    json_write_end(writer, '}');
}

static const char *omitted_text(struct arena *arena, const struct json *omitted)
{
    struct json_writer writer;
    TEXT(out);
    size_t count = 0;

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    for (const struct json *one = omitted->first; one && count < FILES_MOST; one = one->next, count++)
        omitted_write(arena, &writer, one);
    json_write_end(&writer, ']');
    return arena_strdup(arena, text_string(&out));
}

static bool omitted_read(struct arena *arena, const struct json *json, struct list *list, struct error *err)
{
    const struct json *omitted = json_get(json, "omitted");

    list->whole = json_boolean(json, "complete", true);
    if (!omitted || omitted->type == JSON_NULL)
        return true;
    if (omitted->type != JSON_ARRAY)
        return error_set(err, ERROR_INPUT, "\"omitted\" must be an array");
    if (!omitted->size)
        return true;
    const char *path = json_string(omitted->first, "path"), *why = json_string(omitted->first, "why");
    list->whole = false;
    list->omitted_json = omitted_text(arena, omitted);
    list->omitted = arena_printf(arena, "%zu %s left out, first \"%.100s\": %.200s", omitted->size,
                                 omitted->size == 1 ? "file was" : "files were", path ? path : "?",
                                 why ? why : "no reason given");
    return true;
}

static bool list_read(struct arena *arena, const struct json *json, struct list *list, struct error *err)
{
    static const char *const allowed[] = {"files", "omitted", "complete", NULL};
    const struct json *files;

    *list = (struct list){0};
    if (json->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "a capture's list is a JSON object");
    if (!json_only(json, allowed, err) || !json_need_array(json, "files", &files, err))
        return false;
    if (files->size > FILES_MOST)
        return error_set(err, ERROR_LIMIT, "a capture has at most %d files", FILES_MOST);
    list->files = arena_array(arena, files->size, sizeof *list->files);
    for (const struct json *file = files->first; file; file = file->next) {
        if (!file_read_json(file, &list->files[list->count], err))
            return false;
        list->length += list->files[list->count++].length;
    }
    return paths_are_unique(list, err) && omitted_read(arena, json, list, err);
}

/* --- the row
 * ------------------------------------------------------------------------------------------------------ */

bool capture_row(struct db_conn *conn, const char *run_id, struct capture_row *row, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT id, state, file_count, listed, deleted_at IS NOT NULL "
                                            "FROM capture WHERE assignment_id = :run");

    *row = (struct capture_row){0};
    db_bind_text(query, ":run", run_id);
    if (db_step(query)) {
        row->id = db_integer(query, 0);
        row->uploading = string_is(db_text(query, 1), "uploading");
        row->file_count = db_integer(query, 2);
        row->listed = db_integer(query, 3) != 0;
        row->deleted = db_integer(query, 4) != 0;
    }
    return db_end(query, err);
}

static bool row_insert(struct db_conn *conn, const char *run_id, const char *state, const struct list *list,
                       int64_t *id, struct error *err)
{
    struct db_query *query = db_query(
        conn, "INSERT INTO capture (assignment_id, state, reason, listed, length, file_count, created_at,"
              " omitted) VALUES (:run, :state, :reason, :listed, :length, :count, :now, :omitted)"
              " ON CONFLICT (assignment_id) DO UPDATE SET state = excluded.state, reason = excluded.reason,"
              " listed = excluded.listed, length = excluded.length, file_count = excluded.file_count,"
              " omitted = excluded.omitted");

    db_bind_text(query, ":run", run_id);
    db_bind_text(query, ":state", state);
    db_bind_text(query, ":reason", list->omitted);
    db_bind_integer(query, ":listed", list->whole);
    db_bind_integer(query, ":length", list->length);
    db_bind_integer(query, ":count", (int64_t)list->count);
    db_bind_integer(query, ":now", clock_now());
    db_bind_text(query, ":omitted", list->omitted_json);
    if (!db_run(query, NULL, err) || !capture_counted(conn, run_id, list->length, err))
        return false;
    struct capture_row row;
    if (!capture_row(conn, run_id, &row, err))
        return false;
    *id = row.id;
    return true;
}

static bool files_insert(struct db_conn *conn, int64_t id, const struct list *list, struct error *err)
{
    for (size_t n = 0; n < list->count; n++) {
        const struct listed *file = &list->files[n];
        struct db_query *query =
            db_query(conn, "INSERT INTO capture_file (capture_id, n, path, length, sha256, type, complete,"
                           " redacted) VALUES (:capture, :n, :path, :length, :sha256, :type, 0, :redacted)");

        db_bind_integer(query, ":capture", id);
        db_bind_integer(query, ":n", (int64_t)n);
        db_bind_text(query, ":path", file->path);
        db_bind_integer(query, ":length", file->length);
        db_bind_text(query, ":sha256", file->sha256);
        db_bind_text(query, ":type", file->type);
        db_bind_integer(query, ":redacted", file->redacted);
        if (!db_run(query, NULL, err))
            return false;
    }
    return true;
}

/* Is it the list that we have? */
static bool list_is_same(struct db_conn *conn, int64_t id, const struct list *list, bool *same,
                         struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT path, length, sha256 FROM capture_file WHERE capture_id = :id ORDER BY n");
    size_t n = 0;

    *same = true;
    db_bind_integer(query, ":id", id);
    while (db_step(query)) {
        const struct listed *file = &list->files[n];

        *same &= n < list->count && string_is(db_text(query, 0), file->path) &&
                 db_integer(query, 1) == file->length && string_is(db_text(query, 2), file->sha256);
        n += n < list->count;
    }
    *same &= n == list->count;
    return db_end(query, err);
}

static bool told(struct act *act, const char *run_id, int64_t id, const char *from, const char *to,
                 const char *reason, struct error *err)
{
    struct assignment assignment;

    if (!assignment_find(act->conn, &act->arena, run_id, &assignment, err))
        return false;
    const struct change change = {.noun = CHANGE_CAPTURE,
                                  .campaign = assignment.campaign,
                                  .run = assignment.run,
                                  .device_id = assignment.device_id,
                                  .capture = id,
                                  .from = from,
                                  .to = to,
                                  .reason = reason ? arena_strdup(&act->arena, reason) : NULL};
    return act_changed(act, &change, err);
}

/* Before the row: a folder without one is harmless, the other way round is not. Ids are not known yet, so it
 * is made inside the transaction. */
static bool begin_new(struct act *act, const char *run_id, const struct list *list, int64_t *id,
                      struct error *err)
{
    char folder[FOLDER_SIZE];

    return row_insert(act->conn, run_id, "uploading", list, id, err) &&
           files_insert(act->conn, *id, list, err) &&
           folder_make(act->diagnostics->captures_dirfd, capture_folder(*id, folder), 0700, err) &&
           told(act, run_id, *id, NULL, "uploading", NULL, err);
}

static bool begin(struct act *act, int64_t device_id, const char *run_id, const struct list *list,
                  int64_t *id, struct error *err)
{
    struct capture_row row;
    bool same;

    if (!capture_row(act->conn, run_id, &row, err))
        return false;
    *id = row.id;
    if (row.deleted)
        return error_set(err, ERROR_CONFLICT, "the capture of this run was deleted at the console");
    if (row.id && row.file_count) {
        if (!list_is_same(act->conn, row.id, list, &same, err))
            return false;
        return same || error_set(err, ERROR_CONFLICT, "the capture of this run was begun with another list");
    }
    return capture_allowed(act->diagnostics, act->conn, device_id, run_id, list->length, err) &&
           begin_new(act, run_id, list, id, err);
}

/* --- beginning
 * ---------------------------------------------------------------------------------------------------- */

static bool answer_write(struct diagnostics *diagnostics, int64_t id, struct text *answer, struct error *err)
{
    struct json_writer writer;
    DB_DONE(conn) = db_read(diagnostics->db, err);

    if (!conn)
        return false;
    struct db_query *query =
        db_query(conn, "SELECT n, length, complete FROM capture_file WHERE capture_id = :id ORDER BY n");
    db_bind_integer(query, ":id", id);
    json_write_init(&writer, answer);
    json_write_object(&writer, NULL);
    json_write_array(&writer, "files");
    while (db_step(query)) {
        int64_t n = db_integer(query, 0);
        bool complete = db_integer(query, 2) != 0;

        json_write_object(&writer, NULL);
        json_write_integer(&writer, "n", n);
        json_write_integer(&writer, "held",
                           complete ? db_integer(query, 1) : capture_held(diagnostics, id, n));
        json_write_boolean(&writer, "complete", complete);
        json_write_end(&writer, '}');
    }
    json_write_end(&writer, ']');
    json_write_end(&writer, '}');
    return db_end(query, err);
}

bool capture_begin(struct diagnostics *diagnostics, int64_t device_id, const char *run_id,
                   const struct json *json, struct text *answer, struct error *err)
{
    ARENA(arena);
    struct list list;
    struct act act;
    int64_t id = 0;

    if (!list_read(&arena, json, &list, err) || !act_begin(&act, diagnostics, NULL, err))
        return false;
    if (!act_end(&act,
                 capture_owner_check(act.conn, device_id, run_id, err) &&
                     begin(&act, device_id, run_id, &list, &id, err),
                 err))
        return false;
    return capture_judge_whole(diagnostics, device_id, run_id, id, err) &&
           answer_write(diagnostics, id, answer, err);
}

/* --- settling
 * ----------------------------------------------------------------------------------------------------- */

static bool files_count(struct db_conn *conn, int64_t id, int64_t *complete, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT coalesce(sum(complete), 0) FROM capture_file WHERE capture_id = :id");

    *complete = 0;
    db_bind_integer(query, ":id", id);
    if (db_step(query))
        *complete = db_integer(query, 0);
    return db_end(query, err);
}

static bool settle_write(struct act *act, const char *run_id, int64_t id, const char *state,
                         const char *reason, struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "UPDATE capture SET state = :state, reason = coalesce(reason, :reason) WHERE id = :id");

    db_bind_text(query, ":state", state);
    db_bind_text(query, ":reason", reason);
    db_bind_integer(query, ":id", id);
    return db_run(query, NULL, err) && told(act, run_id, id, "uploading", state, reason, err);
}

/* What is here decides; what the device says can only make it less. */
static bool settle_uploading(struct act *act, const char *run_id, const struct capture_row *row,
                             const char *said, const char *reason, struct error *err)
{
    int64_t complete;

    if (!files_count(act->conn, row->id, &complete, err))
        return false;
    if (complete < row->file_count) {
        const char *missing =
            arena_printf(&act->arena, "%lld of %lld files arrived%s%s", (long long)complete,
                         (long long)row->file_count, reason ? ": " : "", reason ? reason : "");

        return settle_write(act, run_id, row->id, complete ? "partial" : "none", missing, err);
    }
    bool whole = row->listed && !string_is(said, "partial") && !string_is(said, "none");
    return settle_write(act, run_id, row->id,
                        whole             ? "complete"
                        : row->file_count ? "partial"
                                          : "none",
                        whole    ? NULL
                        : reason ? reason
                                 : "the device left something out",
                        err);
}

bool capture_settle(struct act *act, const char *run_id, const char *said, const char *reason,
                    struct error *err)
{
    struct capture_row row;
    struct assignment assignment;
    const struct list nothing = {.omitted = reason ? reason : "the device sent nothing"};
    int64_t id;

    if (!capture_row(act->conn, run_id, &row, err) ||
        !assignment_find(act->conn, &act->arena, run_id, &assignment, err))
        return false;
    if (row.id)
        return !row.uploading || settle_uploading(act, run_id, &row, said, reason, err);
    if (!said && !assignment.started_at)
        return true; /* it never began: there is nothing to say about a capture */
    return row_insert(act->conn, run_id, "none", &nothing, &id, err) &&
           told(act, run_id, id, NULL, "none", nothing.omitted, err);
}

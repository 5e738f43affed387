/* What came of each device of a run, what did not, and why: one row a device. */
#include "diagnostics/capture_parts.h"

#include "base/text.h"
#include "diagnostics/assignment.h"
#include "diagnostics/image.h"

#include <string.h>

/* What the run was to bring. */
struct wanted {
    const struct json *outputs; /* [{"path","type"}] of the image, or NULL */
    const char **scopes;        /* of the image, NULL-terminated */
    const struct json *given;   /* scopes that the campaign asked for */
};

/* One device of the run. */
struct row {
    int64_t device_id;
    const char *device, *state, *reason_code, *reason_text;
    int64_t capture; /* 0: none */
    const char *capture_state, *capture_reason, *deleted_why;
    bool deleted;
    const struct json *omitted;
    int64_t length;
    struct row *next;
};

/* --- the run
 * ------------------------------------------------------------------------------------------------------ */

static bool campaign_read(struct db_conn *conn, struct arena *arena, const struct assignment_choice *choice,
                          const char *image[3], const char **collect, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT c.product, c.image, c.version, c.collect FROM run r"
                                            " JOIN campaign c ON c.id = r.campaign_id"
                                            " WHERE r.campaign_id = :campaign AND r.number = :run");
    bool found;

    db_bind_integer(query, ":campaign", choice->campaign);
    db_bind_integer(query, ":run", choice->run);
    found = db_step(query);
    for (int i = 0; found && i < 3; i++)
        image[i] = db_text_copy(query, i, arena);
    if (found)
        *collect = db_text_copy(query, 3, arena);
    return db_end(query, err) && (found || error_set(err, ERROR_MISSING, "campaign %lld has no run %lld",
                                                     (long long)choice->campaign, (long long)choice->run));
}

static bool wanted_read(struct diagnostics *diagnostics, struct db_conn *conn, struct arena *arena,
                        const struct assignment_choice *choice, struct wanted *wanted, struct error *err)
{
    const char *names[3] = {0}, *collect = NULL;
    struct image image;

    if (!campaign_read(conn, arena, choice, names, &collect, err) ||
        !image_find(diagnostics->repo, conn, arena, names[0], names[1], names[2], &image, err))
        return false;
    *wanted = (struct wanted){.outputs = image.manifest.limits.outputs,
                              .scopes = image.manifest.limits.collect,
                              .given = json_read(arena, collect, strlen(collect), &json_limits_small, err)};
    return wanted->given != NULL;
}

static bool is_given(const struct wanted *wanted, const char *scope)
{
    for (const struct json *one = wanted->given->first; one; one = one->next)
        if (string_is(one->string, scope))
            return true;
    return false;
}

/* --- the devices
 * -------------------------------------------------------------------------------------------------- */

static void row_read(struct db_query *query, struct arena *arena, struct row *row)
{
    *row = (struct row){.device_id = db_integer(query, 0),
                        .device = db_text_copy(query, 1, arena),
                        .state = db_text_copy(query, 2, arena),
                        .reason_code = db_text_copy(query, 3, arena),
                        .reason_text = db_text_copy(query, 4, arena),
                        .capture = db_integer(query, 5),
                        .capture_state = db_text_copy(query, 6, arena),
                        .capture_reason = db_text_copy(query, 7, arena),
                        .omitted = capture_omitted(arena, db_text(query, 8)),
                        .deleted = !db_is_null(query, 9),
                        .deleted_why = db_text_copy(query, 10, arena),
                        .length = db_integer(query, 11)};
}

static bool rows_read(struct db_conn *conn, struct arena *arena, const struct assignment_choice *choice,
                      struct row **rows, int64_t *last, struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT d.id, d.name, a.state, a.reason_code, a.reason_text, k.id, k.state, k.reason, k.omitted,"
        " k.deleted_at, k.deleted_why, k.length FROM assignment a JOIN device d ON d.id = a.device_id"
        " LEFT JOIN capture k ON k.assignment_id = a.id WHERE a.campaign_id = :campaign"
        " AND a.run_number = :run AND a.device_id > :after ORDER BY a.device_id LIMIT :limit");
    struct row **at = rows;
    int64_t count = 0, before = 0;

    *rows = NULL;
    *last = 0;
    db_bind_integer(query, ":campaign", choice->campaign);
    db_bind_integer(query, ":run", choice->run);
    db_bind_integer(query, ":after", choice->after);
    db_bind_integer(query, ":limit", choice->limit + 1);
    while (db_step(query)) {
        if (count++ == choice->limit) {
            *last = before;
            break;
        }
        *at = arena_alloc(arena, sizeof **at);
        row_read(query, arena, *at);
        before = (*at)->device_id;
        at = &(*at)->next;
    }
    return db_end(query, err);
}

/* --- the files
 * ---------------------------------------------------------------------------------------------------- */

struct file {
    const char *path, *type;
    int64_t n, length, redacted;
    bool complete;
    struct file *next;
};

static bool files_read(struct db_conn *conn, struct arena *arena, int64_t capture, struct file **files,
                       struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT n, path, length, type, complete, redacted FROM capture_file"
                       " WHERE capture_id = :id ORDER BY n");

    *files = NULL;
    db_bind_integer(query, ":id", capture);
    while (db_step(query)) {
        *files = arena_alloc(arena, sizeof **files);
        **files = (struct file){.n = db_integer(query, 0),
                                .path = db_text_copy(query, 1, arena),
                                .length = db_integer(query, 2),
                                .type = db_text_copy(query, 3, arena),
                                .complete = db_integer(query, 4) != 0,
                                .redacted = db_integer(query, 5)};
        files = &(*files)->next;
    }
    return db_end(query, err);
}

static bool is_listed(const struct file *files, const char *path)
{
    for (; files; files = files->next)
        if (string_is(files->path, path))
            return true;
    return false;
}

static bool is_omitted(const struct json *omitted, const char *path)
{
    for (const struct json *one = omitted ? omitted->first : NULL; one; one = one->next)
        if (string_is(json_string(one, "path"), path))
            return true;
    return false;
}

/* --- one row
 * ------------------------------------------------------------------------------------------------------ */

static void missing(struct json_writer *writer, const char *what, const char *why)
{
    json_write_object(writer, NULL);
    json_write_string(writer, "what", what);
    json_write_string(writer, "why", why);
    json_write_end(writer, '}');
}

static void collected_write(const struct file *files, struct json_writer *writer)
{
    json_write_array(writer, "collected");
    for (; files; files = files->next) {
        if (!files->complete)
            continue;
        json_write_object(writer, NULL);
        json_write_integer(writer, "n", files->n);
        json_write_string(writer, "path", files->path);
        json_write_integer(writer, "length", files->length);
        json_write_string(writer, "type", files->type);
        json_write_integer(writer, "redacted", files->redacted);
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
}

/* Why there is no capture: what is known about the device's part in the run. */
static const char *why_none(struct arena *arena, const struct row *row)
{
    if (row->deleted)
        return arena_printf(arena, "deleted: %s", row->deleted_why ? row->deleted_why : "no reason given");
    if (row->capture_reason)
        return row->capture_reason;
    if (row->reason_text)
        return arena_printf(arena, "%s: %s", row->state, row->reason_text);
    if (row->reason_code)
        return arena_printf(arena, "%s: %s", row->state, row->reason_code);
    return arena_printf(arena, "nothing came yet: the device is %s", row->state);
}

static void outputs_missing(const struct wanted *wanted, const struct row *row, const struct file *files,
                            struct json_writer *writer)
{
    bool here = string_is(row->capture_state, "uploading");

    for (const struct json *one = wanted->outputs ? wanted->outputs->first : NULL; one; one = one->next) {
        const char *path = json_string(one, "path");

        if (path && !is_listed(files, path) && !is_omitted(row->omitted, path))
            missing(writer, path, here ? "the device has not listed it" : "the image did not write it");
    }
}

static void missing_write(struct arena *arena, const struct wanted *wanted, const struct row *row,
                          const struct file *files, struct json_writer *writer)
{
    const struct json *omitted = row->omitted ? row->omitted->first : NULL;

    json_write_array(writer, "missing");
    if (!row->capture || row->deleted || string_is(row->capture_state, "none")) {
        missing(writer, "capture", why_none(arena, row));
    } else {
        outputs_missing(wanted, row, files, writer);
        for (const struct file *file = files; file; file = file->next)
            if (!file->complete)
                missing(writer, file->path,
                        string_is(row->capture_state, "uploading") ? "still on its way"
                        : row->capture_reason                      ? row->capture_reason
                                                                   : "it did not arrive whole");
    }
    for (; omitted && !row->deleted; omitted = omitted->next)
        missing(writer, json_string(omitted, "path"), json_string(omitted, "why"));
    for (const char **scope = wanted->scopes; scope && *scope; scope++)
        if (!is_given(wanted, *scope))
            missing(writer, arena_printf(arena, "scope %s", *scope), "the campaign did not ask for it");
    json_write_end(writer, ']');
}

static void row_write(struct arena *arena, const struct wanted *wanted, const struct row *row,
                      const struct file *files, struct json_writer *writer)
{
    json_write_object(writer, NULL);
    json_write_string(writer, "device", row->device);
    json_write_string(writer, "state", row->state);
    if (row->capture && !row->deleted) {
        json_write_object(writer, "capture");
        json_write_integer(writer, "id", row->capture);
        json_write_string(writer, "state", row->capture_state);
        json_write_string(writer, "reason", row->capture_reason);
        json_write_integer(writer, "length", row->length);
        json_write_end(writer, '}');
    } else {
        json_write_null(writer, "capture");
    }
    collected_write(files, writer);
    missing_write(arena, wanted, row, files, writer);
    json_write_end(writer, '}');
}

bool capture_matrix(struct diagnostics *diagnostics, struct db_conn *conn,
                    const struct assignment_choice *choice, struct json_writer *writer, int64_t *last,
                    struct error *err)
{
    ARENA(arena);
    struct wanted wanted;
    struct row *rows;

    if (!wanted_read(diagnostics, conn, &arena, choice, &wanted, err) ||
        !rows_read(conn, &arena, choice, &rows, last, err))
        return false;
    for (const struct row *row = rows; row; row = row->next) {
        ARENA(of_row);
        struct file *files;

        if (!files_read(conn, &of_row, row->capture, &files, err))
            return false;
        row_write(&of_row, &wanted, row, files, writer);
    }
    return true;
}

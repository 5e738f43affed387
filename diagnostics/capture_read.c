/* Captures for people: the shapes of API.md, and the bytes. */
#include "diagnostics/capture_parts.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OMITTED_LISTED 20 /* of each capture in a list; all of them with the capture itself */
#define CAPTURE_COLUMNS                                                                                      \
    "k.id, a.campaign_id, a.run_number, d.name, c.image, c.version, k.state, k.reason, k.length, "           \
    "k.file_count, k.created_at, k.hold_by, k.hold_at, k.hold_reason, k.omitted, c.product,"                 \
    " (SELECT coalesce(sum(f.redacted), 0) FROM capture_file f WHERE f.capture_id = k.id)"                   \
    " FROM capture k JOIN assignment a ON a.id = k.assignment_id"                                            \
    " JOIN campaign c ON c.id = a.campaign_id JOIN device d ON d.id = a.device_id"

static void hold_write(struct db_query *query, struct json_writer *writer)
{
    if (db_is_null(query, 11)) {
        json_write_null(writer, "hold");
        return;
    }
    json_write_object(writer, "hold");
    json_write_string(writer, "by", db_text(query, 11));
    json_write_time(writer, "at", db_integer(query, 12));
    json_write_string(writer, "reason", db_text(query, 13));
    json_write_end(writer, '}');
}

const struct json *capture_omitted(struct arena *arena, const char *text)
{
    struct error ignored = {0};

    return text ? json_read(arena, text, strlen(text), &json_limits_large, &ignored) : NULL;
}

static void omitted_write(const char *text, int64_t most, struct json_writer *writer)
{
    ARENA(arena);
    const struct json *omitted = capture_omitted(&arena, text);

    json_write_array(writer, "omitted");
    for (const struct json *one = omitted ? omitted->first : NULL; one && most-- > 0; one = one->next)
        json_write_value(writer, NULL, one);
    json_write_end(writer, ']');
}

/* Leaves the object open. */
static bool row_write(struct diagnostics *diagnostics, struct db_conn *conn, struct db_query *query,
                      int64_t omitted_most, struct json_writer *writer, struct error *err)
{
    struct capture_limits limits;

    if (!capture_limits(diagnostics, conn, db_text(query, 15), &limits, err))
        return false;
    json_write_object(writer, NULL);
    json_write_integer(writer, "id", db_integer(query, 0));
    json_write_integer(writer, "campaign", db_integer(query, 1));
    json_write_integer(writer, "run", db_integer(query, 2));
    json_write_string(writer, "device", db_text(query, 3));
    json_write_string(writer, "image", db_text(query, 4));
    json_write_string(writer, "version", db_text(query, 5));
    json_write_string(writer, "state", db_text(query, 6));
    json_write_string(writer, "reason", db_text(query, 7));
    json_write_integer(writer, "length", db_integer(query, 8));
    json_write_integer(writer, "file_count", db_integer(query, 9));
    json_write_time(writer, "created_at", db_integer(query, 10));
    hold_write(query, writer);
    json_write_time(writer, "expires_at",
                    limits.keep_s && db_is_null(query, 11) ? db_integer(query, 10) + limits.keep_s : 0);
    omitted_write(db_text(query, 14), omitted_most, writer);
    json_write_integer(writer, "redacted", db_integer(query, 16));
    return true;
}

static bool files_write(struct db_conn *conn, int64_t id, struct json_writer *writer, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT n, path, length, sha256, type, complete, redacted FROM capture_file"
                       " WHERE capture_id = :id ORDER BY n");

    db_bind_integer(query, ":id", id);
    json_write_array(writer, "files");
    while (db_step(query)) {
        json_write_object(writer, NULL);
        json_write_integer(writer, "n", db_integer(query, 0));
        json_write_string(writer, "path", db_text(query, 1));
        json_write_integer(writer, "length", db_integer(query, 2));
        json_write_string(writer, "sha256", db_text(query, 3));
        json_write_string(writer, "type", db_text(query, 4));
        json_write_boolean(writer, "complete", db_integer(query, 5) != 0);
        json_write_integer(writer, "redacted", db_integer(query, 6));
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
    return db_end(query, err);
}

bool capture_write(struct diagnostics *diagnostics, struct db_conn *conn, int64_t id, bool files,
                   struct json_writer *writer, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT " CAPTURE_COLUMNS " WHERE k.id = :id AND k.deleted_at IS NULL");
    struct error ended;

    db_bind_integer(query, ":id", id);
    bool found = db_step(query);
    bool good = !found || row_write(diagnostics, conn, query, INT64_MAX, writer, err);
    if (!db_end(query, good ? err : &ended) || !good)
        return false;
    if (!found)
        return error_set(err, ERROR_MISSING, "there is no capture %lld", (long long)id);
    if (files && !files_write(conn, id, writer, err))
        return false;
    json_write_end(writer, '}');
    return true;
}

#define CHOICE                                                                                               \
    " WHERE (:campaign = 0 OR a.campaign_id = :campaign) AND (:run = 0 OR a.run_number = :run)"              \
    " AND (:device IS NULL OR d.name = :device) AND k.deleted_at IS NULL"

static void choice_bind(struct db_query *query, const struct capture_choice *choice)
{
    db_bind_integer(query, ":campaign", choice->campaign);
    db_bind_integer(query, ":run", choice->run);
    db_bind_text(query, ":device", choice->device);
}

bool capture_list(struct diagnostics *diagnostics, struct db_conn *conn, const struct capture_choice *choice,
                  struct json_writer *writer, int64_t *last, int64_t *total, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT count(*) FROM capture k JOIN assignment a ON a.id = k.assignment_id"
                       " JOIN device d ON d.id = a.device_id" CHOICE);

    int64_t before = 0;

    *total = *last = 0;
    choice_bind(query, choice);
    if (db_step(query))
        *total = db_integer(query, 0);
    if (!db_end(query, err))
        return false;
    query = db_query(conn, "SELECT " CAPTURE_COLUMNS CHOICE " AND (:before = 0 OR k.id < :before)"
                           " ORDER BY k.id DESC LIMIT :limit");
    choice_bind(query, choice);
    db_bind_integer(query, ":before", choice->before);
    db_bind_integer(query, ":limit", choice->limit + 1);
    bool good = true;
    for (int64_t written = 0; good && db_step(query); written++) {
        if (written == choice->limit) {
            *last = before;
            break;
        }
        good = row_write(diagnostics, conn, query, OMITTED_LISTED, writer, err);
        json_write_end(writer, '}');
        before = db_integer(query, 0);
    }
    struct error ended;
    return db_end(query, good ? err : &ended) && good;
}

int capture_file_open(struct diagnostics *diagnostics, struct db_conn *conn, struct arena *arena, int64_t id,
                      int64_t n, const char **name, char sha256[SHA256_HEX], int64_t *size, struct error *err)
{
    char path[2 * FOLDER_SIZE];
    struct db_query *query = db_query(conn, "SELECT path, sha256, length FROM capture_file"
                                            " WHERE capture_id = :id AND n = :n AND complete = 1");

    db_bind_integer(query, ":id", id);
    db_bind_integer(query, ":n", n);
    bool found = db_step(query);
    if (found) {
        const char *whole = db_text_copy(query, 0, arena), *slash = strrchr(whole, '/');

        *name = slash ? slash + 1 : whole;
        memcpy(sha256, db_text(query, 1), SHA256_HEX);
        *size = db_integer(query, 2);
    }
    if (!db_end(query, err))
        return -1;
    if (!found) {
        error_set(err, ERROR_MISSING, "capture %lld has no complete file %lld", (long long)id, (long long)n);
        return -1;
    }
    snprintf(path, sizeof path, "%lld/%lld", (long long)id, (long long)n);
    return file_open_beneath(diagnostics->captures_dirfd, path, O_RDONLY, 0, err);
}

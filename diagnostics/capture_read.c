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

#define CAPTURE_COLUMNS                                                                                      \
    "k.id, a.campaign_id, a.run_number, d.name, c.image, c.version, k.state, k.reason, k.length, "           \
    "k.file_count,"                                                                                          \
    " k.created_at FROM capture k JOIN assignment a ON a.id = k.assignment_id"                               \
    " JOIN campaign c ON c.id = a.campaign_id JOIN device d ON d.id = a.device_id"

/* Leaves the object open. */
static void row_write(struct db_query *query, struct json_writer *writer)
{
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
}

static bool files_write(struct db_conn *conn, int64_t id, struct json_writer *writer, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT n, path, length, sha256, type, complete FROM capture_file"
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
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
    return db_end(query, err);
}

bool capture_write(struct db_conn *conn, int64_t id, bool files, struct json_writer *writer,
                   struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT " CAPTURE_COLUMNS " WHERE k.id = :id");

    db_bind_integer(query, ":id", id);
    bool found = db_step(query);
    if (found)
        row_write(query, writer);
    if (!db_end(query, err))
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
    " AND (:device IS NULL OR d.name = :device)"

static void choice_bind(struct db_query *query, const struct capture_choice *choice)
{
    db_bind_integer(query, ":campaign", choice->campaign);
    db_bind_integer(query, ":run", choice->run);
    db_bind_text(query, ":device", choice->device);
}

bool capture_list(struct db_conn *conn, const struct capture_choice *choice, struct json_writer *writer,
                  int64_t *last, int64_t *total, struct error *err)
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
    for (int64_t written = 0; db_step(query); written++) {
        if (written == choice->limit) {
            *last = before;
            break;
        }
        row_write(query, writer);
        json_write_end(writer, '}');
        before = db_integer(query, 0);
    }
    return db_end(query, err);
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

/* What devices collected. Its bytes are foreign: they leave as an attachment in a sandbox, never as a page of
 * ours. */
#include "console/handlers.h"

#include "base/file.h"
#include "base/log.h"
#include "console/console.h"
#include "console/handlers_campaigns.h"
#include "diagnostics/assignment.h"
#include "diagnostics/capture.h"

#include <string.h>

#define LIST_DEFAULT 200
#define LIST_MOST 1000

static bool number_of(struct request *request, const char *name, int64_t most, int64_t *number,
                      struct error *err)
{
    const char *text = request_query(request, name);

    return !text || int64_parse(text, 1, most, number) ||
           error_set(err, ERROR_INPUT, "\"%s\" must be a number from 1 to %lld", name, (long long)most);
}

static bool choice_read(struct request *request, struct capture_choice *choice, struct error *err)
{
    static const char *const allowed[] = {"campaign", "run", "device", "limit", "after", NULL};

    *choice = (struct capture_choice){.limit = LIST_DEFAULT, .device = request_query(request, "device")};
    return request_query_only(request, allowed, err) &&
           number_of(request, "campaign", INT64_MAX, &choice->campaign, err) &&
           number_of(request, "run", INT64_MAX, &choice->run, err) &&
           number_of(request, "after", INT64_MAX, &choice->before, err) &&
           number_of(request, "limit", LIST_MOST, &choice->limit, err);
}

void captures_list(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct capture_choice choice;
    struct error err = {0};
    int64_t last, total;
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    if (!conn || !choice_read(request, &choice, &err) ||
        !capture_list(request->console->diagnostics, conn, &choice, &writer, &last, &total, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_end(&writer, ']');
    if (last)
        answer_header(request, "X-Next", arena_printf(request->arena, "%lld", (long long)last));
    answer_header(request, "X-Total", arena_printf(request->arena, "%lld", (long long)total));
    answer_json(request, 200, &out);
}

static bool read_id(const char *text, int64_t least, int64_t *id, struct error *err)
{
    return int64_parse(text, least, INT64_MAX, id) ||
           error_set(err, ERROR_MISSING, "there is no capture or file \"%.40s\"", text);
}

void captures_show(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    int64_t id;
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    if (conn && read_id(request->params[0], 1, &id, &err) &&
        capture_write(request->console->diagnostics, conn, id, true, &writer, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

static int file_open(struct request *request, const char **name, char sha256[SHA256_HEX], int64_t *size,
                     struct error *err)
{
    int64_t id, n;
    DB_DONE(conn) = db_read(request->console->db, err);

    if (!conn || !read_id(request->params[0], 1, &id, err) || !read_id(request->params[1], 0, &n, err))
        return -1;
    return capture_file_open(request->console->diagnostics, conn, request->arena, id, n, name, sha256, size,
                             err);
}

void captures_file(struct request *request)
{
    char sha256[SHA256_HEX];
    const char *name;
    int64_t size;
    struct error err = {0};
    FD(fd) = file_open(request, &name, sha256, &size, &err);

    if (fd < 0) {
        answer_error(request, &err);
        return;
    }
    const struct file_answer file = {.fd = fd,
                                     .size = size,
                                     .content_type = "application/octet-stream",
                                     .etag = sha256,
                                     .attachment = name};
    answer_file(request, &file);
}

/* --- keeping and deleting
 * ----------------------------------------------------------------------------------------- */

#define REASON_MOST 500 /* bytes */

static bool reason_check(const char *reason, struct error *err)
{
    return (reason && *reason && strlen(reason) <= REASON_MOST) ||
           error_set(err, ERROR_INPUT, "a \"reason\" of 1 to %d bytes is needed, for the audit log",
                     REASON_MOST);
}

void captures_delete(struct request *request)
{
    static const char *const allowed[] = {"reason", NULL};
    const char *reason = request_query(request, "reason");
    struct error err = {0};
    int64_t id;

    if (request_query_only(request, allowed, &err) && reason_check(reason, &err) &&
        read_id(request->params[0], 1, &id, &err) &&
        capture_delete(request->console->diagnostics, id, request->operator_name, reason, &err))
        answer_empty(request, 204);
    else
        answer_error(request, &err);
}

void captures_hold(struct request *request)
{
    static const char *const allowed[] = {"hold", "reason", NULL};
    struct error err = {0};
    const struct json *body = request_json(request, &json_limits_small, &err), *hold = json_get(body, "hold");
    const char *reason = json_string(body, "reason");
    int64_t id;
    bool good = body && json_only(body, allowed, &err) && read_id(request->params[0], 1, &id, &err) &&
                reason_check(reason, &err);

    if (good && (!hold || hold->type != JSON_BOOL))
        good = error_set(&err, ERROR_INPUT, "\"hold\" must be true or false");
    if (good &&
        capture_hold(request->console->diagnostics, id, hold->boolean, request->operator_name, reason, &err))
        captures_show(request);
    else
        answer_error(request, &err);
}

/* --- a run's
 * -------------------------------------------------------------------------------------------------------- */

static bool run_of(struct request *request, int64_t *campaign, int64_t *run, struct error *err)
{
    return number_read(request->params[0], "campaign", campaign, err) &&
           number_read(request->params[1], "run", run, err);
}

static bool matrix_choice(struct request *request, struct assignment_choice *choice, struct error *err)
{
    static const char *const allowed[] = {"limit", "after", NULL};

    *choice = (struct assignment_choice){.limit = LIST_DEFAULT};
    return request_query_only(request, allowed, err) &&
           run_of(request, &choice->campaign, &choice->run, err) &&
           number_of(request, "limit", LIST_MOST, &choice->limit, err) &&
           number_of(request, "after", INT64_MAX, &choice->after, err);
}

void runs_matrix(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct assignment_choice choice;
    struct error err = {0};
    int64_t counts[ASSIGNMENT_STATES], last, total = 0;
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    if (!conn || !matrix_choice(request, &choice, &err) ||
        !capture_matrix(request->console->diagnostics, conn, &choice, &writer, &last, &err) ||
        !assignment_counts(conn, choice.campaign, choice.run, counts, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_end(&writer, ']');
    for (int state = 0; state < ASSIGNMENT_STATES; state++)
        total += counts[state];
    if (last)
        answer_header(request, "X-Next", arena_printf(request->arena, "%lld", (long long)last));
    answer_header(request, "X-Total", arena_printf(request->arena, "%lld", (long long)total));
    answer_json(request, 200, &out);
}

static bool tar_piece(void *context, const void *bytes, size_t size)
{
    return answer_piece(context, bytes, size);
}

void runs_tar(struct request *request)
{
    struct error err = {0};
    int64_t campaign, run, size;
    struct capture_tar *tar = NULL;

    if (run_of(request, &campaign, &run, &err))
        tar = capture_tar_open(request->console->diagnostics, campaign, run, &size, &err);
    if (!tar) {
        answer_error(request, &err);
        return;
    }
    const char *name =
        arena_printf(request->arena, "campaign-%lld-run-%lld.tar", (long long)campaign, (long long)run);
    if (answer_pieces(request, "application/x-tar", name, size) &&
        !capture_tar_send(tar, tar_piece, request, &err)) {
        log_event(LOG_WARNING, "tar_cut", "campaign=%lld run=%lld reason=\"%s\"", (long long)campaign,
                  (long long)run, err.text);
        answer_pieces_cut(request);
    }
    capture_tar_close(tar);
}

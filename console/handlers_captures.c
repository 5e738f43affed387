/* What devices collected. Its bytes are foreign: they leave as an attachment in a sandbox, never as a page of
 * ours. */
#include "console/handlers.h"

#include "base/file.h"
#include "console/console.h"
#include "diagnostics/capture.h"

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
        !capture_list(conn, &choice, &writer, &last, &total, &err)) {
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
    if (conn && read_id(request->params[0], 1, &id, &err) && capture_write(conn, id, true, &writer, &err))
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

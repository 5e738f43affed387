/* locum capture …: what runs collected, fetching it, keeping and deleting it. */
#include "console/cli/cli.h"
#include "console/cli/run.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "repo/name.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct column capture_columns[] = {{"CAPTURE", "id"},
                                                {"CAMPAIGN", "campaign"},
                                                {"RUN", "run"},
                                                {"DEVICE", "device"},
                                                {"IMAGE", "image"},
                                                {"STATE", "state"},
                                                {"FILES", "file_count"},
                                                {"BYTES", "length"},
                                                {"REASON", "reason"},
                                                {"CREATED", "created_at"},
                                                {0}};

static const struct column show_fields[] = {
    {"capture", "id"},        {"campaign", "campaign"},    {"run", "run"},
    {"device", "device"},     {"image", "image"},          {"state", "state"},
    {"files", "file_count"},  {"bytes", "length"},         {"reason", "reason"},
    {"redacted", "redacted"}, {"created", "created_at"},   {"kept until", "expires_at"},
    {"held by", "hold.by"},   {"held for", "hold.reason"}, {0}};

static const struct json *captures_of_run(struct cli *cli, int64_t *campaign, int64_t *number)
{
    if (!cli_run_words(cli, campaign, number))
        return NULL;
    return cli_list(cli, arena_printf(&cli->arena, "/captures?campaign=%lld&run=%lld", (long long)*campaign,
                                      (long long)*number));
}

int cli_capture_list(struct cli *cli)
{
    int64_t campaign, number;
    const struct json *list =
        cli->word_count ? captures_of_run(cli, &campaign, &number) : cli_list(cli, "/captures");
    if (!list)
        return cli_fail(cli);
    cli_print_list(cli, list, capture_columns);
    return EXIT_DONE;
}

struct download {
    int fd;
    struct sha256 hash;
};

static bool download_write(void *context, const void *bytes, size_t size, struct error *err)
{
    struct download *download = context;
    sha256_add(&download->hash, bytes, size);
    return fd_write_all(download->fd, bytes, size, err);
}

static bool file_fetch(struct cli *cli, const char *capture, const struct json *file, int fd)
{
    struct download download = {.fd = fd};
    struct http_answer answer = {0};
    struct http_request request = {
        .method = "GET",
        .path = arena_printf(&cli->arena, "/api/v1/captures/%s/files/%lld", capture,
                             (long long)json_integer(file, "n", -1)),
        .write = download_write,
        .context = &download,
    };
    sha256_init(&download.hash);
    bool arrived = cli_send(cli, &request, &answer);
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_HEX];
    sha256_end(&download.hash, digest);
    hex_encode(hex, digest, sizeof digest);
    if (!arrived)
        return false;
    if (answer.status != 200)
        return cli_refused(cli, &answer);
    if (!string_is(json_string(file, "sha256"), hex))
        return error_set(&cli->err, ERROR_UNTRUSTED, "what arrived has the hash %.12s…, not %.12s…", hex,
                         json_string(file, "sha256") ? json_string(file, "sha256") : "(none)");
    return true;
}

/* One file into DIR/<device>/<path>: under a name of its own first, so that what stands there is always
 * whole. */
static bool file_download(struct cli *cli, int to, const char *device, const char *capture,
                          const struct json *file)
{
    const char *path = json_string(file, "path");
    if (!path || !asset_path_check(path, strlen(path), &cli->err) || !name_check("device", device, &cli->err))
        return false;
    const char *whole = arena_printf(&cli->arena, "%s/%s", device, path);
    char *folder = arena_strdup(&cli->arena, whole);
    *strrchr(folder, '/') = '\0';
    if (!folder_make(to, folder, 0755, &cli->err))
        return false;
    const char *part = arena_printf(&cli->arena, "%s/.locum-part-%ld", folder, (long)getpid());
    FD(fd) = file_open_beneath(to, part, O_WRONLY | O_CREAT | O_TRUNC, 0644, &cli->err);
    if (fd < 0)
        return false;
    bool good = file_fetch(cli, capture, file, fd) || error_add(&cli->err, "%s", whole);
    if (good && faccessat(to, whole, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        fprintf(stderr, "%s was there and is replaced\n", whole);
    if (good && renameat(to, part, to, whole) != 0)
        good = error_errno(&cli->err, "%s", whole);
    if (!good)
        unlinkat(to, part, 0);
    return good;
}

static bool capture_download(struct cli *cli, int to, const struct json *row, int64_t *files)
{
    const char *id = cli_cell(cli, row, "id"), *device = json_string(row, "device");
    const struct json *capture = cli_json(cli, "GET", arena_printf(&cli->arena, "/captures/%s", id), NULL);
    const struct json *list = json_get(capture, "files");
    if (!capture || !device)
        return capture ? error_set(&cli->err, ERROR_SYSTEM, "capture %s names no device", id) : false;
    for (const struct json *file = list ? list->first : NULL; file; file = file->next, ++*files)
        if (!file_download(cli, to, device, id, file))
            return false;
    return true;
}

static bool wanted(const char **devices, size_t count, const char *device)
{
    for (size_t i = 0; i < count; i++)
        if (string_is(devices[i], device))
            return true;
    return count == 0;
}

/* The run's tar into a file, or to standard output with "-". A file takes its name once it is whole. */
static bool tar_fetch(struct cli *cli, int64_t campaign, int64_t number, int fd)
{
    struct download download = {.fd = fd};
    struct http_answer answer = {0};
    struct http_request request = {
        .method = "GET",
        .path = arena_printf(&cli->arena, "/api/v1/campaigns/%lld/runs/%lld/tar", (long long)campaign,
                             (long long)number),
        .write = download_write,
        .context = &download,
    };
    uint8_t digest[SHA256_SIZE];

    sha256_init(&download.hash);
    bool arrived = cli_send(cli, &request, &answer);
    sha256_end(&download.hash, digest);
    if (!arrived)
        return false;
    return answer.status == 200 || cli_refused(cli, &answer);
}

static int tar_download(struct cli *cli, const char *file)
{
    int64_t campaign, number;

    if (!cli_run_words(cli, &campaign, &number))
        return cli_fail(cli);
    if (string_is(file, "-"))
        return tar_fetch(cli, campaign, number, STDOUT_FILENO) ? EXIT_DONE : cli_fail(cli);
    const char *part = arena_printf(&cli->arena, "%s.locum-part-%ld", file, (long)getpid());
    FD(fd) = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        error_errno(&cli->err, "%s", part);
        return cli_fail(cli);
    }
    bool good = tar_fetch(cli, campaign, number, fd) && fd_sync(fd, &cli->err);
    if (good && rename(part, file) != 0)
        good = error_errno(&cli->err, "%s", file);
    if (!good)
        unlink(part);
    return good ? EXIT_DONE : cli_fail(cli);
}

int cli_capture_download(struct cli *cli)
{
    const char *folder = cli_value(cli, "to"), *tar = cli_value(cli, "tar");
    size_t only;
    if (!folder == !tar)
        return cli_usage(cli, "either --to DIR or --tar FILE is needed");
    cli_values(cli, "device", &only);
    if (tar && only)
        return cli_usage(cli, "--tar takes all devices of the run: --device goes with --to");
    if (tar)
        return tar_download(cli, tar);
    int64_t campaign, number, files = 0;
    const struct json *list = captures_of_run(cli, &campaign, &number);
    if (!list)
        return cli_fail(cli);
    if (mkdir(folder, 0755) != 0 && access(folder, W_OK) != 0) {
        error_errno(&cli->err, "%s", folder);
        return cli_fail(cli);
    }
    FD(to) = folder_open(folder, &cli->err);
    if (to < 0)
        return cli_fail(cli);
    size_t count, incomplete = 0;
    const char **devices = cli_values(cli, "device", &count);
    for (const struct json *row = list->first; row; row = row->next) {
        if (!wanted(devices, count, json_string(row, "device")))
            continue;
        if (!capture_download(cli, to, row, &files))
            return cli_fail(cli);
        if (!string_is(json_string(row, "state"), "complete")) {
            incomplete++;
            fprintf(stderr, "%s: %s (%s)\n", cli_cell(cli, row, "device"), cli_cell(cli, row, "state"),
                    cli_cell(cli, row, "reason"));
        }
    }
    if (cli->json || cli->ndjson)
        cli_print_json(list);
    fprintf(stderr, "%lld file%s in %s\n", (long long)files, files == 1 ? "" : "s", folder);
    return incomplete ? EXIT_DEVICE_FAILURES : EXIT_DONE;
}

/* --- single captures
 * ---------------------------------------------------------------------------------------------- */

static const char *capture_path(struct cli *cli, const char *word, const char *rest)
{
    int64_t id;

    if (int64_parse(word, 1, INT64_MAX, &id))
        return arena_printf(&cli->arena, "/captures/%lld%s", (long long)id, rest);
    error_set(&cli->err, ERROR_INPUT, "\"%.40s\" is no number of a capture", word);
    return NULL;
}

int cli_capture_show(struct cli *cli)
{
    static const struct column files[] = {{"N", "n"},
                                          {"PATH", "path"},
                                          {"TYPE", "type"},
                                          {"BYTES", "length"},
                                          {"COMPLETE", "complete"},
                                          {"REDACTED", "redacted"},
                                          {"SHA256", "sha256"},
                                          {0}};
    static const struct column omitted[] = {{"LEFT OUT", "path"}, {"WHY", "why"}, {0}};
    const char *path = capture_path(cli, cli->words[0], "");
    const struct json *capture = path ? cli_json(cli, "GET", path, NULL) : NULL;

    if (!capture)
        return cli_fail(cli);
    cli_print_object(cli, capture, show_fields);
    if (cli->json || cli->ndjson)
        return EXIT_DONE;
    if (json_get(capture, "files"))
        cli_print_list(cli, json_get(capture, "files"), files);
    if (json_get(capture, "omitted") && json_get(capture, "omitted")->size)
        cli_print_list(cli, json_get(capture, "omitted"), omitted);
    return EXIT_DONE;
}

int cli_capture_delete(struct cli *cli)
{
    const char *reason = cli_value(cli, "reason");

    if (!reason)
        return cli_usage(cli, "--reason TEXT is needed");
    for (size_t i = 0; i < cli->word_count; i++) {
        struct http_answer answer;
        const char *path = capture_path(
            cli, cli->words[i], arena_printf(&cli->arena, "?reason=%s", url_encode(&cli->arena, reason)));

        if (!path || !cli_call(cli, "DELETE", path, NULL, &answer))
            return cli_fail(cli);
        fprintf(stderr, "capture %s is deleted\n", cli->words[i]);
    }
    return EXIT_DONE;
}

int cli_capture_hold(struct cli *cli)
{
    const char *reason = cli_value(cli, "reason"), *path = capture_path(cli, cli->words[0], "/hold");
    struct json_writer writer;
    TEXT(body);

    if (!reason)
        return cli_usage(cli, "--reason TEXT is needed");
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_boolean(&writer, "hold", !cli_flag(cli, "off"));
    json_write_string(&writer, "reason", reason);
    json_write_end(&writer, '}');
    const struct json *capture = path ? cli_json(cli, "PUT", path, &body) : NULL;
    if (!capture)
        return cli_fail(cli);
    cli_print_object(cli, capture, show_fields);
    return EXIT_DONE;
}

/* --- what came and what did not
 * ------------------------------------------------------------------------------------- */

/* One line of the table: the members of `values`, by the columns. */
static const struct json *line_of(struct cli *cli, const struct column *columns, const char *const values[4])
{
    struct json *line = arena_alloc(&cli->arena, sizeof *line),
                *members = arena_array(&cli->arena, 4, sizeof *members);

    for (int i = 0; i < 4; i++)
        members[i] = (struct json){.type = JSON_STRING,
                                   .key = columns[i].member,
                                   .string = values[i] ? values[i] : "",
                                   .size = values[i] ? strlen(values[i]) : 0,
                                   .next = i < 3 ? &members[i + 1] : NULL};
    *line = (struct json){.type = JSON_OBJECT, .first = members, .size = 4};
    return line;
}

/* A device's lines: what came with its bytes, what is missing with why. */
static void matrix_lines(struct cli *cli, const struct column *columns, const struct json *row,
                         const struct json ***at, size_t *count)
{
    const struct json *collected = json_get(row, "collected"), *missing = json_get(row, "missing");
    const char *device = json_string(row, "device"), *state = json_string(row, "state");

    for (int turn = 0; turn < 2; turn++) {
        const struct json *list = turn ? missing : collected;

        for (const struct json *one = list ? list->first : NULL; one; one = one->next, ++*count) {
            const char *came =
                turn ? arena_printf(&cli->arena, "missing: %s", cli_cell(cli, one, "why"))
                     : arena_printf(&cli->arena, "%lld bytes", (long long)json_integer(one, "length", 0));
            const char *const values[4] = {device, state, json_string(one, turn ? "what" : "path"), came};
            const struct json *line = line_of(cli, columns, values);

            **at = line;
            *at = (const struct json **)&((struct json *)line)->next;
        }
    }
}

int cli_capture_matrix(struct cli *cli)
{
    static const struct column columns[] = {
        {"DEVICE", "device"}, {"STATE", "state"}, {"WHAT", "what"}, {"CAME", "came"}, {0}};
    int64_t campaign, number;
    if (!cli_run_words(cli, &campaign, &number))
        return cli_fail(cli);
    const struct json *list = cli_list(cli, arena_printf(&cli->arena, "/campaigns/%lld/runs/%lld/matrix",
                                                         (long long)campaign, (long long)number));
    if (!list)
        return cli_fail(cli);
    if (cli->json || cli->ndjson) {
        cli_print_list(cli, list, columns);
        return EXIT_DONE;
    }
    struct json lines = {.type = JSON_ARRAY};
    const struct json **at = &lines.first;
    for (const struct json *row = list->first; row; row = row->next)
        matrix_lines(cli, columns, row, &at, &lines.size);
    cli_print_list(cli, &lines, columns);
    return EXIT_DONE;
}

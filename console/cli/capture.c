/* locum capture …: what runs collected, and fetching it. */
#include "console/cli/cli.h"
#include "console/cli/run.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
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
        .token = cli->token,
        .write = download_write,
        .context = &download,
    };
    sha256_init(&download.hash);
    bool arrived = http_send(cli->http, &request, &cli->arena, &answer, &cli->err);
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_HEX];
    sha256_end(&download.hash, digest);
    hex_encode(hex, digest, sizeof digest);
    if (!arrived) {
        cli->unreachable = cli->err.kind == ERROR_SYSTEM;
        return false;
    }
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

int cli_capture_download(struct cli *cli)
{
    const char *folder = cli_value(cli, "to");
    if (!folder)
        return cli_usage(cli, "--to DIR is needed");
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

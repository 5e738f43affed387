/* The connection of the command line to the console: address, token, calls. */
#include "console/cli/cli.h"

#include "base/file.h"
#include "base/settings.h"
#include "base/text.h"
#include "repo/name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct config {
    const char *url, *token, *ca;
};
static const struct setting config_table[] = {
    {"url", SETTING_TEXT, "http://127.0.0.1:8080", 0, 0, offsetof(struct config, url),
     "the console's address"},
    {"token", SETTING_TEXT, NULL, 0, 0, offsetof(struct config, token), "API token"},
    {"ca", SETTING_TEXT, NULL, 0, 0, offsetof(struct config, ca), "file with the authorities to trust"},
    {0},
};

/* $XDG_CONFIG_HOME/locum or ~/.config/locum; NULL when there is no home. */
static const char *config_folder(struct cli *cli)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (xdg && *xdg == '/')
        return arena_printf(&cli->arena, "%s/locum", xdg);
    return home && *home == '/' ? arena_printf(&cli->arena, "%s/.config/locum", home) : NULL;
}

static bool config_read(struct cli *cli, struct config *config)
{
    if (!settings_defaults(&cli->arena, config_table, config, &cli->err))
        return false;
    const char *folder = config_folder(cli);
    struct error err = {0};
    FD(dirfd) = folder ? folder_open(folder, &err) : -1;
    char *bytes;
    size_t size;
    if (dirfd < 0 || !file_read(&cli->arena, dirfd, "config", 64 << 10, &bytes, &size, &err))
        return true; /* there is none: the defaults */
    return settings_read(&cli->arena, config_table, bytes, config, &cli->err) ||
           error_add(&cli->err, "%s/config", folder);
}

static const char *first_of(const char *flag, const char *environment, const char *file)
{
    if (flag)
        return flag;
    return environment && *environment ? environment : file;
}

bool cli_connect(struct cli *cli)
{
    if (cli->http)
        return true;
    struct config config = {0};
    if (!config_read(cli, &config))
        return false;
    char *url = arena_strdup(&cli->arena, first_of(cli_value(cli, "url"), getenv("LOCUM_URL"), config.url));
    while (*url && url[strlen(url) - 1] == '/')
        url[strlen(url) - 1] = '\0';
    cli->url = url;
    cli->token = first_of(cli_value(cli, "token"), getenv("LOCUM_TOKEN"), config.token);
    cli->ca_file = first_of(cli_value(cli, "ca"), getenv("LOCUM_CA"), config.ca);
    if (!string_starts(url, "http://") && !string_starts(url, "https://"))
        return error_set(&cli->err, ERROR_INPUT,
                         "the console's address must begin with http:// or https://, not \"%s\"", url);
    cli->http = http_open(
        &(struct http_options){
            .base_url = url, .ca_file = cli->ca_file, .user_agent = "locum-cli", .stall_timeout_ms = 120000},
        &cli->err);
    return cli->http != NULL;
}

bool cli_refused(struct cli *cli, const struct http_answer *answer)
{
    struct error ignored = {0};
    const struct json *said =
        answer->size ? json_read(&cli->arena, answer->body, answer->size, &json_limits_small, &ignored)
                     : NULL;
    const struct json *error = json_get(said, "error");
    cli->request_id = json_string(error, "request_id");
    cli->hint = json_string(error, "hint");
    http_refused(answer, &cli->err);
    /* At a sign-in it is the password that is wrong: the console says so. */
    if (answer->status == 401 && !string_is(cli->command->noun, "login"))
        error_set(&cli->err, ERROR_DENIED, "%s",
                  cli->token ? "this token is not valid (any more): set LOCUM_TOKEN or run `locum login`"
                             : "not signed in: set LOCUM_TOKEN or run `locum login`");
    return false;
}

bool cli_send(struct cli *cli, struct http_request *request, struct http_answer *answer)
{
    if (!cli_connect(cli))
        return false;
    request->token = cli->token;
    if (http_send(cli->http, request, &cli->arena, answer, &cli->err))
        return true;
    cli->unreachable = cli->err.kind == ERROR_SYSTEM;
    return false;
}

bool cli_call(struct cli *cli, const char *method, const char *path, const struct text *body,
              struct http_answer *answer)
{
    if (!cli_connect(cli))
        return false;
    if (body && body->failed)
        return error_set(&cli->err, ERROR_LIMIT, "the request is too large");
    struct http_request request = {
        .method = method,
        .path = arena_printf(&cli->arena, "/api/v1%s", path),
        .body = body ? text_string(body) : NULL,
        .body_size = body ? body->size : 0,
        .answer_limit = 64 << 20,
    };
    if (!cli_send(cli, &request, answer))
        return error_add(&cli->err, "%s", cli->url);
    if (answer->status >= 200 && answer->status < 300)
        return true;
    return cli_refused(cli, answer);
}

const struct json *cli_json(struct cli *cli, const char *method, const char *path, const struct text *body)
{
    static const struct json_limits limits = {64 << 20, 4000000, 32};
    struct http_answer answer = {0};
    if (!cli_call(cli, method, path, body, &answer))
        return NULL;
    const struct json *value = json_read(&cli->arena, answer.body, answer.size, &limits, &cli->err);
    if (!value)
        error_add(&cli->err, "the answer of %s is no JSON", cli->url);
    return value;
}

const struct json *cli_list(struct cli *cli, const char *path)
{
    static const struct json_limits limits = {64 << 20, 4000000, 32};
    struct json *all = NULL;
    const struct json **end = NULL;
    const char *after = NULL;
    do {
        const char *page =
            arena_printf(&cli->arena, "%s%climit=1000%s%s", path, strchr(path, '?') ? '&' : '?',
                         after ? "&after=" : "", after ? url_encode(&cli->arena, after) : "");
        struct http_answer answer = {0};
        if (!cli_call(cli, "GET", page, NULL, &answer))
            return NULL;
        const struct json *list = json_read(&cli->arena, answer.body, answer.size, &limits, &cli->err);
        if (!list)
            return NULL;
        if (list->type != JSON_ARRAY)
            return error_set(&cli->err, ERROR_SYSTEM, "the answer of %s is no list", cli->url), NULL;
        if (!all) {
            all = arena_alloc(&cli->arena, sizeof *all);
            all->type = JSON_ARRAY;
            end = &all->first;
        }
        all->size += list->size;
        *end = list->first;
        /* The tree is read-only to everyone else; these nodes are ours, and only the last one of a page is
         * linked on. */
        for (const struct json *item = list->first; item; item = item->next)
            end = (const struct json **)&((struct json *)item)->next;
        after = answer.next[0] ? arena_strdup(&cli->arena, answer.next) : NULL;
    } while (after);
    return all;
}

bool cli_asset_path(struct cli *cli, const char *word, const char **path)
{
    char product[NAME_SIZE], asset[NAME_SIZE];
    if (!asset_name_split(word, product, asset, NULL, &cli->err))
        return false;
    *path = arena_printf(&cli->arena, "/assets/%s/%s", product, asset);
    return true;
}

bool cli_config_save(struct cli *cli, const char *url, const char *token)
{
    const char *folder = config_folder(cli);
    if (!folder)
        return error_set(&cli->err, ERROR_MISSING, "HOME is not set, so there is no place for the settings");
    FD(root) = folder_open("/", &cli->err);
    if (root < 0 || !folder_make(root, folder + 1, 0700, &cli->err))
        return false;
    FD(dirfd) = folder_open(folder, &cli->err);
    const char *text = arena_printf(&cli->arena, "url = %s\ntoken = %s\n", url, token);
    if (cli->ca_file)
        text = arena_printf(&cli->arena, "%sca = %s\n", text, cli->ca_file);
    return dirfd >= 0 && file_write(dirfd, "config", text, strlen(text), 0600, &cli->err);
}

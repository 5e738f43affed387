/* locum token create, repo verify, repo reindex: on the server's machine, on its data folder, whether a
 * console runs there or not. */
#include "console/cli/cli.h"

#include "base/clock.h"
#include "console/admin.h"

#include <stdio.h>
#include <string.h>

struct lines {
    struct cli *cli;
    struct json *list, *last; /* every line, for --json */
    size_t count;
};

/* Keeps a line; a check's line goes to the terminal as it comes. */
static void line_keep(void *context, const char *json_line)
{
    struct lines *lines = context;
    struct error err = {0};
    const struct json *line =
        json_read(&lines->cli->arena, json_line, strlen(json_line), &json_limits_small, &err);
    if (!line)
        return;
    struct json *copy = arena_alloc(&lines->cli->arena, sizeof *copy);
    *copy = *line;
    copy->next = NULL;
    if (lines->last)
        lines->last->next = copy;
    else
        lines->list->first = copy;
    lines->last = copy;
    lines->list->size = ++lines->count;
    const char *text = json_string(line, "text");
    if (text && !lines->cli->json)
        printf("%s  %s\n", json_boolean(line, "good", false) ? "ok    " : "FAILED",
               cli_safe(lines->cli, text));
}

static bool machine_call(struct cli *cli, const struct text *request, struct lines *lines)
{
    lines->cli = cli;
    lines->list = arena_alloc(&cli->arena, sizeof *lines->list);
    lines->list->type = JSON_ARRAY;
    return admin_call(cli_value(cli, "data"), text_string(request), line_keep, lines, &cli->err);
}

int cli_token_create(struct cli *cli)
{
    int64_t lifetime_s = 365 * 86400;
    if (!cli_value(cli, "user") || !cli_value(cli, "name") || !cli_value(cli, "data"))
        return cli_usage(cli, "--user NAME, --name NAME and --data DIR are needed");
    if (cli_value(cli, "expires") && !duration_parse(cli_value(cli, "expires"), &lifetime_s))
        return cli_usage(cli, "--expires takes a time such as 90d, not \"%s\"", cli_value(cli, "expires"));
    TEXT(request);
    struct json_writer writer;
    json_write_init(&writer, &request);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "do", "token create");
    json_write_string(&writer, "user", cli_value(cli, "user"));
    json_write_string(&writer, "name", cli_value(cli, "name"));
    if (cli_value(cli, "role"))
        json_write_string(&writer, "role", cli_value(cli, "role"));
    json_write_integer(&writer, "expires_in_s", lifetime_s);
    json_write_end(&writer, '}');
    struct lines lines = {0};
    if (!machine_call(cli, &request, &lines))
        return cli_fail(cli);
    const char *token = json_string(lines.list->first, "token");
    if (!token) {
        error_set(&cli->err, ERROR_SYSTEM, "the console gave no token");
        return cli_fail(cli);
    }
    if (cli->json || cli->ndjson)
        cli_print_json(lines.list->first);
    else
        puts(token);
    return EXIT_DONE;
}

int cli_repo_care(struct cli *cli)
{
    if (!cli_value(cli, "data"))
        return cli_usage(cli, "--data DIR is needed");
    TEXT(request);
    struct json_writer writer;
    json_write_init(&writer, &request);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "do", arena_printf(&cli->arena, "repo %s", cli->command->verb));
    json_write_end(&writer, '}');
    struct lines lines = {0};
    bool good = machine_call(cli, &request, &lines);
    if (cli->json || cli->ndjson)
        cli_print_json(lines.list);
    return good ? EXIT_DONE : cli_fail(cli);
}

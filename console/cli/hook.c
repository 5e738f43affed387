/* locum hook …: web addresses that are told what happens. */
#include "console/cli/cli.h"

#include "base/text.h"

#include <stdio.h>

static const struct column hook_columns[] = {{"HOOK", "name"},          {"URL", "url"},
                                             {"EVENTS", "events"},      {"WAITING", "waiting"},
                                             {"CREATED", "created_at"}, {0}};

static const char *hook_path(struct cli *cli, const char *rest)
{
    return arena_printf(&cli->arena, "/hooks/%s%s", url_encode(&cli->arena, cli->words[0]), rest);
}

int cli_hook_create(struct cli *cli)
{
    static const struct column columns[] = {{"HOOK", "name"}, {"URL", "url"}, {"SECRET", "secret"}, {0}};
    const char *url = cli_value(cli, "to");
    struct json_writer writer;
    size_t count;
    TEXT(body);

    if (!url)
        return cli_usage(cli, "--to URL is needed");
    const char **events = cli_values(cli, "event", &count);
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "name", cli->words[0]);
    json_write_string(&writer, "url", url);
    if (count) {
        json_write_array(&writer, "events");
        for (size_t i = 0; i < count; i++)
            json_write_string(&writer, NULL, events[i]);
        json_write_end(&writer, ']');
    }
    json_write_end(&writer, '}');
    const struct json *hook = cli_json(cli, "POST", "/hooks", &body);
    if (!hook)
        return cli_fail(cli);
    cli_print_object(cli, hook, columns);
    fprintf(stderr, "The secret is shown this once: the receiver checks Locum-Signature with it.\n");
    return EXIT_DONE;
}

int cli_hook_list(struct cli *cli)
{
    const struct json *list = cli_list(cli, "/hooks");

    if (!list)
        return cli_fail(cli);
    cli_print_list(cli, list, hook_columns);
    return EXIT_DONE;
}

int cli_hook_delete(struct cli *cli)
{
    struct http_answer answer;

    return cli_call(cli, "DELETE", hook_path(cli, ""), NULL, &answer) ? EXIT_DONE : cli_fail(cli);
}

int cli_hook_log(struct cli *cli)
{
    static const struct column columns[] = {
        {"AT", "at"},        {"EVENT", "event"}, {"STATUS", "status"}, {"ATTEMPT", "attempt"},
        {"NEXT", "next_at"}, {"ERROR", "error"}, {"DELIVERY", "id"},   {0}};
    const struct json *list = cli_list(cli, hook_path(cli, "/log"));

    if (!list)
        return cli_fail(cli);
    cli_print_list(cli, list, columns);
    return EXIT_DONE;
}

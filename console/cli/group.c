/* locum group …: devices under one name, fixed or by filter. */
#include "console/cli/cli.h"

#include <stdio.h>

static const char *group_path(struct cli *cli, const char *rest)
{
    return arena_printf(&cli->arena, "/groups/%s%s", url_encode(&cli->arena, cli->words[0]), rest);
}

static int print_group(struct cli *cli, const struct json *group)
{
    static const struct column fields[] = {
        {"group", "name"},      {"filter", "filter"},      {"devices", "devices"}, {"releases", "releases"},
        {"members", "members"}, {"created", "created_at"}, {"by", "created_by"},   {0}};
    if (!group)
        return cli_fail(cli);
    cli_print_object(cli, group, fields);
    return EXIT_DONE;
}

int cli_group_list(struct cli *cli)
{
    static const struct column columns[] = {{"GROUP", "name"},
                                            {"DEVICES", "devices"},
                                            {"FILTER", "filter"},
                                            {"RELEASES", "releases"},
                                            {"CREATED", "created_at"},
                                            {"BY", "created_by"},
                                            {0}};
    const struct json *list = cli_json(cli, "GET", "/groups", NULL);
    if (!list)
        return cli_fail(cli);
    cli_print_list(cli, list, columns);
    return EXIT_DONE;
}

int cli_group_show(struct cli *cli)
{
    return print_group(cli, cli_json(cli, "GET", group_path(cli, ""), NULL));
}

/* "filter" or "devices", as the options say. */
static bool write_wish(struct cli *cli, struct json_writer *writer)
{
    const char *filter = cli_value(cli, "filter");
    size_t count;
    const char **devices = cli_values(cli, "device", &count);
    if (!filter == !count)
        return false;
    if (filter) {
        json_write_string(writer, "filter", filter);
        return true;
    }
    json_write_array(writer, "devices");
    for (size_t i = 0; i < count; i++)
        json_write_string(writer, NULL, devices[i]);
    json_write_end(writer, ']');
    return true;
}

int cli_group_create(struct cli *cli)
{
    TEXT(body);
    struct json_writer writer;
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "name", cli->words[0]);
    if (!write_wish(cli, &writer))
        return cli_usage(cli, "either --filter F or --device NAME… is needed");
    json_write_end(&writer, '}');
    return print_group(cli, cli_json(cli, "POST", "/groups", &body));
}

int cli_group_delete(struct cli *cli)
{
    struct http_answer answer = {0};
    if (!cli_call(cli, "DELETE", group_path(cli, cli_flag(cli, "force") ? "?force=true" : ""), NULL, &answer))
        return cli_fail(cli);
    return EXIT_DONE;
}

/* locum operator …: the people who may sign in, by their role. */
#include "console/cli/cli.h"

#include "base/text.h"

#include <stdio.h>

static const struct column operator_columns[] = {
    {"OPERATOR", "name"}, {"ROLE", "role"}, {"CREATED", "created_at"}, {"LAST SEEN", "last_seen"}, {0}};

static const char *operator_path(struct cli *cli)
{
    return arena_printf(&cli->arena, "/operators/%s", url_encode(&cli->arena, cli->words[0]));
}

int cli_operator_create(struct cli *cli)
{
    const char *role = cli_value(cli, "role"), *password;
    struct json_writer writer;
    TEXT(body);

    if (!role)
        return cli_usage(cli, "--role is needed: viewer, support, release or admin");
    if (!cli_password(cli, &password))
        return cli_fail(cli);
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "name", cli->words[0]);
    json_write_string(&writer, "password", password);
    json_write_string(&writer, "role", role);
    json_write_end(&writer, '}');
    const struct json *made = cli_json(cli, "POST", "/operators", &body);
    if (!made)
        return cli_fail(cli);
    cli_print_object(cli, made, operator_columns);
    return EXIT_DONE;
}

int cli_operator_list(struct cli *cli)
{
    const struct json *list = cli_list(cli, "/operators");

    if (!list)
        return cli_fail(cli);
    cli_print_list(cli, list, operator_columns);
    return EXIT_DONE;
}

int cli_operator_set(struct cli *cli)
{
    const char *role = cli_value(cli, "role"), *password = NULL;
    struct json_writer writer;
    struct http_answer answer;
    TEXT(body);

    if (!role && !cli_value(cli, "password-file"))
        return cli_usage(cli, "--role or --password-file is needed");
    if (cli_value(cli, "password-file") && !cli_password(cli, &password))
        return cli_fail(cli);
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    if (role)
        json_write_string(&writer, "role", role);
    if (password)
        json_write_string(&writer, "password", password);
    json_write_end(&writer, '}');
    return cli_call(cli, "PATCH", operator_path(cli), &body, &answer) ? EXIT_DONE : cli_fail(cli);
}

int cli_operator_remove(struct cli *cli)
{
    struct http_answer answer;

    return cli_call(cli, "DELETE", operator_path(cli), NULL, &answer) ? EXIT_DONE : cli_fail(cli);
}

/* locum product …: a product's settings. */
#include "console/cli/cli.h"

#include <stdio.h>
#include <string.h>

int cli_product_list(struct cli *cli)
{
    static const struct column columns[] = {
        {"PRODUCT", "name"}, {"ASSETS", "assets"}, {"DEVICES", "devices"}, {"SETTINGS", "settings"}, {0}};
    const struct json *list = cli_json(cli, "GET", "/products", NULL);
    if (!list)
        return cli_fail(cli);
    cli_print_list(cli, list, columns);
    return EXIT_DONE;
}

static const char *product_path(struct cli *cli)
{
    return arena_printf(&cli->arena, "/products/%s", url_encode(&cli->arena, cli->words[0]));
}

static int print_product(struct cli *cli, const struct json *product)
{
    static const struct column fields[] = {
        {"product", "name"}, {"assets", "assets"}, {"devices", "devices"}, {0}};
    if (!product)
        return cli_fail(cli);
    cli_print_object(cli, product, fields);
    const struct json *settings = json_get(product, "settings");
    if (cli->json || cli->ndjson || !settings)
        return EXIT_DONE;
    /* Keys of settings have dots of their own: one line each, as `set` takes them. */
    for (const struct json *one = settings->first; one; one = one->next)
        printf("%s=%s\n", cli_safe(cli, one->key), one->string ? cli_safe(cli, one->string) : "");
    return EXIT_DONE;
}

int cli_product_show(struct cli *cli)
{
    return print_product(cli, cli_json(cli, "GET", product_path(cli), NULL));
}

int cli_product_set(struct cli *cli)
{
    TEXT(body);
    struct json_writer writer;
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_object(&writer, "settings");
    for (size_t i = 1; i < cli->word_count; i++) {
        const char *equals = strchr(cli->words[i], '=');
        if (!equals || equals == cli->words[i])
            return cli_usage(cli, "\"%s\" is not KEY=VALUE", cli->words[i]);
        json_write_string(&writer, arena_copy(&cli->arena, cli->words[i], (size_t)(equals - cli->words[i])),
                          equals + 1);
    }
    json_write_end(&writer, '}');
    json_write_end(&writer, '}');
    return print_product(cli, cli_json(cli, "PATCH", product_path(cli), &body));
}

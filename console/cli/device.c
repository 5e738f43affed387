/* locum device …: claim codes, the fleet, admission. */
#include "console/cli/cli.h"

#include "repo/name.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct column device_columns[] = {{"DEVICE", "name"},
                                               {"PRODUCT", "product"},
                                               {"HARDWARE", "hardware"},
                                               {"ADMISSION", "admission"},
                                               {"CONNECTIVITY", "connectivity"},
                                               {"IMAGE", "image.image"},
                                               {"RUNNING", "running"},
                                               {"TAGS", "tags"},
                                               {0}};

int cli_device_claim(struct cli *cli)
{
    const char *product = cli_value(cli, "product");
    if (!product)
        return cli_usage(cli, "--product PRODUCT is needed");
    TEXT(body);
    struct json_writer writer;
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "product", product);
    if (cli_value(cli, "hardware"))
        json_write_string(&writer, "hardware", cli_value(cli, "hardware"));
    if (cli_flag(cli, "review"))
        json_write_boolean(&writer, "review", true);
    json_write_end(&writer, '}');
    const struct json *claim = cli_json(cli, "POST", "/claims", &body);
    if (!claim)
        return cli_fail(cli);
    if (cli->json || cli->ndjson) {
        cli_print_json(claim);
        return EXIT_DONE;
    }
    const char *code = cli_cell(cli, claim, "code");
    if (!isatty(STDOUT_FILENO)) {
        puts(code);
        return EXIT_DONE;
    }
    printf("Claim code for one device of %s, valid until %s:\n\n  %s\n\nOn the device:\n\n"
           "  locum-agent enrol --server %s --claim %s --state /var/lib/locum\n",
           product, cli_cell(cli, claim, "expires_at"), code, cli_cell(cli, claim, "server"), code);
    return EXIT_DONE;
}

int cli_device_list(struct cli *cli)
{
    const char *filter = cli_value(cli, "filter"), *path = "/devices";
    if (filter)
        path = arena_printf(&cli->arena, "/devices?filter=%s", url_encode(&cli->arena, filter));
    const struct json *list = cli_list(cli, path);
    if (!list)
        return cli_fail(cli);
    cli_print_list(cli, list, device_columns);
    return EXIT_DONE;
}

static const char *device_path(struct cli *cli, const char *name, const char *rest)
{
    return arena_printf(&cli->arena, "/devices/%s%s", url_encode(&cli->arena, name), rest);
}

int cli_device_show(struct cli *cli)
{
    static const struct column fields[] = {{"name", "name"},
                                           {"product", "product"},
                                           {"hardware", "hardware"},
                                           {"admission", "admission"},
                                           {"connectivity", "connectivity"},
                                           {"last seen", "last_seen"},
                                           {"running", "running"},
                                           {"wanted", "wanted"},
                                           {"waiting", "waiting"},
                                           {"safe mode", "safe_mode"},
                                           {"development", "development"},
                                           {"pins", "pins"},
                                           {"groups", "groups"},
                                           {"time zone", "timezone"},
                                           {"image", "image.image"},
                                           {"returns", "image.ends_at"},
                                           {"app", "app.state"},
                                           {"tags", "tags"},
                                           {"agent", "facts.agent"},
                                           {"limits", "facts.limits"},
                                           {"diagnostics", "facts.diagnostics"},
                                           {0}};
    const struct json *device = cli_json(cli, "GET", device_path(cli, cli->words[0], ""), NULL);
    if (!device)
        return cli_fail(cli);
    cli_print_object(cli, device, fields);
    return EXIT_DONE;
}

int cli_device_admit(struct cli *cli)
{
    static const struct column fields[] = {{"name", "name"}, {"admission", "admission"}, {0}};
    const char *action = arena_printf(&cli->arena, "/%s", cli->command->verb);
    for (size_t i = 0; i < cli->word_count; i++) {
        const struct json *device = cli_json(cli, "POST", device_path(cli, cli->words[i], action), NULL);
        if (!device)
            return cli_fail(cli);
        cli_print_object(cli, device, fields);
    }
    return EXIT_DONE;
}

/* --- held at a version
 * -------------------------------------------------------------------------------------------- */

static const struct column held_columns[] = {
    {"name", "name"}, {"pins", "pins"}, {"development", "development"}, {"wanted", "wanted"}, {0}};

static int print_held(struct cli *cli, const struct json *device)
{
    if (!device)
        return cli_fail(cli);
    cli_print_object(cli, device, held_columns);
    return EXIT_DONE;
}

/* PRODUCT/ASSET of words[1]; the device must be of that product. */
static bool asset_of(struct cli *cli, const char **asset)
{
    char product[NAME_SIZE], name[NAME_SIZE];
    if (!asset_name_split(cli->words[1], product, name, NULL, &cli->err))
        return false;
    const struct json *device = cli_json(cli, "GET", device_path(cli, cli->words[0], ""), NULL);
    if (!device)
        return false;
    if (!string_is(json_string(device, "product"), product))
        return error_set(&cli->err, ERROR_CONFLICT, "%s is a device of %s, not of %s", cli->words[0],
                         json_string(device, "product"), product);
    *asset = arena_strdup(&cli->arena, name);
    return true;
}

int cli_device_pin(struct cli *cli)
{
    const char *asset;
    if (!asset_of(cli, &asset))
        return cli_fail(cli);
    TEXT(body);
    struct json_writer writer;
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "asset", asset);
    json_write_string(&writer, "version", cli->words[2]);
    json_write_string(&writer, "when", cli_flag(cli, "on-reset") ? "reset" : "now");
    if (cli_value(cli, "reason"))
        json_write_string(&writer, "reason", cli_value(cli, "reason"));
    json_write_end(&writer, '}');
    return print_held(cli, cli_json(cli, "POST", device_path(cli, cli->words[0], "/pins"), &body));
}

int cli_device_unpin(struct cli *cli)
{
    const char *asset;
    if (!asset_of(cli, &asset))
        return cli_fail(cli);
    const char *rest = arena_printf(&cli->arena, "/pins/%s", url_encode(&cli->arena, asset));
    return print_held(cli, cli_json(cli, "DELETE", device_path(cli, cli->words[0], rest), NULL));
}

int cli_device_develop(struct cli *cli)
{
    TEXT(body);
    struct json_writer writer;
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_boolean(&writer, "development", !cli_flag(cli, "off"));
    json_write_end(&writer, '}');
    return print_held(cli, cli_json(cli, "PUT", device_path(cli, cli->words[0], "/development"), &body));
}

int cli_device_why(struct cli *cli)
{
    static const struct column columns[] = {{"ASSET", "asset"},
                                            {"RUNNING", "running"},
                                            {"WANTED", "wanted"},
                                            {"SOURCE", "source"},
                                            {"WHY", "text"},
                                            {"WAITS", "waits"},
                                            {0}};
    const struct json *list = cli_json(cli, "GET", device_path(cli, cli->words[0], "/why"), NULL);
    if (!list)
        return cli_fail(cli);
    cli_print_list(cli, list, columns);
    return EXIT_DONE;
}

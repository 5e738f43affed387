/* locum asset …: what there is, its history, what differs, and which version devices should run. */
#include "console/cli/cli.h"

#include <stdio.h>
#include <string.h>

int cli_asset_list(struct cli *cli)
{
    static const struct column columns[] = {{"PRODUCT", "product"},
                                            {"ASSET", "name"},
                                            {"KIND", "kind"},
                                            {"NEWEST", "newest"},
                                            {"RELEASED", "released"},
                                            {"VERSIONS", "versions"},
                                            {"PUBLISHED", "published_at"},
                                            {0}};
    const char *product = cli_value(cli, "product"), *path = "/assets";
    if (product)
        path = arena_printf(&cli->arena, "/assets?product=%s", url_encode(&cli->arena, product));
    const struct json *list = cli_list(cli, path);
    if (!list)
        return cli_fail(cli);
    cli_print_list(cli, list, columns);
    return EXIT_DONE;
}

int cli_asset_show(struct cli *cli)
{
    static const struct column fields[] = {{"product", "product"},
                                           {"asset", "name"},
                                           {"kind", "kind"},
                                           {"newest", "newest"},
                                           {"released", "released"},
                                           {"releases", "releases"},
                                           {0}};
    static const struct column columns[] = {{"VERSION", "version"}, {"PUBLISHED", "published_at"},
                                            {"AUTHOR", "author"},   {"FILES", "files"},
                                            {"BYTES", "length"},    {"DEVICES", "devices"},
                                            {"PROVEN", "proven"},   {"WITHDRAWN", "withdrawn.reason"},
                                            {"NOTES", "notes"},     {0}};
    const char *path;
    const struct json *asset = NULL;
    if (!cli_asset_path(cli, cli->words[0], &path) || !(asset = cli_json(cli, "GET", path, NULL)))
        return cli_fail(cli);
    cli_print_object(cli, asset, fields);
    const struct json *versions = json_get(asset, "versions");
    if (!cli->json && !cli->ndjson && versions && versions->type == JSON_ARRAY) {
        putchar('\n');
        cli_print_list(cli, versions, columns);
    }
    return EXIT_DONE;
}

int cli_asset_history(struct cli *cli)
{
    static const struct column columns[] = {{"AT", "at"},
                                            {"WHAT", "what"},
                                            {"VERSION", "version"},
                                            {"AUTHOR", "author"},
                                            {"COMMIT", "commit"},
                                            {"MESSAGE", "message"},
                                            {0}};
    const char *path;
    const struct json *list = NULL;
    if (!cli_asset_path(cli, cli->words[0], &path) ||
        !(list = cli_list(cli, arena_printf(&cli->arena, "%s/history", path))))
        return cli_fail(cli);
    cli_print_list(cli, list, columns);
    return EXIT_DONE;
}

/* --group G --end: DELETE instead of POST. */
static int release_end(struct cli *cli)
{
    const char *path, *group = cli_value(cli, "group");
    struct http_answer answer = {0};

    if (!group || cli->word_count != 1 || cli_flag(cli, "force") || cli_value(cli, "reason"))
        return cli_usage(cli, "--end takes PRODUCT/ASSET and --group G, nothing else: a product's release is"
                              " replaced, never ended");
    if (!cli_asset_path(cli, cli->words[0], &path) ||
        !cli_call(cli, "DELETE",
                  arena_printf(&cli->arena, "%s/release?group=%s", path, url_encode(&cli->arena, group)),
                  NULL, &answer))
        return cli_fail(cli);
    return EXIT_DONE;
}

int cli_asset_release(struct cli *cli)
{
    static const struct column fields[] = {{"product", "product"},  {"asset", "asset"},
                                           {"released", "version"}, {"group", "group"},
                                           {"devices", "devices"},  {0}};
    const char *path;
    if (cli_flag(cli, "end"))
        return release_end(cli);
    if (cli->word_count != 2)
        return cli_usage(cli, "PRODUCT/ASSET and V are needed");
    if (cli_flag(cli, "force") && !cli_value(cli, "reason"))
        return cli_usage(cli, "--force needs --reason TEXT");
    if (!cli_asset_path(cli, cli->words[0], &path))
        return cli_fail(cli);
    TEXT(body);
    struct json_writer writer;
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "version", cli->words[1]);
    if (cli_value(cli, "group"))
        json_write_string(&writer, "group", cli_value(cli, "group"));
    if (cli_flag(cli, "force"))
        json_write_boolean(&writer, "force", true);
    if (cli_value(cli, "reason"))
        json_write_string(&writer, "reason", cli_value(cli, "reason"));
    json_write_end(&writer, '}');
    const struct json *released = cli_json(cli, "POST", arena_printf(&cli->arena, "%s/release", path), &body);
    if (!released)
        return cli_fail(cli);
    cli_print_object(cli, released, fields);
    return EXIT_DONE;
}

int cli_asset_withdraw(struct cli *cli)
{
    static const struct column fields[] = {{"version", "version"}, {"withdrawn", "withdrawn.at"},
                                           {"by", "withdrawn.by"}, {"reason", "withdrawn.reason"},
                                           {"devices", "devices"}, {0}};
    const char *path, *reason = cli_value(cli, "reason");
    if (!reason)
        return cli_usage(cli, "--reason TEXT is needed");
    if (!cli_asset_path(cli, cli->words[0], &path))
        return cli_fail(cli);
    TEXT(body);
    struct json_writer writer;
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "reason", reason);
    json_write_end(&writer, '}');
    const char *version =
        arena_printf(&cli->arena, "%s/versions/%s", path, url_encode(&cli->arena, cli->words[1]));
    const struct json *done = cli_json(cli, "POST", arena_printf(&cli->arena, "%s/withdraw", version), &body);
    if (!done)
        return cli_fail(cli);
    cli_print_object(cli, done, fields);
    if (cli->json || cli->ndjson || !json_integer(done, "devices", 0))
        return EXIT_DONE;
    const struct json *devices = cli_list(cli, arena_printf(&cli->arena, "%s/devices", version));
    if (!devices)
        return cli_fail(cli);
    puts("\nstill runs on");
    for (const struct json *one = devices->first; one; one = one->next)
        printf("%s\n", one->string ? cli_safe(cli, one->string) : "?");
    return EXIT_DONE;
}

static void print_hunk(struct cli *cli, const struct json *hunk)
{
    printf("@@ -%lld,%lld +%lld,%lld @@\n", (long long)json_integer(hunk, "old_start", 0),
           (long long)json_integer(hunk, "old_count", 0), (long long)json_integer(hunk, "new_start", 0),
           (long long)json_integer(hunk, "new_count", 0));
    const struct json *lines = json_get(hunk, "lines");
    for (const struct json *line = lines ? lines->first : NULL; line; line = line->next)
        printf("%s%s\n", json_string(line, "op") ? json_string(line, "op") : " ",
               json_string(line, "text") ? cli_safe(cli, json_string(line, "text")) : "");
}

static void print_file(struct cli *cli, const struct json *file)
{
    const char *change = json_string(file, "change"), *path = json_string(file, "path");
    if (string_is(change, "same"))
        return;
    printf("%-8s %s", change ? change : "?", path ? cli_safe(cli, path) : "?");
    if (!string_is(json_string(file, "kind"), "binary")) {
        putchar('\n');
        const struct json *hunks = json_get(file, "hunks");
        for (const struct json *hunk = hunks ? hunks->first : NULL; hunk; hunk = hunk->next)
            print_hunk(cli, hunk);
        if (json_boolean(file, "truncated", false))
            puts("… (more; too long to show)");
        return;
    }
    printf("  binary, %s → %s bytes", cli_cell(cli, file, "old.length"), cli_cell(cli, file, "new.length"));
    int64_t at;
    if (json_has_integer(file, "first_difference", &at))
        printf(", first difference at byte %lld", (long long)at);
    if (json_has_integer(file, "differing_bytes", &at))
        printf(", %lld bytes differ", (long long)at);
    putchar('\n');
}

int cli_asset_diff(struct cli *cli)
{
    const char *path;
    const struct json *difference = NULL;
    if (!cli_asset_path(cli, cli->words[0], &path) ||
        !(difference = cli_json(cli, "GET",
                                arena_printf(&cli->arena, "%s/difference?from=%s&to=%s", path,
                                             url_encode(&cli->arena, cli->words[1]),
                                             url_encode(&cli->arena, cli->words[2])),
                                NULL)))
        return cli_fail(cli);
    if (cli->json || cli->ndjson) {
        cli_print_json(difference);
        return EXIT_DONE;
    }
    const struct json *members = json_get(difference, "manifest"), *files = json_get(difference, "files");
    for (const struct json *m = members ? members->first : NULL; m; m = m->next)
        printf("manifest %s: %s → %s\n", cli_cell(cli, m, "member"), cli_cell(cli, m, "old"),
               cli_cell(cli, m, "new"));
    for (const struct json *file = files ? files->first : NULL; file; file = file->next)
        print_file(cli, file);
    return EXIT_DONE;
}

/* locum campaign …: sends a diagnostic image to devices. */
#include "console/cli/cli.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

static void write_strings(struct json_writer *writer, const char *member, const char **values, size_t count)
{
    json_write_array(writer, member);
    for (size_t i = 0; i < count; i++)
        json_write_string(writer, NULL, values[i]);
    json_write_end(writer, ']');
}

/* "--param rate=50": a whole number or true/false as such, anything else a string. */
static bool write_params(struct cli *cli, struct json_writer *writer)
{
    size_t count;
    const char **params = cli_values(cli, "param", &count);
    if (!count)
        return true;
    json_write_object(writer, "params");
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(params[i], '=');
        if (!equals || equals == params[i])
            return error_set(&cli->err, ERROR_INPUT, "--param takes NAME=VALUE, not \"%s\"", params[i]);
        const char *name = arena_copy(&cli->arena, params[i], (size_t)(equals - params[i]));
        int64_t number;
        if (int64_parse(equals + 1, INT64_MIN, INT64_MAX, &number))
            json_write_integer(writer, name, number);
        else if (string_is(equals + 1, "true") || string_is(equals + 1, "false"))
            json_write_boolean(writer, name, equals[1] == 't');
        else
            json_write_string(writer, name, equals + 1);
    }
    json_write_end(writer, '}');
    return true;
}

static bool write_number(struct cli *cli, struct json_writer *writer, const char *option, const char *member)
{
    int64_t number;
    if (!cli_value(cli, option))
        return true;
    if (!int64_parse(cli_value(cli, option), 0, INT32_MAX, &number))
        return error_set(&cli->err, ERROR_INPUT, "--%s takes a whole number, not \"%s\"", option,
                         cli_value(cli, option));
    json_write_integer(writer, member, number);
    return true;
}

/* "--at" of a campaign that repeats is a date and time of day on each device's own clock: it goes as it was
 * typed. */
static bool write_times(struct cli *cli, struct json_writer *writer)
{
    int64_t seconds, at;
    const char *duration = cli_value(cli, "duration"), *when = cli_value(cli, "at"),
               *deadline = cli_value(cli, "device-deadline");
    if (!duration_parse(duration, &seconds) || seconds < 1)
        return error_set(&cli->err, ERROR_INPUT, "--duration takes a time such as 30s, 15m or 2h, not \"%s\"",
                         duration);
    json_write_integer(writer, "duration_s", seconds);
    if (deadline) {
        if (!duration_parse(deadline, &seconds) || seconds < 1)
            return error_set(&cli->err, ERROR_INPUT, "--device-deadline takes a time such as 10m, not \"%s\"",
                             deadline);
        json_write_integer(writer, "device_deadline_s", seconds);
    }
    if (!when || string_is(when, "now"))
        return true;
    if (cli_value(cli, "repeat")) {
        json_write_string(writer, "at", when);
        return true;
    }
    if (!time_parse(when, &at))
        return error_set(&cli->err, ERROR_INPUT, "--at takes a time such as 2026-11-21T14:30:00Z, not \"%s\"",
                         when);
    json_write_time(writer, "at", at);
    return true;
}

/* Options that go as they are, when they are there. */
static void write_words(struct cli *cli, struct json_writer *writer)
{
    static const struct {
        const char *option, *member;
    } words[] = {{"mode", "mode"},
                 {"window", "window"},
                 {"repeat", "repeat"},
                 {"until", "until"},
                 {"ticket", "ticket"},
                 {"reason", "reason"},
                 {"max-failures", "max_failures"}};
    static const char *const lists[] = {"collect", "redact", "blackout"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (cli_value(cli, words[i].option))
            json_write_string(writer, words[i].member, cli_value(cli, words[i].option));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        size_t count;
        const char **values = cli_values(cli, lists[i], &count);
        if (count)
            write_strings(writer, lists[i], values, count);
    }
    if (cli_flag(cli, "dry-run"))
        json_write_boolean(writer, "dry_run", true);
}

static bool campaign_write(struct cli *cli, struct text *body)
{
    struct json_writer writer;
    json_write_init(&writer, body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "image", cli_value(cli, "image"));
    size_t count;
    const char **devices = cli_values(cli, "device", &count);
    if (count)
        write_strings(&writer, "devices", devices, count);
    else
        json_write_string(&writer, "filter", cli_value(cli, "filter"));
    if (!write_times(cli, &writer) || !write_number(cli, &writer, "parallel", "parallel") ||
        !write_number(cli, &writer, "expect-count", "expect_count") ||
        !write_number(cli, &writer, "count", "count") ||
        !write_number(cli, &writer, "max-output", "max_output") || !write_params(cli, &writer))
        return false;
    write_words(cli, &writer);
    json_write_end(&writer, '}');
    return true;
}

/* What would happen: figures on standard output, each occurrence in UTC and in the devices' zones. */
static int plan_print(struct cli *cli, const struct json *plan)
{
    static const struct column fields[] = {{"devices", "matches"},
                                           {"offline", "offline"},
                                           {"busy", "busy"},
                                           {"collects", "collect"},
                                           {"network", "limits.network"},
                                           {"capabilities", "limits.capabilities"},
                                           {"at most bytes", "bytes_most"},
                                           {"approval", "needs_approval"},
                                           {0}};
    static const struct column unable[] = {{"UNABLE", "why"}, {"DEVICES", "devices"}, {0}};
    static const struct column times[] = {
        {"UTC", "utc"}, {"LOCAL", "time"}, {"ZONE", "zone"}, {"DEVICES", "devices"}, {0}};
    const struct json *occurrences = json_get(plan, "occurrences");
    cli_print_object(cli, plan, fields);
    if (cli->json || cli->ndjson)
        return EXIT_DONE;
    if (json_get(plan, "unable") && json_get(plan, "unable")->size)
        cli_print_list(cli, json_get(plan, "unable"), unable);
    for (const struct json *one = occurrences ? occurrences->first : NULL; one; one = one->next)
        cli_print_list(cli, json_get(one, "local"), times);
    return EXIT_DONE;
}

/* Says so on standard error when nothing begins until another person lets it. */
static void approval_tell(struct cli *cli, const struct json *created)
{
    const char *id = cli_cell(cli, created, "id");
    const struct json *campaign = cli_json(cli, "GET", arena_printf(&cli->arena, "/campaigns/%s", id), NULL);
    const struct json *approval = json_get(campaign, "approval");

    if (approval && approval->type == JSON_OBJECT && !json_string(approval, "at"))
        fprintf(stderr, "It waits for a second person: locum campaign approve %s\n", id);
}

int cli_campaign_create(struct cli *cli)
{
    static const struct column fields[] = {{"campaign", "id"}, {"run", "run"}, {"page", "url"}, {0}};
    if (!cli_value(cli, "image"))
        return cli_usage(cli, "--image PRODUCT/IMAGE@V is needed");
    if (!cli_value(cli, "device") == !cli_value(cli, "filter"))
        return cli_usage(cli, "either --device NAME… or --filter F is needed");
    if (!cli_value(cli, "duration"))
        return cli_usage(cli, "--duration is needed, for example --duration 30s");
    TEXT(body);
    const struct json *created = NULL;
    if (!campaign_write(cli, &body) || !(created = cli_json(cli, "POST", "/campaigns", &body)))
        return cli_fail(cli);
    if (cli_flag(cli, "dry-run"))
        return plan_print(cli, created);
    if (!cli_flag(cli, "wait")) {
        cli_print_object(cli, created, fields);
        approval_tell(cli, created);
        return EXIT_DONE;
    }
    approval_tell(cli, created);
    fprintf(stderr, "campaign %s: %s\n", cli_cell(cli, created, "id"), cli_cell(cli, created, "url"));
    return cli_run_wait(cli, json_integer(created, "id", 0), json_integer(created, "run", 1));
}

int cli_campaign_list(struct cli *cli)
{
    static const struct column columns[] = {{"CAMPAIGN", "id"},
                                            {"STATE", "state"},
                                            {"PRODUCT", "image.product"},
                                            {"IMAGE", "image.asset"},
                                            {"VERSION", "image.version"},
                                            {"DEVICES", "devices"},
                                            {"RUNS", "runs"},
                                            {"BY", "created_by"},
                                            {"CREATED", "created_at"},
                                            {0}};
    const struct json *list = cli_list(cli, "/campaigns");
    if (!list)
        return cli_fail(cli);
    cli_print_list(cli, list, columns);
    return EXIT_DONE;
}

/* The number of a campaign or run in words[at]; `otherwise` when there is no such word; -1 and a told usage
 * error. */
static int64_t number_word(struct cli *cli, size_t at, const char *what, int64_t otherwise)
{
    int64_t number;
    if (at >= cli->word_count)
        return otherwise;
    if (int64_parse(cli->words[at], 1, INT64_MAX, &number))
        return number;
    cli_usage(cli, "a %s is a number, not \"%s\"", what, cli->words[at]);
    return -1;
}

static int campaign_call(struct cli *cli, const char *method, const char *rest)
{
    static const struct column fields[] = {{"campaign", "id"},
                                           {"state", "state"},
                                           {"why", "state_reason.text"},
                                           {"product", "image.product"},
                                           {"image", "image.asset"},
                                           {"version", "image.version"},
                                           {"mode", "mode"},
                                           {"seconds", "duration_s"},
                                           {"devices", "devices"},
                                           {"at", "at"},
                                           {"window", "window"},
                                           {"repeat", "repeat"},
                                           {"until", "until"},
                                           {"count", "count"},
                                           {"blackout", "blackout"},
                                           {"next", "next_at"},
                                           {"created", "created_at"},
                                           {"by", "created_by"},
                                           {"needs people", "approval.needed"},
                                           {"approved by", "approval.by"},
                                           {"ticket", "ticket"},
                                           {"reason", "reason"},
                                           {0}};
    int64_t id = number_word(cli, 0, "campaign", 0);
    if (id < 0)
        return EXIT_USAGE;
    TEXT(body);
    struct json_writer writer;
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "reason", cli_value(cli, "reason"));
    json_write_end(&writer, '}');
    const struct json *campaign =
        cli_json(cli, method, arena_printf(&cli->arena, "/campaigns/%lld%s", (long long)id, rest),
                 string_is(method, "GET") ? NULL : &body);
    if (!campaign)
        return cli_fail(cli);
    cli_print_object(cli, campaign, fields);
    return EXIT_DONE;
}

int cli_campaign_show(struct cli *cli)
{
    return campaign_call(cli, "GET", "");
}

int cli_campaign_end(struct cli *cli)
{
    return campaign_call(cli, "POST", "/end");
}

int cli_campaign_pause(struct cli *cli)
{
    return campaign_call(cli, "POST", "/pause");
}

int cli_campaign_resume(struct cli *cli)
{
    return campaign_call(cli, "POST", "/resume");
}

int cli_campaign_approve(struct cli *cli)
{
    return campaign_call(cli, "POST", "/approve");
}

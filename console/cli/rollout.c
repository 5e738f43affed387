/* locum rollout …: moves devices to a version of one asset, stage by stage. */
#include "console/cli/cli.h"

#include "base/clock.h"
#include "repo/name.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct column fields[] = {{"rollout", "id"},
                                       {"state", "state"},
                                       {"product", "product"},
                                       {"asset", "asset"},
                                       {"version", "version"},
                                       {"stage", "stage"},
                                       {"devices", "devices"},
                                       {"applied", "counts.applied"},
                                       {"failed", "counts.failed"},
                                       {"reason", "reason.text"},
                                       {"created", "created_at"},
                                       {"by", "created_by"},
                                       {"why", "why"},
                                       {"ticket", "ticket"},
                                       {0}};
static const struct column stage_columns[] = {{"STAGE", "number"},
                                              {"SHARE", "share"},
                                              {"STATE", "state"},
                                              {"DEVICES", "devices"},
                                              {"APPLIED", "counts.applied"},
                                              {"SOAKING", "counts.confirming"},
                                              {"FAILED", "counts.failed"},
                                              {"PENDING", "counts.pending"},
                                              {"STARTED", "started_at"},
                                              {0}};

/* --- creating
 * ----------------------------------------------------------------------------------------------------- */

static bool write_duration(struct cli *cli, struct json_writer *writer, const char *option,
                           const char *member)
{
    int64_t seconds;
    const char *given = cli_value(cli, option);

    if (!given)
        return true;
    if (!duration_parse(given, &seconds))
        return error_set(&cli->err, ERROR_INPUT, "--%s takes a time such as 30s, 10m or 1h, not \"%s\"",
                         option, given);
    json_write_integer(writer, member, seconds);
    return true;
}

static bool write_number(struct cli *cli, struct json_writer *writer, const char *option, const char *member)
{
    int64_t number;
    const char *given = cli_value(cli, option);

    if (!given)
        return true;
    if (!int64_parse(given, 0, INT32_MAX, &number))
        return error_set(&cli->err, ERROR_INPUT, "--%s takes a whole number, not \"%s\"", option, given);
    json_write_integer(writer, member, number);
    return true;
}

static bool write_time(struct cli *cli, struct json_writer *writer, const char *option, const char *member)
{
    int64_t at;
    const char *given = cli_value(cli, option);

    if (!given || string_is(given, "now"))
        return true;
    if (!time_parse(given, &at))
        return error_set(&cli->err, ERROR_INPUT, "--%s takes a time such as 2026-11-21T14:30:00Z, not \"%s\"",
                         option, given);
    json_write_time(writer, member, at);
    return true;
}

static void write_list(struct cli *cli, struct json_writer *writer, const char *option, const char *member)
{
    size_t count;
    const char **values = cli_values(cli, option, &count);

    if (!count)
        return;
    json_write_array(writer, member);
    for (size_t i = 0; i < count; i++)
        json_write_string(writer, NULL, values[i]);
    json_write_end(writer, ']');
}

static void write_words(struct cli *cli, struct json_writer *writer)
{
    static const char *const options[] = {"group", "filter", "window", "reason", "ticket", NULL};
    static const char *const flags[][2] = {{"auto-roll-back", "auto_roll_back"},
                                           {"approval", "approval"},
                                           {"late-joiners", "late_joiners"},
                                           {"draft", "draft"},
                                           {"dry-run", "dry_run"}};
    const char *failures = cli_value(cli, "max-failures");

    for (size_t i = 0; options[i]; i++)
        if (cli_value(cli, options[i]))
            json_write_string(writer, options[i], cli_value(cli, options[i]));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (cli_flag(cli, flags[i][0]))
            json_write_boolean(writer, flags[i][1], true);
    if (string_is(failures, "any"))
        json_write_null(writer, "max_failures");
    else if (failures)
        json_write_string(writer, "max_failures", failures);
    write_list(cli, writer, "device", "devices");
    write_list(cli, writer, "stages", "stages");
}

static bool plan_write(struct cli *cli, struct text *body)
{
    struct json_writer writer;
    char *product = arena_alloc(&cli->arena, NAME_SIZE), *asset = arena_alloc(&cli->arena, NAME_SIZE);

    if (!asset_name_split(cli->words[0], product, asset, NULL, &cli->err))
        return false;
    json_write_init(&writer, body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "product", product);
    json_write_string(&writer, "asset", asset);
    json_write_string(&writer, "version", cli->words[1]);
    write_words(cli, &writer);
    if (!write_duration(cli, &writer, "soak", "soak_s") ||
        !write_duration(cli, &writer, "device-deadline", "device_deadline_s") ||
        !write_duration(cli, &writer, "stage-deadline", "stage_deadline_s") ||
        !write_number(cli, &writer, "min-successes", "min_successes") ||
        !write_number(cli, &writer, "parallel", "parallel") || !write_number(cli, &writer, "rate", "rate") ||
        !write_number(cli, &writer, "retries", "retries") ||
        !write_number(cli, &writer, "expect-count", "expect_count") ||
        !write_time(cli, &writer, "at", "at") || !write_time(cli, &writer, "ends-at", "ends_at"))
        return false;
    json_write_end(&writer, '}');
    return true;
}

static int plan_print(struct cli *cli, const struct json *plan)
{
    static const struct column plan_fields[] = {{"matches", "matches"},
                                                {"to move", "moves"},
                                                {"already there", "already"},
                                                {"pinned", "pinned"},
                                                {"development", "development"},
                                                {"offline", "offline"},
                                                {"bytes", "bytes"},
                                                {"expected end", "expected_end"},
                                                {0}};
    static const struct column whys[] = {{"DEVICES", "devices"}, {"WHY", "why"}, {0}};
    static const struct column shares[] = {
        {"STAGE", "number"}, {"SHARE", "share"}, {"DEVICES", "devices"}, {"TO MOVE", "moves"}, {0}};

    cli_print_object(cli, plan, plan_fields);
    if (cli->json || cli->ndjson)
        return EXIT_DONE;
    if (json_get(plan, "stages"))
        cli_print_list(cli, json_get(plan, "stages"), shares);
    for (const char *const *part = (const char *const[]){"incompatible", "conflict", NULL}; *part; part++)
        if (json_get(plan, *part) && json_get(plan, *part)->size)
            cli_print_list(cli, json_get(plan, *part), whys);
    return EXIT_DONE;
}

static int rollout_wait(struct cli *cli, int64_t id);

int cli_rollout_create(struct cli *cli)
{
    static const struct column made[] = {{"rollout", "id"}, {"page", "url"}, {0}};
    int chosen = !!cli_value(cli, "group") + !!cli_value(cli, "filter") + !!cli_value(cli, "device");
    TEXT(body);

    if (chosen != 1)
        return cli_usage(cli, "one of --group G, --filter F and --device NAME… is needed");
    const struct json *created = NULL;
    if (!plan_write(cli, &body) || !(created = cli_json(cli, "POST", "/rollouts", &body)))
        return cli_fail(cli);
    if (cli_flag(cli, "dry-run"))
        return plan_print(cli, created);
    if (!cli_flag(cli, "wait")) {
        cli_print_object(cli, created, made);
        return EXIT_DONE;
    }
    fprintf(stderr, "rollout %s: %s\n", cli_cell(cli, created, "id"), cli_cell(cli, created, "url"));
    return rollout_wait(cli, json_integer(created, "id", 0));
}

/* --- showing
 * ------------------------------------------------------------------------------------------------------- */

int cli_rollout_list(struct cli *cli)
{
    static const struct column columns[] = {{"ROLLOUT", "id"},           {"STATE", "state"},
                                            {"PRODUCT", "product"},      {"ASSET", "asset"},
                                            {"VERSION", "version"},      {"STAGE", "stage"},
                                            {"DEVICES", "devices"},      {"APPLIED", "counts.applied"},
                                            {"FAILED", "counts.failed"}, {"BY", "created_by"},
                                            {"CREATED", "created_at"},   {0}};
    const struct json *list = cli_list(cli, "/rollouts");
    if (!list)
        return cli_fail(cli);
    cli_print_list(cli, list, columns);
    return EXIT_DONE;
}

static bool number_read(struct cli *cli, int64_t *id)
{
    return int64_parse(cli->words[0], 1, INT64_MAX, id) ||
           error_set(&cli->err, ERROR_INPUT, "a rollout is a number, not \"%s\"", cli->words[0]);
}

static const struct json *rollout_get(struct cli *cli, int64_t id)
{
    return cli_json(cli, "GET", arena_printf(&cli->arena, "/rollouts/%lld", (long long)id), NULL);
}

static void rollout_print(struct cli *cli, const struct json *rollout)
{
    cli_print_object(cli, rollout, fields);
    if (!cli->json && !cli->ndjson && json_get(rollout, "stages"))
        cli_print_list(cli, json_get(rollout, "stages"), stage_columns);
}

/* Why devices failed, each reason once. */
static bool failures_print(struct cli *cli, int64_t id)
{
    static const struct column columns[] = {
        {"FAILED", "devices"}, {"RESULT", "result"}, {"WHY", "text"}, {"SUCH AS", "samples"}, {0}};
    const struct json *list =
        cli_json(cli, "GET", arena_printf(&cli->arena, "/rollouts/%lld/failures", (long long)id), NULL);

    if (list && list->size)
        cli_print_list(cli, list, columns);
    return list != NULL;
}

int cli_rollout_show(struct cli *cli)
{
    int64_t id;
    const struct json *rollout = NULL;

    if (!number_read(cli, &id) || !(rollout = rollout_get(cli, id)))
        return cli_fail(cli);
    rollout_print(cli, rollout);
    return cli->json || cli->ndjson || failures_print(cli, id) ? EXIT_DONE : cli_fail(cli);
}

static bool is_over(const struct json *rollout)
{
    const char *state = json_string(rollout, "state");

    return string_is(state, "completed") || string_is(state, "aborted") || string_is(state, "rolled_back");
}

static bool is_good(const struct json *rollout)
{
    return string_is(json_string(rollout, "state"), "completed") &&
           json_integer(json_get(rollout, "counts"), "failed", 0) == 0;
}

/* What a person watches: state, stage and counters, as one line. */
static const char *line_of(struct cli *cli, const struct json *rollout)
{
    const struct json *counts = json_get(rollout, "counts");
    const char *why = json_string(json_get(rollout, "reason"), "text");
    const char *line = arena_printf(&cli->arena, "%s  stage %s", cli_cell(cli, rollout, "state"),
                                    cli_cell(cli, rollout, "stage"));

    for (const struct json *one = counts ? counts->first : NULL; one; one = one->next)
        line = arena_printf(&cli->arena, "%s  %s %lld", line, one->key, (long long)one->integer);
    if (why)
        line = arena_printf(&cli->arena, "%s  (%s)", line, cli_safe(cli, why));
    if (string_is(cli_cell(cli, rollout, "state"), "held"))
        line =
            arena_printf(&cli->arena, "%s; it waits for a person: resume, retry, roll-back or abort", line);
    return line;
}

static int rollout_wait(struct cli *cli, int64_t id)
{
    int64_t timeout_s = 0, began = clock_boot_ms();
    const char *timeout = cli_value(cli, "timeout");
    char before[512] = "";

    if (timeout && !duration_parse(timeout, &timeout_s))
        return cli_usage(cli, "--timeout takes a time such as 10m, not \"%s\"", timeout);
    for (;;) {
        struct arena mine = cli->arena; /* each answer is forgotten before the next */
        cli->arena = (struct arena){0};
        const struct json *rollout = rollout_get(cli, id);
        int code = -1;

        if (rollout) {
            const char *line = line_of(cli, rollout);
            bool late = timeout && clock_boot_ms() - began > timeout_s * 1000;
            bool changed = strncmp(before, line, sizeof before - 1) != 0;

            if (changed)
                fprintf(stderr, "%s\n", line);
            snprintf(before, sizeof before, "%s", line);
            if (is_over(rollout))
                code = is_good(rollout) ? EXIT_DONE : EXIT_DEVICE_FAILURES;
            else if (late)
                code = EXIT_TIMED_OUT;
            if (code >= 0)
                rollout_print(cli, rollout);
            else if (changed && cli->ndjson)
                cli_print_json(rollout);
            fflush(stdout); /* who reads a stream waits for this line */
        } else {
            code = cli_fail(cli);
        }
        arena_end(&cli->arena);
        cli->arena = mine;
        if (code >= 0)
            return code;
        usleep(500000); /* the poll's period: the console tells pages by events, scripts ask */
    }
}

int cli_rollout_watch(struct cli *cli)
{
    int64_t id;

    return number_read(cli, &id) ? rollout_wait(cli, id) : cli_fail(cli);
}

/* --- doing
 * ----------------------------------------------------------------------------------------------------- */

int cli_rollout_do(struct cli *cli)
{
    int64_t id;
    TEXT(body);
    struct json_writer writer;

    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    if (cli_value(cli, "reason"))
        json_write_string(&writer, "reason", cli_value(cli, "reason"));
    json_write_end(&writer, '}');
    if (!number_read(cli, &id))
        return cli_fail(cli);
    const struct json *rollout =
        cli_json(cli, "POST",
                 arena_printf(&cli->arena, "/rollouts/%lld/%s", (long long)id, cli->command->verb), &body);
    if (!rollout)
        return cli_fail(cli);
    rollout_print(cli, rollout);
    return EXIT_DONE;
}

int cli_rollout_exclude(struct cli *cli)
{
    int64_t id;
    TEXT(body);
    struct json_writer writer;

    if (!cli_value(cli, "device"))
        return cli_usage(cli, "--device NAME… is needed");
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    write_list(cli, &writer, "device", "devices");
    json_write_end(&writer, '}');
    if (!number_read(cli, &id))
        return cli_fail(cli);
    const struct json *rollout =
        cli_json(cli, "POST", arena_printf(&cli->arena, "/rollouts/%lld/exclude", (long long)id), &body);
    if (!rollout)
        return cli_fail(cli);
    rollout_print(cli, rollout);
    return EXIT_DONE;
}

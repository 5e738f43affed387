/* locum run …: one occurrence of a campaign, device by device. */
#include "console/cli/cli.h"
#include "console/cli/run.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct column assignment_columns[] = {{"DEVICE", "device"},
                                                   {"STATE", "state"},
                                                   {"SINCE", "since"},
                                                   {"REVERTED", "reverted.at"},
                                                   {"EQUAL", "reverted.proof.equal"},
                                                   {"VERIFIED", "reverted.verified"},
                                                   {"LEFTOVERS", "reverted.proof.leftovers"},
                                                   {"CAPTURE", "capture.state"},
                                                   {"REASON", "reason.text"},
                                                   {0}};

bool cli_run_words(struct cli *cli, int64_t *campaign, int64_t *number)
{
    *number = 0;
    if (!int64_parse(cli->words[0], 1, INT64_MAX, campaign) ||
        (cli->word_count > 1 && !int64_parse(cli->words[1], 1, INT64_MAX, number)))
        return error_set(&cli->err, ERROR_INPUT, "campaigns and runs are numbers, not \"%s\"",
                         cli->words[cli->word_count - 1]);
    if (*number)
        return true;
    const struct json *found =
        cli_json(cli, "GET", arena_printf(&cli->arena, "/campaigns/%lld", (long long)*campaign), NULL);
    const struct json *runs = json_get(found, "runs");
    /* The newest that has begun; runs ahead of their time do not count while there is one. */
    bool begun = false;
    for (const struct json *run = runs && runs->type == JSON_ARRAY ? runs->first : NULL; run;
         run = run->next) {
        int64_t n = json_integer(run, "number", 0);
        bool ahead = string_is(json_string(run, "state"), "scheduled");
        if (!*number || (!ahead && (!begun || n > *number)) || (ahead && !begun && n < *number))
            *number = n;
        begun |= !ahead;
    }
    if (found && !*number)
        return error_set(&cli->err, ERROR_MISSING, "campaign %lld has no run yet", (long long)*campaign);
    return found != NULL;
}

static const struct json *run_get(struct cli *cli, int64_t campaign, int64_t number)
{
    return cli_json(
        cli, "GET",
        arena_printf(&cli->arena, "/campaigns/%lld/runs/%lld", (long long)campaign, (long long)number), NULL);
}

static void run_print(struct cli *cli, const struct json *run)
{
    if (cli->json || cli->ndjson) {
        cli_print_json(run);
        return;
    }
    const struct json *assignments = json_get(run, "assignments");
    fprintf(stderr, "campaign %s, run %s: %s\n", cli_cell(cli, run, "campaign"), cli_cell(cli, run, "number"),
            cli_cell(cli, run, "state"));
    if (assignments)
        cli_print_list(cli, assignments, assignment_columns);
}

static bool run_is_over(const struct json *run)
{
    const char *state = json_string(run, "state");
    return string_is(state, "completed") || string_is(state, "aborted") || string_is(state, "expired");
}

/* By the kept counters: a large run tells only some of its devices. */
static bool run_is_good(const struct json *run)
{
    const struct json *counts = json_get(run, "counts");
    for (const struct json *one = counts ? counts->first : NULL; one; one = one->next)
        if (one->integer && !string_is(one->key, "done"))
            return false;
    return true;
}

int cli_run_show(struct cli *cli)
{
    int64_t campaign, number;
    const struct json *run = NULL;
    if (!cli_run_words(cli, &campaign, &number) || !(run = run_get(cli, campaign, number)))
        return cli_fail(cli);
    run_print(cli, run);
    return EXIT_DONE;
}

/* One line on standard error for each device whose state is another than in `before` (same order of devices).
 * True when there was one. */
static bool changes_print(struct cli *cli, const struct json *before, const struct json *now)
{
    const struct json *old = json_get(before, "assignments"), *new = json_get(now, "assignments");
    bool any = false;
    old = old ? old->first : NULL;
    for (new = new ? new->first : NULL; new; new = new->next, old = old ? old->next : NULL) {
        if (old && string_is(json_string(old, "state"), json_string(new, "state")))
            continue;
        any = true;
        const char *text = json_string(json_get(new, "reason"), "text");
        fprintf(stderr, "%s  %s  %s%s%s\n", cli_cell(cli, new, "since"), cli_cell(cli, new, "device"),
                cli_cell(cli, new, "state"), text ? ": " : "", text ? cli_safe(cli, text) : "");
    }
    return any;
}

int cli_run_wait(struct cli *cli, int64_t campaign, int64_t number)
{
    int64_t timeout_s = 0, began = clock_boot_ms();
    const char *timeout = cli_value(cli, "timeout");
    if (timeout && !duration_parse(timeout, &timeout_s))
        return cli_usage(cli, "--timeout takes a time such as 10m, not \"%s\"", timeout);
    struct arena kept = {0}; /* of the answer before; the next one lives in the other */
    const struct json *before = NULL;
    for (;;) {
        struct arena mine = cli->arena;
        cli->arena = (struct arena){0};
        const struct json *run = run_get(cli, campaign, number);
        struct arena fresh = cli->arena;
        cli->arena = mine;
        if (!run) {
            arena_end(&kept);
            arena_end(&fresh);
            return cli_fail(cli);
        }
        bool changed = changes_print(cli, before, run);
        bool late = timeout && clock_boot_ms() - began > timeout_s * 1000;
        bool ends = run_is_over(run) || late;
        if (cli->ndjson && changed && !ends) {
            cli_print_json(run);
            fflush(stdout); /* who reads a stream waits for this line */
        }
        if (ends) {
            int code = late && !run_is_over(run) ? EXIT_TIMED_OUT
                       : run_is_good(run)        ? EXIT_DONE
                                                 : EXIT_DEVICE_FAILURES;
            run_print(cli, run);
            arena_end(&kept);
            arena_end(&fresh);
            return code;
        }
        arena_end(&kept);
        kept = fresh;
        before = run;
        usleep(500000); /* the poll's period: the console tells pages by events, scripts ask */
    }
}

int cli_run_watch(struct cli *cli)
{
    int64_t campaign, number;
    if (!cli_run_words(cli, &campaign, &number))
        return cli_fail(cli);
    return cli_run_wait(cli, campaign, number);
}

/* {"devices"?,"reason"?,"duration_s"?} */
static void act_write(struct cli *cli, struct text *body, int64_t duration_s)
{
    struct json_writer writer;
    size_t count;
    const char **devices = cli_values(cli, "device", &count);
    json_write_init(&writer, body);
    json_write_object(&writer, NULL);
    if (count)
        json_write_array(&writer, "devices");
    for (size_t i = 0; i < count; i++)
        json_write_string(&writer, NULL, devices[i]);
    if (count)
        json_write_end(&writer, ']');
    if (cli_value(cli, "reason"))
        json_write_string(&writer, "reason", cli_value(cli, "reason"));
    if (duration_s)
        json_write_integer(&writer, "duration_s", duration_s);
    json_write_end(&writer, '}');
}

static int run_act(struct cli *cli, const char *act, int64_t duration_s)
{
    int64_t campaign, number;
    const struct json *run = NULL;
    TEXT(body);
    act_write(cli, &body, duration_s);
    if (!cli_run_words(cli, &campaign, &number) ||
        !(run = cli_json(cli, "POST",
                         arena_printf(&cli->arena, "/campaigns/%lld/runs/%lld/%s", (long long)campaign,
                                      (long long)number, act),
                         &body)))
        return cli_fail(cli);
    run_print(cli, run);
    return EXIT_DONE;
}

int cli_run_return_now(struct cli *cli)
{
    return run_act(cli, "return-now", 0);
}

int cli_run_extend(struct cli *cli)
{
    int64_t duration_s;
    const char *duration = cli_value(cli, "duration");
    if (!duration)
        return cli_usage(cli, "--duration is needed, for example --duration 30m");
    if (!duration_parse(duration, &duration_s) || duration_s < 1)
        return cli_usage(cli, "--duration takes a time such as 30s, 15m or 2h, not \"%s\"", duration);
    return run_act(cli, "extend", duration_s);
}

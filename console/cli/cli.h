/* The engineer's command line: every `locum …` but `serve`, over the same HTTP interface as the pages. One
 * file a noun.
 *
 * Data goes to standard output, everything else to standard error. A command returns its exit code. */
#ifndef CONSOLE_CLI_CLI_H
#define CONSOLE_CLI_CLI_H

#include "base/arena.h"
#include "base/error.h"
#include "base/http.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_MISSING = 3,
    EXIT_DENIED = 4,
    EXIT_CONFLICT = 5,
    EXIT_DEVICE_FAILURES = 6, /* finished, but not on every device */
    EXIT_TIMED_OUT = 7,
    EXIT_UNREACHABLE = 8
};

enum option_kind {
    OPTION_FLAG,  /* no value */
    OPTION_ONE,   /* one value, at most once */
    OPTION_EACH,  /* one value each time, commas separate more */
    OPTION_MANY,  /* all words up to the next option, and again; commas separate more */
    OPTION_WORDS, /* the same before a command's own words: plain words that name no file here */
};
struct cli_option {
    const char *name;  /* without the dashes */
    const char *value; /* as the help shows it; NULL for a flag */
    enum option_kind kind;
    const char *help;
};

struct cli;
struct command {
    const char *noun, *verb; /* verb NULL: the noun alone is the command */
    const char *arguments;   /* as the help shows them */
    int least, most;         /* words besides options; most -1: any number */
    const char *help;
    const struct cli_option *options; /* ends with a NULL name; NULL: only the common ones */
    int (*run)(struct cli *cli);
};
extern const struct command cli_commands[]; /* ends with a NULL noun */

struct cli_given {
    const char *name;
    const char *value;
    struct cli_given *next;
};
/* One call of the program. */
struct cli {
    struct arena arena;
    const struct command *command;
    const char **words; /* arguments that are no options */
    size_t word_count;
    struct cli_given *given;
    bool json, ndjson, yes;
    struct http *http;
    const char *url, *token, *ca_file;
    int unreachable; /* 1 when the last failure was the network's */
    struct error err;
    const char *request_id, *hint; /* of the console's last refusal; NULL: none */
};

int cli_main(int argc, char **argv);

/* --- options
 * ------------------------------------------------------------------------------------------------------ */
const char *cli_value(const struct cli *cli, const char *option); /* NULL when it was not given */
bool cli_flag(const struct cli *cli, const char *option);
/* All values of a repeated option, in order, NULL-terminated, in the arena. */
const char **cli_values(struct cli *cli, const char *option, size_t *count);
/* The same as a sentence about a wrong use: prints it with the command's usage and returns EXIT_USAGE. */
int cli_usage(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints cli->err (as JSON with --json) and returns the exit code of its kind. */
int cli_fail(struct cli *cli);

/* --- the server: cli_client.c
 * ------------------------------------------------------------------------------------- */
/* Sends a request of the caller's to the console with our token; true when an answer came, whatever it says.
 */
bool cli_send(struct cli *cli, struct http_request *request, struct http_answer *answer);
/* Sends; true for 2xx. `path` is below /api/v1. `body` NULL: none. Otherwise cli->err says why not. */
bool cli_call(struct cli *cli, const char *method, const char *path, const struct text *body,
              struct http_answer *answer);
/* The console's refusal, whatever was asked, as cli->err; always false. */
bool cli_refused(struct cli *cli, const struct http_answer *answer);
/* cli_call and the answer's JSON, NULL on failure. */
const struct json *cli_json(struct cli *cli, const char *method, const char *path, const struct text *body);
/* All pages of a list, as one array. */
const struct json *cli_list(struct cli *cli, const char *path);
/* "/assets/<product>/<asset>" of a "product/asset" word; false sets cli->err. */
bool cli_asset_path(struct cli *cli, const char *word, const char **path);
/* Address, token and authorities: flags, environment, file. False sets cli->err. */
bool cli_connect(struct cli *cli);
/* Writes ~/.config/locum/config (0600). */
bool cli_config_save(struct cli *cli, const char *url, const char *token);

/* --- output: cli_print.c
 * ------------------------------------------------------------------------------------------ */
struct column {
    const char *title;
    const char *member; /* "name", or "image.campaign" */
};
/* A list or an object as JSON, NDJSON, a table on a terminal, or TSV. Columns end with a NULL title. */
void cli_print_list(struct cli *cli, const struct json *list, const struct column *columns);
void cli_print_object(struct cli *cli, const struct json *object, const struct column *columns);
void cli_print_json(const struct json *value);
/* What the member of a dotted name says, as one cell of text. */
const char *cli_cell(struct cli *cli, const struct json *object, const char *member);
/* Text that came from elsewhere, safe for a terminal: control characters become '?'. */
const char *cli_safe(struct cli *cli, const char *text);
/* A line on a terminal that is written over: "name  12.3 / 45.6 MB  3.2 MB/s  0:10 left". Nothing when
 * standard error is no terminal. */
void cli_progress(const char *name, int64_t done, int64_t total, int64_t started_ms);
void cli_progress_end(void);

/* From the file of --password-file, or asked for on the terminal without showing it. In the arena. */
bool cli_password(struct cli *cli, const char **password);

/* --- one function a command
 * --------------------------------------------------------------------------------------- */
int cli_login(struct cli *cli);
int cli_token_create(struct cli *cli);
int cli_repo_care(struct cli *cli);
int cli_asset_publish(struct cli *cli);
int cli_asset_release(struct cli *cli);
int cli_asset_withdraw(struct cli *cli);
int cli_asset_list(struct cli *cli);
int cli_asset_show(struct cli *cli);
int cli_asset_history(struct cli *cli);
int cli_asset_diff(struct cli *cli);
int cli_product_list(struct cli *cli);
int cli_product_show(struct cli *cli);
int cli_product_set(struct cli *cli);
int cli_group_create(struct cli *cli);
int cli_group_list(struct cli *cli);
int cli_group_show(struct cli *cli);
int cli_group_delete(struct cli *cli);
int cli_device_claim(struct cli *cli);
int cli_device_list(struct cli *cli);
int cli_device_show(struct cli *cli);
int cli_device_admit(struct cli *cli);
int cli_device_pin(struct cli *cli);
int cli_device_unpin(struct cli *cli);
int cli_device_develop(struct cli *cli);
int cli_device_why(struct cli *cli);
int cli_campaign_create(struct cli *cli);
int cli_campaign_list(struct cli *cli);
int cli_campaign_show(struct cli *cli);
int cli_campaign_end(struct cli *cli);
int cli_campaign_pause(struct cli *cli);
int cli_campaign_resume(struct cli *cli);
int cli_campaign_approve(struct cli *cli);
int cli_rollout_create(struct cli *cli);
int cli_rollout_list(struct cli *cli);
int cli_rollout_show(struct cli *cli);
int cli_rollout_watch(struct cli *cli);
int cli_rollout_do(struct cli *cli); /* the verb is the route's last word */
int cli_rollout_exclude(struct cli *cli);
int cli_run_show(struct cli *cli);
int cli_run_watch(struct cli *cli);
int cli_run_return_now(struct cli *cli);
int cli_run_extend(struct cli *cli);
int cli_capture_list(struct cli *cli);
int cli_capture_download(struct cli *cli);
int cli_capture_show(struct cli *cli);
int cli_capture_matrix(struct cli *cli);
int cli_capture_delete(struct cli *cli);
int cli_capture_hold(struct cli *cli);
int cli_operator_create(struct cli *cli);
int cli_operator_list(struct cli *cli);
int cli_operator_set(struct cli *cli);
int cli_operator_remove(struct cli *cli);
int cli_hook_create(struct cli *cli);
int cli_hook_list(struct cli *cli);
int cli_hook_delete(struct cli *cli);
int cli_hook_log(struct cli *cli);
/* Waits for a run's end, telling changes on standard error; prints the run. Exit code 0, 6 or 7. */
int cli_run_wait(struct cli *cli, int64_t campaign, int64_t number);

#endif

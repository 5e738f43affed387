/* Which run the words CAMPAIGN [N] name; shared by `run` and `capture`. */
#ifndef CONSOLE_CLI_RUN_H
#define CONSOLE_CLI_RUN_H

#include "console/cli/cli.h"

/* words[0] is the campaign, words[1] the run, absent: its newest. False sets cli->err. */
bool cli_run_words(struct cli *cli, int64_t *campaign, int64_t *number);

#endif

/* The keeper: parent of the app and of a diagnostic run, holder of every deadline. See PROTOCOL.md "Inside
 * the device". */
#ifndef AGENT_KEEPER_H
#define AGENT_KEEPER_H

#include "agent/settings.h"

#include <stdbool.h>

enum keeper_started_by { KEEPER_BY_RUN, KEEPER_BY_INIT };

struct keeper_options {
    const char *state;   /* the state folder, absolute */
    const char *config;  /* --config, absolute; NULL: none. Handed on to a stand-in worker */
    const char *program; /* to be run as `<program> run --state … --stand-in` when the worker dies:
                            /proc/self/exe resolved */
    enum keeper_started_by started_by;
    int ready_fd; /* one byte is written and it is closed when keeper.sock listens; -1: none */
};

/* Runs until it is told to stop. Returns the exit code: 0 after an orderly end, 5 when another keeper has
 * this state folder, 1 otherwise (said in the log). */
int keeper_main(const struct agent_settings *settings, const struct keeper_options *options);

#endif

/* What the device's owner sets: `name = value` lines of --config FILE, or of STATE/agent.conf. */
#ifndef AGENT_SETTINGS_H
#define AGENT_SETTINGS_H

#include "base/arena.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/settings.h"

#include <stdbool.h>
#include <stdint.h>

enum diagnostic_limits {
    DIAGNOSTIC_LIMITS_AUTO,   /* control groups where the machine has them, else resource limits */
    DIAGNOSTIC_LIMITS_RLIMITS /* resource limits alone, even where there are control groups */
};

enum app_notify {
    APP_NOTIFY_SOCKET, /* a line on LOCUM_SOCKET, answered by the app */
    APP_NOTIFY_SIGNAL, /* a signal; the health command decides */
    APP_NOTIFY_NONE    /* nothing; the health command decides */
};

struct agent_settings {
    char **app_command;   /* argv; NULL: no app is run */
    const char *app_user; /* name of its user; NULL: the agent's own */
    const char *app_log;  /* file that takes its output, appended; NULL: the agent's own standard error */
    char **app_writable;  /* folders that are overlays while an image overrides the app; NULL: none */
    const char *app_notify_as;  /* as written: "socket", "signal:HUP", "none" */
    enum app_notify app_notify; /* of app_notify_as */
    int app_signal;             /* of app_notify_as; 0 unless APP_NOTIFY_SIGNAL */
    int64_t app_adopt_timeout_s;
    char **app_health_command; /* argv; NULL: staying alive is healthy */
    int64_t app_health_timeout_s;
    int64_t app_stop_timeout_s;               /* from SIGTERM to SIGKILL */
    int64_t poll_idle_s;                      /* upper bound of the poll interval */
    int64_t versions_keep;                    /* versions kept of each asset, those of the set among them */
    int64_t diagnostic_uid;                   /* uid and gid of diagnostic images; 0: one of our own */
    const char *diagnostic_limits_as;         /* as written: "auto", "rlimits" */
    enum diagnostic_limits diagnostic_limits; /* of diagnostic_limits_as */
    bool revert_reboot;                       /* reboot when a revert cannot be finished otherwise */
};

/* One row a setting; ends with a row without a name. */
extern const struct setting agent_settings_table[];

/* Reads `config` (NULL: STATE/agent.conf, which may be missing) over the defaults. The strings live in the
 * arena. */
bool agent_settings_load(struct arena *arena, const char *state, const char *config,
                         struct agent_settings *settings, struct error *err);
/* The same from the text of a settings file. */
bool agent_settings_parse(struct arena *arena, const char *text, struct agent_settings *settings,
                          struct error *err);
/* Fingerprint of who decides here whether a set is good: the app and its health command, as the settings say
 * them and as the files that they name are now (size and time of change). */
void agent_settings_judge(const struct agent_settings *settings, char hex[SHA256_HEX]);

#endif

#include "agent/settings.h"

#include "agent/state.h"
#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_LIMIT (64 << 10)

#define AT(member) .offset = offsetof(struct agent_settings, member)
#define SECONDS(from, to) .type = SETTING_INTEGER, .min = from, .max = to

const struct setting agent_settings_table[] = {
    {.name = "app.command", .type = SETTING_ARGV, AT(app_command), .help = "the app: program and arguments"},
    {.name = "app.user", .type = SETTING_TEXT, AT(app_user), .help = "user that the app runs as"},
    {.name = "app.log", .type = SETTING_TEXT, AT(app_log), .help = "file that takes the app's output"},
    {.name = "app.writable",
     .type = SETTING_ARGV,
     AT(app_writable),
     .help = "folders that the app writes: overlays in memory while a diagnostic image overrides its assets"},
    {.name = "app.notify",
     .type = SETTING_TEXT,
     .otherwise = "socket",
     AT(app_notify_as),
     .help = "how the app hears of new assets: socket, signal:NAME or none"},
    {.name = "app.adopt.timeout_s",
     SECONDS(1, 3600),
     .otherwise = "10",
     AT(app_adopt_timeout_s),
     .help = "longest wait for the app's answer"},
    {.name = "app.health.command",
     .type = SETTING_ARGV,
     AT(app_health_command),
     .help = "exits 0 when the app is well; tried each second"},
    {.name = "app.health.timeout_s",
     SECONDS(1, 3600),
     .otherwise = "30",
     AT(app_health_timeout_s),
     .help = "longest wait for a healthy app"},
    {.name = "app.stop.timeout_s",
     SECONDS(1, 600),
     .otherwise = "10",
     AT(app_stop_timeout_s),
     .help = "from SIGTERM to SIGKILL"},
    {.name = "poll.idle_s",
     SECONDS(1, 86400),
     .otherwise = "60",
     AT(poll_idle_s),
     .help = "longest time between two check-ins"},
    {.name = "versions.keep",
     SECONDS(1, 1000),
     .otherwise = "3",
     AT(versions_keep),
     .help = "versions kept of each asset"},
    {.name = "diagnostic.uid",
     SECONDS(0, 2147483647),
     .otherwise = "0",
     AT(diagnostic_uid),
     .help = "uid and gid that diagnostic images run as; 0: one from 61184 to 65519 for this agent alone"},
    {.name = "diagnostic.limits",
     .type = SETTING_TEXT,
     .otherwise = "auto",
     AT(diagnostic_limits_as),
     .help =
         "what bounds an image's memory and processes: auto (control groups where there are any) or rlimits"},
    {.name = "revert.reboot",
     .type = SETTING_BOOLEAN,
     .otherwise = "no",
     AT(revert_reboot),
     .help = "reboot when a revert cannot be finished"},
    {.name = NULL},
};

static const struct {
    const char *name;
    int number;
} signals[] = {
    {"HUP", SIGHUP}, {"USR1", SIGUSR1},   {"USR2", SIGUSR2},
    {"INT", SIGINT}, {"WINCH", SIGWINCH}, {"CONT", SIGCONT},
};

static bool notify_read(struct agent_settings *settings, struct error *err)
{
    const char *text = settings->app_notify_as;

    settings->app_signal = 0;
    if (string_is(text, "socket") || string_is(text, "none")) {
        settings->app_notify = *text == 's' ? APP_NOTIFY_SOCKET : APP_NOTIFY_NONE;
        return true;
    }
    for (size_t i = 0; string_starts(text, "signal:") && i < sizeof(signals) / sizeof(signals[0]); i++)
        if (strcmp(text + strlen("signal:"), signals[i].name) == 0) {
            settings->app_notify = APP_NOTIFY_SIGNAL;
            settings->app_signal = signals[i].number;
            return true;
        }
    return error_set(
        err, ERROR_INPUT,
        "app.notify must be socket, none or signal:NAME with HUP, USR1, USR2, INT, WINCH or CONT");
}

static bool limits_read(struct agent_settings *settings, struct error *err)
{
    const char *text = settings->diagnostic_limits_as;

    settings->diagnostic_limits =
        string_is(text, "rlimits") ? DIAGNOSTIC_LIMITS_RLIMITS : DIAGNOSTIC_LIMITS_AUTO;
    return string_is(text, "rlimits") || string_is(text, "auto") ||
           error_set(err, ERROR_INPUT, "diagnostic.limits must be auto or rlimits");
}

bool agent_settings_parse(struct arena *arena, const char *text, struct agent_settings *settings,
                          struct error *err)
{
    memset(settings, 0, sizeof(*settings));
    return settings_defaults(arena, agent_settings_table, settings, err) &&
           settings_read(arena, agent_settings_table, text, settings, err) && notify_read(settings, err) &&
           limits_read(settings, err);
}

bool agent_settings_load(struct arena *arena, const char *state, const char *config,
                         struct agent_settings *settings, struct error *err)
{
    const char *path = config ? config : arena_printf(arena, "%s/%s", state, STATE_CONFIG);
    /* A path of the owner's own: it may be a link and lie anywhere. */
    FD(fd) = open(path, O_RDONLY | O_CLOEXEC);
    char *text = arena_alloc(arena, CONFIG_LIMIT + 1);
    size_t size = 0;
    ssize_t got = 0;

    if (fd < 0 && (config || errno != ENOENT))
        return error_errno(err, "reading the settings \"%s\"", path);
    while (fd >= 0 && size <= CONFIG_LIMIT && (got = read(fd, text + size, CONFIG_LIMIT + 1 - size)) > 0)
        size += (size_t)got;
    if (got < 0)
        return error_errno(err, "reading the settings \"%s\"", path);
    if (size > CONFIG_LIMIT)
        return error_set(err, ERROR_LIMIT, "the settings \"%s\" have more than %d bytes", path, CONFIG_LIMIT);
    return agent_settings_parse(arena, text, settings, err) || error_add(err, "%s", path);
}

static void judge_add(struct text *text, char **words)
{
    struct stat st;

    for (; words && *words; words++) {
        text_printf(text, "%zu %s", strlen(*words), *words);
        if (strchr(*words, '/') && stat(*words, &st) == 0 && S_ISREG(st.st_mode))
            text_printf(text, " %lld %lld.%ld", (long long)st.st_size, (long long)st.st_mtim.tv_sec,
                        st.st_mtim.tv_nsec);
        text_puts(text, "\n");
    }
    text_puts(text, "\n");
}

void agent_settings_judge(const struct agent_settings *settings, char hex[SHA256_HEX])
{
    TEXT(text);

    judge_add(&text, settings->app_command);
    judge_add(&text, settings->app_health_command);
    text_printf(&text, "%s\n%s\n%lld %lld", settings->app_user ? settings->app_user : "",
                settings->app_notify_as, (long long)settings->app_adopt_timeout_s,
                (long long)settings->app_health_timeout_s);
    sha256_hex(text.bytes, text.size, hex);
}

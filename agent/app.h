/* The app: started, watched, restarted, stopped, told about new sets, and asked for its health. Owned by the
 * keeper.
 *
 *            app_start                exec                      exits
 *   stopped ──────────► starting ───────────► running ─────────────────► failed (waits, longer each time)
 *      ▲                   ▲                     │ app_stop                 │ back-off is over
 *      └── gone ── stopping ◄────────────────────┘         starting ◄───────┘
 *
 * "Started" survives the keeper: app.json names pid, start time and boot id before the program runs, so a
 * keeper that comes after a killed one goes on watching the same process. */
#ifndef AGENT_APP_H
#define AGENT_APP_H

#include "agent/keeper_loop.h"
#include "agent/link.h"
#include "agent/settings.h"
#include "base/json.h"

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

enum app_state { APP_NONE, APP_STOPPED, APP_STARTING, APP_RUNNING, APP_STOPPING, APP_FAILED };
const char *app_state_name(enum app_state state); /* "none", "stopped", "starting", "running", "failed" */

#define APP_SET_SIZE 24
#define APP_LINKS 8             /* connections of the app at once */
#define APP_LOG_LIMIT (4 << 20) /* bytes; then the log becomes <log>.1 */

struct app_options {
    const struct agent_settings *settings; /* borrowed */
    int state_fd;                          /* the state folder; borrowed */
    const char *state;                     /* its real path; borrowed */
};

/* The end of something asked for: `reason` is NULL when it is good, else a sentence. */
typedef void app_done(void *context, const char *reason);

/* A health check under way. */
struct app_health {
    struct loop_timer timer, limit;
    int64_t deadline_ms;
    pid_t pid; /* of the command; 0: none runs */
    int pidfd;
    int last; /* wait status of the last attempt */
    app_done *done;
    void *context;
};

/* An adoption under way. */
struct app_adoption {
    char set[APP_SET_SIZE]; /* empty: none */
    struct loop_timer timer;
    app_done *done;
    void *context;
};

struct app_link {
    struct link *link; /* NULL: free */
    bool told;         /* of the set being adopted */
    bool adopted;
    struct app *app;
};

struct app {
    const struct agent_settings *settings;
    int state_fd;
    const char *state_path;
    struct loop *loop;
    enum app_state state;
    bool wanted;  /* restart it when it exits */
    bool found;   /* a keeper before us started it, and the end of that one may have been too much for it */
    pid_t pid;    /* 0: not there */
    pid_t deputy; /* runs in its place while an image overrides its assets, and may connect as it; 0: none */
    int pidfd;
    int64_t start_time; /* clock ticks since boot */
    int64_t since;      /* Unix seconds of the present state */
    int64_t started_ms; /* boot clock, of the last start */
    int64_t backoff_ms;
    int64_t busy_until;   /* Unix seconds */
    int64_t busy_told_ms; /* boot clock, of the last time that `changed` was told of it; 0: never */
    char reason[200];     /* of APP_FAILED */
    char socket_path[4096];
    char *variables[3];
    struct loop_timer restart, kill, watch_log, tell_busy;
    app_done *stopped;
    void *stopped_context;
    struct app_health health;
    struct app_adoption adoption;
    int listener;
    struct app_link links[APP_LINKS];
    int64_t complained_ms; /* boot clock, of the last word about the socket in the log; 0: none */
    /* Told after each change of state and of the busy lease. */
    void (*changed)(void *context);
    void *changed_context;
};

/* Finds an app that a keeper before us left running, and opens the app's socket. */
bool app_init(struct app *app, const struct app_options *options, struct loop *loop, struct error *err);
/* Lets go of everything but the process. */
void app_end(struct app *app);

/* Starts it unless it runs; from now on it is restarted when it exits. */
bool app_start(struct app *app, struct error *err);
/* SIGTERM to its process group, SIGKILL after app.stop.timeout_s; `done` when it is gone, at once when it is
 * not there. */
void app_stop(struct app *app, app_done *done, void *context);
/* The state as the check-in has it: {"state","pid","since",…}. */
void app_write(const struct app *app, struct json_writer *writer, const char *key);

/* Tells the app that `current` leads to the set now; `done` with its answer (PROTOCOL.md "adopt"). One at a
 * time: CONFLICT. */
bool app_adopt(struct app *app, const char *set, const char *path, const struct json *changed, app_done *done,
               void *context, struct error *err);
/* The health command until it exits 0 or its time is over; without one, staying alive for two seconds. One at
 * a time: CONFLICT. */
bool app_check_health(struct app *app, app_done *done, void *context, struct error *err);

/* --- between the app's files --- */
/* app_link.c */
bool app_links_open(struct app *app, struct error *err);
void app_links_close(struct app *app);
void app_adoption_fail(struct app *app, const char *reason); /* the app is gone */
bool app_adoption_is_untold(const struct app *app);          /* under way, and the app has not heard of it */
/* app_health.c */
void app_health_stop(struct app *app, const char *reason); /* ends a check under way */
/* app_log.c */
int app_log_open(const struct agent_settings *settings,
                 struct error *err); /* the agent's own standard error when no log is set */
void app_log_watch(struct app *app);

#endif

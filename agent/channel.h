/* The worker's end of keeper.sock: connects, starts a keeper when there is none, asks, and hears of app and
 * run. One thread: the control thread. PROTOCOL.md "Inside the device". */
#ifndef AGENT_CHANNEL_H
#define AGENT_CHANNEL_H

#include "agent/backoff.h"
#include "agent/link.h"
#include "agent/settings.h"

#define CHANNEL_WORDS 300

struct channel_app {
    char state[16]; /* "running", "stopped", "starting", "failed", "none" */
    int64_t pid;    /* 0: none */
    int64_t since;  /* Unix seconds */
};
struct channel_run {
    char id[33]; /* empty: none */
    char state[16];
    int64_t ends_at; /* Unix seconds; 0: not known */
};

struct channel {
    int state_fd;
    const char *state, *config;
    const struct agent_settings *settings;
    bool primary;
    struct link *link; /* NULL: not connected */
    int64_t next_id;
    pid_t child; /* a keeper that this process started; 0: none */
    struct backoff backoff;
    int64_t retry_at_ms; /* boot clock: not before then a new attempt */

    /* what the keeper said */
    bool by_run; /* it was started by a `run`, which then ends it */
    struct channel_app app;
    struct channel_run run;
    int64_t busy_until;                          /* Unix seconds */
    char limits[32], diagnostics[CHANNEL_WORDS]; /* empty: not known yet */
    bool yield;                                  /* a primary worker came */
    bool refused;                                /* another worker is there */
    bool conflict; /* the last refusal was for something else that is under way: it says nothing about what
                      was asked */
    bool passing;  /* as `conflict`, or for want of room: the last refusal may pass by itself */
    /* Called after each event of the app, before `app` is replaced. */
    void (*app_changed)(void *context, const struct channel_app *now);
    void *context;
};

void channel_init(struct channel *channel, int state_fd, const char *state, const char *config,
                  const struct agent_settings *settings, bool primary);
/* Says bye and lets go; the keeper stays. */
void channel_close(struct channel *channel);

/* Connected and greeted when it returns true. Waits for nothing but the keeper's start and its answer; false
 * at once while an earlier failure's wait is not over. */
bool channel_connect(struct channel *channel, struct error *err);
/* Reads events that wait; false when the keeper is gone (the channel is then closed). */
bool channel_hear(struct channel *channel);

/* Begins a request: `{"do":what`. channel_ask closes it, adds the id, and waits for its answer. */
void channel_request(struct json_writer *writer, struct text *out, const char *what);
/* `answer` lives in the arena. False when the keeper went away or did not answer in time (SYSTEM), or
 * answered ok:false (CONFLICT, with its words). */
bool channel_ask(struct channel *channel, struct arena *arena, struct json_writer *writer, int64_t timeout_ms,
                 const struct json **answer, struct error *err);
/* A request without members. */
bool channel_do(struct channel *channel, const char *what, int64_t timeout_ms, struct error *err);
/* Tells the keeper to end, and waits until it is gone. */
bool channel_stop(struct channel *channel, struct error *err);

#endif

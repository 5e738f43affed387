/* One diagnostic run on the device, from its consumption to its proof. Owned by the keeper; holds the
 * deadline by itself. In mode beside the app is not touched: there is no stopping and no starting. In mode
 * override what starts is the app itself, with assets of the image laid over its own.
 *
 *   idle ─ runner_start ─► [consumed] stopping_app ─► starting ─► running ──────────────┐ ends by itself
 *    ▲                                                   │ cannot    │ deadline, cancel  │
 *    │                                                   │ start     ▼                   │
 *    │                                                   │        ending (SIGTERM)       │
 *    │                                                   │           │ grace is over     │
 *    │                                                   ▼           ▼                   ▼
 *    └── proved: result.json ── proving (a child) ◄── app started ◄─ killing ◄───────────┘
 *
 * After a crash: before "consumed" nothing happened and the run's folder is removed; after it the next keeper
 * kills what is left, starts the app, proves, and writes the result with the end "runner_lost". A run never
 * starts twice. */
#ifndef AGENT_RUNNER_H
#define AGENT_RUNNER_H

#include "agent/app.h"
#include "agent/cgroup.h"
#include "agent/keeper_loop.h"
#include "agent/keeper_pid.h"
#include "agent/sandbox.h"
#include "repo/manifest.h"

#define RUN_ID_SIZE 33
#define RUN_CONSOLE 4096     /* last bytes of the image's own words, for the result */
#define RUN_KILL_MS 10000    /* a kill that takes longer is revert_failed */
#define RUN_OUTPUT_DEPTH 16  /* folders in the output */
#define RUN_OMITTED_MOST 200 /* listed one by one */

enum runner_state {
    RUNNER_IDLE,
    RUNNER_STOPPING_APP,
    RUNNER_STARTING,
    RUNNER_RUNNING,
    RUNNER_ENDING,
    RUNNER_KILLING,
    RUNNER_PROVING
};
enum run_end { RUN_EXITED, RUN_DEADLINE, RUN_KILLED, RUN_CANCELLED, RUN_RUNNER_LOST };

/* What the worker asked for, checked and narrowed. Lives in an arena. */
struct run_plan {
    char id[RUN_ID_SIZE];
    char image[NAME_SIZE], version[VERSION_SIZE];
    int64_t campaign;
    char mode[12]; /* as signed: "replace", "beside", "override" */
    int64_t duration_s, not_after, max_output;
    const char **collect;
    const char **redact; /* NULL-terminated patterns, checked; NULL: none */
    const char *params;  /* JSON */
    const char *folder, *set_path;
    char set[SHA256_HEX]; /* digest before */
    struct image_limits limits;
};

/* What became of it; with the plan all that the result says. */
struct run_outcome {
    enum run_end end;
    int status;                                /* exit code, or 128 + signal */
    int64_t started_at, ended_at, reverted_at; /* Unix seconds; 0: never */
    int64_t revert_ms;
    bool ran_out_of_memory;
    bool power_lost;
    char error[320]; /* why it could not start; empty: it could */
    char console[RUN_CONSOLE + 1];
    size_t console_size;
    pid_t app_pid; /* after the revert; 0: there is none */
    int64_t app_start_time;
    pid_t app_pid_before; /* mode beside: when the run began */
    int64_t app_start_time_before;
};

typedef void runner_started(void *context, int64_t ends_at, const char *reason);
/* `state`: "reverting", "ended", "revert_failed". */
typedef void runner_event(void *context, const char *run, const char *state);

struct runner {
    struct app *app;
    struct loop *loop;
    const struct agent_settings *settings;
    uid_t uid;       /* images run as it and nothing else does */
    int uid_lock_fd; /* holds it, -1: the owner named it */
    int state_fd;
    const char *state_path;
    struct cgroup_host cgroups;
    char missing[200]; /* why images cannot run here; empty: they can */

    enum runner_state state;
    struct arena arena; /* of the plan */
    struct run_plan plan;
    struct run_outcome outcome;
    struct sandbox sandbox;
    bool app_was_wanted;
    int64_t revert_from_ms; /* boot clock: deadline, cancel, or the image's end */
    int64_t started_ms;     /* boot clock: when the image's time began */
    int64_t ends_at;        /* Unix seconds */
    struct loop_timer deadline, console, stats;
    pid_t prover;
    int prover_fd;
    bool without_output;     /* the second try to prove */
    runner_started *started; /* the answer that is owed */
    void *started_context;
    runner_event *event;
    void *event_context;
};

/* Finds out what the machine gives, and what a killed keeper left: lost runs are reverted before this
 * returns, their proof follows. The app must have been looked for. */
bool runner_init(struct runner *runner, struct app *app, int state_fd, const char *state_path,
                 struct loop *loop, struct error *err);
void runner_end(struct runner *runner);
bool runner_is_idle(const struct runner *runner);

/* Consumes the run durably, stops the app and starts the image; `started` is called when it runs, or with the
 * reason why not. False and `err`: refused, nothing was touched (CONFLICT when the id was consumed before, or
 * another run is there). */
bool runner_start(struct runner *runner, const struct json *request, runner_started *started, void *context,
                  struct error *err);
/* Gives the run that is under way a longer time, counted from its start; the same or a shorter one changes
 * nothing. `ends_at` gets its end. DENIED beyond what was signed, MISSING when it is not the one that runs.
 */
bool runner_extend(struct runner *runner, const char *run, int64_t duration_s, int64_t *ends_at,
                   struct error *err);
/* Ends the run early. False when it is not the one that runs. */
bool runner_cancel(struct runner *runner, const char *run, struct error *err);
/* Removes a finished run's files. */
bool runner_forget(struct runner *runner, const char *run, struct error *err);
/* True while the app is not to be started or stopped by anybody else. */
bool runner_has_apps_place(const struct runner *runner);
/* null, or {"run","campaign","image","version","mode","state","started_at","ends_at"}. */
void runner_write(const struct runner *runner, struct json_writer *writer, const char *key);

/* --- between the runner's files --- */
/* runner_plan.c */
bool run_id_is_valid(const char *id);
bool run_plan_read(struct arena *arena, const struct json *request, struct run_plan *plan, struct error *err);
/* Makes keeper/runs/<id>/run.json; then the consumed mark. Both durable. */
bool run_write_down(int state_fd, const struct run_plan *plan, const struct run_outcome *outcome,
                    struct error *err);
bool run_consume(int state_fd, const struct run_plan *plan, struct error *err);
bool run_is_consumed(int state_fd, const char *id);
bool run_has_result(int state_fd, const char *id);
/* The plan of a lost run: what run.json keeps. */
bool run_read_back(struct arena *arena, int state_fd, const char *id, struct run_plan *plan,
                   struct run_outcome *outcome, struct error *err);
/* Removes marks whose not_after lies before the durable time floor. */
void run_marks_clean(int state_fd);
const char *run_group(const char *id, char name[64]); /* the control group's name */
bool run_is_beside(const struct run_plan *plan);
bool run_is_override(const struct run_plan *plan);
/* Notes the image's first process, so that the next keeper can make sure that it is gone; and does so. */
bool run_note_first(int state_fd, const char *id, pid_t pid, struct error *err);
void run_kill_first(int state_fd, const char *id);

/* runner.c: the image is gone, or it never was: gives the app its place back and has all proved. */
void run_revert(struct runner *runner);
/* runner_lost.c: reverts what a killed keeper left, one run at a time. */
void run_find_lost(struct runner *runner);
/* runner_console.c: when its output can be read; what is left of it at the end. */
void run_console_ready(void *context, short events);
void run_console_rest(struct runner *runner);

/* runner_notes.c: what the image is told while it runs: when its time is over, and with the scope `app` the
 * figures of the app that need the keeper's rights, ten times a second. */
void run_notes_begin(struct runner *runner);
void run_notes_end(struct runner *runner);
void run_note_end_time(const struct runner *runner);

/* runner_output.c: what one file of the output became. */
struct run_file {
    const char *path, *type;
    int64_t length;
    int64_t redacted; /* places that a pattern matched */
    char sha256[SHA256_HEX];
};
struct run_omitted {
    const char *path, *why;
};
struct run_output {
    struct run_file *files;
    size_t count;
    struct run_omitted *omitted;
    size_t omitted_count;
    int64_t more_omitted; /* beyond the list */
    int64_t bytes;
    bool full; /* the image had used up its room */
};
/* Copies the regular files below `from` to the folder `to`, durable; follows nothing, stays within the plan's
 * bounds. */
bool run_output_copy(struct arena *arena, int from, int to, const struct run_plan *plan,
                     struct run_output *output, struct error *err);

/* runner_proof.c: in a child. Counts what is left, hashes the set, copies the output (from -1: none), writes
 * result.json. */
bool run_prove(const struct runner *runner, int output_fd, struct error *err);

#endif

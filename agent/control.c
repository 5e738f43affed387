/* The control thread: looks at the wish, the keeper and the transfer thread, and moves everything on that can
 * move. */
#include "agent/control.h"

#include "agent/state.h"
#include "base/clock.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FETCH_RETRY_MOST_MS 30000
#define RECOVER_RETRY_MOST_MS 30000
#define IDLE_MS 60000
#define NO_KEEPER_MS 250
#define ASK_MS 30000
#define CLOCK_SLACK_S 300 /* the clocks of two machines are never the same */
#define EXIT_CONFLICT 5
#define RETRY_AFTER_MOST_S 3600 /* a server that says more is not believed */

/* --- the keeper
 * --------------------------------------------------------------------------------------------------- */

/* An app that came or went is told; called before the channel takes the new state over. */
static void app_changed(void *context, const struct channel_app *now)
{
    struct control *control = context;
    const struct channel_app *before = &control->channel.app;
    bool came = now->pid && now->pid != before->pid && strcmp(now->state, "running") == 0;
    bool went = before->pid && now->pid != before->pid;
    char id[REPORT_ID_SIZE];
    struct json_writer writer;
    struct error err = {0};

    control_app_ended(control, now);
    if (!came && !went)
        return;
    TEXT(out);
    report_id_make(id);
    report_begin(&writer, &out, id, "app");
    json_write_string(&writer, "event", came ? "started" : "exited");
    json_write_integer(&writer, "pid", came ? now->pid : before->pid);
    json_write_null(&writer, "status");
    if (!outbox_add(&control->worker->outbox, &writer, id, &err))
        log_event(LOG_WARNING, "report", "why=\"%s\"", err.text);
}

/* The app runs whenever nothing else has its place. */
static void app_ensure(struct control *control)
{
    const struct channel *channel = &control->channel;
    const struct assignment *active = assignments_active(&control->assignments);
    struct error err = {0};

    if (!control->worker->settings->app_command || control->unfinished || !control_may_run_app(control) ||
        !channel->link || *channel->run.id || (active && assignment_is_begun(active)) ||
        (strcmp(channel->app.state, "stopped") != 0 && strcmp(channel->app.state, "none") != 0))
        return;
    if (!channel_do(&control->channel, "app_start", ASK_MS, &err))
        log_event(LOG_WARNING, "app_start", "why=\"%s\"", err.text);
}

static void keeper_look(struct control *control)
{
    struct channel *channel = &control->channel;
    struct error err = {0};
    char quoted[500];

    if (channel->link) {
        channel_hear(channel);
    } else if (clock_boot_ms() >= channel->retry_at_ms) {
        if (!channel_connect(channel, &err))
            log_event(LOG_WARNING, "keeper", "why=%s", log_quote(quoted, sizeof(quoted), err.text));
    }
    if (channel->yield || channel->refused) {
        log_event(LOG_INFO, "agent_yields", "why=\"another worker has this state folder\"");
        __atomic_store_n(&control->worker->yield, true, __ATOMIC_RELEASE);
        control->worker->exit_code = channel->refused ? EXIT_CONFLICT : 0;
        worker_stop(control->worker);
    }
}

/* --- wishes
 * ----------------------------------------------------------------------------------------------------------
 */

static void clock_floor_publish(struct control *control)
{
    worker_lock(control->worker);
    control->worker->clock_floor = control->floors.clock;
    worker_unlock(control->worker);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Up only. Whoever has the key of orders for an hour must not be able to date all later metadata as expired
 * for ever: the callers keep it near our own clock. */
static void clock_floor_raise(struct control *control, int64_t to)
{
    struct error err = {0};

    if (to <= control->floors.clock)
        return;
    int64_t before = control->floors.clock;
    control->floors.clock = to;
    if (!floors_save(&control->floors, control->worker->state_fd, &err)) {
        control->floors.clock = before;
        log_event(LOG_WARNING, "floors", "why=\"%s\"", err.text);
    }
    clock_floor_publish(control);
}

/* A fetch that nobody wants any more is stopped. */
static void job_review(struct control *control)
{
    const struct wish *wish = &control->box->wish;
    bool wanted = control->job == JOB_CAPTURE;

    for (size_t i = 0; i < wish->set_count && !control->job_diagnostic; i++)
        wanted |= strcmp(wish->set[i].entry.manifest, control->job_manifest) == 0;
    wanted |= control->job_diagnostic && wish_run_find(wish, control->job_run) != NULL;
    if (control->job != JOB_NONE && !wanted) {
        control->job_cancelled = true;
        __atomic_store_n(&control->worker->job_cancel, true, __ATOMIC_RELEASE);
    }
}

static void wish_adopt(struct control *control, struct wish_box *box)
{
    struct error err = {0};

    if (control->box) {
        arena_end(&control->box->arena);
        free(control->box);
    }
    control->box = box;
    trouble_review(control, &box->wish);
    control->fetch_at_ms = 0;
    backoff_reset(&control->fetch_backoff);
    job_review(control);
    clock_floor_raise(control, earlier(box->wish.issued, clock_now() + CLOCK_SLACK_S));
    if (!assignments_take(&control->assignments, &box->wish, &err))
        log_event(LOG_WARNING, "assignments", "why=\"%s\"", err.text);
}

static void wish_look(struct control *control)
{
    worker_lock(control->worker);
    struct wish_box *box = control->worker->wish_next;
    control->worker->wish_next = NULL;
    worker_unlock(control->worker);
    if (box)
        wish_adopt(control, box);
}

/* The wish of before the restart counts without the console. */
static void wish_restore(struct control *control)
{
    struct wish_box *box = calloc(1, sizeof(*box));
    struct error err = {0};

    if (!box)
        abort();
    if (wish_load(&box->arena, control->worker->state_fd, &box->wish, &err)) {
        wish_adopt(control, box);
        return;
    }
    if (err.kind != ERROR_MISSING)
        log_event(LOG_ERROR, "wish", "why=\"%s\"", err.text);
    arena_end(&box->arena);
    free(box);
}

/* --- jobs of the transfer thread
 * ----------------------------------------------------------------------------------------- */

static int64_t wait_ms(struct backoff *backoff, const struct job *job)
{
    int64_t wait = backoff_next(backoff), said = job->retry_after_s;

    said = (said < RETRY_AFTER_MOST_S ? said : RETRY_AFTER_MOST_S) * 1000;
    return said > wait ? said : wait;
}

static void version_done(struct control *control, const struct job *job)
{
    if (job->err.kind == ERROR_NONE) {
        control->whole += job->whole;
        backoff_reset(&control->fetch_backoff);
        control->fetch_at_ms = 0;
        trouble_clear(control, job->version.entry.asset);
        log_event(LOG_INFO, "fetched", "asset=%s version=%s bytes=%lld whole=%lld", job->version.entry.asset,
                  job->version.entry.version, (long long)job->bytes, (long long)job->whole);
        return;
    }
    trouble_set(control, &job->version.entry, job->result, job->lasting, job->err.text);
    control->fetch_at_ms = clock_boot_ms() + wait_ms(&control->fetch_backoff, job);
    control->gc_due |= job->result == RESULT_NO_STORAGE;
}

static void job_take(struct control *control, const struct job *job)
{
    struct assignment *assignment = assignments_find(&control->assignments, job->run);

    if (job->kind == JOB_VERSION && !job->diagnostic)
        control->bytes += job->bytes; /* however it ended: the next attempt goes on from there */
    if (control->job_cancelled && job->err.kind != ERROR_NONE)
        return; /* it was not wanted any more, or something more urgent came */
    if (job->kind == JOB_CAPTURE && assignment)
        assignment_uploaded(&control->assignments, assignment, job->dropped, job->dropped_why, &job->err);
    else if (job->kind == JOB_VERSION && job->diagnostic && assignment)
        assignment_fetched(&control->assignments, assignment, &job->err, job->lasting);
    else if (job->kind == JOB_VERSION && !job->diagnostic)
        version_done(control, job);
}

static void job_look(struct control *control)
{
    struct worker *worker = control->worker;
    struct job job;

    worker_lock(worker);
    bool done = worker->job.state == JOB_DONE;
    if (done) {
        job = worker->job;
        worker->job.state = JOB_IDLE;
    }
    worker_unlock(worker);
    if (!done)
        return;
    job_take(control, &job);
    control->job = JOB_NONE;
    control->job_cancelled = false;
}

static void job_give(struct control *control, const struct job *job)
{
    struct worker *worker = control->worker;

    control->job = job->kind;
    control->job_diagnostic = job->diagnostic;
    control->job_cancelled = false;
    strcpy(control->job_asset, job->version.entry.asset);
    strcpy(control->job_manifest, job->version.entry.manifest);
    strcpy(control->job_run, job->run);
    __atomic_store_n(&worker->job_cancel, false, __ATOMIC_RELEASE);
    if (worker_is_stopping(worker))
        __atomic_store_n(&worker->job_cancel, true, __ATOMIC_RELEASE);
    worker_lock(worker);
    worker->job = *job;
    worker->job.state = JOB_WANTED;
    worker_unlock(worker);
    worker_wake(worker->transfer_wake);
}

/* The image of a run comes first, then what a run collected, then the set. */
static void jobs_step(struct control *control, const struct wish_version *wanted)
{
    const struct wish *wish = control->box ? &control->box->wish : NULL;
    const struct assignment *image = assignments_fetch_due(&control->assignments, wish);
    struct job job = {.kind = JOB_NONE};

    if (image && control->job == JOB_VERSION && !control->job_diagnostic && !control->job_cancelled) {
        control->job_cancelled = true; /* it goes on where it stopped */
        __atomic_store_n(&control->worker->job_cancel, true, __ATOMIC_RELEASE);
    }
    if (control->job != JOB_NONE)
        return;
    const struct assignment *upload = assignments_upload_due(&control->assignments);
    if (image) {
        job.kind = JOB_VERSION;
        job.diagnostic = true;
        job.version = wish_run_find(wish, image->id)->image;
        strcpy(job.run, image->id);
    } else if (upload) {
        job.kind = JOB_CAPTURE;
        strcpy(job.run, upload->id);
    } else if (wanted && clock_boot_ms() >= control->fetch_at_ms) {
        job.kind = JOB_VERSION;
        job.version = *wanted;
    } else {
        return;
    }
    job_give(control, &job);
}

static void gc_step(struct control *control)
{
    if (!control->gc_due || control->job != JOB_NONE || control->unfinished)
        return;
    struct gc gc = {.state_fd = control->worker->state_fd,
                    .current = control->set.generation,
                    .versions_keep = control->worker->settings->versions_keep,
                    .floors = &control->floors,
                    .wish = control->box ? &control->box->wish : NULL};
    gc_run(&gc);
    control->gc_due = false;
}

/* --- the thread
 * ------------------------------------------------------------------------------------------------------------
 */

/* Until a time of the order comes, or the next minute begins: windows are of whole minutes. */
static int64_t held_ms(const struct control *control)
{
    int64_t now = clock_now(), due = 60 - now % 60;

    for (size_t i = 0; control->box && i < control->box->wish.set_count; i++) {
        int64_t after = control->box->wish.set[i].entry.apply.after;
        if (after > now)
            due = earlier(due, after - now);
    }
    return due * 1000;
}

/* How long nothing will happen by itself. */
static int64_t idle_ms(const struct control *control)
{
    int64_t now = clock_boot_ms(), due = now + IDLE_MS;
    const struct wish *wish = control->box ? &control->box->wish : NULL;

    due = earlier(due, assignments_due_ms(&control->assignments, wish));
    if (control->fetch_at_ms > now)
        due = earlier(due, control->fetch_at_ms);
    if (control->swap_at_ms > now)
        due = earlier(due, control->swap_at_ms);
    if (!control->sound)
        due = earlier(due, control->fall_back_at_ms);
    if (*control->held)
        due = earlier(due, now + held_ms(control));
    if (control->unfinished)
        due = earlier(due, control->recover_at_ms);
    if (!control->channel.link)
        due = earlier(due, now + NO_KEEPER_MS);
    if (control->channel.busy_until > clock_now())
        due = earlier(due, now + (control->channel.busy_until - clock_now()) * 1000);
    return due > now ? due - now : 0;
}

bool control_clock_is_good(const struct control *control)
{
    int64_t most = clock_now() + CLOCK_SLACK_S;

    return control->floors.clock <= most && (!control->box || control->box->wish.issued <= most);
}

static void turn(struct control *control)
{
    keeper_look(control);
    job_look(control);
    wish_look(control);
    struct assignments_now now = {.wish = control->box ? &control->box->wish : NULL,
                                  .set = &control->set,
                                  .clock_is_good = control_clock_is_good(control),
                                  .may_start = !control->unfinished};
    assignments_step(&control->assignments, &now);
    control_safe_step(control);
    app_ensure(control);
    const struct wish_version *wanted = control_set_step(control);
    gc_step(control);
    jobs_step(control, wanted);
    control_view(control);
}

static bool control_begin(struct control *control, struct worker *worker, struct error *err)
{
    char judge[SHA256_HEX];
    struct error broken = {0};

    *control = (struct control){.worker = worker,
                                .fetch_backoff = {.limit_ms = FETCH_RETRY_MOST_MS},
                                .recover_backoff = {.limit_ms = RECOVER_RETRY_MOST_MS},
                                .fall_back_backoff = {.limit_ms = RECOVER_RETRY_MOST_MS},
                                .gc_due = true};
    channel_init(&control->channel, worker->state_fd, worker->state, worker->config, worker->settings,
                 worker->primary);
    control->channel.app_changed = app_changed;
    control->channel.context = control;
    control->assignments.state_fd = worker->state_fd;
    control->assignments.state = worker->state;
    control->assignments.enrolment = &worker->enrolment;
    control->assignments.outbox = &worker->outbox;
    control->assignments.channel = &control->channel;
    control->swap = (struct swap){.state_fd = worker->state_fd,
                                  .state = worker->state,
                                  .settings = worker->settings,
                                  .floors = &control->floors,
                                  .channel = &control->channel,
                                  .outbox = &worker->outbox};
    gc_leftovers(worker->state_fd);
    if (!floors_load(&control->floors, worker->state_fd, err) ||
        !assignments_load(&control->assignments, err))
        return false;
    if (!control_set_load(control, &broken)) {
        snprintf(control->broken, sizeof(control->broken), "the set cannot be read: %.200s", broken.text);
        control->set = (struct set){.generation = control->floors.generation};
        set_seal(&control->set_arena, &control->set);
    }
    agent_settings_judge(worker->settings, judge);
    floors_judged_by(&control->floors, judge);
    clock_floor_publish(control);
    return true;
}

/* What this process started it also ends: app and keeper; not when another worker takes over. */
static void control_end(struct control *control)
{
    bool yields = __atomic_load_n(&control->worker->yield, __ATOMIC_ACQUIRE);
    struct error err = {0};

    if (!yields && control->channel.link && control->channel.by_run && !channel_stop(&control->channel, &err))
        log_event(LOG_WARNING, "keeper_stop", "why=\"%s\"", err.text);
    channel_close(&control->channel);
    if (control->box) {
        arena_end(&control->box->arena);
        free(control->box);
    }
    arena_end(&control->set_arena);
    floors_end(&control->floors);
    free(control->troubles);
}

void *control_run(void *context)
{
    static struct control control; /* one a process; too large for a thread's stack */
    struct worker *worker = context;
    struct error err = {0};

    if (!control_begin(&control, worker, &err)) {
        log_event(LOG_ERROR, "control", "why=\"%s\"", err.text);
        worker->exit_code = 1;
        worker_stop(worker);
    } else {
        keeper_look(&control);
        wish_restore(&control);
        /* The first check-in waits for this, and finishing a swap may take a minute. */
        control.unfinished = faccessat(worker->state_fd, STATE_JOURNAL, F_OK, 0) == 0;
        if (!control.unfinished)
            control_safe_step(&control);
        control_view(&control);
        control_set_recover(&control);
    }
    while (!worker_is_stopping(worker)) {
        turn(&control);
        worker_wait(worker->control_wake, control.channel.link ? link_fd(control.channel.link) : -1, -1,
                    idle_ms(&control));
    }
    control_end(&control);
    return NULL;
}

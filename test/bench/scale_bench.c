/* What the console costs with 100,000 devices: `make scale`, or scale_bench FOLDER [DEVICES [PHASE]].
 *
 * The modules are opened as `locum serve` opens them and people's requests come over HTTP; the scheduler's
 * steps are called by this thread at their own periods, so that each can be measured, and between them
 * devices come (crowd.h). Everything is real but the connections of devices. */
#include "test/bench/crowd.h"
#include "test/bench/figures.h"
#include "test/bench/must.h"

#include "base/certificate.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/http.h"
#include "base/log.h"
#include "base/text.h"
#include "console/campaigns.h"
#include "console/data.h"
#include "console/delivery/approval.h"
#include "console/delivery/group_parts.h"
#include "console/delivery/release.h"
#include "console/delivery/rollout.h"
#include "console/delivery/withdraw.h"
#include "console/events.h"
#include "console/fleet.h"
#include "console/hooks.h"
#include "console/people.h"
#include "console/scheduler.h"
#include "console/server.h"
#include "diagnostics/diagnostics.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define DEVICES 100000
#define STEP_AIM 50000    /* us */
#define STEP_SHOWN 1000   /* us */
#define START_AIM 2000000 /* us */
#define HASTE 4           /* devices come so many times as often as they are told */
#define LIVE_MS 15        /* devices come for so long between two rounds of steps */
#define ROWS_MOST 32
#define READS 30
#define RETURNED 1000 /* devices that a campaign waits for, before it is ended */
#define PATIENCE_MS 1200000

struct bench {
    struct data data;
    struct console console;
    struct crowd *crowd;
    size_t devices;
    char url[64], token[SECRET_SIZE];
    int64_t due_ms[ROWS_MOST];
    struct samples steps[ROWS_MOST], during[ROWS_MOST]; /* during: a request that writes much is answered */
    _Atomic bool asking;
    bool good;
};

/* --- opening
 * ------------------------------------------------------------------------------------------------------- */

static void authority_open(struct bench *bench)
{
    static const char *const names[] = {"localhost", NULL};
    struct error err = {0};

    MUST(folder_make(bench->data.dirfd, "tls", 0700, &err), err);
    FD(folder) = folder_open_beneath(bench->data.dirfd, "tls", &err);
    MUST(folder >= 0 && certificate_prepare(folder, names, &err), err);
}

static void modules_open(struct bench *bench)
{
    struct console *console = &bench->console;
    struct error err = {0};

    console->started_at = clock_now();
    console->people_url = console->device_url = "";
    console->plain_http = true;
    pthread_mutex_init(&console->releasing, NULL);
    console->events = events_new();
    console->people = people_new();
    MUST(console->fleet = fleet_open(console, &err), err);
    MUST(console->rollouts = rollouts_open(console, &err), err);
    MUST(console->diagnostics = campaigns_open(console, &err), err);
    repo_set_wanted(console->repo, release_wanted, console);
    repo_set_withheld(console->repo, withdrawn_withheld, console);
    repo_set_signatures(console->repo, approval_signatures, console);
    console->hooks = hooks_start(console);
}

static void server_open(struct bench *bench)
{
    struct console *console = &bench->console;
    struct error err = {0};
    enum role role = ROLE_ADMIN;
    ARENA(arena);
    const struct server_options options = {
        .people_listen = "127.0.0.1:0",
        .device_listen = "127.0.0.1:0",
        .device_chain = arena_printf(&arena, "%s/tls/server.pem", bench->data.path),
        .device_key = arena_printf(&arena, "%s/tls/server.key", bench->data.path),
    };

    MUST(people_first(console, "ada", "correct horse battery", &err), err);
    MUST(token_add(console, "ada", "bench", &role, 0, bench->token, &err), err);
    MUST(console->server = server_start(console, &options, &err), err);
    snprintf(bench->url, sizeof bench->url, "http://127.0.0.1:%d",
             server_port(console->server, LISTENER_PEOPLE));
}

static void publish(struct bench *bench, enum asset_kind kind, const char *asset, const char *version,
                    struct manifest_file *files, size_t count)
{
    struct publication publication = {.author = "ada"};
    struct published published;
    struct error err = {0};

    publication.manifest.kind = kind;
    strcpy(publication.manifest.product, "demo");
    strcpy(publication.manifest.asset, asset);
    strcpy(publication.manifest.version, version);
    publication.manifest.files = files;
    publication.manifest.file_count = count;
    MUST(repo_publish(bench->console.repo, &publication, &published, &err), err);
}

static void publish_model(struct bench *bench, const char *version)
{
    struct manifest_file file = {.path = "weights", .length = (int64_t)strlen(version), .mode = 0644};
    struct manifest manifest;
    struct error err = {0};
    char hash[SHA256_HEX];
    ARENA(arena);

    MUST(object_put(bench->console.repo, version, strlen(version), file.sha256, &err), err);
    publish(bench, KIND_MODEL, "model", version, &file, 1);
    DB_DONE(conn) = db_read(bench->console.db, &err);
    MUST(conn && repo_manifest(bench->console.repo, conn, &arena, "demo", "model", version, &manifest, hash,
                               &err),
         err);
    crowd_know(bench->crowd, version, hash);
}

static void publish_image(struct bench *bench)
{
    static const char limits[] =
        "{\"entry\":[\"./run\"],\"mode\":\"replace\",\"max_runtime_s\":60,\"grace_s\":2,"
        "\"max_output\":4096,\"max_memory\":1048576,\"max_pids\":4,\"collect\":[],\"network\":\"none\"}";
    static const char program[] = "#!/bin/sh\n";
    struct manifest_file files[] = {{.path = "diagnostic.json", .length = sizeof limits - 1, .mode = 0644},
                                    {.path = "run", .length = sizeof program - 1, .mode = 0755}};
    struct error err = {0};

    MUST(object_put(bench->console.repo, limits, sizeof limits - 1, files[0].sha256, &err), err);
    MUST(object_put(bench->console.repo, program, sizeof program - 1, files[1].sha256, &err), err);
    publish(bench, KIND_DIAGNOSTIC, "look", "1.0.0", files, 2);
}

static void bench_open(struct bench *bench, const char *folder)
{
    struct error err = {0};

    MUST(data_open(&bench->data, folder, true, &err) && data_open_repo(&bench->data, &err), err);
    bench->console.db = bench->data.db;
    bench->console.repo = bench->data.repo;
    bench->console.data_dirfd = bench->data.dirfd;
    bench->console.data_path = bench->data.path;
    bench->crowd = crowd_seed(bench->data.db, bench->devices);
    authority_open(bench);
    struct spent began = spent_begin();
    modules_open(bench);
    figure_print("the fleet is loaded", spent_since(began), 0);
    server_open(bench);
    publish_model(bench, "1.0.0");
    publish_model(bench, "2.0.0");
    publish_image(bench);
}

static void bench_close(struct bench *bench)
{
    struct console *console = &bench->console;
    struct error err = {0};

    events_stop(console->events);
    repo_stop_checks(console->repo);
    server_stop(console->server, 1000);
    hooks_stop(console->hooks);
    struct spent began = spent_begin();
    MUST(fleet_flush(console, &err), err);
    figure_print("the fleet is written at the end", spent_since(began), 0);
    diagnostics_close(console->diagnostics);
    rollouts_close(console->rollouts);
    fleet_close(console->fleet);
    people_free(console->people);
    events_free(console->events);
    data_close(&bench->data);
    crowd_free(bench->crowd);
}

/* --- the scheduler's rounds
 * ------------------------------------------------------------------------------------------ */

static void round_run(struct bench *bench)
{
    for (int i = 0; steps[i].step; i++) {
        struct error err = {0};

        if (bench->due_ms[i] > clock_boot_ms())
            continue;
        bool asking = bench->asking;
        bench->console.step_has_more = false;
        struct spent began = spent_begin();
        MUST(steps[i].step(&bench->console, &err), err);
        samples_add(asking || bench->asking ? &bench->during[i] : &bench->steps[i], spent_since(began));
        bool soon = bench->console.step_has_more && steps[i].period_ms > SCHEDULER_SOON_MS;
        bench->due_ms[i] = clock_boot_ms() + (soon ? SCHEDULER_SOON_MS : steps[i].period_ms);
    }
    crowd_live(bench->crowd, &bench->console, HASTE, LIVE_MS);
}

/* The steps of a phase that took a millisecond and more, and forgets them. */
static void steps_print(struct bench *bench, const char *phase)
{
    char name[96];

    for (int i = 0; steps[i].step; i++) {
        struct samples *samples = &bench->steps[i], *during = &bench->during[i];
        struct spent median = samples_percentile(samples, 50), worst = samples_percentile(samples, 100);

        if (worst.wall >= STEP_SHOWN) {
            snprintf(name, sizeof name, "%s: step %s, worst of %zu (median %.1f)", phase, steps[i].name,
                     samples->count, (double)median.wall / 1000);
            bench->good &= figure_print(name, worst, STEP_AIM);
        }
        worst = samples_percentile(during, 100);
        if (worst.wall >= STEP_SHOWN) {
            snprintf(name, sizeof name, "%s: step %s, worst beside the request", phase, steps[i].name);
            figure_print(name, worst, 0);
        }
        samples_end(samples);
        samples_end(during);
    }
}

/* Rounds until it is so. */
typedef bool question(struct bench *bench, int64_t id);
static void until(struct bench *bench, const char *what, question *is_so, int64_t id)
{
    int64_t patience = clock_boot_ms() + PATIENCE_MS, look = 0;
    struct spent began = spent_begin();

    for (;;) {
        round_run(bench);
        if (clock_boot_ms() < look)
            continue;
        look = clock_boot_ms() + 500;
        if (is_so(bench, id))
            break;
        if (clock_boot_ms() > patience) {
            fprintf(stderr, "not within %d s: %s\n", PATIENCE_MS / 1000, what);
            exit(1);
        }
    }
    printf("%-70s %10.1f\n", what, (double)spent_since(began).wall / 1000);
}

/* --- people's requests
 * --------------------------------------------------------------------------------------------- */

struct asked {
    struct bench *bench;
    const char *method, *path, *body;
    int64_t id; /* of the answer; 0: it has none */
    struct spent spent;
    struct samples samples; /* of reads */
};

static void ask(struct http *http, struct asked *asked)
{
    const struct http_request request = {.method = asked->method,
                                         .path = asked->path,
                                         .token = asked->bench->token,
                                         .body = asked->body,
                                         .body_size = asked->body ? strlen(asked->body) : 0};
    struct http_answer answer = {0};
    struct error err = {0};
    ARENA(arena);

    MUST(http_send(http, &request, &arena, &answer, &err), err);
    if (answer.status >= 300)
        MUST(http_refused(&answer, &err), err);
    const struct json *json = json_read(&arena, answer.body, answer.size, &json_limits_large, &err);
    asked->id = json_integer(json, "id", 0);
}

static void *ask_run(void *context)
{
    struct asked *asked = context;
    const struct http_options options = {.base_url = asked->bench->url, .user_agent = "scale_bench"};
    struct error err = {0};
    struct http *http = http_open(&options, &err);
    int times = strcmp(asked->method, "GET") ? 1 : READS;

    MUST(http, err);
    for (int i = 0; i < times; i++) {
        struct spent began = spent_begin();

        ask(http, asked);
        asked->spent = spent_since(began);
        if (times > 1 && i) /* the first one connects */
            samples_add(&asked->samples, asked->spent);
    }
    http_close(http);
    asked->bench->asking = false;
    return NULL;
}

/* Computing time of all threads but this one. */
static int64_t others_cpu(void)
{
    struct timespec all;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &all);
    return all.tv_sec * INT64_C(1000000) + all.tv_nsec / 1000 - spent_begin().cpu;
}

/* Asks on a thread of its own, while the steps go on. */
static void ask_beside(struct asked *asked)
{
    pthread_t thread;
    int64_t cpu = others_cpu();

    asked->bench->asking = true;
    if (pthread_create(&thread, NULL, ask_run, asked) != 0)
        abort();
    while (asked->bench->asking)
        round_run(asked->bench);
    pthread_join(thread, NULL);
    asked->spent.cpu = others_cpu() - cpu;
}

/* A request that changes much, until it is answered. */
static int64_t change(struct bench *bench, const char *name, const char *path, const char *body)
{
    struct asked asked = {.bench = bench, .method = "POST", .path = path, .body = body};

    ask_beside(&asked);
    bench->good &= figure_print(name, asked.spent, START_AIM);
    return asked.id;
}

/* The same, until the first device has taken an order that it made. */
static int64_t begin(struct bench *bench, const char *what, const char *path, const char *body)
{
    char name[80];
    struct spent began = {spent_begin().wall, others_cpu()};

    snprintf(name, sizeof name, "%s: the request is answered", what);
    crowd_watch(bench->crowd);
    int64_t id = change(bench, name, path, body);
    while (!crowd_first(bench->crowd))
        round_run(bench);
    struct spent spent = {crowd_first(bench->crowd) - began.wall, others_cpu() - began.cpu};
    snprintf(name, sizeof name, "%s: until the first device takes its order", what);
    bench->good &= figure_print(name, spent, START_AIM);
    return id;
}

static void page_print(struct bench *bench, const char *what, const char *format, int64_t id)
{
    char path[64], name[80];
    struct asked asked = {.bench = bench, .method = "GET", .path = path};

    snprintf(path, sizeof path, "/api/v1/%s/%lld", format, (long long)id);
    snprintf(name, sizeof name, "%s: GET %s, p95 of %d", what, path + 7, READS);
    ask_beside(&asked);
    struct spent p95 = samples_percentile(&asked.samples, 95);
    bench->good &= figure_print(name, (struct spent){p95.wall, asked.spent.cpu / READS}, STEP_AIM);
    samples_end(&asked.samples);
}

/* --- phases
 * -------------------------------------------------------------------------------------------------------- */

static bool all_run_1(struct bench *bench, int64_t id)
{
    (void)id;
    return crowd_runs(bench->crowd, "1.0.0") == bench->devices;
}

static bool some_run_2(struct bench *bench, int64_t id)
{
    (void)id;
    return crowd_runs(bench->crowd, "2.0.0") > bench->devices / 4;
}

static bool row_is(struct bench *bench, const char *sql, int64_t id)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(bench->console.db, &err);

    MUST(conn, err);
    struct db_query *query = db_query(conn, sql);
    db_bind_integer(query, ":id", id);
    bool is = db_step(query);
    MUST(db_end(query, &err), err);
    return is;
}

static bool some_returned(struct bench *bench, int64_t id)
{
    size_t returned = crowd_returned(bench->crowd);

    return (returned >= RETURNED || returned >= bench->devices / 10) &&
           !row_is(bench,
                   "SELECT 1 FROM run_count WHERE campaign_id = :id AND state = 'queued' AND count > 0", id);
}

static bool rollout_over(struct bench *bench, int64_t id)
{
    return row_is(bench, "SELECT 1 FROM rollout WHERE id = :id AND state IN ('completed', 'rolled_back')",
                  id);
}

static bool run_over(struct bench *bench, int64_t id)
{
    return row_is(bench, "SELECT 1 FROM run WHERE campaign_id = :id AND state = 'aborted'", id);
}

static bool group_full(struct bench *bench, int64_t id)
{
    return row_is(
        bench, "SELECT 1 FROM (SELECT count(*) AS members FROM device_group_member) WHERE members = :id", id);
}

/* The counters that the pages show equal their rows. */
static void counters_check(struct bench *bench)
{
    static const char rollouts[] =
        "SELECT 1 FROM (SELECT rollout_id, stage, state, count(*) AS n FROM rollout_assignment GROUP BY 1, "
        "2, 3)"
        " a LEFT JOIN rollout_count c USING (rollout_id, stage, state) WHERE coalesce(c.devices, 0) <> a.n"
        " AND :id = 0";
    static const char campaigns[] =
        "SELECT 1 FROM (SELECT campaign_id, run_number, state, count(*) AS n FROM assignment GROUP BY 1, 2, "
        "3)"
        " a LEFT JOIN run_count c USING (campaign_id, run_number, state) WHERE coalesce(c.count, 0) <> a.n"
        " AND :id = 0";

    bool equal = !row_is(bench, rollouts, 0) && !row_is(bench, campaigns, 0);
    printf("%-70s %10s\n", "kept counters equal their rows", equal ? "yes" : "NO");
    bench->good &= equal;
}

static void release_phase(struct bench *bench)
{
    figures_head("a release to all");
    begin(bench, "release", "/api/v1/assets/demo/model/release", "{\"version\":\"1.0.0\"}");
    until(bench, "release: all run it (devices come as in life, but faster)", all_run_1, 0);
    steps_print(bench, "release");
}

/* As if nobody had matched until now: in the database and in memory. */
static void members_drop(struct bench *bench)
{
    struct fleet *fleet = bench->console.fleet;
    struct membership *changes = calloc(bench->devices, sizeof *changes);
    struct error err = {0};
    struct db_conn *conn = db_write(bench->console.db, &err);

    MUST(conn && db_run(db_query(conn, "DELETE FROM device_group_member"), NULL, &err) &&
             db_commit(conn, &err),
         err);
    for (size_t i = 0; i < bench->devices; i++)
        changes[i] = (struct membership){(int64_t)i + 1, false};
    pthread_mutex_lock(&fleet->grouping);
    fleet_group_apply(fleet, fleet_group_find(fleet, "all"), changes, bench->devices, false);
    pthread_mutex_unlock(&fleet->grouping);
    free(changes);
}

static void group_phase(struct bench *bench)
{
    figures_head("a group by filter, followed");
    change(bench, "group: all match, the request is answered", "/api/v1/groups",
           "{\"name\":\"all\",\"filter\":\"product:demo\"}");
    members_drop(bench);
    until(bench, "group: it follows until all are members again", group_full, (int64_t)bench->devices);
    steps_print(bench, "group");
}

static void rollout_phase(struct bench *bench)
{
    figures_head("a rollout over all, in four stages; a group of those that it moved");
    change(bench, "group: nobody matches yet, the request is answered", "/api/v1/groups",
           "{\"name\":\"moved\",\"filter\":\"model:2.0.0\"}");
    int64_t id =
        begin(bench, "rollout", "/api/v1/rollouts",
              "{\"product\":\"demo\",\"asset\":\"model\",\"version\":\"2.0.0\",\"filter\":\"product:demo\","
              "\"stages\":[\"1%\",\"10%\",\"50%\",\"100%\"],\"soak_s\":2,\"late_joiners\":true}");
    until(bench, "rollout: a quarter runs it", some_run_2, id);
    page_print(bench, "rollout", "rollouts", id);
    until(bench, "rollout: completed", rollout_over, id);
    steps_print(bench, "rollout");
    counters_check(bench);

    figures_head("its roll back");
    char path[64];
    snprintf(path, sizeof path, "/api/v1/rollouts/%lld/roll-back", (long long)id);
    begin(bench, "roll back", path, "{\"reason\":\"bench\"}");
    until(bench, "roll back: all are back", rollout_over, id);
    steps_print(bench, "roll back");
    counters_check(bench);
}

static void campaign_phase(struct bench *bench)
{
    char path[64];

    figures_head("a campaign over all");
    int64_t id = begin(bench, "campaign", "/api/v1/campaigns",
                       "{\"image\":\"demo/look@1.0.0\",\"filter\":\"product:demo\",\"duration_s\":30,"
                       "\"device_deadline_s\":3600,\"ticket\":\"T-1\",\"reason\":\"bench\"}");
    until(bench, "campaign: all are ordered, 1,000 or a tenth are back", some_returned, id);
    page_print(bench, "campaign", "campaigns", id);
    steps_print(bench, "campaign");
    counters_check(bench);

    figures_head("its end: who has not begun is cancelled, the others are asked back");
    snprintf(path, sizeof path, "/api/v1/campaigns/%lld/end", (long long)id);
    change(bench, "campaign's end: the request is answered", path, "{}");
    until(bench, "campaign's end: nobody is on the image any more", run_over, id);
    steps_print(bench, "campaign's end");
    counters_check(bench);
}

int main(int argc, char **argv)
{
    static struct bench bench = {.good = true};
    static const struct {
        const char *name;
        void (*run)(struct bench *bench);
    } phases[] = {{"release", release_phase},
                  {"group", group_phase},
                  {"rollout", rollout_phase},
                  {"campaign", campaign_phase}};

    if (argc < 2) {
        fprintf(stderr, "scale_bench FOLDER [DEVICES [PHASE]]: FOLDER must not be there yet\n");
        return 2;
    }
    log_level = LOG_ERROR;
    bench.data = (struct data){.dirfd = -1, .lock = -1};
    bench.devices = argc > 2 ? (size_t)atol(argv[2]) : DEVICES;
    setvbuf(stdout, NULL, _IOLBF, 0);
    figures_head("opening");
    bench_open(&bench, argv[1]);
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (argc <= 3 || !strcmp(argv[3], phases[i].name))
            phases[i].run(&bench);
    figures_head("closing");
    bench_close(&bench);
    printf("\n%zu devices, %s\n", bench.devices, bench.good ? "all aims hold" : "NOT all aims hold");
    return bench.good ? 0 : 1;
}

#include "console/serve.h"

#include "base/certificate.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "console/admin.h"
#include "console/audit.h"
#include "console/campaigns.h"
#include "console/console.h"
#include "console/data.h"
#include "console/deltas.h"
#include "console/delivery/approval.h"
#include "console/delivery/pin.h"
#include "console/delivery/release.h"
#include "console/delivery/rollout.h"
#include "console/delivery/withdraw.h"
#include "console/events.h"
#include "console/fleet.h"
#include "console/hooks.h"
#include "console/pages.h"
#include "console/people.h"
#include "console/scheduler.h"
#include "console/serve_options.h"
#include "console/server.h"
#include "console/version.h"
#include "diagnostics/diagnostics.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DRAIN_MS 10000
#define PASSWORD_FILE_MOST 1024

/* All that one run of the console has open, in the order in which it was opened. */
struct serving {
    struct serve_options options;
    struct arena arena;
    struct data data;
    struct console console;
    struct admin *admin;
    char setup_token[SECRET_SIZE]; /* empty: there is an operator */
};

/* --- what must be there before the first request
 * ------------------------------------------------------------------ */
static bool authority_prepare(struct serving *serving, struct error *err)
{
    struct console *console = &serving->console;
    char *pem;
    size_t size;

    if (!folder_make(serving->data.dirfd, "tls", 0700, err))
        return false;
    FD(folder) = folder_open_beneath(serving->data.dirfd, "tls", err);
    if (folder < 0 ||
        !certificate_prepare(folder, machine_names(&serving->arena, console->device_url), err) ||
        !file_read(&serving->arena, folder, "ca.pem", 64 << 10, &pem, &size, err) ||
        !certificate_fingerprint(pem, size, console->ca_fingerprint, err))
        return error_add(err, "The devices' certificate");
    console->ca_pem = pem;
    return true;
}

/* The first line of a file that the person at this machine names: any path, links as well. */
static bool password_read(const char *path, char password[PASSWORD_FILE_MOST], struct error *err)
{
    FILE *file = fopen(path, "re");

    if (!file)
        return error_errno(err, "The password file %s", path);
    bool got = fgets(password, PASSWORD_FILE_MOST, file) != NULL;
    fclose(file);
    if (!got)
        return error_set(err, ERROR_INPUT, "The password file %s is empty", path);
    password[strcspn(password, "\r\n")] = '\0';
    return true;
}

static bool first_operator(struct serving *serving, struct error *err)
{
    const char *file = serving->options.admin_password_file;
    char password[PASSWORD_FILE_MOST];
    bool any;

    if (!people_any(&serving->console, &any, err))
        return false;
    if (any)
        return true;
    if (!file) {
        people_setup_token(serving->console.people, serving->setup_token);
        return true;
    }
    if (!password_read(file, password, err))
        return false;
    bool good = people_first(&serving->console, "admin", password, err);
    explicit_bzero(password, sizeof(password));
    return good ? true : error_add(err, "The password file %s", file);
}

static void name_addresses(struct serving *serving)
{
    const struct serve_options *options = &serving->options;
    struct console *console = &serving->console;
    struct arena *arena = &serving->arena;

    console->plain_http = !options->cert;
    console->people_url =
        listen_url(arena, options->cert ? "https" : "http", options->listen, listen_port(options->listen));
    console->device_url = options->device_url ? options->device_url
                                              : listen_url(arena, "https", options->device_listen,
                                                           listen_port(options->device_listen));
}

/* Git's history is the truth; what a console that died did not write after it is written now. */
static bool history_recover(struct console *console, struct error *err)
{
    size_t audited;
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    if (!release_recover(conn, err) || !pin_recover(conn, err) || !audit_history_all(conn, &audited, err)) {
        db_done(conn);
        return false;
    }
    if (audited)
        log_event(LOG_WARNING, "audit_recovered", "rows=%zu", audited);
    return db_commit(conn, err);
}

static bool console_open(struct serving *serving, struct error *err)
{
    struct console *console = &serving->console;
    struct data *data = &serving->data;

    if (!data_open(data, serving->options.data, true, err) || !data_open_repo(data, err))
        return false;
    console->db = data->db;
    console->repo = data->repo;
    console->data_dirfd = data->dirfd;
    console->data_path = data->path;
    console->started_at = clock_now();
    pthread_mutex_init(&console->releasing, NULL);
    name_addresses(serving);
    console->events = events_new();
    console->people = people_new();
    console->pages = pages_open(serving->options.www, err);
    if (!console->pages || !history_recover(console, err) || !authority_prepare(serving, err) ||
        !(console->fleet = fleet_open(console, err)) || !(console->rollouts = rollouts_open(console, err)) ||
        !(console->diagnostics = campaigns_open(console, err)))
        return false;
    if (serving->options.capture_quota_bytes)
        console->diagnostics->quota = serving->options.capture_quota_bytes;
    repo_set_wanted(console->repo, release_wanted, console);
    repo_set_withheld(console->repo, withdrawn_withheld, console);
    repo_set_signatures(console->repo, approval_signatures, console);
    if (!withdraw_recover(console, err))
        return false;
    return first_operator(serving, err);
}

static bool console_start(struct serving *serving, struct error *err)
{
    struct console *console = &serving->console;
    struct arena *arena = &serving->arena;
    const struct server_options options = {
        .people_listen = serving->options.listen,
        .device_listen = serving->options.device_listen,
        .people_chain = serving->options.cert,
        .people_key = serving->options.key,
        .device_chain = arena_printf(arena, "%s/tls/server.pem", serving->data.path),
        .device_key = arena_printf(arena, "%s/tls/server.key", serving->data.path),
    };

    const struct deltas_options deltas = {.quota = serving->options.delta_quota_bytes,
                                          .thorough_after = serving->options.delta_thorough_after};

    console->deltas = deltas_start(console, &deltas, err);
    if (!console->deltas)
        return false;
    console->hooks = hooks_start(console);
    console->scheduler = scheduler_start(console, steps, err);
    if (!console->scheduler || !(serving->admin = admin_start(console, err)))
        return false;
    console->server = server_start(console, &options, err);
    /* Civetweb ignores SIGCHLD, and then nobody learns how a child ended. */
    signal(SIGCHLD, SIG_DFL);
    return console->server != NULL;
}

static void console_stop(struct serving *serving)
{
    struct console *console = &serving->console;
    struct error err;

    if (console->events)
        events_stop(console->events);
    if (console->repo)
        repo_stop_checks(console->repo);
    server_stop(console->server, DRAIN_MS);
    admin_stop(serving->admin);
    scheduler_stop(console->scheduler);
    hooks_stop(console->hooks);
    deltas_stop(console->deltas);
    if (console->fleet && !fleet_flush(console, &err))
        log_event(LOG_ERROR, "flush_failed", "reason=\"%s\"", err.text);
    diagnostics_close(console->diagnostics);
    rollouts_close(console->rollouts);
    fleet_close(console->fleet);
    pages_close(console->pages);
    people_free(console->people);
    events_free(console->events);
    pthread_mutex_destroy(&console->releasing);
    if (serving->data.db)
        db_checkpoint(serving->data.db);
    data_close(&serving->data);
    arena_end(&serving->arena);
}

/* --- telling
 * ------------------------------------------------------------------------------------------------------ */
static void tell_start(const struct serving *serving)
{
    const struct console *console = &serving->console;

    printf("locum %s serves %s\n  people   %s\n  devices  %s\n", LOCUM_VERSION, console->data_path,
           console->people_url, console->device_url);
    if (serving->setup_token[0])
        printf("  set up   %s/setup#%s   (once; it lapses when this ends)\n", console->people_url,
               serving->setup_token);
    if (repo_is_starter(console->repo))
        printf("  starter mode: all signing keys lie in %s/keys\n", console->data_path);
    if (pages_count(console->pages) == 0)
        printf("  the pages are not built: make www\n");
    if (console->plain_http && strncmp(serving->options.listen, "127.", 4) != 0)
        printf("  people sign in without TLS at %s: passwords can be read on the way (--cert, --key)\n",
               console->people_url);
    fflush(stdout);
}

static bool log_level_set(const char *name, struct error *err)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};

    for (int i = 0; name && i < 4; i++) {
        if (strcmp(names[i], name) == 0) {
            log_level = (enum log_level)i;
            return true;
        }
    }
    return !name || error_set(err, ERROR_INPUT, "--log is error, warning, info or debug");
}

static int exit_code(const struct error *err)
{
    fprintf(stderr, "locum serve: %s\n", err->text);
    return err->kind == ERROR_INPUT ? 2 : err->kind == ERROR_CONFLICT ? 5 : 1;
}

static void wait_for_end(const sigset_t *signals)
{
    int number = 0;

    while (sigwait(signals, &number) != 0)
        ;
    log_event(LOG_INFO, "stopping", "signal=%d", number);
    /* A second one means it: the default action ends the program at once. */
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
}

int serve_main(int argc, char **argv)
{
    struct serving serving = {.data = {.dirfd = -1, .lock = -1}};
    struct error err = {0};
    sigset_t signals;

    if (!serve_options_read(argc, argv, &serving.options, &err) || !log_level_set(serving.options.log, &err))
        return exit_code(&err);
    if (serving.options.help) {
        serve_help();
        return 0;
    }
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    bool good = console_open(&serving, &err) && console_start(&serving, &err);
    if (good) {
        tell_start(&serving);
        wait_for_end(&signals);
    }
    console_stop(&serving);
    if (!good)
        return exit_code(&err);
    log_event(LOG_INFO, "stopped", "code=0");
    return 0;
}

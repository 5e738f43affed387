/* What a killed keeper left, or a power loss: runs that were consumed and have no result. */
#include "agent/runner.h"

#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* The death of the keeper killed the image; this makes sure of it before the app starts. */
static void kill_remains(const struct runner *runner, const char *id)
{
    char group[64];
    int64_t until = clock_boot_ms() + RUN_KILL_MS;
    run_group(id, group);
    run_kill_first(runner->state_fd, id);
    while (clock_boot_ms() < until &&
           (cgroup_kill(&runner->cgroups, group) > 0 || pid_count_of(runner->uid, true) > 0))
        poll(NULL, 0, 5);
}

static bool revert_lost(struct runner *runner, const char *id, struct error *err)
{
    arena_end(&runner->arena);
    if (!run_read_back(&runner->arena, runner->state_fd, id, &runner->plan, &runner->outcome, err))
        return false;
    log_event(LOG_WARNING, "run.lost", "run=%s why=%s", id, runner->outcome.power_lost ? "power" : "keeper");
    runner->outcome.end = RUN_RUNNER_LOST;
    runner->revert_from_ms = clock_boot_ms();
    runner->app_was_wanted = true;
    runner->without_output = true;
    if (!runner->outcome.power_lost)
        kill_remains(runner, id);
    run_revert(runner);
    return true;
}

/* One run's folder at our start. False: one lost run is being proved, the others wait for the next look. */
static bool look_at(struct runner *runner, const char *id)
{
    struct error err = {0};
    char path[128];
    snprintf(path, sizeof path, "%s/%.32s", STATE_KEEPER_RUNS, id);
    if (run_has_result(runner->state_fd, id))
        return true;
    if (run_is_consumed(runner->state_fd, id) && revert_lost(runner, id, &err))
        return false;
    /* Never consumed: it never was. Without a readable run.json nothing can be told of it. */
    if (!tree_remove(runner->state_fd, path, &err))
        log_event(LOG_ERROR, "run.folder", "run=%s error=\"%s\"", id, err.text);
    return true;
}

void run_find_lost(struct runner *runner)
{
    struct error err = {0};
    int folder = folder_open_beneath(runner->state_fd, STATE_KEEPER_RUNS, &err);
    DIR *names = folder >= 0 ? fdopendir(folder) : NULL;
    const struct dirent *entry;
    bool more = true;
    while (more && names != NULL && (entry = readdir(names)) != NULL)
        if (run_id_is_valid(entry->d_name))
            more = look_at(runner, entry->d_name);
    if (names != NULL)
        closedir(names);
}

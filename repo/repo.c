#include "repo/repo.h"
#include "repo/store.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STACK_SIZE (8u << 20)
#define DAY_S 86400
#define RENEW_BEFORE_S (60 * DAY_S)
#define FOLDER_DEPTH 16

/* --- the writer's thread
 * --------------------------------------------------------------------------------------------- */

struct work {
    struct repo *repo;
    repo_job *job;
    void *context;
    struct error *err;
    bool good;
};

static void *work_run(void *argument)
{
    struct work *work = argument;
    work->good = work->job(work->repo, work->context, work->err);
    return NULL;
}

static bool thread_run(struct work *work)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    /* Signals are for the threads that wait for them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&thread, &attributes, work_run, work);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (code != 0)
        return error_set(work->err, ERROR_SYSTEM, "starting a thread: %s", strerror(code));
    pthread_join(thread, NULL);
    return work->good;
}

bool repo_do(struct repo *repo, bool alone, repo_job *job, void *context, struct error *err)
{
    struct work work = {.repo = repo, .job = job, .context = context, .err = err};
    if (alone)
        pthread_mutex_lock(&repo->writing);
    bool good = thread_run(&work);
    if (alone)
        pthread_mutex_unlock(&repo->writing);
    return good;
}

/* --- opening
 * ---------------------------------------------------------------------------------------------------------
 */

static bool is_lock(const char *name)
{
    size_t size = strlen(name);
    return size > 5 && strcmp(name + size - 5, ".lock") == 0;
}

/* Removes the lock files that a killed writer left. No name of ours ends in ".lock", and the caller holds the
 * instance lock. Objects are not looked at: git takes no locks there. */
static void locks_remove(int parent, const char *folder, int depth)
{
    int fd = openat(parent, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    if (!entries) {
        fd_close(&fd);
        return;
    }
    while ((entry = readdir(entries))) {
        struct stat stat;
        if (string_is(entry->d_name, ".") || string_is(entry->d_name, "..") ||
            fstatat(fd, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISREG(stat.st_mode) && is_lock(entry->d_name) && unlinkat(fd, entry->d_name, 0) == 0)
            log_event(LOG_WARNING, "stale_git_lock_removed", "name=%s", entry->d_name);
        else if (S_ISDIR(stat.st_mode) && depth < FOLDER_DEPTH && !string_is(entry->d_name, "objects") &&
                 !string_is(entry->d_name, "lfs"))
            locks_remove(fd, entry->d_name, depth + 1);
    }
    closedir(entries);
}

static int folder_prepare(int parent, const char *name, mode_t mode, struct error *err)
{
    return folder_make(parent, name, mode, err) ? folder_open_beneath(parent, name, err) : -1;
}

static bool folders_prepare(struct repo *repo, struct error *err)
{
    repo->objects_fd = folder_prepare(repo->data_fd, "assets.git/lfs/objects", 0755, err);
    if (repo->objects_fd < 0)
        return false;
    repo->uploads_fd = folder_prepare(repo->data_fd, "uploads", 0700, err);
    if (repo->uploads_fd < 0)
        return false;
    repo->metadata_fd = folder_prepare(repo->data_fd, "metadata", 0755, err);
    if (repo->metadata_fd < 0)
        return false;
    repo->keys_fd = folder_prepare(repo->data_fd, "keys", 0700, err);
    return repo->keys_fd >= 0;
}

/* Root 1 and targets 1: the first commit. */
static bool first_commit(struct repo *repo, struct error *err)
{
    ARENA(arena);
    struct signed_file root, targets;
    struct gitrepo_file files[2] = {{.path = "metadata/root/1.root.json"}, {.path = "metadata/targets.json"}};
    struct gitrepo_commit_request request = {
        .parent = "", .files = files, .file_count = 2, .author = "locum", .message = "the repository begins"};
    char commit[GIT_ID];
    int64_t now = request.at = clock_now();
    return sign_root(repo, &arena, now, &root, err) &&
           sign_targets(repo, &arena, NULL, NULL, 1, now, &targets, err) &&
           gitrepo_put_blob(repo->git, root.bytes, root.size, files[0].blob, err) &&
           gitrepo_put_blob(repo->git, targets.bytes, targets.size, files[1].blob, err) &&
           gitrepo_put_commit(repo->git, &request, commit, err) &&
           gitrepo_move_main(repo->git, "", commit, err);
}

bool repo_catch_up(struct repo *repo, struct error *err)
{
    char head[GIT_ID];
    return gitrepo_head(repo->git, head, err) && index_follow(repo, head, false, err) &&
           fresh_publish(repo, head, clock_now(), err);
}

static bool open_job(struct repo *repo, void *context, struct error *err)
{
    char head[GIT_ID];
    (void)context;
    repo->git = gitrepo_open(repo->git_path, err);
    if (!repo->git || !gitrepo_head(repo->git, head, err))
        return false;
    /* Only a repository without a commit gets new keys: others would not fit the root that devices trust. */
    bool make = !*head;
    if (!key_load(repo, "snapshot", make, &repo->snapshot_key, err) ||
        !key_load(repo, "timestamp", make, &repo->timestamp_key, err) ||
        !key_load(repo, "director", make, &repo->director_key, err))
        return false;
    return (*head || first_commit(repo, err)) && repo_catch_up(repo, err);
}

struct repo *repo_open(int data_dirfd, const char *data_path, struct db *db, struct error *err)
{
    struct repo *repo = calloc(1, sizeof *repo);
    if (!repo || asprintf(&repo->git_path, "%s/assets.git", data_path) < 0)
        abort();
    repo->db = db;
    repo->objects_fd = repo->uploads_fd = repo->metadata_fd = repo->keys_fd = -1;
    pthread_mutex_init(&repo->writing, NULL);
    gitrepo_start();
    repo->data_fd = fcntl(data_dirfd, F_DUPFD_CLOEXEC, 0);
    if (repo->data_fd < 0)
        error_errno(err, "opening the data folder");
    locks_remove(repo->data_fd, "assets.git", 0);
    if (repo->data_fd >= 0 && folders_prepare(repo, err) && repo_do(repo, true, open_job, NULL, err)) {
        uploads_clean(repo);
        return repo;
    }
    error_add(err, "opening the asset repository");
    repo_close(repo);
    return NULL;
}

void repo_close(struct repo *repo)
{
    if (!repo)
        return;
    gitrepo_close(repo->git);
    gitrepo_stop();
    fd_close(&repo->objects_fd);
    fd_close(&repo->uploads_fd);
    fd_close(&repo->metadata_fd);
    fd_close(&repo->keys_fd);
    fd_close(&repo->data_fd);
    pthread_mutex_destroy(&repo->writing);
    free(repo->roles);
    free(repo->git_path);
    free(repo);
}

/* --- care
 * ------------------------------------------------------------------------------------------------------------
 */

void repo_set_wanted(struct repo *repo, repo_wanted *wanted, void *context)
{
    pthread_mutex_lock(&repo->writing);
    repo->wanted = wanted;
    repo->wanted_context = context;
    pthread_mutex_unlock(&repo->writing);
}

void repo_set_withheld(struct repo *repo, repo_withheld *withheld, void *context)
{
    pthread_mutex_lock(&repo->writing);
    repo->withheld = withheld;
    repo->withheld_context = context;
    pthread_mutex_unlock(&repo->writing);
}

void repo_set_signatures(struct repo *repo, repo_signatures *signatures, void *context)
{
    pthread_mutex_lock(&repo->writing);
    repo->signatures = signatures;
    repo->signatures_context = context;
    pthread_mutex_unlock(&repo->writing);
}

bool repo_order_sign(struct repo *repo, const struct order *order, struct text *out, struct error *err)
{
    return order_write(order, &repo->director_key, out, err);
}

static bool reindex_job(struct repo *repo, void *context, struct error *err)
{
    char head[GIT_ID];
    (void)context;
    return gitrepo_head(repo->git, head, err) && index_follow(repo, head, true, err) &&
           fresh_publish(repo, head, clock_now(), err);
}

bool repo_reindex(struct repo *repo, struct error *err)
{
    return repo_do(repo, true, reindex_job, NULL, err) || error_add(err, "remaking the index");
}

static bool fresh_job(struct repo *repo, void *context, struct error *err)
{
    struct arena *arena = ((void **)context)[0];
    const char **product = ((void **)context)[1];
    if (!repo_catch_up(repo, err))
        return false;
    *product = fresh_expiring(repo, arena, clock_now() + RENEW_BEFORE_S);
    return true;
}

bool repo_keep_fresh(struct repo *repo, struct error *err)
{
    ARENA(arena);
    const char *product = NULL;
    void *context[] = {&arena, &product};
    if (!repo_do(repo, true, fresh_job, context, err))
        return error_add(err, "keeping the signed files fresh");
    return !product || repo_renew(repo, product, err);
}

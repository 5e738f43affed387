/* The app itself with some of its assets replaced for the time: what its mount namespace shows. What lies
 * there outside is untouched: `current` and its set stay as they are, and what the app writes is gone with
 * the namespace. */
#include "agent/keeper_pid.h"
#include "agent/sandbox_parts.h"
#include "agent/state.h"
#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WRITABLE_MOST 16
#define ASSETS_MOST 256

/* --- what is checked before anything is touched
 * ---------------------------------------------------------------------- */

/* Where the set's asset really lies: its version's folder, on which the image's goes. */
static bool asset_target(const struct sandbox_plan *plan, const char *asset, char real[PATH_MAX],
                         struct error *err)
{
    char link[PATH_MAX], versions[PATH_MAX];
    snprintf(link, sizeof link, "%.3800s/%.255s", plan->set, asset);
    snprintf(versions, sizeof versions, "%.4000s/" STATE_VERSIONS, plan->state);
    if (realpath(link, real) == NULL)
        return error_set(err, ERROR_MISSING, "the device runs no asset %s that could be replaced", asset);
    return sandbox_path_is_beneath(real, versions) ||
           error_set(err, ERROR_UNTRUSTED, "asset %s does not lead to a version", asset);
}

typedef bool each_asset(const struct sandbox_plan *plan, const char *source, const char *target,
                        struct error *err);

/* Each folder below assets/ of the image with the folder that it goes on. */
static bool walk_assets(const struct sandbox_plan *plan, each_asset *each, struct error *err)
{
    char folder[PATH_MAX], source[PATH_MAX], target[PATH_MAX];
    int count = 0;
    bool good = true;
    snprintf(folder, sizeof folder, "%.3800s/assets", plan->folder);
    DIR *names = opendir(folder);
    const struct dirent *entry;
    while (good && names != NULL && count < ASSETS_MOST && (entry = readdir(names)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        snprintf(source, sizeof source, "%.3830s/%.255s", folder, entry->d_name);
        good = asset_target(plan, entry->d_name, target, err) && each(plan, source, target, err);
    }
    if (names != NULL)
        closedir(names);
    return good &&
           (count > 0 || error_set(err, ERROR_INPUT, "the image brings no asset to replace one with"));
}

static bool no_more(const struct sandbox_plan *plan, const char *source, const char *target,
                    struct error *err)
{
    (void)plan;
    (void)source;
    (void)target;
    (void)err;
    return true;
}

static bool kernel_has_overlays(void)
{
    FILE *file = fopen("/proc/filesystems", "re");
    char line[128];
    bool has = false;
    while (!has && file != NULL && fgets(line, sizeof line, file) != NULL)
        has = strcmp(line, "nodev\toverlay\n") == 0;
    if (file != NULL)
        fclose(file);
    return has;
}

static bool check_writable(const struct sandbox_plan *plan, const char *path, struct error *err)
{
    char real[PATH_MAX];
    struct stat st;
    if (path[0] != '/' || realpath(path, real) == NULL || stat(real, &st) != 0 || !S_ISDIR(st.st_mode))
        return error_set(err, ERROR_INPUT, "app.writable: %s is no folder with an absolute path", path);
    if (strpbrk(real, ":,\\") != NULL)
        return error_set(err, ERROR_INPUT, "app.writable: %s cannot be the name of an overlay", path);
    if (strcmp(real, "/") == 0 || sandbox_path_is_beneath(real, plan->state) ||
        sandbox_path_is_beneath(plan->state, real))
        return error_set(err, ERROR_INPUT, "app.writable: %s holds the agent's own files", path);
    return true;
}

bool sandbox_override_check(const struct sandbox_plan *plan, struct error *err)
{
    char *const *writable = plan->override->writable;
    size_t count = 0;
    if (plan->override->command == NULL || plan->override->command[0] == NULL)
        return error_set(err, ERROR_INPUT, "this device's agent runs no app whose assets could be replaced");
    for (; writable != NULL && writable[count] != NULL; count++)
        if (!check_writable(plan, writable[count], err))
            return false;
    if (count > WRITABLE_MOST)
        return error_set(err, ERROR_INPUT, "app.writable names more than %d folders", WRITABLE_MOST);
    if (count > 0 && !kernel_has_overlays())
        return error_set(err, ERROR_INPUT,
                         "the kernel has no overlay file system, which app.writable needs in mode override");
    return walk_assets(plan, no_more, err);
}

/* --- the mounts
 * -------------------------------------------------------------------------------------------------- */

/* The keeper's folder is of no use to the app: in its place is room for overlays, output and notes. */
static bool cover_keeper(const struct sandbox_plan *plan, const struct sandbox_ends *ends, struct error *err)
{
    char path[PATH_MAX], options[64];
    snprintf(path, sizeof path, "%.4000s/keeper", plan->state);
    snprintf(options, sizeof options, "size=%lld,mode=755", (long long)plan->max_memory);
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0)
        return error_errno(err, "tmpfs for what the app writes");
    snprintf(path, sizeof path, "%.4000s/" SANDBOX_OVERRIDE_OUTPUT, plan->state);
    if (mkdir(path, 0755) != 0 || !sandbox_attach(ends->output, path, err))
        return err->kind != ERROR_NONE ? false : error_errno(err, "%s", path);
    snprintf(path, sizeof path, "%.4000s/" SANDBOX_OVERRIDE_NOTES, plan->state);
    if (mkdir(path, 0755) != 0 || !sandbox_attach(ends->notes, path, err))
        return err->kind != ERROR_NONE ? false : error_errno(err, "%s", path);
    return true;
}

/* A folder as the app may write it: what is there below, what it writes above, in memory. */
static bool lay_over(const struct sandbox_plan *plan, const char *path, int number, struct error *err)
{
    char real[PATH_MAX], upper[PATH_MAX], work[PATH_MAX], options[3 * PATH_MAX + 64];
    struct stat st;
    snprintf(upper, sizeof upper, "%.4000s/keeper/upper-%d", plan->state, number);
    snprintf(work, sizeof work, "%.4000s/keeper/work-%d", plan->state, number);
    if (realpath(path, real) == NULL || stat(real, &st) != 0 || mkdir(upper, 0700) != 0 ||
        chown(upper, st.st_uid, st.st_gid) != 0 || chmod(upper, st.st_mode & 07777) != 0 ||
        mkdir(work, 0700) != 0)
        return error_errno(err, "overlay of %s", path);
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", real, upper, work);
    if (mount("overlay", real, "overlay", MS_NOSUID | MS_NODEV, options) != 0)
        return error_errno(err, "overlay of %s", path);
    return true;
}

static bool replace_asset(const struct sandbox_plan *plan, const char *source, const char *target,
                          struct error *err)
{
    (void)plan;
    if (mount(source, target, NULL, MS_BIND, NULL) != 0)
        return error_errno(err, "bind of %s", source);
    return true;
}

/* A mount point of mountinfo: "\040" is a blank (proc(5)). */
static void unescape(char *path)
{
    char *to = path;
    for (const char *at = path; *at != '\0'; to++) {
        int byte;
        if (at[0] == '\\' && sscanf(at + 1, "%3o", &byte) == 1) {
            *to = (char)byte;
            at += 4;
        } else {
            *to = *at++;
        }
    }
    *to = '\0';
}

/* What talks to the kernel or to hardware, and what is the app's alone. */
static bool stays_writable(const struct sandbox_plan *plan, const char *point, const char *type)
{
    static const char *const types[] = {"proc",    "sysfs",   "devtmpfs",   "devpts",
                                        "cgroup",  "cgroup2", "mqueue",     "configfs",
                                        "debugfs", "tracefs", "securityfs", "binfmt_misc"};
    char keeper[PATH_MAX];
    snprintf(keeper, sizeof keeper, "%.4000s/keeper", plan->state);
    bool stays = sandbox_path_is_beneath(point, keeper) || strcmp(point, "/dev/shm") == 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        stays = stays || strcmp(type, types[i]) == 0;
    for (char *const *path = plan->override->writable; !stays && path != NULL && *path != NULL; path++) {
        char real[PATH_MAX];
        stays = strcmp(type, "overlay") == 0 && realpath(*path, real) != NULL && strcmp(point, real) == 0;
    }
    return stays;
}

static bool make_read_only(const char *point, struct error *err)
{
    struct statvfs now;
    unsigned long kept = 0;
    if (statvfs(point, &now) != 0)
        return errno == ENOENT || errno == ENOTDIR ||
               error_errno(err, "%s", point); /* another lies over it */
    kept |= now.f_flag & ST_NOSUID ? MS_NOSUID : 0;
    kept |= now.f_flag & ST_NODEV ? MS_NODEV : 0;
    kept |= now.f_flag & ST_NOEXEC ? MS_NOEXEC : 0;
    kept |= now.f_flag & ST_NOATIME ? MS_NOATIME : 0;
    kept |= now.f_flag & ST_NODIRATIME ? MS_NODIRATIME : 0;
    kept |= now.f_flag & ST_RELATIME ? MS_RELATIME : 0;
    return mount(NULL, point, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | kept, NULL) == 0 || errno == EINVAL ||
           error_errno(err, "read-only %s", point); /* EINVAL: another lies over it */
}

static bool make_rest_read_only(const struct sandbox_plan *plan, struct error *err)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL, point[PATH_MAX], type[64];
    size_t room = 0;
    bool good = file != NULL || error_errno(err, "mountinfo");
    while (good && getline(&line, &room, file) > 0) {
        const char *dash = strstr(line, " - ");
        if (dash == NULL || sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1 ||
            sscanf(dash, " - %63s", type) != 1)
            continue;
        unescape(point);
        good = stays_writable(plan, point, type) || make_read_only(point, err);
    }
    free(line);
    if (file != NULL)
        fclose(file);
    return good;
}

/* Processes of the new namespace only, and shared memory of its own. */
static bool own_kernel_views(const struct sandbox_plan *plan, struct error *err)
{
    char options[64];
    snprintf(options, sizeof options, "size=%lld,mode=1777", (long long)plan->max_memory);
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
        return error_errno(err, "own /proc");
    if (access("/dev/shm", F_OK) == 0 &&
        mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, options) != 0)
        return error_errno(err, "own /dev/shm");
    return true;
}

bool sandbox_override_build(const struct sandbox_plan *plan, const struct sandbox_ends *ends,
                            struct error *err)
{
    char *const *writable = plan->override->writable;
    umask(022);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return error_errno(err, "private mounts (is / a mount point?)");
    if (!cover_keeper(plan, ends, err))
        return false;
    for (int i = 0; writable != NULL && writable[i] != NULL; i++)
        if (!lay_over(plan, writable[i], i, err))
            return false;
    return walk_assets(plan, replace_asset, err) && own_kernel_views(plan, err) &&
           make_rest_read_only(plan, err);
}

/* --- the app
 * ------------------------------------------------------------------------------------------------------ */

static bool add_path(const char *name, const char *folder, const char *rest)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.4000s/%s", folder, rest);
    return setenv(name, path, 1) == 0;
}

static bool set_variables(const struct sandbox_plan *plan)
{
    char seconds[24];
    snprintf(seconds, sizeof seconds, "%lld", (long long)plan->duration_s);
    for (const char *const *at = plan->override->variables; at != NULL && *at != NULL; at++)
        if (putenv((char *)(uintptr_t)*at) != 0)
            return false;
    return add_path("LOCUM_OUTPUT", plan->state, SANDBOX_OVERRIDE_OUTPUT) &&
           add_path("LOCUM_ENDS_AT", plan->state, SANDBOX_OVERRIDE_NOTES "/" SANDBOX_ENDS_AT) &&
           setenv("LOCUM_DURATION_S", seconds, 1) == 0 &&
           setenv("LOCUM_PARAMS", plan->params != NULL ? plan->params : "{}", 1) == 0;
}

/* Its log of this run is a part of the capture when that is collected, else its last words are kept. */
static int open_log(const struct sandbox_plan *plan, const struct sandbox_ends *ends)
{
    char path[PATH_MAX];
    if (!sandbox_collects(plan, "app-logs"))
        return ends->console;
    snprintf(path, sizeof path, "%.4000s/" SANDBOX_OVERRIDE_OUTPUT "/" SANDBOX_APP_LOG, plan->state);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
    return fd >= 0 && fchown(fd, plan->uid, plan->gid) == 0 ? fd : -1;
}

void sandbox_override_run(const struct sandbox_plan *plan, const struct sandbox_ends *ends)
{
    struct rlimit memory = {.rlim_cur = (rlim_t)plan->max_memory, .rlim_max = (rlim_t)plan->max_memory};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = open_log(plan, ends);
    if (null < 0 || log < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        return;
    if (plan->memory_by_rlimit && setrlimit(RLIMIT_AS, &memory) != 0)
        return;
    if (!spawn_become(plan->override->user) || !set_variables(plan))
        return;
    if (syscall(SYS_close_range, 3, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */) != 0)
        return;
    execvp(plan->override->command[0], plan->override->command);
}

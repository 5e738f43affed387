#include "agent/cgroup.h"

#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP_PATH (CGROUP_PATH + 128)

/* Writes one value into a control file. Not file_write: control files are neither replaced nor synced. */
static bool control_write(const char *folder, const char *name, const char *value, struct error *err)
{
    char path[GROUP_PATH + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FD(fd) = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        return error_errno(err, "%s", path);
    return true;
}

static bool control_write_number(const char *folder, const char *name, int64_t value, struct error *err)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return control_write(folder, name, text, err);
}

/* True when the control file holds `word` as one of its words; `after` (may be NULL) gets the word behind it.
 */
static bool control_has(const char *folder, const char *name, const char *word, char after[32])
{
    char path[GROUP_PATH + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    char found[64];
    bool has = false;
    while (!has && fscanf(file, "%63s", found) == 1)
        has = strcmp(found, word) == 0;
    if (has && after != NULL && fscanf(file, "%31s", after) != 1)
        after[0] = '\0';
    fclose(file);
    return has;
}

/* One line of /proc/self/mountinfo: "36 35 98:0 /root /mount/point opts … - type source super,options" */
struct mount_line {
    char point[CGROUP_PATH];
    char type[32];
    char options[256];
};

static bool mount_line_read(const char *line, struct mount_line *mount)
{
    const char *dash = strstr(line, " - ");
    return dash != NULL && sscanf(line, "%*s %*s %*s %*s %511s", mount->point) == 1 &&
           sscanf(dash, " - %31s %*s %255s", mount->type, mount->options) == 2;
}

static bool has_option(const char *options, const char *wanted)
{
    size_t size = strlen(wanted);
    for (const char *at = options; (at = strstr(at, wanted)) != NULL; at += size)
        if ((at == options || at[-1] == ',') && (at[size] == ',' || at[size] == '\0'))
            return true;
    return false;
}

/* True when a group can be made and removed in the folder. */
static bool can_make(const char *folder)
{
    char path[GROUP_PATH];
    snprintf(path, sizeof path, "%s/locum-probe-%d", folder, (int)getpid());
    return mkdir(path, 0755) == 0 && rmdir(path) == 0;
}

/* The caller's own group in v2: "0::/system.slice/x.service". */
static bool own_group(char path[CGROUP_PATH])
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL)
        return false;
    char line[CGROUP_PATH + 8];
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL)
        found = sscanf(line, "0::%511s", path) == 1;
    fclose(file);
    return found;
}

/* Lets groups below `folder` have the controllers. A group other than the root may hand on controllers only
 * while no process is in it (cgroup-v2.rst, "No Internal Process Constraint"): the caller moves into a leaf
 * first. */
static bool hand_on(const char *folder, bool is_root)
{
    struct error err = {0};
    if (control_has(folder, "cgroup.subtree_control", "memory", NULL) &&
        control_has(folder, "cgroup.subtree_control", "pids", NULL))
        return true;
    if (!is_root) {
        char leaf[2 * CGROUP_PATH + 16];
        snprintf(leaf, sizeof leaf, "%s/keeper", folder);
        if (mkdir(leaf, 0755) != 0 && errno != EEXIST)
            return false;
        if (!control_write_number(leaf, "cgroup.procs", getpid(), &err))
            return false;
    }
    return control_write(folder, "cgroup.subtree_control", "+memory +pids", &err);
}

static bool find_v2(struct cgroup_host *host, const char *point)
{
    char own[CGROUP_PATH];
    if (!control_has(point, "cgroup.controllers", "memory", NULL) ||
        !control_has(point, "cgroup.controllers", "pids", NULL) || !own_group(own))
        return false;
    size_t length = strlen(own);
    if (length >= 7 && strcmp(own + length - 7, "/keeper") == 0) /* a keeper that was restarted in its leaf */
        own[length - 7] = '\0';
    bool is_root = own[0] == '\0' || strcmp(own, "/") == 0;
    char folder[2 * CGROUP_PATH];
    snprintf(folder, sizeof folder, "%s%s", point, is_root ? "" : own);
    if (strlen(folder) >= CGROUP_PATH || !hand_on(folder, is_root) || !can_make(folder))
        return false;
    host->kind = CGROUP_V2;
    snprintf(host->memory, sizeof host->memory, "%.511s", folder);
    snprintf(host->pids, sizeof host->pids, "%.511s", folder);
    return true;
}

void cgroup_find(struct cgroup_host *host)
{
    memset(host, 0, sizeof *host);
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (file == NULL)
        return;
    struct mount_line mount;
    char *line = NULL, v2[CGROUP_PATH] = "";
    size_t room = 0;
    while (getline(&line, &room, file) > 0) {
        if (!mount_line_read(line, &mount))
            continue;
        if (strcmp(mount.type, "cgroup2") == 0 && v2[0] == '\0')
            snprintf(v2, sizeof v2, "%s", mount.point);
        if (strcmp(mount.type, "cgroup") == 0 && host->memory[0] == '\0' &&
            has_option(mount.options, "memory"))
            snprintf(host->memory, sizeof host->memory, "%s", mount.point);
        if (strcmp(mount.type, "cgroup") == 0 && host->pids[0] == '\0' && has_option(mount.options, "pids"))
            snprintf(host->pids, sizeof host->pids, "%s", mount.point);
    }
    free(line);
    fclose(file);
    if (host->memory[0] != '\0' && host->pids[0] != '\0' && can_make(host->memory) && can_make(host->pids))
        host->kind = CGROUP_V1;
    else if (v2[0] == '\0' || !find_v2(host, v2))
        host->kind = CGROUP_NONE;
}

const char *cgroup_limits(const struct cgroup_host *host)
{
    static const char *const names[] = {"rlimits", "cgroup v1", "cgroup v2"};
    return names[host->kind];
}

static void group_path(const char *folder, const char *name, char path[GROUP_PATH])
{
    snprintf(path, GROUP_PATH, "%s/%s", folder, name);
}

static bool group_make(const char *path, struct error *err)
{
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return error_errno(err, "control group %s", path);
    return true;
}

static bool make_v1(const char *memory, const char *pids, int64_t bytes, int64_t processes, struct error *err)
{
    struct error no_swap = {0}; /* kernels without swap accounting have no memsw file */
    if (!group_make(memory, err) || !group_make(pids, err) ||
        !control_write_number(memory, "memory.limit_in_bytes", bytes, err))
        return false;
    control_write_number(memory, "memory.memsw.limit_in_bytes", bytes, &no_swap);
    control_write(memory, "memory.swappiness", "0", &no_swap);
    return control_write_number(pids, "pids.max", processes, err);
}

static bool make_v2(const char *path, int64_t bytes, int64_t processes, struct error *err)
{
    struct error no_swap = {0};
    if (!group_make(path, err) || !control_write_number(path, "memory.max", bytes, err))
        return false;
    control_write(path, "memory.swap.max", "0", &no_swap);
    return control_write_number(path, "pids.max", processes, err);
}

bool cgroup_make(const struct cgroup_host *host, const char *name, int64_t memory, int64_t pids,
                 struct error *err)
{
    char first[GROUP_PATH], second[GROUP_PATH];
    group_path(host->memory, name, first);
    group_path(host->pids, name, second);
    if (host->kind == CGROUP_V1)
        return make_v1(first, second, memory, pids, err);
    return host->kind == CGROUP_NONE || make_v2(first, memory, pids, err);
}

bool cgroup_enter(const struct cgroup_host *host, const char *name, pid_t pid, struct error *err)
{
    char path[GROUP_PATH];
    if (host->kind == CGROUP_NONE)
        return true;
    group_path(host->memory, name, path);
    if (!control_write_number(path, "cgroup.procs", pid, err))
        return false;
    group_path(host->pids, name, path);
    return host->kind == CGROUP_V2 || control_write_number(path, "cgroup.procs", pid, err);
}

static int kill_inside(const char *group)
{
    char path[GROUP_PATH + 16];
    snprintf(path, sizeof path, "%s/cgroup.procs", group);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    int pid, count = 0;
    while (fscanf(file, "%d", &pid) == 1) {
        if (pid > 1 && kill(pid, SIGKILL) == 0)
            count++;
    }
    fclose(file);
    return count;
}

int cgroup_kill(const struct cgroup_host *host, const char *name)
{
    if (host->kind == CGROUP_NONE)
        return 0;
    char path[GROUP_PATH];
    group_path(host->pids, name, path);
    int count = kill_inside(path);
    group_path(host->memory, name, path);
    int others = kill_inside(path);
    return count > others ? count : others;
}

bool cgroup_ran_out(const struct cgroup_host *host, const char *name)
{
    char path[GROUP_PATH], kills[32] = "0";
    if (host->kind == CGROUP_NONE)
        return false;
    group_path(host->memory, name, path);
    const char *file = host->kind == CGROUP_V1 ? "memory.oom_control" : "memory.events";
    return control_has(path, file, "oom_kill", kills) && strcmp(kills, "0") != 0;
}

static bool group_remove(const char *path, struct error *err)
{
    if (rmdir(path) == 0 || errno == ENOENT)
        return true;
    if (errno == EBUSY)
        return error_set(err, ERROR_CONFLICT, "control group %s still has processes", path);
    return error_errno(err, "control group %s", path);
}

bool cgroup_remove(const struct cgroup_host *host, const char *name, struct error *err)
{
    char first[GROUP_PATH], second[GROUP_PATH];
    if (host->kind == CGROUP_NONE)
        return true;
    group_path(host->memory, name, first);
    group_path(host->pids, name, second);
    bool removed = group_remove(first, err);
    return group_remove(second, err) && removed;
}

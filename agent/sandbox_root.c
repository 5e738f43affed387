#include "agent/sandbox_parts.h"

#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define ASSETS_MOST 256
#define LOG_COPY_LIMIT (8 << 20) /* bytes of one app log shown to an image */

/* Parts of the device's own system that programs need to run at all. */
struct system_part {
    const char *path;
    bool for_network; /* only with network=host */
};
static const struct system_part system_parts[] = {
    {"/usr", false},
    {"/bin", false},
    {"/sbin", false},
    {"/lib", false},
    {"/lib32", false},
    {"/lib64", false},
    {"/libx32", false},
    {"/etc/alternatives", false},
    {"/etc/ld.so.cache", false},
    {"/etc/localtime", false},
    {"/etc/resolv.conf", true},
    {"/etc/hosts", true},
    {"/etc/services", true},
    {"/etc/protocols", true},
    {"/etc/ssl/certs", true},
};

struct device_node {
    const char *name;
    unsigned minor; /* of major 1, "Memory devices" (devices.txt) */
};
static const struct device_node device_nodes[] = {
    {"null", 3}, {"zero", 5}, {"full", 7}, {"random", 8}, {"urandom", 9}};

/* `path` (absolute) as it is seen below the new root while that is built. */
static bool inside(const struct sandbox_plan *plan, const char *path, char out[PATH_MAX], struct error *err)
{
    int n = snprintf(out, PATH_MAX, "%s%s", plan->root, path);
    if (n < 0 || n >= PATH_MAX)
        return error_set(err, ERROR_INPUT, "%s: the path is too long", path);
    return true;
}

/* Makes the folders above `path`, and `path` itself when `is_folder`. */
static bool make_folders(char *path, bool is_folder, struct error *err)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int made = mkdir(path, 0755);
        int reason = errno;
        *slash = '/';
        if (made != 0 && reason != EEXIST && reason != EROFS)
            return error_set(err, ERROR_SYSTEM, "folder %s: %s", path, strerror(reason));
    }
    if (is_folder && mkdir(path, 0755) != 0 && errno != EEXIST)
        return error_errno(err, "folder %s", path);
    return true;
}

static bool make_file(const struct sandbox_plan *plan, const char *path, const char *content,
                      struct error *err)
{
    char target[PATH_MAX];
    if (!inside(plan, path, target, err) || !make_folders(target, false, err))
        return false;
    FD(fd) = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_errno(err, "file %s", path);
    return fd_write_all(fd, content, strlen(content), err);
}

static bool mount_tmpfs(const struct sandbox_plan *plan, const char *path, unsigned long flags,
                        const char *options, struct error *err)
{
    char target[PATH_MAX];
    if (!inside(plan, path, target, err) || !make_folders(target, true, err))
        return false;
    if (mount("tmpfs", target, "tmpfs", flags | MS_NOSUID, options) != 0)
        return error_errno(err, "tmpfs on %s", path);
    return true;
}

/* Shows `source` of the device read-only as `path` of the image. Mounts below `source` are not shown. */
static bool show(const struct sandbox_plan *plan, const char *source, const char *path, unsigned long flags,
                 struct error *err)
{
    char target[PATH_MAX];
    struct stat st;
    if (stat(source, &st) != 0)
        return error_errno(err, "%s", source);
    if (!inside(plan, path, target, err) || !make_folders(target, S_ISDIR(st.st_mode), err))
        return false;
    if (!S_ISDIR(st.st_mode) && access(target, F_OK) != 0 && !make_file(plan, path, "", err))
        return false;
    if (mount(source, target, NULL, MS_BIND, NULL) != 0 ||
        mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | flags, NULL) != 0)
        return error_errno(err, "bind of %s", source);
    return true;
}

/* A link into /usr (merged /usr, the time zone) stays a link, all else is bound; what the device lacks is
 * left out. */
static bool add_system_part(const struct sandbox_plan *plan, const struct system_part *part,
                            struct error *err)
{
    char real[PATH_MAX], link[PATH_MAX], target[PATH_MAX];
    struct stat st;
    if ((part->for_network && !plan->network_host) || lstat(part->path, &st) != 0 ||
        realpath(part->path, real) == NULL)
        return true;
    ssize_t size = S_ISLNK(st.st_mode) ? readlink(part->path, link, sizeof link - 1) : -1;
    if (size < 0 || !string_starts(real, "/usr/"))
        return show(plan, real, part->path, 0, err);
    link[size] = '\0';
    if (!inside(plan, part->path, target, err) || !make_folders(target, false, err))
        return false;
    if (symlink(link, target) != 0)
        return error_errno(err, "link %s", part->path);
    return true;
}

static bool add_system(const struct sandbox_plan *plan, struct error *err)
{
    for (size_t i = 0; i < sizeof system_parts / sizeof system_parts[0]; i++)
        if (!add_system_part(plan, &system_parts[i], err))
            return false;
    char users[256], groups[128];
    snprintf(users, sizeof users,
             "root:x:0:0:root:/:/usr/sbin/nologin\nimage:x:%u:%u:diagnostic image:/tmp:/bin/sh\n", plan->uid,
             plan->uid);
    snprintf(groups, sizeof groups, "root:x:0:\nimage:x:%u:\n", plan->uid);
    return make_file(plan, "/etc/passwd", users, err) && make_file(plan, "/etc/group", groups, err) &&
           make_file(plan, "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n", err);
}

static bool add_device(const struct sandbox_plan *plan, const struct device_node *node, struct error *err)
{
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof path, "/dev/%s", node->name);
    if (!inside(plan, path, target, err))
        return false;
    if (mknod(target, S_IFCHR | 0666, makedev(1, node->minor)) == 0 && chmod(target, 0666) == 0)
        return true;
    /* Containers may not make nodes; there a bind does, which must not say nodev. */
    if (!make_file(plan, path, "", err))
        return false;
    if (mount(path, target, NULL, MS_BIND, NULL) != 0)
        return error_errno(err, "bind of %s", path);
    return true;
}

static bool add_devices(const struct sandbox_plan *plan, struct error *err)
{
    static const char *const links[][2] = {{"fd", "/proc/self/fd"},
                                           {"stdin", "/proc/self/fd/0"},
                                           {"stdout", "/proc/self/fd/1"},
                                           {"stderr", "/proc/self/fd/2"}};
    char target[PATH_MAX], path[32];
    if (!mount_tmpfs(plan, "/dev", MS_NOEXEC, "size=64k,nr_inodes=32,mode=755", err))
        return false;
    for (size_t i = 0; i < sizeof device_nodes / sizeof device_nodes[0]; i++)
        if (!add_device(plan, &device_nodes[i], err))
            return false;
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        snprintf(path, sizeof path, "/dev/%s", links[i][0]);
        if (!inside(plan, path, target, err))
            return false;
        if (symlink(links[i][1], target) != 0)
            return error_errno(err, "link %s", path);
    }
    if (!inside(plan, "/dev", target, err))
        return false;
    if (mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL) != 0)
        return error_errno(err, "read-only /dev");
    return true;
}

/* An own /proc shows the image itself only. The device's is shown by a bind, which gives the rights of the
 * image's uid, never more: everything behind /proc/<pid>/root, cwd, fd, environ of another uid needs
 * CAP_SYS_PTRACE. */
static bool add_proc(const struct sandbox_plan *plan, struct error *err)
{
    char target[PATH_MAX];
    if (sandbox_collects(plan, "proc"))
        return show(plan, "/proc", "/proc", MS_NOEXEC, err);
    if (!inside(plan, "/proc", target, err) || !make_folders(target, true, err))
        return false;
    if (mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
        return error_errno(err, "own /proc");
    return true;
}

bool sandbox_path_is_beneath(const char *path, const char *folder)
{
    size_t size = strlen(folder);
    return strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

/* The set's folder holds links to the folders of versions; each is bound under its asset's name. */
static bool add_assets(const struct sandbox_plan *plan, struct error *err)
{
    char versions[PATH_MAX], link[PATH_MAX], real[PATH_MAX], path[512];
    if (!mount_tmpfs(plan, SANDBOX_ASSETS, MS_NODEV, "size=64k,nr_inodes=512,mode=755", err))
        return false;
    DIR *folder = plan->set != NULL ? opendir(plan->set) : NULL;
    snprintf(versions, sizeof versions, "%.4000s/versions", plan->state);
    const struct dirent *entry;
    bool good = true;
    for (int n = 0; good && folder != NULL && n < ASSETS_MOST && (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        n++;
        snprintf(link, sizeof link, "%.3800s/%s", plan->set, entry->d_name);
        snprintf(path, sizeof path, "%s/%s", SANDBOX_ASSETS, entry->d_name);
        if (realpath(link, real) == NULL || !sandbox_path_is_beneath(real, versions))
            good = error_set(err, ERROR_UNTRUSTED, "asset %s does not lead to a version", entry->d_name);
        else
            good = show(plan, real, path, 0, err);
    }
    if (folder != NULL)
        closedir(folder);
    return good;
}

/* The app's log belongs to the app's user: the image gets a copy that it can read, not the file. */
static bool copy_log(const struct sandbox_plan *plan, const char *source, const char *path, struct error *err)
{
    char target[PATH_MAX], piece[16384];
    struct stat st;
    /* The folder may be the app's: a pipe in the file's place must not hold us. */
    FD(in) = open(source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (in < 0 || fstat(in, &st) != 0 || !S_ISREG(st.st_mode))
        return true; /* nothing logged yet */
    if (!inside(plan, path, target, err))
        return false;
    FD(out) = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (out < 0)
        return error_errno(err, "%s", path);
    if (st.st_size > LOG_COPY_LIMIT)
        lseek(in, -LOG_COPY_LIMIT, SEEK_END);
    ssize_t n;
    while ((n = read(in, piece, sizeof piece)) > 0)
        if (!fd_write_all(out, piece, (size_t)n, err))
            return false;
    return true;
}

static bool add_logs(const struct sandbox_plan *plan, struct error *err)
{
    char older[PATH_MAX];
    if (!sandbox_collects(plan, "app-logs"))
        return true;
    if (!mount_tmpfs(plan, SANDBOX_LOGS, MS_NODEV | MS_NOEXEC, "size=17m,nr_inodes=8,mode=755", err))
        return false;
    if (plan->app_log == NULL)
        return true;
    snprintf(older, sizeof older, "%.4000s.1", plan->app_log);
    return copy_log(plan, plan->app_log, SANDBOX_LOGS "/app.log", err) &&
           copy_log(plan, older, SANDBOX_LOGS "/app.log.1", err);
}

bool sandbox_collects(const struct sandbox_plan *plan, const char *scope)
{
    for (const char *const *at = plan->collect; at != NULL && *at != NULL; at++)
        if (strcmp(*at, scope) == 0)
            return true;
    return false;
}

bool sandbox_scope_path(const struct sandbox_plan *plan, const char *scope, char real[4096],
                        struct error *err)
{
    static const char *const never[] = {"/proc", "/dev"};
    const char *path = scope + strlen("file:");
    if (path[0] != '/')
        return error_set(err, ERROR_INPUT, "the scope %s is no absolute path", scope);
    if (realpath(path, real) == NULL)
        return error_errno(err, "the scope %s", scope);
    bool refused = sandbox_path_is_beneath(real, plan->state) || sandbox_path_is_beneath(plan->state, real) ||
                   strcmp(real, "/") == 0;
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        refused = refused || sandbox_path_is_beneath(real, never[i]);
    if (refused)
        return error_set(err, ERROR_DENIED, "the scope %s may not be shown to an image", scope);
    return true;
}

static bool add_scopes(const struct sandbox_plan *plan, struct error *err)
{
    char real[PATH_MAX];
    for (const char *const *at = plan->collect; at != NULL && *at != NULL; at++) {
        if (!string_starts(*at, "file:"))
            continue;
        if (!sandbox_scope_path(plan, *at, real, err))
            return false;
        /* Already there, with the system's parts. */
        if (sandbox_path_is_beneath(real, "/usr"))
            continue;
        if (!show(plan, real, *at + strlen("file:"), MS_NOEXEC, err))
            return false;
    }
    return true;
}

bool sandbox_attach(int fs, const char *target, struct error *err)
{
    if (move_mount(fs, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) != 0)
        return error_errno(err, "folder %s", target);
    return true;
}

static bool attach(const struct sandbox_plan *plan, int fs, const char *path, struct error *err)
{
    char target[PATH_MAX];
    return inside(plan, path, target, err) && make_folders(target, true, err) &&
           sandbox_attach(fs, target, err);
}

/* Leaves the device's root for good. A device that runs from an initial RAM disk cannot pivot: there the new
 * root is moved over it. */
static bool enter_root(const struct sandbox_plan *plan, struct error *err)
{
    if (mount(NULL, plan->root, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) != 0 ||
        chdir(plan->root) != 0)
        return error_errno(err, "new root");
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        if (umount2(".", MNT_DETACH) != 0)
            return error_errno(err, "leave the old root");
    } else if (mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0) {
        return error_errno(err, "enter the new root");
    }
    if (chdir("/") != 0)
        return error_errno(err, "new root");
    return true;
}

/* The new network namespace has a loopback device that is down; a program may want to talk to itself. */
static void raise_loopback(void)
{
    FD(fd) = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (fd >= 0)
        (void)ioctl(fd, SIOCSIFFLAGS, &request);
}

bool sandbox_root_build(const struct sandbox_plan *plan, const struct sandbox_ends *ends, struct error *err)
{
    umask(022);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return error_errno(err, "private mounts (is / a mount point?)");
    if (mount("tmpfs", plan->root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=4096,mode=755") != 0)
        return error_errno(err, "tmpfs on %s", plan->root);
    if (!plan->network_host)
        raise_loopback();
    return add_system(plan, err) && add_devices(plan, err) && add_proc(plan, err) && add_assets(plan, err) &&
           add_logs(plan, err) &&
           mount_tmpfs(plan, "/tmp", MS_NODEV | MS_NOEXEC, "size=4m,nr_inodes=256,mode=1777", err) &&
           add_scopes(plan, err) && /* after /tmp: a scope may lie below it */
           show(plan, plan->folder, SANDBOX_FOLDER, 0, err) &&
           attach(plan, ends->output, SANDBOX_OUTPUT, err) && attach(plan, ends->notes, SANDBOX_NOTES, err) &&
           enter_root(plan, err);
}

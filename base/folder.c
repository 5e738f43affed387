/* Whole trees: the part of file.h that walks and removes them. */
#include "base/file.h"

#include "base/digest.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WALK_DEPTH 32
#define WALK_FILES 1000000
#define WALK_PATH 4096
#define REMOVE_DEPTH 64

static void dir_close(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}
#define DIRECTORY(name) __attribute__((cleanup(dir_close))) DIR *name

/* A stream of its own over the folder; `dirfd` and its offset stay. */
static DIR *list_open(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir)
        fd_close(&fd);
    return dir;
}

/* The next name that is not . or .. ; NULL at the end, or with errno set. */
static const char *list_next(DIR *dir)
{
    struct dirent *entry;

    do {
        errno = 0;
        entry = readdir(dir);
    } while (entry && (string_is(entry->d_name, ".") || string_is(entry->d_name, "..")));
    return entry ? entry->d_name : NULL;
}

/* A subfolder that is no link and no mount. */
static int subfolder_open(int parent, const char *name, int flags)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)flags | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    int fd;

    do
        fd = (int)syscall(SYS_openat2, parent, name, &how, sizeof(how));
    while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    return fd;
}

/* A folder without rights for its owner, left by somebody else's program. O_PATH needs none; links are never
 * followed. */
static void take_rights(int parent, const char *name)
{
    char path[40];

    FD(fd) = subfolder_open(parent, name, O_PATH);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fd >= 0 && chmod(path, 0700) < 0)
        return; /* the step that needs the rights tells why it fails */
}

struct removal {
    int top;         /* the folder that is being removed */
    bool has_raised; /* something deep was moved up into `top`, which must be emptied again */
    struct error *err;
};

static bool empty_folder(struct removal *removal, int dirfd, int depth);

/* Too deep for an open folder each: a tree made to be that deep is taken up to the top and removed from
 * there. */
static bool raise_folder(struct removal *removal, int parent, const char *name)
{
    char raised[40] = ".raised-";
    uint8_t random[12];

    random_bytes(random, sizeof(random));
    hex_encode(raised + strlen(raised), random, sizeof(random));
    if (renameat(parent, name, removal->top, raised) < 0)
        return error_errno(removal->err, "removing a folder %d deep", REMOVE_DEPTH);
    removal->has_raised = true;
    return true;
}

static bool remove_one(struct removal *removal, int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return error_errno(removal->err, "removing \"%s\"", name);
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
        return true;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return error_errno(removal->err, "removing \"%s\"", name);
    take_rights(parent, name);
    if (depth == REMOVE_DEPTH)
        return raise_folder(removal, parent, name);
    FD(fd) = subfolder_open(parent, name, O_RDONLY);
    if (fd < 0)
        return error_errno(removal->err, "removing \"%s\"", name);
    if (!empty_folder(removal, fd, depth + 1))
        return false;
    if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_errno(removal->err, "removing \"%s\"", name);
    return true;
}

static bool empty_folder(struct removal *removal, int dirfd, int depth)
{
    DIRECTORY(dir) = list_open(dirfd);
    const char *name;

    if (!dir)
        return error_errno(removal->err, "listing a folder to remove it");
    while ((name = list_next(dir)))
        if (!remove_one(removal, dirfd, name, depth))
            return false;
    return errno == 0 || error_errno(removal->err, "listing a folder to remove it");
}

static bool empty_tree(int top, struct error *err)
{
    struct removal removal = {.top = top, .err = err};

    do {
        removal.has_raised = false;
        if (!empty_folder(&removal, top, 0))
            return false;
    } while (removal.has_raised);
    return true;
}

bool tree_remove(int dirfd, const char *path, struct error *err)
{
    struct error opening = {0};
    const char *name;

    FD(parent) = parent_open_beneath(dirfd, path, &name, &opening);
    if (parent < 0 && opening.kind == ERROR_MISSING)
        return true;
    if (parent < 0) {
        *err = opening;
        return false;
    }
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return true;
    take_rights(parent, name);
    FD(top) = subfolder_open(parent, name, O_RDONLY);
    if (top < 0)
        return error_errno(err, "removing \"%s\"", path);
    if (!empty_tree(top, err))
        return false;
    if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_errno(err, "removing \"%s\"", path);
    return true;
}

struct walk {
    file_each *each;
    void *context;
    struct error *err;
    int files;
    char path[WALK_PATH];
};

struct entry {
    const char *name;
    bool is_folder;
};

/* Bytewise by whole path: a folder sorts as if its name ended with '/'. */
static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    size_t i = 0;

    while (left->name[i] && left->name[i] == right->name[i])
        i++;
    int l = (unsigned char)left->name[i], r = (unsigned char)right->name[i];
    if (!l && left->is_folder)
        l = '/';
    if (!r && right->is_folder)
        r = '/';
    return l - r;
}

static bool entry_read(struct walk *walk, int dirfd, struct arena *arena, const char *name,
                       struct entry *entry)
{
    struct stat stat;

    if (++walk->files > WALK_FILES)
        return error_set(walk->err, ERROR_LIMIT, "more than %d files", WALK_FILES);
    if (fstatat(dirfd, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(walk->err, "looking at \"%s%s\"", walk->path, name);
    if (!S_ISREG(stat.st_mode) && !S_ISDIR(stat.st_mode))
        return error_set(walk->err, ERROR_INPUT, "\"%s%s\" is a %s, only files and folders are taken",
                         walk->path, name, S_ISLNK(stat.st_mode) ? "link" : "device, socket or pipe");
    entry->is_folder = S_ISDIR(stat.st_mode);
    entry->name = arena_strdup(arena, name);
    return true;
}

/* The sorted names of a folder, in memory of the caller's to free. */
static bool entries_read(struct walk *walk, int dirfd, struct arena *arena, struct entry **entries,
                         size_t *count)
{
    DIRECTORY(dir) = list_open(dirfd);
    const char *name;
    size_t room = 0;

    if (!dir)
        return error_errno(walk->err, "listing \"%s\"", walk->path);
    while ((name = list_next(dir))) {
        if (*count == room) {
            room = room ? 2 * room : 64;
            *entries = realloc(*entries, room * sizeof(**entries));
            if (!*entries)
                abort();
        }
        if (!entry_read(walk, dirfd, arena, name, &(*entries)[*count]))
            return false;
        (*count)++;
    }
    if (errno)
        return error_errno(walk->err, "listing \"%s\"", walk->path);
    if (*count)
        qsort(*entries, *count, sizeof(**entries), compare_entries);
    return true;
}

static bool walk_file(struct walk *walk, int dirfd, const char *name)
{
    FD(fd) = file_open_beneath(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, walk->err);
    struct stat stat;

    if (fd < 0)
        return false;
    if (fstat(fd, &stat) < 0)
        return error_errno(walk->err, "looking at \"%s\"", walk->path);
    if (!S_ISREG(stat.st_mode))
        return error_set(walk->err, ERROR_INPUT, "\"%s\" is no file", walk->path);
    return walk->each(walk->context, walk->path, fd, stat.st_size, stat.st_mode & 07777, walk->err);
}

static bool walk_folder(struct walk *walk, int dirfd, int depth);

static bool walk_entry(struct walk *walk, int dirfd, const struct entry *entry, int depth)
{
    size_t before = strlen(walk->path);
    size_t left = sizeof(walk->path) - before;
    int size = snprintf(walk->path + before, left, "%s%s", entry->name, entry->is_folder ? "/" : "");
    bool good;

    if ((size_t)size >= left)
        return error_set(walk->err, ERROR_LIMIT, "a path is longer than %d bytes", WALK_PATH);
    if (entry->is_folder) {
        FD(fd) = folder_open_beneath(dirfd, entry->name, walk->err);
        good = fd >= 0 && walk_folder(walk, fd, depth + 1);
    } else {
        good = walk_file(walk, dirfd, entry->name);
    }
    walk->path[before] = '\0';
    return good;
}

static bool walk_folder(struct walk *walk, int dirfd, int depth)
{
    ARENA(names);
    struct entry *entries = NULL;
    size_t count = 0;

    if (depth > WALK_DEPTH)
        return error_set(walk->err, ERROR_LIMIT, "\"%.200s\" is more than %d folders deep", walk->path,
                         WALK_DEPTH);
    bool good = entries_read(walk, dirfd, &names, &entries, &count);
    for (size_t i = 0; good && i < count; i++)
        good = walk_entry(walk, dirfd, &entries[i], depth);
    free(entries);
    return good;
}

bool folder_walk(int dirfd, file_each *each, void *context, struct error *err)
{
    struct walk walk = {.each = each, .context = context, .err = err};

    return walk_folder(&walk, dirfd, 0);
}

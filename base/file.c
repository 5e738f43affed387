#include "base/file.h"

#include "base/digest.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME_ROOM 256

static pthread_once_t fault_once = PTHREAD_ONCE_INIT;
static int fault_at, fault_errno, fault_steps; /* atomically */

static void fault_from_environment(void)
{
    static const struct {
        const char *name;
        int number;
    } kinds[] = {{":eio", EIO}, {":enospc", ENOSPC}, {":kill", FILE_FAULT_KILL}};
    const char *text = getenv("LOCUM_FAULT");
    const char *colon = text ? strchr(text, ':') : NULL;

    for (size_t i = 0; colon && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(colon, kinds[i].name) == 0) {
            fault_errno = kinds[i].number;
            fault_at = atoi(text);
        }
}

void file_fault(int n, int error_number)
{
    pthread_once(&fault_once, fault_from_environment);
    __atomic_store_n(&fault_errno, error_number, __ATOMIC_RELAXED);
    __atomic_store_n(&fault_steps, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&fault_at, n, __ATOMIC_RELEASE);
}

int file_fault_steps(void)
{
    return __atomic_load_n(&fault_steps, __ATOMIC_RELAXED);
}

/* Counts one durable step. False with errno set when this is the one that fails. `torn` does half of the step
 * first. */
static bool step_allowed(int torn_fd, const void *bytes, size_t size)
{
    pthread_once(&fault_once, fault_from_environment);
    int step = __atomic_add_fetch(&fault_steps, 1, __ATOMIC_RELAXED);
    int at = __atomic_load_n(&fault_at, __ATOMIC_ACQUIRE);

    if (at == 0 || step != at)
        return true;
    if (torn_fd >= 0 && size > 1 && write(torn_fd, bytes, size / 2) < 0)
        return false;
    int number = __atomic_load_n(&fault_errno, __ATOMIC_RELAXED);
    if (number == FILE_FAULT_KILL)
        kill(getpid(), SIGKILL);
    errno = number;
    return false;
}

static bool step(void)
{
    return step_allowed(-1, NULL, 0);
}

void fd_close(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

static int open_beneath(int dirfd, const char *path, int flags, mode_t mode, uint64_t more)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = flags & (O_CREAT | __O_TMPFILE) ? mode & 07777 : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | more,
    };
    int fd;

    if ((flags & O_ACCMODE) != O_RDONLY && !step())
        return -1;
    /* The kernel asks to try again when a rename raced with the walk, or a signal came. */
    do
        fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
    while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    return fd;
}

int file_open_beneath(int dirfd, const char *path, int flags, mode_t mode, struct error *err)
{
    int fd = open_beneath(dirfd, path, flags, mode, 0);

    if (fd < 0)
        error_errno(err, "opening \"%s\"", path);
    return fd;
}

int folder_open(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        error_errno(err, "opening the folder \"%s\"", path);
    return fd;
}

int folder_open_beneath(int dirfd, const char *path, struct error *err)
{
    return file_open_beneath(dirfd, path, O_RDONLY | O_DIRECTORY, 0, err);
}

bool fd_sync(int fd, struct error *err)
{
    if (!step() || fsync(fd) < 0)
        return error_errno(err, "writing to the disk");
    return true;
}

bool folder_sync(int dirfd, struct error *err)
{
    return fd_sync(dirfd, err);
}

/* Makes one part and gives its folder. */
static int part_make(int parent, const char *part, mode_t mode, struct error *err)
{
    bool made = step() && mkdirat(parent, part, mode) == 0;
    FD(fd) = made || errno == EEXIST ? open_beneath(parent, part, O_RDONLY | O_DIRECTORY, 0, 0) : -1;

    /* The umask is for people's programs; what we are told to make is made so. */
    if (fd < 0 || (made && fchmod(fd, mode) < 0)) {
        error_errno(err, "making the folder \"%s\"", part);
        return -1;
    }
    if (made && !folder_sync(parent, err))
        return -1;
    int result = fd;
    fd = -1;
    return result;
}

static bool parts_make(int dirfd, const char *path, mode_t mode, struct error *err)
{
    FD(parent) = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
    char part[NAME_ROOM];

    if (parent < 0)
        return error_errno(err, "making the folder \"%s\"", path);
    while (*path) {
        size_t size = strcspn(path, "/");

        if (size == 0 || size >= sizeof(part))
            return error_set(err, ERROR_INPUT, "a folder's name is empty or too long");
        memcpy(part, path, size);
        part[size] = '\0';
        if (string_is(part, ".") || string_is(part, ".."))
            return error_set(err, ERROR_INPUT, "a folder's name is \"%s\"", part);
        int fd = part_make(parent, part, mode, err);
        if (fd < 0)
            return false;
        close(parent);
        parent = fd;
        path += size + (path[size] == '/');
    }
    return true;
}

/* One at a time: who finds a folder made by another thread may then rely on its name being on the disk. */
bool folder_make(int dirfd, const char *path, mode_t mode, struct error *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&lock);
    FD(there) = open_beneath(dirfd, path, O_RDONLY | O_DIRECTORY, 0, 0);
    bool made = there >= 0 || parts_make(dirfd, path, mode, err);
    pthread_mutex_unlock(&lock);
    return made;
}

static bool fd_read_all(int fd, char *bytes, size_t size, size_t *got)
{
    *got = 0;
    while (*got < size) {
        ssize_t now = read(fd, bytes + *got, size - *got);

        if (now < 0 && errno == EINTR)
            continue;
        if (now < 0)
            return false;
        if (now == 0)
            break;
        *got += (size_t)now;
    }
    return true;
}

bool file_read(struct arena *arena, int dirfd, const char *path, size_t limit, char **bytes, size_t *size,
               struct error *err)
{
    FD(fd) = file_open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
    struct stat stat;

    if (fd < 0)
        return false;
    if (fstat(fd, &stat) < 0)
        return error_errno(err, "reading \"%s\"", path);
    if (!S_ISREG(stat.st_mode))
        return error_set(err, ERROR_INPUT, "\"%s\" is no file", path);
    if ((uint64_t)stat.st_size > limit)
        return error_set(err, ERROR_LIMIT, "\"%s\" has more than %zu bytes", path, limit);
    char *buffer = arena_alloc(arena, (size_t)stat.st_size + 1);
    if (!fd_read_all(fd, buffer, (size_t)stat.st_size, size))
        return error_errno(err, "reading \"%s\"", path);
    buffer[*size] = '\0';
    *bytes = buffer;
    return true;
}

bool fd_write_all(int fd, const void *bytes, size_t size, struct error *err)
{
    const char *from = bytes;

    if (!step_allowed(fd, bytes, size))
        return error_errno(err, "writing");
    while (size > 0) {
        ssize_t done = write(fd, from, size);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return error_errno(err, "writing");
        from += done;
        size -= (size_t)done;
    }
    return true;
}

bool file_rename(int from_dirfd, const char *from, int to_dirfd, const char *to, struct error *err)
{
    if (!step() || renameat(from_dirfd, from, to_dirfd, to) < 0)
        return error_errno(err, "renaming \"%s\" to \"%s\"", from, to);
    return true;
}

bool file_link(int from_dirfd, const char *from, int to_dirfd, const char *to, struct error *err)
{
    if (!step() || linkat(from_dirfd, from, to_dirfd, to, 0) < 0)
        return error_errno(err, "linking \"%s\" to \"%s\"", from, to);
    return true;
}

int parent_open_beneath(int dirfd, const char *path, const char **name, struct error *err)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 1;
    char folder[4096];

    *name = slash ? slash + 1 : path;
    if (!**name || string_is(*name, ".") || string_is(*name, "..") || slash == path ||
        size >= sizeof(folder)) {
        error_set(err, ERROR_INPUT, "\"%.80s\" is no path of a file", path);
        return -1;
    }
    memcpy(folder, slash ? path : ".", size);
    folder[size] = '\0';
    return folder_open_beneath(dirfd, folder, err);
}

static bool fill_file(int parent, const char *name, const void *bytes, size_t size, mode_t mode,
                      struct error *err)
{
    FD(fd) = file_open_beneath(parent, name, O_WRONLY | O_CREAT | O_EXCL, 0600, err);

    if (fd < 0 || !fd_write_all(fd, bytes, size, err))
        return false;
    if (fchmod(fd, mode) < 0)
        return error_errno(err, "setting the rights of a file");
    return fd_sync(fd, err);
}

static bool move_into_place(int parent, const char *temporary, const char *name, unsigned flags,
                            struct error *err)
{
    if (!step() || renameat2(parent, temporary, parent, name, flags) < 0)
        return error_errno(err, "renaming");
    return true;
}

static bool write_file(int dirfd, const char *path, const void *bytes, size_t size, mode_t mode,
                       unsigned flags, struct error *err)
{
    char temporary[40] = ".tmp-";
    uint8_t random[12];
    const char *name;

    FD(parent) = parent_open_beneath(dirfd, path, &name, err);
    if (parent < 0)
        return false;
    random_bytes(random, sizeof(random));
    hex_encode(temporary + strlen(temporary), random, sizeof(random));
    if (!fill_file(parent, temporary, bytes, size, mode, err) ||
        !move_into_place(parent, temporary, name, flags, err)) {
        unlinkat(parent, temporary, 0);
        return error_add(err, "writing \"%s\"", path);
    }
    return folder_sync(parent, err) || error_add(err, "writing \"%s\"", path);
}

bool file_write(int dirfd, const char *path, const void *bytes, size_t size, mode_t mode, struct error *err)
{
    return write_file(dirfd, path, bytes, size, mode, 0, err);
}

bool file_create(int dirfd, const char *path, const void *bytes, size_t size, mode_t mode, struct error *err)
{
    return write_file(dirfd, path, bytes, size, mode, RENAME_NOREPLACE, err);
}

int file_lock(int dirfd, const char *name, struct error *err)
{
    FD(fd) = file_open_beneath(dirfd, name, O_RDWR | O_CREAT, 0600, err);

    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            error_set(err, ERROR_CONFLICT, "\"%s\" is locked by another process", name);
        else
            error_errno(err, "locking \"%s\"", name);
        return -1;
    }
    int result = fd;
    fd = -1;
    return result;
}

int64_t file_space(int dirfd)
{
    struct statvfs space;

    if (fstatvfs(dirfd, &space) < 0)
        return 0;
    return (int64_t)(space.f_bavail * space.f_frsize);
}

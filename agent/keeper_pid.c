#include "agent/keeper_pid.h"

#include "base/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *boot_id(char out[BOOT_ID_SIZE])
{
    memset(out, 0, BOOT_ID_SIZE);
    FD(fd) = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, out, BOOT_ID_SIZE - 1) != BOOT_ID_SIZE - 1)
        out[0] = '\0';
    return out;
}

/* State, parent and start time from /proc/<pid>/stat (proc(5)); the name in the second field may hold
 * anything, the last ')' ends it. */
static bool read_stat(pid_t pid, char *state, pid_t *parent, int64_t *start)
{
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FD(fd) = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *rest = strrchr(text, ')');
    int above;
    long long ticks;
    if (rest == NULL ||
        sscanf(rest + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld",
               state, &above, &ticks) != 3)
        return false;
    *parent = above;
    *start = ticks;
    return true;
}

int64_t pid_start_time(pid_t pid)
{
    char state;
    pid_t parent;
    int64_t start;
    if (pid <= 0 || !read_stat(pid, &state, &parent, &start) || state == 'Z' || state == 'X')
        return -1;
    return start;
}

int pid_open(pid_t pid, int64_t start_time)
{
    if (pid <= 0 || start_time < 0)
        return -1;
    /* First the handle, then the check: what the handle names cannot change any more. */
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd >= 0 && pid_start_time(pid) != start_time)
        fd_close(&fd);
    return fd;
}

bool pid_is_below(pid_t pid, pid_t ancestor)
{
    char state;
    int64_t start;
    for (int depth = 0; depth < 64 && pid > 1; depth++) {
        if (pid == ancestor)
            return true;
        if (!read_stat(pid, &state, &pid, &start))
            return false;
    }
    return false;
}

int pid_count_of(uid_t uid, bool kill_them)
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    int count = 0;
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        char path[300];
        struct stat st;
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        pid_t pid = (pid_t)atoi(entry->d_name);
        snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
        /* A process that is not dumpable belongs to root in /proc: its status tells the uid all the same. */
        bool is = stat(path, &st) == 0 && st.st_uid == uid;
        if (!is) {
            snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
            FILE *file = fopen(path, "re");
            unsigned found = 0;
            char line[256];
            while (file != NULL && fgets(line, sizeof line, file) != NULL)
                if (sscanf(line, "Uid: %u", &found) == 1)
                    is = found == uid;
            if (file != NULL)
                fclose(file);
        }
        if (!is || pid_start_time(pid) < 0)
            continue;
        count++;
        if (kill_them)
            kill(pid, SIGKILL);
    }
    if (proc != NULL)
        closedir(proc);
    return count;
}

bool pid_exe_hash(pid_t pid, char hex[SHA256_HEX], struct error *err)
{
    char path[40];
    int64_t size;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    FD(fd) = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "%s", path);
    return sha256_file(fd, hex, &size, err);
}

/* Files that survive a power loss, and paths that cannot leave their folder.
 *
 * Every path from outside is opened with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
 * RESOLVE_NO_MAGICLINKS). "Durable" means: the bytes and the name are on the disk (fsync of file and folder)
 * when the call returns. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* `FD(name) = open…;` closes at the end of the scope. */
void fd_close(int *fd); /* ignores -1; sets -1 */
#define FD(name) __attribute__((cleanup(fd_close))) int name

/* Opens `path` below `dirfd`; `flags` as open(2), O_CLOEXEC added. -1 and `err` on failure. */
int file_open_beneath(int dirfd, const char *path, int flags, mode_t mode, struct error *err);
/* Opens a folder by any path of ours (not from outside), O_DIRECTORY. */
int folder_open(const char *path, struct error *err);
int folder_open_beneath(int dirfd, const char *path, struct error *err);
/* Opens the folder that holds the last part of `path`, and points `name` at that part: a name, not "." or
 * "..". */
int parent_open_beneath(int dirfd, const char *path, const char **name, struct error *err);
/* Makes all missing folders of `path` below `dirfd` with `mode`, durable. Existing ones are fine. */
bool folder_make(int dirfd, const char *path, mode_t mode, struct error *err);
bool folder_sync(int dirfd, struct error *err);
/* Removes a folder or file below `dirfd` with all it holds; does not follow links nor cross mounts. Missing
 * is fine. */
bool tree_remove(int dirfd, const char *path, struct error *err);

/* Reads a whole file of at most `limit` bytes into the arena, NUL added. LIMIT when larger. */
bool file_read(struct arena *arena, int dirfd, const char *path, size_t limit, char **bytes, size_t *size,
               struct error *err);
/* Replaces a file durably: temporary name in the same folder, fsync, rename, fsync of the folder. */
bool file_write(int dirfd, const char *path, const void *bytes, size_t size, mode_t mode, struct error *err);
/* As above but an existing name is a CONFLICT and stays as it is. */
bool file_create(int dirfd, const char *path, const void *bytes, size_t size, mode_t mode, struct error *err);
bool fd_write_all(int fd, const void *bytes, size_t size, struct error *err);
/* The durable steps one by one, for who streams into a file of his own; they count for file_fault. None syncs
 * a folder. */
bool fd_sync(int fd, struct error *err);
bool file_rename(int from_dirfd, const char *from, int to_dirfd, const char *to, struct error *err);
/* A second name for a file; an existing one is a CONFLICT. */
bool file_link(int from_dirfd, const char *from, int to_dirfd, const char *to, struct error *err);

/* Takes an exclusive lock on the file `name` (made when missing), held until the fd is closed or the process
 * ends. -1 with CONFLICT when another process has it. */
int file_lock(int dirfd, const char *name, struct error *err);
/* Free bytes for an ordinary user on the file system of `dirfd`. */
int64_t file_space(int dirfd);

/* Calls `each` for every regular file below `dirfd`, sorted by path ("a/b.bin"); links and other kinds are an
 * INPUT error. Stops when `each` returns false. */
typedef bool file_each(void *context, const char *path, int fd, int64_t size, mode_t mode, struct error *err);
bool folder_walk(int dirfd, file_each *each, void *context, struct error *err);

/* Fault injection for tests: the n-th durable step (open for write, write, fsync, rename, link, mkdir) from
 * now fails with EIO, or ENOSPC, or kills the process (error_number FILE_FAULT_KILL). A write that is hit has
 * written half of its bytes. n = 0 switches off. Also read once from LOCUM_FAULT="<n>:<eio|enospc|kill>". */
#define FILE_FAULT_KILL (-1)
void file_fault(int n, int error_number);
int file_fault_steps(void); /* durable steps counted since the last file_fault */

#endif

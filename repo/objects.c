#include "repo/store.h"

#include "base/clock.h"
#include "base/file.h"
#include "repo/delta_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CHUNK (256u << 10)
#define PART_LIFETIME_S (7 * 86400)
/* Bytes of the disk that uploads leave to git and the database: a twentieth of it, but at most so much. */
#define SPACE_KEPT_MOST ((int64_t)64 << 20)

struct object_upload {
    struct repo *repo;
    char sha256[SHA256_HEX], part[SHA256_HEX + 8];
    int fd; /* the part, locked */
    int64_t held, total;
    struct sha256 hash;
    struct delta_chunks *chunks; /* for the deltas to come; NULL: none */
    bool begun;                  /* the part is ours */
    bool broken;                 /* a write failed */
};

void object_path(const char *sha256, char path[OBJECT_PATH])
{
    snprintf(path, OBJECT_PATH, "%.2s/%.2s/%s", sha256, sha256 + 2, sha256);
}

static bool hash_check(const char *sha256, struct error *err)
{
    return (sha256 && sha256_is_hex(sha256)) ||
           error_set(err, ERROR_INPUT, "an object's name must be a sha256: 64 lower-case hex digits");
}

int object_open(struct repo *repo, const char *sha256, int64_t *size, struct error *err)
{
    char path[OBJECT_PATH];
    struct stat stat;
    if (!hash_check(sha256, err))
        return -1;
    object_path(sha256, path);
    FD(fd) = file_open_beneath(repo->objects_fd, path, O_RDONLY | O_NONBLOCK, 0, err);
    if (fd < 0) {
        if (err->kind == ERROR_MISSING)
            error_set(err, ERROR_MISSING, "there is no object %s", sha256);
        return -1;
    }
    if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode)) {
        error_set(err, ERROR_SYSTEM, "the object %s is no file", sha256);
        return -1;
    }
    if (size)
        *size = stat.st_size;
    int result = fd;
    fd = -1;
    return result;
}

bool object_length(struct repo *repo, const char *sha256, int64_t *length, struct error *err)
{
    FD(fd) = object_open(repo, sha256, length, err);
    return fd >= 0;
}

bool object_read(struct repo *repo, struct arena *arena, const char *sha256, size_t limit, char **bytes,
                 size_t *size, struct error *err)
{
    char path[OBJECT_PATH], real[SHA256_HEX];
    if (!hash_check(sha256, err))
        return false;
    object_path(sha256, path);
    if (!file_read(arena, repo->objects_fd, path, limit, bytes, size, err))
        return error_add(err, "object %.12s…", sha256);
    sha256_hex(*bytes, *size, real);
    return string_is(real, sha256) ||
           error_set(err, ERROR_UNTRUSTED, "the object %s has other bytes than its name says", sha256);
}

static void part_name(const char *sha256, char name[SHA256_HEX + 8])
{
    snprintf(name, SHA256_HEX + 8, "%s.part", sha256);
}

int64_t object_held(struct repo *repo, const char *sha256, bool *complete)
{
    struct error ignored = {0};
    char part[SHA256_HEX + 8];
    struct stat stat;
    int64_t size = 0;
    *complete = object_length(repo, sha256, &size, &ignored);
    if (*complete || !sha256_is_hex(sha256))
        return *complete ? size : 0;
    part_name(sha256, part);
    return fstatat(repo->uploads_fd, part, &stat, AT_SYMLINK_NOFOLLOW) == 0 ? stat.st_size : 0;
}

/* The folder of an object, made when it is not there. */
static int object_folder(struct repo *repo, const char *sha256, struct error *err)
{
    char folder[8];
    snprintf(folder, sizeof folder, "%.2s/%.2s", sha256, sha256 + 2);
    if (!folder_make(repo->objects_fd, folder, 0755, err))
        return -1;
    return folder_open_beneath(repo->objects_fd, folder, err);
}

bool object_put(struct repo *repo, const void *bytes, size_t size, char sha256[SHA256_HEX], struct error *err)
{
    int64_t there = -1;
    struct error failed = {0};
    sha256_hex(bytes, size, sha256);
    FD(folder) = object_folder(repo, sha256, err);
    if (folder < 0)
        return error_add(err, "keeping an object");
    if (object_length(repo, sha256, &there, &failed) && there == (int64_t)size)
        return folder_sync(folder, err); /* its name may still be on the way to the disk, by another thread */
    failed = (struct error){0};
    if (file_create(folder, sha256, bytes, size, 0444, &failed) || failed.kind == ERROR_CONFLICT)
        return failed.kind != ERROR_CONFLICT || folder_sync(folder, err);
    *err = failed;
    return error_add(err, "keeping an object");
}

/* Every byte passes here once, in order. */
static void take(struct object_upload *upload, const void *bytes, size_t size)
{
    sha256_add(&upload->hash, bytes, size);
    if (upload->chunks)
        delta_chunks_feed(upload->chunks, bytes, size);
}

/* Hashes what a part holds already. */
static bool part_rehash(struct object_upload *upload, struct error *err)
{
    ARENA(arena);
    char *buffer = arena_alloc(&arena, CHUNK);
    for (int64_t at = 0; at < upload->held;) {
        ssize_t got = pread(upload->fd, buffer, CHUNK, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return error_errno(err, "reading what is held of %s", upload->sha256);
        take(upload, buffer, (size_t)got);
        at += got;
    }
    return lseek(upload->fd, upload->held, SEEK_SET) >= 0 ||
           error_errno(err, "going on with %s", upload->sha256);
}

/* Opens and locks the part. The lock goes with the file, not its name: another may have finished and removed
 * it meanwhile. */
static bool part_open(struct object_upload *upload, struct error *err)
{
    struct stat by_fd, by_name;
    upload->fd =
        file_open_beneath(upload->repo->uploads_fd, upload->part, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, err);
    if (upload->fd < 0)
        return false;
    if (flock(upload->fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, ERROR_CONFLICT, "%s is being uploaded by somebody else right now",
                         upload->sha256);
    if (fstat(upload->fd, &by_fd) < 0 || !S_ISREG(by_fd.st_mode) ||
        fstatat(upload->repo->uploads_fd, upload->part, &by_name, AT_SYMLINK_NOFOLLOW) < 0 ||
        by_fd.st_ino != by_name.st_ino)
        return error_set(err, ERROR_CONFLICT, "the upload of %s has just ended; ask again", upload->sha256);
    upload->held = by_fd.st_size;
    return true;
}

static int64_t space_kept(int dirfd)
{
    struct statvfs disk;
    if (fstatvfs(dirfd, &disk) != 0)
        return SPACE_KEPT_MOST;
    int64_t twentieth = (int64_t)(disk.f_blocks / 20) * (int64_t)disk.f_frsize;
    return twentieth < SPACE_KEPT_MOST ? twentieth : SPACE_KEPT_MOST;
}

static bool upload_begin(struct object_upload *upload, int64_t offset, struct error *err)
{
    bool complete;
    if (!part_open(upload, err))
        return false;
    object_held(upload->repo, upload->sha256, &complete);
    if (complete) {
        unlinkat(upload->repo->uploads_fd, upload->part, 0);
        return error_set(err, ERROR_CONFLICT, "%s is there already", upload->sha256);
    }
    /* More than the whole cannot be its beginning. */
    if (upload->held > upload->total && ftruncate(upload->fd, 0) == 0)
        upload->held = 0;
    if (offset != upload->held)
        return error_set(err, ERROR_CONFLICT, "%lld bytes of %s are held, go on there and not at %lld",
                         (long long)upload->held, upload->sha256, (long long)offset);
    int space = upload->repo->uploads_fd;
    if (upload->total - upload->held > file_space(space) - space_kept(space))
        return error_set(err, ERROR_LIMIT, "the server's disk has no space for %lld more bytes",
                         (long long)(upload->total - upload->held));
    return part_rehash(upload, err);
}

static void upload_free(struct object_upload *upload)
{
    uint8_t digest[SHA256_SIZE];
    if (upload->hash.context)
        sha256_end(&upload->hash, digest);
    delta_chunks_free(upload->chunks);
    fd_close(&upload->fd);
    free(upload);
}

void object_upload_abort(struct object_upload *upload)
{
    if (!upload)
        return;
    /* A part without a byte would only look like an upload. */
    if (upload->begun && upload->held == 0)
        unlinkat(upload->repo->uploads_fd, upload->part, 0);
    upload_free(upload);
}

struct object_upload *object_upload_open(struct repo *repo, const char *sha256, int64_t offset, int64_t total,
                                         struct error *err)
{
    if (!hash_check(sha256, err))
        return NULL;
    if (total < 0 || total > OBJECT_LIMIT || offset < 0 || offset > total) {
        error_set(err, ERROR_INPUT, "an object has 0 to 1 TiB, and an upload begins within it");
        return NULL;
    }
    struct object_upload *upload = calloc(1, sizeof *upload);
    if (!upload)
        abort();
    upload->repo = repo;
    upload->total = total;
    upload->fd = -1;
    snprintf(upload->sha256, sizeof upload->sha256, "%s", sha256);
    part_name(sha256, upload->part);
    sha256_init(&upload->hash);
    if (repo->deltas && total >= DELTA_STORE_LEAST)
        upload->chunks = delta_chunks_new();
    upload->begun = upload_begin(upload, offset, err);
    if (upload->begun)
        return upload;
    upload_free(upload);
    return NULL;
}

bool object_upload_add(struct object_upload *upload, const void *bytes, size_t size, struct error *err)
{
    if (size > (uint64_t)(upload->total - upload->held))
        return error_set(err, ERROR_INPUT, "more bytes than the %lld that were announced",
                         (long long)upload->total);
    if (upload->broken)
        return error_set(err, ERROR_SYSTEM, "an upload that failed cannot go on");
    if (!fd_write_all(upload->fd, bytes, size, err)) {
        /* What went to the disk of it is not hashed: it must not count as held. */
        upload->broken = true;
        if (ftruncate(upload->fd, upload->held) < 0)
            unlinkat(upload->repo->uploads_fd, upload->part, 0);
        return error_add(err, "receiving %s", upload->sha256);
    }
    take(upload, bytes, size);
    upload->held += (int64_t)size;
    return true;
}

/* Gives the part its final name, never over another file, durably. */
static bool part_becomes_object(struct object_upload *upload, struct error *err)
{
    struct error failed = {0};
    if (fchmod(upload->fd, 0444) < 0)
        return error_errno(err, "setting the rights of %s", upload->sha256);
    if (!fd_sync(upload->fd, err))
        return false;
    FD(folder) = object_folder(upload->repo, upload->sha256, err);
    if (folder < 0)
        return false;
    if (!file_link(upload->repo->uploads_fd, upload->part, folder, upload->sha256, &failed) &&
        failed.kind != ERROR_CONFLICT) {
        *err = failed;
        return false;
    }
    if (!folder_sync(folder, err))
        return false;
    unlinkat(upload->repo->uploads_fd, upload->part, 0);
    return true;
}

static bool upload_finish(struct object_upload *upload, struct error *err)
{
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_HEX];
    sha256_end(&upload->hash, digest);
    hex_encode(hex, digest, sizeof digest);
    if (!string_is(hex, upload->sha256)) {
        unlinkat(upload->repo->uploads_fd, upload->part, 0);
        return error_set(err, ERROR_UNTRUSTED,
                         "the bytes have the sha256 %s, not %s as announced; send them again", hex,
                         upload->sha256);
    }
    if (!part_becomes_object(upload, err))
        return false;
    if (upload->chunks) {
        delta_chunks_end(upload->chunks);
        delta_store_keep_chunks(upload->repo->deltas, upload->sha256, upload->chunks);
    }
    return true;
}

bool object_upload_end(struct object_upload *upload, bool *complete, struct error *err)
{
    bool good;
    *complete = false;
    if (upload->broken)
        good = error_set(err, ERROR_SYSTEM, "an upload that failed cannot be ended");
    else if (upload->held < upload->total)
        good = fd_sync(upload->fd, err) && folder_sync(upload->repo->uploads_fd, err);
    else
        good = *complete = upload_finish(upload, err);
    upload_free(upload);
    return good;
}

void uploads_clean(struct repo *repo)
{
    int copy = openat(repo->uploads_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *entry;
    struct stat stat;
    if (!folder)
        return;
    while ((entry = readdir(folder)))
        if (fstatat(repo->uploads_fd, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(stat.st_mode) && stat.st_mtime < time(NULL) - PART_LIFETIME_S)
            unlinkat(repo->uploads_fd, entry->d_name, 0);
    closedir(folder);
}

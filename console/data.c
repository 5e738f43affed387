#include "console/data.h"

#include "base/file.h"
#include "console/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool folder_ready(const char *path, bool make, struct error *err)
{
    struct stat status;

    if (stat(path, &status) == 0) {
        if (!S_ISDIR(status.st_mode))
            return error_set(err, ERROR_INPUT, "%s is no folder", path);
        return true;
    }
    if (!make)
        return error_errno(err, "The data folder %s", path);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_errno(err, "The data folder %s cannot be made", path);
    return true;
}

static bool database_there(int dirfd, const char *path, struct error *err)
{
    if (faccessat(dirfd, DATABASE, F_OK, 0) == 0)
        return true;
    return error_set(err, ERROR_MISSING, "There is no console in %s yet: `locum serve --data %s` makes one",
                     path, path);
}

static bool open_all(struct data *data, const char *path, bool make, struct error *err)
{
    ARENA(arena);

    if (!folder_ready(path, make, err))
        return false;
    data->path = realpath(path, NULL);
    data->dirfd = data->path ? folder_open(data->path, err) : -1;
    if (data->dirfd < 0)
        return data->path ? false : error_errno(err, "The data folder %s", path);
    if (!make && !database_there(data->dirfd, path, err))
        return false;
    data->lock = file_lock(data->dirfd, INSTANCE_LOCK, err);
    if (data->lock < 0) {
        if (err->kind == ERROR_CONFLICT)
            error_set(err, ERROR_CONFLICT, "Another locum has the data folder %s open", path);
        return false;
    }
    data->db = db_open(arena_printf(&arena, "%s/" DATABASE, data->path), schema_migrations, err);
    return data->db != NULL;
}

bool data_open(struct data *data, const char *path, bool make, struct error *err)
{
    *data = (struct data){.dirfd = -1, .lock = -1};
    if (open_all(data, path, make, err))
        return true;
    data_close(data);
    return false;
}

bool data_open_repo(struct data *data, struct error *err)
{
    data->repo = repo_open(data->dirfd, data->path, data->db, err);
    return data->repo != NULL;
}

void data_close(struct data *data)
{
    if (data->repo)
        repo_close(data->repo);
    if (data->db)
        db_close(data->db);
    fd_close(&data->lock);
    fd_close(&data->dirfd);
    free(data->path);
    *data = (struct data){.dirfd = -1, .lock = -1};
}

#include "test/base/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void scratch_make(struct scratch *scratch)
{
    struct error err = {0};

    snprintf(scratch->path, sizeof(scratch->path), "/tmp/locum-test-XXXXXX");
    assert_non_null(mkdtemp(scratch->path));
    scratch->fd = folder_open(scratch->path, &err);
    assert_true(scratch->fd >= 0);
}

void scratch_remove(struct scratch *scratch)
{
    struct error err = {0};
    FD(tmp) = folder_open("/tmp", &err);

    fd_close(&scratch->fd);
    assert_ok(tree_remove(tmp, scratch->path + strlen("/tmp/"), &err), err);
}

int scratch_count(const struct scratch *scratch, const char *path)
{
    int fd = openat(scratch->fd, path, O_RDONLY | O_DIRECTORY);
    DIR *dir = fdopendir(fd);
    int count = -2; /* . and .. */

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

#include "diagnostics/images/log-archive/log-archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MOST 1500 /* the output has room for 2,048 names */
#define DEPTH_MOST 8
#define PATH_ROOM 600 /* below the folder; longer ones are left out */

struct found {
    char *path; /* below the folder */
    int64_t modified_at;
};

struct list {
    struct found files[FILES_MOST];
    int count, left; /* left: what found no room in the list */
    char path[PATH_ROOM];
};

static void add_file(struct list *list, int64_t modified_at)
{
    char *path = list->count < FILES_MOST ? strdup(list->path) : NULL;
    if (path == NULL)
        list->left++;
    else
        list->files[list->count++] = (struct found){path, modified_at};
}

/* Links are not followed, and what is neither file nor folder is not opened. */
static void list_folder(struct list *list, int folder, int depth)
{
    DIR *names = fdopendir(folder);
    const struct dirent *entry;
    struct stat st;
    size_t used = strlen(list->path);
    if (names == NULL)
        close(folder);
    while (names != NULL && (entry = readdir(names)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        int size = snprintf(list->path + used, PATH_ROOM - used, "%s%s", used > 0 ? "/" : "", entry->d_name);
        if (size < 0 || (size_t)size >= PATH_ROOM - used) {
            list->left++;
        } else if (S_ISREG(st.st_mode)) {
            add_file(list, (int64_t)st.st_mtim.tv_sec);
        } else if (S_ISDIR(st.st_mode)) {
            int below = depth < DEPTH_MOST
                            ? openat(folder, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                            : -1;
            if (below < 0)
                list->left++;
            else
                list_folder(list, below, depth + 1);
        }
        list->path[used] = '\0';
    }
    if (names != NULL)
        closedir(names);
}

static int newest_first(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->modified_at != y->modified_at)
        return x->modified_at < y->modified_at ? 1 : -1;
    return strcmp(x->path, y->path);
}

/* A name that a capture may carry: no control characters, nothing that begins with a dot. */
static void make_plain(char *path)
{
    text_tame(path);
    for (char *at = path; *at != '\0'; at++)
        if (*at == '?' || *at == '\\' || (*at == '.' && (at == path || at[-1] == '/')))
            *at = '_';
}

static void take_found(struct archive *archive, int folder, const char *root, const char *to,
                       const struct found *found)
{
    char source[PATH_MAX], target[PATH_MAX];
    snprintf(source, sizeof source, "%s/%s", root, found->path);
    snprintf(target, sizeof target, "%s", found->path);
    make_plain(target);
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", to, target);
    if (found->modified_at < archive->since) {
        archive_note(archive, source, 0, -1, "older");
        return;
    }
    int fd = openat(folder, found->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        archive_note(archive, source, 0, -1, strerror(errno));
    else
        archive_file(archive, fd, source, path);
}

void archive_folder(struct archive *archive, const char *root, const char *to)
{
    static struct list list;
    memset(&list, 0, sizeof list);
    int folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int walked = folder < 0 ? -1 : dup(folder);
    if (walked < 0) {
        program_say(archive->program, "%s cannot be read: %s", root, strerror(errno));
        if (folder >= 0)
            close(folder);
        return;
    }
    list_folder(&list, walked, 0);
    qsort(list.files, (size_t)list.count, sizeof list.files[0], newest_first);
    for (int i = 0; i < list.count; i++) {
        if (!program_is_over(archive->program))
            take_found(archive, folder, root, to, &list.files[i]);
        free(list.files[i].path);
    }
    if (list.left > 0)
        program_say(archive->program, "%s: %d more files or folders were not looked at", root, list.left);
    close(folder);
}

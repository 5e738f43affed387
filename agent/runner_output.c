/* Takes over what an image left. Everything in there is the image's doing: names, links, depth, numbers and
 * sizes are hostile. */
#include "agent/runner.h"

#include "agent/protocol.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PATH_ROOM 1280 /* an asset path has at most 1,024 bytes */

struct copy {
    struct arena *arena;
    int to;
    const struct run_plan *plan;
    struct run_output *output;
};

/* A name that is no UTF-8 or has control characters is told with '?'. */
static const char *printable(struct arena *arena, const char *path)
{
    char *text = arena_strdup(arena, path);
    bool plain = utf8_is_valid(text, strlen(text));
    for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++)
        if (*at < 32 || *at == 127 || (!plain && *at > 127))
            *at = '?';
    return text;
}

static void omit(struct copy *copy, const char *path, const char *why)
{
    struct run_output *output = copy->output;
    if (output->omitted_count == RUN_OMITTED_MOST) {
        output->more_omitted++;
        return;
    }
    output->omitted[output->omitted_count++] =
        (struct run_omitted){.path = printable(copy->arena, path), .why = arena_strdup(copy->arena, why)};
}

/* As declared in the image's outputs, else by what the bytes are. */
static const char *type_of(const struct run_plan *plan, const char *path, bool is_text)
{
    const struct json *outputs = plan->limits.outputs;
    for (const struct json *one = outputs != NULL ? outputs->first : NULL; one != NULL; one = one->next)
        if (string_is(json_string(one, "path"), path) && json_string(one, "type") != NULL)
            return json_string(one, "type");
    return is_text ? "text" : "binary";
}

/* Copies at most `length` bytes, hashing them. `is_text` by the first piece. */
static bool copy_bytes(int in, int out, struct run_file *file, bool *is_text, struct error *err)
{
    static char piece[64 << 10];
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    int64_t length = file->length;
    bool good = true;
    file->length = 0;
    *is_text = true;
    sha256_init(&hash);
    while (good && file->length < length) {
        int64_t left = length - file->length;
        ssize_t n = read(in, piece, left < (int64_t)sizeof piece ? (size_t)left : sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            good = error_errno(err, "read");
        if (n <= 0)
            break;
        if (file->length == 0)
            *is_text = memchr(piece, '\0', (size_t)n) == NULL &&
                       (n == (ssize_t)sizeof piece || utf8_is_valid(piece, (size_t)n));
        sha256_add(&hash, piece, (size_t)n);
        good = fd_write_all(out, piece, (size_t)n, err);
        file->length += n;
    }
    sha256_end(&hash, digest);
    hex_encode(file->sha256, digest, sizeof digest);
    return good;
}

/* Makes the folders above `path` below `to`; they are synced with everything else at the end. */
static bool make_above(int to, const char *path)
{
    char folder[PATH_ROOM];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = strchr(folder, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdirat(to, folder, 0700) != 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return true;
}

static void copy_file(struct copy *copy, int in, const char *path, int64_t length)
{
    struct run_output *output = copy->output;
    struct error err = {0};
    bool is_text;
    if (output->count == CAPTURE_FILES_MOST) {
        omit(copy, path, "more than 1000 files");
        return;
    }
    if (length > copy->plan->max_output - output->bytes) {
        omit(copy, path, "over max_output");
        return;
    }
    struct run_file *file = &output->files[output->count];
    *file = (struct run_file){.path = arena_strdup(copy->arena, path), .length = length};
    FD(out) = make_above(copy->to, path)
                  ? file_open_beneath(copy->to, path, O_WRONLY | O_CREAT | O_EXCL, 0600, &err)
                  : -1;
    if (out < 0 || !copy_bytes(in, out, file, &is_text, &err)) {
        unlinkat(copy->to, path, 0);
        omit(copy, path, err.kind == ERROR_LIMIT ? "the device's disk is full" : "it could not be copied");
        return;
    }
    file->type = type_of(copy->plan, path, is_text);
    output->bytes += file->length;
    output->count++;
}

static void copy_folder(struct copy *copy, int folder, const char *above, int depth);

static void copy_entry(struct copy *copy, int folder, const char *name, const char *above, int depth)
{
    char path[PATH_ROOM];
    struct stat st;
    struct error err = {0};
    snprintf(path, sizeof path, "%s%s%s", above, above[0] != '\0' ? "/" : "", name);
    if (!asset_path_check(path, strlen(path), &err)) {
        omit(copy, path, "its name cannot travel");
        return;
    }
    /* O_NONBLOCK: a pipe or device must not hold us; O_NOFOLLOW: a link leads nowhere. */
    FD(fd) = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0)
        omit(copy, path, errno == ELOOP ? "a link" : "it cannot be read");
    else if (S_ISREG(st.st_mode))
        copy_file(copy, fd, path, st.st_size);
    else if (!S_ISDIR(st.st_mode))
        omit(copy, path, "no regular file");
    else if (depth == RUN_OUTPUT_DEPTH)
        omit(copy, path, "folders too deep");
    else
        copy_folder(copy, fd, path, depth + 1);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* The tmpfs has at most SANDBOX_INODES entries, so a sorted list of a folder is small. */
static void copy_folder(struct copy *copy, int folder, const char *above, int depth)
{
    struct dirent **names = NULL;
    int count = scandirat(folder, ".", &names, not_dots, by_name);
    if (count < 0)
        omit(copy, above, "it cannot be read");
    for (int i = 0; i < count; i++) {
        copy_entry(copy, folder, names[i]->d_name, above, depth);
        free(names[i]);
    }
    free(names);
}

bool run_output_copy(struct arena *arena, int from, int to, const struct run_plan *plan,
                     struct run_output *output, struct error *err)
{
    struct copy copy = {.arena = arena, .to = to, .plan = plan, .output = output};
    struct statvfs room;
    memset(output, 0, sizeof *output);
    output->files = arena_array(arena, CAPTURE_FILES_MOST, sizeof *output->files);
    output->omitted = arena_array(arena, RUN_OMITTED_MOST, sizeof *output->omitted);
    output->full = fstatvfs(from, &room) == 0 && (room.f_bavail == 0 || room.f_favail == 0);
    copy_folder(&copy, from, "", 0);
    return syncfs(to) == 0 || error_errno(err, "output");
}

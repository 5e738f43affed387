/* Takes over what an image left. Everything in there is the image's doing: names, links, depth, numbers and
 * sizes are hostile. */
#include "agent/runner.h"

#include "agent/protocol.h"
#include "agent/redact.h"
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
    struct redact redact;
    const char *last; /* the file that was written last; NULL: none */
    struct timespec last_time;
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

/* As the image's outputs have it; NULL: they do not name it. */
static const char *declared_type(const struct run_plan *plan, const char *path)
{
    const struct json *outputs = plan->limits.outputs;
    for (const struct json *one = outputs != NULL ? outputs->first : NULL; one != NULL; one = one->next)
        if (string_is(json_string(one, "path"), path) && json_string(one, "type") != NULL)
            return json_string(one, "type");
    return run_is_override(plan) && string_is(path, SANDBOX_APP_LOG) ? "log" : NULL;
}

/* By the first piece: no NUL, and UTF-8 when the piece is all there is. */
static bool looks_like_text(int in)
{
    static char piece[64 << 10];
    ssize_t n = pread(in, piece, sizeof piece, 0);
    return n >= 0 && memchr(piece, '\0', (size_t)n) == NULL &&
           (n == (ssize_t)sizeof piece || utf8_is_valid(piece, (size_t)n));
}

/* Where the bytes of one file go. */
struct sink {
    int out;
    struct sha256 hash;
    int64_t length;
};

static bool sink_write(void *context, const char *bytes, size_t size, struct error *err)
{
    struct sink *sink = context;
    sha256_add(&sink->hash, bytes, size);
    sink->length += (int64_t)size;
    return fd_write_all(sink->out, bytes, size, err);
}

static bool copy_plainly(int in, int64_t length, struct sink *sink, struct error *err)
{
    static char piece[64 << 10];
    while (sink->length < length) {
        int64_t left = length - sink->length;
        ssize_t n = read(in, piece, left < (int64_t)sizeof piece ? (size_t)left : sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, "read");
        if (n == 0)
            break;
        if (!sink_write(sink, piece, (size_t)n, err))
            return false;
    }
    return true;
}

/* All but what the image declares to be no text: one byte that is none must not let a whole log pass. */
static bool is_redacted(const struct copy *copy, const char *path)
{
    const char *declared = declared_type(copy->plan, path);
    return copy->redact.count > 0 && !string_is(declared, "binary") && !string_is(declared, "image");
}

/* At most `most` bytes of the file as they leave the device; `cut` when there was more. */
static bool copy_bytes(struct copy *copy, int in, int out, int64_t most, struct run_file *file, bool *cut,
                       struct error *err)
{
    uint8_t digest[SHA256_SIZE];
    struct sink sink = {.out = out};
    bool good;
    sha256_init(&sink.hash);
    if (is_redacted(copy, file->path)) {
        /* The header of a series names columns and stays. */
        struct redact_copy how = {
            .in = in,
            .plain_lines = string_is(file->type, "timeseries") || string_is(file->type, "table") ? 1 : 0,
            .most = most,
            .write = sink_write,
            .context = &sink};
        good = redact_copy(&copy->redact, &how, &file->redacted, cut, err);
    } else {
        *cut = file->length > most;
        good = copy_plainly(in, *cut ? most : file->length, &sink, err);
    }
    sha256_end(&sink.hash, digest);
    hex_encode(file->sha256, digest, sizeof digest);
    file->length = sink.length;
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

/* The file that was written last when there was no room left is the one that ends too early. */
static void note_last(struct copy *copy, const char *path, const struct stat *st)
{
    if (copy->last != NULL &&
        (st->st_mtim.tv_sec < copy->last_time.tv_sec ||
         (st->st_mtim.tv_sec == copy->last_time.tv_sec && st->st_mtim.tv_nsec < copy->last_time.tv_nsec)))
        return;
    copy->last = path;
    copy->last_time = st->st_mtim;
}

static const char *why_not(const struct error *err)
{
    if (err->kind == ERROR_LIMIT)
        return strstr(err->text, "patterns") != NULL ? "redacting it took too long or too much memory"
                                                     : "the device's disk is full";
    return "it could not be copied";
}

static void copy_file(struct copy *copy, int in, const char *path, const struct stat *st)
{
    struct run_output *output = copy->output;
    struct error err = {0};
    bool cut = false;
    char words[80];
    if (output->count == CAPTURE_FILES_MOST) {
        omit(copy, path, "more than 1000 files");
        return;
    }
    struct run_file *file = &output->files[output->count];
    *file = (struct run_file){.path = arena_strdup(copy->arena, path), .length = st->st_size};
    file->type = declared_type(copy->plan, path);
    if (file->type == NULL)
        file->type = looks_like_text(in) ? "text" : "binary";
    FD(out) = make_above(copy->to, path)
                  ? file_open_beneath(copy->to, path, O_WRONLY | O_CREAT | O_EXCL, 0600, &err)
                  : -1;
    if (out < 0 || !copy_bytes(copy, in, out, copy->plan->max_output - output->bytes, file, &cut, &err)) {
        unlinkat(copy->to, path, 0);
        omit(copy, path, why_not(&err));
        return;
    }
    if (cut) {
        snprintf(words, sizeof words, "cut after %lld bytes: max_output", (long long)file->length);
        omit(copy, path, words);
    } else {
        note_last(copy, file->path, st);
    }
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
        copy_file(copy, fd, path, &st);
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
    if (!redact_init(&copy.redact, (const char *const *)plan->redact, err))
        return false;
    copy_folder(&copy, from, "", 0);
    redact_end(&copy.redact);
    if (output->full && copy.last != NULL)
        omit(&copy, copy.last, "may be cut: the output was full");
    return syncfs(to) == 0 || error_errno(err, "output");
}

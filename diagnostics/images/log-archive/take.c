#include "diagnostics/images/log-archive/log-archive.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096       /* files fill whole pages of the output */
#define LOOK_EVERY 4096 /* lines between two looks at the clock */

void archive_note(struct archive *archive, const char *source, int64_t taken, int64_t of, const char *what)
{
    csv_put(archive->index, source);
    fprintf(archive->index, ",%" PRId64 ",", taken);
    if (of >= 0)
        fprintf(archive->index, "%" PRId64, of);
    fputc(',', archive->index);
    csv_put(archive->index, what);
    fputc('\n', archive->index);
    if (taken > 0) {
        archive->taken_files++;
        archive->taken_bytes += taken;
        archive->cut_files += of > taken && strncmp(what, "cut", 3) == 0;
    } else {
        archive->left_files++;
    }
}

int64_t archive_share(const struct archive *archive)
{
    int64_t room = program_room(archive->program) - PAGE;
    return room < 2 * PAGE ? 0 : room / 2 / PAGE * PAGE;
}

FILE *archive_open(struct archive *archive, const char *source, const char *to)
{
    char path[PATH_MAX];
    int size = snprintf(path, sizeof path, "%s/%s", archive->program->output, to);
    if (size < 0 || (size_t)size >= sizeof path)
        return NULL;
    for (char *slash = strchr(path + strlen(archive->program->output) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0755);
        *slash = '/';
    }
    FILE *file = fopen(path, "wxe");
    if (file == NULL)
        archive_note(archive, source, 0, -1, strerror(errno));
    return file;
}

static bool looks_binary(FILE *file)
{
    char head[PAGE];
    size_t size = fread(head, 1, sizeof head, file);
    rewind(file);
    return memchr(head, '\0', size) != NULL;
}

static bool is_packed(const char *name)
{
    static const char *const endings[] = {".gz", ".xz", ".zst", ".bz2"};
    size_t size = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t ending = strlen(endings[i]);
        if (size > ending && strcmp(name + size - ending, endings[i]) == 0)
            return true;
    }
    return false;
}

/* Where the first line of the last hours begins. Logs are in order: all after it belongs to them, lines
 * without a time of their own too. A file without any time is taken whole, as young as it is itself. `size`:
 * there is no such line. */
static int64_t find_start(struct archive *archive, FILE *file, int64_t size)
{
    char head[HEAD_ROOM];
    bool any = false;
    int64_t line = 0, at = 0;
    for (long n = 0; at < size && (n % LOOK_EVERY != 0 || !program_is_over(archive->program)); n++) {
        size_t used = 0;
        int c;
        for (line = at; at < size && (c = getc_unlocked(file)) != EOF;) {
            at++;
            if (c == '\n')
                break;
            if (used < sizeof head - 1)
                head[used++] = c == '\0' ? '?' : (char)c;
        }
        head[used] = '\0';
        int64_t moment = stamp_of(head, archive->now);
        any = any || moment >= 0;
        if (moment >= archive->since)
            return line;
        if (at == line) /* it became shorter under our hands */
            break;
    }
    return any ? size : 0;
}

/* From `start` on what fits, beginning with a whole line. */
static int64_t whole_line_after(FILE *file, int64_t start, int64_t size)
{
    if (fseeko(file, (off_t)(start - 1), SEEK_SET) != 0)
        return size;
    for (int c; start < size && (c = getc_unlocked(file)) != EOF && c != '\n';)
        start++;
    return start;
}

static int64_t copy(FILE *in, FILE *out, int64_t start, int64_t size)
{
    char piece[65536];
    int64_t done = 0;
    if (fseeko(in, (off_t)start, SEEK_SET) != 0)
        return 0;
    while (done < size) {
        int64_t left = size - done;
        size_t got = fread(piece, 1, left < (int64_t)sizeof piece ? (size_t)left : sizeof piece, in);
        if (got == 0 || fwrite(piece, 1, got, out) != got)
            break;
        done += (int64_t)got;
    }
    return done;
}

static void take_from(struct archive *archive, FILE *in, int64_t start, int64_t size, const char *source,
                      const char *to)
{
    char what[128];
    int64_t share = archive_share(archive), wanted = size - start;
    bool cut = wanted > share, packed = is_packed(source);
    if (cut && !packed && share > 0)
        start = whole_line_after(in, size - share, size);
    if (share == 0 || (cut && packed)) {
        archive_note(archive, source, 0, size, "left out: the output has no room for it");
        archive->program->cut = true;
        return;
    }
    FILE *out = archive_open(archive, source, to);
    if (out == NULL)
        return;
    int64_t done = copy(in, out, start, size - start);
    bool whole = program_close(archive->program, out, to) && done == size - start;
    snprintf(what, sizeof what, "cut: the newest of %" PRId64 " bytes of these hours", wanted);
    archive->program->cut = archive->program->cut || cut;
    archive_note(archive, source, done, size,
                 cut         ? what
                 : !whole    ? "cut: it could not be read or written to its end"
                 : start > 0 ? "the lines of these hours"
                             : "whole");
}

void archive_file(struct archive *archive, int fd, const char *source, const char *to)
{
    struct stat st;
    FILE *in = fdopen(fd, "re");
    if (in == NULL || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        archive_note(archive, source, 0, -1, "no file");
    } else if (st.st_size == 0) {
        archive_note(archive, source, 0, 0, "empty");
    } else if (is_packed(source)) {
        take_from(archive, in, 0, (int64_t)st.st_size, source, to);
    } else if (looks_binary(in)) {
        archive_note(archive, source, 0, (int64_t)st.st_size, "no text");
    } else {
        int64_t start = find_start(archive, in, (int64_t)st.st_size);
        if (start >= (int64_t)st.st_size)
            archive_note(archive, source, 0, (int64_t)st.st_size, "no line of these hours");
        else
            take_from(archive, in, start, (int64_t)st.st_size, source, to);
    }
    if (in != NULL)
        fclose(in);
    else
        close(fd);
}

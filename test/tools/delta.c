/* locum-delta: deltas by hand, for the benchmark and for people. Prints lines of key=value. */
#include "base/file.h"
#include "repo/delta_coding.h"
#include "repo/delta_make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "usage: locum-delta make [--thorough] OLD NEW DELTA | apply OLD DELTA NEW | show DELTA\n"
    "\n"
    "make    writes DELTA, from which and OLD a device makes NEW. --thorough: as the console makes it in "
    "the\n"
    "        background for what is asked for often; it is smaller and takes seconds for each MiB.\n"
    "        length: of the delta; copied, literal: bytes of NEW that OLD or NEW itself has, and the "
    "others;\n"
    "        chunks_s: CPU seconds of cutting both files into chunks, which a console does while they are\n"
    "        uploaded; cpu_s: of the rest\n"
    "apply   writes NEW, and says what that took\n"
    "show    a line for each block: how its table, its bytes that are near to old ones and its fresh ones "
    "are\n"
    "        coded (coding/size of an element:bytes>coded bytes); repo/FORMAT.md tells what they are\n"
    "\n"
    "What is written replaces a file of that name only when it is whole. Exit codes: 0 done, 1 failed, 2 "
    "not\n"
    "understood, 3 not worth it: the delta would be no smaller than NEW, and none is written.\n";

static int fail(const char *path, const char *why)
{
    fprintf(stderr, "locum-delta: %s: %s\n", path, why);
    return 1;
}

/* A file to read; ends the program when it is none. */
static int input(const char *path)
{
    struct stat file;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &file) < 0)
        exit(fail(path, strerror(errno)));
    if (!S_ISREG(file.st_mode))
        exit(fail(path, "is not a file"));
    return fd;
}

/* What is written beside `path` until it is whole. */
struct output {
    const char *path;
    char part[4096];
    int fd;
};

static void output_open(struct output *output, const char *path)
{
    struct stat file;

    output->path = path;
    if (stat(path, &file) == 0 && !S_ISREG(file.st_mode))
        exit(fail(path, "is there, and is not a file"));
    if (snprintf(output->part, sizeof output->part, "%s.part", path) >= (int)sizeof output->part)
        exit(fail(path, strerror(ENAMETOOLONG)));
    output->fd = open(output->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (output->fd < 0)
        exit(fail(output->part, strerror(errno)));
}

static bool output_close(struct output *output, bool whole)
{
    bool closed = close(output->fd) == 0;

    if (whole && closed && rename(output->part, output->path) == 0)
        return true;
    if (whole)
        fail(output->path, strerror(errno));
    unlink(output->part);
    return false;
}

static double cpu_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* As a server has them since the file was uploaded. */
static struct delta_chunks *chunks_of(int fd)
{
    static char bytes[1 << 20];
    struct delta_chunks *chunks = delta_chunks_new();
    ssize_t got;

    for (off_t at = 0; (got = pread(fd, bytes, sizeof bytes, at)) > 0; at += got)
        delta_chunks_feed(chunks, bytes, (size_t)got);
    delta_chunks_end(chunks);
    return chunks;
}

static int make_delta(int count, char **paths, enum delta_effort effort)
{
    char old_sha256[SHA256_HEX], new_sha256[SHA256_HEX];
    struct delta_make make = {.old_sha256 = old_sha256, .new_sha256 = new_sha256, .effort = effort};
    struct delta_made made = {0};
    struct output out;
    struct error err = {0};
    int64_t size;

    if (count != 3)
        return 2;
    FD(old_fd) = make.old_fd = input(paths[0]);
    FD(new_fd) = make.new_fd = input(paths[1]);
    output_open(&out, paths[2]);
    make.out_fd = out.fd;
    bool done = sha256_file(old_fd, old_sha256, &size, &err) && sha256_file(new_fd, new_sha256, &size, &err);
    double start = cpu_now();
    struct delta_chunks *old_chunks = chunks_of(old_fd), *new_chunks = chunks_of(new_fd);
    double chunks_s = cpu_now() - start;

    make.old_chunks = old_chunks;
    make.new_chunks = new_chunks;
    done = done && delta_make(&make, &made, &err);
    delta_chunks_free(old_chunks);
    delta_chunks_free(new_chunks);
    if (!done)
        fail(paths[2], err.text);
    done = output_close(&out, done && !made.why_not);
    if (!done && !made.why_not)
        return 1;
    printf("length=%lld copied=%lld literal=%lld chunks_s=%.3f cpu_s=%.3f%s%s\n", (long long)made.length,
           (long long)made.copied, (long long)made.literal, chunks_s, made.cpu_s,
           made.why_not ? " why_not=" : "", made.why_not ? made.why_not : "");
    return made.why_not ? 3 : 0;
}

static bool feed_all(struct delta_apply *apply, int fd, struct error *err)
{
    static char bytes[64 << 10];
    ssize_t got;

    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        if (!delta_apply_feed(apply, bytes, (size_t)got, err))
            return false;
    return got == 0 || error_errno(err, "reading");
}

/* Applies the delta; false and `err`. */
static bool apply_to(int old_fd, int delta_fd, int new_fd, int64_t *length, struct error *err)
{
    uint8_t head[DELTA_HEADER_SIZE];
    char sha256[SHA256_HEX];
    struct delta_header header;
    ssize_t got = pread(delta_fd, head, sizeof head, 0);

    if (!delta_header_read(head, got < 0 ? 0 : (size_t)got, &header, err))
        return false;
    struct delta_apply *apply = delta_apply_open(old_fd, new_fd, header.new_length, NULL, err);
    bool done = apply && feed_all(apply, delta_fd, err) && delta_apply_end(apply, sha256, err);
    delta_apply_free(apply);
    if (done && strcmp(sha256, header.new_sha256))
        done = error_set(err, ERROR_UNTRUSTED, "the new file has another SHA-256 than the delta says");
    *length = header.new_length;
    return done;
}

static int apply_delta(int count, char **paths)
{
    struct output out;
    struct error err = {0};
    struct rusage used;
    int64_t length = 0;

    if (count != 3)
        return 2;
    FD(old_fd) = input(paths[0]);
    FD(delta_fd) = input(paths[1]);
    output_open(&out, paths[2]);
    bool done = apply_to(old_fd, delta_fd, out.fd, &length, &err);
    if (!done)
        fail(paths[1], err.text);
    if (!output_close(&out, done))
        return 1;
    getrusage(RUSAGE_SELF, &used);
    printf("length=%lld cpu_s=%.3f resident_kib=%ld\n", (long long)length,
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
           used.ru_maxrss);
    return 0;
}

static void show_stream(const char *name, const struct delta_stream *stream)
{
    printf(" %s=%s/%u:%u>%u", name, delta_coding_names[stream->coding], stream->element, stream->length,
           stream->coded);
}

static int show(int count, char **paths)
{
    uint8_t head[DELTA_HEADER_SIZE], bytes[DELTA_BLOCK_SIZE];
    int64_t at = DELTA_HEADER_SIZE, out = 0;
    struct delta_header header;
    struct delta_block block;
    struct error err = {0};
    struct stat file;

    if (count != 1)
        return 2;
    FD(fd) = input(paths[0]);
    ssize_t got = pread(fd, head, sizeof head, 0);
    if (!delta_header_read(head, got < 0 ? 0 : (size_t)got, &header, &err))
        return fail(paths[0], err.text);
    printf("old=%s old_length=%lld new=%s new_length=%lld\n", header.old_sha256, (long long)header.old_length,
           header.new_sha256, (long long)header.new_length);
    while (pread(fd, bytes, sizeof bytes, at) == sizeof bytes) {
        if (!delta_block_read(bytes, &block, &err))
            return fail(paths[0], err.text);
        printf("at=%lld out=%u", (long long)at, block.out);
        show_stream("table", &block.table);
        show_stream("near", &block.near);
        show_stream("fresh", &block.fresh);
        if (block.window_length)
            printf(" window=%s:%lld+%u", block.window_new ? "new" : "old", (long long)block.window_place,
                   block.window_length);
        putchar('\n');
        at += DELTA_BLOCK_SIZE + (int64_t)block.table.coded + block.near.coded + block.fresh.coded;
        out += block.out;
    }
    if (fstat(fd, &file) < 0 || file.st_size != at || out != header.new_length)
        return fail(paths[0], "is not whole");
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    bool thorough = argc > 2 && !strcmp(argv[2], "--thorough");
    int code = 2;

    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(help, stdout);
            return 0;
        }
    if (!strcmp(verb, "make"))
        code = make_delta(argc - 2 - thorough, argv + 2 + thorough, thorough ? DELTA_THOROUGH : DELTA_QUICK);
    else if (!strcmp(verb, "apply"))
        code = apply_delta(argc - 2, argv + 2);
    else if (!strcmp(verb, "show"))
        code = show(argc - 2, argv + 2);
    if (code == 2)
        fputs(help, stderr);
    return code;
}

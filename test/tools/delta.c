/* locum-delta make [--thorough] OLD NEW DELTA | apply OLD DELTA NEW | show DELTA: deltas by hand, for the
 * benchmark and for people. Prints one line of key=value. */
#include "base/file.h"
#include "repo/delta_coding.h"
#include "repo/delta_make.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int open_or_end(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0644);

    if (fd >= 0)
        return fd;
    perror(path);
    exit(1);
}

static int fail(const struct error *err)
{
    fprintf(stderr, "locum-delta: %s\n", err->text);
    return 1;
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
    struct delta_made made;
    struct error err = {0};
    int64_t size;

    if (count != 3)
        return 2;
    FD(old_fd) = make.old_fd = open_or_end(paths[0], O_RDONLY);
    FD(new_fd) = make.new_fd = open_or_end(paths[1], O_RDONLY);
    FD(out_fd) = make.out_fd = open_or_end(paths[2], O_WRONLY | O_CREAT | O_TRUNC);
    if (!sha256_file(old_fd, old_sha256, &size, &err) || !sha256_file(new_fd, new_sha256, &size, &err))
        return fail(&err);
    double start = cpu_now();
    struct delta_chunks *old_chunks = chunks_of(old_fd), *new_chunks = chunks_of(new_fd);
    double chunks_s = cpu_now() - start;

    make.old_chunks = old_chunks;
    make.new_chunks = new_chunks;
    bool done = delta_make(&make, &made, &err);
    delta_chunks_free(old_chunks);
    delta_chunks_free(new_chunks);
    if (!done)
        return fail(&err);
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

static int apply_delta(int count, char **paths)
{
    uint8_t head[DELTA_HEADER_SIZE];
    char sha256[SHA256_HEX];
    struct delta_header header;
    struct error err = {0};
    struct rusage used;

    if (count != 3)
        return 2;
    FD(old_fd) = open_or_end(paths[0], O_RDONLY);
    FD(delta_fd) = open_or_end(paths[1], O_RDONLY);
    FD(new_fd) = open_or_end(paths[2], O_RDWR | O_CREAT | O_TRUNC);
    ssize_t got = pread(delta_fd, head, sizeof head, 0);
    if (!delta_header_read(head, got < 0 ? 0 : (size_t)got, &header, &err))
        return fail(&err);
    struct delta_apply *apply = delta_apply_open(old_fd, new_fd, header.new_length, NULL, &err);
    bool done = apply && feed_all(apply, delta_fd, &err) && delta_apply_end(apply, sha256, &err);
    delta_apply_free(apply);
    if (done && strcmp(sha256, header.new_sha256))
        done = error_set(&err, ERROR_UNTRUSTED, "the new file has another SHA-256 than the delta says");
    if (!done) {
        unlink(paths[2]);
        return fail(&err);
    }
    getrusage(RUSAGE_SELF, &used);
    printf("length=%lld cpu_s=%.3f resident_kib=%ld\n", (long long)header.new_length,
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
    int64_t at = DELTA_HEADER_SIZE;
    struct delta_header header;
    struct delta_block block;
    struct error err = {0};

    if (count != 1)
        return 2;
    FD(fd) = open_or_end(paths[0], O_RDONLY);
    if (!delta_header_read(head, (size_t)pread(fd, head, sizeof head, 0), &header, &err))
        return fail(&err);
    printf("old=%s old_length=%lld new=%s new_length=%lld\n", header.old_sha256, (long long)header.old_length,
           header.new_sha256, (long long)header.new_length);
    while (pread(fd, bytes, sizeof bytes, at) == sizeof bytes) {
        if (!delta_block_read(bytes, &block, &err))
            return fail(&err);
        printf("at=%lld out=%u", (long long)at, block.out);
        show_stream("table", &block.table);
        show_stream("near", &block.near);
        show_stream("fresh", &block.fresh);
        if (block.window_length)
            printf(" window=%s:%lld+%u", block.window_new ? "new" : "old", (long long)block.window_place,
                   block.window_length);
        putchar('\n');
        at += DELTA_BLOCK_SIZE + (int64_t)block.table.coded + block.near.coded + block.fresh.coded;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    bool thorough = argc > 2 && !strcmp(argv[2], "--thorough");
    int code = 2;

    if (!strcmp(verb, "make"))
        code = make_delta(argc - 2 - thorough, argv + 2 + thorough, thorough ? DELTA_THOROUGH : DELTA_QUICK);
    else if (!strcmp(verb, "apply"))
        code = apply_delta(argc - 2, argv + 2);
    else if (!strcmp(verb, "show"))
        code = show(argc - 2, argv + 2);
    if (code == 2)
        fputs("usage: locum-delta make [--thorough] OLD NEW DELTA | apply OLD DELTA NEW | show DELTA\n",
              stderr);
    return code;
}

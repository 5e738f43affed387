/* Difference of two versions as JSON: console/API.md "difference". */
#include "repo/lines.h"
#include "repo/store.h"

#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define TEXT_FILE_LIMIT (1 << 20)
#define TEXT_ALL_LIMIT (8 << 20)     /* bytes of text compared in one answer */
#define BINARY_ALL_LIMIT (4LL << 30) /* bytes of binary compared in one answer */
#define LINES_LIMIT 4000             /* lines written for one file */
#define LINE_LIMIT 2000              /* bytes of one line */
#define CONTEXT 3
#define CHUNK (256 << 10)

struct comparison {
    struct repo *repo;
    struct json_writer *writer;
    int64_t text, binary; /* bytes that may still be compared */
};

/* --- text
 * --------------------------------------------------------------------------------------------------------------
 */

static void line_write(struct json_writer *writer, const char *op, const struct text_lines *lines, size_t at)
{
    size_t size = (size_t)(lines->start[at + 1] - lines->start[at]);
    const char *line = lines->start[at];
    if (size > 0 && line[size - 1] == '\n')
        size--;
    if (size > LINE_LIMIT) /* not in the middle of a character */
        for (size = LINE_LIMIT; size > 0 && ((unsigned char)line[size] & 0xc0) == 0x80;)
            size--;
    json_write_object(writer, NULL);
    json_write_string(writer, "op", op);
    json_write_bytes(writer, "text", line, size);
    json_write_end(writer, '}');
}

static size_t context_before(const struct line_change *changes, size_t i)
{
    size_t free =
        i ? changes[i].old_at - changes[i - 1].old_at - changes[i - 1].old_count : changes[0].old_at;
    return free < CONTEXT ? free : CONTEXT;
}

/* Changes closer than twice the context share a hunk. The number of those from `first` on. */
static size_t hunk_size(const struct line_change *changes, size_t first, size_t count)
{
    size_t n = 1;
    while (first + n < count &&
           changes[first + n].old_at - changes[first + n - 1].old_at - changes[first + n - 1].old_count <=
               2 * CONTEXT)
        n++;
    return n;
}

static void hunk_write(struct json_writer *writer, const struct text_lines *a, const struct text_lines *b,
                       const struct line_change *changes, size_t first, size_t n)
{
    const struct line_change *begin = &changes[first], *end = &changes[first + n - 1];
    size_t before = context_before(changes, first), after = a->count - end->old_at - end->old_count;
    after = after < CONTEXT ? after : CONTEXT;
    json_write_object(writer, NULL);
    json_write_integer(writer, "old_start", (int64_t)(begin->old_at - before) + 1);
    json_write_integer(writer, "old_count",
                       (int64_t)(end->old_at + end->old_count + after - begin->old_at + before));
    json_write_integer(writer, "new_start", (int64_t)(begin->new_at - before) + 1);
    json_write_integer(writer, "new_count",
                       (int64_t)(end->new_at + end->new_count + after - begin->new_at + before));
    json_write_array(writer, "lines");
    size_t at = begin->old_at - before;
    for (size_t i = first; i < first + n; i++) {
        for (; at < changes[i].old_at; at++)
            line_write(writer, " ", a, at);
        for (; at < changes[i].old_at + changes[i].old_count; at++)
            line_write(writer, "-", a, at);
        for (size_t k = 0; k < changes[i].new_count; k++)
            line_write(writer, "+", b, changes[i].new_at + k);
    }
    for (size_t k = 0; k < after; k++)
        line_write(writer, " ", a, at + k);
    json_write_end(writer, ']');
    json_write_end(writer, '}');
}

static size_t hunk_lines(const struct line_change *changes, size_t first, size_t n)
{
    size_t lines = 2 * CONTEXT;
    for (size_t i = first; i < first + n; i++)
        lines += changes[i].old_count + changes[i].new_count + 2 * CONTEXT;
    return lines;
}

static void text_write(struct json_writer *writer, struct arena *arena, const char *a_bytes, size_t a_size,
                       const char *b_bytes, size_t b_size)
{
    struct text_lines a, b;
    struct line_change *changes = NULL;
    size_t count, lines = 0, i = 0;
    lines_split(arena, a_bytes, a_size, &a);
    lines_split(arena, b_bytes, b_size, &b);
    lines_difference(arena, &a, &b, &changes, &count);
    json_write_array(writer, "hunks");
    while (i < count) {
        size_t n = hunk_size(changes, i, count);
        lines += hunk_lines(changes, i, n);
        if (lines > LINES_LIMIT)
            break;
        hunk_write(writer, &a, &b, changes, i, n);
        i += n;
    }
    json_write_end(writer, ']');
    json_write_boolean(writer, "truncated", i < count);
}

/* --- binary
 * ------------------------------------------------------------------------------------------------------------
 */

static ssize_t chunk_read(int fd, char *buffer, int64_t at, struct error *err)
{
    size_t got = 0;
    while (got < CHUNK) {
        ssize_t now = pread(fd, buffer + got, CHUNK - got, at + (int64_t)got);
        if (now < 0 && errno == EINTR)
            continue;
        if (now < 0) {
            error_errno(err, "reading an object");
            return -1;
        }
        if (now == 0)
            break;
        got += (size_t)now;
    }
    return (ssize_t)got;
}

/* Position of the first differing byte and how many differ; a longer file's rest counts from the shorter
 * one's end. */
static bool bytes_compare(int a, int b, int64_t *first, int64_t *differing, struct error *err)
{
    ARENA(arena);
    char *left = arena_alloc(&arena, CHUNK), *right = arena_alloc(&arena, CHUNK);
    *first = -1;
    *differing = 0;
    for (int64_t at = 0;; at += CHUNK) {
        ssize_t n = chunk_read(a, left, at, err), m = chunk_read(b, right, at, err);
        if (n < 0 || m < 0)
            return false;
        ssize_t least = n < m ? n : m;
        if (memcmp(left, right, (size_t)least) != 0)
            for (ssize_t i = 0; i < least; i++)
                if (left[i] != right[i]) {
                    *first = *first < 0 ? at + i : *first;
                    ++*differing;
                }
        if (n != m && *first < 0)
            *first = at + least;
        if (least < CHUNK)
            return true;
    }
}

static bool binary_write(struct comparison *comparison, const struct manifest_file *a,
                         const struct manifest_file *b, struct error *err)
{
    struct json_writer *writer = comparison->writer;
    int64_t first = -1, differing = 0;
    bool compared = a && b && a->length + b->length <= comparison->binary;
    if (compared) {
        comparison->binary -= a->length + b->length;
        FD(left) = object_open(comparison->repo, a->sha256, NULL, err);
        if (left < 0)
            return false;
        FD(right) = object_open(comparison->repo, b->sha256, NULL, err);
        if (right < 0 || !bytes_compare(left, right, &first, &differing, err))
            return false;
    }
    if (first >= 0)
        json_write_integer(writer, "first_difference", first);
    else
        json_write_null(writer, "first_difference");
    if (compared && a->length == b->length)
        json_write_integer(writer, "differing_bytes", differing);
    else
        json_write_null(writer, "differing_bytes");
    json_write_boolean(writer, "truncated", a && b && !compared);
    return true;
}

/* --- files
 * -------------------------------------------------------------------------------------------------------------
 */

static void facts_write(struct json_writer *writer, const char *key, const struct manifest_file *file)
{
    if (!file) {
        json_write_null(writer, key);
        return;
    }
    json_write_object(writer, key);
    json_write_integer(writer, "length", file->length);
    json_write_string(writer, "sha256", file->sha256);
    json_write_integer(writer, "mode", file->mode);
    json_write_end(writer, '}');
}

/* The bytes of a file that may be text; an absent one is empty. False when it is none, is too large or does
 * not read. */
static bool text_read(struct comparison *comparison, struct arena *arena, const struct manifest_file *file,
                      char **bytes, size_t *size)
{
    struct error ignored = {0};
    *bytes = "";
    *size = 0;
    if (!file)
        return true;
    if (file->length > TEXT_FILE_LIMIT || file->length > comparison->text)
        return false;
    comparison->text -= file->length;
    return object_read(comparison->repo, arena, file->sha256, TEXT_FILE_LIMIT, bytes, size, &ignored) &&
           !memchr(*bytes, 0, *size) && utf8_is_valid(*bytes, *size);
}

static const char *change_name(const struct manifest_file *a, const struct manifest_file *b)
{
    if (!a || !b)
        return a ? "removed" : "added";
    if (!string_is(a->sha256, b->sha256))
        return "changed";
    return a->mode == b->mode ? "same" : "mode";
}

static bool file_compare(struct comparison *comparison, const struct manifest_file *a,
                         const struct manifest_file *b, struct error *err)
{
    ARENA(arena);
    struct json_writer *writer = comparison->writer;
    const char *change = change_name(a, b);
    char *left, *right;
    size_t left_size, right_size;
    bool differs = !string_is(change, "same") && !string_is(change, "mode"), good = true;
    json_write_object(writer, NULL);
    json_write_string(writer, "path", a ? a->path : b->path);
    json_write_string(writer, "change", change);
    facts_write(writer, "old", a);
    facts_write(writer, "new", b);
    if (differs && text_read(comparison, &arena, a, &left, &left_size) &&
        text_read(comparison, &arena, b, &right, &right_size)) {
        json_write_string(writer, "kind", "text");
        text_write(writer, &arena, left, left_size, right, right_size);
    } else {
        json_write_string(writer, "kind", "binary");
        if (differs)
            good = binary_write(comparison, a, b, err);
    }
    json_write_end(writer, '}');
    return good;
}

/* Both lists are sorted by path. */
static bool files_compare(struct comparison *comparison, const struct manifest *a, const struct manifest *b,
                          struct error *err)
{
    size_t i = 0, k = 0;
    json_write_array(comparison->writer, "files");
    while (i < a->file_count || k < b->file_count) {
        const struct manifest_file *left = i < a->file_count ? &a->files[i] : NULL;
        const struct manifest_file *right = k < b->file_count ? &b->files[k] : NULL;
        int order = !left ? 1 : !right ? -1 : strcmp(left->path, right->path);
        if (!file_compare(comparison, order <= 0 ? left : NULL, order >= 0 ? right : NULL, err))
            return false;
        i += order <= 0;
        k += order >= 0;
    }
    json_write_end(comparison->writer, ']');
    return true;
}

/* --- the manifest's other members
 * ---------------------------------------------------------------------------------------- */

static bool members_compare(struct repo *repo, struct arena *arena, struct json_writer *writer, const char *a,
                            const char *b, struct error *err)
{
    static const char *const members[] = {"activation", "counter",  "hardware", "kind",
                                          "limits",     "requires", NULL};
    char *bytes;
    size_t size;
    const struct json *left, *right;
    if (!object_read(repo, arena, a, MANIFEST_BYTES_LIMIT, &bytes, &size, err) ||
        !(left = json_read(arena, bytes, size, &json_limits_large, err)) ||
        !object_read(repo, arena, b, MANIFEST_BYTES_LIMIT, &bytes, &size, err) ||
        !(right = json_read(arena, bytes, size, &json_limits_large, err)))
        return false;
    json_write_array(writer, "manifest");
    for (const char *const *member = members; *member; member++) {
        const struct json *old = json_get(left, *member), *new = json_get(right, *member);
        TEXT(old_text);
        TEXT(new_text);
        if ((old && !json_canonical(old, &old_text, err)) || (new && !json_canonical(new, &new_text, err)))
            return false;
        if (string_is(text_string(&old_text), text_string(&new_text)))
            continue;
        json_write_object(writer, NULL);
        json_write_string(writer, "member", *member);
        json_write_raw(writer, "old", old ? old_text.bytes : "null", old ? old_text.size : 4);
        json_write_raw(writer, "new", new ? new_text.bytes : "null", new ? new_text.size : 4);
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
    return true;
}

bool repo_difference(struct repo *repo, struct db_conn *conn, const char *product, const char *asset,
                     const char *a, const char *b, struct text *out, struct error *err)
{
    ARENA(arena);
    struct manifest from, to;
    char from_sha256[SHA256_HEX], to_sha256[SHA256_HEX];
    struct json_writer writer;
    struct comparison comparison = {
        .repo = repo, .writer = &writer, .text = TEXT_ALL_LIMIT, .binary = BINARY_ALL_LIMIT};
    if (!repo_manifest(repo, conn, &arena, product, asset, a, &from, from_sha256, err) ||
        !repo_manifest(repo, conn, &arena, product, asset, b, &to, to_sha256, err))
        return false;
    json_write_init(&writer, out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "from", a);
    json_write_string(&writer, "to", b);
    if (!files_compare(&comparison, &from, &to, err) ||
        !members_compare(repo, &arena, &writer, from_sha256, to_sha256, err))
        return false;
    json_write_end(&writer, '}');
    return !out->failed || error_set(err, ERROR_LIMIT, "the difference is too large to be shown");
}

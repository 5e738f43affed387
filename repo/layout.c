#include "repo/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTER_HEAD "version https://git-lfs.github.com/spec/v1\noid sha256:"
#define ATTRIBUTE_LINE_LIMIT 2048 /* git leaves longer lines of .gitattributes out */

/* What the scans of git-lfs take for a pointer, whatever the attributes say. */
static bool looks_like_pointer(const char *bytes, size_t size)
{
    static const char *const heads[] = {"version http", "# git-media"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (size >= strlen(heads[i]) && memcmp(bytes, heads[i], strlen(heads[i])) == 0)
            return true;
    return false;
}

bool layout_is_plain(const char *path, const void *bytes, size_t size)
{
    if (size == 0)
        return true;
    TEXT(line);
    layout_plain_line(&line, path);
    return size <= PLAIN_LIMIT && line.size < ATTRIBUTE_LINE_LIMIT && !memchr(bytes, 0, size) &&
           utf8_is_valid(bytes, size) && !looks_like_pointer(bytes, size);
}

void layout_pointer(struct text *out, const char *sha256, int64_t length)
{
    text_printf(out, POINTER_HEAD "%s\nsize %lld\n", sha256, (long long)length);
}

bool layout_pointer_read(const void *bytes, size_t size, char sha256[SHA256_HEX], int64_t *length)
{
    const char *text = bytes;
    char number[24];
    size_t head = strlen(POINTER_HEAD), middle = head + SHA256_HEX - 1;
    if (size < middle + 8 || size > middle + 26 || memcmp(text, POINTER_HEAD, head) != 0 ||
        memcmp(text + middle, "\nsize ", 6) != 0 || text[size - 1] != '\n')
        return false;
    memcpy(sha256, text + head, SHA256_HEX - 1);
    sha256[SHA256_HEX - 1] = 0;
    snprintf(number, sizeof number, "%.*s", (int)(size - middle - 7), text + middle + 6);
    return sha256_is_hex(sha256) && int64_parse(number, 0, OBJECT_LIMIT, length);
}

/* The pattern is quoted as C strings are, so that spaces, '"', '#' and '!' stand for themselves; within it,
 * glob characters are escaped with a backslash, which the quotes double. */
void layout_plain_line(struct text *out, const char *path)
{
    text_puts(out, "\"/files/");
    for (; *path; path++) {
        if (strchr("*?[]", *path))
            text_puts(out, "\\\\");
        else if (*path == '"')
            text_putc(out, '\\');
        text_putc(out, *path);
    }
    text_puts(out, "\" !filter !diff !merge -text\n");
}

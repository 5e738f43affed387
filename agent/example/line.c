#include "agent/example/line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Behind the closing quote of the string that begins at `at` (behind its opening quote); NULL when it does
 * not end. */
static const char *string_end(const char *at)
{
    for (; *at != '\0' && *at != '"'; at++)
        if (*at == '\\' && *++at == '\0')
            return NULL;
    return *at == '"' ? at + 1 : NULL;
}

/* One code point below U+10000 as UTF-8. */
static size_t put_utf8(unsigned long code, char out[3])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3f));
    out[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

static bool unescape(const char *at, char *out, size_t room)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t n = 0;
    while (*at != '"') {
        char piece[3] = {*at++};
        size_t size = 1;
        if (piece[0] == '\\' && *at == 'u') {
            char digits[5] = {0}, *end;
            strncpy(digits, at + 1, 4);
            size = put_utf8(strtoul(digits, &end, 16), piece);
            if (end != digits + 4)
                return false;
            at += 5;
        } else if (piece[0] == '\\') {
            const char *which = strchr(from, *at++);
            if (which == NULL)
                return false;
            piece[0] = to[which - from];
        }
        if (n + size >= room)
            return false;
        memcpy(out + n, piece, size);
        n += size;
    }
    out[n] = '\0';
    return true;
}

bool line_string(const char *line, const char *name, char *out, size_t room)
{
    size_t size = strlen(name);
    int depth = 0;
    for (const char *at = line; *at != '\0'; at++) {
        if (*at == '{' || *at == '[')
            depth++;
        else if (*at == '}' || *at == ']')
            depth--;
        if (*at != '"')
            continue;
        const char *text = at + 1, *end = string_end(text);
        if (end == NULL)
            return false;
        const char *next = end + strspn(end, " \t");
        bool is_it =
            depth == 1 && *next == ':' && (size_t)(end - 1 - text) == size && memcmp(text, name, size) == 0;
        if (is_it) {
            next += 1 + strspn(next + 1, " \t");
            return *next == '"' && string_end(next + 1) != NULL && unescape(next + 1, out, room);
        }
        at = end - 1;
    }
    return false;
}

const char *line_quote(char *out, size_t room, const char *text)
{
    size_t n = 0;
    out[n++] = '"';
    for (; *text != '\0' && n + 8 < room; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            out[n++] = '\\';
        out[n++] = c < 32 ? '?' : (char)c;
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}

#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* vsnprintf cuts between bytes; a half character at the end would be bad UTF-8 in an answer. */
static void cut_half_character(char *text, size_t room)
{
    size_t size = strlen(text);
    size_t start = size;

    if (size + 1 < room)
        return;
    while (start > 0 && size - start < 4 && ((uint8_t)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    uint8_t lead = (uint8_t)text[start - 1];
    size_t wanted = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (size - start < wanted)
        text[start - 1] = '\0';
}

static void __attribute__((format(printf, 2, 0)))
set_text(struct error *err, const char *format, va_list args)
{
    if (vsnprintf(err->text, sizeof(err->text), format, args) < 0)
        err->text[0] = '\0';
    cut_half_character(err->text, sizeof(err->text));
}

static void add_text(struct error *err, const char *after)
{
    size_t size = strlen(err->text);

    snprintf(err->text + size, sizeof(err->text) - size, ": %s", after);
    cut_half_character(err->text, sizeof(err->text));
}

bool error_set(struct error *err, enum error_kind kind, const char *format, ...)
{
    va_list args;

    err->kind = kind;
    va_start(args, format);
    set_text(err, format, args);
    va_end(args);
    return false;
}

static enum error_kind errno_kind(int number)
{
    switch (number) {
    case ENOENT:
        return ERROR_MISSING;
    case EEXIST:
        return ERROR_CONFLICT;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERROR_LIMIT;
    case ELOOP:
    case EXDEV:
        return ERROR_INPUT;
    default:
        return ERROR_SYSTEM;
    }
}

bool error_errno(struct error *err, const char *format, ...)
{
    int number = errno;
    char reason[128];
    va_list args;

    err->kind = errno_kind(number);
    va_start(args, format);
    set_text(err, format, args);
    va_end(args);
    add_text(err, strerror_r(number, reason, sizeof(reason)));
    errno = number;
    return false;
}

bool error_add(struct error *err, const char *format, ...)
{
    struct error before = *err;
    va_list args;

    va_start(args, format);
    set_text(err, format, args);
    va_end(args);
    add_text(err, before.text);
    return false;
}

const char *error_kind_name(enum error_kind kind)
{
    static const char *const names[] = {
        [ERROR_NONE] = "none",           [ERROR_INPUT] = "input",       [ERROR_DENIED] = "denied",
        [ERROR_MISSING] = "missing",     [ERROR_CONFLICT] = "conflict", [ERROR_LIMIT] = "limit",
        [ERROR_UNTRUSTED] = "untrusted", [ERROR_SYSTEM] = "system",
    };

    return kind >= ERROR_NONE && kind <= ERROR_SYSTEM ? names[kind] : "system";
}

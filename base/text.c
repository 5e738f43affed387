#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_init(struct text *text, size_t limit)
{
    *text = (struct text){.limit = limit ? limit : TEXT_LIMIT_DEFAULT};
}

void text_end(struct text *text)
{
    free(text->bytes);
    *text = (struct text){.limit = text->limit};
}

void text_clear(struct text *text)
{
    text->size = 0;
    text->failed = false;
    if (text->bytes)
        text->bytes[0] = '\0';
}

/* Makes room for `more` bytes and the NUL. False when that goes over the limit. */
static bool make_room(struct text *text, size_t more)
{
    if (text->failed || more > text->limit || text->size > text->limit - more) {
        text->failed = true;
        return false;
    }
    size_t needed = text->size + more + 1;
    if (needed <= text->room)
        return true;
    size_t room = text->room < 64 ? 64 : text->room * 2;
    if (room < needed)
        room = needed;
    if (room > text->limit + 1)
        room = text->limit + 1;
    char *bytes = realloc(text->bytes, room);
    if (!bytes) {
        fprintf(stderr, "level=error event=out_of_memory bytes=%zu\n", room);
        abort();
    }
    text->bytes = bytes;
    text->room = room;
    return true;
}

void text_reserve(struct text *text, size_t more)
{
    if (make_room(text, more))
        text->bytes[text->size] = '\0';
}

void text_add(struct text *text, const void *bytes, size_t size)
{
    if (!make_room(text, size))
        return;
    if (size)
        memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
}

void text_puts(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

void text_putc(struct text *text, char c)
{
    text_add(text, &c, 1);
}

void text_printf(struct text *text, const char *format, ...)
{
    size_t left = text->failed ? 0 : text->room - text->size;
    va_list args;

    /* Most fits the room that is there already. */
    va_start(args, format);
    int size = vsnprintf(left ? text->bytes + text->size : NULL, left, format, args);
    va_end(args);
    bool fits = size >= 0 && (size_t)size < left;
    if (!fits && left)
        text->bytes[text->size] = '\0';
    if (size < 0 || !make_room(text, (size_t)size)) {
        text->failed = true;
        return;
    }
    if (!fits) {
        va_start(args, format);
        vsnprintf(text->bytes + text->size, (size_t)size + 1, format, args);
        va_end(args);
    }
    text->size += (size_t)size;
}

void text_integer(struct text *text, int64_t value)
{
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    char digits[24];
    size_t at = sizeof(digits);

    do
        digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        digits[--at] = '-';
    text_add(text, digits + at, sizeof(digits) - at);
}

const char *text_string(const struct text *text)
{
    return text->bytes ? text->bytes : "";
}

void hex_encode(char *out, const void *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = bytes;

    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[from[i] >> 4];
        out[2 * i + 1] = digits[from[i] & 15];
    }
    out[2 * size] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(void *bytes, size_t size, const char *hex)
{
    uint8_t *to = bytes;

    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(hex[2 * i]);
        int low = high < 0 ? -1 : hex_digit(hex[2 * i + 1]);

        if (low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return hex[2 * size] == '\0';
}

static const char base64url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_encode(char *out, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    uint32_t bits = 0;
    int count = 0;

    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | from[i];
        for (count += 8; count >= 6; count -= 6)
            *out++ = base64url_digits[bits >> (count - 6) & 63];
    }
    if (count > 0)
        *out++ = base64url_digits[bits << (6 - count) & 63];
    *out = '\0';
}

static int base64url_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

long base64url_decode(void *bytes, size_t room, const char *text)
{
    uint8_t *to = bytes;
    size_t size = 0;
    uint32_t bits = 0;
    int count = 0;

    if (strlen(text) % 4 == 1)
        return -1;
    for (; *text; text++) {
        int digit = base64url_digit(*text);

        if (digit < 0)
            return -1;
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            if (size == room)
                return -1;
            to[size++] = (uint8_t)(bits >> count);
        }
    }
    /* Bits that belong to no byte must be zero, or one value would have several texts. */
    if (bits & ((1u << count) - 1))
        return -1;
    return (long)size;
}

/* The size of the character at `p`, 0 when it is not well-formed (Unicode 15, table 3-7). */
static size_t utf8_size(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t size;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        size = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        size = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        size = 4;
    else
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (left < size || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

bool utf8_is_valid(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;

    while (size > 0) {
        size_t step = utf8_size(p, size);

        if (step == 0)
            return false;
        p += step;
        size -= step;
    }
    return true;
}

bool string_is(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

bool string_starts(const char *text, const char *prefix)
{
    return text && prefix && strncmp(text, prefix, strlen(prefix)) == 0;
}

bool int64_parse(const char *text, int64_t min, int64_t max, int64_t *value)
{
    bool negative = text && *text == '-';
    const char *digit = negative ? text + 1 : text;
    int64_t result = 0;

    if (!digit || *digit < '0' || *digit > '9' || (*digit == '0' && (digit[1] || negative)))
        return false;
    for (; *digit; digit++) {
        if (*digit < '0' || *digit > '9' || __builtin_mul_overflow(result, 10, &result))
            return false;
        /* Built downwards when negative, so that INT64_MIN is reached without overflow. */
        int step = negative ? -(*digit - '0') : *digit - '0';
        if (__builtin_add_overflow(result, step, &result))
            return false;
    }
    if (result < min || result > max)
        return false;
    *value = result;
    return true;
}

/* A growing byte buffer that remembers its first failure, and small things about text: hex, base64url, UTF-8.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *bytes; /* NUL-terminated when not NULL; owned */
    size_t size; /* without the NUL */
    size_t room;
    size_t limit; /* most bytes; going over sets `failed` and drops what does not fit */
    bool failed;
};

#define TEXT_LIMIT_DEFAULT (16u << 20)

void text_init(struct text *text, size_t limit); /* limit 0: TEXT_LIMIT_DEFAULT */
void text_end(struct text *text);
void text_clear(struct text *text); /* keeps the memory and the limit */
/* Takes memory for `more` bytes at once, where the caller knows what comes. */
void text_reserve(struct text *text, size_t more);
void text_add(struct text *text, const void *bytes, size_t size);
void text_puts(struct text *text, const char *string);
void text_putc(struct text *text, char c);
void text_integer(struct text *text, int64_t value); /* decimal */
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *text_string(const struct text *text); /* never NULL */
/* `TEXT(name);` declares a buffer of the default limit that is freed at the end of the scope. */
#define TEXT(name) __attribute__((cleanup(text_end))) struct text name = {.limit = TEXT_LIMIT_DEFAULT}

/* Lower-case hex of `size` bytes into `out` (2 * size + 1). */
void hex_encode(char *out, const void *bytes, size_t size);
/* Strict lower-case hex of exactly `size` bytes; false otherwise. */
bool hex_decode(void *bytes, size_t size, const char *hex);
/* URL-safe base64 without padding (RFC 4648 §5) of `size` bytes; out needs (size * 4 + 2) / 3 + 1. */
void base64url_encode(char *out, const void *bytes, size_t size);
/* Strict: returns the number of bytes, or -1 on any other character, bad length or more than `room` bytes. */
long base64url_decode(void *bytes, size_t room, const char *text);

/* Well-formed UTF-8 (RFC 3629: no overlong forms, surrogates or above U+10FFFF). */
bool utf8_is_valid(const void *bytes, size_t size);

bool string_is(const char *a, const char *b); /* equal; NULL equals nothing */
bool string_starts(const char *text, const char *prefix);
/* Decimal integer, whole string, no sign but '-', no leading zeros; false when out of [min, max]. */
bool int64_parse(const char *text, int64_t min, int64_t max, int64_t *value);

#endif

#include "base/json_check.h"

#include <string.h>

#define DEPTH_MAX 32
#define BYTES_MAX (1u << 30) /* jsmn counts with int */

struct check {
    const char *start, *at, *end;
    const struct json_limits *limits;
    size_t values;
    int depth;
    struct error *err;
};

static bool refuse(struct check *check, const char *what)
{
    return error_set(check->err, ERROR_INPUT, "JSON: %s at byte %zu", what,
                     (size_t)(check->at - check->start));
}

/* The byte at the cursor; 0 at the end (a NUL in the text is refused wherever it stands). */
static char peek(const struct check *check)
{
    return check->at < check->end ? *check->at : '\0';
}

static void skip_space(struct check *check)
{
    while (check->at < check->end && memchr(" \t\r\n", *check->at, 4))
        check->at++;
}

static bool count_value(struct check *check)
{
    if (++check->values > check->limits->values)
        return error_set(check->err, ERROR_LIMIT, "JSON: more than %zu values", check->limits->values);
    return true;
}

static bool hex4(const struct check *check, const char *at, unsigned *code)
{
    *code = 0;
    if (check->end - at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return false;
        *code = *code << 4 | (unsigned)digit;
    }
    return true;
}

/* At the four digits behind \u. */
static bool check_unicode(struct check *check)
{
    unsigned code, low;

    if (!hex4(check, check->at, &code))
        return refuse(check, "a bad escape");
    if (code == 0)
        return refuse(check, "the character U+0000");
    if (code >= 0xdc00 && code <= 0xdfff)
        return refuse(check, "half a surrogate pair");
    check->at += 4;
    if (code < 0xd800 || code > 0xdbff)
        return true;
    if (check->end - check->at < 6 || check->at[0] != '\\' || check->at[1] != 'u' ||
        !hex4(check, check->at + 2, &low) || low < 0xdc00 || low > 0xdfff)
        return refuse(check, "half a surrogate pair");
    check->at += 6;
    return true;
}

static bool check_escape(struct check *check)
{
    check->at++;
    char c = peek(check);

    if (c == 'u') {
        check->at++;
        return check_unicode(check);
    }
    if (c == '\0' || !strchr("\"\\/bfnrt", c))
        return refuse(check, "a bad escape");
    check->at++;
    return true;
}

/* At the opening quote. */
static bool check_string(struct check *check)
{
    if (peek(check) != '"')
        return refuse(check, "a string is missing");
    if (!count_value(check))
        return false;
    check->at++;
    const char *first = check->at;
    while (check->at < check->end && *check->at != '"') {
        if ((unsigned char)*check->at < 0x20)
            return refuse(check, "a control character");
        if (*check->at == '\\') {
            if (!check_escape(check))
                return false;
        } else {
            check->at++;
        }
    }
    if (check->at == check->end)
        return refuse(check, "an unclosed string");
    if (!utf8_is_valid(first, (size_t)(check->at - first)))
        return refuse(check, "bad UTF-8 before");
    check->at++;
    return true;
}

static size_t skip_digits(struct check *check)
{
    const char *first = check->at;

    while (check->at < check->end && *check->at >= '0' && *check->at <= '9')
        check->at++;
    return (size_t)(check->at - first);
}

static bool check_number(struct check *check)
{
    if (peek(check) == '-')
        check->at++;
    if (peek(check) == '0')
        check->at++;
    else if (skip_digits(check) == 0)
        return refuse(check, "no value");
    if (peek(check) == '.') {
        check->at++;
        if (skip_digits(check) == 0)
            return refuse(check, "a bad number");
    }
    if (peek(check) == 'e' || peek(check) == 'E') {
        check->at++;
        if (peek(check) == '+' || peek(check) == '-')
            check->at++;
        if (skip_digits(check) == 0)
            return refuse(check, "a bad number");
    }
    return true;
}

static bool check_word(struct check *check, const char *word)
{
    size_t size = strlen(word);

    if ((size_t)(check->end - check->at) < size || memcmp(check->at, word, size) != 0)
        return refuse(check, "no value");
    check->at += size;
    return true;
}

static bool check_value(struct check *check);

static bool check_member(struct check *check)
{
    skip_space(check);
    if (!check_string(check))
        return false;
    skip_space(check);
    if (peek(check) != ':')
        return refuse(check, "a colon is missing");
    check->at++;
    return check_value(check);
}

/* At the opening bracket. */
static bool check_group(struct check *check, bool (*each)(struct check *), char close)
{
    if (++check->depth > check->limits->depth || check->depth > DEPTH_MAX)
        return error_set(check->err, ERROR_LIMIT, "JSON: nested more than %d deep", check->depth - 1);
    check->at++;
    skip_space(check);
    if (peek(check) != close) {
        for (;;) {
            if (!each(check))
                return false;
            if (peek(check) != ',')
                break;
            check->at++;
        }
    }
    if (peek(check) != close)
        return refuse(check, "a comma or bracket is missing");
    check->at++;
    check->depth--;
    return true;
}

static bool check_one(struct check *check)
{
    char c = peek(check);

    if (c == '"')
        return check_string(check);
    if (!count_value(check))
        return false;
    switch (c) {
    case '{':
        return check_group(check, check_member, '}');
    case '[':
        return check_group(check, check_value, ']');
    case 't':
        return check_word(check, "true");
    case 'f':
        return check_word(check, "false");
    case 'n':
        return check_word(check, "null");
    default:
        return check_number(check);
    }
}

/* A value with the white space around it. */
static bool check_value(struct check *check)
{
    skip_space(check);
    if (!check_one(check))
        return false;
    skip_space(check);
    return true;
}

bool json_check(const char *bytes, size_t size, const struct json_limits *limits, size_t *values,
                struct error *err)
{
    struct check check = {.start = bytes, .at = bytes, .end = bytes + size, .limits = limits, .err = err};

    if (size > limits->bytes || size > BYTES_MAX)
        return error_set(err, ERROR_LIMIT, "JSON: more than %zu bytes", limits->bytes);
    if (!check_value(&check))
        return false;
    if (check.at != check.end)
        return refuse(&check, "something after the value");
    *values = check.values;
    return true;
}

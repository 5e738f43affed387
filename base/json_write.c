/* The writing half of json.h, and the canonical form. */
#include "base/json.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void json_write_init(struct json_writer *writer, struct text *out)
{
    *writer = (struct json_writer){.out = out};
}

static void put_escape(struct text *out, unsigned char c)
{
    static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
    const char *value = c ? strchr(values, c) : NULL;

    if (c == '"' || c == '\\')
        text_printf(out, "\\%c", c);
    else if (value)
        text_printf(out, "\\%c", names[value - values]);
    else
        text_printf(out, "\\u%04x", c);
}

/* Bad UTF-8 has no place in JSON: each bad byte becomes U+FFFD, so that an answer is always readable. */
static size_t character_size(const char *bytes, size_t left)
{
    for (size_t size = 1; size <= 4 && size <= left; size++)
        if (utf8_is_valid(bytes, size))
            return size;
    return 0;
}

static void put_string(struct text *out, const char *bytes, size_t size)
{
    bool valid = utf8_is_valid(bytes, size);
    size_t from = 0, at = 0;

    text_putc(out, '"');
    while (at < size) {
        unsigned char c = (unsigned char)bytes[at];
        size_t step = valid || c < 0x80 ? 1 : character_size(bytes + at, size - at);

        if (step == 1 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            at++;
            continue;
        }
        if (step > 1) {
            at += step;
            continue;
        }
        text_add(out, bytes + from, at - from);
        if (step == 0)
            text_puts(out, "\xef\xbf\xbd");
        else
            put_escape(out, c);
        from = ++at;
    }
    text_add(out, bytes + from, size - from);
    text_putc(out, '"');
}

/* The comma and the name that stand before a value. */
static void put_name(struct json_writer *writer, const char *key)
{
    if (writer->comma)
        text_putc(writer->out, ',');
    if (key) {
        put_string(writer->out, key, strlen(key));
        text_putc(writer->out, ':');
    }
    writer->comma = true;
}

static void open_group(struct json_writer *writer, const char *key, char bracket)
{
    put_name(writer, key);
    text_putc(writer->out, bracket);
    writer->depth++;
    writer->comma = false;
}

void json_write_object(struct json_writer *writer, const char *key)
{
    open_group(writer, key, '{');
}

void json_write_array(struct json_writer *writer, const char *key)
{
    open_group(writer, key, '[');
}

void json_write_end(struct json_writer *writer, char bracket)
{
    text_putc(writer->out, bracket);
    if (writer->depth > 0)
        writer->depth--;
    else
        writer->out->failed = true;
    writer->comma = true;
}

void json_write_bytes(struct json_writer *writer, const char *key, const char *value, size_t size)
{
    put_name(writer, key);
    put_string(writer->out, value, size);
}

void json_write_string(struct json_writer *writer, const char *key, const char *value)
{
    if (value)
        json_write_bytes(writer, key, value, strlen(value));
    else
        json_write_null(writer, key);
}

void json_write_integer(struct json_writer *writer, const char *key, int64_t value)
{
    put_name(writer, key);
    text_integer(writer->out, value);
}

void json_write_boolean(struct json_writer *writer, const char *key, bool value)
{
    put_name(writer, key);
    text_puts(writer->out, value ? "true" : "false");
}

void json_write_null(struct json_writer *writer, const char *key)
{
    put_name(writer, key);
    text_puts(writer->out, "null");
}

void json_write_time(struct json_writer *writer, const char *key, int64_t unix_seconds)
{
    char time[TIME_TEXT];

    json_write_string(writer, key, unix_seconds ? time_text(unix_seconds, time) : NULL);
}

void json_write_raw(struct json_writer *writer, const char *key, const char *json, size_t size)
{
    put_name(writer, key);
    text_add(writer->out, json, size);
}

void json_write_value(struct json_writer *writer, const char *key, const struct json *value)
{
    switch (value ? value->type : JSON_NULL) {
    case JSON_NULL:
        json_write_null(writer, key);
        break;
    case JSON_BOOL:
        json_write_boolean(writer, key, value->boolean);
        break;
    case JSON_NUMBER:
        json_write_raw(writer, key, value->string, value->size);
        break;
    case JSON_STRING:
        json_write_bytes(writer, key, value->string, value->size);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        open_group(writer, key, value->type == JSON_ARRAY ? '[' : '{');
        for (const struct json *child = value->first; child; child = child->next)
            json_write_value(writer, child->key, child);
        json_write_end(writer, value->type == JSON_ARRAY ? ']' : '}');
        break;
    }
}

static void canonical_string(struct text *out, const char *bytes)
{
    text_putc(out, '"');
    while (*bytes) {
        size_t plain = strcspn(bytes, "\"\\");

        text_add(out, bytes, plain);
        bytes += plain;
        if (*bytes) {
            text_putc(out, '\\');
            text_putc(out, *bytes++);
        }
    }
    text_putc(out, '"');
}

static int compare_members(const void *a, const void *b)
{
    const struct json *const *left = a, *const *right = b;

    return strcmp((*left)->key, (*right)->key);
}

static bool canonical_group(const struct json *value, struct text *out, struct error *err)
{
    const struct json **sorted = calloc(value->size + 1, sizeof(const struct json *));
    size_t count = 0;
    bool good = true;

    if (!sorted)
        abort();
    for (const struct json *child = value->first; child; child = child->next)
        sorted[count++] = child;
    if (value->type == JSON_OBJECT)
        qsort(sorted, count, sizeof(const struct json *), compare_members);
    text_putc(out, value->type == JSON_OBJECT ? '{' : '[');
    for (size_t i = 0; good && i < count; i++) {
        if (i > 0)
            text_putc(out, ',');
        if (value->type == JSON_OBJECT) {
            canonical_string(out, sorted[i]->key);
            text_putc(out, ':');
        }
        good = json_canonical(sorted[i], out, err);
    }
    text_putc(out, value->type == JSON_OBJECT ? '}' : ']');
    free(sorted);
    return good;
}

bool json_canonical(const struct json *value, struct text *out, struct error *err)
{
    switch (value->type) {
    case JSON_NULL:
        text_puts(out, "null");
        break;
    case JSON_BOOL:
        text_puts(out, value->boolean ? "true" : "false");
        break;
    case JSON_NUMBER:
        if (!value->is_integer)
            return error_set(err, ERROR_INPUT, "%s is no integer, and canonical JSON has no other numbers",
                             value->string);
        text_integer(out, value->integer);
        break;
    case JSON_STRING:
        canonical_string(out, value->string);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        if (!canonical_group(value, out, err))
            return false;
        break;
    }
    if (out->failed)
        return error_set(err, ERROR_LIMIT, "canonical JSON of more than %zu bytes", out->limit);
    return true;
}

const struct json *json_read_canonical(struct arena *arena, const void *bytes, size_t size,
                                       const struct json_limits *limits, struct error *err)
{
    TEXT(again);
    const struct json *value = json_read(arena, bytes, size, limits, err);

    if (!value)
        return NULL;
    if (!json_canonical(value, &again, err)) {
        err->kind = ERROR_UNTRUSTED;
        return NULL;
    }
    if (again.size != size || memcmp(again.bytes, bytes, size) != 0) {
        error_set(err, ERROR_UNTRUSTED, "the JSON is not in canonical form");
        return NULL;
    }
    return value;
}

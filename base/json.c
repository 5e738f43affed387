/* Reading goes in three steps: json_check.c's grammar without memory, jsmn's tokens over what is known to be
 * JSON, then the tree. jsmn alone lets too much through, and its recursion-free tokens make building cheap.
 */
#include "base/json.h"

#include "base/json_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#define JSMN_STATIC
#include <jsmn.h>

const struct json_limits json_limits_small = {.bytes = 64u << 10, .values = 4096, .depth = 16};
const struct json_limits json_limits_large = {.bytes = 4u << 20, .values = 400000, .depth = 32};

struct builder {
    struct arena *arena;
    const char *bytes;
    size_t size;
    jsmntok_t *tokens;
    size_t count, at;
    const char **keys; /* room for the keys of one object, to look for the same one twice */
    struct error *err;
};

static unsigned hex4(const char *p)
{
    uint8_t bytes[2];
    char lower[5] = {0};

    for (int i = 0; i < 4; i++)
        lower[i] = (char)(p[i] >= 'A' && p[i] <= 'F' ? p[i] + 32 : p[i]);
    hex_decode(bytes, 2, lower);
    return (unsigned)bytes[0] << 8 | bytes[1];
}

static char *utf8_put(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 63));
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    }
    return to;
}

/* The escape behind a backslash at `*from`, already checked. */
static char *unescape(char *to, const char **from)
{
    static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
    char c = *(*from)++;
    const char *name = strchr(names, c);

    if (c != 'u') {
        *to++ = name ? values[name - names] : c;
        return to;
    }
    unsigned code = hex4(*from);
    *from += 4;
    if (code >= 0xd800 && code <= 0xdbff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (hex4(*from + 2) - 0xdc00);
        *from += 6;
    }
    return utf8_put(to, code);
}

/* An escape is never shorter than what it stands for, so the raw size is room enough. */
static const char *string_build(struct builder *builder, const jsmntok_t *token, size_t *size)
{
    const char *from = builder->bytes + token->start, *end = builder->bytes + token->end;
    char *string = arena_alloc(builder->arena, (size_t)(end - from) + 1);
    char *to = string;

    while (from < end) {
        if (*from == '\\') {
            from++;
            to = unescape(to, &from);
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
    *size = (size_t)(to - string);
    return string;
}

static bool number_build(struct builder *builder, const jsmntok_t *token, struct json *value)
{
    value->type = JSON_NUMBER;
    value->size = (size_t)(token->end - token->start);
    value->string = arena_copy(builder->arena, builder->bytes + token->start, value->size);
    value->number = strtod(value->string, NULL);
    if (!isfinite(value->number))
        return error_set(builder->err, ERROR_INPUT, "JSON: the number at byte %d is too large", token->start);
    const char *digits = string_is(value->string, "-0") ? "0" : value->string;
    value->is_integer = int64_parse(digits, INT64_MIN, INT64_MAX, &value->integer);
    return true;
}

static bool primitive_build(struct builder *builder, const jsmntok_t *token, struct json *value)
{
    switch (builder->bytes[token->start]) {
    case 'n':
        value->type = JSON_NULL;
        return true;
    case 't':
    case 'f':
        value->type = JSON_BOOL;
        value->boolean = builder->bytes[token->start] == 't';
        return true;
    default:
        return number_build(builder, token, value);
    }
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool keys_differ(struct builder *builder, const struct json *object)
{
    size_t count = 0;

    for (const struct json *child = object->first; child; child = child->next)
        builder->keys[count++] = child->key;
    qsort(builder->keys, count, sizeof(*builder->keys), compare_keys);
    for (size_t i = 1; i < count; i++)
        if (strcmp(builder->keys[i - 1], builder->keys[i]) == 0)
            return error_set(builder->err, ERROR_INPUT, "JSON: \"%s\" stands twice in one object",
                             builder->keys[i]);
    return true;
}

static struct json *value_build(struct builder *builder);

static bool children_build(struct builder *builder, struct json *value, int count)
{
    struct json *last = NULL;

    for (int i = 0; i < count; i++) {
        const char *key = NULL;
        size_t key_size;

        if (value->type == JSON_OBJECT) {
            if (builder->at >= builder->count)
                return error_set(builder->err, ERROR_INPUT, "JSON: a name has no value");
            key = string_build(builder, &builder->tokens[builder->at++], &key_size);
        }
        struct json *child = value_build(builder);
        if (!child)
            return false;
        child->key = key;
        if (last)
            last->next = child;
        else
            value->first = child;
        last = child;
    }
    value->size = (size_t)count;
    return value->type == JSON_ARRAY || keys_differ(builder, value);
}

/* Depth is bounded by the check, so this recursion is too. */
static struct json *value_build(struct builder *builder)
{
    if (builder->at >= builder->count) {
        error_set(builder->err, ERROR_INPUT, "JSON: a value is missing");
        return NULL;
    }
    const jsmntok_t *token = &builder->tokens[builder->at++];
    struct json *value = arena_alloc(builder->arena, sizeof(*value));
    bool good = true;

    switch (token->type) {
    case JSMN_STRING:
        value->type = JSON_STRING;
        value->string = string_build(builder, token, &value->size);
        break;
    case JSMN_OBJECT:
    case JSMN_ARRAY:
        value->type = token->type == JSMN_OBJECT ? JSON_OBJECT : JSON_ARRAY;
        good = children_build(builder, value, token->size);
        break;
    default:
        good = primitive_build(builder, token, value);
    }
    return good ? value : NULL;
}

/* A number or word alone is refused by jsmn, which wants a comma or bracket behind it. */
static bool scalar_token(struct builder *builder)
{
    const char *space = " \t\r\n";
    size_t start = 0, end = builder->size;

    while (strchr(space, builder->bytes[start]))
        start++;
    if (strchr("{[\"", builder->bytes[start]))
        return false;
    while (strchr(space, builder->bytes[end - 1]))
        end--;
    builder->tokens[0] =
        (jsmntok_t){.type = JSMN_PRIMITIVE, .start = (int)start, .end = (int)end, .parent = -1};
    return true;
}

static const struct json *build(struct builder *builder)
{
    jsmn_parser parser;

    if (!scalar_token(builder)) {
        jsmn_init(&parser);
        int got =
            jsmn_parse(&parser, builder->bytes, builder->size, builder->tokens, (unsigned)builder->count);

        if (got < 0 || (size_t)got != builder->count) {
            error_set(builder->err, ERROR_INPUT, "JSON: the text is malformed");
            return NULL;
        }
    }
    const struct json *value = value_build(builder);
    if (value && builder->at != builder->count) {
        error_set(builder->err, ERROR_INPUT, "JSON: the text is malformed");
        return NULL;
    }
    return value;
}

const struct json *json_read(struct arena *arena, const void *bytes, size_t size,
                             const struct json_limits *limits, struct error *err)
{
    struct builder builder = {.arena = arena, .bytes = bytes, .size = size, .err = err};

    if (!json_check(bytes, size, limits, &builder.count, err))
        return NULL;
    builder.tokens = calloc(builder.count, sizeof(*builder.tokens));
    builder.keys = calloc(builder.count, sizeof(*builder.keys));
    if (!builder.tokens || !builder.keys) {
        fprintf(stderr, "level=error event=out_of_memory bytes=%zu\n",
                builder.count * sizeof(*builder.tokens));
        abort();
    }
    const struct json *value = build(&builder);
    free(builder.tokens);
    free(builder.keys);
    return value;
}

const struct json *json_get(const struct json *object, const char *key)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    for (const struct json *child = object->first; child; child = child->next)
        if (strcmp(child->key, key) == 0)
            return child;
    return NULL;
}

const char *json_string(const struct json *object, const char *key)
{
    const struct json *value = json_get(object, key);

    return value && value->type == JSON_STRING ? value->string : NULL;
}

bool json_has_integer(const struct json *object, const char *key, int64_t *value)
{
    const struct json *found = json_get(object, key);

    if (!found || !found->is_integer)
        return false;
    *value = found->integer;
    return true;
}

int64_t json_integer(const struct json *object, const char *key, int64_t otherwise)
{
    json_has_integer(object, key, &otherwise);
    return otherwise;
}

bool json_boolean(const struct json *object, const char *key, bool otherwise)
{
    const struct json *value = json_get(object, key);

    return value && value->type == JSON_BOOL ? value->boolean : otherwise;
}

static bool need(const struct json *object, const char *key, enum json_type type, const char *what,
                 const struct json **value, struct error *err)
{
    const struct json *found = json_get(object, key);

    if (!found)
        return error_set(err, ERROR_INPUT, "\"%s\" is missing", key);
    if (found->type != type)
        return error_set(err, ERROR_INPUT, "\"%s\" must be %s", key, what);
    *value = found;
    return true;
}

bool json_need_string(const struct json *object, const char *key, const char **value, struct error *err)
{
    const struct json *found;

    if (!need(object, key, JSON_STRING, "a string", &found, err))
        return false;
    *value = found->string;
    return true;
}

bool json_need_integer(const struct json *object, const char *key, int64_t min, int64_t max, int64_t *value,
                       struct error *err)
{
    const struct json *found;

    if (!need(object, key, JSON_NUMBER, "an integer", &found, err))
        return false;
    if (!found->is_integer)
        return error_set(err, ERROR_INPUT, "\"%s\" must be an integer", key);
    if (found->integer < min || found->integer > max)
        return error_set(err, ERROR_INPUT, "\"%s\" must be from %lld to %lld", key, (long long)min,
                         (long long)max);
    *value = found->integer;
    return true;
}

bool json_need_array(const struct json *object, const char *key, const struct json **value, struct error *err)
{
    return need(object, key, JSON_ARRAY, "an array", value, err);
}

bool json_need_object(const struct json *object, const char *key, const struct json **value,
                      struct error *err)
{
    return need(object, key, JSON_OBJECT, "an object", value, err);
}

bool json_only(const struct json *object, const char *const *allowed, struct error *err)
{
    if (!object || object->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "an object is needed");
    for (const struct json *child = object->first; child; child = child->next) {
        const char *const *name = allowed;

        while (*name && strcmp(*name, child->key) != 0)
            name++;
        if (!*name)
            return error_set(err, ERROR_INPUT, "\"%s\" is not known here", child->key);
    }
    return true;
}

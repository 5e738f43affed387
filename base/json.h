/* JSON (RFC 8259): strict reading into a tree, writing, and the canonical form that is signed.
 *
 * Reading stands on jsmn but refuses all that jsmn lets through: missing or extra commas and colons, unquoted
 * words, control characters, bad UTF-8, lone surrogates, U+0000, duplicate keys, trailing bytes, numbers
 * outside the grammar. Sizes, tokens and depth are capped before anything is built. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* One value. Lives in the arena given to json_read. */
struct json {
    enum json_type type;
    bool boolean;    /* JSON_BOOL */
    bool is_integer; /* JSON_NUMBER without fraction or exponent that fits int64_t */
    int64_t integer;
    double number;      /* JSON_NUMBER, always set */
    const char *key;    /* unescaped name inside its object, else NULL */
    const char *string; /* JSON_STRING: unescaped, NUL-terminated (holds no NUL); JSON_NUMBER: as written */
    size_t size;        /* bytes of string, or number of children */
    const struct json *first, *next; /* children, siblings, in the order written */
};

struct json_limits {
    size_t bytes;  /* of the text */
    size_t values; /* tokens, keys included */
    int depth;     /* nested arrays and objects, at most 32 */
};
extern const struct json_limits json_limits_small; /* 64 KiB, 4,096 values, depth 16: requests */
extern const struct json_limits
    json_limits_large; /* 4 MiB, 400,000 values, depth 32: signed metadata, manifests */

/* Reads exactly one value. NULL and `err` (INPUT with the byte's offset, or LIMIT) when it is not strict
 * JSON. */
const struct json *json_read(struct arena *arena, const void *bytes, size_t size,
                             const struct json_limits *limits, struct error *err);

/* Members of an object. json_get gives NULL when `object` is NULL, no object, or has no such member. */
const struct json *json_get(const struct json *object, const char *key);
const char *json_string(const struct json *object, const char *key); /* NULL when missing or no string */
bool json_has_integer(const struct json *object, const char *key, int64_t *value);
int64_t json_integer(const struct json *object, const char *key, int64_t otherwise);
bool json_boolean(const struct json *object, const char *key, bool otherwise);

/* The same, but a missing or wrong member fails with a sentence that names it ("\"version\" must be a
 * string"). */
bool json_need_string(const struct json *object, const char *key, const char **value, struct error *err);
bool json_need_integer(const struct json *object, const char *key, int64_t min, int64_t max, int64_t *value,
                       struct error *err);
bool json_need_array(const struct json *object, const char *key, const struct json **value,
                     struct error *err);
bool json_need_object(const struct json *object, const char *key, const struct json **value,
                      struct error *err);
/* Fails naming the first member of `object` that is not in `allowed` (NULL-terminated). */
bool json_only(const struct json *object, const char *const *allowed, struct error *err);

/* Writing into a text. `key` is NULL inside arrays and for the outermost value. Commas are put by the writer.
 */
struct json_writer {
    struct text *out;
    unsigned depth;
    bool comma;
};
void json_write_init(struct json_writer *writer, struct text *out);
void json_write_object(struct json_writer *writer, const char *key);
void json_write_array(struct json_writer *writer, const char *key);
void json_write_end(struct json_writer *writer, char bracket);                          /* '}' or ']' */
void json_write_string(struct json_writer *writer, const char *key, const char *value); /* NULL writes null */
void json_write_bytes(struct json_writer *writer, const char *key, const char *value, size_t size);
void json_write_integer(struct json_writer *writer, const char *key, int64_t value);
void json_write_boolean(struct json_writer *writer, const char *key, bool value);
void json_write_null(struct json_writer *writer, const char *key);
void json_write_time(struct json_writer *writer, const char *key,
                     int64_t unix_seconds); /* RFC 3339; 0: null */
/* A tree as it was read (not canonical), or text that is JSON already. */
void json_write_value(struct json_writer *writer, const char *key, const struct json *value);
void json_write_raw(struct json_writer *writer, const char *key, const char *json, size_t size);

/* Canonical JSON as TUF uses it (OLPC): keys sorted by bytes, no white space, integers only, strings escape
 * only '"' and '\\'. A number that is no integer fails. */
bool json_canonical(const struct json *value, struct text *out, struct error *err);
/* Reads bytes that must already be in canonical form, or fails UNTRUSTED. Same results as json_read. */
const struct json *json_read_canonical(struct arena *arena, const void *bytes, size_t size,
                                       const struct json_limits *limits, struct error *err);

#endif

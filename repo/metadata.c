#include "repo/metadata.h"
#include "repo/document.h"

#include "base/clock.h"

#include <string.h>

#define SPEC_VERSION "1.0.31"
#define KEYS_LIMIT 2048
#define SIGNATURES_LIMIT 64

bool metadata_sign(const struct json *signed_part, const struct private_key *const *keys, size_t key_count,
                   struct text *envelope, struct error *err)
{
    TEXT(canonical);
    text_init(&canonical, 0);
    if (!json_canonical(signed_part, &canonical, err))
        return error_add(err, "signing");
    text_puts(envelope, "{\"signatures\":[");
    for (size_t i = 0; i < key_count; i++) {
        uint8_t signature[SIGNATURE_SIZE];
        char hex[2 * SIGNATURE_SIZE + 1];
        private_key_sign(keys[i], canonical.bytes, canonical.size, signature);
        hex_encode(hex, signature, sizeof signature);
        text_printf(envelope, "%s{\"keyid\":\"%s\",\"sig\":\"%s\"}", i ? "," : "", keys[i]->public.id, hex);
    }
    text_puts(envelope, "],\"signed\":");
    text_add(envelope, canonical.bytes, canonical.size);
    text_putc(envelope, '}');
    if (canonical.failed || envelope->failed)
        return error_set(err, ERROR_LIMIT, "a signed document became too large");
    return true;
}

bool document_time(const char *text, int64_t *unix_seconds)
{
    return text && strlen(text) == 20 && text[19] == 'Z' && time_parse(text, unix_seconds);
}

static bool envelope_read(struct arena *arena, const void *bytes, size_t size, struct document *document,
                          struct error *err)
{
    static const char *const members[] = {"signatures", "signed", NULL};
    const struct json *envelope = json_read(arena, bytes, size, &json_limits_large, err);
    if (!envelope)
        return false;
    if (envelope->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "it is no object");
    if (!json_only(envelope, members, err) ||
        !json_need_object(envelope, "signed", &document->signed_part, err) ||
        !json_need_array(envelope, "signatures", &document->signatures, err))
        return false;
    if (document->signatures->size > SIGNATURES_LIMIT)
        return error_set(err, ERROR_LIMIT, "it has more than %d signatures", SIGNATURES_LIMIT);
    return true;
}

static bool head_read(const struct json *part, const char *type, struct document *document, struct error *err)
{
    const char *given_type, *spec, *expires;
    if (!json_need_string(part, "_type", &given_type, err) ||
        !json_need_string(part, "spec_version", &spec, err) ||
        !json_need_integer(part, "version", 1, INT64_MAX, &document->version, err) ||
        !json_need_string(part, "expires", &expires, err))
        return false;
    if (!string_is(given_type, type))
        return error_set(err, ERROR_UNTRUSTED, "it is of type \"%.40s\"", given_type);
    if (!string_is(spec, SPEC_VERSION))
        return error_set(err, ERROR_UNTRUSTED, "it follows version \"%.20s\" of the specification", spec);
    if (!document_time(expires, &document->expires))
        return error_set(err, ERROR_UNTRUSTED, "\"expires\" is no time");
    return true;
}

bool document_read(struct arena *arena, const char *name, const char *type, const void *bytes, size_t size,
                   struct document *document, struct error *err)
{
    *document = (struct document){.size = size};
    if (!envelope_read(arena, bytes, size, document, err) ||
        !head_read(document->signed_part, type, document, err)) {
        err->kind = ERROR_UNTRUSTED; /* whatever is wrong with it, it is not to be believed */
        return error_add(err, "%s", name);
    }
    sha256_hex(bytes, size, document->sha256);
    return true;
}

/* A key object; false when it is not exactly one of ours under its right id. */
static bool key_read(const struct json *entry, struct public_key *key)
{
    const struct json *value = json_get(entry, "keyval");
    const char *public = json_string(value, "public");
    return string_is(json_string(entry, "keytype"), "ed25519") &&
           string_is(json_string(entry, "scheme"), "ed25519") && public && public_key_from_hex(key, public) &&
           string_is(entry->key, key->id);
}

bool document_keys_check(const char *name, const struct json *keys, struct error *err)
{
    struct public_key key;
    if (!keys || keys->type != JSON_OBJECT || keys->size > KEYS_LIMIT)
        return error_set(err, ERROR_UNTRUSTED, "%s: \"keys\" must be an object of at most %d keys", name,
                         KEYS_LIMIT);
    for (const struct json *entry = keys->first; entry; entry = entry->next)
        if (!key_read(entry, &key))
            return error_set(err, ERROR_UNTRUSTED,
                             "%s: the key %.12s is malformed or stands under a wrong id", name, entry->key);
    return true;
}

bool document_role_check(const char *name, const struct json *keys, const struct json *role,
                         struct error *err)
{
    const struct json *ids = json_get(role, "keyids");
    int64_t threshold = json_integer(role, "threshold", 0);
    size_t distinct = 0;
    if (!ids || ids->type != JSON_ARRAY || ids->size > SIGNATURES_LIMIT)
        return error_set(err, ERROR_UNTRUSTED, "%s: a role has no list of keys", name);
    for (const struct json *id = ids->first; id; id = id->next) {
        if (id->type != JSON_STRING || !json_get(keys, id->string))
            return error_set(err, ERROR_UNTRUSTED, "%s: a role names a key that is not there", name);
        bool seen = false;
        for (const struct json *before = ids->first; before != id; before = before->next)
            seen = seen || string_is(before->string, id->string);
        distinct += !seen;
    }
    if (threshold < 1 || (uint64_t)threshold > distinct)
        return error_set(err, ERROR_UNTRUSTED, "%s: a role's threshold is %lld of %zu keys", name,
                         (long long)threshold, distinct);
    return true;
}

static bool has_string(const struct json *array, const char *text)
{
    for (const struct json *item = array ? array->first : NULL; item; item = item->next)
        if (item->type == JSON_STRING && string_is(item->string, text))
            return true;
    return false;
}

static bool signature_is_good(const struct json *entry, const struct json *keys, const struct text *canonical)
{
    const char *id = json_string(entry, "keyid"), *hex = json_string(entry, "sig");
    const struct json *entry_of_key = id ? json_get(keys, id) : NULL;
    struct public_key key;
    uint8_t signature[SIGNATURE_SIZE];
    return entry_of_key && hex && key_read(entry_of_key, &key) &&
           hex_decode(signature, sizeof signature, hex) &&
           public_key_verify(&key, canonical->bytes, canonical->size, signature);
}

bool document_verify(const char *name, const struct json *signed_part, const struct json *signatures,
                     const struct json *keys, const struct json *role, struct error *err)
{
    TEXT(canonical);
    int64_t threshold, good = 0;
    if (!document_role_check(name, keys, role, err))
        return false;
    threshold = json_integer(role, "threshold", 0);
    if (!json_canonical(signed_part, &canonical, err) || canonical.failed) {
        err->kind = ERROR_UNTRUSTED;
        return error_add(err, "%s", name);
    }
    for (const struct json *entry = signatures->first; entry && good < threshold; entry = entry->next) {
        const char *id = json_string(entry, "keyid");
        /* Only the role's own keys count, and each of them once: an id is the hash of its key. */
        bool counted = false;
        for (const struct json *before = signatures->first; before != entry; before = before->next)
            counted = counted || (id && string_is(json_string(before, "keyid"), id));
        if (id && !counted && has_string(json_get(role, "keyids"), id))
            good += signature_is_good(entry, keys, &canonical);
    }
    if (good < threshold)
        return error_set(err, ERROR_UNTRUSTED, "%s: %lld of the %lld signatures that it needs verify", name,
                         (long long)good, (long long)threshold);
    return true;
}

const struct json *document_delegation(const struct document *targets, const char *role)
{
    const struct json *roles = json_get(json_get(targets->signed_part, "delegations"), "roles");
    for (const struct json *one = roles ? roles->first : NULL; one; one = one->next)
        if (string_is(json_string(one, "name"), role))
            return one;
    return NULL;
}

#include "base/signature.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_FILE_LIMIT 4096

static _Noreturn void give_up(void)
{
    fprintf(stderr, "level=error event=crypto_failed what=ed25519\n");
    abort();
}

static void pkey_free(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void context_free(EVP_MD_CTX **context)
{
    EVP_MD_CTX_free(*context);
}
#define PKEY(name) __attribute__((cleanup(pkey_free))) EVP_PKEY *name
#define CONTEXT(name) __attribute__((cleanup(context_free))) EVP_MD_CTX *name

static void fill_id(struct public_key *key)
{
    char hex[2 * PUBLIC_KEY_SIZE + 1], json[256];

    hex_encode(hex, key->bytes, sizeof(key->bytes));
    int size =
        snprintf(json, sizeof(json),
                 "{\"keytype\":\"ed25519\",\"keyval\":{\"public\":\"%s\"},\"scheme\":\"ed25519\"}", hex);
    sha256_hex(json, (size_t)size, key->id);
}

/* Fills key->public from key->seed. */
static void fill_public(struct private_key *key)
{
    PKEY(pkey) = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->seed, sizeof(key->seed));
    size_t size = sizeof(key->public.bytes);

    if (!pkey || EVP_PKEY_get_raw_public_key(pkey, key->public.bytes, &size) != 1)
        give_up();
    fill_id(&key->public);
}

void private_key_make(struct private_key *key)
{
    random_bytes(key->seed, sizeof(key->seed));
    fill_public(key);
}

bool public_key_from_hex(struct public_key *key, const char *hex)
{
    if (!hex || !hex_decode(key->bytes, sizeof(key->bytes), hex))
        return false;
    fill_id(key);
    return true;
}

void private_key_sign(const struct private_key *key, const void *bytes, size_t size,
                      uint8_t signature[SIGNATURE_SIZE])
{
    PKEY(pkey) = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->seed, sizeof(key->seed));
    CONTEXT(context) = EVP_MD_CTX_new();
    size_t signature_size = SIGNATURE_SIZE;

    if (!pkey || !context || EVP_DigestSignInit(context, NULL, NULL, NULL, pkey) != 1 ||
        EVP_DigestSign(context, signature, &signature_size, bytes, size) != 1)
        give_up();
}

/* A refused signature leaves its reason in OpenSSL's queue of this thread, where a TLS connection would find
 * it. */
bool public_key_verify(const struct public_key *key, const void *bytes, size_t size,
                       const uint8_t signature[SIGNATURE_SIZE])
{
    PKEY(pkey) = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes, sizeof(key->bytes));
    CONTEXT(context) = EVP_MD_CTX_new();
    bool good = pkey && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey) == 1 &&
                EVP_DigestVerify(context, signature, SIGNATURE_SIZE, bytes, size) == 1;

    if (!good)
        ERR_clear_error();
    return good;
}

bool private_key_save(const struct private_key *key, int dirfd, const char *name, struct error *err)
{
    char seed[2 * sizeof(key->seed) + 1], public[2 * PUBLIC_KEY_SIZE + 1], json[256];

    hex_encode(seed, key->seed, sizeof(key->seed));
    hex_encode(public, key->public.bytes, sizeof(key->public.bytes));
    int size = snprintf(json, sizeof(json), "{\"keytype\":\"ed25519\",\"private\":\"%s\",\"public\":\"%s\"}",
                        seed, public);
    bool saved = file_create(dirfd, name, json, (size_t)size, 0600, err);
    OPENSSL_cleanse(seed, sizeof(seed));
    OPENSSL_cleanse(json, sizeof(json));
    return saved;
}

static bool key_read(struct private_key *key, const struct json *json)
{
    const char *seed = json_string(json, "private"), *public = json_string(json, "public");
    struct public_key said;

    if (!string_is(json_string(json, "keytype"), "ed25519") || !seed ||
        !hex_decode(key->seed, sizeof(key->seed), seed))
        return false;
    fill_public(key);
    return public_key_from_hex(&said, public) &&
           secret_equal(said.bytes, key->public.bytes, sizeof(said.bytes));
}

bool private_key_load(struct private_key *key, int dirfd, const char *name, struct error *err)
{
    ARENA(arena);
    char *bytes;
    size_t size;

    if (!file_read(&arena, dirfd, name, KEY_FILE_LIMIT, &bytes, &size, err))
        return error_add(err, "key \"%s\"", name);
    const struct json *json = json_read(&arena, bytes, size, &json_limits_small, err);
    if (!json)
        return error_add(err, "key \"%s\"", name);
    if (!key_read(key, json))
        return error_set(err, ERROR_INPUT,
                         "\"%s\" holds no Ed25519 key, or one whose halves do not belong together", name);
    return true;
}

#include "base/digest.h"

#include "base/text.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define FILE_READ (256u << 10)
#define SALT_SIZE 16
#define SCRYPT_LOG_N 15
#define SCRYPT_R 8
#define SCRYPT_P 1

static EVP_MD *sha256_algorithm;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "level=error event=crypto_failed what=%s\n", what);
    abort();
}

/* Looking the algorithm up by name costs more than hashing a small input, so it is fetched once. */
static void fetch_sha256(void)
{
    sha256_algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!sha256_algorithm)
        give_up("sha256");
}

void sha256_init(struct sha256 *hash)
{
    pthread_once(&sha256_once, fetch_sha256);
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (!context || !EVP_DigestInit_ex2(context, sha256_algorithm, NULL))
        give_up("sha256");
    hash->context = context;
}

void sha256_add(struct sha256 *hash, const void *bytes, size_t size)
{
    if (!EVP_DigestUpdate(hash->context, bytes, size))
        give_up("sha256");
}

void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_SIZE])
{
    if (!EVP_DigestFinal_ex(hash->context, digest, NULL))
        give_up("sha256");
    EVP_MD_CTX_free(hash->context);
    hash->context = NULL;
}

/* A thread that hashes many small things keeps its context: making one costs as much as hashing 300 bytes. */
static pthread_key_t own_context;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;

static void own_free(void *context)
{
    EVP_MD_CTX_free(context);
}

static void own_make(void)
{
    if (pthread_key_create(&own_context, own_free) != 0)
        give_up("memory");
}

void sha256_bytes(const void *bytes, size_t size, uint8_t digest[SHA256_SIZE])
{
    pthread_once(&sha256_once, fetch_sha256);
    pthread_once(&own_once, own_make);
    EVP_MD_CTX *context = pthread_getspecific(own_context);

    if (!context && (!(context = EVP_MD_CTX_new()) || pthread_setspecific(own_context, context) != 0))
        give_up("memory");
    if (!EVP_DigestInit_ex2(context, sha256_algorithm, NULL) || !EVP_DigestUpdate(context, bytes, size) ||
        !EVP_DigestFinal_ex(context, digest, NULL))
        give_up("sha256");
}

void sha256_hex(const void *bytes, size_t size, char hex[SHA256_HEX])
{
    uint8_t digest[SHA256_SIZE];

    sha256_bytes(bytes, size, digest);
    hex_encode(hex, digest, sizeof(digest));
}

void hmac_sha256_hex(const void *key, size_t key_size, const void *bytes, size_t size, char hex[HMAC_HEX])
{
    uint8_t block[64] = {0}, pad[64], digest[SHA256_SIZE];
    struct sha256 hash;

    if (key_size > sizeof(block))
        sha256_bytes(key, key_size, block);
    else if (key_size)
        memcpy(block, key, key_size);
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] = block[i] ^ 0x36;
    sha256_init(&hash);
    sha256_add(&hash, pad, sizeof(pad));
    sha256_add(&hash, bytes, size);
    sha256_end(&hash, digest);
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] = block[i] ^ 0x5c;
    sha256_init(&hash);
    sha256_add(&hash, pad, sizeof(pad));
    sha256_add(&hash, digest, sizeof(digest));
    sha256_end(&hash, digest);
    hex_encode(hex, digest, sizeof(digest));
}

bool sha256_file(int fd, char hex[SHA256_HEX], int64_t *size, struct error *err)
{
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    char *buffer = malloc(FILE_READ);
    int64_t offset = 0;
    ssize_t got;

    if (!buffer)
        give_up("memory");
    sha256_init(&hash);
    while ((got = pread(fd, buffer, FILE_READ, offset)) > 0 || (got < 0 && errno == EINTR)) {
        if (got < 0)
            continue;
        sha256_add(&hash, buffer, (size_t)got);
        offset += got;
    }
    int saved = errno;
    free(buffer);
    sha256_end(&hash, digest);
    errno = saved;
    if (got < 0)
        return error_errno(err, "reading a file to hash it");
    hex_encode(hex, digest, sizeof(digest));
    if (size)
        *size = offset;
    return true;
}

bool sha256_is_hex(const char *text)
{
    uint8_t digest[SHA256_SIZE];

    return text && hex_decode(digest, sizeof(digest), text);
}

void random_bytes(void *bytes, size_t size)
{
    uint8_t *to = bytes;

    while (size > 0) {
        ssize_t got = getrandom(to, size, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            give_up("random");
        to += got;
        size -= (size_t)got;
    }
}

bool secret_equal(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}

static bool scrypt(const char *password, const uint8_t *salt, size_t salt_size, int64_t log_n, int64_t r,
                   int64_t p, uint8_t key[SHA256_SIZE])
{
    uint64_t n = UINT64_C(1) << log_n;
    /* OpenSSL's own bound (32 MiB) is just below what these parameters need. */
    uint64_t memory = 128 * (uint64_t)r * (n + (uint64_t)p + 2) + (1u << 20);

    bool good = EVP_PBE_scrypt(password, strlen(password), salt, salt_size, n, (uint64_t)r, (uint64_t)p,
                               memory, key, SHA256_SIZE) == 1;
    if (!good)
        ERR_clear_error();
    return good;
}

void password_hash(const char *password, char out[PASSWORD_HASH_SIZE])
{
    uint8_t salt[SALT_SIZE], key[SHA256_SIZE];
    char salt_text[32], key_text[48];

    random_bytes(salt, sizeof(salt));
    if (!scrypt(password, salt, sizeof(salt), SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P, key))
        give_up("scrypt");
    base64url_encode(salt_text, salt, sizeof(salt));
    base64url_encode(key_text, key, sizeof(key));
    snprintf(out, PASSWORD_HASH_SIZE, "scrypt$%d$%d$%d$%s$%s", SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P, salt_text,
             key_text);
    OPENSSL_cleanse(key, sizeof(key));
}

/* Cuts `text` at its dollar signs into exactly `count` parts. */
static bool split(char *text, char **parts, int count)
{
    for (int i = 0; i < count; i++) {
        parts[i] = text;
        char *dollar = strchr(text, '$');

        if (i == count - 1)
            return !dollar;
        if (!dollar)
            return false;
        *dollar = '\0';
        text = dollar + 1;
    }
    return false;
}

bool password_matches(const char *password, const char *hash)
{
    char copy[PASSWORD_HASH_SIZE], *parts[6];
    uint8_t salt[64], expected[SHA256_SIZE], key[SHA256_SIZE];
    int64_t log_n, r, p;

    if (!password || !hash || strlen(hash) >= sizeof(copy))
        return false;
    memcpy(copy, hash, strlen(hash) + 1);
    /* Parameters are bounded (128 MiB), so that a damaged row cannot take the machine down. */
    if (!split(copy, parts, 6) || !string_is(parts[0], "scrypt") || !int64_parse(parts[1], 10, 17, &log_n) ||
        !int64_parse(parts[2], 1, 8, &r) || !int64_parse(parts[3], 1, 4, &p))
        return false;
    long salt_size = base64url_decode(salt, sizeof(salt), parts[4]);
    if (salt_size < 8 || base64url_decode(expected, sizeof(expected), parts[5]) != SHA256_SIZE)
        return false;
    if (!scrypt(password, salt, (size_t)salt_size, log_n, r, p, key))
        return false;
    bool same = secret_equal(key, expected, sizeof(key));
    OPENSSL_cleanse(key, sizeof(key));
    return same;
}

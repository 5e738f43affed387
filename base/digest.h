/* SHA-256, scrypt passwords, random bytes, comparison in constant time. OpenSSL stays in here and in
 * signature.c, certificate.c. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_HEX 65 /* with NUL */

struct sha256 {
    void *context; /* EVP_MD_CTX */
};
void sha256_init(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *bytes, size_t size);
void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_SIZE]); /* frees; also call it to give up */
void sha256_bytes(const void *bytes, size_t size, uint8_t digest[SHA256_SIZE]);
void sha256_hex(const void *bytes, size_t size, char hex[SHA256_HEX]);
/* Hashes an open file from its start to its end with 256 KiB reads (pread, so the offset stays). */
bool sha256_file(int fd, char hex[SHA256_HEX], int64_t *size, struct error *err);
#define HMAC_HEX SHA256_HEX
/* HMAC-SHA256 (RFC 2104), in hex. */
void hmac_sha256_hex(const void *key, size_t key_size, const void *bytes, size_t size, char hex[HMAC_HEX]);
bool sha256_is_hex(const char *text); /* exactly 64 lower-case hex digits */

void random_bytes(void *bytes, size_t size);                  /* ends the program when the kernel has none */
bool secret_equal(const void *a, const void *b, size_t size); /* constant time */

#define PASSWORD_HASH_SIZE 160
/* scrypt (RFC 7914), N=2^15 r=8 p=1, 16 bytes of salt: "scrypt$15$8$1$<base64url salt>$<base64url hash>". */
void password_hash(const char *password, char out[PASSWORD_HASH_SIZE]);
bool password_matches(const char *password, const char *hash); /* false as well when `hash` is malformed */

#endif

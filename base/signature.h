/* Ed25519 (RFC 8032) keys and signatures, and TUF's form of both.
 * A key id is TUF's: SHA-256 of the canonical JSON
 * {"keytype":"ed25519","keyval":{"public":"<hex>"},"scheme":"ed25519"}. */
#ifndef BASE_SIGNATURE_H
#define BASE_SIGNATURE_H

#include "base/digest.h"
#include "base/error.h"

#define PUBLIC_KEY_SIZE 32
#define SIGNATURE_SIZE 64

struct public_key {
    uint8_t bytes[PUBLIC_KEY_SIZE];
    char id[SHA256_HEX];
};
struct private_key {
    uint8_t seed[32];
    struct public_key public;
};

void private_key_make(struct private_key *key);
/* From the raw public bytes in hex. False when it is not 64 hex digits. Fills the id. */
bool public_key_from_hex(struct public_key *key, const char *hex);
void private_key_sign(const struct private_key *key, const void *bytes, size_t size,
                      uint8_t signature[SIGNATURE_SIZE]);
bool public_key_verify(const struct public_key *key, const void *bytes, size_t size,
                       const uint8_t signature[SIGNATURE_SIZE]);
/* A key file: {"keytype":"ed25519","private":"<hex seed>","public":"<hex>"}, mode 0600, durable, beneath
 * `dirfd`. An existing name is a CONFLICT. */
bool private_key_save(const struct private_key *key, int dirfd, const char *name, struct error *err);
bool private_key_load(struct private_key *key, int dirfd, const char *name, struct error *err);

#endif

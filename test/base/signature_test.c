#include "base/signature.h"

#include "base/text.h"
#include "test/base/scratch.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* RFC 8032, section 7.1, test 2. */
static const char *const seed_hex = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
static const char *const public_hex = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
static const char *const signature_hex = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                                         "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

static void load_rfc_key(struct scratch *scratch, struct private_key *key)
{
    struct error err = {0};
    char json[300];
    int size = snprintf(json, sizeof(json), "{\"keytype\":\"ed25519\",\"private\":\"%s\",\"public\":\"%s\"}",
                        seed_hex, public_hex);

    assert_ok(file_write(scratch->fd, "rfc", json, (size_t)size, 0600, &err), err);
    assert_ok(private_key_load(key, scratch->fd, "rfc", &err), err);
}

static void signatures_are_those_of_rfc_8032(void **state)
{
    SCRATCH(scratch);
    struct private_key key;
    uint8_t signature[SIGNATURE_SIZE];
    char hex[2 * SIGNATURE_SIZE + 1];

    (void)state;
    load_rfc_key(&scratch, &key);
    private_key_sign(&key, "\x72", 1, signature);
    hex_encode(hex, signature, sizeof(signature));
    assert_string_equal(hex, signature_hex);
    assert_true(public_key_verify(&key.public, "\x72", 1, signature));
}

/* The id was computed by hand: printf '{"keytype":…}' | sha256sum. */
static void a_key_id_is_the_hash_of_tufs_canonical_form(void **state)
{
    struct public_key key;
    char json[300], hex[SHA256_HEX];
    int size = snprintf(json, sizeof(json),
                        "{\"keytype\":\"ed25519\",\"keyval\":{\"public\":\"%s\"},\"scheme\":\"ed25519\"}",
                        public_hex);

    (void)state;
    assert_true(public_key_from_hex(&key, public_hex));
    sha256_hex(json, (size_t)size, hex);
    assert_string_equal(key.id, hex);
    assert_string_equal(key.id, "eaf1e23f6c823132f437a2eaa299a7950f7386631deff273db195bbd26209e2b");
}

static void a_changed_byte_is_not_verified(void **state)
{
    struct private_key key, other;
    uint8_t signature[SIGNATURE_SIZE];

    (void)state;
    private_key_make(&key);
    private_key_make(&other);
    private_key_sign(&key, "message", 7, signature);
    assert_true(public_key_verify(&key.public, "message", 7, signature));
    assert_false(public_key_verify(&key.public, "messagf", 7, signature));
    assert_false(public_key_verify(&key.public, "message", 6, signature));
    assert_false(public_key_verify(&other.public, "message", 7, signature));
    signature[40] ^= 1;
    assert_false(public_key_verify(&key.public, "message", 7, signature));
}

static void a_refused_signature_leaves_no_openssl_error(void **state)
{
    uint8_t signature[SIGNATURE_SIZE] = {0};
    struct public_key key;

    (void)state;
    assert_true(public_key_from_hex(&key, public_hex));
    assert_false(public_key_verify(&key, "x", 1, signature));
    assert_int_equal(ERR_peek_error(), 0);
}

static void only_64_hex_digits_are_a_public_key(void **state)
{
    struct public_key key;

    (void)state;
    assert_false(public_key_from_hex(&key, NULL));
    assert_false(public_key_from_hex(&key, ""));
    assert_false(public_key_from_hex(&key, public_hex + 1));
    assert_false(
        public_key_from_hex(&key, "3D4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"));
}

static void a_saved_key_is_private_and_loads_again(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};
    struct private_key key, loaded;
    struct stat stat;

    (void)state;
    private_key_make(&key);
    assert_ok(private_key_save(&key, scratch.fd, "k.json", &err), err);
    assert_int_equal(fstatat(scratch.fd, "k.json", &stat, 0), 0);
    assert_int_equal(stat.st_mode & 07777, 0600);
    assert_ok(private_key_load(&loaded, scratch.fd, "k.json", &err), err);
    assert_memory_equal(key.seed, loaded.seed, sizeof(key.seed));
    assert_string_equal(key.public.id, loaded.public.id);
    assert_refused(private_key_save(&loaded, scratch.fd, "k.json", &err), err, ERROR_CONFLICT);
}

static void a_damaged_key_file_is_refused(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};
    struct private_key key;
    char mixed[300];

    (void)state;
    assert_refused(private_key_load(&key, scratch.fd, "none", &err), err, ERROR_MISSING);
    snprintf(mixed, sizeof(mixed), "{\"keytype\":\"ed25519\",\"private\":\"%s\",\"public\":\"%s\"}",
             public_hex, public_hex);
    const char *const bad[] = {
        "", "{}", "[]", "{\"keytype\":\"rsa\"}", "{\"keytype\":\"ed25519\",\"private\":\"00\"}", mixed};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_ok(file_write(scratch.fd, "bad", bad[i], strlen(bad[i]), 0600, &err), err);
        assert_refused(private_key_load(&key, scratch.fd, "bad", &err), err, ERROR_INPUT);
        assert_null(strstr(err.text, seed_hex));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_those_of_rfc_8032),
        cmocka_unit_test(a_key_id_is_the_hash_of_tufs_canonical_form),
        cmocka_unit_test(a_changed_byte_is_not_verified),
        cmocka_unit_test(a_refused_signature_leaves_no_openssl_error),
        cmocka_unit_test(only_64_hex_digits_are_a_public_key),
        cmocka_unit_test(a_saved_key_is_private_and_loads_again),
        cmocka_unit_test(a_damaged_key_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/digest.h"

#include "test/base/scratch.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void sha256_gives_the_values_of_fips_180(void **state)
{
    char hex[SHA256_HEX];

    (void)state;
    sha256_hex("abc", 3, hex);
    assert_string_equal(hex, ABC);
    sha256_hex("", 0, hex);
    assert_string_equal(hex, EMPTY);
}

/* RFC 4231, cases 1, 2 and 6. */
static void hmac_gives_the_values_of_rfc_4231(void **state)
{
    uint8_t key[131];
    char hex[HMAC_HEX];

    (void)state;
    memset(key, 0x0b, 20);
    hmac_sha256_hex(key, 20, "Hi There", 8, hex);
    assert_string_equal(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256_hex("Jefe", 4, "what do ya want for nothing?", 28, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    hmac_sha256_hex(key, sizeof(key), "Test Using Larger Than Block-Size Key - Hash Key First", 54, hex);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void a_hash_in_parts_is_the_hash_of_the_whole(void **state)
{
    uint8_t whole[SHA256_SIZE], parts[SHA256_SIZE];
    struct sha256 hash;

    (void)state;
    sha256_bytes("one two three", 13, whole);
    sha256_init(&hash);
    sha256_add(&hash, "one ", 4);
    sha256_add(&hash, "", 0);
    sha256_add(&hash, "two three", 9);
    sha256_end(&hash, parts);
    assert_memory_equal(whole, parts, SHA256_SIZE);
}

static void a_file_is_hashed_from_its_start_and_keeps_its_offset(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};
    size_t size = (600u << 10) + 7;
    char *bytes = calloc(1, size), hex[SHA256_HEX], wanted[SHA256_HEX];
    int64_t got;

    (void)state;
    random_bytes(bytes, size);
    sha256_hex(bytes, size, wanted);
    assert_ok(file_write(scratch.fd, "f", bytes, size, 0600, &err), err);
    free(bytes);
    FD(fd) = file_open_beneath(scratch.fd, "f", O_RDONLY, 0, &err);
    assert_int_equal(lseek(fd, 5, SEEK_SET), 5);
    assert_ok(sha256_file(fd, hex, &got, &err), err);
    assert_string_equal(hex, wanted);
    assert_int_equal(got, size);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 5);
    assert_refused(sha256_file(scratch.fd, hex, &got, &err), err, ERROR_SYSTEM);
}

static void only_64_lower_case_digits_are_a_hash(void **state)
{
    (void)state;
    assert_true(sha256_is_hex(ABC));
    assert_false(sha256_is_hex(ABC "0"));
    assert_false(sha256_is_hex(&ABC[1]));
    assert_false(sha256_is_hex("BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    assert_false(sha256_is_hex("../816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    assert_false(sha256_is_hex(NULL));
}

static void random_bytes_differ(void **state)
{
    uint8_t a[32] = {0}, b[32] = {0};

    (void)state;
    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    assert_false(secret_equal(a, b, sizeof(a)));
    assert_true(secret_equal(a, a, sizeof(a)));
    assert_true(secret_equal(a, b, 0));
}

static void a_password_matches_its_own_hash_only(void **state)
{
    char hash[PASSWORD_HASH_SIZE], again[PASSWORD_HASH_SIZE];

    (void)state;
    password_hash("correct horse", hash);
    password_hash("correct horse", again);
    assert_memory_equal(hash, "scrypt$15$8$1$", 14);
    assert_string_not_equal(hash, again);
    assert_true(password_matches("correct horse", hash));
    assert_true(password_matches("correct horse", again));
    assert_false(password_matches("correct horsf", hash));
    assert_false(password_matches("", hash));
    hash[strlen(hash) - 2] = hash[strlen(hash) - 2] == 'A' ? 'B' : 'A';
    assert_false(password_matches("correct horse", hash));
}

/* RFC 7914, section 12: scrypt("pleaseletmein", "SodiumChloride", 16384, 8, 1), its first 32 bytes. */
static void scrypt_is_that_of_rfc_7914(void **state)
{
    static const char *const hash =
        "scrypt$14$8$1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046_2o-7qQT44-qbVD9lRdofI";

    (void)state;
    assert_true(password_matches("pleaseletmein", hash));
    assert_false(password_matches("pleaseletmeout", hash));
}

static void a_malformed_or_greedy_hash_matches_nothing(void **state)
{
    static const char *const bad[] = {
        "",
        "scrypt",
        "plain",
        "scrypt$15$8$1$AAAAAAAAAAAAAAAAAAAAAA",
        "scrypt$15$8$1$AAAAAAAAAAAAAAAAAAAAAA$",
        "scrypt$15$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
        "scrypt$60$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "scrypt$15$99$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "scrypt$15$8$1$A$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "scrypt$15$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA$x",
        "bcrypt$15$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(password_matches("x", bad[i]));
    assert_false(password_matches("x", NULL));
}

static void *hash_often(void *context)
{
    (void)context;
    for (int i = 0; i < 2000; i++) {
        char hex[SHA256_HEX];

        sha256_hex("abc", 3, hex);
        if (strcmp(hex, ABC) != 0)
            return (void *)1;
    }
    return NULL;
}

static void threads_hash_at_the_same_time(void **state)
{
    pthread_t threads[4];
    void *result;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hash_often, NULL), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        assert_null(result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_hash_at_the_same_time),
        cmocka_unit_test(sha256_gives_the_values_of_fips_180),
        cmocka_unit_test(hmac_gives_the_values_of_rfc_4231),
        cmocka_unit_test(a_hash_in_parts_is_the_hash_of_the_whole),
        cmocka_unit_test(a_file_is_hashed_from_its_start_and_keeps_its_offset),
        cmocka_unit_test(only_64_lower_case_digits_are_a_hash),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(a_password_matches_its_own_hash_only),
        cmocka_unit_test(scrypt_is_that_of_rfc_7914),
        cmocka_unit_test(a_malformed_or_greedy_hash_matches_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

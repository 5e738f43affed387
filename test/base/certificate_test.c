#include "base/certificate.h"

#include "base/clock.h"
#include "base/text.h"
#include "test/base/scratch.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {"localhost", "console.example", "127.0.0.1", "::1", NULL};

static void prepare(const struct scratch *scratch, const char *const *wanted)
{
    struct error err = {0};

    assert_ok(certificate_prepare(scratch->fd, wanted, &err), err);
}

static char *pem_text(const struct scratch *scratch, struct arena *arena, const char *name)
{
    struct error err = {0};
    char *bytes;
    size_t size;

    assert_ok(file_read(arena, scratch->fd, name, 65536, &bytes, &size, &err), err);
    return bytes;
}

/* The n-th certificate in a file. */
static X509 *load(const struct scratch *scratch, const char *name, int n)
{
    ARENA(arena);
    BIO *bio = BIO_new_mem_buf(pem_text(scratch, &arena, name), -1);
    X509 *cert = NULL;

    for (int i = 0; i <= n; i++) {
        X509_free(cert);
        cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        assert_non_null(cert);
    }
    BIO_free(bio);
    return cert;
}

static void assert_serial_differs(const struct scratch *scratch, X509 *before, bool differs)
{
    X509 *now = load(scratch, "server.pem", 0);

    assert_int_equal(X509_cmp(now, before) != 0, differs);
    X509_free(now);
}

/* OpenSSL's own judgement, as strict as it can be, for a server of this name. */
static int verify(const struct scratch *scratch, const char *host, const char *address)
{
    X509 *ca = load(scratch, "ca.pem", 0), *server = load(scratch, "server.pem", 0);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();

    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(context, store, server, NULL);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
    if (host)
        X509_VERIFY_PARAM_set1_host(param, host, 0);
    if (address)
        X509_VERIFY_PARAM_set1_ip_asc(param, address);
    X509_verify_cert(context);
    int code = X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(ca);
    X509_free(server);
    return code;
}

static void a_strict_verifier_accepts_the_server_under_all_its_names(void **state)
{
    SCRATCH(scratch);

    (void)state;
    prepare(&scratch, names);
    assert_int_equal(verify(&scratch, "localhost", NULL), X509_V_OK);
    assert_int_equal(verify(&scratch, "console.example", NULL), X509_V_OK);
    assert_int_equal(verify(&scratch, NULL, "127.0.0.1"), X509_V_OK);
    assert_int_equal(verify(&scratch, NULL, "::1"), X509_V_OK);
    assert_int_equal(verify(&scratch, "other.example", NULL), X509_V_ERR_HOSTNAME_MISMATCH);
    assert_int_equal(verify(&scratch, NULL, "127.0.0.2"), X509_V_ERR_IP_ADDRESS_MISMATCH);
}

static void keys_are_private_and_the_chain_is_complete(void **state)
{
    static const struct {
        const char *name;
        mode_t mode;
    } files[] = {{"ca.key", 0600}, {"server.key", 0600}, {"ca.pem", 0644}, {"server.pem", 0644}};
    SCRATCH(scratch);

    (void)state;
    prepare(&scratch, names);
    for (size_t i = 0; i < 4; i++) {
        struct stat stat;

        assert_int_equal(fstatat(scratch.fd, files[i].name, &stat, 0), 0);
        assert_int_equal(stat.st_mode & 07777, files[i].mode);
    }
    X509 *ca = load(&scratch, "ca.pem", 0), *chained = load(&scratch, "server.pem", 1);
    assert_int_equal(X509_cmp(ca, chained), 0);
    X509_free(ca);
    X509_free(chained);
}

static void extensions_and_times_are_as_rfc_5280_asks(void **state)
{
    SCRATCH(scratch);

    (void)state;
    prepare(&scratch, names);
    X509 *ca = load(&scratch, "ca.pem", 0), *server = load(&scratch, "server.pem", 0);
    time_t now = time(NULL), hours_ago = now - 23 * 3600;
    assert_int_equal(X509_check_ca(ca), 1);
    assert_int_equal(X509_get_pathlen(ca), 0);
    assert_int_equal(X509_get_key_usage(ca), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_non_null(X509_get0_subject_key_id(ca));
    assert_int_equal(X509_check_ca(server), 0);
    assert_int_equal(X509_get_key_usage(server), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(server), XKU_SSL_SERVER);
    assert_int_equal(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(server), X509_get0_subject_key_id(ca)),
                     0);
    assert_true(X509_cmp_time(X509_get0_notBefore(ca), &hours_ago) < 0);
    assert_true(X509_cmp_time(X509_get0_notBefore(server), &hours_ago) < 0);
    time_t nine_years = now + 9L * 365 * 86400, one_year = now + 365L * 86400;
    assert_true(X509_cmp_time(X509_get0_notAfter(ca), &nine_years) > 0);
    assert_true(X509_cmp_time(X509_get0_notAfter(server), &one_year) > 0);
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(ca), X509_get0_serialNumber(server)), 0);
    assert_int_equal(ASN1_STRING_length(X509_get0_serialNumber(server)), 16);
    X509_free(ca);
    X509_free(server);
}

static void a_good_certificate_stays(void **state)
{
    static const char *const fewer[] = {"127.0.0.1", NULL};
    SCRATCH(scratch);

    (void)state;
    prepare(&scratch, names);
    X509 *server = load(&scratch, "server.pem", 0);
    prepare(&scratch, names);
    assert_serial_differs(&scratch, server, false);
    prepare(&scratch, fewer);
    assert_serial_differs(&scratch, server, false);
    assert_int_equal(ERR_peek_error(), 0);
    X509_free(server);
}

static void a_new_name_makes_a_new_server_certificate_under_the_same_authority(void **state)
{
    static const char *const more[] = {"localhost", "new.example", NULL};
    static const char *const address[] = {"localhost", "192.0.2.1", NULL};
    SCRATCH(scratch);
    char before[SHA256_HEX], after[SHA256_HEX];
    struct error err = {0};
    ARENA(arena);

    (void)state;
    prepare(&scratch, names);
    char *ca = pem_text(&scratch, &arena, "ca.pem");
    assert_ok(certificate_fingerprint(ca, strlen(ca), before, &err), err);
    X509 *server = load(&scratch, "server.pem", 0);
    prepare(&scratch, more);
    assert_serial_differs(&scratch, server, true);
    assert_int_equal(verify(&scratch, "new.example", NULL), X509_V_OK);
    prepare(&scratch, address);
    assert_int_equal(verify(&scratch, NULL, "192.0.2.1"), X509_V_OK);
    ca = pem_text(&scratch, &arena, "ca.pem");
    assert_ok(certificate_fingerprint(ca, strlen(ca), after, &err), err);
    assert_string_equal(before, after);
    X509_free(server);
}

/* A server certificate as ours, but ending so many days from now. */
static void shorten(const struct scratch *scratch, long days)
{
    ARENA(arena);
    struct error err = {0};
    X509 *ca = load(scratch, "ca.pem", 0), *server = load(scratch, "server.pem", 0);
    BIO *key_bio = BIO_new_mem_buf(pem_text(scratch, &arena, "ca.key"), -1), *out = BIO_new(BIO_s_mem());
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    char *bytes;

    X509_gmtime_adj(X509_getm_notAfter(server), days * 86400);
    assert_true(X509_sign(server, key, EVP_sha256()) > 0);
    PEM_write_bio_X509(out, server);
    PEM_write_bio_X509(out, ca);
    long size = BIO_get_mem_data(out, &bytes);
    assert_ok(file_write(scratch->fd, "server.pem", bytes, (size_t)size, 0644, &err), err);
    BIO_free(key_bio);
    BIO_free(out);
    EVP_PKEY_free(key);
    X509_free(ca);
    X509_free(server);
}

static void a_certificate_is_renewed_60_days_before_its_end(void **state)
{
    SCRATCH(scratch);

    (void)state;
    prepare(&scratch, names);
    shorten(&scratch, 61);
    X509 *server = load(&scratch, "server.pem", 0);
    prepare(&scratch, names);
    assert_serial_differs(&scratch, server, false);
    X509_free(server);
    shorten(&scratch, 59);
    server = load(&scratch, "server.pem", 0);
    prepare(&scratch, names);
    assert_serial_differs(&scratch, server, true);
    assert_int_equal(verify(&scratch, "localhost", NULL), X509_V_OK);
    X509_free(server);
}

static void each_step_that_fails_is_made_good_by_the_next_start(void **state)
{
    int steps = 1;

    (void)state;
    for (int n = 1; n <= steps; n++) {
        SCRATCH(scratch);
        struct error err = {0};

        file_fault(n, 5);
        assert_refused(certificate_prepare(scratch.fd, names, &err), err, ERROR_SYSTEM);
        file_fault(0, 0);
        prepare(&scratch, names);
        if (n == 1)
            steps = file_fault_steps();
        assert_int_equal(verify(&scratch, "localhost", NULL), X509_V_OK);
        assert_int_equal(scratch_count(&scratch, "."), 4);
    }
    assert_int_equal(steps, 4 * 5);
}

static void halves_that_do_not_match_are_noticed(void **state)
{
    SCRATCH(scratch);
    SCRATCH(other);
    ARENA(arena);
    struct error err = {0};

    (void)state;
    prepare(&scratch, names);
    prepare(&other, names);
    char *key = pem_text(&other, &arena, "server.key");
    assert_ok(file_write(scratch.fd, "server.key", key, strlen(key), 0600, &err), err);
    X509 *server = load(&scratch, "server.pem", 0);
    prepare(&scratch, names);
    assert_serial_differs(&scratch, server, true);
    X509_free(server);
    key = pem_text(&other, &arena, "ca.key");
    assert_ok(file_write(scratch.fd, "ca.key", key, strlen(key), 0600, &err), err);
    assert_refused(certificate_prepare(scratch.fd, names, &err), err, ERROR_UNTRUSTED);
}

static void without_the_authoritys_key_a_good_certificate_still_serves(void **state)
{
    static const char *const more[] = {"new.example", NULL};
    SCRATCH(scratch);
    struct error err = {0};

    (void)state;
    prepare(&scratch, names);
    assert_int_equal(unlinkat(scratch.fd, "ca.key", 0), 0);
    prepare(&scratch, names);
    assert_refused(certificate_prepare(scratch.fd, more, &err), err, ERROR_MISSING);
}

static void a_damaged_authority_is_never_replaced(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};

    (void)state;
    prepare(&scratch, names);
    assert_ok(file_write(scratch.fd, "ca.pem", "damaged", 7, 0644, &err), err);
    assert_refused(certificate_prepare(scratch.fd, names, &err), err, ERROR_INPUT);
    assert_int_equal(ERR_peek_error(), 0);
}

static void names_that_would_say_more_are_refused(void **state)
{
    static const char *const bad[] = {"",          "a,DNS:b", "a b", "a:b",  "email:x",
                                      "*.example", ".a",      "-a",  "a\nb", "fe80::1%eth0"};
    SCRATCH(scratch);
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *const one[] = {bad[i], NULL};

        assert_refused(certificate_prepare(scratch.fd, one, &err), err, ERROR_INPUT);
    }
    assert_refused(certificate_prepare(scratch.fd, names + 4, &err), err, ERROR_INPUT);
    assert_int_equal(scratch_count(&scratch, "."), 0);
}

static void the_fingerprint_is_that_of_the_der_form(void **state)
{
    SCRATCH(scratch);
    ARENA(arena);
    struct error err = {0};
    char hex[SHA256_HEX], wanted[SHA256_HEX];
    unsigned char *der = NULL;

    (void)state;
    prepare(&scratch, names);
    char *pem = pem_text(&scratch, &arena, "server.pem");
    assert_ok(certificate_fingerprint(pem, strlen(pem), hex, &err), err);
    X509 *server = load(&scratch, "server.pem", 0);
    int size = i2d_X509(server, &der);
    sha256_hex(der, (size_t)size, wanted);
    assert_string_equal(hex, wanted);
    OPENSSL_free(der);
    X509_free(server);
    assert_refused(certificate_fingerprint("none", 4, hex, &err), err, ERROR_INPUT);
    assert_refused(certificate_fingerprint("", 0, hex, &err), err, ERROR_INPUT);
    assert_int_equal(ERR_peek_error(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_strict_verifier_accepts_the_server_under_all_its_names),
        cmocka_unit_test(keys_are_private_and_the_chain_is_complete),
        cmocka_unit_test(extensions_and_times_are_as_rfc_5280_asks),
        cmocka_unit_test(a_good_certificate_stays),
        cmocka_unit_test(a_new_name_makes_a_new_server_certificate_under_the_same_authority),
        cmocka_unit_test(a_certificate_is_renewed_60_days_before_its_end),
        cmocka_unit_test(each_step_that_fails_is_made_good_by_the_next_start),
        cmocka_unit_test(halves_that_do_not_match_are_noticed),
        cmocka_unit_test(without_the_authoritys_key_a_good_certificate_still_serves),
        cmocka_unit_test(a_damaged_authority_is_never_replaced),
        cmocka_unit_test(names_that_would_say_more_are_refused),
        cmocka_unit_test(the_fingerprint_is_that_of_the_der_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

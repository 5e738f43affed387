#include "base/certificate.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#define PEM_LIMIT (64u << 10)
#define DAY_S (24L * 3600)
#define CA_DAYS 3650
#define SERVER_DAYS 730
#define RENEW_DAYS 60
#define NAMES_MAX 64

static void x509_end(X509 **cert)
{
    X509_free(*cert);
}

static void pkey_end(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void bio_end(BIO **bio)
{
    BIO_free_all(*bio);
}
#define CERT(name) __attribute__((cleanup(x509_end))) X509 *name
#define KEY(name) __attribute__((cleanup(pkey_end))) EVP_PKEY *name
#define BYTES(name) __attribute__((cleanup(bio_end))) BIO *name

/* An authority: its certificate and the key that signs. `key` is NULL when its file was taken elsewhere. */
struct authority {
    X509 *cert;
    EVP_PKEY *key;
};

static void authority_end(struct authority *authority)
{
    X509_free(authority->cert);
    EVP_PKEY_free(authority->key);
}

/* The whole file as a BIO; *missing instead of an error when there is none. */
static BIO *pem_open(int dirfd, const char *name, bool *missing, struct error *err)
{
    ARENA(arena);
    char *bytes;
    size_t size;

    *missing = false;
    struct error reading = {0};
    if (!file_read(&arena, dirfd, name, PEM_LIMIT, &bytes, &size, &reading)) {
        *missing = reading.kind == ERROR_MISSING;
        if (!*missing)
            *err = reading;
        return NULL;
    }
    BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || BIO_write(bio, bytes, (int)size) != (int)size) {
        BIO_free_all(bio);
        error_set(err, ERROR_SYSTEM, "reading \"%s\"", name);
        return NULL;
    }
    return bio;
}

/* A key with a passphrase is not ours; without this, OpenSSL would ask the terminal for it. */
static int no_passphrase(char *out, int size, int writing, void *context)
{
    (void)out, (void)size, (void)writing, (void)context;
    return -1;
}

/* True when it was read or is missing (*key stays NULL). */
static bool key_load(int dirfd, const char *name, EVP_PKEY **key, struct error *err)
{
    bool missing;
    BYTES(bio) = pem_open(dirfd, name, &missing, err);

    if (!bio)
        return missing;
    *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    return *key || error_set(err, ERROR_INPUT, "\"%s\" holds no private key", name);
}

static bool cert_load(int dirfd, const char *name, X509 **cert, struct error *err)
{
    bool missing;
    BYTES(bio) = pem_open(dirfd, name, &missing, err);

    if (!bio)
        return missing;
    *cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    return *cert || error_set(err, ERROR_INPUT, "\"%s\" holds no certificate", name);
}

static bool bio_save(int dirfd, const char *name, BIO *bio, mode_t mode, struct error *err)
{
    char *bytes;
    long size = BIO_get_mem_data(bio, &bytes);

    return file_write(dirfd, name, bytes, (size_t)size, mode, err);
}

static bool key_save(int dirfd, const char *name, EVP_PKEY *key, struct error *err)
{
    BYTES(bio) = BIO_new(BIO_s_secmem());

    if (!bio || !PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
        return error_set(err, ERROR_SYSTEM, "writing the key \"%s\"", name);
    return bio_save(dirfd, name, bio, 0600, err);
}

static bool certs_save(int dirfd, const char *name, X509 *first, X509 *second, struct error *err)
{
    BYTES(bio) = BIO_new(BIO_s_mem());

    if (!bio || !PEM_write_bio_X509(bio, first) || (second && !PEM_write_bio_X509(bio, second)))
        return error_set(err, ERROR_SYSTEM, "writing the certificate \"%s\"", name);
    return bio_save(dirfd, name, bio, 0644, err);
}

static bool name_set(X509_NAME *name, const char *common)
{
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common, -1, -1, 0);
}

static bool serial_set(X509 *cert)
{
    unsigned char random[16];

    random_bytes(random, sizeof(random));
    random[0] = (random[0] & 0x7f) | 0x40; /* positive, and always of the same length (RFC 5280, 4.1.2.2) */
    BIGNUM *number = BN_bin2bn(random, sizeof(random), NULL);
    bool good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return good;
}

struct extension {
    int nid;
    const char *value;
};

/* The rows of `extensions` end with a NULL value. */
static bool extensions_add(X509 *cert, X509 *issuer, const struct extension *extensions)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&context);
    for (; extensions->value; extensions++) {
        X509_EXTENSION *made = X509V3_EXT_conf_nid(NULL, &context, extensions->nid, extensions->value);
        bool good = made && X509_add_ext(cert, made, -1);

        X509_EXTENSION_free(made);
        if (!good)
            return false;
    }
    return true;
}

/* All but extensions and signature. A day back, because devices' clocks are not exact. */
static X509 *cert_begin(EVP_PKEY *key, const char *common, long days)
{
    X509 *cert = X509_new();

    if (cert && X509_set_version(cert, X509_VERSION_3) && serial_set(cert) &&
        X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S) &&
        X509_gmtime_adj(X509_getm_notAfter(cert), days * DAY_S) && X509_set_pubkey(cert, key) &&
        name_set(X509_get_subject_name(cert), common))
        return cert;
    X509_free(cert);
    return NULL;
}

static bool authority_make(int dirfd, struct authority *authority, struct error *err)
{
    static const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        {NID_key_usage, "critical,keyCertSign,cRLSign"},
        {NID_subject_key_identifier, "hash"},
        {0, NULL},
    };
    char common[64] = "Locum authority ";
    uint8_t random[4];

    /* The key comes first: a key without a certificate is harmless, and taken up here the next time. */
    if (!authority->key) {
        authority->key = EVP_EC_gen("P-256");
        if (!authority->key)
            return error_set(err, ERROR_SYSTEM, "making a key");
        if (!key_save(dirfd, "ca.key", authority->key, err))
            return false;
    }
    random_bytes(random, sizeof(random));
    hex_encode(common + strlen(common), random, sizeof(random));
    X509 *cert = authority->cert = cert_begin(authority->key, common, CA_DAYS);
    if (!cert || !X509_set_issuer_name(cert, X509_get_subject_name(cert)) ||
        !extensions_add(cert, cert, extensions) || !X509_sign(cert, authority->key, EVP_sha256()))
        return error_set(err, ERROR_SYSTEM, "making the authority's certificate");
    return certs_save(dirfd, "ca.pem", cert, NULL, err);
}

static bool authority_prepare(int dirfd, struct authority *authority, struct error *err)
{
    if (!key_load(dirfd, "ca.key", &authority->key, err) ||
        !cert_load(dirfd, "ca.pem", &authority->cert, err))
        return false;
    if (!authority->cert)
        return authority_make(dirfd, authority, err);
    if (authority->key && X509_check_private_key(authority->cert, authority->key) != 1)
        return error_set(err, ERROR_UNTRUSTED, "ca.pem and ca.key do not belong together");
    return true;
}

static bool is_address(const char *name)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* Nothing that OpenSSL's little language for extensions could read otherwise (commas, colons). */
static bool is_dns_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t size = strlen(name);

    return size > 0 && size <= 253 && strspn(name, allowed) == size && name[0] != '.' && name[0] != '-';
}

bool certificate_name_is_good(const char *name)
{
    return is_address(name) || is_dns_name(name);
}

static bool names_are_good(const char *const *names, struct error *err)
{
    size_t count = 0;

    for (; names[count]; count++) {
        if (!certificate_name_is_good(names[count]))
            return error_set(err, ERROR_INPUT, "\"%.100s\" is no DNS name and no IP address", names[count]);
    }
    if (count == 0 || count > NAMES_MAX)
        return error_set(err, ERROR_INPUT, "a certificate needs 1 to %d names", NAMES_MAX);
    return true;
}

/* Signed by this authority, for this key, long enough, with all names. */
static bool server_is_good(X509 *cert, EVP_PKEY *key, X509 *ca, const char *const *names)
{
    time_t renew_at = time(NULL) + RENEW_DAYS * DAY_S;
    KEY(ca_key) = X509_get_pubkey(ca);

    if (X509_check_private_key(cert, key) != 1 || X509_verify(cert, ca_key) != 1 ||
        X509_cmp_time(X509_get0_notAfter(cert), &renew_at) <= 0 ||
        X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
        return false;
    for (; *names; names++) {
        int found = is_address(*names)
                        ? X509_check_ip_asc(cert, *names, 0)
                        : X509_check_host(cert, *names, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL);
        if (found != 1)
            return false;
    }
    return true;
}

static X509 *server_sign(EVP_PKEY *key, const struct authority *authority, const char *const *names)
{
    TEXT(alternatives);
    char common[64];

    for (const char *const *name = names; *name; name++)
        text_printf(&alternatives, "%s%s:%s", name == names ? "" : ",", is_address(*name) ? "IP" : "DNS",
                    *name);
    const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, "serverAuth"},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid:always"},
        {NID_subject_alt_name, text_string(&alternatives)},
        {0, NULL},
    };
    /* A common name has at most 64 characters; clients look at the alternatives. */
    strncpy(common, names[0], sizeof(common) - 1);
    common[sizeof(common) - 1] = '\0';
    X509 *cert = cert_begin(key, common, SERVER_DAYS);
    if (cert && X509_set_issuer_name(cert, X509_get_subject_name(authority->cert)) &&
        extensions_add(cert, authority->cert, extensions) && X509_sign(cert, authority->key, EVP_sha256()))
        return cert;
    X509_free(cert);
    return NULL;
}

static bool server_make(int dirfd, const struct authority *authority, const char *const *names,
                        struct error *err)
{
    if (!authority->key)
        return error_set(err, ERROR_MISSING,
                         "the server's certificate must be renewed, but ca.key is missing");
    KEY(key) = EVP_EC_gen("P-256");
    CERT(cert) = key ? server_sign(key, authority, names) : NULL;
    if (!cert)
        return error_set(err, ERROR_SYSTEM, "making the server's certificate");
    /* Cut between the two, the halves do not match, which the next start sees. */
    return key_save(dirfd, "server.key", key, err) &&
           certs_save(dirfd, "server.pem", cert, authority->cert, err);
}

static bool prepare(int dirfd, const char *const *names, struct error *err)
{
    __attribute__((cleanup(authority_end))) struct authority authority = {0};
    KEY(key) = NULL;
    CERT(cert) = NULL;
    struct error damaged = {0};

    if (!names_are_good(names, err) || !authority_prepare(dirfd, &authority, err))
        return error_add(err, "certificates");
    /* A damaged server certificate is simply made anew: nobody trusts it by itself. */
    if (key_load(dirfd, "server.key", &key, &damaged) && cert_load(dirfd, "server.pem", &cert, &damaged) &&
        key && cert && server_is_good(cert, key, authority.cert, names))
        return true;
    return server_make(dirfd, &authority, names, err) || error_add(err, "certificates");
}

bool certificate_prepare(int dirfd, const char *const *names, struct error *err)
{
    bool good = prepare(dirfd, names, err);

    /* Names that do not match and the like stay in this thread's queue, where a TLS connection would find
     * them. */
    ERR_clear_error();
    return good;
}

bool certificate_fingerprint(const char *pem, size_t size, char hex[SHA256_HEX], struct error *err)
{
    if (size > PEM_LIMIT)
        return error_set(err, ERROR_LIMIT, "a certificate of more than %u bytes", PEM_LIMIT);
    BYTES(bio) = BIO_new_mem_buf(pem, (int)size);
    CERT(cert) = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    unsigned char *der = NULL;
    int der_size = cert ? i2d_X509(cert, &der) : -1;

    ERR_clear_error();
    if (der_size <= 0)
        return error_set(err, ERROR_INPUT, "that is no certificate in PEM form");
    sha256_hex(der, (size_t)der_size, hex);
    OPENSSL_free(der);
    return true;
}

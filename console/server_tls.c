#include "console/server_parts.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

static bool tls_error(struct error *err, const char *what, const char *file)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    error_set(err, ERROR_SYSTEM, "%s %s: %s", what, file, reason ? reason : "OpenSSL does not say why");
    ERR_clear_error();
    return false;
}

static bool context_fill(SSL_CTX *context, const char *chain, const char *key, struct error *err)
{
    static const unsigned char id[] = "locum";

    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(context, id, sizeof(id) - 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
    SSL_CTX_set_timeout(context, 24 * 3600);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_num_tickets(context, 1) != 1)
        return tls_error(err, "TLS 1.2 cannot be set for", chain);
    if (SSL_CTX_use_certificate_chain_file(context, chain) != 1)
        return tls_error(err, "The certificate cannot be used:", chain);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return tls_error(err, "The private key cannot be used:", key);
    if (SSL_CTX_check_private_key(context) != 1)
        return tls_error(err, "The private key does not belong to the certificate:", key);
    return true;
}

void *tls_context_new(const char *chain, const char *key, struct error *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (!context) {
        tls_error(err, "TLS cannot be prepared for", chain);
        return NULL;
    }
    if (!context_fill(context, chain, key, err)) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

void tls_context_free(void *context)
{
    SSL_CTX_free(context);
}

/* Becomes libssl.so: the name under which civetweb 1.15 loads OpenSSL, with the one function that OpenSSL 3
 * renamed.
 *
 * Debian's civetweb opens "libssl.so" and "libcrypto.so" at run time, which only exist where libssl-dev is
 * installed, and looks up SSL_get_peer_certificate, which OpenSSL 3 made a macro. Without it mg_init_library
 * refuses TLS and the first connection crashes. The dynamic linker finds a library that is loaded already by
 * its SONAME, so linking this one into the program is enough; everything else comes from libssl.so.3, which
 * it needs. */
#include <openssl/ssl.h>

#undef SSL_get_peer_certificate
X509 *SSL_get_peer_certificate(const SSL *ssl);

X509 *SSL_get_peer_certificate(const SSL *ssl)
{
    return SSL_get1_peer_certificate(ssl);
}

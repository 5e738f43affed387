/* Becomes libcrypto.so: stands for libcrypto.so.3, which it needs, under the name that civetweb loads. See
 * ssl.c. */
extern const char locum_tls_crypto[];
const char locum_tls_crypto[] = "stands for libcrypto.so.3";

/* X.509 for the devices' listener: an own certificate authority and a server certificate under it (ECDSA
 * P-256). */
#ifndef BASE_CERTIFICATE_H
#define BASE_CERTIFICATE_H

#include "base/digest.h"
#include "base/error.h"

/* Makes ca.pem + ca.key (ten years) beneath `dirfd` when they are missing, and server.pem (chain) +
 * server.key (two years) when missing, when less than 60 days are left, or when they lack one of `names`: DNS
 * names or IP addresses, NULL-terminated. Keys 0600. */
bool certificate_prepare(int dirfd, const char *const *names, struct error *err);
/* Can a certificate carry it: is it an address or a DNS name? */
bool certificate_name_is_good(const char *name);
/* SHA-256 of the DER form of the first certificate in a PEM text. */
bool certificate_fingerprint(const char *pem, size_t size, char hex[SHA256_HEX], struct error *err);

#endif

#include "agent/pem.h"

#include "base/text.h"

#include <string.h>

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"

char *pem_first(struct arena *arena, const char *text, char fingerprint[SHA256_HEX], struct error *err)
{
    const char *begin = strstr(text, BEGIN);
    const char *end = begin ? strstr(begin, END) : NULL;

    if (!end) {
        error_set(err, ERROR_INPUT, "there is no certificate in PEM form");
        return NULL;
    }
    char *letters = arena_alloc(arena, (size_t)(end - begin) + 1), *to = letters;
    for (const char *from = begin + strlen(BEGIN); from < end; from++)
        if (!strchr(" \t\r\n=", *from))
            *to++ = *from == '+' ? '-' : *from == '/' ? '_' : *from;
    *to = '\0';
    void *der = arena_alloc(arena, strlen(letters) + 1);
    long size = base64url_decode(der, strlen(letters), letters);
    if (size < 1) {
        error_set(err, ERROR_INPUT, "the certificate is not well-formed PEM");
        return NULL;
    }
    sha256_hex(der, (size_t)size, fingerprint);
    return arena_printf(arena, "%.*s%s\n", (int)(end - begin), begin, END);
}

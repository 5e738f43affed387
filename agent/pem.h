/* The first certificate of a PEM text (RFC 7468), for the fingerprint that a claim code carries. */
#ifndef AGENT_PEM_H
#define AGENT_PEM_H

#include "base/arena.h"
#include "base/digest.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* The first block alone, with its two lines of dashes, in the arena, and the SHA-256 of its DER bytes: what
 * follows it in the text is not vouched for by the fingerprint. NULL when there is none. */
char *pem_first(struct arena *arena, const char *text, char fingerprint[SHA256_HEX], struct error *err);

#endif

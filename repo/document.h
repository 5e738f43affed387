/* A signed document as it was fetched: envelope, signed part, and whether enough of the right keys signed it.
 * What metadata_client.c, order.c and the store share; travels with them. */
#ifndef REPO_DOCUMENT_H
#define REPO_DOCUMENT_H

#include "base/arena.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"

struct document {
    const struct json *signed_part, *signatures;
    int64_t version, expires; /* expires: Unix seconds */
    char sha256[SHA256_HEX];  /* of the bytes as fetched */
    size_t size;
};

/* Reads an envelope whose signed part has this "_type", our "spec_version", a "version" from 1 and an
 * "expires". UNTRUSTED, naming `name`, when it is anything else. Nothing is verified yet. */
bool document_read(struct arena *arena, const char *name, const char *type, const void *bytes, size_t size,
                   struct document *document, struct error *err);
/* True when at least `threshold` distinct keys of `role` ({"keyids","threshold"}) signed, the keys being
 * those of `keys`
 * ({"<key id>":{…}}). UNTRUSTED with the count otherwise. */
bool document_verify(const char *name, const struct json *signed_part, const struct json *signatures,
                     const struct json *keys, const struct json *role, struct error *err);
/* Every key under its right id, each role's threshold reachable: what a root or a delegation must be. */
bool document_keys_check(const char *name, const struct json *keys, struct error *err);
bool document_role_check(const char *name, const struct json *keys, const struct json *role,
                         struct error *err);
/* "2026-11-28T00:00:00Z" exactly. */
bool document_time(const char *text, int64_t *unix_seconds);
struct metadata_client;
/* The verified targets document of a client, which names the director; NULL when there is none. */
const struct document *metadata_client_targets(const struct metadata_client *client);
/* The delegation of that name in a targets document; NULL when there is none. */
const struct json *document_delegation(const struct document *targets, const char *role);

#endif

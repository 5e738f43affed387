/* What a device really runs: the set that `current` leads to, hashed again file by file.
 *
 * The set's file sets/<n>.json has the member "assets", an array of {"asset","manifest","version"} (others
 * are ignored); the manifests lie in manifests/<sha256>, the files in sets/<n>/<asset>/. For each asset the
 * manifest is written anew from what the folder holds now, so any changed, missing or added file gives
 * another manifest hash and with it another set digest. */
#ifndef AGENT_PROOF_H
#define AGENT_PROOF_H

#include "base/digest.h"
#include "base/error.h"

#include <stdbool.h>

/* `state_fd`: the state folder. Without a set (`current` missing or leading to sets/0) it is the empty set's
 * digest. */
bool proof_set_digest(int state_fd, char hex[SHA256_HEX], struct error *err);

#endif

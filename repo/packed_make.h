/* Making packed objects. The server's half: the agent only unpacks. */
#ifndef REPO_PACKED_MAKE_H
#define REPO_PACKED_MAKE_H

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Packs the `size` bytes of `fd` into `out_fd`, which is empty. `*length` is what came of it, or 0: it saves
 * less than a tenth, which a sample tells of most objects. SYSTEM when `*cancel` became true. */
bool packed_make(int fd, int64_t size, int out_fd, const atomic_bool *cancel, int64_t *length,
                 struct error *err);

#endif

/* A file that is mapped for reading, and whose bytes may go. Reading a mapping whose file was cut off, or
 * whose disk fails, is SIGBUS, which would end the whole console. Here the bytes of such a map are 0 from
 * then on, and whoever holds it learns that they are not the file's. As libwayland guards itself against its
 * clients (src/wayland-shm.c), which also replaces the mapping rather than jump out of what runs. */
#ifndef REPO_DELTA_MAP_H
#define REPO_DELTA_MAP_H

#include "base/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct delta_map {
    const uint8_t *bytes;
    int64_t length; /* of the file when it was opened */
    int fd;         /* the caller's */
    volatile sig_atomic_t lost;
    struct delta_map *next; /* of this thread */
};

/* To be read and closed on this thread only, in the caller's memory until then. */
bool delta_map_open(struct delta_map *map, int fd, struct error *err);
/* Were the bytes that were read so far those of the file? Else SYSTEM, and there is no use in going on. */
bool delta_map_holds(const struct delta_map *map, struct error *err);
void delta_map_close(struct delta_map *map);

#endif

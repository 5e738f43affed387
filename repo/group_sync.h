/* One wait for the disk for all who wait at the same time: a sync costs some milliseconds however little was
 * written, and many small objects are sent side by side. */
#ifndef REPO_GROUP_SYNC_H
#define REPO_GROUP_SYNC_H

#include "base/error.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct group_sync {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    uint64_t asked, done; /* turns: the last that somebody asked for, the last that is on the disk */
    uint64_t failed;      /* the last that was tried and is not on the disk; 0: none */
    bool running;
};

void group_sync_init(struct group_sync *group);
void group_sync_end(struct group_sync *group);
/* Returns when all that this thread wrote before to the file system of `fd` is on the disk. The kernel tells
 * of a failure once: all who waited for that turn fail with it. */
bool group_sync(struct group_sync *group, int fd, struct error *err);

#endif

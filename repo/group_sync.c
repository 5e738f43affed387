#include "repo/group_sync.h"

#include "base/file.h"

void group_sync_init(struct group_sync *group)
{
    *group = (struct group_sync){.running = false};
    pthread_mutex_init(&group->lock, NULL);
    pthread_cond_init(&group->ended, NULL);
}

void group_sync_end(struct group_sync *group)
{
    pthread_mutex_destroy(&group->lock);
    pthread_cond_destroy(&group->ended);
}

/* With the lock: syncs for all who have asked so far; it is let go of meanwhile. */
static bool run(struct group_sync *group, int fd, struct error *err)
{
    uint64_t upto = group->asked;
    group->running = true;
    pthread_mutex_unlock(&group->lock);
    bool good = disk_sync(fd, err);
    pthread_mutex_lock(&group->lock);
    group->running = false;
    if (good)
        group->done = upto;
    else
        group->failed = upto;
    pthread_cond_broadcast(&group->ended);
    return good;
}

bool group_sync(struct group_sync *group, int fd, struct error *err)
{
    bool good = true;
    pthread_mutex_lock(&group->lock);
    uint64_t mine = ++group->asked;
    while (good && group->done < mine) {
        if (group->failed >= mine)
            good = error_set(err, ERROR_SYSTEM, "writing to the disk failed");
        else if (group->running)
            pthread_cond_wait(&group->ended, &group->lock);
        else
            good = run(group, fd, err);
    }
    pthread_mutex_unlock(&group->lock);
    return good;
}

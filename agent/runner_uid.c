#include "agent/runner_uid.h"

#include "agent/state.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the keeper before had; otherwise a place in the range that two state folders seldom share. */
static uid_t first_choice(int state_fd)
{
    ARENA(arena);
    struct error err = {0};
    char *kept;
    size_t size;
    int64_t uid;
    struct stat st = {0};
    uint8_t digest[SHA256_SIZE];
    if (file_read(&arena, state_fd, STATE_KEEPER_UID, 16, &kept, &size, &err) &&
        int64_parse(kept, DYNAMIC_UID_FIRST, DYNAMIC_UID_FIRST + DYNAMIC_UID_COUNT - 1, &uid))
        return (uid_t)uid;
    (void)fstat(state_fd, &st);
    uint64_t place[2] = {(uint64_t)st.st_dev, (uint64_t)st.st_ino};
    sha256_bytes(place, sizeof place, digest);
    return (uid_t)(DYNAMIC_UID_FIRST + (digest[0] << 8 | digest[1]) % DYNAMIC_UID_COUNT);
}

static bool choice_keep(int state_fd, uid_t uid, struct error *err)
{
    char text[16];
    int size = snprintf(text, sizeof text, "%u", (unsigned)uid);
    return file_write(state_fd, STATE_KEEPER_UID, text, (size_t)size, 0600, err);
}

bool runner_uid_take(int state_fd, int64_t setting, uid_t *uid, int *lock_fd, struct error *err)
{
    *lock_fd = -1;
    *uid = setting > 0 ? (uid_t)setting : DYNAMIC_UID_FIRST;
    if (setting > 0 || geteuid() != 0)
        return true;
    FD(run) = folder_open("/run", err);
    if (run < 0 || !folder_make(run, "locum", 0700, err))
        return false;
    uid_t first = first_choice(state_fd) - DYNAMIC_UID_FIRST;
    for (unsigned i = 0; i < DYNAMIC_UID_COUNT; i++) {
        char name[32];
        *uid = DYNAMIC_UID_FIRST + (first + i) % DYNAMIC_UID_COUNT;
        snprintf(name, sizeof name, "locum/uid-%u", (unsigned)*uid);
        struct error taken = {0};
        *lock_fd = file_lock(run, name, &taken);
        if (*lock_fd >= 0)
            return choice_keep(state_fd, *uid, err);
        if (taken.kind != ERROR_CONFLICT) {
            *err = taken;
            return false;
        }
    }
    return error_set(err, ERROR_LIMIT, "every uid for diagnostic images is held by another agent");
}

/* A state folder under test: sets, versions and objects as the worker makes them, without network, keeper or
 * app. */
#ifndef TEST_AGENT_DISK_H
#define TEST_AGENT_DISK_H

#include "agent/outbox.h"
#include "agent/set.h"
#include "base/arena.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

struct disk {
    char path[64]; /* the state folder */
    int fd;
    struct arena arena;
    const char *requires; /* JSON object: of the versions made from here on; NULL: none */
};
void disk_make(struct disk *disk);
void disk_remove(struct disk *disk);
/* `DISK(name);` is gone at the end of the scope. */
#define DISK(name)                                                                                           \
    __attribute__((cleanup(disk_remove))) struct disk name;                                                  \
    disk_make(&name)

/* Installs a version of two files, "model.bin" with `content` and "bin/tool" (executable), as a fetch would.
 */
struct member disk_install(struct disk *disk, const char *asset, const char *version, const char *content);
/* The objects and the manifest only. */
struct member disk_fetch(struct disk *disk, const char *asset, const char *version, const char *content,
                         struct manifest *manifest);
/* A sealed set of these members. */
struct set disk_set(struct disk *disk, int64_t generation, const struct member *members, size_t count);
/* What `current/<asset>/model.bin` holds; NULL: nothing. In the arena. */
const char *disk_model(struct disk *disk, const char *asset);
/* Names in a folder that do not begin with a point; -1: no such folder. */
int disk_count(struct disk *disk, const char *folder);
/* The report with this id in the outbox, NULL: the newest one. NULL when it is not there. In the arena. */
const struct json *disk_report(struct disk *disk, const char *id);
bool disk_has(struct disk *disk, const char *path);

#define assert_ok(call, err)                                                                                 \
    do {                                                                                                     \
        if (!(call))                                                                                         \
            fail_msg("%s: %s", #call, (err).text);                                                           \
    } while (0)

#endif

#include "agent/set_check.h"

#include "agent/fetch.h"
#include "agent/state.h"
#include "base/file.h"
#include "base/log.h"
#include "repo/range.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- requires --------------------------------------------------------------------------------------------
 */

static bool needs_are_met(const struct set *set, const struct member *member, const struct json *requires,
                          char why[CHECK_WHY])
{
    for (const struct json *one = requires ? requires->first : NULL; one; one = one->next) {
        const struct member *other = set_find(set, one->key);

        if (one->type != JSON_STRING || (other && range_holds(one->string, other->entry.version)))
            continue;
        snprintf(why, CHECK_WHY, "%.40s %.40s requires %.40s %.60s, and this set has %s%.40s",
                 member->entry.asset, member->entry.version, one->key, one->string, other ? "" : "none",
                 other ? other->entry.version : "");
        return false;
    }
    return true;
}

bool set_fits(int state_fd, const struct set *set, char why[CHECK_WHY])
{
    why[0] = '\0';
    for (size_t i = 0; i < set->count; i++) {
        ARENA(arena);
        struct manifest manifest;
        struct error ignored = {0};

        if (manifest_kept(&arena, state_fd, set->members[i].entry.manifest, &manifest, &ignored) &&
            !needs_are_met(set, &set->members[i], manifest.requires, why))
            return false;
    }
    return true;
}

bool set_is_allowed(const struct floors *floors, const struct set *set, char why[CHECK_WHY])
{
    why[0] = '\0';
    for (size_t i = 0; i < set->count; i++) {
        const struct member *member = &set->members[i];
        int64_t floor = floors_counter(floors, member->entry.asset);

        if (member->counter >= floor)
            continue;
        snprintf(why, CHECK_WHY, "%.60s %.60s has the security counter %lld, this device has run %lld",
                 member->entry.asset, member->entry.version, (long long)member->counter, (long long)floor);
        return false;
    }
    return true;
}

/* --- files -----------------------------------------------------------------------------------------------
 */

/* A regular file of that length below `folder`, and as long as `*bytes` lasts, with those bytes. */
static bool file_is_whole(int folder, const char *path, const struct manifest_file *file, int64_t *bytes)
{
    struct error ignored = {0};
    struct stat stat;
    char hex[SHA256_HEX];
    int64_t size;
    FD(fd) = file_open_beneath(folder, path, O_RDONLY | O_NONBLOCK, 0, &ignored);

    if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode) || stat.st_size != file->length)
        return false;
    if (file->length > *bytes)
        return true;
    *bytes -= file->length;
    return sha256_file(fd, hex, &size, &ignored) && strcmp(hex, file->sha256) == 0;
}

static bool link_is_right(int state_fd, const struct set *set, const struct member *member)
{
    char path[SET_PATH_SIZE + NAME_SIZE], target[2 * NAME_SIZE + VERSION_SIZE],
        wanted[2 * NAME_SIZE + VERSION_SIZE];

    snprintf(path, sizeof(path), STATE_SETS "/%lld/%s", (long long)set->generation, member->entry.asset);
    snprintf(wanted, sizeof(wanted), "../../" STATE_VERSIONS "/%s/%s", member->entry.asset,
             member->entry.version);
    ssize_t size = readlinkat(state_fd, path, target, sizeof(target) - 1);
    if (size < 0)
        return false;
    target[size] = '\0';
    return strcmp(target, wanted) == 0;
}

/* The version and its damaged objects go: hard links share their bytes. */
static void scrap(int state_fd, const struct member *member, const struct manifest *manifest)
{
    struct error err = {0};
    FD(objects) = folder_open_beneath(state_fd, STATE_OBJECTS, &err);

    for (size_t i = 0; manifest && objects >= 0 && i < manifest->file_count; i++) {
        const struct manifest_file *file = &manifest->files[i];
        char name[SHA256_HEX + 2];
        int64_t all = INT64_MAX;

        snprintf(name, sizeof(name), "%s%s", file->sha256, file->mode == 0755 ? ".x" : "");
        if (!file_is_whole(objects, name, file, &all))
            unlinkat(objects, name, 0);
    }
    err = (struct error){0};
    if (!version_remove(state_fd, member->entry.asset, member->entry.version, &err))
        log_event(LOG_WARNING, "version", "why=\"%s\"", err.text);
}

static bool member_is_whole(int state_fd, const struct set *set, const struct member *member, int64_t *bytes,
                            char why[CHECK_WHY])
{
    ARENA(arena);
    const struct set_entry *entry = &member->entry;
    struct manifest manifest;
    struct error ignored = {0};

    if (!version_is_installed(state_fd, entry)) {
        snprintf(why, CHECK_WHY, "%.60s %.60s is not there any more", entry->asset, entry->version);
        return false;
    }
    if (!link_is_right(state_fd, set, member)) {
        snprintf(why, CHECK_WHY, "the set %lld has lost its link to %.60s", (long long)set->generation,
                 entry->asset);
        return false;
    }
    if (!manifest_kept(&arena, state_fd, entry->manifest, &manifest, &ignored)) {
        snprintf(why, CHECK_WHY, "the manifest of %.60s %.60s is damaged", entry->asset, entry->version);
        scrap(state_fd, member, NULL);
        return false;
    }
    FD(folder) = folder_open_beneath(
        state_fd, arena_printf(&arena, STATE_VERSIONS "/%s/%s", entry->asset, entry->version), &ignored);
    for (size_t i = 0; i < manifest.file_count; i++) {
        if (folder >= 0 && file_is_whole(folder, manifest.files[i].path, &manifest.files[i], bytes))
            continue;
        snprintf(why, CHECK_WHY, "a file of %.60s %.60s is damaged or missing", entry->asset, entry->version);
        scrap(state_fd, member, &manifest);
        return false;
    }
    return true;
}

bool set_is_whole(int state_fd, const struct set *set, int64_t bytes, char why[CHECK_WHY])
{
    char other[CHECK_WHY];
    bool whole = true;

    why[0] = '\0';
    for (size_t i = 0; i < set->count; i++)
        whole &= member_is_whole(state_fd, set, &set->members[i], &bytes, whole ? why : other);
    return whole;
}

#include "test/agent/disk.h"

#include "agent/state.h"
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void disk_make(struct disk *disk)
{
    struct error err = {0};

    *disk = (struct disk){.fd = -1};
    strcpy(disk->path, "/tmp/locum-disk-XXXXXX");
    assert_non_null(mkdtemp(disk->path));
    disk->fd = folder_open(disk->path, &err);
    assert_true(disk->fd >= 0);
    assert_ok(set_prepare(disk->fd, &err), err);
}

void disk_remove(struct disk *disk)
{
    struct error err = {0};
    int tmp = folder_open("/tmp", &err);

    file_fault(0, 0);
    arena_end(&disk->arena);
    fd_close(&disk->fd);
    tree_remove(tmp, disk->path + strlen("/tmp/"), &err);
    fd_close(&tmp);
}

static void object_put(struct disk *disk, const char *content, bool executable, struct manifest_file *file)
{
    struct error err = {0};

    sha256_hex(content, strlen(content), file->sha256);
    file->length = (int64_t)strlen(content);
    file->mode = executable ? 0755 : 0644;
    char *path = arena_printf(&disk->arena, STATE_OBJECTS "/%s%s", file->sha256, executable ? ".x" : "");
    assert_ok(file_write(disk->fd, path, content, strlen(content), executable ? 0555 : 0444, &err), err);
}

struct member disk_fetch(struct disk *disk, const char *asset, const char *version, const char *content,
                         struct manifest *manifest)
{
    static const char *const everywhere[] = {NULL};
    struct manifest_file *files = arena_array(&disk->arena, 2, sizeof(*files));
    struct member member = {0};
    struct error err = {0};
    TEXT(out);

    object_put(disk, content, false, &files[0]);
    object_put(disk, "#!/bin/sh\n", true, &files[1]);
    files[0].path = "model.bin";
    files[1].path = "bin/tool";
    *manifest = (struct manifest){.kind = KIND_MODEL,
                                  .activation = ACTIVATION_NOTIFY,
                                  .files = files,
                                  .file_count = 2,
                                  .hardware = (const char **)(uintptr_t)everywhere};
    if (disk->requires)
    manifest->requires =
        json_read(&disk->arena, disk->requires, strlen(disk->requires), &json_limits_small, &err);
    strcpy(manifest->product, "demo");
    strcpy(manifest->asset, asset);
    strcpy(manifest->version, version);
    assert_ok(manifest_write(&disk->arena, manifest, &out, &err), err);
    strcpy(member.entry.asset, asset);
    strcpy(member.entry.version, version);
    sha256_hex(out.bytes, out.size, member.entry.manifest);
    char *path = arena_printf(&disk->arena, STATE_MANIFESTS "/%s", member.entry.manifest);
    assert_ok(file_write(disk->fd, path, out.bytes, out.size, 0600, &err), err);
    assert_ok(
        manifest_read(&disk->arena, arena_copy(&disk->arena, out.bytes, out.size), out.size, manifest, &err),
        err);
    return member;
}

struct member disk_install(struct disk *disk, const char *asset, const char *version, const char *content)
{
    struct manifest manifest;
    struct error err = {0};
    struct member member = disk_fetch(disk, asset, version, content, &manifest);

    assert_ok(version_build(disk->fd, &manifest, member.entry.manifest, &err), err);
    return member;
}

struct set disk_set(struct disk *disk, int64_t generation, const struct member *members, size_t count)
{
    struct set set = {.generation = generation, .count = count};

    set.members = arena_array(&disk->arena, count, sizeof(*members));
    for (size_t i = 0; i < count; i++)
        set.members[i] = members[i];
    set_seal(&disk->arena, &set);
    return set;
}

const char *disk_model(struct disk *disk, const char *asset)
{
    char *path = arena_printf(&disk->arena, "%s/" STATE_CURRENT "/%s/model.bin", disk->path, asset);
    char *text = arena_alloc(&disk->arena, 256);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, 255);

    fd_close(&fd);
    return size < 0 ? NULL : text;
}

int disk_count(struct disk *disk, const char *folder)
{
    int fd = openat(disk->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir)
        return -1;
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

const struct json *disk_report(struct disk *disk, const char *id)
{
    struct error err = {0};
    DIR *dir = fdopendir(folder_open_beneath(disk->fd, STATE_OUTBOX, &err));
    char name[256] = ""; /* names begin with their number */
    char *bytes;
    size_t size;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && (!id || strstr(entry->d_name, id)) && strcmp(entry->d_name, name) > 0)
            strcpy(name, entry->d_name);
    closedir(dir);
    if (!*name)
        return NULL;
    assert_ok(file_read(&disk->arena, disk->fd, arena_printf(&disk->arena, STATE_OUTBOX "/%s", name), 65536,
                        &bytes, &size, &err),
              err);
    const struct json *report = json_read(&disk->arena, bytes, size, &json_limits_small, &err);
    assert_non_null(report);
    return report;
}

bool disk_has(struct disk *disk, const char *path)
{
    return faccessat(disk->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

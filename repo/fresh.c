/* Snapshot and timestamp, and the copies of the signed files that are served: everything in metadata/, made
 * from git. */
#include "repo/store.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S 86400
#define SNAPSHOT_LIFETIME_S (7 * DAY_S)
#define SNAPSHOT_AGE_S DAY_S
#define TIMESTAMP_LIFETIME_S DAY_S
#define TIMESTAMP_AGE_S 3600
#define COPY_KEPT_S (2 * DAY_S)

/* One file of metadata/ in git. */
struct role_file {
    char name[DELEGATION_NAME_SIZE + 8]; /* "targets.json" */
    char blob[GIT_ID], sha256[SHA256_HEX];
    int64_t version, expires;
    size_t size;
};

/* What metadata/ holds now. */
struct served {
    int64_t timestamp_version, timestamp_expires, snapshot_version, snapshot_expires;
    const char *meta; /* canonical, of the snapshot; NULL: none */
};

static bool head_of(struct arena *arena, const char *bytes, size_t size, const struct json **part,
                    int64_t *version, int64_t *expires, struct error *err)
{
    const struct json *envelope = json_read(arena, bytes, size, &json_limits_large, err);
    const char *text;
    if (!envelope || !json_need_object(envelope, "signed", part, err) ||
        !json_need_integer(*part, "version", 1, INT64_MAX, version, err) ||
        !json_need_string(*part, "expires", &text, err))
        return false;
    return time_parse(text, expires) || error_set(err, ERROR_INPUT, "\"expires\" is no time");
}

/* Puts a copy beside the others; one that is there has the same bytes, or is from a history that was given
 * up. */
static bool copy_put(struct repo *repo, const char *name, const char *bytes, size_t size, struct error *err)
{
    ARENA(arena);
    char *there;
    size_t there_size;
    struct error ignored = {0};
    if (file_read(&arena, repo->metadata_fd, name, DELEGATED_LIMIT, &there, &there_size, &ignored) &&
        there_size == size && memcmp(there, bytes, size) == 0)
        return true;
    return file_write(repo->metadata_fd, name, bytes, size, 0644, err);
}

/* Copies "<n>.root.json", and the newest as "root.json". */
static bool root_copy(struct repo *repo, const struct gitrepo_entry *entry, const char *newest,
                      struct error *err)
{
    ARENA(arena);
    const char *name = entry->path + strlen("root/");
    char *bytes;
    size_t size;
    return gitrepo_read_blob(repo->git, &arena, entry->blob, ROOT_LIMIT, &bytes, &size, err) &&
           copy_put(repo, name, bytes, size, err) &&
           (!string_is(name, newest) || copy_put(repo, "root.json", bytes, size, err));
}

static bool role_read(struct repo *repo, const struct gitrepo_entry *entry, struct role_file *role,
                      struct error *err)
{
    ARENA(arena);
    const struct json *part;
    char *bytes, name[DELEGATION_NAME_SIZE + 40];
    if (!gitrepo_read_blob(repo->git, &arena, entry->blob, DELEGATED_LIMIT, &bytes, &role->size, err) ||
        !head_of(&arena, bytes, role->size, &part, &role->version, &role->expires, err))
        return error_add(err, "%s", entry->path);
    snprintf(role->name, sizeof role->name, "%s", entry->path);
    memcpy(role->blob, entry->blob, GIT_ID);
    sha256_hex(bytes, role->size, role->sha256);
    snprintf(name, sizeof name, "%lld.%s", (long long)role->version, role->name);
    return copy_put(repo, name, bytes, role->size, err);
}

/* The file as it was read for the commit before, when it has not changed since. */
static const struct role_file *role_known(const struct repo *repo, const struct gitrepo_entry *entry)
{
    for (size_t i = 0; i < repo->role_count; i++)
        if (string_is(repo->roles[i].name, entry->path) && string_is(repo->roles[i].blob, entry->blob))
            return &repo->roles[i];
    return NULL;
}

static int64_t root_number(const char *path)
{
    return string_starts(path, "root/") ? strtoll(path + strlen("root/"), NULL, 10) : 0;
}

static const char *newest_root(struct arena *arena, const struct gitrepo_entry *entries, size_t count)
{
    int64_t newest = 0;
    for (size_t i = 0; i < count; i++)
        if (root_number(entries[i].path) > newest)
            newest = root_number(entries[i].path);
    return arena_printf(arena, "%lld.root.json", (long long)newest);
}

/* Copies every signed file of the commit and remembers its facts in repo->roles. */
static bool roles_follow(struct repo *repo, const char *commit, struct error *err)
{
    ARENA(arena);
    struct gitrepo_entry *entries;
    size_t count, roles = 0;
    if (!gitrepo_list(repo->git, &arena, commit, "metadata", &entries, &count, err))
        return false;
    struct role_file *fresh = calloc(count + 1, sizeof *fresh);
    if (!fresh)
        abort();
    const char *newest = newest_root(&arena, entries, count);
    bool good = true;
    for (size_t i = 0; good && i < count; i++) {
        const struct role_file *known = role_known(repo, &entries[i]);
        if (string_starts(entries[i].path, "root/"))
            good = root_copy(repo, &entries[i], newest, err);
        else if (known)
            fresh[roles++] = *known;
        else
            good = role_read(repo, &entries[i], &fresh[roles++], err);
    }
    if (!good) {
        free(fresh);
        return false;
    }
    free(repo->roles);
    repo->roles = fresh;
    repo->role_count = roles;
    return true;
}

static void served_read(struct repo *repo, struct arena *arena, struct served *served)
{
    struct error ignored = {0};
    const struct json *part;
    char *bytes, name[48];
    size_t size;
    TEXT(meta);
    *served = (struct served){0};
    if (!file_read(arena, repo->metadata_fd, "timestamp.json", TIMESTAMP_LIMIT, &bytes, &size, &ignored) ||
        !head_of(arena, bytes, size, &part, &served->timestamp_version, &served->timestamp_expires, &ignored))
        return;
    served->snapshot_version = json_integer(json_get(json_get(part, "meta"), "snapshot.json"), "version", 0);
    snprintf(name, sizeof name, "%lld.snapshot.json", (long long)served->snapshot_version);
    if (file_read(arena, repo->metadata_fd, name, SNAPSHOT_LIMIT, &bytes, &size, &ignored) &&
        head_of(arena, bytes, size, &part, &served->snapshot_version, &served->snapshot_expires, &ignored) &&
        json_get(part, "meta") && json_canonical(json_get(part, "meta"), &meta, &ignored))
        served->meta = arena_copy(arena, meta.bytes, meta.size);
}

static void meta_write(struct json_writer *writer, const char *name, int64_t version, size_t size,
                       const char *sha256)
{
    json_write_object(writer, name);
    json_write_object(writer, "hashes");
    json_write_string(writer, "sha256", sha256);
    json_write_end(writer, '}');
    json_write_integer(writer, "length", (int64_t)size);
    json_write_integer(writer, "version", version);
    json_write_end(writer, '}');
}

/* The snapshot's "meta" in canonical form. */
static const char *meta_now(struct repo *repo, struct arena *arena, struct error *err)
{
    TEXT(plain);
    TEXT(canonical);
    struct json_writer writer;
    json_write_init(&writer, &plain);
    json_write_object(&writer, NULL);
    for (size_t i = 0; i < repo->role_count; i++)
        meta_write(&writer, repo->roles[i].name, repo->roles[i].version, repo->roles[i].size,
                   repo->roles[i].sha256);
    json_write_end(&writer, '}');
    const struct json *json = json_read(arena, text_string(&plain), plain.size, &json_limits_large, err);
    if (!json || !json_canonical(json, &canonical, err))
        return NULL;
    return arena_copy(arena, canonical.bytes, canonical.size);
}

/* Signs {"_type","expires","meta","spec_version","version"} and keeps it under `name`. */
static bool list_sign(struct repo *repo, struct arena *arena, const char *type, const char *name,
                      const char *meta, int64_t version, int64_t expires, const struct private_key *key,
                      size_t limit, char sha256[SHA256_HEX], size_t *size, struct error *err)
{
    TEXT(plain);
    TEXT(envelope);
    struct json_writer writer;
    json_write_init(&writer, &plain);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "_type", type);
    json_write_string(&writer, "spec_version", "1.0.31");
    json_write_integer(&writer, "version", version);
    json_write_time(&writer, "expires", expires);
    json_write_raw(&writer, "meta", meta, strlen(meta));
    json_write_end(&writer, '}');
    const struct json *json = json_read(arena, text_string(&plain), plain.size, &json_limits_large, err);
    if (!json || !metadata_sign(json, &key, 1, &envelope, err))
        return error_add(err, "%s", name);
    if (envelope.size > limit)
        return error_set(err, ERROR_LIMIT, "%s would be larger than %zu bytes", name, limit);
    sha256_hex(envelope.bytes, envelope.size, sha256);
    *size = envelope.size;
    return file_write(repo->metadata_fd, name, envelope.bytes, envelope.size, 0644, err);
}

static int64_t next_version(int64_t previous, int64_t now)
{
    return previous + 1 > now ? previous + 1 : now;
}

static bool snapshot_sign(struct repo *repo, struct arena *arena, const char *meta,
                          const struct served *served, int64_t now, struct error *err)
{
    char name[48], sha256[SHA256_HEX];
    size_t size;
    TEXT(list);
    struct json_writer writer;
    int64_t version = next_version(served->snapshot_version, now);
    snprintf(name, sizeof name, "%lld.snapshot.json", (long long)version);
    if (!list_sign(repo, arena, "snapshot", name, meta, version, now + SNAPSHOT_LIFETIME_S,
                   &repo->snapshot_key, SNAPSHOT_LIMIT, sha256, &size, err))
        return false;
    json_write_init(&writer, &list);
    json_write_object(&writer, NULL);
    meta_write(&writer, "snapshot.json", version, size, sha256);
    json_write_end(&writer, '}');
    return list_sign(repo, arena, "timestamp", "timestamp.json", text_string(&list),
                     next_version(served->timestamp_version, now), now + TIMESTAMP_LIFETIME_S,
                     &repo->timestamp_key, TIMESTAMP_LIMIT, sha256, &size, err);
}

/* The timestamp alone, for the snapshot that stands. */
static bool timestamp_sign(struct repo *repo, struct arena *arena, const struct served *served, int64_t now,
                           struct error *err)
{
    char *bytes, sha256[SHA256_HEX];
    size_t size;
    TEXT(meta);
    const struct json *envelope;
    if (!file_read(arena, repo->metadata_fd, "timestamp.json", TIMESTAMP_LIMIT, &bytes, &size, err) ||
        !(envelope = json_read(arena, bytes, size, &json_limits_small, err)) ||
        !json_canonical(json_get(json_get(envelope, "signed"), "meta"), &meta, err))
        return false;
    return list_sign(repo, arena, "timestamp", "timestamp.json", text_string(&meta),
                     next_version(served->timestamp_version, now), now + TIMESTAMP_LIFETIME_S,
                     &repo->timestamp_key, TIMESTAMP_LIMIT, sha256, &size, err);
}

/* Old copies go once no client can be in the middle of fetching them. Roots stay for ever. */
static void copies_clean(struct repo *repo, int64_t snapshot_version)
{
    int copy = openat(repo->metadata_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        struct stat stat;
        char *rest;
        int64_t version = strtoll(entry->d_name, &rest, 10);
        bool current = string_is(rest, ".root.json") || rest == entry->d_name ||
                       (string_is(rest, ".snapshot.json") && version == snapshot_version);
        for (size_t i = 0; i < repo->role_count && !current; i++)
            current =
                *rest == '.' && string_is(rest + 1, repo->roles[i].name) && version == repo->roles[i].version;
        if (!current && fstatat(repo->metadata_fd, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(stat.st_mode) && stat.st_mtime < time(NULL) - COPY_KEPT_S)
            unlinkat(repo->metadata_fd, entry->d_name, 0);
    }
    if (folder)
        closedir(folder);
}

bool fresh_publish(struct repo *repo, const char *commit, int64_t now, struct error *err)
{
    ARENA(arena);
    struct served served;
    if (!roles_follow(repo, commit, err))
        return error_add(err, "signed files");
    served_read(repo, &arena, &served);
    const char *meta = meta_now(repo, &arena, err);
    if (!meta)
        return false;
    if (!string_is(served.meta, meta) ||
        served.snapshot_expires - now < SNAPSHOT_LIFETIME_S - SNAPSHOT_AGE_S) {
        if (!snapshot_sign(repo, &arena, meta, &served, now, err))
            return false;
        served_read(repo, &arena, &served);
        copies_clean(repo, served.snapshot_version);
        return true;
    }
    return served.timestamp_expires - now >= TIMESTAMP_LIFETIME_S - TIMESTAMP_AGE_S ||
           timestamp_sign(repo, &arena, &served, now, err);
}

const char *fresh_expiring(struct repo *repo, struct arena *arena, int64_t before)
{
    for (size_t i = 0; i < repo->role_count; i++) {
        const char *dash = strchr(repo->roles[i].name, '-');
        if (dash && repo->roles[i].expires < before)
            return arena_printf(arena, "%.*s", (int)(strlen(dash + 1) - strlen(".json")), dash + 1);
    }
    return NULL;
}

bool repo_metadata(struct repo *repo, struct arena *arena, const char *name, char **bytes, size_t *size,
                   struct error *err)
{
    size_t length = strlen(name);
    if (length > DELEGATION_NAME_SIZE + 32 ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") != length || name[0] == '.' || length < 6 ||
        strcmp(name + length - 5, ".json") != 0)
        return error_set(err, ERROR_MISSING, "there is no signed file of that name");
    if (file_read(arena, repo->metadata_fd, name, DELEGATED_LIMIT, bytes, size, err))
        return true;
    return err->kind == ERROR_MISSING ? error_set(err, ERROR_MISSING, "there is no signed file \"%s\"", name)
                                      : false;
}

/* `locum repo verify`: is everything that git says there, and is it what it says? */
#include "repo/store.h"

#include "base/clock.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOB_LIMIT (16u << 20)
#define PIECE (256 << 10)

struct verification {
    struct repo *repo;
    struct gitrepo *git; /* our own handle: publishing goes on meanwhile */
    repo_report *report;
    void *context;
    char head[GIT_ID];
    int64_t bad; /* checks that failed */
    struct seen *seen;
    size_t seen_count, seen_room;
    int64_t objects, bytes, versions;
    char *piece; /* of an object while it is hashed, PIECE bytes */
};

/* An object that was hashed already. */
struct seen {
    char sha256[SHA256_HEX];
    bool used;
};

static void say(struct verification *verification, bool good, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct verification *verification, bool good, const char *format, ...)
{
    char line[600];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    verification->bad += !good;
    verification->report(verification->context, good, line);
}

/* --- objects
 * -----------------------------------------------------------------------------------------------------------
 */

static struct seen *seen_slot(struct seen *seen, size_t room, const char *sha256)
{
    char first[16] = {0};
    memcpy(first, sha256, 15);
    size_t at = strtoull(first, NULL, 16) & (room - 1);
    while (seen[at].used && !string_is(seen[at].sha256, sha256))
        at = (at + 1) & (room - 1);
    return &seen[at];
}

/* True the first time. */
static bool seen_add(struct verification *verification, const char *sha256)
{
    if (2 * verification->seen_count >= verification->seen_room) {
        size_t room = verification->seen_room ? 2 * verification->seen_room : 256;
        struct seen *grown = calloc(room, sizeof *grown);
        if (!grown)
            abort();
        for (size_t i = 0; i < verification->seen_room; i++)
            if (verification->seen[i].used)
                *seen_slot(grown, room, verification->seen[i].sha256) = verification->seen[i];
        free(verification->seen);
        verification->seen = grown;
        verification->seen_room = room;
    }
    struct seen *slot = seen_slot(verification->seen, verification->seen_room, sha256);
    if (slot->used)
        return false;
    memcpy(slot->sha256, sha256, SHA256_HEX);
    slot->used = true;
    verification->seen_count++;
    return true;
}

static bool stopped(const struct verification *verification)
{
    return verification->repo->checks_stop;
}

/* A large object takes long: the flag is looked at between its pieces as well. */
static bool object_hash(struct verification *verification, int fd, char hex[SHA256_HEX], int64_t *size,
                        struct error *err)
{
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    ssize_t got = 0;
    sha256_init(&hash);
    while (!stopped(verification) && (got = pread(fd, verification->piece, PIECE, *size)) > 0) {
        sha256_add(&hash, verification->piece, (size_t)got);
        *size += got;
    }
    sha256_end(&hash, digest);
    hex_encode(hex, digest, sizeof digest);
    return got >= 0 || error_errno(err, "reading an object");
}

static void object_verify(struct verification *verification, const char *what, const char *sha256,
                          int64_t length)
{
    struct error err = {0};
    char real[SHA256_HEX];
    int64_t size = 0;
    if (!seen_add(verification, sha256))
        return;
    FD(fd) = object_open(verification->repo, sha256, NULL, &err);
    if (fd < 0 || !object_hash(verification, fd, real, &size, &err)) {
        say(verification, false, "%s: %s", what, err.text);
        return;
    }
    if (stopped(verification))
        return;
    if (!string_is(real, sha256) || size != length)
        say(verification, false, "%s: the object %s has the hash %s and %lld bytes instead of %lld", what,
            sha256, real, (long long)size, (long long)length);
    verification->objects++;
    verification->bytes += size;
}

/* --- versions
 * ----------------------------------------------------------------------------------------------------------
 */

static const struct gitrepo_entry *entry_find(const struct gitrepo_entry *entries, size_t count,
                                              const char *path)
{
    for (size_t i = 0; i < count; i++)
        if (string_is(entries[i].path, path))
            return &entries[i];
    return NULL;
}

/* What git keeps for one file of a manifest: a pointer to its object, or its very bytes. */
static void file_verify(struct verification *verification, const char *what, const struct manifest_file *file,
                        const struct gitrepo_entry *entry)
{
    ARENA(arena);
    struct error err = {0};
    char *bytes, sha256[SHA256_HEX], named[SHA256_HEX];
    size_t size;
    int64_t length = 0;
    if (!gitrepo_read_blob(verification->git, &arena, entry->blob, BLOB_LIMIT, &bytes, &size, &err)) {
        say(verification, false, "%s \"%s\": %s", what, file->path, err.text);
        return;
    }
    sha256_hex(bytes, size, sha256);
    bool plain = string_is(sha256, file->sha256);
    bool points = !plain && layout_pointer_read(bytes, size, named, &length);
    if (!plain && !(points && string_is(named, file->sha256) && length == file->length))
        say(verification, false, "%s \"%s\": git has other bytes than the manifest", what, file->path);
    if ((entry->mode == 0100755) != (file->mode == 0755))
        say(verification, false, "%s \"%s\": git has another mode than the manifest", what, file->path);
    object_verify(verification, what, file->sha256, file->length);
}

static void files_verify(struct verification *verification, const char *what, const struct manifest *manifest,
                         const struct gitrepo_entry *entries, size_t count)
{
    size_t in_git = 0, next = 0;
    for (size_t i = 0; i < count; i++)
        in_git += string_starts(entries[i].path, "files/");
    if (in_git != manifest->file_count)
        say(verification, false, "%s: git has %zu files, the manifest %zu", what, in_git,
            manifest->file_count);
    for (size_t i = 0; i < manifest->file_count && !stopped(verification); i++) {
        char path[1040];
        snprintf(path, sizeof path, "files/%s", manifest->files[i].path);
        /* Git sorts folders a little differently: mostly the next entry, sometimes a search. */
        while (next < count && !string_starts(entries[next].path, "files/"))
            next++;
        const struct gitrepo_entry *entry = next < count && string_is(entries[next].path, path)
                                                ? &entries[next++]
                                                : entry_find(entries, count, path);
        if (entry)
            file_verify(verification, what, &manifest->files[i], entry);
        else
            say(verification, false, "%s \"%s\": it is not in git", what, manifest->files[i].path);
    }
}

struct version {
    const char *product, *asset, *version, *manifest, *commit;
};

static void version_verify(struct verification *verification, const struct version *version)
{
    ARENA(arena);
    struct error err = {0};
    struct manifest manifest;
    struct gitrepo_entry *entries;
    char *bytes, sha256[SHA256_HEX], tagged[GIT_ID];
    size_t size, count;
    char *what = arena_printf(&arena, "%s/%s %s", version->product, version->asset, version->version);
    char *folder = arena_printf(&arena, "%s/%s", version->product, version->asset);
    verification->versions++;
    if (!gitrepo_read(verification->git, &arena, version->commit,
                      arena_printf(&arena, "%s/manifest.json", folder), MANIFEST_BYTES_LIMIT, &bytes, &size,
                      &err) ||
        !manifest_read(&arena, bytes, size, &manifest, &err) ||
        !gitrepo_list(verification->git, &arena, version->commit, folder, &entries, &count, &err)) {
        say(verification, false, "%s: %s", what, err.text);
        return;
    }
    sha256_hex(bytes, size, sha256);
    if (!string_is(sha256, version->manifest) || !string_is(manifest.version, version->version) ||
        !string_is(manifest.product, version->product) || !string_is(manifest.asset, version->asset))
        say(verification, false, "%s: the commit has another manifest than the index", what);
    object_verify(verification, what, version->manifest, (int64_t)size);
    files_verify(verification, what, &manifest, entries, count);
    if (!gitrepo_tagged(verification->git, arena_printf(&arena, "%s/%s", folder, version->version), tagged,
                        &err) ||
        !string_is(tagged, version->commit))
        say(verification, false, "%s: its tag is missing or names another commit", what);
}

static bool versions_read(struct verification *verification, struct arena *arena, struct version **versions,
                          size_t *count, struct error *err)
{
    size_t room = 64;
    DB_DONE(conn) = db_read(verification->repo->db, err);
    *count = 0;
    *versions = arena_array(arena, room, sizeof **versions);
    if (!conn)
        return false;
    struct db_query *query =
        db_query(conn, "SELECT product, asset, version, manifest, commit_id FROM versions ORDER BY number");
    while (db_step(query)) {
        if (*count == room) {
            struct version *grown = arena_array(arena, 2 * room, sizeof *grown);
            memcpy(grown, *versions, room * sizeof *grown);
            *versions = grown;
            room *= 2;
        }
        (*versions)[(*count)++] = (struct version){
            db_text_copy(query, 0, arena), db_text_copy(query, 1, arena), db_text_copy(query, 2, arena),
            db_text_copy(query, 3, arena), db_text_copy(query, 4, arena)};
    }
    return db_end(query, err);
}

static bool versions_verify(struct verification *verification, struct error *err)
{
    ARENA(arena);
    struct version *versions;
    size_t count;
    int64_t bad = verification->bad;
    if (!versions_read(verification, &arena, &versions, &count, err))
        return false;
    for (size_t i = 0; i < count && !stopped(verification); i++)
        version_verify(verification, &versions[i]);
    if (stopped(verification))
        return error_set(err, ERROR_SYSTEM, "it was stopped before its end");
    if (verification->bad == bad)
        say(verification, true, "versions: %lld with their tags, manifests and files",
            (long long)verification->versions);
    say(verification, verification->bad == bad, "objects: %lld read and hashed, %lld bytes",
        (long long)verification->objects, (long long)verification->bytes);
    return true;
}

/* --- signed files
 * ------------------------------------------------------------------------------------------------------ */

/* A client that starts from the first root and keeps nothing. */
static bool chain_load(void *context, struct arena *arena, const char *name, size_t limit, char **bytes,
                       size_t *size, struct error *err)
{
    struct verification *verification = context;
    if (!string_is(name, "root.json"))
        return error_set(err, ERROR_MISSING, "nothing is kept");
    return gitrepo_read(verification->git, arena, verification->head, "metadata/root/1.root.json", limit,
                        bytes, size, err);
}

static bool chain_store(void *context, const char *name, const void *bytes, size_t size, struct error *err)
{
    (void)context, (void)name, (void)bytes, (void)size, (void)err;
    return true;
}

static bool chain_fetch(void *context, struct arena *arena, const char *name, size_t limit, char **bytes,
                        size_t *size, struct error *err)
{
    (void)limit;
    return repo_metadata(((struct verification *)context)->repo, arena, name, bytes, size, err);
}

/* Who has to sign for the product's diagnostic images: the targets say it, the index repeats it. */
static bool signers_read(struct verification *verification, struct arena *arena, const char *product,
                         int *signatures, int *indexed, struct error *err)
{
    const struct json *envelope;
    char *bytes;
    size_t size;
    if (!gitrepo_read(verification->git, arena, verification->head, "metadata/targets.json", TARGETS_LIMIT,
                      &bytes, &size, err) ||
        !(envelope = json_read(arena, bytes, size, &json_limits_large, err)))
        return false;
    *signatures = listing_signatures(json_get(envelope, "signed"), product);
    DB_DONE(conn) = db_read(verification->repo->db, err);
    return conn && repo_signed_by(conn, product, indexed, err);
}

static void signers_verify(struct verification *verification, struct arena *arena, const char *product)
{
    struct error err = {0};
    int signatures = 1, indexed = 1;
    if (!signers_read(verification, arena, product, &signatures, &indexed, &err))
        say(verification, false, "signers of %s: %s", product, err.text);
    else if (signatures != indexed)
        say(verification, false, "signers of %s: its diagnostic images need %d signatures, the index says %d",
            product, signatures, indexed);
    else if (signatures > 1)
        say(verification, true, "signers of %s: its diagnostic images are signed by author and approver",
            product);
}

static void product_verify(struct verification *verification, const char *product)
{
    ARENA(arena);
    struct error err = {0};
    const struct metadata_io io = {chain_load, chain_store, chain_fetch, verification};
    struct metadata_client *client = metadata_open(&arena, &io, &err);
    if (!client || !metadata_refresh(client, product, clock_now(), &err))
        say(verification, false, "signed files of %s: %s", product, err.text);
    else
        say(verification, true, "signed files of %s: root %lld, targets %lld, snapshot %lld verify", product,
            (long long)metadata_version(client, "root"), (long long)metadata_version(client, "targets"),
            (long long)metadata_version(client, "snapshot"));
    signers_verify(verification, &arena, product);
}

static bool metadata_verify(struct verification *verification, struct error *err)
{
    ARENA(arena);
    struct gitrepo_entry *entries;
    size_t count;
    bool any = false;
    if (!gitrepo_list(verification->git, &arena, verification->head, "metadata", &entries, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (string_starts(entries[i].path, "assets-")) {
            const char *product = entries[i].path + strlen("assets-");
            product_verify(verification, arena_copy(&arena, product, strlen(product) - strlen(".json")));
            any = true;
        }
    if (!any) /* no product yet: the files above the delegations alone */
        product_verify(verification, "none");
    return true;
}

/* --- git
 * ---------------------------------------------------------------------------------------------------------------
 */

static void git_line(void *context, const char *line)
{
    say(context, false, "%s", line);
}

static bool git_verify(struct verification *verification, struct error *err)
{
    int64_t objects, bad;
    char indexed[GIT_ID];
    if (!gitrepo_check(verification->git, &verification->repo->checks_stop, &objects, &bad, git_line,
                       verification, err))
        return false;
    say(verification, bad == 0, "git: %lld objects read, %lld bad", (long long)objects, (long long)bad);
    if (!index_head(verification->repo, indexed, err))
        return false;
    say(verification, string_is(indexed, verification->head),
        "index: it stands at the commit %.12s, main at %.12s", indexed, verification->head);
    return true;
}

static bool verify_job(struct repo *repo, void *context, struct error *err)
{
    struct verification *verification = context;
    (void)repo;
    return gitrepo_head(verification->git, verification->head, err) && git_verify(verification, err) &&
           versions_verify(verification, err) && metadata_verify(verification, err);
}

bool repo_verify(struct repo *repo, repo_report *report, void *context, struct error *err)
{
    struct verification verification = {
        .repo = repo, .report = report, .context = context, .piece = malloc(PIECE)};
    if (!verification.piece)
        abort();
    verification.git = gitrepo_open(repo->git_path, err);
    bool good = verification.git && repo_do(repo, false, verify_job, &verification, err);
    gitrepo_close(verification.git);
    free(verification.seen);
    free(verification.piece);
    if (!good)
        return error_add(err, "checking the repository");
    return verification.bad == 0 || error_set(err, ERROR_UNTRUSTED, "%lld checks of the repository failed",
                                              (long long)verification.bad);
}

void repo_stop_checks(struct repo *repo)
{
    repo->checks_stop = true;
}

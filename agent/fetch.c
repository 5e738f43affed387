#include "agent/fetch.h"

#include "agent/candidates.h"
#include "agent/delta_fetch.h"
#include "agent/download.h"
#include "agent/set.h"
#include "agent/state.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_LIMIT (4 << 20)
#define OBJECT_NAME (SHA256_HEX + 8)
#define SPARE_BYTES (512 << 10) /* that stay free for the state itself */
#define COPY_PIECE (256 << 10)
#define DELTA_WAIT_MS 20000 /* for the console to make deltas of one version */

/* --- why it failed, in LwM2M's words
 * ------------------------------------------------------------------------ */

static bool fail(struct fetch *fetch, enum update_result result, bool lasting)
{
    fetch->result = result;
    fetch->lasting = lasting;
    return false;
}

bool fetch_failed(struct fetch *fetch, const struct error *err, enum update_result otherwise)
{
    switch (err->kind) {
    case ERROR_LIMIT:
        return fail(fetch, RESULT_NO_STORAGE, false);
    case ERROR_UNTRUSTED:
        return fail(fetch, RESULT_INTEGRITY, false);
    case ERROR_MISSING:
        return fail(fetch, RESULT_INVALID_URI, false);
    default:
        return fail(fetch, otherwise, false);
    }
}

/* --- manifests
 * ---------------------------------------------------------------------------------------------- */

static void manifest_path(char path[96], const char *sha256)
{
    snprintf(path, 96, STATE_MANIFESTS "/%s", sha256);
}

static bool manifest_bytes(struct arena *arena, int state_fd, const char *sha256, char **bytes, size_t *size,
                           struct error *err)
{
    char path[96], hex[SHA256_HEX];

    manifest_path(path, sha256);
    if (!file_read(arena, state_fd, path, MANIFEST_LIMIT, bytes, size, err))
        return false;
    sha256_hex(*bytes, *size, hex);
    return strcmp(hex, sha256) == 0 ||
           error_set(err, ERROR_MISSING, "the kept manifest %.12s is damaged", sha256);
}

bool manifest_kept(struct arena *arena, int state_fd, const char *sha256, struct manifest *manifest,
                   struct error *err)
{
    char *bytes;
    size_t size;

    return manifest_bytes(arena, state_fd, sha256, &bytes, &size, err) &&
           manifest_read(arena, bytes, size, manifest, err);
}

static bool manifest_download(struct fetch *fetch, struct arena *arena, const struct wish_version *wanted,
                              bool diagnostic, struct error *err)
{
    const struct set_entry *entry = &wanted->entry;
    struct http_answer answer;
    char path[96], hex[SHA256_HEX];
    char *target = arena_printf(arena, "%s/%s/%s/%s.%s", diagnostic ? "diagnostics" : "assets",
                                fetch->enrolment->product, entry->asset, entry->manifest,
                                url_encode(arena, entry->version));
    struct http_request request = {.method = "GET",
                                   .path = arena_printf(arena, DEVICE_PATH_TARGETS "%s", target),
                                   .answer_limit = MANIFEST_LIMIT,
                                   .cancel = fetch->cancel};

    if (!session_send(fetch->session, fetch->http, &request, arena, &answer, err))
        return fetch_failed(fetch, err, RESULT_CONNECTION_LOST);
    if (answer.status != 200) {
        http_refused(&answer, err);
        return fetch_failed(fetch, err, RESULT_CONNECTION_LOST);
    }
    fetch->bytes += (int64_t)answer.size;
    sha256_hex(answer.body, answer.size, hex);
    if ((int64_t)answer.size != wanted->length || strcmp(hex, entry->manifest) != 0) {
        error_set(err, ERROR_UNTRUSTED, "the manifest of %s %s is not the one that was signed", entry->asset,
                  entry->version);
        return fail(fetch, RESULT_INTEGRITY, false);
    }
    manifest_path(path, entry->manifest);
    return file_write(fetch->state_fd, path, answer.body, answer.size, 0600, err) ||
           fetch_failed(fetch, err, RESULT_UPDATE_FAILED);
}

/* The signed manifest must say what the signed target said, and be for us. */
static bool manifest_check(struct fetch *fetch, const struct manifest *manifest,
                           const struct wish_version *wanted, struct error *err)
{
    const struct set_entry *entry = &wanted->entry;
    const char *hardware = fetch->enrolment->hardware;

    if (strcmp(manifest->product, fetch->enrolment->product) != 0) {
        error_set(err, ERROR_UNTRUSTED, "%s %s is made for the product \"%s\", this device is a \"%s\"",
                  entry->asset, entry->version, manifest->product, fetch->enrolment->product);
        return fail(fetch, RESULT_UNSUPPORTED, true);
    }
    if (strcmp(manifest->asset, entry->asset) != 0 || strcmp(manifest->version, entry->version) != 0 ||
        manifest->counter != wanted->counter || manifest->kind != wanted->kind) {
        error_set(err, ERROR_UNTRUSTED, "the manifest of %s %s says something else than its signed target",
                  entry->asset, entry->version);
        return fail(fetch, RESULT_INTEGRITY, true);
    }
    if (manifest_fits_hardware(manifest, *hardware ? hardware : NULL))
        return true;
    error_set(err, ERROR_UNTRUSTED, "%s %s is for the hardware %s%s, this device is %s%s%s", entry->asset,
              entry->version, manifest->hardware[0] ? manifest->hardware[0] : "of nobody",
              manifest->hardware[0] && manifest->hardware[1] ? " and others" : "", *hardware ? "\"" : "of an",
              *hardware ? hardware : " unnamed revision", *hardware ? "\"" : "");
    return fail(fetch, RESULT_UNSUPPORTED, true);
}

static bool manifest_get(struct fetch *fetch, struct arena *arena, const struct wish_version *wanted,
                         bool diagnostic, struct manifest *manifest, struct error *err)
{
    struct error ignored = {0};
    char *bytes;
    size_t size;

    if (!manifest_bytes(arena, fetch->state_fd, wanted->entry.manifest, &bytes, &size, &ignored) &&
        (!manifest_download(fetch, arena, wanted, diagnostic, err) ||
         !manifest_bytes(arena, fetch->state_fd, wanted->entry.manifest, &bytes, &size, err)))
        return false;
    if (!manifest_read(arena, bytes, size, manifest, err)) {
        error_add(err, "the manifest of %s %s", wanted->entry.asset, wanted->entry.version);
        return fail(fetch, RESULT_UNSUPPORTED, true);
    }
    return manifest_check(fetch, manifest, wanted, err);
}

/* --- objects
 * ------------------------------------------------------------------------------------------------ */

static void object_name(char name[OBJECT_NAME], const char *sha256, const char *end)
{
    snprintf(name, OBJECT_NAME, "%s%s", sha256, end);
}

static bool object_is_there(int objects, const char *sha256, const char *end, int64_t length)
{
    char name[OBJECT_NAME];
    struct stat stat;

    object_name(name, sha256, end);
    return fstatat(objects, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(stat.st_mode) &&
           stat.st_size == length;
}

static int64_t part_held(int objects, const char *sha256)
{
    char name[OBJECT_NAME];
    struct stat stat;

    object_name(name, sha256, ".part");
    return fstatat(objects, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 ? stat.st_size : 0;
}

/* Makes the whole part durable and gives it its name. */
static bool part_finish(int objects, int part, const struct manifest_file *file, const char *end,
                        struct error *err)
{
    char from[OBJECT_NAME], to[OBJECT_NAME];

    object_name(from, file->sha256, ".part");
    object_name(to, file->sha256, end);
    if (fchmod(part, *end ? 0555 : 0444) < 0)
        return error_errno(err, "setting the rights of an object");
    if (!fd_sync(part, err))
        return false;
    /* From here on the part needs no note: it is whole, and its hash says so. */
    place_drop(objects, file->sha256);
    return file_rename(objects, from, objects, to, err) && folder_sync(objects, err);
}

/* Until the hash is right. A part from before that turns out wrong, or packed bytes that do, is fetched anew
 * once, as it is. */
static bool whole_run(struct download *download, struct error *err)
{
    bool old = download->held > 0;
    char sha256[SHA256_HEX];

    for (int attempt = 0;; attempt++) {
        if (!download_run(download, err))
            return false;
        bool packed = download->unpack != NULL;
        download_hash(download, sha256);
        if (strcmp(sha256, download->file->sha256) == 0)
            return true;
        if (packed)
            delta_tell(download->fetch, download->file, NULL,
                       "it makes other bytes than those that were signed");
        if (attempt > 0 || (!old && !packed)) {
            error_set(err, ERROR_UNTRUSTED,
                      "the bytes of \"%.200s\" are not those that were signed (SHA-256 differs)",
                      download->file->path);
            return fail(download->fetch, RESULT_INTEGRITY, false);
        }
        if (!download_again(download, err))
            return fetch_failed(download->fetch, err, RESULT_UPDATE_FAILED);
    }
}

static bool whole_get(struct fetch *fetch, int objects, int part, const struct manifest_file *file,
                      struct error *err)
{
    struct download download;
    char name[OBJECT_NAME];

    bool good = download_open(&download, fetch, objects, part, file, err) ||
                fetch_failed(fetch, err, RESULT_UPDATE_FAILED);
    good = good && whole_run(&download, err);
    download_close(&download);
    if (good)
        return true;
    /* A full disk must have room for the state itself; the wrong bytes of a server are no use. */
    object_name(name, file->sha256, ".part");
    if (err->kind == ERROR_LIMIT || err->kind == ERROR_UNTRUSTED)
        unlinkat(objects, name, 0);
    return error_add(err, "fetching \"%.200s\"", file->path);
}

/* Gets one object under the name with `end`: as a delta, or whole. */
static bool object_download(struct fetch *fetch, struct candidates *candidates, int objects,
                            const struct manifest_file *file, const char *end, struct error *err)
{
    char part[OBJECT_NAME];

    object_name(part, file->sha256, ".part");
    FD(fd) = file_open_beneath(objects, part, O_RDWR | O_CREAT, 0600, err);
    if (fd < 0)
        return fetch_failed(fetch, err, RESULT_UPDATE_FAILED);
    enum delta_end made = delta_fetch(fetch, candidates, objects, fd, file, err);
    if (made == DELTA_FAILED) {
        if (err->kind == ERROR_LIMIT)
            unlinkat(objects, part, 0);
        fetch_failed(fetch, err, RESULT_CONNECTION_LOST);
        return error_add(err, "fetching \"%.200s\"", file->path);
    }
    if (made == DELTA_NONE && !whole_get(fetch, objects, fd, file, err))
        return false;
    return part_finish(objects, fd, file, end, err) || fetch_failed(fetch, err, RESULT_UPDATE_FAILED);
}

/* The same bytes with other rights: hard links share theirs, so this is a copy. */
static bool object_copy(int objects, const struct manifest_file *file, const char *from_end,
                        const char *to_end, struct error *err)
{
    char from_name[OBJECT_NAME], to_name[OBJECT_NAME], part[OBJECT_NAME];
    int64_t size;
    char hex[SHA256_HEX];

    object_name(from_name, file->sha256, from_end);
    object_name(to_name, file->sha256, to_end);
    object_name(part, file->sha256, ".copy");
    FD(from) = file_open_beneath(objects, from_name, O_RDONLY, 0, err);
    FD(to) = from < 0 ? -1 : file_open_beneath(objects, part, O_RDWR | O_CREAT | O_TRUNC, 0600, err);
    if (to < 0)
        return false;
    ssize_t done = 1;
    while (done > 0)
        done = copy_file_range(from, NULL, to, NULL, COPY_PIECE, 0);
    if (done < 0 || fchmod(to, *to_end ? 0555 : 0444) < 0) {
        unlinkat(objects, part, 0);
        return error_errno(err, "copying an object");
    }
    if (!sha256_file(to, hex, &size, err))
        return false;
    if (strcmp(hex, file->sha256) != 0) {
        unlinkat(objects, part, 0);
        unlinkat(objects, from_name, 0); /* so that it is fetched again */
        return error_set(err, ERROR_UNTRUSTED, "the kept bytes of \"%.200s\" were damaged", file->path);
    }
    return fd_sync(to, err) && file_rename(objects, part, objects, to_name, err) && folder_sync(objects, err);
}

static bool object_get(struct fetch *fetch, struct candidates *candidates, int objects,
                       const struct manifest_file *file, struct error *err)
{
    const char *end = file->mode == 0755 ? ".x" : "", *other = file->mode == 0755 ? "" : ".x";

    if (object_is_there(objects, file->sha256, end, file->length))
        return true;
    if (object_is_there(objects, file->sha256, other, file->length))
        return object_copy(objects, file, other, end, err) || fetch_failed(fetch, err, RESULT_UPDATE_FAILED);
    return object_download(fetch, candidates, objects, file, end, err);
}

/* Bytes that are still to be written. The same object twice counts twice: better too careful. */
static int64_t lacking(int objects, const struct manifest *manifest)
{
    int64_t bytes = 0;

    for (size_t i = 0; i < manifest->file_count; i++) {
        const struct manifest_file *file = &manifest->files[i];
        if (!object_is_there(objects, file->sha256, file->mode == 0755 ? ".x" : "", file->length))
            bytes += file->length - part_held(objects, file->sha256);
    }
    return bytes;
}

static bool space_check(struct fetch *fetch, int objects, const struct manifest *manifest, struct error *err)
{
    int64_t need = lacking(objects, manifest), have = file_space(objects);

    if (need == 0 || need + SPARE_BYTES <= have)
        return true;
    error_set(err, ERROR_LIMIT, "not enough space: %s %s needs %" PRId64 " bytes, %" PRId64 " are free",
              manifest->asset, manifest->version, need + SPARE_BYTES, have);
    return fail(fetch, RESULT_NO_STORAGE, false);
}

static bool objects_get(struct fetch *fetch, const struct manifest *manifest, struct error *err)
{
    __attribute__((cleanup(candidates_end))) struct candidates candidates = {0};
    FD(objects) = folder_open_beneath(fetch->state_fd, STATE_OBJECTS, err);

    if (objects < 0)
        return fetch_failed(fetch, err, RESULT_UPDATE_FAILED);
    if (!space_check(fetch, objects, manifest, err))
        return false;
    for (size_t i = 0; i < manifest->file_count; i++)
        if (!object_get(fetch, &candidates, objects, &manifest->files[i], err))
            return false;
    return true;
}

bool fetch_version(struct fetch *fetch, const struct wish_version *wanted, bool diagnostic, struct error *err)
{
    ARENA(arena);
    struct manifest manifest;

    fetch->result = RESULT_INITIAL;
    fetch->lasting = false;
    fetch->rate = wanted->entry.apply.rate;
    fetch->entry = &wanted->entry;
    fetch->whole = 0;
    fetch->delta_wait_ms = DELTA_WAIT_MS;
    /* The manifest is checked also when the version is there: hardware and product are ours to watch. */
    if (!manifest_get(fetch, &arena, wanted, diagnostic, &manifest, err))
        return false;
    if (version_is_installed(fetch->state_fd, &wanted->entry))
        return true;
    fetch->whole = manifest.total;
    return objects_get(fetch, &manifest, err) &&
           (version_build(fetch->state_fd, &manifest, wanted->entry.manifest, err) ||
            fetch_failed(fetch, err, RESULT_UPDATE_FAILED));
}

#include "repo/manifest.h"

#include "repo/range.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define FILES_LIMIT 20000
#define MANIFEST_LIMIT (4u << 20)
#define TOTAL_LIMIT ((int64_t)1 << 40)
#define HARDWARE_LIMIT 256
#define REQUIRES_LIMIT 64

static const char *const kinds[KIND_COUNT] = {"app",    "module",     "model", "data",
                                              "config", "bootloader", "mcu",   "diagnostic"};
static const char *const activations[] = {"notify", "restart"};

const char *kind_name(enum asset_kind kind)
{
    return kinds[kind];
}

bool kind_from_name(const char *name, enum asset_kind *kind)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (string_is(name, kinds[i])) {
            *kind = (enum asset_kind)i;
            return true;
        }
    return false;
}

const char *activation_name(enum activation activation)
{
    return activations[activation];
}

bool activation_from_name(const char *name, enum activation *activation)
{
    for (int i = 0; i < 2; i++)
        if (string_is(name, activations[i])) {
            *activation = (enum activation)i;
            return true;
        }
    return false;
}

enum activation kind_activation(enum asset_kind kind)
{
    return kind == KIND_APP || kind == KIND_MODULE ? ACTIVATION_RESTART : ACTIVATION_NOTIFY;
}

static bool file_read_entry(const struct json *entry, struct manifest_file *file, struct error *err)
{
    static const char *const members[] = {"length", "mode", "path", "sha256", NULL};
    const char *sha256;
    int64_t mode;
    if (entry->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "an entry of \"files\" must be an object");
    if (!json_only(entry, members, err) || !json_need_string(entry, "path", &file->path, err) ||
        !asset_path_check(file->path, strlen(file->path), err) ||
        !json_need_integer(entry, "length", 0, TOTAL_LIMIT, &file->length, err) ||
        !json_need_integer(entry, "mode", 0, 0777, &mode, err) ||
        !json_need_string(entry, "sha256", &sha256, err))
        return false;
    if (mode != 0644 && mode != 0755)
        return error_set(err, ERROR_INPUT, "\"%.200s\": the mode must be 420 (0644) or 493 (0755)",
                         file->path);
    if (!sha256_is_hex(sha256))
        return error_set(err, ERROR_INPUT, "\"%.200s\": the sha256 must be 64 lower-case hex digits",
                         file->path);
    file->mode = (int)mode;
    memcpy(file->sha256, sha256, SHA256_HEX);
    return true;
}

/* Order by bytes. */
static int path_compare(const void *a, const void *b)
{
    return strcmp(((const struct manifest_file *)a)->path, ((const struct manifest_file *)b)->path);
}

/* A path that is a file cannot also be the folder of another. `files` is sorted, but "a", "a.txt", "a/b"
 * sorts "a.txt" between, so each folder of each path is looked up. */
static bool folders_check(const struct manifest_file *files, size_t count, struct error *err)
{
    char folder[1025];
    for (size_t i = 0; i < count; i++) {
        memcpy(folder, files[i].path, strlen(files[i].path) + 1);
        for (char *slash = strrchr(folder, '/'); slash; slash = strrchr(folder, '/')) {
            *slash = 0;
            struct manifest_file key = {.path = folder};
            if (bsearch(&key, files, count, sizeof *files, path_compare))
                return error_set(err, ERROR_INPUT, "\"%.200s\" is a file and also a folder of \"%.200s\"",
                                 folder, files[i].path);
        }
    }
    return true;
}

static bool files_read(struct arena *arena, const struct json *array, struct manifest *manifest,
                       struct error *err)
{
    if (array->size == 0 || array->size > FILES_LIMIT)
        return error_set(err, array->size ? ERROR_LIMIT : ERROR_INPUT,
                         "a version has 1 to %d files, this one %zu", FILES_LIMIT, array->size);
    struct manifest_file *files = arena_array(arena, array->size, sizeof *files);
    size_t count = 0;
    manifest->total = 0;
    for (const struct json *entry = array->first; entry; entry = entry->next, count++) {
        if (!file_read_entry(entry, &files[count], err))
            return false;
        if (count > 0 && path_compare(&files[count - 1], &files[count]) >= 0)
            return error_set(err, ERROR_INPUT, "\"%.200s\" stands twice or out of order", files[count].path);
        manifest->total += files[count].length;
        if (manifest->total > TOTAL_LIMIT)
            return error_set(err, ERROR_LIMIT, "the files of a version have at most 1 TiB in all");
    }
    manifest->files = files;
    manifest->file_count = count;
    return folders_check(files, count, err);
}

static bool hardware_read(struct arena *arena, const struct json *array, struct manifest *manifest,
                          struct error *err)
{
    if (array->size > HARDWARE_LIMIT)
        return error_set(err, ERROR_LIMIT, "at most %d hardware revisions", HARDWARE_LIMIT);
    const char **list = arena_array(arena, array->size + 1, sizeof *list);
    size_t count = 0;
    for (const struct json *entry = array->first; entry; entry = entry->next, count++) {
        if (entry->type != JSON_STRING)
            return error_set(err, ERROR_INPUT, "\"hardware\" must be an array of names");
        if (!name_check("hardware", entry->string, err))
            return false;
        if (count > 0 && strcmp(list[count - 1], entry->string) >= 0)
            return error_set(err, ERROR_INPUT, "hardware \"%s\" stands twice or out of order", entry->string);
        list[count] = entry->string;
    }
    manifest->hardware = list;
    return true;
}

static bool name_read(const struct json *object, const char *key, char out[NAME_SIZE], struct error *err)
{
    const char *value;
    if (!json_need_string(object, key, &value, err) || !name_check(key, value, err))
        return false;
    memcpy(out, value, strlen(value) + 1);
    return true;
}

static bool requires_check(const struct manifest *manifest, struct error *err)
{
    const struct json *requires = manifest->requires;
    if (requires->size > REQUIRES_LIMIT)
        return error_set(err, ERROR_LIMIT, "a version requires at most %d assets", REQUIRES_LIMIT);
    if (requires->size > 0 && manifest->kind == KIND_DIAGNOSTIC)
        return error_set(err, ERROR_INPUT, "a diagnostic image requires no assets");
    for (const struct json *one = requires->first; one; one = one->next) {
        if (one->type != JSON_STRING)
            return error_set(err, ERROR_INPUT, "\"requires\" maps names of assets to ranges of versions");
        if (!name_check("asset", one->key, err))
            return error_add(err, "\"requires\"");
        if (string_is(one->key, manifest->asset))
            return error_set(err, ERROR_INPUT, "a version cannot require its own asset \"%s\"", one->key);
        if (!range_check(one->string, err))
            return error_add(err, "\"requires\": %s", one->key);
    }
    return true;
}

static bool head_read(const struct json *json, struct manifest *manifest, struct error *err)
{
    const char *type, *version, *kind, *activation;
    if (!json_need_string(json, "_type", &type, err) || !name_read(json, "product", manifest->product, err) ||
        !name_read(json, "asset", manifest->asset, err) ||
        !json_need_string(json, "version", &version, err) || !version_check(version, err) ||
        !json_need_string(json, "kind", &kind, err) ||
        !json_need_string(json, "activation", &activation, err) ||
        !json_need_integer(json, "counter", 0, INT_MAX, &manifest->counter, err) ||
        !json_need_object(json, "requires", &manifest->requires, err))
        return false;
    memcpy(manifest->version, version, strlen(version) + 1);
    if (!string_is(type, "manifest"))
        return error_set(err, ERROR_INPUT, "\"_type\" must be \"manifest\"");
    if (!kind_from_name(kind, &manifest->kind))
        return error_set(err, ERROR_INPUT, "\"%.40s\" is no kind of asset", kind);
    if (!activation_from_name(activation, &manifest->activation))
        return error_set(err, ERROR_INPUT, "the activation must be \"notify\" or \"restart\"");
    return requires_check(manifest, err);
}

/* The limits must stand in the manifest in their normalised form, so that every reader sees the same ones. */
static bool limits_read(struct arena *arena, const struct json *json, struct manifest *manifest,
                        struct error *err)
{
    const struct json *limits = json_get(json, "limits");
    if ((manifest->kind == KIND_DIAGNOSTIC) != (limits != NULL))
        return error_set(err, ERROR_INPUT,
                         limits ? "only the kind diagnostic has \"limits\""
                                : "a manifest of kind diagnostic needs \"limits\"");
    if (!limits)
        return true;
    TEXT(given);
    TEXT(normal);
    if (!json_canonical(limits, &given, err) ||
        !image_limits_read(arena, text_string(&given), given.size, &manifest->limits, err) ||
        !json_canonical(manifest->limits.json, &normal, err))
        return error_add(err, "\"limits\"");
    if (given.size != normal.size || memcmp(given.bytes, normal.bytes, given.size) != 0)
        return error_set(err, ERROR_INPUT, "\"limits\" must hold every member in its normal form");
    manifest->has_limits = true;
    return true;
}

/* "assets/<asset>/<path>" */
static bool is_asset_of_override(const char *path)
{
    const char *asset = path + strlen("assets/"), *slash = strchr(path, '/');
    char name[NAME_SIZE];

    slash = slash ? strchr(slash + 1, '/') : NULL;
    if (!string_starts(path, "assets/") || !slash || (size_t)(slash - asset) >= sizeof name)
        return false;
    memcpy(name, asset, (size_t)(slash - asset));
    name[slash - asset] = '\0';
    return name_is_valid(name);
}

static bool override_files_check(const struct manifest *manifest, struct error *err)
{
    size_t found = 0;

    for (size_t i = 0; i < manifest->file_count; i++) {
        if (is_asset_of_override(manifest->files[i].path))
            found++;
        else if (string_starts(manifest->files[i].path, "assets/"))
            return error_set(err, ERROR_INPUT, "\"%.200s\" is no file of an asset: assets/<asset>/<path>",
                             manifest->files[i].path);
    }
    return found > 0 || error_set(err, ERROR_INPUT,
                                  "an image of mode override brings its assets as assets/<asset>/<path>");
}

/* What is started must be in the image and executable; in mode override the app is, with the image's assets.
 */
static bool entry_check(const struct manifest *manifest, struct error *err)
{
    if (!manifest->has_limits)
        return true;
    if (string_is(manifest->limits.mode, "override"))
        return override_files_check(manifest, err);
    const char *program = manifest->limits.entry[0];
    struct manifest_file key = {.path = string_starts(program, "./") ? program + 2 : program};
    const struct manifest_file *file =
        bsearch(&key, manifest->files, manifest->file_count, sizeof *manifest->files, path_compare);
    if (!file)
        return error_set(err, ERROR_INPUT, "the entry \"%.200s\" is no file of the image", program);
    if (file->mode != 0755)
        return error_set(err, ERROR_INPUT, "the entry \"%.200s\" is not executable", program);
    return true;
}

static bool manifest_from_json(struct arena *arena, const struct json *json, struct manifest *manifest,
                               struct error *err)
{
    static const char *const members[] = {"_type", "activation", "asset",   "counter",  "files",   "hardware",
                                          "kind",  "limits",     "product", "requires", "version", NULL};
    const struct json *files, *hardware;
    *manifest = (struct manifest){0};
    if (json->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "a manifest must be an object");
    return json_only(json, members, err) && head_read(json, manifest, err) &&
           json_need_array(json, "hardware", &hardware, err) &&
           hardware_read(arena, hardware, manifest, err) && json_need_array(json, "files", &files, err) &&
           files_read(arena, files, manifest, err) && limits_read(arena, json, manifest, err) &&
           entry_check(manifest, err);
}

bool manifest_read(struct arena *arena, const void *bytes, size_t size, struct manifest *manifest,
                   struct error *err)
{
    const struct json *json = json_read_canonical(arena, bytes, size, &json_limits_large, err);
    if (!json || !manifest_from_json(arena, json, manifest, err))
        return error_add(err, "manifest");
    return true;
}

static int string_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void hardware_write(struct arena *arena, struct json_writer *writer, const char **hardware)
{
    size_t count = 0;
    while (hardware && hardware[count])
        count++;
    const char **sorted = arena_array(arena, count + 1, sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        sorted[i] = hardware[i];
    qsort(sorted, count, sizeof *sorted, string_compare);
    json_write_array(writer, "hardware");
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(sorted[i], sorted[i - 1]) != 0)
            json_write_string(writer, NULL, sorted[i]);
    json_write_end(writer, ']');
}

static void files_write(struct arena *arena, struct json_writer *writer, const struct manifest *manifest)
{
    struct manifest_file *files = arena_array(arena, manifest->file_count, sizeof *files);
    for (size_t i = 0; i < manifest->file_count; i++)
        files[i] = manifest->files[i];
    qsort(files, manifest->file_count, sizeof *files, path_compare);
    json_write_array(writer, "files");
    for (size_t i = 0; i < manifest->file_count; i++) {
        json_write_object(writer, NULL);
        json_write_string(writer, "path", files[i].path);
        json_write_integer(writer, "length", files[i].length);
        json_write_integer(writer, "mode", files[i].mode);
        json_write_string(writer, "sha256", files[i].sha256);
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
}

/* Before anything is written: the JSON writer would mend a path that is no UTF-8 and so name another file. */
static bool paths_check(const struct manifest *manifest, struct error *err)
{
    for (size_t i = 0; i < manifest->file_count; i++)
        if (!asset_path_check(manifest->files[i].path, strlen(manifest->files[i].path), err))
            return error_add(err, "manifest");
    return true;
}

bool manifest_write(struct arena *arena, const struct manifest *manifest, struct text *out, struct error *err)
{
    TEXT(plain);
    struct json_writer writer;
    if (!paths_check(manifest, err))
        return false;
    json_write_init(&writer, &plain);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "_type", "manifest");
    json_write_string(&writer, "product", manifest->product);
    json_write_string(&writer, "asset", manifest->asset);
    json_write_string(&writer, "version", manifest->version);
    json_write_string(&writer, "kind", kind_name(manifest->kind));
    json_write_string(&writer, "activation", activation_name(manifest->activation));
    json_write_integer(&writer, "counter", manifest->counter);
    if (manifest->requires) {
        json_write_value(&writer, "requires", manifest->requires);
    } else {
        json_write_object(&writer, "requires");
        json_write_end(&writer, '}');
    }
    hardware_write(arena, &writer, manifest->hardware);
    files_write(arena, &writer, manifest);
    if (manifest->has_limits)
        json_write_value(&writer, "limits", manifest->limits.json);
    json_write_end(&writer, '}');

    const struct json *json = json_read(arena, text_string(&plain), plain.size, &json_limits_large, err);
    struct manifest again;
    size_t before = out->size;
    if (!json || !json_canonical(json, out, err))
        return error_add(err, "manifest");
    if (out->failed || out->size - before > MANIFEST_LIMIT)
        return error_set(err, ERROR_LIMIT, "the manifest is larger than 4 MiB");
    return manifest_read(arena, out->bytes + before, out->size - before, &again, err);
}

bool manifest_fits_hardware(const struct manifest *manifest, const char *hardware)
{
    if (!manifest->hardware || !manifest->hardware[0])
        return true;
    for (const char **one = manifest->hardware; *one; one++)
        if (string_is(*one, hardware))
            return true;
    return false;
}

static int entry_compare(const void *a, const void *b)
{
    return strcmp(((const struct set_entry *)a)->asset, ((const struct set_entry *)b)->asset);
}

void set_digest(struct set_entry *entries, size_t count, char hex[SHA256_HEX])
{
    TEXT(canonical);
    if (count > 0)
        qsort(entries, count, sizeof *entries, entry_compare);
    text_putc(&canonical, '[');
    /* Names, versions and hashes hold nothing that JSON escapes, and the members stand in their sorted order.
     */
    for (size_t i = 0; i < count; i++)
        text_printf(&canonical, "%s{\"asset\":\"%s\",\"manifest\":\"%s\",\"version\":\"%s\"}", i ? "," : "",
                    entries[i].asset, entries[i].manifest, entries[i].version);
    text_putc(&canonical, ']');
    sha256_hex(canonical.bytes, canonical.size, hex);
}

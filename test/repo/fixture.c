#include "test/repo/fixture.h"

#include "base/file.h"
#include "base/log.h"
#include "console/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *fixture_parent = "/tmp";

bool fixture_try_open(struct fixture *fixture, struct error *err)
{
    char path[128];
    snprintf(path, sizeof path, "%s/console.db", fixture->path);
    fixture->db = db_open(path, schema_migrations, err);
    if (!fixture->db)
        return false;
    fixture->repo = repo_open(fixture->dirfd, fixture->path, fixture->db, err);
    return fixture->repo != NULL;
}

void fixture_open(struct fixture *fixture)
{
    struct error err = {0};
    must(fixture_try_open(fixture, &err));
}

void fixture_close(struct fixture *fixture)
{
    repo_close(fixture->repo);
    fixture->repo = NULL;
    db_close(fixture->db);
    fixture->db = NULL;
}

struct fixture *fixture_new(void)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error err = {0};
    log_level = LOG_ERROR;
    snprintf(fixture->path, sizeof fixture->path, "%s/locum-repo-XXXXXX", fixture_parent);
    assert_non_null(mkdtemp(fixture->path));
    fixture->dirfd = folder_open(fixture->path, &err);
    assert_true(fixture->dirfd >= 0);
    fixture_open(fixture);
    return fixture;
}

void fixture_free(struct fixture *fixture)
{
    struct error err = {0};
    if (!fixture)
        return;
    fixture_close(fixture);
    close(fixture->dirfd);
    int parent = folder_open(fixture_parent, &err);
    tree_remove(parent, fixture->path + strlen(fixture_parent) + 1, &err);
    close(parent);
    free(fixture);
}

int fixture_setup(void **state)
{
    *state = fixture_new();
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

bool publish_files(struct fixture *fixture, const char *asset, const char *version,
                   const struct content *files, size_t count, struct published *published, struct error *err)
{
    ARENA(arena);
    struct manifest_file *list = arena_array(&arena, count, sizeof *list);
    struct publication publication = {.author = "ada", .notes = "made by a test"};
    struct manifest *manifest = &publication.manifest;
    manifest->kind = KIND_DATA;
    for (size_t i = 0; i < count; i++) {
        list[i] = (struct manifest_file){.path = files[i].path,
                                         .length = (int64_t)files[i].size,
                                         .mode = files[i].mode ? files[i].mode : 0644};
        if (!object_put(fixture->repo, files[i].bytes, files[i].size, list[i].sha256, err))
            return false;
        if (strcmp(files[i].path, "diagnostic.json") == 0)
            manifest->kind = KIND_DIAGNOSTIC;
    }
    snprintf(manifest->product, sizeof manifest->product, "demo");
    snprintf(manifest->asset, sizeof manifest->asset, "%s", asset);
    snprintf(manifest->version, sizeof manifest->version, "%s", version);
    manifest->files = list;
    manifest->file_count = count;
    return repo_publish(fixture->repo, &publication, published, err);
}

bool publish_text(struct fixture *fixture, const char *asset, const char *version, const char *text,
                  struct published *published, struct error *err)
{
    struct content file = {.path = "model.bin", .bytes = text, .size = strlen(text)};
    return publish_files(fixture, asset, version, &file, 1, published, err);
}

int shell(const char *format, ...)
{
    char command[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#include "test/repo/fixture.h"

#include "base/clock.h"
#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct db_conn *reader(struct fixture *fixture)
{
    struct error err = {0};
    struct db_conn *conn = db_read(fixture->db, &err);
    must(conn);
    return conn;
}

static void a_published_version_is_in_the_index_with_its_history(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct published first, second;
    ARENA(arena);
    must(publish_text(fixture, "detector", "1.0.0", "one", &first, &err));
    must(publish_text(fixture, "detector", "1.1.0", "two", &second, &err));
    assert_false(first.already);
    DB_DONE(conn) = reader(fixture);
    struct version_row *versions;
    struct asset_row *assets;
    struct history_row *history;
    size_t count;
    must(repo_versions(conn, &arena, "demo", "detector", &versions, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(versions[0].version, "1.1.0");
    assert_string_equal(versions[0].commit, second.commit);
    assert_string_equal(versions[0].notes, "made by a test");
    assert_null(versions[0].title);
    assert_true(versions[0].listed && versions[1].listed);
    must(repo_assets(conn, &arena, NULL, &assets, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(assets[0].newest, "1.1.0");
    assert_int_equal(assets[0].versions, 2);
    must(repo_history(conn, &arena, "demo", "detector", &history, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(history[1].version, "1.0.0");
    assert_string_equal(history[1].author, "ada");
    assert_string_equal(history[1].message, "demo/detector 1.0.0\n\nmade by a test");
}

static void identical_bytes_again_are_already_there_and_others_a_conflict(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct published first, again;
    must(publish_text(fixture, "detector", "1.0.0", "one", &first, &err));
    must(publish_text(fixture, "detector", "1.0.0", "one", &again, &err));
    assert_true(again.already);
    assert_string_equal(first.commit, again.commit);
    assert_false(publish_text(fixture, "detector", "1.0.0", "two", &again, &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, "a version never changes"));
}

static void another_kind_of_the_same_asset_is_a_conflict(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct published published;
    struct publication publication = {.author = "ada"};
    struct manifest_file file = {.path = "a", .length = 3, .mode = 0644};
    must(publish_text(fixture, "detector", "1.0.0", "one", &published, &err));
    must(object_put(fixture->repo, "one", 3, file.sha256, &err));
    publication.manifest = (struct manifest){.kind = KIND_MODEL, .files = &file, .file_count = 1};
    snprintf(publication.manifest.product, NAME_SIZE, "demo");
    snprintf(publication.manifest.asset, NAME_SIZE, "detector");
    snprintf(publication.manifest.version, VERSION_SIZE, "2.0.0");
    assert_false(repo_publish(fixture->repo, &publication, &published, &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
    publication.kind_open = true;
    err = (struct error){0};
    must(repo_publish(fixture->repo, &publication, &published, &err));
    assert_int_equal(publication.manifest.kind, KIND_DATA);
}

static void a_file_that_was_not_uploaded_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct published published;
    struct publication publication = {.author = "ada"};
    struct manifest_file file = {.path = "weights/a.bin", .length = 3, .mode = 0644};
    memset(file.sha256, 'a', 64);
    publication.manifest = (struct manifest){.kind = KIND_MODEL, .files = &file, .file_count = 1};
    snprintf(publication.manifest.product, NAME_SIZE, "demo");
    snprintf(publication.manifest.asset, NAME_SIZE, "detector");
    snprintf(publication.manifest.version, VERSION_SIZE, "2.0.0");
    assert_false(repo_publish(fixture->repo, &publication, &published, &err));
    assert_int_equal(err.kind, ERROR_MISSING);
    assert_non_null(strstr(err.text, "weights/a.bin"));
}

static void names_and_paths_with_tricks_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char *const assets[] = {"../x", "a..b", "A", "", ".git", "x.lock", "x."};
    static const char *const paths[] = {
        "../x", "/x",   "a//b",    "a/./b",    ".git/config", "a/.gitattributes",
        "a\\b", "a\nb", "GIT~1/x", "\xc2\x85", "\xff"};
    struct published published;
    for (size_t i = 0; i < sizeof assets / sizeof *assets; i++) {
        struct error err = {0};
        assert_false(publish_text(fixture, assets[i], "1.0.0", "x", &published, &err));
        assert_int_equal(err.kind, ERROR_INPUT);
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct error err = {0};
        struct content file = {.path = paths[i], .bytes = "x", .size = 1};
        if (publish_files(fixture, "detector", "1.0.0", &file, 1, &published, &err))
            fail_msg("\"%s\" was accepted", paths[i]);
        assert_int_equal(err.kind, ERROR_INPUT);
    }
    struct error err = {0};
    assert_false(publish_text(fixture, "detector", "1.0.0-x.lock", "x", &published, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
}

static void an_image_takes_its_limits_from_its_description(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct published published;
    ARENA(arena);
    static const char description[] = "{\"entry\":[\"./run\"],\"max_runtime_s\":60,\"collect\":[\"proc\"]}";
    struct content files[] = {{"diagnostic.json", description, sizeof description - 1, 0},
                              {"run", "#!/bin/sh\n", 10, 0755}};
    must(publish_files(fixture, "raw-counters", "1.0.0", files, 2, &published, &err));
    struct manifest manifest;
    char sha256[SHA256_HEX];
    DB_DONE(conn) = reader(fixture);
    must(
        repo_manifest(fixture->repo, conn, &arena, "demo", "raw-counters", "1.0.0", &manifest, sha256, &err));
    assert_true(manifest.has_limits);
    assert_int_equal(manifest.limits.max_runtime_s, 60);
    assert_int_equal(manifest.limits.grace_s, 5);
    files[1].mode = 0644;
    assert_false(publish_files(fixture, "raw-counters", "1.0.1", files, 2, &published, &err));
    assert_non_null(strstr(err.text, "not executable"));
}

static void only_the_newest_ten_and_wanted_versions_are_listed(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct published published;
    ARENA(arena);
    struct version_row *rows;
    size_t count;
    for (int i = 0; i < 12; i++) {
        char version[16];
        snprintf(version, sizeof version, "1.%d.0", i);
        must(publish_text(fixture, "detector", version, version, &published, &err));
    }
    DB_DONE(conn) = reader(fixture);
    must(repo_versions(conn, &arena, "demo", "detector", &rows, &count, &err));
    assert_int_equal(count, 12);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(rows[i].listed, i < 10);
}

static bool want_first(void *context, const char *product, const char *asset, const char *version)
{
    (void)context;
    return strcmp(product, "demo") == 0 && strcmp(asset, "detector") == 0 && strcmp(version, "1.0.0") == 0;
}

static void releasing_an_old_version_lists_it_again_and_stands_in_the_history(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    ARENA(arena);
    struct version_row *rows;
    struct history_row *history;
    size_t count;
    only_the_newest_ten_and_wanted_versions_are_listed(state);
    repo_set_wanted(fixture->repo, want_first, NULL);
    must(repo_resign(fixture->repo, "demo", "ada", "release detector 1.0.0", &err));
    DB_DONE(conn) = reader(fixture);
    must(repo_versions(conn, &arena, "demo", "detector", &rows, &count, &err));
    assert_true(rows[11].listed);
    assert_false(rows[10].listed);
    must(repo_history(conn, &arena, "demo", "detector", &history, &count, &err));
    assert_int_equal(count, 13);
    assert_string_equal(history[0].what, "release");
    assert_string_equal(history[0].message, "release detector 1.0.0");
}

struct report {
    int bad;
    char last[600];
};

static void take_line(void *context, bool good, const char *line)
{
    struct report *report = context;
    report->bad += !good;
    if (!good)
        snprintf(report->last, sizeof report->last, "%s", line);
}

static void the_check_finds_nothing_wrong_in_a_sound_repository(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct report report = {0};
    struct published published;
    char big[70000];
    memset(big, 'x', sizeof big);
    struct content files[] = {{"a.txt", "text\n", 5, 0},
                              {"big.txt", big, sizeof big, 0},
                              {"empty", "", 0, 0},
                              {"dir/b.bin", "\0\1", 2, 0755},
                              {"dir.txt", "x", 1, 0}};
    must(repo_verify(fixture->repo, take_line, &report, &err));
    must(publish_files(fixture, "detector", "1.0.0", files, 5, &published, &err));
    if (!repo_verify(fixture->repo, take_line, &report, &err))
        fail_msg("%s", report.last);
    assert_int_equal(report.bad, 0);
}

static void object_file(struct fixture *fixture, const char *text, char path[200])
{
    char hex[SHA256_HEX];
    sha256_hex(text, strlen(text), hex);
    snprintf(path, 200, "%s/assets.git/lfs/objects/%.2s/%.2s/%s", fixture->path, hex, hex + 2, hex);
}

static void the_check_finds_a_flipped_byte_and_a_missing_object(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct report report = {0};
    struct published published;
    char path[200];
    must(publish_text(fixture, "detector", "1.0.0", "one", &published, &err));
    object_file(fixture, "one", path);
    struct stat stat_before;
    assert_int_equal(stat(path, &stat_before), 0);
    assert_int_equal(stat_before.st_mode & 0777, 0444);
    assert_int_equal(chmod(path, 0644), 0);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "O", 1, 0), 1);
    close(fd);
    assert_false(repo_verify(fixture->repo, take_line, &report, &err));
    assert_non_null(strstr(report.last, "objects") ? report.last : strstr(report.last, "hash"));
    assert_true(report.bad >= 1);
    assert_int_equal(unlink(path), 0);
    report = (struct report){0};
    assert_false(repo_verify(fixture->repo, take_line, &report, &err));
    assert_true(report.bad >= 1);
}

static char *dump(struct fixture *fixture)
{
    struct error err = {0};
    TEXT(out);
    DB_DONE(conn) = reader(fixture);
    static const char *const queries[] = {
        "SELECT json_array(commit_id, number) FROM repo_head",
        "SELECT json_array(product, name, kind, newest, versions, published_at) FROM assets ORDER BY 1",
        "SELECT json_array(number, product, asset, version, manifest, commit_id, activation, counter, "
        "published_at, files, "
        "length, author, title, notes, hardware, listed) FROM versions ORDER BY number",
        "SELECT json_array(number, commit_id, product, asset, what, version, author, message, at) FROM "
        "history ORDER BY number"};
    for (size_t i = 0; i < 4; i++) {
        struct db_query *query = db_query(conn, queries[i]);
        while (db_step(query))
            text_printf(&out, "%s\n", db_text(query, 0));
        must(db_end(query, &err));
    }
    return strdup(text_string(&out));
}

static void the_index_made_anew_equals_the_one_that_grew(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct published published;
    releasing_an_old_version_lists_it_again_and_stands_in_the_history(state);
    must(publish_text(fixture, "other", "0.1.0-rc.1+b", "x", &published, &err));
    char *before = dump(fixture);
    must(repo_reindex(fixture->repo, &err));
    char *after = dump(fixture);
    assert_string_equal(before, after);
    free(after);
    fixture_close(fixture);
    assert_int_equal(shell("rm -rf %s/console.db* %s/metadata", fixture->path, fixture->path), 0);
    fixture_open(fixture);
    after = dump(fixture);
    assert_string_equal(before, after);
    free(after);
    free(before);
    struct report report = {0};
    if (!repo_verify(fixture->repo, take_line, &report, &err))
        fail_msg("%s", report.last);
}

static void titles_and_notes_survive_the_way_through_git(void **state)
{
    static const struct {
        const char *title, *notes;
    } cases[] = {{NULL, NULL},
                 {"A title", NULL},
                 {"A title", "notes\nmore\n"},
                 {NULL, "Title: not one\n\nnotes"},
                 {"\"x\" \xc3\xa4", "\n\n leading"},
                 {NULL, "plain"}};
    struct fixture *fixture = *state;
    ARENA(arena);
    struct version_row *rows;
    size_t count;
    struct error err = {0};
    struct manifest_file file = {.path = "a", .length = 3, .mode = 0644};
    must(object_put(fixture->repo, "one", 3, file.sha256, &err));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct published published;
        struct publication publication = {
            .title = cases[i].title, .notes = cases[i].notes, .author = "A <b> c"};
        publication.manifest = (struct manifest){.kind = KIND_DATA, .files = &file, .file_count = 1};
        snprintf(publication.manifest.product, NAME_SIZE, "demo");
        snprintf(publication.manifest.asset, NAME_SIZE, "a");
        snprintf(publication.manifest.version, VERSION_SIZE, "1.0.%zu", i);
        must(repo_publish(fixture->repo, &publication, &published, &err));
        DB_DONE(conn) = reader(fixture);
        must(repo_versions(conn, &arena, "demo", "a", &rows, &count, &err));
        if (cases[i].title)
            assert_string_equal(rows[0].title, cases[i].title);
        else
            assert_null(rows[0].title);
        if (cases[i].notes)
            assert_string_equal(rows[0].notes, cases[i].notes);
        else
            assert_null(rows[0].notes);
        assert_string_equal(rows[0].author, "A b c");
    }
}

static int64_t timestamp_version(struct fixture *fixture)
{
    ARENA(arena);
    struct error err = {0};
    char *bytes;
    size_t size;
    must(repo_metadata(fixture->repo, &arena, "timestamp.json", &bytes, &size, &err));
    const struct json *json = json_read(&arena, bytes, size, &json_limits_small, &err);
    return json_integer(json_get(json, "signed"), "version", 0);
}

static void fresh_signatures_are_made_when_they_are_due(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    int64_t before = timestamp_version(fixture);
    must(repo_keep_fresh(fixture->repo, &err));
    assert_int_equal(timestamp_version(fixture), before);
    clock_shift(2 * 3600);
    must(repo_keep_fresh(fixture->repo, &err));
    assert_true(timestamp_version(fixture) >= before + 7200);
    clock_shift(0);
    int64_t ahead = timestamp_version(fixture);
    struct published published;
    must(publish_text(fixture, "detector", "1.0.0", "one", &published, &err));
    assert_int_equal(timestamp_version(fixture), ahead + 1);
}

static void delegated_signatures_are_renewed_before_they_expire(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct published published;
    struct report report = {0};
    must(publish_text(fixture, "detector", "1.0.0", "one", &published, &err));
    clock_shift(330 * 86400);
    must(repo_keep_fresh(fixture->repo, &err));
    clock_shift(390 * 86400);
    must(repo_keep_fresh(fixture->repo, &err));
    bool good = repo_verify(fixture->repo, take_line, &report, &err);
    clock_shift(0);
    if (!good)
        fail_msg("%s", report.last);
}

static void stale_git_locks_are_removed_at_the_next_start(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct published published;
    must(publish_text(fixture, "detector", "1.0.0", "one", &published, &err));
    fixture_close(fixture);
    assert_int_equal(
        shell("cd %s/assets.git && touch refs/heads/main.lock HEAD.lock config.lock packed-refs.lock "
              "refs/tags/demo/detector/1.1.0.lock",
              fixture->path),
        0);
    fixture_open(fixture);
    must(publish_text(fixture, "detector", "1.1.0", "two", &published, &err));
    assert_int_equal(shell("test -z \"$(find %s/assets.git -name '*.lock')\"", fixture->path), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_published_version_is_in_the_index_with_its_history),
        TEST(identical_bytes_again_are_already_there_and_others_a_conflict),
        TEST(another_kind_of_the_same_asset_is_a_conflict),
        TEST(a_file_that_was_not_uploaded_is_named),
        TEST(names_and_paths_with_tricks_are_refused),
        TEST(an_image_takes_its_limits_from_its_description),
        TEST(only_the_newest_ten_and_wanted_versions_are_listed),
        TEST(releasing_an_old_version_lists_it_again_and_stands_in_the_history),
        TEST(the_check_finds_nothing_wrong_in_a_sound_repository),
        TEST(the_check_finds_a_flipped_byte_and_a_missing_object),
        TEST(the_index_made_anew_equals_the_one_that_grew),
        TEST(titles_and_notes_survive_the_way_through_git),
        TEST(fresh_signatures_are_made_when_they_are_due),
        TEST(delegated_signatures_are_renewed_before_they_expire),
        TEST(stale_git_locks_are_removed_at_the_next_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

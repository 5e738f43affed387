/* Git's history is the truth: what a console that died did not write after a commit, its next start writes.
 */
#include "test/base/scratch.h"

#include "base/log.h"
#include "console/audit.h"
#include "console/data.h"
#include "console/delivery/release.h"

#include <stdio.h>
#include <string.h>

#define FIRST "demo/detector@1.0.0"

struct store {
    struct scratch scratch;
    struct data data;
};

static void store_end(struct store *store)
{
    data_close(&store->data);
    scratch_remove(&store->scratch);
}

static void store_make(struct store *store)
{
    struct error err;
    char path[96];

    scratch_make(&store->scratch);
    snprintf(path, sizeof(path), "%s/data", store->scratch.path);
    assert_ok(data_open(&store->data, path, true, &err), err);
    assert_ok(data_open_repo(&store->data, &err), err);
}
#define STORE(name)                                                                                          \
    __attribute__((cleanup(store_end))) struct store name = {.data = {.dirfd = -1, .lock = -1}};             \
    store_make(&name)

/* As far as a console comes that is killed right after the commit. */
static void publish_only(struct store *store, const char *asset, const char *version, const char *title)
{
    struct manifest_file file = {.path = "model.bin", .mode = 0644, .length = (int64_t)strlen(version)};
    struct publication publication = {.author = "ada", .title = title};
    struct manifest *manifest = &publication.manifest;
    struct published published;
    struct error err;

    assert_ok(object_put(store->data.repo, version, strlen(version), file.sha256, &err), err);
    strcpy(manifest->product, "demo");
    strcpy(manifest->asset, asset);
    strcpy(manifest->version, version);
    manifest->kind = KIND_DATA;
    manifest->files = &file;
    manifest->file_count = 1;
    assert_ok(repo_publish(store->data.repo, &publication, &published, &err), err);
    assert_false(published.already);
}

static void commit_release(struct store *store, const char *author, const char *reason)
{
    struct error err;

    assert_ok(repo_resign(store->data.repo, "demo", author, reason, &err), err);
}

static void change(struct store *store, const char *sql)
{
    struct error err;
    struct db_conn *conn = db_write(store->data.db, &err);

    assert_ok(conn, err);
    assert_ok(db_run(db_query(conn, sql), NULL, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

static size_t audit_catch_up(struct store *store)
{
    struct error err;
    size_t added = 999;
    struct db_conn *conn = db_write(store->data.db, &err);

    assert_ok(conn, err);
    assert_ok(audit_history_all(conn, &added, &err), err);
    assert_ok(db_commit(conn, &err), err);
    return added;
}

static void releases_catch_up(struct store *store)
{
    struct error err;
    struct db_conn *conn = db_write(store->data.db, &err);

    assert_ok(conn, err);
    assert_ok(release_recover(conn, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

static void a_publication_without_its_audit_row_gets_it_once(void **state)
{
    struct audit_row *rows;
    size_t count;
    int64_t seen;
    struct error err;

    (void)state;
    ARENA(arena);
    STORE(store);
    publish_only(&store, "detector", "1.0.0", "the first");
    publish_only(&store, "labels", "2.0.0", NULL);
    publish_only(&store, "detector", "1.1.0", NULL);
    assert_int_equal(audit_catch_up(&store), 3);
    assert_int_equal(audit_catch_up(&store), 0);
    publish_only(&store, "detector", "1.2.0", NULL);
    assert_int_equal(audit_catch_up(&store), 1);

    DB_DONE(conn) = db_read(store.data.db, &err);
    assert_ok(audit_rows(conn, &arena, 0, 10, &rows, &count, &err), err);
    assert_int_equal(count, 4);
    assert_string_equal(rows[3].object, FIRST);
    assert_string_equal(rows[3].operator_name, "ada");
    assert_string_equal(rows[3].action, "publish");
    assert_memory_equal(rows[3].detail, "commit ", 7);
    assert_string_equal(rows[3].detail + 19, ": the first");
    assert_string_equal(rows[0].object, "demo/detector@1.2.0");
    assert_ok(audit_verify(conn, &seen, &err), err);
    assert_int_equal(seen, 4);
}

static void the_same_release_again_and_again_has_a_row_for_each_commit(void **state)
{
    struct audit_row *rows;
    size_t count;
    struct error err;

    (void)state;
    ARENA(arena);
    STORE(store);
    publish_only(&store, "detector", "1.0.0", NULL);
    publish_only(&store, "detector", "1.1.0", NULL);
    commit_release(&store, "ada", "release detector 1.0.0");
    commit_release(&store, "bob", "release detector 1.1.0");
    assert_int_equal(audit_catch_up(&store), 4);
    commit_release(&store, "eve", "release detector 1.0.0");
    assert_int_equal(audit_catch_up(&store), 1);
    assert_int_equal(audit_catch_up(&store), 0);

    DB_DONE(conn) = db_read(store.data.db, &err);
    assert_ok(audit_rows(conn, &arena, 0, 10, &rows, &count, &err), err);
    assert_int_equal(count, 5);
    assert_string_equal(rows[0].action, "release");
    assert_string_equal(rows[0].object, FIRST);
    assert_string_equal(rows[0].operator_name, "eve");
    assert_string_equal(rows[0].detail + 19, ", before: 1.1.0");
    assert_string_equal(rows[2].object, FIRST);
    assert_string_not_equal(rows[0].detail, rows[2].detail);
}

static void the_index_made_anew_adds_no_rows(void **state)
{
    struct error err;

    (void)state;
    STORE(store);
    publish_only(&store, "detector", "1.0.0", NULL);
    commit_release(&store, "ada", "release detector 1.0.0");
    assert_int_equal(audit_catch_up(&store), 2);
    assert_ok(repo_reindex(store.data.repo, &err), err);
    assert_int_equal(audit_catch_up(&store), 0);
}

static void assert_released(struct store *store, const char *version)
{
    struct error err;
    ARENA(arena);
    DB_DONE(conn) = db_read(store->data.db, &err);
    const char *now = release_version(conn, &arena, "demo", "detector", &err);

    assert_int_equal(err.kind, ERROR_NONE);
    if (version)
        assert_string_equal(now, version);
    else
        assert_null(now);
}

static void assert_settled_by(struct store *store, const char *author)
{
    struct error err;
    DB_DONE(conn) = db_read(store->data.db, &err);
    struct db_query *query =
        db_query(conn, "SELECT 1 FROM release WHERE hardware = '[]' AND released_by = :author"
                       " AND released_at IS NOT NULL AND next_version IS NULL");

    db_bind_text(query, ":author", author);
    assert_true(db_step(query));
    assert_ok(db_end(query, &err), err);
}

static void a_release_that_was_cut_off_counts_when_git_has_it(void **state)
{
    (void)state;
    STORE(store);
    publish_only(&store, "detector", "1.0.0", NULL);
    publish_only(&store, "detector", "1.1.0", NULL);
    /* announced, not committed: it never was */
    change(&store, "INSERT INTO release (product, asset, next_version, hardware)"
                   " VALUES ('demo', 'detector', '1.0.0', '[\"rev-z\"]')");
    releases_catch_up(&store);
    assert_released(&store, NULL);
    /* announced and committed: it counts, with the version's own hardware */
    change(&store, "INSERT INTO release (product, asset, next_version, hardware)"
                   " VALUES ('demo', 'detector', '1.0.0', '[\"rev-z\"]')");
    commit_release(&store, "ada", "release detector 1.0.0");
    releases_catch_up(&store);
    assert_released(&store, "1.0.0");
    assert_settled_by(&store, "ada");
    /* the next one announced only: the one before stays */
    change(&store, "UPDATE release SET next_version = '1.1.0'");
    releases_catch_up(&store);
    assert_released(&store, "1.0.0");
    assert_settled_by(&store, "ada");
    change(&store, "UPDATE release SET next_version = '1.1.0'");
    commit_release(&store, "bob", "release detector 1.1.0");
    releases_catch_up(&store);
    assert_released(&store, "1.1.0");
    assert_settled_by(&store, "bob");
}

static void a_release_of_a_listed_version_is_a_commit_of_its_own(void **state)
{
    struct history_row *history;
    size_t count;
    struct error err;

    (void)state;
    ARENA(arena);
    STORE(store);
    publish_only(&store, "detector", "1.0.0", NULL);
    commit_release(&store, "ada", "release detector 1.0.0");
    commit_release(&store, "ada", "demo/detector: campaign 7 with 1.0.0"); /* lists nothing new: no commit */
    commit_release(&store, "bob", "release demo/detector 1.0.0");
    DB_DONE(conn) = db_read(store.data.db, &err);
    assert_ok(repo_history(conn, &arena, "demo", "detector", &history, &count, &err), err);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(history[i].what, "release");
        assert_string_equal(history[i].version, "1.0.0");
    }
    assert_string_equal(history[0].author, "bob");
    assert_string_not_equal(history[0].commit, history[1].commit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publication_without_its_audit_row_gets_it_once),
        cmocka_unit_test(the_same_release_again_and_again_has_a_row_for_each_commit),
        cmocka_unit_test(the_index_made_anew_adds_no_rows),
        cmocka_unit_test(a_release_that_was_cut_off_counts_when_git_has_it),
        cmocka_unit_test(a_release_of_a_listed_version_is_a_commit_of_its_own),
    };

    log_level = LOG_ERROR;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

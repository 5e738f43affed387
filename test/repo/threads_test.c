/* Many threads with the small stacks of the web server's publish, read and check at once. */
#include "test/repo/fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define ROUNDS 6
/* The web server gives its threads 100 KiB; the sanitizers need more for themselves. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK (1 << 20)
#else
#define STACK (100 << 10)
#endif

struct worker {
    struct fixture *fixture;
    int number;
    pthread_t thread;
    char failed[600];
};

static atomic_bool stop;

static bool note(struct worker *worker, bool good, const struct error *err)
{
    if (!good)
        snprintf(worker->failed, sizeof worker->failed, "%s", err->text);
    return good;
}

static void *publisher(void *context)
{
    struct worker *worker = context;
    for (int i = 0; i < ROUNDS; i++) {
        struct error err = {0};
        struct published published;
        char asset[32], version[32], text[64];
        snprintf(asset, sizeof asset, "asset-%d", worker->number % 2);
        snprintf(version, sizeof version, "1.%d.%d", worker->number, i);
        snprintf(text, sizeof text, "%s %s", asset, version);
        if (!note(worker, publish_text(worker->fixture, asset, version, text, &published, &err), &err))
            break;
    }
    return NULL;
}

static void ignore(void *context, bool good, const char *line)
{
    struct worker *worker = context;
    if (!good)
        snprintf(worker->failed, sizeof worker->failed, "%s", line);
}

static bool read_all(struct worker *worker, struct error *err)
{
    ARENA(arena);
    TEXT(out);
    char *bytes;
    size_t size, count;
    struct asset_row *assets;
    struct version_row *versions;
    DB_DONE(conn) = db_read(worker->fixture->db, err);
    if (!conn || !repo_metadata(worker->fixture->repo, &arena, "timestamp.json", &bytes, &size, err) ||
        !repo_assets(conn, &arena, "demo", &assets, &count, err))
        return false;
    if (count == 0 || !repo_versions(conn, &arena, "demo", assets[0].name, &versions, &count, err))
        return count == 0;
    return repo_difference(worker->fixture->repo, conn, "demo", assets[0].name, versions[count - 1].version,
                           versions[0].version, &out, err);
}

static void *reader(void *context)
{
    struct worker *worker = context;
    while (!atomic_load(&stop)) {
        struct error err = {0};
        if (!note(worker, read_all(worker, &err), &err))
            break;
    }
    return NULL;
}

static void start(struct worker *worker, struct fixture *fixture, int number, void *(*run)(void *))
{
    pthread_attr_t attributes;
    *worker = (struct worker){.fixture = fixture, .number = number};
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    assert_int_equal(pthread_create(&worker->thread, &attributes, run, worker), 0);
    pthread_attr_destroy(&attributes);
}

static void publications_from_many_threads_all_arrive(void **state)
{
    struct fixture *fixture = *state;
    struct worker publishers[THREADS], readers[2], checker = {.fixture = fixture};
    struct error err = {0};
    ARENA(arena);
    struct asset_row *assets;
    size_t count;
    for (int i = 0; i < 2; i++)
        start(&readers[i], fixture, i, reader);
    for (int i = 0; i < THREADS; i++)
        start(&publishers[i], fixture, i, publisher);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(publishers[i].thread, NULL);
        assert_string_equal(publishers[i].failed, "");
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_string_equal(readers[i].failed, "");
    }
    if (!repo_verify(fixture->repo, ignore, &checker, &err))
        fail_msg("%s", checker.failed);
    DB_DONE(conn) = db_read(fixture->db, &err);
    must(repo_assets(conn, &arena, NULL, &assets, &count, &err));
    assert_int_equal(count, 2);
    assert_int_equal(assets[0].versions + assets[1].versions, THREADS * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(publications_from_many_threads_all_arrive, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

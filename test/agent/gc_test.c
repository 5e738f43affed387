#include "agent/gc.h"

#include "agent/state.h"
#include "base/file.h"
#include "base/log.h"
#include "test/agent/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Makes versions 1.0.0 … 1.<n-1>.0 of detector, each used a second after the one before, and the set
 * `generation` of the last. */
static struct member many(struct disk *disk, int n, int64_t generation)
{
    struct member member = {0};
    struct error err = {0};

    for (int i = 0; i < n; i++) {
        struct timespec times[2] = {{.tv_sec = 1000000 + i}, {.tv_sec = 1000000 + i}};
        char version[16], content[16], path[64];
        snprintf(version, sizeof(version), "1.%d.0", i);
        snprintf(content, sizeof(content), "model %d\n", i);
        member = disk_install(disk, "detector", version, content);
        snprintf(path, sizeof(path), STATE_VERSIONS "/detector/%s", version);
        assert_int_equal(utimensat(disk->fd, path, times, 0), 0);
        struct set set = disk_set(disk, i + 1, &member, 1);
        if (i + 1 <= generation)
            assert_ok(set_build(disk->fd, &set, &err), err);
    }
    assert_ok(set_flip(disk->fd, generation, &err), err);
    return member;
}

static bool has_version(struct disk *disk, int i)
{
    char path[64];

    snprintf(path, sizeof(path), STATE_VERSIONS "/detector/1.%d.0/model.bin", i);
    return disk_has(disk, path);
}

static void the_newest_versions_stay_and_the_objects_of_the_others_go(void **state)
{
    (void)state;
    DISK(disk);
    many(&disk, 6, 6);
    struct floors floors = {0};
    struct gc gc = {.floors = &floors, .state_fd = disk.fd, .current = 6, .versions_keep = 3};
    assert_int_equal(disk_count(&disk, STATE_OBJECTS), 7); /* six models and one tool */

    gc_run(&gc);
    for (int i = 0; i < 6; i++)
        assert_int_equal(has_version(&disk, i), i >= 3);
    assert_int_equal(disk_count(&disk, STATE_OBJECTS), 4);
    assert_int_equal(disk_count(&disk, STATE_MANIFESTS), 6); /* a manifest and a record each */
    assert_string_equal(disk_model(&disk, "detector"), "model 5\n");
}

static void the_set_before_stays_and_older_sets_go(void **state)
{
    (void)state;
    DISK(disk);
    many(&disk, 5, 5);
    struct floors floors = {0};
    struct gc gc = {.floors = &floors, .state_fd = disk.fd, .current = 5, .versions_keep = 1};

    gc_run(&gc);
    assert_true(disk_has(&disk, STATE_SETS "/5"));
    assert_true(disk_has(&disk, STATE_SETS "/4"));
    assert_false(disk_has(&disk, STATE_SETS "/3"));
    assert_false(disk_has(&disk, STATE_SETS "/3.json"));
    assert_true(has_version(&disk, 4) && has_version(&disk, 3)); /* of the set before, beyond versions.keep */
    assert_false(has_version(&disk, 2));
}

static void as_many_different_sets_stay_as_versions_and_the_factorys_for_ever(void **state)
{
    (void)state;
    DISK(disk);
    many(&disk, 8, 8);
    struct floors floors = {.factory = 1};
    struct gc gc = {.floors = &floors, .state_fd = disk.fd, .current = 8, .versions_keep = 3};

    gc_run(&gc);
    for (int i = 1; i <= 8; i++) {
        char path[32];
        snprintf(path, sizeof(path), STATE_SETS "/%d.json", i);
        assert_int_equal(disk_has(&disk, path), i == 1 || i > 5);
        assert_int_equal(has_version(&disk, i - 1), i == 1 || i > 5);
    }
}

static void a_set_that_failed_or_is_below_a_counter_is_not_kept(void **state)
{
    (void)state;
    DISK(disk);
    many(&disk, 5, 5);
    struct floors floors = {0};
    struct set set;
    struct error err = {0};
    struct gc gc = {.floors = &floors, .state_fd = disk.fd, .current = 5, .versions_keep = 5};

    assert_ok(set_load(&disk.arena, disk.fd, 3, &set, &err), err);
    floors_mark_bad(&floors, set.digest, "the app said no");
    gc_run(&gc);
    assert_true(disk_has(&disk, STATE_SETS "/4") && disk_has(&disk, STATE_SETS "/2"));
    assert_false(disk_has(&disk, STATE_SETS "/3"));
    floors_raise(&floors, "detector", 1); /* all of them have 0 */
    gc_run(&gc);
    assert_true(disk_has(&disk, STATE_SETS "/5"));
    assert_false(disk_has(&disk, STATE_SETS "/4") || disk_has(&disk, STATE_SETS "/2"));
    floors_end(&floors);
}

static void what_an_unfinished_fetch_left_stays_as_long_as_it_is_wished_for(void **state)
{
    (void)state;
    DISK(disk);
    struct manifest manifest;
    struct error err = {0};
    char part[96];

    many(&disk, 1, 1);
    struct member fetched = disk_fetch(&disk, "labels", "2.0.0", "half fetched\n", &manifest);
    snprintf(part, sizeof(part), STATE_OBJECTS "/%s.part", manifest.files[1].sha256);
    assert_ok(file_write(disk.fd, part, "half", 4, 0600, &err), err);
    struct wish_version version = {.entry = fetched.entry};
    struct wish wish = {.set = &version, .set_count = 1};
    struct floors floors = {0};
    struct gc gc = {.floors = &floors, .state_fd = disk.fd, .current = 1, .versions_keep = 3, .wish = &wish};

    gc_run(&gc);
    assert_true(disk_has(&disk, part));
    int before = disk_count(&disk, STATE_OBJECTS);
    gc.wish = NULL;
    gc_run(&gc);
    assert_false(disk_has(&disk, part));
    assert_true(disk_count(&disk, STATE_OBJECTS) < before);
    assert_string_equal(disk_model(&disk, "detector"), "model 0\n");
}

static void without_knowing_what_is_in_use_nothing_goes(void **state)
{
    (void)state;
    DISK(disk);
    struct error err = {0};

    many(&disk, 5, 5);
    assert_ok(file_write(disk.fd, STATE_SETS "/5.json", "{", 1, 0600, &err), err);
    struct floors floors = {0};
    struct gc gc = {.floors = &floors, .state_fd = disk.fd, .current = 5, .versions_keep = 1};
    gc_run(&gc);
    assert_true(has_version(&disk, 0));
    assert_int_equal(disk_count(&disk, STATE_OBJECTS), 6);
}

static void half_written_files_of_a_killed_agent_go_at_the_next_start(void **state)
{
    (void)state;
    DISK(disk);
    struct error err = {0};

    assert_ok(file_write(disk.fd, ".tmp-0123", "x", 1, 0600, &err), err);
    assert_ok(file_write(disk.fd, STATE_MANIFESTS "/.tmp-4567", "x", 1, 0600, &err), err);
    gc_leftovers(disk.fd);
    assert_false(disk_has(&disk, ".tmp-0123"));
    assert_false(disk_has(&disk, STATE_MANIFESTS "/.tmp-4567"));
    assert_true(disk_has(&disk, STATE_CURRENT));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_versions_stay_and_the_objects_of_the_others_go),
        cmocka_unit_test(the_set_before_stays_and_older_sets_go),
        cmocka_unit_test(as_many_different_sets_stay_as_versions_and_the_factorys_for_ever),
        cmocka_unit_test(a_set_that_failed_or_is_below_a_counter_is_not_kept),
        cmocka_unit_test(what_an_unfinished_fetch_left_stays_as_long_as_it_is_wished_for),
        cmocka_unit_test(without_knowing_what_is_in_use_nothing_goes),
        cmocka_unit_test(half_written_files_of_a_killed_agent_go_at_the_next_start),
    };

    log_level = LOG_ERROR;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Sets that must not run: damaged on the disk, or of versions that do not fit together. */
#include "agent/set_check.h"

#include "agent/state.h"
#include "base/file.h"
#include "test/agent/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODEL STATE_VERSIONS "/detector/1.0.0/model.bin"

static struct set one(struct disk *disk, struct member *member)
{
    struct error err = {0};

    *member = disk_install(disk, "detector", "1.0.0", "model 1\n");
    struct set set = disk_set(disk, 1, member, 1);
    assert_ok(set_build(disk->fd, &set, &err), err);
    return set;
}

/* Bytes that stand in a file, as a failing disk changes them: the object has the same. */
static void overwrite(struct disk *disk, const char *path, const char *bytes)
{
    assert_int_equal(fchmodat(disk->fd, path, 0644, 0), 0);
    int fd = openat(disk->fd, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
    close(fd);
}

static void a_whole_set_is_whole(void **state)
{
    (void)state;
    DISK(disk);
    struct member member;
    struct set set = one(&disk, &member);
    char why[CHECK_WHY];

    assert_true(set_is_whole(disk.fd, &set, CHECK_BYTES, why));
    assert_true(version_is_installed(disk.fd, &member.entry));
}

static void a_damaged_version_goes_with_the_damaged_object_and_no_other(void **state)
{
    (void)state;
    static const char *const wrong[] = {"short", "modeL 1\n"};
    char why[CHECK_WHY];

    for (size_t i = 0; i < 2; i++) {
        DISK(disk);
        struct member member;
        struct set set = one(&disk, &member);
        int objects = disk_count(&disk, STATE_OBJECTS);

        overwrite(&disk, MODEL, wrong[i]);
        assert_false(set_is_whole(disk.fd, &set, CHECK_BYTES, why));
        assert_string_equal(why, "a file of detector 1.0.0 is damaged or missing");
        assert_false(version_is_installed(disk.fd, &member.entry));
        assert_int_equal(disk_count(&disk, STATE_OBJECTS), objects - 1);
    }
}

static void beyond_the_bytes_that_are_hashed_the_length_decides(void **state)
{
    (void)state;
    DISK(disk);
    struct member member;
    struct set set = one(&disk, &member);
    char why[CHECK_WHY];

    overwrite(&disk, MODEL, "modeL 1\n");
    assert_true(set_is_whole(disk.fd, &set, 4, why));
    overwrite(&disk, MODEL, "model\n");
    assert_false(set_is_whole(disk.fd, &set, 4, why));
}

static void a_lost_link_folder_or_manifest_is_seen(void **state)
{
    (void)state;
    char why[CHECK_WHY];
    struct member member;

    for (int i = 0; i < 3; i++) {
        DISK(disk);
        struct set set = one(&disk, &member);
        struct error err = {0};
        const char *path = i == 0   ? STATE_SETS "/1/detector"
                           : i == 1 ? STATE_VERSIONS "/detector"
                                    : arena_printf(&disk.arena, STATE_MANIFESTS "/%s", member.entry.manifest);
        assert_ok(tree_remove(disk.fd, path, &err), err);
        assert_false(set_is_whole(disk.fd, &set, CHECK_BYTES, why));
        assert_true(strlen(why) > 0);
    }
}

static void versions_that_do_not_fit_together_are_named(void **state)
{
    (void)state;
    DISK(disk);
    char why[CHECK_WHY];

    disk.requires = "{\"runtime\":\">=2.0.0\"}";
    struct member members[2] = {disk_install(&disk, "detector", "1.0.0", "model 1\n")};
    disk.requires = NULL;
    struct set alone = disk_set(&disk, 1, members, 1);
    assert_false(set_fits(disk.fd, &alone, why));
    assert_string_equal(why, "detector 1.0.0 requires runtime >=2.0.0, and this set has none");
    members[1] = disk_install(&disk, "runtime", "1.9.0", "runtime\n");
    struct set old = disk_set(&disk, 1, members, 2);
    assert_false(set_fits(disk.fd, &old, why));
    assert_string_equal(why, "detector 1.0.0 requires runtime >=2.0.0, and this set has 1.9.0");
    members[1] = disk_install(&disk, "runtime", "2.1.0", "runtime\n");
    struct set good = disk_set(&disk, 1, members, 2);
    assert_true(set_fits(disk.fd, &good, why));
}

static void a_set_below_a_counter_is_not_allowed(void **state)
{
    (void)state;
    DISK(disk);
    struct member member = disk_install(&disk, "detector", "1.0.0", "model 1\n");
    struct floors floors = {0};
    char why[CHECK_WHY];

    member.counter = 2;
    struct set set = disk_set(&disk, 1, &member, 1);
    floors_raise(&floors, "detector", 2);
    assert_true(set_is_allowed(&floors, &set, why));
    floors_raise(&floors, "detector", 3);
    assert_false(set_is_allowed(&floors, &set, why));
    floors_end(&floors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_set_is_whole),
        cmocka_unit_test(a_damaged_version_goes_with_the_damaged_object_and_no_other),
        cmocka_unit_test(beyond_the_bytes_that_are_hashed_the_length_decides),
        cmocka_unit_test(a_lost_link_folder_or_manifest_is_seen),
        cmocka_unit_test(versions_that_do_not_fit_together_are_named),
        cmocka_unit_test(a_set_below_a_counter_is_not_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

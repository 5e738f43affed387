#include "agent/set.h"

#include "agent/state.h"
#include "base/file.h"
#include "test/agent/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_fresh_state_folder_leads_to_the_empty_set(void **state)
{
    (void)state;
    DISK(disk);
    struct error err = {0};
    struct set set;
    char nothing[SHA256_HEX];

    assert_int_equal(set_current(disk.fd, &err), 0);
    assert_ok(set_load(&disk.arena, disk.fd, 0, &set, &err), err);
    assert_int_equal(set.count, 0);
    sha256_hex("[]", 2, nothing);
    assert_string_equal(set.digest, nothing);
    assert_ok(set_prepare(disk.fd, &err), err); /* a second time changes nothing */
}

static void a_version_is_hard_links_of_objects_with_the_rights_of_each(void **state)
{
    (void)state;
    DISK(disk);
    struct member member = disk_install(&disk, "detector", "1.0.0", "model\n");
    struct stat model, tool, object;
    char path[96];
    char sha256[SHA256_HEX];

    assert_true(version_is_installed(disk.fd, &member.entry));
    sha256_hex("model\n", 6, sha256);
    snprintf(path, sizeof(path), STATE_OBJECTS "/%s", sha256);
    assert_int_equal(fstatat(disk.fd, path, &object, 0), 0);
    assert_int_equal(fstatat(disk.fd, STATE_VERSIONS "/detector/1.0.0/model.bin", &model, 0), 0);
    assert_int_equal(fstatat(disk.fd, STATE_VERSIONS "/detector/1.0.0/bin/tool", &tool, 0), 0);
    assert_int_equal(model.st_ino, object.st_ino);
    assert_int_equal(model.st_mode & 07777, 0444);
    assert_int_equal(tool.st_mode & 07777, 0555);
}

static void a_version_counts_as_installed_only_when_all_of_it_is_there(void **state)
{
    (void)state;
    int refused = 0;

    for (int n = 1;; n++) {
        DISK(disk);
        struct manifest manifest;
        struct error err = {0};
        struct member member = disk_fetch(&disk, "detector", "1.0.0", "model\n", &manifest);
        file_fault(n, EIO);
        bool built = version_build(disk.fd, &manifest, member.entry.manifest, &err);
        int steps = file_fault_steps();
        file_fault(0, 0);
        if (version_is_installed(disk.fd, &member.entry)) {
            assert_true(disk_has(&disk, STATE_VERSIONS "/detector/1.0.0/model.bin"));
            assert_true(disk_has(&disk, STATE_VERSIONS "/detector/1.0.0/bin/tool"));
        } else {
            refused++;
            assert_false(built);
            err = (struct error){0}; /* a second attempt mends it */
            assert_ok(version_build(disk.fd, &manifest, member.entry.manifest, &err), err);
            assert_true(version_is_installed(disk.fd, &member.entry));
        }
        if (steps < n)
            break;
        assert_true(n < 100);
    }
    assert_true(refused > 5);
}

static void another_manifest_under_the_same_number_is_not_the_installed_one(void **state)
{
    (void)state;
    DISK(disk);
    struct member member = disk_install(&disk, "detector", "1.0.0", "model\n");

    memset(member.entry.manifest, 'a', SHA256_HEX - 1);
    assert_false(version_is_installed(disk.fd, &member.entry));
}

static void a_set_is_read_back_as_it_was_built_and_current_leads_into_it(void **state)
{
    (void)state;
    DISK(disk);
    struct error err = {0};
    struct member members[] = {disk_install(&disk, "labels", "2.0.0", "labels\n"),
                               disk_install(&disk, "detector", "1.0.0", "model\n")};
    members[0].counter = 4;
    members[1].restart = true;
    struct set set = disk_set(&disk, 7, members, 2), back;

    assert_ok(set_build(disk.fd, &set, &err), err);
    assert_ok(set_build(disk.fd, &set, &err), err); /* over what an attempt before left */
    assert_ok(set_flip(disk.fd, 7, &err), err);
    assert_int_equal(set_current(disk.fd, &err), 7);
    assert_ok(set_load(&disk.arena, disk.fd, 7, &back, &err), err);
    assert_string_equal(back.digest, set.digest);
    assert_string_equal(back.members[0].entry.asset, "detector"); /* sorted */
    assert_true(back.members[0].restart);
    assert_int_equal(set_find(&back, "labels")->counter, 4);
    assert_null(set_find(&back, "nothing"));
    assert_string_equal(disk_model(&disk, "labels"), "labels\n");
}

static void a_link_that_leads_elsewhere_is_no_set(void **state)
{
    (void)state;
    static const char *const elsewhere[] = {"/etc", "sets/../..", "sets/", "sets/1x", "sets/-1"};
    DISK(disk);

    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
        struct error err = {0};
        unlinkat(disk.fd, STATE_CURRENT, 0);
        assert_int_equal(symlinkat(elsewhere[i], disk.fd, STATE_CURRENT), 0);
        assert_int_equal(set_current(disk.fd, &err), -1);
        assert_int_equal(err.kind, ERROR_SYSTEM);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_state_folder_leads_to_the_empty_set),
        cmocka_unit_test(a_version_is_hard_links_of_objects_with_the_rights_of_each),
        cmocka_unit_test(a_version_counts_as_installed_only_when_all_of_it_is_there),
        cmocka_unit_test(another_manifest_under_the_same_number_is_not_the_installed_one),
        cmocka_unit_test(a_set_is_read_back_as_it_was_built_and_current_leads_into_it),
        cmocka_unit_test(a_link_that_leads_elsewhere_is_no_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

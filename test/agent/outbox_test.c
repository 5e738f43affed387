#include "agent/outbox.h"

#include "agent/state.h"
#include "base/file.h"
#include "base/log.h"
#include "test/agent/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool add(struct outbox *outbox, const char *id, int64_t pid, struct error *err)
{
    TEXT(out);
    struct json_writer writer;

    report_begin(&writer, &out, id, "app");
    json_write_integer(&writer, "pid", pid);
    return outbox_add(outbox, &writer, id, err);
}

static void a_report_lies_on_the_disk_and_survives_a_restart(void **state)
{
    (void)state;
    DISK(disk);
    struct outbox outbox, again;
    struct error err = {0};
    char id[REPORT_ID_SIZE];

    assert_ok(outbox_open(&outbox, disk.fd, &err), err);
    report_id_make(id);
    assert_ok(add(&outbox, id, 42, &err), err);
    outbox_close(&outbox);
    assert_ok(outbox_open(&again, disk.fd, &err), err);
    assert_int_equal(again.count, 1);
    assert_int_equal(again.next, outbox.next);
    const struct json *report = disk_report(&disk, id);
    assert_string_equal(json_string(report, "id"), id);
    assert_string_equal(json_string(report, "type"), "app");
    assert_int_equal(json_integer(report, "pid", 0), 42);
    outbox_close(&again);
}

static void the_same_id_twice_is_one_report(void **state)
{
    (void)state;
    DISK(disk);
    struct outbox outbox;
    struct error err = {0};
    char id[REPORT_ID_SIZE];

    assert_ok(outbox_open(&outbox, disk.fd, &err), err);
    report_id_make(id);
    assert_ok(add(&outbox, id, 1, &err), err);
    assert_ok(add(&outbox, id, 2, &err), err);
    assert_int_equal(disk_count(&disk, STATE_OUTBOX), 1);
    assert_int_equal(json_integer(disk_report(&disk, id), "pid", 0), 1);
    outbox_close(&outbox);
}

static void a_report_is_there_whole_or_the_failure_is_said(void **state)
{
    (void)state;
    int failures = 0;

    for (int n = 1;; n++) {
        DISK(disk);
        struct outbox outbox;
        struct error err = {0};
        char id[REPORT_ID_SIZE];
        assert_ok(outbox_open(&outbox, disk.fd, &err), err);
        report_id_make(id);
        file_fault(n, ENOSPC);
        bool added = add(&outbox, id, 7, &err);
        int steps = file_fault_steps();
        file_fault(0, 0);
        failures += !added;
        const struct json *report = disk_report(&disk, id);
        assert_true(!added || json_integer(report, "pid", 0) == 7);
        outbox_close(&outbox);
        if (steps < n)
            break;
    }
    assert_true(failures >= 4);
}

static void a_console_that_is_away_for_long_does_not_fill_the_disk(void **state)
{
    (void)state;
    DISK(disk);
    struct outbox outbox;
    struct error err = {0};
    char first[REPORT_ID_SIZE], id[REPORT_ID_SIZE];

    log_level = LOG_ERROR;
    assert_ok(outbox_open(&outbox, disk.fd, &err), err);
    report_id_make(first);
    assert_ok(add(&outbox, first, 0, &err), err);
    /* The rest is put there by hand: adding syncs each. */
    for (int i = 1; i < OUTBOX_MOST; i++) {
        char name[80];
        report_id_make(id);
        snprintf(name, sizeof(name), "%016d-%s.json", i + 1, id);
        FD(fd) = file_open_beneath(outbox.fd, name, O_WRONLY | O_CREAT, 0600, &err);
        assert_true(fd >= 0);
    }
    outbox_close(&outbox);
    assert_ok(outbox_open(&outbox, disk.fd, &err), err);
    report_id_make(id);
    assert_ok(add(&outbox, id, 9, &err), err);
    assert_int_equal(disk_count(&disk, STATE_OUTBOX), OUTBOX_MOST);
    assert_null(disk_report(&disk, first));
    assert_non_null(disk_report(&disk, id));
    outbox_close(&outbox);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_lies_on_the_disk_and_survives_a_restart),
        cmocka_unit_test(the_same_id_twice_is_one_report),
        cmocka_unit_test(a_report_is_there_whole_or_the_failure_is_said),
        cmocka_unit_test(a_console_that_is_away_for_long_does_not_fill_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

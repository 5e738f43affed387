/* Swaps that are failed and killed at each of their durable steps: whatever happens, one whole set runs, and
 * which one is known. */
#include "agent/swap.h"

#include "agent/protocol.h"
#include "agent/state.h"
#include "base/file.h"
#include "base/log.h"
#include "test/agent/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A device without an app, at a committed first generation of detector 1.0.0. */
struct device {
    struct disk disk;
    struct agent_settings settings;
    struct floors floors;
    struct channel channel;
    struct outbox outbox;
    struct swap swap;
    struct set from, to;
};

static void device_open(struct device *device)
{
    struct error err = {0};

    assert_ok(floors_load(&device->floors, device->disk.fd, &err), err);
    assert_ok(outbox_open(&device->outbox, device->disk.fd, &err), err);
    channel_init(&device->channel, device->disk.fd, device->disk.path, NULL, &device->settings, true);
    device->swap = (struct swap){.state_fd = device->disk.fd,
                                 .state = device->disk.path,
                                 .settings = &device->settings,
                                 .floors = &device->floors,
                                 .channel = &device->channel,
                                 .outbox = &device->outbox};
}

static void device_close(struct device *device)
{
    floors_end(&device->floors);
    outbox_close(&device->outbox);
}

static void device_make(struct device *device)
{
    char reason[JOURNAL_REASON];
    struct error err = {0};

    memset(device, 0, sizeof(*device));
    disk_make(&device->disk);
    device_open(device);
    struct member old = disk_install(&device->disk, "detector", "1.0.0", "old\n");
    old.counter = 3;
    struct set nothing = {0};
    set_seal(&device->disk.arena, &nothing);
    device->from = disk_set(&device->disk, 1, &old, 1);
    if (swap_run(&device->swap, &nothing, &device->from, 0, 0, reason, &err) != SWAP_COMMITTED)
        fail_msg("%s", err.text);
    struct member next[] = {disk_install(&device->disk, "detector", "1.1.0", "new\n"),
                            disk_install(&device->disk, "labels", "2.0.0", "new\n")};
    next[0].counter = 5;
    device->to = disk_set(&device->disk, 2, next, 2);
}

static void device_remove(struct device *device)
{
    device_close(device);
    disk_remove(&device->disk);
}

/* After everything was finished: one of the two sets, whole, committed, no swap open. */
static bool check_settled(struct device *device)
{
    struct error err = {0};
    int64_t current = set_current(device->disk.fd, &err);
    bool is_new = current == device->to.generation;

    assert_true(is_new || current == device->from.generation);
    assert_string_equal(disk_model(&device->disk, "detector"), is_new ? "new\n" : "old\n");
    assert_int_equal(disk_model(&device->disk, "labels") != NULL, is_new);
    assert_false(disk_has(&device->disk, STATE_JOURNAL));
    assert_int_equal(device->floors.generation, current);
    assert_int_equal(floors_counter(&device->floors, "detector"), is_new ? 5 : 3);
    assert_int_equal(disk_count(&device->disk, STATE_OUTBOX), is_new ? 2 : 1);
    const struct json *report = disk_report(&device->disk, NULL);
    assert_int_equal(json_integer(report, "bytes", -1), is_new ? 8 : 0);
    assert_int_equal(json_integer(report, "whole", -1), is_new ? 80 : 0);
    return is_new;
}

static void a_swap_flips_commits_and_reports_once(void **state)
{
    (void)state;
    struct device device;
    char reason[JOURNAL_REASON];
    struct error err = {0};

    device_make(&device);
    assert_int_equal(swap_run(&device.swap, &device.from, &device.to, 8, 80, reason, &err), SWAP_COMMITTED);
    assert_true(check_settled(&device));
    assert_int_equal(swap_recover(&device.swap, reason, &err), SWAP_COMMITTED);
    assert_true(check_settled(&device));
    device_remove(&device);
}

/* As after a restart of the agent: all that counts is on the disk. */
static void recover(struct device *device)
{
    char reason[JOURNAL_REASON];
    struct error err = {0};

    device_close(device);
    device_open(device);
    if (swap_recover(&device->swap, reason, &err) != SWAP_COMMITTED)
        fail_msg("%s", err.text);
    /* What the wish still asks for is tried again. */
    if (set_current(device->disk.fd, &err) == device->from.generation) {
        check_settled(device);
        if (swap_run(&device->swap, &device->from, &device->to, 8, 80, reason, &err) != SWAP_COMMITTED)
            fail_msg("%s", err.text);
    }
    assert_true(check_settled(device));
}

static void fail_each_step(int number)
{
    int kept_old = 0, kept_new = 0;

    for (int n = 1;; n++) {
        struct device device;
        char reason[JOURNAL_REASON];
        struct error err = {0};
        device_make(&device);
        file_fault(n, number);
        enum swap_end end = swap_run(&device.swap, &device.from, &device.to, 8, 80, reason, &err);
        int steps = file_fault_steps();
        file_fault(0, 0);
        struct error ignored = {0};
        if (set_current(device.disk.fd, &ignored) == 1)
            kept_old++;
        else
            kept_new++;
        recover(&device);
        device_remove(&device);
        if (end == SWAP_COMMITTED && steps < n)
            break;
        assert_true(n < 200);
    }
    assert_true(kept_old > 3 && kept_new > 3); /* steps before and after the flip were met */
}

static void a_failing_disk_at_any_step_leaves_one_whole_set(void **state)
{
    (void)state;
    fail_each_step(EIO);
}

static void a_full_disk_at_any_step_leaves_one_whole_set(void **state)
{
    (void)state;
    fail_each_step(ENOSPC);
}

static void killed_at_any_step_the_swap_is_finished_or_never_was(void **state)
{
    (void)state;
    for (int n = 1;; n++) {
        struct device device;
        device_make(&device);
        pid_t pid = fork();
        if (pid == 0) {
            char reason[JOURNAL_REASON];
            struct error err = {0};
            file_fault(n, FILE_FAULT_KILL);
            _exit(swap_run(&device.swap, &device.from, &device.to, 8, 80, reason, &err) == SWAP_COMMITTED
                      ? 0
                      : 1);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        recover(&device);
        device_remove(&device);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            break;
        }
        assert_true(n < 200);
    }
}

/* A journal as it stands when the agent ended while the app was being told. */
static void flipped(struct device *device, int attempts)
{
    static const char *changed[] = {"detector", "labels", NULL};
    struct journal journal = {
        .from = 1, .to = 2, .attempts = attempts, .changed = changed, .boot = "another boot"};
    struct error err = {0};

    report_id_make(journal.report);
    assert_ok(set_build(device->disk.fd, &device->to, &err), err);
    assert_ok(journal_save(device->disk.fd, &journal, &err), err);
    assert_ok(set_flip(device->disk.fd, 2, &err), err);
}

/* With an app that cannot be asked (its keeper is not there), attempts are counted. */
static void with_an_app(struct device *device)
{
    static char *command[] = {"/bin/true", NULL};

    device->settings.app_command = command;
    device->channel.retry_at_ms = INT64_MAX; /* no keeper is started */
}

static void flipped_twice_without_an_answer_it_is_rolled_back_as_a_new_generation_and_marked_bad(void **state)
{
    (void)state;
    struct device device;
    char reason[JOURNAL_REASON];
    struct error err = {0};

    device_make(&device);
    flipped(&device, 2);
    with_an_app(&device);
    /* The roll-back itself waits for the keeper … */
    assert_int_equal(swap_recover(&device.swap, reason, &err), SWAP_UNFINISHED);
    struct journal journal;
    assert_ok(journal_load(&device.disk.arena, device.disk.fd, &journal, &err), err);
    assert_true(journal.back);
    assert_int_equal(journal.to, 3);
    /* … and is done once there is nothing to wait for. */
    device.settings.app_command = NULL;
    assert_int_equal(swap_recover(&device.swap, reason, &err), SWAP_ROLLED_BACK);
    assert_int_equal(set_current(device.disk.fd, &err), 3);
    assert_string_equal(disk_model(&device.disk, "detector"), "old\n");
    assert_null(disk_model(&device.disk, "labels"));
    assert_non_null(floors_bad(&device.floors, device.to.digest));
    assert_null(floors_bad(&device.floors, device.from.digest));
    assert_int_equal(floors_counter(&device.floors, "detector"), 3); /* the failed set raised nothing */
    assert_false(disk_has(&device.disk, STATE_JOURNAL));
    struct set now;
    assert_ok(set_load(&device.disk.arena, device.disk.fd, 3, &now, &err), err);
    assert_string_equal(now.digest, device.from.digest);
    device_remove(&device);
}

static void flipped_once_without_an_answer_it_gets_one_more_try(void **state)
{
    (void)state;
    struct device device;
    char reason[JOURNAL_REASON];
    struct error err = {0};

    device_make(&device);
    flipped(&device, 1);
    assert_int_equal(swap_recover(&device.swap, reason, &err), SWAP_COMMITTED);
    assert_int_equal(set_current(device.disk.fd, &err), 2);
    assert_int_equal(device.floors.generation, 2);
    device_remove(&device);
}

static void a_damaged_journal_is_an_error_and_nothing_moves(void **state)
{
    (void)state;
    struct device device;
    char reason[JOURNAL_REASON];
    struct error err = {0};

    device_make(&device);
    assert_ok(file_write(device.disk.fd, STATE_JOURNAL, "{\"from\":", 8, 0600, &err), err);
    assert_int_equal(swap_recover(&device.swap, reason, &err), SWAP_UNFINISHED);
    assert_int_equal(set_current(device.disk.fd, &err), 1);
    device_remove(&device);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_swap_flips_commits_and_reports_once),
        cmocka_unit_test(a_failing_disk_at_any_step_leaves_one_whole_set),
        cmocka_unit_test(a_full_disk_at_any_step_leaves_one_whole_set),
        cmocka_unit_test(killed_at_any_step_the_swap_is_finished_or_never_was),
        cmocka_unit_test(
            flipped_twice_without_an_answer_it_is_rolled_back_as_a_new_generation_and_marked_bad),
        cmocka_unit_test(flipped_once_without_an_answer_it_gets_one_more_try),
        cmocka_unit_test(a_damaged_journal_is_an_error_and_nothing_moves),
    };

    log_level = LOG_ERROR;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a device decides about a run by itself: windows, clock, cancellation, and that nothing starts twice.
 * No keeper is there. */
#include "agent/assignment.h"

#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "test/agent/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RUN "0123456789abcdef0123456789abcdef"

struct device {
    struct disk disk;
    struct enrolment enrolment;
    struct agent_settings settings;
    struct channel channel;
    struct outbox outbox;
    struct assignments assignments;
    struct wish_run run;
    struct wish wish;
    struct assignments_now now;
    struct set set;
};

/* A run of an image that is not fetched, whose window is open from a minute ago to a minute from now. */
static void device_make(struct device *device)
{
    struct error err = {0};
    static const char *nothing[] = {NULL};

    memset(device, 0, sizeof(*device));
    disk_make(&device->disk);
    private_key_make(&device->enrolment.key);
    assert_ok(folder_make(device->disk.fd, STATE_KEEPER_CONSUMED, 0700, &err), err);
    assert_ok(folder_make(device->disk.fd, STATE_KEEPER_RUNS, 0700, &err), err);
    assert_ok(outbox_open(&device->outbox, device->disk.fd, &err), err);
    channel_init(&device->channel, device->disk.fd, device->disk.path, NULL, &device->settings, true);
    strcpy(device->channel.diagnostics, "yes");
    device->assignments = (struct assignments){.state_fd = device->disk.fd,
                                               .state = device->disk.path,
                                               .enrolment = &device->enrolment,
                                               .outbox = &device->outbox,
                                               .channel = &device->channel};
    int64_t now = clock_now();
    device->run.order = (struct order_run){.campaign = 7,
                                           .run = 1,
                                           .mode = "replace",
                                           .duration_s = 5,
                                           .start_after = now - 60,
                                           .start_before = now + 60,
                                           .not_after = now + 600,
                                           .max_output = 4096,
                                           .collect = nothing};
    strcpy(device->run.order.id, RUN);
    strcpy(device->run.order.image, "raw-counters");
    strcpy(device->run.order.version, "1.0.0");
    strcpy(device->run.image.entry.asset, "raw-counters");
    strcpy(device->run.image.entry.version, "1.0.0");
    memset(device->run.image.entry.manifest, 'a', SHA256_HEX - 1);
    device->wish = (struct wish){.seq = 1, .runs = &device->run, .run_count = 1};
    set_seal(&device->disk.arena, &device->set);
    device->now = (struct assignments_now){
        .wish = &device->wish, .set = &device->set, .clock_is_good = true, .may_start = true};
}

static void device_remove(struct device *device)
{
    outbox_close(&device->outbox);
    disk_remove(&device->disk);
}

static const struct assignment *take_and_step(struct device *device)
{
    struct error err = {0};

    assert_ok(assignments_take(&device->assignments, &device->wish, &err), err);
    assignments_step(&device->assignments, &device->now);
    return assignments_find(&device->assignments, RUN);
}

/* True when a report of this state waits; `code` of its reason, NULL: none. */
static bool told(struct device *device, const char *assignment_state, const char *code)
{
    DIR *dir = fdopendir(openat(device->disk.fd, STATE_OUTBOX, O_RDONLY | O_DIRECTORY));
    bool found = false;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct error err = {0};
        char *bytes;
        size_t size;
        if (entry->d_name[0] == '.')
            continue;
        char *path = arena_printf(&device->disk.arena, STATE_OUTBOX "/%s", entry->d_name);
        assert_ok(file_read(&device->disk.arena, device->disk.fd, path, 65536, &bytes, &size, &err), err);
        const struct json *json = json_read(&device->disk.arena, bytes, size, &json_limits_small, &err);
        if (!string_is(json_string(json, "state"), assignment_state))
            continue;
        assert_string_equal(json_string(json, "run"), RUN);
        const char *said = json_string(json_get(json, "reason"), "code");
        found = code ? string_is(said, code) : said == NULL;
    }
    closedir(dir);
    return found;
}

static void a_due_run_is_told_as_downloading_and_its_image_is_asked_for(void **state)
{
    (void)state;
    struct device device;

    device_make(&device);
    assert_int_equal(take_and_step(&device)->state, ASSIGNMENT_DOWNLOADING);
    assert_true(told(&device, "downloading", NULL));
    assert_ptr_equal(assignments_fetch_due(&device.assignments, &device.wish),
                     assignments_find(&device.assignments, RUN));
    device_remove(&device);
}

static void a_run_of_later_is_fetched_ahead_and_said_nothing_about(void **state)
{
    (void)state;
    struct device device;

    device_make(&device);
    device.run.order.start_after = clock_now() + 30;
    assert_int_equal(take_and_step(&device)->state, ASSIGNMENT_SCHEDULED);
    assert_int_equal(disk_count(&device.disk, STATE_OUTBOX), 0);
    assert_non_null(assignments_fetch_due(&device.assignments, &device.wish));
    assert_true(assignments_due_ms(&device.assignments, &device.wish) <= clock_boot_ms() + 30000);
    assert_null(assignments_active(&device.assignments));
    device_remove(&device);
}

static void a_window_that_is_over_is_skipped(void **state)
{
    (void)state;
    struct device device;

    device_make(&device);
    device.run.order.start_before = clock_now() - 1;
    assert_int_equal(take_and_step(&device)->state, ASSIGNMENT_SKIPPED);
    assert_true(told(&device, "skipped", "missed_window"));
    device_remove(&device);
}

static void a_clock_that_is_behind_skips_the_run(void **state)
{
    (void)state;
    struct device device;

    device_make(&device);
    device.now.clock_is_good = false;
    assert_int_equal(take_and_step(&device)->state, ASSIGNMENT_SKIPPED);
    assert_true(told(&device, "skipped", "clock"));
    device_remove(&device);
}

static void a_device_that_cannot_run_images_says_why(void **state)
{
    (void)state;
    struct device device;

    device_make(&device);
    strcpy(device.channel.diagnostics, "images need root");
    const struct assignment *assignment = take_and_step(&device);
    assert_int_equal(assignment->state, ASSIGNMENT_SKIPPED);
    assert_string_equal(assignment->text, "images need root");
    device_remove(&device);
}

static void an_image_that_is_not_signed_fails(void **state)
{
    (void)state;
    struct device device;

    device_make(&device);
    device.run.image.refused = "diagnostics/demo/raw-counters/1.0.0 is not listed in the signed metadata";
    assert_int_equal(take_and_step(&device)->state, ASSIGNMENT_FAILED);
    assert_true(told(&device, "failed", "untrusted"));
    device_remove(&device);
}

static void an_order_without_the_run_cancels_it_before_it_began(void **state)
{
    (void)state;
    struct device device;
    struct wish without = {.seq = 2};
    struct error err = {0};

    device_make(&device);
    take_and_step(&device);
    assert_ok(assignments_take(&device.assignments, &without, &err), err);
    assert_true(told(&device, "cancelled", "cancelled"));
    assert_int_equal(device.assignments.count, 0);
    assert_int_equal(disk_count(&device.disk, STATE_RUNS), 0);
    device_remove(&device);
}

static void a_consumed_run_of_long_ago_never_starts_again(void **state)
{
    (void)state;
    struct device device;
    struct error err = {0};

    device_make(&device);
    assert_ok(file_write(device.disk.fd, STATE_KEEPER_CONSUMED "/" RUN, "{}", 2, 0600, &err), err);
    assert_int_equal(take_and_step(&device)->state, ASSIGNMENT_DONE);
    assert_int_equal(disk_count(&device.disk, STATE_OUTBOX), 0);
    assert_null(assignments_fetch_due(&device.assignments, &device.wish));
    device_remove(&device);
}

static void killed_between_the_start_and_its_note_the_run_counts_as_begun(void **state)
{
    (void)state;
    struct device device;
    struct error err = {0};
    static const char result[] =
        "{\"run\":\"" RUN "\",\"proof\":{\"run\":\"" RUN
        "\",\"equal\":true,\"end\":\"exited\",\"leftovers\":0},"
        "\"capture\":\"none\",\"capture_reason\":\"empty\",\"files\":[],\"omitted\":[],\"error\":null}";

    device_make(&device);
    assert_int_equal(take_and_step(&device)->state, ASSIGNMENT_DOWNLOADING);
    assert_ok(file_write(device.disk.fd, STATE_KEEPER_CONSUMED "/" RUN, "{}", 2, 0600, &err), err);
    assert_ok(folder_make(device.disk.fd, STATE_KEEPER_RUNS "/" RUN, 0700, &err), err);
    assignments_step(&device.assignments, &device.now);
    assert_int_equal(assignments_find(&device.assignments, RUN)->state, ASSIGNMENT_RUNNING);
    /* The result arrives; the agent is started anew before it looks. */
    assert_ok(file_write(device.disk.fd, STATE_KEEPER_RUNS "/" RUN "/result.json", result, strlen(result),
                         0600, &err),
              err);
    device.assignments.count = 0;
    assert_ok(assignments_load(&device.assignments, &err), err);
    assignments_step(&device.assignments, &device.now);
    const struct assignment *assignment = assignments_find(&device.assignments, RUN);
    assert_int_equal(assignment->state, ASSIGNMENT_DONE);
    assert_true(told(&device, "reverting", NULL) && told(&device, "uploading", NULL) &&
                told(&device, "done", NULL));
    assert_string_equal(assignment->capture_reason, "empty");
    device_remove(&device);
}

static void a_disk_that_fails_leaves_a_run_where_it_is_for_the_next_time(void **state)
{
    (void)state;
    int stayed = 0;

    for (int n = 1;; n++) {
        struct device device;
        struct error err = {0};
        device_make(&device);
        assert_ok(assignments_take(&device.assignments, &device.wish, &err), err);
        device.run.order.start_before = clock_now() - 1;
        file_fault(n, ENOSPC);
        assignments_step(&device.assignments, &device.now);
        int steps = file_fault_steps();
        file_fault(0, 0);
        stayed += !assignment_is_over(assignments_find(&device.assignments, RUN));
        assignments_step(&device.assignments, &device.now);
        assert_true(assignment_is_over(assignments_find(&device.assignments, RUN)));
        assert_int_equal(disk_count(&device.disk, STATE_OUTBOX), 1); /* told once */
        device_remove(&device);
        if (steps < n)
            break;
    }
    assert_true(stayed >= 6);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_due_run_is_told_as_downloading_and_its_image_is_asked_for),
        cmocka_unit_test(a_run_of_later_is_fetched_ahead_and_said_nothing_about),
        cmocka_unit_test(a_window_that_is_over_is_skipped),
        cmocka_unit_test(a_clock_that_is_behind_skips_the_run),
        cmocka_unit_test(a_device_that_cannot_run_images_says_why),
        cmocka_unit_test(an_image_that_is_not_signed_fails),
        cmocka_unit_test(an_order_without_the_run_cancels_it_before_it_began),
        cmocka_unit_test(a_consumed_run_of_long_ago_never_starts_again),
        cmocka_unit_test(killed_between_the_start_and_its_note_the_run_counts_as_begun),
        cmocka_unit_test(a_disk_that_fails_leaves_a_run_where_it_is_for_the_next_time),
    };

    log_level = LOG_ERROR;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

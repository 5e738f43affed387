/* Objects as deltas, against a console of a few lines that cuts, lies and forgets as a test asks it to. */
#include "test/agent/peer.h"

#include "agent/fetch.h"
#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "repo/delta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- a device that has the old file and is to get the new one
 * ------------------------------------------------------ */

static void version_put(struct disk *disk, const char *version, const uint8_t *bytes, size_t size,
                        bool installed, struct wish_version *wanted)
{
    static const char *const everywhere[] = {NULL};
    struct manifest_file file = {.path = "model.bin", .length = (int64_t)size, .mode = 0644};
    struct manifest manifest = {.product = "demo",
                                .asset = "model",
                                .kind = KIND_MODEL,
                                .activation = ACTIVATION_NOTIFY,
                                .files = &file,
                                .file_count = 1,
                                .hardware = (const char **)(uintptr_t)everywhere};
    struct error err = {0};
    TEXT(out);

    sha256_hex(bytes, size, file.sha256);
    strcpy(manifest.version, version);
    assert_ok(manifest_write(&disk->arena, &manifest, &out, &err), err);
    *wanted = (struct wish_version){.length = (int64_t)out.size, .kind = KIND_MODEL};
    strcpy(wanted->entry.asset, "model");
    strcpy(wanted->entry.version, version);
    sha256_hex(out.bytes, out.size, wanted->entry.manifest);
    assert_ok(file_write(disk->fd, arena_printf(&disk->arena, STATE_MANIFESTS "/%s", wanted->entry.manifest),
                         out.bytes, out.size, 0600, &err),
              err);
    if (!installed)
        return;
    assert_ok(file_write(disk->fd, arena_printf(&disk->arena, STATE_OBJECTS "/%s", file.sha256), bytes, size,
                         0444, &err),
              err);
    assert_ok(
        manifest_read(&disk->arena, arena_copy(&disk->arena, out.bytes, out.size), out.size, &manifest, &err),
        err);
    assert_ok(version_build(disk->fd, &manifest, wanted->entry.manifest, &err), err);
}

/* A device, and a console that does as it should. */
static struct wish_version device_make(struct disk *disk)
{
    struct wish_version before, wanted;

    memset(peer, 0, sizeof *peer);
    version_put(disk, "1.0.0", peer_old, sizeof peer_old, true, &before);
    version_put(disk, "1.1.0", peer_new, sizeof peer_new, false, &wanted);
    return wanted;
}

static bool fetch_it(struct disk *disk, const struct wish_version *wanted, struct fetch *fetch,
                     struct outbox *outbox, struct error *err)
{
    struct enrolment enrolment = {.product = "demo"};
    struct session session = {.state_fd = disk->fd, .enrolment = &enrolment, .token = "token"};
    bool never = false;
    char url[64];

    snprintf(url, sizeof url, "http://127.0.0.1:%d", peer_port);
    struct http *http = http_open(&(struct http_options){.base_url = url, .user_agent = "test"}, err);
    *fetch = (struct fetch){.state_fd = disk->fd,
                            .http = http,
                            .session = &session,
                            .enrolment = &enrolment,
                            .outbox = outbox,
                            .cancel = &never};
    bool good = fetch_version(fetch, wanted, false, err);
    http_close(http);
    return good;
}

static void assert_installed(struct disk *disk)
{
    struct error err = {0};
    char hex[SHA256_HEX];
    int64_t size;
    FD(fd) = file_open_beneath(disk->fd, STATE_VERSIONS "/model/1.1.0/model.bin", O_RDONLY, 0, &err);

    assert_true(fd >= 0);
    assert_ok(sha256_file(fd, hex, &size, &err), err);
    assert_string_equal(hex, peer_new_sha256);
    assert_false(disk_has(disk, arena_printf(&disk->arena, STATE_OBJECTS "/%s.part", peer_new_sha256)));
    assert_false(disk_has(disk, arena_printf(&disk->arena, STATE_OBJECTS "/%s.place", peer_new_sha256)));
}

/* The text of the one report that waits; "" for none. */
static const char *reported(struct disk *disk)
{
    struct error err = {0};
    char *bytes = NULL;
    size_t size;

    FD(folder) = folder_open_beneath(disk->fd, STATE_OUTBOX, &err);
    if (folder < 0 || disk_count(disk, STATE_OUTBOX) != 1)
        return "";
    FILE *names = popen(arena_printf(&disk->arena, "ls %s/" STATE_OUTBOX, disk->path), "r");
    char name[300];
    assert_non_null(fgets(name, sizeof name, names));
    pclose(names);
    name[strcspn(name, "\n")] = '\0';
    assert_ok(file_read(&disk->arena, folder, name, 65536, &bytes, &size, &err), err);
    return bytes;
}

/* One test's device, with the reports that it keeps. */
#define DEVICE                                                                                               \
    DISK(disk);                                                                                              \
    struct error err = {0};                                                                                  \
    struct fetch fetch;                                                                                      \
    struct outbox outbox;                                                                                    \
    struct wish_version wanted = device_make(&disk);                                                         \
    assert_ok(outbox_open(&outbox, disk.fd, &err), err)

#define must_fetch()                                                                                         \
    do {                                                                                                     \
        assert_ok(fetch_it(&disk, &wanted, &fetch, &outbox, &err), err);                                     \
        assert_installed(&disk);                                                                             \
        outbox_close(&outbox);                                                                               \
    } while (0)

static void a_delta_makes_the_object(void **state)
{
    DEVICE;
    (void)state;
    must_fetch();
    assert_int_equal(peer->deltas, 1);
    assert_int_equal(peer->wholes, 0);
    assert_int_equal(peer->sent, peer_delta_length);
    assert_true(fetch.bytes >= (int64_t)peer_delta_length && fetch.bytes < (int64_t)peer_delta_length + 1000);
    assert_string_equal(reported(&disk), "");
}

static void a_delta_that_is_cut_again_and_again_goes_on(void **state)
{
    DEVICE;
    (void)state;
    peer->cut = 100000;
    must_fetch();
    assert_int_equal(peer->ranges, peer->deltas - 1);
    assert_true(peer->ranges > 10);
    assert_int_equal(peer->wholes, 0);
    assert_int_equal(peer->sent, peer_delta_length); /* no byte twice */
}

static void a_delta_keeps_to_the_rate(void **state)
{
    DEVICE;
    (void)state;
    wanted.entry.apply.rate = (int64_t)peer_delta_length;
    int64_t began = clock_boot_ms();
    must_fetch();
    assert_true(clock_boot_ms() - began > 800); /* a second's worth */
}

static void a_device_waits_for_a_delta_that_is_being_made(void **state)
{
    DEVICE;
    (void)state;
    peer->again = 2;
    must_fetch();
    assert_int_equal(peer->asked, 3);
    assert_int_equal(peer->wholes, 0);
}

static void a_console_without_deltas_sends_the_whole(void **state)
{
    DEVICE;
    (void)state;
    peer->unknown = true;
    must_fetch();
    assert_int_equal(peer->wholes, 1);
    assert_string_equal(reported(&disk), "");
}

static void a_delta_that_went_meanwhile_is_no_harm(void **state)
{
    DEVICE;
    (void)state;
    peer->gone = true;
    must_fetch();
    assert_int_equal(peer->wholes, 1);
    assert_string_equal(reported(&disk), "");
}

static void a_wrong_delta_costs_only_the_whole_and_is_told(void **state)
{
    DEVICE;
    (void)state;
    peer->damaged = (int64_t)peer_delta_length - 10; /* of fresh bytes: only the hash can tell */
    must_fetch();
    assert_int_equal(peer->deltas, 1);
    assert_int_equal(peer->wholes, 1);
    assert_non_null(strstr(reported(&disk), "SHA-256 differs"));
    assert_non_null(strstr(reported(&disk), peer_old_sha256));
}

static void a_damaged_delta_costs_only_the_whole_and_is_told(void **state)
{
    DEVICE;
    (void)state;
    peer->damaged = DELTA_HEADER_SIZE + 4; /* reserved, 0 */
    must_fetch();
    assert_int_equal(peer->deltas, 1);
    assert_int_equal(peer->wholes, 1);
    assert_non_null(strstr(reported(&disk), "\"type\":\"delta\""));
}

static void a_delta_without_an_end_is_left(void **state)
{
    DEVICE;
    (void)state;
    peer->longer = true;
    must_fetch();
    assert_int_equal(peer->wholes, 1);
    assert_string_not_equal(reported(&disk), "");
}

static void an_old_file_that_rotted_is_told_as_that(void **state)
{
    DEVICE;
    (void)state;
    char *path = arena_printf(&disk.arena, "%s/" STATE_OBJECTS "/%s", disk.path, peer_old_sha256);
    assert_return_code(chmod(path, 0644), errno);
    FD(fd) = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "rotten", 6, PEER_COPY + 100), 6);
    must_fetch();
    assert_int_equal(peer->wholes, 1);
    assert_non_null(strstr(reported(&disk), "damaged here"));
}

/* Nothing derived is asked for again: else a bad delta and a bad line together would never end. */
static void after_a_wrong_delta_only_the_whole_is_asked_for(void **state)
{
    DEVICE;
    (void)state;
    peer->damaged = (int64_t)peer_delta_length - 10;
    peer->damaged_whole = true;
    assert_false(fetch_it(&disk, &wanted, &fetch, &outbox, &err));
    assert_int_equal(err.kind, ERROR_UNTRUSTED);
    err = (struct error){0};
    peer->damaged_whole = false;
    must_fetch();
    assert_int_equal(peer->deltas, 1);
}

/* --- faults
 * ------------------------------------------------------------------------------------------------------- */

/* The exit code of one attempt whose n-th durable step fails so (0: none does): 0 it did all without that
 * step, 2 in spite of it, 1 it failed, -1 it was killed. */
static int attempt(struct disk *disk, const struct wish_version *wanted, int n, int error_number)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct error err = {0};
        struct fetch fetch;

        file_fault(n, error_number);
        bool good = fetch_it(disk, wanted, &fetch, NULL, &err);
        _exit(!good ? 1 : n && file_fault_steps() >= n ? 2 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The first step fails, then the one that is `stride` further on, until an attempt comes to no such step;
 * after each the next attempt ends right. */
static void every_step(int error_number, int stride, bool whole)
{
    int ranges = 0, n = 1, code;

    do {
        DISK(disk);
        struct wish_version wanted = device_make(&disk);
        peer->unknown = whole;
        code = attempt(&disk, &wanted, n, error_number);
        if (error_number == FILE_FAULT_KILL)
            assert_true(code <= 0);
        if (code == -1 || code == 1) {
            assert_int_equal(attempt(&disk, &wanted, 0, 0), 0);
            ranges += peer->ranges;
        }
        assert_installed(&disk);
        if (error_number == FILE_FAULT_KILL)
            assert_int_equal(peer->wholes, 0);
        n += stride;
    } while (code != 0 && n < 500);
    assert_true(n > 30 && n < 500);
    if (error_number == FILE_FAULT_KILL)
        assert_true(ranges > 5); /* it did go on, not begin anew */
}

static void killed_at_every_step_it_ends_right(void **state)
{
    (void)state;
    every_step(FILE_FAULT_KILL, 1, false);
}

static void on_a_failing_disk_it_ends_right(void **state)
{
    (void)state;
    every_step(EIO, 3, false);
    every_step(EIO, 5, true);
}

static void on_a_full_disk_it_ends_right(void **state)
{
    (void)state;
    every_step(ENOSPC, 4, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delta_makes_the_object),
        cmocka_unit_test(a_delta_that_is_cut_again_and_again_goes_on),
        cmocka_unit_test(a_delta_keeps_to_the_rate),
        cmocka_unit_test(a_device_waits_for_a_delta_that_is_being_made),
        cmocka_unit_test(a_console_without_deltas_sends_the_whole),
        cmocka_unit_test(a_delta_that_went_meanwhile_is_no_harm),
        cmocka_unit_test(a_wrong_delta_costs_only_the_whole_and_is_told),
        cmocka_unit_test(a_damaged_delta_costs_only_the_whole_and_is_told),
        cmocka_unit_test(a_delta_without_an_end_is_left),
        cmocka_unit_test(an_old_file_that_rotted_is_told_as_that),
        cmocka_unit_test(after_a_wrong_delta_only_the_whole_is_asked_for),
        cmocka_unit_test(killed_at_every_step_it_ends_right),
        cmocka_unit_test(on_a_failing_disk_it_ends_right),
        cmocka_unit_test(on_a_full_disk_it_ends_right),
    };

    return cmocka_run_group_tests(tests, peer_begin, peer_end);
}

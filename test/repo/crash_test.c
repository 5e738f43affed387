/* Killed, or failed by the disk, before each durable call of libgit2, SQLite and our own files: nothing is
 * lost, nothing is half. */
#include "test/repo/fixture.h"

#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The plain build tries each call. Under a sanitizer, which looks for other mistakes, each third has to do.
 */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define STRIDE 3
#else
#define STRIDE 1
#endif

/* The durable calls of every library in this program come through here: the linker lets a program's own
 * definition win. */
static atomic_int calls, fail_at;
static bool by_kill;

static bool fails(void)
{
    if (atomic_load(&fail_at) == 0 || atomic_fetch_add(&calls, 1) + 1 != atomic_load(&fail_at))
        return false;
    if (by_kill)
        kill(getpid(), SIGKILL);
    errno = EIO;
    return true;
}

int fsync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int rename(const char *from, const char *to)
{
    return fails() ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return fails() ? -1 : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int link(const char *from, const char *to)
{
    return fails() ? -1 : (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int mkdir(const char *path, mode_t mode)
{
    return fails() ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

static void arm(int n, bool kill_it)
{
    by_kill = kill_it;
    atomic_store(&calls, 0);
    atomic_store(&fail_at, n);
}

static void nothing(void *context, bool good, const char *line)
{
    if (!good)
        snprintf(context, 600, "%s", line);
}

static void must_be_sound(struct fixture *fixture, int n)
{
    struct error err = {0};
    char bad[600] = "";
    if (!repo_verify(fixture->repo, nothing, bad, &err))
        fail_msg("after call %d: %s: %s", n, err.text, bad);
}

static bool publish_new(struct fixture *fixture, struct published *published, struct error *err)
{
    static char big[100000];
    memset(big, 'm', sizeof big);
    struct content files[] = {{"model.bin", big, sizeof big, 0}, {"labels.txt", "cat\ndog\n", 8, 0}};
    return publish_files(fixture, "detector", "1.0.0", files, 2, published, err);
}

static bool is_visible(struct fixture *fixture)
{
    ARENA(arena);
    struct error err = {0};
    struct version_row *rows;
    size_t count;
    DB_DONE(conn) = db_read(fixture->db, &err);
    return repo_versions(conn, &arena, "demo", "detector", &rows, &count, &err);
}

/* In a child: opens the folder, and is killed at the n-th call of the publication. True when it was. */
static bool killed_at(struct fixture *fixture, int n, bool while_opening)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct published published;
        struct error err = {0};
        if (while_opening)
            arm(n, true);
        if (!fixture_try_open(fixture, &err))
            _exit(2);
        if (!while_opening)
            arm(n, true);
        _exit(publish_new(fixture, &published, &err) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        fail_msg("the child ended with %d at call %d", WEXITSTATUS(status), n);
    return WIFSIGNALED(status);
}

static void survive_kills(bool while_opening)
{
    bool killed = true;
    int hidden = 0, seen = 0;
    for (int n = 1; killed; n += STRIDE) {
        struct fixture *fixture = fixture_new();
        struct error err = {0};
        struct published published;
        fixture_close(fixture);
        if (while_opening)
            assert_int_equal(shell("rm -rf %s/*", fixture->path), 0);
        killed = killed_at(fixture, n, while_opening);
        fixture_open(fixture);
        bool visible = is_visible(fixture);
        seen += killed && visible;
        hidden += killed && !visible;
        must_be_sound(fixture, n);
        must(publish_new(fixture, &published, &err));
        assert_int_equal(published.already, visible);
        fixture_free(fixture);
    }
    print_message("%d killed before the commit point, %d after\n", hidden, seen);
    /* Both sides of the commit point were met. */
    assert_true(hidden * STRIDE > 10);
    assert_true(seen * STRIDE > 10);
}

static void a_publication_killed_at_any_durable_call_is_whole_or_not_there(void **state)
{
    (void)state;
    survive_kills(false);
}

static void a_first_start_killed_at_any_durable_call_starts_again(void **state)
{
    (void)state;
    survive_kills(true);
}

static void a_publication_that_the_disk_fails_can_be_repeated_without_a_restart(void **state)
{
    (void)state;
    bool reached = true;
    int failures = 0;
    for (int n = 1; reached; n += STRIDE) {
        struct fixture *fixture = fixture_new();
        struct error err = {0};
        struct published published;
        arm(n, false);
        bool good = publish_new(fixture, &published, &err);
        reached = atomic_load(&calls) >= n;
        arm(0, false);
        failures += !good;
        err = (struct error){0};
        if (!good)
            must(publish_new(fixture, &published, &err));
        must_be_sound(fixture, n);
        fixture_free(fixture);
    }
    assert_true(failures * STRIDE > 10);
}

/* --- from one signature to two
 * ------------------------------------------------------------------------------------------ */

static bool publish_image(struct fixture *fixture, struct error *err)
{
    static const char description[] = "{\"entry\":[\"./run\"],\"max_runtime_s\":60,\"collect\":[]}";
    struct content files[] = {{"diagnostic.json", description, sizeof description - 1, 0},
                              {"run", "#!/bin/sh\n", 10, 0755}};
    struct published published;
    return publish_files(fixture, "look", "1.0.0", files, 2, &published, err);
}

static int signers(struct fixture *fixture)
{
    struct error err = {0};
    int signatures = 0;
    DB_DONE(conn) = db_read(fixture->db, &err);
    must(repo_signed_by(conn, "demo", &signatures, &err));
    return signatures;
}

/* In a child: two people sign from now on, and the second one does. True when it was killed. */
static bool approval_killed_at(struct fixture *fixture, int n)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error err = {0};
        if (!fixture_try_open(fixture, &err))
            _exit(2);
        arm(n, true);
        _exit(repo_sign_by(fixture->repo, "demo", 2, "ada", "two people", &err) &&
                      repo_approve(fixture->repo, "demo", "look", "1.0.0", "bob", "approved", &err)
                  ? 0
                  : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        fail_msg("the child ended with %d at call %d", WEXITSTATUS(status), n);
    return WIFSIGNALED(status);
}

static void a_second_signature_killed_at_any_durable_call_leaves_files_that_verify(void **state)
{
    bool killed = true;
    int by[3] = {0};
    (void)state;
    for (int n = 1; killed; n += STRIDE) {
        struct fixture *fixture = fixture_new();
        struct error err = {0};
        must(publish_image(fixture, &err));
        fixture_close(fixture);
        killed = approval_killed_at(fixture, n);
        fixture_open(fixture);
        must_be_sound(fixture, n);
        by[signers(fixture)] += killed;
        must(repo_sign_by(fixture->repo, "demo", 2, "ada", "two people", &err));
        must(repo_approve(fixture->repo, "demo", "look", "1.0.0", "bob", "approved", &err));
        must_be_sound(fixture, n);
        assert_int_equal(signers(fixture), 2);
        fixture_free(fixture);
    }
    print_message("%d killed with one signature, %d with two\n", by[1], by[2]);
    assert_true(by[1] * STRIDE > 10 && by[2] * STRIDE > 10);
}

int main(void)
{
    log_level = LOG_ERROR;
    /* Hundreds of repositories, killed but never unplugged: memory will do where there is some. */
    if (access("/dev/shm", W_OK) == 0)
        fixture_parent = "/dev/shm";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publication_killed_at_any_durable_call_is_whole_or_not_there),
        cmocka_unit_test(a_first_start_killed_at_any_durable_call_starts_again),
        cmocka_unit_test(a_publication_that_the_disk_fails_can_be_repeated_without_a_restart),
        cmocka_unit_test(a_second_signature_killed_at_any_durable_call_leaves_files_that_verify),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

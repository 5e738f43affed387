#include "base/file.h"

#include "base/text.h"
#include "test/base/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT 65536

static void put(const struct scratch *scratch, const char *path, const char *text)
{
    struct error err = {0};

    assert_ok(file_write(scratch->fd, path, text, strlen(text), 0644, &err), err);
}

static void assert_holds(const struct scratch *scratch, const char *path, const char *text)
{
    ARENA(arena);
    struct error err = {0};
    char *bytes;
    size_t size;

    assert_ok(file_read(&arena, scratch->fd, path, LIMIT, &bytes, &size, &err), err);
    assert_int_equal(size, strlen(text));
    assert_string_equal(bytes, text);
}

static void a_path_cannot_leave_its_folder(void **state)
{
    static const char *const outside[] = {"../x",       "a/../../x", "/etc/passwd", "out",
                                          "out/passwd", "a/up/x",    "loop"};
    SCRATCH(scratch);
    struct error err = {0};

    (void)state;
    assert_ok(folder_make(scratch.fd, "a", 0755, &err), err);
    assert_int_equal(symlinkat("/etc", scratch.fd, "out"), 0);
    assert_int_equal(symlinkat("..", scratch.fd, "a/up"), 0);
    assert_int_equal(symlinkat("loop", scratch.fd, "loop"), 0);
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        assert_refused(file_open_beneath(scratch.fd, outside[i], O_RDONLY, 0, &err) >= 0, err, ERROR_INPUT);
        assert_refused(file_open_beneath(scratch.fd, outside[i], O_WRONLY | O_CREAT, 0600, &err) >= 0, err,
                       ERROR_INPUT);
    }
    assert_refused(file_write(scratch.fd, "../x", "", 0, 0600, &err), err, ERROR_INPUT);
    assert_refused(file_write(scratch.fd, "/tmp/x", "", 0, 0600, &err), err, ERROR_INPUT);
    assert_refused(file_write(scratch.fd, "out/x", "", 0, 0600, &err), err, ERROR_INPUT);
    assert_refused(file_write(scratch.fd, "a/..", "", 0, 0600, &err), err, ERROR_INPUT);
    assert_refused(file_write(scratch.fd, "a/", "", 0, 0600, &err), err, ERROR_INPUT);
    assert_refused(folder_make(scratch.fd, "../x", 0755, &err), err, ERROR_INPUT);
    assert_refused(folder_make(scratch.fd, "out/x", 0755, &err), err, ERROR_INPUT);
    assert_refused(folder_make(scratch.fd, "/tmp/x", 0755, &err), err, ERROR_INPUT);
    assert_refused(tree_remove(scratch.fd, "../x", &err), err, ERROR_INPUT);
    assert_refused(tree_remove(scratch.fd, "out/passwd", &err), err, ERROR_INPUT);
    assert_refused(tree_remove(scratch.fd, "a/..", &err), err, ERROR_INPUT);
    assert_refused(tree_remove(scratch.fd, ".", &err), err, ERROR_INPUT);
    assert_refused(tree_remove(scratch.fd, "/", &err), err, ERROR_INPUT);
}

static void opened_files_are_closed_on_exec(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};

    (void)state;
    put(&scratch, "f", "x");
    FD(fd) = file_open_beneath(scratch.fd, "f", O_RDONLY, 0, &err);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_refused(file_open_beneath(scratch.fd, "none", O_RDONLY, 0, &err) >= 0, err, ERROR_MISSING);
    assert_refused(folder_open_beneath(scratch.fd, "f", &err) >= 0, err, ERROR_SYSTEM);
}

static void folders_are_made_with_the_mode_that_was_asked(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};
    struct stat stat;
    mode_t before = umask(077);

    (void)state;
    assert_ok(folder_make(scratch.fd, "a/b/c", 0755, &err), err);
    assert_ok(folder_make(scratch.fd, "a/b/c", 0700, &err), err);
    assert_ok(folder_make(scratch.fd, "a/b/d/", 0711, &err), err);
    umask(before);
    assert_int_equal(fstatat(scratch.fd, "a/b/c", &stat, 0), 0);
    assert_int_equal(stat.st_mode & 07777, 0755);
    assert_int_equal(fstatat(scratch.fd, "a/b/d", &stat, 0), 0);
    assert_int_equal(stat.st_mode & 07777, 0711);
    assert_refused(folder_make(scratch.fd, "a//x", 0755, &err), err, ERROR_INPUT);
    assert_refused(folder_make(scratch.fd, "a/./x", 0755, &err), err, ERROR_INPUT);
    put(&scratch, "f", "x");
    assert_refused(folder_make(scratch.fd, "f/x", 0755, &err), err, ERROR_SYSTEM);
}

static void a_file_is_replaced_or_created_once(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};
    struct stat stat;

    (void)state;
    put(&scratch, "f", "one");
    put(&scratch, "f", "two");
    assert_holds(&scratch, "f", "two");
    assert_refused(file_create(scratch.fd, "f", "three", 5, 0600, &err), err, ERROR_CONFLICT);
    assert_holds(&scratch, "f", "two");
    assert_ok(file_create(scratch.fd, "g", "", 0, 0444, &err), err);
    assert_int_equal(fstatat(scratch.fd, "g", &stat, 0), 0);
    assert_int_equal(stat.st_mode & 07777, 0444);
    assert_refused(file_write(scratch.fd, "none/f", "x", 1, 0600, &err), err, ERROR_MISSING);
    assert_int_equal(scratch_count(&scratch, "."), 2);
}

static void reading_is_bounded_and_takes_files_only(void **state)
{
    SCRATCH(scratch);
    ARENA(arena);
    struct error err = {0};
    char *bytes;
    size_t size;

    (void)state;
    put(&scratch, "f", "12345");
    assert_ok(file_read(&arena, scratch.fd, "f", 5, &bytes, &size, &err), err);
    assert_refused(file_read(&arena, scratch.fd, "f", 4, &bytes, &size, &err), err, ERROR_LIMIT);
    assert_refused(file_read(&arena, scratch.fd, "none", 4, &bytes, &size, &err), err, ERROR_MISSING);
    assert_refused(file_read(&arena, scratch.fd, ".", 4, &bytes, &size, &err), err, ERROR_INPUT);
    assert_int_equal(mkfifoat(scratch.fd, "pipe", 0600), 0);
    assert_refused(file_read(&arena, scratch.fd, "pipe", 4, &bytes, &size, &err), err, ERROR_INPUT);
}

static void links_and_renames_say_when_a_name_is_taken(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};

    (void)state;
    put(&scratch, "a", "a");
    put(&scratch, "b", "b");
    assert_refused(file_link(scratch.fd, "a", scratch.fd, "b", &err), err, ERROR_CONFLICT);
    assert_ok(file_link(scratch.fd, "a", scratch.fd, "c", &err), err);
    assert_ok(file_rename(scratch.fd, "a", scratch.fd, "b", &err), err);
    assert_holds(&scratch, "b", "a");
    assert_holds(&scratch, "c", "a");
    assert_refused(file_rename(scratch.fd, "a", scratch.fd, "b", &err), err, ERROR_MISSING);
}

static void a_tree_is_removed_without_following_links(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};

    (void)state;
    assert_ok(folder_make(scratch.fd, "keep", 0755, &err), err);
    put(&scratch, "keep/f", "x");
    assert_ok(folder_make(scratch.fd, "t/a/b", 0755, &err), err);
    put(&scratch, "t/a/f", "x");
    assert_int_equal(symlinkat("../keep", scratch.fd, "t/link"), 0);
    assert_int_equal(symlinkat("/none", scratch.fd, "t/a/dangling"), 0);
    assert_int_equal(mkfifoat(scratch.fd, "t/pipe", 0600), 0);
    assert_int_equal(fchmodat(scratch.fd, "t/a", 0, 0), 0);
    assert_ok(tree_remove(scratch.fd, "t", &err), err);
    assert_ok(tree_remove(scratch.fd, "t", &err), err);
    assert_ok(tree_remove(scratch.fd, "none/t", &err), err);
    assert_holds(&scratch, "keep/f", "x");
    assert_int_equal(symlinkat("keep", scratch.fd, "link"), 0);
    assert_ok(tree_remove(scratch.fd, "link", &err), err);
    assert_ok(tree_remove(scratch.fd, "keep/f", &err), err);
    assert_int_equal(scratch_count(&scratch, "keep"), 0);
    assert_int_equal(scratch_count(&scratch, "."), 1);
}

/* Deeper than a process may have folders open, and than a path may be long. */
static void a_tree_of_any_depth_is_removed(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};
    int fd = dup(scratch.fd);

    (void)state;
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mkdirat(fd, "deeper", 0755), 0);
        close(openat(fd, "file", O_WRONLY | O_CREAT, 0600));
        int next = openat(fd, "deeper", O_RDONLY | O_DIRECTORY);
        close(fd);
        assert_true(next >= 0);
        fd = next;
    }
    close(fd);
    assert_ok(tree_remove(scratch.fd, "deeper", &err), err);
    assert_int_equal(scratch_count(&scratch, "."), 1);
}

struct seen {
    char paths[256];
    int left; /* stop after so many */
};

static bool see(void *context, const char *path, int fd, int64_t size, mode_t mode, struct error *err)
{
    struct seen *seen = context;
    struct stat stat;

    assert_int_equal(fstat(fd, &stat), 0);
    assert_int_equal(stat.st_size, size);
    assert_int_equal(stat.st_mode & 07777, mode);
    strcat(seen->paths, path);
    strcat(seen->paths, " ");
    return --seen->left > 0 || error_set(err, ERROR_LIMIT, "enough");
}

static void a_walk_goes_through_all_files_sorted_by_path(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};
    struct seen seen = {.left = 100};

    (void)state;
    assert_ok(folder_make(scratch.fd, "a/empty", 0755, &err), err);
    assert_ok(folder_make(scratch.fd, "B", 0755, &err), err);
    put(&scratch, "a.bin", "12");
    put(&scratch, "a/b.bin", "1");
    put(&scratch, "a/a", "");
    put(&scratch, "a-b", "");
    put(&scratch, "a0", "");
    put(&scratch, "B/z", "");
    assert_ok(folder_walk(scratch.fd, see, &seen, &err), err);
    assert_string_equal(seen.paths, "B/z a-b a.bin a/a a/b.bin a0 ");
    seen = (struct seen){.left = 2};
    assert_refused(folder_walk(scratch.fd, see, &seen, &err), err, ERROR_LIMIT);
    assert_string_equal(seen.paths, "B/z a-b ");
}

static void a_walk_refuses_links_pipes_and_great_depth(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};
    struct seen seen = {.left = 100};
    char deep[80] = "";

    (void)state;
    assert_int_equal(symlinkat("/etc/passwd", scratch.fd, "link"), 0);
    assert_refused(folder_walk(scratch.fd, see, &seen, &err), err, ERROR_INPUT);
    assert_non_null(strstr(err.text, "\"link\" is a link"));
    assert_int_equal(unlinkat(scratch.fd, "link", 0), 0);
    assert_int_equal(mkfifoat(scratch.fd, "pipe", 0600), 0);
    assert_refused(folder_walk(scratch.fd, see, &seen, &err), err, ERROR_INPUT);
    assert_int_equal(unlinkat(scratch.fd, "pipe", 0), 0);
    for (int i = 0; i < 32; i++)
        strcat(deep, "d/");
    assert_ok(folder_make(scratch.fd, deep, 0755, &err), err);
    assert_ok(folder_walk(scratch.fd, see, &seen, &err), err);
    strcat(deep, "d");
    assert_ok(folder_make(scratch.fd, deep, 0755, &err), err);
    assert_refused(folder_walk(scratch.fd, see, &seen, &err), err, ERROR_LIMIT);
}

static void a_lock_is_held_once_and_ends_with_its_process(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};
    int ready[2], status;
    char byte;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = file_lock(scratch.fd, "lock", &err);

        if (fd >= 0 && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_refused(file_lock(scratch.fd, "lock", &err) >= 0, err, ERROR_CONFLICT);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    FD(fd) = file_lock(scratch.fd, "lock", &err);
    assert_ok(fd >= 0, err);
    assert_refused(file_lock(scratch.fd, "lock", &err) >= 0, err, ERROR_CONFLICT);
    fd_close(&fd);
    assert_int_equal(fd, -1);
    fd = file_lock(scratch.fd, "lock", &err);
    assert_ok(fd >= 0, err);
    close(ready[0]);
    close(ready[1]);
}

static void free_space_is_told(void **state)
{
    SCRATCH(scratch);

    (void)state;
    assert_true(file_space(scratch.fd) > 0);
    assert_int_equal(file_space(-1), 0);
}

/* Everything that writes, once; true when all of it worked. */
static bool write_all(const struct scratch *scratch, struct error *err)
{
    return folder_make(scratch->fd, "a/b", 0755, err) && file_write(scratch->fd, "f", "new", 3, 0644, err) &&
           file_create(scratch->fd, "a/b/g", "made", 4, 0644, err);
}

/* The content is the old or the new one whole, whichever step failed. */
static void assert_old_or_new(const struct scratch *scratch)
{
    ARENA(arena);
    struct error err = {0};
    char *bytes;
    size_t size;

    assert_ok(file_read(&arena, scratch->fd, "f", LIMIT, &bytes, &size, &err), err);
    assert_true(string_is(bytes, "old") || string_is(bytes, "new"));
    if (file_read(&arena, scratch->fd, "a/b/g", LIMIT, &bytes, &size, &err))
        assert_string_equal(bytes, "made");
}

static void each_step_that_fails_leaves_old_or_new(void **state)
{
    static const struct {
        int number;
        enum error_kind kind;
    } faults[] = {{EIO, ERROR_SYSTEM}, {ENOSPC, ERROR_LIMIT}};
    int steps = 1;

    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (int n = 1; n <= steps; n++) {
            SCRATCH(scratch);
            struct error err = {0};

            put(&scratch, "f", "old");
            file_fault(n, faults[i].number);
            assert_refused(write_all(&scratch, &err), err, faults[i].kind);
            file_fault(0, 0);
            assert_old_or_new(&scratch);
            assert_ok(tree_remove(scratch.fd, "a", &err), err);
            assert_int_equal(scratch_count(&scratch, "."), 1); /* no temporary file */
            assert_ok(write_all(&scratch, &err), err);
            steps = file_fault_steps();
        }
    /* Two folders made and synced; two files opened, written, synced, renamed, their folder synced. */
    assert_int_equal(steps, 2 * 2 + 2 * 5);
}

static void a_kill_at_each_step_leaves_old_or_new(void **state)
{
    int killed = 0, status = 0;

    (void)state;
    for (int n = 1; n <= 15; n++) {
        SCRATCH(scratch);
        struct error err = {0};

        put(&scratch, "f", "old");
        pid_t child = fork();
        if (child == 0) {
            file_fault(n, FILE_FAULT_KILL);
            _exit(write_all(&scratch, &err) ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        assert_old_or_new(&scratch);
        assert_ok(write_all(&scratch, &err) || err.kind == ERROR_CONFLICT, err);
        assert_holds(&scratch, "f", "new");
        assert_holds(&scratch, "a/b/g", "made");
    }
    assert_int_equal(killed, 14);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_torn_write_writes_half(void **state)
{
    SCRATCH(scratch);
    struct error err = {0};
    FD(fd) = file_open_beneath(scratch.fd, "f", O_RDWR | O_CREAT, 0600, &err);

    (void)state;
    file_fault(1, ENOSPC);
    assert_refused(fd_write_all(fd, "12345678", 8, &err), err, ERROR_LIMIT);
    file_fault(0, 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), 4);
}

static void a_fault_comes_from_the_environment_too(void **state)
{
    SCRATCH(scratch);
    char command[300];

    (void)state;
    snprintf(command, sizeof(command), "LOCUM_FAULT=2:enospc /proc/%d/exe write-once %s", getpid(),
             scratch.path);
    int status = system(command);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ERROR_LIMIT);
    assert_int_equal(scratch_count(&scratch, "."), 0);
}

/* The same program, started by the test above: writes one file and tells the kind of the failure. */
static int write_once(const char *path)
{
    struct error err = {0};
    FD(folder) = folder_open(path, &err);

    file_write(folder, "f", "12", 2, 0600, &err);
    return (int)err.kind;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_cannot_leave_its_folder),
        cmocka_unit_test(opened_files_are_closed_on_exec),
        cmocka_unit_test(folders_are_made_with_the_mode_that_was_asked),
        cmocka_unit_test(a_file_is_replaced_or_created_once),
        cmocka_unit_test(reading_is_bounded_and_takes_files_only),
        cmocka_unit_test(links_and_renames_say_when_a_name_is_taken),
        cmocka_unit_test(a_tree_is_removed_without_following_links),
        cmocka_unit_test(a_tree_of_any_depth_is_removed),
        cmocka_unit_test(a_walk_goes_through_all_files_sorted_by_path),
        cmocka_unit_test(a_walk_refuses_links_pipes_and_great_depth),
        cmocka_unit_test(a_lock_is_held_once_and_ends_with_its_process),
        cmocka_unit_test(free_space_is_told),
        cmocka_unit_test(each_step_that_fails_leaves_old_or_new),
        cmocka_unit_test(a_kill_at_each_step_leaves_old_or_new),
        cmocka_unit_test(a_torn_write_writes_half),
        cmocka_unit_test(a_fault_comes_from_the_environment_too),
    };

    if (argc == 3 && string_is(argv[1], "write-once"))
        return write_once(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

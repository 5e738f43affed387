/* Files that are cut off while they are mapped, alone and under the making of a delta. */
/* link: -Wl,--wrap=delta_plan_make */
#include "test/repo/delta_pair.h"

#include "base/file.h"
#include "repo/delta_make_parts.h"
#include "repo/delta_map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH (1 << 20)

void __real_delta_plan_make(struct delta_maker *maker);
void __wrap_delta_plan_make(struct delta_maker *maker);

/* What becomes so long half way through a delta's making. */
static int cut_fd = -1;
static int64_t cut_to;

void __wrap_delta_plan_make(struct delta_maker *maker)
{
    if (cut_fd >= 0)
        assert_int_equal(ftruncate(cut_fd, cut_to), 0);
    __real_delta_plan_make(maker);
}

static void what_is_cut_off_reads_as_zeros_and_is_said(void **state)
{
    struct delta_map first, second;
    struct error err = {0};
    uint8_t *bytes = malloc(LENGTH);

    (void)state;
    memset(bytes, 7, LENGTH);
    FD(first_fd) = file_of(bytes, LENGTH);
    FD(second_fd) = file_of(bytes, LENGTH);
    must(delta_map_open(&first, first_fd, &err));
    must(delta_map_open(&second, second_fd, &err));
    assert_int_equal(first.bytes[LENGTH - 1], 7);
    assert_int_equal(ftruncate(first_fd, 5000), 0);
    assert_int_equal(first.bytes[LENGTH - 1], 0);
    assert_int_equal(first.bytes[0], 0); /* half of it is of no use */
    assert_false(delta_map_holds(&first, &err));
    assert_int_equal(err.kind, ERROR_SYSTEM);
    assert_int_equal(second.bytes[LENGTH - 1], 7);
    must(delta_map_holds(&second, &err));
    delta_map_close(&first);
    assert_int_equal(second.bytes[0], 7);
    delta_map_close(&second);
    free(bytes);
}

static void a_cut_within_the_last_page_is_said_as_well(void **state)
{
    struct delta_map map;
    struct error err = {0};
    uint8_t bytes[100] = {1};

    (void)state;
    FD(fd) = file_of(bytes, sizeof bytes);
    must(delta_map_open(&map, fd, &err));
    assert_int_equal(ftruncate(fd, 60), 0);
    assert_int_equal(map.bytes[99], 0);
    assert_false(delta_map_holds(&map, &err));
    delta_map_close(&map);
}

/* In a process of its own: a SIGBUS of other memory, or one that is sent. Returns when neither ended it. */
static void fall(int fd, int other_fd, bool sent)
{
    struct delta_map map;
    struct error err = {0};

    signal(SIGBUS, SIG_DFL); /* not cmocka's */
    if (!delta_map_open(&map, fd, &err))
        return;
    const volatile uint8_t *other = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, other_fd, 0);
    if (sent || ftruncate(other_fd, 0) < 0)
        raise(SIGBUS);
    else
        (void)other[0];
}

static void what_is_no_map_of_ours_ends_the_program_as_ever(void **state)
{
    uint8_t bytes[4096] = {1};

    (void)state;
    for (int sent = 0; sent < 2; sent++) {
        int status = 0;
        FD(fd) = file_of(bytes, sizeof bytes);
        FD(other_fd) = file_of(bytes, sizeof bytes);
        pid_t pid = fork();
        if (pid == 0) {
            fall(fd, other_fd, sent);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    }
}

/* The making of a delta of two files of LENGTH bytes, one of which is cut half way. */
static bool make_cut(bool cut_old, enum delta_effort effort, struct error *err)
{
    char sha256[SHA256_HEX];
    struct delta_made made;
    struct random random = {3};
    uint8_t *bytes = malloc(LENGTH);

    random_fill(&random, bytes, LENGTH);
    sha256_hex(bytes, LENGTH, sha256);
    FD(old_fd) = file_of(bytes, LENGTH);
    for (size_t at = 0; at < LENGTH; at += 5000)
        bytes[at]++;
    FD(new_fd) = file_of(bytes, LENGTH);
    FD(out_fd) = file_of("", 0);
    struct delta_make make = {.old_fd = old_fd,
                              .new_fd = new_fd,
                              .out_fd = out_fd,
                              .old_sha256 = sha256,
                              .new_sha256 = sha256,
                              .effort = effort};
    cut_fd = cut_old ? old_fd : new_fd;
    bool good = delta_make(&make, &made, err);
    cut_fd = -1;
    free(bytes);
    return good;
}

static void a_delta_of_a_file_that_is_cut_off_meanwhile_fails(void **state)
{
    static const int64_t cuts[] = {0, LENGTH / 2, LENGTH - 1};

    (void)state;
    for (size_t i = 0; i < 3 * 4; i++) {
        struct error err = {0};

        cut_to = cuts[i / 4];
        assert_false(make_cut(i & 1, i & 2 ? DELTA_THOROUGH : DELTA_QUICK, &err));
        assert_int_equal(err.kind, ERROR_SYSTEM);
        assert_non_null(strstr(err.text, "cut off"));
    }
    cut_to = LENGTH;
    struct error err = {0};
    must(make_cut(true, DELTA_QUICK, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_cut_off_reads_as_zeros_and_is_said),
        cmocka_unit_test(a_cut_within_the_last_page_is_said_as_well),
        cmocka_unit_test(what_is_no_map_of_ours_ends_the_program_as_ever),
        cmocka_unit_test(a_delta_of_a_file_that_is_cut_off_meanwhile_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test/repo/fixture.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE 1000000

static char *content(char sha256[SHA256_HEX])
{
    char *bytes = malloc(SIZE);
    for (int i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 31 + i / 997);
    sha256_hex(bytes, SIZE, sha256);
    return bytes;
}

static bool send(struct fixture *fixture, const char *sha256, const char *bytes, int64_t from, int64_t to,
                 bool *complete, struct error *err)
{
    struct object_upload *upload = object_upload_open(fixture->repo, sha256, from, SIZE, err);
    if (!upload)
        return false;
    for (int64_t at = from; at < to; at += 65536) {
        int64_t size = to - at < 65536 ? to - at : 65536;
        if (!object_upload_add(upload, bytes + at, (size_t)size, err)) {
            object_upload_abort(upload);
            return false;
        }
    }
    return object_upload_end(upload, complete, err);
}

static void must_hold(struct fixture *fixture, const char *sha256, int64_t size, bool complete)
{
    bool there;
    assert_int_equal(object_held(fixture->repo, sha256, &there), size);
    assert_int_equal(there, complete);
}

static void an_upload_in_one_go_becomes_a_read_only_object(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    char sha256[SHA256_HEX], path[256], real[SHA256_HEX], *bytes = content(sha256);
    bool complete;
    int64_t size;
    struct stat stat_;
    must_hold(fixture, sha256, 0, false);
    must(send(fixture, sha256, bytes, 0, SIZE, &complete, &err));
    assert_true(complete);
    must_hold(fixture, sha256, SIZE, true);
    FD(fd) = object_open(fixture->repo, sha256, &size, &err);
    must(sha256_file(fd, real, &size, &err));
    assert_string_equal(real, sha256);
    snprintf(path, sizeof path, "%s/assets.git/lfs/objects/%.2s/%.2s/%s", fixture->path, sha256, sha256 + 2,
             sha256);
    assert_int_equal(stat(path, &stat_), 0);
    assert_int_equal(stat_.st_mode & 07777, 0444);
    assert_int_equal(shell("test -z \"$(ls %s/uploads)\"", fixture->path), 0);
    assert_false(send(fixture, sha256, bytes, 0, SIZE, &complete, &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
    free(bytes);
}

static void a_cut_upload_goes_on_also_after_a_restart(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    char sha256[SHA256_HEX], *bytes = content(sha256);
    bool complete;
    must(send(fixture, sha256, bytes, 0, 300001, &complete, &err));
    assert_false(complete);
    must_hold(fixture, sha256, 300001, false);
    fixture_close(fixture);
    fixture_open(fixture);
    must_hold(fixture, sha256, 300001, false);
    struct object_upload *upload = object_upload_open(fixture->repo, sha256, 300001, SIZE, &err);
    must(upload);
    must(object_upload_add(upload, bytes + 300001, 1000, &err));
    object_upload_abort(upload); /* a cut connection */
    must(send(fixture, sha256, bytes, 301001, SIZE, &complete, &err));
    assert_true(complete);
    free(bytes);
}

static void an_offset_that_is_not_held_is_a_conflict_that_names_it(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    char sha256[SHA256_HEX], *bytes = content(sha256);
    bool complete;
    must(send(fixture, sha256, bytes, 0, 1000, &complete, &err));
    assert_false(send(fixture, sha256, bytes, 0, SIZE, &complete, &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, "1000 bytes"));
    err = (struct error){0};
    assert_false(send(fixture, sha256, bytes, 2000, SIZE, &complete, &err));
    must_hold(fixture, sha256, 1000, false);
    free(bytes);
}

static void wrong_bytes_are_refused_and_leave_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    char sha256[SHA256_HEX], *bytes = content(sha256);
    bool complete;
    must(send(fixture, sha256, bytes, 0, 1000, &complete, &err));
    bytes[5000] ^= 1;
    assert_false(send(fixture, sha256, bytes, 1000, SIZE, &complete, &err));
    assert_int_equal(err.kind, ERROR_UNTRUSTED);
    assert_false(complete);
    must_hold(fixture, sha256, 0, false);
    bytes[5000] ^= 1;
    err = (struct error){0};
    must(send(fixture, sha256, bytes, 0, SIZE, &complete, &err));
    free(bytes);
}

static void a_kept_part_that_went_bad_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    char sha256[SHA256_HEX], path[200], *bytes = content(sha256);
    bool complete;
    must(send(fixture, sha256, bytes, 0, 1000, &complete, &err));
    snprintf(path, sizeof path, "%s/uploads/%s.part", fixture->path, sha256);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "?", 1, 500), 1);
    close(fd);
    assert_false(send(fixture, sha256, bytes, 1000, SIZE, &complete, &err));
    assert_int_equal(err.kind, ERROR_UNTRUSTED);
    free(bytes);
}

static void more_bytes_than_announced_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    char sha256[SHA256_HEX];
    sha256_hex("abc", 3, sha256);
    struct object_upload *upload = object_upload_open(fixture->repo, sha256, 0, 3, &err);
    must(upload);
    assert_false(object_upload_add(upload, "abcd", 4, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
    object_upload_abort(upload);
    err = (struct error){0};
    assert_null(object_upload_open(fixture->repo, sha256, 4, 3, &err));
    assert_null(object_upload_open(fixture->repo, sha256, 0, INT64_MAX, &err));
    assert_null(object_upload_open(fixture->repo, "../../etc/passwd", 0, 3, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
}

static void a_second_uploader_of_the_same_object_is_told_so(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    char sha256[SHA256_HEX], *bytes = content(sha256);
    bool complete;
    struct object_upload *first = object_upload_open(fixture->repo, sha256, 0, SIZE, &err);
    must(first);
    assert_null(object_upload_open(fixture->repo, sha256, 0, SIZE, &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
    must(object_upload_add(first, bytes, 10, &err));
    object_upload_abort(first);
    must_hold(fixture, sha256, 10, false);
    err = (struct error){0};
    must(send(fixture, sha256, bytes, 10, SIZE, &complete, &err));
    free(bytes);
}

static void a_full_disk_loses_nothing_that_was_held(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    char sha256[SHA256_HEX], *bytes = content(sha256);
    bool complete;
    must(send(fixture, sha256, bytes, 0, 65536, &complete, &err));
    file_fault(3, 28 /* ENOSPC: open, write, then the second write */);
    assert_false(send(fixture, sha256, bytes, 65536, SIZE, &complete, &err));
    file_fault(0, 0);
    assert_int_equal(err.kind, ERROR_LIMIT);
    bool there;
    int64_t held = object_held(fixture->repo, sha256, &there);
    assert_int_equal(held, 2 * 65536);
    err = (struct error){0};
    must(send(fixture, sha256, bytes, held, SIZE, &complete, &err));
    assert_true(complete);
    free(bytes);
}

static void an_empty_object_and_small_ones_can_be_put(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    char sha256[SHA256_HEX], again[SHA256_HEX];
    bool complete;
    sha256_hex("", 0, sha256);
    struct object_upload *upload = object_upload_open(fixture->repo, sha256, 0, 0, &err);
    must(upload);
    must(object_upload_end(upload, &complete, &err));
    assert_true(complete);
    must(object_put(fixture->repo, "x", 1, sha256, &err));
    must(object_put(fixture->repo, "x", 1, again, &err));
    assert_string_equal(sha256, again);
    memset(sha256, '0', 64);
    assert_int_equal(object_open(fixture->repo, sha256, NULL, &err), -1);
    assert_int_equal(err.kind, ERROR_MISSING);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_upload_in_one_go_becomes_a_read_only_object),
        TEST(a_cut_upload_goes_on_also_after_a_restart),
        TEST(an_offset_that_is_not_held_is_a_conflict_that_names_it),
        TEST(wrong_bytes_are_refused_and_leave_nothing),
        TEST(a_kept_part_that_went_bad_is_noticed),
        TEST(more_bytes_than_announced_are_refused),
        TEST(a_second_uploader_of_the_same_object_is_told_so),
        TEST(a_full_disk_loses_nothing_that_was_held),
        TEST(an_empty_object_and_small_ones_can_be_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The store of deltas: made once, replaced, kept under a quota, found again, and cleaned up. */
#include "test/repo/fixture.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "repo/delta_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LENGTH (512 << 10)
#define QUOTA ((int64_t)64 << 20)

/* A repository with a store, and what is in its folders. */
struct kept_test {
    struct fixture *fixture;
    struct delta_store *store;
};

static int setup(void **state)
{
    struct kept_test *test = calloc(1, sizeof *test);
    struct error err = {0};

    log_level = LOG_ERROR;
    test->fixture = fixture_new();
    test->store = delta_store_open(test->fixture->repo, test->fixture->dirfd, QUOTA, &err);
    if (!test->store)
        fail_msg("%s", err.text);
    *state = test;
    return 0;
}

static int teardown(void **state)
{
    struct kept_test *test = *state;

    delta_store_close(test->store);
    fixture_free(test->fixture);
    free(test);
    return 0;
}

static void open_again(struct kept_test *test, int64_t quota)
{
    struct error err = {0};

    delta_store_close(test->store);
    test->store = delta_store_open(test->fixture->repo, test->fixture->dirfd, quota, &err);
    if (!test->store)
        fail_msg("%s", err.text);
}

static void object(struct kept_test *test, const void *bytes, size_t size, char sha256[SHA256_HEX])
{
    struct error err = {0};

    must(object_put(test->fixture->repo, bytes, size, sha256, &err));
}

/* Random bytes, and the same with a few of them changed. */
static void pair(struct kept_test *test, char old[SHA256_HEX], char new[SHA256_HEX])
{
    uint8_t *bytes = malloc(LENGTH);

    random_bytes(bytes, LENGTH);
    object(test, bytes, LENGTH, old);
    random_bytes(bytes + LENGTH / 2, 1000);
    object(test, bytes, LENGTH, new);
    free(bytes);
}

/* How many names there are in deltas/<folder>; the last one in `name`. */
static int names(struct kept_test *test, const char *folder, char name[256])
{
    char path[160];
    struct dirent *entry;
    int count = 0;

    snprintf(path, sizeof path, "%s/deltas/%s", test->fixture->path, folder);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) {
            count++;
            if (name)
                snprintf(name, 256, "%s", entry->d_name);
        }
    closedir(dir);
    return count;
}

static struct delta_known known(struct kept_test *test, const char *old, const char *new)
{
    struct delta_known known;

    delta_store_look(test->store, old, new, &known);
    return known;
}

static int64_t tried(struct kept_test *test)
{
    struct delta_figures figures;

    delta_store_figures(test->store, &figures);
    return figures.made;
}

/* The delta's bytes make the new object of the old one, and its tag is their hash. */
static void assert_applies(struct kept_test *test, const char *old, const char *new)
{
    struct delta_known told;
    struct error err = {0};
    char sha256[SHA256_HEX], *bytes;
    int64_t size;

    FD(fd) = delta_store_get(test->store, old, new, &told, &err);
    FD(old_fd) = object_open(test->fixture->repo, old, NULL, &err);
    FD(new_fd) = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && old_fd >= 0 && new_fd >= 0);
    must(sha256_file(fd, sha256, &size, &err));
    assert_string_equal(sha256, told.etag);
    assert_int_equal(size, told.length);
    bytes = malloc((size_t)size);
    assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
    struct delta_apply *apply = delta_apply_open(old_fd, new_fd, LENGTH, NULL, &err);
    must(delta_apply_feed(apply, bytes, (size_t)size, &err));
    must(delta_apply_end(apply, sha256, &err));
    assert_string_equal(sha256, new);
    delta_apply_free(apply);
    free(bytes);
}

static void a_delta_is_made_once_and_makes_the_new_object(void **state)
{
    struct kept_test *test = *state;
    char old[SHA256_HEX], new[SHA256_HEX];
    struct error err = {0};

    pair(test, old, new);
    assert_false(known(test, old, new).tried);
    must(delta_store_make(test->store, old, new, DELTA_QUICK, NULL, &err));
    must(delta_store_make(test->store, old, new, DELTA_QUICK, NULL, &err));
    assert_int_equal(tried(test), 1);
    assert_true(known(test, old, new).length > 0 && known(test, old, new).length < 4000);
    assert_applies(test, old, new);
    assert_int_equal(names(test, "pairs", NULL), 1);
}

static void a_thorough_one_takes_its_place_at_once(void **state)
{
    struct kept_test *test = *state;
    char old[SHA256_HEX], new[SHA256_HEX], name[256], bytes[16];
    struct error err = {0};
    struct delta_known quick;

    pair(test, old, new);
    must(delta_store_make(test->store, old, new, DELTA_QUICK, NULL, &err));
    FD(fd) = delta_store_get(test->store, old, new, &quick, &err);
    assert_true(fd >= 0);
    delta_store_count(test->store, old, new);
    must(delta_store_make(test->store, old, new, DELTA_THOROUGH, NULL, &err));
    assert_int_equal(known(test, old, new).effort, DELTA_THOROUGH);
    assert_true(known(test, old, new).length <= quick.length);
    assert_int_equal(known(test, old, new).asked, 1);
    assert_int_equal(names(test, "pairs", name), 1);
    assert_non_null(strstr(name, ".thorough."));
    assert_applies(test, old, new);
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes); /* who reads the quick one reads on */
    must(delta_store_make(test->store, old, new, DELTA_QUICK, NULL, &err));
    assert_int_equal(known(test, old, new).effort, DELTA_THOROUGH);
    assert_int_equal(tried(test), 2);
}

static void what_is_not_worth_it_is_tried_once(void **state)
{
    struct kept_test *test = *state;
    char old[SHA256_HEX], new[SHA256_HEX];
    uint8_t *bytes = malloc(LENGTH);
    struct error err = {0};

    random_bytes(bytes, LENGTH);
    object(test, bytes, LENGTH, old);
    random_bytes(bytes, LENGTH);
    object(test, bytes, LENGTH, new);
    free(bytes);
    must(delta_store_make(test->store, old, new, DELTA_QUICK, NULL, &err));
    assert_true(known(test, old, new).tried);
    assert_int_equal(known(test, old, new).length, 0);
    struct delta_known told;
    assert_int_equal(delta_store_get(test->store, old, new, &told, &err), -1);
    assert_int_equal(err.kind, ERROR_MISSING);
    open_again(test, QUOTA);
    assert_true(known(test, old, new).tried);
    must(delta_store_make(test->store, old, new, DELTA_QUICK, NULL, &err));
    assert_int_equal(tried(test), 0);
}

static void a_restart_finds_it_again(void **state)
{
    struct kept_test *test = *state;
    char old[SHA256_HEX], new[SHA256_HEX];
    struct error err = {0};

    pair(test, old, new);
    must(delta_store_make(test->store, old, new, DELTA_THOROUGH, NULL, &err));
    struct delta_known before = known(test, old, new);
    open_again(test, QUOTA);
    struct delta_known after = known(test, old, new);
    assert_int_equal(after.length, before.length);
    assert_string_equal(after.etag, before.etag);
    assert_int_equal(after.effort, DELTA_THOROUGH);
    assert_applies(test, old, new);
}

static void touch(struct kept_test *test, const char *path, const char *bytes)
{
    struct error err = {0};

    must(file_write(test->fixture->dirfd, path, bytes, strlen(bytes), 0600, &err));
}

static void a_start_drops_what_is_half_made_foreign_or_of_no_object(void **state)
{
    struct kept_test *test = *state;
    char old[SHA256_HEX], new[SHA256_HEX], none[SHA256_HEX], path[300];
    struct error err = {0};

    pair(test, old, new);
    must(delta_store_make(test->store, old, new, DELTA_THOROUGH, NULL, &err));
    touch(test, "deltas/pairs/.making", "half");
    touch(test, "deltas/pairs/README", "hello");
    touch(test, "deltas/whole/../chunks/x", "hello");
    sha256_hex("nothing", 7, none);
    snprintf(path, sizeof path, "deltas/pairs/%s.%s.quick.%s", none, new, none);
    touch(test, path, "a delta");
    snprintf(path, sizeof path, "deltas/pairs/%s.%s.quick.%s", old, new, none); /* killed between two steps */
    touch(test, path, "a delta");
    snprintf(path, sizeof path, "deltas/whole/%s.%s", new, none);
    touch(test, path, ""); /* cut by a power loss */
    open_again(test, QUOTA);
    assert_int_equal(names(test, "pairs", path), 1);
    assert_non_null(strstr(path, ".thorough."));
    assert_int_equal(names(test, "whole", NULL), 0);
    assert_applies(test, old, new);
}

static void what_was_used_longest_ago_goes_first(void **state)
{
    struct kept_test *test = *state;
    char old[5][SHA256_HEX], new[5][SHA256_HEX];
    struct error err = {0};
    struct delta_figures figures;
    struct delta_known told;

    for (int i = 0; i < 3; i++) {
        pair(test, old[i], new[i]);
        must(delta_store_make(test->store, old[i], new[i], DELTA_QUICK, NULL, &err));
    }
    delta_store_figures(test->store, &figures);
    /* Room for what is there and no more: two others, with their tables, put out what was not used since. */
    int64_t quota = figures.bytes;
    open_again(test, quota);
    FD(fd) = delta_store_get(test->store, old[0], new[0], &told, &err);
    for (int i = 3; i < 5; i++) {
        pair(test, old[i], new[i]);
        must(delta_store_make(test->store, old[i], new[i], DELTA_QUICK, NULL, &err));
    }
    assert_true(known(test, old[0], new[0]).length > 0);
    assert_true(known(test, old[4], new[4]).length > 0);
    assert_false(known(test, old[1], new[1]).tried);
    delta_store_figures(test->store, &figures);
    assert_true(figures.bytes <= quota);
    open_again(test, 1);
    assert_int_equal(names(test, "pairs", NULL) + names(test, "whole", NULL) + names(test, "chunks", NULL),
                     0);
}

static void one_that_rotted_is_dropped_and_made_anew(void **state)
{
    struct kept_test *test = *state;
    char old[SHA256_HEX], new[SHA256_HEX], name[256], path[400];
    struct error err = {0};
    bool good;

    pair(test, old, new);
    must(delta_store_make(test->store, old, new, DELTA_QUICK, NULL, &err));
    must(delta_store_check(test->store, old, new, &good, &err));
    assert_true(good);
    names(test, "pairs", name);
    snprintf(path, sizeof path, "%s/deltas/pairs/%s", test->fixture->path, name);
    FD(fd) = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "rotten", 6, known(test, old, new).length - 6), 6);
    must(delta_store_check(test->store, old, new, &good, &err));
    assert_false(good);
    assert_false(known(test, old, new).tried);
    must(delta_store_make(test->store, old, new, DELTA_QUICK, NULL, &err));
    assert_applies(test, old, new);
}

static void one_that_was_made_wrong_is_not_made_again(void **state)
{
    struct kept_test *test = *state;
    char old[SHA256_HEX], new[SHA256_HEX], path[300], sha256[SHA256_HEX];
    struct error err = {0};
    bool good;

    pair(test, old, new);
    sha256_hex("no delta", 8, sha256);
    snprintf(path, sizeof path, "deltas/pairs/%s.%s.quick.%s", old, new, sha256);
    touch(test, path, "no delta");
    open_again(test, QUOTA);
    must(delta_store_check(test->store, old, new, &good, &err));
    assert_false(good);
    must(delta_store_make(test->store, old, new, DELTA_THOROUGH, NULL, &err));
    assert_int_equal(known(test, old, new).length, 0);
    assert_int_equal(tried(test), 0);
    delta_store_check(test->store, NULL, new, &good, &err); /* of what is not there nothing is said */
    assert_false(good);
}

static void an_object_is_packed_once_where_that_saves_a_tenth(void **state)
{
    struct kept_test *test = *state;
    char text[SHA256_HEX], noise[SHA256_HEX], other[SHA256_HEX];
    struct error err = {0};
    struct delta_figures figures;
    char *bytes = malloc(LENGTH);
    bool good;

    for (int i = 0; i < LENGTH; i++)
        bytes[i] = "etaoin shrdlu\n"[rand() % 14];
    object(test, bytes, LENGTH, text);
    free(bytes);
    pair(test, noise, other);
    for (int i = 0; i < 2; i++) {
        must(delta_store_pack(test->store, text, NULL, &err));
        must(delta_store_pack(test->store, noise, NULL, &err));
    }
    delta_store_figures(test->store, &figures);
    assert_int_equal(figures.packed, 2);
    assert_true(known(test, NULL, text).length > 0 && known(test, NULL, text).length < LENGTH * 9 / 10);
    assert_true(known(test, NULL, noise).tried && known(test, NULL, noise).length == 0);
    must(delta_store_check(test->store, NULL, text, &good, &err));
    assert_true(good);
}

/* In pieces, with a cut in between, as uploads come. */
static void receive(struct kept_test *test, const uint8_t *bytes, int64_t size, char sha256[SHA256_HEX])
{
    struct error err = {0};
    bool complete;

    sha256_hex(bytes, (size_t)size, sha256);
    for (int64_t at = 0; at < size; at += size / 2) {
        struct object_upload *upload = object_upload_open(test->fixture->repo, sha256, at, size, &err);
        must(upload);
        must(object_upload_add(upload, bytes + at, (size_t)size / 2, &err));
        must(object_upload_end(upload, &complete, &err));
        assert_int_equal(complete, at > 0);
    }
}

static void chunks_are_kept_from_the_upload_on_and_tell_what_is_alike(void **state)
{
    struct kept_test *test = *state;
    uint8_t *bytes = malloc(LENGTH);
    char old[SHA256_HEX], like[SHA256_HEX], unlike[SHA256_HEX], small[SHA256_HEX];

    random_bytes(bytes, LENGTH);
    receive(test, bytes, LENGTH, old);
    random_bytes(bytes, 1000);
    receive(test, bytes, LENGTH, like);
    random_bytes(bytes, LENGTH);
    receive(test, bytes, LENGTH, unlike);
    receive(test, bytes, 8 << 10, small);
    free(bytes);
    assert_int_equal(names(test, "chunks", NULL), 3);
    assert_true(delta_store_alike(test->store, old, like, NULL) > LENGTH / 2);
    assert_int_equal(delta_store_alike(test->store, old, unlike, NULL), 0);
    char none[SHA256_HEX];
    sha256_hex("nothing", 7, none);
    assert_int_equal(delta_store_alike(test->store, none, like, NULL), -1);
}

static void making_stops_when_it_is_told_to_and_leaves_nothing(void **state)
{
    struct kept_test *test = *state;
    char old[SHA256_HEX], new[SHA256_HEX];
    atomic_bool cancel = true;
    struct error err = {0};

    pair(test, old, new);
    assert_false(delta_store_make(test->store, old, new, DELTA_THOROUGH, &cancel, &err));
    assert_int_equal(err.kind, ERROR_SYSTEM);
    assert_false(known(test, old, new).tried);
    assert_int_equal(names(test, "pairs", NULL), 0);
}

/* Whatever step of keeping one fails: it is there whole or not at all, also for the next start. */
static void a_failing_disk_leaves_a_whole_delta_or_none(void **state)
{
    struct kept_test *test = *state;
    char old[SHA256_HEX], new[SHA256_HEX];
    bool reached = true;
    int n;

    pair(test, old, new);
    for (n = 1; reached && n < 100; n++) {
        struct error err = {0};

        must(tree_remove(test->fixture->dirfd, "deltas", &err));
        open_again(test, QUOTA);
        file_fault(n, EIO);
        delta_store_make(test->store, old, new, DELTA_QUICK, NULL, &err);
        reached = file_fault_steps() >= n;
        file_fault(0, 0);
        open_again(test, QUOTA);
        if (known(test, old, new).length)
            assert_applies(test, old, new);
        else
            assert_true(reached);
    }
    assert_true(n > 5 && n < 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_delta_is_made_once_and_makes_the_new_object),
        TEST(a_thorough_one_takes_its_place_at_once),
        TEST(what_is_not_worth_it_is_tried_once),
        TEST(a_restart_finds_it_again),
        TEST(a_start_drops_what_is_half_made_foreign_or_of_no_object),
        TEST(what_was_used_longest_ago_goes_first),
        TEST(one_that_rotted_is_dropped_and_made_anew),
        TEST(one_that_was_made_wrong_is_not_made_again),
        TEST(an_object_is_packed_once_where_that_saves_a_tenth),
        TEST(chunks_are_kept_from_the_upload_on_and_tell_what_is_alike),
        TEST(making_stops_when_it_is_told_to_and_leaves_nothing),
        TEST(a_failing_disk_leaves_a_whole_delta_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

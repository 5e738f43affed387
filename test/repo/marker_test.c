/* Markers in what a compiler and objcopy really make, and in what hostile hands do. */
#include "test/repo/fixture.h"

#include "base/file.h"
#include "repo/marker.h"
/* The fuzz target itself, so that its findings run here. */
#include "test/fuzz/marker_fuzz.c"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RAW "@(#)locum:1:demo/reader:1.2.3\n"

struct found {
    int count;
    struct marker last;
};

static void note(void *context, const struct marker *marker)
{
    struct found *found = context;

    found->count++;
    found->last = *marker;
}

static struct found find_in(const char *path)
{
    struct found found = {0};
    struct error err = {0};
    int64_t left = MARKER_BYTES;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    must(marker_find(fd, &left, note, &found, &err));
    close(fd);
    return found;
}

static void put(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static struct found find_bytes(struct fixture *fixture, const void *bytes, size_t size)
{
    char path[128];

    snprintf(path, sizeof path, "%s/bytes", fixture->path);
    put(path, bytes, size);
    return find_in(path);
}

/* A program of C or C++, without what nothing calls and without symbols. */
static void build(struct fixture *fixture, const char *compiler, const char *flags, const char *name)
{
    char source[128];
    static const char text[] = "#include \"agent/include/locum_marker.h\"\n"
                               "#define VERSION \"1.2.3\"\n"
                               "LOCUM_MARKER(\"demo\", \"reader\", VERSION)\n"
                               "int main(void) { return 0; }\n";

    snprintf(source, sizeof source, "%s/source", fixture->path);
    put(source, text, strlen(text));
    assert_int_equal(
        shell("%s -I. -Wall -Wextra -Werror -O2 -ffunction-sections -fdata-sections -Wl,--gc-sections "
              "-s %s -o %s/%s %s",
              compiler, flags, fixture->path, name, source),
        0);
}

static void expect_one(const char *path)
{
    struct found found = find_in(path);

    assert_true(found.count > 0);
    assert_string_equal(found.last.product, "demo");
    assert_string_equal(found.last.asset, "reader");
    assert_string_equal(found.last.version, "1.2.3");
}

static void a_marker_outlives_the_linker_strip_and_objcopy(void **state)
{
    struct fixture *fixture = *state;
    char path[128];

    build(fixture, "gcc -x c", "", "c");
    build(fixture, "g++ -x c++", "", "cpp");
    build(fixture, "gcc -x c", "-flto", "lto");
    build(fixture, "gcc -x c", "-c", "object"); /* sections alone */
    for (const char **name = (const char *[]){"c", "cpp", "lto", "object", NULL}; *name; name++) {
        snprintf(path, sizeof path, "%s/%s", fixture->path, *name);
        expect_one(path);
    }
    assert_int_equal(shell("objcopy -O binary %s/c %s/raw", fixture->path, fixture->path), 0);
    snprintf(path, sizeof path, "%s/raw", fixture->path);
    expect_one(path);
}

static void a_marker_is_found_wherever_it_lies_in_raw_bytes(void **state)
{
    static const size_t places[] = {0, 1, (256 << 10) - 5, 256 << 10, (256 << 10) + 200, (768 << 10) - 20};
    size_t size = 1 << 20;
    char *bytes = calloc(1, size);

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        memset(bytes, 'x', size);
        memcpy(bytes + places[i], RAW, strlen(RAW));
        assert_int_equal(find_bytes(*state, bytes, size).count, 1);
    }
    memset(bytes, 'x', size);
    memcpy(bytes + size - strlen(RAW), RAW, strlen(RAW));
    assert_int_equal(find_bytes(*state, bytes, size).count, 1);
    memcpy(bytes + size - strlen(RAW) + 1, RAW, strlen(RAW) - 1); /* cut by the end */
    assert_int_equal(find_bytes(*state, bytes, size).count, 0);
    free(bytes);
}

static void what_only_looks_like_a_marker_is_none(void **state)
{
    static const char *const wrong[] = {"@(#)locum:1:../x/reader:1.2.3\n",
                                        "@(#)locum:1:demo/reader:one\n",
                                        "@(#)locum:1:demo/reader:1.2.3",
                                        "@(#)locum:2:demo/reader:1.2.3\n",
                                        "@(#)locum:1:demo\n",
                                        "@(#)locum:1:"};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(find_bytes(*state, wrong[i], strlen(wrong[i])).count, 0);
}

/* Nothing but beginnings: each costs as much as a name is long, not as much as the file has left. */
static void beginnings_without_end_cost_no_more_than_other_bytes(void **state)
{
    static const char begun[] = "@(#)locum:1:";
    size_t size = 16 << 20;
    char *bytes = malloc(size);
    clock_t before;

    for (size_t i = 0; i < size; i++)
        bytes[i] = begun[i % (sizeof begun - 1)];
    before = clock();
    assert_int_equal(find_bytes(*state, bytes, size).count, 0);
    assert_true(clock() - before < 2 * CLOCKS_PER_SEC);
    free(bytes);
}

/* Each byte of a real program's headers and notes, turned into several others: no answer but a calm one. */
static void a_damaged_elf_file_is_read_to_a_calm_end(void **state)
{
    struct fixture *fixture = *state;
    ARENA(arena);
    struct error err = {0};
    char *bytes;
    size_t size;

    build(fixture, "gcc -x c", "", "c");
    must(file_read(&arena, fixture->dirfd, "c", 1 << 20, &bytes, &size, &err));
    for (size_t at = 4; at < 64; at++)
        for (int value = 0; value < 256; value += 51) {
            char before = bytes[at];
            bytes[at] = (char)value;
            find_bytes(fixture, bytes, size);
            bytes[at] = before;
        }
    for (size_t cut = 0; cut < 256; cut++)
        find_bytes(fixture, bytes, cut);
    assert_true(find_bytes(fixture, bytes, size).count > 0);
}

static int findings;

static bool finding_run(void *context, const char *path, int fd, int64_t size, mode_t mode, struct error *err)
{
    uint8_t *bytes = malloc((size_t)size + 1);

    (void)context, (void)path, (void)mode, (void)err;
    assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
    LLVMFuzzerTestOneInput(bytes, (size_t)size);
    free(bytes);
    findings++;
    return true;
}

static void the_findings_of_the_fuzzer_stay_fixed(void **state)
{
    struct error err = {0};
    FD(folder) = folder_open("test/fuzz/marker", &err);

    (void)state;
    must(folder >= 0 && folder_walk(folder, finding_run, NULL, &err));
    assert_true(findings >= 3);
}

static bool publish_app(struct fixture *fixture, const char *version, const char *bytes, bool required,
                        struct error *err)
{
    struct manifest_file file = {.path = "app", .length = (int64_t)strlen(bytes), .mode = 0755};
    struct publication publication = {.author = "ada", .marker_required = required};
    struct manifest *manifest = &publication.manifest;
    struct published published;

    manifest->kind = KIND_APP;
    strcpy(manifest->product, "demo");
    strcpy(manifest->asset, "reader");
    strcpy(manifest->version, version);
    manifest->files = &file;
    manifest->file_count = 1;
    return object_put(fixture->repo, bytes, strlen(bytes), file.sha256, err) &&
           repo_publish(fixture->repo, &publication, &published, err);
}

static void expect_marker(struct fixture *fixture, const char *version, const char *marker)
{
    ARENA(arena);
    struct error err = {0};
    struct version_row *rows;
    size_t count;
    DB_DONE(conn) = db_read(fixture->db, &err);

    must(conn && repo_versions(conn, &arena, "demo", "reader", &rows, &count, &err));
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].version, version) == 0) {
            assert_string_equal(rows[i].marker, marker);
            return;
        }
    fail_msg("there is no version %s", version);
}

static void a_version_that_is_not_the_one_built_is_refused_with_both_named(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};

    assert_false(publish_app(fixture, "1.2.4", RAW, false, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_non_null(strstr(err.text, "it is demo/reader 1.2.3, not demo/reader 1.2.4"));
    err = (struct error){0};
    assert_false(publish_app(fixture, "1.2.3", "@(#)locum:1:demo/other:1.2.3\n", false, &err));
    assert_non_null(strstr(err.text, "it is demo/other 1.2.3, not demo/reader 1.2.3"));
    err = (struct error){0};
    /* a library of another asset beside what is ours, and a part of it left from before */
    assert_false(publish_app(fixture, "1.2.3", RAW "@(#)locum:1:demo/reader:1.0.0\n", false, &err));
    err = (struct error){0};
    must(publish_app(fixture, "1.2.3", "@(#)locum:1:demo/other:7.0.0\n" RAW, true, &err));
    expect_marker(fixture, "1.2.3", "marked");
}

static void without_a_marker_a_version_is_unmarked_or_refused_as_the_product_asks(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};

    assert_false(publish_app(fixture, "2.0.0", "#!/bin/sh\n", true, &err));
    assert_non_null(strstr(err.text, "LOCUM_MARKER(\"demo\", \"reader\", \"2.0.0\")"));
    err = (struct error){0};
    must(publish_app(fixture, "2.0.0", "#!/bin/sh\n", false, &err));
    expect_marker(fixture, "2.0.0", "unmarked");
    must(publish_app(fixture, "1.2.3", RAW, false, &err));
    must(repo_reindex(fixture->repo, &err));
    expect_marker(fixture, "2.0.0", "unmarked");
    expect_marker(fixture, "1.2.3", "marked");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_marker_outlives_the_linker_strip_and_objcopy, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_marker_is_found_wherever_it_lies_in_raw_bytes, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(what_only_looks_like_a_marker_is_none, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(beginnings_without_end_cost_no_more_than_other_bytes, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_damaged_elf_file_is_read_to_a_calm_end, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test(the_findings_of_the_fuzzer_stay_fixed),
        cmocka_unit_test_setup_teardown(a_version_that_is_not_the_one_built_is_refused_with_both_named,
                                        fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(without_a_marker_a_version_is_unmarked_or_refused_as_the_product_asks,
                                        fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

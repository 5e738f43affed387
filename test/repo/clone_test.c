/* A stock git and git-lfs read the repository without us. */
#include "test/repo/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* git and git-lfs with nobody's settings but ours; filters as `git lfs install` sets them. */
#define GIT                                                                                                  \
    "export HOME=%s/home GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0; mkdir -p $HOME; git lfs install "      \
    "--skip-repo "                                                                                           \
    ">/dev/null && git config --global safe.directory '*' && git config --global protocol.file.allow "       \
    "always && "

static const struct content *tricky_files(size_t *count)
{
    static char big[200000], long_name[700];
    static struct content files[] = {
        {"plain.txt", "plain\n", 6, 0},
        {"crlf.txt", "a\r\nb\r\n", 6, 0},
        {"empty", "", 0, 0},
        {"model.bin", "\0\1\2\xff", 4, 0},
        {"big.txt", big, sizeof big, 0},
        {"with space.txt", "s", 1, 0},
        {" leading and trailing ", "s", 1, 0},
        {"#hash", "h", 1, 0},
        {"!bang", "b", 1, 0},
        {"-dash", "d", 1, 0},
        {"glob*[a-z]?{x}.txt", "g", 1, 0},
        {"globXb.txt", "\0", 1, 0},
        {"globs/a*b/c", "\0 no text", 9, 0},
        {"globs/axb/c", "text", 4, 0},
        {"quote\"d", "q", 1, 0},
        {"caf\xc3\xa9", "u", 1, 0},
        {"tilde~:x", "t", 1, 0},
        {"run.sh", "#!/bin/sh\necho ran\n", 19, 0755},
        {"run.bin",
         "\x7f"
         "ELF\0",
         5, 0755},
        {"pointer.txt",
         "version https://git-lfs.github.com/spec/v1\noid sha256:"
         "0000000000000000000000000000000000000000000000000000000000000000\nsize 1\n",
         127, 0},
        {"dir/.hidden", "x", 1, 0},
        {"dir/sub/deep.txt", "deep", 4, 0},
        {"dir.txt", "sorts between", 13, 0},
        {long_name, "text under a name whose attribute line is too long for git", 58, 0},
    };
    memset(big, 'b', sizeof big);
    memset(long_name, 0, sizeof long_name);
    for (size_t i = 0; i < 690; i++)
        long_name[i] = i % 230 == 229 ? '/' : '[';
    long_name[689] = '[';
    *count = sizeof files / sizeof *files;
    return files;
}

static void write_expected(struct fixture *fixture, const struct content *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char path[1200];
        snprintf(path, sizeof path, "%s/expected/%s", fixture->path, files[i].path);
        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
            *slash = 0;
            mkdir(path, 0755);
            *slash = '/';
        }
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(files[i].bytes, 1, files[i].size, file), files[i].size);
        fclose(file);
        if (files[i].mode)
            assert_int_equal(chmod(path, (mode_t)files[i].mode), 0);
    }
}

static void publish_tricky(struct fixture *fixture)
{
    size_t count;
    struct error err = {0};
    struct published published;
    const struct content *files = tricky_files(&count);
    must(publish_text(fixture, "detector", "0.9.0", "before", &published, &err));
    must(publish_files(fixture, "detector", "1.0.0", files, count, &published, &err));
    write_expected(fixture, files, count);
}

static void check_clone(struct fixture *fixture, const char *scheme)
{
    assert_int_equal(shell(GIT "git clone -q %s%s/assets.git %s/clone 2>&1", fixture->path, scheme,
                           fixture->path, fixture->path),
                     0);
    assert_int_equal(shell(GIT "cd %s/clone && s=$(git status --porcelain) && echo \"$s\" && test -z \"$s\"",
                           fixture->path, fixture->path),
                     0);
    assert_int_equal(shell("diff -r %s/expected %s/clone/demo/detector/files", fixture->path, fixture->path),
                     0);
    assert_int_equal(
        shell("cd %s/clone/demo/detector/files && test -x run.sh && test -x run.bin && test ! -x plain.txt",
              fixture->path),
        0);
}

static void a_stock_clone_by_path_has_the_same_bytes_and_is_clean(void **state)
{
    publish_tricky(*state);
    check_clone(*state, "");
}

static void a_stock_clone_by_file_url_has_the_same_bytes_and_is_clean(void **state)
{
    publish_tricky(*state);
    check_clone(*state, "file://");
}

static void a_tag_checks_an_old_version_out(void **state)
{
    struct fixture *fixture = *state;
    publish_tricky(fixture);
    assert_int_equal(shell(GIT
                           "git clone -q file://%s/assets.git -b demo/detector/0.9.0 %s/clone 2>/dev/null && "
                           "test \"$(cat %s/clone/demo/detector/files/model.bin)\" = before",
                           fixture->path, fixture->path, fixture->path, fixture->path),
                     0);
}

static void git_fsck_and_lfs_fsck_find_nothing(void **state)
{
    struct fixture *fixture = *state;
    publish_tricky(fixture);
    assert_int_equal(
        shell(GIT "cd %s/assets.git && git fsck --strict --full 2>&1 | tee %s/fsck && ! grep -q -e error "
                  "-e missing %s/fsck",
              fixture->path, fixture->path, fixture->path, fixture->path),
        0);
    assert_int_equal(shell(GIT "git clone -q %s/assets.git %s/clone 2>&1 && cd %s/clone && git lfs fsck",
                           fixture->path, fixture->path, fixture->path, fixture->path),
                     0);
}

static void a_commit_touches_its_asset_and_the_metadata_only(void **state)
{
    struct fixture *fixture = *state;
    publish_tricky(fixture);
    assert_int_equal(
        shell(GIT "cd %s/assets.git && test \"$(git diff -z --name-only main~1 main | tr '\\0' '\\n' | cut "
                  "-d/ -f1,2 | sort -u | "
                  "grep -v -e ^demo/detector -e ^metadata/ | wc -l)\" = 0 && test \"$(git log -1 "
                  "--format=%%an:%%s main)\" = 'ada:demo/detector 1.0.0' && test \"$(git cat-file -t "
                  "demo/detector/1.0.0)\" = tag",
              fixture->path, fixture->path),
        0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_stock_clone_by_path_has_the_same_bytes_and_is_clean),
        TEST(a_stock_clone_by_file_url_has_the_same_bytes_and_is_clean),
        TEST(a_tag_checks_an_old_version_out),
        TEST(git_fsck_and_lfs_fsck_find_nothing),
        TEST(a_commit_touches_its_asset_and_the_metadata_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

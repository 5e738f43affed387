/* The proof sees every change of a set's files. */
#include "test/base/scratch.h"

#include "agent/proof.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/text.h"
#include "repo/manifest.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EMPTY_SET "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
#define MODEL "versions/detector/1.0.0/a/model.bin"

static void put(const struct scratch *scratch, const char *path, const char *text, mode_t mode)
{
    struct error err = {0};
    char folder[256];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL) {
        *slash = '\0';
        assert_ok(folder_make(scratch->fd, folder, 0755, &err), err);
    }
    assert_ok(file_write(scratch->fd, path, text, strlen(text), mode, &err), err);
}

/* One asset with one file, as the worker lays it out. `wanted` gets the digest that an order would carry. */
static void make_set(const struct scratch *scratch, char wanted[SHA256_HEX])
{
    ARENA(arena);
    TEXT(text);
    struct error err = {0};
    struct manifest_file file = {.path = "a/model.bin", .length = 5, .mode = 0644};
    static const char *no_hardware[] = {NULL};
    sha256_hex("model", 5, file.sha256);
    struct manifest manifest = {.product = "demo",
                                .asset = "detector",
                                .version = "1.0.0",
                                .kind = KIND_MODEL,
                                .activation = ACTIVATION_NOTIFY,
                                .hardware = no_hardware,
                                .files = &file,
                                .file_count = 1};
    struct set_entry entry = {.asset = "detector", .version = "1.0.0"};
    char path[128], set[512];
    assert_ok(manifest_write(&arena, &manifest, &text, &err), err);
    sha256_hex(text.bytes, text.size, entry.manifest);
    snprintf(path, sizeof path, "manifests/%s", entry.manifest);
    put(scratch, path, text_string(&text), 0444);
    put(scratch, MODEL, "model", 0444);
    snprintf(
        set, sizeof set,
        "{\"generation\":3,\"assets\":[{\"asset\":\"detector\",\"version\":\"1.0.0\",\"manifest\":\"%s\"}]}",
        entry.manifest);
    put(scratch, "sets/3.json", set, 0600);
    assert_ok(folder_make(scratch->fd, "sets/3", 0755, &err), err);
    assert_int_equal(symlinkat("../../versions/detector/1.0.0/", scratch->fd, "sets/3/detector"), 0);
    assert_int_equal(symlinkat("sets/3", scratch->fd, "current"), 0);
    set_digest(&entry, 1, wanted);
}

static void a_set_that_is_untouched_has_the_digest_of_its_manifests(void **state)
{
    (void)state;
    SCRATCH(scratch);
    struct error err = {0};
    char wanted[SHA256_HEX], got[SHA256_HEX];
    make_set(&scratch, wanted);
    assert_ok(proof_set_digest(scratch.fd, got, &err), err);
    assert_string_equal(got, wanted);
}

static void without_a_set_it_is_the_empty_sets(void **state)
{
    (void)state;
    SCRATCH(scratch);
    struct error err = {0};
    char got[SHA256_HEX];
    assert_ok(proof_set_digest(scratch.fd, got, &err), err);
    assert_string_equal(got, EMPTY_SET);
}

static void change_a_byte(const struct scratch *scratch)
{
    put(scratch, MODEL, "mOdel", 0444);
}
static void make_executable(const struct scratch *scratch)
{
    assert_int_equal(fchmodat(scratch->fd, MODEL, 0555, 0), 0);
}
static void remove_file(const struct scratch *scratch)
{
    assert_int_equal(unlinkat(scratch->fd, MODEL, 0), 0);
}
static void add_file(const struct scratch *scratch)
{
    put(scratch, "versions/detector/1.0.0/b", "", 0444);
}
static void add_link(const struct scratch *scratch)
{
    assert_int_equal(symlinkat("/etc/passwd", scratch->fd, "versions/detector/1.0.0/c"), 0);
}
static void turn_current(const struct scratch *scratch)
{
    assert_int_equal(unlinkat(scratch->fd, "current", 0), 0);
    assert_int_equal(symlinkat("/etc", scratch->fd, "current"), 0);
}

static void any_change_is_seen(void **state)
{
    (void)state;
    static void (*const changes[])(const struct scratch *) = {change_a_byte, make_executable, remove_file,
                                                              add_file,      add_link,        turn_current};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        SCRATCH(scratch);
        struct error err = {0};
        char wanted[SHA256_HEX], got[SHA256_HEX] = "";
        make_set(&scratch, wanted);
        changes[i](&scratch);
        assert_false(proof_set_digest(scratch.fd, got, &err) && strcmp(got, wanted) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_that_is_untouched_has_the_digest_of_its_manifests),
        cmocka_unit_test(without_a_set_it_is_the_empty_sets),
        cmocka_unit_test(any_change_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

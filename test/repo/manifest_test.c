#include "repo/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define HASH "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define FILE_TEXT(path) "{\"length\":1,\"mode\":420,\"path\":\"" path "\",\"sha256\":\"" HASH "\"}"
#define MANIFEST(files, rest)                                                                                \
    "{\"_type\":\"manifest\",\"activation\":\"notify\",\"asset\":\"detector\",\"counter\":0,\"files\":"      \
    "[" files "],\"hardware\":[]," rest "\"product\":\"demo\",\"requires\":{},\"version\":\"1.0.0\"}"
#define MODEL "\"kind\":\"model\","

static bool reads(const char *text, struct error *err)
{
    ARENA(arena);
    struct manifest manifest;
    *err = (struct error){0};
    return manifest_read(&arena, text, strlen(text), &manifest, err);
}

static void a_manifest_comes_back_as_it_was_written(void **state)
{
    ARENA(arena);
    TEXT(out);
    struct error err = {0};
    const char *hardware[] = {"r2", "r1", "r2", NULL};
    struct manifest_file files[] = {{"b/c", 5, 0755, HASH}, {"a", 7, 0644, HASH}};
    struct manifest manifest = {.product = "demo",
                                .asset = "detector",
                                .version = "1.0.0",
                                .kind = KIND_MODEL,
                                .counter = 4,
                                .hardware = hardware,
                                .files = files,
                                .file_count = 2};
    struct manifest again;
    (void)state;
    if (!manifest_write(&arena, &manifest, &out, &err) ||
        !manifest_read(&arena, out.bytes, out.size, &again, &err))
        fail_msg("%s", err.text);
    assert_string_equal(again.files[0].path, "a");
    assert_int_equal(again.files[1].mode, 0755);
    assert_int_equal(again.total, 12);
    assert_string_equal(again.hardware[0], "r1");
    assert_string_equal(again.hardware[1], "r2");
    assert_null(again.hardware[2]);
    assert_true(manifest_fits_hardware(&again, "r1"));
    assert_false(manifest_fits_hardware(&again, "r3"));
}

#define REQUIRING(requires)                                                                                  \
    "{\"_type\":\"manifest\",\"activation\":\"notify\",\"asset\":\"detector\",\"counter\":0,\"files\":"      \
    "[" FILE_TEXT(                                                                                           \
        "a") "],\"hardware\":[],\"kind\":\"model\",\"product\":\"demo\",\"requires\":{" requires "},"        \
                                                                                                 "\"version" \
                                                                                                 "\":\"1.0." \
                                                                                                 "0\"}"

static void a_version_may_require_ranges_of_other_assets(void **state)
{
    static const char *const bad[] = {
        REQUIRING("\"detector\":\"^1.0.0\""), REQUIRING("\"runtime\":\"latest\""),
        REQUIRING("\"runtime\":\"\""),        REQUIRING("\"runtime\":1"),
        REQUIRING("\"Run time\":\"*\""),      REQUIRING("\"../x\":\"*\""),
        REQUIRING("\"runtime\":{}"),          REQUIRING("\"runtime\":null"),
    };
    struct error err;
    (void)state;
    if (!reads(REQUIRING("\"labels\":\"*\",\"runtime\":\">=1.2.0 <2.0.0\""), &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (reads(bad[i], &err) || !err.text[0])
            fail_msg("accepted: %s", bad[i]);
    TEXT(many);
    text_puts(&many, "{\"_type\":\"manifest\",\"activation\":\"notify\",\"asset\":\"detector\",\"counter\":0,"
                     "\"files\":[" FILE_TEXT(
                         "a") "],\"hardware\":[],\"kind\":\"model\",\"product\":\"demo\",\"requires\":{");
    for (int i = 0; i < 65; i++)
        text_printf(&many, "%s\"a%02d\":\"*\"", i ? "," : "", i);
    text_puts(&many, "},\"version\":\"1.0.0\"}");
    assert_false(reads(text_string(&many), &err));
    assert_int_equal(err.kind, ERROR_LIMIT);
}

static void what_is_required_is_written_and_read_again(void **state)
{
    ARENA(arena);
    TEXT(out);
    struct error err = {0};
    static const char requires[] = "{\"runtime\":\"^1.2.0\",\"labels\":\"*\"}";
    struct manifest_file files[] = {{"a", 7, 0644, HASH}};
    struct manifest again,
        manifest = {.product = "demo",
                    .asset = "detector",
                    .version = "1.0.0",
                    .kind = KIND_MODEL,
                    .files = files,
                    .file_count = 1,
                    .requires = json_read(&arena, requires, strlen(requires), &json_limits_small, &err)};
    (void)state;
    if (!manifest_write(&arena, &manifest, &out, &err) ||
        !manifest_read(&arena, out.bytes, out.size, &again, &err))
        fail_msg("%s", err.text);
    assert_string_equal(json_string(again.requires, "runtime"), "^1.2.0");
    assert_string_equal(json_string(again.requires, "labels"), "*");
}

static void what_breaks_a_rule_is_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        MANIFEST("", MODEL),
        MANIFEST(FILE_TEXT("a") "," FILE_TEXT("a"), MODEL),
        MANIFEST(FILE_TEXT("b") "," FILE_TEXT("a"), MODEL),
        MANIFEST(FILE_TEXT("a") "," FILE_TEXT("a/b"), MODEL),
        MANIFEST(FILE_TEXT("a") "," FILE_TEXT("a.txt") "," FILE_TEXT("a/b/c"), MODEL),
        MANIFEST(FILE_TEXT("../a"), MODEL),
        MANIFEST(FILE_TEXT(".git/hooks/x"), MODEL),
        MANIFEST(FILE_TEXT("a"), "\"kind\":\"virus\","),
        MANIFEST(FILE_TEXT("a"), "\"kind\":\"diagnostic\","),
        MANIFEST(FILE_TEXT("a"), MODEL "\"limits\":{},"),
        MANIFEST(FILE_TEXT("a"), MODEL "\"more\":1,"),
        MANIFEST("{\"length\":-1,\"mode\":420,\"path\":\"a\",\"sha256\":\"" HASH "\"}", MODEL),
        MANIFEST("{\"length\":1,\"mode\":511,\"path\":\"a\",\"sha256\":\"" HASH "\"}", MODEL),
        MANIFEST("{\"length\":1,\"mode\":420,\"path\":\"a\",\"sha256\":\"A\"}", MODEL),
        MANIFEST("{\"length\":1099511627777,\"mode\":420,\"path\":\"a\",\"sha256\":\"" HASH "\"}", MODEL),
        " " MANIFEST(FILE_TEXT("a"), MODEL),
    };
    struct error err;
    (void)state;
    assert_true(reads(MANIFEST(FILE_TEXT("a"), MODEL), &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (reads(bad[i], &err))
            fail_msg("case %zu passed", i);
}

static bool limits_read(const char *text, struct error *err)
{
    ARENA(arena);
    struct image_limits limits;
    *err = (struct error){0};
    return image_limits_read(&arena, text, strlen(text), &limits, err);
}

static void limits_get_their_defaults(void **state)
{
    ARENA(arena);
    struct image_limits limits;
    struct error err = {0};
    static const char text[] = "{\"entry\":[\"./run\",\"-v\"],\"max_runtime_s\":900}";
    (void)state;
    assert_true(image_limits_read(&arena, text, sizeof text - 1, &limits, &err));
    assert_string_equal(limits.mode, "replace");
    assert_int_equal(limits.grace_s, 5);
    assert_int_equal(limits.max_output, 10485760);
    assert_false(limits.network_host);
    assert_string_equal(limits.entry[1], "-v");
    assert_null(limits.entry[2]);
    assert_null(limits.collect[0]);
    TEXT(first);
    TEXT(second);
    struct image_limits again;
    assert_true(json_canonical(limits.json, &first, &err));
    assert_true(image_limits_read(&arena, first.bytes, first.size, &again, &err));
    assert_true(json_canonical(again.json, &second, &err));
    assert_string_equal(first.bytes, second.bytes);
}

static bool override_with(const char *path, struct error *err)
{
    ARENA(arena);
    TEXT(out);
    static const char text[] = "{\"mode\":\"override\",\"max_runtime_s\":60}";
    static const char *none[] = {NULL};
    struct manifest_file file = {.path = path, .length = 1, .mode = 0644};
    struct manifest manifest = {.product = "demo",
                                .asset = "newer",
                                .version = "1.0.0",
                                .kind = KIND_DIAGNOSTIC,
                                .hardware = none,
                                .files = &file,
                                .file_count = 1,
                                .has_limits = true};
    memset(file.sha256, 'a', SHA256_HEX - 1);
    *err = (struct error){0};
    assert_true(image_limits_read(&arena, text, sizeof text - 1, &manifest.limits, err));
    manifest.requires = json_read(&arena, "{}", 2, &json_limits_small, err);
    return manifest_write(&arena, &manifest, &out, err);
}

static void an_image_that_overrides_brings_files_of_assets(void **state)
{
    static const char *const bad[] = {"diagnostic.json", "assets/model", "assets/MODEL/w", "model/w"};
    struct error err;
    (void)state;
    if (!override_with("assets/model/weights/w.bin", &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (override_with(bad[i], &err))
            fail_msg("%s passed", bad[i]);
        assert_non_null(strstr(err.text, "assets/<asset>/<path>"));
    }
}

static void limits_out_of_their_ranges_are_refused(void **state)
{
#define IMAGE(rest) "{\"entry\":[\"./run\"],\"max_runtime_s\":900" rest "}"
#define OVERRIDE(rest) "{\"mode\":\"override\",\"max_runtime_s\":900" rest "}"
    static const char *const bad[] = {
        "{\"entry\":[\"./run\"]}",
        "{\"max_runtime_s\":900}",
        "{\"entry\":[],\"max_runtime_s\":900}",
        "{\"entry\":[\"/bin/sh\"],\"max_runtime_s\":900}",
        "{\"entry\":[\"../run\"],\"max_runtime_s\":900}",
        "{\"entry\":[\"./run\"],\"max_runtime_s\":0}",
        IMAGE(",\"mode\":\"forever\""),
        IMAGE(",\"network\":\"all\""),
        IMAGE(",\"collect\":[\"shadow\"]"),
        IMAGE(",\"collect\":[\"file:etc\"]"),
        IMAGE(",\"collect\":[\"file:/etc/../root\"]"),
        IMAGE(",\"collect\":[\"proc\",\"proc\"]"),
        IMAGE(",\"capabilities\":[\"sys_admin\"]"),
        IMAGE(",\"grace_s\":-1"),
        IMAGE(",\"max_pids\":1.5"),
        IMAGE(",\"setuid\":true"),
        IMAGE(",\"outputs\":[{\"path\":\"../x\",\"type\":\"log\"}]"),
        IMAGE(",\"outputs\":[{\"path\":\"x\",\"type\":\"html\"}]"),
        IMAGE(",\"params\":{\"rate\":{\"type\":\"integer\",\"min\":5,\"max\":1}}"),
        IMAGE(",\"params\":{\"rate\":{\"type\":\"integer\",\"min\":0,\"max\":5,\"default\":6}}"),
        IMAGE(",\"params\":{\"on\":{\"type\":\"boolean\",\"max\":5}}"),
        IMAGE(",\"params\":{\"x\":{\"type\":\"code\"}}"),
        IMAGE(",\"mode\":\"override\""), /* it starts the app, not a program of its own */
        OVERRIDE(",\"collect\":[\"proc\"]"),
        OVERRIDE(",\"capabilities\":[\"syslog\"]"),
        OVERRIDE(",\"network\":\"host\""),
    };
    struct error err;
    (void)state;
    if (!limits_read(OVERRIDE(",\"collect\":[\"app-logs\"]"), &err))
        fail_msg("%s", err.text);
    if (!limits_read(IMAGE(",\"collect\":[\"proc\",\"app\",\"app-logs\",\"file:/etc/"
                           "os-release\"],\"params\":{\"rate\":{\"type\":"
                           "\"integer\",\"min\":0,\"max\":5,\"default\":5}}"),
                     &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (limits_read(bad[i], &err))
            fail_msg("case %zu passed", i);
}

static void a_set_has_one_digest_in_any_order(void **state)
{
    struct set_entry one[] = {{"b", "1.0.0", HASH, {0}}, {"a", "2.0.0", HASH, {0}}},
                     other[] = {{"a", "2.0.0", HASH, {0}}, {"b", "1.0.0", HASH, {0}}};
    char first[SHA256_HEX], second[SHA256_HEX], empty[SHA256_HEX];
    static const char expected[] = "[{\"asset\":\"a\",\"manifest\":\"" HASH "\",\"version\":\"2.0.0\"},"
                                   "{\"asset\":\"b\",\"manifest\":\"" HASH "\",\"version\":\"1.0.0\"}]";
    (void)state;
    set_digest(one, 2, first);
    set_digest(other, 2, second);
    assert_string_equal(first, second);
    sha256_hex(expected, sizeof expected - 1, second);
    assert_string_equal(first, second);
    set_digest(NULL, 0, empty);
    sha256_hex("[]", 2, second);
    assert_string_equal(empty, second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_comes_back_as_it_was_written),
        cmocka_unit_test(a_version_may_require_ranges_of_other_assets),
        cmocka_unit_test(what_is_required_is_written_and_read_again),
        cmocka_unit_test(what_breaks_a_rule_is_refused),
        cmocka_unit_test(limits_get_their_defaults),
        cmocka_unit_test(an_image_that_overrides_brings_files_of_assets),
        cmocka_unit_test(limits_out_of_their_ranges_are_refused),
        cmocka_unit_test(a_set_has_one_digest_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

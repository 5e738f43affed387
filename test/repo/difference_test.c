#include "test/repo/fixture.h"

#include "repo/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Applies the changes to a and compares with b. The number of lines removed and added. */
static size_t check_script(const char *a_bytes, const char *b_bytes)
{
    ARENA(arena);
    TEXT(out);
    struct text_lines a, b;
    struct line_change *changes = NULL;
    size_t count, at = 0, edits = 0;
    lines_split(&arena, a_bytes, strlen(a_bytes), &a);
    lines_split(&arena, b_bytes, strlen(b_bytes), &b);
    lines_difference(&arena, &a, &b, &changes, &count);
    for (size_t i = 0; i < count; i++) {
        text_add(&out, a.start[at], (size_t)(a.start[changes[i].old_at] - a.start[at]));
        assert_int_equal(out.size, b.start[changes[i].new_at] - b.start[0]);
        size_t end = changes[i].new_at + changes[i].new_count;
        text_add(&out, b.start[changes[i].new_at], (size_t)(b.start[end] - b.start[changes[i].new_at]));
        at = changes[i].old_at + changes[i].old_count;
        edits += changes[i].old_count + changes[i].new_count;
    }
    text_add(&out, a.start[at], (size_t)(a.start[a.count] - a.start[at]));
    assert_string_equal(text_string(&out), b_bytes);
    return edits;
}

static void the_smallest_script_is_found(void **state)
{
    (void)state;
    assert_int_equal(check_script("", ""), 0);
    assert_int_equal(check_script("a\nb\n", "a\nb\n"), 0);
    assert_int_equal(check_script("", "a\nb\n"), 2);
    assert_int_equal(check_script("a\nb", ""), 2);
    assert_int_equal(check_script("a\nb\nc\n", "a\nx\nc\n"), 2);
    assert_int_equal(check_script("a\n", "a"), 2);
    /* Myers' own example: 5 edits. */
    assert_int_equal(check_script("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n"), 5);
}

static void any_two_texts_give_a_script_that_leads_from_one_to_the_other(void **state)
{
    char a[200], b[200];
    unsigned seed = 1;
    (void)state;
    for (int round = 0; round < 3000; round++) {
        char *texts[] = {a, b};
        for (int t = 0; t < 2; t++) {
            size_t size = 0;
            for (int lines = rand_r(&seed) % 30; lines > 0; lines--) {
                texts[t][size++] = (char)('a' + rand_r(&seed) % 4);
                texts[t][size++] = '\n';
            }
            texts[t][size - (size > 0 && rand_r(&seed) % 2)] = 0;
        }
        check_script(a, b);
    }
}

static void very_different_texts_are_bounded(void **state)
{
    TEXT(a);
    TEXT(b);
    (void)state;
    for (int i = 0; i < 50000; i++) {
        text_printf(&a, "a%d\n", i);
        text_printf(&b, "b%d\n", i);
    }
    check_script(a.bytes, b.bytes);
}

static const struct json *difference(struct fixture *fixture, struct arena *arena, const char *a,
                                     const char *b)
{
    struct error err = {0};
    TEXT(out);
    DB_DONE(conn) = db_read(fixture->db, &err);
    must(repo_difference(fixture->repo, conn, "demo", "detector", a, b, &out, &err));
    const struct json *json = json_read(arena, out.bytes, out.size, &json_limits_large, &err);
    must(json);
    return json;
}

static const struct json *file(const struct json *difference, const char *path)
{
    for (const struct json *one = json_get(difference, "files")->first; one; one = one->next)
        if (string_is(json_string(one, "path"), path))
            return one;
    fail_msg("no %s", path);
    return NULL;
}

static void two_versions_differ_by_lines_and_by_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct published published;
    ARENA(arena);
    struct content old[] = {{"gone", "x", 1, 0},
                            {"labels.txt", "a\nb\nc\nd\ne\nf\ng\nh\n", 16, 0},
                            {"model.bin", "\0\1\2\3\4", 5, 0},
                            {"run", "r", 1, 0},
                            {"same", "s", 1, 0}};
    struct content new[] = {{"labels.txt", "a\nb\nc\nd\nE\nf\ng\nh\n", 16, 0},
                            {"model.bin", "\0\1\7\3\5", 5, 0},
                            {"new", "n\n", 2, 0},
                            {"run", "r", 1, 0755},
                            {"same", "s", 1, 0}};
    must(publish_files(fixture, "detector", "1.0.0", old, 5, &published, &err));
    must(publish_files(fixture, "detector", "1.1.0", new, 5, &published, &err));
    const struct json *json = difference(fixture, &arena, "1.0.0", "1.1.0");
    assert_string_equal(json_string(file(json, "gone"), "change"), "removed");
    assert_string_equal(json_string(file(json, "new"), "change"), "added");
    assert_string_equal(json_string(file(json, "run"), "change"), "mode");
    assert_string_equal(json_string(file(json, "same"), "change"), "same");
    const struct json *model = file(json, "model.bin");
    assert_string_equal(json_string(model, "kind"), "binary");
    assert_int_equal(json_integer(model, "first_difference", -1), 2);
    assert_int_equal(json_integer(model, "differing_bytes", -1), 2);
    const struct json *hunk = json_get(file(json, "labels.txt"), "hunks")->first;
    assert_int_equal(json_integer(hunk, "old_start", 0), 2);
    assert_int_equal(json_integer(hunk, "old_count", 0), 7);
    assert_int_equal(json_integer(hunk, "new_count", 0), 7);
    TEXT(ops);
    for (const struct json *line = json_get(hunk, "lines")->first; line; line = line->next)
        text_printf(&ops, "%s%s", json_string(line, "op"), json_string(line, "text"));
    assert_string_equal(text_string(&ops), " b c d-e+E f g h");
    assert_int_equal(json_get(json, "manifest")->size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_script_is_found),
        cmocka_unit_test(any_two_texts_give_a_script_that_leads_from_one_to_the_other),
        cmocka_unit_test(very_different_texts_are_bounded),
        cmocka_unit_test_setup_teardown(two_versions_differ_by_lines_and_by_bytes, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

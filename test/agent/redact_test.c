/* What patterns blot out, and that neither a pattern nor a text can hold the device. */
#include "agent/redact.h"

#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct gathered {
    char *bytes;
    size_t size, room;
};

static bool gather(void *context, const char *bytes, size_t size, struct error *err)
{
    struct gathered *into = context;
    (void)err;
    assert_true(into->size + size < into->room);
    memcpy(into->bytes + into->size, bytes, size);
    into->size += size;
    into->bytes[into->size] = '\0';
    return true;
}

#define ROOM (1 << 20)
static char room[ROOM];
static struct gathered out;
static int64_t count;
static bool cut;

static void pass(const char *const *patterns, const char *text, size_t size, int plain_lines, int64_t most)
{
    struct redact redact;
    struct error err = {0};
    FD(in) = memfd_create("text", MFD_CLOEXEC);
    assert_true(fd_write_all(in, text, size, &err));
    assert_int_equal(lseek(in, 0, SEEK_SET), 0);
    out = (struct gathered){.bytes = room, .room = ROOM};
    room[0] = '\0';
    if (!redact_init(&redact, patterns, &err))
        fail_msg("%s", err.text);
    struct redact_copy copy = {
        .in = in, .plain_lines = plain_lines, .most = most, .write = gather, .context = &out};
    if (!redact_copy(&redact, &copy, &count, &cut, &err))
        fail_msg("%s", err.text);
    redact_end(&redact);
}

#define PATTERNS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define PASS(text, ...) pass(PATTERNS(__VA_ARGS__), text, strlen(text), 0, ROOM)

static void what_matches_is_replaced_and_counted_in_every_line(void **state)
{
    (void)state;
    PASS("user=ann token=abc\nno\ntoken=x token=yy.", "token=[a-z]+");
    assert_string_equal(out.bytes, "user=ann [redacted]\nno\n[redacted] [redacted].");
    assert_int_equal(count, 3);
    assert_false(cut);
}

static void several_patterns_that_overlap_leave_nothing_between_them(void **state)
{
    (void)state;
    PASS("abcdef\n", "abc", "cde");
    assert_string_equal(out.bytes, "[redacted]f\n");
    assert_int_equal(count, 1);
}

static void an_anchor_holds_at_the_ends_of_a_line_only(void **state)
{
    (void)state;
    PASS("aa a\nba\n", "^a", "a$");
    assert_string_equal(out.bytes, "[redacted]a [redacted]\nb[redacted]\n");
}

static void a_pattern_that_matches_nothing_changes_nothing(void **state)
{
    (void)state;
    PASS("some text\n", "z*");
    assert_string_equal(out.bytes, "some text\n");
    assert_int_equal(count, 0);
}

static void a_text_with_nul_bytes_is_looked_at_behind_them_too(void **state)
{
    (void)state;
    static const char text[] = "a\0key=1\nb";
    pass(PATTERNS("key=[0-9]"), text, sizeof text - 1, 0, ROOM);
    assert_int_equal(out.size, strlen("a") + 1 + strlen("[redacted]\nb"));
    assert_memory_equal(out.bytes, "a\0[redacted]\nb", out.size);
}

static void the_header_of_a_series_passes(void **state)
{
    (void)state;
    static const char text[] = "time,secret\n1,secret\n";
    pass(PATTERNS("secret"), text, strlen(text), 1, ROOM);
    assert_string_equal(out.bytes, "time,secret\n1,[redacted]\n");
}

static void a_line_too_long_to_be_looked_at_is_blotted_out_whole(void **state)
{
    (void)state;
    static char text[2 * REDACT_LINE];
    memset(text, 'a', sizeof text);
    memcpy(text + REDACT_LINE - 3, "secret", 6);
    text[sizeof text - 6] = '\n';
    memcpy(text + sizeof text - 5, "after", 5);
    pass(PATTERNS("secret"), text, sizeof text, 0, ROOM);
    assert_string_equal(out.bytes, "[redacted: a line of more than 64 KiB]\nafter");
    assert_int_equal(count, 1);
    pass(PATTERNS("secret"), text, REDACT_LINE, 0, ROOM);
    assert_int_equal(out.size, REDACT_LINE - 3 + strlen("sec")); /* "sec" alone is no match */
}

static void what_grows_by_redaction_is_cut_where_the_room_ends(void **state)
{
    (void)state;
    static const char text[] = "xxxx\nend\n";
    pass(PATTERNS("x"), text, strlen(text), 0, 12);
    assert_int_equal(out.size, 12);
    assert_true(cut);
    pass(PATTERNS("y"), text, strlen(text), 0, (int64_t)strlen(text));
    assert_string_equal(out.bytes, text);
    assert_false(cut);
}

static void patterns_that_could_run_or_grow_without_end_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[] = {"(",
                                      "[a",
                                      "a{2,1}",
                                      "(a)\\1",
                                      "((a{100}){100}){100}",
                                      "a{1001}",
                                      "(a{40}){40}",
                                      "((((((((((a)+)+)+)+)+)+)+)+)+)+",
                                      "((a{,99}){,99}){,99}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct redact redact;
        struct error err = {0};
        if (redact_init(&redact, PATTERNS("fine", bad[i]), &err))
            fail_msg("%s was taken", bad[i]);
        assert_int_equal(err.kind, ERROR_INPUT);
        assert_non_null(strstr(err.text, bad[i]));
        assert_int_equal(redact.count, 0);
    }
    PASS("a\\1{b\n", "\\{b", "[0-9]{1,30}");
    assert_string_equal(out.bytes, "a\\[redacted]\n"); /* neighbours are one place */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_matches_is_replaced_and_counted_in_every_line),
        cmocka_unit_test(several_patterns_that_overlap_leave_nothing_between_them),
        cmocka_unit_test(an_anchor_holds_at_the_ends_of_a_line_only),
        cmocka_unit_test(a_pattern_that_matches_nothing_changes_nothing),
        cmocka_unit_test(a_text_with_nul_bytes_is_looked_at_behind_them_too),
        cmocka_unit_test(the_header_of_a_series_passes),
        cmocka_unit_test(a_line_too_long_to_be_looked_at_is_blotted_out_whole),
        cmocka_unit_test(what_grows_by_redaction_is_cut_where_the_room_ends),
        cmocka_unit_test(patterns_that_could_run_or_grow_without_end_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

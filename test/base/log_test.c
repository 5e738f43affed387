#include "base/log.h"

#include "base/clock.h"
#include "test/base/scratch.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What `write` puts on standard error while it runs. */
static const char *captured(void (*write_log)(void))
{
    static char line[8192];
    int saved = dup(STDERR_FILENO), ends[2];

    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    dup2(ends[1], STDERR_FILENO);
    write_log();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t got = read(ends[0], line, sizeof(line) - 1);
    close(ends[0]);
    line[got > 0 ? got : 0] = '\0';
    return line;
}

static void log_one(void)
{
    log_event(LOG_INFO, "published", "asset=%s size=%d", "vision/model", 7);
}

static void an_event_is_one_line_with_time_level_and_name(void **state)
{
    const char *line = captured(log_one);
    char time[TIME_TEXT] = "";
    int64_t seconds;

    (void)state;
    assert_memory_equal(line, "time=", 5);
    memcpy(time, line + 5, 20);
    assert_true(time_parse(time, &seconds));
    assert_string_equal(line + 25, " level=info event=published asset=vision/model size=7\n");
}

static void log_debug(void)
{
    log_event(LOG_DEBUG, "noise", "a=1");
}

static void lines_above_the_level_are_dropped(void **state)
{
    (void)state;
    assert_string_equal(captured(log_debug), "");
    log_level = LOG_DEBUG;
    assert_string_not_equal(captured(log_debug), "");
    log_level = LOG_INFO;
}

static void log_forged(void)
{
    log_event(LOG_WARNING, "refused", "name=%s", "x\nlevel=error event=forged\r\x1b[31m");
}

static void a_line_feed_in_a_value_makes_no_second_line(void **state)
{
    const char *line = captured(log_forged);

    (void)state;
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_non_null(strstr(line, "name=x?level=error event=forged??[31m\n"));
}

static void log_long(void)
{
    char value[6000];

    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    log_event(LOG_INFO, "long", "v=%s", value);
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
    const char *line = captured(log_long);

    (void)state;
    assert_in_range(strlen(line), 4000, 4096);
    assert_int_equal(line[strlen(line) - 1], '\n');
}

static void quoting_escapes_and_always_closes(void **state)
{
    char out[16], small[2];

    (void)state;
    assert_string_equal(log_quote(out, sizeof(out), "a \"b\" \\"), "\"a \\\"b\\\" \\\\\"");
    assert_string_equal(log_quote(out, 6, "abcdefgh"), "\"abc\"");
    assert_string_equal(log_quote(out, 6, "ab\"cd"), "\"ab\"");
    assert_string_equal(log_quote(out, 3, "abc"), "\"\"");
    assert_string_equal(log_quote(small, sizeof(small), "abc"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_one_line_with_time_level_and_name),
        cmocka_unit_test(lines_above_the_level_are_dropped),
        cmocka_unit_test(a_line_feed_in_a_value_makes_no_second_line),
        cmocka_unit_test(a_long_line_is_cut_and_still_ends),
        cmocka_unit_test(quoting_escapes_and_always_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The server's machine: commands on a data folder, with and without a running console; what the folder looks
 * like from outside. */
#include "test/console/serving.h"

#include "base/json.h"
#include "console/admin.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void keep(void *context, const char *line)
{
    text_puts(context, line);
    text_putc(context, '\n');
}

static bool ask(const struct serving *serving, const char *request, struct text *out, struct error *err)
{
    text_clear(out);
    return admin_call(serving->data, request, keep, out, err);
}

static void the_same_commands_work_with_and_without_a_running_console(void **state)
{
    struct error err;
    TEXT(out);

    (void)state;
    SERVING(world);
    assert_ok(ask(&world, "{\"do\":\"status\"}", &out, &err), err);
    assert_non_null(strstr(text_string(&out), "\"running\":true"));
    assert_refused(ask(&world, "{\"do\":\"token create\",\"user\":\"admin\",\"name\":\"test\"}", &out, &err),
                   err, ERROR_CONFLICT);
    serving_end(&world);
    assert_ok(ask(&world, "{\"do\":\"status\"}", &out, &err), err);
    assert_non_null(strstr(text_string(&out), "\"running\":false"));
    assert_refused(ask(&world, "{\"do\":\"token create\",\"user\":\"ghost\",\"name\":\"a\"}", &out, &err),
                   err, ERROR_MISSING);
    assert_ok(ask(&world, "{\"do\":\"token create\",\"user\":\"admin\",\"name\":\"offline\"}", &out, &err),
              err);
    assert_ok(ask(&world, "{\"do\":\"repo verify\"}", &out, &err), err);
    assert_null(strstr(text_string(&out), "\"good\":false"));
    assert_non_null(strstr(text_string(&out), "audit: "));
    serving_again(&world);
    assert_ok(ask(&world, "{\"do\":\"repo verify\"}", &out, &err), err);
    assert_ok(ask(&world, "{\"do\":\"repo reindex\"}", &out, &err), err);
}

static void wrong_requests_are_refused_with_a_sentence(void **state)
{
    static const char *const wrong[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"do\":\"rm\"}",
        "{\"do\":\"token create\"}",
        "{\"do\":\"token create\",\"user\":\"admin\",\"name\":\"../a\"}",
        "{\"do\":\"token create\",\"user\":\"admin\",\"name\":\"a\",\"more\":1}"};
    struct error err;
    TEXT(out);

    (void)state;
    SERVING(world);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_refused(ask(&world, wrong[i], &out, &err), err, ERROR_INPUT);
    assert_refused(admin_call("/proc/self/no-such-folder", "{\"do\":\"status\"}", keep, &out, &err), err,
                   ERROR_MISSING);
    assert_refused(admin_call(world.scratch.path, "{\"do\":\"status\"}", keep, &out, &err), err,
                   ERROR_MISSING);
}

static void nothing_in_the_data_folder_is_open_to_others(void **state)
{
    static const char *const names[] = {"admin.sock", "console.db",     "instance.lock", "keys",
                                        "tls",        "tls/server.key", "tls/ca.key"};
    struct stat status;

    (void)state;
    SERVING(world);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[160];

        snprintf(path, sizeof(path), "%s/%s", world.data, names[i]);
        assert_int_equal(stat(path, &status), 0);
        if (status.st_mode & 077)
            fail_msg("%s has mode %o", path, status.st_mode & 0777);
    }
}

static void a_locked_out_operator_gets_a_new_password_on_the_machine(void **state)
{
    struct error err;
    TEXT(out);

    (void)state;
    SERVING(world);
    assert_ok(ask(&world, "{\"do\":\"operator password\",\"user\":\"admin\",\"password\":\"battery staple\"}",
                  &out, &err),
              err);
    people_ask(&world,
               "POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 44\r\n\r\n"
               "{\"name\":\"admin\",\"password\":\"battery staple\"} ",
               &out);
    assert_int_equal(answer_status(&out), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_commands_work_with_and_without_a_running_console),
        cmocka_unit_test(wrong_requests_are_refused_with_a_sentence),
        cmocka_unit_test(nothing_in_the_data_folder_is_open_to_others),
        cmocka_unit_test(a_locked_out_operator_gets_a_new_password_on_the_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

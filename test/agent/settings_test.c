#include "agent/settings.h"

#include "agent/state.h"
#include "test/agent/disk.h"
#include "base/file.h"

#include <signal.h>
#include <string.h>

static void an_empty_file_gives_the_defaults(void **state)
{
    (void)state;
    ARENA(arena);
    struct agent_settings settings;
    struct error err = {0};

    assert_ok(agent_settings_parse(&arena, "", &settings, &err), err);
    assert_null(settings.app_command);
    assert_int_equal(settings.app_notify, APP_NOTIFY_SOCKET);
    assert_int_equal(settings.poll_idle_s, 60);
    assert_int_equal(settings.versions_keep, 3);
    assert_int_equal(settings.diagnostic_uid, 0);
    assert_false(settings.revert_reboot);
}

static void a_command_is_split_and_quotes_group(void **state)
{
    (void)state;
    ARENA(arena);
    struct agent_settings settings;
    struct error err = {0};

    assert_ok(agent_settings_parse(
                  &arena, "app.command = /usr/bin/app --title \"two words\"\napp.notify = signal:HUP\n",
                  &settings, &err),
              err);
    assert_string_equal(settings.app_command[0], "/usr/bin/app");
    assert_string_equal(settings.app_command[2], "two words");
    assert_null(settings.app_command[3]);
    assert_int_equal(settings.app_notify, APP_NOTIFY_SIGNAL);
    assert_int_equal(settings.app_signal, SIGHUP);
}

static void the_owner_may_do_without_control_groups(void **state)
{
    (void)state;
    ARENA(arena);
    struct agent_settings settings;
    struct error err = {0};

    assert_ok(agent_settings_parse(&arena, "", &settings, &err), err);
    assert_int_equal(settings.diagnostic_limits, DIAGNOSTIC_LIMITS_AUTO);
    assert_ok(agent_settings_parse(&arena, "diagnostic.limits = rlimits\n", &settings, &err), err);
    assert_int_equal(settings.diagnostic_limits, DIAGNOSTIC_LIMITS_RLIMITS);
}

static void wrong_settings_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } wrong[] = {{"app.notify = signal:KILL\n", "app.notify"},
                 {"app.notify = smoke\n", "app.notify"},
                 {"app.colour = red\n", "app.colour"},
                 {"poll.idle_s = 0\n", "poll.idle_s"},
                 {"versions.keep = many\n", "versions.keep"},
                 {"revert.reboot = 1\n", "revert.reboot"},
                 {"diagnostic.limits = none\n", "diagnostic.limits"}};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ARENA(arena);
        struct agent_settings settings;
        struct error err = {0};
        assert_false(agent_settings_parse(&arena, wrong[i].text, &settings, &err));
        assert_int_equal(err.kind, ERROR_INPUT);
        assert_non_null(strstr(err.text, wrong[i].word));
    }
}

static void the_file_of_the_state_folder_is_optional_and_a_named_one_is_not(void **state)
{
    (void)state;
    ARENA(arena);
    DISK(disk);
    struct agent_settings settings;
    struct error err = {0};

    assert_ok(agent_settings_load(&arena, disk.path, NULL, &settings, &err), err);
    assert_ok(file_write(disk.fd, STATE_CONFIG, "poll.idle_s = 7\n", 16, 0600, &err), err);
    assert_ok(agent_settings_load(&arena, disk.path, NULL, &settings, &err), err);
    assert_int_equal(settings.poll_idle_s, 7);
    assert_false(agent_settings_load(&arena, disk.path, "/nowhere/agent.conf", &settings, &err));
    assert_int_equal(err.kind, ERROR_MISSING);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_gives_the_defaults),
        cmocka_unit_test(a_command_is_split_and_quotes_group),
        cmocka_unit_test(the_owner_may_do_without_control_groups),
        cmocka_unit_test(wrong_settings_are_refused_by_name),
        cmocka_unit_test(the_file_of_the_state_folder_is_optional_and_a_named_one_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

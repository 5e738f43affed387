/* Real images under a real keeper: whatever the image does, the app is back in time and nothing is left. */
#include "test/agent/bench.h"

#include "agent/keeper_pid.h"
#include "agent/sandbox.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#define UID 64123
#define EMPTY_SET "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"

/* An app that says when it started. */
#define APP "#!/bin/sh\necho started $$ >> $(dirname $0)/app.txt\nexec sleep 100000\n"

static char last_id[33];
static const char *missing;

static void start(struct bench *bench)
{
    char settings[512];
    bench_prepare(bench, "");
    bench_script(bench, "app.sh", APP);
    snprintf(settings, sizeof settings,
             "app.command = %s/app.sh\napp.notify = none\ndiagnostic.uid = %d\napp.log = %s/app.log\n",
             bench->dir, UID, bench->dir);
    struct error err = {0};
    assert_true(agent_settings_parse(&bench->arena, settings, &bench->settings, &err));
    bench_keeper(bench);
    bench_await_file(bench, "app.txt", "started");
}

struct image {
    const char *script;
    const char *limits;  /* members of diagnostic.json beyond entry, mode, max_runtime_s */
    const char *collect; /* "\"proc\"" */
    const char *params;
    int duration_s, grace_s;
};

static void new_id(void)
{
    uint8_t bytes[16];
    random_bytes(bytes, sizeof bytes);
    hex_encode(last_id, bytes, sizeof bytes);
}

static const struct json *ask_start(struct bench *bench, const struct image *image)
{
    bench->last_run_state[0] = '\0';
    return bench_ask(
        bench,
        "\"do\":\"run_start\",\"run\":{\"id\":\"%s\",\"campaign\":7,\"run\":1,\"image\":\"probe\","
        "\"version\":\"1.0.0\","
        "\"mode\":\"replace\",\"duration_s\":%d,\"start_after\":0,\"start_before\":9,\"not_after\":"
        "4000000000,"
        "\"collect\":[%s],\"params\":%s,\"max_output\":1048576,\"folder\":\"%s/image\",\"set\":\"" EMPTY_SET
        "\",\"set_path\":\"%s/sets/0\",\"limits\":{\"entry\":[\"./run\",\"word\"],\"mode\":\"replace\","
        "\"max_runtime_s\":60,\"grace_s\":%d,\"max_output\":1048576,\"max_memory\":33554432,"
        "\"max_pids\":20,\"collect\":[\"proc\",\"app-logs\",\"file:/etc/hostname\"],\"network\":\"none\"%s}}",
        last_id, image->duration_s, image->collect != NULL ? image->collect : "",
        image->params != NULL ? image->params : "{}", bench->dir, bench->state, image->grace_s,
        image->limits != NULL ? image->limits : "");
}

static const struct json *result(struct bench *bench)
{
    struct error err = {0};
    char path[128];
    snprintf(path, sizeof path, "state/keeper/runs/%s/result.json", last_id);
    char *text = bench_read(bench, path);
    assert_non_null(text);
    const struct json *json = json_read(&bench->arena, text, strlen(text), &json_limits_large, &err);
    assert_non_null(json);
    return json;
}

static char *output(struct bench *bench, const char *path)
{
    char name[256];
    snprintf(name, sizeof name, "state/keeper/runs/%s/output/%s", last_id, path);
    return bench_read(bench, name);
}

/* What holds for every run, whatever the image did. */
static const struct json *check_reverted(struct bench *bench, const char *end, int grace_s)
{
    bench_await_run(bench, "ended");
    const struct json *all = result(bench), *proof = json_get(all, "proof");
    int64_t revert_ms = json_integer(proof, "revert_ms", -1);
    if (json_string(all, "console") != NULL && json_string(all, "console")[0] != '\0')
        print_message("  console: %s\n", json_string(all, "console"));
    assert_string_equal(json_string(proof, "end"), end);
    assert_true(json_boolean(proof, "equal", false));
    assert_string_equal(json_string(proof, "after"), EMPTY_SET);
    assert_int_equal(json_integer(proof, "leftovers", -1), 0);
    assert_in_range(revert_ms, 0, grace_s * 1000 + 1000);
    assert_int_equal(json_integer(json_get(proof, "app"), "pid", 0), bench_app_pid(bench));
    assert_true(sha256_is_hex(json_string(json_get(proof, "app"), "exe")));
    assert_int_equal(pid_count_of(UID, false), 0);
    assert_null(strstr(bench_read(bench, "keeper.log"), "level=error"));
    return all;
}

static const struct json *run_image(struct bench *bench, const struct image *image, const char *end)
{
    new_id();
    bench_script(bench, "image/run", image->script);
    pid_t before = bench_app_pid(bench);
    const struct json *answer = ask_start(bench, image);
    assert_true(bench_ok(answer));
    assert_int_equal(pid_start_time(before), -1);
    return check_reverted(bench, end, image->grace_s);
}

static void an_image_that_ends_by_itself_is_proved_and_its_output_taken(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    const struct json *all = run_image(
        &bench,
        &(struct image){.script =
                            "#!/bin/sh\nmkdir -p $LOCUM_OUTPUT/a/b\nprintf 'time,x\\n1,2\\n' > "
                            "$LOCUM_OUTPUT/counters.csv\n"
                            "echo \"$LOCUM_DURATION_S $LOCUM_PARAMS $1 $(pwd)\" > $LOCUM_OUTPUT/a/b/env.txt\n"
                            "printf 'a\\0b' > $LOCUM_OUTPUT/x.bin\necho said\nexit 3\n",
                        .limits = ",\"outputs\":[{\"path\":\"counters.csv\",\"type\":\"timeseries\"}],"
                                  "\"params\":{\"m\":{\"type\":\"boolean\",\"default\":true},"
                                  "\"n\":{\"type\":\"integer\",\"min\":1,\"max\":9,\"default\":2}}",
                        .params = "{\"n\":5}",
                        .duration_s = 20,
                        .grace_s = 2},
        "exited");
    assert_int_equal(json_integer(json_get(all, "proof"), "status", -1), 3);
    assert_string_equal(json_string(all, "capture"), "complete");
    assert_string_equal(output(&bench, "a/b/env.txt"), "20 {\"n\":5,\"m\":true} word /image\n");
    assert_string_equal(output(&bench, "counters.csv"), "time,x\n1,2\n");
    const struct json *files = json_get(all, "files");
    assert_int_equal(files->size, 3);
    assert_string_equal(json_string(files->first, "type"), "text");
    assert_string_equal(json_string(files->first->next, "path"), "counters.csv");
    assert_string_equal(json_string(files->first->next, "type"), "timeseries");
    assert_int_equal(json_integer(files->first->next, "length", -1), 11);
    assert_string_equal(json_string(files->first->next->next, "type"), "binary");
    assert_string_equal(json_string(all, "console"), "said\n");
    assert_true(bench_ok(bench_ask(&bench, "\"do\":\"run_forget\",\"run\":\"%s\"", last_id)));
    assert_null(output(&bench, "counters.csv"));
    bench_end(&bench);
}

static void a_consumed_run_never_starts_again(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    struct image image = {.script = "#!/bin/sh\nexit 0\n", .duration_s = 5, .grace_s = 1};
    start(&bench);
    run_image(&bench, &image, "exited");
    pid_t before = bench_app_pid(&bench);
    const struct json *answer = ask_start(&bench, &image);
    assert_false(json_boolean(answer, "ok", true));
    assert_string_equal(json_string(answer, "kind"), "conflict");
    assert_true(bench_ok(bench_ask(&bench, "\"do\":\"run_forget\",\"run\":\"%s\"", last_id)));
    assert_false(json_boolean(ask_start(&bench, &image), "ok", true));
    bench_kill_keeper(&bench);
    bench_keeper(&bench);
    assert_false(json_boolean(ask_start(&bench, &image), "ok", true));
    assert_int_equal(bench_app_pid(&bench), before);
    bench_end(&bench);
}

static void an_image_that_hangs_gets_sigterm_at_the_deadline(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    const struct json *all =
        run_image(&bench,
                  &(struct image){.script = "#!/bin/sh\ntrap 'echo flushed > $LOCUM_OUTPUT/x; exit 0' TERM\n"
                                            "while :; do sleep 0.1; done\n",
                                  .duration_s = 1,
                                  .grace_s = 5},
                  "deadline");
    assert_string_equal(output(&bench, "x"), "flushed\n");
    assert_in_range(json_integer(json_get(all, "proof"), "revert_ms", -1), 0, 1500);
    bench_end(&bench);
}

static void an_image_that_ignores_sigterm_is_killed_after_its_grace(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    const struct json *all = run_image(
        &bench,
        &(struct image){.script =
                            "#!/bin/sh\ntrap '' TERM INT HUP\n(trap '' TERM; while :; do sleep 1; done) &\n"
                            "setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' &\n"
                            "echo there > $LOCUM_OUTPUT/x\nwhile :; do sleep 1; done\n",
                        .duration_s = 1,
                        .grace_s = 1},
        "killed");
    assert_string_equal(json_string(all, "capture"), "complete");
    assert_string_equal(output(&bench, "x"), "there\n");
    bench_end(&bench);
}

static void a_fork_bomb_is_bounded_and_gone_in_time(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    run_image(&bench,
              &(struct image){.script = "#!/bin/sh\ntrap '' TERM\nexec 2>/dev/null\nbomb() { bomb | bomb & "
                                        "}\n(bomb; while :; do sleep 9 & done) &\n"
                                        "(while :; do setsid sleep 9 & done) &\nexec sleep 1000\n",
                              .duration_s = 2,
                              .grace_s = 1},
              "killed");
    bench_end(&bench);
}

static void a_full_disk_ends_at_max_output(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    const struct json *all = run_image(
        &bench,
        &(struct image){.script = "#!/bin/sh\nhead -c 700000 /dev/zero > $LOCUM_OUTPUT/a\n"
                                  "dd if=/dev/zero of=$LOCUM_OUTPUT/b bs=4096 2> $LOCUM_OUTPUT/../tmp/e\n"
                                  "grep -q 'No space' /tmp/e && exit 7\n",
                        .duration_s = 20,
                        .grace_s = 1},
        "exited");
    int64_t length = 0;
    for (const struct json *file = json_get(all, "files")->first; file != NULL; file = file->next)
        length += json_integer(file, "length", 0);
    assert_int_equal(json_integer(json_get(all, "proof"), "status", -1), 7);
    assert_string_equal(json_string(all, "capture"), "partial");
    assert_string_equal(json_string(all, "capture_reason"), "max_output");
    assert_in_range(length, 1000000, 1048576);
    bench_end(&bench);
}

static void an_image_that_takes_all_memory_is_stopped(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    const struct json *all =
        run_image(&bench,
                  &(struct image){.script = "#!/bin/sh\necho first > $LOCUM_OUTPUT/x\nexec awk "
                                            "'BEGIN{s=\"0123456789abcdef\";while(1)s=s s}'\n",
                                  .duration_s = 20,
                                  .grace_s = 1},
                  "exited");
    assert_int_not_equal(json_integer(json_get(all, "proof"), "status", 0), 0);
    assert_string_equal(output(&bench, "x"), "first\n");
    bench_end(&bench);
}

/* Each line of the script is one way out; it writes what it could do to `out`. */
static const char escape[] =
    "#!/bin/sh\nO=$LOCUM_OUTPUT\nexec 2>/dev/null\n"
    "for p in /proc/1/root /proc/2/root /proc/self/root; do cat $p%s/identity/key.json && echo key >> "
    "$O/out; done\n"
    "cat %s/identity/key.json && echo key >> $O/out\n"
    "for p in /proc/[0-9]*; do [ -e $p/root%s/identity ] && echo root >> $O/out; cat $p/environ | grep -q "
    "LOCUM_SOCKET && echo env >> $O/out; done\n"
    "mount -t tmpfs none /tmp && echo mount >> $O/out\n"
    "umount /image && echo umount >> $O/out\n"
    "unshare -Ur true && echo userns >> $O/out\n"
    "unshare -m true && echo mountns >> $O/out\n"
    "chroot / true && echo chroot >> $O/out\n"
    "touch /x /usr/x /image/x /etc/x /dev/x /assets/x && echo write >> $O/out\n"
    "for f in /x /usr/x /image/x /etc/x /dev/x /assets/x; do [ -e $f ] && echo wrote $f >> $O/out; done\n"
    "[ \"$(id -u)\" = %d ] || echo uid >> $O/out\n"
    "grep -qE '^Cap(Prm|Eff|Bnd|Amb|Inh):.0*$' /proc/self/status || echo caps >> $O/out\n"
    "[ \"$(grep -cE '^Cap.*:.0000000000000000$' /proc/self/status)\" = 5 ] || echo caps >> $O/out\n"
    "su root -c true && echo su >> $O/out\n"
    "mknod $O/sda b 8 0 && echo mknod >> $O/out\n"
    "nsenter -t 1 -m true && echo nsenter >> $O/out\n"
    "kill -9 %d && echo kill >> $O/out\n"
    "ls /proc/self/fd | grep -qvE '^[0-3]$' && echo fds >> $O/out\n"
    "echo core > /proc/sys/kernel/core_pattern && echo core_pattern >> $O/out\n"
    "echo b > /proc/sysrq-trigger && echo sysrq >> $O/out\n"
    "ln -s /etc/shadow $O/shadow; ln -s / $O/rootdir; mkfifo $O/pipe; ln $O/../image/run $O/hard && echo "
    "hard >> $O/out\n"
    "echo done > $O/done\n";

static void try_to_escape(const char *collect)
{
    struct bench bench;
    struct stat st;
    char script[8192];
    start(&bench);
    snprintf(script, sizeof script, escape, bench.state, bench.state, bench.state, UID, (int)bench.keeper);
    const struct json *all = run_image(
        &bench, &(struct image){.script = script, .collect = collect, .duration_s = 20, .grace_s = 1},
        "exited");
    const char *out = output(&bench, "out");
    if (out != NULL)
        fail_msg("the image could: %s", out);
    assert_string_equal(output(&bench, "done"), "done\n");
    assert_string_equal(json_string(all, "capture"), "partial");
    assert_int_equal(json_get(all, "omitted")->size, 3);
    assert_int_equal(json_get(all, "files")->size, 1);
    char path[256];
    snprintf(path, sizeof path, "%s/keeper/runs/%s/output/shadow", bench.state, last_id);
    assert_int_not_equal(lstat(path, &st), 0);
    bench_end(&bench);
}

static void an_image_finds_no_way_out(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    try_to_escape("");
}

static void an_image_that_sees_the_devices_proc_finds_no_way_out(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    try_to_escape("\"proc\"");
}

static void collected_scopes_are_shown_and_others_are_not(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    bench_write(&bench, "app.log", "the app said this\n", 0600);
    run_image(&bench,
              &(struct image){.script = "#!/bin/sh\ncat /app-logs/app.log > $LOCUM_OUTPUT/log\ncat "
                                        "/etc/hostname > $LOCUM_OUTPUT/host\n"
                                        "cat /proc/1/comm > $LOCUM_OUTPUT/init\n",
                              .collect = "\"app-logs\",\"file:/etc/hostname\",\"proc\"",
                              .duration_s = 20,
                              .grace_s = 1},
              "exited");
    assert_string_equal(output(&bench, "log"), "the app said this\n");
    assert_non_null(output(&bench, "host"));
    assert_string_not_equal(output(&bench, "init"), "locum-image\n");
    run_image(&bench,
              &(struct image){.script = "#!/bin/sh\ncat /proc/1/comm > $LOCUM_OUTPUT/init\n"
                                        "[ -e /app-logs ] && touch $LOCUM_OUTPUT/bad\n[ -e /etc/hostname ] "
                                        "&& touch $LOCUM_OUTPUT/bad\nexit 0\n",
                              .duration_s = 20,
                              .grace_s = 1},
              "exited");
    assert_string_equal(output(&bench, "init"), "locum-image\n");
    assert_null(output(&bench, "bad"));
    new_id();
    const struct json *answer =
        ask_start(&bench, &(struct image){.collect = "\"file:/etc/shadow\"", .duration_s = 5, .grace_s = 1});
    assert_false(json_boolean(answer, "ok", true));
    assert_null(json_get(answer, "consumed"));
    bench_end(&bench);
}

static void a_cancelled_run_reverts_at_once(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    new_id();
    bench_script(&bench, "image/run", "#!/bin/sh\nexec sleep 1000\n");
    assert_true(bench_ok(ask_start(&bench, &(struct image){.duration_s = 50, .grace_s = 3})));
    assert_false(json_boolean(bench_ask(&bench, "\"do\":\"app_start\""), "ok", true));
    assert_true(bench_ok(bench_ask(&bench, "\"do\":\"run_cancel\",\"run\":\"%s\"", last_id)));
    check_reverted(&bench, "cancelled", 0);
    bench_end(&bench);
}

static void a_program_that_cannot_be_run_gives_the_app_back(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    new_id();
    bench_script(&bench, "image/run", "#!/no/such/interpreter\n");
    const struct json *answer = ask_start(&bench, &(struct image){.duration_s = 5, .grace_s = 1});
    assert_false(json_boolean(answer, "ok", true));
    assert_true(json_boolean(answer, "consumed", false));
    const struct json *all = check_reverted(&bench, "exited", 1);
    assert_string_equal(json_string(all, "capture"), "none");
    assert_non_null(json_string(all, "error"));
    bench_end(&bench);
}

static void a_killed_keeper_loses_the_image_but_not_the_app(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    new_id();
    bench_script(&bench, "image/run",
                 "#!/bin/sh\ntrap '' TERM\necho x > $LOCUM_OUTPUT/x\nwhile :; do sleep 1; done\n");
    assert_true(bench_ok(ask_start(&bench, &(struct image){.duration_s = 50, .grace_s = 3})));
    assert_int_not_equal(pid_count_of(UID, false), 0);
    bench_kill_keeper(&bench);
    int64_t until = clock_boot_ms() + 5000;
    while (pid_count_of(UID, false) > 0 && clock_boot_ms() < until)
        poll(NULL, 0, 10);
    assert_int_equal(pid_count_of(UID, false), 0);
    bench_keeper(&bench);
    char path[128];
    snprintf(path, sizeof path, "state/keeper/runs/%s/result.json", last_id);
    bench_await_file(&bench, path, "runner_lost");
    const struct json *all = result(&bench);
    assert_string_equal(json_string(all, "capture"), "none");
    assert_string_equal(json_string(all, "capture_reason"), "runner_lost");
    assert_int_equal(json_integer(json_get(all, "proof"), "leftovers", -1), 0);
    assert_true(json_boolean(json_get(all, "proof"), "equal", false));
    assert_int_equal(json_integer(json_get(json_get(all, "proof"), "app"), "pid", 0), bench_app_pid(&bench));
    assert_false(
        json_boolean(ask_start(&bench, &(struct image){.duration_s = 50, .grace_s = 3}), "ok", true));
    bench_end(&bench);
}

static void stopping_the_keeper_reverts_the_image_first(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    new_id();
    bench_script(&bench, "image/run", "#!/bin/sh\nexec sleep 1000\n");
    assert_true(bench_ok(ask_start(&bench, &(struct image){.duration_s = 50, .grace_s = 3})));
    bench_end(&bench);
}

static int look(void **state)
{
    (void)state;
    missing = sandbox_missing(UID);
    if (missing != NULL)
        print_message("these tests are skipped: %s\n", missing);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(an_image_that_ends_by_itself_is_proved_and_its_output_taken),
        bench_test(a_consumed_run_never_starts_again),
        bench_test(an_image_that_hangs_gets_sigterm_at_the_deadline),
        bench_test(an_image_that_ignores_sigterm_is_killed_after_its_grace),
        bench_test(a_fork_bomb_is_bounded_and_gone_in_time),
        bench_test(a_full_disk_ends_at_max_output),
        bench_test(an_image_that_takes_all_memory_is_stopped),
        bench_test(an_image_finds_no_way_out),
        bench_test(an_image_that_sees_the_devices_proc_finds_no_way_out),
        bench_test(collected_scopes_are_shown_and_others_are_not),
        bench_test(a_cancelled_run_reverts_at_once),
        bench_test(a_program_that_cannot_be_run_gives_the_app_back),
        bench_test(a_killed_keeper_loses_the_image_but_not_the_app),
        bench_test(stopping_the_keeper_reverts_the_image_first),
    };
    return cmocka_run_group_tests(tests, look, NULL);
}

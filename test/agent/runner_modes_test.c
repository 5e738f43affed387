/* Images beside the app, the app overridden, runs that get more time, and what is blotted out or cut of the
 * output: real images under a real keeper. */
#include "test/agent/bench.h"

#include "agent/keeper_pid.h"
#include "agent/sandbox.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define UID 64124
#define EMPTY_SET "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"

/* Says what it reads of its asset, and tries to write in its own folder and elsewhere. */
#define APP                                                                                                  \
    "#!/bin/sh\ncd $(dirname $0)\necho \"asset $(cat state/sets/1/model/VERSION) in $LOCUM_OUTPUT\"\n"       \
    "(echo x > elsewhere) 2>/dev/null && rm elsewhere || echo refused\n"                                     \
    "echo $$ $(cat state/sets/1/model/VERSION) >> data/app.txt\n"                                            \
    "[ -n \"$LOCUM_OUTPUT\" ] && cat $LOCUM_ENDS_AT > $LOCUM_OUTPUT/ends && cp data/app.txt "                \
    "$LOCUM_OUTPUT/\n"                                                                                       \
    "echo $LOCUM_PARAMS\nexec sleep 100000\n"

static char last_id[33];
static const char *missing;

static void start(struct bench *bench)
{
    char settings[640];
    bench_prepare(bench, "");
    bench_script(bench, "app.sh", APP);
    bench_write(bench, "data/.keep", "", 0644);
    bench_write(bench, "state/versions/model/1.0.0/VERSION", "1.0.0", 0644);
    bench_write(bench, "state/sets/1/.keep", "", 0644);
    assert_int_equal(symlinkat("../../versions/model/1.0.0/", bench->state_fd, "sets/1/model"), 0);
    snprintf(settings, sizeof settings,
             "app.command = %s/app.sh\napp.notify = none\ndiagnostic.uid = %d\napp.log = %s/app.log\n"
             "app.writable = %s/data\n",
             bench->dir, UID, bench->dir, bench->dir);
    struct error err = {0};
    assert_true(agent_settings_parse(&bench->arena, settings, &bench->settings, &err));
    bench_keeper(bench);
    bench_await_file(bench, "data/app.txt", "1.0.0");
}

struct image {
    const char *mode, *script, *collect, *redact, *outputs;
    int duration_s, max_output;
};

static const struct json *ask_start(struct bench *bench, const struct image *image)
{
    uint8_t bytes[16];
    bool override = strcmp(image->mode, "override") == 0;
    random_bytes(bytes, sizeof bytes);
    hex_encode(last_id, bytes, sizeof bytes);
    bench->last_run_state[0] = '\0';
    if (image->script != NULL)
        bench_script(bench, "image/run", image->script);
    return bench_ask(
        bench,
        "\"do\":\"run_start\",\"run\":{\"id\":\"%s\",\"campaign\":7,\"image\":\"probe\",\"version\":\"1.0."
        "0\","
        "\"duration_s\":%d,\"not_after\":4000000000,\"collect\":[%s],\"params\":{},\"redact\":[%s],"
        "\"max_output\":%d,\"folder\":\"%s/image\",\"set\":\"" EMPTY_SET "\",\"set_path\":\"%s/sets/1\","
        "\"limits\":{%s\"mode\":\"%s\",\"max_runtime_s\":60,\"grace_s\":1,\"max_output\":1048576,"
        "\"max_memory\":33554432,\"max_pids\":20,\"collect\":[%s],\"network\":\"none\",\"outputs\":[%s]}}",
        last_id, image->duration_s, image->collect != NULL ? image->collect : "",
        image->redact != NULL ? image->redact : "", image->max_output > 0 ? image->max_output : 1048576,
        bench->dir, bench->state, override ? "" : "\"entry\":[\"./run\"],", image->mode,
        override ? "\"app-logs\"" : "\"proc\",\"app\",\"app-logs\"",
        image->outputs != NULL ? image->outputs : "");
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

static const struct json *check_reverted(struct bench *bench, const char *end)
{
    bench_await_run(bench, "ended");
    const struct json *all = result(bench), *proof = json_get(all, "proof");
    if (json_string(all, "error") != NULL)
        fail_msg("%s", json_string(all, "error"));
    assert_string_equal(json_string(proof, "end"), end);
    assert_true(json_boolean(proof, "equal", false));
    assert_int_equal(json_integer(proof, "leftovers", -1), 0);
    assert_in_range(json_integer(proof, "revert_ms", -1), 0, 2000);
    assert_int_equal(json_integer(json_get(proof, "app"), "pid", 0), bench_app_pid(bench));
    assert_null(strstr(bench_read(bench, "keeper.log"), "level=error"));
    return all;
}

static int64_t time_of(const struct json *object, const char *key)
{
    int64_t at = 0;
    assert_true(time_parse(json_string(object, key), &at));
    return at;
}

static const struct json *file_of(const struct json *all, const char *list, const char *path)
{
    for (const struct json *one = json_get(all, list)->first; one != NULL; one = one->next)
        if (string_is(json_string(one, "path"), path))
            return one;
    return NULL;
}

/* --- beside
 * ------------------------------------------------------------------------------------------------------ */

static void an_image_runs_beside_the_app_which_is_not_touched(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    pid_t app = bench_app_pid(&bench);
    int64_t began = pid_start_time(app);
    assert_true(bench_ok(ask_start(
        &bench, &(struct image){
                    .mode = "beside",
                    .script = "#!/bin/sh\nexec 2>&1\nnice > $LOCUM_OUTPUT/nice\n"
                              "cat $LOCUM_APP_STATS > $LOCUM_OUTPUT/one\n"
                              "until ! cmp -s $LOCUM_APP_STATS $LOCUM_OUTPUT/one; do sleep 0.05; done\n"
                              "cat $LOCUM_APP_STATS > $LOCUM_OUTPUT/two\n"
                              "P=/proc/$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/' $LOCUM_OUTPUT/two)\n"
                              "ls $P/fd $P/root/ && touch $LOCUM_OUTPUT/fds\n"
                              "cat $P/io $P/environ && touch $LOCUM_OUTPUT/io\n"
                              "(echo x > /notes/app.json || touch /notes/x) && touch $LOCUM_OUTPUT/wrote\n"
                              "grep -c . $P/stat $P/task/*/stat > $LOCUM_OUTPUT/stat\nexit 0\n",
                    .collect = "\"proc\",\"app\"",
                    .duration_s = 50})));
    const struct json *all = check_reverted(&bench, "exited"), *proof = json_get(all, "proof");
    assert_int_equal(pid_start_time(app), began);
    assert_int_equal(json_integer(json_get(proof, "app_before"), "pid", 0), app);
    assert_int_equal(json_integer(json_get(proof, "app_before"), "start_time", 0), began);
    assert_int_equal(json_integer(json_get(proof, "app"), "pid", 0), app);
    assert_int_equal(json_integer(json_get(proof, "app"), "start_time", 0), began);
    struct error err = {0};
    const char *text = output(&bench, "two");
    const struct json *stats = json_read(&bench.arena, text, strlen(text), &json_limits_small, &err);
    assert_non_null(stats);
    assert_int_equal(json_integer(stats, "pid", 0), app);
    assert_in_range(json_integer(stats, "descriptors", -1), 3, 100);
    assert_in_range(json_integer(json_get(stats, "io"), "rchar", -1), 1, INT32_MAX);
    assert_string_equal(output(&bench, "nice"), "10\n");
    assert_null(output(&bench, "fds"));
    assert_null(output(&bench, "io"));
    assert_null(output(&bench, "wrote"));
    bench_end(&bench);
}

static void without_the_scope_app_there_are_no_figures_of_it(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    assert_true(bench_ok(
        ask_start(&bench, &(struct image){.mode = "beside",
                                          .script = "#!/bin/sh\nls /notes > $LOCUM_OUTPUT/notes\necho "
                                                    "\"$LOCUM_APP_STATS\" >> $LOCUM_OUTPUT/notes\n",
                                          .collect = "\"proc\"",
                                          .duration_s = 50})));
    check_reverted(&bench, "exited");
    assert_string_equal(output(&bench, "notes"), "ends_at\n\n");
    bench_end(&bench);
}

static void a_killed_keeper_loses_the_image_beside_and_keeps_the_app(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    pid_t app = bench_app_pid(&bench);
    assert_true(bench_ok(ask_start(&bench, &(struct image){.mode = "beside",
                                                           .script = "#!/bin/sh\ntrap '' TERM\nwhile :; do "
                                                                     "sleep 1; done\n",
                                                           .duration_s = 50})));
    bench_kill_keeper(&bench);
    bench_keeper(&bench);
    char path[128];
    snprintf(path, sizeof path, "state/keeper/runs/%s/result.json", last_id);
    bench_await_file(&bench, path, "runner_lost");
    const struct json *proof = json_get(result(&bench), "proof");
    assert_int_equal(json_integer(proof, "leftovers", -1), 0);
    assert_int_equal(json_integer(json_get(proof, "app"), "pid", 0), app);
    assert_int_equal(json_integer(json_get(proof, "app_before"), "pid", 0), app);
    assert_int_equal(pid_count_of(UID, false), 0);
    bench_end(&bench);
}

/* --- override
 * ---------------------------------------------------------------------------------------------------- */

static void bring_asset(struct bench *bench)
{
    bench_write(bench, "image/assets/model/VERSION", "2.0.0", 0644);
}

static void an_overridden_app_sees_the_images_asset_and_leaves_nothing(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    pid_t app = bench_app_pid(&bench);
    bring_asset(&bench);
    assert_true(bench_ok(
        ask_start(&bench, &(struct image){.mode = "override", .collect = "\"app-logs\"", .duration_s = 5})));
    assert_int_equal(pid_start_time(app), -1);
    assert_false(json_boolean(bench_ask(&bench, "\"do\":\"app_start\""), "ok", true));
    const struct json *all = check_reverted(&bench, "deadline");
    const char *log = output(&bench, "app.log");
    assert_non_null(log);
    assert_non_null(strstr(log, "asset 2.0.0 in "));
    assert_non_null(strstr(log, "refused\n")); /* what is not app.writable */
    assert_string_equal(json_string(file_of(all, "files", "app.log"), "type"), "log");
    assert_non_null(strstr(output(&bench, "app.txt"), "2.0.0")); /* it could write there */
    int64_t ends = 0;
    assert_true(int64_parse(strtok(output(&bench, "ends"), "\n"), 1, INT64_MAX, &ends));
    assert_int_equal(ends, time_of(all, "started_at") + 5);
    char back[48];
    snprintf(back, sizeof back, "%d 1.0.0\n", (int)bench_app_pid(&bench));
    bench_await_file(&bench, "data/app.txt", back);
    const char *written = bench_read(&bench, "data/app.txt");
    assert_null(strstr(written, "2.0.0"));
    assert_string_equal(bench_read(&bench, "state/versions/model/1.0.0/VERSION"), "1.0.0");
    assert_null(bench_read(&bench, "elsewhere"));
    bench_end(&bench);
}

static void an_override_that_cannot_be_laid_over_the_set_is_refused_before_anything(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    pid_t app = bench_app_pid(&bench);
    bench_write(&bench, "image/assets/other/VERSION", "2.0.0", 0644);
    const struct json *answer = ask_start(&bench, &(struct image){.mode = "override", .duration_s = 3});
    assert_false(json_boolean(answer, "ok", true));
    assert_null(json_get(answer, "consumed"));
    assert_non_null(strstr(json_string(answer, "reason"), "no asset other"));
    assert_int_equal(bench_app_pid(&bench), app);
    bench_end(&bench);
}

static void a_killed_keeper_ends_the_overridden_app_before_the_app_is_back(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    bring_asset(&bench);
    assert_true(bench_ok(ask_start(&bench, &(struct image){.mode = "override", .duration_s = 50})));
    char path[128];
    snprintf(path, sizeof path, "state/keeper/runs/%s/first.json", last_id);
    struct error err = {0};
    const char *text = bench_read(&bench, path);
    const struct json *first = json_read(&bench.arena, text, strlen(text), &json_limits_small, &err);
    pid_t pid = (pid_t)json_integer(first, "pid", 0);
    assert_true(pid_start_time(pid) > 0);
    bench_kill_keeper(&bench);
    bench_keeper(&bench);
    assert_int_equal(pid_start_time(pid), -1);
    snprintf(path, sizeof path, "state/keeper/runs/%s/result.json", last_id);
    bench_await_file(&bench, path, "runner_lost");
    const struct json *proof = json_get(result(&bench), "proof");
    assert_int_equal(json_integer(proof, "leftovers", -1), 0);
    assert_int_equal(json_integer(json_get(proof, "app"), "pid", 0), bench_app_pid(&bench));
    assert_int_not_equal(bench_app_pid(&bench), 0);
    bench_end(&bench);
}

/* --- more time
 * --------------------------------------------------------------------------------------------------- */

static const struct json *extend(struct bench *bench, const char *run, int duration_s)
{
    return bench_ask(bench, "\"do\":\"run_extend\",\"run\":\"%s\",\"duration_s\":%d", run, duration_s);
}

static void a_run_gets_more_time_within_what_was_signed_and_never_less(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    assert_true(bench_ok(ask_start(
        &bench, &(struct image){.mode = "replace",
                                .script = "#!/bin/sh\nwhile cp $LOCUM_ENDS_AT $LOCUM_OUTPUT/part; do mv "
                                          "$LOCUM_OUTPUT/part $LOCUM_OUTPUT/ends; sleep 0.1; done\n",
                                .duration_s = 5})));
    const struct json *answer = extend(&bench, last_id, 7);
    assert_true(bench_ok(answer));
    const char *ends_at = json_string(answer, "ends_at");
    answer = extend(&bench, last_id, 1);
    assert_true(bench_ok(answer));
    assert_string_equal(json_string(answer, "ends_at"), ends_at);
    answer = extend(&bench, last_id, 61);
    assert_false(json_boolean(answer, "ok", true));
    assert_string_equal(json_string(answer, "kind"), "denied");
    answer = extend(&bench, EMPTY_SET, 9);
    assert_false(json_boolean(answer, "ok", true));
    const struct json *all = check_reverted(&bench, "deadline");
    int64_t ran = time_of(json_get(all, "proof"), "ended_at") - time_of(all, "started_at");
    assert_in_range(ran, 6, 60);
    int64_t seen = 0, told = 0;
    const char *note = output(&bench, "ends");
    assert_non_null(note);
    assert_true(int64_parse(strtok((char *)(uintptr_t)note, "\n"), 1, INT64_MAX, &seen));
    assert_true(time_parse(ends_at, &told));
    assert_int_equal(seen, told);
    assert_int_equal(told, time_of(all, "started_at") + 7);
    bench_end(&bench);
}

/* --- output
 * ------------------------------------------------------------------------------------------------------ */

static void patterns_blot_out_all_but_what_is_declared_to_be_no_text(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    assert_true(bench_ok(ask_start(
        &bench, &(struct image){
                    .mode = "beside",
                    .script = "#!/bin/sh\ncd $LOCUM_OUTPUT\necho 'user ann pw=1' > run.log\n"
                              "echo 'pw=2 pw=3' > note\nprintf 'time,pw=4\\n1,pw=5\\n' > c.csv\n"
                              "printf 'pw=6\\0' > x.bin\necho pw=7 > raw\nprintf '\\377 pw=8\\n' > old.log\n",
                    .redact = "\"pw=[0-9]\"",
                    .outputs = "{\"path\":\"run.log\",\"type\":\"log\"},{\"path\":\"c.csv\",\"type\":"
                               "\"timeseries\"},{\"path\":\"raw\",\"type\":\"binary\"}",
                    .duration_s = 50})));
    const struct json *all = check_reverted(&bench, "exited");
    assert_string_equal(output(&bench, "run.log"), "user ann [redacted]\n");
    assert_string_equal(output(&bench, "note"), "[redacted] [redacted]\n");
    assert_string_equal(output(&bench, "c.csv"), "time,pw=4\n1,[redacted]\n");
    assert_string_equal(output(&bench, "x.bin"), "[redacted]");
    assert_string_equal(output(&bench, "old.log"), "\377 [redacted]\n");
    assert_string_equal(json_string(file_of(all, "files", "old.log"), "type"), "binary");
    assert_string_equal(output(&bench, "raw"), "pw=7\n");
    assert_int_equal(json_integer(file_of(all, "files", "note"), "redacted", 0), 2);
    assert_int_equal(json_integer(file_of(all, "files", "c.csv"), "redacted", 0), 1);
    assert_null(json_get(file_of(all, "files", "raw"), "redacted"));
    assert_int_equal(json_integer(file_of(all, "files", "note"), "length", 0), 22);
    char hex[SHA256_HEX];
    sha256_hex("[redacted] [redacted]\n", 22, hex);
    assert_string_equal(json_string(file_of(all, "files", "note"), "sha256"), hex);
    assert_string_equal(json_string(all, "capture"), "complete");
    bench_end(&bench);
}

/* Has the keeper a child that lets others go first? */
static bool has_modest_child(pid_t keeper)
{
    char path[64], line[256] = "";
    bool modest = false;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)keeper, (int)keeper);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    const char *at = fgets(line, sizeof line, file);
    fclose(file);
    for (char *end; at != NULL && *at != '\0' && *at != '\n'; at = end + strspn(end, " "))
        modest |= getpriority(PRIO_PROCESS, (id_t)strtol(at, &end, 10)) == 10;
    return modest;
}

static void who_looks_for_patterns_lets_the_app_go_first(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    assert_true(bench_ok(ask_start(
        &bench,
        &(struct image){.mode = "replace",
                        .script = "#!/bin/sh\nhead -c 6000 /dev/zero | tr '\\0' a > $LOCUM_OUTPUT/run.log\n",
                        .redact = "\"[^a](.*){30}^x*{1,9}\",\"(.*)xa{3,}*(.*)^\"",
                        .duration_s = 50})));
    bool modest = false;
    for (int64_t end = clock_boot_ms() + BENCH_WAIT_MS; !modest && clock_boot_ms() < end;)
        modest = has_modest_child(bench.keeper);
    assert_true(modest);
    check_reverted(&bench, "exited");
    bench_end(&bench);
}

static void a_pattern_that_is_none_is_refused_before_anything_starts(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    const struct json *answer = ask_start(
        &bench,
        &(struct image){.mode = "beside", .script = "#!/bin/sh\n", .redact = "\"(a\"", .duration_s = 5});
    assert_false(json_boolean(answer, "ok", true));
    assert_null(json_get(answer, "consumed"));
    assert_non_null(strstr(json_string(answer, "reason"), "(a"));
    bench_end(&bench);
}

static void what_is_over_the_narrowed_output_is_cut_and_named(void **state)
{
    (void)state;
    if (missing != NULL)
        skip();
    struct bench bench;
    start(&bench);
    assert_true(
        bench_ok(ask_start(&bench, &(struct image){.mode = "beside",
                                                   .script = "#!/bin/sh\ncd $LOCUM_OUTPUT\necho small > a\n"
                                                             "cat /dev/zero > b 2>/dev/null\nexit 0\n",
                                                   .max_output = 65536,
                                                   .duration_s = 50})));
    const struct json *all = check_reverted(&bench, "exited");
    assert_string_equal(json_string(all, "capture"), "partial");
    assert_string_equal(json_string(all, "capture_reason"), "max_output");
    assert_in_range(json_integer(file_of(all, "files", "b"), "length", 0), 4096, 65536);
    assert_non_null(strstr(json_string(file_of(all, "omitted", "b"), "why"), "may be cut"));
    assert_null(file_of(all, "omitted", "a"));
    /* A file with a hole is longer than all its bytes. */
    assert_true(
        bench_ok(ask_start(&bench, &(struct image){.mode = "beside",
                                                   .script = "#!/bin/sh\ncd $LOCUM_OUTPUT\necho first > a\n"
                                                             "truncate -s 70000 hole\n",
                                                   .max_output = 65536,
                                                   .duration_s = 50})));
    all = check_reverted(&bench, "exited");
    assert_int_equal(json_integer(file_of(all, "files", "hole"), "length", 0), 65536 - 6);
    assert_string_equal(json_string(file_of(all, "omitted", "hole"), "why"),
                        "cut after 65530 bytes: max_output");
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
        bench_test(an_image_runs_beside_the_app_which_is_not_touched),
        bench_test(without_the_scope_app_there_are_no_figures_of_it),
        bench_test(a_killed_keeper_loses_the_image_beside_and_keeps_the_app),
        bench_test(an_overridden_app_sees_the_images_asset_and_leaves_nothing),
        bench_test(an_override_that_cannot_be_laid_over_the_set_is_refused_before_anything),
        bench_test(a_killed_keeper_ends_the_overridden_app_before_the_app_is_back),
        bench_test(a_run_gets_more_time_within_what_was_signed_and_never_less),
        bench_test(patterns_blot_out_all_but_what_is_declared_to_be_no_text),
        bench_test(who_looks_for_patterns_lets_the_app_go_first),
        bench_test(a_pattern_that_is_none_is_refused_before_anything_starts),
        bench_test(what_is_over_the_narrowed_output_is_cut_and_named),
    };
    return cmocka_run_group_tests(tests, look, NULL);
}

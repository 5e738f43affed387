/* Which delta a device is told to take, and when they are made. */
/* link: -Wl,--wrap=delta_plan_make */
#include "test/console/small.h"

#include "base/file.h"
#include "base/text.h"
#include "console/console.h"
#include "console/deltas_parts.h"
#include "console/delivery/release.h"
#include "repo/delta_make_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LENGTH (512 << 10)
#define IDLE_MS 60000

static struct deltas *deltas_open(struct small *small, int64_t quota)
{
    const struct deltas_options options = {.quota = quota, .thorough_after = 3};
    struct error err = {0};

    struct deltas *deltas = small->console.deltas = deltas_start(&small->console, &options, &err);
    assert_ok(deltas, err);
    return deltas;
}

static int teardown(void **state)
{
    struct small *small = *state;

    deltas_stop(small->console.deltas);
    small->console.deltas = NULL;
    return small_teardown(state);
}

static const char *object(struct small *small, struct arena *arena, const void *bytes, size_t size)
{
    struct error err = {0};
    char *sha256 = arena_alloc(arena, SHA256_HEX);

    assert_ok(object_put(small->console.repo, bytes, size, sha256, &err), err);
    return sha256;
}

static uint8_t *noise(struct arena *arena, size_t size)
{
    uint8_t *bytes = arena_alloc(arena, size);

    random_bytes(bytes, size);
    return bytes;
}

/* Asks until it is made, as a device does. */
static struct delta_choice choose(struct deltas *deltas, const char *new, const char *const *olds,
                                  size_t count)
{
    struct delta_choice choice;
    struct error err = {0};

    for (;;) {
        assert_ok(deltas_choose(deltas, 1, new, olds, count, &choice, &err), err);
        if (choice.verdict != DELTA_ASK_AGAIN)
            return choice;
        assert_in_range(choice.retry_after_s, 1, 5);
        assert_true(deltas_idle(deltas, IDLE_MS));
    }
}

static int64_t made(struct deltas *deltas)
{
    struct deltas_figures figures;

    deltas_figures(deltas, &figures);
    return figures.made;
}

static void the_likeliest_candidate_is_taken_wherever_it_stands(void **state)
{
    ARENA(arena);
    struct small *small = *state;
    struct deltas *deltas = deltas_open(small, 1 << 30);
    uint8_t *bytes = noise(&arena, LENGTH);
    const char *olds[3];

    olds[0] = object(small, &arena, noise(&arena, LENGTH), LENGTH);
    olds[1] = object(small, &arena, noise(&arena, LENGTH), LENGTH);
    olds[2] = object(small, &arena, bytes, LENGTH);
    random_bytes(bytes + 1000, 500);
    const char *new = object(small, &arena, bytes, LENGTH);
    struct delta_choice choice = choose(deltas, new, olds, 3);
    assert_int_equal(choice.verdict, DELTA_TAKE);
    assert_ptr_equal(choice.old, olds[2]);
    assert_true(choice.length < 4000);
    assert_int_equal(choice.whole, LENGTH);
    assert_int_equal(made(deltas), 1);
    choose(deltas, new, olds, 3);
    assert_int_equal(made(deltas), 1);
}

static void where_nothing_is_alike_the_whole_is_taken_and_nobody_tries_again(void **state)
{
    ARENA(arena);
    struct small *small = *state;
    struct deltas *deltas = deltas_open(small, 1 << 30);
    const char *olds[DELTA_CANDIDATES];

    for (int i = 0; i < DELTA_CANDIDATES; i++)
        olds[i] = object(small, &arena, noise(&arena, LENGTH), LENGTH);
    const char *new = object(small, &arena, noise(&arena, LENGTH), LENGTH);
    assert_int_equal(choose(deltas, new, olds, DELTA_CANDIDATES).verdict, DELTA_TAKE_WHOLE);
    int64_t tries = made(deltas);
    assert_in_range(tries, 1, 2);
    assert_int_equal(choose(deltas, new, olds, DELTA_CANDIDATES).verdict, DELTA_TAKE_WHOLE);
    assert_int_equal(made(deltas), tries);
}

static void nothing_is_made_for_what_is_small_unknown_or_the_same(void **state)
{
    ARENA(arena);
    struct small *small = *state;
    struct deltas *deltas = deltas_open(small, 1 << 30);
    struct delta_choice choice;
    struct error err = {0};
    const char *tiny = object(small, &arena, "tiny", 4);
    char none[SHA256_HEX];
    const char *large = object(small, &arena, noise(&arena, LENGTH), LENGTH);

    sha256_hex("nothing", 7, none);
    assert_int_equal(choose(deltas, tiny, &large, 1).verdict, DELTA_TAKE_WHOLE);
    assert_int_equal(choose(deltas, large, &large, 1).verdict, DELTA_TAKE_WHOLE);
    assert_int_equal(choose(deltas, large, (const char *[]){none}, 1).verdict, DELTA_TAKE_WHOLE);
    assert_int_equal(choose(deltas, large, NULL, 0).verdict, DELTA_TAKE_WHOLE);
    assert_false(deltas_choose(deltas, 1, none, &large, 1, &choice, &err));
    assert_int_equal(err.kind, ERROR_MISSING);
    assert_int_equal(made(deltas), 0);
}

static void a_pair_that_is_asked_for_often_is_made_thoroughly(void **state)
{
    ARENA(arena);
    struct small *small = *state;
    struct deltas *deltas = deltas_open(small, 1 << 30);
    uint8_t *bytes = noise(&arena, LENGTH);
    const char *old = object(small, &arena, bytes, LENGTH);
    struct delta_known known;

    random_bytes(bytes + 1000, 500);
    const char *new = object(small, &arena, bytes, LENGTH);
    for (int asked = 1; asked <= 3; asked++) {
        choose(deltas, new, &old, 1);
        assert_true(deltas_idle(deltas, IDLE_MS));
        delta_store_look(deltas_store(deltas), old, new, &known);
        assert_int_equal(known.effort, asked < 3 ? DELTA_QUICK : DELTA_THOROUGH);
    }
}

static void publish(struct small *small, const char *version, const uint8_t *bytes)
{
    struct manifest_file file = {.path = "model.bin", .mode = 0644, .length = LENGTH};
    struct publication publication = {
        .manifest = {.kind = KIND_MODEL, .files = &file, .file_count = 1}, .title = "t", .author = "admin"};
    struct published published;
    struct error err = {0};

    strcpy(publication.manifest.product, "demo");
    strcpy(publication.manifest.asset, "model");
    strcpy(publication.manifest.version, version);
    publication.manifest.total = LENGTH;
    assert_ok(object_put(small->console.repo, bytes, LENGTH, file.sha256, &err), err);
    assert_ok(repo_publish(small->console.repo, &publication, &published, &err), err);
}

/* The device says that it runs this version and has this order. */
static void say_runs(struct small *small, struct device *device, const char *version, int64_t order_seq)
{
    ARENA(arena);
    struct error err = {0};
    TEXT(answer);
    const char *said = arena_printf(&arena,
                                    "{\"boot_id\":\"0f8fad5b-d9cb-469f-a165-70867728950e\",\"generation\":1,"
                                    "\"set\":\"\",\"order_seq\":%lld,"
                                    "\"metadata\":{},\"assets\":{\"model\":{\"version\":\"%s\",\"sha256\":"
                                    "null,\"state\":\"idle\",\"result\":1}},"
                                    "\"app\":{\"state\":\"none\",\"pid\":0,\"since\":null},\"image\":null}",
                                    (long long)order_seq, version);

    assert_ok(small_checkin(small, device, said, &answer, &err), err);
}

static void what_devices_run_is_prepared_for_a_version_that_is_published(void **state)
{
    ARENA(arena);
    struct small *small = *state;
    struct deltas *deltas = deltas_open(small, 1 << 30);
    struct device *device = small_device(small, "cam-1", NULL, NULL);
    uint8_t *bytes = noise(&arena, LENGTH);
    char old[SHA256_HEX], between[SHA256_HEX], new[SHA256_HEX];
    struct delta_known known;

    sha256_hex(bytes, LENGTH, old);
    publish(small, "1.0.0", bytes);
    random_bytes(bytes + 1000, 500);
    sha256_hex(bytes, LENGTH, between);
    publish(small, "1.1.0", bytes);
    random_bytes(bytes + 1000, 500);
    sha256_hex(bytes, LENGTH, new);
    publish(small, "1.2.0", bytes);
    say_runs(small, device, "1.0.0", 0);
    deltas_published(deltas, "demo", "model", "1.2.0");
    assert_true(deltas_idle(deltas, IDLE_MS));
    delta_store_look(deltas_store(deltas), old, new, &known);
    assert_true(known.length > 0);
    delta_store_look(deltas_store(deltas), between, new, &known);
    assert_false(known.tried); /* nobody runs that one */
    delta_store_look(deltas_store(deltas), NULL, new, &known);
    assert_true(known.tried);
    deltas_ordered(deltas, "demo", "model", "1.1.0", "1.2.0");
    assert_true(deltas_idle(deltas, IDLE_MS));
    delta_store_look(deltas_store(deltas), between, new, &known);
    assert_true(known.length > 0);
}

static void what_an_order_brings_is_made_before_the_device_asks(void **state)
{
    ARENA(arena);
    struct small *small = *state;
    struct deltas *deltas = deltas_open(small, 1 << 30);
    struct device *device = small_device(small, "cam-1", NULL, NULL);
    uint8_t *bytes = noise(&arena, LENGTH);
    char old[SHA256_HEX], new[SHA256_HEX];
    struct delta_known known;
    struct error err = {0};
    int64_t count;

    sha256_hex(bytes, LENGTH, old);
    publish(small, "1.0.0", bytes);
    random_bytes(bytes + 1000, 500);
    sha256_hex(bytes, LENGTH, new);
    publish(small, "1.1.0", bytes);
    say_runs(small, device, "1.0.0", 0);
    assert_true(deltas_idle(deltas, IDLE_MS));
    assert_int_equal(made(deltas), 0);
    assert_ok(release_set(&small->console, "demo", "model", "1.1.0", "ada", &count, &err), err);
    say_runs(small, device, "1.0.0", 0); /* which gives it the order */
    assert_true(device->order_seq > 0);
    assert_true(deltas_idle(deltas, IDLE_MS));
    delta_store_look(deltas_store(deltas), old, new, &known);
    assert_true(known.length > 0);
}

static void a_stop_drops_what_is_being_made(void **state)
{
    ARENA(arena);
    struct small *small = *state;
    struct deltas *deltas = deltas_open(small, 1 << 30);
    const size_t large = 24 << 20;
    uint8_t *bytes = noise(&arena, large);
    const char *old = object(small, &arena, bytes, large);
    struct delta_choice choice;
    struct error err = {0};

    random_bytes(bytes, large / 2);
    const char *new = object(small, &arena, bytes, large);
    assert_ok(deltas_choose(deltas, 1, new, &old, 1, &choice, &err), err);
    assert_int_equal(choice.verdict, DELTA_ASK_AGAIN);
    deltas_stop(deltas);
    small->console.deltas = NULL;
}

static void with_a_quota_of_nothing_whole_objects_travel(void **state)
{
    ARENA(arena);
    struct small *small = *state;
    struct deltas *deltas = deltas_open(small, 0);
    uint8_t *bytes = noise(&arena, LENGTH);
    const char *old = object(small, &arena, bytes, LENGTH);

    bytes[0] ^= 1;
    const char *new = object(small, &arena, bytes, LENGTH);
    assert_int_equal(choose(deltas, new, &old, 1).verdict, DELTA_TAKE_WHOLE);
    assert_null(deltas_store(deltas));
    deltas_published(deltas, "demo", "model", "1.0.0");
    deltas_doubted(deltas, 1, old, new);
}

static void a_delta_beyond_the_quota_is_not_made_again_and_again(void **state)
{
    ARENA(arena);
    struct small *small = *state;
    struct deltas *deltas = deltas_open(small, 100 << 10);
    uint8_t *bytes = noise(&arena, LENGTH);
    const char *old = object(small, &arena, bytes, LENGTH);

    random_bytes(bytes, LENGTH / 2);
    const char *new = object(small, &arena, bytes, LENGTH);
    for (int i = 0; i < 3; i++)
        assert_int_equal(choose(deltas, new, &old, 1).verdict, DELTA_TAKE_WHOLE);
    assert_int_equal(made(deltas), 1);
    small_wait(small, 100);
    assert_int_equal(choose(deltas, new, &old, 1).verdict, DELTA_TAKE_WHOLE);
    assert_int_equal(made(deltas), 2);
}

static void one_device_cannot_fill_the_queue(void **state)
{
    ARENA(arena);
    struct small *small = *state;
    struct deltas *deltas = deltas_open(small, 1 << 30);
    const size_t large = 24 << 20;
    uint8_t *bytes = noise(&arena, large);
    const char *old = object(small, &arena, bytes, large), *news[20];
    struct delta_choice choice;
    struct error err = {0};
    int taken = 0;

    random_bytes(bytes, large / 2);
    const char *busy = object(small, &arena, bytes, large);
    for (int i = 0; i < 20; i++)
        news[i] = object(small, &arena, noise(&arena, LENGTH), LENGTH);
    assert_ok(deltas_choose(deltas, 2, busy, &old, 1, &choice, &err), err);
    for (int i = 0; i < 20; i++) {
        assert_ok(deltas_choose(deltas, 1, news[i], &old, 1, &choice, &err), err);
        taken += choice.verdict == DELTA_ASK_AGAIN;
    }
    assert_int_equal(taken, 8);
    assert_ok(deltas_choose(deltas, 3, news[19], &old, 1, &choice, &err), err);
    assert_int_equal(choice.verdict, DELTA_ASK_AGAIN); /* others have their own share */
}

/* The queue without its thread. */
static struct deltas *queue_new(struct arena *arena)
{
    struct deltas *queue = arena_array(arena, 1, sizeof *queue);

    memset(queue, 0, sizeof *queue);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->wake, NULL);
    return queue;
}

static bool want(struct deltas *queue, enum job_kind kind, int64_t device_id, const char *new)
{
    struct delta_job job = {.kind = kind, .device_id = device_id};

    sha256_hex(new, strlen(new), job.new);
    return job_add(queue, &job);
}

/* Whose job is next, -1: none waits. */
static int64_t serve(struct deltas *queue)
{
    struct delta_job *job = job_take_first(queue);
    int64_t device_id = job ? job->device_id : -1;

    free(job);
    return device_id;
}

static void queue_end(struct deltas *queue)
{
    while (serve(queue) >= 0)
        continue;
    assert_int_equal(queue->waiting, 0);
    pthread_cond_destroy(&queue->wake);
    pthread_mutex_destroy(&queue->lock);
}

static void devices_are_served_in_turns(void **state)
{
    ARENA(arena);
    struct deltas *queue = queue_new(&arena);
    char order[16] = "";
    size_t count = 0;

    (void)state;
    assert_true(want(queue, JOB_PAIR, 0, "planned"));
    for (int i = 0; i < 4; i++)
        assert_true(want(queue, JOB_ASKED, 1, arena_printf(&arena, "of the first, %d", i)));
    assert_true(want(queue, JOB_ASKED, 2, "e"));
    assert_true(want(queue, JOB_ASKED, 2, "f"));
    assert_true(want(queue, JOB_ASKED, 3, "of the first, 3")); /* its fourth is another's first */
    assert_true(want(queue, JOB_ASKED, 4, "planned"));
    assert_true(want(queue, JOB_PAIR, 0, "e")); /* it is more urgent already */
    for (int64_t device_id; (device_id = serve(queue)) >= 0;)
        order[count++] = (char)('0' + device_id);
    assert_string_equal(order, "1234121");
    queue_end(queue);
}

static void who_asks_again_and_again_does_not_keep_others_waiting(void **state)
{
    ARENA(arena);
    struct deltas *queue = queue_new(&arena);
    int served = 0;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(want(queue, JOB_ASKED, 1, arena_printf(&arena, "patient %d", i)));
    for (int i = 0; i < 6; i++) { /* two more that have one question whenever they have none */
        assert_true(want(queue, JOB_ASKED, 2 + i % 2, arena_printf(&arena, "busy %d", i)));
        assert_true(want(queue, JOB_ASKED, 1, "patient 2"));
        served += serve(queue) == 1;
    }
    assert_int_equal(served, 3);
    queue_end(queue);
}

static void what_was_planned_counts_to_the_share_of_who_asks_for_it(void **state)
{
    ARENA(arena);
    struct deltas *queue = queue_new(&arena);
    int own = 0;

    (void)state;
    for (int i = 0; i < 20; i++)
        assert_true(want(queue, JOB_PAIR, 0, arena_printf(&arena, "planned %d", i)));
    for (int i = 0; i < 20; i++)
        assert_true(want(queue, JOB_ASKED, 1, arena_printf(&arena, "planned %d", i)));
    assert_false(want(queue, JOB_ASKED, 1, "one more"));
    assert_true(want(queue, JOB_ASKED, 2, "one more"));
    for (int64_t device_id; (device_id = serve(queue)) >= 0;)
        own += device_id == 1;
    assert_int_equal(own, 8);
    queue_end(queue);
}

void __real_delta_plan_make(struct delta_maker *maker);
void __wrap_delta_plan_make(struct delta_maker *maker);

/* An object's file that is cut off half way through the making of a delta. */
static atomic_int cut_fd = -1;

void __wrap_delta_plan_make(struct delta_maker *maker)
{
    if (cut_fd >= 0 && ftruncate(cut_fd, 0) < 0)
        abort();
    __real_delta_plan_make(maker);
}

static void an_object_that_is_cut_off_fails_its_pair_and_is_tried_again_later(void **state)
{
    ARENA(arena);
    struct small *small = *state;
    struct deltas *deltas = deltas_open(small, 1 << 30);
    uint8_t *bytes = noise(&arena, LENGTH);
    const char *old = object(small, &arena, bytes, LENGTH);
    struct error err = {0};
    struct delta_known known;

    const char *path = arena_printf(&arena, "assets.git/lfs/objects/%.2s/%.2s/%s", old, old + 2, old);
    FD(fd) = file_open_beneath(small->scratch.fd, path, O_WRONLY, 0, &err);
    assert_true(fd >= 0);
    uint8_t *other = arena_alloc(&arena, LENGTH);
    memcpy(other, bytes, LENGTH);
    random_bytes(other + 1000, 500);
    const char *new = object(small, &arena, other, LENGTH);
    cut_fd = fd;
    assert_int_equal(choose(deltas, new, &old, 1).verdict, DELTA_TAKE_WHOLE);
    delta_store_look(deltas_store(deltas), old, new, &known);
    assert_false(known.tried); /* not noted as worth nothing */
    cut_fd = -1;
    assert_ok(fd_write_all(fd, bytes, LENGTH, &err), err);
    assert_int_equal(choose(deltas, new, &old, 1).verdict, DELTA_TAKE_WHOLE); /* not again at once */
    assert_int_equal(made(deltas), 0);
    small_wait(small, 100);
    assert_int_equal(choose(deltas, new, &old, 1).verdict, DELTA_TAKE);
}

#define TEST_OF(name) cmocka_unit_test_setup_teardown(name, small_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF(the_likeliest_candidate_is_taken_wherever_it_stands),
        TEST_OF(where_nothing_is_alike_the_whole_is_taken_and_nobody_tries_again),
        TEST_OF(nothing_is_made_for_what_is_small_unknown_or_the_same),
        TEST_OF(a_pair_that_is_asked_for_often_is_made_thoroughly),
        TEST_OF(what_devices_run_is_prepared_for_a_version_that_is_published),
        TEST_OF(what_an_order_brings_is_made_before_the_device_asks),
        TEST_OF(a_stop_drops_what_is_being_made),
        TEST_OF(with_a_quota_of_nothing_whole_objects_travel),
        TEST_OF(a_delta_beyond_the_quota_is_not_made_again_and_again),
        TEST_OF(one_device_cannot_fill_the_queue),
        cmocka_unit_test(devices_are_served_in_turns),
        cmocka_unit_test(who_asks_again_and_again_does_not_keep_others_waiting),
        cmocka_unit_test(what_was_planned_counts_to_the_share_of_who_asks_for_it),
        TEST_OF(an_object_that_is_cut_off_fails_its_pair_and_is_tried_again_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

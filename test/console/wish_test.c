/* The wish: who wins, and sets that fit. */
#include "test/console/small.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "console/delivery/group.h"
#include "console/delivery/pin.h"
#include "console/delivery/release.h"
#include "console/delivery/target.h"
#include "console/delivery/wish.h"
#include "console/delivery/withdraw.h"
#include "console/devices.h"
#include "console/orders.h"

#include <stdio.h>
#include <string.h>

struct publishing {
    const char *asset, *version, *requires, *hardware;
    int64_t counter;
};

static void publish(struct small *small, struct publishing what)
{
    ARENA(arena);
    struct manifest_file file = {.path = "w", .length = (int64_t)strlen(what.version), .mode = 0644};
    const char *revisions[] = {what.hardware, NULL};
    struct publication publication = {.author = "ada", .counter_given = true};
    struct published published;
    struct error err = {0};

    assert_ok(object_put(small->console.repo, what.version, strlen(what.version), file.sha256, &err), err);
    publication.manifest.kind = KIND_MODEL;
    strcpy(publication.manifest.product, "demo");
    strcpy(publication.manifest.asset, what.asset);
    strcpy(publication.manifest.version, what.version);
    publication.manifest.hardware = what.hardware ? revisions : NULL;
    publication.manifest.counter = what.counter;
    if (what.requires)
    publication.manifest.requires =
        json_read(&arena, what.requires, strlen(what.requires), &json_limits_small, &err);
    publication.manifest.files = &file;
    publication.manifest.file_count = 1;
    assert_ok(repo_publish(small->console.repo, &publication, &published, &err), err);
}
#define PUBLISH(name, number, ...)                                                                           \
    publish(small, (struct publishing){.asset = name, .version = number, __VA_ARGS__})

static void release(struct small *small, const char *asset, const char *version, const char *group)
{
    const struct release_request asked = {
        .product = "demo", .asset = asset, .version = version, .group = group, .operator_name = "ada"};
    struct released released;
    struct error err = {0};

    assert_ok(release_make(&small->console, &asked, &released, &err), err);
}

static void pin(struct small *small, const char *device, const char *asset, const char *version)
{
    const struct pin_request asked = {
        .device = device, .asset = asset, .version = version, .on_reset = true, .operator_name = "ada"};
    const char *hint;
    struct error err = {0};

    assert_ok(pin_set(&small->console, &asked, &hint, &err), err);
}

static void target(struct small *small, const struct device *device, const char *asset, const char *version,
                   const struct apply *apply)
{
    struct error err = {0};
    struct db_conn *conn = db_write(small->console.db, &err);

    assert_ok(conn, err);
    assert_ok(target_set(conn, device->id, asset, version, 7, apply, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

static void group(struct small *small, const char *name, const char *device)
{
    ARENA(arena);
    struct error err = {0};
    const char *list = arena_printf(&arena, "[\"%s\"]", device);
    const struct group_wish wish = {
        .devices = json_read(&arena, list, strlen(list), &json_limits_small, &err), .expect_count = -1};

    assert_ok(group_create(&small->console, name, &wish, "ada", &err), err);
}

/* "asset@version …" of what a device is to run that runs `running` ("asset@version …"). */
static struct wish_device looked_at(struct arena *arena, const struct device *device, const char *running)
{
    struct set_entry *entries = arena_array(arena, 16, sizeof *entries);
    struct wish_device wish = {.id = device->id,
                               .product = "demo",
                               .hardware = device->hardware,
                               .development = device->development,
                               .running = entries};
    char *save, *copy = arena_strdup(arena, running);

    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *at = strchr(word, '@');
        *at = 0;
        strcpy(entries[wish.running_count].asset, word);
        strcpy(entries[wish.running_count++].version, at + 1);
    }
    return wish;
}

static const char *set_text(struct arena *arena, const struct set_entry *set, size_t count)
{
    const char *text = "";

    for (size_t i = 0; i < count; i++)
        text = arena_printf(arena, "%s%s%s@%s", text, i ? " " : "", set[i].asset, set[i].version);
    return text;
}

static const char *wish_of(struct small *small, struct arena *arena, const struct device *device,
                           const char *running)
{
    struct wish_device wish = looked_at(arena, device, running);
    struct set_entry *set;
    size_t count;
    struct error err = {0};
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(conn, err);
    assert_ok(wish_make(conn, arena, &wish, &set, &count, &err), err);
    return set_text(arena, set, count);
}

/* The entry of an asset in "why". */
static const struct json *why_of(struct small *small, struct arena *arena, const struct device *device,
                                 const char *running, const char *asset)
{
    TEXT(out);
    struct json_writer writer;
    struct wish_device wish = looked_at(arena, device, running);
    struct error err = {0};
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(conn, err);
    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    assert_ok(wish_write_why(conn, &wish, &writer, &err), err);
    json_write_end(&writer, ']');
    const struct json *list = json_read(arena, text_string(&out), out.size, &json_limits_small, &err);
    assert_ok(list, err);
    for (const struct json *one = list->first; one; one = one->next)
        if (string_is(json_string(one, "asset"), asset))
            return one;
    return NULL;
}

#define assert_wish(device, running, expected)                                                               \
    assert_string_equal(wish_of(small, &arena, device, running), expected)

static void models(struct small *small)
{
    static const char *const versions[] = {"1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"};

    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        PUBLISH("model", versions[i]);
}

static void a_pin_wins_then_a_rollout_then_a_group_then_the_product(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL),
                  *other = small_device(small, "cam-2", "", NULL);
    const struct apply at_night = {.window = "02:00-05:00", .rate = 1000};
    struct error err = {0};
    ARENA(arena);

    models(small);
    assert_wish(device, "", "");
    release(small, "model", "1.0.0", NULL);
    assert_wish(device, "", "model@1.0.0");
    group(small, "lab", "cam-1");
    release(small, "model", "1.1.0", "lab");
    assert_wish(device, "", "model@1.1.0");
    assert_wish(other, "", "model@1.0.0");
    small_wait(small, 10);
    target(small, device, "model", "1.2.0", &at_night);
    assert_wish(device, "", "model@1.2.0");
    pin(small, "cam-1", "model", "1.3.0");
    assert_wish(device, "", "model@1.3.0");
    const struct json *why = why_of(small, &arena, device, "model@1.0.0", "model");
    assert_string_equal(json_string(why, "source"), "pin");
    assert_string_equal(json_string(why, "wanted"), "1.3.0");
    assert_string_equal(json_string(why, "running"), "1.0.0");
    assert_non_null(strstr(json_string(why, "waits"), "agent starts"));
    const struct json *candidates = json_get(why, "candidates");
    assert_int_equal(candidates->size, 4);
    assert_string_equal(json_string(candidates->first, "source"), "pin");
    assert_true(json_boolean(candidates->first, "wins", false));
    assert_false(json_boolean(candidates->first->next, "wins", true));
    assert_ok(pin_end(&small->console, "cam-1", "model", "ada", &err), err);
    assert_wish(device, "", "model@1.2.0");
}

static void the_newest_group_wins_and_a_release_after_a_rollouts_decision(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    ARENA(arena);

    models(small);
    group(small, "a", "cam-1");
    group(small, "b", "cam-1");
    release(small, "model", "1.1.0", "b");
    small_wait(small, 10);
    release(small, "model", "1.2.0", "a");
    assert_wish(device, "", "model@1.2.0");
    small_wait(small, 10);
    release(small, "model", "1.3.0", "b");
    assert_wish(device, "", "model@1.3.0");
    small_wait(small, 10);
    target(small, device, "model", "1.4.0", &(struct apply){0});
    assert_wish(device, "", "model@1.4.0");
    small_wait(small, 10);
    release(small, "model", "1.0.0", NULL); /* the newest of all, yet the group comes before the product */
    assert_wish(device, "", "model@1.3.0");
    const struct json *why = why_of(small, &arena, device, "", "model");
    assert_non_null(strstr(json_string(json_get(why, "candidates")->first, "text"), "a release is newer"));
}

static void how_a_rollout_wants_it_taken_up_is_in_the_order(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    const struct apply apply = {.window = "02:00-05:00", .rate = 1000};
    struct error err = {0};

    models(small);
    assert_ok(orders_make(&small->console, &device->id, 1, &err), err);
    int64_t seq = device->order_seq;
    target(small, device, "model", "1.2.0", &(struct apply){0});
    device_wish_changed(device);
    assert_ok(orders_make(&small->console, &device->id, 1, &err), err);
    assert_true(device->order_seq > seq);
    assert_null(strstr(device->order, "02:00-05:00"));
    seq = device->order_seq;
    target(small, device, "model", "1.2.0", &apply); /* the same version, another time: another order */
    device_wish_changed(device);
    assert_ok(orders_make(&small->console, &device->id, 1, &err), err);
    assert_true(device->order_seq > seq);
    assert_non_null(strstr(device->order, "02:00-05:00"));
}

static void a_development_device_keeps_what_it_had_and_takes_pins(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    struct error err = {0};
    ARENA(arena);

    models(small);
    PUBLISH("words", "1.0.0");
    release(small, "model", "1.0.0", NULL);
    assert_ok(pin_develop(&small->console, "cam-1", true, "ada", &err), err);
    release(small, "model", "1.1.0", NULL);
    release(small, "words", "1.0.0", NULL);
    assert_wish(device, "model@1.0.0", "model@1.0.0");
    assert_string_equal(json_string(why_of(small, &arena, device, "model@1.0.0", "model"), "source"),
                        "development");
    pin(small, "cam-1", "model", "1.2.0");
    assert_wish(device, "model@1.0.0", "model@1.2.0");
    assert_ok(pin_end(&small->console, "cam-1", "model", "ada", &err), err);
    assert_ok(pin_develop(&small->console, "cam-1", false, "ada", &err), err);
    assert_wish(device, "model@1.0.0", "model@1.1.0 words@1.0.0");
}

static void a_release_for_other_hardware_leaves_the_one_before(void **state)
{
    struct small *small = *state;
    struct device *a = small_device(small, "cam-a", "rev-a", NULL),
                  *b = small_device(small, "cam-b", "rev-b", NULL);
    ARENA(arena);

    PUBLISH("model", "1.0.0");
    PUBLISH("model", "2.0.0", .hardware = "rev-b");
    release(small, "model", "1.0.0", NULL);
    release(small, "model", "2.0.0", NULL);
    assert_wish(a, "", "model@1.0.0");
    assert_wish(b, "", "model@2.0.0");
    assert_non_null(strstr(json_string(why_of(small, &arena, a, "model@1.0.0", "model"), "waits"), "rev-a"));
}

static void who_runs_a_withdrawn_version_keeps_it_and_nobody_else_gets_it(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    struct error err = {0};
    ARENA(arena);

    models(small);
    release(small, "model", "1.0.0", NULL);
    release(small, "model", "1.1.0", NULL);
    assert_ok(version_withdraw(&small->console, "demo", "model", "1.1.0", "it sees ghosts", "ada", &err),
              err);
    assert_wish(device, "model@1.1.0", "model@1.1.0");
    assert_wish(device, "model@1.0.0", "model@1.0.0");
    assert_wish(device, "", "model@1.0.0");
    assert_ok(version_withdraw(&small->console, "demo", "model", "1.0.0", "this one too", "ada", &err), err);
    assert_wish(device, "", "");
    assert_non_null(strstr(json_string(why_of(small, &arena, device, "", "model"), "waits"), "withdrawn"));
}

static void nobody_is_sent_below_the_counter_that_runs(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    ARENA(arena);

    PUBLISH("model", "1.0.0", .counter = 1);
    PUBLISH("model", "1.5.0", .counter = 2);
    PUBLISH("model", "2.0.0", .counter = 2);
    release(small, "model", "2.0.0", NULL);
    release(small, "model", "1.5.0", NULL); /* back, but not below */
    assert_wish(device, "model@2.0.0", "model@1.5.0");
    release(small, "model", "1.0.0", NULL);
    assert_wish(device, "model@2.0.0", "model@2.0.0");
    assert_wish(device, "", "model@1.0.0");
    assert_non_null(
        strstr(json_string(why_of(small, &arena, device, "model@2.0.0", "model"), "waits"), "counter 1"));
}

static void what_requires_more_waits_and_then_both_go_together(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    ARENA(arena);

    PUBLISH("runtime", "1.0.0");
    PUBLISH("runtime", "2.0.0");
    PUBLISH("model", "1.0.0", .requires = "{\"runtime\":\"^1.0.0\"}");
    PUBLISH("model", "2.0.0", .requires = "{\"runtime\":\"^2.0.0\"}");
    release(small, "runtime", "1.0.0", NULL);
    release(small, "model", "1.0.0", NULL);
    assert_wish(device, "", "model@1.0.0 runtime@1.0.0");
    release(small, "model", "2.0.0", NULL);
    assert_wish(device, "model@1.0.0 runtime@1.0.0", "model@1.0.0 runtime@1.0.0");
    assert_wish(device, "", "model@1.0.0 runtime@1.0.0"); /* the newest that fits */
    const struct json *why = why_of(small, &arena, device, "model@1.0.0 runtime@1.0.0", "model");
    assert_non_null(strstr(json_string(why, "waits"), "requires runtime ^2.0.0"));
    release(small, "runtime", "2.0.0", NULL);
    assert_wish(device, "model@1.0.0 runtime@1.0.0", "model@2.0.0 runtime@2.0.0");
}

static void what_would_take_away_the_ground_of_what_runs_waits(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    ARENA(arena);

    PUBLISH("runtime", "1.0.0");
    PUBLISH("runtime", "2.0.0");
    PUBLISH("model", "0.9.0");
    PUBLISH("model", "1.0.0", .requires = "{\"runtime\":\"^1.0.0\"}");
    release(small, "runtime", "1.0.0", NULL);
    release(small, "model", "1.0.0", NULL);
    release(small, "runtime", "2.0.0", NULL);
    assert_wish(device, "model@1.0.0 runtime@1.0.0", "model@1.0.0 runtime@1.0.0");
    const struct json *why = why_of(small, &arena, device, "model@1.0.0 runtime@1.0.0", "runtime");
    assert_non_null(strstr(json_string(why, "waits"), "2.0.0 waits: model 1.0.0 requires runtime ^1.0.0"));
}

static void a_missing_required_asset_is_sent(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    ARENA(arena);

    PUBLISH("runtime", "1.0.0");
    PUBLISH("runtime", "1.5.0");
    PUBLISH("runtime", "1.6.0-rc.1");
    PUBLISH("runtime", "2.0.0");
    PUBLISH("model", "1.0.0", .requires = "{\"runtime\":\"^1.0.0\"}");
    PUBLISH("model", "1.1.0", .requires = "{\"runtime\":\">=1.6.0-rc.1 <1.7.0\"}");
    release(small, "model", "1.0.0", NULL);
    assert_wish(device, "", "model@1.0.0 runtime@1.5.0");
    assert_string_equal(json_string(why_of(small, &arena, device, "", "runtime"), "source"), "requires");
    /* what runs and fits stays, though a newer one was published */
    assert_wish(device, "model@1.0.0 runtime@1.0.0", "model@1.0.0 runtime@1.0.0");
    /* what runs and does not fit is replaced: the healer */
    assert_wish(device, "model@1.0.0 runtime@2.0.0", "model@1.0.0 runtime@1.5.0");
    /* a pre-release to those who ask for it */
    pin(small, "cam-1", "model", "1.1.0");
    assert_wish(device, "", "model@1.1.0 runtime@1.6.0-rc.1");
}

static void what_nothing_can_satisfy_is_left_out_or_stays(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    ARENA(arena);

    PUBLISH("model", "1.0.0", .requires = "{\"nothing\":\"*\"}");
    PUBLISH("words", "1.0.0");
    release(small, "model", "1.0.0", NULL);
    release(small, "words", "1.0.0", NULL);
    assert_wish(device, "", "words@1.0.0");
    assert_non_null(
        strstr(json_string(why_of(small, &arena, device, "", "model"), "waits"), "requires nothing *"));
    /* it runs somehow: nothing is taken away for it */
    assert_wish(device, "model@1.0.0", "model@1.0.0");
}

/* Rings of requirements, at odds with each other: an answer, always the same one. */
static void rings_of_requirements_come_to_an_end(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    ARENA(arena);

    for (int i = 0; i < 6; i++)
        for (int v = 1; v <= 5; v++)
            PUBLISH(arena_printf(&arena, "a%d", i), arena_printf(&arena, "%d.0.0", v),
                    .requires = arena_printf(&arena, "{\"a%d\":\"%d\",\"a%d\":\"<=%d\"}", (i + 1) % 6,
                                             i == 5 && v > 2 ? v - 1 : v, (i + 3) % 6, v));
    for (int i = 0; i < 6; i++)
        release(small, arena_printf(&arena, "a%d", i), "5.0.0", NULL);
    const char *first = wish_of(small, &arena, device, "");
    assert_wish(device, "", first);
    assert_string_equal(first, "a0@2.0.0 a1@2.0.0 a2@2.0.0 a3@2.0.0 a4@2.0.0 a5@2.0.0");
    assert_wish(device, "a0@1.0.0 a1@1.0.0 a2@1.0.0 a3@1.0.0 a4@1.0.0 a5@1.0.0",
                "a0@1.0.0 a1@1.0.0 a2@1.0.0 a3@1.0.0 a4@1.0.0 a5@1.0.0");
}

/* One device that asks for too much is no reason that others get no orders. */
static void a_set_has_at_most_256_assets(void **state)
{
    struct small *small = *state;
    struct device *device = small_device(small, "cam-1", "", NULL);
    struct error err = {0};
    ARENA(arena);
    struct db_conn *conn = db_write(small->console.db, &err);

    assert_ok(conn, err);
    for (int i = 0; i < 300; i++) {
        struct db_query *query = db_query(
            conn, "INSERT INTO pin (device_id, asset, version, on_reset, active, pinned_by, pinned_at)"
                  " VALUES (:device, :asset, '1.0.0', 0, 1, 'ada', 1)");
        db_bind_integer(query, ":device", device->id);
        db_bind_text(query, ":asset", arena_printf(&arena, "a%03d", i));
        assert_ok(db_run(query, NULL, &err), err);
    }
    assert_ok(db_commit(conn, &err), err);
    const char *set = wish_of(small, &arena, device, "b@1.0.0");
    assert_non_null(strstr(set, "a255@1.0.0"));
    assert_null(strstr(set, "a256@1.0.0"));
    assert_ok(orders_make(&small->console, &device->id, 1, &err), err);
    assert_non_null(device->order);
}

/* Many devices in one batch get what each would get alone. */
static void a_batch_thinks_as_one_alone_does(void **state)
{
    struct small *small = *state;
    struct device *devices[24];
    struct error err = {0};
    ARENA(arena);

    models(small);
    PUBLISH("words", "1.0.0", .hardware = "rev-b");
    for (int i = 0; i < 24; i++)
        devices[i] =
            small_device(small, arena_printf(&arena, "cam-%02d", i), i % 3 ? "rev-a" : "rev-b", NULL);
    release(small, "model", "1.0.0", NULL);
    release(small, "words", "1.0.0", NULL);
    group(small, "lab", "cam-04");
    group(small, "shop", "cam-05");
    release(small, "model", "1.1.0", "lab");
    release(small, "model", "1.2.0", "shop");
    pin(small, "cam-07", "model", "1.3.0");
    DB_DONE(conn) = db_read(small->console.db, &err);
    assert_ok(conn, err);
    struct wish_batch *batch = wish_batch(conn, &arena);
    for (int i = 0; i < 24; i++) {
        struct wish_device wish = looked_at(&arena, devices[i], "");
        struct set_entry *set;
        size_t count;
        assert_ok(wish_make_next(batch, &wish, &set, &count, &err), err);
        const char *model = i == 4 ? "1.1.0" : i == 5 ? "1.2.0" : i == 7 ? "1.3.0" : "1.0.0";
        assert_string_equal(set_text(&arena, set, count),
                            arena_printf(&arena, "model@%s%s", model, i % 3 ? "" : " words@1.0.0"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)
        SMALL_TEST(a_pin_wins_then_a_rollout_then_a_group_then_the_product),
        SMALL_TEST(the_newest_group_wins_and_a_release_after_a_rollouts_decision),
        SMALL_TEST(how_a_rollout_wants_it_taken_up_is_in_the_order),
        SMALL_TEST(a_development_device_keeps_what_it_had_and_takes_pins),
        SMALL_TEST(a_release_for_other_hardware_leaves_the_one_before),
        SMALL_TEST(who_runs_a_withdrawn_version_keeps_it_and_nobody_else_gets_it),
        SMALL_TEST(nobody_is_sent_below_the_counter_that_runs),
        SMALL_TEST(what_requires_more_waits_and_then_both_go_together),
        SMALL_TEST(what_would_take_away_the_ground_of_what_runs_waits),
        SMALL_TEST(a_missing_required_asset_is_sent),
        SMALL_TEST(what_nothing_can_satisfy_is_left_out_or_stays),
        SMALL_TEST(rings_of_requirements_come_to_an_end),
        SMALL_TEST(a_set_has_at_most_256_assets),
        SMALL_TEST(a_batch_thinks_as_one_alone_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

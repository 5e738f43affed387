/* The filter language: what matches, and where a wrong one is wrong. */
#include "test/console/small.h"

#include "base/clock.h"
#include "console/filter.h"
#include "console/fleet_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void running(struct device *device, const char *asset, const char *version)
{
    device->running = calloc(1, sizeof *device->running);
    device->running_count = 1;
    own_string(&device->running->asset, asset);
    own_string(&device->running->version, version);
    own_string(&device->running->sha256, "");
    device->running->state = "idle";
}

static void tag(struct device *device, const char *name)
{
    device->tags = calloc(2, sizeof *device->tags);
    own_string(&device->tags[0], name);
}

/* cam-1: rev-a, seen now, detector 1.2.0, tag lab. cam-2: rev-b, seen an hour ago, detector 1.10.0, on image
 * look. gate: never seen, pending. */
static void fill(struct small *small)
{
    struct device *device = small_device(small, "cam-1", "rev-a", NULL);
    device->last_seen = clock_now();
    running(device, "detector", "1.2.0");
    tag(device, "lab");
    device = small_device(small, "cam-2", "rev-b", NULL);
    small->console.fleet->started_at -= 7200;
    device->last_seen = clock_now() - 3600;
    running(device, "detector", "1.10.0");
    strcpy(device->image.run_id, "x");
    strcpy(device->image.image, "look");
    device = small_device(small, "gate", "", NULL);
    device->admission = ADMISSION_PENDING;
    small_device(small, "old", "", NULL)->admission = ADMISSION_RETIRED;
}

/* The names of what matches, with spaces between. */
static const char *chosen(struct small *small, struct arena *arena, const char *text, bool all)
{
    struct error err = {0};
    const struct filter *filter = filter_compile(arena, text, &err);
    const char *names = "";
    size_t count;

    if (!filter)
        fail_msg("%s: %s", text, err.text);
    int64_t *ids = filter_choose(filter, small->console.fleet, arena, all, &count);
    fleet_lock(small->console.fleet);
    for (size_t i = 0; i < count; i++)
        names = arena_printf(arena, "%s%s%s", names, i ? " " : "",
                             fleet_by_id(small->console.fleet, ids[i])->name);
    fleet_unlock(small->console.fleet);
    return names;
}

static void every_field_chooses_its_devices(void **state)
{
    static const struct {
        const char *filter, *names;
    } cases[] = {
        {"", "cam-1 cam-2 gate"},
        {"   ", "cam-1 cam-2 gate"},
        {"name:cam-1", "cam-1"},
        {"name:cam", ""},
        {"name~cam", "cam-1 cam-2"},
        {"cam", "cam-1 cam-2"},
        {"\"cam-1\"", "cam-1"},
        {"name:\"cam-2\"", "cam-2"},
        {"product:demo", "cam-1 cam-2 gate"},
        {"product:demos", ""},
        {"hardware:rev-a", "cam-1"},
        {"hardware:none", "gate"},
        {"connectivity:online", "cam-1"},
        {"connectivity:offline", "cam-2"},
        {"connectivity:never_seen", "gate"},
        {"admission:pending", "gate"},
        {"tag:lab", "cam-1"},
        {"-tag:lab", "cam-2 gate"},
        {"tag~la", "cam-1"},
        {"group:x", ""},
        {"seen:<5m", "cam-1"},
        {"seen:>=30m", "cam-2"},
        {"image:look", "cam-2"},
        {"image:none", "cam-1 gate"},
        {"-image:none", "cam-2"},
        {"detector:1.2.0", "cam-1"},
        {"detector:<1.10.0", "cam-1"},
        {"detector:>=1.2.0", "cam-1 cam-2"},
        {"detector:>1.2.0", "cam-2"},
        {"detector:<=1.2.0-rc.1", ""},
        {"detector~10", "cam-2"},
        {"other:1.0.0", ""},
        {"-other:1.0.0", "cam-1 cam-2 gate"},
        {"cam hardware:rev-b", "cam-2"},
        {"name:gate or hardware:rev-b", "cam-2 gate"},
        {"name:gate or cam hardware:rev-a", "cam-1 gate"},
        {"(name:gate or cam) -hardware:rev-a", "cam-2 gate"},
        {"-(name:gate or name:cam-1)", "cam-2"},
        {"orbit or gate", "gate"},
        {"(((cam-1)))", "cam-1"},
    };
    ARENA(arena);

    fill(*state);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *names = chosen(*state, &arena, cases[i].filter, false);

        if (strcmp(names, cases[i].names))
            fail_msg("\"%s\" chose \"%s\", not \"%s\"", cases[i].filter, names, cases[i].names);
    }
    assert_string_equal(chosen(*state, &arena, "admission:retired", false), "");
    assert_string_equal(chosen(*state, &arena, "admission:retired", true), "old");
}

static void a_wrong_filter_names_the_place(void **state)
{
    static const struct {
        const char *filter;
        int place;
    } cases[] = {
        {"(name:x", 1},
        {"name:x)", 7},
        {"name:", 6},
        {"name:x or", 10},
        {"or name:x", 1},
        {"name:x or or y", 11},
        {"\"open", 1},
        {"seen:5m", 1},
        {"seen:<soon", 1},
        {"name:<x", 1},
        {"cam connectivity:on", 5},
        {"admission:yes", 1},
        {"det:<one", 1},
        {"Bad:1.0.0", 1},
        {"--x", 2},
        {"()", 2},
        {"a:b:c", 1},
        {"x\ty", 2},
        {":x", 1},
        {"x ~y", 3},
    };
    struct error err;
    char place[32];
    ARENA(arena);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_refused(filter_compile(&arena, cases[i].filter, &err), err, ERROR_INPUT);
        snprintf(place, sizeof place, "character %d:", cases[i].place);
        if (!strstr(err.text, place))
            fail_msg("\"%s\": %s, not at %d", cases[i].filter, err.text, cases[i].place);
    }
}

static void a_filter_is_bounded_in_bytes_terms_and_depth(void **state)
{
    struct error err;
    char text[2048];
    ARENA(arena);

    (void)state;
    memset(text, 'a', sizeof text);
    text[FILTER_BYTES] = '\0';
    assert_ok(filter_compile(&arena, text, &err), err);
    text[FILTER_BYTES] = 'a';
    text[FILTER_BYTES + 1] = '\0';
    assert_refused(filter_compile(&arena, text, &err), err, ERROR_INPUT);
    for (int terms = FILTER_TERMS; terms <= FILTER_TERMS + 1; terms++) {
        for (int i = 0; i < terms; i++)
            memcpy(text + 2 * i, "a ", 2);
        text[2 * terms] = '\0';
        assert_int_equal(filter_compile(&arena, text, &err) != NULL, terms <= FILTER_TERMS);
    }
    for (int depth = FILTER_DEPTH; depth <= FILTER_DEPTH + 1; depth++) {
        memset(text, '(', (size_t)depth);
        text[depth] = 'a';
        memset(text + depth + 1, ')', (size_t)depth);
        text[2 * depth + 1] = '\0';
        assert_int_equal(filter_compile(&arena, text, &err) != NULL, depth <= FILTER_DEPTH);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_field_chooses_its_devices, small_setup, small_teardown),
        cmocka_unit_test(a_wrong_filter_names_the_place),
        cmocka_unit_test(a_filter_is_bounded_in_bytes_terms_and_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

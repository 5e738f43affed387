/* Live events: order, batches, what a stream that comes back is told. */
#include "test/base/scratch.h"

#include "base/clock.h"
#include "base/text.h"
#include "console/events.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static int count_of(const struct text *text, const char *what)
{
    int count = 0;

    for (const char *at = text_string(text); (at = strstr(at, what)); at += strlen(what))
        count++;
    return count;
}

static void equal_events_of_a_batch_are_sent_once_in_the_order_of_the_last(void **state)
{
    struct events *events = events_new();
    bool reset;
    int64_t at = events_begin(events, NULL, &reset);
    TEXT(out);

    (void)state;
    events_send(events, "device", "{\"name\":\"%s\"}", "a");
    events_send(events, "device", "{\"name\":\"%s\"}", "b");
    events_send(events, "device", "{\"name\":\"%s\"}", "a");
    assert_true(events_next(events, &at, 0, &out));
    assert_int_equal(count_of(&out, "{\"name\":\"a\"}"), 1);
    assert_true(strstr(text_string(&out), "\"b\"") < strstr(text_string(&out), "\"a\""));
    text_clear(&out);
    events_send(events, "device", "{\"name\":\"%s\"}", "a");
    assert_true(events_next(events, &at, 0, &out));
    assert_int_equal(count_of(&out, "{\"name\":\"a\"}"), 1);
    events_end(events);
    events_free(events);
}

static void a_stream_that_comes_back_gets_what_it_missed(void **state)
{
    struct events *events = events_new();
    bool reset;
    char id[48];
    int64_t at = events_begin(events, NULL, &reset);
    TEXT(out);

    (void)state;
    events_send(events, "run", "{\"n\":1}");
    assert_true(events_next(events, &at, 0, &out));
    events_id(events, at, id, sizeof(id));
    events_end(events);
    events_send(events, "run", "{\"n\":2}");
    at = events_begin(events, id, &reset);
    assert_false(reset);
    text_clear(&out);
    assert_true(events_next(events, &at, 0, &out));
    assert_int_equal(count_of(&out, "{\"n\":1}"), 0);
    assert_int_equal(count_of(&out, "{\"n\":2}"), 1);
    events_end(events);
    events_free(events);
}

static void a_place_that_is_not_known_any_more_is_a_reset(void **state)
{
    static const char *const ids[] = {"1-1", "x",  "9999999999999-0",
                                      "-",   "1-", "99999999999999999999999999999999999999999999-1"};
    struct events *events = events_new();
    char id[48];
    bool reset;
    TEXT(out);

    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        events_begin(events, ids[i], &reset);
        assert_true(reset);
    }
    int64_t at = events_begin(events, NULL, &reset);
    events_id(events, at, id, sizeof(id));
    for (int i = 0; i < 5000; i++)
        events_send(events, "device", "{\"n\":%d}", i);
    events_begin(events, id, &reset);
    assert_true(reset);
    assert_true(events_next(events, &at, 0, &out));
    assert_int_equal(count_of(&out, "event: reset"), 1);
    assert_int_equal(count_of(&out, "event: device"), 4096);
    events_free(events);
}

static void *send_many(void *context)
{
    for (int i = 0; i < 2000; i++)
        events_send(context, "device", "{\"n\":%d}", i);
    return NULL;
}

static void streams_are_woken_and_end_when_the_server_stops(void **state)
{
    struct events *events = events_new();
    bool reset;
    int64_t at = events_begin(events, NULL, &reset);
    pthread_t threads[2];
    int seen = 0;
    TEXT(out);

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, events), 0);
    while (seen < 2000 && events_next(events, &at, 5000, &out))
        seen = count_of(&out, "event: device");
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_true(seen >= 2000);
    events_stop(events);
    int64_t began = clock_boot_ms();
    events_send(events, "device", "{}");
    assert_false(events_next(events, &at, 5000, &out));
    assert_true(clock_boot_ms() - began < 1000);
    events_free(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_events_of_a_batch_are_sent_once_in_the_order_of_the_last),
        cmocka_unit_test(a_stream_that_comes_back_gets_what_it_missed),
        cmocka_unit_test(a_place_that_is_not_known_any_more_is_a_reset),
        cmocka_unit_test(streams_are_woken_and_end_when_the_server_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

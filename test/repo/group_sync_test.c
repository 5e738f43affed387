/* One sync for all who wait, and its failure for all of them. */
#include "test/base/scratch.h"

#include "repo/group_sync.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define WAITERS 8

static struct group_sync group;
static atomic_int calls, fail_at;

static uint64_t asked(void)
{
    pthread_mutex_lock(&group.lock);
    uint64_t count = group.asked;
    pthread_mutex_unlock(&group.lock);
    return count;
}

/* The first sync lasts until everybody waits: the linker lets a program's own definition win. */
int syncfs(int fd)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int call = atomic_fetch_add(&calls, 1) + 1;
    (void)fd;
    while (call == 1 && asked() < WAITERS)
        nanosleep(&pause, NULL);
    errno = EIO;
    return call == atomic_load(&fail_at) ? -1 : 0;
}

static void *wait_once(void *context)
{
    struct error err = {0};
    *(bool *)context = group_sync(&group, STDIN_FILENO, &err);
    return NULL;
}

/* How many of those who waited at the same time were told that all is well. */
static int wait_together(int failing)
{
    pthread_t threads[WAITERS];
    bool good[WAITERS];
    int count = 0;
    group_sync_init(&group);
    calls = 0;
    fail_at = failing;
    for (int i = 0; i < WAITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_once, &good[i]), 0);
    for (int i = 0; i < WAITERS; i++) {
        pthread_join(threads[i], NULL);
        count += good[i];
    }
    return count;
}

static void those_who_wait_at_the_same_time_share_a_sync(void **state)
{
    (void)state;
    assert_int_equal(wait_together(0), WAITERS);
    assert_int_equal(calls, 2); /* one had begun when the others came */
    group_sync_end(&group);
}

static void a_failure_is_told_to_all_who_waited_for_it_and_to_nobody_else(void **state)
{
    struct error err = {0};
    (void)state;
    int first = wait_together(1);
    assert_int_equal(first, WAITERS - 1);
    group_sync_end(&group);
    assert_int_equal(wait_together(2), 1);
    assert_ok(group_sync(&group, STDIN_FILENO, &err), err);
    assert_int_equal(calls, 3);
    group_sync_end(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_who_wait_at_the_same_time_share_a_sync),
        cmocka_unit_test(a_failure_is_told_to_all_who_waited_for_it_and_to_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

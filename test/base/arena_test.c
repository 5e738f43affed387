#include "base/arena.h"

#include "test/base/scratch.h"

#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void memory_is_zeroed_and_aligned(void **state)
{
    ARENA(arena);

    (void)state;
    for (size_t size = 0; size < 5000; size = size * 2 + 1) {
        unsigned char *bytes = arena_alloc(&arena, size);

        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(bytes[i], 0);
        memset(bytes, 0xff, size);
    }
}

static void pieces_do_not_overlap(void **state)
{
    ARENA(arena);
    unsigned char *pieces[300];

    (void)state;
    for (size_t i = 0; i < 300; i++) {
        pieces[i] = arena_alloc(&arena, i * 37 % 3000 + 1);
        memset(pieces[i], (int)(i % 251), i * 37 % 3000 + 1);
    }
    for (size_t i = 0; i < 300; i++)
        for (size_t at = 0; at < i * 37 % 3000 + 1; at++)
            assert_int_equal(pieces[i][at], i % 251);
    assert_true(arena.used >= 300);
}

static void a_large_piece_leaves_the_small_ones_together(void **state)
{
    ARENA(arena);
    char *first = arena_alloc(&arena, 16);

    (void)state;
    memset(arena_alloc(&arena, 1 << 20), 1, 1 << 20);
    assert_ptr_equal(arena_alloc(&arena, 16), first + 16);
}

static void texts_are_copied_and_terminated(void **state)
{
    ARENA(arena);

    (void)state;
    assert_string_equal(arena_strdup(&arena, "abc"), "abc");
    assert_string_equal(arena_copy(&arena, "abcdef", 3), "abc");
    assert_string_equal(arena_copy(&arena, NULL, 0), "");
    assert_string_equal(arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
}

static void an_ended_arena_may_be_used_again(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena);
    arena_strdup(&arena, "one");
    arena_end(&arena);
    assert_int_equal(arena.used, 0);
    assert_string_equal(arena_strdup(&arena, "two"), "two");
    arena_end(&arena);
}

static void an_array_that_overflows_ends_the_program(void **state)
{
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        struct rlimit none = {0, 0};
        ARENA(arena);

        setrlimit(RLIMIT_CORE, &none);
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        signal(SIGABRT, SIG_DFL);
        arena_array(&arena, SIZE_MAX / 2, 3);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(pieces_do_not_overlap),
        cmocka_unit_test(a_large_piece_leaves_the_small_ones_together),
        cmocka_unit_test(texts_are_copied_and_terminated),
        cmocka_unit_test(an_ended_arena_may_be_used_again),
        cmocka_unit_test(an_array_that_overflows_ends_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

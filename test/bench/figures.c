#include "test/bench/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

struct spent spent_begin(void)
{
    return (struct spent){clock_us(CLOCK_MONOTONIC), clock_us(CLOCK_THREAD_CPUTIME_ID)};
}

struct spent spent_since(struct spent begin)
{
    struct spent end = spent_begin();

    return (struct spent){end.wall - begin.wall, end.cpu - begin.cpu};
}

void samples_add(struct samples *samples, struct spent spent)
{
    if (samples->count == samples->room) {
        samples->room = samples->room * 2 + 256;
        samples->items = reallocarray(samples->items, samples->room, sizeof *samples->items);
        if (!samples->items)
            abort();
    }
    samples->items[samples->count++] = spent;
}

void samples_end(struct samples *samples)
{
    free(samples->items);
    *samples = (struct samples){0};
}

static int by_wall(const void *a, const void *b)
{
    const struct spent *x = a, *y = b;

    return (x->wall > y->wall) - (x->wall < y->wall);
}

static int by_cpu(const void *a, const void *b)
{
    const struct spent *x = a, *y = b;

    return (x->cpu > y->cpu) - (x->cpu < y->cpu);
}

struct spent samples_percentile(const struct samples *samples, int percent)
{
    struct spent found = {0};
    size_t at = samples->count ? (samples->count * (size_t)percent + 99) / 100 : 0;

    if (!samples->count)
        return found;
    at = at ? at - 1 : 0;
    qsort(samples->items, samples->count, sizeof *samples->items, by_cpu);
    found.cpu = samples->items[at].cpu;
    qsort(samples->items, samples->count, sizeof *samples->items, by_wall);
    found.wall = samples->items[at].wall;
    return found;
}

void figures_head(const char *title)
{
    printf("\n%-70s %10s %10s %8s  %s\n", title, "wall ms", "cpu ms", "aim ms", "holds");
}

bool figure_print(const char *name, struct spent spent, int64_t aim_us)
{
    bool wall = spent.wall <= aim_us, cpu = spent.cpu <= aim_us;

    printf("%-70s %10.1f %10.1f ", name, (double)spent.wall / 1000, (double)spent.cpu / 1000);
    if (aim_us)
        printf("%8.0f  %s\n", (double)aim_us / 1000, wall ? "yes" : cpu ? "by cpu alone" : "NO");
    else
        printf("%8s\n", "");
    fflush(stdout);
    return !aim_us || wall || cpu;
}

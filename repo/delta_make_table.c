/* The table of a block: its runs as columns of numbers (FORMAT.md "Delta"). */
#include "repo/delta_make_parts.h"

static uint64_t place_of(const struct delta_run *run, int64_t *expected)
{
    uint64_t coded = 0;

    if (run->self) {
        *expected += run->copy;
        coded = (uint64_t)(run->at - run->place);
    } else {
        if (run->place != INT64_MIN) {
            coded = delta_zigzag(run->place - *expected);
            *expected = run->place;
        }
        *expected += run->copy;
    }
    *expected += (int64_t)run->near + run->fresh;
    return coded;
}

size_t delta_table_write(const struct delta_run *runs, size_t count, uint8_t *table)
{
    uint8_t *to = table;
    int64_t expected = runs->at;

    for (int i = 0; i < 4; i++)
        *to++ = (uint8_t)(count >> i * 8);
    for (size_t i = 0; i < count; i++)
        to += delta_varint_write(to, (uint64_t)runs[i].copy << 1 | runs[i].self);
    for (size_t i = 0; i < count; i++)
        to += delta_varint_write(to, place_of(&runs[i], &expected));
    for (size_t i = 0; i < count; i++)
        to += delta_varint_write(to, runs[i].near);
    for (size_t i = 0; i < count; i++)
        to += delta_varint_write(to, runs[i].fresh);
    return (size_t)(to - table);
}

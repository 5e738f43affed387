/* Memory that is freed all at once: a request's, a run's. Out of memory ends the program; sizes are limited
 * at the door. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>
#include <stdarg.h>

struct arena_block;
struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes handed out since init */
};

void arena_init(struct arena *arena);
void arena_end(struct arena *arena); /* frees all; the arena may be used again after */

/* Zeroed memory, aligned for any type. size 0 gives a valid pointer. */
void *arena_alloc(struct arena *arena, size_t size);
/* Zeroed array; ends the program when count * size overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size);
char *arena_copy(struct arena *arena, const void *bytes, size_t size); /* adds a final NUL */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *format, va_list args);

/* `ARENA(name);` declares an arena that is freed at the end of the scope. */
#define ARENA(name) __attribute__((cleanup(arena_end))) struct arena name = {0}

#endif

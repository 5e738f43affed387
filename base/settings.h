/* A settings file of `name = value` lines, read by a table: one row with name, type, default, help. '#'
 * begins a comment line. */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_type {
    SETTING_TEXT,    /* const char * */
    SETTING_INTEGER, /* int64_t, within min..max */
    SETTING_BOOLEAN, /* bool: yes | no */
    SETTING_ARGV,    /* char **, NULL-terminated; words split at spaces, double quotes group, no shell, no
                        escapes */
};
struct setting {
    const char *name;
    enum setting_type type;
    const char *otherwise; /* default, as it would stand in the file; NULL: unset (NULL, 0) */
    int64_t min, max;      /* SETTING_INTEGER */
    size_t offset;         /* of the member in the caller's struct */
    const char *help;
};

/* Fills `into` with the defaults of `table` (ends with a row whose name is NULL). Strings live in the arena.
 */
bool settings_defaults(struct arena *arena, const struct setting *table, void *into, struct error *err);
/* Reads `text` over what is there. An unknown or repeated name or a bad value names line and setting. */
bool settings_read(struct arena *arena, const struct setting *table, const char *text, void *into,
                   struct error *err);
/* Splits a command into words as SETTING_ARGV does. NULL and `err` on an unclosed quote. */
char **argv_split(struct arena *arena, const char *command, struct error *err);

#endif

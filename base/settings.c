#include "base/settings.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_LIMIT (256u << 10)
#define TABLE_LIMIT 256

/* The end of the word at `from`; writes the word without its quotes to `to`. NULL when a quote is unclosed.
 */
static const char *word_read(const char *from, char *to)
{
    bool quoted = false;

    for (; *from && (quoted || (*from != ' ' && *from != '\t')); from++) {
        if (*from == '"')
            quoted = !quoted;
        else
            *to++ = *from;
    }
    *to = '\0';
    return quoted ? NULL : from;
}

char **argv_split(struct arena *arena, const char *command, struct error *err)
{
    size_t size = strlen(command), count = 0;
    /* A word and the space behind it take two bytes at least. */
    char **argv = arena_array(arena, size / 2 + 2, sizeof(char *));

    for (;;) {
        command += strspn(command, " \t");
        if (!*command)
            return argv;
        char *word = arena_alloc(arena, strlen(command) + 1);
        command = word_read(command, word);
        if (!command) {
            error_set(err, ERROR_INPUT, "a double quote is not closed");
            return NULL;
        }
        argv[count++] = word;
    }
}

static bool boolean_parse(const char *text, bool *value)
{
    *value = string_is(text, "yes");
    return *value || string_is(text, "no");
}

/* `text` NULL: unset. The text must live in the arena or for ever. */
static bool setting_put(struct arena *arena, const struct setting *setting, const char *text, void *into,
                        struct error *err)
{
    void *member = (char *)into + setting->offset;

    switch (setting->type) {
    case SETTING_TEXT:
        *(const char **)member = text;
        return true;
    case SETTING_INTEGER:
        *(int64_t *)member = 0;
        if (text && !int64_parse(text, setting->min, setting->max, member))
            return error_set(err, ERROR_INPUT, "%s must be an integer from %lld to %lld", setting->name,
                             (long long)setting->min, (long long)setting->max);
        return true;
    case SETTING_BOOLEAN:
        *(bool *)member = false;
        if (text && !boolean_parse(text, member))
            return error_set(err, ERROR_INPUT, "%s must be yes or no", setting->name);
        return true;
    case SETTING_ARGV:
        *(char ***)member = text ? argv_split(arena, text, err) : NULL;
        if (text && !*(char ***)member)
            return error_add(err, "%s", setting->name);
        /* A command of no words is no command. */
        if (text && !**(char ***)member)
            *(char ***)member = NULL;
        return true;
    }
    abort();
}

bool settings_defaults(struct arena *arena, const struct setting *table, void *into, struct error *err)
{
    for (; table->name; table++)
        if (!setting_put(arena, table, table->otherwise, into, err))
            return false;
    return true;
}

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t size = strlen(text);

    while (size > 0 && strchr(" \t\r", text[size - 1]))
        size--;
    text[size] = '\0';
    return text;
}

static bool line_read(struct arena *arena, const struct setting *table, char *line, void *into, bool *seen,
                      struct error *err)
{
    char *equals = strchr(line, '=');
    size_t row = 0;

    if (!equals)
        return error_set(err, ERROR_INPUT, "\"%.60s\" is not name = value", line);
    *equals = '\0';
    const char *name = trim(line);
    while (table[row].name && strcmp(table[row].name, name) != 0)
        row++;
    if (!table[row].name)
        return error_set(err, ERROR_INPUT, "there is no setting \"%.60s\"", name);
    if (seen[row])
        return error_set(err, ERROR_INPUT, "%s stands there twice", name);
    seen[row] = true;
    return setting_put(arena, &table[row], trim(equals + 1), into, err);
}

bool settings_read(struct arena *arena, const struct setting *table, const char *text, void *into,
                   struct error *err)
{
    bool seen[TABLE_LIMIT] = {false};
    size_t rows = 0;

    while (table[rows].name)
        rows++;
    if (rows > TABLE_LIMIT)
        abort();
    if (strlen(text) > TEXT_LIMIT)
        return error_set(err, ERROR_LIMIT, "the settings have more than %u bytes", TEXT_LIMIT);
    char *rest = arena_strdup(arena, text);
    for (int number = 1; rest; number++) {
        char *line = trim(strsep(&rest, "\n"));

        if (*line && *line != '#' && !line_read(arena, table, line, into, seen, err))
            return error_add(err, "line %d", number);
    }
    return true;
}

/* What commands print: tables on a terminal, TSV in a pipe, JSON. */
#include "console/cli/cli.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void cli_print_json(const struct json *value)
{
    struct text out;
    text_init(&out, 256 << 20);
    struct json_writer writer;
    json_write_init(&writer, &out);
    json_write_value(&writer, NULL, value);
    fwrite(text_string(&out), 1, out.size, stdout);
    putchar('\n');
    text_end(&out);
}

const char *cli_safe(struct cli *cli, const char *text)
{
    char *safe = arena_strdup(&cli->arena, text);
    for (char *c = safe; *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
        else if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
        else if ((unsigned char)*c == 0xc2 && (unsigned char)c[1] >= 0x80 && (unsigned char)c[1] <= 0x9f)
            c[0] = c[1] = '?'; /* U+0080 to U+009F: some terminals obey these as well */
    return safe;
}

/* One of several in a cell: of what has a version, the version, after whose it is. */
static const char *item_text(struct cli *cli, const struct json *item)
{
    const char *version = item->type == JSON_OBJECT ? json_string(item, "version") : NULL;
    const char *whose = version ? json_string(item, "asset") : NULL;

    if (version && !whose)
        whose = json_string(item, "group");
    if (version)
        return whose ? arena_printf(&cli->arena, "%s %s", whose, version) : version;
    return item->type == JSON_STRING || item->type == JSON_NUMBER ? item->string : "…";
}

const char *cli_cell(struct cli *cli, const struct json *object, const char *member)
{
    char *rest = arena_strdup(&cli->arena, member), *part;
    while (object && (part = strsep(&rest, ".")) != NULL)
        object = json_get(object, part);
    if (!object || object->type == JSON_NULL)
        return "-";
    if (object->type == JSON_STRING || object->type == JSON_NUMBER)
        return *object->string ? cli_safe(cli, object->string) : "-";
    if (object->type == JSON_BOOL)
        return object->boolean ? "yes" : "no";
    const char *all = "";
    for (const struct json *item = object->first; item; item = item->next) {
        all = arena_printf(&cli->arena, "%s%s%s%s%s", all, *all ? ", " : "", item->key ? item->key : "",
                           item->key ? " " : "", item_text(cli, item));
    }
    return *all ? cli_safe(cli, all) : "-";
}

/* Columns on a terminal, counted in characters, not bytes. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_row(const char **cells, const size_t *widths, size_t count, bool terminal)
{
    for (size_t c = 0; c < count; c++) {
        fputs(cells[c], stdout);
        if (c + 1 == count)
            break;
        if (!terminal)
            putchar('\t');
        else
            printf("%*s", (int)(widths[c] - text_width(cells[c]) + 2), "");
    }
    putchar('\n');
}

static void print_table(struct cli *cli, const struct json *list, const struct column *columns)
{
    enum { MOST = 16 };
    size_t count = 0, widths[MOST] = {0};
    bool terminal = isatty(STDOUT_FILENO);
    const char *titles[MOST];
    for (; columns[count].title && count < MOST; count++) {
        titles[count] = columns[count].title;
        widths[count] = text_width(titles[count]);
    }
    const char **cells = arena_array(&cli->arena, (list->size + 1) * count, sizeof *cells);
    size_t row = 0;
    for (const struct json *item = list->first; item; item = item->next, row++)
        for (size_t c = 0; c < count; c++) {
            const char *cell = cells[row * count + c] = cli_cell(cli, item, columns[c].member);
            widths[c] = text_width(cell) > widths[c] ? text_width(cell) : widths[c];
        }
    if (terminal && row == 0)
        fputs("(none)\n", stderr);
    else
        print_row(titles, widths, count, terminal);
    for (size_t r = 0; r < row; r++)
        print_row(cells + r * count, widths, count, terminal);
}

void cli_print_list(struct cli *cli, const struct json *list, const struct column *columns)
{
    if (cli->ndjson)
        for (const struct json *item = list->first; item; item = item->next)
            cli_print_json(item);
    else if (cli->json)
        cli_print_json(list);
    else
        print_table(cli, list, columns);
}

void cli_print_object(struct cli *cli, const struct json *object, const struct column *columns)
{
    if (cli->json || cli->ndjson) {
        cli_print_json(object);
        return;
    }
    for (; columns->title; columns++)
        printf("%s%s%s\n", columns->title, isatty(STDOUT_FILENO) ? ": " : "\t",
               cli_cell(cli, object, columns->member));
}

void cli_progress(const char *name, int64_t done, int64_t total, int64_t started_ms)
{
    static int64_t shown_ms;
    int64_t now = clock_now_ms(), spent = now - started_ms;
    if (!isatty(STDERR_FILENO) || (now - shown_ms < 100 && done < total))
        return;
    shown_ms = now;
    double rate = spent > 0 ? (double)done * 1000.0 / (double)spent : 0;
    long left = rate > 0 ? (long)((double)(total - done) / rate + 0.5) : 0;
    fprintf(stderr, "\r\033[K%s  %.1f / %.1f MB  %.1f MB/s  %ld:%02ld left", name, (double)done / 1e6,
            (double)total / 1e6, rate / 1e6, left / 60, left % 60);
}

void cli_progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

#include "console/cli/cli.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef LOCUM_VERSION
#define LOCUM_VERSION "0.1.0"
#endif

static const struct cli_option common_options[] = {
    {"json", NULL, OPTION_FLAG, "one JSON document on standard output"},
    {"ndjson", NULL, OPTION_FLAG, "one JSON value a line"},
    {"url", "URL", OPTION_ONE, "the console's address (LOCUM_URL)"},
    {"token", "TOKEN", OPTION_ONE, "API token (LOCUM_TOKEN; better not on the command line)"},
    {"ca", "FILE", OPTION_ONE, "trust these authorities (LOCUM_CA)"},
    {"yes", NULL, OPTION_FLAG, "ask nothing"},
    {"help", NULL, OPTION_FLAG, "this text"},
    {0},
};

/* What a person types and what it does; an ellipsis is one column wide, though not one byte. */
static void print_help_row(FILE *out, int width, const char *left, const char *help)
{
    for (const char *c = left; *c; c++)
        width += ((unsigned char)*c & 0xc0) == 0x80;
    fprintf(out, "  %-*s %s\n", width, left, help);
}

static void print_options(FILE *out, const struct cli_option *options)
{
    for (; options && options->name; options++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", options->name, options->value ? " " : "",
                 options->value ? options->value : "");
        print_help_row(out, 26, left, options->help);
    }
}

static void print_command(FILE *out, const struct command *command)
{
    fprintf(out, "usage: locum %s%s%s%s%s [options]\n\n%s\n\n", command->noun, command->verb ? " " : "",
            command->verb ? command->verb : "", *command->arguments ? " " : "", command->arguments,
            command->help);
    print_options(out, command->options);
    print_options(out, common_options);
}

static void print_help(FILE *out, const char *noun)
{
    fputs("usage: locum COMMAND …\n\n", out);
    if (!noun)
        print_help_row(out, 38, "serve --data DIR", "run the console (locum serve --help)");
    for (const struct command *c = cli_commands; c->noun; c++) {
        if (noun && strcmp(noun, c->noun) != 0)
            continue;
        char left[80];
        snprintf(left, sizeof left, "%s%s%s %s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "",
                 c->arguments);
        print_help_row(out, 38, left, c->help);
    }
    fputs(
        "\n`locum COMMAND --help` shows the options of one. Exit codes: 0 done, 1 failed, 2 usage, 3 not "
        "found,\n"
        "4 not signed in or not allowed, 5 conflict, 6 finished with device failures, 7 timed out waiting,\n"
        "8 server unreachable, 130 interrupted.\n",
        out);
}

int cli_usage(struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *sentence = arena_vprintf(&cli->arena, format, args);
    va_end(args);
    if (cli->json) {
        error_set(&cli->err, ERROR_INPUT, "%s", sentence);
        return cli_fail(cli);
    }
    fprintf(stderr, "locum: %s\n", sentence);
    if (cli->command)
        fprintf(stderr, "usage: locum %s%s%s %s (--help shows the options)\n", cli->command->noun,
                cli->command->verb ? " " : "", cli->command->verb ? cli->command->verb : "",
                cli->command->arguments);
    return EXIT_USAGE;
}

int cli_fail(struct cli *cli)
{
    static const int codes[] = {
        [ERROR_NONE] = EXIT_FAILED,      [ERROR_INPUT] = EXIT_USAGE,       [ERROR_DENIED] = EXIT_DENIED,
        [ERROR_MISSING] = EXIT_MISSING,  [ERROR_CONFLICT] = EXIT_CONFLICT, [ERROR_LIMIT] = EXIT_FAILED,
        [ERROR_UNTRUSTED] = EXIT_FAILED, [ERROR_SYSTEM] = EXIT_FAILED,
    };
    cli_progress_end();
    if (cli->json || cli->ndjson) {
        TEXT(out);
        struct json_writer writer;
        json_write_init(&writer, &out);
        json_write_object(&writer, NULL);
        json_write_object(&writer, "error");
        json_write_string(&writer, "code", cli->unreachable ? "unreachable" : error_kind_name(cli->err.kind));
        json_write_string(&writer, "message", cli->err.text);
        json_write_string(&writer, "request_id", cli->request_id);
        json_write_string(&writer, "hint", cli->hint);
        json_write_end(&writer, '}');
        json_write_end(&writer, '}');
        fprintf(stderr, "%s\n", text_string(&out));
    } else {
        fprintf(stderr, "locum: %s\n", cli_safe(cli, cli->err.text));
        if (cli->hint)
            fprintf(stderr, "  %s\n", cli_safe(cli, cli->hint));
    }
    return cli->unreachable ? EXIT_UNREACHABLE : codes[cli->err.kind];
}

const char *cli_value(const struct cli *cli, const char *option)
{
    for (const struct cli_given *g = cli->given; g; g = g->next)
        if (strcmp(g->name, option) == 0)
            return g->value ? g->value : "";
    return NULL;
}

bool cli_flag(const struct cli *cli, const char *option)
{
    return cli_value(cli, option) != NULL;
}

const char **cli_values(struct cli *cli, const char *option, size_t *count)
{
    size_t most = 1;
    for (const struct cli_given *g = cli->given; g; g = g->next)
        most += strlen(g->value ? g->value : "") + 1;
    const char **values = arena_array(&cli->arena, most, sizeof *values);
    size_t n = 0;
    for (const struct cli_given *g = cli->given; g; g = g->next) {
        if (strcmp(g->name, option) != 0 || !g->value)
            continue;
        char *rest = arena_strdup(&cli->arena, g->value), *word;
        while ((word = strsep(&rest, ",")) != NULL)
            if (*word)
                values[n++] = word;
    }
    *count = n;
    return values;
}

static const struct cli_option *option_find(const struct command *command, const char *name, size_t size)
{
    const struct cli_option *tables[] = {command->options, common_options};
    for (size_t t = 0; t < 2; t++)
        for (const struct cli_option *o = tables[t]; o && o->name; o++)
            if (strlen(o->name) == size && strncmp(o->name, name, size) == 0)
                return o;
    return NULL;
}

static void give(struct cli *cli, struct cli_given ***end, const char *name, const char *value)
{
    struct cli_given *given = arena_alloc(&cli->arena, sizeof *given);
    given->name = name;
    given->value = value;
    **end = given;
    *end = &given->next;
}

/* A file's name that is mistyped is not to become a value: it mostly has a point or a slash. */
static bool takes_more(const struct cli_option *option, const char *word)
{
    if (word[0] == '-')
        return false;
    return option->kind == OPTION_MANY ||
           (option->kind == OPTION_WORDS && !strpbrk(word, "./") && access(word, F_OK) != 0);
}

/* Reads the words after the command's name. True, or false with the usage told. */
static bool words_read(struct cli *cli, int argc, char **argv)
{
    struct cli_given **end = &cli->given;
    bool only_words = false;
    cli->words = arena_array(&cli->arena, (size_t)argc + 1, sizeof *cli->words);
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (only_words || strncmp(word, "--", 2) != 0) {
            if (!only_words && word[0] == '-' && word[1])
                return cli_usage(cli, "there is no option %s", word), false;
            cli->words[cli->word_count++] = word;
            continue;
        }
        if (!word[2]) {
            only_words = true;
            continue;
        }
        const char *equals = strchr(word, '=');
        size_t size = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
        const struct cli_option *option = option_find(cli->command, word + 2, size);
        if (!option)
            return cli_usage(cli, "there is no option --%.*s", (int)size, word + 2), false;
        if (option->kind == OPTION_FLAG) {
            if (equals)
                return cli_usage(cli, "--%s takes no value", option->name), false;
            give(cli, &end, option->name, NULL);
            continue;
        }
        if (option->kind == OPTION_ONE && cli_value(cli, option->name))
            return cli_usage(cli, "--%s is given twice", option->name), false;
        if (!equals && (i + 1 >= argc || (strncmp(argv[i + 1], "--", 2) == 0 && argv[i + 1][2])))
            return cli_usage(cli, "--%s needs %s", option->name, option->value), false;
        give(cli, &end, option->name, equals ? equals + 1 : argv[++i]);
        while (i + 1 < argc && takes_more(option, argv[i + 1]))
            give(cli, &end, option->name, argv[++i]);
    }
    return true;
}

static const struct command *command_find(int argc, char **argv, int *used)
{
    for (const struct command *c = cli_commands; c->noun; c++) {
        if (!string_is(c->noun, argv[1]))
            continue;
        *used = c->verb ? 3 : 2;
        if (!c->verb || (argc > 2 && string_is(c->verb, argv[2])))
            return c;
    }
    return NULL;
}

static int command_unknown(int argc, char **argv)
{
    bool noun_known = false, help = false;
    for (const struct command *c = cli_commands; c->noun && argc > 1; c++)
        noun_known |= string_is(c->noun, argv[1]);
    for (int i = 1; i < argc; i++)
        help |= string_is(argv[i], "--help") || string_is(argv[i], "-h") || string_is(argv[i], "help");
    if (help) {
        print_help(stdout, noun_known ? argv[1] : NULL);
        return EXIT_DONE;
    }
    if (argc < 2)
        fputs("locum: which command?\n\n", stderr);
    else if (noun_known && argc < 3)
        fprintf(stderr, "locum: %s what?\n\n", argv[1]);
    else
        fprintf(stderr, "locum: there is no command \"%s%s%s\"\n\n", argv[1], noun_known ? " " : "",
                noun_known ? argv[2] : "");
    print_help(stderr, noun_known ? argv[1] : NULL);
    return EXIT_USAGE;
}

int cli_main(int argc, char **argv)
{
    __attribute__((cleanup(arena_end))) struct arena arena = {0};
    struct cli cli = {0};
    int used = 0;
    if (argc > 1 && (string_is(argv[1], "--version") || string_is(argv[1], "version"))) {
        puts("locum " LOCUM_VERSION);
        return EXIT_DONE;
    }
    cli.command = argc > 1 ? command_find(argc, argv, &used) : NULL;
    if (!cli.command)
        return command_unknown(argc, argv);
    for (int i = used; i < argc; i++) {
        if (string_is(argv[i], "--"))
            break;
        if (string_is(argv[i], "--help") || string_is(argv[i], "-h")) {
            print_command(stdout, cli.command);
            return EXIT_DONE;
        }
        cli.json |= string_is(argv[i], "--json");
    }
    int code = EXIT_USAGE;
    if (words_read(&cli, argc - used, argv + used)) {
        cli.ndjson = cli_flag(&cli, "ndjson");
        cli.yes = cli_flag(&cli, "yes");
        if ((int)cli.word_count < cli.command->least)
            code = cli_usage(&cli, "something is missing: %s", cli.command->arguments);
        else if (cli.command->most >= 0 && (int)cli.word_count > cli.command->most)
            code = cli_usage(&cli, "\"%s\" is too much", cli.words[cli.command->most]);
        else
            code = cli.command->run(&cli);
    }
    http_close(cli.http);
    arena_end(&cli.arena);
    if (fflush(stdout) != 0 && code == EXIT_DONE) {
        perror("locum: standard output");
        code = EXIT_FAILED;
    }
    return code;
}

/* locum-agent: the program on the device. Subcommands and flags are tables. */
#include "agent/enrolment.h"
#include "agent/facts.h"
#include "agent/keeper.h"
#include "agent/settings.h"
#include "agent/state.h"
#include "agent/status.h"
#include "agent/worker.h"
#include "base/log.h"
#include "base/text.h"

#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_USAGE 2

struct arguments {
    const char *state, *config, *server, *claim, *ca, *name, *hardware, *ready_fd;
    bool json, verbose, stand_in, by_run;
};

enum { ENROL = 1, RUN = 2, KEEP = 4, STATUS = 8 };

/* One row a flag: the subcommands that take it, and where its value goes. `value` NULL: it takes none. */
static const struct flag {
    const char *name, *value;
    int commands, needed_by;
    size_t offset;
    const char *help; /* NULL: between our own programs, not shown */
} flags[] = {
    {"--state", "DIR", ENROL | RUN | KEEP | STATUS, ENROL | RUN | KEEP | STATUS,
     offsetof(struct arguments, state), "folder that holds all that the agent keeps"},
    {"--server", "URL", ENROL, ENROL, offsetof(struct arguments, server),
     "address of the console for devices, https://host:8443"},
    {"--claim", "CODE", ENROL, ENROL, offsetof(struct arguments, claim),
     "the claim code; - reads it from standard input"},
    {"--ca", "FILE", ENROL, 0, offsetof(struct arguments, ca),
     "authorities (file or PEM text) to trust instead of the one that the claim code names"},
    {"--name", "NAME", ENROL, 0, offsetof(struct arguments, name),
     "the device's name; without it the console makes one"},
    {"--hardware", "REVISION", ENROL, 0, offsetof(struct arguments, hardware),
     "the device's hardware revision"},
    {"--config", "FILE", RUN | KEEP, 0, offsetof(struct arguments, config),
     "settings; without it DIR/" STATE_CONFIG},
    {"--json", NULL, ENROL | STATUS, 0, offsetof(struct arguments, json), "print JSON"},
    {"--verbose", NULL, RUN | KEEP, 0, offsetof(struct arguments, verbose), "say more in the log"},
    {"--stand-in", NULL, RUN, 0, offsetof(struct arguments, stand_in), NULL},
    {"--by-run", NULL, KEEP, 0, offsetof(struct arguments, by_run), NULL},
    {"--ready-fd", "N", KEEP, 0, offsetof(struct arguments, ready_fd), NULL},
};
#define FLAGS (sizeof(flags) / sizeof(flags[0]))

static int enrol_do(const struct arguments *arguments);
static int run_do(const struct arguments *arguments);
static int keep_do(const struct arguments *arguments);
static int status_do(const struct arguments *arguments);

static const struct command {
    const char *name;
    int bit;
    int (*run)(const struct arguments *arguments);
    const char *help;
} commands[] = {
    {"enrol", ENROL, enrol_do, "make this device known to a console, with a claim code"},
    {"run", RUN, run_do,
     "talk to the console, swap assets, run diagnostic images; starts a keeper when there is none"},
    {"keep", KEEP, keep_do, "be the parent of the app and of diagnostic images; for a service of its own"},
    {"status", STATUS, status_do,
     "tell what this device is and runs; works without the console and beside a running agent"},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* --- words
 * ------------------------------------------------------------------------------------------------------- */

static void help_commands(FILE *to)
{
    fprintf(to, "locum-agent: the device's side of Locum\n\nusage: locum-agent COMMAND [FLAG…]\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
    fprintf(to, "\n  locum-agent COMMAND --help tells its flags; --version the version.\n");
}

static void help_command(const struct command *command)
{
    printf("locum-agent %s: %s\n\nusage: locum-agent %s", command->name, command->help, command->name);
    for (size_t i = 0; i < FLAGS; i++)
        if (flags[i].needed_by & command->bit)
            printf(" %s %s", flags[i].name, flags[i].value);
    printf(" [FLAG…]\n\n");
    for (size_t i = 0; i < FLAGS; i++)
        if ((flags[i].commands & command->bit) && flags[i].help)
            printf("  %-10s %-9s %s\n", flags[i].name, flags[i].value ? flags[i].value : "", flags[i].help);
    if (command->bit & (RUN | KEEP)) {
        printf("\nsettings (`name = value` lines):\n\n");
        for (const struct setting *setting = agent_settings_table; setting->name; setting++)
            printf("  %-22s %s%s%s%s\n", setting->name, setting->help, setting->otherwise ? " (" : "",
                   setting->otherwise ? setting->otherwise : "", setting->otherwise ? ")" : "");
    }
}

__attribute__((format(printf, 2, 3))) static int usage(const char *command, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "locum-agent: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; locum-agent %s%s--help tells what there is\n", command, *command ? " " : "");
    return EXIT_USAGE;
}

static int fail(const struct error *err)
{
    static const int codes[] = {
        [ERROR_INPUT] = 2,     [ERROR_DENIED] = 4, [ERROR_MISSING] = 3, [ERROR_CONFLICT] = 5,
        [ERROR_UNTRUSTED] = 1, [ERROR_LIMIT] = 1,  [ERROR_SYSTEM] = 1};

    fprintf(stderr, "locum-agent: %s\n", err->text);
    return codes[err->kind];
}

/* --- commands
 * ------------------------------------------------------------------------------------------------------ */

/* The claim code from standard input: its first line. */
static bool claim_from_input(char claim[256], struct error *err)
{
    if (!fgets(claim, 256, stdin))
        return error_set(err, ERROR_INPUT, "there is no claim code on standard input");
    claim[strcspn(claim, "\r\n")] = '\0';
    return true;
}

static void enrolled_print(const struct enrolment *enrolment, bool already, bool as_json)
{
    TEXT(out);
    struct json_writer writer;

    if (!as_json) {
        printf("%s as %s of the product %s with %s: %s\n", already ? "already enrolled" : "enrolled",
               enrolment->device, enrolment->product, enrolment->server, enrolment->admission);
        return;
    }
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "device", enrolment->device);
    json_write_string(&writer, "key_id", enrolment->key.public.id);
    json_write_string(&writer, "product", enrolment->product);
    json_write_string(&writer, "hardware", *enrolment->hardware ? enrolment->hardware : NULL);
    json_write_string(&writer, "admission", enrolment->admission);
    json_write_end(&writer, '}');
    printf("%s\n", text_string(&out));
}

static int enrol_do(const struct arguments *arguments)
{
    struct enrol_options options = {.state = arguments->state,
                                    .server = arguments->server,
                                    .claim = arguments->claim,
                                    .ca = arguments->ca,
                                    .name = arguments->name,
                                    .hardware = arguments->hardware};
    struct enrolment enrolment = {0};
    struct error err = {0};
    char claim[256];
    bool already;

    if (strcmp(arguments->claim, "-") == 0) {
        if (!claim_from_input(claim, &err))
            return fail(&err);
        options.claim = claim;
    }
    if (!enrol(&options, &enrolment, &already, &err))
        return fail(&err);
    enrolled_print(&enrolment, already, arguments->json);
    return 0;
}

/* Absolute, so that it means the same to the programs that we start. */
static char *absolute(struct arena *arena, const char *path, struct error *err)
{
    char real[PATH_MAX];

    if (!realpath(path, real)) {
        error_errno(err, "\"%s\"", path);
        return NULL;
    }
    return arena_strdup(arena, real);
}

/* What run and keep share: paths and settings. */
static bool prepare(struct arena *arena, const struct arguments *arguments, const char **state,
                    const char **config, struct agent_settings *settings, struct error *err)
{
    if (arguments->verbose)
        log_level = LOG_DEBUG;
    *state = absolute(arena, arguments->state, err);
    *config = NULL;
    if (!*state)
        return err->kind == ERROR_MISSING
                   ? error_set(err, ERROR_MISSING, "there is no state folder \"%s\": enrol this device first",
                               arguments->state)
                   : false;
    if (arguments->config && !(*config = absolute(arena, arguments->config, err)))
        return error_add(err, "--config");
    return agent_settings_load(arena, *state, *config, settings, err);
}

static int run_do(const struct arguments *arguments)
{
    ARENA(arena);
    struct agent_settings settings;
    struct worker_options options = {.stand_in = arguments->stand_in};
    struct error err = {0};

    if (!prepare(&arena, arguments, &options.state, &options.config, &settings, &err))
        return fail(&err);
    return worker_main(&settings, &options);
}

static int keep_do(const struct arguments *arguments)
{
    ARENA(arena);
    struct agent_settings settings;
    struct keeper_options options = {.started_by = arguments->by_run ? KEEPER_BY_RUN : KEEPER_BY_INIT,
                                     .ready_fd = -1};
    struct error err = {0};
    char program[PATH_MAX];
    int64_t ready;
    ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);

    if (!prepare(&arena, arguments, &options.state, &options.config, &settings, &err))
        return fail(&err);
    program[size > 0 ? size : 0] = '\0';
    options.program = program;
    if (arguments->ready_fd && !int64_parse(arguments->ready_fd, 3, 1024, &ready))
        return usage("keep", "--ready-fd must be a descriptor");
    if (arguments->ready_fd)
        options.ready_fd = (int)ready;
    return keeper_main(&settings, &options);
}

static int status_do(const struct arguments *arguments)
{
    return status_print(arguments->state, arguments->json);
}

/* --- flags
 * ------------------------------------------------------------------------------------------------------------
 */

static const struct flag *flag_find(const char *word, size_t size, int command)
{
    for (size_t i = 0; i < FLAGS; i++)
        if ((flags[i].commands & command) && strlen(flags[i].name) == size &&
            memcmp(flags[i].name, word, size) == 0)
            return &flags[i];
    return NULL;
}

/* Takes `--name value`, `--name=value` or `--name`. Exit code 0: go on. */
static int flag_take(const struct command *command, char **words, int *at, struct arguments *arguments)
{
    const char *word = words[*at], *equals = strchr(word, '=');
    size_t size = equals ? (size_t)(equals - word) : strlen(word);
    const struct flag *flag = flag_find(word, size, command->bit);

    if (!flag)
        return *word == '-' ? usage(command->name, "there is no flag \"%s\" for %s", word, command->name)
                            : usage(command->name, "\"%s\" is more than %s takes", word, command->name);
    char *place = (char *)arguments + flag->offset;
    if (!flag->value) {
        if (equals)
            return usage(command->name, "%s takes no value", flag->name);
        *(bool *)place = true;
        return 0;
    }
    const char *value = equals ? equals + 1 : words[*at + 1];
    if (!value || !*value)
        return usage(command->name, "%s needs a value", flag->name);
    if (*(const char **)place)
        return usage(command->name, "%s stands twice", flag->name);
    *(const char **)place = value;
    *at += !equals;
    return 0;
}

static int command_run(const struct command *command, char **words)
{
    struct arguments arguments = {0};

    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0) {
            help_command(command);
            return 0;
        }
        int code = flag_take(command, words, &i, &arguments);
        if (code)
            return code;
    }
    for (size_t i = 0; i < FLAGS; i++)
        if ((flags[i].needed_by & command->bit) && !*(const char **)((char *)&arguments + flags[i].offset))
            return usage(command->name, "%s is needed", flags[i].name);
    umask(022); /* what is private is made so by its mode */
    return command->run(&arguments);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        help_commands(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        help_commands(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("locum-agent %s\n", AGENT_VERSION);
        return 0;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return command_run(&commands[i], argv + 2);
    return usage("", "there is no command \"%s\"", argv[1]);
}

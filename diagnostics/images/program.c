#include "diagnostics/images/program.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define LOG_ROOM 16384    /* bytes set aside for run.log before anything else is written */
#define FIELD_MOST 1000   /* bytes of one field of a CSV file */
#define LOOK_EVERY_MS 500 /* at the file that says when the time is over */
#define NS_A_SECOND 1000000000

static volatile sig_atomic_t asked_to_end;

static void note_end(int number)
{
    (void)number;
    asked_to_end = 1;
}

bool program_was_asked_to_end(void)
{
    return asked_to_end != 0;
}

static bool read_params(struct program *program)
{
    const char *text = getenv("LOCUM_PARAMS");
    struct error err = {0};
    if (text == NULL || *text == '\0')
        return true;
    program->params = json_read(&program->arena, text, strlen(text), &json_limits_small, &err);
    if (program->params != NULL && program->params->type == JSON_OBJECT)
        return true;
    fprintf(stderr, "LOCUM_PARAMS is no object: %s\n", err.text);
    return false;
}

static void read_ends_at(struct program *program)
{
    char text[32] = "";
    int64_t seconds;
    program->looked_ms = clock_boot_ms();
    FILE *file = program->ends_at_file != NULL ? fopen(program->ends_at_file, "re") : NULL;
    if (file == NULL)
        return;
    if (fgets(text, sizeof text, file) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        if (int64_parse(text, 1, INT64_MAX / 1000, &seconds))
            program->ends_at = seconds;
    }
    fclose(file);
}

void program_keep_room(FILE *file, int64_t size)
{
    (void)fallocate(fileno(file), FALLOC_FL_KEEP_SIZE, 0, size);
}

/* The log opens first and keeps its room, so that it can say that the output is full. */
static bool open_log(struct program *program)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/run.log", program->output);
    program->log = fopen(path, "we");
    if (program->log == NULL) {
        fprintf(stderr, "%s cannot be written: %s\n", path, strerror(errno));
        return false;
    }
    program_keep_room(program->log, LOG_ROOM);
    return true;
}

bool program_begin(struct program *program)
{
    const char *duration = getenv("LOCUM_DURATION_S");
    struct sigaction action = {.sa_handler = note_end};
    int64_t seconds;
    memset(program, 0, sizeof *program);
    arena_init(&program->arena);
    program->output = getenv("LOCUM_OUTPUT");
    program->ends_at_file = getenv("LOCUM_ENDS_AT");
    if (program->output == NULL || duration == NULL || !int64_parse(duration, 1, INT32_MAX, &seconds)) {
        fprintf(stderr, "LOCUM_OUTPUT and LOCUM_DURATION_S have to be set\n");
        return false;
    }
    program->ends_at = clock_now() + seconds;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of write, not the end */
    read_ends_at(program);
    return read_params(program) && open_log(program);
}

int program_end(struct program *program, bool good)
{
    bool whole = program->log != NULL && fclose(program->log) == 0;
    program->log = NULL;
    arena_end(&program->arena);
    return good && whole && !program->cut ? 0 : 1;
}

void program_say(struct program *program, const char *format, ...)
{
    char stamp[TIME_TEXT], text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(program->log, "%s %s\n", time_text(clock_now(), stamp), text_tame(text));
    fflush(program->log);
}

bool program_is_over(struct program *program)
{
    if (clock_boot_ms() - program->looked_ms >= LOOK_EVERY_MS)
        read_ends_at(program);
    return asked_to_end || clock_now() >= program->ends_at;
}

void program_wait_until(int64_t at_ns)
{
    struct timespec moment = {.tv_sec = at_ns / NS_A_SECOND, .tv_nsec = at_ns % NS_A_SECOND};
    if (!asked_to_end)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
}

int64_t program_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_A_SECOND + now.tv_nsec;
}

double program_time(void)
{
    return (double)clock_now_ms() / 1000;
}

int64_t program_integer(const struct program *program, const char *name, int64_t otherwise)
{
    return json_integer(program->params, name, otherwise);
}

bool program_flag(const struct program *program, const char *name, bool otherwise)
{
    return json_boolean(program->params, name, otherwise);
}

const char *program_words(const struct program *program, const char *name)
{
    const char *words = json_string(program->params, name);
    return words != NULL ? words : "";
}

int64_t program_room(const struct program *program)
{
    struct statvfs fs;
    return statvfs(program->output, &fs) == 0 ? (int64_t)fs.f_bavail * (int64_t)fs.f_frsize : 0;
}

FILE *program_open(struct program *program, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", program->output, name);
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        program_say(program, "%s is missing: %s", name, strerror(errno));
        program->cut = true;
    }
    return file;
}

bool program_close(struct program *program, FILE *file, const char *name)
{
    if (file == NULL)
        return false;
    bool whole = fflush(file) == 0 && !ferror(file);
    if (fclose(file) == 0 && whole)
        return true;
    program_say(program, "%s is cut: %s", name,
                program_room(program) == 0 ? "the output is full" : "it could not be written");
    program->cut = true;
    return false;
}

char *text_tame(char *text)
{
    bool plain = utf8_is_valid(text, strlen(text));
    for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++)
        if (*at < 32 || *at == 127 || (!plain && *at > 127))
            *at = '?';
    return text;
}

/* Never cuts inside a character: what is left of it would be no UTF-8, and the whole field would suffer. */
static void cut_at_character(char *text, size_t size)
{
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    text[size] = '\0';
}

void csv_put(FILE *csv, const char *text)
{
    char field[FIELD_MOST + 8];
    size_t size = strnlen(text, FIELD_MOST + 1);
    memcpy(field, text, size);
    field[size] = '\0';
    if (size > FIELD_MOST)
        cut_at_character(field, FIELD_MOST);
    text_tame(field);
    if (strpbrk(field, ",\"") == NULL) {
        fputs(field, csv);
        return;
    }
    fputc('"', csv);
    for (const char *at = field; *at != '\0'; at++) {
        if (*at == '"')
            fputc('"', csv);
        fputc(*at, csv);
    }
    fputc('"', csv);
}

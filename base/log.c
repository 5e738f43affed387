#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A write of at most PIPE_BUF bytes into a pipe is not mixed with other threads' lines. */
#define LINE_ROOM 4096

enum log_level log_level = LOG_INFO;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static size_t bounded(int written, size_t room)
{
    if (written < 0 || room == 0)
        return 0;
    return (size_t)written < room ? (size_t)written : room - 1;
}

static void write_line(char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[size++] = '\n';
    /* A log that cannot be written has nobody to be told to; only an interrupted write is tried again. */
    while (write(STDERR_FILENO, line, size) < 0 && errno == EINTR)
        ;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    int saved = errno;
    char line[LINE_ROOM], now[TIME_TEXT];
    size_t room = sizeof(line) - 1; /* one byte for the line feed */
    va_list args;

    if (level > log_level)
        return;
    size_t size = bounded(snprintf(line, room, "time=%s level=%s event=%s", time_text(clock_now(), now),
                                   level_names[level], event),
                          room);
    if (*format && size + 1 < room) {
        line[size++] = ' ';
        va_start(args, format);
        size += bounded(vsnprintf(line + size, room - size, format, args), room - size);
        va_end(args);
    }
    write_line(line, size);
    errno = saved;
}

const char *log_quote(char *out, unsigned size, const char *value)
{
    unsigned at = 0;

    if (size < 3) {
        if (size > 0)
            out[0] = '\0';
        return out;
    }
    out[at++] = '"';
    for (; *value && at + 2 < size; value++) {
        if (*value == '"' || *value == '\\') {
            if (at + 3 >= size)
                break;
            out[at++] = '\\';
        }
        out[at++] = *value;
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}

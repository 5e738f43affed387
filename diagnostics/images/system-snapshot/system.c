#include "base/json.h"
#include "diagnostics/images/program.h"
#include "diagnostics/images/system-snapshot/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define KERNEL_LOG_MOST (4 << 20) /* bytes */

/* syslog(2) */
#define SYSLOG_ACTION_READ_ALL 3

/* The value of a line "NAME=value" or "NAME="value"" of os-release(5), or "". */
static void release_value(const char *text, const char *name, char value[256])
{
    size_t size = strlen(name);
    value[0] = '\0';
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, size) != 0 || line[size] != '=')
            continue;
        const char *from = line + size + 1;
        const char *quote = *from == '"' || *from == '\'' ? from++ : NULL;
        snprintf(value, 256, "%.*s",
                 (int)strcspn(from, quote == NULL   ? "\n"
                                    : *quote == '"' ? "\""
                                                    : "'"),
                 from);
        return;
    }
}

static void write_release(struct json_writer *json)
{
    static const char *const names[] = {"PRETTY_NAME", "ID",       "VERSION_ID",
                                        "VERSION",     "BUILD_ID", "VARIANT_ID"};
    char text[8192], value[256];
    /* /etc is not shown to an image; the file is a link to this one where the system follows os-release(5).
     */
    if (read_whole("/etc/os-release", text, sizeof text) == 0)
        read_whole("/usr/lib/os-release", text, sizeof text);
    json_write_object(json, "os_release");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        release_value(text, names[i], value);
        if (value[0] != '\0')
            json_write_string(json, names[i], text_tame(value));
    }
    json_write_end(json, '}');
}

static void write_kernel(struct json_writer *json)
{
    struct utsname name;
    char text[4096];
    if (uname(&name) == 0) {
        json_write_string(json, "kernel", text_tame(name.release));
        json_write_string(json, "kernel_build", text_tame(name.version));
        json_write_string(json, "machine", text_tame(name.machine));
    }
    /* Not the host's name: an image has one of its own. */
    static const char *const files[][2] = {{"boot_id", "/proc/sys/kernel/random/boot_id"},
                                           {"command_line", "/proc/cmdline"},
                                           {"load", "/proc/loadavg"},
                                           {"uptime", "/proc/uptime"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (read_whole(files[i][1], text, sizeof text) > 0) {
            text[strcspn(text, "\n")] = '\0';
            json_write_string(json, files[i][0], text_tame(text));
        }
}

/* The first processor's own words, and how many there are: cpuinfo differs from architecture to architecture.
 */
static void write_processors(struct json_writer *json)
{
    static const char *const names[] = {"model name", "Hardware", "Model", "CPU implementer", "CPU part",
                                        "cpu cores",  "isa",      "uarch", "cpu MHz",         "cache size"};
    char line[4096];
    long long processors = 0;
    bool seen[sizeof names / sizeof names[0]] = {false};
    FILE *file = fopen("/proc/cpuinfo", "re");
    json_write_object(json, "processor");
    while (next_line(file, line, sizeof line)) {
        char *colon = strchr(line, ':');
        processors += string_starts(line, "processor");
        if (colon == NULL)
            continue;
        const char *value = colon + 1 + (colon[1] == ' ');
        while (colon > line && (colon[-1] == '\t' || colon[-1] == ' '))
            colon--;
        *colon = '\0';
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (!seen[i] && string_is(line, names[i])) {
                seen[i] = true;
                json_write_string(json, names[i], text_tame((char *)value));
            }
    }
    json_write_end(json, '}');
    json_write_integer(json, "processors", processors);
    if (file != NULL)
        fclose(file);
}

long write_system(FILE *out)
{
    TEXT(text);
    struct json_writer json;
    json_write_init(&json, &text);
    json_write_object(&json, NULL);
    json_write_time(&json, "taken_at", (int64_t)program_time());
    write_kernel(&json);
    write_release(&json);
    write_processors(&json);
    json_write_end(&json, '}');
    text_puts(&text, "\n");
    fputs(text_string(&text), out);
    return 1;
}

/* Drivers print what devices told them: bytes that are no text become '?', lines stay lines. */
static long put_kernel_lines(FILE *out, char *text, size_t size)
{
    long rows = 0;
    for (char *line = text, *end; line < text + size && !ferror(out); line = end + 1) {
        end = memchr(line, '\n', (size_t)(text + size - line));
        if (end == NULL)
            end = text + size;
        *end = '\0';
        fprintf(out, "%s\n", text_tame(line));
        rows++;
    }
    return rows;
}

/* With less room than there is to say the kernel gives the newest lines. Its own size counts the texts alone,
 * not the times and levels that stand before them. */
long write_kernel_log(FILE *out)
{
    struct statvfs fs;
    int64_t room = fstatvfs(fileno(out), &fs) == 0 ? (int64_t)fs.f_bavail * (int64_t)fs.f_frsize : 0;
    int size = room < KERNEL_LOG_MOST ? (int)room : KERNEL_LOG_MOST;
    if (size == 0)
        return 0;
    char *text = malloc((size_t)size + 1);
    if (text == NULL)
        return 0;
    int got = klogctl(SYSLOG_ACTION_READ_ALL, text, size);
    long rows = got > 0 ? put_kernel_lines(out, text, (size_t)got) : 0;
    int reason = got < 0 ? errno : 0;
    free(text);
    errno = reason;
    return rows;
}

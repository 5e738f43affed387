#include "agent/facts.h"

#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define FACT_BYTES 256

/* Files of /proc and /etc may be links and have no length. False when it cannot be read. */
static bool read_text(const char *path, char *out, size_t room)
{
    FD(fd) = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, out, room - 1);

    out[size > 0 ? size : 0] = '\0';
    return size > 0;
}

/* Only what the console takes: valid, short, printable. */
static void fact(struct json_writer *writer, const char *name, const char *value)
{
    char text[FACT_BYTES];

    snprintf(text, sizeof(text), "%s", value);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    if (*text && utf8_is_valid(text, strlen(text)))
        json_write_string(writer, name, text);
}

static void operating_system(struct json_writer *writer)
{
    char text[4096];

    if (!read_text("/etc/os-release", text, sizeof(text)))
        return;
    char *name = strstr(text, "PRETTY_NAME=");
    if (!name)
        return;
    name += strlen("PRETTY_NAME=");
    name += *name == '"';
    name[strcspn(name, "\"\n")] = '\0';
    fact(writer, "os", name);
}

void facts_write(struct json_writer *writer, const char *key, const char *limits, const char *diagnostics)
{
    struct utsname names;
    char number[32], model[FACT_BYTES];

    json_write_object(writer, key);
    fact(writer, "agent", AGENT_VERSION);
    if (uname(&names) == 0) {
        fact(writer, "kernel", names.release);
        fact(writer, "arch", names.machine);
        fact(writer, "hostname", names.nodename);
    }
    operating_system(writer);
    snprintf(number, sizeof(number), "%lld",
             (long long)sysconf(_SC_PHYS_PAGES) * (long long)sysconf(_SC_PAGESIZE));
    fact(writer, "memory_bytes", number);
    snprintf(number, sizeof(number), "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    fact(writer, "cpus", number);
    if (read_text("/proc/device-tree/model", model, sizeof(model)))
        fact(writer, "model", model);
    if (limits)
        fact(writer, "limits", limits);
    if (diagnostics)
        fact(writer, "diagnostics", diagnostics);
    json_write_end(writer, '}');
}

#include "agent/facts.h"

#include "base/file.h"
#include "base/text.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
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

/* Does the text look like a name of the time zone database ("Europe/Berlin", "UTC")? Rules as POSIX writes
 * them
 * ("CET-1CEST") have digits and no slash. */
static bool is_zone_name(const char *text)
{
    size_t size = strlen(text);

    return size > 0 && size < ZONE_SIZE && isalpha((unsigned char)text[0]) && !strstr(text, "..") &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") == size &&
           (strchr(text, '/') || !strpbrk(text, "0123456789+-"));
}

/* The link /etc/localtime leads to …/zoneinfo/<name>. */
static bool zone_of_link(char zone[ZONE_SIZE])
{
    char target[PATH_MAX];
    ssize_t size = readlink("/etc/localtime", target, sizeof(target) - 1);

    if (size <= 0)
        return false;
    target[size] = '\0';
    const char *name = strstr(target, "/zoneinfo/");
    if (!name || !is_zone_name(name + strlen("/zoneinfo/")))
        return false;
    strcpy(zone, name + strlen("/zoneinfo/"));
    return true;
}

const char *zone_name(char zone[ZONE_SIZE])
{
    const char *set = getenv("TZ");

    if (set && *set == ':')
        set++;
    if (set && is_zone_name(set)) {
        strcpy(zone, set);
        return zone;
    }
    if (read_text("/etc/timezone", zone, ZONE_SIZE)) {
        zone[strcspn(zone, " \t\r\n")] = '\0';
        if (is_zone_name(zone))
            return zone;
    }
    return zone_of_link(zone) ? zone : strcpy(zone, "UTC");
}

void facts_write(struct json_writer *writer, const char *key, const char *limits, const char *diagnostics)
{
    struct utsname names;
    char number[32], model[FACT_BYTES], zone[ZONE_SIZE];

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
    fact(writer, "timezone", zone_name(zone));
    if (read_text("/proc/device-tree/model", model, sizeof(model)))
        fact(writer, "model", model);
    if (limits)
        fact(writer, "limits", limits);
    if (diagnostics)
        fact(writer, "diagnostics", diagnostics);
    json_write_end(writer, '}');
}

#include "console/serve_options.h"

#include "base/certificate.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAMES_MOST 64
#define DELTA_QUOTA (INT64_C(4) << 30)
#define DELTA_THOROUGH_AFTER 3

static const struct {
    const char *name, *value, *help;
    size_t offset;
} rows[] = {
    {"--data", "DIR", "everything the console keeps; made when missing",
     offsetof(struct serve_options, data)},
    {"--listen", "ADDRESS:PORT", "for people (127.0.0.1:8080)", offsetof(struct serve_options, listen)},
    {"--device-listen", "ADDRESS:PORT", "for devices, TLS (0.0.0.0:8443)",
     offsetof(struct serve_options, device_listen)},
    {"--device-url", "URL", "what devices call this console; goes into claim codes and the certificate",
     offsetof(struct serve_options, device_url)},
    {"--admin-password-file", "FILE", "first start without a person: operator \"admin\" with this password",
     offsetof(struct serve_options, admin_password_file)},
    {"--cert", "FILE", "certificate chain (PEM): the people's address becomes https",
     offsetof(struct serve_options, cert)},
    {"--key", "FILE", "its private key (PEM)", offsetof(struct serve_options, key)},
    {"--www", "DIR", "the built pages (next to the program)", offsetof(struct serve_options, www)},
    {"--capture-quota", "BYTES", "of all captures together (20 GiB)",
     offsetof(struct serve_options, capture_quota)},
    {"--delta-quota", "BYTES", "of deltas and packed objects together; 0: whole objects only (4 GiB)",
     offsetof(struct serve_options, delta_quota)},
    {"--delta-thorough", "N", "a delta that was asked for N times is made again, smaller (3)",
     offsetof(struct serve_options, delta_thorough)},
    {"--log", "LEVEL", "error, warning, info or debug (info)", offsetof(struct serve_options, log)},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

void serve_help(void)
{
    puts("locum serve --data DIR [OPTION…]\n\nThe console: pages and interface for people, orders and files "
         "for devices.\n");
    for (size_t i = 0; i < ROWS; i++)
        printf("  %-22s %-13s %s\n", rows[i].name, rows[i].value, rows[i].help);
    puts("\nWithout --admin-password-file the first start prints a link, valid once, to set up the first "
         "operator.\n"
         "SIGTERM or Ctrl-C stops it in order. Exit codes: 0 stopped, 1 failed, 2 wrong use, 5 DIR is open "
         "elsewhere.");
}

static const char **value_of(struct serve_options *options, const char *name, size_t size)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strlen(rows[i].name) == size && strncmp(rows[i].name, name, size) == 0)
            return (const char **)((char *)options + rows[i].offset);
    }
    return NULL;
}

static bool options_check(struct serve_options *options, struct error *err)
{
    if (!options->data)
        return error_set(err, ERROR_INPUT, "--data DIR is needed");
    if (!options->cert != !options->key)
        return error_set(err, ERROR_INPUT, "--cert and --key belong together");
    if (listen_port(options->listen) < 0 || listen_port(options->device_listen) < 0)
        return error_set(err, ERROR_INPUT,
                         "An address to listen on is written ADDRESS:PORT, for example 127.0.0.1:8080");
    if (options->device_url && (strncmp(options->device_url, "https://", 8) != 0 ||
                                strchr(options->device_url + 8, '/') || !options->device_url[8]))
        return error_set(err, ERROR_INPUT, "--device-url is written https://HOST:PORT");
    if (options->capture_quota &&
        !int64_parse(options->capture_quota, 1, INT64_C(1) << 50, &options->capture_quota_bytes))
        return error_set(err, ERROR_INPUT, "--capture-quota is a number of bytes");
    options->delta_quota_bytes = DELTA_QUOTA;
    if (options->delta_quota &&
        !int64_parse(options->delta_quota, 0, INT64_C(1) << 50, &options->delta_quota_bytes))
        return error_set(err, ERROR_INPUT, "--delta-quota is a number of bytes");
    options->delta_thorough_after = DELTA_THOROUGH_AFTER;
    if (options->delta_thorough &&
        !int64_parse(options->delta_thorough, 1, 1000000, &options->delta_thorough_after))
        return error_set(err, ERROR_INPUT, "--delta-thorough is a number of times, from 1 on");
    return true;
}

bool serve_options_read(int argc, char **argv, struct serve_options *options, struct error *err)
{
    *options = (struct serve_options){0};
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *equal = strchr(word, '=');
        const char **value = value_of(options, word, equal ? (size_t)(equal - word) : strlen(word));

        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            options->help = true;
            return true;
        }
        if (!value)
            return error_set(err, ERROR_INPUT, "There is no option \"%s\"; `locum serve --help` shows them",
                             word);
        if (*value)
            return error_set(err, ERROR_INPUT, "%s is there twice", word);
        if (!equal && i + 1 == argc)
            return error_set(err, ERROR_INPUT, "%s needs a value", word);
        *value = equal ? equal + 1 : argv[++i];
    }
    if (!options->listen)
        options->listen = "127.0.0.1:8080";
    if (!options->device_listen)
        options->device_listen = "0.0.0.0:8443";
    return options_check(options, err);
}

int listen_port(const char *listen)
{
    const char *colon = strrchr(listen, ':');
    char host[64] = "";
    struct in_addr address;
    int64_t port;

    if (!colon || colon - listen >= (long)sizeof(host) || !int64_parse(colon + 1, 0, 65535, &port))
        return -1;
    memcpy(host, listen, (size_t)(colon - listen));
    return inet_pton(AF_INET, host, &address) == 1 ? (int)port : -1;
}

/* Calls for every IPv4 address of an interface that is up. */
static size_t own_addresses(struct arena *arena, const char **names, size_t room, bool loopback)
{
    struct ifaddrs *all;
    size_t count = 0;

    if (getifaddrs(&all) != 0)
        return 0;
    for (struct ifaddrs *one = all; one && count < room; one = one->ifa_next) {
        char text[INET_ADDRSTRLEN];

        if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET || !(one->ifa_flags & IFF_UP) ||
            (!loopback && (one->ifa_flags & IFF_LOOPBACK)))
            continue;
        const struct sockaddr_in *address = (const struct sockaddr_in *)(const void *)one->ifa_addr;
        if (inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text)))
            names[count++] = arena_strdup(arena, text);
    }
    freeifaddrs(all);
    return count;
}

const char *listen_url(struct arena *arena, const char *scheme, const char *listen, int port)
{
    size_t size = (size_t)(strrchr(listen, ':') - listen);
    const char *host = arena_copy(arena, listen, size);

    if (strcmp(host, "0.0.0.0") == 0 && own_addresses(arena, &host, 1, false) == 0)
        host = "127.0.0.1";
    return arena_printf(arena, "%s://%s:%d", scheme, host, port);
}

const char *const *machine_names(struct arena *arena, const char *device_url)
{
    const char **names = arena_array(arena, NAMES_MOST + 4, sizeof(*names));
    size_t count = 0;
    char host[256] = "";

    names[count++] = "localhost";
    /* A machine that was never named is "(none)". */
    if (gethostname(host, sizeof(host) - 1) == 0 && certificate_name_is_good(host) &&
        strcmp(host, "localhost") != 0)
        names[count++] = arena_strdup(arena, host);
    const char *start = device_url + strlen("https://");
    const char *given = arena_copy(arena, start, strcspn(start, ":/"));
    count += own_addresses(arena, names + count, NAMES_MOST - count, true);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], given) == 0)
            return names;
    }
    names[count] = given;
    return names;
}

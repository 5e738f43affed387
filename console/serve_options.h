/* The options of `locum serve` as a table, and what follows from them: addresses and names. */
#ifndef CONSOLE_SERVE_OPTIONS_H
#define CONSOLE_SERVE_OPTIONS_H

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct serve_options {
    const char *data, *listen, *device_listen, *device_url, *admin_password_file, *cert, *key, *www, *log;
    const char *capture_quota;
    int64_t capture_quota_bytes; /* 0: not said */
    const char *delta_quota, *delta_thorough;
    int64_t delta_quota_bytes, delta_thorough_after;
    bool help;
};

/* INPUT names what is wrong. */
bool serve_options_read(int argc, char **argv, struct serve_options *options, struct error *err);
void serve_help(void); /* to standard output */
/* "https://127.0.0.1:8080" for a listening address; 0.0.0.0 becomes an address of this machine. */
const char *listen_url(struct arena *arena, const char *scheme, const char *listen, int port);
/* Everything that devices may call this machine: localhost, its name, its addresses, the host of
 * `device_url`. NULL-terminated. */
const char *const *machine_names(struct arena *arena, const char *device_url);
/* The port of "ADDRESS:PORT"; -1 when it is none. */
int listen_port(const char *listen);

#endif

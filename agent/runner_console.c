/* What the image writes to its standard output and error: the last bytes are kept. */
#include "agent/runner.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define CONSOLE_EVERY_MS 50 /* an image that shouts is read slowly */

static void console_again(void *context)
{
    struct runner *runner = context;
    if (runner->sandbox.console_fd >= 0)
        loop_watch(runner->loop, runner->sandbox.console_fd, POLLIN, run_console_ready, runner);
}

/* Keeps the last bytes of what the image says. */
static void keep_console(struct run_outcome *outcome, const char *bytes, size_t size)
{
    if (size > RUN_CONSOLE) {
        bytes += size - RUN_CONSOLE;
        size = RUN_CONSOLE;
    }
    size_t over = outcome->console_size + size > RUN_CONSOLE ? outcome->console_size + size - RUN_CONSOLE : 0;
    memmove(outcome->console, outcome->console + over, outcome->console_size - over);
    outcome->console_size -= over;
    memcpy(outcome->console + outcome->console_size, bytes, size);
    outcome->console_size += size;
}

void run_console_ready(void *context, short events)
{
    (void)events;
    struct runner *runner = context;
    char piece[16384];
    ssize_t n = read(runner->sandbox.console_fd, piece, sizeof piece);
    loop_forget(runner->loop, runner->sandbox.console_fd);
    if (n > 0)
        keep_console(&runner->outcome, piece, (size_t)n);
    if (n > 0 || errno == EAGAIN)
        loop_at(runner->loop, &runner->console, clock_boot_ms() + CONSOLE_EVERY_MS, console_again, runner);
}

void run_console_rest(struct runner *runner)
{
    char rest[16384];
    ssize_t n = read(runner->sandbox.console_fd, rest, sizeof rest);
    if (n > 0)
        keep_console(&runner->outcome, rest, (size_t)n);
}

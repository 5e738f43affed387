/* Diagnostic image "system snapshot": what the device is and does at this moment, each part a file of its
 * own, within seconds; then it ends by itself. Reads /proc (scope `proc`) and, where that right was signed,
 * the kernel's log. */
#include "diagnostics/images/program.h"
#include "diagnostics/images/system-snapshot/parts.h"

#include <errno.h>
#include <string.h>

struct part {
    const char *name;
    long (*write)(FILE *file);
};
/* What is small and tells most comes first: with little room the last ones are cut. */
static const struct part parts[] = {
    {"system.json", write_system},        {"memory.csv", write_memory},       {"mounts.csv", write_mounts},
    {"interfaces.csv", write_interfaces}, {"addresses.csv", write_addresses}, {"routes.csv", write_routes},
    {"disks.csv", write_disks},           {"processes.csv", write_processes}, {"sockets.csv", write_sockets},
    {"kernel.log", write_kernel_log},
};

static void take(struct program *program, const struct part *part)
{
    FILE *file = program_open(program, part->name);
    if (file == NULL)
        return;
    errno = 0;
    long rows = part->write(file);
    int reason = errno;
    if (!program_close(program, file, part->name))
        return;
    if (rows > 0)
        program_say(program, "%s: %ld %s%s", part->name, rows, rows == 1 ? "row" : "rows",
                    rows == ROWS_MOST ? ", there may be more" : "");
    else
        program_say(program, "%s: nothing%s%s", part->name, reason != 0 ? ": " : "",
                    reason != 0 ? strerror(reason) : "");
}

int main(void)
{
    struct program program;
    if (!program_begin(&program))
        return 2;
    size_t taken = 0;
    while (taken < sizeof parts / sizeof parts[0] && !program_is_over(&program))
        take(&program, &parts[taken++]);
    program_say(&program, "%zu of %zu parts%s", taken, sizeof parts / sizeof parts[0],
                program_was_asked_to_end() ? ", ended by SIGTERM" : "");
    return program_end(&program, true);
}

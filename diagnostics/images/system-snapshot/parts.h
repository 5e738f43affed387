/* The parts of a snapshot. Each writes one file and returns how many rows it has; what /proc says is hostile:
 * lines are bounded, numbers checked, names put in by csv_put, and no part has more than ROWS_MOST rows. */
#ifndef DIAGNOSTICS_IMAGES_SYSTEM_SNAPSHOT_PARTS_H
#define DIAGNOSTICS_IMAGES_SYSTEM_SNAPSHOT_PARTS_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#define ROWS_MOST 50000

long write_system(FILE *json);
long write_processes(FILE *csv);
long write_memory(FILE *csv);
long write_disks(FILE *csv);
long write_mounts(FILE *csv);
long write_interfaces(FILE *csv);
long write_addresses(FILE *csv);
long write_routes(FILE *csv);
long write_sockets(FILE *csv);
long write_kernel_log(FILE *log);

/* The network that the device's first process is in: this image's own is empty. */
#define DEVICE_NET "/proc/1/net/"
#define DEVICE_MOUNTS "/proc/1/mountinfo"

/* The next line without its end, or false. What of a line is beyond `size` is left out. */
int next_line(FILE *file, char *line, size_t size);
/* A small file whole, cut at `size` - 1, with a final NUL; bytes read, 0 when it cannot be read. */
size_t read_whole(const char *path, char *room, size_t size);

#endif

#include "diagnostics/images/program.h"
#include "diagnostics/images/system-snapshot/parts.h"

#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>

#define SEEN_MOST 128 /* mounts of this image */
#define SECTOR 512    /* bytes, in /proc/diskstats whatever the disk's own are */

long write_memory(FILE *csv)
{
    char line[256], name[64];
    uint64_t value;
    long rows = 0;
    fputs("name,value,unit\n", csv);
    FILE *file = fopen("/proc/meminfo", "re");
    while (rows < ROWS_MOST && next_line(file, line, sizeof line))
        if (sscanf(line, "%63[^:]: %" SCNu64, name, &value) == 2) {
            csv_put(csv, name);
            fprintf(csv, ",%" PRIu64 ",%s\n", value, strstr(line, " kB") != NULL ? "KiB" : "");
            rows++;
        }
    if (file != NULL)
        fclose(file);
    return rows;
}

/* Size in KiB of a disk or partition, from /proc/partitions; 0: not there. */
static uint64_t size_of(const char *disk)
{
    char line[256], name[64];
    uint64_t blocks, found = 0;
    FILE *file = fopen("/proc/partitions", "re");
    while (found == 0 && next_line(file, line, sizeof line))
        if (sscanf(line, " %*u %*u %" SCNu64 " %63s", &blocks, name) == 2 && string_is(name, disk))
            found = blocks;
    if (file != NULL)
        fclose(file);
    return found;
}

long write_disks(FILE *csv)
{
    char line[512], name[64];
    uint64_t v[7];
    long rows = 0;
    fputs("name,size [KiB],reads,read [KiB],writes,written [KiB],busy [ms]\n", csv);
    FILE *file = fopen("/proc/diskstats", "re");
    while (rows < ROWS_MOST && next_line(file, line, sizeof line)) {
        if (sscanf(line,
                   " %*u %*u %63s %" SCNu64 " %*u %" SCNu64 " %*u %" SCNu64 " %*u %" SCNu64
                   " %*u %*u %" SCNu64,
                   name, &v[0], &v[1], &v[2], &v[3], &v[4]) != 6)
            continue;
        csv_put(csv, name);
        fprintf(csv, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n",
                size_of(name), v[0], v[1] * SECTOR / 1024, v[2], v[3] * SECTOR / 1024, v[4]);
        rows++;
    }
    if (file != NULL)
        fclose(file);
    return rows;
}

/* One line of mountinfo (proc(5)): "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw". */
struct mount {
    char device[24], point[512], options[256], type[64], source[256];
};

/* Spaces and the like stand there as \040. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *at = text; *at != '\0'; at++) {
        unsigned code;
        if (at[0] == '\\' && sscanf(at + 1, "%3o", &code) == 1 && code > 0 && code < 256 && at[1] != '\0' &&
            at[2] != '\0' && at[3] != '\0') {
            *to++ = (char)code;
            at += 3;
        } else {
            *to++ = *at;
        }
    }
    *to = '\0';
}

static bool parse_mount(const char *line, struct mount *mount)
{
    const char *rest = strstr(line, " - ");
    if (rest == NULL ||
        sscanf(line, "%*d %*d %23s %*s %511s %255s", mount->device, mount->point, mount->options) != 3 ||
        sscanf(rest, " - %63s %255s", mount->type, mount->source) != 2)
        return false;
    unescape(mount->point);
    unescape(mount->source);
    return true;
}

/* How full a file system is can only be asked through a folder of it that this image sees: /usr, and what its
 * scopes name. */
struct seen {
    char device[24];
    uint64_t size_kb, free_kb, files, files_free;
};

static int look_at_own(struct seen *seen)
{
    char line[2048];
    struct mount mount;
    struct statvfs fs;
    int count = 0;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (count < SEEN_MOST && next_line(file, line, sizeof line)) {
        if (!parse_mount(line, &mount) || statvfs(mount.point, &fs) != 0 || fs.f_blocks == 0)
            continue;
        struct seen *one = &seen[count++];
        memcpy(one->device, mount.device, sizeof one->device);
        one->size_kb = (uint64_t)fs.f_blocks * fs.f_frsize / 1024;
        one->free_kb = (uint64_t)fs.f_bavail * fs.f_frsize / 1024;
        one->files = fs.f_files;
        one->files_free = fs.f_favail;
    }
    if (file != NULL)
        fclose(file);
    return count;
}

static void put_mount(FILE *csv, const struct mount *mount, const struct seen *seen, int count)
{
    csv_put(csv, mount->point);
    fputc(',', csv);
    csv_put(csv, mount->source);
    fputc(',', csv);
    csv_put(csv, mount->type);
    fputc(',', csv);
    csv_put(csv, mount->options);
    for (int i = 0; i < count; i++)
        if (string_is(seen[i].device, mount->device)) {
            fprintf(csv, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n", seen[i].size_kb,
                    seen[i].free_kb, seen[i].files, seen[i].files_free);
            return;
        }
    fputs(",,,,\n", csv);
}

long write_mounts(FILE *csv)
{
    static struct seen seen[SEEN_MOST];
    char line[4096];
    struct mount mount;
    int count = look_at_own(seen);
    long rows = 0;
    fputs("mount point,source,type,options,size [KiB],free [KiB],files,files free\n", csv);
    FILE *file = fopen(DEVICE_MOUNTS, "re");
    while (rows < ROWS_MOST && next_line(file, line, sizeof line))
        if (parse_mount(line, &mount)) {
            put_mount(csv, &mount, seen, count);
            rows++;
        }
    if (file != NULL)
        fclose(file);
    return rows;
}

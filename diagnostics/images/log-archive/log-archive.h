/* The last hours of a device's logs: when a line was written, which files there are, what of each is taken.
 */
#ifndef DIAGNOSTICS_IMAGES_LOG_ARCHIVE_H
#define DIAGNOSTICS_IMAGES_LOG_ARCHIVE_H

#include "diagnostics/images/program.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define HEAD_ROOM 160 /* bytes of a line in which its time is looked for */

/* When a line was written, by its first bytes: RFC 3339 and its relatives anywhere in them, "Nov 21 09:00:16"
 * at the start, "21/Nov/2026:09:00:16 +0000" anywhere, Unix seconds at the start. Times without a zone are
 * the device's local ones, a year that is missing is the last that is not after `now`. -1: there is none. */
int64_t stamp_of(const char *head, int64_t now);

struct archive {
    struct program *program;
    FILE *index; /* index.csv: a row per file that was found */
    int64_t now, since;
    int64_t taken_files, taken_bytes, cut_files, left_files;
};

/* A row of the index. `of` < 0: not known. */
void archive_note(struct archive *archive, const char *source, int64_t taken, int64_t of, const char *what);
/* Bytes that the next file may take: half of what is left, so that no file takes all. 0: there is no room. */
int64_t archive_share(const struct archive *archive);
/* A new file below the output's folder, with the folders above it; NULL: noted. */
FILE *archive_open(struct archive *archive, const char *source, const char *to);

/* Takes every file below `folder` into `to`/…, newest first. */
void archive_folder(struct archive *archive, const char *folder, const char *to);
/* Takes one file's last hours; `source` is how it is called in the index. */
void archive_file(struct archive *archive, int fd, const char *source, const char *to);
/* Asks the device's own journalctl for what lies in `folder`. False: there is no journal, or no journalctl.
 */
bool archive_journal(struct archive *archive, const char *folder);

#endif

/* Diagnostic image "log archive": the last hours of the app's log (scope `app-logs`), of the systemd journal
 * and of the files below /var/log (scope `file:/var/log`), as plain text, newest files first while there is
 * room. index.csv tells of every file that was found what was taken and why not more. */
#include "diagnostics/images/log-archive/log-archive.h"

#include "base/clock.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#define INDEX_ROOM (256 << 10)

static void take_all(struct archive *archive)
{
    char journal[PATH_MAX];
    const char *app = getenv("LOCUM_APP_LOGS"), *folder = program_words(archive->program, "folder");
    if (*folder == '\0')
        folder = "/var/log";
    if (app != NULL && *app != '\0')
        archive_folder(archive, app, "app");
    snprintf(journal, sizeof journal, "%s/journal", folder);
    if (!archive_journal(archive, journal))
        program_say(archive->program, "%s: no journal that could be read", journal);
    archive_folder(archive, folder, "files");
}

int main(void)
{
    struct program program;
    char stamp[TIME_TEXT];
    if (!program_begin(&program))
        return 2;
    int64_t hours = program_integer(&program, "hours", 24), now = clock_now();
    struct archive archive = {.program = &program, .now = now, .since = now - hours * 3600};
    archive.index = program_open(&program, "index.csv");
    if (archive.index == NULL)
        return program_end(&program, false);
    int64_t room = program_room(&program);
    program_keep_room(archive.index, room / 8 < INDEX_ROOM ? room / 8 : INDEX_ROOM);
    fputs("source,taken [bytes],of [bytes],what\n", archive.index);
    program_say(&program, "lines since %s, %" PRId64 " hours", time_text(archive.since, stamp), hours);
    take_all(&archive);
    program_close(&program, archive.index, "index.csv");
    program_say(&program,
                "%" PRId64 " files, %" PRId64 " bytes taken, %" PRId64 " of them cut; %" PRId64
                " left, index.csv says why%s",
                archive.taken_files, archive.taken_bytes, archive.cut_files, archive.left_files,
                program_was_asked_to_end() ? "; ended by SIGTERM" : "");
    return program_end(&program, true);
}

/* Diagnostic image "app profile": beside the app, ten times a second its processor time, memory, threads,
 * descriptors, reads and writes as a time series, app.csv, and over the whole run a table of its threads,
 * threads.csv. The app is looked at only: /proc (scope `proc`) and the keeper's figures (scope `app`). */
#include "diagnostics/images/app-profile/app-profile.h"

#include <inttypes.h>
#include <unistd.h>

#define LOOK_EVERY_NS 100000000
#define LOOKS_A_SECOND 10

static struct threads threads;

/* A rate between two looks in `unit`s a second; an empty field when the device does not tell it. */
static void put_rate(FILE *csv, int64_t now, int64_t before, double seconds, double unit)
{
    if (now >= 0 && before >= 0 && now >= before && seconds > 0)
        fprintf(csv, ",%.2f", (double)(now - before) / seconds / unit);
    else
        fputc(',', csv);
}

static void put_value(FILE *csv, int64_t value, double unit)
{
    if (value >= 0)
        fprintf(csv, unit > 1 ? ",%.3f" : ",%.0f", (double)value / unit);
    else
        fputc(',', csv);
}

static void put_row(FILE *csv, const struct look *now, const struct look *before)
{
    double seconds = (double)(now->at_ns - before->at_ns) / 1e9;
    double tick = (double)sysconf(_SC_CLK_TCK) / 100; /* of 100 % of one processor */
    fprintf(csv, "%.3f", now->time);
    put_rate(csv, now->user, before->user, seconds, tick);
    put_rate(csv, now->system, before->system, seconds, tick);
    put_value(csv, now->resident_kb, 1024);
    put_value(csv, now->virtual_kb, 1024);
    put_value(csv, now->swap_kb, 1024);
    put_value(csv, now->threads, 1);
    put_value(csv, now->descriptors, 1);
    put_rate(csv, now->rchar, before->rchar, seconds, 1024);
    put_rate(csv, now->wchar, before->wchar, seconds, 1024);
    put_rate(csv, now->read_bytes, before->read_bytes, seconds, 1024);
    put_rate(csv, now->write_bytes, before->write_bytes, seconds, 1024);
    put_rate(csv, now->calls, before->calls, seconds, 1);
    put_rate(csv, now->major_faults, before->major_faults, seconds, 1);
    fputc('\n', csv);
}

static const char header[] =
    "time,cpu user [%],cpu system [%],resident [MiB],virtual [MiB],swap [MiB],threads [threads],"
    "descriptors [descriptors],read calls [KiB/s],write calls [KiB/s],storage read [KiB/s],"
    "storage write [KiB/s],io calls [1/s],major faults [1/s]\n";

static void say_who(struct program *program, const struct look *now)
{
    if (now->pid == 0)
        program_say(program, "there is no app");
    else
        program_say(program, "the app is process %" PRId64 ", started at tick %" PRId64 " since the boot",
                    now->pid, now->start_time);
}

/* Returns the number of rows; -1 when the output takes no more. */
static long profile(struct program *program, FILE *csv)
{
    struct look before = {.pid = -1}, now;
    long rows = 0;
    int64_t due = program_now_ns();
    for (long n = 0; !program_is_over(program); n++, due += LOOK_EVERY_NS) {
        program_wait_until(due);
        look_take(&now);
        if (now.at_ns - due > LOOK_EVERY_NS / 2)
            due = now.at_ns; /* what was missed on a busy device is not made up for */
        bool same = now.pid == before.pid && now.start_time == before.start_time;
        if (!same)
            say_who(program, &now);
        if (now.pid > 0 && n % LOOKS_A_SECOND == 0)
            threads_look(&threads, now.pid);
        if (now.pid > 0 && same) {
            put_row(csv, &now, &before);
            rows++;
        }
        if ((n % LOOKS_A_SECOND == 0 && fflush(csv) != 0) || ferror(csv))
            return -1;
        before = now;
    }
    if (before.pid > 0)
        threads_look(&threads, before.pid);
    return rows;
}

int main(void)
{
    struct program program;
    if (!program_begin(&program))
        return 2;
    /* The table is small and made at the end: it has its room before the series takes all. */
    FILE *table = program_open(&program, "threads.csv");
    FILE *csv = program_open(&program, "app.csv");
    long rows = -1;
    if (csv != NULL && table != NULL) {
        program_keep_room(table, (int64_t)THREADS_MOST * 128);
        fputs(header, csv);
        rows = profile(&program, csv);
        threads_write(&threads, table);
    }
    program_close(&program, csv, "app.csv");
    program_close(&program, table, "threads.csv");
    if (rows >= 0)
        program_say(&program, "%ld rows, %d threads%s, %s", rows, threads.count,
                    threads.more ? " and more that are not in the table" : "",
                    program_was_asked_to_end() ? "ended by SIGTERM" : "done");
    return program_end(&program, rows >= 0);
}

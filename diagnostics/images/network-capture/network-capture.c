/* link: -lpcap -Wl,--wrap=getaddrinfo,--wrap=freeaddrinfo,--wrap=gethostbyname */
/* link: -Wl,--wrap=getnetbyname_r,--wrap=getprotobyname_r,--wrap=ether_hostton */

/* Diagnostic image "network capture": packets of the device's network that pass a filter (pcap-filter(7)), as
 * capture.pcap for any program that reads pcap, with a time series of how many there were, traffic.csv, and a
 * summary in run.log. Ends by itself when the output is full; with the parameter `rotate` it keeps the newest
 * packets instead, in two files of which the older gives way. */
#include "diagnostics/images/network-capture/network-capture.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#define RING_BYTES (8 << 20) /* between the kernel and us */
#define BLOCK_MS 100         /* longest that a packet waits in there */
#define SPARE_BYTES 8192     /* of the output: files fill whole pages */
#define SERIES_ROOM (64 << 10)
#define PACKET_HEADER 16 /* bytes before each packet in the file: struct pcap_sf_pkthdr */
#define FILE_HEADER 24

static const char now_name[] = "capture.pcap", before_name[] = "capture-before.pcap";

struct capture {
    struct program *program;
    pcap_t *handle;
    pcap_dumper_t *file; /* NULL: it could not be opened again */
    FILE *series;
    bool rotate, full;
    int64_t most, held;                /* bytes of one file, at most and so far */
    int64_t packets, bytes, kept, cut; /* seen; on the wire; in a file; longer than the snap length */
    int64_t second_packets, second_bytes, next_row_ns;
    int turns; /* how often a file gave way */
    struct timeval first, last;
};

/* --- the file ----------------------------------------------------------------------------------------------
 */

static bool open_file(struct capture *capture)
{
    FILE *file = program_open(capture->program, now_name);
    if (file == NULL)
        return false;
    capture->file = pcap_dump_fopen(capture->handle, file);
    if (capture->file == NULL) {
        fclose(file);
        program_say(capture->program, "%s: %s", now_name, pcap_geterr(capture->handle));
        return false;
    }
    capture->held = FILE_HEADER;
    return true;
}

static void close_file(struct capture *capture)
{
    if (capture->file == NULL)
        return;
    if (pcap_dump_flush(capture->file) != 0) {
        program_say(capture->program, "%s is cut: the output is full", now_name);
        capture->program->cut = true;
    }
    pcap_dump_close(capture->file);
    capture->file = NULL;
}

static bool turn_file(struct capture *capture)
{
    char from[PATH_MAX], to[PATH_MAX];
    close_file(capture);
    snprintf(from, sizeof from, "%s/%s", capture->program->output, now_name);
    snprintf(to, sizeof to, "%s/%s", capture->program->output, before_name);
    if (rename(from, to) != 0) {
        program_say(capture->program, "%s cannot give way: %s", now_name, strerror(errno));
        return false;
    }
    capture->turns++;
    return open_file(capture);
}

static void take_packet(u_char *context, const struct pcap_pkthdr *header, const u_char *bytes)
{
    struct capture *capture = (struct capture *)context;
    int64_t size = PACKET_HEADER + (int64_t)header->caplen;
    if (capture->full)
        return;
    if (capture->held + size > capture->most && (!capture->rotate || !turn_file(capture))) {
        capture->full = true;
        return;
    }
    if (capture->packets++ == 0)
        capture->first = header->ts;
    capture->last = header->ts;
    capture->bytes += header->len;
    capture->second_packets++;
    capture->second_bytes += header->len;
    capture->cut += header->caplen < header->len;
    pcap_dump((u_char *)capture->file, header, bytes);
    capture->held += size;
    capture->kept++;
}

/* --- the interface -----------------------------------------------------------------------------------------
 */

static void say_interfaces(struct program *program)
{
    char reason[PCAP_ERRBUF_SIZE], names[512] = "";
    pcap_if_t *all = NULL;
    if (pcap_findalldevs(&all, reason) != 0)
        return;
    for (const pcap_if_t *one = all; one != NULL; one = one->next) {
        size_t used = strlen(names);
        if (one->flags & PCAP_IF_UP || strcmp(one->name, "any") == 0)
            snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", one->name);
    }
    program_say(program, "interfaces that are up: %s", names);
    pcap_freealldevs(all);
}

static pcap_t *open_interface(struct program *program, const char *name)
{
    char reason[PCAP_ERRBUF_SIZE];
    pcap_t *handle = pcap_create(name, reason);
    if (handle == NULL) {
        program_say(program, "the interface %s cannot be opened: %s", name, reason);
        return NULL;
    }
    pcap_set_snaplen(handle, (int)program_integer(program, "snaplen", 256));
    pcap_set_timeout(handle, BLOCK_MS);
    pcap_set_buffer_size(handle, RING_BYTES);
    int result = pcap_activate(handle);
    if (result >= 0 && pcap_setnonblock(handle, 1, reason) == 0)
        return handle;
    const char *why = result < 0 ? pcap_geterr(handle) : reason;
    program_say(program, "the interface %s cannot be opened: %s", name,
                *why != '\0' ? why : pcap_statustostr(result));
    if (result == PCAP_ERROR_NO_SUCH_DEVICE || result == PCAP_ERROR_IFACE_NOT_UP)
        say_interfaces(program);
    pcap_close(handle);
    return NULL;
}

static bool set_filter(struct program *program, pcap_t *handle, const char *filter)
{
    struct bpf_program code;
    if (pcap_compile(handle, &code, filter, 1, PCAP_NETMASK_UNKNOWN) != 0) {
        program_say(program, "the filter \"%s\" is wrong: %s", filter, pcap_geterr(handle));
        return false;
    }
    bool good = pcap_setfilter(handle, &code) == 0;
    if (!good)
        program_say(program, "the filter \"%s\" cannot be set: %s", filter, pcap_geterr(handle));
    pcap_freecode(&code);
    return good;
}

/* --- the run -----------------------------------------------------------------------------------------------
 */

static void write_row(struct capture *capture)
{
    fprintf(capture->series, "%.3f,%" PRId64 ",%.2f\n", program_time(), capture->second_packets,
            (double)capture->second_bytes / 1024);
    capture->second_packets = capture->second_bytes = 0;
    capture->next_row_ns += 1000000000;
    fflush(capture->series);
    if (capture->file != NULL)
        pcap_dump_flush(capture->file);
}

/* Everything that is there already; false when the interface is gone. */
static bool take_packets(struct capture *capture)
{
    int got;
    while ((got = pcap_dispatch(capture->handle, 1000, take_packet, (u_char *)capture)) > 0 &&
           !capture->full && program_now_ns() < capture->next_row_ns)
        ;
    if (got >= 0 || got == PCAP_ERROR_BREAK)
        return true;
    program_say(capture->program, "no more packets: %s", pcap_geterr(capture->handle));
    return false;
}

static bool take_all(struct capture *capture)
{
    struct pollfd ready = {.fd = pcap_get_selectable_fd(capture->handle), .events = POLLIN};
    bool good = true;
    capture->next_row_ns = program_now_ns() + 1000000000;
    while (good && !capture->full && !program_is_over(capture->program)) {
        (void)poll(&ready, 1, BLOCK_MS);
        good = take_packets(capture);
        if (program_now_ns() >= capture->next_row_ns)
            write_row(capture);
    }
    /* What the kernel still holds back is handed over within its block's time. */
    if (good && !capture->full && poll(&ready, 1, 2 * BLOCK_MS) > 0)
        good = take_packets(capture);
    write_row(capture);
    return good;
}

static void say_summary(struct capture *capture)
{
    struct program *program = capture->program;
    struct pcap_stat stats = {0};
    char first[TIME_TEXT], last[TIME_TEXT];
    program_say(program,
                "%" PRId64 " packets, %" PRId64 " bytes on the wire; %" PRId64 " longer than the snap length",
                capture->packets, capture->bytes, capture->cut);
    if (capture->packets > 0)
        program_say(program, "the first at %s, the last at %s", time_text(capture->first.tv_sec, first),
                    time_text(capture->last.tv_sec, last));
    if (pcap_stats(capture->handle, &stats) == 0)
        program_say(program, "%u packets were lost, since they came faster than they could be written",
                    stats.ps_drop);
    if (capture->turns > 0)
        program_say(program, "older packets gave way %d times: the newest are in %s, those before them in %s",
                    capture->turns, now_name, before_name);
    if (capture->full)
        program_say(program, "stopped before the end: the output is full (%" PRId64 " bytes)", capture->held);
    else
        program_say(program, program_was_asked_to_end() ? "ended by SIGTERM" : "done");
}

/* What may be written, once the files beside have their room. */
static void share_room(struct capture *capture)
{
    int64_t room = program_room(capture->program);
    program_keep_room(capture->series, room / 8 < SERIES_ROOM ? room / 8 : SERIES_ROOM);
    int64_t most = program_room(capture->program) - SPARE_BYTES;
    capture->most = capture->rotate ? most / 2 : most;
}

static bool run(struct capture *capture)
{
    struct program *program = capture->program;
    const char *interface = program_words(program, "interface"), *filter = program_words(program, "filter");
    if (*interface == '\0')
        interface = "any";
    capture->rotate = program_flag(program, "rotate", false);
    capture->handle = open_interface(program, interface);
    if (capture->handle == NULL || !set_filter(program, capture->handle, filter))
        return false;
    capture->series = program_open(program, "traffic.csv");
    if (capture->series == NULL)
        return false;
    share_room(capture);
    fputs("time,packets [1/s],traffic [KiB/s]\n", capture->series);
    if (!open_file(capture))
        return false;
    program_say(program, "interface %s, filter \"%s\", %d bytes of each packet, %s", interface, filter,
                pcap_snapshot(capture->handle), pcap_datalink_val_to_name(pcap_datalink(capture->handle)));
    bool good = take_all(capture);
    close_file(capture);
    say_summary(capture);
    return good;
}

int main(void)
{
    struct program program;
    if (!program_begin(&program))
        return 2;
    struct capture capture = {.program = &program};
    bool good = run(&capture);
    if (capture.series != NULL)
        program_close(&program, capture.series, "traffic.csv");
    if (capture.handle != NULL)
        pcap_close(capture.handle);
    return program_end(&program, good);
}

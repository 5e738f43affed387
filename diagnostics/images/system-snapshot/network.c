#include "diagnostics/images/program.h"
#include "diagnostics/images/system-snapshot/parts.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#define NAME_ROOM 64 /* of an interface: the kernel's have 15 characters */

long write_interfaces(FILE *csv)
{
    char line[512], name[NAME_ROOM];
    uint64_t v[8];
    long rows = 0;
    fputs("name,received [bytes],received [packets],receive errors,receive drops,sent [bytes],sent [packets],"
          "send errors,send drops\n",
          csv);
    FILE *file = fopen(DEVICE_NET "dev", "re");
    while (rows < ROWS_MOST && next_line(file, line, sizeof line)) {
        if (sscanf(line,
                   " %63[^:]: %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %*u %*u %*u %" SCNu64
                   " %" SCNu64 " %" SCNu64 " %" SCNu64,
                   name, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) != 9)
            continue;
        csv_put(csv, name);
        for (int i = 0; i < 8; i++)
            fprintf(csv, ",%" PRIu64, v[i]);
        fputc('\n', csv);
        rows++;
    }
    if (file != NULL)
        fclose(file);
    return rows;
}

/* --- addresses ---------------------------------------------------------------------------------------------
 */

/* A row of /proc/net/route: numbers in the byte order of the network, shown as the machine's. */
struct route {
    char interface[NAME_ROOM];
    uint32_t target, gateway, mask;
    unsigned flags, metric;
};

static bool parse_route(const char *line, struct route *route)
{
    return sscanf(line, "%63s %" SCNx32 " %" SCNx32 " %x %*d %*d %u %" SCNx32, route->interface,
                  &route->target, &route->gateway, &route->flags, &route->metric, &route->mask) == 6;
}

/* The list of local addresses does not name interfaces: the narrowest network that is directly connected and
 * has the address tells. */
static void interface_of(uint32_t address, char name[NAME_ROOM])
{
    char line[512];
    struct route route;
    uint32_t narrowest = 0;
    snprintf(name, NAME_ROOM, "%s", (ntohl(address) >> 24) == 127 ? "lo" : "");
    FILE *file = fopen(DEVICE_NET "route", "re");
    while (next_line(file, line, sizeof line))
        if (parse_route(line, &route) && route.gateway == 0 && (address & route.mask) == route.target &&
            ntohl(route.mask) > narrowest) {
            narrowest = ntohl(route.mask);
            memcpy(name, route.interface, NAME_ROOM);
        }
    if (file != NULL)
        fclose(file);
}

#define ADDRESSES_MOST 1024

/* fib_trie lists what is ours in each of its tables: "|-- 192.0.2.2" and on the next line "/32 host LOCAL".
 */
static long write_addresses_4(FILE *csv)
{
    static uint32_t known[ADDRESSES_MOST];
    char line[256], text[INET_ADDRSTRLEN] = "", found[INET_ADDRSTRLEN], name[NAME_ROOM];
    struct in_addr address;
    long rows = 0;
    FILE *file = fopen(DEVICE_NET "fib_trie", "re");
    while (rows < ADDRESSES_MOST && next_line(file, line, sizeof line)) {
        if (sscanf(line, " |-- %15s", found) == 1)
            memcpy(text, found, sizeof text);
        if (strstr(line, "/32 host LOCAL") == NULL || inet_pton(AF_INET, text, &address) != 1)
            continue;
        long i = 0;
        while (i < rows && known[i] != address.s_addr)
            i++;
        if (i < rows)
            continue;
        known[rows++] = address.s_addr;
        interface_of(address.s_addr, name);
        csv_put(csv, name);
        fprintf(csv, ",%s\n", text);
    }
    if (file != NULL)
        fclose(file);
    return rows;
}

/* 32 hexadecimal digits, as in if_inet6 and ipv6_route. */
static bool address_6(const char *digits, char out[INET6_ADDRSTRLEN])
{
    uint8_t bytes[16];
    return strlen(digits) == 32 && hex_decode(bytes, sizeof bytes, digits) &&
           inet_ntop(AF_INET6, bytes, out, INET6_ADDRSTRLEN) != NULL;
}

static long write_addresses_6(FILE *csv)
{
    char line[256], digits[40], name[NAME_ROOM], text[INET6_ADDRSTRLEN];
    unsigned prefix;
    long rows = 0;
    FILE *file = fopen(DEVICE_NET "if_inet6", "re");
    while (rows < ROWS_MOST && next_line(file, line, sizeof line))
        if (sscanf(line, "%39s %*x %x %*x %*x %63s", digits, &prefix, name) == 3 && address_6(digits, text)) {
            csv_put(csv, name);
            fprintf(csv, ",%s/%u\n", text, prefix);
            rows++;
        }
    if (file != NULL)
        fclose(file);
    return rows;
}

long write_addresses(FILE *csv)
{
    fputs("interface,address\n", csv);
    long rows = write_addresses_4(csv);
    return rows + write_addresses_6(csv);
}

/* --- routes ------------------------------------------------------------------------------------------------
 */

static int bits_of(uint32_t mask)
{
    return __builtin_popcount(mask);
}

static long write_routes_4(FILE *csv)
{
    char line[512], target[INET_ADDRSTRLEN], gateway[INET_ADDRSTRLEN];
    struct route route;
    long rows = 0;
    FILE *file = fopen(DEVICE_NET "route", "re");
    while (rows < ROWS_MOST && next_line(file, line, sizeof line)) {
        if (!parse_route(line, &route))
            continue;
        inet_ntop(AF_INET, &route.target, target, sizeof target);
        inet_ntop(AF_INET, &route.gateway, gateway, sizeof gateway);
        fprintf(csv, "%s/%d,%s,", target, bits_of(route.mask), route.gateway != 0 ? gateway : "");
        csv_put(csv, route.interface);
        fprintf(csv, ",%u\n", route.metric);
        rows++;
    }
    if (file != NULL)
        fclose(file);
    return rows;
}

static long write_routes_6(FILE *csv)
{
    char line[512], to[40], via[40], name[NAME_ROOM], target[INET6_ADDRSTRLEN], gateway[INET6_ADDRSTRLEN];
    unsigned prefix, metric;
    long rows = 0;
    FILE *file = fopen(DEVICE_NET "ipv6_route", "re");
    while (rows < ROWS_MOST && next_line(file, line, sizeof line)) {
        if (sscanf(line, "%39s %x %*s %*x %39s %x %*x %*x %*x %63s", to, &prefix, via, &metric, name) != 5 ||
            !address_6(to, target) || !address_6(via, gateway))
            continue;
        fprintf(csv, "%s/%u,%s,", target, prefix, string_is(gateway, "::") ? "" : gateway);
        csv_put(csv, name);
        fprintf(csv, ",%u\n", metric);
        rows++;
    }
    if (file != NULL)
        fclose(file);
    return rows;
}

long write_routes(FILE *csv)
{
    fputs("network,gateway,interface,metric\n", csv);
    long rows = write_routes_4(csv);
    return rows + write_routes_6(csv);
}

/* --- sockets -----------------------------------------------------------------------------------------------
 */

/* include/net/tcp_states.h of the kernel. Others than TCP use 1 and 7 only: connected or not. */
static const char *const tcp_states[] = {"",           "established", "syn sent",  "syn received",
                                         "fin wait 1", "fin wait 2",  "time wait", "close",
                                         "close wait", "last ack",    "listen",    "closing"};

static const char *state_of(const char *protocol, unsigned state)
{
    if (!string_starts(protocol, "tcp"))
        return state == 1 ? "connected" : "";
    return state < sizeof tcp_states / sizeof tcp_states[0] ? tcp_states[state] : "";
}

/* "0100007F:1F90": words in the machine's order, each of four bytes in the network's; the port is a number.
 */
static bool put_end(FILE *csv, const char *end)
{
    char digits[40], text[INET6_ADDRSTRLEN];
    uint32_t words[4];
    unsigned port;
    if (sscanf(end, "%39[0-9A-F]:%x", digits, &port) != 2 || (strlen(digits) != 8 && strlen(digits) != 32))
        return false;
    int count = strlen(digits) == 8 ? 1 : 4;
    for (int i = 0; i < count; i++)
        (void)sscanf(digits + (ptrdiff_t)8 * i, "%8" SCNx32, &words[i]);
    if (inet_ntop(count == 1 ? AF_INET : AF_INET6, words, text, sizeof text) == NULL)
        return false;
    fprintf(csv, count == 1 ? ",%s:%u" : ",[%s]:%u", text, port);
    return true;
}

static long write_sockets_of(FILE *csv, const char *protocol, long room)
{
    char path[64], line[512], local[64], remote[64];
    unsigned state;
    uint64_t sending, waiting, uid;
    long rows = 0;
    snprintf(path, sizeof path, DEVICE_NET "%s", protocol);
    FILE *file = fopen(path, "re");
    while (rows < room && next_line(file, line, sizeof line)) {
        if (sscanf(line, " %*d: %63s %63s %x %" SCNx64 ":%" SCNx64 " %*x:%*x %*x %" SCNu64, local, remote,
                   &state, &sending, &waiting, &uid) != 6)
            continue;
        fputs(protocol, csv);
        if (!put_end(csv, local) || !put_end(csv, remote))
            fputs(",", csv);
        fprintf(csv, ",%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n", state_of(protocol, state), sending, waiting,
                uid);
        rows++;
    }
    if (file != NULL)
        fclose(file);
    return rows;
}

/* "ffff…: 00000002 00000000 00010000 0001 01 12345 /run/thing.sock"; state 1 is unconnected, 3 connected. */
static long write_sockets_unix(FILE *csv, long room)
{
    char line[512], path[256];
    unsigned flags, state;
    long rows = 0;
    FILE *file = fopen(DEVICE_NET "unix", "re");
    while (rows < room && next_line(file, line, sizeof line)) {
        path[0] = '\0';
        if (sscanf(line, "%*x: %*x %*x %x %*x %x %*u %255[^\n]", &flags, &state, path) < 2)
            continue;
        fputs("unix,", csv);
        csv_put(csv, path);
        fprintf(csv, ",,%s,,,\n", flags & 0x10000 ? "listen" : state == 3 ? "connected" : "");
        rows++;
    }
    if (file != NULL)
        fclose(file);
    return rows;
}

long write_sockets(FILE *csv)
{
    static const char *const protocols[] = {"tcp", "tcp6", "udp", "udp6", "raw", "raw6"};
    long rows = 0;
    fputs("protocol,local,remote,state,to send [bytes],to read [bytes],uid\n", csv);
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++)
        rows += write_sockets_of(csv, protocols[i], ROWS_MOST - rows);
    return rows + write_sockets_unix(csv, ROWS_MOST - rows);
}

/* libpcap for a program that is linked statically and runs on any device. */
#ifndef DIAGNOSTICS_IMAGES_NETWORK_CAPTURE_H
#define DIAGNOSTICS_IMAGES_NETWORK_CAPTURE_H

#include "base/clock.h"
#include "diagnostics/images/program.h"

#include <netdb.h>
#include <netinet/ether.h>
#include <pcap/pcap.h>

/* libpcap asks these for the packets of D-Bus, and for names in a filter. Ours say that there is no bus, and
 * take numbers only: glibc would load libraries of the device's own glibc for names, which need not be the
 * one that this program is built with (see alone.c). */
pcap_t *dbus_create(const char *device, char *reason, int *is_ours);
int dbus_findalldevs(void *list, char *reason);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list);
void __wrap_freeaddrinfo(struct addrinfo *list);
struct hostent *__wrap_gethostbyname(const char *name);
int __wrap_getnetbyname_r(const char *name, struct netent *room, char *bytes, size_t size,
                          struct netent **found, int *reason);
int __wrap_getprotobyname_r(const char *name, struct protoent *room, char *bytes, size_t size,
                            struct protoent **found);
int __wrap_ether_hostton(const char *name, struct ether_addr *address);

#endif

#include "diagnostics/images/network-capture/network-capture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

pcap_t *dbus_create(const char *device, char *reason, int *is_ours)
{
    (void)device;
    (void)reason;
    *is_ours = 0;
    return NULL;
}

int dbus_findalldevs(void *list, char *reason)
{
    (void)list;
    (void)reason;
    return 0;
}

/* An address and where it lies, in one piece. */
struct number {
    struct addrinfo info;
    union {
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
};

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list)
{
    struct in_addr v4;
    struct in6_addr v6;
    bool is_v4 = node != NULL && inet_pton(AF_INET, node, &v4) == 1;
    int family = hints != NULL ? hints->ai_family : AF_UNSPEC;
    if (service != NULL || node == NULL || (!is_v4 && inet_pton(AF_INET6, node, &v6) != 1) ||
        (family != AF_UNSPEC && family != (is_v4 ? AF_INET : AF_INET6)))
        return EAI_NONAME;
    struct number *number = calloc(1, sizeof *number);
    if (number == NULL)
        return EAI_MEMORY;
    number->info.ai_family = is_v4 ? AF_INET : AF_INET6;
    number->info.ai_addr = (struct sockaddr *)&number->address;
    number->info.ai_addrlen = is_v4 ? sizeof number->address.v4 : sizeof number->address.v6;
    if (is_v4)
        number->address.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = v4};
    else
        number->address.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = v6};
    *list = &number->info;
    return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    free(list); /* the first member of its struct number */
}

struct hostent *__wrap_gethostbyname(const char *name)
{
    (void)name;
    return NULL;
}

int __wrap_getnetbyname_r(const char *name, struct netent *room, char *bytes, size_t size,
                          struct netent **found, int *reason)
{
    (void)name, (void)room, (void)bytes, (void)size;
    *found = NULL;
    *reason = HOST_NOT_FOUND;
    return ENOENT;
}

int __wrap_getprotobyname_r(const char *name, struct protoent *room, char *bytes, size_t size,
                            struct protoent **found)
{
    (void)name, (void)room, (void)bytes, (void)size;
    *found = NULL;
    return ENOENT;
}

int __wrap_ether_hostton(const char *name, struct ether_addr *address)
{
    (void)name, (void)address;
    return -1;
}

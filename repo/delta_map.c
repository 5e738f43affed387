#include "repo/delta_map.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* A SIGBUS comes to the thread that read, and finds its maps here. */
static _Thread_local struct delta_map *maps;
static struct sigaction before;

static bool covers(const struct delta_map *map, uintptr_t address)
{
    return address - (uintptr_t)map->bytes < (uintptr_t)map->length;
}

/* All of it at once: page by page would take a mapping for each. Only calls that a signal may make. */
static void on_bus(int number, siginfo_t *info, void *context)
{
    int kept = errno;

    (void)context;
    for (struct delta_map *map = maps; map && info->si_code > 0; map = map->next) {
        void *place = (void *)(uintptr_t)map->bytes;

        if (covers(map, (uintptr_t)info->si_addr) &&
            mmap(place, (size_t)map->length, PROT_READ,
                 MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == place) {
            map->lost = 1;
            errno = kept;
            return;
        }
    }
    /* None of ours: what it would have done without us. A fault comes again by itself. */
    sigaction(number, &before, NULL);
    if (info->si_code <= 0)
        raise(number);
    errno = kept;
}

/* Each time: somebody else may have taken the signal since. */
static void guard(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_ONSTACK}, now;

    pthread_mutex_lock(&lock);
    if (sigaction(SIGBUS, NULL, &now) == 0 && now.sa_sigaction != on_bus) {
        before = now;
        sigaction(SIGBUS, &action, NULL);
    }
    pthread_mutex_unlock(&lock);
}

bool delta_map_open(struct delta_map *map, int fd, struct error *err)
{
    struct stat file;

    if (fstat(fd, &file) < 0)
        return error_errno(err, "reading a file's length");
    *map = (struct delta_map){.bytes = (const uint8_t *)"", .length = file.st_size, .fd = fd};
    if (map->length) {
        void *bytes = mmap(NULL, (size_t)map->length, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            return error_errno(err, "mapping a file");
        map->bytes = bytes;
    }
    guard();
    map->next = maps;
    maps = map;
    atomic_signal_fence(memory_order_seq_cst); /* the handler finds it at the first read */
    return true;
}

bool delta_map_holds(const struct delta_map *map, struct error *err)
{
    struct stat file;

    /* The rest of a page that is cut off reads as 0 without a signal. */
    if (map->lost || fstat(map->fd, &file) < 0 || file.st_size != map->length)
        return error_set(err, ERROR_SYSTEM, "an object's file was cut off, or cannot be read");
    return true;
}

void delta_map_close(struct delta_map *map)
{
    struct delta_map **at = &maps;

    while (*at != map)
        at = &(*at)->next;
    *at = map->next;
    atomic_signal_fence(memory_order_seq_cst);
    if (map->length)
        munmap((void *)(uintptr_t)map->bytes, (size_t)map->length);
}

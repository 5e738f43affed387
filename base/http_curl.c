#include "base/http_curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define LIBRARY "libcurl.so.4" /* of all versions since 2006: curl keeps its interface */

static struct curl curl;
static bool loaded;
static struct error why_not;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define NAMED(name)                                                                                          \
    {                                                                                                        \
        "curl_" #name, offsetof(struct curl, name)                                                           \
    }
static const struct {
    const char *name;
    size_t place;
} functions[] = {
    NAMED(global_init),   NAMED(easy_init),        NAMED(easy_cleanup),   NAMED(easy_reset),
    NAMED(easy_setopt),   NAMED(easy_getinfo),     NAMED(easy_strerror),  NAMED(multi_init),
    NAMED(multi_cleanup), NAMED(multi_add_handle), NAMED(multi_perform),  NAMED(multi_remove_handle),
    NAMED(multi_poll),    NAMED(multi_info_read),  NAMED(share_init),     NAMED(share_cleanup),
    NAMED(share_setopt),  NAMED(slist_append),     NAMED(slist_free_all),
};

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* for good: it is never closed */

    for (size_t i = 0; library && i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(library, functions[i].name);

        if (!function)
            library = NULL;
        else
            memcpy((char *)&curl + functions[i].place, &function, sizeof function);
    }
    if (!library)
        error_set(&why_not, ERROR_SYSTEM, "the HTTP client cannot be loaded: %s", dlerror());
    else if (curl.global_init(CURL_GLOBAL_DEFAULT) != 0)
        error_set(&why_not, ERROR_SYSTEM, "the HTTP client cannot be started");
    else
        loaded = true;
}

const struct curl *curl_load(struct error *err)
{
    pthread_once(&once, load);
    if (loaded)
        return &curl;
    *err = why_not;
    return NULL;
}

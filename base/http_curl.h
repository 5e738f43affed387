/* libcurl, loaded when the first connection is opened and not when a program starts: it brings some thirty
 * libraries with it, which cost each process 0.7 MiB of its own memory and which the agent's keeper, that
 * must outlive everything, has no need of. For http.c alone. */
#ifndef BASE_HTTP_CURL_H
#define BASE_HTTP_CURL_H

#include "base/error.h"

#include <curl/curl.h>

/* The functions that http.c calls, with libcurl's own types. Those with variable arguments are not checked by
 * curl's macros here: an option's value must have the very type that its manual page names. */
struct curl {
    __typeof__(curl_global_init) *global_init;
    __typeof__(curl_easy_init) *easy_init;
    __typeof__(curl_easy_cleanup) *easy_cleanup;
    __typeof__(curl_easy_reset) *easy_reset;
    CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
    __typeof__(curl_easy_strerror) *easy_strerror;
    __typeof__(curl_multi_init) *multi_init;
    __typeof__(curl_multi_cleanup) *multi_cleanup;
    __typeof__(curl_multi_add_handle) *multi_add_handle;
    __typeof__(curl_multi_remove_handle) *multi_remove_handle;
    __typeof__(curl_multi_perform) *multi_perform;
    __typeof__(curl_multi_poll) *multi_poll;
    __typeof__(curl_multi_info_read) *multi_info_read;
    __typeof__(curl_share_init) *share_init;
    __typeof__(curl_share_cleanup) *share_cleanup;
    CURLSHcode (*share_setopt)(CURLSH *share, CURLSHoption option, ...);
    __typeof__(curl_slist_append) *slist_append;
    __typeof__(curl_slist_free_all) *slist_free_all;
};

/* Loaded and initialised, once; from any thread. NULL and SYSTEM where it is not on this machine. */
const struct curl *curl_load(struct error *err);

#endif

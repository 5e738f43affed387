/* A machine without libcurl: a sentence, and what else the program does goes on. */
/* link: -Wl,--wrap=dlopen */
#include "base/http.h"

#include "test/base/scratch.h"

#include <string.h>

void *__real_dlopen(const char *name, int how);
void *__wrap_dlopen(const char *name, int how);
void *__wrap_dlopen(const char *name, int how)
{
    return __real_dlopen(strstr(name, "libcurl") ? "libnowhere.so.4" : name, how);
}

static void without_libcurl_no_connection_is_opened_and_the_reason_told(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        struct error err = {0};

        assert_null(http_open(&(struct http_options){.base_url = "https://localhost:1"}, &err));
        assert_int_equal(err.kind, ERROR_SYSTEM);
        assert_non_null(strstr(err.text, "libnowhere.so.4"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_libcurl_no_connection_is_opened_and_the_reason_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A temporary folder for one test, and a short way to say that something must have worked. */
#ifndef TEST_BASE_SCRATCH_H
#define TEST_BASE_SCRATCH_H

#include "base/error.h"
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct scratch {
    char path[64];
    int fd;
};
void scratch_make(struct scratch *scratch);
void scratch_remove(struct scratch *scratch);
/* `SCRATCH(name);` is gone at the end of the scope. */
#define SCRATCH(name)                                                                                        \
    __attribute__((cleanup(scratch_remove))) struct scratch name;                                            \
    scratch_make(&name)

/* The number of names in a folder below the scratch folder ("." for itself). */
int scratch_count(const struct scratch *scratch, const char *path);

#define assert_ok(call, err)                                                                                 \
    do {                                                                                                     \
        if (!(call))                                                                                         \
            fail_msg("%s: %s", #call, (err).text);                                                           \
    } while (0)
#define assert_refused(call, err, wanted)                                                                    \
    do {                                                                                                     \
        (err) = (struct error){0};                                                                           \
        if (call)                                                                                            \
            fail_msg("%s: was not refused", #call);                                                          \
        if ((err).kind != (wanted))                                                                          \
            fail_msg("%s: %s: %s", #call, error_kind_name((err).kind), (err).text);                          \
    } while (0)

#endif

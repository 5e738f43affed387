/* A bench goes on only with what worked. */
#ifndef TEST_BENCH_MUST_H
#define TEST_BENCH_MUST_H

#include <stdio.h>
#include <stdlib.h>

#define MUST(call, err)                                                                                      \
    do {                                                                                                     \
        if (!(call)) {                                                                                       \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, (err).text);                       \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

#endif

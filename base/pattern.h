/* Whether a POSIX extended regular expression from outside may be compiled at all.
 *
 * The C library's compiler writes each repetition out: "a{9}" is nine nodes, "x+" is "xx*", and a group takes
 * its repetitions with it, so that thirty nested "(…)+" want a thousand million nodes and take the process
 * with them; "((a*){9}){9}" has as many ways through it. */
#ifndef BASE_PATTERN_H
#define BASE_PATTERN_H

#include "base/error.h"

#include <stdbool.h>

#define PATTERN_COST_MOST 320 /* nodes once everything is written out */
#define PATTERN_NEST_MOST                                                                                    \
    2 /* "(a+b)+" is two; each further one may double the ways through what is empty                         \
       */

/* INPUT with the pattern when it is too large written out, or has back references, which the matcher tries in
 * every way. Says nothing about its grammar: that is regcomp's to judge. */
bool pattern_check(const char *pattern, struct error *err);

#endif

/* The grammar of RFC 8259, checked without memory before anything is built. For json.c only. */
#ifndef BASE_JSON_CHECK_H
#define BASE_JSON_CHECK_H

#include "base/json.h"

/* True when `bytes` hold exactly one strict JSON value within `limits`; `values` is then the number of
 * tokens: every value and every name. Names that stand twice are left to the builder. */
bool json_check(const char *bytes, size_t size, const struct json_limits *limits, size_t *values,
                struct error *err);

#endif

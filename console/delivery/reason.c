#include "console/delivery/reason.h"

#include "base/text.h"

#include <string.h>

bool reason_check(const char *reason, struct error *err)
{
    if (!reason || !reason[strspn(reason, " ")])
        return error_set(err, ERROR_INPUT, "a reason is needed");
    if (strlen(reason) > REASON_BYTES)
        return error_set(err, ERROR_INPUT, "a reason has at most %d bytes", REASON_BYTES);
    for (const char *at = reason; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return error_set(err, ERROR_INPUT, "a reason is one line without control characters");
    return utf8_is_valid(reason, strlen(reason)) || error_set(err, ERROR_INPUT, "a reason is UTF-8");
}

/* Why a person did something: one line for the audit, git's history and the pages. */
#ifndef CONSOLE_DELIVERY_REASON_H
#define CONSOLE_DELIVERY_REASON_H

#include "base/error.h"

#define REASON_BYTES 500

/* INPUT unless it is one line of UTF-8 that says something. NULL and "" are refused as missing. */
bool reason_check(const char *reason, struct error *err);

#endif

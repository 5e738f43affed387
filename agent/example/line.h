/* The little JSON that an app needs to talk with the agent: strings of a flat object on one line. */
#ifndef EXAMPLE_LINE_H
#define EXAMPLE_LINE_H

#include <stdbool.h>
#include <stddef.h>

/* The string member `name` of the object on the line, unescaped. False when it is missing, no string, or does
 * not fit. */
bool line_string(const char *line, const char *name, char *out, size_t room);
/* `text` as a JSON string with its quotes, cut to fit; returns `out`. */
const char *line_quote(char *out, size_t room, const char *text);

#endif

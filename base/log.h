/* One event, one line of key=value on standard error, written once, where the event ends. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Lines above this level are dropped. Start: LOG_INFO. Set once, before threads. */
extern enum log_level log_level;

/* Writes `time=<RFC 3339> level=<l> event=<event> <rest>` with one write(2). `rest` is printf-formatted
 * key=value pairs; values with spaces or quotes are the caller's to pass through log_quote. Control
 * characters become '?'. */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Quotes `value` for a log line into `out` (cut when too long) and returns `out`. */
const char *log_quote(char *out, unsigned size, const char *value);

#endif

/* Reports that must arrive: one file each until the console has answered. PROTOCOL.md "Reports".
 *
 * Any thread may add; one thread sends. A report that is added twice with the same id is one. */
#ifndef AGENT_OUTBOX_H
#define AGENT_OUTBOX_H

#include "agent/session.h"
#include "base/json.h"

#include <pthread.h>

#define REPORT_ID_SIZE 33
#define OUTBOX_MOST 4096 /* reports; the oldest of type "app" go first, then the oldest of all */

struct outbox {
    int fd; /* of the folder */
    pthread_mutex_t lock;
    int64_t next; /* number of the next file */
    size_t count; /* files */
};

/* Opens (makes) the folder of the state. */
bool outbox_open(struct outbox *outbox, int state_fd, struct error *err);
void outbox_close(struct outbox *outbox);

void report_id_make(char id[REPORT_ID_SIZE]);
/* Begins a report: writes the opening brace, id, time and type. The caller adds members and outbox_add closes
 * it. */
void report_begin(struct json_writer *writer, struct text *out, const char *id, const char *type);
/* Closes and keeps it durably. */
bool outbox_add(struct outbox *outbox, struct json_writer *writer, const char *id, struct error *err);

/* Sends what there is, at most REPORTS_MOST a request, until none is left. True when the outbox is empty or
 * the rest was not accepted now. A report that the console refuses as malformed is dropped with a line in the
 * log. */
bool outbox_send(struct outbox *outbox, struct session *session, struct http *http, struct error *err);

#endif

/* What the handlers of campaigns and of their runs share. */
#ifndef CONSOLE_HANDLERS_CAMPAIGNS_H
#define CONSOLE_HANDLERS_CAMPAIGNS_H

#include "console/handlers.h"

/* Row ids of devices by their names, in the request's arena. MISSING names the one that is not there. */
bool devices_named(struct request *request, const struct json *names, const int64_t **device_ids,
                   size_t *count, struct error *err);
/* A campaign's or run's number from the path. MISSING. */
bool number_read(const char *text, const char *what, int64_t *number, struct error *err);
/* GET /campaigns/{id}. */
void campaign_answer(struct request *request, int64_t id);

#endif

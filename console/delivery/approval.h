/* Who signs for a product's diagnostic images: the setting `approval` is the wish, the signed targets follow
 * it. repo/FORMAT.md "Two signatures". */
#ifndef CONSOLE_DELIVERY_APPROVAL_H
#define CONSOLE_DELIVERY_APPROVAL_H

#include "base/db.h"
#include "base/error.h"

#include <stdbool.h>

struct console;

/* How many people must agree to a campaign: 2 from the moment that it is set until one signature is enough
 * by the signed targets as well. Any connection. */
bool approval_needed(struct db_conn *conn, const char *product, int *needed, struct error *err);
/* The same for a product that is new, as repo_signatures; `context` is the console. 2 when it cannot be told.
 */
int approval_signatures(void *context, const char *product);
/* Signs the targets of every product (or of the one) whose setting says something else than they do: after
 * it was set, and again at start-up and later, for what a crash or a full disk left. A product without the
 * setting stays as it is signed. Call it without a connection in hand. */
bool approval_follow(struct console *console, const char *product, struct error *err);
bool approval_step(struct console *console, struct error *err);

#endif

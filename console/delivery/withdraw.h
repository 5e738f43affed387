/* Withdrawn versions: offered to nobody any more. Their signed target leaves the metadata, nothing new
 * installs them; devices that have one in a verified set may go on running it. There is no way back: publish
 * a new version. */
#ifndef CONSOLE_DELIVERY_WITHDRAW_H
#define CONSOLE_DELIVERY_WITHDRAW_H

#include "base/arena.h"
#include "base/db.h"
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>

struct console;

/* Always allowed, also for what is released: devices that run it keep it, others get what was released
 * before. Audited, in git's history, told to browsers. Again changes nothing. MISSING when there is no such
 * version. Call it without a connection in hand. */
bool version_withdraw(struct console *console, const char *product, const char *asset, const char *version,
                      const char *reason, const char *operator_name, struct error *err);
/* Is it? `false` also on failure: look at err->kind, which is NONE otherwise. */
bool version_is_withdrawn(struct db_conn *conn, const char *product, const char *asset, const char *version,
                          struct error *err);
/* CONFLICT with who and why when it is: for everything that would send it to a device. */
bool withdrawn_check(struct db_conn *conn, const char *product, const char *asset, const char *version,
                     struct error *err);
/* The member "withdrawn": null or {"reason","by","at"}. */
bool withdrawn_write(struct db_conn *conn, const char *product, const char *asset, const char *version,
                     struct json_writer *writer, struct error *err);
/* repo_withheld: never listed. `context` is the console. */
bool withdrawn_withheld(void *context, const char *product, const char *asset, const char *version);
/* At start-up, once the repository may call back: git's history fills the table (a restored database), and
 * what was cut off before its metadata were signed is signed now. */
bool withdraw_recover(struct console *console, struct error *err);

#endif

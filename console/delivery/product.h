/* What a product's people decided about how it is delivered: a table of known settings, each with its grammar
 * and default. A product that nobody set anything for has the defaults. */
#ifndef CONSOLE_DELIVERY_PRODUCT_H
#define CONSOLE_DELIVERY_PRODUCT_H

#include "base/db.h"
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

struct console;

#define PRODUCT_PROVEN_ON                                                                                    \
    "release.proven_on"             /* 0 … 1000: devices that must run a version before its release */
#define PRODUCT_MARKERS "markers"   /* "optional" | "required": binaries say product, asset, version */
#define PRODUCT_APPROVAL "approval" /* "one" | "two": people behind a diagnostic image */
#define PRODUCT_KEEP_DAYS "capture.keep_days" /* 0 … 3650 days that captures are kept; 0: for ever */
#define PRODUCT_DEVICE_QUOTA                                                                                 \
    "capture.device_quota" /* 0 … 2^40 bytes of all captures of a device (1 GiB); 0: no limit */
#define PRODUCT_CAMPAIGN_QUOTA "capture.campaign_quota" /* the same of a campaign (0) */
#define PRODUCT_VALUE_SIZE 16                           /* of a value as text, with NUL */

/* A setting's value, the default where none was set. The key must be one of the above (a bug otherwise); the
 * first is for numbers, the second for words. Any connection, any thread that holds it. */
bool product_setting_integer(struct db_conn *conn, const char *product, const char *key, int64_t *value,
                             struct error *err);
bool product_setting_text(struct db_conn *conn, const char *product, const char *key,
                          char value[PRODUCT_VALUE_SIZE], struct error *err);

/* Does anything of ours belong to this product: an asset, a device or a setting? MISSING names it when not.
 */
bool product_check(struct db_conn *conn, const char *product, struct error *err);
/* The member "settings": every known key with its value. */
bool product_settings_write(struct db_conn *conn, const char *product, struct json_writer *writer,
                            struct error *err);
/* Names of products that have a setting, by name; `each` is called for each while the statement runs. */
typedef void product_each(void *context, const char *product);
bool product_settings_each(struct db_conn *conn, product_each *each, void *context, struct error *err);

/* Sets what `settings` ({"release.proven_on":1, …}; numbers also as text, as the command line has them)
 * names, all or none; also of a product that has nothing else yet. Audited, one row a setting that changed.
 * `approval` is signed for before this returns. INPUT with the key's rule; DENIED when a key needs an
 * administrator and the operator is none. Call it without a connection in hand. */
bool product_set(struct console *console, const char *product, const struct json *settings,
                 const char *operator_name, bool is_admin, struct error *err);

#endif

/* Orders: the signed wish for each device. Made when the wish changed or the order nears its end; durable
 * before it is answered. */
#ifndef CONSOLE_ORDERS_H
#define CONSOLE_ORDERS_H

#include "console/fleet.h"

#define ORDER_S (7 * 86400)       /* an order is good for so many seconds */
#define ORDER_RENEW_S (3 * 86400) /* and is made anew when less than these are left */

/* Does this device need its order thought over? Needs the fleet's lock. */
bool order_is_stale(const struct device *device, int64_t now);
/* Thinks over the orders of these devices and writes those that changed in one transaction. Also brings the
 * device's work, overdue and the image's run number in memory up to date. Call it without any lock or
 * connection. */
bool orders_make(struct console *console, const int64_t *device_ids, size_t count, struct error *err);
/* Scheduler step, every 250 ms: the same for stale devices, some for a few milliseconds, the others in the
 * step that then follows soon. */
bool orders_step(struct console *console, struct error *err);

#endif

/* A device of the fleet as the wish looks at it. */
#ifndef CONSOLE_DELIVERY_WISH_DEVICE_H
#define CONSOLE_DELIVERY_WISH_DEVICE_H

#include "console/delivery/wish.h"
#include "console/fleet.h"

/* Copies what counts, with the sentences for "why", into the arena. Needs the fleet's lock. */
void wish_device_copy(struct arena *arena, const struct fleet *fleet, const struct device *device,
                      struct wish_device *into);
/* The same by name, taking the lock. MISSING. */
bool wish_device_find(struct arena *arena, struct fleet *fleet, const char *name, struct wish_device *into,
                      struct error *err);
/* The version of an asset that it runs; NULL. */
const char *wish_device_runs(const struct wish_device *device, const char *asset);

#endif

/* The filter language: one grammar everywhere that devices are chosen. See API.md "Filter".
 *
 *   filter = or ;  or = and { "or" and } ;  and = not { not } ;  not = [ "-" ] ( "(" or ")" | term ) ;
 *   term = field ":" [ "<" | "<=" | ">" | ">=" ] value | field "~" value | value ; value = word | '"' … '"'
 */
#ifndef CONSOLE_FILTER_H
#define CONSOLE_FILTER_H

#include "base/arena.h"
#include "base/error.h"
#include "console/fleet.h"

#define FILTER_BYTES 1024
#define FILTER_TERMS 64
#define FILTER_DEPTH 16

struct filter;
/* Compiles into the arena. NULL and INPUT, the sentence naming the place (counted from 1). An empty text
 * matches all. */
const struct filter *filter_compile(struct arena *arena, const char *text, struct error *err);
/* The first field in it whose value comes and goes by itself: connectivity, seen, image, an asset's version.
 * NULL: what it matches changes by people's hands alone. */
const char *filter_passing(const struct filter *filter);
bool filter_asks_group(const struct filter *filter);
/* It asks for an asset's version. */
bool filter_asks_asset(const struct filter *filter);
/* Needs the fleet's lock. */
bool filter_matches(const struct filter *filter, const struct fleet *fleet, const struct device *device,
                    int64_t now);
/* Before matching `at` of `count` devices in turn with a filter that asks for an asset: what those behind it
 * run is on its way from memory meanwhile, for a large fleet fits into no cache. */
void filter_look_ahead(struct device *const *devices, size_t count, size_t at);
/* The ids of all devices that match, by name, in the arena; takes the lock itself. Rejected and retired
 * devices only where `all`. */
int64_t *filter_choose(const struct filter *filter, struct fleet *fleet, struct arena *arena, bool all,
                       size_t *count);

#endif

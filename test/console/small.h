/* A console without listeners for one test: database, repository, events, fleet, diagnostics. */
#ifndef TEST_CONSOLE_SMALL_H
#define TEST_CONSOLE_SMALL_H

#include "test/base/scratch.h"

#include "console/fleet.h"

struct small {
    struct scratch scratch;
    struct console console;
    int64_t shifted;
    int devices;
};
int small_setup(void **state);
int small_teardown(void **state);
/* The fleet is written, closed and loaded again, as after a restart. */
void small_again(struct small *small);
void small_wait(struct small *small, int64_t seconds);
/* An accepted device of product demo, in the database and the fleet; its key into `key` (may be NULL). */
struct device *small_device(struct small *small, const char *name, const char *hardware,
                            struct private_key *key);
/* The same for so many, d0001 and so on, without hardware. */
void small_many(struct small *small, int count);
/* Publishes a version of demo/<asset> with one file. */
void small_publish(struct small *small, const char *asset, const char *version, const char *hardware);
/* One check-in as JSON text; the answer's text in `answer`. */
bool small_checkin(struct small *small, struct device *device, const char *body, struct text *answer,
                   struct error *err);

#endif

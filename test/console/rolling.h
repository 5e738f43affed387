/* A small console (small.h) whose ten devices run demo/model 1.0.0, and rollouts of 1.1.0 over them. */
#ifndef TEST_CONSOLE_ROLLING_H
#define TEST_CONSOLE_ROLLING_H

#include "test/console/small.h"

#include "console/delivery/rollout.h"

#define ROLLING_DEVICES 10
/* One at a time. */
extern struct rolling {
    struct small *small;
    struct device *devices[ROLLING_DEVICES]; /* cam-1 to cam-10 */
} rolling;
int rolling_setup(void **state); /* small_teardown ends it */
/* As after kill -9: what was committed is there, memory is not. */
void rolling_restart(void);

/* A device's check-in: it holds its newest order, runs `version`, and says more of the asset in `rest`. */
void rolling_say_app(struct device *device, const char *version, const char *state, int result,
                     const char *rest, const char *app);
/* The same with a running app. */
void rolling_say(struct device *device, const char *version, const char *state, int result);
/* "model" as the device's order names it. */
const char *rolling_ordered(struct arena *arena, const struct device *device);
/* Whose order names 1.1.0 now; gives their number. */
int rolling_moving(struct device **found);
/* Every device takes what its order names. */
void rolling_all_take(void);
/* Those that move say that they run it. */
void rolling_prove_all(void);
/* Time goes by, and every device is heard from. */
void rolling_soak(int64_t seconds);
void rolling_step(void);

/* The first `count` devices to 1.1.0: 10, 50, 100 %, a soak of a minute, ten for each device. */
struct rollout_plan rolling_plan(struct arena *arena, int count);
int64_t rolling_create(const struct rollout_plan *plan);
void rolling_act(int64_t id, enum rollout_verb verb);

/* A number of the rollout's: devices of that state ("state", "kept" as it is counted), reason or target; its
 * stage. */
int64_t rolling_number(const char *what, int64_t id, const char *word);
const struct json *rolling_shown(struct arena *arena, int64_t id);
/* The figures that are kept equal the rows. */
void rolling_check_counts(int64_t id);
/* It is in this state, and the figures are right. */
void rolling_check(int64_t id, const char *state);

#endif

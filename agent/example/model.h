/* A model of how the machine usually behaves: a small FANN network that gives its input back, and how to
 * scale what goes in. Two files: model.fann, and norm.json
 * {"version","inputs","mean":[…],"scale":[…],"usual":<error on what it was trained with>}. */
#ifndef EXAMPLE_MODEL_H
#define EXAMPLE_MODEL_H

#include "agent/example/counters.h"

#include <stdbool.h>

struct model;

/* Opens the two files of the folder `dirfd` and tries the model out: it has to give finite scores. NULL and
 * one line in `why`. */
struct model *model_open(int dirfd, char why[160]);
void model_close(struct model *model); /* NULL is fine */
const char *model_version(const struct model *model);
/* About 1 for what is usual, higher the stranger; not finite when the model is broken. One thread. */
double model_score(struct model *model, const double vector[COUNTERS]);

#endif

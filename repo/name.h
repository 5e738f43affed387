/* The grammar of names, versions and file paths. Everything from outside is checked here before it names
 * anything. */
#ifndef REPO_NAME_H
#define REPO_NAME_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define NAME_SIZE 65    /* with NUL: products, assets, devices, groups */
#define VERSION_SIZE 65 /* with NUL */

bool name_is_valid(const char *name);
/* As above, failing with a sentence that says the rule; `what` is "product", "asset", … */
bool name_check(const char *what, const char *name, struct error *err);
/* A path inside an asset (FORMAT.md). */
bool asset_path_check(const char *path, size_t size, struct error *err);
/* Splits "product/asset" or "product/asset@version" (version may be NULL when not wanted). */
bool asset_name_split(const char *text, char product[NAME_SIZE], char asset[NAME_SIZE],
                      char version[VERSION_SIZE], struct error *err);

/* Semantic versions 2.0.0 (semver.org). */
bool version_check(const char *version, struct error *err);
/* Precedence: < 0, 0, > 0; build metadata decides last, by bytes, so that the order is total. Both must be
 * valid. */
int version_compare(const char *a, const char *b);

#endif
